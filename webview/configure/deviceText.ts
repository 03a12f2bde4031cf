// Devices → the list that a person chooses from, and a sentence on each. Pure.
import type { DeviceFacts } from '../../src/protocol/panels/configure';
import { bytes, bytesText, fixed } from '../shared/format';
import { t } from '../shared/texts';

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
      text:
        device.freeBytes === null ? device.id : t('{0}, {1} free', device.id, gigabytes(device.freeBytes)),
      title: deviceSentence(device),
    }));
    return chosen === 'cuda' ? [word, ...listed] : listed;
  });
}

/** `NVIDIA H200: 61.2 of 139.8 GiB free, 35 % busy`. */
export function deviceSentence({ name, freeBytes, totalBytes, utilization, split }: DeviceFacts): string {
  if (split) return `${name}: ${t('split into parts (MIG), free memory unknown')}`;
  const memory =
    freeBytes === null
      ? t('free memory unknown')
      : totalBytes === null
        ? t('{0} free', bytesText(freeBytes))
        : t('{0} of {1} free', amountOf(freeBytes, totalBytes), bytesText(totalBytes));
  if (utilization === null) return `${name}: ${memory}`;
  const percent = Math.round(100 * utilization);
  return `${name}: ${memory}, ${percent === 0 ? t('idle') : t('{0} % busy', percent)}`;
}

/** Without its unit where the whole has the same. */
function amountOf(part: number, whole: number): string {
  const [amount, unit] = bytes(part);
  return unit === bytes(whole)[1] ? amount : bytesText(part);
}

function gigabytes(bytes: number): string {
  return bytes < gib ? bytesText(bytes) : `${fixed(bytes / gib, bytes < 10 * gib ? 1 : 0)} GiB`;
}
