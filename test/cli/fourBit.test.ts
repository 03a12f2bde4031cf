// QLoRA through the terminal: a few steps on a base in four bits, evaluated and merged on it; bad settings name what they want.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tinyWorkspace } from '../engine/train/tinyRun';

const cli = join(process.cwd(), 'dist', 'cli.js');

/** What the program said, and its exit code. */
function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { env: { ...process.env, NO_COLOR: '1' } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}

test('QLoRA: train, evaluate, merge with a warning', async (t) => {
  const { folder, clean } = await tinyWorkspace();
  t.after(clean);
  const recipe = join(folder, 'four.lora.yaml');
  const text = 'model: base\ndataset: train.jsonl\nr: 2\nmax_steps: 3\nmax_length: 32\nthreads: 1\n';
  writeFileSync(recipe, `${text}load_in_4bit: true\nbnb_4bit_use_double_quant: true\n`);
  const trained = await run('train', recipe, '--set', 'output_dir=runs/four');
  assert.equal(trained.code, 0, trained.err);
  const adapter = join(folder, 'runs', 'four', 'adapter');
  const on = ['--model', join(folder, 'base'), '--adapter', adapter, '--threads', '1'];
  const fourBit = ['--load-in-4bit', '--bnb-4bit-use-double-quant'];
  const data = ['--data', join(folder, 'eval.jsonl')];
  const loss = async (...options: string[]): Promise<number> => {
    const { code, out, err } = await run('evaluate', ...options, ...data, '--json');
    assert.equal(code, 0, err);
    return (JSON.parse(out) as { loss: number }).loss;
  };
  const measured = await loss(...on, ...fourBit);
  assert.notEqual(measured, await loss(...on));
  const out = join(folder, 'merged');
  const merged = await run('merge', ...on, ...fourBit, '--out', out);
  assert.equal(merged.code, 0, merged.err);
  assert.match(merged.out + merged.err, /base in 4 bits, which are written out whole/);
  assert.ok(Math.abs((await loss('--model', out, '--threads', '1')) - measured) < 1e-4);

  // Mistakes: a type that there is not, and a setting of four bits without them.
  writeFileSync(recipe, `${text}load_in_4bit: true\nbnb_4bit_quant_type: int4\n`);
  const wrong = await run('train', recipe);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /bnb_4bit_quant_type.*nf4/s);
  writeFileSync(recipe, `${text}bnb_4bit_use_double_quant: true\n`);
  const without = await run('train', recipe);
  assert.equal(without.code, 2);
  assert.match(without.err, /load_in_4bit/);
  const type = await run('evaluate', ...on, ...data, '--load-in-4bit', '--bnb-4bit-quant-type', 'int4');
  assert.notEqual(type.code, 0);
  assert.match(type.err, /nf4/);
  assert.ok(!existsSync(join(folder, 'runs', 'four-2')));
});
