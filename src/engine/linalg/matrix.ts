// Dense matrices in host memory, row by row, in fp32 or fp64, and the little that is done to them without a product.

export type Numbers = Float32Array | Float64Array;

export interface Matrix<T extends Numbers = Float32Array> {
  readonly rows: number;
  readonly columns: number;
  /** Row-major, rows·columns elements. */
  readonly data: T;
}

/** In fp64, where fp32 would decide the result's accuracy. */
export type DoubleMatrix = Matrix<Float64Array>;

export function matrix(
  rows: number,
  columns: number,
  data: Float32Array = new Float32Array(rows * columns),
): Matrix {
  return { rows, columns, data };
}

export function doubleMatrix(
  rows: number,
  columns: number,
  data: Float64Array = new Float64Array(rows * columns),
): DoubleMatrix {
  return { rows, columns, data };
}

/** The same numbers in fp32, rounded. */
export function rounded({ rows, columns, data }: DoubleMatrix): Matrix {
  return matrix(rows, columns, Float32Array.from(data));
}

/** The same numbers in fp64. */
export function widened({ rows, columns, data }: Matrix): DoubleMatrix {
  return doubleMatrix(rows, columns, Float64Array.from(data));
}

/** Zeros of the same type. */
export function zerosLike<T extends Numbers>(m: Matrix<T>, rows: number, columns: number): Matrix<T> {
  return { rows, columns, data: new (m.data.constructor as new (length: number) => T)(rows * columns) };
}

/** The transpose, as a copy; in tiles, so that both sides stay in the cache. */
export function transposed<T extends Numbers>(m: Matrix<T>): Matrix<T> {
  const { rows, columns, data } = m;
  const whole = zerosLike(m, columns, rows);
  const out = whole.data;
  const tile = 64;
  for (let i0 = 0; i0 < rows; i0 += tile) {
    const i1 = Math.min(rows, i0 + tile);
    for (let j0 = 0; j0 < columns; j0 += tile) {
      const j1 = Math.min(columns, j0 + tile);
      for (let i = i0; i < i1; i++) for (let j = j0; j < j1; j++) out[j * rows + i] = data[i * columns + j]!;
    }
  }
  return whole;
}

/** Part of a matrix; whole rows are a view, anything else a copy. */
export function block<T extends Numbers>(
  m: Matrix<T>,
  row: number,
  rowEnd: number,
  column = 0,
  columnEnd = m.columns,
): Matrix<T> {
  const rows = rowEnd - row;
  const columns = columnEnd - column;
  if (columns === m.columns)
    return { rows, columns, data: m.data.subarray(row * columns, rowEnd * columns) as T };
  const out = zerosLike(m, rows, columns);
  for (let i = 0; i < rows; i++) {
    const start = (row + i) * m.columns + column;
    out.data.set(m.data.subarray(start, start + columns), i * columns);
  }
  return out;
}

/** Writes `part` over the elements from (row, column) on. */
export function put<T extends Numbers>(m: Matrix<T>, part: Matrix<T>, row: number, column: number): void {
  for (let i = 0; i < part.rows; i++)
    m.data.set(part.data.subarray(i * part.columns, (i + 1) * part.columns), (row + i) * m.columns + column);
}

/** Root of the sum of squares, summed in fp64. */
export function frobenius({ data }: { readonly data: Numbers }): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]!;
  return Math.sqrt(sum);
}

/** Multiplies row i by factors[i], in place. */
export function scaleRows<T extends Numbers>(m: Matrix<T>, factors: ArrayLike<number>): Matrix<T> {
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++) m.data[i * m.columns + j]! *= factors[i]!;
  return m;
}

/** Multiplies column j by factors[j], in place. */
export function scaleColumns<T extends Numbers>(m: Matrix<T>, factors: ArrayLike<number>): Matrix<T> {
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++) m.data[i * m.columns + j]! *= factors[j]!;
  return m;
}
