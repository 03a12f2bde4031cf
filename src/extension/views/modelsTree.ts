// The tree of what a run starts from: checkpoints, datasets, recipes.
import * as vscode from 'vscode';
import { formatBytes } from '../words';
import type { DatasetItem, ModelItem, RecipeItem } from '../workspace/items';
import type { Library } from '../workspace/library';

interface Group {
  kind: 'group';
  label: string;
  icon: string;
  items: readonly (ModelItem | DatasetItem | RecipeItem)[];
}
type Node = Group | ModelItem | DatasetItem | RecipeItem;

export class ModelsTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #subscription: vscode.Disposable;

  constructor(private readonly library: Library) {
    this.#subscription = library.onDidChange(() => this.#changed.fire(undefined));
  }

  getChildren(node?: Node): Node[] {
    if (node !== undefined) return node.kind === 'group' ? [...node.items] : [];
    const { models, datasets, recipes } = this.library.contents;
    const groups: Group[] = [
      { kind: 'group', label: vscode.l10n.t('Models'), icon: 'chip', items: models },
      { kind: 'group', label: vscode.l10n.t('Datasets'), icon: 'database', items: datasets },
      { kind: 'group', label: vscode.l10n.t('Recipes'), icon: 'book', items: recipes },
    ];
    return groups.filter(({ items }) => items.length > 0);
  }

  getTreeItem(node: Node): vscode.TreeItem {
    switch (node.kind) {
      case 'group': {
        const item = new vscode.TreeItem(node.label, vscode.TreeItemCollapsibleState.Expanded);
        item.id = node.label;
        item.iconPath = new vscode.ThemeIcon(node.icon);
        item.description = String(node.items.length);
        return item;
      }
      case 'model': {
        const item = fileItem(node.folder, node.name, node.problems);
        item.description = [node.modelType, formatBytes(node.bytes)].filter(Boolean).join(' · ');
        item.iconPath = new vscode.ThemeIcon('chip');
        item.contextValue = 'model';
        return item;
      }
      case 'dataset': {
        const item = fileItem(node.file, node.name, node.problems);
        item.description = [
          node.rows === undefined
            ? ''
            : node.rows === 1
              ? vscode.l10n.t('1 row')
              : vscode.l10n.t('{0} rows', node.rows.toLocaleString(vscode.env.language)),
          formatBytes(node.bytes),
        ]
          .filter(Boolean)
          .join(' · ');
        item.iconPath = new vscode.ThemeIcon('database');
        item.contextValue = 'dataset';
        item.command = { command: 'loraWorkbench.openDataset', title: '', arguments: [node] };
        return item;
      }
      case 'recipe': {
        const item = fileItem(node.file, node.name, []);
        item.resourceUri = vscode.Uri.file(node.file);
        item.iconPath = vscode.ThemeIcon.File;
        item.contextValue = 'recipe';
        item.command = { command: 'vscode.open', title: '', arguments: [item.resourceUri] };
        return item;
      }
    }
  }

  dispose(): void {
    this.#subscription.dispose();
    this.#changed.dispose();
  }
}

function fileItem(path: string, name: string, problems: readonly string[]): vscode.TreeItem {
  const item = new vscode.TreeItem(name);
  item.id = path;
  item.tooltip = [path, ...problems].join('\n');
  if (problems.length > 0) item.accessibilityInformation = { label: `${name}, ${problems.join(' ')}` };
  return item;
}
