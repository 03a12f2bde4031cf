// The adapters that can be tried, one tab stop, arrows choose; those that do not fit the model say why. It is told what there
// is and which one is chosen, and tells what a person chooses.
import type { PlaygroundState } from '../../src/protocol/panels/playground';
import { el, fill, icon } from '../shared/dom';
import { t } from '../shared/texts';

export class AdapterList {
  readonly element = el('ul', { class: 'pg-list', role: 'radiogroup', 'aria-label': t('Adapter') });
  #state: PlaygroundState | undefined;
  #chosen: string | null = null;

  constructor(
    private readonly choose: (folder: string | null, focus: boolean) => void,
    private readonly inspect: (folder: string) => void,
  ) {
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  /** `chosen` is a folder; null for the base alone. */
  show(state: PlaygroundState, chosen: string | null): void {
    this.#state = state;
    this.#chosen = chosen;
    const usable = this.usable;
    fill(
      this.element,
      state.adapters.length === 0
        ? el(
            'li',
            { class: 'off', role: 'radio', 'aria-checked': 'false', 'aria-disabled': 'true' },
            icon('info'),
            el('span', {}, t('No adapter yet')),
            el('span', {}),
            el('small', { style: { color: 'var(--lw-muted)' } }, t('A finished run puts one here.')),
          )
        : this.#entry(null, t('Base alone'), t('no adapter'), 0),
      state.adapters.map(({ folder, name, detail, refusal }) =>
        this.#entry(folder, name, detail, usable.indexOf(folder) + 1, refusal),
      ),
    );
  }

  /** Folders of those that fit the model, in the order of the keys 1 to 9. */
  get usable(): string[] {
    return (this.#state?.adapters ?? []).flatMap(({ folder, refusal }) =>
      refusal === undefined ? [folder] : [],
    );
  }

  focus(): void {
    this.element.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  }

  #entry(folder: string | null, name: string, detail: string, place: number, refusal?: string): HTMLElement {
    const on = folder === this.#chosen;
    return el(
      'li',
      {
        role: 'radio',
        class: refusal === undefined ? '' : 'off',
        'aria-checked': String(on),
        'aria-disabled': refusal === undefined ? undefined : 'true',
        tabindex: on ? '0' : '-1',
        title: refusal ?? folder ?? undefined,
        dataset: { folder: folder ?? '' },
        on: {
          click: () => refusal === undefined && this.choose(folder, true),
          dblclick: () => folder !== null && this.inspect(folder),
        },
      },
      refusal === undefined ? icon(on ? 'circle-filled' : 'circle-large') : icon('warning', 'warn'),
      el('span', {}, name),
      place >= 1 && place <= 9 ? el('kbd', { 'aria-hidden': 'true' }, place) : el('span', {}),
      el('small', {}, refusal ?? detail),
    );
  }

  #key(event: KeyboardEvent): void {
    const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (move === undefined || this.#state === undefined) return;
    event.preventDefault();
    const all = [null, ...this.usable];
    this.choose(all[(all.indexOf(this.#chosen) + move + all.length) % all.length] ?? null, true);
  }
}
