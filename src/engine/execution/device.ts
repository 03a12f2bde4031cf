// From the word in a recipe (`auto`, `cpu`, `cuda:1`, `webgpu`) to an open runtime.
import type { DeviceParams } from '../../protocol/trainer';
import { openRuntime, type Runtime } from '../session';
import { chooseDevice } from './deviceName';

export { chooseDevice };

/** Opens the runtime on the chosen device. The caller closes it. */
export function openDevice({ device, threads }: DeviceParams): Runtime {
  return openRuntime({ device: chooseDevice(device), ...(threads > 0 ? { threads } : {}) });
}
