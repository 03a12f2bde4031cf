// Events as a list: when, what kind, in one sentence.
import type { OtherEvent } from '../../src/protocol/panels/run';
import { type Child, el, type IconName, icon } from '../shared/dom';
import { clock, integer, loss as lossText } from '../shared/format';

function describe(event: OtherEvent): { mark: IconName; kind: string; text: Child } | undefined {
  const at = (step: number): Child => el('b', {}, `Step ${integer(step)}`);
  switch (event.type) {
    case 'run-started':
      return {
        mark: 'play',
        kind: '',
        text:
          event.resumedFromStep === null
            ? 'Training begins'
            : `Goes on from step ${integer(event.resumedFromStep)}`,
      };
    case 'note':
      return { mark: 'info', kind: '', text: event.message };
    case 'warning':
      return {
        mark: 'warning',
        kind: 'warned',
        text: `${event.message}${event.remedy === undefined ? '' : ` ${event.remedy}`}`,
      };
    case 'step-skipped':
      return {
        mark: 'warning',
        kind: '',
        text: [at(event.step), `: skipped, float16 overflowed; the loss scale is now ${event.lossScale}`],
      };
    case 'eval':
      return {
        mark: 'graph-line',
        kind: '',
        text: [at(event.step), `: eval ${lossText(event.loss)}${event.best ? ', best' : ''}`],
      };
    case 'checkpoint':
      return {
        mark: 'save',
        kind: '',
        text: [
          at(event.step),
          `: checkpoint${event.reason === 'best' ? ', best' : event.reason === 'asked' ? ', asked for' : ''}`,
        ],
      };
    case 'finished':
      return {
        mark: 'pass',
        kind: 'ok',
        text:
          event.reason === 'early-stopping'
            ? 'Finished early: the evaluation loss stopped falling'
            : 'Finished',
      };
    case 'stopped':
      return {
        mark: 'debug-stop',
        kind: '',
        text: [at(event.step), event.checkpoint === null ? ': stopped' : ': stopped and saved'],
      };
    case 'failed':
      return { mark: 'error', kind: 'bad', text: event.error.message.split('\n')[0] };
    default:
      return undefined;
  }
}

export function eventRows(events: readonly OtherEvent[]): HTMLElement {
  const rows = events.flatMap((event) => {
    const described = describe(event);
    if (described === undefined) return [];
    const { mark, kind, text } = described;
    return [
      el(
        'li',
        { class: kind },
        el('time', { datetime: event.time }, clock(event.time)),
        icon(mark),
        el('span', {}, text),
      ),
    ];
  });
  return rows.length === 0
    ? el('p', { class: 'muted small' }, 'Nothing yet.')
    : el('ul', { class: 'rn-events' }, rows);
}
