// Opens a runtime on the CPU for the length of one test.
import type { Runtime, RuntimeOptions } from '../../../src/engine/session';
import { openRuntime } from '../../../src/engine/session';

export async function onCpu(
  use: (runtime: Runtime) => Promise<void> | void,
  options: Partial<RuntimeOptions> = {},
): Promise<void> {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, ...options });
  try {
    await use(runtime);
  } finally {
    await runtime.close();
  }
}

/** The same runtime under the name of a CUDA device: graphs are emitted as for CUDA, checked for it, and run on the CPU. */
export function posingAsCuda(runtime: Runtime): Runtime {
  return new Proxy(runtime, {
    get(target, key) {
      if (key === 'device') return { ...target.device, kind: 'cuda' };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** For `assert.throws` and `assert.rejects`: a SessionError with this code and a remedy. */
export function sessionError(code: string, message: RegExp = /./) {
  return (error: unknown): boolean => {
    const found = error as { name?: string; code?: string; message?: string; remedy?: string };
    if (found.name !== 'SessionError' || found.code !== code || !found.remedy) throw error;
    if (!message.test(found.message ?? '')) throw error;
    return true;
  };
}
