// How much of what initialisations learn from the data is gathered at once. Knows no runtime, so that forecasts can ask.
import type { Site } from '../adapters/variant';

/** Bytes of covariances that are gathered in one pass over the data, and of inputs that one forward pass hands out. */
export const passBytes = { covariances: 2 ** 31, inputs: 2 ** 29 };
/** Bytes of the covariance of one input. */
export const covarianceBytes = ({ inFeatures }: Pick<Site, 'inFeatures'>): number => 4 * inFeatures ** 2;

/** Puts inputs together, in their order, until the next would exceed `most` bytes. */
export function grouped<S extends Pick<Site, 'inFeatures'>>(
  inputs: readonly (readonly S[])[],
  bytesOf: (site: S) => number,
  most: number,
): S[][] {
  const groups: S[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const sites of inputs) {
    const own = bytesOf(sites[0]!);
    if (bytes + own > most) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(...sites);
    bytes += own;
  }
  return groups;
}
