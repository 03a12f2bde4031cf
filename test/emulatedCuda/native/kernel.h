// What a kernel translated from PTX (ptx/) is made of: how values lie in registers, the instructions that C has no operator for,
// and how it meets the threads beside it.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct Grid {
  uint32_t ctaid[3], ntid[3], nctaid[3];
  uint32_t threads, staticShared, dynamicShared;
  uint64_t shared_bytes;
  char *shared;
  const char *params;
} Grid;
typedef struct Thread {
  uint32_t tid[3], thread;
  Grid *grid;
  const struct Calls *calls;
} Thread;
typedef struct Kernel {
  void (*body)(Thread *);
  /** Whether its threads wait for one another, and need stacks of their own. */
  int meets;
  uint32_t staticShared, params;
  const uint32_t *offsets, *sizes;
  uint32_t bytes;
} Kernel;

enum { BARRIER_OR, BARRIER_AND, BARRIER_POPC };
enum {
  SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BFLY, SHUFFLE_IDX,
  VOTE_ANY, VOTE_ALL, VOTE_UNI, VOTE_BALLOT,
  MATCH_ANY, MATCH_ALL,
  REDUCE_ADD, REDUCE_MIN, REDUCE_MAX, REDUCE_MIN_SIGNED, REDUCE_MAX_SIGNED, REDUCE_AND, REDUCE_OR, REDUCE_XOR,
  WARP_BARRIER, GATHER
};
typedef struct Calls {
  uint32_t (*barrier)(Thread *, uint32_t id, uint32_t threads, uint32_t value, int kind);
  uint64_t (*exchange)(Thread *, int kind, uint32_t mask, uint64_t value, uint32_t b, uint32_t c, uint8_t *found);
  /** All lanes' words, up to 8 each, until the one after the next. */
  const uint32_t (*(*gather)(Thread *, const uint32_t *words, int count))[8];
  uint32_t (*active)(Thread *);
  void (*yield)(Thread *);
  void (*exit)(Thread *) __attribute__((noreturn));
  void (*fail)(Thread *, const char *) __attribute__((noreturn));
} Calls;

static inline float f32(uint32_t b) { float v; return memcpy(&v, &b, 4), v; }
static inline double f64(uint64_t b) { double v; return memcpy(&v, &b, 8), v; }
static inline uint32_t bits32(float v) { uint32_t b; return memcpy(&b, &v, 4), b; }
static inline uint64_t bits64(double v) { uint64_t b; return memcpy(&b, &v, 8), b; }
static inline float bfloat(uint16_t b) { return f32((uint32_t)b << 16); }
static inline uint16_t bfloatBits(float v) {
  uint32_t b = bits32(v);
  return v != v ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
#ifdef __F16C__
#include <immintrin.h>
static inline float half(uint16_t b) { return _cvtsh_ss(b); }
static inline uint16_t halfBits(float v) { return v != v ? 0x7fff : _cvtss_sh(v, 0); }
#else
static inline float half(uint16_t b) { _Float16 v; return memcpy(&v, &b, 2), (float)v; }
static inline uint16_t halfBits(float v) { _Float16 h = v; uint16_t b; return memcpy(&b, &h, 2), v != v ? 0x7fff : b; }
#endif

static inline float flush(float v) { return fabsf(v) < 1.17549435e-38f ? copysignf(0, v) : v; }
static inline double saturate(double v) { return v > 0 ? v < 1 ? v : 1 : 0; }
static inline double atLeastZero(double v) { return v < 0 ? 0 : v; }

// Directed rounding of a result that double holds nearly exactly.
static inline float rz_f32(double v) { float f = v; return fabs(f) > fabs(v) ? nextafterf(f, 0) : f; }
static inline float rm_f32(double v) { float f = v; return f > v ? nextafterf(f, -INFINITY) : f; }
static inline float rp_f32(double v) { float f = v; return f < v ? nextafterf(f, INFINITY) : f; }
static inline double rz_f64(double v) { return v; }
static inline double rm_f64(double v) { return v; }
static inline double rp_f64(double v) { return v; }
static inline float rn_f32(double v) { return v; }
static inline float halfDown(double v, uint16_t toward) {
  uint16_t b = halfBits(v);
  if (toward == 0 && fabs(half(b)) > fabs(v)) b--;
  return half(b);
}
static inline float rz_f16(double v) { return halfDown(v, 0); }
static inline float rz_bf16(double v) { return f32(bits32(v) & 0xffff0000u); }
static inline double rn_whole(double v) { return rint(v); }
static inline double rz_whole(double v) { return trunc(v); }
static inline double rm_whole(double v) { return floor(v); }
static inline double rp_whole(double v) { return ceil(v); }

// What is no number is 0, or the lowest of 64 bits; what is too large is the largest.
#define TO(name, type, low, high) \
  static inline type to_##name(double v) { \
    return v != v ? (sizeof(type) == 8 ? (type)0x8000000000000000ull : 0) : v <= (double)(low) ? (low) : v >= (double)(high) ? (high) : (type)v; \
  }
TO(s8, int8_t, INT8_MIN, INT8_MAX) TO(s16, int16_t, INT16_MIN, INT16_MAX) TO(s32, int32_t, INT32_MIN, INT32_MAX)
TO(s64, int64_t, INT64_MIN, INT64_MAX) TO(u8, uint8_t, 0, UINT8_MAX) TO(u16, uint16_t, 0, UINT16_MAX)
TO(u32, uint32_t, 0, UINT32_MAX) TO(u64, uint64_t, 0, UINT64_MAX)
#define CLAMPED(name, type, low, high) \
  static inline type clamped_##name(__int128 v) { return v < (low) ? (low) : v > (high) ? (high) : (type)v; }
CLAMPED(s8, int8_t, INT8_MIN, INT8_MAX) CLAMPED(s16, int16_t, INT16_MIN, INT16_MAX) CLAMPED(s32, int32_t, INT32_MIN, INT32_MAX)
CLAMPED(s64, int64_t, INT64_MIN, INT64_MAX) CLAMPED(u8, uint8_t, 0, UINT8_MAX) CLAMPED(u16, uint16_t, 0, UINT16_MAX)
CLAMPED(u32, uint32_t, 0, UINT32_MAX) CLAMPED(u64, uint64_t, 0, UINT64_MAX)
static inline int32_t saturated32(int64_t v) { return clamped_s32(v); }

#define INTEGERS(suffix, type, other) \
  static inline type min_##suffix(type a, type b) { return a < b ? a : b; } \
  static inline type max_##suffix(type a, type b) { return a > b ? a : b; } \
  static inline type div_##suffix(type a, type b) { return b == 0 ? (type)-1 : b == (type)-1 && (type)-1 < 0 ? (type)(0 - (other)a) : (type)(a / b); } \
  static inline type rem_##suffix(type a, type b) { return b == 0 ? a : b == (type)-1 && (type)-1 < 0 ? 0 : (type)(a % b); } \
  static inline type sad_##suffix(type a, type b, type c) { return (a < b ? b - a : a - b) + c; } \
  static inline type shl_##suffix(type a, uint32_t n) { return n >= 8 * sizeof a ? 0 : (type)((other)a << n); } \
  static inline type shr_##suffix(type a, uint32_t n) { return n >= 8 * sizeof a ? (a < 0 ? -1 : 0) : a >> n; } \
  static inline type high_##suffix(type a, type b) { return (type)((__int128)a * b >> 8 * sizeof a); } \
  static inline uint32_t bfind_##suffix(type a, int amount) { \
    int64_t w = (type)-1 < 0 ? (int64_t)a : 0; \
    uint64_t v = w < 0 ? ~(uint64_t)w : (uint64_t)(other)a; \
    if (!v) return ~0u; \
    uint32_t at = 63 - __builtin_clzll(v); \
    return amount ? 8 * sizeof a - 1 - at : at; \
  } \
  static inline type bfe_##suffix(type a, uint32_t from, uint32_t n) { \
    uint32_t size = 8 * sizeof a; \
    from &= 255, n &= 255; \
    if (!n) return 0; \
    type sign = (type)-1 < 0 ? ((other)a >> (from + n - 1 < size ? from + n - 1 : size - 1)) & 1 : 0; \
    other low = from >= size ? 0 : (other)a >> from; \
    other mask = n >= size ? (other)-1 : ((other)1 << n) - 1; \
    other held = from >= size ? 0 : size - from; \
    other have = held >= size ? (other)-1 : ((other)1 << held) - 1; \
    return (type)((low & mask) | (sign ? ~(mask & have) : 0)); \
  }
INTEGERS(s16, int16_t, uint16_t) INTEGERS(s32, int32_t, uint32_t) INTEGERS(s64, int64_t, uint64_t)
INTEGERS(u16, uint16_t, uint16_t) INTEGERS(u32, uint32_t, uint32_t) INTEGERS(u64, uint64_t, uint64_t)
INTEGERS(b16, uint16_t, uint16_t) INTEGERS(b32, uint32_t, uint32_t) INTEGERS(b64, uint64_t, uint64_t)

#define CARRIES(suffix, type) \
  static inline type add_##suffix(type a, type b, uint32_t in, uint32_t *out) { \
    unsigned __int128 v = (unsigned __int128)a + b + in; \
    return *out = (v >> 8 * sizeof a) & 1, (type)v; \
  } \
  static inline type sub_##suffix(type a, type b, uint32_t in, uint32_t *out) { \
    unsigned __int128 v = (unsigned __int128)a - b - in; \
    return *out = (v >> 8 * sizeof a) & 1, (type)v; \
  }
CARRIES(u32, uint32_t) CARRIES(u64, uint64_t)

#define EXTREMES(suffix, type, least, most) \
  static inline type fmin_##suffix(type a, type b) { return a != a ? b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b; } \
  static inline type fmax_##suffix(type a, type b) { return a != a ? b : b != b ? a : a > b || (a == b && !signbit(a)) ? a : b; } \
  static inline type fminNan_##suffix(type a, type b) { return a != a ? a : b != b ? b : fmin_##suffix(a, b); } \
  static inline type fmaxNan_##suffix(type a, type b) { return a != a ? a : b != b ? b : fmax_##suffix(a, b); }
EXTREMES(f32, float, fminf, fmaxf) EXTREMES(f64, double, fmin, fmax)

static inline uint32_t popc_b32(uint32_t a) { return __builtin_popcount(a); }
static inline uint32_t popc_b64(uint64_t a) { return __builtin_popcountll(a); }
static inline uint32_t clz_b32(uint32_t a) { return a ? __builtin_clz(a) : 32; }
static inline uint32_t clz_b64(uint64_t a) { return a ? __builtin_clzll(a) : 64; }
static inline uint64_t brev_b64(uint64_t a) {
  uint64_t r = 0;
  for (int i = 0; i < 64; i++) r |= (a >> i & 1) << (63 - i);
  return r;
}
static inline uint32_t brev_b32(uint32_t a) { return brev_b64(a) >> 32; }
static inline uint64_t bfi_b64(uint64_t a, uint64_t b, uint32_t from, uint32_t n) {
  if (from >= 64 || !n) return b;
  uint64_t mask = (n >= 64 ? ~0ull : (1ull << n) - 1) << from;
  return (b & ~mask) | (a << from & mask);
}
static inline uint32_t bfi_b32(uint32_t a, uint32_t b, uint32_t from, uint32_t n) { return bfi_b64(a, b, from & 255, n & 255); }
static inline uint32_t bmsk_clamp(uint32_t from, uint32_t n) {
  return from >= 32 ? 0 : (uint32_t)(((n >= 32 ? 0xffffffffull : (1ull << n) - 1)) << from);
}
static inline uint32_t bmsk_wrap(uint32_t from, uint32_t n) { return bmsk_clamp(from & 31, n & 31); }
static inline uint32_t shf_l_wrap(uint32_t a, uint32_t b, uint32_t n) { return (((uint64_t)b << 32 | a) << (n & 31)) >> 32; }
static inline uint32_t shf_r_wrap(uint32_t a, uint32_t b, uint32_t n) { return ((uint64_t)b << 32 | a) >> (n & 31); }
static inline uint32_t shf_l_clamp(uint32_t a, uint32_t b, uint32_t n) { return n >= 32 ? a : shf_l_wrap(a, b, n); }
static inline uint32_t shf_r_clamp(uint32_t a, uint32_t b, uint32_t n) { return n >= 32 ? b : shf_r_wrap(a, b, n); }
static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t select) {
  uint64_t all = (uint64_t)b << 32 | a;
  uint32_t r = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t s = select >> 4 * i, byte = all >> 8 * (s & 7) & 255;
    r |= (s & 8 ? (byte & 128 ? 255u : 0) : byte) << 8 * i;
  }
  return r;
}
static inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t r = 0;
  for (int i = 0; i < 8; i++)
    if (table >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return r;
}
static inline void F_vprintf(Thread *T, uint8_t *result, uint8_t *format, uint8_t *values) {
  const char *text;
  memcpy(&text, format, sizeof text);
  fprintf(stderr, "kernel: %s", text);
  memset(result, 0, 4);
}
static inline void F___assertfail(Thread *T, uint8_t *message, uint8_t *file, uint8_t *line, uint8_t *function, uint8_t *size) {
  const char *text;
  memcpy(&text, message, sizeof text);
  T->calls->fail(T, text);
}
