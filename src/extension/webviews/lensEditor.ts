// The read-only editor of a dataset: finds the recipes and models it may be seen with, starts the thread that reads it, hands
// rows and problems to the page and problems to the Problems view, writes remedies into the recipe.
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import * as vscode from 'vscode';
import type {
  LensContract,
  LensProgress,
  LensRow,
  LensSettings,
  LensState,
  Remedy,
} from '../../protocol/panels/lens';
import type { Recipe } from '../../protocol/recipe';
import type { Services } from '../services';
import { type Channel, openChannel, pageHtml, webviewOptions } from './host';
import type { LensTask, ReaderNews } from './lensReader';
import { writeToRecipe } from './lensRecipe';
import { LensThread } from './lensThread';

const { l10n } = vscode;

/** Recipes that are looked into for one that names the file. */
const recipesLookedAt = 60;
const maximumTemplateBytes = 1024 * 1024;
const severities = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  info: vscode.DiagnosticSeverity.Information,
} as const;
const defaults: LensSettings = {
  model: null,
  template: null,
  templateName: '',
  train_on: 'completions',
  max_length: 1024,
  truncation: 'right',
};

/** Which recipe a file is to be seen with, told by whoever opens it. */
export const wantedRecipes = new Map<string, string>();

export function lensEditor(viewType: string, services: Services): vscode.Disposable {
  const diagnostics = vscode.languages.createDiagnosticCollection('lora-workbench-data');
  const editor = vscode.window.registerCustomEditorProvider(
    viewType,
    {
      openCustomDocument: (uri: vscode.Uri): vscode.CustomDocument => ({ uri, dispose() {} }),
      resolveCustomEditor(document: vscode.CustomDocument, panel: vscode.WebviewPanel): void {
        const view = new LensView(document.uri, panel, services, diagnostics);
        panel.onDidDispose(() => view.dispose());
      },
    },
    { webviewOptions: { retainContextWhenHidden: true } },
  );
  return vscode.Disposable.from(diagnostics, editor);
}

interface Found {
  path: string;
  recipe: Recipe;
}

class LensView implements vscode.Disposable {
  readonly #channel: Channel<LensContract>;
  readonly #thread: LensThread;
  readonly #subscriptions: vscode.Disposable[];
  readonly #file: string;
  #settings: LensSettings = { ...defaults };
  #recipes: Found[] = [];
  #recipe: string | null = null;
  /** Once a person chose a setting here, recipes no longer change it. */
  #chosen: Partial<LensSettings> = {};
  #progress: LensProgress | undefined;
  #failed: LensContract['pushes']['failed'] | undefined;
  #looked = false;

  constructor(
    private readonly uri: vscode.Uri,
    panel: vscode.WebviewPanel,
    private readonly services: Services,
    private readonly diagnostics: vscode.DiagnosticCollection,
  ) {
    this.#file = uri.fsPath;
    const { webview } = panel;
    webview.options = webviewOptions(services);
    this.#channel = openChannel<LensContract>(webview, services, {
      rows: ({ from, count }) =>
        this.#thread.ask<LensRow[]>({ method: 'rows', from: Math.max(0, from), count: Math.min(50, count) }),
      problemRow: ({ from, back, id }) =>
        this.#thread.ask<number | null>({ method: 'problemRow', from, back, problem: id }),
      set: async (change) => {
        this.#chosen = { ...this.#chosen, ...change };
        this.#settings = { ...this.#settings, ...change };
        await this.#apply();
        return undefined;
      },
      chooseTemplate: async () => {
        await this.#chooseTemplate();
        return undefined;
      },
      setRecipe: async ({ path }) => {
        this.#chosen = {};
        this.#useRecipe(path);
        await this.#apply();
        return undefined;
      },
      remedy: (remedy) => this.#remedy(remedy),
      openRow: async ({ line }) => {
        const at = new vscode.Position(Math.max(0, (line ?? 1) - 1), 0);
        await vscode.window.showTextDocument(this.uri, {
          preview: true,
          selection: new vscode.Range(at, at),
        });
        return undefined;
      },
      command: async ({ command }) => {
        if (command !== 'newFineTune') throw new Error(`The page may not run ${command}.`);
        await vscode.commands.executeCommand('loraWorkbench.newFineTune', this.uri);
        return undefined;
      },
    });
    webview.html = pageHtml(webview, services, { bundle: 'lens', title: basename(this.#file) });
    // The thread begins with the model that will most likely be meant; recipes are looked into meanwhile.
    this.#useRecipe(null);
    this.#thread = new LensThread(
      this.#task(),
      (news) => this.#take(news),
      (error) => services.log.error(error),
    );
    const watcher = vscode.workspace.createFileSystemWatcher(
      new vscode.RelativePattern(vscode.Uri.file(dirname(this.#file)), basename(this.#file)),
    );
    this.#subscriptions = [
      this.#channel,
      watcher,
      watcher.onDidChange(() => void this.#reread()),
      services.library.onDidChange(() => void this.#lookAround()),
      vscode.workspace.onDidSaveTextDocument(({ uri: saved }) => {
        if (saved.fsPath === this.#recipe) void this.#lookAround();
      }),
      this.#channel.onReady(() => this.#retell()),
    ];
    if (services.library.ready) void this.#lookAround();
    this.#pushState();
  }

  dispose(): void {
    this.#thread.end();
    this.diagnostics.delete(this.uri);
    for (const item of this.#subscriptions) item.dispose();
  }

  /** The file's half of the recipe's data, and the other half. */
  #task(): LensTask {
    const recipe = this.#recipes.find(({ path }) => path === this.#recipe)?.recipe;
    const inEval = recipe?.eval_dataset.find(({ path }) => path === this.#file);
    const own = inEval ?? recipe?.dataset.find(({ path }) => path === this.#file);
    const others = (inEval === undefined ? recipe?.eval_dataset : recipe?.dataset) ?? [];
    return {
      file: this.#file,
      columns: own?.columns ?? {},
      text_split: recipe?.text_split ?? 'window',
      settings: this.#settings,
      others: others.map(({ path, columns }) => ({ path, columns })),
    };
  }

  async #apply(): Promise<void> {
    this.#failed = undefined;
    this.#pushState();
    await this.#thread.ask({ method: 'set', task: this.#task() });
  }

  async #reread(): Promise<void> {
    this.#failed = undefined;
    await this.#thread.ask({ method: 'reload' });
  }

  /** Recipes and models of the workspace, once they are known and when they change. */
  async #lookAround(): Promise<void> {
    const { contents } = this.services.library;
    const { loadRecipe, catalogue } = await import('../engineParts');
    const found: Found[] = [];
    for (const { file } of contents.recipes.slice(0, recipesLookedAt)) {
      try {
        // A recipe that does not even hold the file's name needs no reading.
        if (!(await readFile(file, 'utf8')).includes(basename(this.#file))) continue;
        const { recipe } = loadRecipe(file, catalogue);
        if ([...recipe.dataset, ...recipe.eval_dataset].some(({ path }) => resolve(path) === this.#file))
          found.push({ path: file, recipe });
      } catch {
        // A broken recipe has its own diagnostics.
      }
    }
    const first = !this.#looked;
    this.#looked = true;
    const before = JSON.stringify(this.#task());
    this.#recipes = found;
    const wanted = wantedRecipes.get(this.#file) ?? this.#recipe;
    const known = found.find(({ path }) => path === wanted) ?? (first ? found[0] : undefined);
    this.#useRecipe(known?.path ?? null);
    if (JSON.stringify(this.#task()) !== before) await this.#apply();
    else {
      this.#pushState();
      // Only now it is known that there is no model.
      if (first && this.#settings.model === null) await this.#apply();
    }
  }

  #useRecipe(path: string | null): void {
    this.#recipe = path;
    const recipe = this.#recipes.find((found) => found.path === path)?.recipe;
    const { models } = this.services.library.contents;
    // One without a tokenizer shows nothing.
    const model = models.find(({ problems }) => problems.length === 0) ?? models[0];
    const settings: LensSettings =
      recipe === undefined
        ? { ...defaults, model: model?.folder ?? null }
        : {
            model: recipe.model,
            template: recipe.chat_template,
            templateName: recipe.chat_template === null ? '' : l10n.t("the recipe's"),
            train_on: recipe.train_on === 'assistant' ? 'completions' : recipe.train_on,
            max_length: recipe.max_length,
            truncation: recipe.truncation,
          };
    this.#settings = { ...settings, ...this.#chosen };
  }

  #take(news: ReaderNews): void {
    if (news.type === 'progress') {
      this.#progress = news.progress;
      this.#channel.push('progress', news.progress);
      if (news.progress.done || news.progress.scanned % 2000 < 200) this.#showDiagnostics(news.progress);
    } else if (news.type === 'stale') {
      this.#failed = undefined;
      this.#channel.push('stale', {});
    } else if (news.error.code !== 'lens-no-model' || this.#looked) {
      this.#failed = news.error;
      this.#channel.push('failed', news.error);
    }
  }

  #retell(): void {
    this.#pushState();
    if (this.#progress !== undefined) this.#channel.push('progress', this.#progress);
    this.#channel.push('stale', {});
    if (this.#failed !== undefined) this.#channel.push('failed', this.#failed);
  }

  #pushState(): void {
    const { models } = this.services.library.contents;
    const choices = models.map(({ folder, name }) => ({ path: folder, name }));
    const { model } = this.#settings;
    if (model !== null && !choices.some(({ path }) => path === model))
      choices.unshift({ path: model, name: basename(model) });
    const state: LensState = {
      file: this.#file,
      name: vscode.workspace.asRelativePath(this.uri),
      settings: this.#settings,
      models: choices,
      recipes: this.#recipes.map(({ path }) => ({ path, name: basename(path) })),
      recipe: this.#recipe,
      first: 0,
    };
    this.#channel.push('state', state);
  }

  async #chooseTemplate(): Promise<void> {
    const [chosen] =
      (await vscode.window.showOpenDialog({
        title: l10n.t('A chat template'),
        filters: { [l10n.t('Jinja templates')]: ['jinja', 'jinja2', 'j2', 'txt'] },
      })) ?? [];
    if (chosen === undefined) {
      this.#pushState();
      return;
    }
    const bytes = await vscode.workspace.fs.readFile(chosen);
    if (bytes.length > maximumTemplateBytes)
      throw new Error(l10n.t('{0} has {1} bytes, which is no template.', chosen.fsPath, bytes.length));
    const template = { template: new TextDecoder().decode(bytes), templateName: basename(chosen.fsPath) };
    this.#chosen = { ...this.#chosen, ...template };
    this.#settings = { ...this.#settings, ...template };
    await this.#apply();
  }

  async #remedy({ edits }: Remedy): Promise<{ written: string | null }> {
    const recipe = this.#recipe;
    if (recipe !== null) await writeToRecipe(recipe, edits);
    const here: Partial<LensSettings> = {};
    if (typeof edits.max_length === 'number') here.max_length = edits.max_length;
    if (typeof edits.truncation === 'string')
      here.truncation = edits.truncation as LensSettings['truncation'];
    if (typeof edits.train_on === 'string') here.train_on = edits.train_on as LensSettings['train_on'];
    if ('chat_template' in edits) Object.assign(here, { template: null, templateName: '' });
    this.#chosen = { ...this.#chosen, ...here };
    this.#settings = { ...this.#settings, ...here };
    await this.#apply();
    return { written: recipe === null ? null : basename(recipe) };
  }

  #showDiagnostics({ problems }: LensProgress): void {
    const list: vscode.Diagnostic[] = [];
    for (const problem of problems) {
      for (const { line, message } of problem.rows) {
        if (line === null) continue;
        const range = new vscode.Range(line - 1, 0, line - 1, Number.MAX_SAFE_INTEGER);
        const diagnostic = new vscode.Diagnostic(range, message, severities[problem.severity]);
        diagnostic.source = 'LoRA Workbench';
        diagnostic.code = problem.id;
        list.push(diagnostic);
      }
    }
    this.diagnostics.set(this.uri, list);
  }
}
