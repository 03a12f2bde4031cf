// The calls `openSession`, `say` and `closeSession`: a model that stays loaded, continued again and again with one adapter or
// another. A process holds one session at a time, and makes no other call that computes
// while it is open; opening another closes the first.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type {
  CloseSessionParams,
  EngineHost,
  OpenSessionParams,
  OpenSessionResult,
  SayParams,
  SayResult,
  TokenAlternative,
  WeightedAdapter,
} from '../../protocol/trainer';
import { configForAdapters } from '../adapters/baseConfig';
import { type LoadedAdapter, loadAdapter } from '../adapters/loaded';
import { type Checkpoint, openCheckpoint } from '../checkpoint/folder';
import { loadTokenizer, type Tokenizer } from '../data';
import { RunError } from '../errors';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { choosePrecision } from '../execution/precision';
import { Generator } from '../generate/generator';
import type { Precision } from '../graph/precision';
import type { Model } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import type { Runtime } from '../session';
import { changesBase } from '../train/fittedAdapter';
import { fittedAdapters, weighted } from './adapterChoices';
import { checkSampling, encodePrompt, promptContext } from './generate';

/** Most likely tokens that are told beside the one chosen. */
const alternatives = 5;
/** Adapters that are kept read; a person goes to and fro between a few. */
const keptAdapters = 12;

interface Session {
  id: number;
  runtime: Runtime;
  checkpoint: Checkpoint;
  /** Of the model that is loaded: the checkpoint's, or with the positions that its adapters need. */
  config: Checkpoint['config'];
  model: Model;
  tokenizer: Tokenizer;
  weights: BaseWeights;
  generator: Generator;
  /** By path and time of its weights. */
  adapters: Map<string, LoadedAdapter>;
  mounted: string;
  precision: Precision;
  /** The key of the adapter whose base stands in place of the checkpoint's (LoftQ). */
  baseOf: string | undefined;
}

let session: Session | undefined;
let nextId = 1;

/** Reads a model and keeps it. Raises UserError for whatever a person can mend. */
export async function openSession(params: OpenSessionParams, host: EngineHost): Promise<OpenSessionResult> {
  await release();
  const started = performance.now();
  host.emit({
    type: 'progress',
    phase: 'reading',
    message: 'Reading the model',
    fraction: null,
    time: new Date().toISOString(),
  });
  const checkpoint = await openCheckpoint(params.model);
  const model = modelFromConfig(checkpoint.config);
  const tokenizer = await loadTokenizer(checkpoint.folder);
  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision);
    session = {
      id: nextId++,
      runtime,
      checkpoint,
      config: checkpoint.config,
      model,
      tokenizer,
      weights,
      generator: new Generator({ runtime, model, weights }),
      adapters: new Map(),
      mounted: '',
      precision,
      baseOf: undefined,
    };
  } catch (cause) {
    await runtime.close();
    throw cause;
  }
  return {
    session: session.id,
    modelType: model.modelType,
    weightBytes: checkpoint.totalBytes,
    hasChatTemplate: tokenizer.chatTemplate !== null,
    positions: model.maxPositions,
    milliseconds: performance.now() - started,
  };
}

/** Continues one prompt with these adapters, added together; none for the base. */
export async function say(params: SayParams, host: EngineHost): Promise<SayResult> {
  checkSampling({ ...params, prompts: [params.prompt] });
  const open = sessionOf(params.session);
  const { tokenizer } = open;
  const prompt = encodePrompt(tokenizer, params.prompt, params.chat, params.turns);
  const strength = params.strength ?? 1;
  if (!(strength >= 0 && strength <= 10))
    throw new RunError({
      code: 'strength-out-of-range',
      message: `strength is ${strength}; expected a number from 0 to 10.`,
      remedy: 'Set it to 1 for the adapter as it is.',
    });
  const chosen = weighted(params.adapters).map(({ folder, weight }) => ({
    folder,
    weight: strength * weight,
  }));
  const swapMilliseconds = await mount(open, strength === 0 ? [] : chosen, host);
  const { generator } = open;

  const stream = tokenizer.stream();
  for (const id of prompt.slice(-promptContext)) stream.push(id);
  let text = '';
  let held: { probability: number; alternatives: TokenAlternative[] } | undefined;
  const write = (piece: string): void => {
    if (piece === '') return;
    text += piece;
    host.emit({ type: 'token', prompt: 0, text: piece, ...held });
    held = undefined;
  };
  let first: number | undefined;
  const [continuation] = await generator.generate(
    [prompt],
    {
      maxNewTokens: params.maxNewTokens,
      temperature: params.temperature,
      topP: params.topP,
      topK: params.topK,
      seed: params.seed,
      eosIds: tokenizer.eosIds,
      cancelled: () => host.cancelRequested || host.stopRequested,
    },
    (_, id, logits) => {
      first ??= performance.now();
      const seen = likelihood(logits, id, tokenizer);
      // Tokens within one character are told together, with the least likely of them.
      held = held !== undefined && held.probability < seen.probability ? held : seen;
      write(stream.push(id));
    },
  );
  const { ids, finishReason } = continuation!;
  if (ids.length > 0) write(stream.end());
  const ended = performance.now();
  return {
    prompt: params.prompt,
    text,
    tokens: ids.length,
    finishReason,
    promptTokens: prompt.length,
    swapMilliseconds,
    // The first token waits for the whole prompt and, where a length is new, for a graph.
    tokensPerSecond:
      first === undefined || ids.length < 2 ? null : ((ids.length - 1) * 1000) / (ended - first),
  };
}

/** Lets the model go. */
export async function closeSession(params: CloseSessionParams): Promise<null> {
  if (session?.id === params.session) await release();
  return null;
}

async function release(): Promise<void> {
  const before = session;
  session = undefined;
  before?.generator.release();
  await before?.runtime.close();
}

function sessionOf(id: number): Session {
  if (session?.id === id) return session;
  throw new RunError({
    code: 'session-closed',
    message: `The session ${id} is not open any more.`,
    remedy: 'Load the model again.',
  });
}

/** Puts adapters into place; returns the milliseconds that it took, 0 where they were there. */
async function mount(open: Session, chosen: readonly WeightedAdapter[], host: EngineHost): Promise<number> {
  const started = performance.now();
  const paths = chosen.map(({ folder }) => folder);
  const keys = paths.map(keyOf);
  const key = chosen.map(({ weight }, i) => `${weight}\n${keys[i]}`).join('\n');
  if (key === open.mounted) return 0;
  await refit(open, paths, keys);
  const adapters: LoadedAdapter[] = [];
  // Should this fail half-way, the next call puts everything in place anew.
  open.mounted = '\u0000';
  for (const [i, path] of paths.entries()) {
    const known = open.adapters.get(keys[i]!);
    const adapter = known ?? (await fitted(open, path, keys[i]!, paths.length === 1));
    if (known === undefined)
      for (const message of adapter.warnings)
        host.emit({ type: 'warning', message, time: new Date().toISOString() });
    open.adapters.delete(keys[i]!);
    open.adapters.set(keys[i]!, adapter);
    adapters.push(adapter);
  }
  for (const old of [...open.adapters.keys()].slice(0, -keptAdapters)) open.adapters.delete(old);
  await open.generator.setAdapters(
    adapters,
    chosen.map(({ weight }) => weight),
  );
  open.mounted = key;
  return performance.now() - started;
}

/** An adapter as it applies to the loaded base; LoftQ's puts its own base in place, for itself. */
async function fitted(open: Session, path: string, key: string, alone: boolean): Promise<LoadedAdapter> {
  const adapter = await loadAdapter(path, open.model, { acceptsBaseChange: true });
  if (changesBase(adapter) && alone) {
    restart(open, open.config);
    open.baseOf = key;
  }
  return (await fittedAdapters([adapter], { ...open, alone }))[0]!;
}

/** Reads the base's weights again; `config` is the model's. */
function restart(open: Session, config: Checkpoint['config']): void {
  const { runtime, checkpoint, precision } = open;
  open.generator.release();
  open.weights.release();
  const model = modelFromConfig(config);
  const weights = BaseWeights.of(runtime, checkpoint, model, precision);
  Object.assign(open, { config, model, weights, generator: new Generator({ runtime, model, weights }) });
  // Of an adapter with a base of its own nothing is kept: it belongs to weights that are gone.
  if (open.baseOf !== undefined) open.adapters.delete(open.baseOf);
  open.baseOf = undefined;
}

/** Builds the model anew where adapters need other positions than those it has; its weights stay loaded. */
async function refit(open: Session, paths: readonly string[], keys: readonly string[]): Promise<void> {
  const config = await configForAdapters(open.checkpoint.config, paths);
  if (open.baseOf !== undefined && (keys.length !== 1 || keys[0] !== open.baseOf)) restart(open, config);
  if (JSON.stringify(config) === JSON.stringify(open.config)) return;
  const { runtime, weights } = open;
  const model = modelFromConfig(config);
  open.generator.release();
  open.adapters.clear();
  Object.assign(open, { config, model, generator: new Generator({ runtime, model, weights }), mounted: '' });
}

function keyOf(path: string): string {
  const times = ['adapter_model.safetensors', 'adapter_config.json'].map(
    (name) => statSync(join(path, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return `${path}\t${times.join('\t')}`;
}

/** The model's own probability of a token, before temperature and cuts, and the most likely ones in its place. */
function likelihood(
  logits: Float32Array,
  id: number,
  tokenizer: Tokenizer,
): { probability: number; alternatives: TokenAlternative[] } {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  let total = 0;
  const best: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    total += Math.exp(logits[i]! - largest);
    if (best.length === alternatives && logits[i]! <= logits[best.at(-1)!]!) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]!]! < logits[i]!) at--;
    best.splice(at, 0, i);
    if (best.length > alternatives) best.pop();
  }
  const share = (i: number): number => Math.exp(logits[i]! - largest) / total;
  return {
    probability: share(id),
    alternatives: best.map((i) => ({
      text: tokenizer.decode([i], { skipSpecialTokens: false }),
      probability: share(i),
    })),
  };
}
