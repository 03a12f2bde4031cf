// LoRA-FA against LoRA: activation memory as planned, and the loss.
import { sample } from '../lab.mjs';
import { lossPlot, mean, meanCurve, spread } from '../statistics.mjs';

const steps = 100;
const mib = (bytes) => Math.round(bytes / 2 ** 20).toLocaleString('en-US');

export const experiment = {
  id: 'lora_fa',
  title: 'LoRA-FA',
  paper: 'Zhang et al. 2023, arXiv:2308.03303',
  claim: 'With A frozen the inputs of adapted layers need not be kept, at about LoRA’s quality.',
  setup: `Pirate stories, r 16, all linears, batch 4, ${steps} steps at a constant 5e-3; the memory is the planned peak of activations, which tests hold against the runtime's arena.`,
  seeds: [1, 2, 3],
  run(lab, seeds) {
    const done = ['lora', 'lora_fa'].map((adapter) => {
      const settings = {
        dataset: sample('pirate.train.jsonl'),
        eval_dataset: sample('pirate.eval.jsonl'),
        eval_steps: steps,
        adapter,
        r: 16,
        lora_alpha: 32,
        learning_rate: 5e-3,
        max_steps: steps,
      };
      const runs = seeds.map((seed) => lab.train(adapter, seed, settings));
      const planned = (gradient_checkpointing) =>
        lab.estimate(`${adapter}-${gradient_checkpointing}`, { ...settings, gradient_checkpointing }).parts
          .activations;
      return {
        adapter,
        all: planned('none'),
        selective: planned('selective'),
        parameters: runs[0].plan.trainableParameters,
        held: runs.map((run) => run.evaluations.at(-1).loss),
        curve: meanCurve(runs.map((run) => run.losses)),
      };
    });
    const [lora, fa] = done;
    const saved = 1 - fa.all / lora.all;
    const near = mean(fa.held) - mean(lora.held) < 0.05;
    return {
      table: {
        columns: [
          'method',
          'trained parameters',
          'activations MiB, all kept',
          'activations MiB, selective',
          'held-out loss',
        ],
        rows: done.map((arm) => [
          arm.adapter,
          arm.parameters.toLocaleString('en-US'),
          mib(arm.all),
          mib(arm.selective),
          spread(arm.held),
        ]),
      },
      plot: lossPlot(done.map((arm) => ({ label: arm.adapter, curve: arm.curve }))),
      verdict: saved > 0.1 && near ? 'shows' : saved > 0.02 ? 'partly' : 'not',
      headline: `${(saved * 100).toFixed(0)} % of the activations saved (all kept)`,
      reading: `With all activations kept LoRA-FA plans ${mib(fa.all)} MiB where LoRA plans ${mib(lora.all)}. With selective checkpointing, the default, most of those inputs are computed again anyway: ${mib(fa.selective)} against ${mib(lora.selective)}. Held-out loss ${spread(fa.held)} against ${spread(lora.held)}. "Shows" asks for a tenth of the memory at a loss within 0.05.`,
    };
  },
};
