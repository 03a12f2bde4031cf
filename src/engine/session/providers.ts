// How CUDA and WebGPU join a session: their settings, the files they need, and what to do where they are missing.
import { SessionError } from '../errors';
import type { RuntimeOptions } from './contract';
import { cudaRuntime, obstacle } from './cudaLibraries';
import { CudaQueue } from './cudaQueue';
import type { Environment } from './environment';
import { withArenaConfig } from './environment';
import type { RuntimeFiles } from './library';
import type { Pointer } from './ortApi';
import { ort } from './ortSignatures';
import { hasCudaInterface, registerProvider } from './registeredProvider';
import type { Transfers } from './transfers';

/** How one provider differs from another. */
export interface Provider {
  kind: 'cuda' | 'webgpu';
  index: number;
  /** What to do when the device does not open. */
  remedy: string;
  /** @throws SessionError before anything native is tried, where a file is missing. */
  check(): void;
  /** The queue on which all sessions work, once `check` has passed; undefined where each has its own. */
  openQueue?(): Transfers | undefined;
  append(sessionOptions: Pointer): void;
  /** Makes all sessions share one arena; false where each keeps its own. */
  shareArena(): boolean;
}

/** The provider of the chosen device. */
export function provider(environment: Environment, options: RuntimeOptions, files: RuntimeFiles): Provider {
  return options.device.kind === 'cuda' ? cuda(environment, options, files) : webgpu(environment, options);
}

const strategies = {
  'same-as-requested': 'kSameAsRequested',
  'next-power-of-two': 'kNextPowerOfTwo',
} as const;

/** CUDA's settings by ONNX Runtime's names. */
export function cudaSettings(options: RuntimeOptions, index: number): Record<string, string> {
  return {
    device_id: String(index),
    arena_extend_strategy: strategies[options.arenaGrowth ?? 'same-as-requested'],
    use_tf32: options.tf32 ? '1' : '0',
    ...(options.memoryLimitBytes ? { gpu_mem_limit: String(options.memoryLimitBytes) } : {}),
  };
}

function cuda(environment: Environment, options: RuntimeOptions, files: RuntimeFiles): Provider {
  const { api, pointer: env } = environment;
  const index = options.device.index ?? 0;
  const settings = cudaSettings(options, index);
  const keys = Object.keys(settings);
  const values = Object.values(settings);
  const remedy = 'Run lora-workbench doctor to see what CUDA needs here, or choose device cpu.';
  // Builds without CUDA's interface in the core, and plugins, take it as a registered library.
  let registered: Pointer | undefined;
  let queue: CudaQueue | undefined;
  return {
    kind: 'cuda',
    index,
    remedy,
    check: () => {
      const { cuda: found, problem } = files;
      if (problem !== undefined) throw unavailable('cuda', index, problem.message, problem.remedy, problem);
      if (found === undefined) {
        throw unavailable(
          'cuda',
          index,
          `the CUDA provider of ONNX Runtime ${api.version} is not installed`,
          'Run lora-workbench doctor --install-cuda (in VS Code: Install CUDA Runtime), or choose device cpu.',
        );
      }
      const reason = obstacle(found, index);
      if (reason !== null) throw unavailable('cuda', index, reason, remedy);
      if (found.kind === 'bridge' && hasCudaInterface(api)) return;
      try {
        registered = registerProvider(environment, found.provider, index);
      } catch (cause) {
        throw unavailable('cuda', index, (cause as Error).message, remedy, cause);
      }
    },
    openQueue: () => {
      const library =
        registered === undefined && options.queue !== false ? cudaRuntime(files.cuda!) : undefined;
      queue = library && new CudaQueue(library, api, index);
      return queue;
    },
    append: (sessionOptions) => {
      if (registered !== undefined) {
        // The device says which one it is.
        const own = keys.filter((key) => key !== 'device_id');
        const given = own.map((key) => settings[key] as string);
        const device = BigUint64Array.of(registered);
        const append = 'SessionOptionsAppendExecutionProvider_V2';
        api.call(append, sessionOptions, env, device, 1, own, given, own.length);
        return;
      }
      const cudaOptions = api.make('CreateCUDAProviderOptions');
      try {
        api.call('UpdateCUDAProviderOptions', cudaOptions, keys, values, keys.length);
        if (queue)
          api.call('UpdateCUDAProviderOptionsWithValue', cudaOptions, 'user_compute_stream', queue.stream);
        api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', sessionOptions, cudaOptions);
      } finally {
        api.get('ReleaseCUDAProviderOptions', cudaOptions);
      }
    },
    shareArena: () => {
      if (registered !== undefined) return false;
      const info = api.make('CreateMemoryInfo', 'Cuda', ort.allocator.device, index, ort.memory.default);
      try {
        withArenaConfig(api, options.memoryLimitBytes ?? 0, (config) => {
          const provider = 'CUDAExecutionProvider';
          api.call('CreateAndRegisterAllocatorV2', env, provider, info, config, keys, values, keys.length);
        });
        return true;
      } catch {
        // Builds without CUDA in the core refuse this; opening the session then says why, or works with its own arena.
        return false;
      } finally {
        api.get('ReleaseMemoryInfo', info);
      }
    },
  };
}

function webgpu(environment: Environment, options: RuntimeOptions): Provider {
  const index = options.device.index ?? 0;
  const remedy = 'Install a driver with Vulkan, Metal or Direct3D 12, or choose device cpu.';
  return {
    kind: 'webgpu',
    index,
    remedy,
    check: () => {
      if (index === 0) return;
      throw unavailable('webgpu', index, 'WebGPU offers one device only', 'Choose index 0.');
    },
    append: (sessionOptions) =>
      environment.api.call('SessionOptionsAppendExecutionProvider', sessionOptions, 'WebGPU', [], [], 0),
    shareArena: () => false,
  };
}

export function unavailable(
  kind: string,
  index: number,
  reason: string,
  remedy: string,
  cause?: unknown,
): SessionError {
  return new SessionError({
    code: 'device-unavailable',
    message: `The device ${kind}:${index} cannot be opened: ${reason}.`,
    remedy,
    facts: { device: kind, index },
    cause,
  });
}
