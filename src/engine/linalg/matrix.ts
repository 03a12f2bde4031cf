// Dense fp32 matrices in host memory, row by row, and the little that is done to them without a product.

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Row-major, rows·columns elements. */
  readonly data: Float32Array;
}

export function matrix(
  rows: number,
  columns: number,
  data: Float32Array = new Float32Array(rows * columns),
): Matrix {
  return { rows, columns, data };
}

/** The transpose, as a copy; in tiles, so that both sides stay in the cache. */
export function transposed({ rows, columns, data }: Matrix): Matrix {
  const out = new Float32Array(data.length);
  const tile = 64;
  for (let i0 = 0; i0 < rows; i0 += tile) {
    const i1 = Math.min(rows, i0 + tile);
    for (let j0 = 0; j0 < columns; j0 += tile) {
      const j1 = Math.min(columns, j0 + tile);
      for (let i = i0; i < i1; i++) for (let j = j0; j < j1; j++) out[j * rows + i] = data[i * columns + j]!;
    }
  }
  return matrix(columns, rows, out);
}

/** Part of a matrix; whole rows are a view, anything else a copy. */
export function block(m: Matrix, row: number, rowEnd: number, column = 0, columnEnd = m.columns): Matrix {
  const rows = rowEnd - row;
  const columns = columnEnd - column;
  if (columns === m.columns) return matrix(rows, columns, m.data.subarray(row * columns, rowEnd * columns));
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const start = (row + i) * m.columns + column;
    out.set(m.data.subarray(start, start + columns), i * columns);
  }
  return matrix(rows, columns, out);
}

/** Root of the sum of squares, summed in fp64. */
export function frobenius({ data }: Pick<Matrix, 'data'>): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]!;
  return Math.sqrt(sum);
}

/** Multiplies row i by factors[i], in place. */
export function scaleRows(m: Matrix, factors: ArrayLike<number>): Matrix {
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++) m.data[i * m.columns + j]! *= factors[i]!;
  return m;
}

/** Multiplies column j by factors[j], in place. */
export function scaleColumns(m: Matrix, factors: ArrayLike<number>): Matrix {
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++) m.data[i * m.columns + j]! *= factors[j]!;
  return m;
}
