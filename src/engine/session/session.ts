// A loaded model with its bound tensors. It owns the native session, its binding and its run options, keeps every bound
// tensor alive, and lets no run race with another use of the same memory.
import { invariant, SessionError } from '../errors';
import { Capture, warmUps } from './capture';
import type { DeviceTensor, NodeAssignment, PortDescription, Session } from './contract';
import type { Environment } from './environment';
import type { Pointer } from './ortApi';
import { cancelledRun, cString } from './ortApi';
import type { Pace } from './pace';
import { assertFits, readAssignments, readPorts } from './ports';
import type { Tensor } from './tensor';

/**
 * Some kernels (Concat and Split of unequal parts) copy tables from pinned memory, which the runtime gives back only at the end
 * of a run that waits (ONNX Runtime's device_stream_collection.cc): without one now and then it would grow with every step.
 */
const runsBetweenCleaning = 32;

export class OrtSession implements Session {
  readonly inputs: readonly PortDescription[];
  readonly outputs: readonly PortDescription[];
  private readonly inputPorts: ReadonlyMap<string, PortDescription>;
  private readonly outputPorts: ReadonlyMap<string, PortDescription>;
  private readonly boundInputs = new Map<string, Tensor>();
  private readonly boundOutputs = new Map<string, Tensor>();
  private readonly binding: Pointer;
  private readonly runOptions: Pointer;
  private current: Promise<void> | undefined;
  private released = false;
  private cancelled = false;
  /** How often it ran. */
  private runs = 0;
  private profiling: boolean;
  private readonly capture: Capture | undefined;

  /** Takes `native` over: it is released with this session, also when construction fails. */
  constructor(
    private readonly environment: Environment,
    private readonly native: Pointer,
    private readonly settings: {
      recordsAssignments: boolean;
      profiles: boolean;
      captures: boolean;
      /** Gives back the implementation of a tensor of this runtime. @throws where it is another's or released. */
      own(tensor: DeviceTensor): Tensor;
      pace: Pace;
      onReleased(session: OrtSession): void;
    },
  ) {
    const { api } = environment;
    this.profiling = settings.profiles;
    try {
      this.inputs = readPorts(api, native, 'Input');
      this.outputs = readPorts(api, native, 'Output');
    } catch (error) {
      api.get('ReleaseSession', native);
      throw error;
    }
    this.inputPorts = new Map(this.inputs.map((port) => [port.name, port]));
    this.outputPorts = new Map(this.outputs.map((port) => [port.name, port]));
    this.binding = api.make('CreateIoBinding', native);
    this.runOptions = api.make('CreateRunOptions');
    const { pace } = settings;
    if (pace.queued) this.waitItself(false);
    if (settings.captures && pace.graphs) this.capture = new Capture(pace.graphs, () => pace.allocations);
  }

  get running(): boolean {
    return this.current !== undefined;
  }

  /** Settles, without failing, when no run is under way. */
  get idle(): Promise<void> {
    return (this.current ?? Promise.resolve()).catch(() => undefined);
  }

  bindInput(name: string, tensor: DeviceTensor): void {
    this.bind('BindInput', this.inputPorts, this.boundInputs, name, tensor);
  }

  bindOutput(name: string, tensor: DeviceTensor): void {
    if (!tensor.writable) {
      throw new SessionError({
        code: 'tensor-read-only',
        message: `The output ${name} cannot be written to a mapped file.`,
        remedy: 'Bind a tensor made by allocate.',
      });
    }
    this.bind('BindOutput', this.outputPorts, this.boundOutputs, name, tensor);
  }

  run(): Promise<void> {
    return this.launch('a run', async () => {
      await this.settings.pace.reach();
      // What was cancelled while the device worked on it is as good as cut off.
      if (this.cancelled) throw cancelledRun();
    });
  }

  start(what: string): Promise<void> {
    return this.launch(what, async () => {});
  }

  private async launch(what: string, then: () => Promise<void>): Promise<void> {
    this.assertReady();
    const finish = this.claimTensors();
    // The terminate flag is cleared here and not on cancel, so that a late cancel never reaches the next run.
    this.environment.api.call('RunOptionsUnsetTerminate', this.runOptions);
    this.cancelled = false;
    const run = (this.capture ? this.captured(this.capture, what) : this.enqueue(what))
      .then(then)
      .finally(() => {
        this.current = undefined;
        finish();
      });
    this.current = run;
    return run;
  }

  private async captured(capture: Capture, what: string): Promise<void> {
    const { api } = this.environment;
    const launched = await capture.go(
      () => this.enqueue(what),
      () => api.call('RunWithBinding', this.native, this.runOptions, this.binding),
    );
    if (launched) this.settings.pace.start(what);
  }

  /** Runs in the usual way. */
  private enqueue(what: string): Promise<void> {
    const { pace } = this.settings;
    const waits = ++this.runs % runsBetweenCleaning === 0 && pace.queued;
    // Kernels may take memory for good when they first run.
    if (this.runs <= warmUps) pace.allocations++;
    if (waits) this.waitItself(true);
    return this.environment.api
      .callAsync('RunWithBinding', this.native, this.runOptions, this.binding)
      .finally(() => {
        pace.start(what);
        if (!waits) return;
        pace.waits++;
        this.waitItself(false);
      });
  }

  get recorded(): boolean {
    return this.capture?.recorded ?? false;
  }

  /** Whether the runtime waits for the device at the end of a run. */
  private waitItself(waits: boolean): void {
    const key = 'disable_synchronize_execution_providers';
    this.environment.api.call('AddRunConfigEntry', this.runOptions, key, waits ? '0' : '1');
  }

  cancel(): void {
    this.assertUsable();
    if (!this.running) return;
    this.cancelled = true;
    this.environment.api.call('RunOptionsSetTerminate', this.runOptions);
  }

  nodeAssignments(): NodeAssignment[] {
    this.assertUsable();
    invariant(this.settings.recordsAssignments, 'nodeAssignments needs the option recordAssignments');
    return readAssignments(this.environment.api, this.native);
  }

  endProfiling(): string {
    this.assertUsable();
    this.assertIdle();
    invariant(this.profiling, 'endProfiling needs the option profilePrefix, once');
    this.profiling = false;
    const { api } = this.environment;
    const allocator = api.make('GetAllocatorWithDefaultOptions');
    const owned = api.make('SessionEndProfiling', this.native, allocator);
    const path = cString(owned);
    api.call('AllocatorFree', allocator, owned);
    return path;
  }

  release(): void {
    this.assertUsable();
    this.assertIdle();
    this.released = true;
    // Its kernels may still read constants of its own.
    this.settings.pace.reachNow();
    this.capture?.forget();
    const { api } = this.environment;
    api.get('ReleaseIoBinding', this.binding);
    api.get('ReleaseRunOptions', this.runOptions);
    api.get('ReleaseSession', this.native);
    for (const bound of [this.boundInputs, this.boundOutputs]) {
      for (const tensor of bound.values()) tensor.letGo();
      bound.clear();
    }
    this.settings.onReleased(this);
  }

  private bind(
    how: 'BindInput' | 'BindOutput',
    ports: ReadonlyMap<string, PortDescription>,
    bound: Map<string, Tensor>,
    name: string,
    tensor: DeviceTensor,
  ): void {
    this.assertUsable();
    this.assertIdle();
    const port = ports.get(name);
    if (!port) throw unknownName(how === 'BindInput' ? 'input' : 'output', name, [...ports.keys()]);
    const own = this.settings.own(tensor);
    assertFits(port, own);
    this.environment.api.call(how, this.binding, name, own.value);
    if (bound.get(name) !== own) this.capture?.forget();
    own.hold();
    bound.get(name)?.letGo();
    bound.set(name, own);
  }

  private assertReady(): void {
    this.assertUsable();
    this.assertIdle();
    const missing = this.inputs.filter((port) => !this.boundInputs.has(port.name)).map((port) => port.name);
    if (missing.length > 0) {
      throw new SessionError({
        code: 'input-unbound',
        message: `The model's inputs ${missing.join(', ')} have no tensor.`,
        remedy: 'Bind every input before running.',
      });
    }
    if (this.boundOutputs.size > 0) return;
    throw new SessionError({
      code: 'output-unbound',
      message: `None of the model's outputs (${[...this.outputPorts.keys()].join(', ')}) has a tensor.`,
      remedy: 'Bind the outputs that are wanted before running.',
    });
  }

  /** Marks all bound tensors as in use, or none, and returns how to unmark them. */
  private claimTensors(): () => void {
    const written = new Set(this.boundOutputs.values());
    const read = [...this.boundInputs.values()].filter((tensor) => !written.has(tensor));
    for (const tensor of written) tensor.assertIdle('write');
    for (const tensor of read) tensor.assertIdle('read');
    for (const tensor of written) tensor.beginRun('write');
    for (const tensor of read) tensor.beginRun('read');
    return () => {
      for (const tensor of written) tensor.endRun('write');
      for (const tensor of read) tensor.endRun('read');
    };
  }

  private assertUsable(): void {
    if (!this.released) return;
    throw new SessionError({
      code: 'released',
      message: 'The session was used after its release.',
      remedy: 'Release a session only when nothing needs it any more.',
    });
  }

  private assertIdle(): void {
    if (!this.running) return;
    throw new SessionError({
      code: 'session-busy',
      message: 'The session is running.',
      remedy: 'Await the run, or cancel it and await its end.',
    });
  }
}

function unknownName(what: string, name: string, known: string[]): SessionError {
  return new SessionError({
    code: 'name-unknown',
    message: `The model has no ${what} ${name}; it has ${known.slice(0, 20).join(', ')}${known.length > 20 ? ', …' : ''}.`,
    remedy: `Use the name of an ${what} of the model.`,
  });
}
