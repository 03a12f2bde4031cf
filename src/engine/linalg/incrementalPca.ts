// Principal directions of data that comes in batches (Ross et al., 2008): each batch is joined with the directions so far,
// weighted by their singular values, and with the shift of the mean.
import { type Matrix, matrix } from './matrix';
import type { Products } from './products';
import { exactSvd } from './svd';

export class IncrementalPca {
  /** [components, n], orthonormal rows, from the largest variance down; empty before the first batch. */
  directions: Matrix | undefined;
  singularValues: Float64Array = new Float64Array(0);
  /** Share of the whole variance, by direction. */
  ratios: Float64Array = new Float64Array(0);
  /** Cosine similarity of each direction with the one before the last batch; 0 before the second. */
  similarity: Float64Array = new Float64Array(0);
  #count = 0;
  #mean: Float64Array = new Float64Array(0);
  /** Σ (x − mean)², by column. */
  #scatter: Float64Array = new Float64Array(0);

  constructor(
    private readonly products: Products,
    readonly components: number,
    private readonly seed: number,
  ) {}

  /** Takes x [rows, n]; a batch with fewer rows than components is skipped, and false returned. */
  async add(x: Matrix): Promise<boolean> {
    const { rows, columns } = x;
    if (rows < this.components) return false;
    const mean = columnMeans(x);
    const before = this.directions;
    const stacked = matrix(rows + (before ? before.rows + 1 : 0), columns);
    let at = 0;
    if (before) {
      for (let i = 0; i < before.rows; i++, at++)
        for (let j = 0; j < columns; j++)
          stacked.data[at * columns + j] = before.data[i * columns + j]! * this.singularValues[i]!;
    }
    for (let i = 0; i < rows; i++, at++)
      for (let j = 0; j < columns; j++) stacked.data[at * columns + j] = x.data[i * columns + j]! - mean[j]!;
    const total = this.#count + rows;
    if (before) {
      const factor = Math.sqrt((this.#count / total) * rows);
      for (let j = 0; j < columns; j++) stacked.data[at * columns + j] = factor * (this.#mean[j]! - mean[j]!);
    }
    this.#merge(x, mean, total);
    const { vt, sigma } = await exactSvd(this.products, stacked, this.components, 'top', this.seed);
    signed(vt);
    const variance = this.#scatter.reduce((sum, value) => sum + value, 0);
    this.similarity = Float64Array.from(sigma, (_, i) => (before ? rowCosine(vt, before, i) : 0));
    this.directions = vt;
    this.singularValues = sigma;
    this.ratios = sigma.map((value) => (variance > 0 ? (value * value) / variance : 0));
    return true;
  }

  #merge(x: Matrix, mean: Float64Array, total: number): void {
    const { rows, columns } = x;
    if (this.#count === 0) {
      this.#mean = new Float64Array(columns);
      this.#scatter = new Float64Array(columns);
    }
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) this.#scatter[j]! += (x.data[i * columns + j]! - mean[j]!) ** 2;
    for (let j = 0; j < columns; j++) {
      const shift = mean[j]! - this.#mean[j]!;
      this.#scatter[j]! += (shift * shift * this.#count * rows) / total;
      this.#mean[j]! += (shift * rows) / total;
    }
    this.#count = total;
  }
}

function columnMeans({ rows, columns, data }: Matrix): Float64Array {
  const mean = new Float64Array(columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) mean[j]! += data[i * columns + j]!;
  return mean.map((sum) => sum / rows);
}

/** Turns every row so that its entry of the largest size is positive: signs stay from batch to batch. */
function signed({ rows, columns, data }: Matrix): void {
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * columns, (i + 1) * columns);
    let largest = 0;
    for (const value of row) if (Math.abs(value) > Math.abs(largest)) largest = value;
    if (largest < 0) for (let j = 0; j < columns; j++) row[j] = -row[j]!;
  }
}

function rowCosine(a: Matrix, b: Matrix, i: number): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let p = i * a.columns; p < (i + 1) * a.columns; p++) {
    dot += a.data[p]! * b.data[p]!;
    aa += a.data[p]! ** 2;
    bb += b.data[p]! ** 2;
  }
  return dot / (Math.sqrt(aa * bb) || 1);
}
