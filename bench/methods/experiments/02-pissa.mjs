// PiSSA, MiLoRA and OLoRA against LoRA: the loss of the first steps, the first gradients, and what is forgotten.
import { sample } from '../lab.mjs';
import { clearlyBelow, lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const starts = { LoRA: true, PiSSA: 'pissa', MiLoRA: 'milora', OLoRA: 'olora' };
const steps = 50;

export const experiment = {
  id: 'pissa',
  title: 'PiSSA, MiLoRA, OLoRA',
  paper:
    'Meng et al. 2024, arXiv:2404.02948; Wang et al. 2024, arXiv:2406.09044; Büyükakyüz 2024, arXiv:2406.01775',
  claim: 'PiSSA’s loss over the first steps is below LoRA’s; MiLoRA drifts less from what the base knew.',
  setup: `Pirate stories, r 16, lora_alpha 16, all linears, batch 8, ${steps} steps at a constant 1e-3. Forgetting is the loss on 60 plain stories after training.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const before = lab.evaluate(undefined, undefined, 'stories.eval.jsonl');
    const arms = Object.entries(starts).map(([name, init_lora_weights]) => {
      const runs = seeds.map((seed) =>
        lab.train(name, seed, {
          dataset: sample('pirate.train.jsonl'),
          per_device_train_batch_size: 8,
          init_lora_weights,
          r: 16,
          lora_alpha: 16,
          learning_rate: 1e-3,
          max_steps: steps,
        }),
      );
      return {
        name,
        early: runs.map((run) => mean(run.losses)),
        last: runs.map((run) => mean(run.losses.slice(-10))),
        gradient: runs.map((run) => run.steps[0].gradNorm),
        kept: runs.map((run) => lab.evaluate(undefined, run.result.adapter, 'stories.eval.jsonl')),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [lora, pissa, milora] = arms;
    const faster = clearlyBelow(pissa.early, lora.early);
    const gentler = clearlyBelow(milora.kept, pissa.kept);
    return {
      table: {
        columns: [
          'start',
          `mean loss, steps 1–${steps}`,
          'loss, last 10',
          'first gradient norm',
          `plain stories after (${before.toFixed(3)} before)`,
        ],
        rows: arms.map((arm) => [
          arm.name,
          spread(arm.early),
          spread(arm.last),
          spread(arm.gradient),
          spread(arm.kept),
        ]),
      },
      plot: lossPlot(
        arms.map((arm) => ({ label: arm.name, curve: arm.curve })),
        5,
      ),
      verdict: faster && gentler ? 'shows' : faster || gentler ? 'partly' : 'not',
      headline: `early loss ${spread(pissa.early)} against LoRA’s ${spread(lora.early)}`,
      reading: `Mean loss of the first ${steps} steps: PiSSA ${spread(pissa.early)}, LoRA ${spread(lora.early)}, and PiSSA's first gradient is ${(mean(pissa.gradient) / mean(lora.gradient)).toFixed(1)} times as large. On plain stories afterwards: MiLoRA ${spread(milora.kept)}, PiSSA ${spread(pissa.kept)}, LoRA ${spread(lora.kept)}. Learning speed and forgetting are not separate: what learns more of the new style in ${steps} steps also leaves the old one further.`,
    };
  },
};
