// Floating-point numbers of any format by their bits, with exact arithmetic in whole numbers and each rounding done once: what tests
// hold the translated kernels against. Knows nothing of C or PTX.

export interface Format {
  /** Bits of the significand with its hidden one, and of the exponent. */
  precision: number;
  exponent: number;
}
export const formats = {
  f16: { precision: 11, exponent: 5 },
  bf16: { precision: 8, exponent: 8 },
  f32: { precision: 24, exponent: 8 },
  f64: { precision: 53, exponent: 11 },
} as const satisfies Record<string, Format>;
export type Kind = keyof typeof formats;
export type Mode = 'rn' | 'rz' | 'rm' | 'rp';

/** `digits`·2^`power`, with a sign of its own for zero. */
export interface Exact {
  negative: boolean;
  digits: bigint;
  power: number;
}
export type Value = Exact | 'NaN' | 'Infinity' | '-Infinity';
export const isExact = (v: Value): v is Exact => typeof v === 'object';

const least = ({ precision, exponent }: Format): number => 2 - 2 ** (exponent - 1) - (precision - 1);
const sizeOf = (f: Format): number => f.precision + f.exponent;
/** What PTX makes of no number; double precision is not compared by it. */
export const noNumber = (kind: Kind): bigint => (1n << BigInt(sizeOf(formats[kind]) - 1)) - 1n;

export function decode(bits: bigint, kind: Kind): Value {
  const f = formats[kind];
  const fraction = BigInt(f.precision - 1);
  const negative = bits >> BigInt(sizeOf(f) - 1) !== 0n;
  const biased = Number((bits >> fraction) & ((1n << BigInt(f.exponent)) - 1n));
  const digits = bits & ((1n << fraction) - 1n);
  if (biased === 2 ** f.exponent - 1) return digits ? 'NaN' : negative ? '-Infinity' : 'Infinity';
  if (biased === 0) return { negative, digits, power: least(f) };
  return { negative, digits: digits | (1n << fraction), power: least(f) + biased - 1 };
}

/** The bits of a number rounded once. */
export function encode(value: Value, kind: Kind, mode: Mode = 'rn'): bigint {
  const f = formats[kind];
  const fraction = BigInt(f.precision - 1);
  const infinity = ((1n << BigInt(f.exponent)) - 1n) << fraction;
  const sign = (negative: boolean): bigint => (negative ? 1n << BigInt(sizeOf(f) - 1) : 0n);
  if (value === 'NaN') return noNumber(kind);
  if (!isExact(value)) return infinity | sign(value === '-Infinity');
  if (value.digits === 0n) return sign(value.negative);
  const length = value.digits.toString(2).length;
  const unit = Math.max(value.power + length - f.precision, least(f));
  const up = (odd: boolean, rest: number): boolean => {
    if (rest === 0) return false;
    if (mode === 'rn') return rest > 2 || (rest === 2 && odd);
    return mode === 'rm' ? value.negative : mode === 'rp' ? !value.negative : false;
  };
  let digits = atUnit(value, unit, up);
  let biased = BigInt(unit - least(f));
  if (digits >> BigInt(f.precision)) {
    digits >>= 1n;
    biased++;
  }
  if (digits >> fraction) biased++;
  const bits = (biased << fraction) | (digits & ((1n << fraction) - 1n));
  if (bits < infinity) return bits | sign(value.negative);
  const largest = mode === 'rz' || mode === (value.negative ? 'rp' : 'rm');
  return (largest ? infinity - 1n : infinity) | sign(value.negative);
}

/** Whole units; `up` is asked about what is left of one: 0 nothing, 1 less than half, 2 half, 3 more. */
function atUnit(value: Exact, unit: number, up: (odd: boolean, rest: number) => boolean): bigint {
  const shift = unit - value.power;
  if (shift <= 0) return value.digits << BigInt(-shift);
  const whole = value.digits >> BigInt(shift);
  const rest = value.digits - (whole << BigInt(shift));
  const half = 1n << BigInt(shift - 1);
  const part = rest === 0n ? 0 : rest < half ? 1 : rest === half ? 2 : 3;
  return up((whole & 1n) === 1n, part) ? whole + 1n : whole;
}

/** Rounded to a whole number. */
export function whole({ negative, digits, power }: Exact, mode: Mode): Exact {
  const up = (odd: boolean, rest: number): boolean => {
    if (rest === 0) return false;
    if (mode === 'rn') return rest > 2 || (rest === 2 && odd);
    return mode === 'rm' ? negative : mode === 'rp' ? !negative : false;
  };
  return { negative, digits: atUnit({ negative, digits, power }, 0, up), power: 0 };
}
export const integer = (v: bigint): Exact => ({ negative: v < 0n, digits: v < 0n ? -v : v, power: 0 });
export const toInteger = ({ negative, digits }: Exact): bigint => (negative ? -digits : digits);

/** Of numbers that a double holds, exactly; other values by the rules of floats. */
const asNumber = (v: Value): number =>
  isExact(v) ? (v.negative ? -1 : 1) * (v.digits === 0n ? 0 : 1) : Number(v);
const special = (v: number): Value => (Number.isNaN(v) ? 'NaN' : v > 0 ? 'Infinity' : '-Infinity');

export function times(a: Value, b: Value): Value {
  if (!isExact(a) || !isExact(b)) return special(asNumber(a) * asNumber(b));
  return { negative: a.negative !== b.negative, digits: a.digits * b.digits, power: a.power + b.power };
}
/** @param mode decides the sign of a zero. */
export function plus(a: Value, b: Value, mode: Mode): Value {
  if (!isExact(a) || !isExact(b)) return special(asNumber(a) + asNumber(b));
  const power = Math.min(a.power, b.power);
  const at = (v: Exact): bigint => toInteger(v) << BigInt(v.power - power);
  const sum = at(a) + at(b);
  if (sum !== 0n) return { negative: sum < 0n, digits: sum < 0n ? -sum : sum, power };
  const negative = a.negative === b.negative ? a.negative : mode === 'rm';
  return { negative, digits: 0n, power };
}
export const negated = (v: Value): Value =>
  isExact(v)
    ? { ...v, negative: !v.negative }
    : v === 'NaN'
      ? v
      : v === 'Infinity'
        ? '-Infinity'
        : 'Infinity';

/** Bits of numbers of every sort: zeros, the ends of subnormal and normal numbers, what lies between two halves, infinities, none. */
export function edges(kind: Kind): bigint[] {
  const f = formats[kind];
  const fraction = BigInt(f.precision - 1);
  const infinity = ((1n << BigInt(f.exponent)) - 1n) << fraction;
  const of = (v: number): bigint => encode(decode(BigInt.asUintN(64, bits64(v)), 'f64'), kind);
  const plain = [
    0,
    1,
    1.5,
    2.5,
    0.1,
    3,
    7.99,
    65504,
    65519,
    65520,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 63,
    1e-8,
    6e-8,
    1e38,
  ];
  const near = [
    2049 + 2 ** -20,
    1 + 2 ** -8,
    1 + 2 ** -8 + 2 ** -40,
    1 + 2 ** -11,
    1 + 2 ** -11 - 2 ** -45,
    257.5,
  ];
  const own = [
    1n,
    (1n << fraction) - 1n,
    1n << fraction,
    infinity - 1n,
    infinity,
    infinity | (1n << (fraction - 1n)),
  ];
  const positive = [...plain, ...near].map(of).concat(own);
  const minus = 1n << BigInt(sizeOf(f) - 1);
  return [...new Set(positive.flatMap((v) => [v, v | minus]))];
}
const view = new DataView(new ArrayBuffer(8));
export function bits64(v: number): bigint {
  view.setFloat64(0, v);
  return view.getBigUint64(0);
}
/** What no number is stands for all of them. */
export function number(bits: bigint, kind: Kind): number {
  const value = decode(bits, kind);
  if (!isExact(value)) return Number(value);
  view.setBigUint64(0, encode(value, 'f64'));
  return view.getFloat64(0);
}
