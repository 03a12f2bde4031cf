// Every PTX instruction that we run, as a C statement (PTX ISA, chapter 9). A row is one mnemonic. What is missing ends the
// translation of its kernel with its text.
import { sizeOf } from './module';
import { address, bits, cType, isFloat, isPair, type Names, read, vector, write } from './operands';
import type { Instruction } from './statements';
import { cp, ldmatrix, mma } from './tensorCores';

type Row = (i: Instruction, names: Names) => string;

const isType = (part: string): boolean => /^(pred|[subf](8|16|32|64)|b128|f16x2|bf16x2|bf16)$/.test(part);
const typesOf = (i: Instruction): string[] => i.parts.slice(1).filter(isType);
const has = (i: Instruction, ...mods: string[]): boolean => mods.some((m) => i.parts.includes(m));
function lastType(i: Instruction): string {
  const type = typesOf(i).at(-1);
  if (type === undefined) throw new Error(`No type: ${i.text}`);
  return type;
}
const unsigned = (type: string): string => type.replace(/^s/, 'u');

/** Flushes what is subnormal and clamps, as the mnemonic's parts ask. */
function finished(i: Instruction, type: string, value: string): string {
  let v = value;
  if (has(i, 'ftz') && type === 'f32') v = `flush(${v})`;
  if (has(i, 'sat') && isFloat(type)) v = `saturate(${v})`;
  if (has(i, 'relu') && isFloat(type)) v = `atLeastZero(${v})`;
  return v;
}

/** An instruction of values of one type: a pair of halves goes half by half. */
function arithmetic(value: (operands: string[], type: string, i: Instruction) => string): Row {
  return (i, names) => {
    const type = lastType(i);
    const [target, ...sources] = i.operands as [string, ...string[]];
    if (!isPair(type)) {
      const read1 = (s: string): string =>
        has(i, 'ftz') && type === 'f32' ? `flush(${read(s, type, names)})` : read(s, type, names);
      return write(target, type, finished(i, type, value(sources.map(read1), type, i)), names);
    }
    const half = type === 'f16x2' ? 'f16' : 'bf16';
    const [from, to] = half === 'f16' ? ['half', 'halfBits'] : ['bfloat', 'bfloatBits'];
    const part = (shift: number): string => {
      const own = sources.map((s) => `${from}((uint16_t)(${read(s, 'b32', names)} >> ${shift}))`);
      return `(uint32_t)${to}(${finished(i, half, value(own, half, i))}) << ${shift}`;
    };
    return write(target, 'b32', `(${part(0)}) | (${part(16)})`, names);
  };
}

/** Rounding of float arithmetic that is not to nearest, as an argument of a C function. */
const direction = (i: Instruction): string | undefined =>
  i.parts.slice(1).find((part) => part === 'rz' || part === 'rm' || part === 'rp');

function carried(name: string): Row {
  return (i, names) => {
    const type = unsigned(lastType(i)).replace('b', 'u');
    const [target, ...sources] = i.operands as [string, ...string[]];
    const args = sources.map((s) => read(s, type, names)).join(', ');
    const taken = /c$/.test(i.parts[0]!) && i.parts[0] !== 'sub' ? 'carry' : '0';
    const out = has(i, 'cc') ? '&carry' : '&unused';
    return write(target, type, `${name}_${type}(${args}, ${taken}, ${out})`, names);
  };
}

function sum(operator: '+' | '-'): Row {
  const plain = arithmetic(([a, b], type, i) => {
    const rounding = direction(i);
    if (rounding && isFloat(type)) return `${rounding}_${type}((double)${a} ${operator} (double)${b})`;
    if (has(i, 'sat') && type === 's32') return `saturated32((int64_t)${a} ${operator} ${b})`;
    return isFloat(type)
      ? `${a} ${operator} ${b}`
      : `(${cType(unsigned(type))})${a} ${operator} (${cType(unsigned(type))})${b}`;
  });
  const withCarry = carried(operator === '+' ? 'add' : 'sub');
  return (i, names) => (has(i, 'cc') || /c$/.test(i.parts[0]!) ? withCarry(i, names) : plain(i, names));
}

const wider = (type: string): string => type[0] + String(2 * Number(type.slice(1)));

/** mul, mad: low, high or whole product of integers; `mul` and `mad` of floats. */
function product(i: Instruction, names: Names, added: boolean): string {
  const type = lastType(i);
  if (isFloat(type) || isPair(type)) return (added ? fused : scaled)(i, names);
  if (has(i, 'cc') || i.parts[0] === 'madc') return carriedProduct(i, names);
  const [target, a, b, c] = i.operands as [string, string, string, string?];
  const wide = has(i, 'wide');
  const out = wide ? wider(type) : type;
  const [x, y] = [read(a, type, names), read(b, type, names)];
  const whole = `high_${type}(${x}, ${y})`;
  const value = wide
    ? `(${cType(out)})${x} * (${cType(out)})${y}`
    : has(i, 'hi')
      ? whole
      : `(${cType(unsigned(type))})((uint64_t)${x} * (uint64_t)${y})`;
  if (!added) return write(target, out, value, names);
  const plus = `(${cType(unsigned(out))})(${value}) + (${cType(unsigned(out))})${read(c!, out, names)}`;
  return write(target, out, plus, names);
}

function carriedProduct(i: Instruction, names: Names): string {
  const type = unsigned(lastType(i));
  const [target, a, b, c] = i.operands as [string, string, string, string];
  const [x, y] = [read(a, type, names), read(b, type, names)];
  const value = has(i, 'hi')
    ? `high_${type}(${x}, ${y})`
    : `(${cType(type)})((uint64_t)${x} * (uint64_t)${y})`;
  const taken = i.parts[0] === 'madc' ? 'carry' : '0';
  const out = has(i, 'cc') ? '&carry' : '&unused';
  return write(target, type, `add_${type}(${value}, ${read(c, type, names)}, ${taken}, ${out})`, names);
}

const scaled = arithmetic(([a, b], type, i) => {
  const rounding = direction(i);
  return rounding ? `${rounding}_${type}((double)${a} * (double)${b})` : `${a} * ${b}`;
});
const fused = arithmetic(([a, b, c], type, i) => {
  const rounding = direction(i);
  if (rounding) return `${rounding}_${type}(fma(${a}, ${b}, ${c}))`;
  return type === 'f64' ? `fma(${a}, ${b}, ${c})` : `fmaf(${a}, ${b}, ${c})`;
});

const unary = (float: string, double: string, integer?: string): Row =>
  arithmetic(([a], type) => {
    if (!isFloat(type) && integer === undefined) throw new Error(`Not of integers: ${float}`);
    return `${type === 'f64' ? double : isFloat(type) ? float : integer}(${a})`;
  });

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

function comparison(i: Instruction, type: string, names: Names, [a, b]: string[]): string {
  const kind = i.parts[1]!;
  const flushed = (s: string): string =>
    has(i, 'ftz') && type === 'f32' ? `flush(${read(s, type, names)})` : read(s, type, names);
  const [x, y] = [flushed(a!), flushed(b!)];
  if (kind === 'nan') return `isnan(${x}) || isnan(${y})`;
  if (kind === 'num') return `!(isnan(${x}) || isnan(${y}))`;
  if (unordered[kind]) return `(isnan(${x}) || isnan(${y}) || ${x} ${unordered[kind]} ${y})`;
  // C's != holds of what is no number.
  if (kind === 'ne' && isFloat(type)) return `(${x} < ${y} || ${x} > ${y})`;
  if (ordered[kind] === undefined) throw new Error(`No comparison: ${i.text}`);
  return `${x} ${ordered[kind]} ${y}`;
}

const setp: Row = (i, names) => {
  const type = lastType(i);
  const [targets, a, b, other] = i.operands as [string, string, string, string?];
  if (isPair(type)) throw new Error(`Not in pairs: ${i.text}`);
  const found = comparison(i, type, names, [a, b]);
  const joined = ['and', 'or', 'xor'].find((name) => i.parts[2] === name);
  const operator = { and: '&', or: '|', xor: '^' }[joined ?? 'and'];
  const with_ = (value: string): string =>
    joined ? `(${value}) ${operator} ${read(other!, 'pred', names)}` : value;
  const [p, q] = targets.split('|') as [string, string?];
  const parts = [`uint8_t found = (${found}) ? 1 : 0;`, write(p, 'pred', with_('found'), names)];
  if (q) parts.push(write(q, 'pred', with_('!found'), names));
  return `{ ${parts.join(' ')} }`;
};

/** `set.eq.f16.f16`: a one of the target's type, or all bits of an integer. */
const set: Row = (i, names) => {
  const [to, from] = typesOf(i) as [string, string];
  const [target, a, b] = i.operands as [string, string, string];
  if (isPair(from)) throw new Error(`Not in pairs: ${i.text}`);
  const value = comparison(i, from, names, [a, b]);
  return write(target, to, isFloat(to) ? `(${value}) ? 1.0f : 0.0f` : `(${value}) ? -1 : 0`, names);
};

function mov(i: Instruction, names: Names): string {
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
}

const spaces = ['global', 'shared', 'shared::cta', 'local', 'param', 'const'];
const spaceOf = (i: Instruction): string =>
  i.parts.find((part) => spaces.includes(part) || part.startsWith('shared')) ?? 'generic';

/** How memory holds a register's value: halves and floats as bits. */
const stored = (type: string): string => cType(isFloat(type) || isPair(type) ? bits(type) : type);

function ld(i: Instruction, names: Names): string {
  const type = lastType(i);
  const [target, place] = i.operands as [string, string];
  const from = address(place, spaceOf(i), names);
  const as = isFloat(type) || isPair(type) ? bits(type) : type;
  const parts = vector(target) ?? [target];
  const loads = parts.map((part, k) => write(part, as, `v[${k}]`, names));
  return `{ const ${stored(type)} *from = (const ${stored(type)} *)${from}; ${stored(type)} v[${parts.length}]; for (int k = 0; k < ${parts.length}; k++) v[k] = from[k]; ${loads.join(' ')} }`;
}

function st(i: Instruction, names: Names): string {
  const type = bits(lastType(i));
  const [place, source] = i.operands as [string, string];
  const to = address(place, spaceOf(i), names);
  const parts = vector(source) ?? [source];
  const stores = parts.map((part, k) => `to[${k}] = ${read(part, type, names)};`);
  return `{ ${cType(type)} *to = (${cType(type)} *)${to}; ${stores.join(' ')} }`;
}

function cvt(i: Instruction, names: Names): string {
  const types = typesOf(i);
  const [to, from] = types.length === 2 ? (types as [string, string]) : ['', ''];
  const [target, a, b] = i.operands as [string, string, string?];
  if (to === '' || i.parts.some((part) => /^[eu]\d+m\d/.test(part)))
    throw new Error(`No conversion: ${i.text}`);
  if (isPair(to)) {
    const own = to === 'f16x2' ? 'halfBits' : 'bfloatBits';
    // The first source is the upper half.
    const half = (s: string): string => `(uint32_t)${own}(${finished(i, from, read(s, from, names))})`;
    return write(target, 'b32', `(${half(a)} << 16) | ${half(b!)}`, names);
  }
  let value = read(a, from, names);
  if (has(i, 'ftz') && from === 'f32') value = `flush(${value})`;
  const rounding = i.parts.find((part) => /^r[nzmp]i?$/.test(part)) ?? 'rn';
  if (isFloat(from) && !isFloat(to)) {
    const kind = rounding.slice(0, 2);
    return write(target, to, `to_${to}(${kind}_whole((double)${value}))`, names);
  }
  if (isFloat(from) && rounding.endsWith('i')) value = `${rounding.slice(0, 2)}_whole(${value})`;
  else if (isFloat(to) && to !== 'f64' && (from === 'f64' || !isFloat(from)) && rounding !== 'rn')
    value = `${rounding}_f32((double)${value})`;
  else if (isFloat(from) && sizeOf(to) < sizeOf(from) && rounding !== 'rn')
    value = to === 'f32' ? `${rounding}_f32(${value})` : `${rounding}_${to}(${value})`;
  else if (!isFloat(from) && isFloat(to)) value = `(${cType(to)})${value}`;
  if (has(i, 'sat') && !isFloat(to)) value = `clamped_${to}((__int128)${value})`;
  return write(target, to, finished(i, to, value), names);
}

const integerMinMax = (kind: 'min' | 'max', type: string, all: string[]): string =>
  all.reduce((x, y) => `${kind}_${type}(${x}, ${y})`);
const extreme = (kind: 'min' | 'max'): Row =>
  arithmetic((all, type, i) => {
    if (!isFloat(type)) return integerMinMax(kind, type, all);
    const name = `f${kind}${has(i, 'NaN') ? 'Nan' : ''}_${type === 'f64' ? 'f64' : 'f32'}`;
    return all.reduce((x, y) => `${name}(${x}, ${y})`);
  });

/** A function of kernel.h on bits of the given types. */
const call =
  (name: string, sources: (type: string) => string[], out: (type: string) => string = (t) => t): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, ...rest] = i.operands as [string, ...string[]];
    const taken = sources(type);
    const args = rest.map((s, k) => read(s, taken[k] ?? taken.at(-1)!, names));
    return write(target, out(type), `${name}_${type}(${args.join(', ')})`, names);
  };

const logical =
  (operator: string): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, a, b] = i.operands as [string, string, string];
    return write(target, type, `${read(a, type, names)} ${operator} ${read(b, type, names)}`, names);
  };

const shift =
  (kind: 'shl' | 'shr'): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, a, b] = i.operands as [string, string, string];
    return write(target, type, `${kind}_${type}(${read(a, type, names)}, ${read(b, 'u32', names)})`, names);
  };

/** Sign bits of halves, alone or in pairs. */
function signBits(i: Instruction, names: Names): string | undefined {
  const type = lastType(i);
  if (!['f16', 'bf16', 'f16x2', 'bf16x2', 'f32', 'f64'].includes(type)) return undefined;
  const own = bits(type);
  const sign = {
    b16: '0x8000',
    b32: isPair(type) ? '0x80008000u' : '0x80000000u',
    b64: '0x8000000000000000ull',
  }[own];
  const [target, a] = i.operands as [string, string];
  const value = read(a, own, names);
  return write(target, own, i.parts[0] === 'neg' ? `${value} ^ ${sign}` : `${value} & ~${sign}`, names);
}
const negated = arithmetic(([a], type) => `0 - (${cType(unsigned(type))})${a}`);
const absolute = arithmetic(([a], type) => `${a} < 0 ? 0 - (${cType(unsigned(type))})${a} : ${a}`);

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

const shfl: Row = (i, names) => {
  const [, value, b, c, mask] = i.operands.map((o, k) => (k === 0 ? '' : read(o, 'b32', names)));
  const kind = i.parts.find((part) => ['up', 'down', 'bfly', 'idx'].includes(part))!;
  return exchange(i, names, `SHUFFLE_${kind.toUpperCase()}`, [value!, b!, c!, mask ?? '~0u'], 'b32');
};

const vote: Row = (i, names) => {
  const kind = i.parts.find((part) => ['any', 'all', 'uni', 'ballot'].includes(part))!;
  const [target, p, mask] = i.operands as [string, string, string?];
  const value = read(p, 'pred', names);
  const all = mask === undefined ? '~0u' : read(mask, 'b32', names);
  const type = kind === 'ballot' ? 'b32' : 'pred';
  return exchange(
    { ...i, operands: [target] },
    names,
    `VOTE_${kind.toUpperCase()}`,
    [value, '0', '0', all],
    type,
  );
};

const match: Row = (i, names) => {
  const type = lastType(i);
  const [, value, mask] = i.operands as [string, string, string];
  const kind = has(i, 'all') ? 'MATCH_ALL' : 'MATCH_ANY';
  return exchange(i, names, kind, [read(value, type, names), '0', '0', read(mask, 'b32', names)], 'b32');
};

const redux: Row = (i, names) => {
  const type = lastType(i);
  const [, value, mask] = i.operands as [string, string, string];
  const kind = ['add', 'min', 'max', 'and', 'or', 'xor'].find((part) => i.parts.includes(part))!;
  const signed = type.startsWith('s') && (kind === 'min' || kind === 'max') ? '_SIGNED' : '';
  const own = `REDUCE_${kind.toUpperCase()}${signed}`;
  return exchange(i, names, own, [read(value, type, names), '0', '0', read(mask, 'b32', names)], type);
};

const barrier: Row = (i, names) => {
  if (has(i, 'warp'))
    return `{ uint8_t found; T->calls->exchange(T, WARP_BARRIER, ${read(i.operands[0]!, 'b32', names)}, 0, 0, 0, &found); }`;
  if (has(i, 'arrive')) throw new Error(`No split barrier: ${i.text}`);
  if (has(i, 'red')) {
    const type = lastType(i);
    const [target, id, ...rest] = i.operands as [string, string, ...string[]];
    const kind = ['popc', 'and', 'or'].find((part) => i.parts.includes(part))!;
    const count = rest.length === 2 ? read(rest[0]!, 'u32', names) : '0';
    const value = `T->calls->barrier(T, ${read(id, 'u32', names)}, ${count}, ${read(rest.at(-1)!, 'pred', names)}, BARRIER_${kind.toUpperCase()})`;
    return write(target, type, value, names);
  }
  const [id, count] = i.operands;
  return `T->calls->barrier(T, ${id ? read(id, 'u32', names) : '0'}, ${count ? read(count, 'u32', names) : '0'}, 0, BARRIER_OR);`;
};

/** Blocks run one after another and threads by turns, so that nothing comes between a reading and its writing. */
function atomic(i: Instruction, names: Names): string {
  const type = lastType(i);
  const kind = ['add', 'cas', 'exch', 'min', 'max', 'and', 'or', 'xor', 'inc', 'dec'].find((part) =>
    i.parts.includes(part),
  );
  if (kind === undefined || isPair(type)) throw new Error(`No atomic operation: ${i.text}`);
  const operands = i.parts[0] === 'red' ? ['_', ...i.operands] : i.operands;
  const [target, place, a, b] = operands as [string, string, string, string?];
  const raw = bits(type);
  const pointer = `(${cType(raw)} *)${address(place, spaceOf(i), names)}`;
  const old = isFloat(type)
    ? `${{ f32: 'f32', f64: 'f64', f16: 'half', bf16: 'bfloat' }[type]}(was)`
    : `(${cType(type)})was`;
  const back = isFloat(type)
    ? { f32: 'bits32', f64: 'bits64', f16: 'halfBits', bf16: 'bfloatBits' }[type]!
    : `(${cType(raw)})`;
  const x = read(a, type, names);
  const next = {
    add: `${back}(${old} + ${x})`,
    cas: `was == ${read(a, raw, names)} ? ${b && read(b, raw, names)} : was`,
    exch: read(a, raw, names),
    min: `${back}(${x} < ${old} ? ${x} : ${old})`,
    max: `${back}(${x} > ${old} ? ${x} : ${old})`,
    and: `was & ${read(a, raw, names)}`,
    or: `was | ${read(a, raw, names)}`,
    xor: `was ^ ${read(a, raw, names)}`,
    inc: `was >= ${x} ? 0 : was + 1`,
    dec: `was == 0 || was > ${x} ? ${x} : was - 1`,
  }[kind];
  const out = target === '_' ? '' : write(target, raw, 'was', names);
  return `{ ${cType(raw)} *at = ${pointer}; ${cType(raw)} was = *at; *at = ${next}; ${out} }`;
}

const nothing: Row = () => ';';

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
  const args = [...results, ...list(operands[0])].map((s) => `S_${s.replace(/\$/g, '_')}`);
  return `F_${name.replace(/\$/g, '_')}(${['T', ...args].join(', ')});`;
}

const rows: Record<string, Row> = {
  mov,
  ld,
  ldu: ld,
  st,
  cvt,
  setp,
  set,
  add: sum('+'),
  addc: sum('+'),
  sub: sum('-'),
  subc: sum('-'),
  mul: (i, names) => product(i, names, false),
  mad: (i, names) => product(i, names, true),
  madc: (i, names) => product(i, names, true),
  fma: fused,
  div: arithmetic(([a, b], type) => (isFloat(type) ? `${a} / ${b}` : `div_${type}(${a}, ${b})`)),
  rem: arithmetic(([a, b], type) => `rem_${type}(${a}, ${b})`),
  min: extreme('min'),
  max: extreme('max'),
  neg: (i, names) => signBits(i, names) ?? negated(i, names),
  abs: (i, names) => signBits(i, names) ?? absolute(i, names),
  rcp: arithmetic(([a], type) => (type === 'f64' ? `1.0 / ${a}` : `1.0f / ${a}`)),
  sqrt: unary('sqrtf', 'sqrt'),
  rsqrt: arithmetic(([a], type) => (type === 'f64' ? `1.0 / sqrt(${a})` : `1.0f / sqrtf(${a})`)),
  sin: unary('sinf', 'sin'),
  cos: unary('cosf', 'cos'),
  lg2: unary('log2f', 'log2'),
  ex2: unary('exp2f', 'exp2'),
  tanh: unary('tanhf', 'tanh'),
  and: logical('&'),
  or: logical('|'),
  xor: logical('^'),
  not: (i, names) => {
    const type = lastType(i);
    const value = read(i.operands[1]!, type, names);
    return write(i.operands[0]!, type, type === 'pred' ? `!${value}` : `~${value}`, names);
  },
  cnot: (i, names) =>
    write(i.operands[0]!, lastType(i), `${read(i.operands[1]!, lastType(i), names)} == 0`, names),
  shl: shift('shl'),
  shr: shift('shr'),
  shf: (i, names) => {
    const kind = `${i.parts[1]}_${i.parts[2]}`;
    const [target, a, b, c] = i.operands as [string, string, string, string];
    return write(
      target,
      'b32',
      `shf_${kind}(${[a, b, c].map((s) => read(s, 'b32', names)).join(', ')})`,
      names,
    );
  },
  selp: (i, names) => {
    const type = bits(lastType(i));
    const [target, a, b, p] = i.operands as [string, string, string, string];
    return write(
      target,
      type,
      `${read(p, 'pred', names)} ? ${read(a, type, names)} : ${read(b, type, names)}`,
      names,
    );
  },
  slct: (i, names) => {
    const [type, by] = typesOf(i) as [string, string];
    const [target, a, b, c] = i.operands as [string, string, string, string];
    return write(
      target,
      bits(type),
      `${read(c, by, names)} >= 0 ? ${read(a, bits(type), names)} : ${read(b, bits(type), names)}`,
      names,
    );
  },
  copysign: arithmetic(([a, b], type) => (type === 'f64' ? `copysign(${b}, ${a})` : `copysignf(${b}, ${a})`)),
  testp: (i, names) => {
    const value = read(i.operands[1]!, lastType(i), names);
    const kind = i.parts[1]!;
    const tests: Record<string, string> = {
      finite: `isfinite(${value})`,
      infinite: `isinf(${value})`,
      number: `!isnan(${value})`,
      notanumber: `isnan(${value})`,
      normal: `isnormal(${value})`,
    };
    if (!tests[kind]) throw new Error(`No test: ${i.text}`);
    return write(i.operands[0]!, 'pred', tests[kind], names);
  },
  popc: call(
    'popc',
    (t) => [t],
    () => 'u32',
  ),
  clz: call(
    'clz',
    (t) => [t],
    () => 'u32',
  ),
  brev: call('brev', (t) => [t]),
  bfind: (i, names) =>
    write(
      i.operands[0]!,
      'u32',
      `bfind_${lastType(i)}(${read(i.operands[1]!, lastType(i), names)}, ${has(i, 'shiftamt') ? 1 : 0})`,
      names,
    ),
  bfe: call('bfe', (t) => [t, 'u32', 'u32']),
  bfi: call('bfi', (t) => [t, t, 'u32', 'u32']),
  bmsk: (i, names) =>
    write(
      i.operands[0]!,
      'b32',
      `bmsk_${i.parts[1]}(${read(i.operands[1]!, 'u32', names)}, ${read(i.operands[2]!, 'u32', names)})`,
      names,
    ),
  prmt: (i, names) => {
    if (i.parts.length > 2) throw new Error(`No mode of prmt: ${i.text}`);
    return write(
      i.operands[0]!,
      'b32',
      `prmt(${i.operands
        .slice(1)
        .map((s) => read(s, 'b32', names))
        .join(', ')})`,
      names,
    );
  },
  lop3: (i, names) => {
    const args = i.operands.slice(1, 5).map((s) => read(s, 'b32', names));
    return write(i.operands[0]!, 'b32', `lop3(${args.join(', ')})`, names);
  },
  sad: call('sad', (t) => [t]),
  cvta: (i, names) => {
    const [target, source] = i.operands as [string, string];
    const value = read(source, 'b64', names);
    if (!i.parts.some((part) => part.startsWith('shared'))) return write(target, 'b64', value, names);
    const base = '(uint64_t)T->grid->shared';
    return write(target, 'b64', has(i, 'to') ? `${value} - ${base}` : `${base} + (uint32_t)${value}`, names);
  },
  isspacep: (i, names) => {
    const value = read(i.operands[1]!, 'b64', names);
    const shared = `${value} - (uint64_t)T->grid->shared < T->grid->shared_bytes`;
    const other = has(i, 'global') ? `!(${shared})` : '0';
    return write(i.operands[0]!, 'pred', i.parts.some((p) => p.startsWith('shared')) ? shared : other, names);
  },
  bra: (i, names) => `goto ${names.label(i.operands[0]!)};`,
  ret: () => 'return;',
  exit: () => 'T->calls->exit(T);',
  trap: (i) => `T->calls->fail(T, ${JSON.stringify(i.text)});`,
  call: callFunction,
  bar: barrier,
  barrier,
  shfl,
  vote,
  match,
  redux,
  activemask: (i, names) => write(i.operands[0]!, 'b32', 'T->calls->active(T)', names),
  mma,
  ldmatrix,
  cp,
  atom: atomic,
  red: atomic,
  nanosleep: () => 'T->calls->yield(T);',
  membar: nothing,
  fence: nothing,
  prefetch: nothing,
  discard: nothing,
  griddepcontrol: nothing,
  pragma: nothing,
};

/** The C statement of an instruction. @throws Error with its text where we do not run it. */
export function translate(i: Instruction, names: Names): string {
  const row = rows[i.parts[0]!];
  if (!row) throw new Error(`No PTX instruction: ${i.text}`);
  const statement = row(i, names);
  return i.guard === undefined ? statement : `if (${read(i.guard, 'pred', names)}) ${statement}`;
}

/** Threads that meet others need stacks of their own. */
export const meets = (i: Instruction): boolean =>
  ['mma', 'ldmatrix', 'bar', 'barrier', 'shfl', 'vote', 'match', 'redux', 'nanosleep'].includes(i.parts[0]!);
