// What every row of the table of instructions (instructions.ts) is written with: an instruction's types, and its values with what
// its mnemonic's parts ask of them.
import { sizeOf } from './module';
import { bits, isFloat, isPair, type Names, read, toBits, write } from './operands';
import type { Instruction } from './statements';

/** An instruction as a C statement. */
export type Row = (i: Instruction, names: Names) => string;

export const isType = (part: string): boolean =>
  /^(pred|[subf](8|16|32|64)|b128|f16x2|bf16x2|[su]16x2|bf16)$/.test(part);
export const typesOf = (i: Instruction): string[] => i.parts.slice(1).filter(isType);
export const has = (i: Instruction, ...mods: string[]): boolean => mods.some((m) => i.parts.includes(m));
export function lastType(i: Instruction): string {
  const type = typesOf(i).at(-1);
  if (type === undefined) throw new Error(`No type: ${i.text}`);
  return type;
}
export const unsigned = (type: string): string => type.replace(/^[sb]/, 'u');
export const halfOf = (pair: string): string => pair.slice(0, -2);

/** An operand, with zero for what is subnormal where `ftz` asks so. */
export const flushed = (i: Instruction, type: string, value: string): string =>
  has(i, 'ftz') && ['f16', 'f32', 'f64'].includes(type) ? `flush_${type}(${value})` : value;

/** A result: flushes what is subnormal and clamps, as the mnemonic's parts ask. */
export function finished(i: Instruction, type: string, value: string): string {
  let v = flushed(i, type, value);
  if (has(i, 'sat') && isFloat(type)) v = `saturate(${v})`;
  if (has(i, 'relu') && isFloat(type)) v = `atLeastZero(${v})`;
  return v;
}

/** The halves of pairs: the C expression of a pair whose halves are `value` of the operands' halves. */
export function byHalves(
  pair: string,
  sources: readonly string[],
  names: Names,
  value: (own: string[], shift: number) => string,
): string {
  const half = halfOf(pair);
  const part = (shift: number): string => {
    const own = sources.map((s) => {
      const raw = `(uint16_t)(${read(s, 'b32', names)} >> ${shift})`;
      return isFloat(half) ? `${half === 'f16' ? 'half' : 'bfloat'}(${raw})` : `((${cHalf(half)})${raw})`;
    });
    return `((uint32_t)(uint16_t)${isFloat(half) ? toBits[half] : ''}(${value(own, shift)}) << ${shift})`;
  };
  return `${part(0)} | ${part(16)}`;
}
const cHalf = (half: string): string => `${half === 's16' ? '' : 'u'}int16_t`;

/** An instruction of values of one type: a pair of halves goes half by half. */
export function arithmetic(value: (operands: string[], type: string, i: Instruction) => string): Row {
  return (i, names) => {
    if (typesOf(i).length !== 1) throw new Error(`Not of several types: ${i.text}`);
    const type = lastType(i);
    const [target, ...sources] = i.operands as [string, ...string[]];
    const result = (own: string[], of: string): string => {
      const taken = own.map((s) => flushed(i, of, s));
      return finished(i, of, value(taken, of, i));
    };
    if (!isPair(type)) {
      const own = sources.map((s) => read(s, type, names));
      return write(target, type, result(own, type), names);
    }
    const halves = byHalves(type, sources, names, (own) => result(own, halfOf(type)));
    return write(target, 'b32', halves, names);
  };
}

/** A function of C on bits of the given types, `NAME_TYPE`. */
export const call =
  (name: string, sources: (type: string) => string[], out: (type: string) => string = (t) => t): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, ...rest] = i.operands as [string, ...string[]];
    const taken = sources(type);
    const args = rest.map((s, k) => read(s, taken[k] ?? taken.at(-1)!, names));
    return write(target, out(type), `${name}_${type}(${args.join(', ')})`, names);
  };

/** Sign bits of halves, alone or in pairs, and of floats. */
export function signBits(i: Instruction, names: Names): string | undefined {
  const type = lastType(i);
  if (!isFloat(type) && !['f16x2', 'bf16x2'].includes(type)) return undefined;
  if (has(i, 'ftz')) return undefined;
  const own = bits(type);
  const sign = `0x8${'0'.repeat((isPair(type) ? 4 : 2 * sizeOf(type)) - 1)}`;
  const all = isPair(type) ? `${sign}8000u` : `${sign}ull`;
  const [target, a] = i.operands as [string, string];
  const value = read(a, own, names);
  return write(target, own, i.parts[0] === 'neg' ? `${value} ^ ${all}` : `${value} & ~${all}`, names);
}
