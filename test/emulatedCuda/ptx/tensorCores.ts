// PTX instructions of tensor cores and of copies into shared memory, as C (native/tensorCores.h).
import { address, type Names, read, vector, write } from './operands';
import type { Instruction } from './statements';

/** `mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {d}, {a}, {b}, {c}`. */
export function mma(i: Instruction, names: Names): string {
  const form = i.parts.slice(1).join('.');
  const [, depth, kind] = /^sync\.aligned\.m16n8k(8|16)\.row\.col\.f32\.(b?f16)\.\2\.f32$/.exec(form) ?? [];
  if (!kind) throw new Error(`No product of matrices: ${i.text}`);
  const [d, a, b, c] = i.operands.map((operand) => vector(operand)!) as [
    string[],
    string[],
    string[],
    string[],
  ];
  const list = (parts: string[], type: string): string =>
    parts.map((part) => read(part, type, names)).join(', ');
  const results = d.map((part, k) => write(part, 'f32', `d[${k}]`, names));
  return `{ uint32_t a[] = {${list(a, 'b32')}}, b[] = {${list(b, 'b32')}}; float c[] = {${list(c, 'f32')}}, d[4]; multiplyMatrices(T, a, b, c, d, ${Number(depth) / 8}, ${kind === 'bf16' ? 1 : 0}); ${results.join(' ')} }`;
}

/** `ldmatrix.sync.aligned.x4.trans.m8n8.shared.b16 {d}, [address]`. */
export function ldmatrix(i: Instruction, names: Names): string {
  const [target, place] = i.operands as [string, string];
  const parts = vector(target) ?? [target];
  if (!i.parts.includes('m8n8') || !i.parts.includes('b16'))
    throw new Error(`No load of matrices: ${i.text}`);
  const results = parts.map((part, k) => write(part, 'b32', `d[${k}]`, names));
  const row = address(place, 'shared', names);
  return `{ uint32_t d[4]; loadMatrices(T, ${row}, ${parts.length}, ${i.parts.includes('trans') ? 1 : 0}, d); ${results.join(' ')} }`;
}

/** `cp.async.cg.shared.global [to], [from], 16, bytes`: at once; what is not read of it is zero. */
export function cp(i: Instruction, names: Names): string {
  if (i.parts[1] !== 'async' || i.parts.some((part) => part === 'bulk' || part.includes('cache_hint')))
    throw new Error(`No copy: ${i.text}`);
  if (i.parts.some((part) => /group|wait|commit/.test(part))) return ';';
  const [to, from, size, given] = i.operands as [string, string, string, string?];
  const bytes = given === undefined ? size : read(given, 'u32', names);
  const [target, source] = [address(to, 'shared', names), address(from, 'global', names)];
  return `{ char *to = ${target}; memset(to, 0, ${size}); memcpy(to, ${source}, ${bytes}); }`;
}
