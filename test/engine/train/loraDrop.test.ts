// LoRA-drop as a run: a phase that chooses, then training on everything; the choice in events, files and the model card; a run
// that is paused in either phase goes on bit for bit.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { estimate } from '../../../src/engine/api/estimate';
import { catalogue } from '../../../src/engine/catalogue';
import type { Example } from '../../../src/engine/data';
import { UserError } from '../../../src/engine/errors';
import { loadRecipe } from '../../../src/engine/recipe/load';
import { stratified } from '../../../src/engine/train/preparation';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace({ ...tinyConfig, num_hidden_layers: 4 }));
});
after(() => clean());

const drop = {
  adapter: 'lora_drop',
  target_modules: ['q_proj', 'v_proj', 'down_proj'],
  threshold: 0.5,
  warm_steps: 3,
  sample_ratio: 0.3,
  max_steps: 4,
  save_strategy: 'no',
};
const bytes = (run: string, name = 'adapter_model.safetensors'): Buffer =>
  readFileSync(join(run, 'adapter', name));

test('the run chooses, then trains with fewer pairs, and says what it chose', async () => {
  const host = new TestHost();
  const result = await trainTiny(
    folder,
    { ...drop, output_dir: 'runs/whole', eval_dataset: 'eval.jsonl', eval_steps: 2 },
    host,
  );
  const steps = host.of('step');
  assert.deepEqual(
    steps.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6, 7],
  );
  assert.equal(host.of('run-started')[0]!.plan.totalSteps, 7);
  assert.deepEqual(
    steps.slice(0, 3).map(({ learningRate, epoch }) => [learningRate, epoch]),
    Array(3).fill([5e-3, 0]),
  );
  assert.ok(steps[6]!.learningRate < 5e-3, 'the schedule is that of the training');
  assert.deepEqual(
    host.of('eval').map(({ step }) => step),
    [5, 7],
    'evaluations count the steps of the training',
  );
  assert.ok(steps[0]!.tokens > 0 && result.steps === 7);

  const [choice] = host.of('note').filter(({ modules }) => modules);
  const modules = choice!.modules!;
  assert.equal(modules.length, 12);
  const kept = modules.filter((module) => module.kept);
  assert.ok(kept.length >= 3 && kept.length <= 6, 'of four, one or two have half of all');
  assert.ok(choice!.message.includes(`keeps ${kept.length} of 12 modules`));
  for (const { path } of kept) assert.ok(choice!.message.includes(path));
  for (const place of drop.target_modules) {
    const sum = modules
      .filter(({ path }) => path.endsWith(place))
      .reduce((total, m) => total + m.importance, 0);
    assert.ok(Math.abs(sum - 1) < 1e-9, `importances of ${place} add up to ${sum}`);
  }

  const sizes = { q_proj: 64, v_proj: 48, down_proj: 80 };
  const shared = modules.filter(
    ({ sharedAs }, i) => sharedAs && modules.findIndex((m) => m.sharedAs === sharedAs) === i,
  );
  const pairs = [...kept, ...shared].map(({ path }) => sizes[path.split('.').at(-1) as keyof typeof sizes]);
  assert.equal(shared.length, 3);
  assert.equal(result.trainableParameters, 4 * pairs.reduce((sum, size) => sum + size, 0));
  assert.equal(
    host.of('run-started')[0]!.plan.trainableParameters,
    4 * 4 * (64 + 48 + 80),
    'all, before the choice',
  );
  const side = JSON.parse(bytes(result.run, 'preparation.json').toString());
  assert.deepEqual(side.modules, JSON.parse(JSON.stringify(modules)));
  assert.deepEqual(
    side.settings.kept_modules,
    kept.map(({ path }) => path),
  );
  assert.match(bytes(result.run, 'README.md').toString(), /Modules that were kept.* of 12/);
});

test('at a threshold of 1 the result is plain LoRA’s, to the last bit', async () => {
  const { threshold: _, warm_steps: __, sample_ratio: ___, ...plain } = drop;
  const dropped = await trainTiny(folder, { ...drop, threshold: 1, output_dir: 'runs/all' });
  const lora = await trainTiny(folder, { ...plain, adapter: 'lora', output_dir: 'runs/lora' });
  assert.deepEqual(bytes(dropped.run), bytes(lora.run));
});

test('given modules leave nothing to choose', async () => {
  const { threshold: _, warm_steps: __, sample_ratio: ___, ...given } = drop;
  const host = new TestHost();
  const kept = ['model.layers.0.self_attn.q_proj'];
  const result = await trainTiny(folder, { ...given, kept_modules: kept, output_dir: 'runs/given' }, host);
  assert.equal(result.steps, 4);
  assert.equal(
    host.of('note').some(({ modules }) => modules),
    false,
  );
  // q, v and down: 32→32, 32→16, 48→32; r 4. One q of its own and one shared, the v and the down shared.
  assert.equal(result.trainableParameters, 4 * (64 + 64 + 48 + 80));
  assert.equal(result.trainableParameters, host.of('run-started')[0]!.plan.trainableParameters);
});

test('a warm start goes on from what was learned', async () => {
  const settings = { ...drop, threshold: 1, max_steps: 1 };
  const first = async (name: string, warm_start: boolean): Promise<number> => {
    const host = new TestHost();
    await trainTiny(folder, { ...settings, warm_start, warm_steps: 12, output_dir: `runs/${name}` }, host);
    return host.of('step').at(-1)!.loss;
  };
  assert.ok((await first('warm', true)) < (await first('anew', false)) - 0.05);
});

for (const [where, at] of [
  ['while it chooses', 2],
  ['at the last step of the choice', 3],
  ['right after the choice', 4],
  ['in training', 6],
] as const) {
  test(`a run that is paused ${where} goes on bit for bit`, async () => {
    const settings = { ...drop, lora_dropout: 0.1, warm_start: true };
    const whole = await trainTiny(folder, { ...settings, output_dir: `runs/once-${at}` });
    const host = new TestHost((event, self) => {
      if (event.type === 'step' && event.step === at) self.stopRequested = true;
    });
    await trainTiny(folder, { ...settings, output_dir: `runs/twice-${at}` }, host);
    assert.equal(host.of('stopped')[0]!.step, at);
    const again = new TestHost();
    const rest = await trainTiny(
      folder,
      { ...settings, output_dir: `runs/twice-${at}`, resume_from_checkpoint: true },
      again,
    );
    assert.deepEqual(
      again.of('step').map(({ step }) => step),
      Array.from({ length: 7 - at }, (_, i) => at + 1 + i),
    );
    assert.equal(
      again.of('note').some(({ modules }) => modules),
      at <= 3,
      'it chooses once',
    );
    for (const name of ['adapter_model.safetensors', 'engine_state.safetensors', 'preparation.json'])
      assert.deepEqual(bytes(rest.run, name), bytes(whole.run, name), name);
  });
}

test('a damaged choice stops a resumed run with its place', async () => {
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 5) self.stopRequested = true;
  });
  await trainTiny(folder, { ...drop, output_dir: 'runs/damaged' }, host);
  const path = join(folder, 'runs/damaged/checkpoints/step-5/preparation.json');
  const spoil = async (content: string, message: RegExp): Promise<void> => {
    writeFileSync(path, content);
    await assert.rejects(
      trainTiny(folder, { ...drop, output_dir: 'runs/damaged', resume_from_checkpoint: true }),
      (error: unknown) => error instanceof UserError && message.test(error.message) && error.remedy !== '',
    );
  };
  await spoil(
    '{"version":1,"settings":{"kept_modules":[3]},"modules":[]}',
    /no result of lora_drop: kept_modules/,
  );
  await spoil('{"version":1,"settings":{"learning_rate":9}}', /no result of lora_drop: learning_rate/);
  await spoil('not json', /preparation\.json/);
});

test('the forecast says that it is an upper bound', async () => {
  writeFileSync(
    join(folder, 'estimate.lora.json'),
    JSON.stringify({ model: 'base', dataset: 'train.jsonl', max_length: 64, ...drop }),
  );
  const { recipe, notes } = loadRecipe(join(folder, 'estimate.lora.json'), catalogue);
  const host = new TestHost();
  await estimate({ recipe, notes }, host);
  assert.ok(host.of('note').some(({ message }) => /upper bound/.test(message)));
});

test('starts that belong to one weight are refused', async () => {
  await assert.rejects(
    trainTiny(folder, { ...drop, init_lora_weights: 'pissa', output_dir: 'runs/pissa' }),
    /shares pairs between modules, and init_lora_weights: pissa/,
  );
});

test('the part of the data has every length in proportion, the same for the same seed', () => {
  const examples = Array.from({ length: 200 }, (_, i) => ({
    ids: new Int32Array(1 + (i % 50)),
    row: i,
  })) as unknown as Example[];
  const part = stratified(examples, 0.2, 7);
  assert.equal(part.length, 40);
  assert.deepEqual(part, stratified(examples, 0.2, 7));
  assert.notDeepEqual(part, stratified(examples, 0.2, 8));
  assert.deepEqual(
    part.map(({ row }) => row),
    [...part.map(({ row }) => row)].sort((a, b) => a - b),
  );
  const quarter = (from: number): number =>
    part.filter(({ ids }) => Math.ceil(ids.length / 12.5) === from).length;
  for (const q of [1, 2, 3, 4]) assert.ok(Math.abs(quarter(q) - 10) <= 2, `quarter ${q} has ${quarter(q)}`);
  assert.equal(stratified(examples, 1, 7), examples);
  assert.equal(stratified(examples.slice(0, 3), 0.01, 7).length, 1);
});
