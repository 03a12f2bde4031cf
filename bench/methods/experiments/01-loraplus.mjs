// LoRA+ against LoRA, each at its own best learning rate of the same grid.
import { sample } from '../lab.mjs';
import { clearlyBelow, mean, meanCurve, smoothed, spread, stepsTo } from '../statistics.mjs';

const rates = [5e-4, 1.5e-3, 5e-3, 1.5e-2];
const ratio = 16;

export const experiment = {
  id: 'loraplus',
  title: 'LoRA+',
  paper: 'Hayou et al. 2024, arXiv:2402.12354',
  claim: 'B with a higher learning rate than A needs fewer steps to a given loss.',
  setup: `Pirate stories, r 8, all linears, batch 8, 120 steps, constant rate; A's rates ${rates.join(', ')}; ratio ${ratio} against 1. The target is the loss that plain LoRA has at the end of 120 steps at its best rate.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const arm = (rate, loraplus) =>
      seeds.map((seed) =>
        lab.train(`${loraplus ? 'loraplus' : 'lora'}-${rate}`, seed, {
          dataset: sample('pirate.train.jsonl'),
          per_device_train_batch_size: 8,
          adapter: 'lora',
          r: 8,
          lora_alpha: 16,
          learning_rate: rate,
          max_steps: 120,
          ...(loraplus ? { loraplus_lr_ratio: ratio } : {}),
        }),
      );
    const last = (run) => mean(run.losses.slice(-10));
    const arms = [false, true].map((loraplus) => {
      // LoRA+ wants a smaller rate for A: the grid goes one step further down.
      const grid = (loraplus ? [1.5e-4, ...rates.slice(0, 3)] : rates).map((rate) => ({
        rate,
        runs: arm(rate, loraplus),
      }));
      return { grid, best: grid.reduce((a, b) => (mean(b.runs.map(last)) < mean(a.runs.map(last)) ? b : a)) };
    });
    const [lora, plus] = arms;
    const target = mean(lora.best.runs.map(last));
    const steps = (runs) => runs.map((run) => stepsTo(run.losses, target, 10) ?? 120);
    const [slow, fast] = [steps(lora.best.runs), steps(plus.best.runs)];
    const row = (name, { rate, runs }) => [name, rate, spread(runs.map(last)), spread(steps(runs), 0)];
    return {
      table: {
        columns: ['arm', 'rate of A', 'loss, last 10 steps', `steps to ${target.toFixed(3)}`],
        rows: [
          ...lora.grid.map((one) => row('LoRA', one)),
          ...plus.grid.map((one) => row(`LoRA+ ×${ratio}`, one)),
        ],
      },
      plot: {
        x: 'step',
        y: 'training loss (mean of 10 steps)',
        logY: true,
        series: arms.map(({ best }, i) => ({
          label: `${i ? 'LoRA+' : 'LoRA'} at ${best.rate}`,
          points: smoothed(meanCurve(best.runs.map((run) => run.losses)), 10)
            .map((loss, at) => [at + 1, loss])
            .slice(9),
        })),
      },
      verdict: clearlyBelow(fast, slow) ? 'shows' : mean(fast) < mean(slow) ? 'partly' : 'not',
      headline: `${spread(fast, 0)} steps where LoRA takes ${spread(slow, 0)}`,
      reading: `At its best rate (${plus.best.rate}) LoRA+ reaches plain LoRA's final loss (rate ${lora.best.rate}) after ${spread(fast, 0)} steps; LoRA needs ${spread(slow, 0)}.`,
    };
  },
};
