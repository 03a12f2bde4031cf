// A provider that joins through its library's path (ONNX Runtime's plugin interface) instead of through functions of the
// core: plugins, and the CUDA provider on builds whose core knows no CUDA.
import type { Environment } from './environment';
import type { OrtApi, Pointer } from './ortApi';
import { pointerArray } from './ortApi';

const registration = 'lora-workbench-cuda';

/** Whether the core was built with CUDA's own functions. */
export function hasCudaInterface(api: OrtApi): boolean {
  try {
    api.get('ReleaseCUDAProviderOptions', api.make('CreateCUDAProviderOptions'));
    return true;
  } catch {
    return false;
  }
}

/** Registers the library and returns its OrtEpDevice of that number. @throws Error where it does not load or offers no such device. */
export function registerProvider(environment: Environment, library: string, index: number): Pointer {
  const { api, pointer } = environment;
  const before = new Set(epDevices(environment));
  api.call('RegisterExecutionProviderLibrary', pointer, registration, library);
  const devices = epDevices(environment).filter((device) => !before.has(device));
  const device = devices[index];
  if (device === undefined)
    throw new Error(`its library offers ${devices.length} devices, and device ${index} is not among them`);
  return device;
}

/** Every pair of provider and device that the environment knows. */
export function epDevices({ api, pointer }: Environment): Pointer[] {
  const array: [Pointer | null] = [null];
  const count: [number] = [0];
  api.call('GetEpDevices', pointer, array, count);
  return pointerArray(array[0], count[0]);
}
