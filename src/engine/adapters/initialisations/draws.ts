// Random arrays that several initialisations draw.
import type { Random } from '../../random';

/** U(−bound, bound). */
export const uniform = (random: Random, count: number, bound: number): Float32Array =>
  Float32Array.from({ length: count }, () => (2 * random.uniform() - 1) * bound);

/** N(0, deviation²). */
export const normal = (random: Random, count: number, deviation: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.normal() * deviation);
