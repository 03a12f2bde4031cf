// Gives a base model's weights a short name by which an adapter can tell whether it meets the base it was trained on.
import { createHash } from 'node:crypto';
import { readBytes } from './safetensors';
import type { TensorRef } from './safetensorsHeader';

/** Tensors up to this size, in bytes, are hashed whole. */
const wholeBytes = 4096;
/** Larger ones give this many blocks of `blockBytes`, spread evenly from the first byte to the last. */
const blocks = 4;
const blockBytes = 1024;

function sampledPlaces(ref: TensorRef): { offset: number; into: Uint8Array }[] {
  if (ref.bytes <= wholeBytes) return [{ offset: ref.offset, into: new Uint8Array(ref.bytes) }];
  return Array.from({ length: blocks }, (_, i) => {
    // Multiples of 8 keep the samples on whole elements of every type.
    const start = Math.floor(((ref.bytes - blockBytes) * i) / (blocks - 1) / 8) * 8;
    return { offset: ref.offset + start, into: new Uint8Array(blockBytes) };
  });
}

/**
 * "sha256:" and 64 hex digits over `lora-workbench base 1\n`, then per tensor in the order of its name (UTF-16 code
 * units) the line `name\tdtype\tshape,with,commas\n` and its sampled bytes. Sharding, file names and metadata do not
 * count; another element type does. Reads at most 4 KiB a tensor, so a model of 7 billion parameters takes a blink.
 */
export async function fingerprint(tensors: ReadonlyMap<string, TensorRef>): Promise<string> {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const sampled = sorted.map(([name, ref]) => ({ name, ref, places: sampledPlaces(ref) }));
  for (const file of new Set(sampled.map(({ ref }) => ref.file))) {
    const places = sampled.filter(({ ref }) => ref.file === file).flatMap((sample) => sample.places);
    await readBytes(file, places);
  }
  const hash = createHash('sha256').update('lora-workbench base 1\n');
  for (const { name, ref, places } of sampled) {
    hash.update(`${name}\t${ref.dtype}\t${ref.shape.join(',')}\n`);
    for (const { into } of places) hash.update(into);
  }
  return `sha256:${hash.digest('hex')}`;
}
