// The plain LoRA of a run that changed its base to W − s·B0·A0: A' = [A; A0], B' = [B, −B0] with r and alpha doubled, so that
// W + s·B'·A' is what was trained. PEFT converts alike, but loses all other trained tensors; here they stay. Knows no files.
import type { AdapterPlan } from './plan';

/** Start values of factors by tensor name, in the file's layout. */
export type StartFactors = ReadonlyMap<string, Float32Array>;

export interface ShapedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array;
}

const inputSide = /\.lora_(A\.weight|embedding_A)$/;
const outputSide = /\.lora_(B\.weight|embedding_B)$/;

/** Whether a tensor is a factor that the conversion doubles. */
export function isFactor(name: string): boolean {
  return inputSide.test(name) || outputSide.test(name);
}

/** A tensor [r, in] or [out, r] and its start values, joined; any other tensor as it is. */
export function joinedFactor(tensor: ShapedTensor, start: Float32Array | undefined): ShapedTensor {
  if (!start || !isFactor(tensor.name)) return tensor;
  const [rows, columns] = tensor.shape as [number, number];
  const data = new Float32Array(2 * tensor.data.length);
  if (inputSide.test(tensor.name)) {
    data.set(tensor.data);
    data.set(start, tensor.data.length);
    return { name: tensor.name, shape: [2 * rows, columns], data };
  }
  for (let i = 0; i < rows; i++) {
    data.set(tensor.data.subarray(i * columns, (i + 1) * columns), 2 * i * columns);
    for (let j = 0; j < columns; j++) data[(2 * i + 1) * columns + j] = -start[i * columns + j]!;
  }
  return { name: tensor.name, shape: [rows, 2 * columns], data };
}

/** The two halves of a joined factor. @param shape of one half. */
export function splitFactor(
  name: string,
  shape: readonly number[],
  data: Float32Array,
): { data: Float32Array; start: Float32Array } {
  const [rows, columns] = shape as [number, number];
  const count = rows * columns;
  if (inputSide.test(name)) return { data: data.slice(0, count), start: data.slice(count) };
  const [now, start] = [new Float32Array(count), new Float32Array(count)];
  for (let i = 0; i < rows; i++) {
    now.set(data.subarray(2 * i * columns, (2 * i + 1) * columns), i * columns);
    for (let j = 0; j < columns; j++) start[i * columns + j] = -data[(2 * i + 1) * columns + j]!;
  }
  return { data: now, start };
}

/** The shape that a joined factor has; other tensors keep theirs. */
export function joinedShape(name: string, shape: readonly number[]): readonly number[] {
  if (inputSide.test(name)) return [2 * shape[0]!, ...shape.slice(1)];
  return outputSide.test(name) ? [shape[0]!, 2 * shape[1]!] : shape;
}

interface RankSettings {
  r: number;
  lora_alpha: number;
  rank_pattern: Readonly<Record<string, number>>;
  alpha_pattern: Readonly<Record<string, number>>;
  use_rslora: boolean;
  init_lora_weights: unknown;
}

/** Settings of the converted adapter: alpha/r stays, with rsLoRA alpha/√r does. */
export function convertedSettings<T extends RankSettings>(settings: T): T {
  const factor = settings.use_rslora ? Math.SQRT2 : 2;
  const times = (by: number, pattern: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, by * value]));
  return {
    ...settings,
    r: 2 * settings.r,
    lora_alpha: factor * settings.lora_alpha,
    rank_pattern: times(2, settings.rank_pattern),
    alpha_pattern: times(factor, settings.alpha_pattern),
    init_lora_weights: true,
  };
}

/** The plan whose tensors are the converted adapter's. */
export function convertedPlan(plan: AdapterPlan): AdapterPlan {
  const settings = convertedSettings(plan.settings);
  const factor = settings.use_rslora ? Math.SQRT2 : 2;
  return {
    ...plan,
    settings,
    sites: new Map(
      [...plan.sites].map(([path, site]) => [path, { ...site, r: 2 * site.r, alpha: factor * site.alpha }]),
    ),
    tensors: plan.tensors.map((tensor) => ({ ...tensor, shape: joinedShape(tensor.name, tensor.shape) })),
  };
}

/** The values of the converted adapter, by tensor name. */
export function convertedValues(
  plan: AdapterPlan,
  values: ReadonlyMap<string, Float32Array>,
  start: StartFactors,
): Map<string, Float32Array> {
  return new Map(
    plan.tensors.map(({ name, shape }) => [
      name,
      joinedFactor({ name, shape, data: values.get(name)! }, start.get(name)).data,
    ]),
  );
}
