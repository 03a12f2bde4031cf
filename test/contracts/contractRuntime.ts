// The runtime that contract tests run on: the CPU with one thread, or the device that CONTRACT_DEVICE names (cuda, cuda:1,
// webgpu), so that the same tests prove a method on a GPU. There the thread count and the spinning mean nothing.
import { chooseDevice } from '../../src/engine/execution/device';
import { gpuSettings } from '../../src/engine/execution/deviceSettings';
import { openRuntime, type Runtime } from '../../src/engine/session';

export const contractDevice = process.env.CONTRACT_DEVICE ?? 'cpu';

/**
 * How far logits over a key/value cache may lie from those of the whole text: on CUDA that attention takes fp16 or bf16 alone
 * (GroupQueryAttention), whatever the rest is computed in.
 */
export const cachedTolerance = (exact: number): number =>
  contractDevice.startsWith('cuda') ? 1.5e-2 : exact;

export function contractRuntime(): Runtime {
  const device = chooseDevice(contractDevice);
  // A limit of the machine's GPU, and whether it is worked ahead of, hold for tests too.
  return openRuntime({
    device,
    threads: 1,
    spinning: false,
    ...(device.kind === 'cuda' ? gpuSettings() : {}),
  });
}
