// The device's dropdown: the recipe's own words for devices and every GPU that was found, with its free memory. It asks for
// an edit and is told what stands in the recipe.
import type { DeviceFacts, FormField } from '../../src/protocol/panels/configure';
import { el } from '../shared/dom';
import { bytesText } from '../shared/format';
import { dropdown } from '../shared/forms';

/** One entry of the list. */
export interface DeviceOption {
  value: string;
  text: string;
  title: string;
}

const gib = 1024 ** 3;

/** The recipe's words, with the GPUs in the place of `cuda` where there are some. `cuda` alone stays while it is chosen. Pure. */
export function deviceOptions(
  choices: readonly { id: unknown; label: string }[],
  devices: readonly DeviceFacts[],
  chosen: string,
): DeviceOption[] {
  return choices.flatMap(({ id, label }): DeviceOption[] => {
    const word = { value: String(id), text: String(id), title: label };
    if (id !== 'cuda' || devices.length === 0) return [word];
    const listed = devices.map((device) => ({
      value: device.id,
      text: device.freeBytes === null ? device.id : `${device.id}, ${gigabytes(device.freeBytes)} free`,
      title: deviceSentence(device),
    }));
    return chosen === 'cuda' ? [word, ...listed] : listed;
  });
}

/** `NVIDIA H200: 61.2 GiB of 139.8 GiB free, 35 % busy`. */
export function deviceSentence({ name, freeBytes, totalBytes, utilization, split }: DeviceFacts): string {
  if (split) return `${name}: split into parts (MIG), free memory unknown`;
  const memory =
    freeBytes === null
      ? 'free memory unknown'
      : `${bytesText(freeBytes)}${totalBytes === null ? '' : ` of ${bytesText(totalBytes)}`} free`;
  return `${name}: ${memory}${utilization === null ? '' : `, ${Math.round(100 * utilization)} % busy`}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / gib).toFixed(bytes < 10 * gib ? 1 : 0)} GiB`;
}

export class DevicePicker {
  readonly #list: ReturnType<typeof dropdown>;
  /** What is known of the chosen device. */
  readonly facts = el('div', { class: 'small muted', hidden: true });
  #field: FormField | undefined;
  #devices: readonly DeviceFacts[] = [];

  constructor(choose: (value: string) => void) {
    this.#list = dropdown('Device', choose, { id: 'f-device' });
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
