// The loss chart as a table, for those who do not see it: every evaluation and a bounded number of steps.
import { el } from '../shared/dom';
import { integer, loss as lossText, rate, short } from '../shared/format';
import { t } from '../shared/texts';
import type { RunHistory } from './history';

const mostRows = 100;

export function lossTable(history: RunHistory): HTMLElement {
  const evals = new Map(history.evals.map(({ step, loss }) => [step, loss]));
  const every = Math.max(1, Math.ceil(history.step.length / mostRows));
  const rows = history.step.flatMap((step, i) =>
    i % every === 0 || i === history.step.length - 1 || evals.has(step) ? [i] : [],
  );
  const cell = (text: string): HTMLElement => el('td', { class: 'n' }, text);
  const head = (text: string): HTMLElement => el('th', { class: 'n', scope: 'col' }, text);
  return el(
    'table',
    { class: 'lw-table' },
    el(
      'caption',
      { class: 'small muted' },
      every === 1 ? t('Every step') : t('Every {0}th step and every evaluation', integer(every)),
    ),
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        head(t('Step')),
        head(t('Loss')),
        head(t('Smoothed')),
        head(t('Eval')),
        head(t('Learning rate')),
        head(t('Gradient norm')),
        head(t('Tokens/s')),
      ),
    ),
    el(
      'tbody',
      {},
      rows.map((i) => {
        const step = history.step[i]!;
        const evaluation = evals.get(step);
        return el(
          'tr',
          {},
          cell(integer(step)),
          cell(lossText(history.loss[i]!)),
          cell(lossText(history.smoothed[i]!)),
          cell(evaluation === undefined ? '' : lossText(evaluation)),
          cell(rate(history.learningRate[i]!)),
          cell(Number.isNaN(history.gradNorm[i]) ? '' : short(history.gradNorm[i]!)),
          cell(integer(history.tokensPerSecond[i]!)),
        );
      }),
    ),
  );
}
