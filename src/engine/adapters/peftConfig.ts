// adapter_config.json as typed settings and back: read with PEFT's tolerance, refused by name where a feature is not supported. Does no IO and knows no tensors.
import { closest, distance } from 'fastest-levenshtein';
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems } from '../errors';
import { isJsonObject, type JsonObject, nameOf } from '../files/json';
import { isOff } from './peftFields';
import { type LoraConfig, type PeftConfig, peftTypes } from './peftTypes';

export { checkLora, type InitLoraWeights, type LoraConfig, type PeftConfig, taskTypes } from './peftTypes';

/** Keys of versions after 0.17 that say nothing while switched off; they are dropped rather than written back. */
const laterKeys = new Set(['ensure_weight_tying', 'peft_version', ...Object.keys(peftTypes.LORA.refused)]);

export interface ParsedConfig {
  config: PeftConfig;
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
  if (!isPeftType(peftType)) throw refusedType(peftType, json, where);
  const { fields, refused, check } = peftTypes[peftType];
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
  const config = { peft_type: peftType, ...values } as PeftConfig;
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

function isPeftType(value: unknown): value is PeftConfig['peft_type'] {
  return typeof value === 'string' && Object.hasOwn(peftTypes, value);
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
    message: `${where}: peft_type is ${nameOf(peftType)}; supported: ${Object.keys(peftTypes).join(', ')}.`,
    remedy:
      peftType === undefined
        ? 'Add "peft_type": "LORA" if the file describes a LoRA adapter.'
        : 'Use an adapter of a supported type, or convert it to LoRA with PEFT.',
  });
}

/**
 * How a file's tensors relate to the base: `plain` adapters are added to it as it stands; with `pissa` and `olora` the
 * base must first lose the initial product, which is computed again; with `loftq` it becomes its 4-bit values; `corda` and
 * fast PiSSA cannot be computed again.
 */
export function baseChangeOf(config: PeftConfig): 'plain' | 'pissa' | 'olora' | 'loftq' | 'unrepeatable' {
  const init = 'init_lora_weights' in config ? config.init_lora_weights : true;
  if (init === 'pissa' || init === 'olora' || init === 'loftq') return init;
  return init === 'corda' || (typeof init === 'string' && init.startsWith('pissa_niter_'))
    ? 'unrepeatable'
    : 'plain';
}

/** LORA settings with PEFT's defaults for all that `given` leaves out. */
export function loraConfig(given: Partial<Omit<LoraConfig, 'peft_type'>> = {}): LoraConfig {
  return peftConfig('LORA', given) as LoraConfig;
}

/** Settings of a type: its keys of `given`, PEFT's defaults for the others. */
export function peftConfig(
  type: PeftConfig['peft_type'],
  given: Readonly<Record<string, unknown>>,
): PeftConfig {
  const values = Object.entries(peftTypes[type].fields).map(([key, { default: usual }]) => [
    key,
    key in given ? given[key] : structuredClone(usual),
  ]);
  return { peft_type: type, ...Object.fromEntries(values) } as PeftConfig;
}

/**
 * The text of adapter_config.json: the 0.17 key set and `unknownKeys`, sorted, indented by two, without peft_version, so
 * that every PEFT from 0.17 on loads it without a warning. Objects inside are sorted too, as PEFT does.
 */
export function writePeftConfig(config: object, unknownKeys: JsonObject = {}): string {
  const whole: JsonObject = { ...unknownKeys, ...config, inference_mode: true };
  const sortKeys = (_: string, value: unknown) =>
    isJsonObject(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return `${JSON.stringify(whole, sortKeys, 2)}\n`;
}
