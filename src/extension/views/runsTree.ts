// The tree of runs: state, step and loss of each, its checkpoints below it.
import * as vscode from 'vscode';
import type { RunState } from '../../protocol/panels/run';
import type { RunRecord } from '../runs/runRecord';
import type { RunStore } from '../runs/runStore';
import { formatLoss, progressText, runTooltip, shortState } from '../words';

export interface RunNode {
  kind: 'run';
  id: string;
}
export interface CheckpointNode {
  kind: 'checkpoint';
  run: string;
  step: number;
  path: string;
}
type Node = RunNode | CheckpointNode;

const icons: Record<RunState, [string, string?]> = {
  waiting: ['watch'],
  starting: ['loading~spin'],
  running: ['sync~spin', 'charts.blue'],
  paused: ['debug-pause'],
  stopping: ['loading~spin'],
  finished: ['pass', 'charts.green'],
  stopped: ['circle-slash'],
  failed: ['error', 'list.errorForeground'],
};

export class RunsTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #nodes = new Map<string, RunNode>();
  readonly #subscription: vscode.Disposable;
  #order = '';

  constructor(private readonly runs: RunStore) {
    this.#subscription = runs.onDidChange((run) => {
      // A change of order concerns the whole list.
      const order = this.#orderNow();
      const node = run && this.#nodes.get(run.id);
      this.#changed.fire(order === this.#order ? node : undefined);
      this.#order = order;
    });
  }

  getChildren(node?: Node): Node[] {
    if (node === undefined) return this.runs.all.map(({ id }) => this.node(id));
    if (node.kind === 'checkpoint') return [];
    return [...(this.runs.get(node.id)?.checkpoints ?? [])]
      .reverse()
      .map(({ step, path }) => ({ kind: 'checkpoint', run: node.id, step, path }));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const run = this.runs.get(node.kind === 'run' ? node.id : node.run);
    if (run === undefined) return new vscode.TreeItem('');
    return node.kind === 'run' ? runItem(run) : checkpointItem(run, node);
  }

  getParent(node: Node): Node | undefined {
    return node.kind === 'checkpoint' ? this.node(node.run) : undefined;
  }

  /** The one object that stands for a run. */
  node(id: string): RunNode {
    const known = this.#nodes.get(id) ?? { kind: 'run', id };
    this.#nodes.set(id, known);
    return known;
  }

  dispose(): void {
    this.#subscription.dispose();
    this.#changed.dispose();
  }

  #orderNow(): string {
    return this.runs.all.map(({ id }) => id).join('\n');
  }
}

function runItem(run: RunRecord): vscode.TreeItem {
  const { Collapsed, None } = vscode.TreeItemCollapsibleState;
  const item = new vscode.TreeItem(run.name, run.checkpoints.length > 0 ? Collapsed : None);
  item.id = run.id;
  item.description = run.state === 'running' ? progressText(run) : shortState(run);
  item.tooltip = runTooltip(run);
  const [icon, color] = icons[run.state];
  item.iconPath = new vscode.ThemeIcon(icon, color === undefined ? undefined : new vscode.ThemeColor(color));
  item.contextValue = `run.${run.state}`;
  item.accessibilityInformation = { label: `${run.name}, ${run.state}, ${item.description}` };
  item.command = { command: 'loraWorkbench.openRun', title: '', arguments: [{ kind: 'run', id: run.id }] };
  return item;
}

function checkpointItem(run: RunRecord, node: CheckpointNode): vscode.TreeItem {
  const checkpoint = run.checkpoints.find(({ step }) => step === node.step);
  const item = new vscode.TreeItem(vscode.l10n.t('step {0}', node.step));
  item.id = `${run.id}#${node.step}`;
  const evaluated =
    checkpoint?.evalLoss === undefined ? '' : vscode.l10n.t('eval {0}', formatLoss(checkpoint.evalLoss));
  item.description = [evaluated, checkpoint?.best ? vscode.l10n.t('best') : ''].filter(Boolean).join(' · ');
  item.iconPath = new vscode.ThemeIcon('milestone');
  item.contextValue = 'checkpoint';
  item.tooltip = node.path;
  return item;
}
