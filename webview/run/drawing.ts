// When the page draws: at most once a frame, and where a drawing takes long until it is on the screen, half of the time is left
// for what comes in. It knows nothing of what is drawn.

export class Drawing {
  /** Whether a drawing is asked for, under way to the screen, and asked for once more meanwhile. */
  #asked = false;
  #painting = false;
  #again = false;
  /** When the next drawing may begin. */
  #freeAt = 0;

  constructor(private readonly draw: () => void) {}

  ask(): void {
    if (this.#painting) this.#again = true;
    if (this.#asked || this.#painting) return;
    this.#asked = true;
    const frame = (start: number): void => this.#frame(start);
    const rest = this.#freeAt - performance.now();
    if (rest > 8) setTimeout(() => requestAnimationFrame(frame), rest);
    else requestAnimationFrame(frame);
  }

  #frame(start: number): void {
    this.#asked = false;
    this.#painting = true;
    this.draw();
    requestAnimationFrame(() => {
      const now = performance.now();
      this.#freeAt = now + (now - start);
      this.#painting = false;
      if (this.#again) this.ask();
      this.#again = false;
    });
  }
}
