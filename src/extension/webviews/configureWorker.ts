// The thread behind the form of a recipe: exact forecasts, what would make a run fit, and what the dataset looks like as
// tokens. A newer question ends the older one: the host counts its questions in shared memory, for this thread hears
// nothing while it computes.
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { openCheckpoint } from '../../engine/checkpoint/folder';
import { loadTokenizer, prepareData } from '../../engine/data';
import { dataOptions } from '../../engine/data/recipeOptions';
import { UserError } from '../../engine/errors';
import { deepForecast } from '../../engine/estimate/deepModels';
import { type Forecast, forecast } from '../../engine/estimate/forecast';
import { suggest } from '../../engine/estimate/suggestions';
import type { Model } from '../../engine/models/architecture';
import { type ModelOfRecipe, modelOfRecipe } from '../../engine/models/stretchedPositions';
import type { Recipe } from '../../protocol/recipe';
import { type DataAnswer, datasetFacts } from './configureData';
import { forecastKey } from './configureForecast';

export type Question =
  | { kind: 'deep' | 'forecast'; id: number; recipe: Recipe }
  | { kind: 'suggest'; id: number; recipe: Recipe; availableBytes: number }
  | { kind: 'data'; id: number; recipe: Recipe };

export type Answer =
  | { kind: 'forecast'; id: number; forecast: Forecast }
  /** Nearly exact and soon there; null where the exact one is as soon there. */
  | { kind: 'deep'; id: number; forecast: Forecast | null }
  | { kind: 'suggest'; id: number; suggestions: { change: string; totalBytes: number }[] }
  | { kind: 'data'; id: number; facts: DataAnswer }
  | { kind: 'failed'; about: Question['kind']; id: number; message: string; remedy: string | null };

const { newest, later } = workerData as {
  /** Newest question's number: [forecast and suggest, data]. */
  newest: Int32Array;
  /** Whether nobody waits at once for what this thread computes. */
  later: boolean;
};
// Planning a large model takes seconds of a core, and the thread that answers the form must not wait for one. On Linux the
// priority is the thread's own; elsewhere it would be the whole process's.
if (later && process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

class Outdated extends Error {}

const models = new Map<string, Promise<ModelOfRecipe>>();
const forecasts = new Map<string, Forecast>();
const rememberedForecasts = 200;

function modelOf(recipe: Recipe): Promise<ModelOfRecipe> {
  // Stretched positions make another model of the same folder.
  const key = JSON.stringify([recipe.model, recipe.rope_scaling, recipe.max_length]);
  let model = models.get(key);
  if (model === undefined) {
    model = openCheckpoint(recipe.model).then(({ config }) => modelOfRecipe(config, recipe));
    models.set(key, model);
    // A folder that was not ready may be later.
    model.catch(() => models.delete(key));
  }
  return model;
}

function exact(model: Model, recipe: Recipe): Forecast {
  const key = forecastKey(recipe);
  const known = forecasts.get(key);
  if (known !== undefined) return known;
  const made = forecast(model, recipe);
  if (forecasts.size >= rememberedForecasts) forecasts.clear();
  forecasts.set(key, made);
  return made;
}

async function answer(question: Question): Promise<Answer> {
  const { id, kind, recipe } = question;
  const stale = (): boolean => Atomics.load(newest, kind === 'data' ? 1 : 0) !== id;
  if (stale()) throw new Outdated();
  if (question.kind === 'data') {
    const { folder, config } = await openCheckpoint(recipe.model);
    const { model } = modelOfRecipe(config, recipe);
    const tokenizer = await loadTokenizer(folder);
    const stop = new AbortController();
    const data = await prepareData({
      ...dataOptions(recipe, model, tokenizer),
      signal: stop.signal,
      onProgress: () => {
        if (stale()) stop.abort();
      },
    });
    return { kind: 'data', id, facts: datasetFacts(data) };
  }
  const { model, config } = await modelOf(recipe);
  if (question.kind === 'deep')
    return { kind: 'deep', id, forecast: deepForecast(config, model, recipe) ?? null };
  const need = (changed: Recipe): number => {
    if (stale()) throw new Outdated();
    return exact(model, changed).deviceBytes;
  };
  if (question.kind === 'forecast') {
    need(recipe);
    return { kind: 'forecast', id, forecast: exact(model, recipe) };
  }
  if (question.kind !== 'suggest') throw new Error(`There is no question ${kind}.`);
  const { availableBytes } = question;
  const suggestions = suggest(model, recipe, need(recipe), availableBytes, need);
  return { kind: 'suggest', id, suggestions };
}

parentPort!.on('message', (question: Question) => {
  answer(question).then(
    (result) => parentPort!.postMessage(result),
    (cause: unknown) => {
      if (cause instanceof Outdated || (cause as Error).name === 'AbortError') return;
      parentPort!.postMessage({
        kind: 'failed',
        about: question.kind,
        id: question.id,
        message: (cause as Error).message,
        remedy: cause instanceof UserError ? cause.remedy : null,
      } satisfies Answer);
    },
  );
});
