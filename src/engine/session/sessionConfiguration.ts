// Turns our session options into ONNX Runtime's. The defaults keep the order and the recomputation that the emitter
// chose (measured: they hold the peak of activations at a third to a half).
import type { SessionOptions } from './contract';
import type { Device } from './device';
import type { Environment } from './environment';
import type { Pointer } from './ortApi';
import { ort } from './ortSignatures';

const undoesRecomputation = ['CommonSubexpressionElimination', 'ConstantFolding'];
/** Its CUDA kernel asks for cuDNN whatever the size (ONNX Runtime 1.30), which Add and Softmax do not. */
const needsCudnn = ['BiasSoftmaxFusion'];

/** Makes an OrtSessionOptions for a device, hands it to `use`, and frees it when that has settled. */
export async function withSessionOptions<T>(
  environment: Environment,
  device: Device,
  options: SessionOptions,
  /** The runtime's default of `disableCpuFallback`. */
  fallbackDisabled: boolean,
  use: (sessionOptions: Pointer) => Promise<T>,
): Promise<T> {
  const { api } = environment;
  const target = api.make('CreateSessionOptions');
  const entry = (key: string, value: string) => api.call('AddSessionConfigEntry', target, key, value);
  try {
    api.call('DisablePerSessionThreads', target);
    api.call('SetSessionGraphOptimizationLevel', target, ort.optimization[options.optimization ?? 'all']);
    api.call(options.memoryPattern ? 'EnableMemPattern' : 'DisableMemPattern', target);
    const disabled = options.disabledOptimizers ?? [
      ...undoesRecomputation,
      ...(device.kind === 'cuda' ? needsCudnn : []),
    ];
    if (disabled.length > 0) entry('optimization.disable_specified_optimizers', disabled.join(';'));
    if (!options.prepacking) entry('session.disable_prepacking', '1');
    if (device.kind !== 'cpu' && (options.disableCpuFallback ?? fallbackDisabled))
      entry('session.disable_cpu_ep_fallback', '1');
    if (options.recordAssignments) entry('session.record_ep_graph_assignment_info', '1');
    if (options.externalDataFolder !== undefined) {
      entry('session.model_external_initializers_file_folder_path', options.externalDataFolder);
    }
    for (const [name, value] of Object.entries(options.dimensions ?? {})) {
      api.call('AddFreeDimensionOverrideByName', target, name, value);
    }
    if (options.profilePrefix !== undefined) api.call('EnableProfiling', target, options.profilePrefix);
    if (options.optimizedModelPath !== undefined)
      api.call('SetOptimizedModelFilePath', target, options.optimizedModelPath);
    device.configure(target);
    return await use(target);
  } finally {
    api.get('ReleaseSessionOptions', target);
  }
}
