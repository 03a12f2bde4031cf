// Whether a device's programs join products of one activation (graph/passes/join.ts).
import { RecipeError } from '../errors';
import type { JoinRule } from '../graph/passes/join';
import type { DeviceKind } from '../session';

/** `0` joins nothing, `all` whatever can be joined, on any device but WebGPU. */
export const joinVariable = 'LORA_WORKBENCH_JOIN_PRODUCTS';

/**
 * Elements that a GPU moves in the time that one more kernel takes: 4 µs at 1 TB/s and two bytes each way of an element. An
 * estimate: it has not been measured on a GPU.
 */
const launchElements = 2 ** 21;

/** Joins where the kernels saved outweigh the copies of splitting and of putting together. */
export const worthwhile: JoinRule = (saved, moved) => saved * launchElements > moved;
export const whatever: JoinRule = () => true;

/**
 * The rule of a device's programs; undefined joins nothing. On the CPU a kernel costs nothing to start, and base weights of
 * their own would be copies of the mapped file. WebGPU has no tensors within tensors.
 * @throws RecipeError `setting-invalid`.
 */
export function joinRule(
  device: DeviceKind,
  env: Readonly<Record<string, string | undefined>> = process.env,
): JoinRule | undefined {
  const setting = env[joinVariable] ?? '';
  if (!['', '0', 'all'].includes(setting)) {
    throw new RecipeError({
      code: 'setting-invalid',
      message: `${joinVariable} is ${JSON.stringify(setting)}; expected 0 or all.`,
      remedy: `Set ${joinVariable} to 0 or all, or unset it.`,
    });
  }
  if (setting === '0' || device === 'webgpu') return undefined;
  if (setting === 'all') return whatever;
  return device === 'cuda' ? worthwhile : undefined;
}
