// Whole runs by optimizer: what is resumed, what is told, what is refused, and what full fine-tuning leaves as a LoRA.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { extract } from '../../../src/engine/api/extract';
import { merge } from '../../../src/engine/api/merge';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { AdapterError, RecipeError, RunError } from '../../../src/engine/errors';
import { optimizers } from '../../../src/engine/optim/registry';
import { fails } from '../files/scratch';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  // Large enough that a slab of it is paged.
  ({ folder, clean } = await tinyWorkspace({ ...tinyConfig, hidden_size: 64, intermediate_size: 256 }));
});
after(() => clean());

/** Full fine-tuning, small. */
const full = {
  adapter: 'none',
  r: undefined,
  lora_alpha: undefined,
  learning_rate: 2e-3,
  max_steps: 6,
  save_strategy: 'no',
};
const galoreOf = (id: string) =>
  id.startsWith('galore') ? { galore_rank: 8, galore_update_interval: 2, learning_rate: 1e-2 } : {};
const model = (run: string): Buffer => readFileSync(join(run, 'model', 'model.safetensors'));

for (const { id, paged } of optimizers) {
  test(`${id}: a run of every weight learns, and resumes to the bits of the uninterrupted one`, async () => {
    const settings = {
      ...full,
      optim: id,
      ...galoreOf(id),
      ...(id === 'sgd' ? { momentum: 0.9, learning_rate: 0.1 } : {}),
      ...(paged ? { spill_optimizer_state: true } : {}),
    };
    const host = new TestHost();
    const whole = await trainTiny(folder, { ...settings, output_dir: `runs/${id}` }, host);
    const steps = host.of('step');
    assert.ok(steps.at(-1)!.loss < steps[0]!.loss, `${steps[0]!.loss} → ${steps.at(-1)!.loss}`);
    const stopping = new TestHost((event, self) => {
      if (event.type === 'step' && event.step === 3) self.stopRequested = true;
    });
    const parts = { ...settings, output_dir: `runs/${id}-parts` };
    await trainTiny(folder, parts, stopping);
    const rest = await trainTiny(folder, { ...parts, resume_from_checkpoint: true });
    assert.deepEqual(model(rest.run), model(whole.run));
    const notes = host.of('note').map(({ message }) => message);
    const told = (what: RegExp): number => notes.filter((message) => what.test(message)).length;
    assert.equal(told(/new projections/), id.startsWith('galore') ? 3 : 0, 'steps 1, 3 and 5');
    assert.equal(told(/^(0\.[1-9]|[1-9]\S*) MiB of optimizer state lie in a file/), paged ? 1 : 0);
    assert.ok(!readdirSync(whole.run).some((name) => name.includes('optimizer-state')));
  });
}

test('resuming with another optimizer names both; one of the same state goes on', async () => {
  const settings = { max_steps: 4, save_strategy: 'no', output_dir: 'runs/other-optim' };
  const stopping = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 2) self.stopRequested = true;
  });
  await trainTiny(folder, { ...settings, optim: 'adamw_torch' }, stopping);
  const again = (optim: string) =>
    trainTiny(folder, { ...settings, optim, resume_from_checkpoint: true }, new TestHost());
  await assert.rejects(again('sgd'), (error) => {
    assert.ok(error instanceof RunError);
    assert.match(error.message, /holds the state of optim: adamw_torch, and the recipe has optim: sgd/);
    assert.match(error.remedy, /^Set optim: adamw_torch to resume/);
    return true;
  });
  assert.equal((await again('paged_adamw_32bit')).steps, 4);
});

test('a paged optimizer says that it saves nothing on the CPU', async () => {
  const host = new TestHost();
  await trainTiny(folder, { optim: 'paged_adamw', max_steps: 1, output_dir: 'runs/paged-note' }, host);
  assert.ok(host.of('note').some(({ message }) => /saves nothing on the CPU/.test(message)));
});

test('what GaLore cannot do is refused with a remedy, and leaves no folder', async () => {
  const refused = async (settings: Record<string, unknown>, code: string, says: (string | RegExp)[]) =>
    fails(() => trainTiny(folder, { ...settings, output_dir: 'runs/refused' }), {
      class: RecipeError,
      code,
      says,
    });
  const galore = { ...full, optim: 'galore_adamw' };
  const error = await refused({ ...galore, galore_rank: 65 }, 'optimizer-does-not-fit', ['q_proj', '65']);
  assert.match(error.remedy, /at most 32/);
  await refused({ ...full, optim: 'galore_adamw_layerwise' }, 'recipe-invalid', ['inside the backward pass']);
  await refused({ optim: 'galore_adamw' }, 'recipe-invalid', ['trains full weights']);
  await refused({ ...galore, optim_args: 'rank=2.5, speed=3, proj_type=up' }, 'recipe-invalid', [
    'rank=2.5',
    'speed=3',
    'proj_type=up',
  ]);
  await refused({ ...galore, optim_args: 'rank=4', galore_rank: 8 }, 'recipe-invalid', [
    'galore_rank says 8',
  ]);
  await refused({ ...galore, optim_target_modules: '(?>q)' }, 'recipe-invalid', ['atomic group']);
  await refused({ galore_rank: 8 }, 'recipe-invalid', ['belongs to optim: galore_adamw']);
  await refused({ ...galore, optim_target_modules: ['embed'], galore_rank: 4 }, 'optimizer-does-not-fit', [
    'names no linear layer',
  ]);
  assert.ok(!readdirSync(join(folder, 'runs')).includes('refused'));
});

test('extract: full rank gives the tuned weights back; a low one says what it loses; nothing to extract is refused', async () => {
  const { run } = await trainTiny(folder, {
    ...full,
    optim: 'galore_adamw',
    ...galoreOf('galore'),
    output_dir: 'runs/tuned',
  });
  const host = new TestHost();
  const [base, tuned] = [join(folder, 'base'), join(run, 'model')];
  const common = { model: base, tuned, device: 'cpu', threads: 1 };
  const exact = await extract({ ...common, out: join(folder, 'exact'), rank: 64 }, host);
  assert.ok(exact.relativeError < 1e-4, `${exact.relativeError}`);
  assert.equal(exact.modules.length, 14);
  assert.ok(exact.unheld.includes('model.embed_tokens.weight') && exact.unheld.includes('model.norm.weight'));
  await merge(
    { model: base, adapter: exact.out, out: join(folder, 'merged'), device: 'cpu', threads: 1 },
    host,
  );
  const [merged, expected] = await Promise.all(
    [join(folder, 'merged'), tuned].map((path) => readSafetensors(join(path, 'model.safetensors'))),
  );
  for (const { path } of exact.modules) {
    const [found, wanted] = await Promise.all(
      [merged!, expected!].map((file) => readTensor(file.tensors.get(`${path}.weight`)!)),
    );
    for (let i = 0; i < found!.length; i++)
      assert.ok(Math.abs(found![i]! - wanted![i]!) < 1e-5, `${path} at ${i}`);
  }
  const low = await extract({ ...common, out: join(folder, 'low'), rank: 2 }, host);
  assert.ok(low.relativeError > 0.01 && low.relativeError < 1, `${low.relativeError}`);
  assert.ok(low.modules.every((module) => module.rank === 2));
  const { config } = await readAdapterFolder(low.out);
  assert.equal((config as { r?: number }).r, 2);
  await fails(() => extract({ ...common, tuned: base, out: join(folder, 'none'), rank: 2 }, host), {
    class: AdapterError,
    code: 'nothing-to-extract',
    says: ['No linear layer'],
  });
});
