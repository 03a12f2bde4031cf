// The problems of a dataset with remedies as links, what was looked for and not found, and the recipe that remedies go into. It
// is drawn anew only when something of it changed, and asks for what was pressed.
import type { LensProblem, LensProgress, LensState, Remedy } from '../../src/protocol/panels/lens';
import { action, type Child, el, fill, icon, prose } from '../shared/dom';
import { severityText } from '../shared/severity';
import { t } from '../shared/texts';
import { choiceList } from './choice';

export interface ProblemRequests {
  apply(remedy: Remedy): void;
  /** Shows a row with this problem. */
  showRows(id: string): void;
  newFineTune(): void;
  setRecipe(path: string | null): void;
}

export class Problems {
  readonly element = el('section', {});
  #drawn = '';

  constructor(private readonly requests: ProblemRequests) {}

  show({ problems, fine, notes }: LensProgress, state: LensState): void {
    const key = JSON.stringify([
      problems.map(({ id, message, remedies }) => [id, message, remedies]),
      fine,
      notes,
      state.recipe,
      state.recipes,
    ]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    fill(
      this.element,
      el(
        'h2',
        {},
        t('Problems'),
        ' ',
        problems.length === 0 ? null : el('vscode-badge', {}, problems.length),
      ),
      el(
        'ul',
        { class: 'lw-problems' },
        problems.map((problem) => this.#problem(problem)),
      ),
      fine.length === 0
        ? null
        : el(
            'p',
            { class: 'small muted lw-line ln-fine' },
            icon('check', 'okc'),
            el('span', {}, fine.join(' ')),
          ),
      notes.map((note) =>
        el('p', { class: 'small muted lw-line ln-fine' }, icon('info'), el('span', {}, note)),
      ),
      el('div', { class: 'ln-into small' }, this.#recipe(state)),
    );
  }

  #problem({ id, severity, message, remedies }: LensProblem): HTMLElement {
    const { apply, showRows } = this.requests;
    return el(
      'li',
      { class: severity },
      icon(severity, '', severityText(severity)),
      el(
        'div',
        {},
        prose(message),
        el(
          'div',
          { class: 'fix small' },
          remedies.map((remedy) => action(remedy.label, () => apply(remedy))),
          action(t('Show rows'), () => showRows(id), { 'aria-label': t('Show rows: {0}', message) }),
        ),
      ),
    );
  }

  #recipe({ recipe, recipes }: LensState): Child {
    const { newFineTune, setRecipe } = this.requests;
    if (recipes.length === 0)
      return el(
        'span',
        { class: 'muted' },
        t('No recipe names this file: settings apply here alone.'),
        ' ',
        action(t('New fine-tune'), newFineTune),
      );
    return [
      el('span', { class: 'muted' }, t('Remedies go into')),
      choiceList(
        t('Recipe that remedies are written to'),
        [...recipes.map(({ path, name }) => [path, name] as const), ['', t('no recipe, only here')]],
        recipe ?? '',
        (path) => setRecipe(path === '' ? null : path),
      ),
    ];
  }
}
