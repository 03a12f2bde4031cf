// How CUDA and WebGPU join a session: their settings, the files they need, and what to do where they are missing.
import { existsSync } from 'node:fs';
import { SessionError } from '../errors';
import type { RuntimeOptions } from './contract';
import type { Environment } from './environment';
import { withArenaConfig } from './environment';
import { cudaProviderPath } from './library';
import type { Pointer } from './ortApi';
import { ort } from './ortSignatures';

/** How one provider differs from another. */
export interface Provider {
  kind: 'cuda' | 'webgpu';
  index: number;
  /** What to do when the device does not open. */
  remedy: string;
  /** @throws SessionError before anything native is tried, where a file is missing. */
  check(): void;
  append(sessionOptions: Pointer): void;
  /** Makes all sessions share one arena; false where each keeps its own. */
  shareArena(): boolean;
}

/** The provider of the chosen device. */
export function provider(environment: Environment, options: RuntimeOptions, library: string): Provider {
  return options.device.kind === 'cuda' ? cuda(environment, options, library) : webgpu(environment, options);
}

function cuda(environment: Environment, options: RuntimeOptions, library: string): Provider {
  const { api, pointer: env } = environment;
  const index = options.device.index ?? 0;
  const settings: Record<string, string> = {
    device_id: String(index),
    arena_extend_strategy: 'kSameAsRequested',
    use_tf32: options.tf32 ? '1' : '0',
  };
  if (options.memoryLimitBytes) settings.gpu_mem_limit = String(options.memoryLimitBytes);
  const keys = Object.keys(settings);
  const values = Object.values(settings);
  const providerFile = cudaProviderPath(library);
  const remedy = `Check the NVIDIA driver and that the CUDA libraries are on the loader's path, or choose device cpu.`;
  return {
    kind: 'cuda',
    index,
    remedy,
    check: () => {
      if (existsSync(providerFile)) return;
      throw unavailable(
        'cuda',
        index,
        `ONNX Runtime's CUDA provider ${providerFile} is not there`,
        `Put the CUDA provider's files of ONNX Runtime ${api.version} beside ${library}, or choose device cpu.`,
      );
    },
    append: (sessionOptions) => {
      const cudaOptions = api.make('CreateCUDAProviderOptions');
      try {
        api.call('UpdateCUDAProviderOptions', cudaOptions, keys, values, keys.length);
        api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', sessionOptions, cudaOptions);
      } finally {
        api.get('ReleaseCUDAProviderOptions', cudaOptions);
      }
    },
    shareArena: () => {
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
