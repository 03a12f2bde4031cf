// How decompositions divide matrices, and what they hold in memory for it. Knows no runtime, so that forecasts can ask.

/** Gram matrices up to this size are taken apart whole, on the host. */
export const denseSize = 256;
/** Blocks of this size and less are factored on the host. */
export const hostSize = 128;

/** Rows of the first of the two parts: a power of two of host blocks, so that few shapes of products occur. */
export function firstHalf(n: number): number {
  return hostSize * 2 ** Math.floor(Math.log2((n - 1) / hostSize));
}

/**
 * About the most bytes that `exactSvd` holds beyond the matrix and the r directions: the Gram matrix, shifted, its factor on
 * the host and on the device; products of the factor's halves, which stay open; the stretches of the matrix that one product
 * takes, in both types; and copies that were not collected yet.
 */
export function decompositionBytes(rows: number, columns: number): number {
  const [size, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  if (size <= denseSize) return 32 * size ** 2;
  const stretches = 24 * Math.min(1024, size) * Math.min(8192, length);
  return 4 * 8 * size ** 2 + 64 * firstHalf(size) ** 2 + stretches + 2 ** 26;
}
