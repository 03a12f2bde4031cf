// The choice of what the heat map shows, as chips: one tab stop, arrows choose. It tells what was chosen.
import { el, fill } from '../shared/dom';
import { t } from '../shared/texts';
import type { View } from './model';

export class ViewChips {
  readonly element = el('span', { class: 'ad-view', role: 'radiogroup', 'aria-label': t('Show') });
  #view: View = 'norm';

  constructor(private readonly choose: (view: View) => void) {
    this.element.addEventListener('keydown', (event) => this.#key(event as KeyboardEvent));
  }

  /** `baseKnown`: undefined where there is no base, false while it is being read. */
  draw(view: View, baseKnown: boolean | undefined): void {
    this.#view = view;
    const views: [View, string, boolean][] = [
      ['norm', '‖ΔW‖', true],
      ['effective', t('Effective rank'), true],
    ];
    if (baseKnown !== undefined) views.unshift(['ratio', t('Change, % of ‖W‖'), baseKnown]);
    fill(
      this.element,
      views.map(([id, label, enabled]) =>
        el(
          'button',
          {
            type: 'button',
            class: 'lw-chip',
            role: 'radio',
            'aria-checked': String(id === view),
            'aria-disabled': enabled ? undefined : 'true',
            tabindex: id === view ? '0' : '-1',
            title: enabled ? undefined : t('The base is being read'),
            dataset: { view: id },
            on: { click: () => enabled && this.#set(id) },
          },
          label,
        ),
      ),
    );
  }

  #set(view: View): void {
    this.choose(view);
    this.element.querySelector<HTMLElement>(`[data-view="${view}"]`)?.focus();
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const chips = [...this.element.querySelectorAll<HTMLElement>('[role="radio"]:not([aria-disabled])')];
    const at = chips.findIndex((chip) => chip.dataset.view === this.#view);
    this.#set(chips[(at + step + chips.length) % chips.length]!.dataset.view as View);
  }
}
