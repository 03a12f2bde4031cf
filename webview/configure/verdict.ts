// Whether a run fits, in words: on its device, and in system memory where that is another place. Pure.
import type { MemoryForecast } from '../../src/protocol/panels/configure';
import { bytesText, fixed } from '../shared/format';
import { t } from '../shared/texts';

const gib = 1024 ** 3;

/** Words of the verdict: of the device, and of system memory where that is another and too small. */
export function verdictText(forecast: MemoryForecast): string {
  const { totalBytes, availableBytes, hostBytes, availableHostBytes, device } = forecast;
  const beside = isOverBeside(forecast)
    ? t('Over by {0} in system memory', amountText(hostBytes - (availableHostBytes ?? 0)))
    : null;
  if (availableBytes === null) return beside ?? t('Free memory of {0} unknown', device);
  const rest = availableBytes - totalBytes;
  if (rest >= 0) return beside ?? t('Fits, {0} to spare', amountText(rest));
  const over = t('Over by {0}', amountText(-rest));
  return beside === null ? over : t('{0} on {1}; {2}', over, device, beside);
}

function amountText(amount: number): string {
  return amount >= gib / 20 ? `${fixed(amount / gib, 1)} GiB` : bytesText(amount);
}

/** Whether it surely does not fit, in one place or the other. */
export function isOver(forecast: MemoryForecast): boolean {
  return isOverOnDevice(forecast) || isOverBeside(forecast);
}

export function isOverOnDevice({ totalBytes, availableBytes }: MemoryForecast): boolean {
  return availableBytes !== null && totalBytes > availableBytes;
}

export function isOverBeside({ hostBytes, availableHostBytes }: MemoryForecast): boolean {
  return availableHostBytes !== null && hostBytes > availableHostBytes;
}

/** What the workspace holds; on CUDA, how much of it is CUDA's and how that is known. */
export function workspaceNote({ context }: MemoryForecast): string | undefined {
  if (context === null) return undefined;
  const own = bytesText(context.bytes);
  return context.measured
    ? t('batches, arena; CUDA itself {0}, measured here', own)
    : t('batches, arena; CUDA itself {0}, estimated until a run measures it', own);
}
