// The read-only editor of a safetensors file: starts the thread that reads it, adds what the workspace knows (name, base,
// run), hands everything to the page, and begins anew when the file changes.
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import * as vscode from 'vscode';
import type { Problem } from '../../protocol/errors';
import type { AdapterContract, AdapterHead, AdapterNews, Fact } from '../../protocol/panels/adapter';
import type { Services } from '../services';
import { formatBytes, formatLoss } from '../words';
import type { AdapterItem } from '../workspace/items';
import type { AnalysisNews, AnalysisTask, FileHead } from './adapterAnalysis';
import { type Channel, openChannel, pageHtml, webviewOptions } from './host';

const { l10n } = vscode;

/** Commands that the page's buttons run. */
const allowed = new Set(['tryAdapter', 'mergeAdapter', 'compareRuns', 'openRun', 'exportAsPeft', 'evaluate']);
const quietMs = 400;

export function adapterEditor(viewType: string, services: Services): vscode.Disposable {
  return vscode.window.registerCustomEditorProvider(
    viewType,
    {
      openCustomDocument: (uri: vscode.Uri): vscode.CustomDocument => ({ uri, dispose() {} }),
      resolveCustomEditor(document: vscode.CustomDocument, panel: vscode.WebviewPanel): void {
        const view = new AdapterView(document.uri.fsPath, panel, services);
        panel.onDidDispose(() => view.dispose());
      },
    },
    { webviewOptions: { retainContextWhenHidden: true } },
  );
}

class AdapterView implements vscode.Disposable {
  readonly #channel: Channel<AdapterContract>;
  readonly #subscriptions: vscode.Disposable[];
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What was told so far, for a page that is loaded again. */
  #told: {
    head: AdapterHead | undefined;
    news: AdapterNews[];
    done: number | undefined;
    problems: Problem[];
  } = {
    head: undefined,
    news: [],
    done: undefined,
    problems: [],
  };

  constructor(
    private readonly file: string,
    panel: vscode.WebviewPanel,
    private readonly services: Services,
  ) {
    const { webview } = panel;
    webview.options = webviewOptions(services);
    this.#channel = openChannel<AdapterContract>(webview, services, {
      command: async ({ command, args = [] }) => {
        if (!allowed.has(command)) throw new Error(`The page may not run ${command}.`);
        await vscode.commands.executeCommand(`loraWorkbench.${command}`, ...args);
        return undefined;
      },
      openFile: async ({ path }) => {
        // Only what lies beside the weights.
        const uri = vscode.Uri.file(join(dirname(this.file), basename(path)));
        await vscode.window.showTextDocument(uri, { preview: true });
        return undefined;
      },
      openFolder: async () => {
        const uri = vscode.Uri.file(this.file);
        const inside = vscode.workspace.getWorkspaceFolder(uri) !== undefined;
        await vscode.commands.executeCommand(inside ? 'revealInExplorer' : 'revealFileInOS', uri);
        return undefined;
      },
      reload: () => {
        this.#start();
        return undefined;
      },
    });
    webview.html = pageHtml(webview, services, { bundle: 'adapter', title: basename(file) });
    const watcher = vscode.workspace.createFileSystemWatcher(
      new vscode.RelativePattern(vscode.Uri.file(dirname(file)), '{adapter_config.json,*.safetensors}'),
    );
    let ready = false;
    this.#subscriptions = [
      this.#channel,
      watcher,
      watcher.onDidChange(() => this.#startSoon()),
      watcher.onDidCreate(() => this.#startSoon()),
      services.library.onDidChange(() => this.#refreshHead()),
      // The first time pushes are waiting; after a reload of the page everything is told again.
      this.#channel.onReady(() => {
        if (ready) this.#retell();
        ready = true;
      }),
    ];
    this.#start();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    void this.#worker?.terminate();
    for (const item of this.#subscriptions) item.dispose();
  }

  get #item(): AdapterItem | undefined {
    return this.services.library.contents.adapters.find(({ file }) => file === this.file);
  }

  #fileHead: FileHead | undefined;
  #base: string | undefined;

  #startSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), quietMs);
  }

  #start(): void {
    void this.#worker?.terminate();
    this.#told = { head: undefined, news: [], done: undefined, problems: [] };
    this.#base = this.#item?.baseFolder;
    const task: AnalysisTask = { file: this.file, base: this.#base };
    const worker = new Worker(join(__dirname, 'adapterWorker.js'), { workerData: task });
    this.#worker = worker;
    worker.on('message', (news: AnalysisNews) => {
      if (worker === this.#worker) this.#take(news);
    });
    worker.on('error', (cause) => this.services.log.error(cause));
  }

  #take(news: AnalysisNews): void {
    switch (news.type) {
      case 'head':
        this.#fileHead = news.head;
        this.#told.head = this.#headOf(news.head);
        this.#channel.push('head', this.#told.head);
        return;
      case 'news':
        this.#told.news.push(news.news);
        this.#channel.push('news', news.news);
        return;
      case 'problem': {
        const problem = this.#shown(news.problem);
        this.#told.problems.push(problem);
        this.#channel.push('problem', problem);
        return;
      }
      case 'done':
        this.#told.done = news.milliseconds;
        this.services.log.debug(`${this.file}: looked at in ${Math.round(news.milliseconds)} ms.`);
        this.#channel.push('done', { milliseconds: news.milliseconds });
    }
  }

  #retell(): void {
    const { head, news, done, problems } = this.#told;
    if (head === undefined) return;
    this.#channel.push('head', head);
    for (const one of news) this.#channel.push('news', one);
    for (const problem of problems) this.#channel.push('problem', problem);
    if (done !== undefined) this.#channel.push('done', { milliseconds: done });
  }

  /** Paths as the workspace shows them. */
  #shown(problem: Problem): Problem {
    const { asRelativePath } = vscode.workspace;
    const short = (text: string): string =>
      text
        .replaceAll(this.file, asRelativePath(this.file))
        .replaceAll(dirname(this.file), asRelativePath(dirname(this.file)));
    return {
      ...problem,
      where: isAbsolute(problem.where) ? asRelativePath(problem.where) : problem.where,
      message: short(problem.message),
    };
  }

  /** The library learns of bases and runs later than the file opens. */
  #refreshHead(): void {
    if (this.#item?.baseFolder !== this.#base) {
      this.#start();
      return;
    }
    if (this.#fileHead === undefined) return;
    for (const fact of this.#workspaceFacts(this.#fileHead)) this.#channel.push('fact', fact);
  }

  #headOf(head: FileHead): AdapterHead {
    const item = this.#item;
    const { config, facts, ...rest } = head;
    const own = facts.map((fact) =>
      fact.label === 'File' ? { ...fact, value: formatBytes(head.bytes) } : fact,
    );
    const first = own.filter(({ label }) => label === 'Rank');
    const others = own.filter(({ label }) => label !== 'Rank');
    return {
      ...rest,
      problems: head.problems.map((problem) => this.#shown(problem)),
      title: item?.name ?? (config === undefined ? basename(this.file) : basename(dirname(this.file))),
      file: vscode.workspace.asRelativePath(this.file),
      facts: [...first, ...this.#workspaceFacts(head), ...others],
      canTry: item !== undefined && head.problems.length === 0 && vscode.workspace.isTrusted,
      run: item?.run !== undefined && this.services.runs.get(item.run) !== undefined ? item.run : undefined,
    };
  }

  #workspaceFacts({ method, config }: FileHead): Fact[] {
    if (method === undefined) return [];
    const item = this.#item;
    const name = item?.base ?? (config?.base_model_name_or_path as string | undefined);
    const facts: Fact[] = [this.#baseFact(typeof name === 'string' ? name : undefined, item)];
    const run = item?.run === undefined ? undefined : this.services.runs.get(item.run);
    if (run !== undefined) {
      const loss =
        run.evalLoss === undefined
          ? run.loss === undefined
            ? ''
            : l10n.t('loss {0}', formatLoss(run.loss))
          : l10n.t('eval {0}', formatLoss(run.evalLoss));
      facts.push({
        label: 'Trained',
        value: l10n.t('{0}, step {1}', run.name, run.step),
        detail: loss || run.state,
      });
    }
    return facts;
  }

  #baseFact(name: string | undefined, item: AdapterItem | undefined): Fact {
    const value =
      name === undefined ? l10n.t('not named') : (name.split(/[\\/]/).filter(Boolean).at(-1) ?? name);
    const fact = (detail: string, state?: Fact['state']): Fact => ({
      label: 'Base',
      value,
      detail,
      ...(state === undefined ? {} : { state }),
    });
    if (item?.baseFolder === undefined) return fact(l10n.t('not found on this machine'), 'warning');
    if (item.baseMatch === 'mismatch')
      return fact(l10n.t('found, but its weights are others: trained on another base'), 'error');
    if (item.baseMatch === 'match') return fact(l10n.t('found, its weights are those trained on'), 'ok');
    return fact(l10n.t('found; the adapter holds no fingerprint'), 'ok');
  }
}
