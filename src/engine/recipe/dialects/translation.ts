// What a foreign recipe's key becomes here. A dialect is a table of translations; importing walks the table.
import type { SettingValue } from '../../../protocol/settings';

/** The fate of one foreign key with its value. */
export interface Translated {
  /** Our keys and values; empty where the foreign value is our default or says nothing. */
  set?: Record<string, SettingValue | undefined>;
  /** No counterpart, and the result is the same without it: why. */
  ignored?: string;
  /** No counterpart, and the result would differ: what it asks for. The import stops. */
  unsupported?: string;
}

/** A string renames the key and keeps the value. */
export type Translation = string | ((value: unknown, all: Readonly<Record<string, unknown>>) => Translated);

export interface Dialect {
  /** As shown: LLaMA-Factory, Axolotl, TRL/PEFT. */
  readonly name: string;
  /** Keys that only this dialect has. */
  readonly markers: readonly string[];
  readonly keys: Readonly<Record<string, Translation>>;
}

/** The key says nothing about the result. */
export const ignored =
  (why: string): Translation =>
  () => ({ ignored: why });

/** True asks for something that we do not have; false and nothing are fine. */
export const unsupportedIfSet =
  (what: string): Translation =>
  (value) =>
    value === null || value === undefined || value === false || value === 'none' || value === ''
      ? { ignored: 'off' }
      : { unsupported: what };

/** Text with commas, or a list, as a list. */
export function asList(value: unknown): string[] {
  const items = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [];
  return items.map((item) => String(item).trim()).filter((item) => item !== '');
}

/** Names of optimizers elsewhere → ours. */
export const optimizer: Translation = (value) => {
  const name = String(value).toLowerCase();
  if (/^adamw_(torch|torch_fused|hf|apex_fused)$/.test(name)) return { set: { optim: 'adamw' } };
  if (name === 'adamw_bnb_8bit') return { set: { optim: 'adamw_8bit' } };
  return { set: { optim: name === 'paged_adamw' ? 'paged_adamw_32bit' : name } };
};

/** bf16/fp16/fp32 switches → dtype. `auto` stays ours. */
export const computeType =
  (dtype: string): Translation =>
  (value) =>
    value === true || value === 'true' ? { set: { dtype } } : { ignored: 'dtype: auto is used' };

/** Names of element types → dtype. */
export const elementType: Translation = (value) => {
  const short: Record<string, string> = {
    bf16: 'bfloat16',
    fp16: 'float16',
    fp32: 'float32',
    half: 'float16',
    float: 'float32',
  };
  const name = String(value).replace(/^torch\./, '');
  return { set: { dtype: short[name] ?? name } };
};

/** Where curves are reported to. */
export const reportTo: Translation = (value) => {
  const targets = asList(value);
  if (targets.length === 0 || targets.includes('none')) return { set: { report_to: 'none' } };
  if (targets.includes('tensorboard') || targets.includes('all'))
    return { set: { report_to: 'tensorboard' } };
  return { ignored: 'only TensorBoard files are written' };
};

/** Switches that stand for one of our values when true. */
export const whenTrue =
  (set: Record<string, SettingValue>): Translation =>
  (value) =>
    value === true ? { set } : { ignored: 'off' };

/** The step counts that HF also takes as fractions and 0. */
export const positiveOnly =
  (key: string): Translation =>
  (value) =>
    typeof value === 'number' && value <= 0 ? { ignored: 'off' } : { set: { [key]: value as SettingValue } };
