// bitsandbytes' unsigned 8-bit "dynamic" code, for what is never negative, beside the signed one of codes.ts.

/**
 * For i = 0…6 the midpoints of 2^(i+1) + 1 equally spaced points on [0.1, 1], times 10^(i−6); and 0 and 1. From the smallest
 * up; 256 values.
 */
export function unsignedDynamicCodes(): Float32Array {
  const f = Math.fround;
  const values: number[] = [0, 1];
  for (let i = 0; i < 7; i++) {
    const points = 2 ** (i + 1);
    const scale = f(10 ** (i - 6));
    // PyTorch's linspace in float32: from both ends towards the middle, rounded once; the bits depend on it.
    const step = f(f(1 - f(0.1)) / points);
    const at = (k: number): number =>
      k < (points + 1) / 2 ? f(f(0.1) + step * k) : f(1 - step * (points - k));
    for (let k = 0; k < points; k++) values.push(f(scale * f(f(at(k) + at(k + 1)) / 2)));
  }
  return Float32Array.from(values).sort();
}
