// Calls about a model's text: its loss on data, completions of prompts, conversations with a model that stays loaded.
import type { AdapterChoice, DeviceParams, FourBitParams, WeightedAdapter } from './common';

export interface EvaluateParams extends DeviceParams, FourBitParams {
  model: string;
  /** Adapters that are added together; none for the base. */
  adapters: readonly AdapterChoice[];
  data: string;
  /** Tokens; null takes the adapter's or the model's own. */
  maxLength: number | null;
  batchSize: number;
}

export interface EvaluateResult {
  /** Mean over the counted tokens, in nats. */
  loss: number;
  perplexity: number;
  /** Tokens that the loss counts. */
  tokens: number;
}

/** How the next token is chosen, and when a text ends. */
export interface SamplingParams {
  maxNewTokens: number;
  /** 0 is greedy. */
  temperature: number;
  /** 1 switches it off. */
  topP: number;
  /** 0 switches it off. */
  topK: number;
  seed: number;
}

export interface GenerateParams extends DeviceParams, SamplingParams, FourBitParams {
  model: string;
  /** Adapters that are added together, for every prompt that names none of its own. */
  adapters: readonly AdapterChoice[];
  prompts: readonly PromptChoice[];
  /** Puts each prompt into the chat template as a user's turn. */
  chat: boolean;
}

/** A prompt, or one with adapters of its own in place of the call's; none of them is the base. */
export type PromptChoice = string | { prompt: string; adapters: readonly AdapterChoice[] };

export interface Completion {
  prompt: string;
  /** Of a prompt that chose its own. */
  adapters?: readonly WeightedAdapter[];
  /** Without the prompt. */
  text: string;
  /** Count of new tokens. */
  tokens: number;
  finishReason: 'stop' | 'length' | 'cancelled';
}

export interface GenerateResult {
  completions: readonly Completion[];
}

export interface OpenSessionParams extends DeviceParams {
  model: string;
}

/** A model that stays loaded between calls. A process holds one. */
export interface OpenSessionResult {
  /** Names it in `say` and `closeSession`. */
  session: number;
  modelType: string;
  /** Of the checkpoint. */
  weightBytes: number;
  hasChatTemplate: boolean;
  /** Most tokens of prompt and answer together. */
  positions: number;
  milliseconds: number;
}

export interface SayParams extends SamplingParams {
  session: number;
  /** Adapters that are added together; none for the base. They are swapped without reading the model again. */
  adapters: readonly AdapterChoice[];
  prompt: string;
  /** Puts the prompt into the chat template as a user's turn. */
  chat: boolean;
  /** What was said before, oldest first; only with `chat`. */
  turns?: readonly ChatTurn[];
  /** Factor on the adapters' updates: 0 is the base, 1 (the default) the adapters as they are. */
  strength?: number;
}

export interface ChatTurn {
  role: 'user' | 'assistant';
  content: string;
}

export interface SayResult extends Completion {
  promptTokens: number;
  /** What putting the adapters in place took; 0 where they were there. */
  swapMilliseconds: number;
  /** From the first new token to the last; null below two. */
  tokensPerSecond: number | null;
}

export interface CloseSessionParams {
  session: number;
}

/** A token that could have stood in a place. */
export interface TokenAlternative {
  text: string;
  probability: number;
}

/** Newly generated text of one prompt, as it comes. */
export interface TokenEvent {
  type: 'token';
  /** Index into `GenerateParams.prompts`. */
  prompt: number;
  text: string;
  /** Of `say`: the model's own probability of the token (of the least likely, where a character took several). */
  probability?: number;
  /** Of `say`: the most likely tokens in its place, best first. */
  alternatives?: readonly TokenAlternative[];
}
