// The settings by group, from their descriptions: what a chosen method adds appears with it, advanced ones stay folded.
import type { ConfigureState, FormField, RecipeEdit } from '../../src/protocol/panels/configure';
import type { SettingGroup } from '../../src/protocol/settings';
import { el, fill, icon } from '../shared/dom';
import { type Control, settingRow } from '../shared/forms';
import { plural, t } from '../shared/texts';

/** Shown elsewhere on the page: pickers, chips, axes, the map, the rail. */
const elsewhere = new Set(['model', 'dataset', 'preset', 'target_modules', 'device']);
const columns: readonly (readonly { group: SettingGroup; title: string }[])[] = [
  [
    { group: 'adapter', title: t('Adapter') },
    { group: 'optimization', title: t('Learning and batches') },
    { group: 'memory', title: t('Memory') },
    { group: 'model', title: t('Model') },
  ],
  [
    { group: 'data', title: t('Data') },
    { group: 'evaluation', title: t('Evaluation') },
    { group: 'run', title: t('Run') },
  ],
];

/** A setting's row and the description that it was made from. */
type Row = Control & { described: string };

export class Sheet {
  readonly main = el('div', { class: 'lw-sheet' });
  readonly advanced = el('details', {});
  readonly #rows = new Map<string, Row>();
  readonly #summary = el('span', { class: 'muted small' });
  readonly #advancedSheet = el('div', { class: 'lw-sheet' });
  #drawn = '';

  constructor(
    private readonly edit: (edits: readonly RecipeEdit[]) => void,
    private readonly preview: (edits: readonly RecipeEdit[]) => void,
  ) {
    fill(
      this.advanced,
      el('summary', {}, icon('chevron-right', 'tw'), el('span', {}, t('Advanced')), '\u2002', this.#summary),
      this.#advancedSheet,
    );
  }

  show(state: ConfigureState): void {
    const axes = new Set(state.form.axes.map(({ key }) => key));
    const fields = state.form.fields.filter(
      ({ field, off, given }) => !elsewhere.has(field.key) && !axes.has(field.key) && (!off || given),
    );
    const key = fields.map(({ field }) => `${field.key}:${JSON.stringify(field)}`).join('|');
    if (key !== this.#drawn) {
      this.#drawn = key;
      this.#build(fields);
    }
    for (const shown of fields) {
      const problem = state.form.problems.find(
        (one) => one.severity === 'error' && one.key === shown.field.key,
      );
      this.#rows.get(shown.field.key)?.show({
        value: shown.value,
        given: shown.given,
        problem: problem?.message.replace(`${shown.field.key}: `, '') ?? null,
        disabled: !state.form.readable,
      });
    }
    const hidden = fields.filter(({ field }) => field.advanced === true);
    const changed = hidden.filter(({ given }) => given);
    fill(
      this.#summary,
      plural(hidden.length, '1 setting', '{0} settings'),
      changed.length === 0
        ? null
        : [
            ', ',
            t('{0} changed:', changed.length),
            ' ',
            changed.slice(0, 4).map(({ field }, i) => [i > 0 ? ', ' : '', el('code', {}, field.key)]),
          ],
    );
  }

  /** Puts the focus on a setting, opening what hides it. */
  focus(key: string): boolean {
    const row = this.#rows.get(key);
    if (row === undefined) return false;
    if (this.#advancedSheet.contains(row.element)) this.advanced.setAttribute('open', '');
    row.element.scrollIntoView({ block: 'center' });
    row.focus();
    return true;
  }

  #build(fields: readonly FormField[]): void {
    const focused = document.activeElement as HTMLElement | null;
    const typing = focused?.shadowRoot?.querySelector('input');
    const selected = typing == null ? undefined : ([typing.selectionStart, typing.selectionEnd] as const);
    const before = new Map(this.#rows);
    this.#rows.clear();
    const groups = (advanced: boolean): HTMLElement[] =>
      columns.map((titles) =>
        el(
          'div',
          { class: 'group' },
          titles.map(({ group, title }) => {
            const own = fields.filter(
              ({ field }) => field.group === group && (field.advanced === true) === advanced,
            );
            return own.length === 0
              ? null
              : el(
                  'section',
                  { class: 'cf-group' },
                  el('h3', {}, title),
                  own.map(({ field }) => this.#row(field.key, field, before.get(field.key))),
                );
          }),
        ),
      );
    fill(this.main, groups(false));
    fill(this.#advancedSheet, groups(true));
    if (focused?.id.startsWith('f-') !== true) return;
    document.getElementById(focused.id)?.focus();
    // A field that gets the focus selects its text, and the next key would replace what was typed before.
    if (selected !== undefined && focused.isConnected) typing!.setSelectionRange(...selected);
  }

  /** A row that was there stays the same one, with what is being typed in it. */
  #row(key: string, field: FormField['field'], before: Row | undefined): HTMLElement {
    const described = JSON.stringify(field);
    const row =
      before?.described === described
        ? before
        : {
            described,
            ...settingRow(
              field,
              (value) => this.edit([{ key, value }]),
              (value) => this.preview([{ key, value }]),
            ),
          };
    this.#rows.set(key, row);
    return row.element;
  }
}
