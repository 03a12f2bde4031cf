// What the axes of a recipe offer: one entry per adapter, initialisation, optimizer …, given by the file that implements it.
// Validation, schema, form and help take a catalogue and never ask for a particular entry.
import type { Problem } from '../../protocol/errors';
import type { Recipe, RecipeValues } from '../../protocol/recipe';
import type { SettingField, SettingValue } from '../../protocol/settings';

/** One choice of an axis. */
export interface CatalogueEntry {
  /** As written in a recipe. */
  readonly id: string | boolean;
  /** One line. */
  readonly label: string;
  /** One or two sentences: what it does and what it trades. */
  readonly summary: string;
  /** For a family such as `pissa_niter_16`: a regular expression over the whole value. */
  readonly pattern?: string;
  /** Its own settings; one whose key is a common setting's replaces that setting's default and bounds. */
  readonly fields: readonly SettingField[];
  /** Common settings that mean nothing with this choice; giving one is a mistake. */
  readonly without?: readonly (keyof RecipeValues)[];
  /** Combinations that make no sense, refused by name; `where` is a recipe key. */
  readonly check?: (recipe: Recipe) => Problem[];
}

/** The kinds of methods, by what they change. */
export type PresetCategory =
  | 'reference'
  | 'training process'
  | 'initialisation'
  | 'update-matrix decomposition'
  | 'pre-trained-weight decomposition'
  | 'rank refinement'
  | 'rank augmentation'
  | 'pruning'
  | 'freezing and sharing'
  | 'co-updating'
  | 'quantisation'
  | 'continual learning'
  | 'long context';

/** A name for a set of settings; each may still be overridden. */
export interface PresetEntry {
  readonly id: string;
  readonly category: PresetCategory;
  readonly label: string;
  readonly summary: string;
  readonly values: Readonly<Record<string, SettingValue>>;
}

/** The recipe keys that choose from the catalogue. */
export const axes = ['adapter', 'init_lora_weights', 'load_in_4bit', 'optim', 'attention'] as const;
export type Axis = (typeof axes)[number];

export interface RecipeCatalogue extends Readonly<Record<Axis, readonly CatalogueEntry[]>> {
  readonly presets: readonly PresetEntry[];
}

/** Names that users know and that this version does not have; an axis drops out of here as its entry arrives. */
export const knownElsewhere: Readonly<Record<Axis | 'preset', readonly string[]>> = {
  adapter: ['qlora', 'oft'],
  init_lora_weights: ['lora_ga', 'mica'],
  load_in_4bit: [],
  optim: [
    'adafactor',
    'lion',
    'muon',
    'galore_adafactor',
    'galore_adamw_layerwise',
    'galore_adamw_8bit_layerwise',
    'galore_adafactor_layerwise',
  ],
  attention: [],
  preset: [],
};

/** Why a choice or a setting is not here, where there is more to say than that. */
export const reasonsElsewhere: Readonly<Record<string, string>> = {
  load_in_8bit: 'the base is held as it is or, with load_in_4bit: true, in 4 bits',
  qlora: 'QLoRA is preset: qlora',
  ...Object.fromEntries(
    ['galore_adamw_layerwise', 'galore_adamw_8bit_layerwise', 'galore_adafactor_layerwise'].map((name) => [
      name,
      'layerwise forms update inside the backward pass, which rules out gradient_accumulation_steps and max_grad_norm',
    ]),
  ),
};

/** Settings of choices that this version does not have. */
export const settingsElsewhere: readonly string[] = [
  'use_dora',
  'loftq_config',
  'trainable_token_indices',
  'load_in_8bit',
];

/** The entry that a value chooses, if the axis has it. */
export function chosenEntry(entries: readonly CatalogueEntry[], value: unknown): CatalogueEntry | undefined {
  return entries.find(
    (entry) =>
      entry.id === value ||
      (entry.pattern !== undefined &&
        typeof value === 'string' &&
        new RegExp(`^(?:${entry.pattern})$`).test(value)),
  );
}
