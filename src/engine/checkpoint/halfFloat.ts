// Converts between float32 and the 16-bit floats of checkpoints, whole arrays at a time. Knows nothing of files.

/** One float32 bit pattern per float16 bit pattern: 256 KiB, made on first use. */
let halfTable: Uint32Array | undefined;

function halfBitsToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: fraction × 2^-24 is a normal float32; shift its leading one to the implicit place.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

function table(): Uint32Array {
  halfTable ??= Uint32Array.from({ length: 0x10000 }, (_, half) => halfBitsToFloatBits(half));
  return halfTable;
}

function bitsOf(floats: Float32Array): Uint32Array {
  return new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
}

/** float16 bit patterns [n] → float32 [n], exactly. `out` may be given to spare an allocation. */
export function f16ToF32(half: Uint16Array, out = new Float32Array(half.length)): Float32Array {
  const bits = bitsOf(out);
  const values = table();
  for (let i = 0; i < half.length; i++) bits[i] = values[half[i]!]!;
  return out;
}

/** bfloat16 bit patterns [n] → float32 [n], exactly. */
export function bf16ToF32(brain: Uint16Array, out = new Float32Array(brain.length)): Float32Array {
  const bits = bitsOf(out);
  for (let i = 0; i < brain.length; i++) bits[i] = brain[i]! << 16;
  return out;
}

/** float32 [n] → bfloat16 bit patterns [n], to nearest, ties to even; NaN stays NaN. */
export function f32ToBf16(floats: Float32Array, out = new Uint16Array(floats.length)): Uint16Array {
  const bits = bitsOf(floats);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i]!;
    // A NaN must not round up into infinity, nor lose its last fraction bit: set the quiet bit instead.
    out[i] = (x & 0x7fffffff) > 0x7f800000 ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

function floatBitsToHalfBits(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // From 65520 on, infinity is nearest.
  if (magnitude >= 0x38800000) {
    // Normal: move the exponent's bias from 127 to 15, then round away 13 fraction bits.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // Up to 2^-25, half of the smallest subnormal: a tie goes to zero.
  // Subnormal: fraction × 2^(exponent - 150) in units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const kept = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (kept + (rest > tie || (rest === tie && (kept & 1) === 1) ? 1 : 0));
}

/** float32 [n] → float16 bit patterns [n], to nearest, ties to even; too large becomes infinity, NaN stays NaN. */
export function f32ToF16(floats: Float32Array, out = new Uint16Array(floats.length)): Uint16Array {
  const bits = bitsOf(floats);
  for (let i = 0; i < bits.length; i++) out[i] = floatBitsToHalfBits(bits[i]!);
  return out;
}
