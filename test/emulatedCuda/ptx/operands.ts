// PTX operands as C expressions. A register is an unsigned integer of its width, whatever it holds; an instruction's type says how
// its bits are read.
import { sizeOf } from './module';

/** What names mean where an instruction stands. */
export interface Names {
  /** Bytes of a register, 0 for a predicate; undefined where the name is none. */
  register(name: string): { c: string; bytes: number } | undefined;
  /** C expression of a symbol's address; in shared memory the offset from its start. */
  symbol(name: string): { c: string; space: string };
  label(name: string): string;
}

const special: Record<string, string> = {
  laneid: '(T->thread & 31)',
  warpid: '(T->thread >> 5)',
  nwarpid: '((T->grid->threads + 31) >> 5)',
  smid: '0',
  nsmid: '132',
  gridid: '1',
  clock: '__builtin_ia32_rdtsc()',
  clock64: '__builtin_ia32_rdtsc()',
  clock_hi: '(__builtin_ia32_rdtsc() >> 32)',
  globaltimer: '__builtin_ia32_rdtsc()',
  globaltimer_lo: '__builtin_ia32_rdtsc()',
  dynamic_smem_size: 'T->grid->dynamicShared',
  total_smem_size: 'T->grid->shared_bytes',
  lanemask_eq: '(1u << (T->thread & 31))',
  lanemask_lt: '((1u << (T->thread & 31)) - 1)',
  lanemask_le: '((2u << (T->thread & 31)) - 1)',
  lanemask_ge: '(~((1u << (T->thread & 31)) - 1))',
  lanemask_gt: '(~((2u << (T->thread & 31)) - 1))',
};
const indexed: Record<string, string> = {
  tid: 'T->tid',
  ctaid: 'T->grid->ctaid',
  ntid: 'T->grid->ntid',
  nctaid: 'T->grid->nctaid',
};

/** C type that holds a value of a PTX type. Halves are floats. */
export function cType(type: string): string {
  if (type === 'pred') return 'uint8_t';
  if (type === 'f32' || type === 'f16' || type === 'bf16') return 'float';
  if (type === 'f64') return 'double';
  return `${type.startsWith('s') ? '' : 'u'}int${8 * sizeOf(type)}_t`;
}

/** The type of the same size that is only bits. */
export const bits = (type: string): string => (type === 'pred' ? type : `b${8 * sizeOf(type)}`);
export const isFloat = (type: string): boolean => /^(f|bf)\d+$/.test(type);
export const isPair = (type: string): boolean => type.endsWith('x2');

/** The C function of a register's value. */
export const fromBits: Record<string, string> = { f32: 'f32', f64: 'f64', f16: 'half', bf16: 'bfloat' };
/** The C function of a result's bits. */
export const toBits: Record<string, string> = {
  f32: 'number32',
  f64: 'bits64',
  f16: 'halfBits',
  bf16: 'bfloatBits',
};

/** The C expression of an operand's value. */
export function read(operand: string, type: string, names: Names): string {
  const float = fromBits[type];
  if (type === 'pred') {
    if (operand.startsWith('!')) return `!${read(operand.slice(1), type, names)}`;
    if (/^-?\d+$/.test(operand)) return operand;
    return names.register(operand)!.c;
  }
  if (operand === 'WARP_SZ') return '32';
  const raw = rawValue(operand, names);
  const unsigned = `uint${8 * sizeOf(type)}_t`;
  if (float !== undefined) return `${float}((${unsigned})${raw})`;
  return `((${cType(type)})${raw})`;
}

function rawValue(operand: string, names: Names): string {
  const register = names.register(operand);
  if (register) return register.c;
  if (/^0f[0-9a-fA-F]{8}$/i.test(operand)) return `0x${operand.slice(2)}u`;
  if (/^0d[0-9a-fA-F]{16}$/i.test(operand)) return `0x${operand.slice(2)}ull`;
  if (/^-?(0x[0-9a-f]+|\d+)U?$/i.test(operand))
    return `(${operand.replace(/U$/, '')}ll)`
      .replace('(-9223372036854775808ll)', 'INT64_MIN')
      .replace(/\((\d{19,}|0x[89a-f][0-9a-f]{15})ll\)/i, '($1ull)');
  const [, name, axis] = /^%(\w+?)(?:\.([xyz]))?$/.exec(operand) ?? [];
  if (name !== undefined && axis !== undefined && indexed[name])
    return `${indexed[name]}[${'xyz'.indexOf(axis)}]`;
  if (name !== undefined && special[name] !== undefined) return special[name];
  const [, symbol, offset] = /^([\w$]+)\s*(?:\+\s*(-?\d+))?$/.exec(operand) ?? [];
  if (symbol === undefined) throw new Error(`No PTX operand: ${operand}`);
  return `(${names.symbol(symbol).c} + ${offset ?? 0})`;
}

/** The C statement that writes a value of `type` to a register, extended to its width by the type's sign. */
export function write(operand: string, type: string, value: string, names: Names): string {
  if (operand === '_') return `(void)(${value});`;
  const register = names.register(operand);
  if (!register) throw new Error(`No register: ${operand}`);
  if (register.bytes === 0) return `${register.c} = (${value}) != 0;`;
  const own = toBits[type];
  const raw = own ? `${own}(${value})` : `(${cType(type)})(${value})`;
  return `${register.c} = (uint${8 * register.bytes}_t)${raw};`;
}

/** The C expression of the host address that `[base+offset]` means in a space. */
export function address(operand: string, space: string, names: Names): string {
  const [, base, offset] = /^\[\s*([\w$%]+)\s*(?:\+\s*(-?\w+))?\s*\]$/.exec(operand) ?? [];
  if (base === undefined) throw new Error(`No PTX address: ${operand}`);
  const register = names.register(base);
  const symbol = register || /^\d/.test(base) ? undefined : names.symbol(base);
  const value = register?.c ?? symbol?.c ?? base;
  const sum = `(${value} + (${offset ?? 0}))`;
  const shared = space.startsWith('shared') || symbol?.space === 'shared';
  return shared ? `(T->grid->shared + (uint32_t)${sum})` : `((char *)(uint64_t)${sum})`;
}

/** `{%r1, %r2}` as its parts, undefined for what is no vector. */
export const vector = (operand: string): string[] | undefined =>
  /^\{(.*)\}$/
    .exec(operand)?.[1]
    ?.split(',')
    .map((part) => part.trim());
