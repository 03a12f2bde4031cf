// All steps of a run in columns, folded from its log: what a resumed run left behind is dropped, the loss is smoothed. Out
// comes an overview of as many steps as a screen can show, without losing a peak, or the whole as CSV. Pure.
import type { StepColumns } from '../../protocol/panels/run';
import type { RunEvent } from '../../protocol/run';

/** Weight of what came before in the smoothed loss. */
const memory = 0.96;

const names = ['step', 'loss', 'smoothed', 'learningRate', 'gradNorm', 'tokensPerSecond', 'tokens'] as const;
type Name = (typeof names)[number];

const numberOr = (value: unknown, other: number): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : other;

export class RunSteps {
  /** NaN where nothing was measured; `tokens` are summed up. */
  #columns: Record<Name, Float64Array>;
  #evals: { step: number; loss: number }[] = [];
  length = 0;
  #average = 0;
  #weight = 0;

  constructor(capacity = 1024) {
    this.#columns = columnsOf(capacity);
  }

  /** Takes one event. Steps that a damaged log misshaped are left out; returns whether a step was added. */
  add(event: RunEvent): boolean {
    if (event.type === 'run-started') this.#backTo(event.resumedFromStep ?? 0);
    else if (event.type === 'eval') this.#evals.push({ step: event.step, loss: event.loss });
    if (event.type !== 'step') return false;
    const step = numberOr(event.step, Number.NaN);
    if (Number.isNaN(step)) return false;
    // A log that repeats a step goes on from there.
    if (this.length > 0 && step <= this.#columns.step[this.length - 1]!) this.#backTo(step - 1);
    if (this.length === this.#columns.step.length) this.#grow();
    const loss = numberOr(event.loss, Number.NaN);
    if (!Number.isNaN(loss)) {
      this.#average = memory * this.#average + (1 - memory) * loss;
      this.#weight = memory * this.#weight + (1 - memory);
    }
    const at = this.length++;
    const {
      step: steps,
      loss: losses,
      smoothed,
      learningRate,
      gradNorm,
      tokensPerSecond,
      tokens,
    } = this.#columns;
    steps[at] = step;
    losses[at] = loss;
    smoothed[at] = this.#weight > 0 ? this.#average / this.#weight : Number.NaN;
    learningRate[at] = numberOr(event.learningRate, 0);
    gradNorm[at] = numberOr(event.gradNorm, Number.NaN);
    tokensPerSecond[at] = numberOr(event.tokensPerSecond, 0);
    tokens[at] = (at === 0 ? 0 : tokens[at - 1]!) + numberOr(event.tokens, 0);
    return true;
  }

  /** The newest step alone. */
  newest(): StepColumns {
    return this.#pick([this.length - 1]);
  }

  /**
   * Steps for `columns` columns of pixels: of each the first and the last, and those where the loss, the gradient norm or the
   * speed is lowest or highest. A short run comes back whole.
   */
  overview(columns: number): StepColumns {
    const { length } = this;
    if (length <= 8 * columns) return this.#pick(Array.from({ length }, (_, i) => i));
    const picked: number[] = [];
    const looked = [this.#columns.loss, this.#columns.gradNorm, this.#columns.tokensPerSecond];
    for (let column = 0; column < columns; column++) {
      const from = Math.floor((column * length) / columns);
      const to = Math.floor(((column + 1) * length) / columns);
      const own = new Set([from, to - 1]);
      for (const values of looked) {
        let [low, high] = [-1, -1];
        for (let i = from; i < to; i++) {
          const value = values[i]!;
          if (Number.isNaN(value)) continue;
          if (low < 0 || value < values[low]!) low = i;
          if (high < 0 || value > values[high]!) high = i;
        }
        if (low >= 0) own.add(low).add(high);
      }
      picked.push(...[...own].sort((a, b) => a - b));
    }
    return this.#pick(picked);
  }

  /** A line for every step, with the evaluation where there was one. */
  *csv(): Generator<string> {
    yield 'step,loss,smoothed_loss,eval_loss,learning_rate,grad_norm,tokens_per_second\n';
    const evals = new Map(this.#evals.map(({ step, loss }) => [step, loss]));
    const cell = (value: number | undefined): string =>
      value === undefined || !Number.isFinite(value) ? '' : String(value);
    const { step, loss, smoothed, learningRate, gradNorm, tokensPerSecond } = this.#columns;
    for (let i = 0; i < this.length; i++) {
      const cells = [
        loss[i],
        smoothed[i],
        evals.get(step[i]!),
        learningRate[i],
        gradNorm[i],
        tokensPerSecond[i],
      ];
      yield `${[step[i], ...cells.map(cell)].join(',')}\n`;
    }
  }

  #pick(indices: readonly number[]): StepColumns {
    const column = (name: Name): number[] => indices.map((i) => this.#columns[name][i]!);
    const nullable = (name: Name): (number | null)[] =>
      indices.map((i) => {
        const value = this.#columns[name][i]!;
        return Number.isNaN(value) ? null : value;
      });
    return {
      step: column('step'),
      loss: nullable('loss'),
      smoothed: nullable('smoothed'),
      learningRate: column('learningRate'),
      gradNorm: nullable('gradNorm'),
      tokensPerSecond: column('tokensPerSecond'),
      tokens: column('tokens'),
    };
  }

  #grow(): void {
    const larger = columnsOf(2 * this.length);
    for (const name of names) larger[name].set(this.#columns[name]);
    this.#columns = larger;
  }

  /** Forgets what came after a step. */
  #backTo(step: number): void {
    let { length } = this;
    while (length > 0 && this.#columns.step[length - 1]! > step) length--;
    if (length === this.length) return;
    this.length = length;
    this.#evals = this.#evals.filter((one) => one.step <= step);
    // The average starts again from the last smoothed value.
    this.#average = length > 0 ? this.#columns.smoothed[length - 1]! : 0;
    this.#weight = length > 0 && Number.isFinite(this.#average) ? 1 : 0;
    if (this.#weight === 0) this.#average = 0;
  }
}

function columnsOf(capacity: number): Record<Name, Float64Array> {
  return Object.fromEntries(names.map((name) => [name, new Float64Array(capacity)])) as Record<
    Name,
    Float64Array
  >;
}
