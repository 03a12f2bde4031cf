// Frobenius norms, in double precision.

export function frobeniusNorm(x: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * x[i]!;
  return Math.sqrt(sum);
}

/**
 * ‖b·a‖ for b [out, r] and a [r, in] without the product: ‖b·a‖² = Σ (bᵀb)∘(aaᵀ), two matrices of r by r.
 */
export function productNorm(b: Float32Array, a: Float32Array, r: number): number {
  const inFeatures = a.length / r;
  const outFeatures = b.length / r;
  let sum = 0;
  for (let i = 0; i < r; i++) {
    for (let j = 0; j <= i; j++) {
      let left = 0;
      for (let o = 0; o < outFeatures; o++) left += b[o * r + i]! * b[o * r + j]!;
      let right = 0;
      const [rowI, rowJ] = [i * inFeatures, j * inFeatures];
      for (let k = 0; k < inFeatures; k++) right += a[rowI + k]! * a[rowJ + k]!;
      sum += (i === j ? 1 : 2) * left * right;
    }
  }
  // Rounding may leave a sum of nothing a little below zero.
  return Math.sqrt(Math.max(0, sum));
}
