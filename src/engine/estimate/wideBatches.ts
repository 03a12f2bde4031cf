// A forecast of a batch too wide to compile in a moment: the loss alone takes a few nodes for every 256 tokens. Bytes grow with
// the rows by a straight line, so that two smaller batches tell a larger one.
import type { Forecast } from './forecast';

/** Tokens of the widest batch whose programs are compiled to be counted. */
const widestTokens = 2 ** 18;

/** @param at the forecast of a batch of so many rows, compiled. */
export function acrossRows(
  rows: number,
  length: number,
  at: (rows: number) => Forecast,
  widest = widestTokens,
): Forecast {
  const few = Math.max(1, Math.floor(widest / 4 / length));
  const many = 2 * few;
  if (rows * length <= widest || rows <= many) return at(rows);
  return onwards(at(few), at(many), (rows - many) / (many - few));
}

/** Every number of `b`, and `share` times as much further as it is from that of `a`. */
function onwards<T>(a: T, b: T, share: number): T {
  if (typeof b === 'number') return Math.round(b + share * (b - Number(a))) as T;
  if (Array.isArray(b)) return b.map((value, i) => onwards((a as unknown[])[i], value, share)) as T;
  if (typeof b !== 'object' || b === null) return b;
  const from = a as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(b).map(([key, value]) => [key, onwards(from[key], value, share)]),
  ) as T;
}
