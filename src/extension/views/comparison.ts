// Adapters side by side: what the engine found different, as a page of Markdown that the editor previews. Making the text is
// pure; showing it needs the editor.
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import type { DiffResult } from '../../protocol/trainer';
import { escapeMarkdown } from '../words';

const scheme = 'lora-workbench-comparison';
/** More modules are summed up by kind alone. */
const mostRows = 400;
const texts = new Map<string, string>();

const { l10n } = vscode;

/** Provides the documents that comparisons are shown in. */
export function registerComparisons(): vscode.Disposable {
  return vscode.workspace.registerTextDocumentContentProvider(scheme, {
    provideTextDocumentContent: ({ path }) => texts.get(path) ?? '',
  });
}

/** Shows a comparison; returns the address of its document. */
export async function showComparison(result: DiffResult): Promise<vscode.Uri> {
  const names = adapterNames(result.adapters.map(({ folder }) => folder));
  const path = `/${names.join(' ↔ ').replaceAll('/', '∕')}.md`;
  texts.set(path, comparisonText(result, names));
  const uri = vscode.Uri.from({ scheme, path });
  await vscode.workspace.openTextDocument(uri);
  await vscode.commands.executeCommand('markdown.showPreview', uri);
  return uri;
}

/** The shortest names that tell the folders apart. */
export function adapterNames(folders: readonly string[]): string[] {
  return folders.map((folder, i) => {
    const name = basename(folder);
    if (folders.filter((other) => basename(other) === name).length === 1) return name;
    const longer = `${basename(dirname(folder))}/${name}`;
    const same = folders.filter((other) => `${basename(dirname(other))}/${basename(other)}` === longer);
    return same.length === 1 ? longer : `${longer} (${i + 1})`;
  });
}

const number = (value: number | null): string => (value === null ? '–' : value.toPrecision(3));

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? ':--' : '--:'))), ...rows.map(line), ''];
}

const mean = (values: readonly (number | null)[]): number | null => {
  const there = values.filter((value) => value !== null);
  return there.length === 0 ? null : there.reduce((sum, value) => sum + value, 0) / there.length;
};

/** The page's text. */
export function comparisonText(
  { adapters, settings, modules }: DiffResult,
  names: readonly string[],
): string {
  const shown = names.map(escapeMarkdown);
  const pairs = modules[0]?.pairs ?? [];
  const title = ({ first, second }: (typeof pairs)[number]): string =>
    adapters.length === 2 ? '' : ` ${first + 1}–${second + 1}`;
  const likeness = pairs.flatMap((pair) => [`cos${title(pair)}`, `φ(A)${title(pair)}`, `φ(B)${title(pair)}`]);
  const norms = shown.map((name) => `‖ΔW‖ ${name}`);
  const cells = (some: DiffResult['modules']): string[] => [
    ...adapters.map((_, i) => number(mean(some.map((module) => module.norms[i]!)))),
    ...pairs.flatMap((_, i) =>
      (['cosine', 'a', 'b'] as const).map((key) => number(mean(some.map((module) => module.pairs[i]![key])))),
    ),
  ];
  const kinds = new Map<string, DiffResult['modules'][number][]>();
  for (const module of modules) {
    const kind = module.path.replace(/^.*?\.\d+\./, '');
    kinds.set(kind, [...(kinds.get(kind) ?? []), module]);
  }
  const lines = [
    `# ${shown.join(' ↔ ')}`,
    '',
    ...adapters.map(
      ({ folder, modules: count }, i) =>
        `${i + 1}. **${shown[i]}**, ${l10n.t('{0} modules', count)}: ${escapeMarkdown(folder)}`,
    ),
    '',
    `## ${l10n.t('Settings that differ')}`,
    '',
    ...(settings.length === 0
      ? [l10n.t('None: the settings are the same.'), '']
      : table(
          [l10n.t('Setting'), ...shown],
          settings.map(({ key, values }) => [
            `\`${key}\``,
            ...values.map((value) => escapeMarkdown(value.slice(0, 200)) || '–'),
          ]),
        )),
  ];
  if (modules.length === 0)
    return [
      ...lines,
      l10n.t('No module of these adapters is a product of two factors, so their updates are not compared.'),
    ].join('\n');
  lines.push(
    `## ${l10n.t('By kind of module')}`,
    '',
    l10n.t(
      'Means over the layers. cos is the cosine of the two updates; φ is the overlap of the subspaces in which they read (A) and write (B), 0 at right angles, 1 where one lies in the other.',
    ),
    '',
    ...table(
      [l10n.t('Module'), ...norms, ...likeness],
      [...kinds].map(([kind, own]) => [escapeMarkdown(kind), ...cells(own)]),
    ),
    `## ${l10n.t('By module')}`,
    '',
    ...table(
      [l10n.t('Module'), ...norms, ...likeness],
      modules.slice(0, mostRows).map((module) => [escapeMarkdown(module.path), ...cells([module])]),
    ),
  );
  if (modules.length > mostRows) lines.push(l10n.t('{0} more are not listed.', modules.length - mostRows));
  return lines.join('\n');
}
