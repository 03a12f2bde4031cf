// VeRA against LoRA: quality against the count of trained parameters.
import { sample } from '../lab.mjs';
import { lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const steps = 100;
const arms = [
  ['LoRA r 16', { adapter: 'lora', r: 16, lora_alpha: 32, learning_rate: 5e-3 }],
  ['LoRA r 1', { adapter: 'lora', r: 1, lora_alpha: 2, learning_rate: 5e-3 }],
  ['VeRA r 64', { adapter: 'vera', r: 64, learning_rate: 5e-2 }],
  ['VeRA r 256', { adapter: 'vera', r: 256, learning_rate: 5e-2 }],
];

export const experiment = {
  id: 'vera',
  title: 'VeRA',
  paper: 'Kopiczko et al. 2024, arXiv:2310.11454',
  claim: 'Vectors beside shared random matrices come near LoRA with far fewer parameters.',
  setup: `Pirate stories, all linears, batch 4, ${steps} steps, constant rates 5e-3 for LoRA and 5e-2 for VeRA; loss on 60 held-out stories.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const done = arms.map(([name, settings]) => {
      const runs = seeds.map((seed) =>
        lab.train(name, seed, {
          dataset: sample('pirate.train.jsonl'),
          eval_dataset: sample('pirate.eval.jsonl'),
          eval_steps: steps,
          max_steps: steps,
          ...settings,
        }),
      );
      return {
        name,
        parameters: runs[0].plan.trainableParameters,
        held: runs.map((run) => run.evaluations.at(-1).loss),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const base = lab.evaluate(undefined, undefined, 'pirate.eval.jsonl');
    const [full, one, , vera] = done;
    // Of what LoRA at r 16 gains over the base.
    const share = (base - mean(vera.held)) / (base - mean(full.held));
    const fewer = full.parameters / vera.parameters;
    return {
      table: {
        columns: ['arm', 'trained parameters', `held-out loss (${base.toFixed(3)} before)`],
        rows: done.map((arm) => [arm.name, arm.parameters.toLocaleString('en-US'), spread(arm.held)]),
      },
      plot: lossPlot(done.map((arm) => ({ label: arm.name, curve: arm.curve }))),
      verdict: share > 0.97 ? 'shows' : share > 0.9 ? 'partly' : 'not',
      headline: `${(share * 100).toFixed(1)} % of LoRA’s gain with 1/${fewer.toFixed(0)} of its parameters`,
      reading: `VeRA at r 256 trains ${vera.parameters.toLocaleString('en-US')} numbers, LoRA at r 16 ${full.parameters.toLocaleString('en-US')}, LoRA at r 1 ${one.parameters.toLocaleString('en-US')}. Of the held-out loss that LoRA r 16 wins over the base VeRA wins ${(share * 100).toFixed(1)} %, LoRA r 1 ${(((base - mean(one.held)) / (base - mean(full.held))) * 100).toFixed(1)} %. "Shows" asks for 97 %.`,
    };
  },
};
