// The adapter page: facts, where it changed the model, one module's singular values, smaller ranks, tensors. Everything has
// its place from the head on; numbers come into it as they are computed. What stands in a place is drawn by files of their own.
import type { Problem } from '../../src/protocol/errors';
import type { AdapterContract, AdapterHead, Fact } from '../../src/protocol/panels/adapter';
import { button, el, fill, icon } from '../shared/dom';
import { openPage } from '../shared/page';
import { connect } from '../shared/port';
import { t } from '../shared/texts';
import './bars.css';
import './adapter.css';
import './tensors.css';
import { FactList, ProblemList } from './facts';
import { Heat } from './heat';
import { AdapterModel, type View } from './model';
import { drawModule } from './module';
import { suggestedRank } from './rank';
import { drawResize } from './resize';
import { TensorTable } from './tensorTable';
import { ViewChips } from './views';

const port = connect<AdapterContract, { view?: View; chosen?: string }>();
const main = openPage(t('Adapter'));
const run = (request: Promise<unknown>): void => void request.catch(() => {});

class Page {
  readonly model: AdapterModel;
  readonly #facts: FactList;
  readonly #problems: ProblemList;
  readonly #progress = el('span', { class: 'aside', role: 'status' });
  readonly #views = new ViewChips((view) => this.#setView(view));
  readonly #module = el('section', {});
  readonly #resize = el('section', { class: 'ad-resize' });
  readonly #table: TensorTable;
  readonly #heat: Heat | undefined;
  #view: View = 'norm';
  #choseView = false;
  #keepsChoice = false;

  constructor(readonly head: AdapterHead) {
    this.model = new AdapterModel(head);
    this.#facts = new FactList(this.model);
    this.#problems = new ProblemList(head.problems);
    this.#table = new TensorTable(this.model);
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

  update(): void {
    this.#facts.draw();
    this.#problems.draw();
    this.#views.draw(this.#view, this.head.withBase ? this.model.hasBase : undefined);
    this.#heat?.update(this.#view);
    this.#drawProgress();
    if (this.#heat !== undefined) {
      this.#drawModule(this.#heat.chosen);
      drawResize(this.#resize, this.model, () =>
        run(port.request('openFile', { path: 'adapter_config.json' })),
      );
    }
    this.#table.refresh();
  }

  problem(problem: Problem): void {
    this.#problems.add(problem);
  }

  fact(fact: Fact): void {
    this.#facts.add(fact);
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
        header(head),
        this.#problems.element,
        this.#facts.element,
        el(
          'div',
          { class: this.#heat === undefined ? 'ad-two plain' : 'ad-two' },
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
                    t('Where it changed the model'),
                    ' ',
                    this.#progress,
                    el('span', { class: 'end' }, this.#views.element),
                  ),
                  this.#heat.element,
                  this.#heat.note,
                  notes,
                ),
                el(
                  'aside',
                  { class: 'lw-rail', 'aria-label': t('The chosen module, and smaller ranks') },
                  this.#module,
                  this.#resize,
                ),
              ],
          // A file that could not be read has no list of tensors, not an empty one.
          head.tensors.length === 0 ? null : this.#table.element,
        ),
      ),
    );
  }

  #setView(view: View): void {
    this.#view = view;
    this.#choseView = true;
    this.#keep();
    this.update();
  }

  #drawProgress(): void {
    const { model, head } = this;
    const known = model.modules.size;
    const total = head.modules.length;
    const text =
      known < total
        ? t('{0} of {1} modules', known, total)
        : head.withBase && !model.done
          ? t('reading the base, {0} of {1}', model.base.size, total)
          : '';
    fill(
      this.#progress,
      text === '' ? null : [el('vscode-progress-ring', { 'aria-label': t('Reading') }), text],
    );
  }

  #drawModule(module: number): void {
    const { model } = this;
    drawModule(this.#module, model, module, suggestedRank(model.spectra, model.rank)?.rank);
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
}

/** Name, file and what can be done with the adapter. */
function header(head: AdapterHead): HTMLElement {
  const target = { folder: head.folder };
  const command =
    (name: string, ...args: unknown[]) =>
    () =>
      run(port.request('command', { command: name, args }));
  return el(
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
    el(
      'div',
      { class: 'lw-actions' },
      head.method === undefined
        ? null
        : [
            button(t('Try'), command('tryAdapter', target), {
              icon: 'comment-discussion',
              appearance: 'primary',
              disabled: !head.canTry,
            }),
            button(t('Merge…'), command('mergeAdapter', target), { icon: 'merge', disabled: !head.canTry }),
            head.run === undefined
              ? null
              : button(t('Compare…'), command('compareRuns', { id: head.run }), {
                  icon: 'diff',
                  title: t('Compare the run with others'),
                }),
          ],
      button(t('Folder'), () => run(port.request('openFolder', undefined)), {
        icon: 'folder-opened',
        title: head.run === undefined ? t('Show the file in its folder') : t('Show the run folder'),
      }),
    ),
  );
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
      el('vscode-progress-ring', { 'aria-label': t('Reading') }),
      t('Reading the header. The file is only read.'),
    ),
  ),
);
port.ready();
