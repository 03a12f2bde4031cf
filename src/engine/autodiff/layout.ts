// Gradients of operators that move elements: each sends its elements back where they came from.
import { axisOf, replaced } from '../graph/shape';
import { reduceTo } from './elementwise';
import { defineGradients } from './rule';

const ids = (values: readonly number[], shape: readonly number[]) => ({
  shape,
  data: { dtype: 'int64' as const, values },
});

export const layoutGradients = defineGradients({
  Reshape: {
    grad: (c) => [c.b.reshape(c.dOutput(0), c.shape(0))],
    samples: [{ inputs: [{ shape: [2, 6] }], attributes: { shape: [3, 4] } }],
  },
  Transpose: {
    grad: (c) => {
      const inverse = c.attributes.perm.map((_, i) => c.attributes.perm.indexOf(i));
      return [c.b.transpose(c.dOutput(0), inverse)];
    },
    samples: [{ inputs: [{ shape: [2, 3, 4] }], attributes: { perm: [2, 0, 1] } }],
  },
  Slice: {
    // Zeros on both sides of the slice.
    grad: (c) => {
      const { b } = c;
      const shape = c.shape(0);
      const axis = axisOf(c.attributes.axis, shape.length);
      const { start, end } = c.attributes;
      const parts = [c.dOutput(0)];
      if (start > 0) parts.unshift(b.fill(replaced(shape, axis, start), 0));
      if (end < shape[axis]!) parts.push(b.fill(replaced(shape, axis, shape[axis]! - end), 0));
      return [b.concat(parts, axis)];
    },
    samples: [
      { inputs: [{ shape: [2, 5] }], attributes: { axis: 1, start: 1, end: 4 } },
      { inputs: [{ shape: [4, 2] }], attributes: { axis: 0, start: 0, end: 3 } },
    ],
  },
  Window: { stop: 'reads pools of fixed numbers' },
  DynamicSlice: { stop: 'reads pools of fixed numbers' },
  Split: {
    grad: (c) => [
      c.b.concat(
        c.attributes.sizes.map((_, i) => c.dOutput(i)),
        c.attributes.axis,
      ),
    ],
    samples: [
      { inputs: [{ shape: [2, 6] }], attributes: { axis: 1, sizes: [1, 2, 3] }, outputs: [0, 1, 2] },
      { inputs: [{ shape: [2, 6] }], attributes: { axis: 1, sizes: [1, 2, 3] }, outputs: [1] },
    ],
  },
  Concat: {
    grad: (c) => {
      const axis = c.attributes.axis;
      const count = c.inputCount;
      const sizes = Array.from({ length: count }, (_, i) => c.shape(i)[axisOf(axis, c.shape(i).length)]!);
      const parts = c.b.split(c.dOutput(0), axis, sizes);
      return parts.map((part, i) => (c.needs(i) ? part : null));
    },
    samples: [{ inputs: [{ shape: [2, 1] }, { shape: [2, 3] }], attributes: { axis: 1 } }],
  },
  Expand: {
    grad: (c) => [reduceTo(c.b, c.dOutput(0), c.shape(0))],
    samples: [{ inputs: [{ shape: [2, 1] }], attributes: { shape: [3, 2, 4] } }],
  },
  Gather: {
    // Rows add up where an index repeats. Along another axis than 0 the table is turned around.
    grad: (c) => {
      const { b } = c;
      const table = c.shape(0);
      const axis = axisOf(c.attributes.axis, table.length);
      const indices = c.input(1);
      const count = indices.shape.reduce((p, d) => p * d, 1);
      const before = table.slice(0, axis);
      const after = table.slice(axis + 1);
      const flat = b.reshape(c.dOutput(0), [...before, count, ...after]);
      const front = [axis, ...table.map((_, i) => i).filter((i) => i !== axis)];
      const back = table.map((_, i) => front.indexOf(i));
      const rows = axis === 0 ? flat : b.transpose(flat, front);
      const zeros = b.fill([table[axis]!, ...before, ...after], 0);
      const sums = b.op('ScatterND', [zeros, b.reshape(indices, [count, 1]), rows], { reduction: 'add' });
      return [axis === 0 ? sums : b.transpose(sums, back)];
    },
    samples: [
      { inputs: [{ shape: [4, 3] }, ids([1, 3, 1, 0], [2, 2])], attributes: { axis: 0 } },
      { inputs: [{ shape: [2, 4] }, ids([1, 1, 3], [3])], attributes: { axis: 1 } },
    ],
  },
  GatherElements: {
    grad: (c) => {
      const zeros = c.b.fill(c.shape(0), 0);
      return [c.b.op('ScatterElements', [zeros, c.input(1), c.dOutput(0)], { axis: c.attributes.axis })];
    },
    samples: [{ inputs: [{ shape: [2, 3] }, ids([2, 0], [2, 1])], attributes: { axis: 1 } }],
  },
  ScatterElements: {
    grad: (c) => {
      const { b } = c;
      const axis = c.attributes.axis;
      const dUpdates = b.op('GatherElements', [c.dOutput(0), c.input(1)], { axis });
      const zeros = b.fill(c.shape(2), 0);
      return [
        c.needs(0) ? b.op('ScatterElements', [c.dOutput(0), c.input(1), zeros], { axis }) : null,
        null,
        c.needs(2) ? dUpdates : null,
      ];
    },
    samples: [
      { inputs: [{ shape: [2, 3] }, ids([2, 0], [2, 1]), { shape: [2, 1] }], attributes: { axis: 1 } },
    ],
  },
  ScatterND: {
    grad: (c) => {
      const rows = c.shape(2);
      const indices = c.b.reshape(c.input(1), c.shape(1).slice(0, -1));
      const dUpdates = c.b.op('Gather', [c.dOutput(0), indices], { axis: 0 });
      return [c.dOutput(0), null, c.needs(2) ? c.b.reshape(dUpdates, rows) : null];
    },
    samples: [
      {
        inputs: [{ shape: [4, 2] }, ids([1, 1, 3], [3, 1]), { shape: [3, 2] }],
        attributes: { reduction: 'add' },
      },
    ],
  },
});
