// `target_modules` beside the map: as text, for what the map cannot say such as a regular expression, and as shortcuts for
// usual choices. Both ask for edits and are told what stands in the recipe.
import type { ConfigureState, RecipeEdit } from '../../src/protocol/panels/configure';
import { action, type Child, el, fill } from '../shared/dom';
import { readText, showValue } from '../shared/settingText';
import { t } from '../shared/texts';

const key = 'target_modules';

export class Targets {
  readonly element: HTMLElement;
  readonly links = el('span', { class: 'end small' });
  readonly #field = el<HTMLElement & { value: string }>('vscode-text-field', {
    id: `f-${key}`,
    'aria-label': key,
    on: { change: () => this.#change() },
  });
  #state: ConfigureState | undefined;

  constructor(private readonly edit: (edits: readonly RecipeEdit[]) => void) {
    this.element = el(
      'div',
      { class: 'lw-prop cf-targets' },
      el('label', { for: `f-${key}` }, key),
      this.#field,
    );
  }

  show(state: ConfigureState): void {
    this.#state = state;
    const described = this.#described;
    const text = showValue(described?.value);
    const field = this.#field;
    if (document.activeElement !== field && field.value !== text) field.value = text;
    field.toggleAttribute('disabled', !state.form.readable || described?.off === true);
    const names = state.coverage?.rows.map(({ name }) => name) ?? [];
    fill(
      this.links,
      state.coverage === null || state.coverage.full
        ? null
        : [
            this.#shortcut('all-linear', 'all-linear'),
            this.#shortcut(
              t('attention'),
              names.filter((name) => /attn|^[qkvo]_proj$/.test(name)),
            ),
            this.#shortcut(
              t('q, v only'),
              names.filter((name) => /^(q|v)_proj$/.test(name)),
            ),
          ],
    );
  }

  get #described() {
    return this.#state?.form.fields.find(({ field }) => field.key === key);
  }

  #change(): void {
    const described = this.#described;
    if (described === undefined || this.#field.value === showValue(described.value)) return;
    const read = readText(described.field, this.#field.value);
    if (!('error' in read)) this.edit([{ key, value: read.value }]);
  }

  /** A link that sets the modules and takes out what would narrow them. */
  #shortcut(label: string, value: string | string[]): Child {
    if (value.length === 0) return null;
    const given = (name: string): boolean =>
      this.#state?.form.fields.find(({ field }) => field.key === name)?.value != null;
    const narrowing = ['exclude_modules', 'layers_to_transform'];
    const set = (): void =>
      this.edit([{ key, value }, ...narrowing.filter(given).map((name) => ({ key: name }))]);
    return ['\u2002', action(label, set)];
  }
}
