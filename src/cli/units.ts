// Numbers as people read them: bytes, durations, counts, rates.

/** Bytes with a binary unit and three significant digits: `1.25 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${units[unit]}`;
}

/** Seconds as `0:07`, `12:34` or `1:02:03`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = String(s).padStart(2, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${tail}` : `${m}:${tail}`;
}

/** A count in short: `812`, `12.3 k`, `1.24 M`. */
export function formatCount(count: number): string {
  if (count < 10_000) return String(Math.round(count));
  const [value, unit] =
    count < 1e6 ? [count / 1e3, 'k'] : count < 1e9 ? [count / 1e6, 'M'] : [count / 1e9, 'G'];
  return `${threeDigits(value)} ${unit}`;
}

/** A loss or a perplexity with four decimals, or in powers of ten where it is very large. */
export function formatLoss(loss: number): string {
  return Math.abs(loss) < 1e5 ? loss.toFixed(4) : loss.toExponential(3);
}

function threeDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
