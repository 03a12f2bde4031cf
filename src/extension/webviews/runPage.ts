// The page of a run: what its log holds, at once, and what comes, as it comes; runs to compare with. It starts and stops
// nothing itself: its buttons are commands.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LogPart, RunContract, RunView } from '../../protocol/panels/run';
import type { RunEvent } from '../../protocol/run';
import { isLive, type RunRecord } from '../runs/runRecord';
import type { Services } from '../services';
import { commonRequests } from './configureRequests';
import { type Channel, openChannel, pageHtml, webviewOptions } from './host';
import { logPart } from './runLog';

export const runViewType = 'loraWorkbench.run';
const mostRecipeBytes = 2 ** 20;
/** Beyond it, more lines make no better picture. */
const mostCompared = 6;

export class RunPage implements vscode.Disposable {
  readonly #channel: Channel<RunContract>;
  readonly #subscriptions: vscode.Disposable[];
  #compared: string[];

  constructor(
    readonly id: string,
    compared: readonly string[],
    readonly panel: vscode.WebviewPanel,
    private readonly services: Services,
  ) {
    this.#compared = [...compared];
    const { webview } = panel;
    webview.options = webviewOptions(services);
    this.#channel = openChannel<RunContract>(webview, services, {
      ...commonRequests,
      recipe: () => this.#recipe(),
      compare: () => this.#askCompared(),
      remove: ({ id: other }) => {
        this.#compared = this.#compared.filter((one) => one !== other);
        this.#channel.push('compared', this.#compared);
        return undefined;
      },
      save: (file) => this.#save(file),
    });
    const { runs } = services;
    this.#subscriptions = [
      this.#channel,
      this.#channel.onReady(() => this.#tellAll()),
      runs.onDidReceiveEvents(({ run, events }) => {
        if (run.id === this.id || this.#compared.includes(run.id)) this.#tellLog(run, events, false);
      }),
      runs.onDidChange((run) => {
        if (run === undefined || run.id === this.id) this.#tellRun();
      }),
    ];
    const name = runs.get(id)?.name ?? 'run';
    webview.html = pageHtml(webview, services, { bundle: 'run', title: name });
  }

  /** Adds runs to compare with. */
  compare(ids: readonly string[]): void {
    const more = ids.filter((id) => id !== this.id && !this.#compared.includes(id));
    this.#compared = [...this.#compared, ...more].slice(0, mostCompared);
    for (const id of more) this.#tellWhole(id);
    this.#channel.push('compared', this.#compared);
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #tellAll(): void {
    this.#tellRun();
    for (const id of [this.id, ...this.#compared]) this.#tellWhole(id);
    this.#channel.push('compared', this.#compared);
  }

  #tellRun(): void {
    const run = this.services.runs.get(this.id);
    if (run !== undefined) this.#channel.push('run', viewOf(run));
  }

  #tellWhole(id: string): void {
    const run = this.services.runs.get(id);
    if (run !== undefined) this.#tellLog(run, this.services.runs.events(id), true);
  }

  #tellLog(run: RunRecord, events: readonly RunEvent[], reset: boolean): void {
    const part: LogPart = logPart(events);
    this.#channel.push('log', { id: run.id, name: run.name, reset, part });
  }

  async #recipe(): Promise<string> {
    const folder = this.services.runs.get(this.id)?.folder;
    if (folder === undefined) return '';
    const text = await readFile(join(folder, 'recipe.yaml'), 'utf8').catch(() => '');
    return text.slice(0, mostRecipeBytes);
  }

  async #askCompared(): Promise<undefined> {
    const others = this.services.runs.all.filter(
      ({ id, folder }) => id !== this.id && folder !== undefined && !this.#compared.includes(id),
    );
    if (others.length === 0) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t('There is no other run in this workspace yet.'),
      );
      return undefined;
    }
    const chosen = await vscode.window.showQuickPick(
      others.map(({ id, name, evalLoss, state }) => ({
        label: name,
        description: evalLoss === undefined ? state : `eval ${evalLoss.toFixed(3)}`,
        id,
      })),
      { canPickMany: true, title: vscode.l10n.t('Compare with') },
    );
    this.compare(chosen?.map(({ id }) => id) ?? []);
    return undefined;
  }

  async #save({
    name,
    kind,
    content,
  }: {
    name: string;
    kind: 'png' | 'csv';
    content: string;
  }): Promise<boolean> {
    const folder =
      this.services.runs.get(this.id)?.folder ?? vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    const safe = name.replaceAll(/[^\w.-]+/g, '-');
    const target = await vscode.window.showSaveDialog({
      ...(folder === undefined ? {} : { defaultUri: vscode.Uri.file(join(folder, `${safe}.${kind}`)) }),
      filters: kind === 'png' ? { PNG: ['png'] } : { CSV: ['csv'] },
    });
    if (target === undefined) return false;
    await writeFile(target.fsPath, kind === 'png' ? Buffer.from(content, 'base64') : content);
    return true;
  }
}

function viewOf(run: RunRecord): RunView {
  const live = isLive(run.state);
  return {
    id: run.id,
    name: run.name,
    folder: run.folder ?? null,
    state: run.state,
    phase: run.phase ?? null,
    pid: run.pid ?? null,
    plan: run.plan ?? null,
    step: run.step,
    totalSteps: run.totalSteps ?? null,
    epoch: run.epoch,
    loss: run.loss ?? null,
    evalLoss: run.evalLoss ?? null,
    bestEvalLoss: run.bestEvalLoss ?? null,
    tokensPerSecond: run.tokensPerSecond ?? null,
    peakMemoryBytes: run.peakMemoryBytes ?? null,
    etaSeconds: live ? (run.etaSeconds ?? null) : null,
    checkpoints: run.checkpoints.map(({ step, evalLoss, best }) => ({
      step,
      evalLoss: evalLoss ?? null,
      best,
    })),
    adapter: run.result?.adapter ?? null,
    error: run.error ?? null,
    startedAt: run.startedAt ?? null,
    updatedAt: run.updatedAt ?? null,
    trusted: vscode.workspace.isTrusted,
  };
}
