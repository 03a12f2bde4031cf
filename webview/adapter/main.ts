// The adapter page: facts, where it changed the model, one module's singular values, smaller ranks, tensors. Everything has
// its place from the head on; numbers come into it as they are computed.
// Longer than 400 lines: one page whose parts share one head and one choice.

import type { Problem } from '../../src/protocol/errors';
import type { AdapterContract, AdapterHead, Fact } from '../../src/protocol/panels/adapter';
import { action, button, el, fill, icon, quantity } from '../shared/dom';
import { bytes, plural } from '../shared/format';
import { openPage } from '../shared/page';
import { connect } from '../shared/port';
import { barChart } from './bars';
import './bars.css';
import './adapter.css';
import { Heat } from './heat';
import { AdapterModel, type View } from './model';
import { effectiveRank, energy, resized, smallerRanks, suggestedRank } from './rank';
import { TensorTable } from './tensorTable';

const port = connect<AdapterContract, { view?: View; chosen?: string }>();
const main = openPage('Adapter');
const run = (request: Promise<unknown>): void => void request.catch(() => {});

class Page {
  readonly model: AdapterModel;
  readonly #facts = el('dl', { class: 'lw-facts ad-sum' });
  readonly #problems = el('ul', { class: 'lw-problems' });
  readonly #broken: HTMLElement;
  readonly #progress = el('span', { class: 'aside', role: 'status' });
  readonly #views = el('span', { class: 'ad-view', role: 'radiogroup', 'aria-label': 'Show' });
  readonly #module = el('section', {});
  readonly #resize = el('section', { class: 'ad-resize' });
  readonly #table: TensorTable;
  readonly #heat: Heat | undefined;
  readonly #ownFacts = new Map<string, Fact>();
  readonly #found: Problem[];
  #view: View = 'norm';
  #choseView = false;

  constructor(readonly head: AdapterHead) {
    this.model = new AdapterModel(head);
    this.#found = [...head.problems];
    for (const fact of head.facts) this.#ownFacts.set(fact.label, fact);
    this.#table = new TensorTable(this.model);
    this.#broken = el('section', { class: 'ad-broken', role: 'alert' }, this.#problems);
    if (head.modules.length > 0) {
      this.#heat = new Heat(this.model, (module) => this.#choose(module));
      const kept = head.modules.findIndex(({ path }) => path === port.state?.chosen);
      this.#heat.choose(Math.max(0, kept));
      this.#keepsChoice = kept >= 0;
      if (port.state?.view === 'effective') {
        this.#view = 'effective';
        this.#choseView = true;
      }
    }
    this.#build();
    this.update();
  }

  #keepsChoice = false;

  update(): void {
    this.#drawFacts();
    this.#drawProblems();
    this.#drawViews();
    this.#heat?.update(this.#view);
    this.#drawProgress();
    if (this.#heat !== undefined) {
      this.#drawModule(this.#heat.chosen);
      this.#drawResize();
    }
    this.#table.refresh();
  }

  problem(problem: Problem): void {
    this.#found.push(problem);
    this.#drawProblems();
  }

  fact(fact: Fact): void {
    this.#ownFacts.set(fact.label, fact);
    this.#drawFacts();
  }

  done(): void {
    this.model.done = true;
    if (this.model.hasBase && !this.#choseView) this.#view = 'ratio';
    if (this.#heat !== undefined && !this.#keepsChoice) {
      const { model } = this;
      const strongest = [...model.modules.values()].reduce(
        (best, { index }) =>
          (model.value(index, this.#view) ?? 0) > (model.value(best, this.#view) ?? 0) ? index : best,
        0,
      );
      if (!this.#heat.element.contains(document.activeElement)) this.#heat.choose(strongest);
    }
    this.update();
  }

  #build(): void {
    const { head } = this;
    const target = { folder: head.folder };
    const command =
      (name: string, ...args: unknown[]) =>
      () =>
        run(port.request('command', { command: name, args }));
    const actions = el(
      'div',
      { class: 'lw-actions' },
      head.method === undefined
        ? null
        : [
            button('Try', command('tryAdapter', target), {
              icon: 'comment-discussion',
              appearance: 'primary',
              disabled: !head.canTry,
            }),
            button('Merge…', command('mergeAdapter', target), { icon: 'merge', disabled: !head.canTry }),
            head.run === undefined
              ? null
              : button('Compare…', command('compareRuns', { id: head.run }), {
                  icon: 'diff',
                  title: 'Compare the run with others',
                }),
          ],
      button('Folder', () => run(port.request('openFolder', undefined)), {
        icon: 'folder-opened',
        title: head.run === undefined ? 'Show the file in its folder' : 'Show the run folder',
      }),
    );
    const header = el(
      'header',
      { class: 'lw-head' },
      el(
        'div',
        { class: 'grow' },
        el(
          'h1',
          { class: 'ad-title' },
          head.title,
          head.method === undefined ? null : el('vscode-tag', {}, head.method),
        ),
        el('p', { class: 'muted small mono' }, head.file),
      ),
      actions,
    );
    const plain = this.#heat === undefined;
    const notes = head.notes.map((note) =>
      el(
        'p',
        { class: 'lw-line small muted', style: { 'margin-top': '8px' } },
        icon('info'),
        el('span', {}, note),
      ),
    );
    fill(
      main,
      el(
        'div',
        { class: 'lw-page' },
        header,
        this.#broken,
        this.#facts,
        el(
          'div',
          { class: plain ? 'ad-two plain' : 'ad-two' },
          this.#heat === undefined
            ? notes.length > 0
              ? el('div', { style: { 'margin-bottom': '16px' } }, notes)
              : null
            : [
                el(
                  'div',
                  { style: { 'min-width': '0' } },
                  el(
                    'h2',
                    {},
                    'Where it changed the model ',
                    this.#progress,
                    el('span', { class: 'end' }, this.#views),
                  ),
                  this.#heat.element,
                  this.#heat.note,
                  notes,
                ),
                el(
                  'aside',
                  { class: 'lw-rail', 'aria-label': 'The chosen module, and smaller ranks' },
                  this.#module,
                  this.#resize,
                ),
              ],
          // A file that could not be read has no list of tensors, not an empty one.
          head.tensors.length === 0 ? null : this.#table.element,
        ),
      ),
    );
    this.#views.addEventListener('keydown', (event) => this.#viewKey(event as KeyboardEvent));
  }

  #drawFacts(): void {
    const facts = [...this.#ownFacts.values()];
    const health = this.#health();
    if (health !== undefined) facts.push(health);
    const marks = { ok: ['pass', 'okc'], warning: ['warning', 'warn'], error: ['error', 'err'] } as const;
    fill(
      this.#facts,
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

  #health(): Fact | undefined {
    const { model, head } = this;
    if (head.tensors.length === 0) return undefined;
    const total = head.modules.length;
    const bad = model.notFinite;
    const unmoved = model.unmoved.length;
    if (bad > 0)
      return {
        label: 'Health',
        value: `${plural(bad, 'tensor')} not finite`,
        detail: 'named above',
        state: 'error',
      };
    const checked = model.tensors.size;
    if (checked < head.tensors.length)
      return {
        label: 'Health',
        value: 'being checked',
        detail: `${checked} of ${head.tensors.length} tensors`,
      };
    if (total > 0 && unmoved > 0) {
      return {
        label: 'Health',
        value: unmoved === total ? 'never trained' : `${plural(unmoved, 'module')} never moved`,
        detail: `ΔW is zero in ${unmoved} of ${total}`,
        state: unmoved === total ? 'error' : 'warning',
      };
    }
    const detail = total === 0 ? 'every tensor' : `${total} of ${total} modules changed`;
    return { label: 'Health', value: 'finite', detail, state: 'ok' };
  }

  #drawProblems(): void {
    this.#broken.hidden = this.#found.length === 0;
    fill(
      this.#problems,
      this.#found.map(({ where, message, remedy }) =>
        el(
          'li',
          { class: 'error' },
          icon('error', '', 'Problem'),
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

  #drawViews(): void {
    const withBase = this.head.withBase;
    const views: [View, string, boolean][] = [
      ...(withBase ? [['ratio', 'Change, % of ‖W‖', this.model.hasBase] as [View, string, boolean]] : []),
      ['norm', '‖ΔW‖', true],
      ['effective', 'Effective rank', true],
    ];
    fill(
      this.#views,
      views.map(([id, label, enabled]) =>
        el(
          'button',
          {
            type: 'button',
            class: 'lw-chip',
            role: 'radio',
            'aria-checked': String(id === this.#view),
            'aria-disabled': enabled ? undefined : 'true',
            tabindex: id === this.#view ? '0' : '-1',
            title: enabled ? undefined : 'The base is being read',
            dataset: { view: id },
            on: { click: () => enabled && this.#setView(id) },
          },
          label,
        ),
      ),
    );
  }

  #setView(view: View): void {
    this.#view = view;
    this.#choseView = true;
    this.#keep();
    this.update();
    this.#views.querySelector<HTMLElement>(`[data-view="${view}"]`)?.focus();
  }

  #viewKey(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const chips = [...this.#views.querySelectorAll<HTMLElement>('[role="radio"]:not([aria-disabled])')];
    const at = chips.findIndex((chip) => chip.dataset.view === this.#view);
    this.#setView(chips[(at + step + chips.length) % chips.length]!.dataset.view as View);
  }

  #drawProgress(): void {
    const { model, head } = this;
    const known = model.modules.size;
    const total = head.modules.length;
    const text =
      known < total
        ? `${known} of ${total} modules`
        : head.withBase && !model.done
          ? `reading the base, ${model.base.size} of ${total}`
          : '';
    fill(
      this.#progress,
      text === '' ? null : [el('vscode-progress-ring', { 'aria-label': 'Reading' }), text],
    );
  }

  #choose(module: number): void {
    this.#keepsChoice = true;
    this.#keep();
    this.#drawModule(module);
    const { path } = this.head.modules[module]!;
    this.#table.show(path.slice(0, path.lastIndexOf('.')) || path);
  }

  #keep(): void {
    port.keep({ view: this.#view, chosen: this.head.modules[this.#heat?.chosen ?? 0]?.path });
  }

  #drawModule(module: number): void {
    const head = this.head.modules[module];
    if (head === undefined) return;
    const values = this.model.modules.get(module);
    const sigma = values?.sigma ?? [];
    const base = this.model.base.get(module);
    const pick = suggestedRank(this.model.spectra, this.#rank)?.rank;
    const row = (label: string, ...value: Parameters<typeof el>[2][]) =>
      el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, ...value));
    const norm = values?.norm ?? undefined;
    fill(
      this.#module,
      el(
        'h2',
        { class: 'ad-module' },
        el('span', { class: 'mono' }, head.path.replace(/^(model|transformer)\./, '')),
      ),
      el(
        'table',
        { class: 'lw-rows' },
        el(
          'tbody',
          {},
          row('Shape', `${head.inFeatures} → ${head.outFeatures}`),
          norm !== undefined && base !== undefined
            ? row(
                '‖ΔW‖ of ‖W‖',
                `${norm.toPrecision(3)} `,
                el('span', { class: 'u' }, 'of'),
                ` ${base.toPrecision(3)}, `,
                quantity(((100 * norm) / base).toFixed(2), '%'),
              )
            : row('‖ΔW‖', norm === undefined ? '–' : norm.toPrecision(3)),
          row(
            'Effective rank',
            sigma.length === 0 ? '–' : effectiveRank(sigma).toFixed(1),
            el('span', { class: 'u' }, `of ${head.rank}`),
          ),
          pick === undefined || sigma.length === 0
            ? row(
                'Largest share',
                sigma.length === 0 ? '–' : quantity((100 * energy(sigma, 1)).toFixed(1), '%'),
              )
            : row(`Kept by r ${pick}`, quantity((100 * energy(sigma, pick)).toFixed(1), '%')),
        ),
      ),
      el(
        'div',
        { class: 'ad-chart' },
        sigma.length === 0
          ? el(
              'p',
              { class: 'muted small' },
              values === undefined ? 'Not computed yet.' : 'Its factors hold values that are not finite.',
            )
          : this.#spectrum(sigma, pick),
      ),
    );
  }

  #spectrum(sigma: readonly number[], pick: number | undefined): HTMLElement {
    const every = Math.ceil(sigma.length / 8);
    const top = sigma[0] ?? 0;
    const digits = top >= 10 ? 0 : top >= 1 ? 1 : Math.min(6, 1 - Math.floor(Math.log10(top || 1)));
    return barChart({
      label: `Singular values of ΔW: ${sigma.length}, from ${top.toPrecision(3)} to ${(sigma.at(-1) ?? 0).toPrecision(3)}.`,
      values: sigma,
      names: sigma.map((_, i) => (i % every === 0 ? String(i + 1) : '')),
      rows: sigma.map((_, i) => String(i + 1)),
      mark: (i) => (pick !== undefined && i >= pick ? 'dim' : ''),
      ...(pick === undefined
        ? {}
        : {
            cut: {
              at: pick,
              text: `r ${pick} keeps ${(100 * energy(sigma, pick)).toFixed(1)} %`,
              side: 'right' as const,
            },
          }),
      axis: 'singular value of ΔW',
      columns: ['Index', 'Value'],
      format: (value) => value.toFixed(digits),
    });
  }

  get #rank(): number {
    return Math.max(1, ...this.head.modules.map(({ rank }) => rank));
  }

  #drawResize(): void {
    const spectra = this.model.spectra;
    const rank = this.#rank;
    const complete = this.model.modules.size === this.head.modules.length && spectra.length > 0;
    const pick = complete ? suggestedRank(spectra, rank) : undefined;
    const percent = (share: number) => (complete ? quantity((100 * share).toFixed(1), '%') : '–');
    const rows = smallerRanks(rank).map((k) => {
      const { kept, worst, bytes: size } = resized(spectra, k);
      return el(
        'tr',
        { class: pick?.rank === k ? 'pick' : '' },
        el('td', {}, k, k === rank ? el('span', { class: 'muted' }, ' now') : null),
        el('td', { class: 'n' }, percent(kept)),
        el('td', { class: 'n' }, percent(worst)),
        el('td', { class: 'n' }, complete ? quantity(...bytes(size)) : '–'),
      );
    });
    const advice = !complete
      ? null
      : pick !== undefined
        ? `r ${pick.rank} would keep ${(100 * pick.kept).toFixed(1)} % of the change: a later run may take r ${pick.rank}.`
        : this.model.unmoved.length === this.head.modules.length
          ? 'Nothing was trained: there is nothing to keep.'
          : rank === 1
            ? null
            : `Every smaller rank loses more than 3 % of the change: r ${rank} is used.`;
    fill(
      this.#resize,
      el('h2', {}, 'Smaller ranks'),
      el(
        'table',
        { class: 'lw-table' },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ['r', '‖ΔW‖² kept', 'worst', 'file'].map((name, i) =>
              el('th', { class: i === 0 ? '' : 'n', scope: 'col' }, name),
            ),
          ),
        ),
        el('tbody', {}, rows),
      ),
      advice === null
        ? null
        : el(
            'p',
            { class: 'lw-line small', style: { 'margin-top': '8px' } },
            icon(pick === undefined ? 'info' : 'lightbulb', pick === undefined ? '' : 'warn'),
            el('span', {}, advice),
          ),
      this.head.hasConfig
        ? el(
            'p',
            { class: 'small', style: { 'margin-top': '10px' } },
            action('Open adapter_config.json', () =>
              run(port.request('openFile', { path: 'adapter_config.json' })),
            ),
          )
        : null,
    );
  }
}

let page: Page | undefined;
port.on('head', (head) => {
  page = new Page(head);
});
let drawing = false;
port.on('news', (news) => {
  page?.model.take(news);
  if (drawing) return;
  // What came meanwhile is drawn together; a page that is hidden has no frames.
  drawing = true;
  const draw = (): void => {
    drawing = false;
    page?.update();
  };
  if (document.hidden) setTimeout(draw, 100);
  else requestAnimationFrame(() => setTimeout(draw));
});
port.on('problem', (problem) => page?.problem(problem));
port.on('fact', (fact) => page?.fact(fact));
port.on('done', () => page?.done());
fill(
  main,
  el(
    'div',
    { class: 'lw-page' },
    el(
      'p',
      { class: 'muted', role: 'status' },
      el('vscode-progress-ring', { 'aria-label': 'Reading' }),
      'Reading the header. The file is only read.',
    ),
  ),
);
port.ready();
