// The page of a run: what its log holds, at once, and what comes, as it comes; runs to compare with. It starts and stops
// nothing itself: its buttons are commands.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { RunContract, RunRemedy, RunView } from '../../protocol/panels/run';
import { openFormWith, recipeOfRun } from '../recipes/mend';
import { tell } from '../report';
import { memoryRemedies } from '../runs/memoryRemedies';
import { isLive, type RunRecord } from '../runs/runRecord';
import type { Services } from '../services';
import { commonRequests } from './configureRequests';
import { type Channel, openChannel, pageHtml, webviewOptions } from './host';
import { RunLog } from './runLog';

export const runViewType = 'loraWorkbench.run';
const mostRecipeBytes = 2 ** 20;
/** Beyond it, more lines make no better picture. */
const mostCompared = 6;

export class RunPage implements vscode.Disposable {
  readonly #channel: Channel<RunContract>;
  readonly #subscriptions: vscode.Disposable[];
  /** Logs of this run and of those compared, by id. */
  readonly #logs = new Map<string, RunLog>();
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
        this.#logs.get(other)?.end();
        this.#logs.delete(other);
        this.#channel.push('compared', this.#compared);
        return undefined;
      },
      mend: async ({ edits }) => {
        const run = services.runs.get(id);
        if (run !== undefined) await openFormWith(run, edits, services);
        return undefined;
      },
      save: (file) => this.#save(file),
    });
    const { runs } = services;
    this.#subscriptions = [
      this.#channel,
      this.#channel.onReady(() => this.#tellAll()),
      runs.onDidReceiveEvents(({ run }) => {
        if (run.id === this.id || this.#compared.includes(run.id)) this.#readLog(run.id);
      }),
      runs.onDidChange((run) => {
        if (run === undefined || run.id === this.id) this.#tellRun();
      }),
    ];
    const name = runs.get(id)?.name ?? 'run';
    webview.html = pageHtml(webview, services, { bundle: 'run', title: name });
    // The log is read while the page is loaded.
    for (const one of [id, ...this.#compared]) this.#readLog(one);
  }

  /** Adds runs to compare with. */
  compare(ids: readonly string[]): void {
    const more = ids.filter((id) => id !== this.id && !this.#compared.includes(id));
    this.#compared = [...this.#compared, ...more].slice(0, mostCompared);
    for (const id of more) this.#readLog(id);
    this.#channel.push('compared', this.#compared);
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
    for (const log of this.#logs.values()) log.end();
  }

  #tellAll(): void {
    this.#tellRun();
    // A page that is loaded again knows nothing; what comes while it loads waits for it.
    if (this.#listened) for (const log of this.#logs.values()) log.retell();
    this.#listened = true;
    this.#channel.push('compared', this.#compared);
  }

  #tellRun(): void {
    const run = this.services.runs.get(this.id);
    if (run === undefined) return;
    if (run.error?.code === 'out-of-memory' && this.#remedies === undefined) {
      this.#remedies = [];
      recipeOfRun(run).then(
        (recipe) => {
          if (recipe === undefined) return;
          this.#remedies = memoryRemedies(recipe);
          this.#tellRun();
        },
        (cause: unknown) => this.services.log.error(cause as Error),
      );
    }
    this.#channel.push('run', viewOf(run, this.#remedies ?? []));
  }

  /** Of a run that ran out of memory, once its recipe is read. */
  #remedies: readonly RunRemedy[] | undefined;

  #listened = false;

  /** Reads on in a run's log and tells the page. */
  #readLog(id: string): void {
    let log = this.#logs.get(id);
    if (log === undefined) {
      const path = this.services.runs.logOf(id);
      if (path === undefined) return;
      log = new RunLog(path, (part, reset) => {
        const name = this.services.runs.get(id)?.name ?? id;
        this.#channel.push('log', { id, name, reset, part });
      });
      this.#logs.set(id, log);
    }
    log.read().catch((cause: unknown) => this.services.log.error(cause as Error));
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
    const bytes =
      kind === 'png'
        ? Buffer.from(content, 'base64')
        : Buffer.from([...(this.#logs.get(this.id)?.csv() ?? [])].join(''));
    try {
      const { writeFileAtomic } = await import('../engineParts');
      await writeFileAtomic(target.fsPath, bytes);
      return true;
    } catch (cause) {
      tell(cause, this.services.log);
      return false;
    }
  }
}

function viewOf(run: RunRecord, remedies: readonly RunRemedy[]): RunView {
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
    remedies: run.error?.code === 'out-of-memory' ? remedies : [],
    startedAt: run.startedAt ?? null,
    updatedAt: run.updatedAt ?? null,
    trusted: vscode.workspace.isTrusted,
  };
}
