// Tokens per second and time left, over the last few steps; steps that opened a new batch shape count for less.

interface Sample {
  tokens: number;
  seconds: number;
}

const kept = 12;

export class SpeedMeter {
  readonly #samples: Sample[] = [];
  #tokens = 0;
  #seconds = 0;

  add(tokens: number, seconds: number): void {
    this.#tokens += tokens;
    this.#seconds += seconds;
    this.#samples.push({ tokens, seconds });
    if (this.#samples.length > kept) this.#samples.shift();
  }

  /** Of the recent steps, by medians: one slow step (a compilation, a busy machine) does not bend it. */
  get tokensPerSecond(): number {
    const seconds = median(this.#samples.map((s) => s.seconds / Math.max(1, s.tokens)));
    return seconds > 0 ? 1 / seconds : 0;
  }

  /** Over the whole run. */
  get averageTokensPerSecond(): number {
    return this.#seconds > 0 ? this.#tokens / this.#seconds : 0;
  }

  secondsFor(steps: number): number | null {
    return this.#samples.length < 2 ? null : steps * median(this.#samples.map((s) => s.seconds));
  }
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
