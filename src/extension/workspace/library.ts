// Keeps what lies in the workspace, the configured folders and the hub's cache, true to the disk: scans at the start, when
// files come and go, and when asked. It reads and never writes.

import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { section } from '../settings';
import {
  type AdapterItem,
  type DatasetItem,
  describeAdapter,
  describeDataset,
  describeModel,
  findBase,
  type ModelItem,
  type RecipeItem,
} from './items';
import { type Found, scan } from './scan';

export interface Contents {
  adapters: readonly AdapterItem[];
  models: readonly ModelItem[];
  datasets: readonly DatasetItem[];
  recipes: readonly RecipeItem[];
  /** Folders of runs. */
  runs: readonly string[];
  /** Whether the scan reached its bound. */
  cut: boolean;
}

const empty: Contents = { adapters: [], models: [], datasets: [], recipes: [], runs: [], cut: false };
const quietMs = 250;
const described = 16;
/** Files whose coming matters. A name without a dot may be a folder that was moved here with all it holds. */
const created =
  /^(adapter_config\.json|config\.json|events\.jsonl|recipe\.yaml|adapter_model\.bin|[^.]+|.*\.(safetensors|jsonl|parquet|lora\.(ya?ml|json)))$/i;
/** Where files come and go that no scan looks at. */
const restless = /[\\/](checkpoints|node_modules|\.git)[\\/]/;
const changed = '**/{adapter_config.json,adapter_model.safetensors,config.json,*.parquet}';

export class Library implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Contents>();
  readonly onDidChange = this.#changed.event;
  #contents: Contents = empty;
  #watchers: vscode.Disposable[] = [];
  #subscriptions: vscode.Disposable[];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<Contents> | undefined;
  #again = false;
  #disposed = false;
  /** Model folder → its fingerprint and the time of its weights, because hashing reads a little of every tensor. */
  readonly #fingerprints = new Map<string, string | undefined>();

  constructor(private readonly services: () => Pick<Services, 'log' | 'settings'>) {
    this.#subscriptions = [
      this.#changed,
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.#restart()),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.#restart()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(section)) this.#restart();
      }),
    ];
  }

  get contents(): Contents {
    return this.#contents;
  }

  /** Whether the first scan is done. */
  get ready(): boolean {
    return this.#contents !== empty;
  }

  /** Starts watching and scanning. */
  start(): void {
    this.#restart();
  }

  /** Scans now; calls meanwhile share one further scan. */
  async refresh(): Promise<Contents> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#scanUntilQuiet().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Scans once things have been quiet for a moment. */
  refreshSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), quietMs);
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
    for (const item of [...this.#watchers, ...this.#subscriptions]) item.dispose();
  }

  get #roots(): string[] {
    const { folders, hubCache } = this.services().settings;
    const workspace = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
    return [
      ...workspace.map(({ uri }) => uri.fsPath),
      ...folders,
      ...(hubCache === undefined ? [] : [hubCache]),
    ];
  }

  #restart(): void {
    for (const watcher of this.#watchers) watcher.dispose();
    this.#watchers = this.#roots.flatMap((root) => {
      const base = vscode.Uri.file(root);
      // A live run appends to events.jsonl all the time; the run store follows it by itself. A folder that is removed tells
      // of itself alone.
      const coming = vscode.workspace.createFileSystemWatcher(
        new vscode.RelativePattern(base, '**'),
        false,
        true,
        false,
      );
      const changing = vscode.workspace.createFileSystemWatcher(
        new vscode.RelativePattern(base, changed),
        true,
        false,
        true,
      );
      coming.onDidCreate(({ fsPath }) => {
        if (created.test(basename(fsPath)) && !restless.test(fsPath)) this.refreshSoon();
      });
      coming.onDidDelete(({ fsPath }) => {
        if (!restless.test(fsPath)) this.refreshSoon();
      });
      changing.onDidChange(() => this.refreshSoon());
      return [coming, changing];
    });
    void this.refresh();
  }

  async #scanUntilQuiet(): Promise<Contents> {
    do {
      this.#again = false;
      try {
        await this.#scanOnce();
      } catch (cause) {
        this.services().log.error(cause as Error);
      }
    } while (this.#again && !this.#disposed);
    return this.#contents;
  }

  async #scanOnce(): Promise<void> {
    const { settings, log } = this.services();
    const started = performance.now();
    const found = await scan(this.#roots, {
      exclude: settings.exclude,
      maximumEntries: settings.maximumFiles,
    });
    const contents = await this.#describe(found);
    if (this.#disposed) return;
    // Trees that are told of nothing new would only flicker.
    const news = !this.ready || JSON.stringify(contents) !== JSON.stringify(this.#contents);
    this.#contents = contents;
    const milliseconds = Math.round(performance.now() - started);
    log.debug(
      `Scanned ${found.entries} entries in ${milliseconds} ms${found.cut ? ' (bound reached)' : ''}.`,
    );
    if (news) this.#changed.fire(contents);
  }

  async #describe(found: Found): Promise<Contents> {
    const runs = new Set(found.runs);
    const models = await inTurn(found.models, describeModel);
    const adapters = await inTurn(found.adapters, async (folder) => {
      const adapter = await describeAdapter(folder, runs);
      adapter.baseFolder = await findBase(adapter, models);
      if (adapter.fingerprint !== undefined && adapter.baseFolder !== undefined) {
        const actual = await this.#fingerprintOf(adapter.baseFolder);
        if (actual !== undefined) adapter.baseMatch = actual === adapter.fingerprint ? 'match' : 'mismatch';
      }
      return adapter;
    });
    return {
      adapters,
      models,
      datasets: await inTurn(found.datasets, describeDataset),
      recipes: found.recipes.map((file) => ({ kind: 'recipe', file, name: basename(file) })),
      runs: found.runs,
      cut: found.cut,
    };
  }

  async #fingerprintOf(folder: string): Promise<string | undefined> {
    if (!this.#fingerprints.has(folder)) {
      const { openCheckpoint, fingerprint } = await import('../engineParts');
      const value = await openCheckpoint(folder).then(
        ({ tensors }) => fingerprint(tensors),
        () => undefined,
      );
      this.#fingerprints.set(folder, value);
    }
    return this.#fingerprints.get(folder);
  }
}

/** Maps a list with a bounded number of calls under way. */
async function inTurn<T, U>(list: readonly T[], map: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = new Array(list.length);
  const queue = list.entries();
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: described }, work));
  return results;
}
