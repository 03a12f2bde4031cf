// Combined adapters against PEFT's add_weighted_adapter (goldens: test/goldens/methods/formulas/combine), the exact sum by
// logits, and what cannot be combined.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type CombineOptions, combineAdapters } from '../../../src/engine/adapters/combine';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { compose } from '../../../src/engine/api/compose';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Products } from '../../../src/engine/linalg/products';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { openRuntime, type Runtime } from '../../../src/engine/session';
import { writeRandomAdapter } from '../../contracts/randomAdapter';

const golden = join('test', 'goldens', 'methods', 'formulas', 'combine');
const base = join('test', 'goldens', 'models', 'llama-plain');
const { cases } = JSON.parse(readFileSync(join(golden, 'facts.json'), 'utf8')) as {
  cases: Record<
    string,
    {
      adapters: string[];
      weights: number[];
      density?: number;
      svd_rank?: number;
      majority_sign_method?: 'total' | 'frequency';
    }
  >;
};
let runtime: Runtime | undefined;
const open = (): Runtime => {
  runtime ??= openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  return runtime;
};
const scratch = mkdtemp(join(tmpdir(), 'workbench-combine-'));
after(async () => {
  await runtime?.close();
  await rm(await scratch, { recursive: true, force: true });
});

async function combinedBy(name: string, given: Partial<CombineOptions> = {}) {
  const { adapters: names, weights, density, svd_rank: rank, majority_sign_method: sign } = cases[name]!;
  const model = modelFromConfig((await openCheckpoint(base)).config);
  const adapters = [];
  for (const adapter of names) adapters.push(await loadAdapter(join(golden, adapter), model));
  const { tensors } = await readSafetensors(join(golden, 'tensors.safetensors'));
  const masks = new Map<string, Uint8Array>();
  for (const [key, ref] of tensors)
    if (key.startsWith(`${name}.`) && key.includes('.mask.')) masks.set(key, await readRaw(ref));
  const products = new Products(open());
  const result = await combineAdapters(products, model, adapters, {
    type: name.replace(/-.*/, '') as CombineOptions['type'],
    weights,
    density: density ?? 0.5,
    majoritySign: sign ?? 'total',
    seed: 1,
    ...(rank === undefined ? {} : { rank }),
    ...(masks.size > 0
      ? {
          keep: (adapter: number, path: string, part: string) =>
            masks.get(`${name}.${path}.${part}.mask.${names[adapter]}`)!,
        }
      : {}),
    ...given,
  });
  products.release();
  return { ...result, tensors };
}

function near(a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(a.length, b.length, what);
  for (let i = 0; i < a.length; i++)
    assert.ok(Math.abs(a[i]! - b[i]!) <= tolerance, `${what}[${i}] is ${a[i]}, PEFT's ${b[i]}`);
}

for (const name of Object.keys(cases)) {
  test(`${name}: PEFT's factors or product`, async () => {
    const { plan, values, tensors } = await combinedBy(name);
    assert.ok(plan.sites.size > 0);
    for (const site of plan.sites.values()) {
      const a = values.get(`${site.path}.lora_A.weight`)!;
      const b = values.get(`${site.path}.lora_B.weight`)!;
      const theirA = tensors.get(`${name}.${site.path}.A`);
      if (theirA) {
        // PEFT pads cat's factors with zeros up to the largest rank.
        const [wantA, wantB] = [
          await readTensor(theirA),
          await readTensor(tensors.get(`${name}.${site.path}.B`)!),
        ];
        const padded = theirA.shape[0]!;
        near(a, wantA.slice(0, a.length), 1e-6, `${site.path} A`);
        const ownB = b.length;
        const cut = Float32Array.from(
          { length: ownB },
          (_, i) => wantB[Math.floor(i / site.r) * padded + (i % site.r)]!,
        );
        near(b, cut, 1e-6, `${site.path} B`);
        assert.ok(wantA.slice(a.length).every((x) => x === 0));
      } else {
        const delta = [...tensors.keys()].find((key) => key.startsWith(`${name}.${site.path}.`))!;
        const product = Float32Array.from({ length: site.outFeatures * site.inFeatures }, (_, at) => {
          const [i, j] = [Math.floor(at / site.inFeatures), at % site.inFeatures];
          let sum = 0;
          for (let k = 0; k < site.r; k++) sum += b[i * site.r + k]! * a[k * site.inFeatures + j]!;
          return sum;
        });
        near(product, await readTensor(tensors.get(delta)!), 1e-5, `${site.path} ΔW`);
      }
    }
  });
}

test('the flag scales twice, as PEFT up to 0.20', async () => {
  const once = await combinedBy('svd');
  const twice = await combinedBy('svd', { scaledTwice: true });
  const site = [...once.plan.sites.values()][0]!;
  assert.notDeepEqual(
    once.values.get(`${site.path}.lora_B.weight`),
    twice.values.get(`${site.path}.lora_B.weight`),
  );
});

test('dare draws by the seed', async () => {
  const drawn = async (seed: number) =>
    [...(await combinedBy('dare_linear', { seed, keep: undefined as never })).values.values()][0]!;
  assert.deepEqual(await drawn(1), await drawn(1));
  assert.notDeepEqual(await drawn(1), await drawn(2));
});

test('unequal ranks are refused by name; cat takes them', async () => {
  await assert.rejects(
    (async () => {
      const model = modelFromConfig((await openCheckpoint(base)).config);
      const adapters = [];
      for (const name of ['one', 'two', 'three']) adapters.push(await loadAdapter(join(golden, name), model));
      const products = new Products(open());
      await combineAdapters(products, model, adapters, {
        type: 'ties',
        weights: [1, 1, 1],
        density: 0.5,
        majoritySign: 'total',
        seed: 1,
      });
    })(),
    (error: Error) => /ties needs equal ranks/.test(error.message) && /three has rank/.test(error.message),
  );
});

test('compose writes a folder that loads, and refuses whole tensors', async () => {
  // The call opens the one runtime of this process itself.
  await runtime?.close();
  runtime = undefined;
  const host = {
    emit: () => {},
    stopRequested: false,
    cancelRequested: false,
    takeCheckpointRequest: () => false,
  };
  const folder = await scratch;
  const params = {
    model: base,
    adapters: ['one', 'two', 'three'].map((name) => ({ folder: join(golden, name), weight: 0.5 })),
    type: 'cat' as const,
    out: join(folder, 'sum'),
    rank: null,
    density: 0.5,
    majoritySign: 'total' as const,
    seed: 1,
    scaledTwice: false,
    device: 'cpu',
    threads: 1,
  };
  const result = await compose(params, host);
  assert.equal(result.exact, true);
  const model = modelFromConfig((await openCheckpoint(base)).config);
  const loaded = await loadAdapter(result.out, model);
  assert.equal(Math.max(...[...loaded.plan.sites.values()].map(({ r }) => r)), result.rank);
  const saved = join(folder, 'saved');
  await writeRandomAdapter(saved, model, { modules_to_save: ['norm'] }, 0.1);
  await assert.rejects(
    compose({ ...params, adapters: [{ folder: saved, weight: 1 }], out: join(folder, 'no') }, host),
    /modules_to_save/,
  );
});
