// Runs whose start comes from the base weights or the data: the model starts where it was, what is saved is a LoRA of the
// original base, and a resumed run gives the bits of the uninterrupted one.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { evaluate } from '../../../src/engine/api/evaluate';
import { merge } from '../../../src/engine/api/merge';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

let work: Awaited<ReturnType<typeof tinyWorkspace>>;
before(async () => {
  work = await tinyWorkspace();
});
after(() => work.clean());

/** One optimizer step at a rate that moves nothing: the loss of the start. */
const still = { learning_rate: 1e-12, max_steps: 1, shuffle: false, gradient_accumulation_steps: 1 };

async function firstLoss(settings: Record<string, unknown>): Promise<number> {
  const host = new TestHost();
  const output_dir = join(
    work.folder,
    `still-${String(settings.init_lora_weights)}-${String(settings.corda_method ?? '')}`,
  );
  await trainTiny(work.folder, { ...still, output_dir, ...settings }, host);
  return host.of('step')[0]!.loss;
}

const residual: [string, Record<string, unknown>][] = [
  ['pissa', { init_lora_weights: 'pissa' }],
  [
    'pissa, rsLoRA and patterns',
    {
      init_lora_weights: 'pissa',
      use_rslora: true,
      rank_pattern: { q_proj: 3 },
      alpha_pattern: { v_proj: 5 },
    },
  ],
  ['pissa_niter_4', { init_lora_weights: 'pissa_niter_4' }],
  ['milora', { init_lora_weights: 'milora' }],
  ['olora, a trained norm', { init_lora_weights: 'olora', modules_to_save: ['norm'] }],
  ['corda ipm', { init_lora_weights: 'corda', corda_method: 'ipm', calibration_samples: 8 }],
  ['corda kpm', { init_lora_weights: 'corda', corda_method: 'kpm', calibration_samples: 8 }],
  ['pissa beyond the rank of a weight', { init_lora_weights: 'pissa', r: 40 }],
];

for (const [name, settings] of residual) {
  test(`${name}: starts at the base model, is saved for the original base`, async () => {
    const base = await firstLoss({ init_lora_weights: true });
    const start = await firstLoss(settings);
    assert.ok(Math.abs(start - base) < 2e-5 * base, `the start's loss is ${start}, the base's ${base}`);

    const out = join(work.folder, `saved ${name}`);
    const host = new TestHost();
    const result = await trainTiny(
      work.folder,
      { output_dir: out, eval_dataset: 'eval.jsonl', max_steps: 6, ...settings },
      host,
    );
    const config = JSON.parse(readFileSync(join(result.adapter, 'adapter_config.json'), 'utf8'));
    assert.equal(config.init_lora_weights, true);
    assert.equal(config.r, 2 * Number(settings.r ?? 4));
    assert.equal(config.lora_alpha, settings.use_rslora ? 8 * Math.SQRT2 : 16);
    const tensors = (await readSafetensors(join(result.adapter, 'adapter_model.safetensors'))).tensors;
    if (settings.modules_to_save) assert.ok(tensors.has('base_model.model.model.norm.weight'));
    const again = await evaluate(
      {
        model: join(work.folder, 'base'),
        adapters: [result.adapter],
        data: join(work.folder, 'eval.jsonl'),
        maxLength: 64,
        batchSize: 2,
        device: 'cpu',
        threads: 1,
      },
      new TestHost(),
    );
    assert.ok(
      Math.abs(again.loss - result.evalLoss!) < 1e-4,
      `${again.loss} from the files, ${result.evalLoss} in the run`,
    );
    assert.ok(Math.abs(result.evalLoss! - base) > 1e-3, 'something was learned');
  });
}

for (const settings of [
  { init_lora_weights: 'pissa' },
  { init_lora_weights: 'pissa_niter_2' },
  { init_lora_weights: 'corda', corda_method: 'kpm', calibration_samples: 6 },
  { init_lora_weights: 'eva' },
  { init_lora_weights: 'eva', adapter: 'dora' },
  { init_lora_weights: 'eva', adapter: 'lora_fa', lorafa_gradient: 'projected' },
  { init_lora_weights: 'loftq', loftq_iter: 2 },
] as Record<string, unknown>[]) {
  const own = `${settings.init_lora_weights}${settings.adapter ? ` with ${settings.adapter}` : ''}`;
  test(`${own}: a resumed run gives the same bits`, async () => {
    const name = `resume-${own.replaceAll(' ', '-')}`;
    const whole = await trainTiny(work.folder, {
      output_dir: join(work.folder, `${name}-whole`),
      max_steps: 6,
      ...settings,
    });
    const dir = join(work.folder, `${name}-parts`);
    const host = new TestHost((event, h) => {
      if (event.type === 'step' && event.step === 3) h.stopRequested = true;
    });
    await trainTiny(work.folder, { output_dir: dir, max_steps: 6, ...settings }, host);
    const resumed = await trainTiny(work.folder, {
      output_dir: dir,
      max_steps: 6,
      ...settings,
      resume_from_checkpoint: true,
    });
    const [a, b] = await Promise.all(
      [whole, resumed].map(({ adapter }) => readSafetensors(join(adapter, 'adapter_model.safetensors'))),
    );
    assert.equal(resumed.steps, 6);
    for (const [tensor, ref] of a!.tensors)
      assert.deepEqual(await readTensor(b!.tensors.get(tensor)!), await readTensor(ref), tensor);
  });
}

for (const adapter of ['dora', 'lora_fa']) {
  test(`EVA with ${adapter}: starts at the base, learns, and its file says what the run said`, async () => {
    const base = await firstLoss({ init_lora_weights: true });
    const start = await firstLoss({
      init_lora_weights: 'eva',
      adapter,
      output_dir: join(work.folder, `still-eva-${adapter}`),
    });
    assert.ok(Math.abs(start - base) < 1e-5 * base, `the start's loss is ${start}, the base's ${base}`);
    const result = await trainTiny(work.folder, {
      output_dir: join(work.folder, `eva-${adapter}`),
      eval_dataset: 'eval.jsonl',
      max_steps: 8,
      init_lora_weights: 'eva',
      adapter,
    });
    assert.ok(result.evalLoss! < base - 1e-2, `${result.evalLoss} after training, ${base} before`);
    const again = await evaluate(
      {
        model: join(work.folder, 'base'),
        adapters: [result.adapter],
        data: join(work.folder, 'eval.jsonl'),
        maxLength: 64,
        batchSize: 2,
        device: 'cpu',
        threads: 1,
      },
      new TestHost(),
    );
    assert.ok(Math.abs(again.loss - result.evalLoss!) < 1e-4, `${again.loss}, ${result.evalLoss} in the run`);
  });
}

test('EVA: ranks move within the budget, A is orthonormal, scaling stays', async () => {
  const host = new TestHost();
  const result = await trainTiny(
    work.folder,
    {
      ...still,
      output_dir: join(work.folder, 'eva'),
      init_lora_weights: 'eva',
      eva_rho: 2,
      target_modules: ['q_proj', 'o_proj', 'down_proj'],
    },
    host,
  );
  const base = await firstLoss({ init_lora_weights: true });
  assert.ok(Math.abs(host.of('step')[0]!.loss - base) < 1e-6 * base, 'B is zero');
  const model = modelFromConfig((await openCheckpoint(join(work.folder, 'base'))).config);
  const { plan, values } = await loadAdapter(result.adapter, model);
  const sites = [...plan.sites.values()];
  const ranks = sites.map(({ r }) => r);
  assert.equal(
    ranks.reduce((sum, r) => sum + r, 0),
    6 * 4,
  );
  assert.ok(new Set(ranks).size > 1, `ranks ${ranks} differ`);
  for (const site of sites) {
    assert.ok(site.r <= 8);
    assert.ok(Math.abs(site.alpha / site.r - 2) < 1e-9, 'alpha/r stays');
    const a = values.get(`${site.path}.lora_A.weight`)!;
    for (let i = 0; i < site.r; i++) {
      for (let j = 0; j <= i; j++) {
        let dot = 0;
        for (let k = 0; k < site.inFeatures; k++)
          dot += a[i * site.inFeatures + k]! * a[j * site.inFeatures + k]!;
        assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < 1e-4, `${site.path} row ${i}·${j} is ${dot}`);
      }
    }
  }
  const config = JSON.parse(readFileSync(join(result.adapter, 'adapter_config.json'), 'utf8'));
  assert.equal(config.init_lora_weights, 'eva');
});

for (const settings of [
  { init_lora_weights: 'pissa', convert_to_lora: false },
  { init_lora_weights: 'olora', convert_to_lora: false },
  { init_lora_weights: 'loftq', loftq_iter: 1 },
]) {
  const { init_lora_weights: init } = settings;
  test(`${init}: PEFT's raw form is saved, and computes the start again`, async () => {
    const result = await trainTiny(work.folder, {
      output_dir: join(work.folder, `raw ${init}`),
      eval_dataset: 'eval.jsonl',
      max_steps: 6,
      lora_alpha: 4,
      ...settings,
    });
    const config = JSON.parse(readFileSync(join(result.adapter, 'adapter_config.json'), 'utf8'));
    assert.equal(config.init_lora_weights, init);
    assert.equal(config.r, 4);
    if (init === 'loftq') assert.deepEqual(config.loftq_config, { loftq_bits: 4, loftq_iter: 1 });
    const base = join(work.folder, 'base');
    const device = { device: 'cpu', threads: 1 };
    const data = { data: join(work.folder, 'eval.jsonl'), maxLength: 64, batchSize: 2 };
    const again = await evaluate(
      { model: base, adapters: [result.adapter], ...data, ...device },
      new TestHost(),
    );
    assert.ok(Math.abs(again.loss - result.evalLoss!) < 1e-4, `${again.loss}, in the run ${result.evalLoss}`);
    const out = join(work.folder, `merged ${init}`);
    const host = new TestHost();
    const merging = await merge({ model: base, adapter: result.adapter, out, ...device }, host);
    assert.equal(merging.verified, true);
    // LoftQ's four bits are what the adapter was merged into, and the merged model has the adapter's loss.
    const warned = host.events.some((event) => event.type === 'warning' && /4 bits/.test(event.message));
    assert.equal(warned, init === 'loftq');
    const merged = await evaluate({ model: out, adapters: [], ...data, ...device }, new TestHost());
    assert.ok(Math.abs(merged.loss - again.loss) < 1e-4, `merged ${merged.loss}, unmerged ${again.loss}`);
  });
}

test('LoftQ in other than 4 bits is refused with the bits, in recipes and in files', async () => {
  const settings = { ...still, init_lora_weights: 'loftq', output_dir: join(work.folder, 'bits') };
  await assert.rejects(trainTiny(work.folder, { ...settings, loftq_bits: 8 }), (error: Error) => {
    assert.match(JSON.stringify(error), /loftq_bits: 8 is not supported.*Set loftq_bits: 4/);
    return true;
  });
  const { adapter } = await trainTiny(work.folder, { ...settings, loftq_bits: 4 });
  const file = join(adapter, 'adapter_config.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"loftq_bits": 4', '"loftq_bits": 8'));
  const params = { adapter, model: join(work.folder, 'base'), device: 'cpu', threads: 1 };
  await assert.rejects(
    merge({ ...params, out: join(work.folder, 'bits merged') }, new TestHost()),
    /loftq_bits: 8: the tensors fit a base of 8 bits; a base of 4 bits is made here/,
  );
});

test('a shared weight and a method without A and B are refused by name', async () => {
  const run = (settings: Record<string, unknown>) =>
    trainTiny(work.folder, {
      ...still,
      output_dir: join(work.folder, 'refused'),
      init_lora_weights: 'pissa',
      ...settings,
    });
  assert.equal(tinyConfig.tie_word_embeddings, true);
  await assert.rejects(run({ target_modules: ['lm_head'] }), /shares its weight with model\.embed_tokens/);
  await assert.rejects(run({ adapter: 'vera' }), /init_lora_weights has no effect with adapter: vera/);
  await assert.rejects(run({ adapter: 'dora' }), /dora does not combine with init_lora_weights: pissa/);
});

test('data without enough tokens for EVA is refused', async () => {
  await assert.rejects(
    trainTiny(work.folder, {
      ...still,
      output_dir: join(work.folder, 'short'),
      init_lora_weights: 'eva',
      per_device_train_batch_size: 1,
      r: 16,
      max_length: 16,
    }),
    /too short/,
  );
});
