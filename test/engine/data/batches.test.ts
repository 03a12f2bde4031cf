import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, BatchOptions } from '../../../src/engine/data/batches';
import { planBatches } from '../../../src/engine/data/batches';
import type { Example } from '../../../src/engine/data/dataset';
import { packSequences } from '../../../src/engine/data/packing';
import { splitExamples } from '../../../src/engine/data/split';
import { Random } from '../../../src/engine/random';

/** Examples whose token values name example and place: 1000·(i+1) + t. */
function examplesOf(lengths: readonly number[], trainedFrom = 1): Example[] {
  return lengths.map((length, i) => ({
    ids: Int32Array.from({ length }, (_, t) => 1000 * (i + 1) + t),
    trained: Uint8Array.from({ length }, (_, t) => (t >= Math.max(1, trainedFrom) ? 1 : 0)),
    file: 'f',
    row: i + 1,
    line: null,
    truncatedTokens: 0,
  }));
}

const options = (more: Partial<BatchOptions> = {}): BatchOptions => ({
  per_device_train_batch_size: 4,
  max_length: 32,
  pad_to_multiple_of: 8,
  seed: 7,
  pad_token_id: 0,
  ...more,
});

const lengths = Array.from({ length: 103 }, (_, i) => 2 + ((i * 37) % 31));

/** Every invariant of a batch that holds whatever the options: checked token by token. */
function checkBatch(batch: Batch, examples: Example[], seen: Map<number, number>): void {
  const { rows, length, ids, targets, positions, segments } = batch;
  assert.equal(ids.length, rows * length);
  let trained = 0;
  let tokens = 0;
  for (let r = 0; r < rows; r++) {
    for (let t = 0; t < length; t++) {
      const at = r * length + t;
      if (segments[at] === 0) {
        assert.deepEqual([ids[at], targets[at], positions[at]], [0, -100, 0]);
        continue;
      }
      tokens++;
      const id = ids[at]!;
      seen.set(id, (seen.get(id) ?? 0) + 1);
      const example = examples[Math.floor(id / 1000) - 1]!;
      const place = id % 1000;
      assert.equal(positions[at], place, 'positions begin again in each example');
      if (place > 0) {
        assert.equal(ids[at - 1], id - 1, 'an example lies in one piece');
        assert.equal(segments[at - 1], segments[at]);
      } else if (t > 0) assert.equal(segments[at], segments[at - 1]! + 1, 'a new example is a new segment');
      const next = place + 1 < example.ids.length && example.trained[place + 1] === 1 ? id + 1 : -100;
      assert.equal(targets[at], next, 'a target is the next token of the same example');
      if (next !== -100) trained++;
    }
  }
  assert.equal(batch.trainedTokens, trained);
  assert.equal(batch.tokens, tokens);
}

for (const more of [
  {},
  { packing: true },
  { group_by_length: true },
  { shuffle: false },
  { packing: true, shuffle: false },
]) {
  test(`batches ${JSON.stringify(more)}: every token once, no target across examples`, () => {
    const examples = examplesOf(lengths, 3);
    const plan = planBatches(examples, options(more), 0);
    const seen = new Map<number, number>();
    const rows = new Set<number>();
    for (const batch of plan.from(0)) {
      checkBatch(batch, examples, seen);
      assert.equal(batch.rows, 4, 'the last batch keeps its height');
      assert.ok(batch.length % 8 === 0 && batch.length <= 32);
      for (const { row } of batch.sourceRows) rows.add(row);
    }
    assert.equal(
      seen.size,
      lengths.reduce((sum, length) => sum + length, 0),
    );
    assert.ok([...seen.values()].every((count) => count === 1));
    assert.equal(rows.size, lengths.length);
  });
}

test('the last batch is filled up with empty rows', () => {
  const plan = planBatches(examplesOf([3, 3, 3, 3, 3]), options({ shuffle: false }), 0);
  assert.equal(plan.count, 2);
  const last = plan.batch(1);
  assert.deepEqual([last.rows, last.sourceRows.length, last.trainedTokens], [4, 1, 2]);
  assert.ok(last.segments.subarray(last.length).every((segment) => segment === 0));
});

test('a small batch, number by number', () => {
  const examples = examplesOf([4, 3], 2);
  const batch = planBatches(
    examples,
    options({ packing: true, per_device_train_batch_size: 1, shuffle: false }),
    0,
  ).batch(0);
  assert.deepEqual([...batch.ids], [1000, 1001, 1002, 1003, 2000, 2001, 2002, 0]);
  assert.deepEqual([...batch.targets], [-100, 1002, 1003, -100, -100, 2002, -100, -100]);
  assert.deepEqual([...batch.positions], [0, 1, 2, 3, 0, 1, 2, 0]);
  assert.deepEqual([...batch.segments], [1, 1, 1, 1, 2, 2, 2, 0]);
  assert.deepEqual(batch.sourceRows, [
    { file: 'f', row: 1 },
    { file: 'f', row: 2 },
  ]);
});

test('the same seed and epoch give the same batches; another epoch or seed does not', () => {
  const examples = examplesOf(lengths);
  for (const packing of [false, true]) {
    const layout = (epoch: number, seed = 7) =>
      JSON.stringify(planBatches(examples, options({ packing, seed }), epoch).layout);
    assert.equal(layout(0), layout(0));
    assert.notEqual(layout(0), layout(1));
    assert.notEqual(layout(0), layout(0, 8));
  }
});

test('a resume from batch k gives what the uninterrupted epoch gives', () => {
  const plan = planBatches(examplesOf(lengths), options({ packing: true }), 3);
  const whole = [...plan.from(0)];
  const again = planBatches(examplesOf(lengths), options({ packing: true }), 3);
  assert.deepEqual([...again.from(5)], whole.slice(5));
});

test('the length is rounded up, but not beyond max_length', () => {
  const length = (n: number, more = {}) => planBatches(examplesOf([n]), options(more), 0).batch(0).length;
  assert.equal(length(3), 8);
  assert.equal(length(9), 16);
  assert.equal(length(30, { max_length: 30 }), 30);
  assert.equal(length(5, { pad_to_multiple_of: 1 }), 5);
});

test('groups by length waste less padding than a plain shuffle', () => {
  const padding = (more: Partial<BatchOptions>) =>
    [...planBatches(examplesOf(lengths), options({ pad_to_multiple_of: 1, ...more }), 0).from(0)].reduce(
      (sum, b) => sum + b.rows * b.length - b.tokens,
      0,
    );
  assert.ok(padding({ group_by_length: true }) * 2 < padding({}));
});

test('packs are as few as best fit gives, never over capacity, ties in the given order', () => {
  assert.deepEqual(packSequences([6, 5, 4, 3, 2], [0, 1, 2, 3, 4], 10), [
    [0, 2],
    [1, 3, 4],
  ]);
  assert.deepEqual(packSequences([5, 5, 5], [2, 0, 1], 10), [[2, 0], [1]]);
  assert.deepEqual(packSequences([10, 1], [0, 1], 10), [[0], [1]]);
  assert.deepEqual(packSequences([], [], 10), []);
  // Against a search of all packs, on many lengths and an odd capacity.
  const random = new Random(1);
  const many = Array.from({ length: 2000 }, () => 1 + random.below(97));
  const order = many.map((_, i) => i);
  const naive: { room: number; items: number[] }[] = [];
  for (const index of [...order].sort((a, b) => many[b]! - many[a]! || a - b)) {
    const fitting = naive.filter((pack) => pack.room >= many[index]!);
    const best = fitting.reduce<(typeof naive)[0] | null>(
      (least, pack) => (!least || pack.room < least.room ? pack : least),
      null,
    );
    if (best) {
      best.room -= many[index]!;
      best.items.push(index);
    } else naive.push({ room: 97 - many[index]!, items: [index] });
  }
  const packs = packSequences(many, order, 97);
  assert.equal(packs.length, naive.length);
  assert.deepEqual(
    packs.flat().sort((a, b) => a - b),
    order,
  );
  assert.ok(packs.every((pack) => pack.reduce((sum, i) => sum + many[i]!, 0) <= 97));
});

test('random numbers are the same for ever', () => {
  const random = new Random(42, 1, 0);
  // Goldens: a change here changes the data order of every run ever made.
  assert.deepEqual([random.next(), random.next(), random.next()], [765878462, 2905106500, 267938467]);
  assert.deepEqual([...new Random(42).shuffle([0, 1, 2, 3, 4, 5, 6, 7])], [3, 2, 0, 6, 5, 1, 7, 4]);
});

test('random numbers are spread evenly, and streams differ', () => {
  const random = new Random(3);
  const counts = new Array(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[random.below(7)]++;
  assert.ok(
    counts.every((count) => Math.abs(count - 10_000) < 500),
    counts.join(),
  );
  assert.notEqual(new Random(1, 2).next(), new Random(2, 1).next());
  assert.notEqual(new Random(1).next(), new Random(1 + 2 ** 32).next());
});

test('a split by fraction or count is disjoint, whole, in order, and the same for the same seed', () => {
  const rows = Array.from({ length: 50 }, (_, i) => i);
  for (const [size, count] of [
    [0.1, 5],
    [7, 7],
    [0.001, 1],
  ] as const) {
    const parts = splitExamples(rows, size, 42);
    assert.equal(parts.eval.length, count);
    assert.deepEqual(
      [...parts.train, ...parts.eval].sort((a, b) => a - b),
      rows,
    );
    assert.deepEqual(
      parts.eval,
      [...parts.eval].sort((a, b) => a - b),
    );
    assert.deepEqual(splitExamples(rows, size, 42), parts);
  }
  assert.notDeepEqual(splitExamples(rows, 7, 42).eval, splitExamples(rows, 7, 43).eval);
  for (const size of [0, -1, 1.5, Number.NaN])
    assert.throws(() => splitExamples(rows, size, 1), /expected a fraction/);
  for (const size of [50, 51]) assert.throws(() => splitExamples(rows, size, 1), /none is left to train on/);
});
