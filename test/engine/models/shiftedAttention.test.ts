// LongLoRA's attention against the reference's numbers (test/reference/formulas.py) and against full attention under an explicit
// mask: outputs and gradients, any length, grouped key heads, windows, packing; nothing from the future; memory that falls.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { backward } from '../../../src/engine/autodiff/backward';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { elements } from '../../../src/engine/dtype';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { queryBlocks } from '../../../src/engine/graph/causalBlocks';
import { lower } from '../../../src/engine/graph/passes/lower';
import type { AttentionCall } from '../../../src/engine/models/architecture';
import { type AttentionBuilder, TrainingAttention } from '../../../src/engine/models/attention';
import { attentionOf, groupSize } from '../../../src/engine/models/attentions';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { blockRuns, ShiftedAttention } from '../../../src/engine/models/shiftedAttention';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

interface Sizes {
  rows: number;
  heads: number;
  keyHeads: number;
  length: number;
  width: number;
  window?: number;
  /** Examples of a packed row, by position. */
  segments?: readonly number[];
}

interface Tensors {
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  delta: Float32Array;
}

const shifted =
  (size: number): AttentionBuilder =>
  (b, shape) =>
    new ShiftedAttention(b, shape, size);

/** Outputs and gradients of Σ(δ⊙y), all as [B, S, heads, Dh]. */
async function run(builder: AttentionBuilder, s: Sizes, given: Tensors) {
  const b = new GraphBuilder('attention');
  const tokens = s.rows * s.length;
  const [q, k, v, delta] = (['q', 'k', 'v', 'delta'] as const).map((name) =>
    b.input(name, 'float32', [tokens, (name === 'q' || name === 'delta' ? s.heads : s.keyHeads) * s.width]),
  ) as [ReturnType<typeof b.input>, (typeof b.inputs)[0], (typeof b.inputs)[0], (typeof b.inputs)[0]];
  const positions = b.input('positions', 'int64', [s.rows, s.length]);
  const segments = s.segments && b.input('segments', 'int64', [s.rows, s.length]);
  const call: AttentionCall = {
    layer: 0,
    query: q,
    key: k,
    value: v,
    heads: s.heads,
    keyValueHeads: s.keyHeads,
    headSize: s.width,
    scale: 1 / Math.sqrt(s.width),
    ...(s.window ? { window: s.window } : {}),
  };
  const layers = builder(b, { rows: s.rows, length: s.length, ...(segments ? { segments } : {}) });
  const y = layers.apply({ positions }, call);
  const gradients = backward(b, [{ value: y, gradient: delta }], [q, k, v], 'selective');
  const outputs = { y, q: gradients[0]!, k: gradients[1]!, v: gradients[2]! };
  const graph = lower(
    b.finish(Object.entries(outputs).map(([name, value]) => ({ name: `out_${name}`, value }))),
  );
  const program = await Program.open(runtime, graph, new Map());
  for (const name of ['q', 'k', 'v', 'delta'] as const) program.feed(name, given[name]);
  if (s.segments)
    program.feed(
      'segments',
      BigInt64Array.from({ length: tokens }, (_, i) => BigInt(s.segments![i % s.length]!)),
    );
  await program.run();
  const results = Object.fromEntries(
    Object.keys(outputs).map((name) => [
      name,
      Float32Array.from(program.read(`out_${name}`) as Float32Array),
    ]),
  ) as Record<'y' | 'q' | 'k' | 'v', Float32Array>;
  program.release();
  const fused = graph.nodes.filter(({ op }) => op === 'GroupQueryAttention').length;
  return { ...results, fused, products: graph.nodes.reduce((sum, node) => sum + productSize(node), 0) };
}

/** Multiplications of the products of two activations. */
function productSize(node: {
  op: string;
  inputs: readonly unknown[];
  outputs: readonly { shape: readonly number[] }[];
}) {
  if (node.op !== 'FusedMatMul' && node.op !== 'MatMul') return 0;
  return elements(node.outputs[0]!.shape);
}

/** The definition, in float64: softmax over what `sees` lets head h at i look at. */
function byDefinition(
  s: Sizes,
  { q, k, v }: Tensors,
  sees: (h: number, i: number, j: number) => boolean,
): Float64Array {
  const out = new Float64Array(s.rows * s.length * s.heads * s.width);
  const group = s.heads / s.keyHeads;
  for (let b = 0; b < s.rows; b++)
    for (let h = 0; h < s.heads; h++)
      for (let i = 0; i < s.length; i++) {
        const at = ((b * s.length + i) * s.heads + h) * s.width;
        const key = (j: number): number =>
          ((b * s.length + j) * s.keyHeads + Math.floor(h / group)) * s.width;
        const seen = Array.from({ length: i + 1 }, (_, j) => j).filter((j) => sees(h, i, j));
        const scores = seen.map((j) => {
          let sum = 0;
          for (let d = 0; d < s.width; d++) sum += q[at + d]! * k[key(j) + d]!;
          return sum / Math.sqrt(s.width);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((x) => Math.exp(x - largest));
        const total = weights.reduce((sum, w) => sum + w, 0);
        seen.forEach((j, n) => {
          for (let d = 0; d < s.width; d++) out[at + d]! += (weights[n]! / total) * v[key(j) + d]!;
        });
      }
  return out;
}

const inBlock = (heads: number, size: number) => (h: number, i: number, j: number) => {
  const shift = h >= Math.floor(heads / 2) ? size / 2 : 0;
  return Math.floor((i + shift) / size) === Math.floor((j + shift) / size);
};

function randomTensors(s: Sizes, seed = 1): Tensors {
  const random = new Random(seed, 'attention');
  const make = (heads: number) =>
    Float32Array.from({ length: s.rows * s.length * heads * s.width }, () => random.normal());
  return { q: make(s.heads), k: make(s.keyHeads), v: make(s.keyHeads), delta: make(s.heads) };
}

function close(found: Float32Array, expected: ArrayLike<number>, what: string, tolerance = 1e-5): void {
  assert.equal(found.length, expected.length, what);
  for (const [i, x] of found.entries())
    assert.ok(Math.abs(x - expected[i]!) <= tolerance, `${what}[${i}]: ${x}, ${expected[i]}`);
}

for (const size of [8, 12]) {
  test(`blocks of ${size}: the reference's output and gradients`, async () => {
    const file = await readSafetensors(
      join('test', 'goldens', 'methods', 'formulas', 'longlora', 'tensors.safetensors'),
    );
    const s: Sizes = { rows: 2, heads: 4, keyHeads: 4, length: 24, width: 6 };
    /** [B, H, S, D] → [B, S, H, D]. */
    const golden = async (name: string): Promise<Float32Array> => {
      const from = await readTensor(file.tensors.get(`g${size}.${name}`)!);
      const to = new Float32Array(from.length);
      for (let b = 0; b < 2; b++)
        for (let h = 0; h < 4; h++)
          for (let i = 0; i < 24; i++)
            for (let d = 0; d < 6; d++)
              to[((b * 24 + i) * 4 + h) * 6 + d] = from[((b * 4 + h) * 24 + i) * 6 + d]!;
      return to;
    };
    const [q, k, v, delta] = await Promise.all(['q', 'k', 'v', 'delta'].map(golden));
    const ours = await run(shifted(size), s, { q: q!, k: k!, v: v!, delta: delta! });
    close(ours.y, await golden('output'), 'output');
    for (const name of ['q', 'k', 'v'] as const)
      close(ours[name], await golden(`grad_${name}`), `gradient of ${name}`);
  });
}

const cases: { name: string; sizes: Sizes; size: number }[] = [
  {
    name: 'a last block that is not full',
    sizes: { rows: 2, heads: 4, keyHeads: 4, length: 22, width: 4 },
    size: 8,
  },
  { name: 'grouped key heads', sizes: { rows: 1, heads: 8, keyHeads: 4, length: 16, width: 4 }, size: 4 },
  {
    name: 'one key head for both halves',
    sizes: { rows: 2, heads: 4, keyHeads: 1, length: 16, width: 4 },
    size: 8,
  },
  {
    name: 'a key head across the middle',
    sizes: { rows: 1, heads: 6, keyHeads: 3, length: 12, width: 4 },
    size: 4,
  },
  {
    name: 'an odd number of heads',
    sizes: { rows: 1, heads: 3, keyHeads: 3, length: 12, width: 4 },
    size: 4,
  },
  {
    name: 'a sliding window',
    sizes: { rows: 1, heads: 4, keyHeads: 2, length: 24, width: 4, window: 5 },
    size: 12,
  },
  {
    name: 'a sequence shorter than a block',
    sizes: { rows: 2, heads: 4, keyHeads: 4, length: 5, width: 4 },
    size: 8,
  },
  {
    name: 'a sequence shorter than half a block',
    sizes: { rows: 1, heads: 2, keyHeads: 2, length: 3, width: 4 },
    size: 8,
  },
  {
    name: 'packed rows',
    sizes: {
      rows: 2,
      heads: 4,
      keyHeads: 2,
      length: 16,
      width: 4,
      segments: [1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 0, 0, 0],
    },
    size: 8,
  },
  // Query blocks of 256 within a block.
  {
    name: 'blocks of more than 512',
    sizes: { rows: 1, heads: 2, keyHeads: 2, length: 1300, width: 2 },
    size: 640,
  },
];

for (const { name, sizes, size } of cases) {
  test(`${name}: each half is full attention under its block mask`, async () => {
    const tensors = randomTensors(sizes);
    const block = inBlock(sizes.heads, size);
    const { segments, window = sizes.length } = sizes;
    const expected = byDefinition(
      sizes,
      tensors,
      (h, i, j) => block(h, i, j) && i - j < window && (!segments || segments[i] === segments[j]),
    );
    close((await run(shifted(size), sizes, tensors)).y, expected, name);
  });
}

test('gradients are slopes, with grouped heads and a block that is not full', async () => {
  const s: Sizes = { rows: 1, heads: 4, keyHeads: 2, length: 11, width: 3 };
  const tensors = randomTensors(s);
  const sees = inBlock(s.heads, 4);
  const value = (changed: Tensors): number =>
    byDefinition(s, changed, sees).reduce((sum, y, i) => sum + y * tensors.delta[i]!, 0);
  const ours = await run(shifted(4), s, tensors);
  for (const name of ['q', 'k', 'v'] as const) {
    for (let i = 0; i < tensors[name].length; i += 7) {
      const moved = (by: number): number =>
        value({ ...tensors, [name]: tensors[name].map((x, n) => (n === i ? x + by : x)) });
      const slope = (moved(1 / 64) - moved(-1 / 64)) * 32;
      assert.ok(Math.abs(slope - ours[name][i]!) < 2e-3, `${name}[${i}]: ${ours[name][i]}, slope ${slope}`);
    }
  }
});

test('one block over everything: the half without shift is full attention, to the last bit', async () => {
  const s: Sizes = { rows: 2, heads: 4, keyHeads: 4, length: 16, width: 4 };
  const tensors = randomTensors(s);
  const full = await run((b, o) => new TrainingAttention(b, o), s, tensors);
  const ours = await run(shifted(16), s, tensors);
  const half = 2 * s.width;
  for (let i = 0; i < s.rows * s.length; i++) {
    const at = i * s.heads * s.width;
    close(ours.y.slice(at, at + half), full.y.slice(at, at + half), `token ${i}`, 1e-6);
  }
  assert.notDeepEqual(ours.y, full.y, 'the other half is shifted');
});

test('what comes later changes nothing before it', async () => {
  const s: Sizes = { rows: 1, heads: 4, keyHeads: 2, length: 24, width: 4 };
  const tensors = randomTensors(s);
  const before = (await run(shifted(8), s, tensors)).y;
  for (const t of [0, 3, 7, 8, 12, 23]) {
    const change = (x: Float32Array, heads: number): Float32Array =>
      x.map((value, i) => (Math.floor(i / (heads * s.width)) === t ? value + 1 : value));
    const changed = { ...tensors, k: change(tensors.k, 2), v: change(tensors.v, 2), q: change(tensors.q, 4) };
    const now = (await run(shifted(8), s, changed)).y;
    const start = t * s.heads * s.width;
    assert.deepEqual(now.slice(0, start), before.slice(0, start), `token ${t} reaches back`);
    assert.notDeepEqual(now.slice(start), before.slice(start));
  }
});

test('products shrink with the blocks', async () => {
  const s: Sizes = { rows: 1, heads: 2, keyHeads: 2, length: 512, width: 4 };
  const tensors = randomTensors(s);
  const full = await run((b, o) => new TrainingAttention(b, o), s, tensors);
  const [half, quarter] = [await run(shifted(128), s, tensors), await run(shifted(64), s, tensors)];
  assert.ok(half.products < full.products / 2 && quarter.products < half.products / 1.5);
});

test('on CUDA short sequences are one block, with the numbers of many', async () => {
  const segments = Array.from({ length: 600 }, (_, i) => Math.floor(i / 250));
  for (const more of [{}, { window: 100 }, { segments }]) {
    const s: Sizes = { rows: 1, heads: 2, keyHeads: 1, length: 600, width: 4, ...more };
    const tensors = randomTensors(s);
    const on = (device: 'cpu' | 'cuda') =>
      run((b, o) => new TrainingAttention(b, { ...o, device }), s, tensors);
    const [many, one] = [await on('cpu'), await on('cuda')];
    for (const name of ['y', 'q', 'k', 'v'] as const) close(one[name], many[name], name, 2e-5);
    assert.notEqual(one.products, many.products);
  }
});

test('one fused operator forward gives the numbers of the products, back too, in one block and in several', async () => {
  const fused: AttentionBuilder = (b, o) => new TrainingAttention(b, { ...o, device: 'cuda', fused: true });
  for (const s of [
    { rows: 2, heads: 4, keyHeads: 2, length: 24, width: 8 },
    { rows: 1, heads: 64, keyHeads: 16, length: 512, width: 8 },
    { rows: 1, heads: 3, keyHeads: 3, length: 9, width: 16, window: 9 },
  ] satisfies Sizes[]) {
    const tensors = randomTensors(s);
    const [plain, ours] = [
      await run((b, o) => new TrainingAttention(b, o), s, tensors),
      await run(fused, s, tensors),
    ];
    for (const name of ['y', 'q', 'k', 'v'] as const) close(ours[name], plain[name], name, 2e-5);
    assert.equal(ours.fused, 1);
    assert.equal(plain.fused, 0);
  }
  // What the operator does not know stays products.
  for (const more of [{ window: 5 }, { segments: [0, 0, 0, 1, 1, 1, 1, 1, 2] }, { width: 4 }]) {
    const s: Sizes = { rows: 1, heads: 3, keyHeads: 3, length: 9, width: 16, ...more };
    assert.equal((await run(fused, s, randomTensors(s))).fused, 0);
  }
});

test('blocks on CUDA: as many as make the scores smaller by more than their kernels take, and no more than memory needs', () => {
  const sizes = (length: number, sequences: number, device: 'cpu' | 'cuda') =>
    queryBlocks(length, sequences, device).map(({ start, end }) => end - start);
  assert.deepEqual(sizes(1024, 32, 'cpu'), [256, 256, 256, 256]);
  assert.deepEqual(sizes(1024, 8, 'cuda'), [1024]);
  assert.deepEqual(sizes(1024, 32, 'cuda'), [512, 512]);
  assert.deepEqual(sizes(1024, 128, 'cuda'), [256, 256, 256, 256]);
  assert.deepEqual(sizes(512, 1e6, 'cuda'), sizes(512, 1e6, 'cpu'));
  assert.deepEqual(sizes(1, 1, 'cuda'), [1]);
  assert.equal(
    sizes(2000, 64, 'cuda').reduce((sum, size) => sum + size),
    2000,
  );
});

test('boundaries of the blocks', () => {
  assert.deepEqual(blockRuns(24, 8, 0), [{ start: 0, count: 3, size: 8 }]);
  assert.deepEqual(blockRuns(24, 8, 4), [
    { start: 0, count: 1, size: 4 },
    { start: 4, count: 2, size: 8 },
    { start: 20, count: 1, size: 4 },
  ]);
  assert.deepEqual(blockRuns(3, 8, 4), [{ start: 0, count: 1, size: 3 }]);
});

test("a block's length: given, or a part of the context; always even", () => {
  const model = modelFromConfig({
    model_type: 'gpt2',
    n_embd: 8,
    n_layer: 1,
    n_head: 2,
    vocab_size: 16,
    n_positions: 64,
  });
  const size = (settings: Record<string, unknown>, max_length = 1000) =>
    groupSize({ attention: 'shift_short', max_length, settings }, model);
  assert.equal(size({}), 16);
  assert.equal(size({ group_size_ratio: 0.5 }), 32);
  assert.equal(size({}, 30), 8);
  assert.equal(size({ group_size: 10 }), 10);
  assert.equal(size({ group_size: 900 }), 64);
  const single = modelFromConfig({ model_type: 'gpt2', n_embd: 8, n_layer: 1, n_head: 1, vocab_size: 16 });
  assert.throws(
    () => attentionOf({ attention: 'shift_short', max_length: 8, settings: {} }, single),
    /half of the heads, and this model has 1/,
  );
});
