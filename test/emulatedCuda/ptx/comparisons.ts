// PTX instructions that compare, choose and convert (PTX ISA 9.7.6, 9.7.7 and `cvt`), as C.
import { sizeOf } from './module';
import { bits, isFloat, isPair, type Names, read, toBits, write } from './operands';
import { finished, flushed, halfOf, has, lastType, type Row, typesOf } from './rows';
import type { Instruction } from './statements';

const ordered: Record<string, string> = {
  eq: '==',
  ne: '!=',
  lt: '<',
  le: '<=',
  gt: '>',
  ge: '>=',
  lo: '<',
  ls: '<=',
  hi: '>',
  hs: '>=',
};
/** Comparisons that hold, too, when an operand is no number. */
const unordered: Record<string, string> = {
  equ: '==',
  neu: '!=',
  ltu: '<',
  leu: '<=',
  gtu: '>',
  geu: '>=',
};

/** Of C expressions of two values. */
function comparison(i: Instruction, type: string, [a, b]: readonly string[]): string {
  const kind = i.parts[1]!;
  const [x, y] = [flushed(i, type, a!), flushed(i, type, b!)];
  if (kind === 'nan') return `(isnan(${x}) || isnan(${y}))`;
  if (kind === 'num') return `!(isnan(${x}) || isnan(${y}))`;
  if (unordered[kind]) return `(isnan(${x}) || isnan(${y}) || ${x} ${unordered[kind]} ${y})`;
  // C's != holds of what is no number.
  if (kind === 'ne' && isFloat(type)) return `(${x} < ${y} || ${x} > ${y})`;
  if (ordered[kind] === undefined) throw new Error(`No comparison: ${i.text}`);
  return `(${x} ${ordered[kind]} ${y})`;
}

/** `setp.lt.and.f32 p, a, b, q`: with another predicate. */
function joined(i: Instruction): ((value: string) => string) | undefined {
  const name = ['and', 'or', 'xor'].find((own) => i.parts[2] === own);
  if (!name) return undefined;
  const operator = { and: '&', or: '|', xor: '^' }[name];
  return (value) => `((${value}) ? 1 : 0) ${operator} other`;
}
const other = (i: Instruction, names: Names): string =>
  joined(i) ? `uint8_t other = ${read(i.operands[3]!, 'pred', names)};` : '';

export const setp: Row = (i, names) => {
  const type = lastType(i);
  const [targets, a, b] = i.operands as [string, string, string];
  const [p, q] = targets.split('|') as [string, string?];
  const with_ = joined(i) ?? ((value: string) => value);
  if (isPair(type)) {
    const halves = byBits(i, type, [a, b], names);
    const low = write(p, 'pred', with_('halves & 1'), names);
    const high = q ? write(q, 'pred', with_('halves >> 16 & 1'), names) : '';
    return `{ ${other(i, names)} uint32_t halves = ${halves}; ${low} ${high} }`;
  }
  const own = [read(a, type, names), read(b, type, names)];
  const found = `uint8_t found = ${comparison(i, type, own)} ? 1 : 0;`;
  const parts = [found, other(i, names), write(p, 'pred', with_('found'), names)];
  if (q) parts.push(write(q, 'pred', with_('!found'), names));
  return `{ ${parts.join(' ')} }`;
};
/** One bit of 16 for each half that compares so. */
function byBits(i: Instruction, pair: string, sources: readonly string[], names: Names): string {
  const part = (shift: number): string => {
    const type = halfOf(pair);
    const from = { f16: 'half', bf16: 'bfloat' }[type];
    if (!from) throw new Error(`Not in pairs: ${i.text}`);
    const own = sources.map((s) => `${from}((uint16_t)(${read(s, 'b32', names)} >> ${shift}))`);
    return `((uint32_t)(${comparison(i, type, own)} ? 1 : 0) << ${shift})`;
  };
  return `${part(0)} | ${part(16)}`;
}

/** `set.eq.f16.f16`: a one of the target's type, or all bits of an integer. */
export const set: Row = (i, names) => {
  const types = typesOf(i);
  if (types.length !== 2) throw new Error(`No comparison into a value: ${i.text}`);
  const [to, from] = types as [string, string];
  const [target, a, b] = i.operands as [string, string, string];
  const with_ = joined(i) ?? ((value: string) => value);
  if (isPair(from)) {
    const one = { f16x2: '0x3c00', bf16x2: '0x3f80' }[to] ?? '0xffff';
    const low = `(${with_('halves & 1')}) ? ${one}u : 0`;
    const high = `(${with_('halves >> 16 & 1')}) ? ${one}0000u : 0`;
    const all = write(target, 'b32', `(${low}) | (${high})`, names);
    return `{ ${other(i, names)} uint32_t halves = ${byBits(i, from, [a, b], names)}; ${all} }`;
  }
  const value = with_(comparison(i, from, [read(a, from, names), read(b, from, names)]));
  const out = isFloat(to) ? `(${value}) ? 1.0f : 0.0f` : `(${value}) ? -1 : 0`;
  return `{ ${other(i, names)} ${write(target, to, out, names)} }`;
};

export const selp: Row = (i, names) => {
  const type = bits(lastType(i));
  const [target, a, b, p] = i.operands as [string, string, string, string];
  const value = `${read(p, 'pred', names)} ? ${read(a, type, names)} : ${read(b, type, names)}`;
  return write(target, type, value, names);
};
export const slct: Row = (i, names) => {
  const [type, by] = typesOf(i) as [string, string];
  const [target, a, b, c] = i.operands as [string, string, string, string];
  const own = bits(type);
  const first = `${flushed(i, by, read(c, by, names))} >= 0`;
  return write(target, own, `${first} ? ${read(a, own, names)} : ${read(b, own, names)}`, names);
};

const tests: Record<string, string> = {
  finite: 'isfinite',
  infinite: 'isinf',
  number: '!isnan',
  notanumber: 'isnan',
  normal: 'isnormal',
};
export const testp: Row = (i, names) => {
  const value = read(i.operands[1]!, lastType(i), names);
  const kind = i.parts[1]!;
  const test = tests[kind] ? `${tests[kind]}(${value})` : `fpclassify(${value}) == FP_SUBNORMAL`;
  return write(i.operands[0]!, 'pred', test, names);
};

/** A number of type `from` as one of `to`, to a C expression that becomes bits of `to` with no second rounding. */
function converted(value: string, from: string, to: string, rounding: string): string {
  if (isFloat(from) && sizeOf(to) > sizeOf(from)) return value;
  if (from === to) return value;
  if (rounding !== 'rn') return `${rounding}_${to}((long double)${value})`;
  if (isFloat(from) || to === 'f64') return to === 'f32' ? `(float)${value}` : value;
  if (to === 'f32') return `(float)${value}`;
  return sizeOf(from) === 8 ? `odd((long double)${value})` : `(double)${value}`;
}

/** Flushing is of single precision alone here. */
const flushing = (i: Instruction, type: string): Instruction =>
  type === 'f32' ? i : { ...i, parts: i.parts.filter((part) => part !== 'ftz') };

export const cvt: Row = (i, names) => {
  const types = typesOf(i);
  const [target, a, b] = i.operands as [string, string, string?];
  // Of 8, 6 and 4 bits there are none, nor of tensor floats.
  if (types.length !== 2 || i.parts.some((part) => /^(u?e\d+m\d|tf32|pack|rna|rs)/.test(part)))
    throw new Error(`No conversion: ${i.text}`);
  const [to, from] = types as [string, string];
  const rounding = i.parts.find((part) => /^r[nzmp]i?$/.test(part)) ?? 'rn';
  const source = (s: string): string => flushed(flushing(i, from), from, read(s, from, names));
  const result = (s: string, out: string): string => {
    const value = converted(source(s), from, out, rounding);
    const clamped = finished(flushing(i, out), out, value);
    return has(i, 'satfinite') ? `finite_${out}(${clamped})` : clamped;
  };
  if (isPair(to)) {
    if (b === undefined) throw new Error(`No conversion: ${i.text}`);
    // The first source is the upper half.
    const half = (s: string): string => `(uint32_t)${toBits[halfOf(to)]}(${result(s, halfOf(to))})`;
    return write(target, 'b32', `(${half(a)} << 16) | ${half(b)}`, names);
  }
  const value = source(a);
  if (isFloat(from) && !isFloat(to)) {
    const wide = from === 'f64' || sizeOf(to) === 8 ? 1 : 0;
    return write(target, to, `whole_${to}(${rounding.slice(0, 2)}_whole((double)${value}), ${wide})`, names);
  }
  if (isFloat(from) && rounding.endsWith('i')) {
    if (from !== to) throw new Error(`No conversion: ${i.text}`);
    return write(target, to, finished(flushing(i, to), to, `${rounding.slice(0, 2)}_whole(${value})`), names);
  }
  if (isFloat(to)) return write(target, to, result(a, to), names);
  return write(target, to, has(i, 'sat') ? `clamped_${to}((__int128)${value})` : value, names);
};
