// The dynamic loss scale of float16 runs, as torch's GradScaler has it: gradients are computed of a multiple of the loss, so
// that small ones are not rounded to zero; one that overflows costs its step and halves the multiple.

/** Goes into checkpoints. */
export interface LossScaleState {
  scale: number;
  /** Updates since the scale changed last. */
  goodSteps: number;
  /** Steps of the run that overflowed: neither the optimizer nor the schedule counts them. */
  skipped: number;
}

const initialScale = 65536;
const growthInterval = 2000;
/** Below this, not the scale is what overflows. */
export const smallestScale = 1;

export class LossScale {
  #state: LossScaleState = { scale: initialScale, goodSteps: 0, skipped: 0 };

  /** What the loss is multiplied by: a power of two, so that dividing by it is exact. */
  get scale(): number {
    return this.#state.scale;
  }

  get skipped(): number {
    return this.#state.skipped;
  }

  get state(): LossScaleState {
    return { ...this.#state };
  }

  restore(state: LossScaleState): void {
    this.#state = { ...state };
  }

  /** After every step: `finite` tells whether its gradients were. */
  stepped(finite: boolean): void {
    const state = this.#state;
    if (!finite) {
      this.#state = { scale: state.scale / 2, goodSteps: 0, skipped: state.skipped + 1 };
      return;
    }
    state.goodSteps++;
    if (state.goodSteps < growthInterval) return;
    state.scale *= 2;
    state.goodSteps = 0;
  }
}

/** Whether a value from a file is a state. */
export function isLossScaleState(value: unknown): value is LossScaleState {
  if (typeof value !== 'object' || value === null) return false;
  const { scale, goodSteps, skipped } = value as Partial<Record<keyof LossScaleState, unknown>>;
  const natural = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0;
  return (
    typeof scale === 'number' &&
    scale > 0 &&
    Number.isInteger(Math.log2(scale)) &&
    natural(goodSteps) &&
    natural(skipped)
  );
}
