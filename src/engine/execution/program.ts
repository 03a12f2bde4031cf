// A compiled graph with its tensors bound: what is shared (weights, state) is handed in, the rest is fed and read by name.

import { invariant, SessionError } from '../errors';
import { cudaGaps, describeGap } from '../graph/cudaKernels';
import type { Graph, Value } from '../graph/graph';
import { opDefinition } from '../graph/ops';
import { encodeModel } from '../onnx/encode';
import type { DeviceTensor, Fetched, HostArray, Runtime, Session, SessionOptions } from '../session';
import { graphVariable } from './deviceSettings';
import { refuseFallback } from './placement';

/** Inputs of up to so many bytes are compared with what is fed: every copy to a device is a wait. */
const remembered = 1 << 20;

export class Program {
  readonly #own: DeviceTensor[] = [];
  readonly #fed = new Map<string, DeviceTensor>();
  /** What small inputs hold: nothing but `feed` writes to them. */
  readonly #held = new Map<string, Buffer>();
  readonly #read = new Map<string, DeviceTensor>();

  private constructor(
    private readonly runtime: Runtime,
    private readonly session: Session,
    private readonly name: string,
  ) {}

  /**
   * Opens a session for the graph. `shared` maps input and output names to tensors that others own; every other input can
   * be fed and every other output be read.
   */
  static async open(
    runtime: Runtime,
    graph: Graph,
    shared: ReadonlyMap<string, DeviceTensor>,
    options?: SessionOptions,
  ): Promise<Program> {
    const whole = refuseFallback(runtime.device.kind, graph);
    const onHost = hostInputs(graph);
    if (options?.capture && runtime.capturesGraphs) assertCapturable(graph, onHost);
    const session = await runtime.createSession(encodeModel(graph), {
      // Where the user lets operators fall back, the runtime's own default must not refuse them.
      ...(runtime.device.kind === 'cuda' ? { disableCpuFallback: whole } : {}),
      ...options,
    });
    const program = new Program(runtime, session, graph.name);
    const bind = (name: string, value: Value, fed: Map<string, DeviceTensor>): DeviceTensor => {
      const place = onHost.has(value) ? 'host' : 'device';
      const tensor = shared.get(name) ?? runtime.allocate(value.dtype, value.shape, place);
      if (!shared.has(name)) {
        program.#own.push(tensor);
        fed.set(name, tensor);
      }
      return tensor;
    };
    for (const input of graph.inputs) session.bindInput(input.name, bind(input.name, input, program.#fed));
    for (const output of graph.outputs)
      session.bindOutput(output.name, bind(output.name, output.value, program.#read));
    return program;
  }

  /** Copies data into an input, unless it holds the same already; names that the graph does not have are ignored. */
  feed(name: string, data: ArrayBufferView): void {
    const tensor = this.#fed.get(name);
    if (!tensor) return;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (this.#held.get(name)?.equals(bytes)) return;
    this.runtime.write(tensor, data);
    if (bytes.length <= remembered) this.#held.set(name, Buffer.from(bytes));
    else this.#held.delete(name);
  }

  feedScalar(name: string, value: number): void {
    this.feed(name, Float32Array.of(value));
  }

  /** Puts another tensor of the same type in an input's place. */
  rebind(name: string, tensor: DeviceTensor): void {
    this.session.bindInput(name, tensor);
  }

  /** The same for the memory that an output is written to. */
  rebindOutput(name: string, tensor: DeviceTensor): void {
    this.session.bindOutput(name, tensor);
  }

  /** Whether the next run is the launch of a CUDA graph. */
  get recorded(): boolean {
    return this.session.recorded;
  }

  /** Whether it has an output of this name. */
  writes(name: string): boolean {
    return this.session.outputs.some((port) => port.name === name);
  }

  /** Runs and waits for it. */
  async run(): Promise<void> {
    await this.session.run();
  }

  /** Runs without waiting for the device: what is fetched afterwards, and other programs, come after it. */
  async start(): Promise<void> {
    await this.session.start(this.name);
  }

  cancel(): void {
    this.session.cancel();
  }

  /** Ends profiling and returns the profile's path; the session was opened with `profilePrefix`. */
  endProfiling(): string {
    return this.session.endProfiling();
  }

  /** An output's values after a run. */
  read(name: string): HostArray {
    const tensor = this.#read.get(name);
    invariant(tensor, `${name} is an output that can be read`);
    return this.runtime.read(tensor);
  }

  /** An output's values as they are after what was started so far, when the device has got there. */
  fetch(name: string): Fetched {
    const tensor = this.#read.get(name);
    invariant(tensor, `${name} is an output that can be read`);
    return this.runtime.fetch(tensor);
  }

  /** The same of a single number. */
  fetchScalar(name: string): () => Promise<number> {
    const fetched = this.fetch(name);
    return async () => Number((await fetched())[0]);
  }

  readScalar(name: string): number {
    return Number(this.read(name)[0]);
  }

  release(): void {
    this.session.release();
    for (const tensor of this.#own) tensor.release();
  }
}

/**
 * A CUDA graph has the values of host memory inside and launches nothing on the CPU.
 * @throws SessionError `graph-impossible` that names what stands against it.
 */
export function assertCapturable(graph: Graph, onHost: ReadonlySet<Value> = hostInputs(graph)): void {
  const read = [...onHost].map(({ name }) => name);
  const gaps = cudaGaps(graph).map(describeGap);
  if (read.length === 0 && gaps.length === 0) return;
  const why = [
    ...(read.length > 0 ? [`it reads ${shownOf(read)} in host memory, anew in every run`] : []),
    ...(gaps.length > 0 ? [`it would run ${shownOf(gaps)} on the CPU`] : []),
  ].join(', and ');
  const dropout = read.some((name) => name.startsWith('dropout_'));
  throw new SessionError({
    code: 'graph-impossible',
    message: `The program ${graph.name} cannot run as a CUDA graph: ${why}.`,
    remedy: `Set ${dropout ? 'lora_dropout: 0, or ' : ''}${graphVariable}=auto.`,
  });
}

function shownOf(names: readonly string[]): string {
  return `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;
}

/** Inputs that every reader takes in host memory. */
function hostInputs(graph: Graph): Set<Value> {
  const [host, device] = [new Set<Value>(), new Set<Value | null>()];
  for (const { op, inputs } of graph.nodes)
    inputs.forEach((input, i) => {
      if (!opDefinition(op).hostInputs?.includes(i)) device.add(input);
      else if (input && !input.producer && !input.data) host.add(input);
    });
  return new Set([...host].filter((input) => !device.has(input)));
}

/** The base tensors that a program takes, loaded, by name. */
export async function loadBase(
  names: readonly string[],
  weights: { tensor(name: string): Promise<DeviceTensor> },
): Promise<[string, DeviceTensor][]> {
  return Promise.all(names.map(async (name) => [name, await weights.tensor(name)] as [string, DeviceTensor]));
}
