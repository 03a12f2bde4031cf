// Look-ups of single entries in a small table, in the form that ONNX Runtime's CPU is quickest at. Knows no operator but its own.
import { elements } from '../dtype';
import type { GraphBuilder } from './builder';
import type { ConstantData, Shape, Value } from './graph';

/** Rows of indices that threads share at most; and entries of a table repeated for them at most. */
const most = { rows: 64, entries: 2 ** 16 };
/** Fewer indices in a row are not worth a table of its own. */
const leastInRow = 4096;
const repetitions = new WeakMap<ConstantData, Map<number, ConstantData>>();

/**
 * Entries of a flat table by int32 indices of any shape, element by element: Gather would copy each by itself, at three to five
 * times the cost (measured). GatherElements shares rows among threads, and each row wants a table.
 */
export function lookedUp<D extends Float32Array | Int32Array>(
  b: GraphBuilder,
  dtype: 'float32' | 'int32',
  table: D,
  at: Value,
  name: string,
  /** Of the result. */
  shape: Shape = at.shape,
): Value {
  const count = elements(at.shape);
  const rows = rowsOf(count, table.length);
  const entries = b.constant(dtype, [rows, table.length], repeated(table, rows), name);
  const found = b.op('GatherElements', [entries, b.reshape(at, [rows, count / rows])], { axis: 1 });
  return b.reshape(found, shape);
}

/** A power of two that divides the indices. */
function rowsOf(count: number, entries: number): number {
  let rows = 1;
  while (
    2 * rows <= most.rows &&
    2 * rows * entries <= most.entries &&
    count % (2 * rows) === 0 &&
    count / (2 * rows) >= leastInRow
  )
    rows *= 2;
  return rows;
}

/** The same array every time, so that a graph holds it once. */
function repeated<D extends Float32Array | Int32Array>(table: D, rows: number): D {
  if (rows === 1) return table;
  const known = repetitions.get(table) ?? new Map<number, ConstantData>();
  repetitions.set(table, known);
  let whole = known.get(rows) as D | undefined;
  if (whole === undefined) {
    whole = new (table.constructor as new (length: number) => D)(rows * table.length);
    for (let row = 0; row < rows; row++) whole.set(table, row * table.length);
    known.set(rows, whole);
  }
  return whole;
}
