// A part of a page that is drawn often and changes seldom.
import { type Child, fill } from './dom';

/** A place that is filled anew only when what it shows has changed: a button that is pressed must stay the same one. */
export class Slot {
  #shown: string | undefined;

  constructor(readonly element: HTMLElement) {}

  show(what: unknown, make: () => Child): void {
    const key = JSON.stringify(what);
    if (key === this.#shown) return;
    this.#shown = key;
    const focused = this.element.contains(document.activeElement)
      ? document.activeElement?.textContent
      : undefined;
    const content = make();
    fill(this.element, content);
    this.element.hidden = content === null;
    if (focused)
      [...this.element.querySelectorAll<HTMLElement>('vscode-button')]
        .find((one) => one.textContent === focused)
        ?.focus();
  }
}
