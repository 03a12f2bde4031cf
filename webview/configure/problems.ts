// The problems of a recipe and its data, with remedies as links. It draws what it is told and asks for edits.
import type { FormProblem, RecipeEdit } from '../../src/protocol/panels/configure';
import { action, el, fill, icon, prose } from '../shared/dom';
import { severityText } from '../shared/severity';
import { t } from '../shared/texts';

/** The problems, as in the Problems view. */
export function drawProblems(
  place: HTMLElement,
  problems: readonly FormProblem[],
  does: {
    apply(edits: readonly RecipeEdit[]): void;
    jump(problem: FormProblem): void;
    text(line: number): void;
    lens(): void;
  },
): void {
  const focused = place.contains(document.activeElement)
    ? (document.activeElement as HTMLElement).dataset.at
    : undefined;
  fill(
    place,
    el(
      'h2',
      { id: 'h-problems' },
      t('Problems'),
      ' ',
      problems.length === 0 ? null : el('vscode-badge', {}, String(problems.length)),
    ),
    problems.length === 0
      ? el('p', { class: 'lw-line muted' }, icon('check', 'okc'), el('span', {}, t('None found.')))
      : el(
          'ul',
          { class: 'lw-problems', 'aria-labelledby': 'h-problems' },
          problems.map((problem, i) =>
            el(
              'li',
              { class: problem.severity },
              icon(problem.severity, '', severityText(problem.severity)),
              el(
                'div',
                {},
                problem.key === null
                  ? el('div', { class: 'message' }, prose(problem.message))
                  : el(
                      'button',
                      {
                        type: 'button',
                        class: 'plain message',
                        title: t('Go to {0}', problem.key),
                        dataset: { at: `p${i}` },
                        on: { click: () => does.jump(problem) },
                      },
                      prose(problem.message),
                    ),
                problem.fixes.length === 0 && problem.remedy !== null
                  ? el('div', { class: 'small muted' }, problem.remedy)
                  : null,
                el(
                  'div',
                  { class: 'fix small' },
                  problem.fixes.map((fix, j) =>
                    action(fix.label, () => does.apply(fix.edits), { dataset: { at: `p${i}f${j}` } }),
                  ),
                  problem.dataset === undefined
                    ? null
                    : action(t('Show rows'), () => does.lens(), { dataset: { at: `p${i}l` } }),
                  problem.line === null
                    ? null
                    : action(t('Line {0}', problem.line), () => does.text(problem.line!), {
                        dataset: { at: `p${i}t` },
                      }),
                ),
              ),
            ),
          ),
        ),
  );
  if (focused !== undefined) place.querySelector<HTMLElement>(`[data-at="${focused}"]`)?.focus();
}
