// As much of a document as the panels' pages use, without layout: elements, attributes, text, selectors of one element. It is for
// what pages say; how they look is for the browser's checks.

type Listener = (event: Record<string, unknown>) => void;

export class FakeNode {
  parentElement: FakeElement | null = null;
  childNodes: FakeNode[] = [];

  get textContent(): string {
    return this.childNodes.map((child) => child.textContent).join('');
  }
  set textContent(text: string) {
    this.replaceChildren(text);
  }
  get firstChild(): FakeNode | null {
    return this.childNodes[0] ?? null;
  }
  get children(): FakeElement[] {
    return this.childNodes.filter((child) => child instanceof FakeElement);
  }
  get childElementCount(): number {
    return this.children.length;
  }
  get lastElementChild(): FakeElement | null {
    return this.children.at(-1) ?? null;
  }

  append(...nodes: (FakeNode | string)[]): void {
    this.#insert(this.childNodes.length, nodes);
  }
  prepend(...nodes: (FakeNode | string)[]): void {
    this.#insert(0, nodes);
  }
  appendChild(node: FakeNode): FakeNode {
    this.append(node);
    return node;
  }
  replaceChildren(...nodes: (FakeNode | string)[]): void {
    for (const child of this.childNodes) child.parentElement = null;
    this.childNodes = [];
    this.append(...nodes);
  }
  remove(): void {
    const siblings = this.parentElement?.childNodes;
    siblings?.splice(siblings.indexOf(this), 1);
    this.parentElement = null;
  }
  contains(node: unknown): boolean {
    return node === this || this.childNodes.some((child) => child.contains(node));
  }

  #insert(at: number, nodes: (FakeNode | string)[]): void {
    const flat = nodes.flatMap((node): FakeNode[] =>
      typeof node === 'string'
        ? [new FakeText(node)]
        : node instanceof FakeFragment
          ? node.childNodes
          : [node],
    );
    for (const node of flat) {
      if (node.parentElement !== null) node.remove();
      node.parentElement = this instanceof FakeElement ? this : null;
    }
    this.childNodes.splice(at, 0, ...flat);
  }
}

export class FakeText extends FakeNode {
  constructor(private readonly text: string) {
    super();
  }
  override get textContent(): string {
    return this.text;
  }
}

export class FakeFragment extends FakeNode {}

/** Properties that stand for an attribute of their name, and what they are without it. */
const reflected = { id: '', title: '', type: '', value: '', className: '', open: false, checked: false };

export class FakeElement extends FakeNode {
  readonly attributes = new Map<string, string>();
  readonly dataset: Record<string, string>;
  readonly style = { setProperty: (): void => undefined, color: '' };
  readonly #listeners = new Map<string, Listener[]>();
  innerHTML = '';
  disabled = false;
  scrollTop = 0;
  readonly scrollHeight = 0;
  readonly clientHeight = 400;
  readonly clientWidth = 800;
  readonly offsetHeight = 20;
  declare id: string;
  declare title: string;
  declare className: string;

  constructor(
    readonly tagName: string,
    readonly ownerDocument: FakeDocument,
  ) {
    super();
    const { attributes } = this;
    this.dataset = new Proxy<Record<string, string>>(
      {},
      {
        get: (_, key) => attributes.get(`data-${String(key)}`),
        set: (_, key, value) => attributes.set(`data-${String(key)}`, String(value)) !== undefined,
      },
    );
    for (const [name, none] of Object.entries(reflected)) {
      const attribute = name === 'className' ? 'class' : name;
      Object.defineProperty(this, name, {
        get: () => (none === false ? attributes.has(attribute) : (attributes.get(attribute) ?? none)),
        set: (value: string | boolean) =>
          value === false ? attributes.delete(attribute) : attributes.set(attribute, String(value)),
      });
    }
  }

  get hidden(): boolean {
    return this.attributes.has('hidden');
  }
  set hidden(hidden: boolean) {
    this.toggleAttribute('hidden', hidden);
  }
  get tabIndex(): number {
    return Number(this.attributes.get('tabindex') ?? -1);
  }
  set tabIndex(index: number) {
    this.setAttribute('tabindex', index);
  }
  get classList() {
    const names = (): string[] => this.className.split(/\s+/).filter(Boolean);
    const set = (name: string, on: boolean): void => {
      this.className = [...names().filter((one) => one !== name), ...(on ? [name] : [])].join(' ');
    };
    return {
      add: (name: string) => set(name, true),
      remove: (name: string) => set(name, false),
      toggle: (name: string, on = !names().includes(name)) => set(name, on),
      contains: (name: string) => names().includes(name),
    };
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes.set(name, String(value));
  }
  getAttribute(name: string): string | null {
    return this.attributes.get(name) ?? null;
  }
  hasAttribute(name: string): boolean {
    return this.attributes.has(name);
  }
  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }
  toggleAttribute(name: string, on = !this.hasAttribute(name)): void {
    if (on) this.setAttribute(name, '');
    else this.removeAttribute(name);
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }
  /** Calls the listeners of this element and of those around it. */
  dispatch(type: string, more: Record<string, unknown> = {}): void {
    const event = { type, target: this, preventDefault: () => undefined, ...more };
    for (let at: FakeElement | null = this; at !== null; at = at.parentElement)
      for (const listener of at.#listeners.get(type) ?? []) listener(event);
  }
  focus(): void {
    this.ownerDocument.activeElement = this;
  }
  blur(): void {
    this.ownerDocument.activeElement = this.ownerDocument.body;
  }
  scrollIntoView(): void {}
  getBoundingClientRect() {
    return { top: 0, bottom: 20, left: 0, right: 100, width: 100, height: 20 };
  }
  getClientRects() {
    return [this.getBoundingClientRect()];
  }

  matches(selector: string): boolean {
    return selector.split(/,(?![^[]*\])/).some((one) => matchesOne(this, one.trim()));
  }
  closest(selector: string): FakeElement | null {
    return this.matches(selector) ? this : (this.parentElement?.closest(selector) ?? null);
  }
  querySelectorAll(selector: string): FakeElement[] {
    return this.children.flatMap((child) => [
      ...(child.matches(selector) ? [child] : []),
      ...child.querySelectorAll(selector),
    ]);
  }
  querySelector(selector: string): FakeElement | null {
    return this.querySelectorAll(selector)[0] ?? null;
  }
}

/** A tag, classes, attributes with or without a value, and `:not()` of such; no more is used. */
function matchesOne(element: FakeElement, selector: string): boolean {
  const parts = selector.match(/:not\([^)]*\)|\[[^\]]*\]|\.[\w-]+|#[\w-]+|^[\w-]+/g);
  if (parts === null || parts.join('') !== selector)
    throw new Error(`No selector of these pages: ${selector}`);
  return parts.every((part) => {
    if (part.startsWith(':not(')) return !matchesOne(element, part.slice(5, -1));
    if (part.startsWith('.')) return element.classList.contains(part.slice(1));
    if (part.startsWith('#')) return element.id === part.slice(1);
    const attribute = /^\[([\w-]+)(?:="(.*)")?\]$/.exec(part);
    if (attribute === null) return element.tagName === part;
    const [, name, value] = attribute;
    return value === undefined ? element.hasAttribute(name!) : element.getAttribute(name!) === value;
  });
}

export class FakeDocument {
  readonly body = new FakeElement('body', this);
  activeElement: FakeElement = this.body;
  readonly hidden = false;
  readonly #listeners = new FakeElement('html', this);

  createElement(tag: string): FakeElement {
    return new FakeElement(tag, this);
  }
  createElementNS(_space: string, tag: string): FakeElement {
    return new FakeElement(tag, this);
  }
  createTextNode(text: string): FakeText {
    return new FakeText(text);
  }
  createDocumentFragment(): FakeFragment {
    return new FakeFragment();
  }
  getElementById(id: string): FakeElement | null {
    return this.body.querySelector(`#${id}`);
  }
  querySelector(selector: string): FakeElement | null {
    return this.body.querySelector(selector);
  }
  addEventListener(type: string, listener: Listener): void {
    this.#listeners.addEventListener(type, listener);
  }
}
