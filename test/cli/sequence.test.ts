// Three tasks one after another through the terminal, with O-LoRA and with AM-LoRA: paths are the recipe's, each task takes in
// the one before, and the last adapter works by itself.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { tinyWorkspace } from '../engine/train/tinyRun';

const cli = join(process.cwd(), 'dist', 'cli.js');
const run = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [cli, ...args], { env: { ...process.env, NO_COLOR: '1' } }))
    .stdout;

for (const adapter of ['o_lora', 'am_lora']) {
  test(`${adapter}: three tasks`, async (t) => {
    const { folder, clean } = await tinyWorkspace();
    t.after(clean);
    const recipe = join(folder, 'tasks.lora.yaml');
    writeFileSync(
      recipe,
      `model: base\ndataset: train.jsonl\nadapter: ${adapter}\nr: 2\nmax_steps: 2\nmax_length: 32\nthreads: 1\n`,
    );
    const task = (name: string, previous: string) =>
      run('train', recipe, '--set', `output_dir=runs/${name}`, `previous_adapters=${previous}`);
    await task('one', '[]');
    await task('two', '[runs/one/adapter]');
    await task('three', '[./runs/two/adapter]');
    // Nothing of the earlier folders is needed any more.
    renameSync(join(folder, 'runs', 'one'), join(folder, 'gone'));
    renameSync(join(folder, 'runs', 'two'), join(folder, 'gone-too'));
    const last = join(folder, 'runs', 'three', 'adapter');
    const inspected = JSON.parse(await run('inspect', last, '--json')) as { problems: unknown[] };
    assert.deepEqual(inspected.problems, []);
    const measured = JSON.parse(
      await run(
        'evaluate',
        '--model',
        join(folder, 'base'),
        '--adapter',
        last,
        '--data',
        join(folder, 'eval.jsonl'),
        '--threads',
        '1',
        '--json',
      ),
    ) as { loss: number };
    assert.ok(Number.isFinite(measured.loss));
    for (const name of ['task-1', 'task-2', 'task-3'])
      assert.equal(existsSync(join(last, name, 'adapter_model.safetensors')), adapter === 'am_lora', name);
  });
}
