// Training that goes on from an adapter, through the terminal: it starts where the adapter ended, and every difference between
// the adapter and the recipe is told at once.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { tinyWorkspace } from '../engine/train/tinyRun';
import { workbench } from './badInput';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

async function train(name: string, settings: Record<string, unknown>) {
  const recipe = {
    ...{ model: 'base', dataset: 'train.jsonl', eval_dataset: 'eval.jsonl', r: 4, max_length: 64 },
    ...{ max_steps: 8, learning_rate: 1e-2, threads: 1, logging_steps: 1, shuffle: false },
    ...{ target_modules: ['q_proj', 'v_proj'], output_dir: `runs/${name}`, ...settings },
  };
  const path = join(folder, `${name}.lora.json`);
  writeFileSync(path, JSON.stringify(recipe));
  return workbench(['train', path]);
}

/** The losses of a run's steps. */
function losses(name: string): number[] {
  return readFileSync(join(folder, 'runs', name, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === 'step' ? [loss] : []));
}

const methods: [string, Record<string, unknown>][] = [
  ['lora', { modules_to_save: ['norm'] }],
  ['vera', {}],
  ['mora', { mora_type: 2 }],
  ['lora_xs', {}],
];
for (const [adapter, own] of methods) {
  test(`${adapter} goes on where it ended`, async () => {
    const settings = { adapter, ...own };
    const first = await train(`${adapter}-1`, settings);
    assert.equal(first.code, 0, first.err);
    const before = { ...settings, adapter_name_or_path: `runs/${adapter}-1/adapter` };
    // Not a step: the loss of the first batch is that of the adapter as it was saved.
    const still = await train(`${adapter}-still`, { ...before, learning_rate: 1e-12, max_steps: 1 });
    assert.equal(still.code, 0, still.err);
    const evaluated = await workbench([
      ...['evaluate', '--model', join(folder, 'base'), '--data', join(folder, 'eval.jsonl'), '--json'],
      ...['--adapter', join(folder, `runs/${adapter}-1/adapter`), '--max-length', '64', '--threads', '1'],
    ]);
    const { evalLoss } = JSON.parse(
      readFileSync(join(folder, 'runs', `${adapter}-still`, 'events.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .at(-1)!,
    ).result as { evalLoss: number };
    assert.ok(Math.abs(evalLoss - (JSON.parse(evaluated.out) as { loss: number }).loss) < 1e-5);
    const [fresh] = losses(`${adapter}-1`);
    const [again] = losses(`${adapter}-still`);
    assert.ok(again! < fresh! - 1e-3, `the first batch: ${fresh} fresh, ${again} going on`);
  });
}

test('every difference is told at once, and nothing is written', async () => {
  const from = { adapter_name_or_path: 'runs/lora-1/adapter' };
  const { code, err } = await train('differs', {
    ...from,
    r: 2,
    target_modules: ['q_proj', 'up_proj'],
  });
  assert.equal(code, 2, err);
  for (const part of [
    /target_modules: leaves out .*v_proj/,
    /target_modules: takes in .*up_proj/,
    /modules_to_save or bias: leaves out model\.layers\.0\.input_layernorm\.weight/,
    /r: is 4 there and 2 here/,
    /leave adapter_name_or_path out/,
  ])
    assert.match(err, part);
  const alpha = await train('differs', { ...from, modules_to_save: ['norm'], lora_alpha: 5 });
  assert.match(alpha.err, /another update[\s\S]*lora_alpha is \d+ there and 5 here/);
  const type = await train('differs', {
    adapter: 'mora',
    adapter_name_or_path: 'runs/mora-1/adapter',
    mora_type: 1,
  });
  assert.match(type.err, /mora_type is .*2.* there and .*1.* here/);
  const method = await train('differs', { ...from, adapter: 'dora' });
  assert.match(method.err, /adapter: is lora there and dora here/);
  const none = await train('differs', { adapter_name_or_path: 'runs/none', max_steps: 1 });
  assert.match(none.err, /adapter_name_or_path: there is no folder/);
  const pissa = await train('differs', { ...from, init_lora_weights: 'pissa' });
  assert.match(pissa.err, /init_lora_weights would change the base/);
  const whole = await train('differs', { ...from, adapter: 'none', r: undefined, target_modules: undefined });
  assert.match(whole.err, /adapter: none trains the whole model/);
});

test('a paused run goes on without the adapter that it began from', async () => {
  const from = { adapter_name_or_path: 'runs/lora-1/adapter', modules_to_save: ['norm'], save_steps: 2 };
  const begun = await train('later', { ...from, max_steps: 4 });
  assert.equal(begun.code, 0, begun.err);
  rmSync(join(folder, 'runs', 'lora-1'), { recursive: true });
  const resumed = await train('later', { ...from, max_steps: 6, resume_from_checkpoint: true });
  assert.equal(resumed.code, 0, resumed.err);
});
