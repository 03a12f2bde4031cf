// Settings of the GPU that belong to the machine and not to a recipe: how much of its memory may be taken, and how its arena
// grows. They come as environment variables, which the editor's setting `loraWorkbench.environment` sets too.
import { RecipeError } from '../errors';
import type { RuntimeOptions } from '../session';

export const memoryLimitVariable = 'LORA_WORKBENCH_GPU_MEMORY_LIMIT';
/** Bounds what runs on the CPU may use for activations. */
export const cpuLimitVariable = 'LORA_WORKBENCH_CPU_MEMORY_LIMIT';
export const arenaVariable = 'LORA_WORKBENCH_GPU_ARENA';
/** `0` makes every run and every copy on CUDA a wait, to tell whether a fault comes from working ahead of the device. */
export const queueVariable = 'LORA_WORKBENCH_GPU_QUEUE';
/**
 * Whether programs of fixed shape run as CUDA graphs: `true`, `false`, or `auto`, which is `false` until it has been measured
 * (bench/gpu.mjs measures both).
 */
export const graphVariable = 'LORA_WORKBENCH_CUDA_GRAPH';

const units: Readonly<Record<string, number>> = {
  '': 1,
  MB: 1e6,
  GB: 1e9,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};
const growths = ['same-as-requested', 'next-power-of-two'] as const;

/** @throws RecipeError `setting-invalid`. */
export function gpuSettings(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Pick<RuntimeOptions, 'memoryLimitBytes' | 'arenaGrowth' | 'queue' | 'graphs'> {
  const [limit, arena, queue] = [env[memoryLimitVariable], env[arenaVariable], env[queueVariable]];
  const growth = growths.find((name) => name === arena);
  if (arena && growth === undefined) throw invalid(arenaVariable, arena, `one of ${growths.join(' and ')}`);
  const graph = env[graphVariable];
  if (graph && !['auto', 'true', 'false'].includes(graph))
    throw invalid(graphVariable, graph, 'auto, true or false');
  if (queue && queue !== '0' && queue !== '1') throw invalid(queueVariable, queue, '0 or 1');
  return {
    ...(limit ? { memoryLimitBytes: bytesOf(limit) } : {}),
    ...(queue === '0' ? { queue: false } : {}),
    ...(graph === 'true' ? { graphs: true } : {}),
    ...(growth === undefined ? {} : { arenaGrowth: growth }),
  };
}

/** @throws RecipeError `setting-invalid`. */
export function cpuSettings(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Pick<RuntimeOptions, 'memoryLimitBytes'> {
  const limit = env[cpuLimitVariable];
  return limit ? { memoryLimitBytes: bytesOf(limit, cpuLimitVariable) } : {};
}

function bytesOf(text: string, variable = memoryLimitVariable): number {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (units[unit.toUpperCase()] ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes >= 2 ** 20) return bytes;
  throw invalid(variable, text, 'a size of at least 1 MiB such as 20GiB or 20000MB');
}

function invalid(name: string, found: string, expected: string): RecipeError {
  return new RecipeError({
    code: 'setting-invalid',
    message: `${name} is ${JSON.stringify(found)}; expected ${expected}.`,
    remedy: `Set ${name} to ${expected}, or unset it.`,
  });
}
