import {
  abs,
  bigintMin,
  clamp,
  type InstructionRow,
  type Operands,
  ones,
  random,
  register,
  S,
  U,
} from './instructionRows';

export const integers: InstructionRow[] = [];
const add = (text: string, bits: number, expected: (operands: Operands) => bigint): void => {
  integers.push({ text, expected: (operands) => U(bits, expected(operands)) });
};
for (const bits of [16, 32, 64]) {
  const r = register[bits]!;
  const n = BigInt(bits);
  const [x, a, b, c] = [`%${r}x`, `%${r}0`, `%${r}1`, `%${r}2`];
  for (const sign of ['s', 'u']) {
    const own = (v: bigint): bigint => (sign === 's' ? S : U)(bits, v);
    const type = `${sign}${bits}`;
    const both = (name: string, f: (a: bigint, b: bigint) => bigint, more = ''): void =>
      add(`${name}.${type} ${x}, ${a}, ${b}${more};`, bits, ([p, q]) => f(own(p), own(q)));
    both('add', (p, q) => p + q);
    both('sub', (p, q) => p - q);
    both('min', (p, q) => (p < q ? p : q));
    both('max', (p, q) => (p > q ? p : q));
    both('mul.lo', (p, q) => p * q);
    both('mul.hi', (p, q) => (p * q) >> n);
    add(`mad.lo.${type} ${x}, ${a}, ${b}, ${c};`, bits, ([p, q, t]) => own(p) * own(q) + t);
    add(`mad.hi.${type} ${x}, ${a}, ${b}, ${c};`, bits, ([p, q, t]) => ((own(p) * own(q)) >> n) + t);
    add(`sad.${type} ${x}, ${a}, ${b}, ${c};`, bits, ([p, q, t]) => abs(own(p) - own(q)) + t);
    // Division by zero is not defined.
    for (const [name, f] of [
      ['div', (p: bigint, q: bigint) => p / q],
      ['rem', (p: bigint, q: bigint) => p % q],
    ] as const)
      add(`or.b${bits} %${r}y, ${b}, 1; ${name}.${type} ${x}, ${a}, %${r}y;`, bits, ([p, q]) =>
        f(own(p), own(q | 1n)),
      );
    add(`shr.${type} ${x}, ${a}, %r1;`, bits, ([p, q]) => own(p) >> bigintMin(U(32, q), 64n));
    if (bits < 64) {
      const wide = register[2 * bits]!;
      add(`mul.wide.${type} %${wide}x, ${a}, ${b};`, 2 * bits, ([p, q]) => own(p) * own(q));
      const text = `mad.wide.${type} %${wide}x, ${a}, ${b}, %${wide}2;`;
      add(text, 2 * bits, ([p, q, t]) => own(p) * own(q) + t);
    }
    if (bits > 16) {
      add(`bfe.${type} ${x}, ${a}, %r1, %r2;`, bits, ([p, q, t]) => {
        const [from, length] = [q & 255n, t & 255n];
        if (length === 0n) return 0n;
        const top = bigintMin(from + length - 1n, n - 1n);
        const negative = sign === 's' && (U(bits, p) >> top) & 1n;
        const found = (U(bits, p) >> from) & ones(length);
        const held = bigintMin(length, from < n ? n - from : 0n);
        return negative ? found | (ones(n) & ~ones(held)) : found;
      });
      const msb = (v: bigint): bigint => {
        const positive = v < 0n ? ~v : v;
        return positive === 0n ? -1n : BigInt(positive.toString(2).length - 1);
      };
      add(`bfind.${type} %rx, ${a};`, 32, ([p]) => msb(own(p)));
      const shift = ([p]: Operands): bigint => (msb(own(p)) < 0n ? -1n : n - 1n - msb(own(p)));
      add(`bfind.shiftamt.${type} %rx, ${a};`, 32, shift);
    }
    // A narrower number in a wider register, and the other way round.
    for (const to of [8, 16, 32, 64])
      for (const toSign of ['s', 'u']) {
        if (to === bits && toSign === sign) continue;
        const target = register[Math.max(to, 16)]!;
        const out = (v: bigint): bigint => (toSign === 's' ? S : U)(to, v);
        const size = Math.max(to, 16);
        add(`cvt.${toSign}${to}.${type} %${target}x, ${a};`, size, ([p]) => out(own(p)));
        const [low, high] =
          toSign === 's' ? [-(1n << BigInt(to - 1)), ones(BigInt(to - 1))] : [0n, ones(BigInt(to))];
        const text = `cvt.sat.${toSign}${to}.${type} %${target}x, ${a};`;
        // Where every number fits there is no such instruction.
        if (to > bits && (toSign === 's' || sign === 'u')) continue;
        add(text, size, ([p]) => clamp(own(p), low, high));
      }
    for (const [name, f] of comparisons(sign))
      add(`setp.${name}.${type} %px, ${a}, ${b};`, 1, ([p, q]) => (f(own(p), own(q)) ? 1n : 0n));
  }
  add(`cvt.s32.s8 %rx, %h0;`, 32, ([p]) => S(8, p));
  add(`cvt.u64.u8 %dx, %r0;`, 64, ([p]) => U(8, p));
  for (const [name, f] of [
    ['and', (p: bigint, q: bigint) => p & q],
    ['or', (p: bigint, q: bigint) => p | q],
    ['xor', (p: bigint, q: bigint) => p ^ q],
  ] as const)
    add(`${name}.b${bits} ${x}, ${a}, ${b};`, bits, ([p, q]) => f(p, q));
  add(`not.b${bits} ${x}, ${a};`, bits, ([p]) => ~p);
  add(`cnot.b${bits} ${x}, ${a};`, bits, ([p]) => (U(bits, p) === 0n ? 1n : 0n));
  add(`shl.b${bits} ${x}, ${a}, %r1;`, bits, ([p, q]) => p << bigintMin(U(32, q), 64n));
  add(`shr.b${bits} ${x}, ${a}, %r1;`, bits, ([p, q]) => U(bits, p) >> bigintMin(U(32, q), 64n));
  add(`abs.s${bits} ${x}, ${a};`, bits, ([p]) => abs(S(bits, p)));
  add(`neg.s${bits} ${x}, ${a};`, bits, ([p]) => -p);
  const odd = `and.b${bits} %${r}y, ${c}, 1; setp.ne.s${bits} %py, %${r}y, 0;`;
  add(`${odd} selp.b${bits} ${x}, ${a}, ${b}, %py;`, bits, ([p, q, t]) => (t & 1n ? p : q));
  add(`${odd} setp.lt.and.s${bits} %px|%pz, ${a}, ${b}, !%py;`, 1, ([p, q, t]) =>
    S(bits, p) < S(bits, q) && !(t & 1n) ? 1n : 0n,
  );
  add(`${odd} setp.lt.or.u${bits} %pz|%px, ${a}, ${b}, %py;`, 1, ([p, q, t]) =>
    U(bits, p) < U(bits, q) && !(t & 1n) ? 0n : t & 1n || U(bits, p) >= U(bits, q) ? 1n : 0n,
  );
  if (bits === 16) continue;
  add(`popc.b${bits} %rx, ${a};`, 32, ([p]) => BigInt(U(bits, p).toString(2).replaceAll('0', '').length));
  add(`clz.b${bits} %rx, ${a};`, 32, ([p]) => (U(bits, p) ? n - BigInt(U(bits, p).toString(2).length) : n));
  add(`brev.b${bits} ${x}, ${a};`, bits, ([p]) =>
    BigInt(`0b${[...U(bits, p).toString(2).padStart(bits, '0')].reverse().join('')}`),
  );
  add(`bfi.b${bits} ${x}, ${a}, ${b}, %r2, 9;`, bits, ([p, q, t]) => {
    const from = t & 255n;
    return (q & ~(ones(9n) << from)) | ((p & ones(9n)) << from);
  });
  add(`bfi.b${bits} ${x}, ${a}, ${b}, 3, %r2;`, bits, ([p, q, t]) => {
    const mask = ones(t & 255n) << 3n;
    return (q & ~mask) | ((p << 3n) & mask);
  });
  const [type, r0] = [`u${bits}`, `%${r}y`];
  // Carries: the upper word of a sum, a difference and a product of two words.
  add(
    `add.cc.${type} ${r0}, ${a}, ${b}; addc.${type} ${x}, ${c}, ${a};`,
    bits,
    ([p, q, t]) => t + p + ((U(bits, p) + U(bits, q)) >> n),
  );
  add(
    `sub.cc.${type} ${r0}, ${a}, ${b}; subc.${type} ${x}, ${c}, ${b};`,
    bits,
    ([p, q, t]) => t - q - (U(bits, p) < U(bits, q) ? 1n : 0n),
  );
  add(
    `add.cc.${type} ${r0}, ${a}, ${b}; addc.cc.${type} ${r0}, ${b}, ${c}; addc.${type} ${x}, 0, 0;`,
    bits,
    ([p, q, t]) => {
      const low = (U(bits, p) + U(bits, q)) >> n;
      return (U(bits, q) + U(bits, t) + low) >> n;
    },
  );
  for (const sign of ['s', 'u']) {
    const own = (v: bigint): bigint => (sign === 's' ? S : U)(bits, v);
    const text = `mad.lo.cc.${sign}${bits} ${r0}, ${a}, ${b}, ${c}; madc.hi.${sign}${bits} ${x}, ${a}, ${b}, ${c};`;
    add(text, bits, ([p, q, t]) => {
      const low = U(bits, own(p) * own(q)) + U(bits, t);
      return ((own(p) * own(q)) >> n) + t + (low >> n);
    });
  }
}
function comparisons(sign: string): [string, (a: bigint, b: bigint) => boolean][] {
  const all: [string, (a: bigint, b: bigint) => boolean][] = [
    ['eq', (a, b) => a === b],
    ['ne', (a, b) => a !== b],
    ['lt', (a, b) => a < b],
    ['le', (a, b) => a <= b],
    ['gt', (a, b) => a > b],
    ['ge', (a, b) => a >= b],
  ];
  return sign === 's'
    ? all
    : [...all, ['lo', all[2]![1]], ['ls', all[3]![1]], ['hi', all[4]![1]], ['hs', all[5]![1]]];
}
const [low32, high32] = [-(1n << 31n), ones(31n)];
add('add.sat.s32 %rx, %r0, %r1;', 32, ([p, q]) => clamp(S(32, p) + S(32, q), low32, high32));
add('sub.sat.s32 %rx, %r0, %r1;', 32, ([p, q]) => clamp(S(32, p) - S(32, q), low32, high32));
add('mad.hi.sat.s32 %rx, %r0, %r1, %r2;', 32, ([p, q, t]) =>
  clamp(((S(32, p) * S(32, q)) >> 32n) + S(32, t), low32, high32),
);
add('mul24.lo.s32 %rx, %r0, %r1;', 32, ([p, q]) => S(24, p) * S(24, q));
add('mul24.hi.u32 %rx, %r0, %r1;', 32, ([p, q]) => (U(24, p) * U(24, q)) >> 16n);
add('mad24.hi.s32 %rx, %r0, %r1, %r2;', 32, ([p, q, t]) => ((S(24, p) * S(24, q)) >> 16n) + t);
const funnel = (p: bigint, q: bigint): bigint => (U(32, q) << 32n) | U(32, p);
add('shf.l.wrap.b32 %rx, %r0, %r1, %r2;', 32, ([p, q, t]) => (funnel(p, q) << (t & 31n)) >> 32n);
add('shf.r.wrap.b32 %rx, %r0, %r1, %r2;', 32, ([p, q, t]) => funnel(p, q) >> (t & 31n));
add(
  'shf.l.clamp.b32 %rx, %r0, %r1, %r2;',
  32,
  ([p, q, t]) => (funnel(p, q) << bigintMin(U(32, t), 32n)) >> 32n,
);
add('shf.r.clamp.b32 %rx, %r0, %r1, %r2;', 32, ([p, q, t]) => funnel(p, q) >> bigintMin(U(32, t), 32n));
add('bmsk.clamp.b32 %rx, %r0, %r1;', 32, ([p, q]) =>
  U(32, p) >= 32n ? 0n : ones(bigintMin(U(32, q), 32n)) << U(32, p),
);
add('bmsk.wrap.b32 %rx, %r0, %r1;', 32, ([p, q]) => ones(q & 31n) << (p & 31n));
const byte = (v: bigint, k: bigint): bigint => (v >> (8n * k)) & 255n;
const permuted =
  (select: (i: bigint, p: bigint, q: bigint, t: bigint) => bigint): ((o: Operands) => bigint) =>
  ([p, q, t]) => {
    let found = 0n;
    for (let i = 0n; i < 4n; i++) found |= select(i, p, q, t) << (8n * i);
    return found;
  };
add(
  'prmt.b32 %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, q, t) => {
    const s = (t >> (4n * i)) & 15n;
    const own = byte(funnel(p, q), s & 7n);
    return s & 8n ? (own & 128n ? 255n : 0n) : own;
  }),
);
add(
  'prmt.b32.f4e %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, q, t) => byte(funnel(p, q), i + (t & 3n))),
);
add(
  'prmt.b32.b4e %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, q, t) => byte(funnel(p, q), U(3, (t & 3n) - i))),
);
add(
  'prmt.b32.rc8 %rx, %r0, %r1, %r2;',
  32,
  permuted((_, p, _q, t) => byte(p, t & 3n)),
);
add(
  'prmt.b32.ecl %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, _, t) => byte(p, i > (t & 3n) ? i : t & 3n)),
);
add(
  'prmt.b32.ecr %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, _, t) => byte(p, bigintMin(i, t & 3n))),
);
add(
  'prmt.b32.rc16 %rx, %r0, %r1, %r2;',
  32,
  permuted((i, p, _, t) => byte(p, (i & 1n) + 2n * (t & 1n))),
);
for (const table of [0xe8, 0x96, 0x1b, 0xca, 0x02])
  add(`lop3.b32 %rx, %r0, %r1, %r2, ${table};`, 32, ([p, q, t]) => {
    let found = 0n;
    for (let i = 0n; i < 32n; i++) {
      const of = (v: bigint): bigint => (v >> i) & 1n;
      found |= BigInt((table >> Number(4n * of(p) + 2n * of(q) + of(t))) & 1) << i;
    }
    return found;
  });
for (const [ta, tb] of [
  ['s32', 's32'],
  ['u32', 's32'],
  ['u32', 'u32'],
] as const)
  add(`dp4a.${ta}.${tb} %rx, %r0, %r1, %r2;`, 32, ([p, q, t]) => {
    const of = (type: string, v: bigint): bigint => (type === 's32' ? S(8, v) : v);
    let sum = t;
    for (let i = 0n; i < 4n; i++) sum += of(ta, byte(p, i)) * of(tb, byte(q, i));
    return sum;
  });
const pair =
  (f: (p: bigint, q: bigint) => bigint): ((o: Operands) => bigint) =>
  ([p, q]) =>
    U(16, f(p, q)) | (U(16, f(p >> 16n, q >> 16n)) << 16n);
add(
  'min.s16x2 %rx, %r0, %r1;',
  32,
  pair((p, q) => (S(16, p) < S(16, q) ? p : q)),
);
add(
  'max.u16x2 %rx, %r0, %r1;',
  32,
  pair((p, q) => (U(16, p) > U(16, q) ? p : q)),
);
add(
  'add.u16x2 %rx, %r0, %r1;',
  32,
  pair((p, q) => p + q),
);
add(
  'max.relu.s16x2 %rx, %r0, %r1;',
  32,
  pair((p, q) => {
    const most = S(16, p) > S(16, q) ? S(16, p) : S(16, q);
    return most < 0n ? 0n : most;
  }),
);
// Numbers as compilers and people write them.
add('add.s32 %rx, %r0, 0X7CU;', 32, ([p]) => p + 0x7cn);
add('add.s64 %dx, %d0, -9223372036854775808;', 64, ([p]) => p - (1n << 63n));
add('xor.b64 %dx, %d0, 0xFEDCBA9876543210;', 64, ([p]) => p ^ 0xfedcba9876543210n);
// Words from parts and parts of words.
add('mov.b32 %rx, {%h0, %h1};', 32, ([p, q]) => U(16, p) | (U(16, q) << 16n));
add('mov.b32 {%hy, %hx}, %r0;', 16, ([p]) => p >> 16n);
add('mov.b64 %dx, {%r0, %r1};', 64, ([p, q]) => funnel(p, q));
add('mov.b64 {_, %rx}, %d0;', 32, ([p]) => p >> 32n);
add(
  'mov.b64 %dx, {%h0, %h1, %h2, %h0};',
  64,
  ([p, q, t]) => U(16, p) | (U(16, q) << 16n) | (U(16, t) << 32n) | (U(16, p) << 48n),
);
// A guarded instruction leaves its target where the predicate does not hold.
add(
  'mov.b32 %rx, %r1; setp.lt.s32 %py, %r0, 0; @%py add.s32 %rx, %rx, 5; @!%py sub.s32 %rx, %rx, %r2;',
  32,
  ([p, q, t]) => (S(32, p) < 0n ? q + 5n : q - t),
);

const shifts = [0n, 1n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 63n, 64n, 65n, 255n, 256n, 0x2031n];
const ends = [
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  ones(31n),
  1n << 31n,
  ones(32n),
  ones(63n),
  1n << 63n,
  ones(64n),
  0xff7f8001n,
];
export const integerOperands = (): Operands[] => {
  const all = [...shifts, ...ends];
  const found: Operands[] = all.flatMap((a, i) =>
    all.map((b, j): Operands => [a, b, all[(i * 7 + j * 3) % all.length]!]),
  );
  for (let i = 0; i < 200; i++) found.push([random(), random(), random()]);
  for (let i = 0; i < 200; i++) found.push([random(), random() & 63n, random() & 63n]);
  return found;
};
