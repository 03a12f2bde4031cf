// Samples: prompts on the left, on the right what the model wrote at each evaluation, the newest first.
import { action, el, fill, prose } from '../shared/dom';
import { clock, integer } from '../shared/format';
import { t } from '../shared/texts';
import type { SampleText } from './history';

let chosen = 0;
let drawn = '';

export function drawSamples(place: HTMLElement, samples: readonly SampleText[]): void {
  const prompts = [...new Set(samples.map(({ prompt }) => prompt))];
  chosen = Math.min(chosen, Math.max(0, prompts.length - 1));
  const key = `${chosen}|${samples.length}|${samples.at(-1)?.step}`;
  if (key === drawn) return;
  drawn = key;
  if (prompts.length === 0) {
    fill(
      place,
      el(
        'p',
        { class: 'muted' },
        prose(t('No samples yet. Prompts in `sample_prompts` are completed at every evaluation.')),
      ),
    );
    return;
  }
  const focused = place.contains(document.activeElement);
  const choose = (i: number): void => {
    chosen = i;
    drawSamples(place, samples);
  };
  const own = samples.filter(({ prompt }) => prompt === prompts[chosen]).reverse();
  fill(
    place,
    el(
      'div',
      {},
      el('h2', { id: 'h-prompts' }, t('Prompts')),
      el(
        'ul',
        {
          class: 'rn-prompts',
          role: 'listbox',
          tabindex: 0,
          'aria-labelledby': 'h-prompts',
          'aria-activedescendant': `prompt-${chosen}`,
          on: {
            keydown: (event) => {
              const step = { ArrowDown: 1, ArrowUp: -1 }[(event as KeyboardEvent).key];
              if (step === undefined) return;
              event.preventDefault();
              choose((chosen + step + prompts.length) % prompts.length);
            },
          },
        },
        prompts.map((prompt, i) =>
          el(
            'li',
            {
              role: 'option',
              id: `prompt-${i}`,
              'aria-selected': String(i === chosen),
              title: prompt,
              on: { click: () => choose(i) },
            },
            el('span', {}, prompt),
          ),
        ),
      ),
    ),
    el(
      'div',
      {},
      el(
        'h2',
        {},
        t('Prompt'),
        el(
          'span',
          { class: 'end small' },
          action(
            t('Copy'),
            () =>
              void navigator.clipboard.writeText(
                own.map(({ step, text }) => `${t('step {0}', step)}\n${text}`).join('\n\n'),
              ),
          ),
        ),
      ),
      el('p', { class: 'rn-prompt' }, prompts[chosen]),
      el(
        'table',
        { class: 'rn-sample' },
        el(
          'thead',
          {},
          el('tr', {}, el('th', { scope: 'col' }, t('Step')), el('th', { scope: 'col' }, t('Completion'))),
        ),
        el(
          'tbody',
          {},
          own.map(({ step, time, text }, i) =>
            el(
              'tr',
              {},
              el('th', { scope: 'row' }, t('step {0}', integer(step)), el('small', {}, clock(time))),
              el('td', { class: `txt${i === 0 ? '' : ' old'}` }, text),
            ),
          ),
        ),
      ),
    ),
  );
  if (focused) place.querySelector<HTMLElement>('.rn-prompts')?.focus();
}
