// The call `generate`: prompts as text in, their continuations as text out, piece by piece while they are written. Prompts may
// name adapters of their own. Opens everything it needs and closes it again.
import type { Problem } from '../../protocol/errors';
import type {
  ChatTurn,
  Completion,
  EngineHost,
  GenerateParams,
  GenerateResult,
  SamplingParams,
} from '../../protocol/trainer';
import { configForAdapters } from '../adapters/baseConfig';
import { loadAdapter } from '../adapters/loaded';
import { openCheckpoint } from '../checkpoint/folder';
import { encodeConversation, loadTokenizer, type Tokenizer } from '../data';
import { AdapterError, DataError, RecipeError, raiseProblems, UserError } from '../errors';
import { calledQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { choosePrecision } from '../execution/precision';
import { Generator } from '../generate/generator';
import { generateRequests } from '../generate/requests';
import { modelFromConfig } from '../models/registry';
import { fittedAdapters, weighted } from './adapterChoices';

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
  const usual = weighted(params.adapters);
  const requests = params.prompts.map((choice) =>
    typeof choice === 'string'
      ? { prompt: choice, adapters: usual, own: false }
      : { prompt: choice.prompt, adapters: weighted(choice.adapters), own: true },
  );
  const folders = [...new Set(requests.flatMap((request) => request.adapters.map(({ folder }) => folder)))];
  const config = await configForAdapters(checkpoint.config, folders);
  if (config !== checkpoint.config && requests.some(({ adapters }) => adapters.length === 0))
    throw otherPositions(folders);
  const model = modelFromConfig(config);
  const tokenizer = await loadTokenizer(checkpoint.folder);
  const prompts = requests.map(({ prompt }) => encodePrompt(tokenizer, prompt, params.chat));
  const adapters = [];
  for (const path of folders) adapters.push(await loadAdapter(path, model, { acceptsBaseChange: true }));
  for (const message of new Set(adapters.flatMap(({ warnings }) => warnings)))
    host.emit({ type: 'warning', message, time: time() });

  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision, calledQuantization(params));
    const alone = requests.every((request) => request.adapters.length === 1) && folders.length === 1;
    const fitted = await fittedAdapters(adapters, { runtime, model, weights, alone });
    const generator = new Generator({ runtime, model, weights });
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
    const continuations = await generateRequests(
      generator,
      requests.map((request, i) => ({
        prompt: prompts[i]!,
        selection: request.adapters.map(({ folder, weight }) => ({
          adapter: fitted[folders.indexOf(folder)]!,
          weight,
        })),
      })),
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
      const { prompt, own, adapters: chosen } = requests[i]!;
      return {
        prompt,
        ...(own ? { adapters: chosen } : {}),
        text: texts[i]!,
        tokens: ids.length,
        finishReason,
      };
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
export function checkSampling(params: SamplingParams & { prompts: readonly unknown[] }): void {
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

function otherPositions(folders: readonly string[]): AdapterError {
  return new AdapterError({
    code: 'adapters-conflict',
    message: `${folders.join(', ')} stretched the positions of the base in training, and a prompt without an adapter needs them as they were.`,
    remedy: 'Continue the prompts without an adapter in a call of their own.',
  });
}
