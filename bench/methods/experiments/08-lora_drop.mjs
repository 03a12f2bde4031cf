// LoRA-drop against LoRA on all modules: quality with a part of the adapters.
import { sample } from '../lab.mjs';
import { lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const steps = 100;
const arms = [
  ['LoRA', { adapter: 'lora' }],
  ['LoRA-drop T 0.9', { adapter: 'lora_drop', threshold: 0.9 }],
  ['LoRA-drop T 0.7', { adapter: 'lora_drop', threshold: 0.7 }],
];

export const experiment = {
  id: 'lora_drop',
  title: 'LoRA-drop',
  paper: 'Zhou et al. 2024, arXiv:2402.07721',
  claim: 'About half of the adapters keep the quality of all of them.',
  setup: `Pirate stories, r 8, all linears, batch 4, ${steps} steps at a constant 5e-3 after the selection; loss on 60 held-out stories.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const done = arms.map(([name, settings]) => {
      const runs = seeds.map((seed) =>
        lab.train(name, seed, {
          dataset: sample('pirate.train.jsonl'),
          eval_dataset: sample('pirate.eval.jsonl'),
          eval_steps: steps,
          r: 8,
          lora_alpha: 16,
          learning_rate: 5e-3,
          max_steps: steps,
          ...settings,
        }),
      );
      return {
        name,
        parameters: runs.map((run) => run.result.trainableParameters),
        held: runs.map((run) => run.evaluations.at(-1).loss),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [lora, ...dropped] = done;
    const base = lab.evaluate(undefined, undefined, 'pirate.eval.jsonl');
    const gain = (arm) => (base - mean(arm.held)) / (base - mean(lora.held));
    const kept = (arm) => mean(arm.parameters) / mean(lora.parameters);
    const smallest = dropped.at(-1);
    return {
      table: {
        columns: [
          'arm',
          'trained parameters',
          'of LoRA’s',
          `held-out loss (${base.toFixed(3)} before)`,
          'of LoRA’s gain',
        ],
        rows: done.map((arm) => [
          arm.name,
          Math.round(mean(arm.parameters)).toLocaleString('en-US'),
          `${(kept(arm) * 100).toFixed(0)} %`,
          spread(arm.held),
          `${(gain(arm) * 100).toFixed(1)} %`,
        ]),
      },
      plot: lossPlot(done.map((arm) => ({ label: arm.name, curve: arm.curve }))),
      verdict:
        gain(smallest) > 0.97 && kept(smallest) < 0.7 ? 'shows' : gain(smallest) > 0.9 ? 'partly' : 'not',
      headline: `${(gain(smallest) * 100).toFixed(1)} % of LoRA’s gain with ${(kept(smallest) * 100).toFixed(0)} % of its parameters`,
      reading: dropped
        .map(
          (arm) =>
            `${arm.name} keeps ${(kept(arm) * 100).toFixed(0)} % of the parameters and ${(gain(arm) * 100).toFixed(1)} % of the gain over the base.`,
        )
        .join(' '),
    };
  },
};
