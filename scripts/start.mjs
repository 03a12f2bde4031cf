// The main job on embedded data: installs, builds, fine-tunes the sample model with LoRA, and shows what that changed.
// `npm start` on a fresh clone needs Node 20 or newer and nothing else.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { install, root, run } from './setup.mjs';

install();
run('node', ['scripts/build.mjs']);

const base = 'samples/base';
const held = 'samples/data/pirate.eval.jsonl';
const prompt = 'Once upon a time, a small fox named Pip';

/** Runs a command of the program; `--json` gives its result as data. */
function workbench(args, { json = false } = {}) {
  const result = spawnSync(process.execPath, ['dist/cli.js', ...args, ...(json ? ['--json'] : [])], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', json ? 'pipe' : 'inherit', 'inherit'],
    maxBuffer: 1 << 26,
  });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
  return json ? JSON.parse(result.stdout) : undefined;
}

const story = (adapter) =>
  workbench(
    [
      'generate',
      '--model',
      base,
      ...(adapter ? ['--adapter', adapter] : []),
      '--prompt',
      prompt,
      '--max-new-tokens',
      '90',
    ],
    { json: true },
  );
const heldOut = (adapter) =>
  workbench(
    [
      'evaluate',
      '--model',
      base,
      ...(adapter ? ['--adapter', adapter] : []),
      '--data',
      held,
      '--max-length',
      '256',
    ],
    {
      json: true,
    },
  );

console.log('\nThe sample model, before:');
const before = { loss: heldOut(), story: story() };
console.log(`  held-out loss on pirate stories: ${before.loss.loss.toFixed(3)}`);

console.log('\nFine-tuning it with LoRA to tell stories the way a pirate would (samples/pirate.lora.yaml):');
const started = Date.now();
workbench(['train', 'samples/pirate.lora.yaml']);
const runFolder = newestRun();
const adapter = `${runFolder}/adapter`;

const after = { loss: heldOut(adapter), story: story(adapter) };
const text = (completion) => `${prompt}${completion.text}`.replace(/\s+/g, ' ').trim();
console.log(`
Held-out loss    ${before.loss.loss.toFixed(3)} before, ${after.loss.loss.toFixed(3)} after (${Math.round((Date.now() - started) / 1000)} s)

Before   ${text(before.story)}

After    ${text(after.story)}

The adapter, in PEFT's format, lies in ${relative(process.cwd(), adapter) || adapter}
Try it:  node dist/cli.js generate --model ${base} --adapter ${relative(process.cwd(), adapter)} --prompt "Once upon a time"`);

/** The run that the training above made: a second start makes samples/runs/pirate-2, and so on. */
function newestRun() {
  const first = `${root}samples/runs/pirate`;
  let path = first;
  for (let i = 2; existsSync(`${first}-${i}`); i++) path = `${first}-${i}`;
  return path;
}
