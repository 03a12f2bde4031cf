// Renders settings from their descriptions: a label, a control that fits the shape, the unit, the mistake. A control tells
// of a change and is told what stands in the recipe; what a person is just typing is left alone.
import type { SettingField, SettingValue } from '../../src/protocol/settings';
import { action, el } from './dom';
import { choicesOf, choiceText, readText, showValue } from './settingText';
import { t } from './texts';

/** What a control shows. */
export interface Shown {
  value: SettingValue;
  given: boolean;
  /** A mistake of this setting, in words. */
  problem: string | null;
  disabled: boolean;
}

export interface Control {
  readonly element: HTMLElement;
  show(shown: Shown): void;
  focus(): void;
}

interface ValueElement extends HTMLElement {
  value: string;
}

const typingMs = 180;

/** A dropdown over choices. `none` is the entry for: not set. */
export function dropdown(
  label: string,
  choose: (value: string) => void,
  properties: { id?: string; class?: string } = {},
): {
  element: ValueElement;
  show(options: readonly { value: string; text: string; title?: string }[], value: string): void;
} {
  let drawn = '';
  const element = el<ValueElement>('vscode-dropdown', {
    ...properties,
    'aria-label': label,
    on: { change: () => choose(element.value) },
  });
  return {
    element,
    show(options, value) {
      const known = options.some((option) => option.value === value);
      const all = known ? options : [{ value, text: value === '' ? t('choose') : value }, ...options];
      const key = JSON.stringify(all);
      if (key !== drawn) {
        drawn = key;
        element.replaceChildren(
          ...all.map((option) =>
            el(
              'vscode-option',
              {
                value: option.value,
                title: 'title' in option ? option.title : undefined,
                selected: option.value === value,
              },
              option.text,
            ),
          ),
        );
      }
      if (element.value !== value) {
        // The component reads its options a moment after they came.
        element.value = value;
        queueMicrotask(() => {
          if (element.value !== value) element.value = value;
        });
      }
    },
  };
}

function choiceControl(
  field: SettingField,
  change: (value: SettingValue | undefined) => void,
): Control | undefined {
  const choices = choicesOf(field);
  if (choices === undefined) return undefined;
  const nullable = field.default === null;
  const { element, show } = dropdown(
    field.key,
    (text) => {
      const choice = choices.find(({ id }) => String(id) === text);
      change(choice === undefined ? undefined : choice.id);
    },
    { id: `f-${field.key}` },
  );
  return {
    element,
    show({ value, disabled }) {
      const options = choices.map(({ id, label }) => ({
        value: String(id),
        text: choiceText(id),
        title: label,
      }));
      show(
        nullable ? [{ value: '', text: t('not set') }, ...options] : options,
        value === null ? '' : String(value),
      );
      element.toggleAttribute('disabled', disabled);
    },
    focus: () => element.focus(),
  };
}

function textControl(
  field: SettingField,
  change: (value: SettingValue | undefined) => void,
  complain: (error: string | null) => void,
  preview: (value: SettingValue | undefined) => void,
): Control {
  const numeric = field.type === 'integer' || field.type === 'number';
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shownText = '';
  /** Whether the recipe does not hold yet what was sent: what it says meanwhile is older. */
  let sent = false;
  const send = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (input.value === shownText) {
      complain(null);
      return;
    }
    const read = readText(field, input.value);
    complain('error' in read ? read.error : null);
    if ('error' in read) return;
    shownText = input.value;
    sent = true;
    change(read.value);
  };
  const input = el<ValueElement>(
    'vscode-text-field',
    {
      id: `f-${field.key}`,
      'aria-label': field.key,
      class: numeric ? 'numeric' : undefined,
      spellcheck: 'false',
      on: {
        input: () => {
          clearTimeout(timer);
          timer = setTimeout(send, typingMs);
          const read = readText(field, input.value);
          if (!('error' in read)) preview(read.value);
        },
        change: send,
      },
    },
    field.unit === undefined ? null : el('span', { slot: 'end' }, unitText(field.unit)),
  );
  return {
    element: input,
    show({ value, given, disabled }) {
      const text = showValue(value);
      input.toggleAttribute('disabled', disabled);
      input.setAttribute('placeholder', !given && text === '' ? (numeric ? '–' : t('not set')) : '');
      if (document.activeElement === input) {
        // What is being typed stays, also where it means the same in other letters.
        if (timer !== undefined) return;
        const read = readText(field, input.value);
        if (!('error' in read) && showValue(read.value) === text) {
          shownText = input.value;
          sent = false;
          return;
        }
        if (sent) return;
      }
      sent = false;
      shownText = text;
      if (input.value !== text) input.value = text;
    },
    focus: () => input.focus(),
  };
}

/** `optimizer steps` takes more room than a field has. */
function unitText(unit: string): string {
  return unit.replace('optimizer ', '');
}

/**
 * A row of a property sheet. `change` gets undefined where the setting shall go back to its default; `preview` hears every
 * key while a value is being typed.
 */
export function settingRow(
  field: SettingField,
  change: (value: SettingValue | undefined) => void,
  preview: (value: SettingValue | undefined) => void = () => undefined,
): Control {
  const wide =
    !['integer', 'number', 'boolean', 'enum'].includes(field.type) && choicesOf(field) === undefined;
  const mistake = el('div', { class: 'mistake err tiny', id: `m-${field.key}`, role: 'alert', hidden: true });
  let told: string | null = null;
  let own: string | null = null;
  const complain = (): void => {
    const text = own ?? told;
    mistake.hidden = text === null;
    mistake.textContent = text ?? '';
    row.classList.toggle('bad', text !== null);
    control.element.setAttribute('aria-invalid', String(text !== null));
  };
  const control =
    choiceControl(field, change) ??
    textControl(
      field,
      change,
      (error) => {
        own = error;
        complain();
      },
      preview,
    );
  const reset = action(t('Reset'), () => change(undefined), {
    class: 'plain link tiny reset',
    'aria-label': t('Reset {0} to its default', field.key),
    title: t('Back to the default: {0}', showValue(field.default) || t('not set')),
  });
  const row = el(
    'div',
    { class: `lw-prop${wide ? ' long' : ''}`, dataset: { key: field.key } },
    el(
      'span',
      { class: 'key' },
      el('label', { for: `f-${field.key}`, title: field.description }, field.key),
      reset,
    ),
    control.element,
    mistake,
  );
  return {
    element: row,
    show(shown) {
      const standard = JSON.stringify(shown.value ?? null) === JSON.stringify(field.default ?? null);
      row.classList.toggle('changed', shown.given && !standard && field.required !== true);
      row.classList.toggle('off', shown.disabled);
      reset.hidden = !shown.given || field.required === true;
      told = shown.problem;
      control.show(shown);
      complain();
    },
    focus: control.focus,
  };
}
