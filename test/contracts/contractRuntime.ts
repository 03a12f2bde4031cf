// The runtime that contract tests run on: the CPU with one thread, or the device that CONTRACT_DEVICE names (cuda, cuda:1,
// webgpu), so that the same tests prove a method on a GPU. There the thread count and the spinning mean nothing.
import { chooseDevice } from '../../src/engine/execution/device';
import { openRuntime, type Runtime } from '../../src/engine/session';

export const contractDevice = process.env.CONTRACT_DEVICE ?? 'cpu';

export function contractRuntime(): Runtime {
  return openRuntime({ device: chooseDevice(contractDevice), threads: 1, spinning: false });
}
