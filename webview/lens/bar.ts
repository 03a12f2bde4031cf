// The bar above the rows: which row is looked at, the way to the next problem, and the settings that decide how rows become
// tokens. It is told what holds and asks for changes.
import type { LensSettings, LensState } from '../../src/protocol/panels/lens';
import { el, fill, icon } from '../shared/dom';
import { integer } from '../shared/format';
import { t } from '../shared/texts';
import { choiceList } from './choice';

export interface BarRequests {
  /** To a row, counted from 0. */
  go(index: number): void;
  /** So many rows on or back. */
  step(by: number): void;
  nextProblem(): void;
  set(change: Partial<LensSettings>): void;
  chooseTemplate(): void;
}

type Field = HTMLElement & { value: string };

/** Digits of what was typed, as a number; 0 for none. */
function typed(field: Field): number {
  return Number(field.value.replaceAll(/[^\d]/g, ''));
}

export class Bar {
  readonly element: HTMLElement;
  readonly #title = el('h1', {});
  readonly #total = el('span', { class: 'muted' });
  readonly #row = el<Field>('vscode-text-field', {
    id: 'row',
    'aria-label': t('Row'),
    on: { change: () => this.#goToField() },
  });
  readonly #max = el<Field>('vscode-text-field', {
    id: 'max',
    'aria-label': t('max_length, in tokens'),
    on: { change: () => this.#setMaxLength() },
  });
  readonly #model = el('span', { class: 'f' });
  readonly #template = el('span', { class: 'f' });
  readonly #train = el('span', { class: 'f' });
  #current = 0;
  #maxLength: number | undefined;

  constructor(private readonly requests: BarRequests) {
    const nextProblem = el(
      'button',
      {
        type: 'button',
        class: 'lw-chip',
        title: t('F8; Shift+F8 goes back'),
        on: { click: () => requests.nextProblem() },
      },
      icon('warning'),
      t('Next problem'),
    );
    this.element = el(
      'div',
      { class: 'ln-bar' },
      this.#title,
      el(
        'span',
        { class: 'f ln-step' },
        this.#step('chevron-left', t('Previous row'), -1),
        el('label', { for: 'row' }, t('Row')),
        this.#row,
        this.#total,
        this.#step('chevron-right', t('Next row'), 1),
      ),
      el('span', { class: 'f' }, nextProblem),
      el(
        'div',
        { class: 'ln-set' },
        this.#model,
        this.#template,
        this.#train,
        el('span', { class: 'f' }, el('label', { for: 'max' }, 'max_length'), this.#max),
      ),
    );
  }

  /** The row that is looked at, counted from 0. */
  showRow(index: number): void {
    this.#current = index;
    this.#row.value = integer(index + 1);
  }

  showTotal(rows: number, complete: boolean): void {
    this.#total.textContent = t('of {0}', `${integer(rows)}${complete ? '' : '+'}`);
  }

  show({ settings, models, name }: LensState): void {
    const { set, chooseTemplate } = this.requests;
    this.#title.textContent = name;
    this.#maxLength = settings.max_length;
    if (document.activeElement !== this.#max) this.#max.value = String(settings.max_length);
    fill(
      this.#model,
      el('label', {}, t('Model')),
      models.length === 0
        ? el('span', { class: 'warn' }, t('none found'))
        : choiceList(
            t('Model'),
            models.map((model) => [model.path, model.name] as const),
            settings.model ?? '',
            (model) => set({ model }),
          ),
    );
    const templates: [string, string][] = [
      ['', t('its own')],
      ...(settings.template === null
        ? []
        : ([['.', settings.templateName || t('another')]] as [string, string][])),
      ['…', t('From a file…')],
    ];
    fill(
      this.#template,
      el('label', {}, t('Template')),
      choiceList(t('Chat template'), templates, settings.template === null ? '' : '.', (value) => {
        if (value === '…') chooseTemplate();
        else if (value === '') set({ template: null, templateName: '' });
      }),
    );
    fill(
      this.#train,
      el('label', {}, t('Train on')),
      choiceList(
        t('Train on'),
        [
          ['completions', t('answers')],
          ['all', t('everything')],
        ],
        settings.train_on,
        (value) => set({ train_on: value as LensSettings['train_on'] }),
      ),
    );
  }

  #step(name: 'chevron-left' | 'chevron-right', label: string, by: number): HTMLElement {
    return el(
      'button',
      {
        type: 'button',
        class: 'lw-ib',
        'aria-label': label,
        title: label,
        on: { click: () => this.requests.step(by) },
      },
      icon(name),
    );
  }

  #goToField(): void {
    const wanted = typed(this.#row);
    if (wanted >= 1) this.requests.go(wanted - 1);
    else this.#row.value = integer(this.#current + 1);
  }

  #setMaxLength(): void {
    const wanted = typed(this.#max);
    if (Number.isSafeInteger(wanted) && wanted >= 2) this.requests.set({ max_length: wanted });
    else this.#max.value = String(this.#maxLength ?? '');
  }
}
