// What the form of a recipe and the extension say to one another. The recipe's text is the truth: the form is told what
// stands in it and asks for edits; it decides nothing itself.
import type { SettingField, SettingValue } from '../settings';
import type { CommonRequests } from '../webview';
import type { RunState } from './run';

/** One change of the recipe: sets a top-level key, removes it (`value` undefined), or gives it another name. */
export interface RecipeEdit {
  key: string;
  value?: SettingValue;
  rename?: string;
}

/** A setting as it stands. */
export interface FormField {
  field: SettingField;
  /** What a run would use: given, else the preset's, else the default. What was given and is wrong is kept as it stands. */
  value: SettingValue;
  /** Whether the recipe itself says it. */
  given: boolean;
  /** Whether this key means nothing with what was chosen on another axis. */
  off: boolean;
}

export interface AxisChoice {
  id: string | boolean;
  label: string;
  summary: string;
}

/** An axis of the method: adapter, initialisation, optimizer … */
export interface FormAxis {
  key: string;
  choices: readonly AxisChoice[];
}

export interface FormPreset {
  id: string;
  /** What kind of method it is; presets come category by category. */
  category: string;
  label: string;
  summary: string;
}

/** One remedy as a button. */
export interface Fix {
  label: string;
  edits: readonly RecipeEdit[];
}

export interface FormProblem {
  severity: 'error' | 'warning' | 'info';
  /** The top-level key it is about, where it is about one. */
  key: string | null;
  /** Line in the recipe, from 1. */
  line: number | null;
  message: string;
  /** In words, where there is no button. */
  remedy: string | null;
  fixes: readonly Fix[];
  /** A dataset whose rows show it. */
  dataset?: string;
}

/** What stands in the recipe. */
export interface RecipeForm {
  /** False where the text cannot be read as a recipe of ours: the form then keeps what it showed. */
  readable: boolean;
  fields: readonly FormField[];
  axes: readonly FormAxis[];
  presets: readonly FormPreset[];
  preset: string | null;
  problems: readonly FormProblem[];
}

/** A checkpoint or a dataset to choose. */
export interface Pick {
  /** As it is written into the recipe. */
  path: string;
  label: string;
  detail: string;
}

/** One kind of module of a model, over its layers. */
export interface CoverageRow {
  /** As `target_modules` names it. */
  name: string;
  inFeatures: number;
  outFeatures: number;
  /** By layer: r, 0 for none, null where the layer has no such module. */
  ranks: readonly (number | null)[];
  /** Trainable parameters of all its layers. */
  parameters: number;
}

/** Which modules of the model are adapted. */
export interface Coverage {
  layers: number;
  rows: readonly CoverageRow[];
  adapted: number;
  adaptable: number;
  trainableParameters: number;
  totalParameters: number;
  /** Full fine-tuning: every weight trains, and the map is no choice. */
  full: boolean;
  /** The output head is the embedding's tensor. */
  tied: boolean;
}

/** An NVIDIA GPU as it is now. */
export interface DeviceFacts {
  /** As the recipe names it: `cuda:0`. */
  id: string;
  name: string;
  /** Null where the driver does not tell. */
  freeBytes: number | null;
  totalBytes: number | null;
  /** 0…1. */
  utilization: number | null;
  /** Split into parts (MIG): of these nothing is told. */
  split: boolean;
}

export interface ModelFacts {
  modelType: string;
  parameters: number;
  layers: number;
  dtypes: string;
  bytes: number;
  chatTemplate: boolean;
}

/** Everything that is known at once. */
export interface ConfigureState {
  /** As shown: relative to the workspace. */
  file: string;
  name: string;
  dirty: boolean;
  trusted: boolean;
  form: RecipeForm;
  models: readonly Pick[];
  datasets: readonly Pick[];
  model: ModelFacts | null;
  coverage: Coverage | null;
  /** Why the model cannot be looked at. */
  modelProblem: string | null;
  /** Run that goes on now, if any: a start waits for it. */
  running: string | null;
  /** Newest run of this recipe. */
  lastRun: { id: string; name: string; state: RunState; evalLoss: number | null } | null;
}

export type MemoryPart =
  | 'weights'
  | 'adapter'
  | 'gradients'
  | 'optimizer'
  | 'activations'
  | 'saving'
  | 'workspace';

/** Memory of the run as the recipe stands. */
export interface MemoryForecast {
  /** False while the exact one is being computed: activations are then scaled from the last exact one. */
  exact: boolean;
  /** On the device. Null where it was never computed. */
  parts: Record<MemoryPart, number> | null;
  /** On the device. */
  totalBytes: number;
  /** In system memory beside the device's; 0 where the device is the CPU. */
  hostBytes: number;
  /** Free on the device; null where nothing tells. */
  availableBytes: number | null;
  /** Free in system memory; null where the device is the CPU. */
  availableHostBytes: number | null;
  /** What of `workspace` CUDA itself takes, and whether a run here has measured it; null on other devices. */
  context: { bytes: number; measured: boolean } | null;
  device: string;
  trainableParameters: number;
  /** Only with an exact one that does not fit; null while they are being looked for. */
  suggestions: readonly MemorySuggestion[] | null;
  /** Milliseconds from the change to this forecast. */
  tookMs: number;
}

export interface MemorySuggestion {
  edits: readonly RecipeEdit[];
  totalBytes: number;
  /** Whether the result of the training stays the same. */
  sameResult: boolean;
}

/** What tokenizing the dataset told. */
export interface DatasetFacts {
  rows: number;
  examples: number;
  evalExamples: number;
  tokens: number;
  trainedTokens: number;
  medianTokens: number;
  longestTokens: number;
  shape: string;
  columns: string;
  /** Null where the steps cannot be told. */
  steps: number | null;
  stepsPerEpoch: number | null;
  problems: readonly FormProblem[];
}

export interface ConfigureContract {
  requests: {
    command: CommonRequests['command'];
    openFile: CommonRequests['openFile'];
    edit: { params: { edits: readonly RecipeEdit[] }; result: undefined };
    /** Forecasts the recipe with these edits, without making them. */
    preview: { params: { edits: readonly RecipeEdit[] }; result: undefined };
    /** Puts modules in or takes them out; `layer` null means all of a row, `row` null all of a layer. */
    toggle: { params: { row: string | null; layer: number | null; on: boolean }; result: undefined };
    /** A dialog; true where something was chosen. */
    browse: { params: { what: 'model' | 'dataset' }; result: boolean };
    start: { params: { anyway: boolean }; result: undefined };
    openAsText: { params: { line: number | null }; result: undefined };
    lens: { params: Record<string, never>; result: undefined };
    openRun: { params: { id: string }; result: undefined };
  };
  pushes: {
    state: ConfigureState;
    forecast: MemoryForecast | { error: string };
    dataset: DatasetFacts | { error: string; remedy: string | null } | null;
    /** NVIDIA's devices, told again when their free memory changes. */
    devices: readonly DeviceFacts[];
    /** Puts the focus on a setting. */
    focus: { key: string };
    /** The editor's own command asks for a start. */
    startRequested: null;
  };
}
