// What PTX arithmetic and comparisons of floating-point numbers must give, by exact numbers rounded once.
import type { Kind, Mode, Value } from './exactNumbers';
import {
  bits64,
  decode,
  edges,
  encode,
  integer,
  isExact,
  negated,
  number,
  plus,
  times,
} from './exactNumbers';
import {
  type InstructionRow,
  kinds,
  modes,
  type Operands,
  of,
  ones,
  random,
  same,
  sizes,
  subnormal,
  U,
  zeroOf,
} from './instructionRows';

export const floats: Record<string, InstructionRow[]> = {};
/** Least and greatest: zeros by their signs. */
function less(a: Value, b: Value, kind: Kind): boolean {
  const [x, y] = [number(encode(a, kind), kind), number(encode(b, kind), kind)];
  return x < y || (x === y && Object.is(x, -0) && !Object.is(y, -0));
}
for (const kind of kinds) {
  const r = of[kind];
  const rows: InstructionRow[] = [];
  floats[kind] = rows;
  const own = (v: bigint): Value => decode(U(sizes[kind], v), kind);
  const [x, a, b, c] = [`%${r}x`, `%${r}0`, `%${r}1`, `%${r}2`];
  const put = (text: string, expected: (a: Value, b: Value, c: Value) => Value, mode: Mode = 'rn'): void => {
    const f = ([p, q, t]: Operands): bigint => encode(expected(own(p), own(q), own(t)), kind, mode);
    rows.push({ text, expected: f, same: same(kind) });
  };
  for (const mode of kind === 'f32' || kind === 'f64' ? modes : (['rn'] as const)) {
    put(`add.${mode}.${kind} ${x}, ${a}, ${b};`, (p, q) => plus(p, q, mode), mode);
    put(`sub.${mode}.${kind} ${x}, ${a}, ${b};`, (p, q) => plus(p, negated(q), mode), mode);
    put(`mul.${mode}.${kind} ${x}, ${a}, ${b};`, (p, q) => times(p, q), mode);
    put(`fma.${mode}.${kind} ${x}, ${a}, ${b}, ${c};`, (p, q, t) => plus(times(p, q), t, mode), mode);
  }
  put(`min.${kind} ${x}, ${a}, ${b};`, (p, q) => (p === 'NaN' ? q : q === 'NaN' || less(p, q, kind) ? p : q));
  put(`max.${kind} ${x}, ${a}, ${b};`, (p, q) => (p === 'NaN' ? q : q === 'NaN' || less(q, p, kind) ? p : q));
  const signOf = (v: bigint): bigint => U(sizes[kind], v) >> BigInt(sizes[kind] - 1);
  const magnitude = (v: bigint): bigint => U(sizes[kind] - 1, v);
  const bitwise = (text: string, expected: (o: Operands) => bigint): void => {
    rows.push({ text, expected: (o) => U(sizes[kind], expected(o)) });
  };
  bitwise(`neg.${kind} ${x}, ${a};`, ([p]) => p ^ (1n << BigInt(sizes[kind] - 1)));
  bitwise(`abs.${kind} ${x}, ${a};`, ([p]) => magnitude(p));
  if (kind !== 'f64') {
    const atNone = (p: Value, q: Value, v: Value): Value => (p === 'NaN' || q === 'NaN' ? 'NaN' : v);
    put(`min.NaN.${kind} ${x}, ${a}, ${b};`, (p, q) => atNone(p, q, less(p, q, kind) ? p : q));
    put(`max.NaN.${kind} ${x}, ${a}, ${b};`, (p, q) => atNone(p, q, less(q, p, kind) ? p : q));
  }
  const positive = (v: Value): Value =>
    isExact(v) && v.negative && v.digits ? integer(0n) : v === '-Infinity' ? integer(0n) : v;
  const clamped = (v: Value): Value => {
    if (v === 'NaN' || v === '-Infinity' || (isExact(v) && v.negative)) return integer(0n);
    return number(encode(v, 'f64'), 'f64') > 1 ? integer(1n) : v;
  };
  if (kind === 'f16' || kind === 'bf16')
    put(`fma.rn.relu.${kind} ${x}, ${a}, ${b}, ${c};`, (p, q, t) => positive(plus(times(p, q), t, 'rn')));
  if (kind === 'f16' || kind === 'f32') {
    put(`add.sat.${kind} ${x}, ${a}, ${b};`, (p, q) => clamped(plus(p, q, 'rn')));
    put(`mul.rn.ftz.${kind} ${x}, ${a}, ${b};`, (p, q) => {
      const flush = (v: Value): Value => (subnormal(v, kind) ? zeroOf(v) : v);
      return flush(decode(encode(times(flush(p), flush(q)), kind), kind));
    });
  }
  if (kind === 'f32' || kind === 'f64') {
    bitwise(
      `copysign.${kind} ${x}, ${a}, ${b};`,
      ([p, q]) => magnitude(q) | (signOf(p) << BigInt(sizes[kind] - 1)),
    );
    const tests: [string, (v: Value) => boolean][] = [
      ['finite', isExact],
      ['infinite', (v) => !isExact(v) && v !== 'NaN'],
      ['number', (v) => v !== 'NaN'],
      ['notanumber', (v) => v === 'NaN'],
      ['normal', (v) => isExact(v) && v.digits !== 0n && !subnormal(v, kind)],
      ['subnormal', (v) => subnormal(v, kind)],
    ];
    for (const [name, f] of tests)
      rows.push({ text: `testp.${name}.${kind} %px, ${a};`, expected: ([p]) => (f(own(p)) ? 1n : 0n) });
  }
  const compared: [string, (a: number, b: number) => boolean][] = [
    ['eq', (p, q) => p === q],
    ['ne', (p, q) => p < q || p > q],
    ['lt', (p, q) => p < q],
    ['le', (p, q) => p <= q],
    ['gt', (p, q) => p > q],
    ['ge', (p, q) => p >= q],
    ['equ', (p, q) => !(p < q || p > q)],
    ['neu', (p, q) => p !== q],
    ['ltu', (p, q) => !(p >= q)],
    ['leu', (p, q) => !(p > q)],
    ['gtu', (p, q) => !(p <= q)],
    ['geu', (p, q) => !(p < q)],
    ['num', (p, q) => !Number.isNaN(p) && !Number.isNaN(q)],
    ['nan', (p, q) => Number.isNaN(p) || Number.isNaN(q)],
  ];
  const value = (v: bigint): number => number(U(sizes[kind], v), kind);
  for (const [name, f] of compared) {
    const expected = ([p, q]: Operands): bigint => (f(value(p), value(q)) ? 1n : 0n);
    rows.push({ text: `setp.${name}.${kind} %px, ${a}, ${b};`, expected });
    if (kind === 'f16' || kind === 'bf16')
      rows.push({
        text: `mov.b32 %rx, {%h0, %h1}; mov.b32 %ry, {%h1, %h0}; setp.${name}.${kind}x2 %py|%pz, %rx, %ry; selp.b32 %rx, 1, 0, %py; @%pz add.s32 %rx, %rx, 2;`,
        expected: ([p, q]) => expected([p, q, 0n]) + 2n * expected([q, p, 0n]),
      });
  }
  const half = sizes[kind] === 16;
  rows.push({
    text: `setp.ne.u32 %py, %r2, 0; setp.lt.xor.${kind} ${half ? '' : '%py|'}%px, ${a}, ${b}, %py;`,
    expected: ([p, q, t]) => BigInt(value(p) < value(q) === (half ? U(32, t) === 0n : U(32, t) !== 0n)),
  });
  if (kind === 'bf16') continue;
  rows.push({
    text: `set.le.u32.${kind} %rx, ${a}, ${b};`,
    expected: ([p, q]) => (value(p) <= value(q) ? ones(32n) : 0n),
  });
  if (kind === 'f16') {
    rows.push({
      text: 'set.gtu.f16.f16 %hx, %h0, %h1;',
      expected: ([p, q]) => (value(p) <= value(q) ? 0n : 0x3c00n),
    });
    rows.push({
      text: 'set.gt.f16x2.f16x2 %rx, %r0, %r1;',
      expected: ([p, q]) =>
        (value(p) > value(q) ? 0x3c00n : 0n) | (value(p >> 16n) > value(q >> 16n) ? 0x3c000000n : 0n),
    });
    const pairs = (v: bigint): [Value, Value] => [own(v), own(v >> 16n)];
    rows.push({
      text: 'fma.rn.f16x2 %rx, %r0, %r1, %r2;',
      expected: ([p, q, t]) => {
        const [[p0, p1], [q0, q1], [t0, t1]] = [pairs(p), pairs(q), pairs(t)];
        const one = (u: Value, v: Value, w: Value): bigint => encode(plus(times(u, v), w, 'rn'), 'f16');
        return one(p0, q0, t0) | (one(p1, q1, t1) << 16n);
      },
    });
  }
}
// A quotient or root in double precision rounds to single precision, either way, as the exact one does.
for (const mode of modes) {
  const rounded =
    (f: (v: number, w: number) => number) =>
    ([p, q]: Operands): bigint => {
      const [v, w] = [number(U(32, p), 'f32'), number(U(32, q), 'f32')];
      return encode(decode(bits64(f(v, w)), 'f64'), 'f32', mode);
    };
  floats.f32!.push(
    { text: `div.${mode}.f32 %rx, %r0, %r1;`, expected: rounded((v, w) => v / w) },
    { text: `rcp.${mode}.f32 %rx, %r0;`, expected: rounded((v) => 1 / v) },
    { text: `sqrt.${mode}.f32 %rx, %r0;`, expected: rounded((v) => Math.sqrt(v)) },
  );
}
// Approximate ones come as close as single precision can tell.
for (const [name, f] of [
  ['ex2.approx', (v) => 2 ** v],
  ['lg2.approx', Math.log2],
  ['sqrt.approx', Math.sqrt],
  ['rsqrt.approx', (v) => 1 / Math.sqrt(v)],
  ['rcp.approx', (v) => 1 / v],
  ['tanh.approx', Math.tanh],
] as [string, (v: number) => number][])
  floats.f32!.push({
    text: `${name}.f32 %rx, %r0;`,
    expected: ([p]) => encode(decode(bits64(f(number(U(32, p), 'f32'))), 'f64'), 'f32'),
    same: (found, expected) => {
      const distance = found - expected;
      return found <= U(32, -1n) && distance <= 4n && distance >= -4n;
    },
  });

/** Every pair of edges, with a third by turns, and numbers at random. */
export function floatOperands(kind: Kind): Operands[] {
  const all = edges(kind);
  const found = all.flatMap((a, i) =>
    all.map((b, j): Operands => [a, b, all[(i * 5 + j * 11) % all.length]!]),
  );
  for (let i = 0; i < 600; i++) found.push([random(), random(), random()]);
  // Products between two halves, and what decides too small for double precision to show.
  const bits = (v: number): bigint => encode(decode(bits64(v), 'f64'), kind);
  for (const tiny of [2 ** -100, -(2 ** -100)])
    for (const sign of [1, -1])
      found.push(
        [bits(7 * sign), bits(37 / 256), bits(tiny)],
        [bits(3 * sign), bits(683 / 2048), bits(tiny)],
      );
  if (kind === 'f16')
    for (let i = 0; i < 65536; i += 41)
      found.push([BigInt(i), BigInt((i * 40503) & 0xffff), BigInt((i * 977) & 0xffff)]);
  return found;
}
