// GaLore against numbers computed from its formulas (test/reference/formulas.py), and what must hold of any projection.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { RecipeError } from '../../../src/engine/errors';
import { leadingDirections } from '../../../src/engine/linalg/leadingDirections';
import { slabsFor, stateBytes } from '../../../src/engine/optim/registry';
import { Random } from '../../../src/engine/random';
import { fails } from '../files/scratch';
import { onCpu, posingAsCuda } from '../session/cpuRuntime';
import { harness, plainSettings, tensorOf } from './optimizerHarness';

const goldens = join('test', 'goldens', 'methods', 'formulas');

function near(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  let worst = 0;
  for (let i = 0; i < found.length; i++) worst = Math.max(worst, Math.abs(found[i]! - expected[i]!));
  assert.ok(worst <= tolerance, `${what}: differs by ${worst}`);
}

function normal(count: number, ...keys: (number | string)[]): Float32Array {
  const random = new Random(...keys);
  return Float32Array.from({ length: count }, () => random.normal());
}

async function golden(name: string) {
  const { tensors } = await readSafetensors(join(goldens, name, 'tensors.safetensors'));
  return {
    facts: JSON.parse(readFileSync(join(goldens, name, 'facts.json'), 'utf8')),
    shape: (key: string) => tensors.get(key)!.shape,
    values: (key: string) => readTensor(tensors.get(key)!),
    bytes: (key: string) => readRaw(tensors.get(key)!),
  };
}

for (const side of ['tall', 'wide']) {
  test(`ten steps with refreshes, ${side}: weights, projections and moments are the reference's`, async () => {
    const { facts, shape, values } = await golden('galore');
    const [m, n] = shape(`${side}.weight`) as [number, number];
    const settings = {
      ...plainSettings,
      optim: 'galore_adamw',
      weight_decay: facts.weightDecay,
      adam_epsilon: facts.eps,
      settings: {
        galore_rank: 99,
        optim_args: `rank=${facts.rank}, update_proj_gap=${facts.refreshEvery}, scale=${facts.scale}, proj_type=std`,
      },
    };
    const gradients = await values(`${side}.gradients`);
    const expected = await values(`${side}.weights`);
    await onCpu(async (runtime) => {
      const tensor = tensorOf('w', [m, n], await values(`${side}.weight`));
      const run = await harness(runtime, [tensor], settings);
      const slab = run.state.slabs[0]!;
      const projection = side === 'tall' ? 'right' : 'left';
      for (let t = 0; t < facts.steps; t++) {
        const g = gradients.subarray(t * m * n, (t + 1) * m * n);
        await run.step(t + 1, facts.learningRate, new Map([['w.weight', g]]));
        const own = run.state.read('w.weight');
        near(own, expected.subarray(t * m * n, (t + 1) * m * n), 1e-5, `weights after step ${t}`);
        if (t % facts.refreshEvery === 0)
          near(
            runtime.read(run.state.tensor(slab, projection)) as Float32Array,
            await values(`${side}.projector${t}`),
            1e-5,
            `projection of step ${t}`,
          );
      }
      const kept = run.state.readOptimizer();
      near(kept.get('m/w.weight') as Float32Array, await values(`${side}.first_moment`), 1e-5, 'm');
      near(kept.get('v/w.weight') as Float32Array, await values(`${side}.second_moment`), 1e-5, 'v');
      assert.equal(run.notes.length, 3, 'steps 1, 5 and 9 take new projections');
      run.release();
    });
  });
}

test('8-bit moments: codes, block sizes and weights are the reference’s', async () => {
  const { facts, shape, values, bytes } = await golden('galore-8bit');
  const [m, n] = shape('weight') as [number, number];
  const settings = {
    ...plainSettings,
    optim: 'galore_adamw_8bit',
    adam_epsilon: facts.eps,
    settings: {
      galore_rank: facts.rank,
      galore_update_interval: 1000,
      galore_scale: facts.scale,
      galore_proj_type: 'std',
      min_8bit_size: 1,
    },
  };
  const gradients = await values('gradients');
  await onCpu(async (runtime) => {
    const run = await harness(runtime, [tensorOf('w', [m, n], await values('weight'))], settings);
    const projector = await values('projector');
    for (let t = 0; t < 6; t++) {
      const g = gradients.subarray(t * m * n, (t + 1) * m * n);
      await run.step(t + 1, facts.learningRate, new Map([['w.weight', g]]));
      if (t === 0) {
        const own = run.state.readOptimizer().get('right/w.weight') as Float32Array;
        // The same directions but for the signs, which turn the first moment's with them.
        for (let i = 0; i < facts.rank; i++) {
          let overlap = 0;
          for (let j = 0; j < n; j++) overlap += own[i * n + j]! * projector[i * n + j]!;
          assert.ok(Math.abs(Math.abs(overlap) - 1) < 1e-4, `direction ${i}: ${overlap}`);
        }
      }
      near(
        run.state.read('w.weight'),
        await values(`step${t}.weight`),
        t === 0 ? 1e-5 : 2e-4,
        `weights ${t}`,
      );
      const kept = run.state.readOptimizer();
      const largest = await values(`step${t}.second_absmax`);
      near(kept.get('v_absmax/w.weight') as Float32Array, largest, 1e-5, `block sizes ${t}`);
      const expected = await bytes(`step${t}.second_codes`);
      const codes = kept.get('v_codes/w.weight') as Uint8Array;
      let different = 0;
      for (let i = 0; i < expected.length; i++) {
        assert.ok(Math.abs(codes[i]! - expected[i]!) <= 1, `code ${i} of step ${t}`);
        if (codes[i] !== expected[i]) different++;
      }
      assert.ok(different <= 0.02 * expected.length, `${different} codes of step ${t} are one off`);
    }
    run.release();
  });
});

/** One GaLore step at a time on one matrix; returns the weights after each. */
async function steps(
  shape: readonly [number, number],
  given: Record<string, number | string>,
  optim: string,
  gradients: readonly Float32Array[],
  more: Partial<typeof plainSettings> = {},
): Promise<{ weights: Float32Array[]; kept: Map<string, Float32Array>[] }> {
  const weights: Float32Array[] = [];
  const kept: Map<string, Float32Array>[] = [];
  await onCpu(async (runtime) => {
    const start = normal(shape[0] * shape[1], 'start');
    const run = await harness(runtime, [tensorOf('w', shape, start)], {
      ...plainSettings,
      optim,
      settings: { galore_scale: 1, galore_update_interval: 1e9, ...given },
      ...more,
    });
    for (const [t, g] of gradients.entries()) {
      await run.step(t + 1, 0.01, new Map([['w.weight', g]]));
      weights.push(run.state.read('w.weight'));
      kept.push(run.state.readOptimizer() as Map<string, Float32Array>);
    }
    run.release();
  });
  return { weights, kept };
}

/** a [m, k] · b [k, n] */
function times(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): Float32Array {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) out[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
  return out;
}

function turned(a: ArrayLike<number>, rows: number, columns: number): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j]!;
  return out;
}

for (const shape of [
  [9, 6],
  [6, 9],
  [7, 7],
] as const) {
  for (const type of ['std', 'reverse_std', 'left', 'right', 'full']) {
    test(`${type} on [${shape.join(', ')}]: projections are orthonormal, and a step stays in their span`, async () => {
      const [m, n] = shape;
      const r = 4;
      const gradients = [normal(m * n, 'g0'), normal(m * n, 'g1')];
      const settings = { galore_rank: r, galore_proj_type: type };
      const { weights, kept } = await steps(shape, settings, 'galore_adamw', gradients);
      const left = kept[1]!.get('left/w.weight');
      const right = kept[1]!.get('right/w.weight');
      const expected = {
        std: m >= n ? 'right' : 'left',
        reverse_std: m < n ? 'right' : 'left',
        left: 'left',
        right: 'right',
        full: 'left right',
      }[type];
      assert.equal([left && 'left', right && 'right'].filter(Boolean).join(' '), expected);
      const eye = Float32Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 1 : 0));
      if (left) near(times(turned(left, m, r), left, r, m, r), eye, 1e-5, 'PᵀP');
      if (right) near(times(right, turned(right, r, n), r, n, r), eye, 1e-5, 'QQᵀ');
      const start = normal(m * n, 'start');
      let moved: Float32Array = weights[1]!.map((value, i) => value - start[i]!);
      const whole = moved;
      if (left) moved = times(left, times(turned(left, m, r), moved, r, m, n), m, r, n);
      if (right) moved = times(times(moved, turned(right, r, n), m, n, r), right, m, r, n);
      near(moved, whole, 1e-5, 'the update within the span');
      assert.ok(Math.max(...whole) > 1e-3, 'something moved');
    });
  }
}

test('at full rank GaLore is Adam in a turned basis', async () => {
  const [m, n] = [8, 5];
  const gradients = Array.from({ length: 4 }, (_, t) => normal(m * n, 'full', t));
  const { weights, kept } = await steps([m, n], { galore_rank: n }, 'galore_adamw', gradients);
  const q = kept[0]!.get('right/w.weight')!;
  const back = turned(q, n, n);
  // Adam on W·Qᵀ with gradients G·Qᵀ.
  const start = times(normal(m * n, 'start'), back, m, n, n);
  await onCpu(async (runtime) => {
    const run = await harness(runtime, [tensorOf('w', [m, n], start)], plainSettings);
    for (const [t, g] of gradients.entries()) {
      await run.step(t + 1, 0.01, new Map([['w.weight', times(g, back, m, n, n)]]));
      near(times(run.state.read('w.weight'), q, m, n, n), weights[t]!, 2e-5, `step ${t}`);
    }
    run.release();
  });
});

test('with T = 1 what is projected and turned back is the best approximation of the gradient', async () => {
  const [m, n, r] = [7, 12, 3];
  // Singular values 6, 5, …, and directions from a random matrix.
  const gradient = normal(m * n, 'best');
  const { kept } = await steps([m, n], { galore_rank: r, galore_update_interval: 1 }, 'galore_adamw', [
    gradient,
  ]);
  const p = kept[0]!.get('left/w.weight')!;
  const approximation = times(p, times(turned(p, m, r), gradient, r, m, n), m, r, n);
  const error = Math.sqrt(gradient.reduce((sum, g, i) => sum + (g - approximation[i]!) ** 2, 0));
  const { symmetricEigen, gramOfRows } = await import('../../../src/engine/linalg/symmetric');
  const { values } = symmetricEigen(gramOfRows({ rows: m, columns: n, data: gradient }));
  const least = Math.sqrt(values.slice(r).reduce((sum, value) => sum + value, 0));
  assert.ok(Math.abs(error - least) < 1e-5 * least, `${error}, best is ${least}`);
});

for (const [rows, columns, side] of [
  [130, 150, 'left'],
  [400, 520, 'right'],
  [520, 400, 'left'],
  [520, 400, 'right'],
] as const) {
  test(`[${rows}, ${columns}] on the ${side}: the iteration on the device finds the directions of a decaying spectrum`, async () => {
    const [rank, depth] = [24, 60];
    // G = Σ σ_i u_i v_iᵀ of orthonormal directions, σ_i = 0.85^i; small, as gradients are.
    const { orthonormalColumns } = await import('../../../src/engine/linalg/orthonormal');
    const directions = (size: number, key: string) =>
      orthonormalColumns({ rows: size, columns: depth, data: normal(size * depth, key) }, new Random(1)).q
        .data;
    const [u, v] = [directions(rows, 'u'), directions(columns, 'v')];
    const scaled = u.map((value, i) => 1e-6 * value * 0.85 ** (i % depth));
    const gradient = times(scaled, turned(v, columns, depth), rows, depth, columns);
    await onCpu(async (runtime) => {
      const tensor = runtime.fromHost('float32', [rows * columns], gradient);
      const find = (start: Awaited<ReturnType<typeof leadingDirections>>) =>
        leadingDirections(runtime, { gradient: tensor, rows, columns, side, rank, start, seed: 1, key: 'w' });
      const cold = await find(undefined);
      const asOnCuda = { gradient: tensor, rows, columns, side, rank, start: undefined, seed: 1, key: 'w' };
      assert.deepEqual(await leadingDirections(posingAsCuda(runtime), asOnCuda), cold);
      const [size, own] = side === 'left' ? [rows, u] : [columns, v];
      for (const found of [cold!, (await find(cold))!]) {
        const q = side === 'left' ? found.data : turned(found.data, rank, size);
        for (let j = 0; j < rank; j++) {
          let [overlap, length, largest] = [0, 0, 0];
          for (let i = 0; i < size; i++) {
            const value = q[i * rank + j]!;
            overlap += value * own[i * depth + j]!;
            length += value * value;
            if (Math.abs(value) > Math.abs(largest)) largest = value;
          }
          assert.ok(Math.abs(length - 1) < 1e-4, `direction ${j} has length ${length}`);
          // Late directions are far smaller than the first; their order matters less than their span.
          if (j < 12) assert.ok(Math.abs(overlap) > 0.999, `direction ${j}: ${overlap}`);
          assert.ok(largest > 0, 'the largest entry is positive');
        }
        const captured =
          side === 'left'
            ? times(turned(q, size, rank), gradient, rank, rows, columns)
            : times(gradient, q, rows, columns, rank);
        const share =
          captured.reduce((sum, x) => sum + x * x, 0) / gradient.reduce((sum, x) => sum + x * x, 0);
        const best = Array.from({ length: depth }, (_, i) => 0.85 ** (2 * i));
        const total = best.reduce((sum, x) => sum + x, 0);
        const most = best.slice(0, rank).reduce((sum, x) => sum + x, 0) / total;
        assert.ok(share > most - 1e-4, `captures ${share} of at most ${most}`);
      }
      assert.deepEqual(await find(undefined), cold, 'the same numbers again');
      const broken = gradient.slice();
      broken[7] = Number.NaN;
      runtime.write(tensor, broken);
      assert.equal(await find(undefined), undefined);
    });
  });
}

test('state is m·r + 2·n·r numbers for a matrix of m ≤ n; ranks beyond a matrix and targets without one are refused', async () => {
  const settings = { ...plainSettings, optim: 'galore_adamw', settings: { galore_rank: 5 } };
  for (const [rows, columns] of [
    [12, 30],
    [30, 12],
  ] as const) {
    const [slab] = slabsFor([tensorOf('w', [rows, columns], new Float32Array())], settings);
    assert.equal(stateBytes(slab!, settings), 4 * (12 * 5 + 2 * 30 * 5));
  }
  const tensors = [tensorOf('a', [4, 30], new Float32Array()), tensorOf('b', [3, 30], new Float32Array())];
  const refused = await fails(() => slabsFor(tensors, settings), {
    class: RecipeError,
    code: 'optimizer-does-not-fit',
    says: ['a.weight', 'b.weight', 'galore_rank 5'],
  });
  assert.match(refused.remedy, /at most 3/);
  const elsewhere = { ...settings, settings: { optim_target_modules: ['nothing'] } };
  await fails(() => slabsFor(tensors, elsewhere), {
    class: RecipeError,
    code: 'optimizer-does-not-fit',
    says: ['names no linear layer'],
  });
});
