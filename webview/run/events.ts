// Events as a list: when, what kind, in one sentence.
import type { OtherEvent } from '../../src/protocol/panels/run';
import { type Child, el, fill, type IconName, icon } from '../shared/dom';
import { clock, decimal, integer, loss as lossText } from '../shared/format';
import { t } from '../shared/texts';

function describe(event: OtherEvent): { mark: IconName; kind: string; text: Child } | undefined {
  const at = (step: number): Child => el('b', {}, t('Step {0}', integer(step)));
  switch (event.type) {
    case 'run-started':
      return {
        mark: 'play',
        kind: '',
        text:
          event.resumedFromStep === null
            ? t('Training begins')
            : t('Goes on from step {0}', integer(event.resumedFromStep)),
      };
    case 'note':
      return {
        mark: 'info',
        kind: '',
        text: event.step === undefined ? event.message : [at(event.step), ': ', event.message],
      };
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
        text: [
          at(event.step),
          ': ',
          t('skipped, float16 overflowed; the loss scale is now {0}', decimal(String(event.lossScale))),
        ],
      };
    case 'eval':
      return {
        mark: 'graph-line',
        kind: '',
        text: [
          at(event.step),
          ': ',
          event.best ? t('eval {0}, best', lossText(event.loss)) : t('eval {0}', lossText(event.loss)),
        ],
      };
    case 'checkpoint':
      return {
        mark: 'save',
        kind: '',
        text: [
          at(event.step),
          ': ',
          event.reason === 'best'
            ? t('checkpoint, best')
            : event.reason === 'asked'
              ? t('checkpoint, asked for')
              : t('checkpoint'),
        ],
      };
    case 'finished':
      return {
        mark: 'pass',
        kind: 'ok',
        text:
          event.reason === 'early-stopping'
            ? t('Finished early: the evaluation loss stopped falling')
            : t('Finished'),
      };
    case 'stopped':
      return {
        mark: 'debug-stop',
        kind: '',
        text: [at(event.step), ': ', event.checkpoint === null ? t('stopped') : t('stopped and saved')],
      };
    case 'failed':
      return { mark: 'error', kind: 'bad', text: event.error.message.split('\n')[0] };
    default:
      return undefined;
  }
}

function rowOf(event: OtherEvent): HTMLElement | undefined {
  const described = describe(event);
  if (described === undefined) return undefined;
  const { mark, kind, text } = described;
  return el(
    'li',
    { class: kind },
    el('time', { datetime: event.time }, clock(event.time)),
    icon(mark),
    el('span', {}, text),
  );
}

/** The newest events first, at most so many. Only what is new is drawn: a live run tells many a second. */
export class EventList {
  readonly element = el('div', {});
  readonly #list = el('ul', { class: 'rn-events' });
  #events: readonly OtherEvent[] | undefined;
  #newest: OtherEvent | undefined;

  constructor(private readonly most: number) {}

  /** `events` has the newest last; the same array with more in it is the same list. */
  show(events: readonly OtherEvent[]): void {
    const newest = events.at(-1);
    if (events === this.#events && newest === this.#newest) return;
    const known =
      events === this.#events && this.#newest !== undefined ? events.lastIndexOf(this.#newest) : -1;
    if (known < 0) this.#list.replaceChildren();
    this.#events = events;
    this.#newest = newest;
    const rows: HTMLElement[] = [];
    for (let i = events.length - 1; i > known && rows.length < this.most; i--) {
      const row = rowOf(events[i]!);
      if (row !== undefined) rows.push(row);
    }
    this.#list.prepend(...rows);
    while (this.#list.childElementCount > this.most) this.#list.lastElementChild!.remove();
    const shown =
      this.#list.childElementCount > 0 ? this.#list : el('p', { class: 'muted small' }, t('Nothing yet.'));
    if (this.element.firstChild !== shown) fill(this.element, shown);
  }
}
