// What every method costs beside LoRA on one model: trained parameters, planned memory, time per step. Feeds the README's table.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../scripts/setup.mjs';
import { randomCheckpoint } from '../../gpu/randomCheckpoint.mjs';

const full = { adapter: 'none', r: undefined, lora_alpha: undefined };

/** Name in the README's table → recipe. The initialisations train as LoRA does, so that one stands for them. */
const methods = {
  LoRA: { adapter: 'lora' },
  'LoRA+': { adapter: 'lora', loraplus_lr_ratio: 16 },
  'LoRA-FA': { adapter: 'lora_fa' },
  'LoRA-drop': { preset: 'lora_drop', warm_steps: 2, threshold: 0.7 },
  'LoRA-XS': { adapter: 'lora_xs', r: 32 },
  DoRA: { adapter: 'dora' },
  VeRA: { adapter: 'vera', r: 256, lora_alpha: undefined },
  AdaLoRA: { adapter: 'adalora', r: undefined, init_r: 12, target_r: 8, tinit: 1, tfinal: 2 },
  MoRA: { adapter: 'mora', lora_alpha: undefined },
  'Delta-LoRA': { adapter: 'delta_lora', delta_start: 1 },
  ReLoRA: { adapter: 'relora', relora_steps: 4, relora_merges: 1, relora_warmup: 1 },
  'O-LoRA': { adapter: 'o_lora' },
  'AM-LoRA': { adapter: 'am_lora' },
  PiSSA: { init_lora_weights: 'pissa_niter_4' },
  QLoRA: { load_in_4bit: true, bnb_4bit_use_double_quant: true },
  LongLoRA: { attention: 'shift_short' },
  GaLore: { ...full, optim: 'galore_adamw', galore_rank: 64, galore_update_interval: 4 },
  'Full fine-tuning': full,
};
const steps = 7;
const [length, batch] = [256, 4];
const mib = (bytes) => Math.round(bytes / 2 ** 20).toLocaleString('en-US');

export const experiment = {
  id: 'costs',
  title: 'Costs side by side',
  paper: 'every method’s own',
  claim: 'Methods trade trained parameters, memory and time against each other.',
  setup: `A Llama-shaped model of 23 million random parameters, fp32, r 8 (VeRA 256, LoRA-XS 32) on all linears, batch ${batch} × ${length} tokens, selective checkpointing, 2 threads. Time: the median of the last ${steps - 3} steps, LoRA measured before and after every two methods; the ratio is against the mean of both. Memory: the forecast of the whole run, which counts the process itself.`,
  seeds: [1],
  run(lab) {
    const model = randomCheckpoint(
      join(root, 'bench/models/llama-23m.json'),
      join(root, 'samples/base'),
      join(lab.prepare(), 'llama-23m'),
    );
    const dataset = join(lab.folder, 'text.txt');
    writeFileSync(dataset, randomText());
    const settings = (own) => ({
      model,
      dataset,
      adapter: 'lora',
      r: 8,
      lora_alpha: 16,
      packing: true,
      train_on: 'all',
      max_length: length,
      per_device_train_batch_size: batch,
      max_steps: steps,
      learning_rate: 1e-4,
      threads: 2,
      ...(own.preset ? { adapter: undefined } : {}),
      ...own,
    });
    const seconds = (run) => {
      const at = run.steps.map((event) => Date.parse(event.time) / 1000);
      const each = at.slice(1).map((time, i) => time - at[i]);
      return each.slice(2).sort((a, b) => a - b)[Math.floor((each.length - 2) / 2)];
    };
    // A shared machine drifts within minutes: LoRA is measured before and after every two methods, which are held against both.
    const loraTimes = [];
    const loraAgain = () =>
      loraTimes.push(seconds(lab.train(`LoRA-again-${loraTimes.length}`, 1, settings(methods.LoRA))));
    const measured = Object.entries(methods).map(([name, own], index) => {
      if (index % 2 === 0) loraAgain();
      const recipe = settings(own);
      const run = lab.train(name, 1, recipe);
      const { totalBytes, parts } = lab.estimate(name, recipe);
      return { name, parameters: run.result.trainableParameters, seconds: seconds(run), totalBytes, parts };
    });
    loraAgain();
    const rows = measured.map((one, index) => {
      const at = Math.floor(index / 2);
      return { ...one, slower: (2 * one.seconds) / (loraTimes[at] + loraTimes[at + 1]) };
    });
    return {
      costs: rows,
      table: {
        columns: [
          'method',
          'trained parameters',
          'whole run MiB',
          'weights',
          'optimizer',
          'activations',
          'step ms',
          'time against LoRA',
        ],
        rows: rows.map((one) => [
          one.name,
          one.parameters.toLocaleString('en-US'),
          mib(one.totalBytes),
          mib(one.parts.weights),
          mib(one.parts.optimizer),
          mib(one.parts.activations),
          Math.round(one.seconds * 1000).toLocaleString('en-US'),
          `${one.slower.toFixed(2)}×`,
        ]),
      },
      verdict: 'shows',
      headline: `from ${Math.min(...rows.map((one) => one.parameters)).toLocaleString('en-US')} to ${Math.max(...rows.map((one) => one.parameters)).toLocaleString('en-US')} trained parameters`,
      reading: `LoRA's step took ${Math.round(Math.min(...loraTimes) * 1000)} to ${Math.round(Math.max(...loraTimes) * 1000)} ms in ${loraTimes.length} measurements; neighbours among them differed by ${drift(loraTimes)[Math.floor((loraTimes.length - 1) / 2)]} % in the median and ${drift(loraTimes).at(-1)} % at most: so far can a figure of the last column be off.`,
    };
  },
};

/** Differences of neighbours in percent, rising. */
const drift = (times) =>
  times
    .slice(1)
    .map((time, i) => Math.round(100 * Math.abs(time / times[i] - 1)))
    .sort((x, y) => x - y);

function randomText() {
  let state = 7;
  const letter = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const pick = (state >>> 16) % 32;
    return pick < 26 ? String.fromCharCode(97 + pick) : ' ';
  };
  return Array.from({ length: 200_000 }, letter).join('');
}
