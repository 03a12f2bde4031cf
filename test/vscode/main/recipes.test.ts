// Recipes in the text editor, and as tasks.
import assert from 'node:assert/strict';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';
import { at, extension, until, uri } from '../support';

async function diagnosticsOf(path: string): Promise<vscode.Diagnostic[]> {
  await vscode.workspace.openTextDocument(uri(path));
  return until(`problems of ${path}`, () => {
    const found = vscode.languages
      .getDiagnostics(uri(path))
      .filter(({ source }) => source === 'LoRA Workbench');
    return found.length > 0 && found;
  });
}

suite('recipes', () => {
  suiteSetup(async () => {
    await extension();
  });

  test('all mistakes are marked at once, each on its line, with its remedy', async () => {
    const found = await diagnosticsOf('broken/mistakes.lora.yaml');
    const byLine = new Map(found.map(({ range, message }) => [range.start.line, message]));
    assert.match(byLine.get(2) ?? '', /lerning_rate[\s\S]*learning_rate/);
    assert.match(byLine.get(3) ?? '', /^r: /);
    assert.match(byLine.get(4) ?? '', /adapter/);
  });

  test('what is no YAML and what is no text is marked, too', async () => {
    assert.ok((await diagnosticsOf('broken/syntax.lora.yaml')).length > 0);
  });

  test('a good recipe has no problems, and loses them when mended', async () => {
    const document = await vscode.workspace.openTextDocument(uri('tiny.lora.yaml'));
    const editor = await vscode.window.showTextDocument(document);
    const line = document
      .getText()
      .split('\n')
      .findIndex((text) => text.startsWith('r: '));
    await editor.edit((edit) => edit.replace(document.lineAt(line).range, 'r: none'));
    await diagnosticsOf('tiny.lora.yaml');
    await vscode.commands.executeCommand('undo');
    await until('the problems are gone', () => vscode.languages.getDiagnostics(document.uri).length === 0);
    await vscode.commands.executeCommand('workbench.action.files.revert');
  });

  test('keys, values and paths are completed', async () => {
    const complete = async (text: string): Promise<string[]> => {
      const path = at('scratch.lora.yaml');
      await vscode.workspace.fs.writeFile(vscode.Uri.file(path), new TextEncoder().encode(text));
      const document = await vscode.workspace.openTextDocument(path);
      const position = document.positionAt(text.length);
      const list = await vscode.commands.executeCommand<vscode.CompletionList>(
        'vscode.executeCompletionItemProvider',
        document.uri,
        position,
      );
      await vscode.workspace.fs.delete(document.uri);
      return list.items.map(({ label }) => (typeof label === 'string' ? label : label.label));
    };
    const keys = await complete('model: models/tiny\n');
    assert.ok(keys.includes('learning_rate') && keys.includes('dataset'), keys.join());
    assert.ok(!keys.includes('model'));
  });

  test('a key tells what it does', async () => {
    const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
      'vscode.executeHoverProvider',
      uri('tiny.lora.yaml'),
      new vscode.Position(0, 2),
    );
    const text = hovers
      .flatMap(({ contents }) => contents.map((part) => (part as vscode.MarkdownString).value))
      .join('\n');
    assert.match(text, /\*\*model\*\*[\s\S]*Hugging Face/);
  });

  test('Run, Estimate and Open form stand above it', async () => {
    const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
      'vscode.executeCodeLensProvider',
      uri('tiny.lora.yaml'),
    );
    const commands = lenses.map(({ command }) => command?.command);
    assert.deepEqual(
      commands,
      ['runRecipe', 'estimateMemory', 'openForm'].map((name) => `loraWorkbench.${name}`),
    );
  });

  test('every recipe is a task', async () => {
    const tasks = await vscode.tasks.fetchTasks({ type: 'lora-workbench' });
    assert.ok(tasks.some(({ definition }) => definition.recipe === 'tiny.lora.yaml'));
  });
});
