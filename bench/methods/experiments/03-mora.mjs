// MoRA against LoRA with equally many parameters on pairs of random keys, which can only be memorised.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sample } from '../lab.mjs';
import { atBest, clearlyBelow, lossPlot, mean, meanCurve, spread, stepsTo } from '../statistics.mjs';

const pairs = 48;
const steps = 300;
const target = 0.1;
const rates = [3e-3, 1e-2];

export const experiment = {
  id: 'mora',
  title: 'MoRA',
  paper: 'Jiang et al. 2024, arXiv:2405.12130',
  claim: 'A square matrix memorises key pairs in fewer steps than LoRA with as many parameters.',
  setup: `${pairs} pairs of random UUIDs, r 8, all linears, batch 16, ${steps} steps; each method at the better of the constant rates ${rates.join(' and ')} (chosen by the first seed). Character accuracy: greedy answers to 32 of the keys, position by position, hyphens left out.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const rows = readFileSync(sample('uuid-pairs.jsonl'), 'utf8').trim().split('\n').slice(0, pairs);
    const dataset = join(lab.prepare(), 'pairs.jsonl');
    writeFileSync(dataset, `${rows.join('\n')}\n`);
    const asked = rows.slice(0, 32).map((row) => JSON.parse(row));
    const arms = [
      ['LoRA', { adapter: 'lora', lora_alpha: 16 }],
      ['MoRA type 1', { adapter: 'mora', mora_type: 1 }],
      ['MoRA type 6', { adapter: 'mora', mora_type: 6, exclude_modules: ['k_proj', 'v_proj', 'down_proj'] }],
    ].map(([name, settings]) => {
      const last = (run) => mean(run.losses.slice(-10));
      const { setting: learning_rate, runs } = atBest(
        rates,
        seeds,
        (rate, seed) =>
          lab.train(`${name}-${rate}`, seed, {
            dataset,
            r: 8,
            ...settings,
            learning_rate: rate,
            max_steps: steps,
            per_device_train_batch_size: 16,
          }),
        last,
      );
      return {
        name,
        learning_rate,
        last: runs.map(last),
        parameters: runs[0].plan.trainableParameters,
        reached: runs.map((run) => stepsTo(run.losses, target) ?? steps),
        accuracy: runs.map((run) =>
          characterAccuracy(
            lab.generate(
              run.result.adapter,
              asked.map((one) => one.prompt),
              48,
            ),
            asked,
          ),
        ),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [lora, shared] = arms;
    const best = arms.slice(1).reduce((a, b) => (mean(b.reached) < mean(a.reached) ? b : a), shared);
    return {
      table: {
        columns: [
          'arm',
          'parameters',
          'rate',
          `steps to loss ${target}`,
          'loss, last 10',
          'character accuracy',
        ],
        rows: arms.map((arm) => [
          arm.name,
          arm.parameters.toLocaleString('en-US'),
          arm.learning_rate,
          spread(arm.reached, 0),
          spread(arm.last),
          spread(arm.accuracy, 2),
        ]),
      },
      plot: lossPlot(arms.map((arm) => ({ label: arm.name, curve: arm.curve }))),
      verdict: clearlyBelow(best.reached, lora.reached)
        ? 'shows'
        : mean(best.last) < mean(lora.last)
          ? 'partly'
          : 'not',
      headline: `${best.name}: ${spread(best.reached, 0)} steps, LoRA ${spread(lora.reached, 0)} (of ${steps})`,
      reading: `To a loss of ${target}: LoRA ${spread(lora.reached, 0)} steps, ${arms
        .slice(1)
        .map((arm) => `${arm.name} ${spread(arm.reached, 0)}`)
        .join(
          ', ',
        )}; ${steps} means not reached. The base model has 1.3 million parameters, so that rank 8 is already a fifteenth of a layer's width and the gap between the ranks is much smaller than at 4096.`,
    };
  },
};

function characterAccuracy(texts, rows) {
  const hits = texts.map((text, index) => {
    const [said, wanted] = [text, rows[index].completion].map((one) => one.replaceAll('-', '').trim());
    return [...wanted].filter((character, at) => said[at] === character).length / wanted.length;
  });
  return mean(hits);
}
