// Gives a base model's weights a short name by which an adapter can tell whether it meets the base it was trained on.
import { createHash } from 'node:crypto';
import { UserError } from '../errors';
import { openCheckpoint } from './folder';
import { readBytes, readSafetensors } from './safetensors';
import type { TensorRef } from './safetensorsHeader';

/** Where an adapter's weights hold it, among the file's metadata: PEFT reads past them. */
export const fingerprintKey = 'base_model_fingerprint';

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

/** The fingerprint of the base at a path or a hub name; undefined where there is none on this machine. */
export async function fingerprintOfBase(base: string | null): Promise<string | undefined> {
  if (base === null) return undefined;
  try {
    return await fingerprint((await openCheckpoint(base)).tensors);
  } catch (cause) {
    if (cause instanceof UserError) return undefined;
    throw cause;
  }
}

/** The fingerprint that an adapter's weights hold; undefined where they hold none. */
export async function fingerprintIn(file: string): Promise<string | undefined> {
  const value = (await readSafetensors(file)).metadata[fingerprintKey];
  return value !== undefined && /^sha256:[0-9a-f]{64}$/.test(value) ? value : undefined;
}

/** Whether a base is the one that an adapter was trained on, as far as the two can tell. */
export type BaseMatch = 'match' | 'mismatch' | 'unknown';

/** Compares an adapter's weights with the base that it names. */
export async function matchOfBase(file: string, base: string | null): Promise<BaseMatch> {
  const [told, found] = [await fingerprintIn(file), await fingerprintOfBase(base)];
  if (told === undefined || found === undefined) return 'unknown';
  return told === found ? 'match' : 'mismatch';
}
