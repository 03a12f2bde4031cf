// The modules that a method chose, as a list that folds out. It draws anew only what changed: a list stays open, and what has
// the focus keeps it, while the page redraws.
import type { ModuleChoice } from '../../src/protocol/run';
import { el, fill, icon } from '../shared/dom';
import { fixed } from '../shared/format';
import { t } from '../shared/texts';
import { type ChosenLayer, choiceSentence, chosenModules } from './chosenModules';

const drawn = new WeakMap<HTMLElement, readonly ModuleChoice[]>();

/** Empty and hidden where no method has chosen. */
export function drawModules(place: HTMLElement, choices: readonly ModuleChoice[]): void {
  if (drawn.get(place) === choices) return;
  drawn.set(place, choices);
  place.hidden = choices.length === 0;
  if (place.hidden) {
    fill(place);
    return;
  }
  const chosen = chosenModules(choices);
  const open = place.querySelector('details')?.open === true;
  fill(
    place,
    el('h2', {}, t('Modules')),
    el('p', { class: 'small muted' }, choiceSentence(chosen)),
    chosen.layers.length === 0
      ? null
      : el(
          'details',
          { open },
          el('summary', {}, icon('chevron-right', 'tw'), t('With a pair of their own')),
          el(
            'div',
            {
              class: 'rn-modules',
              role: 'region',
              tabindex: 0,
              'aria-label': t('Modules with a pair of their own'),
            },
            el(
              'table',
              { class: 'lw-rows' },
              el(
                'caption',
                { class: 'said' },
                t(
                  'Modules with a pair of their own by layer, and their share of what the modules of their group add',
                ),
              ),
              chosen.layers.map(rows),
            ),
          ),
        ),
  );
}

function rows({ layer, modules }: ChosenLayer): HTMLElement {
  return el(
    'tbody',
    {},
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'rowgroup', colspan: 2 },
        layer === null ? t('Outside of the layers') : t('Layer {0}', layer),
      ),
    ),
    modules.map(({ place, importance }) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row', class: 'mono' }, place),
        el('td', { class: 'num' }, `${fixed(100 * importance, 1)} %`),
      ),
    ),
  );
}
