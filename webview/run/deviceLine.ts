// Samples of a run's device → its line and its peak. Pure.
import type { DevicePoint } from './history';

/** Of the drawing, in units of its own. */
export const lineWidth = 240;
export const lineHeight = 32;

/** The most that was taken on the device, by all programs; null where nothing was told. */
export function devicePeak(points: readonly DevicePoint[]): number | null {
  const taken = points.flatMap(({ used }) => used ?? []);
  return taken.length === 0 ? null : taken.reduce((a, b) => Math.max(a, b));
}

/** Shares (0…1) over time → an SVG path; where nothing was told it has a gap. Pure. */
export function sharePath(points: readonly { at: number; share: number | null }[]): string {
  const from = points[0]?.at ?? 0;
  const span = Math.max(1, (points.at(-1)?.at ?? 0) - from);
  let pen = 'M';
  const parts: string[] = [];
  for (const { at, share } of points) {
    if (share === null) {
      pen = 'M';
      continue;
    }
    const x = (lineWidth * (at - from)) / span;
    const y = (lineHeight - 1) * (1 - Math.max(0, Math.min(1, share))) + 0.5;
    parts.push(`${pen}${x.toFixed(1)} ${y.toFixed(1)}`);
    pen = 'L';
  }
  // A single sample is a point, which is not seen.
  return parts.length === 1 && points.length === 1 ? `${parts[0]}H${lineWidth}` : parts.join('');
}
