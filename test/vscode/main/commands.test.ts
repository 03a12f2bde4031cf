// Every command can be called with nothing to go by, with an item and with rubbish, and none throws.
import assert from 'node:assert/strict';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';
import manifest from '../../../package.json';
import type { Api } from '../../../src/extension/extension';
import { extension, until, uri } from '../support';

/** What these start has tests of its own, or leaves the window. */
const elsewhere = ['openSampleWorkspace', 'runRecipe', 'resumeRun'];

suite('commands', () => {
  let api: Api;
  suiteSetup(async () => {
    api = await extension();
  });

  /** Calls a command and closes whatever question it asks. */
  async function call(id: string, target?: unknown): Promise<void> {
    let done = false;
    const result = vscode.commands.executeCommand(id, target).then(() => {
      done = true;
    });
    await until(`${id} returns`, async () => {
      if (!done) await vscode.commands.executeCommand('workbench.action.closeQuickOpen');
      return done;
    });
    await result;
  }

  for (const { command } of manifest.contributes.commands) {
    const name = command.replace('loraWorkbench.', '');
    if (elsewhere.includes(name)) continue;
    test(`${name} takes no target, a target and rubbish`, async () => {
      await call(command);
      await call(command, { kind: 'nothing', path: 42 });
      if (/adapter|evaluate|export/i.test(name)) await call(command, uri('adapters/torn'));
      if (/Run|Log/.test(name)) await call(command, { kind: 'run', id: uri('runs/garbage').fsPath });
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    });
  }

  test('a broken recipe does not start and tells why', async () => {
    const before = api.services.runs.all.length;
    for (const path of [
      'broken/mistakes.lora.yaml',
      'broken/syntax.lora.yaml',
      'broken/binary.lora.json',
      'nowhere.lora.yaml',
    ])
      assert.equal(
        await vscode.commands.executeCommand('loraWorkbench.runRecipe', uri(path)),
        undefined,
        path,
      );
    assert.equal(api.services.runs.all.length, before);
  });

  test('adapters open in their editor, broken ones too', async () => {
    for (const name of ['good', 'torn', 'no-weights']) {
      await vscode.commands.executeCommand('loraWorkbench.inspectAdapter', uri(`adapters/${name}`));
      await until(`the editor of ${name}`, () => {
        const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
        return (
          input instanceof vscode.TabInputCustom &&
          input.viewType === 'loraWorkbench.adapter' &&
          input.uri.fsPath.includes(name)
        );
      });
    }
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
