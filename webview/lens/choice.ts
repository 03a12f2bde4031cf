// A drop-down list over a few values, drawn anew with them. Which value was chosen comes out.
import { el } from '../shared/dom';

type Field = HTMLElement & { value: string };

/** A drop-down list whose choice is `value`. */
export function choiceList(
  label: string,
  options: readonly (readonly [value: string, text: string])[],
  value: string,
  choose: (value: string) => void,
): HTMLElement {
  const element = el<Field>(
    'vscode-dropdown',
    { 'aria-label': label, on: { change: () => choose(element.value) } },
    options.map(([id, text]) => el('vscode-option', { value: id, selected: id === value }, text)),
  );
  return element;
}
