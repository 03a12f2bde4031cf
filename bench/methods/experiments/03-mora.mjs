// MoRA against LoRA with equally many parameters on pairs of random keys, which can only be memorised.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sample } from '../lab.mjs';
import { atBest, clearlyBelow, lossPlot, mean, meanCurve, spread, stepsTo } from '../statistics.mjs';

const pairs = 48;
const rank = 2;
const steps = 400;
const rates = [1e-3, 3e-3];

export const experiment = {
  id: 'mora',
  title: 'MoRA',
  paper: 'Jiang et al. 2024, arXiv:2405.12130',
  claim: 'A square matrix memorises key pairs in fewer steps than LoRA with as many parameters.',
  setup: `${pairs} pairs of random UUIDs without their hyphens (a token that the sample model never saw: with frozen embeddings no method can learn it), r ${rank}, all linears, batch 16, ${steps} steps; each method at the better of the constant rates ${rates.join(' and ')} (chosen by the first seed). Character accuracy: greedy answers to 32 of the keys, position by position.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const rows = readFileSync(sample('uuid-pairs.jsonl'), 'utf8')
      .replaceAll('-', '')
      .trim()
      .split('\n')
      .slice(0, pairs);
    const dataset = join(lab.prepare(), 'pairs.jsonl');
    writeFileSync(dataset, `${rows.join('\n')}\n`);
    const asked = rows.slice(0, 32).map((row) => JSON.parse(row));
    const arms = [
      ['LoRA', { adapter: 'lora', lora_alpha: 16 }],
      ['MoRA type 1', { adapter: 'mora', mora_type: 1 }],
      ['MoRA type 6', { adapter: 'mora', mora_type: 6 }],
    ].map(([name, settings]) => {
      const last = (run) => mean(run.losses.slice(-10));
      const { setting: learning_rate, runs } = atBest(
        rates,
        seeds,
        (rate, seed) =>
          lab.train(`${name}-${rate}`, seed, {
            dataset,
            r: rank,
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
        runs,
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
    const [lora, ...squares] = arms;
    // What LoRA comes to at the end is reached by every arm that is no worse, in fewer steps by one that learns faster.
    const target = mean(lora.last);
    for (const arm of arms) arm.reached = arm.runs.map((run) => stepsTo(run.losses, target, 10) ?? steps);
    const best = squares.reduce((a, b) => (mean(b.last) < mean(a.last) ? b : a));
    return {
      table: {
        columns: [
          'arm',
          'parameters',
          'rate',
          `steps to loss ${target.toFixed(3)}`,
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
      reading: `To a loss of ${target.toFixed(3)}, which LoRA comes to at the end: LoRA ${spread(lora.reached, 0)} steps, ${squares
        .map((arm) => `${arm.name} ${spread(arm.reached, 0)}`)
        .join(
          ', ',
        )}; ${steps} means not reached. The base model has 1.3 million parameters, so that even rank ${rank} is a sixty-fourth of a layer's width, where the paper's 8 is a five-hundredth of 4096.`,
    };
  },
};

function characterAccuracy(texts, rows) {
  const hits = texts.map((text, index) => {
    const [said, wanted] = [text, rows[index].completion].map((one) => one.trim());
    return [...wanted].filter((character, at) => said[at] === character).length / wanted.length;
  });
  return mean(hits);
}
