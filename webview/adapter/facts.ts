// What stands above everything else of an adapter: facts of its header, its health as values come in, and what is wrong with
// the file. Facts and problems in, elements out; it asks for nothing.
import type { Problem } from '../../src/protocol/errors';
import type { Fact } from '../../src/protocol/panels/adapter';
import { el, fill, icon } from '../shared/dom';
import { plural, t } from '../shared/texts';
import type { AdapterModel } from './model';

const marks = { ok: ['pass', 'okc'], warning: ['warning', 'warn'], error: ['error', 'err'] } as const;

export class FactList {
  readonly element = el('dl', { class: 'lw-facts ad-sum' });
  readonly #facts = new Map<string, Fact>();

  constructor(private readonly model: AdapterModel) {
    for (const fact of model.head.facts) this.#facts.set(fact.label, fact);
  }

  /** A fact that is new, or that takes the place of the one with its label. */
  add(fact: Fact): void {
    this.#facts.set(fact.label, fact);
    this.draw();
  }

  draw(): void {
    const facts = [...this.#facts.values()];
    const health = healthOf(this.model);
    if (health !== undefined) facts.push(health);
    fill(
      this.element,
      facts.map(({ label, value, detail, state }) => {
        const mark = state === undefined ? undefined : marks[state];
        return el(
          'div',
          {},
          el('dt', {}, label),
          el('dd', {}, mark === undefined ? null : icon(mark[0], mark[1]), value),
          el('dd', {}, detail),
        );
      }),
    );
  }
}

/** Undefined for a file without tensors. */
function healthOf(model: AdapterModel): Fact | undefined {
  const { head } = model;
  if (head.tensors.length === 0) return undefined;
  const label = t('Health');
  const total = head.modules.length;
  const bad = model.notFinite;
  const unmoved = model.unmoved.length;
  if (bad > 0)
    return {
      label,
      value: plural(bad, '1 tensor not finite', '{0} tensors not finite'),
      detail: t('named above'),
      state: 'error',
    };
  const checked = model.tensors.size;
  if (checked < head.tensors.length)
    return {
      label,
      value: t('being checked'),
      detail: t('{0} of {1} tensors', checked, head.tensors.length),
    };
  if (total > 0 && unmoved > 0)
    return {
      label,
      value:
        unmoved === total
          ? t('never trained')
          : plural(unmoved, '1 module never moved', '{0} modules never moved'),
      detail: t('ΔW is zero in {0} of {1}', unmoved, total),
      state: unmoved === total ? 'error' : 'warning',
    };
  return {
    label,
    value: t('finite'),
    detail: total === 0 ? t('every tensor') : t('{0} of {0} modules changed', total),
    state: 'ok',
  };
}

/** What is wrong with the file, with its place; hidden where nothing is. */
export class ProblemList {
  readonly #list = el('ul', { class: 'lw-problems' });
  readonly element = el('section', { class: 'ad-broken', role: 'alert' }, this.#list);
  readonly #problems: Problem[];

  constructor(problems: readonly Problem[]) {
    this.#problems = [...problems];
  }

  add(problem: Problem): void {
    this.#problems.push(problem);
    this.draw();
  }

  draw(): void {
    this.element.hidden = this.#problems.length === 0;
    fill(
      this.#list,
      this.#problems.map(({ where, message, remedy }) =>
        el(
          'li',
          { class: 'error' },
          icon('error', '', t('Problem')),
          el(
            'div',
            {},
            el('code', {}, where),
            ' ',
            message,
            remedy === undefined ? null : el('div', { class: 'small muted' }, remedy),
          ),
        ),
      ),
    );
  }
}
