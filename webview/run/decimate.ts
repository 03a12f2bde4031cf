// Long series → what a screen of so many pixels can show, without losing a peak: of each pixel column the first, the lowest,
// the highest and the last point (M4). Of marks on an axis those that have room.
// Pure.

export interface Point {
  x: number;
  y: number;
}

/**
 * Points of `ys` over `xs` (ascending) between `from` and `to`, at most four in each of `columns` columns; points that are
 * not finite are left out. Short series come back whole.
 */
export function decimate(
  xs: ArrayLike<number>,
  ys: ArrayLike<number>,
  columns: number,
  from = Number.NEGATIVE_INFINITY,
  to = Number.POSITIVE_INFINITY,
): Point[] {
  const start = lowerBound(xs, from);
  const end = lowerBound(xs, to, true);
  const points: Point[] = [];
  if (end - start <= 4 * columns) {
    for (let i = start; i < end; i++) if (Number.isFinite(ys[i])) points.push({ x: xs[i]!, y: ys[i]! });
    return points;
  }
  const first = xs[start]!;
  const width = (xs[end - 1]! - first) / columns || 1;
  let i = start;
  for (let column = 0; column < columns && i < end; column++) {
    const edge = column === columns - 1 ? Number.POSITIVE_INFINITY : first + (column + 1) * width;
    let low = -1;
    let high = -1;
    let head = -1;
    let tail = -1;
    for (; i < end && xs[i]! < edge; i++) {
      const y = ys[i]!;
      if (!Number.isFinite(y)) continue;
      if (head < 0) head = i;
      tail = i;
      if (low < 0 || y < ys[low]!) low = i;
      if (high < 0 || y > ys[high]!) high = i;
    }
    if (head < 0) continue;
    for (const at of [...new Set([head, low, high, tail])].sort((a, b) => a - b))
      points.push({ x: xs[at]!, y: ys[at]! });
  }
  return points;
}

/**
 * Of marks on an axis (ascending pixels) those that can be told apart: at least `gap` between any two. `keep` (the best one)
 * and the last stay, others give way to them.
 */
export function spaced<M extends { at: number; keep: boolean }>(marks: readonly M[], gap: number): M[] {
  const shown: M[] = [];
  const free = (one: M): boolean => shown.every(({ at }) => Math.abs(at - one.at) >= gap);
  const ranked = [marks.filter(({ keep }) => keep), marks.slice(-1)].flat();
  for (const mark of ranked) if (free(mark)) shown.push(mark);
  const fixed = shown.length;
  for (const mark of marks) {
    const before = shown.length > fixed ? shown.at(-1)!.at : Number.NEGATIVE_INFINITY;
    if (mark.at - before >= gap && shown.slice(0, fixed).every(({ at }) => Math.abs(at - mark.at) >= gap))
      shown.push(mark);
  }
  return shown.sort((a, b) => a.at - b.at);
}

/** Index of the first x that is at least (with `after`: greater than) `value`. */
function lowerBound(xs: ArrayLike<number>, value: number, after = false): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (after ? xs[middle]! <= value : xs[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
