// AdaLoRA against LoRA at equal small budgets, with the ranks that it chose.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sample } from '../lab.mjs';
import { atBest, clearlyBelow, lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const budget = 2;
const steps = 150;
const rates = [2e-3, 6e-3];

export const experiment = {
  id: 'adalora',
  title: 'AdaLoRA',
  paper: 'Zhang et al. 2023, arXiv:2303.10512',
  claim: 'At a small budget, ranks moved to where they matter beat the same rank everywhere.',
  setup: `Pirate stories, mean rank ${budget} (AdaLoRA starts at ${budget * 2}), all linears, batch 4, ${steps} steps; each method at the better of the constant rates ${rates.join(' and ')} (chosen by the first seed); loss on 60 held-out stories.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const arm = (name, settings) => {
      const held = (run) => run.evaluations.at(-1).loss;
      const { setting, runs } = atBest(
        rates,
        seeds,
        (learning_rate, seed) =>
          lab.train(`${name}-${learning_rate}`, seed, {
            dataset: sample('pirate.train.jsonl'),
            eval_dataset: sample('pirate.eval.jsonl'),
            eval_steps: steps,
            ...settings,
            learning_rate,
            max_steps: steps,
          }),
        held,
      );
      return { name, learning_rate: setting, runs, held: runs.map(held) };
    };
    const lora = arm('LoRA', { adapter: 'lora', r: budget, lora_alpha: budget * 2 });
    const ada = arm('AdaLoRA', {
      adapter: 'adalora',
      init_r: budget * 2,
      target_r: budget,
      lora_alpha: budget * 4,
      tinit: 20,
      tfinal: 50,
      deltaT: 5,
      orth_reg_weight: 0.1,
    });
    const ranks = ranksByModule(ada.runs.map((run) => run.result.adapter));
    const kinds = [...new Set(ranks.map(([path]) => path.split('.').at(-1)))];
    const layers = [...new Set(ranks.map(([path]) => Number(path.match(/layers\.(\d+)/)[1])))].sort(
      (a, b) => a - b,
    );
    const rankOf = (layer, kind) =>
      ranks.find(([path]) => path.includes(`layers.${layer}.`) && path.endsWith(kind))?.[1] ?? 0;
    return {
      table: {
        columns: ['arm', 'rate', 'held-out loss', 'training loss, last 10'],
        rows: [lora, ada].map((one) => [
          one.name,
          one.learning_rate,
          spread(one.held),
          spread(one.runs.map((run) => mean(run.losses.slice(-10)))),
        ]),
      },
      extraTable: {
        caption: 'Mean rank per module that AdaLoRA kept',
        columns: ['layer', ...kinds],
        rows: layers.map((layer) => [layer, ...kinds.map((kind) => rankOf(layer, kind).toFixed(1))]),
      },
      plot: lossPlot(
        [lora, ada].map((one) => ({ label: one.name, curve: meanCurve(one.runs.map((run) => run.losses)) })),
      ),
      verdict: clearlyBelow(ada.held, lora.held)
        ? 'shows'
        : mean(ada.held) < mean(lora.held)
          ? 'partly'
          : 'not',
      headline: `held-out loss ${spread(ada.held)} against LoRA’s ${spread(lora.held)}`,
      reading: `Held-out loss at a mean rank of ${budget}: AdaLoRA ${spread(ada.held)}, LoRA ${spread(lora.held)}.`,
    };
  },
};

/** Mean kept rank per module over runs: what rank_pattern of the saved adapters says. */
function ranksByModule(folders) {
  const all = folders.map(
    (folder) => JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')).rank_pattern,
  );
  return Object.keys(all[0]).map((path) => [
    path.replace(/\.lora_E$/, ''),
    mean(all.map((pattern) => pattern[path].filter(Boolean).length)),
  ]);
}
