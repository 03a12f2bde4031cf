// From the words in a recipe (`dtype`, `device`) to what programs compute in.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { RecipeError } from '../errors';
import { bfloat16Capability, type FloatType, type Precision, precisionFor } from '../graph/precision';
import type { DeviceChoice } from '../session';

/**
 * What to compute in. Asks the driver for the compute capability of a CUDA device.
 * @throws RecipeError `dtype-unsupported` where the device has no such type.
 */
export async function choosePrecision(dtype: 'auto' | FloatType, device: DeviceChoice): Promise<Precision> {
  const { kind, index = 0 } = device;
  const capability = kind === 'cuda' && dtype !== 'float32' ? await computeCapability(index) : null;
  if (dtype === 'bfloat16' && kind === 'webgpu')
    throw unsupported('webgpu has no bfloat16', 'Set dtype: float16 or float32.');
  if (dtype === 'bfloat16' && capability !== null && capability < bfloat16Capability) {
    const what = `cuda:${index} has compute capability ${capability.toFixed(1)}, and bfloat16 needs ${bfloat16Capability.toFixed(1)}`;
    throw unsupported(what, 'Set dtype: float16.');
  }
  return precisionFor(dtype, kind, capability);
}

/** Of an NVIDIA device, as the driver's tool tells it; null where it does not. */
async function computeCapability(index: number): Promise<number | null> {
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader', '-i', String(index)];
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 10_000 });
    const capability = Number(stdout.trim());
    return stdout.trim() !== '' && Number.isFinite(capability) ? capability : null;
  } catch {
    return null;
  }
}

function unsupported(what: string, remedy: string): RecipeError {
  return new RecipeError({
    code: 'dtype-unsupported',
    message: `dtype: bfloat16 cannot be used: ${what}.`,
    remedy,
  });
}
