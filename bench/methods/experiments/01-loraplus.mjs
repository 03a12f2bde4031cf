// LoRA+ against LoRA, each at its own best learning rate of the same grid.
import { sample } from '../lab.mjs';
import { atBest, clearlyBelow, lossPlot, mean, meanCurve, spread, stepsTo } from '../statistics.mjs';

const rates = [1.5e-3, 5e-3, 1.5e-2];
const ratio = 16;
const steps = 100;

export const experiment = {
  id: 'loraplus',
  title: 'LoRA+',
  paper: 'Hayou et al. 2024, arXiv:2402.12354',
  claim: 'B with a higher learning rate than A needs fewer steps to a given loss.',
  setup: `Pirate stories, r 8, all linears, batch 4, ${steps} steps, constant rate; ratio ${ratio} against 1. Each at its best rate, chosen by the first seed: LoRA of ${rates.join(', ')}, LoRA+ of a tenth of these. The target is the loss that plain LoRA has at the end.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const last = (run) => mean(run.losses.slice(-10));
    const arm = (name, grid, own) =>
      atBest(
        grid,
        seeds,
        (learning_rate, seed) =>
          lab.train(`${name}-${learning_rate}`, seed, {
            dataset: sample('pirate.train.jsonl'),
            adapter: 'lora',
            r: 8,
            lora_alpha: 16,
            learning_rate,
            max_steps: steps,
            ...own,
          }),
        last,
      );
    const lora = arm('lora', rates, {});
    // LoRA+ wants a smaller rate for A, as B's is a multiple of it.
    const plus = arm(
      'loraplus',
      rates.map((rate) => rate / 10),
      { loraplus_lr_ratio: ratio },
    );
    const target = mean(lora.runs.map(last));
    const reached = (runs) => runs.map((run) => stepsTo(run.losses, target, 10) ?? steps);
    const [slow, fast] = [reached(lora.runs), reached(plus.runs)];
    const row = (name, { setting, runs }) => [
      name,
      setting,
      spread(runs.map(last)),
      spread(reached(runs), 0),
    ];
    return {
      table: {
        columns: ['arm', 'best rate of A', 'loss, last 10 steps', `steps to ${target.toFixed(3)}`],
        rows: [row('LoRA', lora), row(`LoRA+ ×${ratio}`, plus)],
      },
      plot: lossPlot(
        [lora, plus].map(({ setting, runs }, i) => ({
          label: `${i ? 'LoRA+' : 'LoRA'} at ${setting}`,
          curve: meanCurve(runs.map((run) => run.losses)),
        })),
      ),
      verdict: clearlyBelow(fast, slow) ? 'shows' : mean(fast) < mean(slow) ? 'partly' : 'not',
      headline: `${spread(fast, 0)} steps where LoRA takes ${spread(slow, 0)}`,
      reading: `At its best rate (${plus.setting}) LoRA+ reaches plain LoRA's final loss (rate ${lora.setting}) after ${spread(fast, 0)} steps; LoRA needs ${spread(slow, 0)}. ${steps} means not reached.`,
    };
  },
};
