// Finds the name that a mistyped one was meant to be. In: a name and the known ones. Out: the nearest, if it is near enough.
import { distance } from 'fastest-levenshtein';

/** The known name nearest to `name`, or undefined where none is near: about one slip in three characters. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = normalized(name);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const slips = distance(wanted, normalized(candidate));
    if (slips < bestDistance) {
      best = candidate;
      bestDistance = slips;
    }
  }
  return best;
}

/** Case, dashes and underscores are not slips. */
function normalized(name: string): string {
  return name.slice(0, 200).toLowerCase().replaceAll(/[-_]/g, '');
}
