// How strongly the adapter acts, as a slider. What was kept comes in; that a person moved it comes out.
import { el } from '../shared/dom';
import { fixed } from '../shared/format';
import { t } from '../shared/texts';

export class Strength {
  readonly element: HTMLElement;
  readonly #slider: HTMLInputElement;
  readonly #shown = el('output', { class: 'num' });

  constructor(kept: number | undefined, onChange: () => void) {
    this.#slider = el<HTMLInputElement>('input', {
      type: 'range',
      id: 'strength',
      min: '0',
      max: '2',
      step: '0.05',
      value: String(kept ?? 1),
      title: t('0 is the base, 1 the adapter as it was trained'),
      on: { input: () => this.#show(), change: onChange },
    });
    this.element = el(
      'div',
      { class: 'pg-strength' },
      el('label', { for: 'strength' }, t('Strength')),
      this.#slider,
      this.#shown,
    );
    this.#show();
  }

  /** 0 is the base, 1 the adapter as it was trained. */
  get value(): number {
    return Number(this.#slider.value);
  }

  #show(): void {
    this.#shown.textContent = fixed(this.value, 2);
  }
}
