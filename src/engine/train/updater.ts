// The optimizer step on the runtime: what the optimizer prepares, one program for all slabs that go whole, and for the others one
// program a piece: where they lie, or through a window that the pieces share. Knows no schedule.
import type { AdapterPlan } from '../adapters/plan';
import type { Slab } from '../compile/slabs';
import { pieceGraph, transformConstants, updateGraph } from '../compile/updateGraph';
import { divisionOf, type Piece, piecesOf, slotOffsets } from '../execution/paging';
import { Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import { leadingDirections } from '../linalg/leadingDirections';
import type { Optimizer, OptimizerSettings } from '../optim/optimizer';
import { optimizerOf } from '../optim/registry';
import type { DeviceTensor, HostArray, Runtime } from '../session';
import { matrixShape, type TrainingState } from './state';

export interface UpdaterOptions {
  runtime: Runtime;
  state: TrainingState;
  plan: AdapterPlan;
  settings: OptimizerSettings;
  seed: number;
  /** Inputs of the update that the method's gradient transform takes. */
  constants: ReadonlyMap<string, DeviceTensor>;
  /** Parameters of a piece that goes through the window, at most. */
  windowLength?: number;
  /** The same for a piece whose state lies on the device. */
  pieceLength?: number;
}

/** A program for pieces of one layout, with the window that it reads and writes. */
interface PieceProgram {
  program: Program;
  window: Map<string, DeviceTensor>;
}

export class Updater {
  readonly #optimizer: Optimizer;
  readonly #streamed: readonly Slab[];
  /** Slabs on the device whose update goes in pieces. */
  readonly #divided = new Map<Slab, readonly Piece[]>();
  readonly #pieces = new ShapeCache<Program>((program) => program.release());
  #main: Program | undefined;
  #piece: (PieceProgram & { key: string }) | undefined;
  #running: Program | undefined;
  /** Of all gradients, which pieces take from the device. */
  #normOfAll: DeviceTensor | undefined;

  constructor(private readonly o: UpdaterOptions) {
    this.#optimizer = optimizerOf(o.settings.optim);
    this.#streamed = o.state.slabs.filter((slab) => o.state.isStreamed(slab));
    for (const slab of o.state.slabs) {
      if (!o.state.inPlace || this.#streamed.includes(slab)) continue;
      const pieces = divisionOf(slab, this.#optimizer, o.plan, o.runtime.device.kind, o.pieceLength);
      if (pieces) this.#divided.set(slab, pieces);
    }
  }

  /**
   * Begins to apply the gradients that lie in the state; `norm` waits until the device has got there.
   * @param step counted from 1.
   */
  async start(
    step: number,
    learningRate: number,
  ): Promise<{ norm: () => Promise<number>; notes: readonly string[] }> {
    const { runtime, state, settings, plan, constants } = this.o;
    const notes = (await this.#prepare(step)) ?? [];
    this.#main ??= await Program.open(
      runtime,
      updateGraph(
        state.slabs,
        this.#optimizer,
        settings,
        runtime.device.kind,
        plan,
        (slab) => this.#streamed.includes(slab) || this.#divided.has(slab),
      ),
      new Map([...state.updateBindings(), ...constants, ['norm', this.#norm]]),
      { capture: true },
    );
    const scalars = Object.entries(this.#optimizer.scalars(settings, step, learningRate));
    for (const [name, value] of scalars) this.#main.feedScalar(name, value);
    await this.#run(this.#main);
    state.settle(this.#main);
    const norm = runtime.fetch(this.#norm);
    for (const slab of this.#streamed) await this.#stream(slab, scalars);
    for (const [slab, pieces] of this.#divided) await this.#inPieces(slab, pieces, scalars);
    return { norm: async () => Number((await norm())[0]), notes };
  }

  /** Ends the program that runs now. */
  cancel(): void {
    this.#running?.cancel();
  }

  release(): void {
    this.#main?.release();
    this.#pieces.clear();
    this.#releasePiece();
    this.#normOfAll?.release();
  }

  get #norm(): DeviceTensor {
    this.#normOfAll ??= this.o.runtime.allocate('float32', []);
    return this.#normOfAll;
  }

  async #prepare(step: number): Promise<readonly string[] | undefined> {
    const { runtime, state, settings, seed } = this.o;
    return this.#optimizer.prepare?.({
      step,
      slabs: state.slabs,
      settings,
      leading: (slab, side, rank, start) => {
        const [rows, columns] = matrixShape(slab);
        const gradient = state.tensor(slab, 'gradient');
        const key = `${slab.entries[0]!.tensor.name} ${step}`;
        return leadingDirections(runtime, { gradient, rows, columns, side, rank, start, seed, key });
      },
      read: (slab, slot) => runtime.read(state.tensor(slab, slot)) as Float32Array,
      write: (slab, slot, values) => runtime.write(state.tensor(slab, slot), values),
    });
  }

  /** Each piece where it lies. */
  async #inPieces(
    slab: Slab,
    pieces: readonly Piece[],
    scalars: readonly (readonly [string, number])[],
  ): Promise<void> {
    const { runtime, state, settings, plan } = this.o;
    const offsets = slotOffsets(pieces, this.#optimizer, settings);
    for (const [i, { offset, slab: piece }] of pieces.entries()) {
      const parts = new Map([
        ['piece', runtime.part(state.tensor(slab), offset, [piece.length])],
        ['piece.gradient', runtime.part(state.tensor(slab, 'gradient'), offset, [piece.length])],
      ]);
      for (const { name, shape } of this.#optimizer.slots(piece, settings))
        parts.set(`piece.${name}`, runtime.part(state.tensor(slab, name), offsets[i]!.get(name)!, shape));
      const key = [slab.name, ...piece.entries.map(({ count }) => count)].join();
      const program = await this.#pieces.get(key, () => {
        const bound = [...parts].flatMap(([name, part]) => [
          [name, part] as const,
          [`${name}.next`, part] as const,
        ]);
        const shared = new Map([...bound, ['norm', this.#norm] as const]);
        return Program.open(
          runtime,
          pieceGraph(piece, this.#optimizer, settings, runtime.device.kind, plan),
          shared,
        );
      });
      for (const [name, part] of parts) {
        program.rebind(name, part);
        if (program.writes(`${name}.next`)) program.rebindOutput(`${name}.next`, part);
      }
      for (const [name, value] of scalars) program.feedScalar(name, value);
      await this.#run(program);
      for (const part of parts.values()) part.release();
    }
  }

  async #stream(slab: Slab, scalars: readonly (readonly [string, number])[]): Promise<void> {
    const { runtime, state, settings, plan } = this.o;
    // A gradient transform sees whole tensors; so does a device whose memory has no addresses.
    const whole = transformConstants(plan).length > 0 || !runtime.addressable;
    const pieces = piecesOf(slab, whole ? Number.POSITIVE_INFINITY : this.o.windowLength);
    const offsets = slotOffsets(pieces, this.#optimizer, settings);
    for (const [i, piece] of pieces.entries()) {
      const parts: DeviceTensor[] = [];
      const part = (of: DeviceTensor): DeviceTensor => {
        if (piece.slab.length === slab.length) return of;
        parts.push(runtime.part(of, piece.offset, [piece.slab.length]));
        return parts.at(-1)!;
      };
      const parameter = part(state.tensor(slab));
      const gradient = part(state.tensor(slab, 'gradient'));
      const { program, window } = await this.#pieceProgram(piece.slab, parameter, gradient);
      for (const [name, value] of scalars) program.feedScalar(name, value);
      program.rebind('piece', parameter);
      program.rebindOutput('piece.next', parameter);
      program.rebind('piece.gradient', gradient);
      for (const [name, tensor] of window)
        runtime.write(tensor, this.#stretch(slab, name, offsets[i]!, tensor));
      await this.#run(program);
      for (const [name, tensor] of window) {
        if (program.writes(`piece.${name}.next`))
          runtime.read(tensor, this.#stretch(slab, name, offsets[i]!, tensor));
      }
      for (const each of parts) each.release();
    }
  }

  /** The part of a paged slot that a window tensor holds now. */
  #stretch(slab: Slab, slot: string, offsets: ReadonlyMap<string, number>, tensor: DeviceTensor): HostArray {
    const from = offsets.get(slot)!;
    const whole = this.o.state.pagedSlot(slab, slot);
    return whole.subarray(
      from,
      from + tensor.shape.reduce((product, size) => product * size, 1),
    ) as HostArray;
  }

  /** One at a time, so that the device holds one window. Most pieces of a slab are of one layout. */
  async #pieceProgram(slab: Slab, parameter: DeviceTensor, gradient: DeviceTensor): Promise<PieceProgram> {
    const { runtime, settings, plan, constants } = this.o;
    const { learningRateScale, decay } = slab.group;
    const counts = slab.entries.map(({ count }) => count);
    const own = transformConstants(plan).length > 0 ? slab.entries.map(({ tensor }) => tensor.name) : [];
    const key = [learningRateScale, decay, slab.kind, ...counts, ...own].join(' ');
    if (this.#piece?.key === key) return this.#piece;
    this.#releasePiece();
    const window = new Map(
      this.#optimizer
        .slots(slab, settings)
        .map(({ name, dtype, shape }) => [name, runtime.allocate(dtype, shape)] as const),
    );
    const shared = new Map<string, DeviceTensor>([...constants, ['norm', this.#norm]]);
    for (const [name, tensor] of window) {
      shared.set(`piece.${name}`, tensor);
      shared.set(`piece.${name}.next`, tensor);
    }
    shared.set('piece', parameter);
    shared.set('piece.next', parameter);
    shared.set('piece.gradient', gradient);
    const program = await Program.open(
      runtime,
      pieceGraph(slab, this.#optimizer, settings, runtime.device.kind, plan),
      shared,
    );
    this.#piece = { key, program, window };
    return this.#piece;
  }

  #releasePiece(): void {
    this.#piece?.program.release();
    for (const tensor of this.#piece?.window.values() ?? []) tensor.release();
    this.#piece = undefined;
  }

  async #run(program: Program): Promise<void> {
    this.#running = program;
    try {
      await program.start();
    } finally {
      this.#running = undefined;
    }
  }
}
