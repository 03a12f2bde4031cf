// A run's events → what the terminal shows of them: one live line where it can be rewritten, plain lines elsewhere.
import type { PlanFacts, RunEvent } from '../protocol/run';
import type { TrainerEvent } from '../protocol/trainer';
import { printable, type Terminal } from './terminal';
import { formatBytes, formatCount, formatDuration, formatLoss } from './units';

type StepEvent = RunEvent & { type: 'step' };

/** About this many step lines where the output is no terminal. */
const plainLines = 50;

/** Shows one run. */
export class TrainProgress {
  /** Whether the run ended because it was asked to. */
  stopped = false;
  private totalSteps = 0;

  /** `beside`: what is shown goes beside a result on standard output, so lines go to standard error. */
  constructor(
    private readonly terminal: Terminal,
    private readonly place: 'output' | 'beside' = 'output',
  ) {}

  private line(text: string): void {
    if (this.place === 'output') this.terminal.line(text);
    else if (!this.terminal.json) this.terminal.error(text);
  }

  show(event: TrainerEvent): void {
    const { terminal } = this;
    switch (event.type) {
      case 'run-started':
        this.totalSteps = event.plan.totalSteps;
        this.line(`${terminal.style('bold', 'Run')} ${printable(event.run)}`);
        for (const line of planLines(event.plan)) this.line(`  ${line}`);
        if (event.resumedFromStep !== null) this.line(`  goes on from step ${event.resumedFromStep}`);
        break;
      case 'note':
        this.line(terminal.style('dim', printable(event.message)));
        break;
      case 'warning':
        this.line(`${terminal.style('yellow', 'Warning:')} ${printable(event.message)}`);
        if (event.remedy !== undefined) this.line(`  → ${printable(event.remedy)}`);
        break;
      case 'progress': {
        const percent = event.fraction === null ? '' : ` ${Math.round(event.fraction * 100)} %`;
        const text = `${printable(event.message)}${percent}`;
        if (terminal.isLive) terminal.live(text);
        else if (this.place === 'output' && (event.fraction === null || event.fraction === 0))
          this.line(text);
        break;
      }
      case 'step':
        this.showStep(event);
        break;
      case 'eval': {
        const best = event.best ? '  (best)' : '';
        this.line(
          `step ${event.step}  eval loss ${formatLoss(event.loss)}  perplexity ${formatLoss(event.perplexity)}  ${formatCount(event.tokens)} tokens${best}`,
        );
        break;
      }
      case 'step-skipped':
        this.line(
          `step ${event.step}  skipped: float16 overflowed; the loss scale is now ${event.lossScale}`,
        );
        break;
      case 'sample':
        this.line(terminal.style('dim', `  ${printable(event.prompt)}`));
        this.line(`  → ${printable(event.text).replaceAll('\n', '\n    ')}`);
        break;
      case 'checkpoint':
        this.line(terminal.style('dim', `step ${event.step}  checkpoint ${printable(event.path)}`));
        break;
      case 'stopped':
        this.stopped = true;
        this.line(
          event.checkpoint === null
            ? `Stopped at step ${event.step}; nothing was to be saved.`
            : `Stopped at step ${event.step}. The same command with --resume goes on from ${printable(event.checkpoint)}.`,
        );
        break;
      case 'finished':
        if (event.reason === 'early-stopping')
          this.line(`Stopped early at step ${event.step}: no better evaluation loss.`);
        break;
      case 'device':
      case 'failed':
      case 'token':
        // The reply of the call carries the failure; the device's use is for those who watch.
        break;
    }
  }

  private showStep(event: StepEvent): void {
    if (this.terminal.isLive) {
      this.terminal.live(`${bar(event.step, this.totalSteps)} ${stepLine(event, this.totalSteps)}`);
      return;
    }
    const every = Math.max(1, Math.floor(this.totalSteps / plainLines));
    if (event.step === 1 || event.step === this.totalSteps || event.step % every === 0) {
      this.line(stepLine(event, this.totalSteps));
    }
  }
}

/** `step 12/60  loss 2.3456  812 tok/s  ETA 0:32  1.20 GiB`. */
export function stepLine(event: StepEvent, totalSteps: number): string {
  return [
    `step ${event.step}/${totalSteps}`,
    `loss ${formatLoss(event.loss)}`,
    `${formatCount(event.tokensPerSecond)} tok/s`,
    ...(event.etaSeconds === null ? [] : [`ETA ${formatDuration(event.etaSeconds)}`]),
    formatBytes(event.peakMemoryBytes),
    `epoch ${event.epoch.toFixed(2)}`,
    `lr ${event.learningRate.toExponential(1)}`,
  ].join('  ');
}

function bar(step: number, total: number, width = 20): string {
  const full = total <= 0 ? 0 : Math.min(width, Math.round((step / total) * width));
  return '█'.repeat(full) + '░'.repeat(width - full);
}

function planLines(plan: PlanFacts): string[] {
  const share = plan.totalParameters === 0 ? 0 : (100 * plan.trainableParameters) / plan.totalParameters;
  return [
    `${plan.modelType} on ${plan.device} in ${plan.dtype}, ${plan.adapter} on ${plan.adaptedModules} modules: ` +
      `${formatCount(plan.trainableParameters)} of ${formatCount(plan.totalParameters)} parameters train (${share.toFixed(2)} %)`,
    `${plan.trainExamples} examples${plan.evalExamples > 0 ? ` and ${plan.evalExamples} held out` : ''}, ` +
      `${formatCount(plan.trainedTokensPerEpoch)} trained tokens an epoch`,
    `${plan.totalSteps} steps of ${plan.effectiveBatchSize} examples` +
      (plan.predictedPeakBytes === null ? '' : `, about ${formatBytes(plan.predictedPeakBytes)} of memory`),
  ];
}
