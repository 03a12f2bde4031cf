// Several adapters through the terminal: added by weight, chosen by prompt, combined into one; and what cannot be.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { combinationTypes } from '../../src/engine/adapters/combine';
import { readSafetensors } from '../../src/engine/checkpoint/safetensors';
import { modelFromConfig } from '../../src/engine/models/registry';
import { writeRandomAdapter } from '../contracts/randomAdapter';
import { tinyConfig, tinyWorkspace, trainTiny } from '../engine/train/tinyRun';
import { workbench } from './badInput';

let folder: string;
let clean: () => void;
const at = (name: string): string => join(folder, name);
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
  const model = modelFromConfig(tinyConfig);
  const attention = { target_modules: ['q_proj', 'v_proj'], r: 2 };
  await writeRandomAdapter(at('one'), model, { ...attention, lora_alpha: 8 }, 0.3);
  await writeRandomAdapter(at('two'), model, { ...attention, use_rslora: true }, 0.4);
  await writeRandomAdapter(at('wide'), model, { ...attention, r: 5 }, 0.3);
  await writeRandomAdapter(at('dora'), model, { ...attention, adapter: 'dora' }, 0.3);
});
after(() => clean());

const quiet = ['--threads', '1', '--json'];
async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await workbench([...args, ...quiet]);
  assert.equal(code, 0, err);
  return JSON.parse(out) as Record<string, unknown>;
}
/** A refusal's code and text. */
async function refused(...args: string[]): Promise<string> {
  const { code, err } = await workbench(args);
  assert.equal(code, 2, err);
  return err;
}
const base = () => ['--model', at('base')];
const loss = async (...adapters: string[]): Promise<number> => {
  const given = adapters.flatMap((adapter) => ['--adapter', adapter]);
  return (await json('evaluate', ...base(), '--data', at('eval.jsonl'), ...given)).loss as number;
};
const compose = (out: string, ...args: string[]) =>
  json('compose', ...base(), '--out', at(out), '--device', 'cpu', ...args);
const near = (one: number, other: number, what: string): void =>
  assert.ok(Math.abs(one - other) < 2e-5, `${what}: ${one} and ${other}`);

test('evaluate adds adapters by weight, as cat writes them', async () => {
  const sum = await loss(`${at('one')}=0.5`, `${at('two')}=-1.5`);
  const out = await compose(
    'cat',
    ...['--adapter', at('one'), '--adapter', at('two'), '--weight', '0.5', '--weight', '-1.5'],
  );
  assert.deepEqual([out.rank, out.modules, out.exact], [4, 4, true]);
  near(sum, await loss(at('cat')), 'cat');
  assert.ok(Math.abs(sum - (await loss(at('one'), at('two')))) > 1e-3, 'weights act');
  assert.match(
    await refused('evaluate', ...base(), '--data', at('eval.jsonl'), '--adapter', 'one=heavy'),
    /heavy/,
  );
});

test('generate: every prompt of a file by its own adapters, as alone', async () => {
  const rows = [
    { prompt: 'Say 1', adapter: 'one' },
    { prompt: 'Say 1', adapter: '__base__' },
    { prompt: 'Say 1', adapter: ['one=0.5', './two'] },
    { prompt: 'Say 1' },
  ];
  writeFileSync(at('prompts.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const few = ['--max-new-tokens', '6'];
  const given = ['--adapter', at('two')];
  const mixed = (await json(
    ...['generate', ...base(), '--prompts', at('prompts.jsonl'), ...given, ...few],
  )) as unknown as { text: string; adapters?: object[] }[];
  const alone = async (...adapters: string[]): Promise<unknown> => {
    const own = adapters.flatMap((adapter) => ['--adapter', adapter]);
    return (await json('generate', ...base(), '--prompt', 'Say 1', ...own, ...few)).text;
  };
  const expected = [
    await alone(at('one')),
    await alone(),
    await alone(`${at('one')}=0.5`, at('two')),
    await alone(at('two')),
  ];
  assert.deepEqual(
    mixed.map(({ text }) => text),
    expected,
  );
  assert.ok(new Set(expected).size >= 3, 'adapters act');
  assert.deepEqual(mixed[1]!.adapters, []);
  assert.deepEqual(mixed[2]!.adapters, [
    { folder: at('one'), weight: 0.5 },
    { folder: at('two'), weight: 1 },
  ]);
});

test('a file of prompts: every line’s mistake at once', async () => {
  const lines = [
    '{"prompt": 1}',
    'no',
    '{"prompt": "a", "adaptor": "one"}',
    '{"prompt": "a", "adapter": "one=x"}',
  ];
  writeFileSync(at('bad.jsonl'), lines.join('\n'));
  const said = await refused('generate', ...base(), '--prompts', at('bad.jsonl'));
  for (const part of [
    /line 1: needs a text/,
    /line 2: is no JSON/,
    /line 3: has "adaptor"/,
    /line 4: .*"one=x"/,
  ])
    assert.match(said, part);
  assert.match(await refused('generate', ...base(), '--prompts', at('none.jsonl')), /There is no file/);
  assert.match(await refused('generate', ...base()), /nothing to complete[\s\S]*--prompts FILE/);
});

test('compose writes every type, and what it writes loads', async () => {
  const folders = ['--adapter', at('one'), '--adapter', at('two')];
  const written = new Map<string, string>();
  for (const type of combinationTypes) {
    const out = await compose(type, ...folders, '--type', type, '--density', '0.7');
    const config = JSON.parse(readFileSync(join(at(type), 'adapter_config.json'), 'utf8')) as { r: number };
    assert.equal(config.r, type === 'cat' ? 4 : 2, type);
    assert.equal(out.exact, type === 'cat', type);
    const bytes = readFileSync(join(at(type), 'adapter_model.safetensors'));
    written.set(createHash('sha256').update(bytes).digest('hex'), type);
  }
  assert.deepEqual([...written.values()].sort(), [...combinationTypes].sort(), 'each is another result');
  // At its full rank svd is the sum; PEFT up to 0.20 scaled twice, by alpha/r = 4 here.
  const whole = ['--type', 'svd', '--rank', '4'];
  await compose('svd-whole', ...folders, ...whole);
  near(await loss(at('svd-whole')), await loss(at('one'), at('two')), 'svd of full rank');
  await compose(
    'svd-twice',
    '--adapter',
    at('one'),
    '--adapter',
    `${at('two')}=0`,
    ...whole,
    '--peft-scaling',
  );
  near(await loss(at('svd-twice')), await loss(`${at('one')}=4`), 'alpha/r twice');
  // PEFT combines a single adapter by scaling its factors.
  const single = await compose('single', '--adapter', `${at('one')}=0.5`, '--type', 'ties');
  assert.equal(single.exact, true);
  near(await loss(at('single')), await loss(`${at('one')}=0.5`), 'one adapter');
});

test('compose refuses what it cannot combine, with the reason', async () => {
  const one = ['--adapter', at('one')];
  const refusedBy = (...args: string[]) => refused('compose', ...base(), '--out', at('none'), ...args);
  assert.match(
    await refusedBy(...one, '--adapter', at('dora')),
    /dora is a dora adapter, which has no form as LoRA/,
  );
  assert.match(
    await refusedBy(...one, '--adapter', at('wide'), '--type', 'linear'),
    /linear needs equal ranks.*rank 2.*rank 5[\s\S]*cat/,
  );
  assert.match(await refusedBy(...one, '--type', 'slerp'), /--type takes cat, linear.*found "slerp"/);
  assert.match(await refusedBy(...one, '--weight', '1', '--weight', '2'), /1 adapters and 2 weights/);
  assert.match(await refusedBy(...one, '--weight', 'much'), /takes a number, found "much"/);
  assert.match(await refusedBy(...one, '--density', '2'), /--density takes a number from 0 to 1/);
  assert.match(await refusedBy(...one, '--type', 'ties', '--majority-sign', 'mine'), /total, frequency/);
  assert.match(await refusedBy('--adapter', at('missing')), /no adapter at/);
});

test('merged stacks of ReLoRA and earlier tasks of O-LoRA are combined whole', async () => {
  const few = { max_steps: 6, learning_rate: 2e-2, num_train_epochs: 4 };
  const relora = await trainTiny(folder, {
    ...{ ...few, adapter: 'relora', relora_steps: 2, relora_merges: 2, relora_warmup: 1 },
    ...{ lora_alpha: 12, output_dir: 'runs/relora' },
  });
  const first = await trainTiny(folder, { ...few, adapter: 'o_lora', output_dir: 'runs/task-1' });
  const second = await trainTiny(folder, {
    ...{ ...few, adapter: 'o_lora', dataset: 'eval.jsonl', lora_alpha: 6, r: 3 },
    ...{ previous_adapters: [first.adapter], output_dir: 'runs/task-2' },
  });
  const both = [relora.adapter, second.adapter];
  await compose('stacks', ...both.flatMap((adapter) => ['--adapter', adapter]));
  const { tensors } = await readSafetensors(join(resolve(at('stacks')), 'adapter_model.safetensors'));
  const name = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
  // Three cycles of rank 4, two tasks of ranks 4 and 3.
  assert.deepEqual(tensors.get(name)!.shape, [12 + 7, tinyConfig.hidden_size]);
  const sum = await loss(...both);
  near(await loss(at('stacks')), sum, 'the sum of both');
  for (const alone of both) assert.ok(Math.abs(sum - (await loss(alone))) > 1e-3, `${alone} counts`);
});
