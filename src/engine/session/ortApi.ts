// Turns a loaded ONNX Runtime library into callable functions whose failures are SessionErrors. It knows statuses and
// pointers, not what a session or a tensor is for.

import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
import { SessionError } from '../errors';
import { apiVersion, plainFunctions, statusFunctions } from './ortSignatures';

/** An address in this process; null pointers are null. */
export type Pointer = bigint;
export type Argument = Pointer | number | string | null | ArrayBufferView | unknown[];

export type StatusFunction = keyof typeof statusFunctions;
export type PlainFunction = keyof typeof plainFunctions;

type Native = ((...args: Argument[]) => unknown) & {
  async(...args: [...Argument[], (error: unknown, result: unknown) => void]): void;
};

// A call runs on a stack that koffi allocates; its 128 KiB for asynchronous calls are too few for graph rewriting and
// for kernels that run on the calling thread. Pages that are never touched cost nothing.
const callStackBytes = 8 << 20;
let stackIsSet = false;
function enlargeCallStacks(): void {
  if (stackIsSet) return;
  koffi.config({ ...koffi.config(), sync_stack_size: callStackBytes, async_stack_size: callStackBytes });
  stackIsSet = true;
}

export class OrtApi {
  readonly version: string;
  private readonly status = new Map<StatusFunction, Native>();
  private readonly plain = new Map<PlainFunction, Native>();

  private constructor(
    // Held for its own sake: koffi unloads a library whose handle is collected, whatever still points into it.
    readonly library: LibraryHandle,
    table: Pointer,
    version: string,
  ) {
    this.version = version;
    for (const [name, [place, args]] of entries(statusFunctions)) {
      this.status.set(name, native(table, place, 'void *', args));
    }
    for (const [name, [place, result, args]] of entries(plainFunctions)) {
      this.plain.set(name, native(table, place, result, args));
    }
    this.probe();
  }

  /** @throws SessionError `runtime-version` where the library is older than the table we know. */
  static from(openLibrary: () => LibraryHandle): OrtApi {
    enlargeCallStacks();
    const library = openLibrary();
    // OrtApiBase is two function pointers: GetApi(version), GetVersionString().
    const base = library.func('OrtGetApiBase', 'void *', [])() as Pointer;
    const version = String(native(base, 1, 'str', [])());
    const table = native(base, 0, 'void *', ['uint32'])(apiVersion) as Pointer | null;
    if (table === null) {
      throw new SessionError({
        code: 'runtime-version',
        message: `ONNX Runtime ${version} does not offer version ${apiVersion} of its C interface (expected 1.${apiVersion} or newer).`,
        remedy: 'Install the onnxruntime-node version that package.json names.',
      });
    }
    return new OrtApi(library, table, version);
  }

  /** Calls and raises a failed status. */
  call(name: StatusFunction, ...args: Argument[]): void {
    this.raise(name, this.status.get(name)!(...args));
  }

  /** Calls a function whose last argument receives one pointer, and returns that. */
  make(name: StatusFunction, ...args: Argument[]): Pointer {
    const out: [Pointer | null] = [null];
    this.call(name, ...args, out);
    return out[0] as Pointer;
  }

  /** Calls on a worker thread; whatever the arguments point to is kept alive until it settles. */
  callAsync(name: StatusFunction, ...args: Argument[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.status.get(name)!.async(...args, (error, status) => {
        try {
          if (error) throw error;
          this.raise(name, status);
          resolve();
        } catch (failure) {
          reject(failure);
        }
        void args.length;
      });
    });
  }

  /** Calls a function that cannot fail. */
  get(name: PlainFunction, ...args: Argument[]): unknown {
    return this.plain.get(name)!(...args);
  }

  private raise(name: StatusFunction, status: unknown): void {
    if (status === null || status === undefined) return;
    const message = String(this.get('GetErrorMessage', status as Pointer));
    const code = Number(this.get('GetErrorCode', status as Pointer));
    this.get('ReleaseStatus', status as Pointer);
    throw statusError(name, code, message);
  }

  /** Calls four functions whose answers we know, so that a wrong table is noticed here and not in a crash later. */
  private probe(): void {
    const status = this.get('CreateStatus', 2, 'probe') as Pointer;
    const answers = [this.get('GetErrorCode', status), this.get('GetErrorMessage', status)];
    this.get('ReleaseStatus', status);
    const build = String(this.get('GetBuildInfoString'));
    if (answers[0] === 2 && answers[1] === 'probe' && build.includes('ORT Build Info')) return;
    throw new SessionError({
      code: 'runtime-version',
      message: `ONNX Runtime ${this.version} answers its C interface unexpectedly (${answers.join(', ')}; ${build.slice(0, 80)}).`,
      remedy: 'Install the onnxruntime-node version that package.json names.',
    });
  }
}

/** Turns an OrtStatus into the error that a person sees. */
export function statusError(name: string, ortCode: number, message: string): SessionError {
  const facts = { ort_function: name, ort_code: ortCode };
  const words = withoutSource(message);
  if (/terminate flag/i.test(message)) return cancelledRun(facts);
  if (
    /out of memory|failed to allocate memory|bad_alloc|available memory of|CUBLAS_STATUS_ALLOC_FAILED/i.test(
      message,
    )
  ) {
    return new SessionError({
      code: 'out-of-memory',
      message: `The device ran out of memory: ${words}`,
      remedy: 'Lower per_device_train_batch_size or max_length, or turn gradient_checkpointing on.',
      facts,
    });
  }
  return new SessionError({
    code: 'runtime-failed',
    message: `ONNX Runtime refused (${name}): ${words}`,
    remedy: 'Report this with the message and the command that led to it.',
    facts,
  });
}

export function cancelledRun(facts?: Record<string, string | number>): SessionError {
  return new SessionError({
    code: 'run-cancelled',
    message: 'The run was cancelled.',
    remedy: 'Start it again when you want it to go on.',
    ...(facts ? { facts } : {}),
  });
}

/** The message without the source line, function and condition that ONNX Runtime's assertions put before it. */
function withoutSource(message: string): string {
  return message.replace(/\/\S+\.(?:cc|h):\d+ .*? was false\. /g, '').trim();
}

/** Pointers from a C array of them. */
export function pointerArray(array: Pointer | null, count: number): Pointer[] {
  if (array === null || count === 0) return [];
  return koffi.decode(array, 'void *', count) as Pointer[];
}

export function cString(address: Pointer | null): string {
  return address === null ? '' : koffi.decode.string(address);
}

function native(table: Pointer, place: number, result: string, args: readonly string[]): Native {
  const address = koffi.decode(table, place * koffi.sizeof('void *'), 'void *') as Pointer;
  return koffi.decode(address, koffi.proto(result, [...args])) as Native;
}

function entries<T extends object>(table: T): [keyof T, T[keyof T]][] {
  return Object.entries(table) as [keyof T, T[keyof T]][];
}
