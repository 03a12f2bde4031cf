// What singular values say of a module and of the whole adapter: how much of ΔW a smaller rank would keep. Numbers only.

/** ΔW of one module. */
export interface Spectral {
  sigma: readonly number[];
  outFeatures: number;
  inFeatures: number;
}

const sumOfSquares = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value * value, 0);

/** Share of ‖ΔW‖² that the first k singular values hold; 1 for a module that never moved. */
export function energy(sigma: readonly number[], k: number): number {
  const whole = sumOfSquares(sigma);
  return whole === 0 ? 1 : sumOfSquares(sigma.slice(0, k)) / whole;
}

/** exp of the entropy of σ/Σσ (Roy and Vetterli 2007): how many directions ΔW uses. 0 for nothing. */
export function effectiveRank(sigma: readonly number[]): number {
  const total = sigma.reduce((sum, value) => sum + value, 0);
  if (total === 0) return 0;
  let entropy = 0;
  for (const value of sigma) if (value > 0) entropy -= (value / total) * Math.log(value / total);
  return Math.exp(entropy);
}

export interface Resized {
  rank: number;
  /** Share of Σ‖ΔW‖² that is kept. */
  kept: number;
  /** The same for the module that loses most. */
  worst: number;
  /** Bytes of the factors at 4 bytes a value. */
  bytes: number;
}

/** What truncating every module to `rank` keeps. */
export function resized(modules: readonly Spectral[], rank: number): Resized {
  let whole = 0;
  let kept = 0;
  let worst = 1;
  let bytes = 0;
  for (const { sigma, outFeatures, inFeatures } of modules) {
    whole += sumOfSquares(sigma);
    kept += sumOfSquares(sigma.slice(0, rank));
    worst = Math.min(worst, energy(sigma, rank));
    bytes += 4 * Math.min(rank, sigma.length) * (outFeatures + inFeatures);
  }
  return { rank, kept: whole === 0 ? 1 : kept / whole, worst, bytes };
}

/** Ranks worth comparing with the present one, largest first: three quarters, half, a quarter … down to 1. */
export function smallerRanks(rank: number): number[] {
  const list = [rank, Math.round(rank * 0.75), rank >> 1, rank >> 2].filter((k) => k >= 1);
  return [...new Set(list)];
}

const enoughKept = 0.97;
const enoughWorst = 0.9;

/** The smallest rank that keeps nearly everything, or undefined where none below the present one does. */
export function suggestedRank(modules: readonly Spectral[], rank: number): Resized | undefined {
  if (modules.every(({ sigma }) => sumOfSquares(sigma) === 0)) return undefined;
  return smallerRanks(rank)
    .filter((k) => k < rank)
    .map((k) => resized(modules, k))
    .filter(({ kept, worst }) => kept >= enoughKept && worst >= enoughWorst)
    .at(-1);
}
