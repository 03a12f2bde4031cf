// From the word in a recipe (`auto`, `cpu`, `cuda:1`, `webgpu`) to an open runtime.
import type { DeviceParams } from '../../protocol/trainer';
import { openRuntime, type Runtime } from '../session';
import { chooseDevice } from './deviceName';
import { cpuSettings, gpuSettings } from './deviceSettings';

export { chooseDevice };

/** Opens the runtime on the chosen device. The caller closes it. */
export function openDevice({ device, threads }: DeviceParams): Runtime {
  const choice = chooseDevice(device);
  return openRuntime({
    device: choice,
    ...(threads > 0 ? { threads } : {}),
    ...(choice.kind === 'cuda' ? gpuSettings() : choice.kind === 'cpu' ? cpuSettings() : {}),
  });
}
