// The calls between a parent (terminal, extension) and the trainer process, and the messages that carry them over IPC.
// All of it is JSON; parameters are validated by the parent, results are what `--json` prints.
import type { CudaReport, InstallCudaParams, InstallCudaResult } from './cuda';
import type { ErrorReport, Problem } from './errors';
import type { Recipe } from './recipe';
import type { RunEvent, TrainResult } from './run';

export type { TrainResult } from './run';

/** Where and with how many threads a call computes. */
export interface DeviceParams {
  /** `auto`, `cpu`, `cuda`, `cuda:1`, `webgpu`. */
  device: string;
  /** 0 lets the runtime choose. */
  threads: number;
}

/** A base that is held in 4 bits, as the recipe's settings of the same names say. */
export interface FourBitParams {
  /** Undefined or false: as in the checkpoint. */
  loadIn4bit?: boolean;
  quantType?: 'nf4' | 'fp4';
  doubleQuant?: boolean;
}

export interface TrainParams {
  recipe: Recipe;
  /** What validation and import had to say; the run repeats them as notes. */
  notes: readonly string[];
}

/** An adapter with a factor on its update; a path alone has the factor 1. */
export type AdapterChoice = string | WeightedAdapter;

export interface WeightedAdapter {
  folder: string;
  /** 0 leaves the adapter out. Whole tensors of an adapter (modules_to_save, biases) act as they are, as in PEFT. */
  weight: number;
}

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

export interface EstimateParams {
  recipe: Recipe;
  notes: readonly string[];
}

export interface EstimateResult {
  totalBytes: number;
  parts: {
    weights: number;
    adapter: number;
    gradients: number;
    optimizer: number;
    activations: number;
    workspace: number;
    [part: string]: number;
  };
  availableBytes: number;
  fits: boolean;
  /** Smallest change first. */
  suggestions: readonly { change: string; totalBytes: number }[];
}

export interface InspectParams {
  path: string;
}

export interface InspectedTensor {
  name: string;
  dtype: string;
  shape: readonly number[];
  /** Frobenius norm; null where it was not computed. */
  norm: number | null;
}

export interface InspectResult {
  kind: 'adapter' | 'checkpoint' | 'dataset' | 'run' | 'recipe';
  path: string;
  /** One line that says what it is. */
  summary: string;
  facts: Record<string, string | number | boolean | null>;
  tensors?: readonly InspectedTensor[];
  problems: readonly Problem[];
}

export interface MergeParams extends DeviceParams, FourBitParams {
  model: string;
  adapter: string;
  out: string;
}

export interface MergeResult {
  /** The merged checkpoint's folder. */
  out: string;
  mergedModules: number;
  /** Largest absolute difference of logits, merged against unmerged, on the check batch. */
  maxLogitDifference: number;
  verified: boolean;
}

export interface ComposeParams extends DeviceParams {
  model: string;
  adapters: readonly { folder: string; weight: number }[];
  type:
    | 'cat'
    | 'linear'
    | 'svd'
    | 'ties'
    | 'ties_svd'
    | 'dare_linear'
    | 'dare_linear_svd'
    | 'dare_ties'
    | 'dare_ties_svd'
    | 'magnitude_prune'
    | 'magnitude_prune_svd';
  out: string;
  /** Of the result, for the svd types; null takes the adapters' largest. */
  rank: number | null;
  /** Share of the entries that pruning keeps. */
  density: number;
  majoritySign: 'total' | 'frequency';
  seed: number;
  /** Applies alpha/r twice in the svd types, as PEFT up to 0.20. */
  scaledTwice: boolean;
}

export interface ComposeResult {
  /** The combined adapter's folder. */
  out: string;
  modules: number;
  rank: number;
  /** Whether the result is the weighted sum itself. */
  exact: boolean;
  warnings: readonly string[];
}

export interface ConvertParams {
  model: string;
  adapter: string;
  /** `lora` scales by alpha/r, `rslora` by alpha/√r. */
  type: 'lora' | 'rslora';
  out: string;
}

export interface ConvertResult {
  out: string;
  /** The method before. */
  from: string;
  modules: number;
  warnings: readonly string[];
}

export interface AverageParams extends DeviceParams {
  model: string;
  adapter: string;
  /** The dataset over whose tokens gates are averaged, padding left out. */
  data: string;
  maxLength: number | null;
  batchSize: number;
  out: string;
}

export interface AverageResult {
  out: string;
  modules: number;
  rank: number;
  /** The mean of every gate, in the tasks' order. */
  gates: readonly { path: string; means: readonly number[] }[];
  /** That the means are taken over. */
  tokens: number;
  /** On the same data: with the gates, and with their means. */
  lossBefore: number;
  lossAfter: number;
  warnings: readonly string[];
}

export interface ResizeParams {
  model: string;
  adapter: string;
  out: string;
  /** Of every module; null where `energy` decides. */
  rank: number | null;
  /** Share of Σσ² that every module keeps, in (0, 1]. */
  energy: number | null;
  /** Decides the directions of a rank that is larger than before. */
  seed: number;
}

export interface ResizeResult {
  out: string;
  /** ‖ΔW − ΔW′‖ / ‖ΔW‖ over all modules. */
  relativeError: number;
  modules: readonly { path: string; rankBefore: number; rank: number; relativeError: number }[];
  warnings: readonly string[];
}

export interface DiffParams {
  /** Folders, two or more. */
  adapters: readonly string[];
}

export interface DiffResult {
  adapters: readonly { folder: string; modules: number }[];
  /** Keys of adapter_config.json that differ, with a value per adapter; empty where one has none. */
  settings: readonly { key: string; values: readonly string[] }[];
  modules: readonly {
    path: string;
    /** Per adapter; null where it does not adapt the module. */
    ranks: readonly (number | null)[];
    /** ‖ΔW‖; null also where values are not finite. */
    norms: readonly (number | null)[];
    /** Of every two adapters: the cosine of their updates, and φ of the LoRA paper for A's rows and B's columns. */
    pairs: readonly {
      first: number;
      second: number;
      cosine: number | null;
      a: number | null;
      b: number | null;
    }[];
  }[];
}

export interface ExtractParams extends DeviceParams {
  /** The base checkpoint. */
  model: string;
  /** The same model after full fine-tuning. */
  tuned: string;
  out: string;
  /** Of every module, or its smaller side where that is less. */
  rank: number;
}

export interface ExtractResult {
  /** The adapter's folder. */
  out: string;
  /** ‖ΔW − b·a‖ / ‖ΔW‖ over all modules. */
  relativeError: number;
  modules: readonly { path: string; rank: number; relativeError: number }[];
  /** Tensors that changed too and that a LoRA of the linear layers does not hold. */
  unheld: readonly string[];
}

export interface IntrinsicDimensionParams {
  /** Its adapter does not count; its data, lengths and optimizer do. */
  recipe: Recipe;
  notes: readonly string[];
  /** Ascending; null tries 4, 16, 64 … until one is enough. */
  dimensions: readonly number[] | null;
  seeds: readonly number[];
  /** Each is tried, the best counts; null takes the recipe's. */
  learningRates: readonly number[] | null;
  /** Share of full fine-tuning's gain that is enough; 0.9 for d90. */
  threshold: number;
  projection: 'fastfood' | 'dense';
  scope: 'all' | 'targets';
}

export interface IntrinsicDimensionPoint {
  /** Null: every weight. */
  dimension: number | null;
  learningRate: number;
  /** Evaluation losses, one per seed. */
  losses: readonly number[];
  meanLoss: number;
  /** Of the losses; 0 with one seed. */
  deviation: number;
  /** Of the fall of the evaluation loss from the base model to full fine-tuning. */
  share: number;
}

export interface IntrinsicDimensionResult {
  /** The smallest dimension tried whose share reaches the threshold. */
  d90: number | null;
  /** The same for every seed by itself: the spread of d90. */
  d90BySeed: readonly (number | null)[];
  threshold: number;
  baseLoss: number;
  /** Of the model. */
  parameters: number;
  projection: string;
  scope: string;
  seeds: readonly number[];
  full: IntrinsicDimensionPoint;
  points: readonly IntrinsicDimensionPoint[];
}

export type DoctorParams = {
  /** Only this device, or null for all. */
  device: string | null;
};

export interface DoctorDevice {
  device: string;
  provider: string;
  available: boolean;
  /** Null where unknown. */
  memoryBytes: number | null;
  /** One real training step; null where the device is not available. */
  trainingStep: { ok: boolean; milliseconds: number; loss: number } | null;
  problem: Problem | null;
}

export interface DoctorResult {
  version: string;
  node: string;
  platform: string;
  /** ONNX Runtime's version; null where its library does not load. */
  runtime: string | null;
  cores: number;
  memoryBytes: number;
  devices: readonly DoctorDevice[];
  /** What CUDA needs here, and what of it is there; null where the runtime's package is missing. */
  cuda: CudaReport | null;
}

/** Every call: its parameters and its result. */
export interface TrainerMethods {
  train: { params: TrainParams; result: TrainResult };
  evaluate: { params: EvaluateParams; result: EvaluateResult };
  generate: { params: GenerateParams; result: GenerateResult };
  openSession: { params: OpenSessionParams; result: OpenSessionResult };
  say: { params: SayParams; result: SayResult };
  closeSession: { params: CloseSessionParams; result: null };
  estimate: { params: EstimateParams; result: EstimateResult };
  inspect: { params: InspectParams; result: InspectResult };
  merge: { params: MergeParams; result: MergeResult };
  compose: { params: ComposeParams; result: ComposeResult };
  extract: { params: ExtractParams; result: ExtractResult };
  convert: { params: ConvertParams; result: ConvertResult };
  average: { params: AverageParams; result: AverageResult };
  resize: { params: ResizeParams; result: ResizeResult };
  diff: { params: DiffParams; result: DiffResult };
  intrinsicDimension: { params: IntrinsicDimensionParams; result: IntrinsicDimensionResult };
  doctor: { params: DoctorParams; result: DoctorResult };
  installCuda: { params: InstallCudaParams; result: InstallCudaResult };
}
export type TrainerMethod = keyof TrainerMethods;

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
export type TrainerEvent = RunEvent | TokenEvent;

/** What a running call may ask of the process around it. */
export interface EngineHost {
  emit(event: TrainerEvent): void;
  /** Save a checkpoint and end as soon as the current step is done. */
  readonly stopRequested: boolean;
  /** End as soon as possible; saving is not wanted. */
  readonly cancelRequested: boolean;
  /** True once for every request to write a checkpoint and go on. */
  takeCheckpointRequest(): boolean;
}

/** One entry per method; `src/engine/api.ts` implements it. */
export type EngineApi = {
  readonly [M in TrainerMethod]: (
    params: TrainerMethods[M]['params'],
    host: EngineHost,
  ) => Promise<TrainerMethods[M]['result']>;
};

/** `stop`: save and stop. `cancel`: stop now. `checkpoint`: save and go on. */
export type ControlCommand = 'stop' | 'cancel' | 'checkpoint';

export type ParentMessage =
  | { kind: 'request'; id: number; method: TrainerMethod; params: unknown }
  | { kind: 'control'; command: ControlCommand };

export type ChildMessage =
  | { kind: 'event'; id: number; event: TrainerEvent }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; error: ErrorReport };

/** Codes of reports that are our fault, not the user's; the terminal exits with 1 on them. */
export const faultCodes: readonly string[] = ['internal-error', 'trainer-died'];
