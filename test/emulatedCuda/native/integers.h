// Integer instructions of a kernel translated from PTX that C has no operator for (PTX ISA 9.7.1, 9.7.2, 9.7.8).
#pragma once
#include <stdint.h>

#define CLAMPED(name, type, low, high) \
  static inline type clamped_##name(__int128 v) { return v < (low) ? (low) : v > (high) ? (high) : (type)v; }
CLAMPED(s8, int8_t, INT8_MIN, INT8_MAX) CLAMPED(s16, int16_t, INT16_MIN, INT16_MAX) CLAMPED(s32, int32_t, INT32_MIN, INT32_MAX)
CLAMPED(s64, int64_t, INT64_MIN, INT64_MAX) CLAMPED(u8, uint8_t, 0, UINT8_MAX) CLAMPED(u16, uint16_t, 0, UINT16_MAX)
CLAMPED(u32, uint32_t, 0, UINT32_MAX) CLAMPED(u64, uint64_t, 0, UINT64_MAX)

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
  from &= 255, n &= 255;
  if (from >= 64 || !n) return b;
  uint64_t mask = (n >= 64 ? ~0ull : (1ull << n) - 1) << from;
  return (b & ~mask) | (a << from & mask);
}
static inline uint32_t bfi_b32(uint32_t a, uint32_t b, uint32_t from, uint32_t n) { return bfi_b64(a, b, from, n); }
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
/** Bytes by the mode that the mnemonic names; `select` is 0 to 3. */
static inline uint32_t prmt_f4e(uint32_t a, uint32_t b, uint32_t select) { return ((uint64_t)b << 32 | a) >> 8 * (select & 3); }
static inline uint32_t prmt_b4e(uint32_t a, uint32_t b, uint32_t select) {
  static const uint16_t pick[] = {0x5670, 0x6701, 0x7012, 0x0123};
  return prmt(a, b, pick[select & 3]);
}
static inline uint32_t prmt_rc8(uint32_t a, uint32_t b, uint32_t select) { return (a >> 8 * (select & 3) & 255) * 0x01010101u; }
static inline uint32_t prmt_ecl(uint32_t a, uint32_t b, uint32_t select) {
  static const uint16_t pick[] = {0x3210, 0x3211, 0x3222, 0x3333};
  return prmt(a, b, pick[select & 3]);
}
static inline uint32_t prmt_ecr(uint32_t a, uint32_t b, uint32_t select) {
  static const uint16_t pick[] = {0x0000, 0x1110, 0x2210, 0x3210};
  return prmt(a, b, pick[select & 3]);
}
static inline uint32_t prmt_rc16(uint32_t a, uint32_t b, uint32_t select) { return (a >> 16 * (select & 1) & 0xffff) * 0x00010001u; }
static inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t r = 0;
  for (int i = 0; i < 8; i++)
    if (table >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return r;
}
/** The sum of four products of bytes and `c`. */
static inline uint32_t dp4a(uint32_t a, uint32_t b, uint32_t c, int signedA, int signedB) {
  for (int i = 0; i < 4; i++) {
    int32_t x = a >> 8 * i & 255, y = b >> 8 * i & 255;
    c += (uint32_t)((signedA ? (int8_t)x : x) * (signedB ? (int8_t)y : y));
  }
  return c;
}
