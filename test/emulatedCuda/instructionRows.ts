// Rows of a test of PTX instructions: an instruction's text and what it must give of three operands of up to 64 bits, and the module
// whose kernel runs them all on many operands at once.

import type { Kind, Mode, Value } from './exactNumbers';
import { decode, formats, isExact } from './exactNumbers';

/** Operands as unsigned bits. */
export type Operands = readonly [bigint, bigint, bigint];
export interface InstructionRow {
  /**
   * Operands are %h0…%h2, %r0…%r2, %d0…%d2: the low 16, 32, 64 bits. The result is the register %hx, %rx, %dx or %px that it names;
   * %hy, %ry, %dy, %py and %pz are free.
   */
  text: string;
  expected: (operands: Operands) => bigint;
  /** Whether a result of other bits is as good. */
  same?: (found: bigint, expected: bigint) => boolean;
}

const result = (text: string): string => /%[hrdp]x/.exec(text)![0];
const widened: Record<string, string> = {
  '%hx': 'cvt.u64.u16 %out, %hx;',
  '%rx': 'cvt.u64.u32 %out, %rx;',
  '%dx': 'mov.b64 %out, %dx;',
  '%px': 'selp.b64 %out, 1, 0, %px;',
};

/** A kernel `name(in, out, count)`: three operands of 64 bits per thread, one result of 64 bits per row and thread. */
export function rowsModule(name: string, rows: readonly InstructionRow[]): string {
  const blocks = rows.map(
    ({ text }) => `{
  .reg .pred %px, %py, %pz; .reg.b16 %hx, %hy; .reg .b32 %rx, %ry; .reg .b64 %dx, %dy;
  ${text}
  ${widened[result(text)]}
  st.global.b64 [%to], %out;
  add.s64 %to, %to, %step;
}`,
  );
  return `.version 8.0
.target sm_90
.address_size 64
.visible .entry ${name}(.param .u64 ${name}_param_0, .param .u64 ${name}_param_1, .param .u32 ${name}_param_2)
{
  .reg .pred %p<2>; .reg .b16 %h<3>; .reg .b32 %r<8>; .reg .b64 %d<3>; .reg .b64 %from, %to, %out, %step;
  ld.param.u64 %from, [${name}_param_0];
  ld.param.u64 %to, [${name}_param_1];
  ld.param.u32 %r3, [${name}_param_2];
  mov.u32 %r4, %ctaid.x;
  mov.u32 %r5, %ntid.x;
  mov.u32 %r6, %tid.x;
  mad.lo.s32 %r7, %r4, %r5, %r6;
  setp.ge.u32 %p1, %r7, %r3;
  @%p1 bra $end;
  mul.wide.u32 %step, %r3, 8;
  mad.wide.u32 %to, %r7, 8, %to;
  mad.wide.u32 %from, %r7, 24, %from;
  ld.global.b64 %d0, [%from];
  ld.global.v2.b64 {%d1, %d2}, [%from+8];
  cvt.u32.u64 %r0, %d0; cvt.u32.u64 %r1, %d1; cvt.u32.u64 %r2, %d2;
  cvt.u16.u64 %h0, %d0; cvt.u16.u64 %h1, %d1; cvt.u16.u64 %h2, %d2;
${blocks.join('\n')}
$end:
  ret;
}
`;
}

// Words for what rows expect.

/** As a signed number of some bits. */
export const S = (bits: number, v: bigint): bigint => BigInt.asIntN(bits, v);
/** As an unsigned number of some bits. */
export const U = (bits: number, v: bigint): bigint => BigInt.asUintN(bits, v);
export const ones = (n: bigint): bigint => (1n << n) - 1n;
export const clamp = (v: bigint, low: bigint, high: bigint): bigint => (v < low ? low : v > high ? high : v);
export const bigintMin = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const abs = (v: bigint): bigint => (v < 0n ? -v : v);
/** Registers' letters by their size. */
export const register: Record<number, string> = { 16: 'h', 32: 'r', 64: 'd' };

export const kinds: Kind[] = ['f16', 'bf16', 'f32', 'f64'];
export const of: Record<Kind, string> = { f16: 'h', bf16: 'h', f32: 'r', f64: 'd' };
export const sizes: Record<Kind, number> = { f16: 16, bf16: 16, f32: 32, f64: 64 };
export const modes: Mode[] = ['rn', 'rz', 'rm', 'rp'];
/** In double precision no number is as good as another. */
export const same = (kind: Kind) => (found: bigint, expected: bigint) =>
  found === expected || (kind === 'f64' && decode(found, kind) === 'NaN' && decode(expected, kind) === 'NaN');
export const subnormal = (v: Value, kind: Kind): boolean =>
  isExact(v) && v.digits !== 0n && v.digits >> BigInt(formats[kind].precision - 1) === 0n;
export const zeroOf = (v: Value): Value => (isExact(v) ? { ...v, digits: 0n } : v);

let seed = 7n;
export const random = (): bigint => {
  seed = U(64, seed * 6364136223846793005n + 1442695040888963407n);
  return seed ^ (seed >> 29n);
};
