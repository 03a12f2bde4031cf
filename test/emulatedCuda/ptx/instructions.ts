// Every PTX instruction that we run (PTX ISA, chapter 9). A row is one mnemonic: its C statement, and the parts that may follow the
// mnemonic beside types. What is missing ends the translation of its kernel with its text.
import * as compute from './arithmetic';
import { cvt, selp, set, setp, slct, testp } from './comparisons';
import { activemask, barrier, elect, match, redux, shfl, vote } from './meetings';
import { atomic, cvta, isspacep, ld, mov, st } from './memory';
import { type Names, read, write } from './operands';
import { call, has, isType, lastType, type Row } from './rows';
import type { Instruction } from './statements';
import { cp, ldmatrix, mma } from './tensorCores';

const logical =
  (operator: string): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, a, b] = i.operands as [string, string, string];
    return write(target, type, `${read(a, type, names)} ${operator} ${read(b, type, names)}`, names);
  };
const not: Row = (i, names) => {
  const type = lastType(i);
  const value = read(i.operands[1]!, type, names);
  return write(i.operands[0]!, type, type === 'pred' ? `!${value}` : `~${value}`, names);
};
const cnot: Row = (i, names) =>
  write(i.operands[0]!, lastType(i), `${read(i.operands[1]!, lastType(i), names)} == 0`, names);

const shift = (kind: 'shl' | 'shr'): Row => call(kind, (type) => [type, 'u32']);
/** A C function of 32-bit words. */
const words =
  (name: (i: Instruction) => string, more: (i: Instruction) => string = () => ''): Row =>
  (i, names) => {
    const args = i.operands.slice(1).map((s) => read(s, 'b32', names));
    return write(i.operands[0]!, 'b32', `${name(i)}(${args.join(', ')}${more(i)})`, names);
  };
const prmtMode = (i: Instruction): string =>
  ['prmt', ...i.parts.slice(1).filter((p) => !isType(p))].join('_');
const signs = (i: Instruction): string =>
  i.parts
    .slice(1, 3)
    .map((t) => `, ${t === 's32' ? 1 : 0}`)
    .join('');
const bfind: Row = (i, names) => {
  const type = lastType(i);
  const args = `${read(i.operands[1]!, type, names)}, ${has(i, 'shiftamt') ? 1 : 0}`;
  return write(i.operands[0]!, 'u32', `bfind_${type}(${args})`, names);
};
const counted = (): string => 'u32';

const nothing: Row = () => ';';
const refused: Row = (i) => {
  throw new Error(`No PTX instruction: ${i.text}`);
};

/** `{` param buffers are declared before; `call.uni (retval0), name, (param0, param1)`. */
function callFunction(i: Instruction): string {
  const operands = [...i.operands];
  const list = (text: string | undefined): string[] =>
    text?.startsWith('(')
      ? text
          .slice(1, -1)
          .split(',')
          .map((s) => s.trim())
          .filter(Boolean)
      : [];
  const results = operands[0]?.startsWith('(') ? list(operands.shift()) : [];
  const name = operands.shift()!;
  const args = [...results, ...list(operands[0])].map((s) => `S_${s.replace(/[%$]/g, '_')}`);
  return `F_${name.replace(/\$/g, '_')}(${['T', ...args].join(', ')});`;
}

const directed = 'rn rz rm rp';
const compared = 'eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu nan num and or xor ftz';
const order = 'weak volatile relaxed acquire release acq_rel cta gpu sys cluster';
const space = 'global shared shared::cta local param const generic';
const cached = 'nc ca cg cs lu cv wb wt v2 v4 v8 unified';
const operation = 'add cas exch min max and or xor inc dec noftz';

/** Parts after a mnemonic with `::` are hints for caches. */
const rows: Record<string, readonly [Row, string]> = {
  mov: [mov, ''],
  ld: [ld, `${order} ${space} ${cached}`],
  ldu: [ld, `${space} ${cached}`],
  st: [st, `${order} ${space} ${cached}`],
  cvt: [cvt, `${directed} rni rzi rmi rpi ftz sat satfinite relu`],
  setp: [setp, compared],
  set: [set, compared],
  add: [compute.sum('+'), `${directed} ftz sat cc`],
  addc: [compute.sum('+'), 'cc'],
  sub: [compute.sum('-'), `${directed} ftz sat cc`],
  subc: [compute.sum('-'), 'cc'],
  mul: [compute.product(false), `${directed} ftz sat lo hi wide`],
  mad: [compute.product(true), `${directed} ftz sat lo hi wide cc`],
  madc: [compute.product(true), 'lo hi cc'],
  mul24: [compute.product24(false), 'lo hi'],
  mad24: [compute.product24(true), 'lo hi'],
  fma: [compute.fused, `${directed} ftz sat relu`],
  div: [compute.quotient, `${directed} ftz approx full`],
  rem: [call('rem', (t) => [t]), ''],
  min: [compute.extreme('min'), 'ftz NaN relu'],
  max: [compute.extreme('max'), 'ftz NaN relu'],
  neg: [compute.negative, 'ftz'],
  abs: [compute.magnitude, 'ftz'],
  rcp: [compute.reciprocal, `${directed} approx ftz`],
  sqrt: [compute.root, `${directed} approx ftz`],
  rsqrt: [compute.inverseRoot, 'approx ftz'],
  sin: [compute.unary('sinf'), 'approx ftz'],
  cos: [compute.unary('cosf'), 'approx ftz'],
  lg2: [compute.unary('log2f'), 'approx ftz'],
  ex2: [compute.unary('exp2f'), 'approx ftz'],
  tanh: [compute.unary('tanhf'), 'approx'],
  copysign: [compute.copiedSign, ''],
  testp: [testp, 'finite infinite number notanumber normal subnormal'],
  sad: [call('sad', (t) => [t]), ''],
  and: [logical('&'), ''],
  or: [logical('|'), ''],
  xor: [logical('^'), ''],
  not: [not, ''],
  cnot: [cnot, ''],
  shl: [shift('shl'), ''],
  shr: [shift('shr'), ''],
  shf: [words((i) => `shf_${i.parts[1]}_${i.parts[2]}`), 'l r wrap clamp'],
  selp: [selp, ''],
  slct: [slct, 'ftz'],
  popc: [call('popc', (t) => [t], counted), ''],
  clz: [call('clz', (t) => [t], counted), ''],
  brev: [call('brev', (t) => [t]), ''],
  bfind: [bfind, 'shiftamt'],
  bfe: [call('bfe', (t) => [t, 'u32', 'u32']), ''],
  bfi: [call('bfi', (t) => [t, t, 'u32', 'u32']), ''],
  bmsk: [words((i) => `bmsk_${i.parts[1]}`), 'clamp wrap'],
  prmt: [words(prmtMode), 'f4e b4e rc8 ecl ecr rc16'],
  lop3: [words(() => 'lop3'), ''],
  dp4a: [words(() => 'dp4a', signs), ''],
  cvta: [cvta, `${space} to`],
  isspacep: [isspacep, space],
  bra: [(i, names) => `goto ${names.label(i.operands[0]!)};`, 'uni'],
  ret: [() => 'return;', 'uni'],
  exit: [() => 'T->calls->exit(T);', ''],
  brkpt: [(i) => `T->calls->fail(T, ${JSON.stringify(i.text)});`, ''],
  trap: [(i) => `T->calls->fail(T, ${JSON.stringify(i.text)});`, ''],
  call: [callFunction, 'uni'],
  bar: [barrier, 'sync red warp cta popc and or aligned'],
  barrier: [barrier, 'sync red cta popc and or aligned'],
  shfl: [shfl, 'sync up down bfly idx'],
  vote: [vote, 'sync any all uni ballot'],
  match: [match, 'sync any all'],
  redux: [redux, 'sync add min max and or xor'],
  elect: [elect, 'sync'],
  activemask: [activemask, ''],
  mma: [mma, 'sync aligned m16n8k16 row col'],
  ldmatrix: [ldmatrix, 'sync aligned m8n8 x1 x2 x4 trans shared shared::cta'],
  cp: [cp, 'async ca cg shared shared::cta global commit_group wait_group wait_all'],
  createpolicy: [(i, names) => write(i.operands[0]!, 'b64', '0', names), 'fractional'],
  atom: [atomic, `${order} ${space} ${operation}`],
  red: [atomic, `${order} ${space} ${operation}`],
  nanosleep: [() => 'T->calls->yield(T);', ''],
  membar: [nothing, 'cta gl sys'],
  fence: [nothing, 'sc acq_rel acquire release cta gpu sys cluster'],
  prefetch: [nothing, 'global local L1 L2'],
  discard: [nothing, 'global L2'],
  griddepcontrol: [nothing, 'launch_dependents wait'],
};

/** The C statement of an instruction. @throws Error with its text where we do not run it. */
export function translate(i: Instruction, names: Names): string {
  const [row, parts] = rows[i.parts[0]!] ?? [refused, ''];
  const known = parts.split(' ');
  const unknown = i.parts.slice(1).filter((part) => !isType(part) && !/^L[12]::/.test(part));
  if (!unknown.every((part) => known.includes(part))) refused(i, names);
  return guarded(i, row(i, names), names);
}

/** The statement under the instruction's predicate. */
export const guarded = (i: Instruction, statement: string, names: Names): string =>
  i.guard === undefined ? statement : `if (${read(i.guard, 'pred', names)}) ${statement}`;

const meeting = ['mma', 'ldmatrix', 'bar', 'barrier', 'shfl', 'vote', 'match', 'redux', 'elect', 'nanosleep'];
/** Threads that meet others need stacks of their own. */
export const meets = (i: Instruction): boolean => meeting.includes(i.parts[0]!);
