// The streams of random numbers that data uses; the generator is the engine's.

/** Streams that one seed feeds; their numbers are part of every run's reproducibility. */
export const streams = { epoch: 1, packs: 2, split: 3 } as const;
