// Numbers → text, as every panel writes them: tabular, thousands grouped and decimals as the editor's language has them,
// memory in GiB as nvidia-smi has it. Pure but for the language.
import { language, t } from './texts';

const kib = 1024;

let grouped: Intl.NumberFormat | undefined;
let separator: string | undefined;

/** `7,473`. */
export function integer(value: number): string {
  grouped ??= new Intl.NumberFormat(language(), { maximumFractionDigits: 0 });
  return grouped.format(Math.round(value));
}

/** A number's text with the decimal sign of the editor's language: `0.446`. */
export function decimal(text: string): string {
  separator ??= new Intl.NumberFormat(language())
    .formatToParts(0.5)
    .find(({ type }) => type === 'decimal')!.value;
  return text.replace('.', separator);
}

/** A number with so many decimals. */
export function fixed(value: number, digits: number): string {
  return decimal(value.toFixed(digits));
}

/** Bytes → number and unit: `['2.30', 'GiB']`. */
export function bytes(count: number): [string, string] {
  if (count >= kib ** 3) return [fixed(count / kib ** 3, 2), 'GiB'];
  const mebibytes = count / kib ** 2;
  if (mebibytes >= 1) return [fixed(mebibytes, mebibytes < 100 ? 1 : 0), 'MiB'];
  return count >= kib ? [fixed(count / kib, 0), 'KiB'] : [String(Math.round(count)), 'B'];
}

/** `2.30 GiB`. */
export function bytesText(count: number): string {
  return bytes(count).join(' ');
}

/** Counts of parameters and tokens: `1.24 B`, `11.3 M`, `4,096`. */
export function count(value: number): string {
  if (value >= 1e9) return t('{0} B', fixed(value / 1e9, 2));
  if (value >= 1e6) return t('{0} M', fixed(value / 1e6, value < 1e8 ? 1 : 0));
  return integer(value);
}

/** Seconds → number and unit: `['18', 'min']`, `['2 h 5', 'min']`. */
export function duration(seconds: number): [string, string] {
  if (seconds < 90) return [String(Math.max(0, Math.round(seconds))), 's'];
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return [String(minutes), 'min'];
  return [`${Math.floor(minutes / 60)} h ${minutes % 60}`, 'min'];
}

export function durationText(seconds: number): string {
  return duration(seconds).join(' ');
}

/** A loss: three decimals, exponents where it is huge, words where it is no number. */
export function loss(value: number): string {
  if (!Number.isFinite(value)) return t('not finite');
  return Math.abs(value) >= 1000 ? decimal(value.toExponential(2)) : fixed(value, 3);
}

/** A learning rate: `5.68e-5`. */
export function rate(value: number): string {
  return value === 0 ? '0' : decimal(value.toExponential(2));
}

/** Four significant digits at most, no exponent in the everyday range. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return t('not finite');
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return decimal(value.toExponential(1));
  return decimal(String(Number(value.toPrecision(4))));
}

/** `14:31` in local time. */
export function clock(iso: string | number): string {
  return timeOfDay(iso, {});
}

/** `14:31:07` in local time. */
export function clockSeconds(iso: string | number): string {
  return timeOfDay(iso, { second: '2-digit' });
}

function timeOfDay(iso: string | number, more: Intl.DateTimeFormatOptions): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return '';
  return date.toLocaleTimeString(language(), {
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    ...more,
  });
}
