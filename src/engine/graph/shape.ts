// Shape arithmetic shared by the operator table and the gradient rules. Letters used in comments across the engine:
// B rows of a batch, S positions, N = B·S tokens, D hidden size, F intermediate size, H query heads, K key/value heads,
// G = H/K query heads per key/value head, Dh head size, V vocabulary, r rank.
import { invariant } from '../errors';
import type { Shape } from './graph';

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** NumPy broadcasting of two shapes; throws where they do not fit. */
export function broadcastShapes(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const da = a[i - rank + a.length] ?? 1;
    const db = b[i - rank + b.length] ?? 1;
    invariant(da === db || da === 1 || db === 1, `shapes ${showShape(a)} and ${showShape(b)} broadcast`);
    return da === 1 ? db : da;
  });
}

/** Resolves a possibly negative axis. */
export function axisOf(axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  invariant(resolved >= 0 && resolved < rank, `axis ${axis} lies within rank ${rank}`);
  return resolved;
}

/** The axes over which a gradient of shape `from` is summed to fit an input of shape `to` that was broadcast to it. */
export function broadcastAxes(from: Shape, to: Shape): number[] {
  const offset = from.length - to.length;
  return from.map((_, i) => i).filter((i) => i < offset || (to[i - offset] === 1 && from[i] !== 1));
}

export function replaced(shape: Shape, axis: number, dim: number): number[] {
  return shape.map((d, i) => (i === axis ? dim : d));
}
