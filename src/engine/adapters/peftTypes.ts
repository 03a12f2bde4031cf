// The keys of adapter_config.json by peft_type: how each is read and what is refused. Knows no file and no method.
import type { Problem } from '../../protocol/errors';
import { targetProblems } from './match';
import {
  boolean,
  type Field,
  type FieldTable,
  fraction,
  integers,
  masks,
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
  wholeNumber,
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

/** The 0.17 key set of ADALORA: LORA's with its own; rank_pattern holds masks. */
const adaLoraFields = {
  ...loraFields,
  beta1: fraction(0.85),
  beta2: fraction(0.85),
  deltaT: positiveInteger(1),
  init_r: positiveInteger(12),
  orth_reg_weight: number(0.5),
  rank_pattern: masks,
  target_r: positiveInteger(8),
  tfinal: wholeNumber(0),
  tinit: wholeNumber(0),
  total_step: wholeNumber(0),
} satisfies FieldTable;

const veraFields = {
  ...commonFields,
  bias: oneOf('none', ['none', 'all', 'vera_only']) as Field<'none' | 'all' | 'vera_only'>,
  d_initial: number(0.1),
  fan_in_fan_out: boolean(false),
  init_weights: boolean(true),
  layers_pattern: stringsOrText,
  layers_to_transform: integers,
  modules_to_save: strings,
  projection_prng_key: wholeNumber(0),
  r: positiveInteger(256),
  save_projection: boolean(true),
  target_modules: stringsOrText,
  vera_dropout: fraction(0),
} satisfies FieldTable;

export type LoraConfig = { peft_type: 'LORA' } & ValuesOf<typeof loraFields>;
export type AdaLoraConfig = { peft_type: 'ADALORA' } & ValuesOf<typeof adaLoraFields>;
export type VeraConfig = { peft_type: 'VERA' } & ValuesOf<typeof veraFields>;
export type PeftConfig = LoraConfig | AdaLoraConfig | VeraConfig;

/** What one peft_type is. */
interface PeftType {
  fields: FieldTable;
  /** Key → why it is refused when it is switched on. */
  refused: Readonly<Record<string, string>>;
  /** Problems that lie between fields. */
  check(config: PeftConfig): Problem[];
}

const unsupported = 'is not supported';
const refusedInLora: Readonly<Record<string, string>> = {
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
};

export const peftTypes: Readonly<Record<PeftConfig['peft_type'], PeftType>> = {
  LORA: { fields: loraFields, refused: refusedInLora, check: (config) => checkLora(config as LoraConfig) },
  ADALORA: {
    fields: adaLoraFields,
    refused: { ...refusedInLora, use_dora: 'does not combine with ADALORA' },
    check: (config) => checkAdaLora(config as AdaLoraConfig),
  },
  VERA: { fields: veraFields, refused: {}, check: (config) => targetProblems(config) },
};

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

/** What PEFT finds out late: masks that are not as long as the rank, a target above the start. */
function checkAdaLora(config: AdaLoraConfig): Problem[] {
  const problems = targetProblems(config);
  const { init_r: initial, target_r: target } = config;
  if (target >= initial) {
    problems.push({
      where: 'target_r',
      message: `is ${target}; expected less than init_r, ${initial}`,
      remedy: `Set target_r below ${initial}.`,
    });
  }
  for (const [key, mask] of Object.entries(config.rank_pattern)) {
    if (mask.length === initial) continue;
    problems.push({
      where: `rank_pattern.${key.slice(0, 200)}`,
      message: `has ${mask.length} entries; expected init_r, ${initial}`,
      remedy: 'Save the adapter again with PEFT.',
    });
  }
  return problems;
}
