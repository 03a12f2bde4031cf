// LoRA's own rules: scaling, patterns, start values, and what a larger rank of zeros changes.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lora, loraScaling } from '../../../src/engine/adapters/lora';
import { type AdapterPlan, planAdapter } from '../../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { Evaluator, uploadParameters } from '../../../src/engine/execution/evaluator';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';
import { adapterSettings, randomValues } from '../../contracts/randomAdapter';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());
const wide = {
  model_type: 'llama',
  hidden_size: 256,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  vocab_size: 64,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
};
const model = modelFromConfig(wide);

function planned(given: Partial<AdapterSettings>): AdapterPlan {
  return planAdapter(model, adapterSettings(model, given));
}

async function started(
  given: Partial<AdapterSettings>,
  seed = 1,
): Promise<{ a: Float32Array; b: Float32Array }> {
  const plan = planned({ target_modules: ['q_proj'], ...given });
  const values = await Promise.all(
    plan.tensors.map((tensor) =>
      tensor.initial(new Random(seed, 'initialisation'), () => assert.fail('LoRA starts without the base')),
    ),
  );
  return { a: values[0]!, b: values[1]! };
}

const deviation = (x: Float32Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length);
const largest = (x: Float32Array): number => x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

test('the scaling is alpha / r, with rsLoRA alpha / √r, whatever r', () => {
  for (const r of [1, 2, 8, 64]) {
    assert.equal(loraScaling({ r, alpha: 16 }, { use_rslora: false }), 16 / r);
    assert.equal(loraScaling({ r, alpha: 16 }, { use_rslora: true }), 16 / Math.sqrt(r));
  }
});

test('rank_pattern and alpha_pattern: the first match wins, the rest keeps r and lora_alpha', () => {
  const { sites } = planned({
    target_modules: 'all-linear',
    r: 4,
    lora_alpha: 8,
    rank_pattern: { 'mlp.*': 2, 'model.layers.0.self_attn.q_proj': 6, down_proj: 9 },
    alpha_pattern: { v_proj: 3 },
  });
  const of = (name: string) => {
    const site = [...sites.values()].find(({ path }) => path.endsWith(name))!;
    return [site.r, site.alpha];
  };
  assert.deepEqual(of('q_proj'), [6, 8]);
  assert.deepEqual(of('v_proj'), [4, 3]);
  assert.deepEqual(of('o_proj'), [4, 8]);
  assert.deepEqual(of('down_proj'), [2, 8]);
});

test('true: A is uniform within 1/√in, B is zero', async () => {
  const { a, b } = await started({ r: 64 });
  const bound = 1 / Math.sqrt(256);
  assert.ok(largest(a) <= bound && largest(a) > 0.99 * bound, `largest ${largest(a)}, bound ${bound}`);
  assert.ok(Math.abs(deviation(a) / (bound / Math.sqrt(3)) - 1) < 0.03);
  assert.equal(largest(b), 0);
});

test('gaussian: A has deviation 1/r, B is zero', async () => {
  const { a, b } = await started({ r: 32, init_lora_weights: 'gaussian' });
  assert.ok(Math.abs(deviation(a) * 32 - 1) < 0.03, `deviation ${deviation(a)}`);
  assert.ok(largest(a) > 2.5 / 32, 'normal, not uniform');
  assert.equal(largest(b), 0);
});

test('orthogonal: both factors are there and BA is zero', async () => {
  const r = 8;
  const { a, b } = await started({ r, init_lora_weights: 'orthogonal' });
  assert.ok(deviation(a) > 0.01 && deviation(b) > 0.01);
  const [rows, columns] = [b.length / r, a.length / r];
  let worst = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < r; k++) sum += b[i * r + k]! * a[k * columns + j]!;
      worst = Math.max(worst, Math.abs(sum));
    }
  }
  assert.ok(worst < 1e-7, `BA reaches ${worst}`);
});

test('false: B is uniform within 1/√r', async () => {
  const { a, b } = await started({ r: 16, init_lora_weights: false });
  assert.ok(largest(b) <= 0.25 && largest(b) > 0.99 * 0.25);
  assert.ok(largest(a) <= 1 / 16 && largest(a) > 0);
});

test('another seed gives other values, the same seed the same; no two modules share theirs', async () => {
  const [first, again, other] = [await started({}), await started({}), await started({}, 2)];
  assert.deepEqual(first.a, again.a);
  assert.notDeepEqual(first.a, other.a);
  const { tensors } = planned({ target_modules: ['q_proj', 'k_proj'] });
  const a = await Promise.all(
    tensors
      .filter(({ name }) => name.includes('lora_A'))
      .map((tensor) => tensor.initial(new Random(1, 'initialisation'), () => assert.fail())),
  );
  assert.equal(a.length, 2);
  assert.notDeepEqual(a[0], a[1]);
});

test('rows of zeros up to a larger rank change nothing, alpha grown with it', async () => {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-plain'));
  const base = modelFromConfig(checkpoint.config);
  const weights = BaseWeights.of(runtime, checkpoint, base);
  const ids = Int32Array.from({ length: 8 }, (_, i) => 3 + 7 * i);
  const logits = async (
    plan: AdapterPlan,
    values: ReadonlyMap<string, Float32Array>,
  ): Promise<Float32Array> => {
    const parameters = uploadParameters(runtime, plan, values);
    const evaluator = new Evaluator({ runtime, model: base, weights, parameters });
    const result = await evaluator.logits({
      rows: 1,
      length: 8,
      ids,
      targets: new Int32Array(8).fill(-100),
      positions: Int32Array.from(ids, (_, i) => i),
      segments: new Int32Array(8).fill(1),
      trainedTokens: 0,
      tokens: 8,
      sourceRows: [],
    });
    evaluator.release();
    parameters.release();
    return result;
  };
  const [r, padded] = [3, 8];
  const narrow = planAdapter(
    base,
    adapterSettings(base, { target_modules: ['q_proj', 'down_proj'], r, lora_alpha: 6 }),
  );
  const grown = planAdapter(
    base,
    adapterSettings(base, {
      target_modules: ['q_proj', 'down_proj'],
      r: padded,
      lora_alpha: (6 * padded) / r,
    }),
  );
  const values = randomValues(narrow, 0.2);
  const zeroPadded = new Map(
    grown.tensors.map(({ name, shape }) => {
      const [rows, columns] = shape as [number, number];
      const source = values.get(name)!;
      const out = new Float32Array(rows * columns);
      const width = name.includes('lora_A') ? columns : r;
      source.forEach((x, i) => {
        out[Math.floor(i / width) * columns + (i % width)] = x;
      });
      return [name, out];
    }),
  );
  const [ours, same] = [await logits(narrow, values), await logits(grown, zeroPadded)];
  const worst = ours.reduce((most, x, i) => Math.max(most, Math.abs(x - same[i]!)), 0);
  assert.ok(worst <= 2e-6, `differs by ${worst}`);
  weights.release();
});

test('the LoRA form has rank r: b·a has the scaling, and lora_bias a scaled bias', () => {
  const plan = planned({ target_modules: ['q_proj'], r: 2, lora_alpha: 6, settings: { lora_bias: true } });
  const [site] = plan.sites.values();
  const values = randomValues(plan, 1);
  const form = lora.loraForm!(site!, (name) => values.get(`${site!.path}.${name}`)!, plan.settings);
  assert.equal(form.rank, 2);
  const raw = (name: string) => values.get(`${site!.path}.${name}`)!;
  assert.deepEqual(form.a, raw('lora_A.weight'));
  assert.deepEqual(
    form.b,
    raw('lora_B.weight').map((x) => 3 * x),
  );
  assert.deepEqual(
    form.bias,
    raw('lora_B.bias').map((x) => 3 * x),
  );
});
