// The call `generate`: prompts as text in, their continuations as text out, piece by piece while they are written. Opens
// everything it needs and closes it again.
import type { Problem } from '../../protocol/errors';
import type {
  ChatTurn,
  Completion,
  EngineHost,
  GenerateParams,
  GenerateResult,
  SamplingParams,
} from '../../protocol/trainer';
import { modelForAdapters } from '../adapters/baseConfig';
import { loadAdapter } from '../adapters/loaded';
import { openCheckpoint } from '../checkpoint/folder';
import { encodeConversation, loadTokenizer, type Tokenizer } from '../data';
import { AdapterError, DataError, RecipeError, raiseProblems, UserError } from '../errors';
import { calledQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { choosePrecision } from '../execution/precision';
import { Generator } from '../generate/generator';
import { fittedAdapter } from '../train/fittedAdapter';

/** Ids of a prompt that a continuation's first token is read after: whether it starts a word shows only there. */
export const promptContext = 8;

/** Continues every prompt. Raises UserError for whatever a person can mend. */
export async function generate(params: GenerateParams, host: EngineHost): Promise<GenerateResult> {
  checkSampling(params);
  const time = (): string => new Date().toISOString();
  host.emit({
    type: 'progress',
    phase: 'reading',
    message: 'Reading the model',
    fraction: null,
    time: time(),
  });
  const checkpoint = await openCheckpoint(params.model);
  const model = await modelForAdapters(checkpoint.config, params.adapters);
  const tokenizer = await loadTokenizer(checkpoint.folder);
  const prompts = params.prompts.map((prompt) => encodePrompt(tokenizer, prompt, params.chat));
  const adapters = [];
  for (const path of params.adapters)
    adapters.push(await loadAdapter(path, model, { acceptsBaseChange: true }));
  for (const message of new Set(adapters.flatMap(({ warnings }) => warnings)))
    host.emit({ type: 'warning', message, time: time() });

  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision, calledQuantization(params));
    const fitted = [];
    for (const adapter of adapters) {
      const { adapter: fit, baseChanged } = await fittedAdapter(adapter, { runtime, model, weights });
      if (baseChanged && adapters.length > 1) throw needsOwnBase(adapter.folder);
      fitted.push(fit);
    }
    const generator = new Generator({ runtime, model, weights });
    await generator.setAdapters(fitted);
    const streams = prompts.map((ids) => {
      const stream = tokenizer.stream();
      for (const id of ids.slice(-promptContext)) stream.push(id);
      return stream;
    });
    const texts = prompts.map(() => '');
    const write = (prompt: number, text: string): void => {
      if (text === '') return;
      texts[prompt] += text;
      host.emit({ type: 'token', prompt, text });
    };
    const continuations = await generator.generate(
      prompts,
      {
        maxNewTokens: params.maxNewTokens,
        temperature: params.temperature,
        topP: params.topP,
        topK: params.topK,
        seed: params.seed,
        eosIds: tokenizer.eosIds,
        cancelled: () => host.cancelRequested || host.stopRequested,
      },
      (prompt, id) => write(prompt, streams[prompt]!.push(id)),
    );
    const completions = continuations.map(({ ids, finishReason }, i): Completion => {
      if (ids.length > 0) write(i, streams[i]!.end());
      return { prompt: params.prompts[i]!, text: texts[i]!, tokens: ids.length, finishReason };
    });
    return { completions };
  } finally {
    await runtime.close();
  }
}

/** Ids of a prompt; an empty one starts where texts start. */
export function encodePrompt(
  tokenizer: Tokenizer,
  prompt: string,
  chat: boolean,
  turns: readonly ChatTurn[] = [],
): number[] {
  if (!chat) {
    const ids = tokenizer.encode(prompt);
    const start = tokenizer.bosId ?? tokenizer.eosId;
    return ids.length === 0 && start !== null ? [start] : ids;
  }
  try {
    return encodeConversation(tokenizer, [
      ...turns.map(({ role, content }) => ({ role, content })),
      { role: 'user', content: prompt },
    ]);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new DataError({
      code: 'chat-template-failed',
      message: `The chat template of ${tokenizer.folder} cannot render the prompt (${(error as Error).message}).`,
      remedy: 'Leave --chat out, or give the model a chat template that takes a single user turn.',
      cause: error,
    });
  }
}

/** Raises one RecipeError with every setting that is out of its range. */
export function checkSampling(params: SamplingParams & { prompts: readonly string[] }): void {
  const problems: Problem[] = [];
  const check = (ok: boolean, where: string, value: unknown, expected: string): void => {
    if (!ok)
      problems.push({
        where,
        message: `is ${value}; expected ${expected}`,
        remedy: `Set it to ${expected}.`,
      });
  };
  const { maxNewTokens, temperature, topP, topK, seed } = params;
  check(params.prompts.length > 0, 'prompts', 'empty', 'at least one prompt');
  check(Number.isSafeInteger(maxNewTokens) && maxNewTokens > 0, 'maxNewTokens', maxNewTokens, '1 or more');
  check(Number.isFinite(temperature) && temperature >= 0, 'temperature', temperature, '0 or more');
  check(topP > 0 && topP <= 1, 'topP', topP, 'a number above 0, at most 1');
  check(Number.isSafeInteger(topK) && topK >= 0, 'topK', topK, '0 or more');
  check(Number.isSafeInteger(seed) && seed >= 0, 'seed', seed, 'a whole number from 0');
  raiseProblems(
    RecipeError,
    'generation-settings-invalid',
    'These settings cannot be used to generate:',
    problems,
  );
}

function needsOwnBase(folder: string): AdapterError {
  return new AdapterError({
    code: 'adapters-conflict',
    message: `${folder} belongs to the 4-bit values of the base (LoftQ), to which no other adapter can be added.`,
    remedy: 'Give this adapter alone.',
  });
}
