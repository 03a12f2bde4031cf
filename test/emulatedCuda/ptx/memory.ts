// PTX instructions that move values between registers, memory and address spaces, and atomic ones (PTX ISA 9.7.9, 9.7.13), as C.
import { sizeOf } from './module';
import {
  address,
  bits,
  cType,
  fromBits,
  isFloat,
  isPair,
  type Names,
  read,
  toBits,
  vector,
  write,
} from './operands';
import { byHalves, halfOf, has, lastType, type Row } from './rows';
import type { Instruction } from './statements';

export const mov: Row = (i, names) => {
  const type = bits(lastType(i));
  const [target, source] = i.operands as [string, string];
  const into = vector(target);
  const from = vector(source);
  if (from) {
    const width = sizeOf(type) / from.length;
    const parts = from.map((part, k) => {
      const own = `(uint64_t)${read(part, `b${8 * width}`, names)}`;
      return `(${own} << ${8 * width * k})`;
    });
    return write(target, type, parts.join(' | '), names);
  }
  if (into) {
    const width = sizeOf(type) / into.length;
    const parts = into.map((part, k) =>
      part === '_' ? '' : write(part, `b${8 * width}`, `whole >> ${8 * width * k}`, names),
    );
    return `{ uint64_t whole = ${read(source, type, names)}; ${parts.join(' ')} }`;
  }
  return write(target, type, read(source, type, names), names);
};

const spaces = ['global', 'local', 'param', 'const'];
const spaceOf = (i: Instruction): string =>
  i.parts.find((part) => spaces.includes(part) || part.startsWith('shared')) ?? 'generic';
const isShared = (i: Instruction): boolean => i.parts.some((part) => part.startsWith('shared'));

/** How memory holds a register's value: halves and floats as bits. */
const stored = (type: string): string => cType(isFloat(type) || isPair(type) ? bits(type) : type);

export const ld: Row = (i, names) => {
  const type = lastType(i);
  const [target, place] = i.operands as [string, string];
  const from = address(place, spaceOf(i), names);
  const as = isFloat(type) || isPair(type) ? bits(type) : type;
  const parts = vector(target) ?? [target];
  const n = parts.length;
  const loads = parts.map((part, k) => write(part, as, `v[${k}]`, names));
  const all = `${stored(type)} v[${n}]; for (int k = 0; k < ${n}; k++) v[k] = from[k];`;
  return `{ const ${stored(type)} *from = (const ${stored(type)} *)${from}; ${all} ${loads.join(' ')} }`;
};

export const st: Row = (i, names) => {
  const type = bits(lastType(i));
  const [place, source] = i.operands as [string, string];
  const to = address(place, spaceOf(i), names);
  const parts = vector(source) ?? [source];
  const stores = parts.map((part, k) => `to[${k}] = ${read(part, type, names)};`);
  return `{ ${cType(type)} *to = (${cType(type)} *)${to}; ${stores.join(' ')} }`;
};

/** Addresses of all spaces but shared memory's are generic ones. */
export const cvta: Row = (i, names) => {
  const [target, source] = i.operands as [string, string];
  const value = read(source, 'b64', names);
  if (!isShared(i)) return write(target, 'b64', value, names);
  const base = '(uint64_t)T->grid->shared';
  return write(target, 'b64', has(i, 'to') ? `${value} - ${base}` : `${base} + (uint32_t)${value}`, names);
};
export const isspacep: Row = (i, names) => {
  const shared = `${read(i.operands[1]!, 'b64', names)} - (uint64_t)T->grid->shared < T->grid->shared_bytes`;
  if (!isShared(i) && !has(i, 'global')) throw new Error(`No question of a space: ${i.text}`);
  return write(i.operands[0]!, 'pred', has(i, 'global') ? `!(${shared})` : shared, names);
};

/** Blocks run one after another and threads by turns, so that nothing comes between a reading and its writing. */
export const atomic: Row = (i, names) => {
  const type = lastType(i);
  const kinds = ['add', 'cas', 'exch', 'min', 'max', 'and', 'or', 'xor', 'inc', 'dec'];
  const kind = kinds.find((part) => i.parts.includes(part));
  const operands = i.parts[0] === 'red' ? ['_', ...i.operands] : i.operands;
  const [target, place, a, b] = operands as [string, string, string, string?];
  if (kind === undefined || vector(a)) throw new Error(`No atomic operation: ${i.text}`);
  const raw = bits(type);
  const to = address(place, spaceOf(i), names);
  const next = isPair(type) ? nextPair(kind, type, i, a, names) : nextValue(kind, type, i, [a, b], names);
  const out = target === '_' ? '' : write(target, raw, 'was', names);
  return `{ ${cType(raw)} *at = (${cType(raw)} *)${to}, was = *at; *at = ${next}; ${out} }`;
};

function nextPair(kind: string, type: string, i: Instruction, a: string, names: Names): string {
  const functions: Record<string, string> = { min: 'fmin_f32', max: 'fmax_f32' };
  if (kind !== 'add' && !functions[kind]) throw new Error(`No atomic operation: ${i.text}`);
  return byHalves(type, [a], names, ([x], shift) => {
    const old = `${fromBits[halfOf(type)]}((uint16_t)(was >> ${shift}))`;
    return kind === 'add' ? `${old} + ${x}` : `${functions[kind]}(${old}, ${x})`;
  });
}

function nextValue(
  kind: string,
  type: string,
  i: Instruction,
  [a, b]: readonly [string, string | undefined],
  names: Names,
): string {
  const raw = bits(type);
  const [x, own] = [read(a, type, names), read(a, raw, names)];
  const old = isFloat(type) ? `${fromBits[type]}(was)` : `(${cType(type)})was`;
  const back = isFloat(type) ? toBits[type]! : `(${cType(raw)})`;
  // Adding in global memory flushes what is subnormal.
  const flush = type === 'f32' && has(i, 'global') ? 'flush_f32' : '';
  const extreme = (name: 'min' | 'max'): string =>
    isFloat(type)
      ? `${back}(f${name}_${type === 'f64' ? type : 'f32'}(${old}, ${x}))`
      : `${back}(${x} ${name === 'min' ? '<' : '>'} ${old} ? ${x} : ${old})`;
  switch (kind) {
    case 'add':
      return `${back}(${flush}(${flush}(${old}) + ${flush}(${x})))`;
    case 'cas':
      return `was == ${own} ? ${read(b!, raw, names)} : was`;
    case 'exch':
      return own;
    case 'min':
    case 'max':
      return extreme(kind);
    case 'inc':
      return `was >= ${x} ? 0 : was + 1`;
    case 'dec':
      return `was == 0 || was > ${x} ? ${x} : was - 1`;
    default:
      return `was ${{ and: '&', or: '|', xor: '^' }[kind]} ${own}`;
  }
}
