// LongLoRA as a run: the preset trains norms and embeddings, positions are stretched and travel beside the adapter into
// evaluation, generation, merging and resumption; what cannot be stretched is refused by name.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { configForAdapters } from '../../../src/engine/adapters/baseConfig';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { variants } from '../../../src/engine/adapters/registry';
import { evaluate } from '../../../src/engine/api/evaluate';
import { generate } from '../../../src/engine/api/generate';
import { merge } from '../../../src/engine/api/merge';
import { catalogue } from '../../../src/engine/catalogue';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { UserError } from '../../../src/engine/errors';
import { forecast } from '../../../src/engine/estimate/forecast';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace({ ...tinyConfig, max_position_embeddings: 16 }));
});
after(() => clean());

const longlora = {
  preset: 'longlora',
  r: 4,
  lora_alpha: 8,
  learning_rate: 5e-3,
  max_length: 40,
  max_steps: 4,
};
const quiet = {
  emit: () => {},
  stopRequested: false,
  cancelRequested: false,
  takeCheckpointRequest: () => false,
};

test('the preset trains norms and embeddings, and the base config goes along', async () => {
  const host = new TestHost();
  const result = await trainTiny(folder, { ...longlora, output_dir: 'runs/whole', save_steps: 2 }, host);
  const { tensors, config } = await readAdapterFolder(result.adapter);
  const saved = [...tensors.keys()].filter((name) => !name.includes('lora_'));
  assert.deepEqual(saved.map((name) => name.replace('base_model.model.model.', '')).sort(), [
    'embed_tokens.weight',
    'layers.0.input_layernorm.weight',
    'layers.0.post_attention_layernorm.weight',
    'layers.1.input_layernorm.weight',
    'layers.1.post_attention_layernorm.weight',
    'norm.weight',
  ]);
  for (const name of saved)
    assert.ok(
      (await tensors.get(name)!.read()).some((x) => Math.abs(x - 1) > 1e-6),
      `${name} moved`,
    );
  assert.deepEqual(config.modules_to_save, [
    'embed_tokens',
    'input_layernorm',
    'post_attention_layernorm',
    'norm',
  ]);
  assert.equal(tensors.size - saved.length, 2 * 2 * 4, 'q, k, v and o');

  const kept = JSON.parse(readFileSync(join(result.adapter, 'base_config.json'), 'utf8'));
  assert.equal(kept.rope_scaling.factor, 3);
  assert.equal(kept.max_position_embeddings, 48);
  assert.ok(
    host
      .of('note')
      .some(({ message }) => /divided by 3.*base_config\.json.*"max_position_embeddings":48/.test(message)),
  );
  assert.deepEqual(host.of('warning'), []);

  const params = { model: join(folder, 'base'), device: 'cpu' as const, threads: 1 };
  const measured = { ...params, data: join(folder, 'eval.jsonl'), maxLength: 40, batchSize: 2 };
  const long = await evaluate({ ...measured, adapters: [result.adapter] }, quiet);
  const short = await evaluate({ ...measured, adapters: [] }, quiet);
  assert.ok(long.tokens > short.tokens, 'the base alone reads 16 positions');

  const sampling = { maxNewTokens: 24, temperature: 0, topP: 1, topK: 0, seed: 1 };
  const { completions } = await generate(
    { ...params, ...sampling, prompts: ['Say 5: the number is'], adapters: [result.adapter], chat: false },
    quiet,
  );
  assert.equal(completions[0]!.tokens > 12 || completions[0]!.finishReason === 'stop', true);

  const out = join(folder, 'merged');
  await merge({ ...params, adapter: result.adapter, out }, quiet);
  const merged = await openCheckpoint(out);
  assert.equal(modelFromConfig(merged.config).maxPositions, 48);
  const whole = await evaluate({ ...measured, model: out, adapters: [] }, quiet);
  assert.equal(whole.tokens, long.tokens);
  assert.ok(Math.abs(whole.loss - long.loss) < 1e-5, `merged ${whole.loss}, with the adapter ${long.loss}`);

  assert.ok(existsSync(join(folder, 'runs/whole/checkpoints/step-2/base_config.json')));
});

test('a resumed run gives the bits of the whole one', async () => {
  const settings = { ...longlora, save_steps: 2, packing: true };
  const whole = await trainTiny(folder, { ...settings, output_dir: 'runs/once' });
  await trainTiny(folder, { ...settings, output_dir: 'runs/twice' });
  for (const name of ['checkpoints/step-4', 'adapter'])
    rmSync(join(folder, 'runs/twice', name), { recursive: true });
  const again = await trainTiny(folder, {
    ...settings,
    output_dir: 'runs/twice',
    resume_from_checkpoint: true,
  });
  const bytes = (path: string): Buffer => readFileSync(join(path, 'adapter_model.safetensors'));
  assert.deepEqual(bytes(again.adapter), bytes(whole.adapter));
});

test('adapters of other positions do not act together', async () => {
  const stretched = join(folder, 'runs/whole/adapter');
  const plain = await trainTiny(folder, { output_dir: 'runs/plain', max_length: 16, max_steps: 1 });
  const { config } = await openCheckpoint(join(folder, 'base'));
  await assert.rejects(
    configForAdapters(config, [stretched, plain.adapter]),
    (error: unknown) =>
      error instanceof UserError && error.code === 'adapters-conflict' && Boolean(error.remedy),
  );
  assert.equal(await configForAdapters(config, [plain.adapter]), config);
  assert.equal((await configForAdapters(config, [stretched, stretched])).max_position_embeddings, 48);
});

test('what cannot be stretched is refused by name', async () => {
  const refused = async (config: Record<string, unknown>, message: RegExp): Promise<void> => {
    const other = await tinyWorkspace(config);
    try {
      await assert.rejects(
        trainTiny(other.folder, { rope_scaling: 'linear', max_length: 64, max_steps: 1 }),
        (error: unknown) => error instanceof UserError && message.test(error.message) && error.remedy !== '',
      );
    } finally {
      other.clean();
    }
  };
  const gpt2 = { model_type: 'gpt2', n_embd: 16, n_layer: 1, n_head: 2, vocab_size: 1024, n_positions: 32 };
  await refused(gpt2, /gpt2 has learned ones, 32 of them/);
  const yarn = { rope_type: 'yarn', factor: 2 };
  await refused(
    { ...tinyConfig, max_position_embeddings: 32, rope_scaling: yarn },
    /own scaling of positions, yarn/,
  );
});

test('on a model of enough positions nothing is stretched', async () => {
  const host = new TestHost();
  const result = await trainTiny(
    folder,
    { ...longlora, max_length: 16, max_steps: 1, output_dir: 'runs/short' },
    host,
  );
  assert.equal(existsSync(join(result.adapter, 'base_config.json')), false);
  assert.ok(host.of('note').some(({ message }) => /nothing to stretch/.test(message)));
});

test('the forecast of activations falls with the blocks', () => {
  const model = modelFromConfig({ ...tinyConfig, max_position_embeddings: 4096 });
  const activations = (given: Record<string, unknown>): number => {
    const values = {
      model: 'm',
      dataset: 'x.jsonl',
      max_length: 2048,
      per_device_train_batch_size: 1,
      r: 4,
      ...given,
    };
    const source = parseRecipe(Buffer.from(JSON.stringify(values)), 'x.lora.json', folder);
    return forecast(model, validateRecipe(source, catalogue).recipe).parts.activations;
  };
  for (const gradient_checkpointing of ['none', 'selective']) {
    const full = activations({ gradient_checkpointing });
    const shift = { gradient_checkpointing, attention: 'shift_short' };
    const [quarter, eighth] = [activations(shift), activations({ ...shift, group_size: 256 })];
    assert.ok(
      quarter < 0.8 * full && eighth < quarter,
      `${gradient_checkpointing}: ${full}, ${quarter}, ${eighth}`,
    );
  }
});

test('settings that say nothing are refused', () => {
  const problems = (given: Record<string, unknown>): string => {
    const values = { model: 'm', dataset: 'x.jsonl', ...given };
    const source = parseRecipe(Buffer.from(JSON.stringify(values)), 'x.lora.json', folder);
    try {
      validateRecipe(source, catalogue);
      return '';
    } catch (error) {
      return (error as UserError).message;
    }
  };
  assert.match(problems({ group_size: 8 }), /group_size belongs to attention: shift_short/);
  assert.match(problems({ attention: 'shift_short', group_size: 7 }), /group_size: 7 has no half/);
  assert.match(
    problems({ attention: 'shift_short', group_size: 64, max_length: 32 }),
    /more than max_length: 32/,
  );
  assert.equal(problems({ preset: 'longlora', max_length: 8192, model_max_length: undefined }), '');
});

for (const { id, entry } of variants)
  test(`${id} trains in shifted blocks; blocks beyond the rows are full attention`, async (t) => {
    const { folder, clean } = await tinyWorkspace();
    t.after(clean);
    const run = async (settings: Record<string, unknown>) => {
      const host = new TestHost();
      await trainTiny(
        folder,
        {
          adapter: id,
          // Small enough for every module, where it is a setting at all.
          r: entry.without?.includes('r') ? undefined : 4,
          lora_alpha: undefined,
          max_length: 128,
          max_steps: 1,
          learning_rate: 1e-4,
          save_strategy: 'no',
          output_dir: `runs/shifted-${id}`,
          ...(id === 'adalora' ? { max_steps: 3, tinit: 0, tfinal: 1 } : {}),
          ...(id === 'lora_drop' ? { threshold: 1, warm_steps: 1 } : {}),
          ...settings,
        },
        host,
      );
      return host.of('step')[0]!;
    };
    const full = await run({});
    const whole = await run({ attention: 'shift_short', group_size: 128 });
    assert.ok(Math.abs(whole.loss - full.loss) < 1e-5, `${whole.loss}, full ${full.loss}`);
    assert.ok(Math.abs(whole.gradNorm! / full.gradNorm! - 1) < 1e-3);
    const blocks = await run({ attention: 'shift_short', group_size: 4 });
    assert.ok(Math.abs(blocks.loss - full.loss) > 1e-6, 'short blocks see less');
    assert.ok(blocks.gradNorm! > 0);
  });
