// Finds the name that a mistyped one was meant to be. In: a name and the known ones. Out: the nearest, if it is near enough.
import { distance } from 'fastest-levenshtein';

/**
 * The known name nearest to `name`, or undefined where none is near: two slips (letters swapped), or one in three
 * characters of a long name. Names of three letters are all near to one another and get no answer.
 */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = normalized(name);
  let best: string | undefined;
  let bestDistance = (wanted.length < 4 ? 0 : Math.max(2, Math.floor(wanted.length / 3))) + 1;
  for (const candidate of known) {
    const slips = distance(wanted, normalized(candidate));
    if (slips < bestDistance) {
      best = candidate;
      bestDistance = slips;
    }
  }
  return best ?? containing(name, known);
}

/** A name with a word missing (`epochs`, `batch_size`): the shortest known one that has all its words. */
function containing(name: string, known: Iterable<string>): string | undefined {
  const words = name
    .toLowerCase()
    .slice(0, 200)
    .split(/[-_\s]+/)
    .filter((word) => word.length > 1);
  if (words.length === 0) return undefined;
  return [...known]
    .filter((candidate) => words.every((word) => candidate.split('_').includes(word)))
    .sort((a, b) => a.length - b.length)[0];
}

/** Case, dashes and underscores are not slips. */
function normalized(name: string): string {
  return name.slice(0, 200).toLowerCase().replaceAll(/[-_]/g, '');
}
