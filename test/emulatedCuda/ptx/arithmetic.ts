// PTX instructions that compute (PTX ISA 9.7.1 to 9.7.5), as C: sums, products, and functions of floats and integers.
import { sizeOf } from './module';
import { bits, cType, isFloat, isPair, type Names, read, write } from './operands';
import { arithmetic, has, lastType, type Row, signBits, unsigned } from './rows';
import type { Instruction } from './statements';

/** Rounding of float arithmetic that is not to nearest, the first part of a C function's name. */
function direction(i: Instruction, type: string): string | undefined {
  const found = i.parts.slice(1).find((part) => part === 'rz' || part === 'rm' || part === 'rp');
  if (found && type !== 'f32' && type !== 'f64') throw new Error(`No rounding of ${type}: ${i.text}`);
  return found;
}

function carried(name: string): Row {
  return (i, names) => {
    const type = unsigned(lastType(i));
    const [target, ...sources] = i.operands as [string, ...string[]];
    const args = sources.map((s) => read(s, type, names)).join(', ');
    const taken = i.parts[0] === 'addc' || i.parts[0] === 'subc' ? 'carry' : '0';
    const out = has(i, 'cc') ? '&carry' : '&unused';
    return write(target, type, `${name}_${type}(${args}, ${taken}, ${out})`, names);
  };
}

export function sum(operator: '+' | '-'): Row {
  const plain = arithmetic(([a, b], type, i) => {
    const rounding = isFloat(type) ? direction(i, type) : undefined;
    if (rounding) return `${rounding}_add_${type}(${a}, ${operator === '-' ? '-' : ''}${b})`;
    if (has(i, 'sat') && type === 's32') return `clamped_s32((int64_t)${a} ${operator} ${b})`;
    if (isFloat(type)) return `${a} ${operator} ${b}`;
    return `(${cType(unsigned(type))})${a} ${operator} (${cType(unsigned(type))})${b}`;
  });
  const withCarry = carried(operator === '+' ? 'add' : 'sub');
  return (i, names) => (has(i, 'cc') || /c$/.test(i.parts[0]!) ? withCarry(i, names) : plain(i, names));
}

const wider = (type: string): string => type[0] + String(2 * Number(type.slice(1)));
const low = (type: string, x: string, y: string): string =>
  `(${cType(unsigned(type))})((uint64_t)${x} * (uint64_t)${y})`;

/** mul, mad: low, high or whole product of integers; `mul` and `mad` of floats. */
export const product =
  (added: boolean): Row =>
  (i, names) => {
    const type = lastType(i);
    if (isFloat(type) || isPair(type)) return (added ? fused : scaled)(i, names);
    if (has(i, 'cc') || i.parts[0] === 'madc') return carriedProduct(i, names);
    const [target, a, b, c] = i.operands as [string, string, string, string?];
    const wide = has(i, 'wide');
    const out = wide ? wider(type) : type;
    const [x, y] = [read(a, type, names), read(b, type, names)];
    const whole = `high_${type}(${x}, ${y})`;
    const value = wide ? `(${cType(out)})${x} * (${cType(out)})${y}` : has(i, 'hi') ? whole : low(type, x, y);
    if (!added) return write(target, out, value, names);
    const third = read(c!, out, names);
    if (has(i, 'sat')) return write(target, out, `clamped_s32((int64_t)(${value}) + ${third})`, names);
    const plus = `(${cType(unsigned(out))})(${value}) + (${cType(unsigned(out))})${third}`;
    return write(target, out, plus, names);
  };

function carriedProduct(i: Instruction, names: Names): string {
  const type = lastType(i);
  const [target, a, b, c] = i.operands as [string, string, string, string];
  const [x, y] = [read(a, type, names), read(b, type, names)];
  const value = has(i, 'hi') ? `high_${type}(${x}, ${y})` : low(type, x, y);
  const taken = i.parts[0] === 'madc' ? 'carry' : '0';
  const out = has(i, 'cc') ? '&carry' : '&unused';
  const third = read(c, type, names);
  return write(target, type, `add_${unsigned(type)}(${value}, ${third}, ${taken}, ${out})`, names);
}

/** The low or high 32 bits of 48 of a product of two numbers of 24 bits. */
export const product24 =
  (added: boolean): Row =>
  (i, names) => {
    const type = lastType(i);
    const [target, a, b, c] = i.operands as [string, string, string, string?];
    const wide = type === 's32' ? 'int64_t' : 'uint64_t';
    const part = (s: string): string => `((${wide})((${cType(type)})(${read(s, type, names)} << 8) >> 8))`;
    const value = `(uint32_t)(${part(a)} * ${part(b)} >> ${has(i, 'hi') ? 16 : 0})`;
    return write(target, type, added ? `${value} + ${read(c!, 'u32', names)}` : value, names);
  };

// Sums and products of halves in single precision round further to a half as exact ones do.
const scaled = arithmetic(([a, b], type, i) => {
  const rounding = direction(i, type);
  if (rounding) return `${rounding}_mul_${type}(${a}, ${b})`;
  return `${a} * ${b}`;
});
export const fused = arithmetic(([a, b, c], type, i) => {
  const rounding = direction(i, type);
  if (rounding) return `${rounding}_fma_${type}(${a}, ${b}, ${c})`;
  const name = { f64: 'fma', f32: 'fmaf' }[type] ?? 'fusedHalf';
  return `${name}(${a}, ${b}, ${c})`;
});
export const quotient = arithmetic(([a, b], type, i) => {
  const rounding = isFloat(type) ? direction(i, type) : undefined;
  if (rounding) return `${rounding}_div_${type}(${a}, ${b})`;
  return isFloat(type) ? `${a} / ${b}` : `div_${type}(${a}, ${b})`;
});
export const reciprocal = arithmetic(([a], type, i) => {
  const rounding = direction(i, type);
  if (rounding) return `${rounding}_div_${type}(1, ${a})`;
  return type === 'f64' ? `1.0 / ${a}` : `1.0f / ${a}`;
});
export const root = arithmetic(([a], type, i) => {
  const rounding = direction(i, type);
  if (rounding) return `${rounding}_sqrt_${type}(${a})`;
  return type === 'f64' ? `sqrt(${a})` : `sqrtf(${a})`;
});
export const inverseRoot = arithmetic(([a], type) =>
  type === 'f64' ? `1.0 / sqrt(${a})` : `(float)(1.0 / sqrt(${a}))`,
);
export const unary = (float: string): Row =>
  arithmetic(([a], type) => {
    if (!isFloat(type) || type === 'f64') throw new Error(`Not of ${type}: ${float}`);
    return `${float}(${a})`;
  });

export const extreme = (kind: 'min' | 'max'): Row =>
  arithmetic((all, type, i) => {
    if (!isFloat(type)) {
      const least = has(i, 'relu') ? [type === 's16' ? '(int16_t)0' : '0'] : [];
      return [...all, ...least].reduce((x, y, k) => `${k < all.length ? kind : 'max'}_${type}(${x}, ${y})`);
    }
    const name = `f${kind}${has(i, 'NaN') ? 'Nan' : ''}_${type === 'f64' ? 'f64' : 'f32'}`;
    return all.reduce((x, y) => `${name}(${x}, ${y})`);
  });

const negated = arithmetic(([a], type) => (isFloat(type) ? `-${a}` : `0 - (${cType(unsigned(type))})${a}`));
const absolute = arithmetic(([a], type) =>
  isFloat(type) ? `fabs(${a})` : `${a} < 0 ? 0 - (${cType(unsigned(type))})${a} : ${a}`,
);
export const negative: Row = (i, names) => signBits(i, names) ?? negated(i, names);
export const magnitude: Row = (i, names) => signBits(i, names) ?? absolute(i, names);

/** `copysign d, a, b`: b with the sign of a, bit by bit. */
export const copiedSign: Row = (i, names) => {
  const type = bits(lastType(i));
  const [target, a, b] = i.operands as [string, string, string];
  const sign = `((${cType(type)})1 << ${8 * sizeOf(type) - 1})`;
  const value = `(${read(b, type, names)} & ~${sign}) | (${read(a, type, names)} & ${sign})`;
  return write(target, type, value, names);
};
