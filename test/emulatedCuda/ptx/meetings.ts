// PTX instructions that a thread runs with others of its warp or block (PTX ISA 9.7.9.6 and 9.7.13), as calls of
// native/cudart.threads.c.
import { type Names, read, write } from './operands';
import { has, lastType, type Row } from './rows';
import type { Instruction } from './statements';

/** Values that lanes of a warp hand one another when all of a mask are there. */
function exchange(
  i: Instruction,
  names: Names,
  operation: string,
  [value, b, c, mask]: string[],
  type: string,
): string {
  const [d, p] = i.operands[0]!.split('|') as [string, string?];
  const parts = [
    `uint8_t found; uint64_t got = T->calls->exchange(T, ${operation}, ${mask}, ${value}, ${b}, ${c}, &found);`,
    write(d, type, 'got', names),
  ];
  if (p) parts.push(write(p, 'pred', 'found', names));
  return `{ ${parts.join(' ')} }`;
}

/** What all lanes are asked for where the mnemonic has no `.sync` is nothing that one can know. */
function needsMask(i: Instruction): void {
  if (!has(i, 'sync')) throw new Error(`No mask of lanes: ${i.text}`);
}

export const shfl: Row = (i, names) => {
  needsMask(i);
  const [value, b, c, mask] = i.operands.slice(1).map((o) => read(o, 'b32', names));
  const kind = i.parts.find((part) => ['up', 'down', 'bfly', 'idx'].includes(part))!;
  return exchange(i, names, `SHUFFLE_${kind.toUpperCase()}`, [value!, b!, c!, mask!], 'b32');
};

export const vote: Row = (i, names) => {
  needsMask(i);
  const kind = i.parts.find((part) => ['any', 'all', 'uni', 'ballot'].includes(part))!;
  const [, p, mask] = i.operands as [string, string, string];
  const values = [read(p, 'pred', names), '0', '0', read(mask, 'b32', names)];
  return exchange(i, names, `VOTE_${kind.toUpperCase()}`, values, kind === 'ballot' ? 'b32' : 'pred');
};

export const match: Row = (i, names) => {
  const [, value, mask] = i.operands as [string, string, string];
  const kind = has(i, 'all') ? 'MATCH_ALL' : 'MATCH_ANY';
  const values = [read(value, lastType(i), names), '0', '0', read(mask, 'b32', names)];
  return exchange(i, names, kind, values, 'b32');
};

export const redux: Row = (i, names) => {
  const type = lastType(i);
  if (type === 'f32') throw new Error(`No reduction of floats: ${i.text}`);
  const [, value, mask] = i.operands as [string, string, string];
  const kind = ['add', 'min', 'max', 'and', 'or', 'xor'].find((part) => i.parts.includes(part))!;
  const signed = type.startsWith('s') && (kind === 'min' || kind === 'max') ? '_SIGNED' : '';
  const values = [read(value, type, names), '0', '0', read(mask, 'b32', names)];
  return exchange(i, names, `REDUCE_${kind.toUpperCase()}${signed}`, values, type);
};

/** `elect.sync d|p, mask`: the lowest lane. */
export const elect: Row = (i, names) =>
  exchange(i, names, 'ELECT', ['0', '0', '0', read(i.operands[1]!, 'b32', names)], 'b32');

export const barrier: Row = (i, names) => {
  if (has(i, 'warp')) {
    const mask = read(i.operands[0]!, 'b32', names);
    return `{ uint8_t found; T->calls->exchange(T, WARP_BARRIER, ${mask}, 0, 0, 0, &found); }`;
  }
  if (has(i, 'arrive')) throw new Error(`No split barrier: ${i.text}`);
  if (has(i, 'red')) {
    const [target, id, ...rest] = i.operands as [string, string, ...string[]];
    const kind = ['popc', 'and', 'or'].find((part) => i.parts.includes(part))!;
    const count = rest.length === 2 ? read(rest[0]!, 'u32', names) : '0';
    const brought = read(rest.at(-1)!, 'pred', names);
    const own = `${read(id, 'u32', names)}, ${count}, ${brought}, BARRIER_${kind.toUpperCase()}`;
    return write(target, lastType(i), `T->calls->barrier(T, ${own})`, names);
  }
  const [id, count] = i.operands;
  const own = `${id ? read(id, 'u32', names) : '0'}, ${count ? read(count, 'u32', names) : '0'}`;
  return `T->calls->barrier(T, ${own}, 0, BARRIER_OR);`;
};

export const activemask: Row = (i, names) => write(i.operands[0]!, 'b32', 'T->calls->active(T)', names);
