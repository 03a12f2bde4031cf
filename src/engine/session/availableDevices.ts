// Lists the devices that this machine and this installation offer. It opens none of them, so that a listed device may
// still fail to open.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { DeviceDescription } from './contract';
import type { Environment } from './environment';
import { keyValuePairs } from './environment';
import type { Pointer } from './ortApi';
import { epDevices } from './registeredProvider';

const nvidiaFolder = '/proc/driver/nvidia/gpus';

export function availableDevices(environment: Environment, cuda: boolean): DeviceDescription[] {
  const cpu = { kind: 'cpu' as const, index: 0, name: cpus()[0]?.model.trim() || process.arch };
  return [cpu, ...(cuda ? cudaDevices() : []), ...webgpuDevices(environment)];
}

/** NVIDIA's driver lists its devices as files; the order is that of the bus, as with CUDA_DEVICE_ORDER=PCI_BUS_ID. */
function cudaDevices(): DeviceDescription[] {
  if (!existsSync(nvidiaFolder)) return [];
  return readdirSync(nvidiaFolder)
    .sort()
    .map((slot, index) => {
      const information = readFileSync(join(nvidiaFolder, slot, 'information'), 'utf8');
      const name = /^Model:\s*(.+)$/m.exec(information)?.[1]?.trim() ?? 'NVIDIA GPU';
      return { kind: 'cuda', index, name };
    });
}

function webgpuDevices(environment: Environment): DeviceDescription[] {
  const { api } = environment;
  const found = epDevices(environment).find(
    (device) => api.get('EpDevice_EpName', device) === 'WebGpuExecutionProvider',
  );
  if (found === undefined) return [];
  const hardware = api.get('EpDevice_Device', found) as Pointer;
  const metadata = keyValuePairs(api, api.get('HardwareDevice_Metadata', hardware) as Pointer);
  const name =
    metadata.get('Description') ?? `${api.get('HardwareDevice_Vendor', hardware) ?? ''} GPU`.trim();
  return [{ kind: 'webgpu', index: 0, name }];
}
