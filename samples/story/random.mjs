// A seed comes in, a stream of reproducible choices goes out. It knows nothing of stories.

/** A 32-bit seed from any text, by FNV-1a, so that streams can be named. */
export function seedOf(text) {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193) >>> 0;
  return hash;
}

/** mulberry32: small, fast and the same on every machine, since it uses 32-bit integers alone. */
export function createRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count) => Math.floor(next() * count);
  return {
    /** A number in [0, 1). */
    next,
    /** A whole number in [0, count). */
    below,
    /** One element of a list that is not empty. */
    pick: (list) => list[below(list.length)],
    /** True with the given probability. */
    chance: (probability) => next() < probability,
    /** A shuffled copy (Fisher-Yates). */
    shuffle(list) {
      const copy = [...list];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = below(i + 1);
        [copy[i], copy[j]] = [copy[j], copy[i]];
      }
      return copy;
    },
  };
}
