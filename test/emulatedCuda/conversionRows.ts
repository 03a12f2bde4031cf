// What PTX conversions between floating-point numbers and integers must give, and operands close to where they round.
import type { Value } from './exactNumbers';
import { decode, encode, integer, isExact, number, toInteger, whole } from './exactNumbers';
import {
  clamp,
  type InstructionRow,
  kinds,
  modes,
  type Operands,
  of,
  ones,
  register,
  S,
  same,
  sizes,
  subnormal,
  U,
  zeroOf,
} from './instructionRows';
import { integerOperands } from './integerRows';

export const conversions: Record<string, InstructionRow[]> = {};
for (const from of kinds) {
  const rows: InstructionRow[] = [];
  conversions[from] = rows;
  const own = (v: bigint): Value => decode(U(sizes[from], v), from);
  const source = `%${of[from]}0`;
  for (const to of kinds) {
    if (from === to || (from === 'f16' && to === 'bf16') || (from === 'bf16' && to === 'f16')) continue;
    const target = `%${of[to]}x`;
    const wider = sizes[to] > sizes[from];
    for (const mode of wider ? (['rn'] as const) : modes) {
      const name = wider ? '' : `.${mode}`;
      const expected = ([p]: Operands): bigint => encode(own(p), to, mode);
      rows.push({ text: `cvt${name}.${to}.${from} ${target}, ${source};`, expected, same: same(to) });
      if (from === 'f32' && sizes[to] === 16 && (mode === 'rn' || mode === 'rz')) {
        const text = `cvt${name}.${to}x2.f32 %rx, %r0, %r1;`;
        const both = ([p, q]: Operands): bigint => (expected([p, 0n, 0n]) << 16n) | expected([q, 0n, 0n]);
        rows.push({ text, expected: both });
        const most = encode('Infinity', to) - 1n;
        rows.push({
          text: `cvt${name}.satfinite.${to}.f32 ${target}, ${source};`,
          expected: (o) => {
            const v = decode(expected(o), to);
            return isExact(v) || v === 'NaN' ? expected(o) : v === 'Infinity' ? most : most | 0x8000n;
          },
        });
      }
    }
  }
  for (const mode of modes) {
    const rounded = (v: Value): Value => (isExact(v) ? whole(v, mode) : v);
    if (from !== 'bf16') {
      const expected = ([p]: Operands): bigint => encode(rounded(own(p)), from);
      rows.push({
        text: `cvt.${mode}i.${from}.${from} %${of[from]}x, ${source};`,
        expected,
        same: same(from),
      });
    }
    for (const bits of from === 'bf16' ? [16, 32, 64] : [8, 16, 32, 64])
      for (const sign of ['s', 'u']) {
        const [low, high] =
          sign === 's' ? [-(1n << BigInt(bits - 1)), ones(BigInt(bits - 1))] : [0n, ones(BigInt(bits))];
        const size = Math.max(bits, 16);
        const text = `cvt.${mode}i.${sign}${bits}.${from} %${register[size]}x, ${source};`;
        const expected = ([p]: Operands): bigint => {
          const v = rounded(own(p));
          if (v === 'NaN') {
            const none = from === 'f64' || bits === 64 ? 1n << BigInt(bits - 1) : 0n;
            return U(size, sign === 's' ? S(bits, none) : none);
          }
          return U(size, isExact(v) ? clamp(toInteger(v), low, high) : v === 'Infinity' ? high : low);
        };
        rows.push({ text, expected });
      }
  }
}
conversions.f32!.push(
  {
    text: 'cvt.sat.f32.f32 %rx, %r0;',
    expected: ([p]) => {
      const v = number(U(32, p), 'f32');
      return v > 0 ? (v < 1 ? U(32, p) : 0x3f800000n) : 0n;
    },
  },
  {
    text: 'cvt.rn.relu.bf16.f32 %hx, %r0;',
    expected: ([p]) => {
      const v = decode(U(32, p), 'f32');
      return number(U(32, p), 'f32') < 0 ? 0n : encode(v, 'bf16');
    },
  },
  {
    text: 'cvt.ftz.f64.f32 %dx, %r0;',
    same: same('f64'),
    expected: ([p]) => {
      const v = decode(U(32, p), 'f32');
      return encode(subnormal(v, 'f32') ? zeroOf(v) : v, 'f64');
    },
  },
);
export const fromIntegers: InstructionRow[] = [];
for (const bits of [8, 16, 32, 64])
  for (const sign of ['s', 'u'])
    for (const to of kinds.filter((kind) => bits > 8 || kind !== 'bf16'))
      for (const mode of modes)
        fromIntegers.push({
          text: `cvt.${mode}.${to}.${sign}${bits} %${of[to]}x, %${register[Math.max(bits, 16)]}0;`,
          expected: ([p]) => encode(integer((sign === 's' ? S : U)(bits, p)), to, mode),
        });

export const manyIntegers = (): Operands[] => [
  ...integerOperands(),
  // Close to what lies between two halves, at every size.
  ...Array.from({ length: 63 }, (_, k) =>
    [-1n, 0n, 1n].map((d): Operands => [(1n << BigInt(k)) + (1n << BigInt(k)) / 256n + d, 0n, 0n]),
  ).flat(),
];
