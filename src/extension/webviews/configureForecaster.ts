// Keeps the forecast and the dataset's facts of one form up to date: a quick forecast at once, the exact one from a thread,
// then what would make the run fit. It knows no document and no page.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type * as vscode from 'vscode';
import type { DeviceContext } from '../../engine/estimate/deviceContext';
import type { Forecast } from '../../engine/estimate/forecast';
import type { Model } from '../../engine/models/architecture';
import type {
  DatasetFacts,
  MemoryForecast,
  MemorySuggestion,
  RecipeEdit,
} from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';
import type { Devices } from '../devices';
import type { DataAnswer } from './configureData';
import type { Known } from './configureForecast';
import type { Answer, Question } from './configureWorker';

export interface ForecastListener {
  forecast(forecast: MemoryForecast | { error: string }): void;
  dataset(facts: DatasetFacts | { error: string; remedy: string | null } | null): void;
}

/** Larger files are tokenized only when training begins. */
export const mostDataBytes = 64 * 2 ** 20;
const dataQuietMs = 400;
const deepQuietMs = 150;

export class Forecaster implements vscode.Disposable {
  readonly #newest = new Int32Array(new SharedArrayBuffer(8));
  /** One for what comes soon, which waits for no exact forecast; one for all else. */
  readonly #workers: Partial<Record<'soon' | 'later', Worker>> = {};
  #known: Known | null = null;
  #recipe: Recipe | undefined;
  /** As it was given: with `device: auto` unsettled. */
  #given: { recipe: Recipe; model: Model } | undefined;
  /** Null where nothing tells. */
  #available: number | null = 0;
  /** In system memory; null where that is the device's. */
  #availableBeside: number | null = null;
  #context: DeviceContext | null = null;
  #asked = 0;
  #exactKey = '';
  /** Of the exact forecast that is being computed. */
  #askedKey = '';
  #last: Forecast | undefined;
  #dataKey = '';
  #data: DataAnswer | undefined;
  #dataTimer: NodeJS.Timeout | undefined;
  #deepTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly extensionPath: string,
    private readonly listener: ForecastListener,
    private readonly devices: Devices,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** The recipe changed. `changedAt` is when, by `performance.now()`. */
  async update(given: Recipe, model: Model, changedAt: number): Promise<void> {
    this.#recipe = given;
    this.#given = { recipe: given, model };
    this.#asked = changedAt;
    const { quickForecast, forecastKey } = await import('../engineParts');
    const recipe = given.device === 'auto' ? { ...given, device: await this.devices.auto() } : given;
    if (this.#recipe !== given) return;
    this.#recipe = recipe;
    const available = await this.devices.free(recipe.device);
    const beside = await this.devices.freeBeside(recipe.device);
    const context = await this.devices.context(recipe.device);
    if (this.#recipe !== recipe) return;
    const before = this.#available;
    this.#available = available;
    this.#availableBeside = beside;
    this.#context = context;
    const key = forecastKey(recipe);
    if (key === this.#exactKey && this.#last !== undefined) this.#retell(recipe, this.#last, before);
    else if (key !== this.#askedKey) {
      let quick: Forecast | null;
      try {
        quick = quickForecast(model, recipe, this.#known?.recipe.model === recipe.model ? this.#known : null);
        if (quick !== null) this.#tell(quick, false, null);
      } catch (cause) {
        this.#forget();
        this.listener.forecast({ error: (cause as Error).message });
        return;
      }
      this.#forget();
      const question: Question = { kind: 'deep', id: this.#next(0), recipe };
      // The quick figure reaches the screen first: a thread that plans would take the core that draws it.
      clearTimeout(this.#deepTimer);
      this.#deepTimer = setTimeout(() => this.#ask(question), quick === null ? 0 : deepQuietMs);
      this.#askedKey = key;
    }
    void this.#updateData(recipe);
  }

  /** There is no valid recipe: nothing to compute. */
  pause(): void {
    this.#next(0);
    this.#next(1);
    clearTimeout(this.#deepTimer);
    clearTimeout(this.#dataTimer);
    this.#dataKey = '';
    this.#forget();
  }

  #forget(): void {
    this.#exactKey = '';
    this.#askedKey = '';
  }

  dispose(): void {
    clearTimeout(this.#deepTimer);
    clearTimeout(this.#dataTimer);
    for (const worker of Object.values(this.#workers)) void worker.terminate();
  }

  async #updateData(recipe: Recipe): Promise<void> {
    const key = JSON.stringify([
      [recipe.model, recipe.dataset, recipe.eval_dataset, recipe.val_size, recipe.max_length],
      [recipe.truncation, recipe.train_on, recipe.text_split, recipe.data_seed],
    ]);
    if (key === this.#dataKey) {
      if (this.#data !== undefined) void this.#tellData(this.#data);
      return;
    }
    this.#dataKey = key;
    this.#data = undefined;
    const id = this.#next(1);
    clearTimeout(this.#dataTimer);
    if ((await dataBytes(recipe)) > mostDataBytes || recipe.chat_template !== null) {
      this.listener.dataset(null);
      return;
    }
    if (key !== this.#dataKey) return;
    this.#dataTimer = setTimeout(() => this.#ask({ kind: 'data', id, recipe }), dataQuietMs);
  }

  /** A number for the next question of a kind; older ones are void. */
  #next(kind: 0 | 1): number {
    return Atomics.add(this.#newest, kind, 1) + 1;
  }

  #ask(question: Question): void {
    const which = question.kind === 'deep' ? 'soon' : 'later';
    let worker = this.#workers[which];
    if (worker === undefined) {
      worker = new Worker(join(this.extensionPath, 'dist', 'configureWorker.js'), {
        workerData: { newest: this.#newest, later: which === 'later' },
      });
      worker.on('message', (answer: Answer) => this.#hear(answer));
      worker.on('error', (error) => {
        this.log.error(error);
        delete this.#workers[which];
        this.#forget();
      });
      worker.unref();
      this.#workers[which] = worker;
    }
    worker.postMessage(question);
  }

  #hear(answer: Answer): void {
    const recipe = this.#recipe;
    if (recipe === undefined || answer.id !== Atomics.load(this.#newest, isData(answer) ? 1 : 0)) return;
    switch (answer.kind) {
      case 'failed':
        this.#askedKey = '';
        if (answer.about === 'data') {
          // Asked again with the next reading: what was missing may be there then.
          this.#dataKey = '';
          this.listener.dataset({ error: answer.message, remedy: answer.remedy });
        } else this.listener.forecast({ error: answer.message });
        return;
      case 'data':
        this.#data = answer.facts;
        void this.#tellData(answer.facts);
        return;
      case 'suggest':
        if (this.#last !== undefined)
          this.#tell(
            this.#last,
            true,
            answer.suggestions.flatMap((one) => suggestion(one, this.#context?.bytes ?? 0) ?? []),
          );
        return;
      case 'deep':
        if (answer.forecast !== null) this.#tell(answer.forecast, false, null);
        this.#ask({ kind: 'forecast', id: answer.id, recipe });
        return;
      case 'forecast':
        this.#known = { recipe, forecast: answer.forecast };
        this.#last = answer.forecast;
        this.#exactKey = this.#askedKey;
        this.#askedKey = '';
        this.#tell(answer.forecast, true, null);
        this.#askSuggestions(recipe, answer.forecast, answer.id);
    }
  }

  /** The free memory may be another: a forecast that is known is told again. */
  async availableChanged(): Promise<void> {
    const recipe = this.#recipe;
    const forecast = this.#last;
    if (recipe === undefined || forecast === undefined) return;
    const given = this.#given;
    if (given?.recipe.device === 'auto' && (await this.devices.auto()) !== recipe.device) {
      if (this.#recipe === recipe) await this.update(given.recipe, given.model, performance.now());
      return;
    }
    if (this.#recipe !== recipe || !recipe.device.startsWith('cuda')) return;
    const available = await this.devices.free(recipe.device);
    if (this.#recipe !== recipe || this.#last !== forecast || this.#exactKey === '') return;
    const before = this.#available;
    if (available === before) return;
    this.#available = available;
    this.#asked = performance.now();
    this.#retell(recipe, forecast, before);
  }

  /** The same exact forecast, against what is free now; what would make it fit is looked for where it fitted before. */
  #retell(recipe: Recipe, forecast: Forecast, before: number | null): void {
    const over = this.#fits(forecast, before) && !this.#fits(forecast, this.#available);
    this.#tell(forecast, true, over ? null : undefined);
    if (over) this.#askSuggestions(recipe, forecast, this.#next(0));
  }

  #askSuggestions(recipe: Recipe, forecast: Forecast, id: number): void {
    const room = this.#available === null ? null : this.#available - (this.#context?.bytes ?? 0);
    if (room !== null && !this.#fits(forecast, this.#available))
      this.#ask({ kind: 'suggest', id, recipe, availableBytes: room });
  }

  /** On the device. Where nothing is told of its memory, nothing is said against the run. */
  #fits({ deviceBytes }: Forecast, available: number | null): boolean {
    return available === null || deviceBytes + (this.#context?.bytes ?? 0) <= available;
  }

  #suggestions: readonly MemorySuggestion[] | null = null;

  /** `suggestions` undefined keeps those that were found for the same recipe. */
  #tell(forecast: Forecast, exact: boolean, suggestions: MemorySuggestion[] | null | undefined): void {
    if (suggestions !== undefined) this.#suggestions = suggestions;
    const { trainableParameters, hostBytes } = forecast;
    const parts = onDevice(forecast);
    const own = this.#context?.bytes ?? 0;
    this.listener.forecast({
      exact,
      parts: { ...parts, workspace: parts.workspace + own },
      totalBytes: forecast.deviceBytes + own,
      hostBytes,
      availableBytes: this.#available,
      availableHostBytes: this.#availableBeside,
      context: this.#context,
      device: this.#recipe?.device ?? 'cpu',
      trainableParameters,
      suggestions: this.#suggestions,
      tookMs: performance.now() - this.#asked,
    });
  }

  async #tellData(data: DataAnswer): Promise<void> {
    const { describeData } = await import('../engineParts');
    if (this.#recipe !== undefined) this.listener.dataset(describeData(data, this.#recipe));
  }
}

/** The parts without what lies in system memory beside the device's. */
function onDevice({ parts, host }: Forecast): Forecast['parts'] {
  const own = { ...parts };
  for (const part of Object.keys(own) as (keyof typeof own)[]) own[part] -= host[part] ?? 0;
  return own;
}

async function dataBytes(recipe: Recipe): Promise<number> {
  const files = [...recipe.dataset, ...recipe.eval_dataset];
  const sizes = await Promise.all(
    files.map(({ path }) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function isData(answer: Answer): boolean {
  return answer.kind === 'data' || (answer.kind === 'failed' && answer.about === 'data');
}

/** `key: value, key: value` as the engine writes a change → edits. @param beside what no change alters. */
function suggestion(
  one: { change: string; totalBytes: number },
  beside: number,
): MemorySuggestion | undefined {
  const edits = [...one.change.matchAll(/(\w+): (\[[^\]]*\]|[^,]+)/g)].map(([, key, text]): RecipeEdit => {
    const list = /^\[(.*)\]$/.exec(text!);
    if (list !== null) return { key: key!, value: list[1]!.split(', ') };
    const number = Number(text);
    return { key: key!, value: Number.isFinite(number) ? number : text! };
  });
  const same = edits.every(({ key }) =>
    /^(gradient_checkpointing|per_device_\w+|gradient_accumulation_steps)$/.test(key),
  );
  return edits.length === 0 ? undefined : { edits, totalBytes: one.totalBytes + beside, sameResult: same };
}
