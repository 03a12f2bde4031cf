// Operators that move elements without arithmetic: views, slices, joins and look-ups. Static arguments are attributes here;
// the encoder turns those that ONNX takes as inputs into constants.
import { elements } from '../../dtype';
import { axisOf, replaced, sameShape } from '../shape';
import { defineOps, type OpDefinition, required, type TensorType } from './definition';

type Ints = readonly number[];

export const layoutOps = defineOps({
  /** `shape` has no wildcards. */
  Reshape: {
    domain: '',
    precision: 'moves',
    onnx: (a) => ({ ints: [a.shape], attributes: {} }),
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      if (elements(x.shape) !== elements(a.shape)) fail(`cannot be read as [${a.shape.join(', ')}]`);
      return [{ dtype: x.dtype, shape: a.shape }];
    },
  } as OpDefinition<{ shape: Ints }>,
  Transpose: {
    domain: '',
    precision: 'moves',
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      if ([...a.perm].sort((p, q) => p - q).some((p, i) => p !== i) || a.perm.length !== x.shape.length)
        fail('perm is no permutation');
      return [{ dtype: x.dtype, shape: a.perm.map((p) => x.shape[p]!) }];
    },
  } as OpDefinition<{ perm: Ints }>,
  /** [start, end) along one axis. */
  Slice: {
    domain: '',
    precision: 'moves',
    onnx: (a) => ({ ints: [[a.start], [a.end], [a.axis]], attributes: {} }),
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      const axis = axisOf(a.axis, x.shape.length);
      if (!(0 <= a.start && a.start < a.end && a.end <= x.shape[axis]!))
        fail(`[${a.start}, ${a.end}) leaves axis ${axis}`);
      return [{ dtype: x.dtype, shape: replaced(x.shape, axis, a.end - a.start) }];
    },
  } as OpDefinition<{ axis: number; start: number; end: number }>,
  /** `length` elements of a vector from a start that is fed at run time: inputs vector, start and end int64 [1]. */
  Window: {
    domain: 'workbench',
    precision: 'follows',
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      if (x.shape.length !== 1 || a.length > x.shape[0]!) fail('the window is longer than the vector');
      return [{ dtype: x.dtype, shape: [a.length] }];
    },
    expand: (b, inputs, a) => {
      const [x, start, end] = inputs;
      return [b.op('DynamicSlice', [x!, start!, end!, b.int64([0])], { shape: [a.length] })];
    },
  } as OpDefinition<{ length: number }>,
  /** ONNX Slice with run-time bounds, whose result has the stated shape. */
  DynamicSlice: {
    domain: '',
    precision: 'follows',
    onnx: () => ({ opType: 'Slice', attributes: {} }),
    hostInputs: [1, 2, 3],
    infer: (inputs, a, fail) => [{ dtype: required(inputs, 0, fail).dtype, shape: a.shape }],
  } as OpDefinition<{ shape: Ints }>,
  Split: {
    domain: '',
    precision: 'moves',
    onnx: (a) => ({ ints: [a.sizes], attributes: { axis: a.axis } }),
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      const axis = axisOf(a.axis, x.shape.length);
      if (a.sizes.reduce((s, d) => s + d, 0) !== x.shape[axis])
        fail(`sizes [${a.sizes.join(', ')}] do not add up to axis ${axis}`);
      return a.sizes.map((size) => ({ dtype: x.dtype, shape: replaced(x.shape, axis, size) }));
    },
  } as OpDefinition<{ axis: number; sizes: Ints }>,
  Concat: {
    domain: '',
    precision: 'moves',
    infer: (inputs, a, fail) => {
      const parts = inputs.map((_, i) => required(inputs, i, fail));
      const first = parts[0] ?? fail('nothing to join');
      const axis = axisOf(a.axis, first.shape.length);
      for (const part of parts) {
        if (part.dtype !== first.dtype) fail('the element types differ');
        if (!sameShape(replaced(part.shape, axis, 0), replaced(first.shape, axis, 0)))
          fail('the parts differ beyond the axis');
      }
      return [
        {
          dtype: first.dtype,
          shape: replaced(
            first.shape,
            axis,
            parts.reduce((s, p) => s + p.shape[axis]!, 0),
          ),
        },
      ];
    },
  } as OpDefinition<{ axis: number }>,
  Expand: {
    domain: '',
    precision: 'moves',
    onnx: (a) => ({ ints: [a.shape], attributes: {} }),
    infer: (inputs, a, fail) => [{ dtype: required(inputs, 0, fail).dtype, shape: a.shape }],
  } as OpDefinition<{ shape: Ints }>,
  /** Rows (or slices along `axis`) of the first input by integer indices. */
  Gather: {
    domain: '',
    precision: 'follows',
    infer: (inputs, a, fail) => {
      const [table, ids] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      const axis = axisOf(a.axis, table.shape.length);
      return [
        {
          dtype: table.dtype,
          shape: [...table.shape.slice(0, axis), ...ids.shape, ...table.shape.slice(axis + 1)],
        },
      ];
    },
  } as OpDefinition<{ axis: number }>,
  GatherElements: {
    domain: '',
    precision: 'follows',
    infer: (inputs, _, fail) => [
      { dtype: required(inputs, 0, fail).dtype, shape: required(inputs, 1, fail).shape },
    ],
  } as OpDefinition<{ axis: number }>,
  /** data, indices, updates: a copy of data with the updates written in. */
  ScatterElements: { domain: '', precision: 'follows', infer: sameAsData } as OpDefinition<{ axis: number }>,
  /** data, indices [..., 1], updates: a copy of data with rows added in. */
  ScatterND: { domain: '', precision: 'float32', infer: sameAsData } as OpDefinition<{ reduction: 'add' }>,
});

function sameAsData(
  inputs: readonly (TensorType | null)[],
  _: unknown,
  fail: (why: string) => never,
): TensorType[] {
  const data = required(inputs, 0, fail);
  if (required(inputs, 2, fail).dtype !== data.dtype) fail('the updates differ in element type');
  return [data];
}
