// The head of a run's page: its name and state, what can be done about it, how far it is, and why it ended where it failed.
import type { RunRemedy, RunState, RunView } from '../../src/protocol/panels/run';
import { action, button, type Child, el, fill, type IconName, icon } from '../shared/dom';
import { clockSeconds, count, durationText, integer, loss as lossText } from '../shared/format';
import { Slot } from '../shared/slot';
import { plural, t } from '../shared/texts';

export function isLive(state: RunState): boolean {
  return state !== 'finished' && state !== 'stopped' && state !== 'failed';
}

/** A trainer that says nothing for so long may be in trouble. */
const silentMs = 45_000;

const marks: Record<RunState, [IconName, string]> = {
  waiting: ['watch', ''],
  starting: ['sync', 'spin'],
  running: ['sync', 'spin'],
  paused: ['debug-pause', ''],
  stopping: ['sync', 'spin'],
  finished: ['pass', 'okc'],
  stopped: ['debug-stop', ''],
  failed: ['error', 'err'],
};

/** `Running, step 864 of 1,323, epoch 2 of 3`. */
export function stateText(run: RunView): string {
  const { state, step, totalSteps } = run;
  const at = integer(step);
  switch (state) {
    case 'waiting':
      return run.phase ?? t('Waiting for the device');
    case 'starting':
      return run.phase ?? t('Starting');
    case 'running':
      return step === 0 ? (run.phase ?? t('Waiting for the first step')) : runningText(run);
    case 'paused':
      return totalSteps === null
        ? t('Paused at step {0}', at)
        : t('Paused at step {0} of {1}', at, integer(totalSteps));
    case 'stopping':
      return totalSteps === null
        ? t('Stopping at step {0}', at)
        : t('Stopping at step {0} of {1}', at, integer(totalSteps));
    case 'finished':
      return plural(step, 'Finished, 1 step', 'Finished, {0} steps');
    case 'stopped':
      return totalSteps === null
        ? t('Stopped at step {0}', at)
        : t('Stopped at step {0} of {1}', at, integer(totalSteps));
    case 'failed':
      if (step === 0) return t('Failed before the first step');
      return totalSteps === null
        ? t('Failed at step {0}', at)
        : t('Failed at step {0} of {1}', at, integer(totalSteps));
  }
}

function runningText({ step, totalSteps, plan, epoch, phase }: RunView): string {
  const parts = [
    totalSteps === null
      ? t('Running, step {0}', integer(step))
      : t('Running, step {0} of {1}', integer(step), integer(totalSteps)),
  ];
  const epochs =
    plan === null || totalSteps === null || plan.stepsPerEpoch === 0 ? 0 : totalSteps / plan.stepsPerEpoch;
  if (epochs > 1) {
    const now = Math.min(Math.ceil(epochs), Math.floor(epoch) + 1);
    parts.push(t('epoch {0} of {1}', integer(now), integer(Math.ceil(epochs))));
  }
  return `${parts.join(', ')}${phase === null ? '' : `; ${phase}`}`;
}

const title = new Slot(el('h1', {}));
const stateLine = new Slot(el('span', { class: 'state', role: 'status' }));
const actions = new Slot(el('div', { class: 'lw-actions' }));
const what = new Slot(el('p', { class: 'rn-what' }));
const silence = new Slot(el('div', { class: 'lw-note' }));
const bar = new Slot(
  el('div', {
    class: 'rn-bar',
    role: 'progressbar',
    'aria-label': t('Progress'),
    'aria-valuemin': 0,
    'aria-valuemax': 100,
  }),
);
const failed = new Slot(el('div', { class: 'rn-fail', role: 'alert' }));
const bestLine = new Slot(el('p', { class: 'lw-line rn-best' }));

export function drawHead(
  place: HTMLElement,
  run: RunView,
  context: {
    command: (name: string, ...args: unknown[]) => void;
    mend: (remedy: RunRemedy) => void;
    silentMs: number;
  },
): void {
  const { command } = context;
  const silent = run.state === 'running' && context.silentMs > silentMs;
  const { state, plan, totalSteps, step, id } = run;
  const [mark, look] = silent ? (['debug-disconnect', ''] as [IconName, string]) : marks[state];
  const disabled = !run.trusted;
  const buttons = (): Child =>
    isLive(state)
      ? [
          button(state === 'paused' ? t('Continue') : t('Pause'), () => command('pauseRun', id), {
            icon: state === 'paused' ? 'play' : 'debug-pause',
            disabled: disabled || state === 'stopping' || step === 0,
          }),
          button(state === 'waiting' ? t('Stop') : t('Stop and save'), () => command('stopRun', id), {
            icon: 'debug-stop',
            disabled: disabled || state === 'stopping',
          }),
          button(t('Checkpoint now'), () => command('checkpointNow', id), {
            icon: 'save',
            disabled: disabled || step === 0,
          }),
        ]
      : state === 'finished'
        ? [
            button(t('Try adapter'), () => command('tryAdapter', run.adapter), {
              icon: 'comment-discussion',
              appearance: 'primary',
              disabled: disabled || run.adapter === null,
            }),
            button(t('Inspect adapter'), () => command('inspectAdapter', run.adapter), {
              icon: 'eye',
              disabled: run.adapter === null,
            }),
          ]
        : [
            state === 'stopped'
              ? button(t('Resume'), () => command('resumeRun', id), {
                  icon: 'debug-restart',
                  appearance: 'primary',
                  disabled,
                })
              : null,
            button(t('Open folder'), () => command('openRunFolder', id), {
              icon: 'folder-opened',
              disabled: run.folder === null,
            }),
          ];
  const facts =
    plan?.device === undefined
      ? []
      : [
          t(
            '{0}, {1} of {2} parameters train',
            plan.adapter,
            count(plan.trainableParameters),
            count(plan.totalParameters),
          ),
          plan.modelType,
          [
            plural(plan.trainExamples, '1 example', '{0} examples'),
            ...(plan.evalExamples > 0 ? [t('{0} held out', integer(plan.evalExamples))] : []),
          ].join(', '),
          t('batch {0}', plan.effectiveBatchSize),
          `${plan.device}, ${plan.dtype}`,
        ];
  const share = totalSteps === null || totalSteps === 0 ? 0 : Math.min(1, step / totalSteps);
  const perEpoch = plan?.stepsPerEpoch ?? 0;
  const epochMarks =
    totalSteps === null || perEpoch === 0 || totalSteps / perEpoch > 20
      ? []
      : Array.from(
          { length: Math.ceil(totalSteps / perEpoch) - 1 },
          (_, i) => ((i + 1) * perEpoch) / totalSteps,
        );
  const best = run.checkpoints.find((one) => one.best);
  if (place.firstChild === null)
    fill(
      place,
      el('header', { class: 'rn-head' }, title.element, stateLine.element, actions.element),
      [what, silence, bar, failed, bestLine].map(({ element }) => element),
    );
  title.show([mark, look, run.name], () => [icon(mark, look), run.name]);
  const words = silent ? t('Last seen at step {0}', integer(step)) : stateText(run);
  stateLine.show(words, () => words);
  actions.show([state, disabled, step === 0, id, run.adapter, run.folder], buttons);
  what.show(facts, () => (facts.length === 0 ? null : facts.join('; ')));
  silence.show([silent, silent && Math.floor(context.silentMs / 5000), run.pid], () =>
    silent
      ? [
          icon('debug-disconnect'),
          el(
            'span',
            {},
            t(
              'No sign of life from the trainer since {0} ({1}).',
              clockSeconds(Date.now() - context.silentMs),
              durationText(context.silentMs / 1000),
            ),
            ' ',
            run.pid === null
              ? t('This page shows what it has written.')
              : t(
                  'Its process {0} still runs, so the run goes on; this page shows what it has written.',
                  run.pid,
                ),
            ' ',
            action(t('Show log'), () => command('showLog', id)),
          ),
        ]
      : null,
  );
  const done = Math.round(100 * share);
  bar.element.setAttribute('aria-valuenow', String(done));
  bar.show([share, epochMarks], () => [
    el('i', { style: { width: `${100 * share}%` } }),
    epochMarks.map((at) => el('b', { style: { left: `${100 * at}%` } })),
  ]);
  failed.show([state === 'failed', run.error, run.remedies, run.checkpoints.length, disabled], () =>
    state === 'failed' ? failure(run, command, context.mend) : null,
  );
  bestLine.show([state, best], () =>
    state === 'finished' && best !== undefined && best.evalLoss !== null
      ? [
          icon('star-full'),
          el(
            'span',
            {},
            t('Best checkpoint: step {0}, eval {1}.', integer(best.step), lossText(best.evalLoss)),
          ),
        ]
      : null,
  );
}

function failure(
  run: RunView,
  command: (name: string, ...args: unknown[]) => void,
  mend: (remedy: RunRemedy) => void,
): Child {
  const { error, id } = run;
  const [first, ...rest] = (error?.message ?? t('It ended without saying why.')).split('\n');
  const newest = run.checkpoints.at(-1);
  return [
    el('h2', {}, first),
    rest.length === 0 ? null : el('p', { class: 'pre' }, rest.join('\n')),
    (error?.problems ?? []).length > 1 && rest.length === 0
      ? el(
          'ul',
          {},
          error!
            .problems!.slice(0, 20)
            .map(({ where, message }) => el('li', {}, el('code', {}, where), ` ${message}`)),
        )
      : null,
    el(
      'p',
      {},
      error?.remedy ?? '',
      ' ',
      newest === undefined
        ? t('Nothing was saved.')
        : t('The checkpoint of step {0} is kept.', integer(newest.step)),
    ),
    run.remedies.length === 0
      ? null
      : el(
          'ul',
          { class: 'rn-mend' },
          run.remedies.map((remedy) =>
            el(
              'li',
              {},
              action(
                t('Open form with {0}', remedy.edits.map(({ key, value }) => `${key}: ${value}`).join(', ')),
                () => mend(remedy),
              ),
              el(
                'span',
                { class: 'small muted' },
                remedy.sameResult ? t('same result') : t('changes the result'),
              ),
            ),
          ),
        ),
    el(
      'div',
      { class: 'lw-actions' },
      newest === undefined
        ? null
        : button(t('Resume from step {0}', integer(newest.step)), () => command('resumeRun', id), {
            icon: 'debug-restart',
            appearance: 'primary',
            disabled: !run.trusted,
          }),
      button(t('Show log'), () => command('showLog', id), { icon: 'output' }),
    ),
  ];
}
