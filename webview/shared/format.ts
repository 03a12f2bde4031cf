// Numbers → text, as every panel writes them: tabular, thousands with commas, memory in GiB as nvidia-smi has it. Pure.

const kib = 1024;

/** `7,473`. */
export function integer(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Bytes → number and unit: `['2.30', 'GiB']`. */
export function bytes(count: number): [string, string] {
  if (count >= kib ** 3) return [(count / kib ** 3).toFixed(2), 'GiB'];
  const mebibytes = count / kib ** 2;
  if (mebibytes >= 1) return [mebibytes.toFixed(mebibytes < 100 ? 1 : 0), 'MiB'];
  return count >= kib ? [(count / kib).toFixed(0), 'KiB'] : [String(Math.round(count)), 'B'];
}

/** `2.30 GiB`. */
export function bytesText(count: number): string {
  return bytes(count).join(' ');
}

/** Counts of parameters and tokens: `1.24 B`, `11.3 M`, `4,096`. */
export function count(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} B`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e8 ? 1 : 0)} M`;
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
  if (!Number.isFinite(value)) return 'not finite';
  return Math.abs(value) >= 1000 ? value.toExponential(2) : value.toFixed(3);
}

/** A learning rate: `5.68e-5`. */
export function rate(value: number): string {
  return value === 0 ? '0' : value.toExponential(2);
}

/** Four significant digits at most, no exponent in the everyday range. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return 'not finite';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/** `14:31` in local time. */
export function clock(iso: string | number): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? ''
    : `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`;
}

/** `14:31:07` in local time. */
export function clockSeconds(iso: string | number): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? '' : `${clock(iso)}:${String(date.getSeconds()).padStart(2, '0')}`;
}

/** `1 problem`, `2 problems`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${integer(value)} ${value === 1 ? one : many}`;
}
