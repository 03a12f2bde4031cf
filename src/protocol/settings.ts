// How a setting is described: one description drives validation, the JSON schema, the form and the help.
// Descriptions are plain data, so that they cross process boundaries; this file knows no single setting.

/** A setting's value as it stands in YAML or JSON. `null` means: not set. */
export type SettingValue =
  | string
  | number
  | boolean
  | null
  | readonly SettingValue[]
  | { readonly [key: string]: SettingValue };

/** One value that an enumeration takes. */
export interface Choice {
  readonly id: string | boolean;
  /** One line: what it is and what it trades. */
  readonly label: string;
  /** A regular expression (matched against the whole value) for a family such as `cuda:0`; `id` is then its example. */
  readonly pattern?: string;
}

interface NumberBounds {
  readonly minimum?: number;
  readonly maximum?: number;
  /** The value must be greater than this. */
  readonly exclusiveMinimum?: number;
  /** The value must be less than this. */
  readonly exclusiveMaximum?: number;
}

/** What values a setting takes. */
export type SettingShape =
  | ({ readonly type: 'integer' } & NumberBounds)
  | ({ readonly type: 'number' } & NumberBounds)
  | { readonly type: 'boolean' }
  | { readonly type: 'string' }
  /** Relative paths are relative to the recipe. */
  | { readonly type: 'path' }
  | { readonly type: 'enum'; readonly choices: readonly Choice[] }
  | { readonly type: 'list'; readonly items: SettingShape; readonly minimumItems?: number }
  /** Free keys (module names, regular expressions, columns), one shape of value. */
  | { readonly type: 'map'; readonly values: SettingShape }
  | { readonly type: 'object'; readonly fields: readonly SettingField[] }
  | { readonly type: 'union'; readonly options: readonly SettingShape[] };

/** Where a form shows a setting. */
export type SettingGroup = 'model' | 'adapter' | 'data' | 'optimization' | 'memory' | 'evaluation' | 'run';

interface FieldText {
  /** The name that users know from PEFT and the HF Trainer. */
  readonly key: string;
  /** Full sentences; says what the value does and in what range it usually lies. */
  readonly description: string;
  readonly group: SettingGroup;
  /** Of the number: tokens, steps, epochs … */
  readonly unit?: string;
  /** True for the settings that have no default. */
  readonly required?: boolean;
  /** `null` means: not set. */
  readonly default?: SettingValue;
  /** Forms hide it until asked. */
  readonly advanced?: boolean;
}

/** One setting: its name, what it takes, what it does. */
export type SettingField = SettingShape & FieldText;

/** What a choice of an axis (adapter, optimizer …) tells about itself to forms and help. */
export interface CatalogueListing {
  readonly id: string | boolean;
  readonly label: string;
  /** One or two sentences: what it does and what it trades. */
  readonly summary: string;
  readonly settings: readonly SettingField[];
}
