// Tensors of which a file holds some ranks only (AdaLoRA): from all ranks to those that are kept, and back with zeros.
import type { PlannedTensor } from './variant';

type Ranked = Pick<PlannedTensor, 'shape' | 'rankAxis'>;

/** The shape in the file where of a tensor's ranks those with `kept` are stored. */
export function keptShape(
  { shape, rankAxis }: Ranked,
  kept: readonly boolean[] | undefined,
): readonly number[] {
  if (kept === undefined || rankAxis === undefined) return shape;
  const count = kept.filter(Boolean).length;
  return shape.map((size, axis) => (axis === rankAxis ? count : size));
}

/** A matrix without the ranks that are not kept. */
export function compact(
  data: Float32Array,
  tensor: Ranked,
  kept: readonly boolean[] | undefined,
): Float32Array {
  if (kept === undefined || tensor.rankAxis === undefined) return data;
  const [rows, columns] = tensor.shape as [number, number];
  const out: number[] = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      if (kept[tensor.rankAxis === 0 ? i : j]) out.push(data[i * columns + j]!);
  return Float32Array.from(out);
}

/** The way back: ranks that are not kept are zero. */
export function expand(
  data: Float32Array,
  tensor: Ranked,
  kept: readonly boolean[] | undefined,
): Float32Array {
  if (kept === undefined || tensor.rankAxis === undefined) return data;
  const [rows, columns] = tensor.shape as [number, number];
  const out = new Float32Array(rows * columns);
  let from = 0;
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      if (kept[tensor.rankAxis === 0 ? i : j]) out[i * columns + j] = data[from++]!;
  return out;
}
