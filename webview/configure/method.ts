// Presets as chips and the axes of the method as lists. One tab stop for all chips; arrows move and choose nothing, Enter or
// Space chooses. The line below says what the preset under the pointer or the focus does.
import type { ConfigureState, RecipeEdit } from '../../src/protocol/panels/configure';
import { el, fill } from '../shared/dom';
import { dropdown } from '../shared/forms';
import { choiceText } from '../shared/settingText';
import { t } from '../shared/texts';

const axisNames: Readonly<Record<string, string>> = {
  adapter: t('Adapter'),
  init_lora_weights: t('Initialisation'),
  load_in_4bit: t('Base precision'),
  optim: t('Optimizer'),
  attention: t('Attention'),
};
/** What yes and no mean where a recipe says them. */
const spoken: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  init_lora_weights: { true: t('default'), false: t('random') },
  load_in_4bit: { true: t('4-bit'), false: t('as stored') },
};
const axisOrder = ['load_in_4bit', 'adapter', 'init_lora_weights', 'optim', 'attention'];

export class Method {
  readonly presets = el('div', { class: 'cf-groups', role: 'radiogroup', 'aria-label': t('Preset') });
  readonly trade = el('p', { class: 'cf-trade' });
  readonly axes = el('div', { class: 'cf-axes' });
  #drawn = '';
  #state: ConfigureState | undefined;
  readonly #lists = new Map<string, ReturnType<typeof dropdown>>();

  constructor(private readonly edit: (edits: readonly RecipeEdit[]) => void) {
    this.presets.addEventListener('keydown', (event) => this.#key(event));
  }

  show(state: ConfigureState): void {
    this.#state = state;
    const { presets, preset } = state.form;
    const key = JSON.stringify([presets, preset]);
    if (key !== this.#drawn) {
      this.#drawn = key;
      const focused = this.presets.contains(document.activeElement);
      const chosen = presets.some(({ id }) => id === preset) ? preset : null;
      fill(
        this.presets,
        grouped(presets).map(([category, members]) =>
          el(
            'div',
            { class: 'cf-family', role: 'presentation' },
            // What the screen reader hears is in the chip's own description.
            el('span', { class: 'cf-category', 'aria-hidden': 'true' }, category),
            el(
              'div',
              { class: 'cf-chips', role: 'presentation' },
              ...members.map(({ id, label }) =>
                el(
                  'button',
                  {
                    type: 'button',
                    class: 'lw-chip',
                    role: 'radio',
                    'aria-checked': String(id === chosen),
                    title: `${label} (${category})`,
                    tabindex: id === chosen || (chosen === null && id === presets[0]?.id) ? 0 : -1,
                    dataset: { preset: id },
                    on: {
                      click: () => this.#choose(id),
                      mouseenter: () => this.#explain(id),
                      focus: () => this.#explain(id),
                      mouseleave: () => this.#explain(chosen),
                      blur: () => this.#explain(chosen),
                    },
                  },
                  label.split(/[:,]| on /)[0]!,
                ),
              ),
            ),
          ),
        ),
      );
      this.#explain(chosen);
      if (focused) this.presets.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    }
    for (const axis of axisOrder) {
      const described = state.form.axes.find((one) => one.key === axis);
      const field = state.form.fields.find((one) => one.field.key === axis);
      if (described === undefined || field === undefined) continue;
      let list = this.#lists.get(axis);
      if (list === undefined) {
        const name = axisNames[axis] ?? axis;
        list = dropdown(name, (text) => this.#axis(axis, text), { id: `f-${axis}` });
        this.#lists.set(axis, list);
        this.axes.append(el('div', {}, el('label', { for: `f-${axis}` }, name), list.element));
      }
      list.show(
        described.choices.map(({ id, label, summary }) => ({
          value: String(id),
          text: typeof id === 'boolean' ? (spoken[axis]?.[String(id)] ?? String(id)) : choiceText(id),
          title: `${label}. ${summary}`,
        })),
        String(field.value),
      );
      list.element.toggleAttribute('disabled', field.off || !state.form.readable);
    }
  }

  #explain(id: string | null): void {
    const preset = this.#state?.form.presets.find((one) => one.id === id);
    const adapter = this.#state?.form.fields.find(({ field }) => field.key === 'adapter')?.value;
    const entry = this.#state?.form.axes
      .find(({ key }) => key === 'adapter')
      ?.choices.find((one) => one.id === adapter);
    const [name, text] =
      preset === undefined ? [entry?.label ?? '', entry?.summary ?? ''] : [preset.label, preset.summary];
    fill(this.trade, el('b', {}, name), '\u2002', el('span', {}, text));
  }

  /** A preset's values hold where the recipe says nothing: what it sets itself is taken out. */
  #choose(id: string): void {
    const { form } = this.#state!;
    if (!form.readable) return;
    const axes = new Set(form.axes.map(({ key }) => key));
    const cleared = form.fields.filter(
      ({ field, given }) => given && (axes.has(field.key) || presetKeys.has(field.key)),
    );
    this.edit([...cleared.map(({ field }) => ({ key: field.key })), { key: 'preset', value: id }]);
  }

  #axis(axis: string, text: string): void {
    const choice = this.#state?.form.axes
      .find(({ key }) => key === axis)
      ?.choices.find(({ id }) => String(id) === text);
    if (choice !== undefined) this.edit([{ key: axis, value: choice.id }]);
  }

  #key(event: KeyboardEvent): void {
    const chips = [...this.presets.querySelectorAll<HTMLElement>('.lw-chip')];
    const at = chips.indexOf(document.activeElement as HTMLElement);
    const next = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: chips.length - 1,
    }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    const chip = chips[(next + chips.length) % chips.length]!;
    for (const one of chips) one.tabIndex = one === chip ? 0 : -1;
    chip.focus();
  }
}

/** Settings that presets are about, beside the axes. */
const presetKeys = new Set(['r', 'lora_alpha', 'use_rslora', 'learning_rate', 'bnb_4bit_use_double_quant']);

/** Neighbours of one category together, in the catalogue's order. */
function grouped<T extends { category: string }>(presets: readonly T[]): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const preset of presets) groups.set(preset.category, [...(groups.get(preset.category) ?? []), preset]);
  return [...groups];
}
