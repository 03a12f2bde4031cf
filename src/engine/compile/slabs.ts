// Lays trained tensors out in flat vectors ("slabs"), so that one chain of nodes updates thousands of small tensors. Tensors
// of one parameter group share a slab, those that never train another; a tensor of a million elements or more has its own, since joining it would copy it.

import type { ParameterGroup, PlannedTensor } from '../adapters/variant';
import { elements } from '../dtype';
import { invariant } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { Precision } from '../graph/precision';

export interface SlabEntry {
  tensor: PlannedTensor;
  /** First element. */
  offset: number;
  count: number;
}

export interface Slab {
  /** `slab0`, `slab1`, … */
  name: string;
  group: ParameterGroup;
  /** What the optimizer calls these tensors (`Optimizer.layout`); empty where it makes no difference. */
  kind: string;
  length: number;
  /** Holds tensors that do not train: no gradient, no optimizer state. */
  frozen: boolean;
  entries: readonly SlabEntry[];
}

const ownSlab = 1 << 20;

/** @param layout the optimizer's wishes; evaluation has none. */
export function planSlabs(
  tensors: readonly PlannedTensor[],
  layout: (tensor: PlannedTensor) => { kind: string; alone?: boolean } = () => ({ kind: '' }),
): Slab[] {
  const shared = new Map<string, { kind: string; members: PlannedTensor[] }>();
  for (const tensor of tensors) {
    const { learningRateScale, decay } = tensor.group;
    const { kind, alone } = tensor.frozen ? { kind: '', alone: false } : layout(tensor);
    const group = tensor.frozen ? 'frozen' : `${learningRateScale}|${decay}|${kind}`;
    const key = alone || elements(tensor.shape) >= ownSlab ? `tensor ${tensor.name}` : group;
    const slab = shared.get(key);
    if (slab) slab.members.push(tensor);
    else shared.set(key, { kind, members: [tensor] });
  }
  return [...shared.values()].map(({ kind, members }, i) => {
    let offset = 0;
    const entries = members.map((tensor) => {
      const count = elements(tensor.shape);
      const entry = { tensor, offset, count };
      offset += count;
      return entry;
    });
    return {
      name: `slab${i}`,
      group: members[0]!.group,
      kind,
      frozen: members[0]!.frozen === true,
      length: offset,
      entries,
    };
  });
}

/** The shape that a tensor has on the device. */
export function deviceShape(tensor: Pick<PlannedTensor, 'shape' | 'transposed'>): readonly number[] {
  return tensor.transposed ? [tensor.shape[1]!, tensor.shape[0]!] : tensor.shape;
}

/** Turns a tensor between its file's layout and the device's; the same array where they agree. */
export function relayout(
  data: Float32Array,
  tensor: Pick<PlannedTensor, 'shape' | 'transposed'>,
  direction: 'to-device' | 'to-file',
): Float32Array {
  if (!tensor.transposed) return data;
  const [rows, columns] = (direction === 'to-device' ? tensor.shape : deviceShape(tensor)) as [
    number,
    number,
  ];
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  return out;
}

/** Graph inputs of the slabs, and every trained tensor as a view of them, by name, in the device's layout. */
export function slabViews(
  b: GraphBuilder,
  slabs: readonly Slab[],
  device?: Precision['device'],
): ReadonlyMap<string, Value> {
  const views = new Map<string, Value>();
  b.scope('parameters', () =>
    b.keeping('always', () => {
      for (const slab of slabs) {
        const vector = b.input(slab.name, 'float32', [slab.length]);
        const { rows, shape } = cuts(slab, device);
        const parts = b.split(
          b.reshape(vector, shape(slab.length)),
          0,
          slab.entries.map((entry) => rows(entry.count)),
        );
        slab.entries.forEach(({ tensor }, i) => {
          const shape = deviceShape(tensor);
          views.set(
            tensor.name,
            b.op('Reshape', [parts[i]!], { shape }, { name: tensor.name, keep: 'always' }),
          );
        });
      }
    }),
  );
  return views;
}

/**
 * One flat gradient per slab, from gradients by tensor name. Emitted last and in the order of the tensors, first layer
 * first: the runtime visits the last leaf first, and frees each layer's activations before it needs the next one's.
 */
export function slabGradients(
  b: GraphBuilder,
  slabs: readonly Slab[],
  gradients: ReadonlyMap<string, Value | null>,
  device?: Precision['device'],
): Value[] {
  return slabs.map((slab) => {
    const { shape } = cuts(slab, device);
    const parts = slab.entries.map(({ tensor, count }) => {
      const gradient = gradients.get(tensor.name);
      invariant(gradient !== undefined, `${tensor.name} was differentiated`);
      return gradient ? b.reshape(gradient, shape(count)) : b.fill(shape(count), 0);
    });
    return b.reshape(b.concat(parts, 0), [slab.length]);
  });
}

/**
 * How a slab is cut and joined: in single elements, on CUDA in rows of the largest number that divides all of its tensors. CUDA's
 * kernels for unequal parts (concat.cc, split.cc) make a table of eight bytes for every place along the axis, on the host, in
 * every run; on the CPU rows would change the order in which the runtime works.
 */
function cuts(
  { entries }: Slab,
  device: Precision['device'] | undefined,
): { rows(count: number): number; shape(count: number): readonly number[] } {
  if (device !== 'cuda') return { rows: (count) => count, shape: (count) => [count] };
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  const width = entries.reduce((sum, { count }) => divisor(sum, count), 0);
  return { rows: (count) => count / width, shape: (count) => [count / width, width] };
}
