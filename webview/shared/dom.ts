// Builds elements from plain descriptions. Text is always text: nothing that comes from a file is ever parsed as markup.
import icons from './icons.json';

export type Child = Node | string | number | null | undefined | false | readonly Child[];

export interface Properties {
  class?: string;
  style?: Partial<Record<string, string>>;
  dataset?: Record<string, string>;
  /** Event → listener. */
  on?: Record<string, (event: Event) => void>;
  /** Any other attribute; true sets it empty, false and undefined leave it out. */
  [attribute: string]: unknown;
}

/** Makes an element. `el('button', { class: 'plain', on: { click } }, 'Apply')`. */
export function el<T extends HTMLElement = HTMLElement>(
  tag: string,
  properties: Properties = {},
  ...children: Child[]
): T {
  const element = document.createElement(tag) as T;
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value as Record<string, (event: Event) => void>))
        element.addEventListener(event, listener);
    } else if (name === 'style') {
      for (const [key, text] of Object.entries(value as Record<string, string | undefined>))
        if (text !== undefined) element.style.setProperty(key, text);
    } else if (name === 'dataset') Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined && value !== null)
      element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child as readonly Child[]);
    else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts children in the place of what an element holds. */
export function fill(parent: Element, ...children: Child[]): void {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  parent.replaceChildren(fragment);
}

export type IconName = keyof typeof icons;

const svgSpace = 'http://www.w3.org/2000/svg';

/** A picture from the codicon set (CC BY 4.0, Microsoft; `lora` is ours). With a label it is said, without it is decoration. */
export function icon(name: IconName, className = '', label?: string): SVGSVGElement {
  const [inner, box] = icons[name] as [string, string];
  const svg = document.createElementNS(svgSpace, 'svg');
  svg.setAttribute('class', `i ${className}`.trim());
  svg.setAttribute('viewBox', box);
  svg.setAttribute('fill', 'currentColor');
  if (label === undefined) svg.setAttribute('aria-hidden', 'true');
  else {
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', label);
  }
  // The set is a constant of this bundle.
  svg.innerHTML = inner;
  return svg;
}

/** A number and, quieter, its unit. */
export function quantity(value: string, unit: string): Child {
  return unit === '' ? value : [value, el('span', { class: 'u' }, unit)];
}

/** Text in which `back-quoted` words are set as code. */
export function prose(text: string): Child[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? el('code', {}, part) : part));
}

/** A button of the toolkit. */
export function button(
  text: string,
  run: () => void,
  options: { icon?: IconName; appearance?: 'primary' | 'secondary'; title?: string; disabled?: boolean } = {},
): HTMLElement {
  const { icon: name, appearance = 'secondary', title, disabled } = options;
  return el(
    'vscode-button',
    { appearance, title, disabled, on: { click: run } },
    name === undefined ? null : icon(name),
    text,
  );
}

/** A link that does something on this page. */
export function action(text: string, run: () => void, properties: Properties = {}): HTMLElement {
  return el('button', { type: 'button', class: 'plain link', ...properties, on: { click: run } }, text);
}
