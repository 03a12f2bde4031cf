// The tree of adapters, grouped by the base model they belong to; what is wrong with one stands as its badge.
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { escapeMarkdown, formatBytes } from '../words';
import type { AdapterItem } from '../workspace/items';
import type { Library } from '../workspace/library';

export interface BaseNode {
  kind: 'base';
  name: string;
  adapters: AdapterItem[];
}
type Node = BaseNode | AdapterItem;

/** Adapters are drawn in colour and with a letter by this scheme's decorations. */
export const adapterScheme = 'lora-workbench-adapter';

export class AdaptersTree
  implements vscode.TreeDataProvider<Node>, vscode.FileDecorationProvider, vscode.Disposable
{
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #decorated = new vscode.EventEmitter<undefined>();
  readonly onDidChangeFileDecorations = this.#decorated.event;
  readonly #subscription: vscode.Disposable;

  constructor(private readonly library: Library) {
    this.#subscription = library.onDidChange(() => {
      this.#changed.fire(undefined);
      this.#decorated.fire(undefined);
    });
  }

  getChildren(node?: Node): Node[] {
    if (node !== undefined) return node.kind === 'base' ? node.adapters : [];
    const groups = new Map<string, AdapterItem[]>();
    for (const adapter of this.library.contents.adapters) {
      const name = groupName(adapter);
      groups.set(name, [...(groups.get(name) ?? []), adapter]);
    }
    // What tells of no base comes after those that do.
    const unknown = vscode.l10n.t('Base unknown');
    return [...groups]
      .sort(([a], [b]) => Number(a === unknown) - Number(b === unknown) || a.localeCompare(b))
      .map(([name, adapters]) => ({ kind: 'base', name, adapters }));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if (node.kind === 'adapter') return adapterItem(node);
    const item = new vscode.TreeItem(node.name, vscode.TreeItemCollapsibleState.Expanded);
    item.id = `base:${node.name}`;
    item.iconPath = new vscode.ThemeIcon('chip');
    item.description = String(node.adapters.length);
    item.contextValue = 'base';
    return item;
  }

  getParent(): undefined {
    return undefined;
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    if (uri.scheme !== adapterScheme) return undefined;
    const adapter = this.library.contents.adapters.find(({ folder }) => folder === uri.fsPath);
    const badge = adapter && badgeOf(adapter);
    return badge && new vscode.FileDecoration(badge.letter, badge.text, new vscode.ThemeColor(badge.color));
  }

  dispose(): void {
    this.#subscription.dispose();
    this.#changed.dispose();
    this.#decorated.dispose();
  }
}

function groupName(adapter: AdapterItem): string {
  if (adapter.baseFolder !== undefined) return basename(adapter.baseFolder);
  return adapter.base === undefined
    ? vscode.l10n.t('Base unknown')
    : (adapter.base.split(/[\\/]/).at(-1) ?? adapter.base);
}

interface Badge {
  letter: string;
  text: string;
  color: string;
}

/** What is wrong with an adapter, worst first; undefined where nothing is. */
export function badgeOf(adapter: AdapterItem): Badge | undefined {
  const { l10n } = vscode;
  if (adapter.problems.length > 0)
    return { letter: '!', text: adapter.problems.join(' '), color: 'list.errorForeground' };
  if (adapter.baseMatch === 'mismatch')
    return { letter: '≠', text: l10n.t('Trained on another base.'), color: 'list.warningForeground' };
  if (adapter.baseFolder === undefined)
    return {
      letter: '?',
      text: l10n.t('Its base model is not on this machine.'),
      color: 'list.warningForeground',
    };
  return undefined;
}

function adapterItem(adapter: AdapterItem): vscode.TreeItem {
  const item = new vscode.TreeItem(adapter.name);
  const badge = badgeOf(adapter);
  item.id = adapter.folder;
  item.resourceUri = vscode.Uri.file(adapter.folder).with({ scheme: adapterScheme });
  const rank = adapter.rank === undefined ? '' : ` r${adapter.rank}`;
  const from = adapter.run === undefined ? '' : ` · ${vscode.l10n.t('run')}`;
  item.description = `${adapter.peftType}${rank} · ${formatBytes(adapter.bytes)}${from}`;
  item.iconPath = new vscode.ThemeIcon(adapter.problems.length > 0 ? 'warning' : 'layers');
  item.contextValue = adapter.problems.length > 0 ? 'adapter.broken' : 'adapter';
  const lines = [
    `**${escapeMarkdown(adapter.name)}** · ${escapeMarkdown(item.description)}`,
    ...(badge === undefined ? [] : [escapeMarkdown(badge.text)]),
    ...(adapter.baseMatch === 'match'
      ? [vscode.l10n.t('The base has the weights that it was trained on.')]
      : adapter.baseMatch === 'unknown' && adapter.baseFolder !== undefined
        ? [vscode.l10n.t('Whether the base has the weights that it was trained on is not known.')]
        : []),
    vscode.l10n.t(
      'Base: {0}',
      escapeMarkdown(adapter.baseFolder ?? adapter.base ?? vscode.l10n.t('not named')),
    ),
    escapeMarkdown(adapter.folder),
  ];
  item.tooltip = new vscode.MarkdownString(lines.join('  \n'));
  item.accessibilityInformation = {
    label: [adapter.name, item.description, badge?.text].filter(Boolean).join(', '),
  };
  item.command = { command: 'loraWorkbench.inspectAdapter', title: '', arguments: [adapter] };
  return item;
}
