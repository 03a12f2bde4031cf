// Reads the word for a device in a recipe: `auto`, `cpu`, `cuda:1`, `webgpu`. Opens nothing.
import { RecipeError } from '../errors';
import type { DeviceChoice } from '../session';

/** The device that a setting names. `auto` is the CPU: a faster device is used when it is asked for by name. */
export function chooseDevice(text: string): DeviceChoice {
  if (text === 'auto' || text === 'cpu') return { kind: 'cpu' };
  if (text === 'webgpu') return { kind: 'webgpu' };
  const cuda = /^cuda(?::(\d+))?$/.exec(text);
  if (cuda) return { kind: 'cuda', index: Number(cuda[1] ?? 0) };
  throw new RecipeError({
    code: 'device-unknown',
    message: `There is no device called ${JSON.stringify(text)}; known are auto, cpu, cuda, cuda:<number> and webgpu.`,
    remedy: 'Set device to one of them.',
  });
}
