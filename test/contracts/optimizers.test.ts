// What every optimizer of the registry must do, without naming it: move, leave frozen tensors alone, hold exactly the state
// that the forecast counts, and go on bit for bit from what it saved. And the numbers of those that have a reference.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { elements } from '../../src/engine/dtype';
import { divisionOf, pagingFor, piecesOf, stateMemory } from '../../src/engine/execution/paging';
import type { OptimizerSettings } from '../../src/engine/optim/optimizer';
import { optimizerOf, optimizers } from '../../src/engine/optim/registry';
import { Random } from '../../src/engine/random';
import type { Runtime } from '../../src/engine/session';
import type { SettingValue } from '../../src/protocol/settings';
import { scratch } from '../engine/files/scratch';
import { harness, plainSettings, tensorOf } from '../engine/optim/optimizerHarness';
import { onCpu } from '../engine/session/cpuRuntime';
import { contractRuntime } from './contractRuntime';

const normal = (count: number, ...keys: (number | string)[]): Float32Array => {
  const random = new Random(...keys);
  return Float32Array.from({ length: count }, () => random.normal());
};

async function onDevice(use: (runtime: Runtime) => Promise<void>): Promise<void> {
  const runtime = contractRuntime();
  try {
    await use(runtime);
  } finally {
    await runtime.close();
  }
}

/** Two matrices with a padded block each, a vector, and one that never trains. */
function tensors() {
  const shapes = { tall: [67, 70], wide: [40, 130], vector: [50], fixed: [33, 3] } as const;
  return Object.entries(shapes).map(([name, shape]) =>
    tensorOf(name, shape, normal(elements(shape), 3, name), name === 'fixed' ? { frozen: true } : {}),
  );
}

const gradients = (step: number) =>
  new Map(tensors().map(({ name, shape }) => [name, normal(elements(shape), step, name)] as const));

/** An optimizer's own defaults, at sizes that fit small tensors. */
function settingsOf(id: string): OptimizerSettings {
  const { entry } = optimizerOf(id);
  const small: Record<string, SettingValue> = {
    galore_rank: 8,
    galore_update_interval: 2,
    min_8bit_size: 300,
    momentum: 0.9,
  };
  const own = entry.fields.map(({ key, default: usual }) => [key, small[key] ?? usual ?? null]);
  return {
    ...plainSettings,
    optim: id,
    weight_decay: 0.1,
    max_grad_norm: 1,
    settings: Object.fromEntries(own),
  };
}

for (const { id } of optimizers) {
  test(`${id}: moves what trains, holds what is counted, resumes from what it saved, bit for bit`, async () => {
    const settings = settingsOf(id);
    await onDevice(async (runtime) => {
      const before = runtime.memory().tensorBytes;
      const whole = await harness(runtime, tensors(), settings);
      const slabs = whole.state.slabs;
      const parameters = slabs.reduce((sum, { length, frozen }) => sum + 4 * length * (frozen ? 1 : 2), 0);
      const counted = stateMemory(slabs, settings, { place: 'device' }).device;
      assert.equal(runtime.memory().tensorBytes - before - parameters, counted, 'bytes of state');

      const start = whole.state.readAll();
      for (let step = 1; step <= 3; step++) {
        const norm = await whole.step(step, 0.01, gradients(step));
        const squares = [...gradients(step)].filter(([name]) => name !== 'fixed.weight');
        const expected = Math.sqrt(squares.reduce((sum, [, g]) => sum + g.reduce((s, x) => s + x * x, 0), 0));
        assert.ok(Math.abs(norm - expected) < 1e-4 * expected, `norm ${norm}, expected ${expected}`);
      }
      const [saved, kept] = [whole.state.readAll(), whole.state.readOptimizer()];
      for (const [name, values] of saved) {
        if (name === 'fixed.weight') assert.deepEqual(values, start.get(name));
        else
          assert.ok(
            values.every((value, i) => value !== start.get(name)![i]) || id.startsWith('galore'),
            name,
          );
        assert.notDeepEqual(name === 'fixed.weight' ? null : values, start.get(name), `${name} moved`);
      }
      for (const { name, shape } of whole.state.optimizerTensors())
        assert.equal(kept.get(name)!.length, elements(shape), name);

      const rest = await harness(runtime, tensors(), settings);
      rest.state.writeAll(saved);
      rest.state.writeOptimizer(kept);
      for (let step = 4; step <= 6; step++) {
        await whole.step(step, 0.01, gradients(step));
        await rest.step(step, 0.01, gradients(step));
      }
      assert.deepEqual(rest.state.readAll(), whole.state.readAll());
      assert.deepEqual(rest.state.readOptimizer(), whole.state.readOptimizer());

      // A gradient that is not finite leaves finite numbers.
      const broken = gradients(7);
      broken.get('tall.weight')![5] = Number.NaN;
      assert.ok(!Number.isFinite(await whole.step(7, 0.01, broken)));
      for (const values of whole.state.readAll().values()) assert.ok(values.every(Number.isFinite));

      // Resetting one tensor leaves the others' state.
      rest.state.resetOptimizer(['tall.weight']);
      const after = rest.state.readOptimizer();
      for (const [name, values] of after) {
        if (name.endsWith('/tall.weight'))
          assert.ok(
            values.every((value) => Number(value) === 0),
            name,
          );
      }
      const others = [...kept.keys()].filter((name) => !name.endsWith('/tall.weight'));
      const full = others.filter((name) => after.get(name)!.some((value) => Number(value) !== 0));
      assert.equal(full.length, others.length);
      whole.release();
      rest.release();
      assert.equal(runtime.memory().tensorBytes, before, 'everything is given back');
    });
  });
}

test('numbers: PyTorch’s AdamW and SGD; bitsandbytes’ blockwise AdamW', async () => {
  const folder = join('test', 'goldens', 'methods', 'formulas', 'optimizers');
  const facts = JSON.parse(readFileSync(join(folder, 'facts.json'), 'utf8'));
  const { tensors: refs } = await readSafetensors(join(folder, 'tensors.safetensors'));
  const values = (name: string) => readTensor(refs.get(name)!);
  const cases: [string, string, Record<string, SettingValue>][] = [
    ['adamw', 'adamw_torch_fused', {}],
    ['adamw_8bit', 'adamw_bnb_8bit', { min_8bit_size: 4096 }],
    ['sgd', 'sgd', { momentum: 0, nesterov: false }],
    ['sgd-momentum', 'sgd', { momentum: 0.9, nesterov: false }],
    ['sgd-nesterov', 'sgd', { momentum: 0.9, nesterov: true }],
  ];
  await onDevice(async (runtime) => {
    for (const [name, optim, settings] of cases) {
      const trained = await Promise.all(
        ['matrix', 'vector'].map(async (part) =>
          tensorOf(part, refs.get(`start.${part}`)!.shape, await values(`start.${part}`)),
        ),
      );
      const run = await harness(runtime, trained, {
        ...plainSettings,
        optim,
        weight_decay: facts.weightDecay,
        adam_epsilon: facts.eps,
        settings,
      });
      for (let t = 0; t < facts.steps; t++) {
        const own = new Map<string, Float32Array>();
        for (const { name: tensor, shape } of trained) {
          const all = await values(`gradients.${tensor.replace('.weight', '')}`);
          own.set(tensor, all.subarray(t * elements(shape), (t + 1) * elements(shape)));
        }
        await run.step(t + 1, facts.learningRate, own);
      }
      for (const part of ['matrix', 'vector']) {
        const expected = await values(`${name}.${part}`);
        const found = run.state.read(`${part}.weight`);
        const off = found.filter((value, i) => Math.abs(value - expected[i]!) > 2e-6).length;
        // Where a value lies at a midpoint, its code may be the neighbour's.
        assert.ok(
          off <= (name === 'adamw_8bit' ? 0.002 : 0) * found.length,
          `${name} ${part}: ${off} differ`,
        );
      }
      if (name === 'adamw_8bit') {
        const kept = run.state.readOptimizer();
        for (const moment of ['m', 'v']) {
          const expected = await readRaw(refs.get(`adamw_8bit.${moment}_codes`)!);
          const codes = kept.get(`${moment}_codes/matrix.weight`) as Uint8Array;
          assert.equal(codes.length, expected.length);
          const off = codes.filter((code, i) => code !== expected[i]).length;
          assert.ok(off <= 0.002 * codes.length, `${moment}: ${off} of ${codes.length} codes differ`);
        }
        assert.ok(kept.has('m/vector.weight'), 'below 4096 elements the moments stay in fp32');
      }
      run.release();
    }
  });
});

for (const id of optimizers.filter(({ paged }) => paged).map((optimizer) => optimizer.id)) {
  test(`${id}: through a window, and on the CPU in a file, the bits are those of the device`, async (t) => {
    const folder = await scratch(t);
    // 1.5e5 elements with a last block to fill up, and one below the limit.
    const own = () => [
      tensorOf('large', [333, 451], normal(333 * 451, 1)),
      tensorOf('small', [30, 31], normal(930, 2)),
      tensorOf('spared', [40, 5], normal(200, 2), { group: { learningRateScale: 1, decay: false } }),
    ];
    const steps = (step: number) =>
      new Map(own().map(({ name, shape }) => [name, normal(elements(shape), step, name)] as const));
    const settings = settingsOf(id);
    const windowLength = 20_000;
    await onDevice(async (runtime) => {
      const before = runtime.memory().tensorBytes;
      const results = [];
      let peak = 0;
      const allocate = runtime.allocate.bind(runtime);
      runtime.allocate = (...o) => {
        const tensor = allocate(...o);
        peak = Math.max(peak, runtime.memory().tensorBytes);
        return tensor;
      };
      // A mapped file is memory of the CPU alone.
      const places =
        runtime.device.kind === 'cpu' ? (['device', 'host', 'file'] as const) : (['device', 'host'] as const);
      for (const place of places) {
        const paging = place === 'file' ? { place, folder } : { place };
        peak = 0;
        const run = await harness(runtime, own(), settings, { paging, windowLength });
        for (let step = 1; step <= 3; step++) await run.step(step, 0.01, steps(step));
        const parameters = run.state.slabs.reduce((sum, { length }) => sum + 8 * length, 0);
        const bytes = peak - before - parameters;
        const planned = stateMemory(run.state.slabs, settings, paging, windowLength);
        // Programs are fed scalars too, of four bytes each.
        assert.ok(bytes >= planned.device, `${place}: ${bytes} bytes, planned ${planned.device}`);
        assert.ok(bytes <= planned.device + 64, `${place}: ${bytes} bytes, planned ${planned.device}`);
        results.push({ planned, all: run.state.readAll(), kept: run.state.readOptimizer() });
        run.release();
      }
      const [device, host, file] = results;
      for (const other of results.slice(1)) {
        assert.deepEqual(other.all, device!.all);
        assert.deepEqual(other.kept, device!.kept);
      }
      assert.ok(host!.planned.device < 0.2 * device!.planned.device, 'the device holds a window');
      if (file) assert.ok(file.planned.device < 0.05 * device!.planned.device);
      assert.deepEqual(readdirSync(folder), [], 'nothing is left of the file');
    });
  });
}

/** Slabs of several tensors; `whole` ones fill blocks, so that their seams do not count. */
function divisible(whole: boolean) {
  const shapes: Record<string, [number, number]> = whole
    ? { a: [64, 512], b: [32, 256], c: [128, 1024] }
    : { a: [67, 70], b: [40, 130], c: [300, 401] };
  return Object.entries(shapes).map(([name, shape]) =>
    tensorOf(name, shape, normal(elements(shape), 3, name)),
  );
}

for (const { id, divisible: cuts } of optimizers) {
  test(`${id}: ${cuts ? 'large slabs in pieces give the bits of the whole' : 'slabs go whole'}`, async () => {
    const settings = settingsOf(id);
    // Pieces are for processors, whose caches they fit: a GPU's slabs go whole (divisionOf).
    await onCpu(async (runtime) => {
      for (const whole of [true, false]) {
        const steps = (step: number) =>
          new Map(
            divisible(whole).map(({ name, shape }) => [name, normal(elements(shape), step, name)] as const),
          );
        const before = runtime.memory().tensorBytes;
        const runs = [];
        for (const pieceLength of [Number.POSITIVE_INFINITY, 10_000, 1024]) {
          const run = await harness(runtime, divisible(whole), settings, { pieceLength });
          const optimizer = optimizerOf(id);
          const cut = run.state.slabs.map((slab) =>
            divisionOf(slab, optimizer, undefined, 'cpu', pieceLength),
          );
          // Too many layouts of pieces are not worth it.
          const expected = cuts === true && pieceLength === 10_000;
          if (expected || !cuts || pieceLength > 1e9) assert.equal(cut.some(Boolean), expected);
          for (let step = 1; step <= 3; step++) await run.step(step, 0.01, steps(step));
          runs.push({ all: run.state.readAll(), kept: run.state.readOptimizer() });
          run.release();
        }
        assert.deepEqual(runs[1], runs[0]);
        assert.deepEqual(runs[2], runs[0]);
        assert.equal(runtime.memory().tensorBytes, before, 'everything is given back');
      }
    });
  });
}

test('pieces that are alike share a program; transforms and devices without addresses go whole', () => {
  const entry = (count: number, i: number) => ({
    tensor: tensorOf(`t${i}`, [count], new Float32Array()),
    offset: 0,
    count,
  });
  const slabOf = (counts: number[]) => ({
    name: 's',
    kind: '',
    frozen: false,
    length: counts.reduce((sum, count) => sum + count, 0),
    group: { learningRateScale: 1, decay: true },
    entries: counts.map(entry),
  });
  const adamw = optimizerOf('adamw');
  const layouts = (counts: number[], length?: number): number => {
    const pieces = divisionOf(slabOf(counts), adamw, undefined, 'cpu', length);
    return new Set(pieces?.map(({ slab }) => slab.entries.map(({ count }) => count).join())).size;
  };
  assert.equal(layouts(Array(50).fill(2560), 4096), 2, 'all alike but the last');
  assert.equal(layouts([100_000], 4096), 2);
  assert.equal(
    layouts(
      Array.from({ length: 50 }, (_, i) => 2561 + 3 * i),
      4096,
    ),
    0,
    'too many layouts',
  );
  assert.equal(layouts([1 << 18]), 0, 'small enough');
  assert.ok(layouts([1 << 20]) > 0);
  assert.equal(divisionOf(slabOf([1 << 20]), adamw, undefined, 'webgpu'), undefined);
  assert.equal(
    divisionOf(slabOf([1 << 20]), adamw, undefined, 'cuda'),
    undefined,
    'launches cost more there',
  );
  assert.equal(divisionOf({ ...slabOf([1 << 20]), frozen: true }, adamw, undefined, 'cpu'), undefined);
});

test('pieces cover a slab once, cut at tensors and whole blocks', () => {
  const entry = (count: number, i: number) => ({
    tensor: tensorOf(`t${i}`, [count], new Float32Array()),
    offset: 0,
    count,
  });
  for (const counts of [[10], [1000, 3, 700], [256, 256], [5000]]) {
    const length = counts.reduce((sum, count) => sum + count, 0);
    const slab = {
      name: 's',
      kind: '',
      frozen: false,
      length,
      group: { learningRateScale: 1, decay: true },
      entries: counts.map(entry),
    };
    const pieces = piecesOf(slab, 600);
    let at = 0;
    for (const { offset, slab: piece } of pieces) {
      assert.equal(offset, at);
      assert.ok(piece.length <= 600 && piece.length > 0);
      assert.equal(
        piece.entries.reduce((sum, { count }) => sum + count, 0),
        piece.length,
      );
      at += piece.length;
    }
    assert.equal(at, length);
  }
});

test('where paged state lies: a GPU’s in host memory, the CPU’s in a file if told to', () => {
  const settings = { ...plainSettings, optim: 'paged_adamw_32bit' };
  assert.deepEqual(pagingFor(settings, 'cuda', 'runs/x'), { place: 'host' });
  assert.deepEqual(pagingFor(settings, 'cpu', 'runs/x'), { place: 'device' });
  const spilled = { ...settings, settings: { spill_optimizer_state: true } };
  assert.deepEqual(pagingFor(spilled, 'cpu', 'runs/x'), { place: 'file', folder: 'runs/x' });
  assert.deepEqual(pagingFor(plainSettings, 'cuda', 'runs/x'), { place: 'device' });
});
