// Runs a batch through the generation graphs: the prompts in one call, then a token per row and call. It owns the graphs'
// programs and the key/value buffers; it knows no sampling and no text.
import type { LoadedAdapter } from '../adapters/loaded';
import { generationGraph } from '../compile/generationGraph';
import { invariant } from '../errors';
import type { BaseWeights } from '../execution/baseWeights';
import type { Parameters } from '../execution/evaluator';
import { loadBase, Program } from '../execution/program';
import type { Model } from '../models/architecture';
import type { Rotary } from '../models/rotary';
import type { DeviceTensor, Runtime } from '../session';
import { AdapterMount } from './adapterMount';
import { rowWeights } from './slots';

export interface StepperOptions {
  runtime: Runtime;
  model: Model;
  weights: Pick<BaseWeights, 'tensor' | 'values' | 'precision' | 'fromValues' | 'packed'>;
  /** The state of a training run, bound as it is, in place of adapters from files. */
  live?: Parameters;
}

interface Built {
  program: Program;
  fedRotary?: { rotary: Rotary; width: number };
}

/** The programs that share one set of key/value buffers, by length. */
interface Group {
  rows: number;
  capacity: number;
  buffers: Map<string, DeviceTensor>;
  programs: Map<number, Built>;
}

/** Smallest prompt and cache that graphs are made for; larger ones double. */
const smallestPrompt = 16;
const smallestCapacity = 64;
/** Batch shapes that are kept ready: full batches and the last one. */
const keptGroups = 2;

export class Stepper {
  readonly #mount: AdapterMount;
  /** Least recently used first. */
  readonly #groups: Group[] = [];

  constructor(private readonly o: StepperOptions) {
    this.#mount = new AdapterMount(o.runtime, o.model, o.weights, o.live);
  }

  /** Swaps adapters, each times its weight (1); returns true where graphs have to be built again. Not while a batch runs. */
  async setAdapters(adapters: readonly LoadedAdapter[], weights?: readonly number[]): Promise<boolean> {
    return this.#swapped(this.#mount.put(adapters, weights));
  }

  /** The same for adapters of which each row of a batch takes its own. */
  async offerAdapters(adapters: readonly LoadedAdapter[]): Promise<boolean> {
    return this.#swapped(this.#mount.offer(adapters));
  }

  async #swapped(rebuild: boolean): Promise<boolean> {
    if (rebuild) {
      this.#releaseGroups();
      return true;
    }
    const replaced = await this.#mount.replaced();
    for (const { programs } of this.#groups) {
      for (const { program } of programs.values())
        for (const [name, tensor] of replaced) program.rebind(name, tensor);
    }
    return false;
  }

  /**
   * Runs the prompts. `positions` is how many the longest row will have at the end, at most `limit`. Returns the logits
   * of each row's next token, [B, V], and the batch to go on with. `choices` are each row's weights of the adapters offered.
   */
  async begin(
    prompts: readonly (readonly number[])[],
    positions: number,
    limit: number,
    choices?: readonly (readonly number[])[],
  ): Promise<{ batch: Batch; logits: Float32Array }> {
    const rows = prompts.length;
    const longest = Math.max(...prompts.map((prompt) => prompt.length));
    const capacity = Math.min(bucket(Math.max(positions, longest), smallestCapacity), Math.max(limit, 2));
    const length = Math.min(bucket(longest, smallestPrompt), capacity);
    const group = this.#group(rows, capacity);
    const { program, fedRotary } = await this.#program(group, length);
    const weights = this.#rowWeights(rows, choices);

    const ids = new BigInt64Array(rows * length);
    const places = BigInt64Array.from(ids, (_, i) => BigInt(i % length));
    for (const [row, prompt] of prompts.entries()) ids.set(BigInt64Array.from(prompt, BigInt), row * length);
    program.feed('ids', ids);
    program.feed('positions', places);
    program.feed(
      'last',
      Int32Array.from(prompts, (prompt) => prompt.length - 1),
    );
    program.feed(
      'last_row',
      BigInt64Array.from(prompts, (prompt, row) => BigInt(row * length + prompt.length - 1)),
    );
    if (weights) program.feed(rowWeights, weights);
    if (fedRotary) {
      feedRotary(
        program,
        fedRotary,
        rows * length,
        prompts.map((prompt, row) => ({ row: row * length, first: 0, end: prompt.length })),
      );
    }
    await program.start();
    const logits = program.fetch('logits');
    const batch = new Batch(
      prompts.map((prompt) => prompt.length),
      async () => {
        const built = await this.#program(group, 1);
        if (weights) built.program.feed(rowWeights, weights);
        return built;
      },
    );
    return { batch, logits: (await logits()) as Float32Array };
  }

  /** [rows, K] for the adapters that are offered; undefined where none are. */
  #rowWeights(rows: number, choices: readonly (readonly number[])[] | undefined): Float32Array | undefined {
    const count = this.#mount.choices;
    invariant(count > 0 || choices === undefined, 'rows choose among adapters that are offered');
    if (count === 0) return undefined;
    const weights = new Float32Array(rows * count);
    choices?.forEach((own, row) => {
      weights.set(own, row * count);
    });
    return weights;
  }

  release(): void {
    this.#releaseGroups();
    this.#mount.release();
  }

  #group(rows: number, capacity: number): Group {
    const known = this.#groups.findIndex((group) => group.rows === rows && group.capacity === capacity);
    const group =
      known >= 0
        ? this.#groups.splice(known, 1)[0]!
        : { rows, capacity, buffers: new Map<string, DeviceTensor>(), programs: new Map<number, Built>() };
    this.#groups.push(group);
    while (this.#groups.length > keptGroups) releaseGroup(this.#groups.shift()!);
    return group;
  }

  async #program(group: Group, length: number): Promise<Built> {
    const known = group.programs.get(length);
    if (known) return known;
    const { runtime, model, weights } = this.o;
    const { rows, capacity, buffers } = group;
    const { graph, baseInputs, cache, fedRotary } = generationGraph({
      model,
      rows,
      length,
      capacity,
      precision: weights.precision,
      packed: weights.packed,
      adapters: this.#mount.forGraph,
    });
    const shared = new Map([...(await loadBase(baseInputs, weights)), ...(await this.#mount.bindings())]);
    for (const { past, present, shape } of cache) {
      const buffer = buffers.get(past) ?? runtime.allocate(weights.precision.cache, shape);
      buffers.set(past, buffer);
      shared.set(past, buffer);
      shared.set(present, buffer);
    }
    const built = { program: await Program.open(runtime, graph, shared), fedRotary };
    group.programs.set(length, built);
    return built;
  }

  #releaseGroups(): void {
    for (const group of this.#groups.splice(0)) releaseGroup(group);
  }
}

/** A batch whose prompts have run. */
export class Batch {
  /** @param lengths positions that each row has so far. */
  constructor(
    private readonly lengths: number[],
    private readonly decoder: () => Promise<Built>,
  ) {}

  /**
   * Appends a token to each row and returns the logits of the next, [B, V]. A row of which `active` is false stays as
   * long as it is; its logits mean nothing.
   */
  async step(tokens: readonly number[], active: readonly boolean[]): Promise<Float32Array> {
    const { program, fedRotary } = await this.decoder();
    // A row that has ended computes on its last position, where nobody looks any more.
    const places = this.lengths.map((length, row) => (active[row] ? length : length - 1));
    program.feed('ids', BigInt64Array.from(tokens, BigInt));
    program.feed('positions', BigInt64Array.from(places, BigInt));
    program.feed('last', Int32Array.from(places));
    if (fedRotary) {
      const spans = places.map((place, row) => ({ row, first: place, end: place + 1 }));
      feedRotary(program, fedRotary, places.length, spans);
    }
    await program.start();
    const logits = await program.fetch('logits')();
    active.forEach((goesOn, row) => {
      if (goesOn) this.lengths[row]!++;
    });
    return logits as Float32Array;
  }
}

/**
 * Rotations by the length that each row has after the call, alone, as transformers rotates a text by itself: keys keep
 * the frequencies that were right when they were made.
 */
function feedRotary(
  program: Program,
  { rotary, width }: { rotary: Rotary; width: number },
  count: number,
  spans: readonly { row: number; first: number; end: number }[],
): void {
  const [cos, sin] = [new Float32Array(count * width), new Float32Array(count * width)];
  for (const { row, first, end } of spans) {
    const caches = rotary.caches(end);
    cos.set(caches.cos.subarray(first * width, end * width), row * width);
    sin.set(caches.sin.subarray(first * width, end * width), row * width);
  }
  program.feed('rotary_cos', cos);
  program.feed('rotary_sin', sin);
}

function releaseGroup(group: Group): void {
  for (const { program } of group.programs.values()) program.release();
  for (const buffer of group.buffers.values()) buffer.release();
}

function bucket(size: number, smallest: number): number {
  return Math.max(smallest, 2 ** Math.ceil(Math.log2(size)));
}
