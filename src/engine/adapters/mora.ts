// MoRA (Jiang et al., arXiv 2405.12130): a square matrix instead of two thin ones. y = x·W0ᵀ + bias + D(M·C(Drop(x))) with
// M [r̂, r̂], r̂ = ⌊√((in+out)·r) + ½⌋ (type 6: even, downwards), and fixed operators C and D; there is no scaling.
//
// C wraps (types 1, 4: chunks of r̂ features, the first ones once more behind the last, added up) or groups (2, 3: r̂ runs of
// neighbouring features, each added up). D tiles (1, 3: repeats the r̂ numbers) or groups (2, 4: repeats each number).
// Type 6 rotates chunk i of x by RoPE at position i and multiplies every chunk by M: chunk i of y comes from chunk i of x.
import { AdapterError } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { AdapterSettings } from './settings';
import type { Site, Variant } from './variant';

const rotating = 6;
const typeOf = (settings: AdapterSettings): number => Number(settings.settings.mora_type ?? 1);
const wraps = (type: number): boolean => type === 1 || type === 4;
const tiles = (type: number): boolean => type === 1 || type === 3;

/** The side of M. */
export function moraSide({ inFeatures, outFeatures, r }: Site, type: number): number {
  const side = Math.floor(Math.sqrt((inFeatures + outFeatures) * r) + 0.5);
  return type === rotating ? side - (side % 2) : side;
}

export const mora: Variant = {
  id: 'mora',
  entry: {
    id: 'mora',
    label: 'MoRA: a square matrix of high rank',
    summary: 'As many parameters as LoRA at the same r; better at memorising new facts.',
    fields: [
      {
        key: 'mora_type',
        type: 'integer',
        minimum: 1,
        maximum: 6,
        default: 1,
        group: 'adapter',
        description:
          'How features meet the matrix: 1 shares (for large r), 2 groups neighbours, 3 and 4 mix the two, 6 rotates (for small r; not for layers that are much wider than high, whose last inputs it never sees). 1 to 4 are exact LoRA files too.',
      },
    ],
    without: ['init_lora_weights', 'lora_alpha', 'alpha_pattern', 'use_rslora'],
    check: ({ settings }) =>
      settings.mora_type === 5
        ? [
            {
              where: 'mora_type',
              message: 'mora_type: 5 does not exist.',
              remedy: 'Set mora_type to 1, 2, 3, 4 or 6.',
            },
          ]
        : [],
  },
  paper: 'https://arxiv.org/abs/2405.12130',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',

  parameters(site, settings) {
    const side = moraSide(site, typeOf(settings));
    if (side < 2 || side > 2 * site.inFeatures) {
      throw new AdapterError({
        code: 'mora-rank',
        message: `${site.path} is ${site.inFeatures} wide and ${site.outFeatures} high: r ${site.r} makes a square matrix of side ${side}; expected 2 to ${2 * site.inFeatures}.`,
        remedy: side < 2 ? 'Set a higher r.' : 'Set a lower r, or take the module out of target_modules.',
      });
    }
    return [
      {
        name: `${site.path}.mora_M`,
        shape: [side, side],
        group: { learningRateScale: 1, decay: true },
        initial: () => new Float32Array(side * side),
      },
    ];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const type = typeOf(settings);
    const m = c.parameter('mora_M');
    const side = m.shape[0]!;
    const dropped = c.dropout(x);
    const alpha = dropped.keepScale;
    if (type === rotating) {
      const turned = rotated(b, wrapped(b, dropped.value, side));
      const rows = b.reshape(turned, [turned.shape[0]! * turned.shape[1]!, side]);
      const out = b.gemm(rows, m, { transB: true, alpha });
      const flat = b.reshape(out, [turned.shape[0]!, turned.shape[1]! * side]);
      return b.add(c.base(x), tiled(b, flat, site.outFeatures));
    }
    const low = wraps(type)
      ? b.sum(wrapped(b, dropped.value, side), [1], 0)
      : grouped(b, dropped.value, side);
    const square = b.gemm(low, m, { transB: true, alpha });
    const high = tiles(type) ? tiled(b, square, site.outFeatures) : repeated(b, square, site.outFeatures);
    return b.add(c.base(x), high);
  },

  hasLoraForm: (settings) => typeOf(settings) !== rotating,

  /** A = C and B = D·M, of rank r̂. */
  loraForm(site, tensors, settings) {
    const type = typeOf(settings);
    const m = tensors('mora_M');
    const side = Math.round(Math.sqrt(m.length));
    const { inFeatures, outFeatures } = site;
    const a = new Float32Array(side * inFeatures);
    const groupIn = groupOf(inFeatures, side);
    if (wraps(type)) {
      const padded = Math.ceil(inFeatures / side) * side;
      for (let p = 0; p < padded; p++) a[(p % side) * inFeatures + (p % inFeatures)]! += 1;
    } else for (let i = 0; i < inFeatures; i++) a[groupIn(i) * inFeatures + i] = 1;
    const b = new Float32Array(outFeatures * side);
    const groupOut = groupOf(outFeatures, side);
    for (let o = 0; o < outFeatures; o++) {
      const row = tiles(type) ? o % side : groupOut(o);
      b.set(m.subarray(row * side, (row + 1) * side), o * side);
    }
    return { rank: side, a, b };
  },

  /** Type 6, block by block: M·(diag(cos) + diag(sin)·J), J the turn by a quarter; padding falls on the first features. */
  mergedWeight({ b, site, weight, parameter }) {
    const m = parameter('mora_M');
    const side = m.shape[0]!;
    const { inFeatures, outFeatures } = site;
    const chunks = Math.ceil(inFeatures / side);
    const half = side / 2;
    const quarter = b.concat([b.slice(m, 1, half, side), b.op('Neg', [b.slice(m, 1, 0, half)], {})], 1);
    const { cos, sin } = rotations(chunks, side);
    const row = (table: Float32Array, i: number): Value =>
      b.constant('float32', [1, side], table.slice(i * side, (i + 1) * side), 'rotation');
    const blocks = Array.from({ length: chunks }, (_, i) => {
      const block = b.add(b.mul(m, row(cos, i)), b.mul(quarter, row(sin, i)));
      return placed(b, block, i * side, inFeatures);
    });
    const all = b.concat(blocks, 0);
    const repeats = Math.ceil(outFeatures / (chunks * side));
    const high = b.concat(
      Array.from({ length: repeats }, () => all),
      0,
    );
    return b.add(weight, high.shape[0] === outFeatures ? high : b.slice(high, 0, 0, outFeatures));
  },
};

/** x [N, in] → [N, chunks, side]: the features in chunks, the first ones again where the last chunk is short. */
function wrapped(b: GraphBuilder, x: Value, side: number): Value {
  const [rows, width] = x.shape as [number, number];
  const chunks = Math.ceil(width / side);
  const parts = [x];
  for (let missing = chunks * side - width; missing > 0; missing -= width)
    parts.push(missing >= width ? x : b.slice(x, 1, 0, missing));
  return b.reshape(b.concat(parts, 1), [rows, chunks, side]);
}

/** x [N, width] → [N, side]: sums of neighbours; the first `width mod side` groups have one more. */
function grouped(b: GraphBuilder, x: Value, side: number): Value {
  const [rows, width] = x.shape as [number, number];
  const [small, larger] = [Math.floor(width / side), width % side];
  const parts: Value[] = [];
  const cut = larger * (small + 1);
  const sums = (part: Value, groups: number, size: number): Value =>
    size === 1 ? part : b.sum(b.reshape(part, [rows, groups, size]), [2], 0);
  if (larger > 0) parts.push(sums(cut === width ? x : b.slice(x, 1, 0, cut), larger, small + 1));
  if (small > 0) parts.push(sums(cut === 0 ? x : b.slice(x, 1, cut, width), side - larger, small));
  else parts.push(b.fill([rows, side - larger], 0));
  return b.concat(parts, 1);
}

/** h [N, side] → [N, width]: repeated as a whole and cut. */
function tiled(b: GraphBuilder, h: Value, width: number): Value {
  const side = h.shape[1]!;
  const all = b.concat(
    Array.from({ length: Math.ceil(width / side) }, () => h),
    1,
  );
  return all.shape[1] === width ? all : b.slice(all, 1, 0, width);
}

/** h [N, side] → [N, width]: every number repeated over its group. */
function repeated(b: GraphBuilder, h: Value, width: number): Value {
  const [rows, side] = h.shape as [number, number];
  const [small, larger] = [Math.floor(width / side), width % side];
  const spread = (part: Value, groups: number, size: number): Value =>
    size === 1
      ? part
      : b.reshape(b.op('Expand', [b.reshape(part, [rows, groups, 1])], { shape: [rows, groups, size] }), [
          rows,
          groups * size,
        ]);
  const parts: Value[] = [];
  if (larger > 0) parts.push(spread(b.slice(h, 1, 0, larger), larger, small + 1));
  if (small > 0) parts.push(spread(larger === 0 ? h : b.slice(h, 1, larger, side), side - larger, small));
  return b.concat(parts, 1);
}

/** Which group a feature falls into. */
function groupOf(width: number, side: number): (i: number) => number {
  const [small, larger] = [Math.floor(width / side), width % side];
  const cut = larger * (small + 1);
  return (i) => (i < cut ? Math.floor(i / (small + 1)) : larger + Math.floor((i - cut) / small));
}

/** RoPE of [N, chunks, side] at position = chunk, base 10000, halves turned against each other. */
function rotated(b: GraphBuilder, x: Value): Value {
  const [, chunks, side] = x.shape as [number, number, number];
  const { cos, sin } = rotations(chunks, side);
  const table = (data: Float32Array): Value => b.constant('float32', [chunks, side], data, 'rotation');
  const turned = b.concat([b.op('Neg', [b.slice(x, 2, side / 2, side)], {}), b.slice(x, 2, 0, side / 2)], 2);
  return b.add(b.mul(x, table(cos)), b.mul(turned, table(sin)));
}

function rotations(chunks: number, side: number): { cos: Float32Array; sin: Float32Array } {
  const angle = (i: number): number =>
    Math.floor(i / side) * 10000 ** (-(2 * ((i % side) % (side / 2))) / side);
  const length = chunks * side;
  return {
    cos: Float32Array.from({ length }, (_, i) => Math.cos(angle(i))),
    sin: Float32Array.from({ length }, (_, i) => Math.sin(angle(i))),
  };
}

/** A block [side, side] at columns from `start` of [side, width]; what stands over falls on the first columns, added. */
function placed(b: GraphBuilder, block: Value, start: number, width: number): Value {
  const [rows, side] = block.shape as [number, number];
  const pieces: Value[] = [];
  for (let done = 0; done < side; ) {
    const column = (start + done) % width;
    const count = Math.min(side - done, width - column);
    const part = count === side ? block : b.slice(block, 1, done, done + count);
    const zeros = (n: number): Value[] => (n > 0 ? [b.fill([rows, n], 0)] : []);
    pieces.push(b.concat([...zeros(column), part, ...zeros(width - column - count)], 1));
    done += count;
  }
  return pieces.reduce((sum, piece) => b.add(sum, piece));
}
