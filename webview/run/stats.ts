// The figures of a run: loss, speed, time, memory, tokens. Draws what the run and its log tell into one place.
import type { RunView } from '../../src/protocol/panels/run';
import { type Child, el, fill, quantity } from '../shared/dom';
import { bytes, bytesText, clock, count, duration, fixed, integer, loss as lossText } from '../shared/format';
import { t } from '../shared/texts';
import { devicePeak } from './deviceLine';
import { isLive } from './head';
import type { RunHistory } from './history';

/** What the forecast is held against: of a device the most that was taken there, where that is told; of the CPU the process's own peak. */
export function measuredPeak(run: RunView, own: RunHistory): number | null {
  const onDevice = run.plan !== null && run.plan.device !== 'cpu';
  return devicePeak(own.device) ?? (onDevice ? null : run.peakMemoryBytes);
}

function stat(label: string, value: Child, sub: string): HTMLElement {
  return el('div', {}, el('dt', {}, label), el('dd', {}, value), el('dd', { class: 'sub' }, sub));
}

export function drawStats(place: HTMLElement, run: RunView, own: RunHistory): void {
  const smoothed = own.smoothed.at(-1);
  const speed = own.tokensPerSecond.slice(-20);
  const mean = speed.length === 0 ? undefined : speed.reduce((sum, one) => sum + one, 0) / speed.length;
  const tokens = own.tokens.at(-1) ?? 0;
  const peak = measuredPeak(run, own);
  const forecast = run.plan?.predictedPeakBytes ?? null;
  fill(
    place,
    stat(
      t('Train loss'),
      smoothed === undefined ? '–' : lossText(smoothed),
      own.loss.length === 0 ? '' : t('this step {0}', lossText(own.loss.at(-1)!)),
    ),
    evaluationStat(run, own),
    stat(
      t('Speed'),
      mean === undefined ? '–' : quantity(integer(mean), t('tokens/s')),
      own.step.length === 0 ? '' : t('mean of 20 steps'),
    ),
    timeStat(run),
    stat(
      t('Memory peak'),
      peak === null ? '–' : quantity(...bytes(peak)),
      forecast === null ? '' : t('forecast {0}', bytesText(forecast)),
    ),
    stat(
      t('Read'),
      quantity(count(tokens), t('tokens')),
      run.epoch > 0 ? t('epoch {0}', fixed(run.epoch, 2)) : '',
    ),
  );
}

function evaluationStat(run: RunView, own: RunHistory): HTMLElement {
  const evaluation = own.evals.at(-1);
  if (evaluation === undefined)
    return stat(t('Eval loss'), '–', isLive(run.state) ? t('not yet') : t('none was made'));
  const parts = [t('step {0}', integer(evaluation.step))];
  if (evaluation.best) parts.push(t('best so far'));
  else if (run.bestEvalLoss !== null) parts.push(t('best {0}', lossText(run.bestEvalLoss)));
  return stat(t('Eval loss'), lossText(evaluation.loss), parts.join(', '));
}

/** Of a live run the time that is left, of one that ended the time that it took. */
function timeStat(run: RunView): HTMLElement {
  if (isLive(run.state))
    return run.etaSeconds === null
      ? stat(t('Left'), '–', '')
      : stat(
          t('Left'),
          quantity(...duration(run.etaSeconds)),
          t('ends at {0}', clock(Date.now() + 1000 * run.etaSeconds)),
        );
  const elapsed =
    run.startedAt === null || run.updatedAt === null
      ? undefined
      : (Date.parse(run.updatedAt) - Date.parse(run.startedAt)) / 1000;
  return stat(
    t('Took'),
    elapsed === undefined ? '–' : quantity(...duration(elapsed)),
    run.updatedAt === null ? '' : t('ended at {0}', clock(run.updatedAt)),
  );
}
