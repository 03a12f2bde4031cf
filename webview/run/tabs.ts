// Panes of which one is seen, and their tabs: one tab stop, arrows choose. It tells which pane was chosen.
import { el } from '../shared/dom';

export interface PaneEntry {
  id: string;
  label: string;
  element: HTMLElement;
}

export class Tabs {
  readonly element: HTMLElement;

  constructor(
    label: string,
    private readonly panes: readonly PaneEntry[],
    private readonly chosen: (id: string) => void,
  ) {
    this.element = el(
      'div',
      { class: 'rn-tabs', role: 'tablist', 'aria-label': label },
      panes.map((pane) => this.#tab(pane)),
    );
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Shows a pane; the first one where there is none of that name. */
  choose(wanted: string): void {
    const id = this.panes.some((pane) => pane.id === wanted) ? wanted : this.panes[0]!.id;
    this.#current = id;
    for (const pane of this.panes) {
      const on = pane.id === id;
      pane.element.hidden = !on;
      const tab = document.getElementById(`tab-${pane.id}`)!;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    this.chosen(id);
  }

  #current = '';

  #tab({ id, label, element }: PaneEntry): HTMLElement {
    element.id = `pane-${id}`;
    element.setAttribute('role', 'tabpanel');
    element.setAttribute('aria-labelledby', `tab-${id}`);
    return el(
      'button',
      {
        type: 'button',
        class: 'plain',
        role: 'tab',
        id: `tab-${id}`,
        'aria-controls': `pane-${id}`,
        on: { click: () => this.choose(id) },
      },
      label,
    );
  }

  #key(event: KeyboardEvent): void {
    const ids = this.panes.map(({ id }) => id);
    const at = ids.indexOf(this.#current);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const id = ids[(next + ids.length) % ids.length]!;
    this.choose(id);
    document.getElementById(`tab-${id}`)?.focus();
  }
}
