// GaLore against full fine-tuning: the optimizer's memory and the loss.
import { sample } from '../lab.mjs';
import { lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const steps = 100;
const arms = [
  ['full, AdamW', { adapter: 'none', learning_rate: 1e-3 }],
  [
    'GaLore r 32',
    {
      adapter: 'none',
      optim: 'galore_adamw',
      galore_rank: 32,
      galore_update_interval: 50,
      galore_scale: 1,
      learning_rate: 1e-3,
    },
  ],
  [
    'GaLore r 32, 8-bit',
    {
      adapter: 'none',
      optim: 'galore_adamw_8bit',
      galore_rank: 32,
      galore_update_interval: 50,
      galore_scale: 1,
      learning_rate: 1e-3,
    },
  ],
  ['LoRA r 16', { adapter: 'lora', r: 16, lora_alpha: 32, learning_rate: 5e-3 }],
];

export const experiment = {
  id: 'galore',
  title: 'GaLore',
  paper: 'Zhao et al. 2024, arXiv:2403.03507',
  claim: 'Moments of projected gradients take a fraction of AdamW’s memory at about its loss.',
  setup: `Pirate stories, batch 4, ${steps} steps at a constant rate; every weight trains, those of the linears through rank 32 of at most 128. Loss on 60 held-out stories; optimizer memory as allocated.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const done = arms.map(([name, settings]) => {
      const recipe = {
        dataset: sample('pirate.train.jsonl'),
        eval_dataset: sample('pirate.eval.jsonl'),
        eval_steps: steps,
        max_steps: steps,
        ...settings,
      };
      const runs = seeds.map((seed) => lab.train(name, seed, recipe));
      return {
        name,
        optimizer: lab.estimate(name, recipe).parts.optimizer,
        held: runs.map((run) => run.evaluations.at(-1).loss),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [full, galore, eight] = done;
    const saved = (arm) => 1 - arm.optimizer / full.optimizer;
    const gap = mean(galore.held) - mean(full.held);
    return {
      table: {
        columns: ['arm', 'optimizer state MiB', 'held-out loss'],
        rows: done.map((arm) => [arm.name, (arm.optimizer / 2 ** 20).toFixed(2), spread(arm.held)]),
      },
      plot: lossPlot(done.map((arm) => ({ label: arm.name, curve: arm.curve }))),
      verdict: saved(galore) > 0.4 && gap < 0.05 ? 'shows' : saved(galore) > 0.4 ? 'partly' : 'not',
      headline: `${(saved(galore) * 100).toFixed(0)} % less optimizer state (8-bit: ${(saved(eight) * 100).toFixed(0)} %), loss ${gap >= 0 ? '+' : ''}${gap.toFixed(3)}`,
      reading: `GaLore holds ${(saved(galore) * 100).toFixed(0)} % less state than AdamW, with 8-bit moments ${(saved(eight) * 100).toFixed(0)} % less; embeddings and norms keep full state. Held-out loss ${spread(galore.held)} and ${spread(eight.held)} against ${spread(full.held)}. "Shows" asks for 40 % at a loss within 0.05.`,
    };
  },
};
