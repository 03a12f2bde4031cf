// The head of a run's page: its name and state, what can be done about it, how far it is, and why it ended where it failed.
import type { RunRemedy, RunState, RunView } from '../../src/protocol/panels/run';
import { action, button, type Child, el, fill, type IconName, icon } from '../shared/dom';
import { clockSeconds, count, durationText, integer, loss as lossText } from '../shared/format';
import { Slot } from '../shared/slot';

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
  const { state, step, totalSteps, plan } = run;
  const of = totalSteps === null ? '' : ` of ${integer(totalSteps)}`;
  const epochs =
    plan === null || totalSteps === null || plan.stepsPerEpoch === 0 ? 0 : totalSteps / plan.stepsPerEpoch;
  const epoch =
    epochs > 1
      ? `, epoch ${integer(Math.min(Math.ceil(epochs), Math.floor(run.epoch) + 1))} of ${integer(Math.ceil(epochs))}`
      : '';
  switch (state) {
    case 'waiting':
      return run.phase ?? 'Waiting for the device';
    case 'starting':
      return run.phase ?? 'Starting';
    case 'running':
      return step === 0
        ? (run.phase ?? 'Waiting for the first step')
        : `Running, step ${integer(step)}${of}${epoch}${run.phase === null ? '' : `; ${run.phase}`}`;
    case 'paused':
      return `Paused at step ${integer(step)}${of}`;
    case 'stopping':
      return `Stopping at step ${integer(step)}${of}`;
    case 'finished':
      return `Finished, ${integer(step)} steps`;
    case 'stopped':
      return `Stopped at step ${integer(step)}${of}`;
    case 'failed':
      return step === 0 ? 'Failed before the first step' : `Failed at step ${integer(step)}${of}`;
  }
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
    'aria-label': 'Progress',
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
          button(state === 'paused' ? 'Continue' : 'Pause', () => command('pauseRun', id), {
            icon: state === 'paused' ? 'play' : 'debug-pause',
            disabled: disabled || state === 'stopping' || step === 0,
          }),
          button('Stop and save', () => command('stopRun', id), {
            icon: 'debug-stop',
            disabled: disabled || state === 'stopping',
          }),
          button('Checkpoint now', () => command('checkpointNow', id), {
            icon: 'save',
            disabled: disabled || step === 0,
          }),
        ]
      : state === 'finished'
        ? [
            button('Try adapter', () => command('tryAdapter', run.adapter), {
              icon: 'comment-discussion',
              appearance: 'primary',
              disabled: disabled || run.adapter === null,
            }),
            button('Inspect adapter', () => command('inspectAdapter', run.adapter), {
              icon: 'eye',
              disabled: run.adapter === null,
            }),
          ]
        : [
            state === 'stopped'
              ? button('Resume', () => command('resumeRun', id), {
                  icon: 'debug-restart',
                  appearance: 'primary',
                  disabled,
                })
              : null,
            button('Open folder', () => command('openRunFolder', id), {
              icon: 'folder-opened',
              disabled: run.folder === null,
            }),
          ];
  const facts =
    plan?.device === undefined
      ? []
      : [
          `${plan.adapter}, ${count(plan.trainableParameters)} of ${count(plan.totalParameters)} parameters train`,
          plan.modelType,
          `${integer(plan.trainExamples)} examples${plan.evalExamples > 0 ? `, ${integer(plan.evalExamples)} held out` : ''}`,
          `batch ${plan.effectiveBatchSize}`,
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
  const words = silent ? `Last seen at step ${integer(step)}` : stateText(run);
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
            `No sign of life from the trainer since ${clockSeconds(Date.now() - context.silentMs)} (${durationText(context.silentMs / 1000)}). ${run.pid === null ? '' : `Its process ${run.pid} still runs, so the run goes on; `}this page shows what it has written. `,
            action('Show log', () => command('showLog', id)),
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
          el('span', {}, `Best checkpoint: step ${integer(best.step)}, eval ${lossText(best.evalLoss)}.`),
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
  const [first, ...rest] = (error?.message ?? 'It ended without saying why.').split('\n');
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
      `${error?.remedy ?? ''}${newest === undefined ? ' Nothing was saved.' : ` The checkpoint of step ${integer(newest.step)} is kept.`}`,
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
                `Open form with ${remedy.edits.map(({ key, value }) => `${key}: ${value}`).join(', ')}`,
                () => mend(remedy),
              ),
              el('span', { class: 'small muted' }, remedy.sameResult ? 'same result' : 'changes the result'),
            ),
          ),
        ),
    el(
      'div',
      { class: 'lw-actions' },
      newest === undefined
        ? null
        : button(`Resume from step ${integer(newest.step)}`, () => command('resumeRun', id), {
            icon: 'debug-restart',
            appearance: 'primary',
            disabled: !run.trusted,
          }),
      button('Show log', () => command('showLog', id), { icon: 'output' }),
    ),
  ];
}
