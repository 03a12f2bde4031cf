// Keeps what was opened for the most recent batch shapes, and releases the rest.

const openShapes = 6;

export class ShapeCache<T> {
  readonly #entries = new Map<string, T>();

  /** @param most entries that stay open. */
  constructor(
    private readonly release: (entry: T) => void,
    private readonly most = openShapes,
  ) {}

  async get(key: string, open: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    if (this.#entries.size >= this.most) {
      const [oldest, entry] = this.#entries.entries().next().value!;
      this.#entries.delete(oldest);
      this.release(entry);
    }
    const opened = await open();
    this.#entries.set(key, opened);
    return opened;
  }

  clear(): void {
    for (const entry of this.#entries.values()) this.release(entry);
    this.#entries.clear();
  }
}
