// The device's dropdown: the recipe's own words for devices and every GPU that was found, with its free memory. It asks for
// an edit and is told what stands in the recipe.
import type { DeviceFacts, FormField } from '../../src/protocol/panels/configure';
import { el } from '../shared/dom';
import { dropdown } from '../shared/forms';
import { t } from '../shared/texts';
import { deviceOptions, deviceSentence } from './deviceText';

export class DevicePicker {
  readonly #list: ReturnType<typeof dropdown>;
  /** What is known of the chosen device. */
  readonly facts = el('div', { class: 'small muted', hidden: true });
  #field: FormField | undefined;
  #devices: readonly DeviceFacts[] = [];

  constructor(choose: (value: string) => void) {
    this.#list = dropdown(t('Device'), choose, { id: 'f-device' });
  }

  get element(): HTMLElement {
    return this.#list.element;
  }

  showField(field: FormField | undefined, enabled: boolean): void {
    this.#field = field;
    this.element.toggleAttribute('disabled', !enabled);
    this.#show();
  }

  showDevices(devices: readonly DeviceFacts[]): void {
    this.#devices = devices;
    this.#show();
  }

  #show(): void {
    if (this.#field === undefined) return;
    const chosen = String(this.#field.value);
    const device = this.#devices.find(({ id }) => id === (chosen === 'cuda' ? 'cuda:0' : chosen));
    this.facts.hidden = device === undefined;
    this.facts.textContent = device === undefined ? '' : deviceSentence(device);
    // Nothing moves in a list that somebody looks through.
    if (this.element.hasAttribute('open')) return;
    const choices = this.#field.field.type === 'enum' ? this.#field.field.choices : [];
    this.#list.show(deviceOptions(choices, this.#devices, chosen), chosen);
  }
}
