// Training in a random subspace (Li et al., arXiv 1804.08838; Aghajanyan et al., arXiv 2012.13255), the measure behind
// `intrinsic-dimension`: θ = θ0 + P·z with P [D, d] random and fixed, z [d] alone trained. Not an adapter to keep: an analysis.
//
// Dense: entries N(0, 1/d). Fastfood, block k of n = 2^⌈log2 d⌉ rows: P_k·z = H·(G_k ⊙ Π·H·(S ⊙ z)), H Walsh and Hadamard's
// matrix over √n, S random signs, Π a permutation, G_k normal with deviation √(n/d). Rows have norm 1 in expectation either
// way, so that a step of z moves each parameter about as far as full fine-tuning's at the same learning rate, whatever d is.
import { elements } from '../dtype';
import { AdapterError } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { Random } from '../random';
import type { AdapterSettings } from './settings';
import type { PlannedTensor, ShapedName, Site, Variant } from './variant';

const nameZ = 'intrinsic_z';
const nameOf = (tensor: string): string => `intrinsic_P.${tensor}`;
const dimensionOf = (settings: AdapterSettings): number => Number(settings.settings.intrinsic_dimension);
const isDense = (settings: AdapterSettings): boolean => settings.settings.projection === 'dense';
const seedOf = (settings: AdapterSettings): number => Number(settings.settings.projection_seed ?? 0);
/** Most numbers of a dense projection: 2 GiB. */
const mostDense = 2 ** 29;

export const intrinsic: Variant = {
  id: 'intrinsic',
  entry: {
    id: 'intrinsic',
    label: 'Random subspace: d numbers move all weights together',
    summary:
      'Shows how many free numbers a task needs: weights move along a fixed random projection. For analysis; the intrinsic-dimension command tries several d.',
    fields: [
      {
        key: 'intrinsic_dimension',
        type: 'integer',
        minimum: 1,
        maximum: 1_048_576,
        default: 128,
        group: 'adapter',
        description: 'd: numbers that train.',
      },
      {
        key: 'projection',
        type: 'enum',
        choices: [
          { id: 'fastfood', label: 'Fastfood: one number kept per parameter' },
          { id: 'dense', label: 'Dense: d numbers kept per parameter, for small models' },
        ],
        default: 'fastfood',
        group: 'adapter',
        advanced: true,
        description: 'How the random projection is built.',
      },
      {
        key: 'projection_scope',
        type: 'enum',
        choices: [
          { id: 'all', label: 'Every parameter of the model' },
          { id: 'targets', label: 'The weights of target_modules' },
        ],
        default: 'all',
        group: 'adapter',
        description: 'What moves.',
      },
      {
        key: 'projection_seed',
        type: 'integer',
        minimum: 0,
        maximum: 4294967295,
        default: 0,
        group: 'adapter',
        advanced: true,
        description: 'Seed of the projection.',
      },
    ],
    without: [
      'r',
      'lora_alpha',
      'use_rslora',
      'lora_dropout',
      'bias',
      'rank_pattern',
      'alpha_pattern',
      'modules_to_save',
      'init_lora_weights',
      'loraplus_lr_ratio',
      'loraplus_lr_embedding',
    ],
    check: ({ load_in_4bit }) =>
      !load_in_4bit
        ? []
        : [
            {
              where: 'load_in_4bit',
              message:
                'adapter intrinsic moves the weights themselves, which a quantised base does not have.',
              remedy: 'Remove load_in_4bit.',
            },
          ],
  },
  paper: 'https://arxiv.org/abs/2012.13255',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: () => true,
  parameters: () => [],

  shared(sites, settings, tensors) {
    const d = dimensionOf(settings);
    const moving = movingTensors(sites, settings, tensors);
    const total = moving.reduce((sum, { shape }) => sum + elements(shape), 0);
    if (isDense(settings) && total * d > mostDense) {
      throw new AdapterError({
        code: 'projection-too-large',
        message: `A dense projection of ${total} parameters to ${d} numbers has ${total * d} entries; at most ${mostDense} are kept.`,
        remedy: 'Set projection: fastfood.',
      });
    }
    const group = { learningRateScale: 1, decay: false };
    return [
      { name: nameZ, shape: [d], group, initial: () => new Float32Array(d) },
      ...moving.map(({ name, shape }): PlannedTensor => {
        const [rows, columns] = isDense(settings)
          ? [elements(shape), d]
          : [Math.ceil(elements(shape) / blockSize(d)), blockSize(d)];
        const deviation = isDense(settings) ? 1 / Math.sqrt(d) : Math.sqrt(columns / d);
        return {
          name: nameOf(name),
          shape: [rows, columns],
          group,
          frozen: true,
          unstored: true,
          initial: () => {
            const random = new Random(seedOf(settings), 'projection', name);
            return Float32Array.from({ length: rows * columns }, () => deviation * random.normal());
          },
        };
      }),
    ];
  },

  apply: (c, x) => c.base(x),

  shift(b, settings, planned) {
    const z = planned(nameZ)!;
    const fastfood = isDense(settings) ? undefined : new Fastfood(b, z, seedOf(settings));
    return ({ name, shape }) => {
      const projection = planned(nameOf(name));
      if (!projection) return undefined;
      const flat = fastfood
        ? fastfood.apply(projection, elements(shape))
        : b.matmul(projection, b.reshape(z, [z.shape[0]!, 1]));
      return b.reshape(flat, shape);
    };
  },
};

function movingTensors(
  sites: readonly Site[],
  settings: AdapterSettings,
  tensors: readonly ShapedName[],
): readonly ShapedName[] {
  if (settings.settings.projection_scope !== 'targets') return tensors;
  const targeted = new Set(sites.map(({ module }) => module.weight));
  return tensors.filter(({ name }) => targeted.has(name));
}

/** The power of two that z is filled up to with zeros. */
const blockSize = (d: number): number => 2 ** Math.ceil(Math.log2(d));

/** What all tensors of one graph share: u = Π·H·(S ⊙ z), and the factors of H. */
class Fastfood {
  readonly #n: number;
  /** H of n is the Kronecker product of two smaller ones, [low, low] and [high, high]. */
  readonly #low: Value;
  readonly #high: Value;
  readonly #u: Value;

  constructor(
    private readonly b: GraphBuilder,
    z: Value,
    seed: number,
  ) {
    const d = z.shape[0]!;
    const n = blockSize(d);
    this.#n = n;
    const low = 2 ** Math.ceil(Math.log2(n) / 2);
    this.#low = hadamard(b, low);
    this.#high = low * low === n ? this.#low : hadamard(b, n / low);
    const random = new Random(seed, 'signs and order');
    const signs = Float32Array.from({ length: n }, () => (random.next() & 1 ? 1 : -1));
    const order = BigInt64Array.from(random.shuffle(Int32Array.from({ length: n }, (_, i) => i)), BigInt);
    const padded = n === d ? z : b.concat([z, b.fill([n - d], 0)], 0);
    const mixed = this.#transformed(
      b.reshape(b.mul(padded, b.constant('float32', [n], signs, 'signs')), [1, n]),
    );
    const places = b.constant('int64', [n], order, 'order');
    this.#u = b.op('Gather', [b.reshape(mixed, [n]), places], { axis: 0 });
  }

  /** The first `count` of H·(G_k ⊙ u) over all blocks. normal [blocks, n]. */
  apply(normal: Value, count: number): Value {
    const { b } = this;
    const rows = normal.shape[0]! * this.#n;
    const flat = b.reshape(this.#transformed(b.mul(normal, this.#u)), [rows]);
    return rows === count ? flat : b.slice(flat, 0, 0, count);
  }

  /** H times every row of [k, n], up to a fixed order of the n results. */
  #transformed(x: Value): Value {
    const { b } = this;
    const [k, low] = [x.shape[0]!, this.#low.shape[0]!];
    const high = this.#n / low;
    const first = b.gemm(b.reshape(x, [k * high, low]), this.#low);
    if (high === 1) return b.reshape(first, [k, this.#n]);
    const turned = b.transpose(b.reshape(first, [k, high, low]), [0, 2, 1]);
    return b.reshape(b.gemm(b.reshape(turned, [k * low, high]), this.#high), [k, this.#n]);
  }
}

/** Walsh and Hadamard's matrix over √size, symmetric: (−1)^popcount(i & j). */
function hadamard(b: GraphBuilder, size: number): Value {
  const scale = 1 / Math.sqrt(size);
  const data = Float32Array.from({ length: size * size }, (_, at) => {
    let bits = Math.floor(at / size) & (at % size);
    let odd = 0;
    for (; bits > 0; bits >>= 1) odd ^= bits & 1;
    return odd ? -scale : scale;
  });
  return b.constant('float32', [size, size], data, 'hadamard');
}
