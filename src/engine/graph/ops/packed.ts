// Weights in four bits: their values, and products with them. The values are made anew for every reader, right before it, so
// that no fp32 copy of a weight lives from the forward pass to the backward.
import { elements } from '../../dtype';
import { codeBooks, dynamicCodes, type QuantType } from '../../quantization/codes';
import { sizesBlock } from '../../quantization/sizes';
import type { GraphBuilder } from '../builder';
import type { Node, Value } from '../graph';
import { lookedUp } from '../lookUp';
import { packedKernels } from '../packedKernels';
import type { Precision } from '../precision';
import { defineOps, type OpDefinition, required } from './definition';

/** Of a weight [out, in] in blocks over its rows. */
interface PackedAttributes {
  out_features: number;
  in_features: number;
  block_size: number;
  quant_type: QuantType;
  /** Gives [in, out]. */
  transposed: 0 | 1;
}

/** The two values of every byte, the high nibble's first: each by itself, and as pairs [256, 2]. */
interface ByteValues {
  first: Float32Array;
  second: Float32Array;
  pairs: Float32Array;
}

const byteValues: Readonly<Record<QuantType, ByteValues>> = {
  nf4: byteValuesOf(codeBooks.nf4.values),
  fp4: byteValuesOf(codeBooks.fp4.values),
};

function byteValuesOf(values: Float32Array): ByteValues {
  const first = Float32Array.from({ length: 256 }, (_, byte) => values[byte >> 4]!);
  const second = Float32Array.from({ length: 256 }, (_, byte) => values[byte & 15]!);
  const pairs = Float32Array.from({ length: 512 }, (_, i) => (i % 2 === 0 ? first : second)[i >> 1]!);
  return { first, second, pairs };
}

export const packedOps = defineOps({
  /**
   * Quantised block sizes: codes uint8 (whole blocks of 256), their sizes float32, the offset float32 [1] → float32 [blocks].
   * size = dynamic[code]·sizes[block of 256] + offset.
   */
  DequantizeSizes: {
    domain: 'workbench',
    precision: 'float32',
    fresh: true,
    infer: (inputs, a, fail) => {
      const [codes, sizes] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      if (elements(codes.shape) !== sizesBlock * elements(sizes.shape)) fail('codes and sizes do not fit');
      if (a.blocks > elements(codes.shape)) fail(`there are fewer than ${a.blocks} codes`);
      return [{ dtype: 'float32', shape: [a.blocks] }];
    },
    expand: (b, inputs, a) => {
      const [codes, sizes, offset] = inputs as [Value, Value, Value];
      const outer = elements(sizes.shape);
      const shape = [outer, sizesBlock];
      const found = lookedUp(b, 'float32', dynamicCodes, index(b, codes), 'dynamic_codes', shape);
      const scaled = b.mul(found, b.reshape(sizes, [outer, 1]));
      const whole = b.add(b.reshape(scaled, [outer * sizesBlock]), offset);
      return [cut(b, whole, a.blocks)];
    },
  } as OpDefinition<{ blocks: number }>,
  /** codes uint8 (whole blocks), block sizes float32 → the weight float32 [out, in]: code book[code]·size of its block. */
  DequantizeWeight: {
    domain: 'workbench',
    precision: 'through float32',
    fresh: true,
    infer: (inputs, a, fail) => {
      const [codes, sizes] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      const blocks = Math.ceil((a.out_features * a.in_features) / a.block_size);
      if (elements(sizes.shape) !== blocks) fail(`the weight has ${blocks} blocks`);
      if (2 * elements(codes.shape) !== blocks * a.block_size) fail('the codes do not fill the blocks');
      const shape = [a.out_features, a.in_features];
      return [{ dtype: 'float32', shape: a.transposed ? shape.reverse() : shape }];
    },
    expand: (b, inputs, a, _, device) => {
      const [codes, sizes] = inputs as [Value, Value];
      const blocks = elements(sizes.shape);
      const scaled = blockValues(b, a, index(b, codes), b.reshape(sizes, [blocks, 1]), device);
      const count = a.out_features * a.in_features;
      // The runtime fuses two shapes in a row into a new node, which its walk takes first: the weight would be made early.
      const values =
        elements(scaled.shape) === count
          ? scaled
          : b.slice(b.reshape(scaled, [blocks * a.block_size]), 0, 0, count);
      const weight = b.reshape(values, [a.out_features, a.in_features]);
      return [a.transposed ? b.transpose(weight, [1, 0]) : weight];
    },
  } as OpDefinition<PackedAttributes>,
  /** x [M, K] · Wᵀ for W [N, K] in four bits: x, codes, block sizes → [M, N]. Written by lowering alone. */
  MatMulBnb4: {
    domain: 'com.microsoft',
    precision: 'float32',
    infer: (inputs, a, fail) => {
      const x = required(inputs, 0, fail);
      if (x.shape.at(-1) !== a.K) fail(`the inner dimensions ${x.shape.at(-1)} and ${a.K} differ`);
      return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), a.N] }];
    },
  } as OpDefinition<{
    K: number;
    N: number;
    block_size: number;
    quant_type: 0 | 1;
    training_mode: 0 | 1;
    transB: 1;
  }>,
});

/**
 * A product x·Wᵀ (+ c) of a weight in four bits by the device's own kernel; undefined for any other product, and where the
 * device has none. In 16 bits it would round the block sizes, so that those products look the weight up.
 */
export function packedProduct(
  b: GraphBuilder,
  { inputs, attributes }: Node,
  map: (value: Value) => Value,
  device: Precision['device'],
): readonly Value[] | undefined {
  const [x, weight, c] = inputs;
  const source = weight?.producer;
  if (x?.dtype !== 'float32' || source?.op !== 'DequantizeWeight') return undefined;
  const form = source.attributes as unknown as PackedAttributes;
  const kernel = packedKernels[device];
  const { transA, transB, alpha } = attributes as {
    transA: number;
    transB: number;
    alpha: { float: number };
  };
  const fits = transA === 0 && transB === 1 && alpha.float === 1 && form.transposed === 0;
  if (!fits || !kernel?.blockSizes.includes(form.block_size)) return undefined;
  const [codes, sizes] = source.inputs as [Value, Value];
  const product = b.op('MatMulBnb4', [map(x), map(codes), map(sizes)], {
    K: form.in_features,
    N: form.out_features,
    block_size: form.block_size,
    quant_type: form.quant_type === 'nf4' ? 1 : 0,
    training_mode: kernel.trainingMode,
    transB: 1,
  });
  return [c ? b.add(product, map(c)) : product];
}

/**
 * Code book[code]·size of whole blocks, in the weight's order, by bytes [n] and sizes [blocks, 1]. A GPU copies the pairs of
 * bytes in one kernel; on the CPU two look-ups of single values and their joining take half the time of that (bench/RESULTS.md).
 */
function blockValues(
  b: GraphBuilder,
  { block_size, quant_type }: Pick<PackedAttributes, 'block_size' | 'quant_type'>,
  at: Value,
  sizes: Value,
  device: Precision['device'],
): Value {
  const blocks = sizes.shape[0]!;
  const { first, second, pairs } = byteValues[quant_type];
  if (device !== 'cpu') {
    const table = b.constant('float32', [256, 2], pairs, `${quant_type}_pairs`);
    const found = b.op('Gather', [table, at], { axis: 0 });
    return b.mul(b.reshape(found, [blocks, block_size]), sizes);
  }
  const half = [blocks, block_size / 2];
  const [high, low] = [first, second].map((values, i) => {
    const name = `${quant_type}_${i === 0 ? 'first' : 'second'}`;
    const scaled = b.mul(lookedUp(b, 'float32', values, at, name, half), sizes);
    return b.reshape(scaled, [elements(at.shape), 1]);
  }) as [Value, Value];
  return b.concat([high, low], 1);
}

/** Look-ups take their indices as int32. */
function index(b: GraphBuilder, codes: Value): Value {
  return b.op('Cast', [codes], { to: 'int32' });
}

/** The first elements of a vector. */
function cut(b: GraphBuilder, values: Value, count: number): Value {
  return elements(values.shape) === count ? values : b.slice(values, 0, 0, count);
}
