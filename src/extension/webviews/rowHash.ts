// A short name for a row's content, by which duplicates are found without keeping the rows. Pure.
import type { Sample } from '../../engine/data';

/** 53 bits of a row's content (two FNV-1a of 32 bits): equal rows are equal, unequal ones nearly never. */
export function hashOf(sample: Sample): number {
  const text = JSON.stringify(sample);
  let [a, b] = [0x811c9dc5, 0x9dc5811c];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ (code + 0x9e37), 0x01000193);
  }
  return (b >>> 0) * 2 ** 21 + ((a >>> 0) & 0x1fffff);
}
