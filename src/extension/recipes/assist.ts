// Completion and hovers in a YAML recipe: keys, values, paths, and what each means, from the settings' descriptions.
import { dirname, relative } from 'node:path';
import * as vscode from 'vscode';
import type { Choice, SettingField, SettingShape } from '../../protocol/settings';
import type { Services } from '../services';

type Fields = ReadonlyMap<string, SettingField>;
let fields: Promise<Fields> | undefined;

function allFields(): Promise<Fields> {
  fields ??= import('../engineParts').then(
    ({ recipeFields, catalogue }) => new Map(recipeFields(catalogue).map((field) => [field.key, field])),
  );
  return fields;
}

/** `key:` at the start of a line; keys below it belong to it. */
const topKey = /^([A-Za-z_][\w-]*)\s*:\s*(.*)$/;

export class RecipeCompletion implements vscode.CompletionItemProvider {
  constructor(private readonly services: Services) {}

  async provideCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.CompletionItem[]> {
    const known = await allFields();
    const before = document.lineAt(position.line).text.slice(0, position.character);
    const value = topKey.exec(before);
    if (value !== null) {
      const field = known.get(value[1]!);
      return field === undefined ? [] : this.#values(field, document);
    }
    const listItem = /^\s+-\s*/.test(before);
    if (listItem) {
      const owner = known.get(ownerOf(document, position.line) ?? '');
      return owner === undefined ? [] : this.#values(owner, document);
    }
    if (!/^[\w-]*$/.test(before)) return [];
    const present = new Set(
      document
        .getText()
        .split('\n')
        .flatMap((line) => topKey.exec(line)?.[1] ?? []),
    );
    return [...known.values()].filter(({ key }) => !present.has(key)).map(keyItem);
  }

  #values(field: SettingField, document: vscode.TextDocument): vscode.CompletionItem[] {
    const choices = choicesOf(field).map(({ id, label }) => {
      const item = new vscode.CompletionItem(
        { label: String(id), description: label },
        vscode.CompletionItemKind.EnumMember,
      );
      item.documentation = label;
      return item;
    });
    return [...choices, ...this.#paths(field, document)];
  }

  #paths(field: SettingField, document: vscode.TextDocument): vscode.CompletionItem[] {
    const { models, datasets } = this.services.library.contents;
    const paths =
      field.key === 'model'
        ? models.map(({ folder }) => folder)
        : /dataset$/.test(field.key)
          ? datasets.map(({ file }) => file)
          : [];
    return paths.map((path) => {
      const shown = relative(dirname(document.fileName), path) || '.';
      return new vscode.CompletionItem(shown, vscode.CompletionItemKind.File);
    });
  }
}

export class RecipeHover implements vscode.HoverProvider {
  async provideHover(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.Hover | undefined> {
    const match = topKey.exec(document.lineAt(position.line).text);
    const field = match && (await allFields()).get(match[1]!);
    if (!match || !field) return undefined;
    const inValue = position.character > match[1]!.length;
    const given = match[2]!.replace(/\s+#.*$/, '').trim();
    const choice = inValue ? choicesOf(field).find(({ id }) => String(id) === given) : undefined;
    return new vscode.Hover(choice === undefined ? describeField(field) : `\`${given}\`: ${choice.label}`);
  }
}

/** The key that a line inside a list or a mapping belongs to. */
function ownerOf(document: vscode.TextDocument, line: number): string | undefined {
  for (let above = line - 1; above >= 0; above--) {
    const match = topKey.exec(document.lineAt(above).text);
    if (match !== null) return match[1];
  }
  return undefined;
}

function choicesOf(shape: SettingShape): readonly Choice[] {
  switch (shape.type) {
    case 'enum':
      return shape.choices;
    case 'boolean':
      return [
        { id: true, label: '' },
        { id: false, label: '' },
      ];
    case 'union':
      return shape.options.flatMap(choicesOf);
    case 'list':
      return choicesOf(shape.items);
    default:
      return [];
  }
}

function keyItem(field: SettingField): vscode.CompletionItem {
  const item = new vscode.CompletionItem(
    { label: field.key, description: field.group },
    vscode.CompletionItemKind.Property,
  );
  item.insertText = `${field.key}: `;
  item.documentation = describeField(field);
  // Required settings first, advanced ones last.
  item.sortText = `${field.required ? 0 : field.advanced ? 2 : 1}${field.key}`;
  item.command = { command: 'editor.action.triggerSuggest', title: '' };
  return item;
}

function describeField(field: SettingField): vscode.MarkdownString {
  const unit = field.unit === undefined ? '' : ` (${field.unit})`;
  const lines = [`**${field.key}**${unit}`, '', field.description];
  if (field.default !== undefined && field.default !== null)
    lines.push('', vscode.l10n.t('Default: {0}', `\`${JSON.stringify(field.default)}\``));
  for (const { id, label } of choicesOf(field)) if (label !== '') lines.push(`- \`${String(id)}\`: ${label}`);
  return new vscode.MarkdownString(lines.join('\n'));
}
