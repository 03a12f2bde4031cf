// Runs of one experiment through the terminal program, as a user would start them: one process and one run folder each, kept
// between calls, so that an interrupted benchmark goes on where it stopped. Knows nothing of what is being compared.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { root } from '../../scripts/setup.mjs';

const program = join(root, 'dist/cli.js');
const threads = process.env.BENCH_THREADS ?? '2';

function call(args) {
  const result = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (result.status !== 0) {
    throw new Error(
      `lora-workbench ${args.join(' ')} ended with ${result.status}:\n${result.stdout}${result.stderr}`,
    );
  }
  return JSON.parse(result.stdout);
}

/** What is the same in every run unless an experiment says otherwise: the sample model, no pictures, no half-way files. */
const common = {
  model: join(root, 'samples/base'),
  device: 'cpu',
  dtype: 'float32',
  logging_steps: 1,
  save_strategy: 'no',
  lr_scheduler_type: 'constant',
  max_length: 256,
  per_device_train_batch_size: 4,
  gradient_accumulation_steps: 1,
  report_to: 'none',
};

export class Lab {
  /** @param {string} experiment names the folder below build/methods. */
  constructor(experiment) {
    this.folder = join(root, 'build/methods', experiment);
    this.runs = 0;
  }

  /** A place for data that an experiment makes itself. */
  prepare() {
    mkdirSync(this.folder, { recursive: true });
    return this.folder;
  }

  /**
   * Trains, or reads what an earlier call trained by the same recipe.
   * @param {string} label the arm; unique with the seed
   * @param {number} seed of the initial values, dropout and the order of the data
   * @param {Record<string, unknown>} settings recipe keys
   * @returns the plan, loss per step, evaluations [{step, loss}], notes, and the adapter's folder
   */
  train(label, seed, settings) {
    const name = `${label.replace(/[^\w.-]+/g, '-')}-seed${seed}`;
    const output = join(this.folder, name);
    const recipePath = join(this.folder, `${name}.lora.json`);
    const recipe = `${JSON.stringify({ ...common, ...settings, seed, data_seed: seed, threads: Number(threads), output_dir: output }, null, 2)}\n`;
    mkdirSync(this.folder, { recursive: true });
    const same = existsSync(recipePath) && readFileSync(recipePath, 'utf8') === recipe;
    if (!same || eventsOf(output)?.at(-1)?.type !== 'finished') {
      rmSync(output, { recursive: true, force: true });
      writeFileSync(recipePath, recipe);
      console.error(`  ${label}, seed ${seed}`);
      call(['train', recipePath, '--json']);
      this.runs++;
    }
    const events = eventsOf(output);
    const steps = events.filter((event) => event.type === 'step');
    return {
      plan: events.find((event) => event.type === 'run-started').plan,
      losses: steps.map((event) => event.loss),
      steps,
      evaluations: events.filter((event) => event.type === 'eval').map(({ step, loss }) => ({ step, loss })),
      notes: events
        .filter((event) => event.type === 'note' || event.type === 'warning')
        .map((event) => event.message),
      result: events.at(-1).result,
      folder: output,
    };
  }

  /** Mean loss per token of a model, with an adapter's folder or none, on a file of the samples. */
  evaluate(model, adapter, data) {
    const args = [
      'evaluate',
      '--json',
      '--model',
      model ?? common.model,
      '--data',
      isAbsolute(data) ? data : sample(data),
    ];
    return call([
      ...args,
      ...(adapter ? ['--adapter', adapter] : []),
      '--max-length',
      '256',
      '--batch-size',
      '8',
    ]).loss;
  }

  /** Greedy continuations of two prompts or more. */
  generate(adapter, prompts, maxNewTokens) {
    const args = [
      'generate',
      '--json',
      '--model',
      common.model,
      '--temperature',
      '0',
      '--max-new-tokens',
      String(maxNewTokens),
    ];
    const given = prompts.flatMap((prompt) => ['--prompt', prompt]);
    return call([...args, ...(adapter ? ['--adapter', adapter] : []), ...given]).map((one) => one.text);
  }

  /** What a recipe needs, by part, in bytes. */
  estimate(label, settings) {
    mkdirSync(this.folder, { recursive: true });
    const path = join(this.folder, `${label.replace(/[^\w.-]+/g, '-')}.estimate.lora.json`);
    writeFileSync(path, JSON.stringify({ ...common, ...settings, output_dir: join(this.folder, 'none') }));
    return call(['estimate', path, '--json']);
  }
}

function eventsOf(run) {
  const path = join(run, 'events.jsonl');
  if (!existsSync(path)) return undefined;
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** A file of the samples. */
export const sample = (name) => join(root, 'samples/data', name);
