// The terminal from end to end: help, mistakes, exit codes, JSON, a run, Ctrl+C, a trainer that dies.
import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const cli = join(process.cwd(), 'dist', 'cli.js');
const trainer = join(process.cwd(), 'dist', 'trainer.js');
const fake = (name: string): string => join(process.cwd(), 'test', 'cli', 'fakeTrainers', `${name}.mjs`);
/** Beside a terminal's own variables, nothing of the test's surroundings. */
const plainEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '', LORA_WORKBENCH_TRAINER: '' };

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

function start(
  args: string[],
  env: NodeJS.ProcessEnv = {},
): { child: ChildProcess; outcome: Promise<Outcome>; text: () => string } {
  const child = spawn(process.execPath, [cli, ...args], { env: { ...plainEnv, ...env } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  const outcome = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }));
  return { child, outcome, text: () => out };
}
const run = (args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> => start(args, env).outcome;

/** A recipe with its files; returns its path. */
function recipeFile(t: TestContext, text = ''): string {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'm'));
  writeFileSync(join(folder, 'd.jsonl'), '');
  const path = join(folder, 'tale.lora.yaml');
  writeFileSync(path, `model: m\ndataset: d.jsonl\n${text}`);
  return path;
}

const commands = [
  ...['train', 'generate', 'evaluate', 'estimate', 'inspect', 'merge', 'convert', 'resize', 'diff'],
  ...['methods', 'doctor'],
];

test('helps: the program, and every command', async () => {
  const { code, out } = await run(['--help']);
  assert.equal(code, 0);
  for (const command of commands) assert.match(out, new RegExp(`^ {2}${command}\\b`, 'm'));
  assert.equal((await run([])).code, 0);
  assert.match((await run(['--version'])).out, /^\d+\.\d+\.\d+\n$/);
  for (const command of commands) {
    const help = await run([command, '--help']);
    assert.equal(help.code, 0);
    assert.match(help.out, /--json/);
  }
});

const usage: [string[], RegExp, RegExp][] = [
  [['trian'], /Unknown command 'trian'/, /Write train/],
  [['train'], /needs a recipe/, /lora-workbench train my/],
  [['train', 'a.yaml', '--sett', 'r=8'], /Unknown option '--sett'/, /Write --set/],
  [['train', 'a.yaml', 'b.yaml'], /[Tt]oo many arguments/, /train --help/],
  [['train', 'a.yaml', '--set', 'r8'], /one recipe/, /key=value/],
  [['train', 'none.yaml'], /none\.yaml does not exist/, /path of a recipe/],
  [['generate', '--prompt', 'x'], /--model/, /generate --help/],
  [
    ['generate', '--model', 'm', '--prompt', 'x', '--temperature', 'hot'],
    /--temperature takes a number.*"hot"/,
    /--temperature/,
  ],
  [['generate', '--model', 'm', '--prompt', 'x', '--top-p', '2'], /from 0 to 1/, /--top-p/],
  [
    ['generate', '--model', 'm', '--prompt', 'x', '--max-new-tokens', '1.5'],
    /whole number/,
    /--max-new-tokens/,
  ],
  [['evaluate', '--model', 'm'], /--data/, /evaluate --help/],
  [['inspect'], /path/, /inspect --help/],
  [['doctor', '--device', 'gpu'], /--device takes .*"gpu"/, /doctor/],
];
for (const [args, message, remedy] of usage) {
  test(`refuses: ${args.join(' ')}`, async () => {
    const human = await run(args);
    assert.equal(human.code, 2, human.err);
    assert.equal(human.out, '');
    assert.match(human.err, message);
    assert.match(human.err, remedy);
    const json = await run([...args, '--json']);
    assert.equal(json.code, 2);
    assert.equal(json.out, '');
    const { error } = JSON.parse(json.err);
    assert.match(error.message, message);
    assert.match(error.remedy, remedy);
    assert.ok(error.code);
  });
}

test('lists every problem of a recipe with its line and remedy', async (t) => {
  const path = recipeFile(t, 'lora_rnak: 4\nlearning_rate: fast\nadapter: oft\n');
  const human = await run(['train', path]);
  assert.equal(human.code, 2);
  for (const line of [
    /tale\.lora\.yaml:3: lora_rnak/,
    /→ Write r instead/,
    /tale\.lora\.yaml:4: learning_rate/,
    /:5: adapter: oft is not available/,
  ]) {
    assert.match(human.err, line);
  }
  assert.ok(!human.err.includes('\u001b'));
  const json = await run(['estimate', path, '--json']);
  assert.equal(json.code, 2);
  const { error } = JSON.parse(json.err);
  assert.equal(error.code, 'recipe-invalid');
  assert.equal(error.problems.length, 3);
  for (const problem of error.problems) assert.ok(problem.where && problem.message && problem.remedy);
});

test('lists what a recipe can choose from', async () => {
  const json = await run(['methods', '--json']);
  const methods = JSON.parse(json.out);
  assert.ok(methods.adapters.some(({ id }: { id: string }) => id === 'lora'));
  for (const key of ['presets', 'initialisations', 'optimizers', 'settings'])
    assert.ok(methods[key].length > 0, key);
  assert.match((await run(['methods'])).out, /learning_rate/);
});

test('trains: plain lines where the output is no terminal, one document with --json', async (t) => {
  const path = recipeFile(t);
  const env = { LORA_WORKBENCH_TRAINER: fake('trains') };
  const human = await run(['train', '--set', 'r=4', path, '--resume'], env);
  assert.equal(human.code, 0, human.err);
  assert.match(human.out, /step 1\/8 {2}loss 1\.9000 {2}100 tok\/s {2}ETA 0:07 {2}1\.00 MiB/);
  assert.match(human.out, /goes on from step 3/);
  assert.match(human.out, /Done: 8 steps, loss 1\.2500/);
  assert.ok(!human.out.includes('\u001b') && !human.out.includes('\r'));
  assert.equal(human.err, '');
  const json = await run(['train', path, '--json'], env);
  assert.equal(json.code, 0);
  assert.equal(json.err, '');
  assert.deepEqual(Object.keys(JSON.parse(json.out)), [
    'run',
    'adapter',
    'steps',
    'loss',
    'evalLoss',
    'trainableParameters',
    'tokensPerSecond',
    'peakMemoryBytes',
  ]);
});

test('generates: one document for one prompt, a list for several; control characters are shown', async () => {
  const env = { LORA_WORKBENCH_TRAINER: fake('trains') };
  const one = await run(['generate', '--model', 'm', '--prompt', 'Once', '--json'], env);
  assert.deepEqual(JSON.parse(one.out), {
    prompt: 'Once',
    text: ' a tale\u001b[31m',
    tokens: 3,
    finishReason: 'stop',
  });
  const two = await run(['generate', '--model', 'm', '--prompt', 'a', '--prompt', 'b', '--json'], env);
  assert.deepEqual(
    JSON.parse(two.out).map(({ prompt }: { prompt: string }) => prompt),
    ['a', 'b'],
  );
  const human = await run(['generate', '--model', 'm', '--prompt', 'Once'], env);
  assert.equal(human.out, 'Once a tale\\x1b[31m\n');
});

test('the first Ctrl+C saves and stops, with exit code 130', {
  skip: process.platform === 'win32',
}, async (t) => {
  const { child, outcome, text } = start(['train', recipeFile(t)], {
    LORA_WORKBENCH_TRAINER: fake('trains'),
    FAKE_WAITS: '1',
  });
  while (!text().includes('step 1/8')) await once(child.stdout!, 'data');
  child.kill('SIGINT');
  const { code, out } = await outcome;
  assert.equal(code, 130);
  assert.match(out, /Ctrl\+C again/);
  assert.match(out, /Stopped at step \d\. The same command with --resume goes on from .*step-\d/);
});

test('the second Ctrl+C ends a run that does not answer', {
  skip: process.platform === 'win32',
}, async (t) => {
  const { child, outcome, text } = start(['train', recipeFile(t)], {
    LORA_WORKBENCH_TRAINER: fake('trains'),
    FAKE_ENDLESS: '1',
  });
  while (!text().includes('step 1/8')) await once(child.stdout!, 'data');
  child.kill('SIGINT');
  while (!text().includes('asked')) await once(child.stdout!, 'data');
  child.kill('SIGINT');
  assert.equal((await outcome).code, 130);
});

test('a trainer that dies is reported with its signal, its last lines and a remedy', {
  skip: process.platform === 'win32',
}, async (t) => {
  const path = recipeFile(t);
  const env = { LORA_WORKBENCH_TRAINER: fake('segfault') };
  const human = await run(['train', path], env);
  assert.equal(human.code, 1);
  assert.match(human.err, /ended by signal SIGSEGV during train after step 7/);
  assert.match(human.err, /bad access at 0x0/);
  assert.match(human.err, /doctor.*--resume/);
  const json = await run(['train', path, '--json'], { ...env, FAKE_SIGNAL: 'SIGKILL' });
  assert.equal(json.code, 1);
  assert.equal(json.out, '');
  const { error } = JSON.parse(json.err);
  assert.equal(error.code, 'trainer-died');
  assert.deepEqual(error.facts, { signal: 'SIGKILL', exitCode: null, lastStep: 7, method: 'train' });
  assert.match(error.remedy, /memory.*per_device_train_batch_size/);
});

test('a trainer that cannot start, or is missing, is reported', async (t) => {
  const path = recipeFile(t);
  const exits = await run(['train', path], { LORA_WORKBENCH_TRAINER: fake('exitsAtOnce') });
  assert.equal(exits.code, 1);
  assert.match(exits.err, /ended with code 3/);
  assert.match(exits.err, /Cannot find module 'koffi'/);
  const missing = await run(['train', path, '--json'], { LORA_WORKBENCH_TRAINER: '/none/trainer.js' });
  assert.equal(missing.code, 1);
  assert.match(JSON.parse(missing.err).error.message, /\/none\/trainer\.js is missing/);
});

test('a fault of ours exits with 1 and shows where', async () => {
  const { code, err } = await run(['inspect', 'x'], { LORA_WORKBENCH_TRAINER: fake('trains') });
  assert.equal(code, 1);
  assert.match(err, /broken rule/);
  assert.match(err, /at x/);
});

test('the real trainer answers a mistake as one', { skip: !existsSync(trainer) }, async () => {
  const { code, out, err } = await run(['inspect', '/none/at/all', '--json']);
  assert.equal(code, 2, err);
  assert.equal(out, '');
  const { error } = JSON.parse(err);
  assert.ok(error.code && error.message && error.remedy);
});

test('the real trainer ends with its parent, and refuses to run alone', {
  skip: !existsSync(trainer),
}, async () => {
  const child = fork(trainer, [], { silent: true });
  child.disconnect();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  const alone = spawn(process.execPath, [trainer]);
  assert.deepEqual(await once(alone, 'exit'), [2, null]);
});
