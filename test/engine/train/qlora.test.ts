// Runs on a base in four bits: the preset, resumption bit for bit, QPiSSA and LoftQ, evaluation and merging on the same base.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { evaluate } from '../../../src/engine/api/evaluate';
import { merge } from '../../../src/engine/api/merge';
import { TestHost, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

const qlora = { preset: 'qlora', max_steps: 6, save_strategy: 'no', eval_dataset: 'eval.jsonl' };
const weights = (run: string): Buffer => readFileSync(join(run, 'adapter', 'adapter_model.safetensors'));

test('QLoRA trains, resumes bit for bit, is evaluated and merged on the same base', async () => {
  const whole = await trainTiny(folder, { ...qlora, output_dir: 'runs/whole' });
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 3) self.stopRequested = true;
  });
  await trainTiny(folder, { ...qlora, output_dir: 'runs/parts' }, host);
  assert.equal(host.of('stopped')[0]!.step, 3);
  const rest = await trainTiny(folder, { ...qlora, output_dir: 'runs/parts', resume_from_checkpoint: true });
  assert.deepEqual(weights(rest.run), weights(whole.run));
  assert.equal(rest.evalLoss, whole.evalLoss);
  const plain = await trainTiny(folder, { ...qlora, load_in_4bit: false, output_dir: 'runs/plain' });
  assert.notEqual(plain.evalLoss, whole.evalLoss);

  const params = { model: join(folder, 'base'), adapter: whole.adapter, device: 'cpu', threads: 1 } as const;
  const data = { data: join(folder, 'eval.jsonl'), maxLength: 64, batchSize: 2 };
  const fourBit = { loadIn4bit: true, doubleQuant: true } as const;
  const measured = await evaluate(
    { ...params, adapters: [whole.adapter], ...data, ...fourBit },
    new TestHost(),
  );
  // Evaluation spares the prompts here and there alike, but pads otherwise.
  assert.ok(Math.abs(measured.loss - whole.evalLoss!) < 1e-4, `${measured.loss}, ${whole.evalLoss}`);

  const out = join(folder, 'merged');
  const watched = new TestHost();
  const merged = await merge({ ...params, ...fourBit, out }, watched);
  assert.ok(merged.verified, `off by ${merged.maxLogitDifference}`);
  assert.ok(merged.maxLogitDifference < 1e-4);
  assert.ok(
    watched.events.some(
      (event) =>
        event.type === 'warning' && /base in 4 bits, which are written out whole/.test(event.message),
    ),
  );
  const after = await evaluate({ ...params, ...data, model: out, adapters: [] }, new TestHost());
  assert.ok(Math.abs(after.loss - measured.loss) < 1e-4, `merged ${after.loss}, unmerged ${measured.loss}`);
});

for (const init of ['pissa', 'loftq', 'milora'])
  test(`${init} on a base in four bits resumes bit for bit`, async () => {
    const settings = {
      load_in_4bit: true,
      init_lora_weights: init,
      lora_alpha: 4,
      max_steps: 4,
      save_strategy: 'no',
      target_modules: ['q_proj', 'down_proj'],
    };
    const whole = await trainTiny(folder, { ...settings, output_dir: `runs/${init}` });
    const host = new TestHost((event, self) => {
      if (event.type === 'step' && event.step === 2) self.stopRequested = true;
    });
    await trainTiny(folder, { ...settings, output_dir: `runs/${init}-parts` }, host);
    const rest = await trainTiny(folder, {
      ...settings,
      output_dir: `runs/${init}-parts`,
      resume_from_checkpoint: true,
    });
    assert.deepEqual(weights(rest.run), weights(whole.run));
  });

for (const adapter of ['dora', 'lora_xs'])
  test(`${adapter} on a base in four bits learns, is evaluated and merged on the same base`, async () => {
    const host = new TestHost();
    const settings = {
      adapter,
      load_in_4bit: true,
      max_steps: 6,
      save_strategy: 'no',
      eval_dataset: 'eval.jsonl',
      target_modules: 'all-linear',
      output_dir: `runs/four-${adapter}`,
    };
    const trained = await trainTiny(folder, settings, host);
    const losses = host.of('step').map(({ loss }) => loss);
    assert.ok(losses.at(-1)! < losses[0]!, losses.join(', '));
    const common = { model: join(folder, 'base'), device: 'cpu', threads: 1 } as const;
    const data = { data: join(folder, 'eval.jsonl'), maxLength: 64, batchSize: 2 };
    const on = async (loadIn4bit: boolean): Promise<number> =>
      (await evaluate({ ...common, ...data, adapters: [trained.adapter], loadIn4bit }, new TestHost())).loss;
    const measured = await on(true);
    assert.ok(Math.abs(measured - trained.evalLoss!) < 1e-4, `${measured}, in the run ${trained.evalLoss}`);
    assert.ok(Math.abs((await on(false)) - measured) > 1e-5, 'the whole base says something else');
    const out = join(folder, `merged-${adapter}`);
    const params = { ...common, adapter: trained.adapter, loadIn4bit: true, out };
    assert.ok((await merge(params, new TestHost())).verified);
  });

test("QPiSSA's turns bring the start nearer to the base than one quantisation", async () => {
  const settings = {
    load_in_4bit: true,
    init_lora_weights: 'pissa',
    r: 8,
    lora_alpha: 8,
    max_steps: 1,
    learning_rate: 1e-12,
    save_strategy: 'no',
    eval_dataset: 'eval.jsonl',
    target_modules: 'all-linear',
  };
  const lossOf = async (given: Record<string, unknown>, name: string): Promise<number> =>
    (await trainTiny(folder, { ...settings, ...given, output_dir: `runs/${name}` })).evalLoss!;
  const base = await lossOf({ load_in_4bit: false, init_lora_weights: true }, 'start-base');
  const turns = await lossOf({}, 'start-turns');
  const plain = await lossOf({ init_lora_weights: true }, 'start-plain');
  assert.ok(
    Math.abs(turns - base) < Math.abs(plain - base),
    `base ${base}, QPiSSA ${turns}, quantised ${plain}`,
  );
});
