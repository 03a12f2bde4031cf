// Finds modules that hold the same pair of factors, byte for byte: what LoRA-drop leaves in a plain LoRA file.
import { createHash } from 'node:crypto';
import { parseName } from '../adapters/peftNames';

/** Groups of two and more module paths, in the order of the file. @param values by names as in the file. */
export function sharedPairs(values: ReadonlyMap<string, Float32Array>): string[][] {
  const modules = new Map<string, string[]>();
  for (const [name, data] of [...values].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parsed = parseName(name, 'LORA');
    if (!parsed?.parameter) continue;
    const digest = createHash('sha256')
      .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      .digest('hex');
    modules.set(parsed.module, [...(modules.get(parsed.module) ?? []), parsed.parameter, digest]);
  }
  const groups = new Map<string, string[]>();
  for (const [module, parts] of modules)
    groups.set(parts.join(), [...(groups.get(parts.join()) ?? []), module]);
  return [...groups.values()].filter((group) => group.length > 1);
}
