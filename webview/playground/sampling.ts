// The settings of sampling as text fields. What was kept comes in, numbers for a request come out.
import { el } from '../shared/dom';
import { t } from '../shared/texts';

export type SettingKey = 'temperature' | 'top_p' | 'max_new_tokens' | 'seed';

type Field = HTMLElement & { value: string };

export class Sampling {
  readonly element: HTMLElement;
  readonly #fields: ReadonlyMap<SettingKey, Field>;

  constructor(kept: Partial<Record<SettingKey, string>> | undefined, onChange: () => void) {
    const settings: [SettingKey, string, string][] = [
      ['temperature', '0', t('0 takes the most likely token each time')],
      ['top_p', '1', t('the smallest set of tokens that adds up to this probability')],
      ['max_new_tokens', '160', t('most tokens of an answer')],
      ['seed', '42', t('the same seed gives the same text')],
    ];
    this.#fields = new Map(
      settings.map(([key, value, title]) => [
        key,
        el<Field>('vscode-text-field', {
          id: key,
          value: kept?.[key] ?? value,
          title,
          'aria-label': `${key}: ${title}`,
          on: { change: onChange },
        }),
      ]),
    );
    this.element = el(
      'section',
      {},
      el('h2', {}, t('Sampling')),
      [...this.#fields].map(([key, field]) =>
        el('div', { class: 'lw-prop' }, el('label', { for: key }, key), field),
      ),
    );
  }

  /** As typed, to be kept. */
  get values(): Record<SettingKey, string> {
    return Object.fromEntries([...this.#fields].map(([key, field]) => [key, field.value])) as Record<
      SettingKey,
      string
    >;
  }

  /** As a request takes them; a comma is read as a decimal point. */
  get numbers(): { temperature: number; topP: number; topK: number; maxNewTokens: number; seed: number } {
    const number = (key: SettingKey): number => Number(this.#fields.get(key)!.value.replaceAll(',', '.'));
    return {
      temperature: number('temperature'),
      topP: number('top_p'),
      topK: 0,
      maxNewTokens: number('max_new_tokens'),
      seed: number('seed'),
    };
  }
}
