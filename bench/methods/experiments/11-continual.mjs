// O-LoRA and AM-LoRA against LoRA adapters trained one after the other, on three tasks: what is forgotten of the first two.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sample } from '../lab.mjs';
import { clearlyBelow, mean, spread } from '../statistics.mjs';

const tasks = ['rhyme', 'letters', 'weather'];
const steps = 80;
const arms = {
  'sequential LoRA': (previous) => ({
    adapter: 'o_lora',
    lamda_1: 0,
    lamda_2: 0,
    previous_adapters: previous,
  }),
  'O-LoRA': (previous) => ({ adapter: 'o_lora', lamda_1: 0.5, lamda_2: 0, previous_adapters: previous }),
  'AM-LoRA': (previous) => ({ adapter: 'am_lora', previous_adapters: previous }),
};

export const experiment = {
  id: 'continual',
  title: 'O-LoRA and AM-LoRA',
  paper: 'Wang et al. 2023, arXiv:2310.14152; Liu et al. 2024, arXiv:2409.19611',
  claim:
    'Orthogonal or gated task adapters forget less of earlier tasks than adapters trained one after the other.',
  setup: `Three forms one after the other (${tasks.join(', ')}; 130 rows each, 30 held out), r 8, all linears, batch 8, ${steps} steps at a constant 3e-3 per task. The number is the held-out loss of a task after each stage; forgetting is the rise from when the task was learned to the end, mean of the first two.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const folder = lab.prepare();
    const files = tasks.map((task) => {
      const rows = readFileSync(sample(`tasks/${task}.jsonl`), 'utf8')
        .trim()
        .split('\n');
      const [train, held] = [join(folder, `${task}.train.jsonl`), join(folder, `${task}.eval.jsonl`)];
      writeFileSync(train, `${rows.slice(0, 130).join('\n')}\n`);
      writeFileSync(held, `${rows.slice(130).join('\n')}\n`);
      return { train, held };
    });
    const before = files.map(({ held }) => lab.evaluate(undefined, undefined, held));
    const done = Object.entries(arms).map(([name, settings]) => {
      // Per seed: losses[stage][task].
      const matrices = seeds.map((seed) => {
        const previous = [];
        return tasks.map((task, stage) => {
          const run = lab.train(`${name}-${task}`, seed, {
            dataset: files[stage].train,
            per_device_train_batch_size: 8,
            r: 8,
            lora_alpha: 16,
            learning_rate: 3e-3,
            max_steps: steps,
            ...settings([...previous]),
          });
          previous.push(run.result.adapter);
          return files.map(({ held }) => lab.evaluate(undefined, run.result.adapter, held));
        });
      });
      const rise = (matrix, task) => matrix.at(-1)[task] - matrix[task][task];
      return {
        name,
        matrices,
        forgetting: matrices.map((matrix) => mean([0, 1].map((task) => rise(matrix, task)))),
        learned: matrices.map((matrix) => mean(tasks.map((_, task) => matrix[task][task]))),
        final: matrices.map((matrix) => mean(matrix.at(-1))),
      };
    });
    const [plain, orthogonal, gated] = done;
    const wins = [orthogonal, gated].filter((arm) => clearlyBelow(arm.forgetting, plain.forgetting));
    return {
      table: {
        columns: ['arm', 'forgetting', 'loss when learned', 'mean loss at the end'],
        rows: done.map((arm) => [arm.name, spread(arm.forgetting), spread(arm.learned), spread(arm.final)]),
      },
      extraTable: {
        caption: `Held-out loss by task after each stage (before: ${tasks.map((task, at) => `${task} ${before[at].toFixed(2)}`).join(', ')})`,
        columns: ['arm', 'after', ...tasks],
        rows: done.flatMap((arm) =>
          tasks.map((task, stage) => [
            arm.name,
            task,
            ...tasks.map((_, at) =>
              spread(
                arm.matrices.map((matrix) => matrix[stage][at]),
                2,
              ),
            ),
          ]),
        ),
      },
      plot: {
        x: 'stage',
        y: `held-out loss on ${tasks[0]}`,
        logY: true,
        series: done.map((arm) => ({
          label: arm.name,
          points: tasks.map((_, stage) => [stage + 1, mean(arm.matrices.map((matrix) => matrix[stage][0]))]),
        })),
      },
      verdict: wins.length === 2 ? 'shows' : wins.length === 1 ? 'partly' : 'not',
      headline: `forgetting: O-LoRA ${spread(orthogonal.forgetting)}, AM-LoRA ${spread(gated.forgetting)}, sequential ${spread(plain.forgetting)}`,
      reading: `Rise of the loss on the first two tasks by the end: sequential ${spread(plain.forgetting)}, O-LoRA ${spread(orthogonal.forgetting)}, AM-LoRA ${spread(gated.forgetting)}. Less: ${wins.map((arm) => arm.name).join(' and ') || 'neither'}.`,
    };
  },
};
