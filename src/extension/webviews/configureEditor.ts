// The form as an editor of a recipe's text: every change of the text is read and shown, every change in the form is an edit
// of the text, so that undo, the dirty mark and the diff are the editor's own.
import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import * as vscode from 'vscode';
import type { Checkpoint } from '../../engine/checkpoint/folder';
import type { Model } from '../../engine/models/architecture';
import type {
  ConfigureContract,
  ConfigureState,
  FormProblem,
  ModelFacts,
  Pick,
  RecipeEdit,
} from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';
import { startRecipe } from '../recipes/start';
import { reportOf } from '../report';
import type { Services } from '../services';
import { Forecaster } from './configureForecaster';
import { commonRequests } from './configureRequests';
import { type Channel, openChannel, pageHtml, webviewOptions } from './host';

export const configureViewType = 'loraWorkbench.configure';

interface LookedAt {
  model: Model;
  facts: ModelFacts;
}

export class ConfigureEditorProvider implements vscode.CustomTextEditorProvider {
  constructor(private readonly services: Services) {}

  resolveCustomTextEditor(document: vscode.TextDocument, panel: vscode.WebviewPanel): void {
    const editor = new ConfigureEditor(document, panel, this.services);
    panel.onDidDispose(() => editor.dispose());
  }
}

class ConfigureEditor implements vscode.Disposable {
  readonly #channel: Channel<ConfigureContract>;
  readonly #forecaster: Forecaster;
  readonly #subscriptions: vscode.Disposable[];
  readonly #models = new Map<string, Promise<LookedAt>>();
  /** Of the newest reading of the text. */
  #recipe: Recipe | null = null;
  #model: Model | undefined;
  #reading = 0;
  /** Edits are made one after the other. */
  #edits: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly document: vscode.TextDocument,
    panel: vscode.WebviewPanel,
    private readonly services: Services,
  ) {
    const { webview } = panel;
    webview.options = webviewOptions(services);
    this.#channel = openChannel<ConfigureContract>(webview, services, {
      ...commonRequests,
      edit: ({ edits }) => this.#edit(edits),
      preview: ({ edits }) => this.#preview(edits),
      toggle: (target) => this.#toggle(target),
      browse: ({ what }) => this.#browse(what),
      start: ({ anyway }) => this.#start(anyway),
      openAsText: ({ line }) => this.#openAsText(line),
      lens: () => this.#lens(),
      openRun: async ({ id }) => {
        await services.panels.open('run', { runs: [id] });
        return undefined;
      },
    });
    this.#forecaster = new Forecaster(
      services.context.extensionPath,
      {
        forecast: (forecast) => this.#channel.push('forecast', forecast),
        dataset: (facts) =>
          this.#channel.push(
            'dataset',
            facts !== null && 'error' in facts
              ? { ...facts, error: briefly(facts.error, this.#folder) }
              : facts,
          ),
      },
      services.devices,
      services.log,
    );
    const again = (): void => void this.#read();
    this.#subscriptions = [
      this.#channel,
      this.#forecaster,
      this.#channel.onReady(() => {
        this.#tellDevices();
        again();
      }),
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.document === document) again();
      }),
      vscode.workspace.onDidSaveTextDocument((saved) => {
        if (saved === document) again();
      }),
      vscode.workspace.onDidGrantWorkspaceTrust(again),
      services.devices.onDidChange(() => {
        this.#tellDevices();
        void this.#forecaster.availableChanged();
      }),
      panel.onDidChangeViewState(() => this.#watchDevices(panel.visible)),
      services.library.onDidChange(again),
      services.runs.onDidChange((run) => {
        if (run === undefined || this.#isOurs(run.folder)) again();
      }),
    ];
    this.#watchDevices(panel.visible);
    webview.html = pageHtml(webview, services, { bundle: 'configure', title: basename(document.fileName) });
  }

  dispose(): void {
    this.#watchDevices(false);
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #tellDevices(): void {
    this.#channel.push('devices', this.services.devices.cuda);
  }

  /** Devices are asked again and again only while somebody sees them. */
  #watchDevices(on: boolean): void {
    if (on) this.#watched ??= this.services.devices.watch();
    else {
      this.#watched?.dispose();
      this.#watched = undefined;
    }
  }
  #watched: { dispose(): void } | undefined;

  get #folder(): string {
    return dirname(this.document.fileName);
  }

  #isOurs(runFolder: string | undefined): boolean {
    return runFolder !== undefined && runFolder === this.#recipe?.output_dir;
  }

  /** Reads the text and tells the page. */
  async #read(): Promise<void> {
    const number = ++this.#reading;
    const changedAt = performance.now();
    try {
      const { readForm, coverageOf } = await import('../engineParts');
      const text = this.document.getText();
      const { form, recipe, model } = readForm(text, basename(this.document.fileName), this.#folder);
      let modelProblem: string | null = null;
      const problems: FormProblem[] = [...form.problems];
      const looked =
        model === null
          ? undefined
          : await this.#look(model).catch((cause: unknown) => {
              const { message, remedy } = reportOf(cause);
              modelProblem = briefly(message, this.#folder);
              problems.push({
                severity: 'error',
                key: 'model',
                line: null,
                message: modelProblem,
                remedy,
                fixes: [],
              });
              return undefined;
            });
      if (number !== this.#reading) return;
      this.#recipe = recipe;
      this.#model = looked?.model;
      // The forecast first: it is what a change is made for.
      if (recipe === null || looked === undefined) this.#forecaster.pause();
      else await this.#forecaster.update(recipe, looked.model, changedAt);
      if (number !== this.#reading) return;
      const covered = looked && recipe ? coverageOf(looked.model, recipe) : null;
      if (covered?.problem) problems.push(targetProblem(covered.problem, recipe!));
      this.#channel.push('state', {
        ...this.#surroundings(),
        form: { ...form, problems },
        model: looked?.facts ?? null,
        coverage: covered,
        modelProblem,
      });
    } catch (cause) {
      this.services.log.error(cause as Error);
    }
  }

  #surroundings(): Omit<ConfigureState, 'form' | 'model' | 'coverage' | 'modelProblem'> {
    const { library, runs } = this.services;
    const shown = (path: string): string => (relative(this.#folder, path) || '.').replaceAll('\\', '/');
    const pick = (path: string, label: string): Pick => ({
      path: shown(path),
      label,
      detail: vscode.workspace.asRelativePath(path),
    });
    const { models, datasets } = library.contents;
    const last = runs.all.find(({ folder }) => this.#isOurs(folder));
    return {
      file: vscode.workspace.asRelativePath(this.document.uri),
      name: basename(this.document.fileName).replace(/\.lora\.(ya?ml|json)$/i, ''),
      dirty: this.document.isDirty,
      trusted: vscode.workspace.isTrusted,
      models: models.map(({ folder, name }) => pick(folder, name)),
      datasets: datasets.map(({ file, name }) => pick(file, `${basename(dirname(file))}/${name}`)),
      running: runs.live[0]?.name ?? null,
      lastRun:
        last === undefined
          ? null
          : { id: last.id, name: last.name, state: last.state, evalLoss: last.evalLoss ?? null },
    };
  }

  /** A model's facts, looked at once: config and tensor headers. */
  #look(folder: string): Promise<LookedAt> {
    let looked = this.#models.get(folder);
    if (looked === undefined) {
      looked = lookAt(folder);
      this.#models.set(folder, looked);
      looked.catch(() => this.#models.delete(folder));
    }
    return looked;
  }

  async #edit(edits: readonly RecipeEdit[]): Promise<undefined> {
    const run = this.#edits.then(() => this.#editNow(edits));
    this.#edits = run.catch(() => undefined);
    await run;
    return undefined;
  }

  async #editNow(edits: readonly RecipeEdit[]): Promise<void> {
    const { editRecipe, settingOrder, smallestChange } = await import('../engineParts');
    const before = this.document.getText();
    const json = /\.json$/i.test(this.document.fileName);
    const after = editRecipe(before, json, edits, settingOrder());
    if (after === before) return;
    await this.#anticipate(after);
    const { start, end, text } = smallestChange(before, after);
    const range = new vscode.Range(this.document.positionAt(start), this.document.positionAt(end));
    const edit = new vscode.WorkspaceEdit();
    edit.replace(this.document.uri, range, text);
    if (!(await vscode.workspace.applyEdit(edit)))
      throw new Error(vscode.l10n.t('The recipe could not be changed; it may be read-only.'));
  }

  /** What is being typed: the forecast follows it, the text does not yet. */
  async #preview(edits: readonly RecipeEdit[]): Promise<undefined> {
    const { editRecipe, settingOrder } = await import('../engineParts');
    const json = /\.json$/i.test(this.document.fileName);
    await this.#anticipate(editRecipe(this.document.getText(), json, edits, settingOrder()));
    return undefined;
  }

  /** Forecasts a text before the editor holds it; one with mistakes changes nothing until it does. */
  async #anticipate(text: string): Promise<void> {
    const changedAt = performance.now();
    const { readForm } = await import('../engineParts');
    const { recipe } = readForm(text, basename(this.document.fileName), this.#folder);
    if (recipe === null || this.#model === undefined || recipe.model !== this.#recipe?.model) return;
    await this.#forecaster.update(recipe, this.#model, changedAt);
  }

  async #toggle(target: { row: string | null; layer: number | null; on: boolean }): Promise<undefined> {
    if (this.#recipe === null || this.#model === undefined) return undefined;
    const { toggleTargets } = await import('../engineParts');
    return this.#edit(toggleTargets(this.#model, this.#recipe, target));
  }

  async #browse(what: 'model' | 'dataset'): Promise<boolean> {
    const model = what === 'model';
    const chosen = await vscode.window.showOpenDialog({
      canSelectFolders: model,
      canSelectFiles: !model,
      defaultUri: vscode.Uri.file(this.#folder),
      ...(model ? {} : { filters: { [vscode.l10n.t('Data')]: ['jsonl', 'json', 'parquet', 'csv', 'txt'] } }),
      title: model ? vscode.l10n.t('Choose a model') : vscode.l10n.t('Choose a dataset'),
    });
    const path = chosen?.[0]?.fsPath;
    if (path === undefined) return false;
    await this.#edit([{ key: what, value: relative(this.#folder, path) || '.' }]);
    return true;
  }

  async #start(_anyway: boolean): Promise<undefined> {
    await this.#edits;
    await startRecipe(this.document.fileName, this.services);
    return undefined;
  }

  async #openAsText(line: number | null): Promise<undefined> {
    const at = new vscode.Position(Math.max(0, (line ?? 1) - 1), 0);
    await vscode.window.showTextDocument(this.document, {
      viewColumn: vscode.ViewColumn.Active,
      ...(line === null ? {} : { selection: new vscode.Range(at, at) }),
    });
    return undefined;
  }

  async #lens(): Promise<undefined> {
    const dataset = this.#recipe?.dataset[0]?.path;
    if (dataset !== undefined)
      await this.services.panels.open('lens', { dataset, recipe: this.document.fileName });
    return undefined;
  }
}

async function lookAt(folder: string): Promise<LookedAt> {
  const { openCheckpoint, modelFromConfig } = await import('../engineParts');
  const checkpoint = await openCheckpoint(folder);
  return {
    model: modelFromConfig(checkpoint.config),
    facts: { ...modelFacts(checkpoint), chatTemplate: await hasChatTemplate(checkpoint.folder) },
  };
}

function modelFacts({
  modelType,
  tensors,
  totalBytes,
  config,
}: Checkpoint): Omit<ModelFacts, 'chatTemplate'> {
  const dtypes = new Map<string, number>();
  let parameters = 0;
  for (const { dtype, shape } of tensors.values()) {
    const count = shape.reduce((product, size) => product * size, 1);
    parameters += count;
    dtypes.set(dtype, (dtypes.get(dtype) ?? 0) + count);
  }
  const most = [...dtypes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? '';
  const layers = config.num_hidden_layers ?? config.n_layer;
  return {
    modelType,
    parameters,
    layers: typeof layers === 'number' ? layers : 0,
    dtypes: most.toLowerCase(),
    bytes: totalBytes,
  };
}

async function hasChatTemplate(folder: string): Promise<boolean> {
  const exists = (name: string): Promise<boolean> =>
    stat(join(folder, name)).then(
      () => true,
      () => false,
    );
  if (await exists('chat_template.jinja')) return true;
  try {
    const bytes = await vscode.workspace.fs.readFile(vscode.Uri.file(join(folder, 'tokenizer_config.json')));
    return (
      bytes.byteLength < 8 * 2 ** 20 && /"chat_template"\s*:\s*["[]/.test(new TextDecoder().decode(bytes))
    );
  } catch {
    return false;
  }
}

/** Lines of a message that a form has room for. */
const mostLines = 5;

/** A message with its first places only, and paths as they are written beside the recipe. */
function briefly(message: string, folder: string): string {
  const lines = message.replaceAll(`${folder}${sep}`, '').split('\n');
  return lines.length <= mostLines
    ? lines.join('\n')
    : [...lines.slice(0, mostLines), vscode.l10n.t('  … and {0} more', lines.length - mostLines)].join('\n');
}

/** "`down_prj` matches no module. Did you mean `down_proj`?" with its button. */
function targetProblem(message: string, recipe: Recipe): FormProblem {
  const found = /^(\w+): `([^`]+)` .*Did you mean `([^`]+)`/.exec(message);
  const key = found?.[1] as keyof Recipe | undefined;
  const list = key === undefined ? undefined : recipe[key];
  const fixes = Array.isArray(list)
    ? [
        {
          label: vscode.l10n.t('Replace with {0}', found![3]!),
          edits: [
            { key: key!, value: (list as string[]).map((item) => (item === found![2] ? found![3]! : item)) },
          ],
        },
      ]
    : [];
  return {
    severity: fixes.length > 0 ? 'warning' : 'error',
    key: key ?? 'target_modules',
    line: null,
    message,
    remedy: null,
    fixes,
  };
}
