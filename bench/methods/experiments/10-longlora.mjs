// LongLoRA: memory and time of shifted sparse attention against full attention at growing length, and what training norms and
// embeddings adds when the context grows.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sample } from '../lab.mjs';
import { lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const lengths = [1024, 2048, 4096];
const steps = 40;
const context = 1024;
const norms = ['all-embeddings', 'all-norms'];

export const experiment = {
  id: 'longlora',
  title: 'LongLoRA',
  paper: 'Chen et al. 2024, arXiv:2309.12307',
  claim:
    'Shifted sparse attention makes long sequences cheaper to train on; training norms and embeddings closes the gap of plain LoRA.',
  setup: `The sample model (512 positions) with positions interpolated. Cost: one sequence of stories, groups of a quarter of it, three steps, the fastest counts. Ablation: ${steps} steps on sequences of ${context} tokens, batch 2, r 8 on attention, constant 2e-3; the training loss of the last 10 steps.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const dataset = join(lab.prepare(), 'long.txt');
    const stories = ['pirate.train.jsonl'].flatMap((name) =>
      readFileSync(sample(name), 'utf8')
        .trim()
        .split('\n')
        .map((row) => JSON.parse(row)),
    );
    writeFileSync(dataset, stories.map((row) => row.prompt + row.completion).join('\n'));
    const recipe = (length, attention) => ({
      dataset,
      target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
      r: 8,
      lora_alpha: 16,
      learning_rate: 2e-3,
      max_length: length,
      rope_scaling: 'linear',
      attention,
      ...(attention === 'shift_short' ? { group_size_ratio: 0.25 } : {}),
    });
    const costs = lengths.map((length) => {
      const of = (attention) => {
        const settings = {
          ...recipe(length, attention),
          max_steps: 3,
          per_device_train_batch_size: 1,
          gradient_checkpointing: 'none',
        };
        const run = lab.train(`cost-${attention}-${length}`, seeds[0], settings);
        return {
          bytes: lab.estimate(`cost-${attention}-${length}`, settings).parts.activations,
          seconds: Math.min(...run.steps.map((step) => step.tokens / step.tokensPerSecond)),
        };
      };
      return { length, full: of('full'), shifted: of('shift_short') };
    });
    const ablation = [
      ['full attention', 'full', []],
      ['full attention + norms, embeddings', 'full', norms],
      ['shifted', 'shift_short', []],
      ['shifted + norms, embeddings', 'shift_short', norms],
    ].map(([name, attention, modules_to_save]) => {
      const runs = seeds.map((seed) =>
        lab.train(name, seed, {
          ...recipe(context, attention),
          max_steps: steps,
          per_device_train_batch_size: 2,
          ...(modules_to_save.length ? { modules_to_save } : {}),
        }),
      );
      return {
        name,
        last: runs.map((run) => mean(run.losses.slice(-10))),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [fullPlain, , shiftedPlain, shiftedTrained] = ablation;
    const longest = costs.at(-1);
    const memory = longest.shifted.bytes / longest.full.bytes;
    const time = longest.shifted.seconds / longest.full.seconds;
    const closes = mean(shiftedTrained.last) < mean(shiftedPlain.last);
    const mib = (bytes) => Math.round(bytes / 2 ** 20).toLocaleString('en-US');
    return {
      table: {
        columns: ['tokens', 'activations MiB, full', 'shifted', 'seconds per step, full', 'shifted', 'time'],
        rows: costs.map(({ length, full, shifted }) => [
          length,
          mib(full.bytes),
          mib(shifted.bytes),
          full.seconds.toFixed(2),
          shifted.seconds.toFixed(2),
          `${(shifted.seconds / full.seconds).toFixed(2)}×`,
        ]),
      },
      extraTable: {
        caption: `What trains, at ${context} tokens`,
        columns: ['arm', 'training loss, last 10 steps'],
        rows: ablation.map((arm) => [arm.name, spread(arm.last)]),
      },
      plot: lossPlot(
        ablation.map((arm) => ({ label: arm.name, curve: arm.curve })),
        5,
      ),
      verdict: memory < 0.7 && time < 0.9 && closes ? 'shows' : memory < 0.9 || closes ? 'partly' : 'not',
      headline: `${longest.length} tokens: ${memory.toFixed(2)}× the memory, ${time.toFixed(2)}× the time`,
      reading: `At ${longest.length} tokens a step with shifted attention takes ${time.toFixed(2)} of the time and ${memory.toFixed(2)} of the activation memory. Training loss at ${context} tokens: ${spread(shiftedTrained.last)} with norms and embeddings, ${spread(shiftedPlain.last)} without; full attention without ${spread(fullPlain.last)}.`,
    };
  },
};
