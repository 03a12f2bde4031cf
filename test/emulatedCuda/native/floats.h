// Floating-point numbers of a kernel translated from PTX: their bits, and every rounding done once. A half (`f16`, `bf16`) is a
// float in C; an operation on halves may hand over a double, which is rounded when it becomes bits.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float f32(uint32_t b) { float v; return memcpy(&v, &b, 4), v; }
static inline double f64(uint64_t b) { double v; return memcpy(&v, &b, 8), v; }
static inline uint32_t bits32(float v) { uint32_t b; return memcpy(&b, &v, 4), b; }
static inline uint64_t bits64(double v) { uint64_t b; return memcpy(&b, &v, 8), b; }
/** Of a result: PTX knows one single-precision NaN. */
static inline uint32_t number32(float v) { return v != v ? 0x7fffffff : bits32(v); }

/** Rounded to odd: rounding it further to a half is as rounding `v` once. */
static inline float odd(long double v) {
  float f = v;
  if (f == v || v != v) return f;
  return f32((fabsl(f) > fabsl(v) ? bits32(f) - 1 : bits32(f)) | 1);
}
static inline float oddDouble(double v) {
  float f = v;
  if (f == v || v != v) return f;
  return f32((fabs(f) > fabs(v) ? bits32(f) - 1 : bits32(f)) | 1);
}

static inline float bfloat(uint16_t b) { return f32((uint32_t)b << 16); }
static inline uint16_t bfloatBitsOfFloat(float v) {
  uint32_t b = bits32(v);
  return v != v ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
static inline uint16_t bfloatBitsOfDouble(double v) { return bfloatBitsOfFloat(oddDouble(v)); }
#define bfloatBits(v) _Generic((v), double: bfloatBitsOfDouble, default: bfloatBitsOfFloat)(v)
static inline float half(uint16_t b) { _Float16 v; return memcpy(&v, &b, 2), (float)v; }
static inline uint16_t halfBitsOfFloat(float v) { _Float16 h = v; uint16_t b; return memcpy(&b, &h, 2), v != v ? 0x7fff : b; }
static inline uint16_t halfBitsOfDouble(double v) { return halfBitsOfFloat(oddDouble(v)); }
#define halfBits(v) _Generic((v), double: halfBitsOfDouble, default: halfBitsOfFloat)(v)

/** Subnormal numbers become zeros of their sign. */
static inline float flush_f32(float v) { return fabsf(v) < 0x1p-126f ? copysignf(0, v) : v; }
static inline double flush_f64(double v) { return fabs(v) < 0x1p-1022 ? copysign(0, v) : v; }
static inline double flush_f16(double v) { return fabs(v) < 0x1p-14 ? copysign(0, v) : v; }
static inline double saturate(double v) { return v > 0 ? v < 1 ? v : 1 : 0; }
static inline double atLeastZero(double v) { return v < 0 ? 0 : v; }
/** What is beyond the largest number becomes it. */
static inline double finite_f16(double v) { return v > 65504 ? 65504 : v < -65504 ? -65504 : v; }
static inline double finite_bf16(double v) { return v > 0x1.fep127 ? 0x1.fep127 : v < -0x1.fep127 ? -0x1.fep127 : v; }

static inline double rn_whole(double v) { return rint(v); }
static inline double rz_whole(double v) { return trunc(v); }
static inline double rm_whole(double v) { return floor(v); }
static inline double rp_whole(double v) { return ceil(v); }

// Directed rounding of a number that is known exactly: `NAME_TYPE`, to a number of that type.
#define TOWARD(type, nearest, below, above) \
  static inline __typeof__(nearest((long double)0)) rm_##type(long double v) { __typeof__(nearest(v)) f = nearest(v); return f > v ? below(f) : f; } \
  static inline __typeof__(nearest((long double)0)) rp_##type(long double v) { __typeof__(nearest(v)) f = nearest(v); return f < v ? above(f) : f; } \
  static inline __typeof__(nearest((long double)0)) rz_##type(long double v) { return v < 0 ? rp_##type(v) : rm_##type(v); }
static inline float nearest_f32(long double v) { return v; }
static inline float below_f32(float v) { return nextafterf(v, -INFINITY); }
static inline float above_f32(float v) { return nextafterf(v, INFINITY); }
static inline double nearest_f64(long double v) { return v; }
static inline double below_f64(double v) { return nextafter(v, -INFINITY); }
static inline double above_f64(double v) { return nextafter(v, INFINITY); }
static inline uint16_t belowBits(uint16_t b) { return b & 0x8000 ? b + 1 : b ? b - 1 : 0x8001; }
static inline uint16_t aboveBits(uint16_t b) { return belowBits(b ^ 0x8000) ^ 0x8000; }
static inline float nearest_f16(long double v) { return half(halfBits(odd(v))); }
static inline float below_f16(float v) { return half(belowBits(halfBits(v))); }
static inline float above_f16(float v) { return half(aboveBits(halfBits(v))); }
static inline float nearest_bf16(long double v) { return bfloat(bfloatBits(odd(v))); }
static inline float below_bf16(float v) { return bfloat(belowBits(bfloatBits(v))); }
static inline float above_bf16(float v) { return bfloat(aboveBits(bfloatBits(v))); }
TOWARD(f32, nearest_f32, below_f32, above_f32)
TOWARD(f64, nearest_f64, below_f64, above_f64)
TOWARD(f16, nearest_f16, below_f16, above_f16)
TOWARD(bf16, nearest_bf16, below_bf16, above_bf16)

/** a·b + c of halves, to a float that rounds further to a half as the exact sum would. */
static inline float fusedHalf(float a, float b, float c) {
  double product = (double)a * b, sum = product + c, other = sum - product;
  double error = (product - (sum - other)) + (c - other);
  if (error == 0 || !isfinite(sum)) return oddDouble(sum);
  uint64_t bits = bits64(sum);
  if ((error > 0) != (sum > 0)) bits--;
  return oddDouble(f64(bits | 1));
}

// Arithmetic in single precision that is not rounded to nearest: the sum of two doubles and its error are exact.
#define DIRECTED(mode, lower) \
  static inline float mode##_fma_f32(float a, float b, float c) { \
    double product = (double)a * b, sum = product + c, other = sum - product; \
    double error = (product - (sum - other)) + (c - other); \
    if (sum == 0) return lower && (product != 0 || signbit(product) || signbit(c)) ? -0.0f : sum; \
    if (!isfinite(sum)) return sum; \
    float f = sum; \
    int down = #mode[1] == 'm' || (#mode[1] == 'z' && sum > 0); \
    if (down) return f > sum || (f == sum && error < 0) ? below_f32(f) : f; \
    return f < sum || (f == sum && error > 0) ? above_f32(f) : f; \
  } \
  static inline float mode##_add_f32(float a, float b) { return mode##_fma_f32(a, 1, b); } \
  static inline float mode##_mul_f32(float a, float b) { return mode##_f32((double)a * b); }
DIRECTED(rz, 0) DIRECTED(rm, 1) DIRECTED(rp, 0)

// The rest under the processor's own rounding.
static inline uint32_t underRounding(uint32_t bits) {
  uint32_t was, now;
  __asm__ volatile("stmxcsr %0" : "=m"(was));
  now = (was & ~0x6000u) | bits;
  __asm__ volatile("ldmxcsr %0" : : "m"(now) : "memory");
  return was;
}
static inline void rounding(uint32_t was) { __asm__ volatile("ldmxcsr %0" : : "m"(was) : "memory"); }
#define UNDER(name, bits, type, value) \
  static inline type name(type a, type b, type c) { \
    volatile type x = a, y = b, z = c; \
    uint32_t was = underRounding(bits); \
    volatile type r = value; \
    rounding(was); \
    return r; \
  }
#define ROUNDED(mode, bits) \
  UNDER(mode##_fma_f64, bits, double, __builtin_fma(x, y, z)) \
  UNDER(mode##_sum_f64, bits, double, x + y) UNDER(mode##_product_f64, bits, double, x * y) \
  UNDER(mode##_quotient_f64, bits, double, x / y) UNDER(mode##_quotient_f32, bits, float, x / y) \
  UNDER(mode##_root_f64, bits, double, __builtin_sqrt(x)) UNDER(mode##_root_f32, bits, float, __builtin_sqrtf(x)) \
  static inline double mode##_add_f64(double a, double b) { return mode##_sum_f64(a, b, 0); } \
  static inline double mode##_mul_f64(double a, double b) { return mode##_product_f64(a, b, 0); } \
  static inline double mode##_div_f64(double a, double b) { return mode##_quotient_f64(a, b, 0); } \
  static inline float mode##_div_f32(float a, float b) { return mode##_quotient_f32(a, b, 0); } \
  static inline double mode##_sqrt_f64(double a) { return mode##_root_f64(a, 0, 0); } \
  static inline float mode##_sqrt_f32(float a) { return mode##_root_f32(a, 0, 0); }
ROUNDED(rm, 0x2000) ROUNDED(rp, 0x4000) ROUNDED(rz, 0x6000)

// `NAN` as for most operations: of a number and none it is the number.
#define EXTREMES(suffix, type, none) \
  static inline type fmin_##suffix(type a, type b) { return a != a ? b != b ? none : b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b; } \
  static inline type fmax_##suffix(type a, type b) { return a != a ? b != b ? none : b : b != b ? a : a > b || (a == b && !signbit(a)) ? a : b; } \
  static inline type fminNan_##suffix(type a, type b) { return a != a || b != b ? none : fmin_##suffix(a, b); } \
  static inline type fmaxNan_##suffix(type a, type b) { return a != a || b != b ? none : fmax_##suffix(a, b); }
EXTREMES(f32, float, NAN) EXTREMES(f64, double, (double)NAN)

// To whole numbers. What is too large is the largest. What is no number is 0, or the sign bit alone where 64 bits take part.
#define TO(name, type, low, high) \
  static inline type whole_##name(double v, int wide) { \
    return v != v ? (wide ? (type)(1ull << (8 * sizeof(type) - 1)) : 0) : v <= (double)(low) ? (low) : v >= (double)(high) ? (high) : (type)v; \
  }
TO(s8, int8_t, INT8_MIN, INT8_MAX) TO(s16, int16_t, INT16_MIN, INT16_MAX) TO(s32, int32_t, INT32_MIN, INT32_MAX)
TO(s64, int64_t, INT64_MIN, INT64_MAX) TO(u8, uint8_t, 0, UINT8_MAX) TO(u16, uint16_t, 0, UINT16_MAX)
TO(u32, uint32_t, 0, UINT32_MAX) TO(u64, uint64_t, 0, UINT64_MAX)
