// Base weights that lie one behind the other in one tensor of the device, so that a product with all of them is one product.
// Each of them, and each run of neighbours, is a part of that tensor: nothing lies twice.
import { type DType, elements } from '../dtype';
import { invariant } from '../errors';
import { type Joining, joinedName } from '../graph/passes/join';
import type { DeviceTensor, Runtime } from '../session';

interface Source {
  shape: readonly number[];
  /** The values in the compute type. */
  load(): Promise<ArrayBufferView>;
}

interface Group {
  names: readonly string[];
  /** Loaded when first needed. */
  whole: Promise<DeviceTensor> | undefined;
}

export class JoinedWeights {
  readonly #groups = new Map<string, Group>();
  readonly #parts = new Map<string, Promise<DeviceTensor>>();
  /** Ends when the groups asked for so far are loaded: one at a time, so that one weight is on the host. */
  #loading: Promise<unknown> = Promise.resolve();
  readonly #rule: Joining['rule'];

  constructor(
    private readonly runtime: Runtime,
    joining: Joining,
    private readonly dtype: DType,
    private readonly source: (name: string) => Source,
  ) {
    this.#rule = joining.rule;
    for (const names of joining.groups) {
      const group: Group = { names, whole: undefined };
      for (const name of names) this.#groups.set(name, group);
    }
  }

  /** As it is now: groups may have been dissolved. */
  get joining(): Joining {
    return { groups: [...new Set(this.#groups.values())].map(({ names }) => names), rule: this.#rule };
  }

  /** The tensor of a member or of neighbours (`joinedName`); undefined for others. */
  tensor(name: string): Promise<DeviceTensor> | undefined {
    const known = this.#parts.get(name);
    if (known) return known;
    const found = this.#find(name);
    if (!found) return undefined;
    const part = this.#part(found.group, found.members);
    this.#parts.set(name, part);
    return part;
  }

  /** Puts other values in a member's place; false for other tensors. */
  replace(name: string, values: ArrayBufferView): boolean {
    const group = this.#groups.get(name);
    if (!group) return false;
    const changed = this.#whole(group).then((whole) => {
      const part = this.#cut(whole, group, [name]);
      this.runtime.write(part, values);
      part.release();
      return whole;
    });
    group.whole = changed;
    // What is asked for from now on waits for the new values.
    for (const key of [...this.#parts.keys()])
      if (this.#find(key)?.group === group)
        this.#parts.set(
          key,
          this.#parts.get(key)!.then(async (part) => {
            await changed;
            return part;
          }),
        );
    return true;
  }

  /** Gives up the group of a tensor: each member is on its own from now on. */
  dissolve(name: string): void {
    const group = this.#groups.get(name);
    if (!group) return;
    for (const key of [...this.#parts.keys()]) {
      if (this.#find(key)?.group !== group) continue;
      void this.#parts.get(key)!.then((part) => part.release());
      this.#parts.delete(key);
    }
    void group.whole?.then((whole) => whole.release());
    for (const member of group.names) this.#groups.delete(member);
  }

  release(): void {
    for (const name of [...this.#groups.keys()]) this.dissolve(name);
  }

  #find(name: string): { group: Group; members: readonly string[] } | undefined {
    const own = this.#groups.get(name);
    if (own) return { group: own, members: [name] };
    for (const group of new Set(this.#groups.values())) {
      for (let from = 0; from < group.names.length; from++) {
        for (let to = from + 2; to <= group.names.length; to++) {
          const members = group.names.slice(from, to);
          if (joinedName(members) === name) return { group, members };
        }
      }
    }
    return undefined;
  }

  async #part(group: Group, members: readonly string[]): Promise<DeviceTensor> {
    return this.#cut(await this.#whole(group), group, members);
  }

  #cut(whole: DeviceTensor, group: Group, members: readonly string[]): DeviceTensor {
    const before = group.names.slice(0, group.names.indexOf(members[0]!));
    const from = before.reduce((total, name) => total + elements(this.source(name).shape), 0);
    return this.runtime.part(whole, from, this.#shape(members));
  }

  #whole(group: Group): Promise<DeviceTensor> {
    if (!group.whole) {
      const loaded = this.#loading.then(() => this.#load(group.names));
      this.#loading = loaded.catch(() => {});
      group.whole = loaded;
    }
    return group.whole;
  }

  async #load(names: readonly string[]): Promise<DeviceTensor> {
    const { runtime } = this;
    const whole = runtime.allocate(this.dtype, this.#shape(names));
    let from = 0;
    for (const name of names) {
      const { shape, load } = this.source(name);
      const part = runtime.part(whole, from, shape);
      runtime.write(part, await load());
      part.release();
      from += elements(shape);
    }
    return whole;
  }

  #shape(names: readonly string[]): readonly number[] {
    const shapes = names.map((name) => this.source(name).shape);
    const rest = shapes[0]!.slice(1);
    invariant(
      shapes.every((shape) => shape.slice(1).every((size, i) => size === rest[i])),
      `${names.join(', ')} have rows of one length`,
    );
    return [shapes.reduce((total, shape) => total + shape[0]!, 0), ...rest];
  }
}
