// What a run leaves in an adapter's folder tells nothing of the machine that it ran on.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { evaluate } from '../../../src/engine/api/evaluate';
import { TestHost, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

function filesIn(path: string): string[] {
  return readdirSync(path).flatMap((name) => {
    const file = join(path, name);
    return statSync(file).isDirectory() ? filesIn(file) : [file];
  });
}

for (const adapter of ['lora', 'lora_drop', 'o_lora', 'am_lora', 'mora', 'relora']) {
  test(`${adapter}: no absolute path in any file but that of the base where PEFT has it`, async () => {
    const settings = { adapter, max_steps: 2, save_strategy: 'no', target_modules: ['q_proj', 'v_proj'] };
    const own = {
      ...(adapter === 'lora_drop' ? { warm_steps: 1, sample_ratio: 1 } : {}),
      ...(adapter === 'relora' ? { relora_steps: 2, relora_warmup: 1 } : {}),
      ...(adapter === 'mora' ? { lora_alpha: undefined } : {}),
    };
    const first = await trainTiny(folder, { ...settings, ...own, output_dir: `runs/${adapter}` });
    const later =
      adapter === 'o_lora' || adapter === 'am_lora'
        ? await trainTiny(folder, {
            ...settings,
            output_dir: `runs/${adapter}-2`,
            previous_adapters: [first.adapter],
          })
        : first;
    for (const file of filesIn(later.adapter)) {
      // Which base it is, PEFT says in these two as well.
      const names = /(README\.md|adapter_config\.json)$/.test(file);
      const whole = readFileSync(file, 'latin1');
      const text = names ? whole.replaceAll(join(folder, 'base'), '') : whole;
      assert.ok(
        !text.includes(folder),
        `${file} has ${text.slice(text.indexOf(folder), text.indexOf(folder) + 200)}`,
      );
    }
    const params = { model: join(folder, 'base'), adapters: [later.adapter], device: 'cpu', threads: 1 };
    const data = { data: join(folder, 'eval.jsonl'), maxLength: 64, batchSize: 2 };
    assert.ok(Number.isFinite((await evaluate({ ...params, ...data }, new TestHost())).loss));
  });
}
