// The call `inspect` on each kind of thing, whole and damaged.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from '../../../src/engine/api/inspect';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readSafetensors, readTensor, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { AdapterError, CheckpointError, DataError, RunError } from '../../../src/engine/errors';
import { frobeniusNorm, productNorm } from '../../../src/engine/inspect/norms';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { timed } from '../../../src/protocol/run';
import { writeRandomAdapter } from '../../contracts/randomAdapter';
import { writeTinyModel } from '../api/tinyModel';
import { fails, scratch, sharedData } from '../files/scratch';

const goldens = join('test', 'goldens');

test('‖BA‖ without the product is the norm of the product', () => {
  const random = new Random(1);
  const [out, r, width] = [7, 3, 5];
  const b = Float32Array.from({ length: out * r }, () => random.normal());
  const a = Float32Array.from({ length: r * width }, () => random.normal());
  const product = new Float32Array(out * width);
  for (let i = 0; i < out; i++)
    for (let j = 0; j < width; j++)
      for (let k = 0; k < r; k++) product[i * width + j]! += b[i * r + k]! * a[k * width + j]!;
  assert.ok(Math.abs(productNorm(b, a, r) - frobeniusNorm(product)) < 1e-5);
});

test('an adapter: settings, tensors, ΔW with its scaling', async () => {
  const result = await inspect({ path: join(goldens, 'adapters', 'llama-patterns', 'adapter') });
  assert.equal(result.kind, 'adapter');
  assert.equal(result.facts.r, 4);
  assert.equal(result.facts.modules, 21);
  assert.equal(result.facts.base_model_name_or_path, 'test/goldens/models/llama-plain');
  assert.deepEqual(result.problems, []);
  const name = 'model.layers.0.mlp.up_proj';
  const delta = result.tensors!.find((tensor) => tensor.name === `ΔW ${name}`)!;
  const { tensors } = await readSafetensors(
    join(goldens, 'adapters', 'llama-patterns', 'adapter', 'adapter_model.safetensors'),
  );
  const a = await readTensor(tensors.get(`base_model.model.${name}.lora_A.weight`)!);
  const b = await readTensor(tensors.get(`base_model.model.${name}.lora_B.weight`)!);
  // alpha_pattern gives this module alpha 12.5 at r 4.
  assert.ok(Math.abs(delta.norm! - (12.5 / 4) * productNorm(b, a, 4)) < 1e-4, String(delta.norm));
  const listed = result.tensors!.find((tensor) => tensor.name === `base_model.model.${name}.lora_A.weight`)!;
  assert.ok(Math.abs(listed.norm! - frobeniusNorm(a)) < 1e-6);
});

for (const [name, modules] of [
  ['llama-init-true', 6],
  ['llama-init-orthogonal', 6],
] as const) {
  test(`${name}: modules that never moved are told`, async () => {
    const { problems } = await inspect({ path: join(goldens, 'adapters', name, 'adapter') });
    assert.equal(problems.length, 1);
    assert.match(problems[0]!.message, new RegExp(`^${modules} of ${modules} modules never moved`));
  });
}

test('an adapter with a NaN names tensor and place', async (t) => {
  const folder = await scratch(t);
  const source = join(goldens, 'adapters', 'llama-qv', 'adapter');
  const { tensors } = await readSafetensors(join(source, 'adapter_model.safetensors'));
  const broken = 'base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight';
  await writeSafetensors(
    join(folder, 'adapter_model.safetensors'),
    await Promise.all(
      [...tensors.values()].map(async (ref) => {
        const data = await readTensor(ref);
        if (ref.name === broken) data[5] = Number.NaN;
        return { name: ref.name, dtype: 'F32' as const, shape: ref.shape, data };
      }),
    ),
  );
  writeFileSync(join(folder, 'adapter_config.json'), readFileSync(join(source, 'adapter_config.json')));
  const { problems, tensors: listed } = await inspect({ path: folder });
  assert.equal(problems.length, 1);
  assert.match(problems[0]!.where, /layers\.1\.self_attn\.v_proj\.lora_B/);
  assert.match(problems[0]!.message, /1 NaN .* element 5/);
  assert.equal(listed!.find(({ name }) => name === broken)!.norm, null);
});

test('a checkpoint: family, parts, ties, and parameters that add up', async () => {
  for (const name of ['llama-gqa-tied', 'gpt2', 'qwen3', 'llama-bf16-sharded', 'gpt2-base-class']) {
    const result = await inspect({ path: join(goldens, 'models', name) });
    assert.equal(result.kind, 'checkpoint');
    assert.equal(result.facts.supported, true);
    const parts = Object.entries(result.facts).filter(([key]) => key.startsWith('parameters of'));
    const sum = parts.reduce((total, [, count]) => total + Number(count), 0);
    assert.equal(sum, result.facts.parameters, name);
    // Goldens have no tokenizer.
    assert.deepEqual(
      result.problems.map(({ message }) => message),
      ['has no tokenizer.json'],
    );
    assert.ok(result.tensors!.every(({ norm }) => norm !== null && norm > 0));
  }
  const tied = await inspect({ path: join(goldens, 'models', 'llama-gqa-tied', 'config.json') });
  assert.equal(tied.facts.tied_embeddings, true);
});

for (const [name, source, type] of [
  ['llama-nf4-double', 'llama-plain', 'NF4'],
  ['gpt2-fp4', 'gpt2', 'FP4'],
] as const)
  test(`${name}: a checkpoint in four bits has the parameters of the one it was made from`, async () => {
    const packed = await inspect({ path: join('test', 'goldens', 'fourbit', 'training', name, 'base') });
    const whole = await inspect({ path: join('test', 'goldens', 'models', source) });
    const counts = ({ facts }: typeof whole) =>
      Object.entries(facts).filter(([key]) => key.startsWith('parameters'));
    assert.ok(counts(whole).length > 4);
    assert.deepEqual(counts(packed), counts(whole));
    assert.match(String(packed.facts.dtype), new RegExp(`\\b${type}\\b`));
    assert.doesNotMatch(String(packed.facts.dtype), /U8/);
    assert.ok(!packed.tensors?.some(({ name: tensor }) => /absmax|quant_/.test(tensor)));
    assert.deepEqual(
      packed.problems.filter(({ message }) => !/tokenizer/.test(message)),
      [],
    );
  });

test('a checkpoint whose tensors do not fit its config lists every one; an unknown family is told', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder);
  writeFileSync(
    join(folder, 'config.json'),
    readFileSync(join(folder, 'config.json'), 'utf8').replace(
      '"intermediate_size":24',
      '"intermediate_size":25',
    ),
  );
  const { problems } = await inspect({ path: folder });
  assert.equal(problems.length, 6);
  assert.match(problems[0]!.message, /expected \[25, 16\]/);
  writeFileSync(join(folder, 'config.json'), '{"model_type": "t5"}');
  const unknown = await inspect({ path: folder });
  assert.equal(unknown.facts.supported, false);
  assert.match(unknown.problems[0]!.message, /supported are .*llama/);
});

test('a dataset: shape, rows, columns, and the rows that cannot be used', async (t) => {
  const folder = await scratch(t, {
    'good.jsonl': '{"prompt":"a","completion":"b"}\n{"prompt":"c","completion":"d","extra":1}\n',
    'bad.jsonl': '{"prompt":"a","completion":"b"}\n{"prompt":"a"\n{"prompt":["x"],"completion":"d"}\n',
    'columns.csv': 'question,answer\n1,2\n',
    'plain.txt': 'Once upon a time.\n',
  });
  const good = await inspect({ path: join(folder, 'good.jsonl') });
  assert.equal(good.kind, 'dataset');
  assert.deepEqual(
    [good.facts.shape, good.facts.rows, good.facts.usable_rows, good.facts.columns],
    ['prompt-completion', 2, 2, 'prompt, completion, extra'],
  );
  const bad = await inspect({ path: join(folder, 'bad.jsonl') });
  assert.equal(bad.facts.usable_rows, 1);
  assert.deepEqual(
    bad.problems.map(({ where }) => /:(\d+) /.exec(where)?.[1]),
    ['2', '3'],
  );
  const columns = await inspect({ path: join(folder, 'columns.csv') });
  assert.equal(columns.facts.shape, 'unknown');
  assert.match(columns.problems[0]!.remedy!, /prompt: question/);
  assert.equal((await inspect({ path: join(folder, 'plain.txt') })).facts.shape, 'text');
});

test('a recipe is valid, or lists all that is wrong', async (t) => {
  const folder = await scratch(t, { 'x.jsonl': '{"text":"a"}\n' });
  await writeTinyModel(folder);
  const recipe = { model: '.', dataset: 'x.jsonl' };
  const path = join(folder, 'fine.lora.json');
  writeFileSync(path, JSON.stringify(recipe));
  assert.equal((await inspect({ path })).facts.valid, true);
  writeFileSync(path, JSON.stringify({ ...recipe, lerning_rate: 1, r: 0 }));
  const broken = await inspect({ path });
  assert.equal(broken.facts.valid, false);
  assert.equal(broken.problems.length, 2);
  assert.match(broken.problems.map(({ message, remedy }) => message + remedy).join(), /learning_rate/);
});

test('a run: state, steps and losses from its events', async (t) => {
  const folder = await scratch(t);
  const run = join(folder, 'run');
  mkdirSync(join(run, 'checkpoints', 'step-2'), { recursive: true });
  const step = (number: number, loss: number) =>
    timed({
      type: 'step',
      step: number,
      epoch: 0,
      loss,
      learningRate: 1,
      gradNorm: 1,
      tokens: 1,
      tokensPerSecond: 10,
      peakMemoryBytes: 1,
      etaSeconds: null,
    });
  const events = [step(1, 4), step(2, 3)];
  const write = (all: unknown[]): void =>
    writeFileSync(join(run, 'events.jsonl'), all.map((event) => `${JSON.stringify(event)}\n`).join(''));
  write(events);
  const interrupted = await inspect({ path: run });
  assert.equal(interrupted.kind, 'run');
  const { state, steps, first_loss: first, last_loss: last, checkpoints } = interrupted.facts;
  assert.deepEqual([state, steps, first, last, checkpoints], ['interrupted', 2, 4, 3, '2']);
  const error = { code: 'x', message: 'The disk is full.', remedy: 'Make room.' };
  write([...events, timed({ type: 'failed', step: 2, error })]);
  const failed = await inspect({ path: run });
  assert.equal(failed.facts.state, 'failed');
  assert.equal(failed.problems[0]!.message, 'The disk is full.');
});

test('what is none of these is answered with what was expected', async (t) => {
  const folder = await scratch(t, { 'x/photo.png': 'x', 'lone.bin': 'PK' });
  await fails(() => inspect({ path: join(folder, 'nothing') }), {
    class: RunError,
    code: 'inspect-missing',
    says: ['nothing', 'expected an adapter'],
  });
  await fails(() => inspect({ path: join(folder, 'x') }), {
    class: RunError,
    code: 'inspect-unknown',
    says: ['photo.png', 'expected an adapter'],
  });
  await fails(() => inspect({ path: join(folder, 'lone.bin') }), {
    class: AdapterError,
    code: 'pickle-adapter',
    says: ['lone.bin'],
  });
});

test('files that cannot be read raise their own errors', async (t) => {
  const folder = await scratch(t, {
    'model/config.json': '{',
    'model/model.safetensors': 'x',
    'adapter/adapter_config.json': '{"peft_type":"LORA"}',
    'empty.jsonl': '',
  });
  await fails(() => inspect({ path: join(folder, 'model') }), {
    class: CheckpointError,
    code: 'config-broken',
    says: [],
  });
  await fails(() => inspect({ path: join(folder, 'adapter') }), {
    class: AdapterError,
    code: 'adapter-weights-missing',
    says: [],
  });
  await fails(() => inspect({ path: join(folder, 'empty.jsonl') }), {
    class: DataError,
    code: 'dataset-empty',
    says: [],
  });
});

test('a fresh adapter of ours has no problems', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder);
  const model = modelFromConfig((await openCheckpoint(folder)).config);
  await writeRandomAdapter(join(folder, 'adapter'), model, { target_modules: 'all-linear' }, 0.1);
  const { problems, facts } = await inspect({ path: join(folder, 'adapter', 'adapter_model.safetensors') });
  assert.deepEqual(problems, []);
  assert.equal(facts.modules, 14);
});

const shared = sharedData('adapters');
test('real adapters of other makers are read, or refused by name', {
  skip: shared === undefined,
}, async () => {
  const of = (name: string) => inspect({ path: join(shared!, name) });
  assert.equal((await of('peft-gpt2')).facts.modules, 36);
  assert.deepEqual((await of('peft-trl')).problems, []);
  const refused = { class: AdapterError, code: 'adapter-format-unsupported' };
  await fails(() => of('mlx'), { ...refused, says: ['MLX'] });
  await fails(() => of('diffusers-lora'), { ...refused, says: ['Stable Diffusion'] });
  await fails(() => of('peft-bloom-bin'), {
    class: AdapterError,
    code: 'pickle-adapter',
    says: ['adapter_model.bin'],
  });
});
