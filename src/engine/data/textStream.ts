// In: token ids one at a time. Out: the text they add, never a broken character. Knows only how to decode a list of ids.

/**
 * Decodes a growing sequence. A window of ids is decoded twice, without and with the newest ids, and the difference is
 * released; a difference that ends inside a UTF-8 character waits for the ids that complete it.
 */
export class TextStream {
  private readonly ids: number[] = [];
  private windowStart = 0;
  private released = 0;

  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  /** Takes one id; returns the text that is now certain, often empty within a character of several tokens. */
  push(id: number): string {
    this.ids.push(id);
    return this.release(false);
  }

  /** Returns what is still held back. An incomplete character comes out as U+FFFD. */
  end(): string {
    return this.release(true);
  }

  private release(final: boolean): string {
    if (this.released === this.ids.length) return '';
    const before = this.decode(this.ids.slice(this.windowStart, this.released));
    const after = this.decode(this.ids.slice(this.windowStart));
    const whole = after.length > before.length && (final || !after.endsWith('\uFFFD'));
    if (!whole) return '';
    this.windowStart = this.released;
    this.released = this.ids.length;
    return after.slice(before.length);
  }
}
