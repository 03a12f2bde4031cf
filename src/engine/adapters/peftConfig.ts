// adapter_config.json as typed settings and back: read with PEFT's tolerance, refused by name where a feature is not supported. Does no IO and knows no tensors.
import { closest, distance } from 'fastest-levenshtein';
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems } from '../errors';
import { isJsonObject, type JsonObject, nameOf } from '../files/json';
import { targetProblems } from './match';
import {
  boolean,
  type Field,
  type FieldTable,
  fraction,
  integers,
  isOff,
  number,
  object,
  objectOrNull,
  oneOf,
  pattern,
  positiveInteger,
  strings,
  stringsOrText,
  text,
  unused,
  type ValuesOf,
} from './peftFields';

export const taskTypes = [
  'SEQ_CLS',
  'SEQ_2_SEQ_LM',
  'CAUSAL_LM',
  'TOKEN_CLS',
  'QUESTION_ANS',
  'FEATURE_EXTRACTION',
] as const;

const initNames = ['gaussian', 'orthogonal', 'eva', 'olora', 'pissa', 'corda', 'loftq'] as const;
export type InitLoraWeights = boolean | (typeof initNames)[number] | `pissa_niter_${number}`;

const initLoraWeights: Field<InitLoraWeights> = {
  default: true,
  read: (value) => {
    if (value === null || value === undefined) return { value: true };
    const known = typeof value === 'boolean' || initNames.some((name) => name === value);
    if (known || (typeof value === 'string' && /^pissa_niter_\d+$/.test(value))) {
      return { value: value as InitLoraWeights };
    }
    return { expected: `true, false, ${initNames.join(', ')} or pissa_niter_N` };
  },
};

/** Shared by all types. */
const commonFields = {
  auto_mapping: objectOrNull,
  base_model_name_or_path: text(null),
  revision: text(null),
  task_type: oneOf(null, taskTypes),
} satisfies FieldTable;

/** The 0.17 key set of LORA (without peft_type and inference_mode, which are written as constants). */
const loraFields = {
  ...commonFields,
  alpha_pattern: pattern('numbers', Number.isFinite),
  bias: oneOf('none', ['none', 'all', 'lora_only']) as Field<'none' | 'all' | 'lora_only'>,
  corda_config: objectOrNull,
  eva_config: objectOrNull,
  exclude_modules: stringsOrText,
  fan_in_fan_out: boolean(false),
  init_lora_weights: initLoraWeights,
  layer_replication: unused(null),
  layers_pattern: stringsOrText,
  layers_to_transform: integers,
  loftq_config: object,
  lora_alpha: number(8),
  lora_bias: boolean(false),
  lora_dropout: fraction(0),
  megatron_config: unused(null),
  megatron_core: text('megatron.core'),
  modules_to_save: strings,
  qalora_group_size: positiveInteger(16),
  r: positiveInteger(8),
  rank_pattern: pattern('positive whole numbers', (rank) => Number.isSafeInteger(rank) && rank > 0),
  target_modules: stringsOrText,
  target_parameters: unused(null),
  trainable_token_indices: unused(null),
  use_dora: boolean(false),
  use_qalora: unused(false),
  use_rslora: boolean(false),
} satisfies FieldTable;

export type LoraConfig = { peft_type: 'LORA' } & ValuesOf<typeof loraFields>;

/** What one peft_type adds; ADALORA and VERA join as further entries of `types`. */
interface PeftType {
  fields: FieldTable;
  /** Key → why it is refused when it is switched on. */
  refused: Record<string, string>;
  /** Problems that lie between fields. */
  check: (config: LoraConfig) => Problem[];
}

const unsupported = 'is not supported';
const types: Record<'LORA', PeftType> = {
  LORA: {
    fields: loraFields,
    refused: {
      alora_invocation_tokens: unsupported,
      arrow_config: unsupported,
      enable_lora: 'belongs to the fused layers of PEFT before 0.3 and is not supported',
      kasa_config: unsupported,
      layer_replication: unsupported,
      lora_ga_config: unsupported,
      megatron_config: unsupported,
      monteclora_config: unsupported,
      target_parameters: unsupported,
      trainable_token_indices: unsupported,
      use_bdlora: unsupported,
      use_qalora: unsupported,
      velora_config: unsupported,
    },
    check: checkLora,
  },
};

/** Keys of versions after 0.17 that say nothing while switched off; they are dropped rather than written back. */
const laterKeys = new Set(['ensure_weight_tying', 'peft_version', ...Object.keys(types.LORA.refused)]);

export interface ParsedConfig {
  config: LoraConfig;
  /** Keys that this version does not know, for the way back. */
  unknownKeys: JsonObject;
  /** Full sentences. */
  warnings: string[];
}

/**
 * The typed settings of an adapter_config.json, `where` its path for messages. Missing keys take PEFT's defaults.
 * Throws one AdapterError that lists every broken value and every unsupported feature.
 */
export function parsePeftConfig(json: JsonObject, where = 'adapter_config.json'): ParsedConfig {
  const peftType = json.peft_type;
  if (peftType !== 'LORA') throw refusedType(peftType, json, where);
  const { fields, refused, check } = types[peftType];
  const values: Record<string, unknown> = {};
  const problems: Problem[] = [];
  const features: Problem[] = [];

  for (const [key, { read }] of Object.entries(fields)) {
    const result = read(json[key]);
    if ('value' in result) values[key] = result.value;
    else {
      const refusedInit = key === 'init_lora_weights' && /^(lora_ga|mica)$/.test(String(json[key]));
      const list = refusedInit ? features : problems;
      const found =
        typeof json[key] === 'object' ? JSON.stringify(json[key]).slice(0, 120) : nameOf(json[key]);
      list.push({
        where: `${where}, ${key}`,
        message: refusedInit
          ? `${JSON.stringify(json[key])} is not supported`
          : `is ${found}; expected ${result.expected}`,
        remedy: refusedInit
          ? 'Convert the adapter to plain LoRA with PEFT first.'
          : `Set ${key} to ${result.expected}.`,
      });
    }
  }
  for (const [key, reason] of Object.entries(refused)) {
    if (!isOff(json[key])) {
      features.push({
        where: `${where}, ${key}`,
        message: reason,
        remedy: `Use an adapter without ${key}.`,
      });
    }
  }
  const config = { peft_type: peftType, ...values } as LoraConfig;
  if (problems.length === 0)
    problems.push(...check(config).map((p) => ({ ...p, where: `${where}, ${p.where}` })));
  raiseProblems(
    AdapterError,
    problems.length > 0 ? 'adapter-config-invalid' : 'adapter-feature-unsupported',
    problems.length > 0
      ? `${where} has values that cannot be used:`
      : `${where} uses features that are not supported:`,
    [...problems, ...features],
  );

  const known = new Set([...Object.keys(fields), 'peft_type', 'inference_mode', 'runtime_config']);
  const unknownKeys: JsonObject = {};
  const warnings: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    if (known.has(key) || key === 'peft_version' || (laterKeys.has(key) && isOff(value))) continue;
    unknownKeys[key] = value;
    const near = closest(key, [...known]);
    const hint = distance(key, near) <= 3 ? `; did you mean ${near}?` : '.';
    warnings.push(
      `${where}: the key ${JSON.stringify(key.slice(0, 80))} is unknown and has no effect${hint}`,
    );
  }
  return { config, unknownKeys, warnings };
}

function refusedType(peftType: unknown, json: JsonObject, where: string): AdapterError {
  if (peftType === undefined && ('lora_parameters' in json || 'fine_tune_type' in json)) {
    return new AdapterError({
      code: 'adapter-format-unsupported',
      message: `${where} is the config of an MLX adapter; PEFT adapters are read.`,
      remedy: 'Convert it to PEFT form, or train the adapter here.',
    });
  }
  return new AdapterError({
    code: peftType === undefined ? 'adapter-config-invalid' : 'adapter-type-unsupported',
    message: `${where}: peft_type is ${nameOf(peftType)}; supported: ${Object.keys(types).join(', ')}.`,
    remedy:
      peftType === undefined
        ? 'Add "peft_type": "LORA" if the file describes a LoRA adapter.'
        : 'Use an adapter of a supported type, or convert it to LoRA with PEFT.',
  });
}

/** What PEFT refuses in LORA settings, plus what it should: problems between fields, and values out of range. */
export function checkLora(config: LoraConfig): Problem[] {
  const problems = targetProblems(config);
  const report = (where: string, message: string, remedy: string) =>
    problems.push({ where, message, remedy });
  if (config.lora_bias && config.use_dora) {
    report(
      'lora_bias',
      'cannot be used together with use_dora',
      'Set one of lora_bias and use_dora to false.',
    );
  }
  if (config.lora_bias && typeof config.init_lora_weights !== 'boolean') {
    report(
      'lora_bias',
      `cannot be used with init_lora_weights ${JSON.stringify(config.init_lora_weights)}`,
      'Set init_lora_weights to true or false, or lora_bias to false.',
    );
  }
  if (config.init_lora_weights === 'orthogonal') {
    const odd = [config.r, ...Object.values(config.rank_pattern)].find((rank) => rank % 2 === 1);
    if (odd !== undefined) {
      report(
        'init_lora_weights',
        `"orthogonal" needs an even rank, found ${odd}`,
        'Set r and rank_pattern to even numbers.',
      );
    }
  }
  return problems;
}

/**
 * How a file's tensors relate to the base: `plain` adapters are added to it as it stands; with `pissa` and `olora` the
 * base must first lose the initial product, which is computed again; `corda` and fast PiSSA cannot be computed again.
 */
export function baseChangeOf(config: LoraConfig): 'plain' | 'pissa' | 'olora' | 'unrepeatable' {
  const init = config.init_lora_weights;
  if (init === 'pissa' || init === 'olora') return init;
  return init === 'corda' || (typeof init === 'string' && init.startsWith('pissa_niter_'))
    ? 'unrepeatable'
    : 'plain';
}

/** LORA settings with PEFT's defaults for all that `given` leaves out. */
export function loraConfig(given: Partial<Omit<LoraConfig, 'peft_type'>> = {}): LoraConfig {
  const defaults = Object.fromEntries(
    Object.entries(loraFields).map(([key, { default: value }]) => [key, value]),
  );
  return { peft_type: 'LORA', ...structuredClone(defaults), ...given } as LoraConfig;
}

/**
 * The text of adapter_config.json: the 0.17 key set and `unknownKeys`, sorted, indented by two, without peft_version, so
 * that every PEFT from 0.17 on loads it without a warning. Objects inside are sorted too, as PEFT does.
 */
export function writePeftConfig(config: LoraConfig, unknownKeys: JsonObject = {}): string {
  const whole: JsonObject = { ...unknownKeys, ...config, inference_mode: true };
  const sortKeys = (_: string, value: unknown) =>
    isJsonObject(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return `${JSON.stringify(whole, sortKeys, 2)}\n`;
}
