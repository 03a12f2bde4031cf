// Products of small matrices that the lanes of a warp hold together (PTX ISA, "Matrix multiply-accumulate operation using mma
// instruction", fragments of m16n8k8 and m16n8k16), and the loads that lay matrices out so.
#pragma once
#include "kernel.h"

/** Where the matrices' rows lie comes from lanes 8i…8i+7 for matrix i; a lane takes two neighbours of each. */
static inline void loadMatrices(Thread *T, char *row, int count, int transposed, uint32_t *to) {
  uint64_t own = (uint64_t)row;
  uint32_t words[2] = {own, own >> 32};
  const uint32_t(*all)[8] = T->calls->gather(T, words, 2);
  uint32_t lane = T->thread & 31, at[4];
  for (int i = 0; i < count; i++) {
    uint16_t pair[2];
    for (int j = 0; j < 2; j++) {
      uint32_t r = transposed ? 2 * (lane & 3) + j : lane >> 2, c = transposed ? lane >> 2 : 2 * (lane & 3) + j;
      const uint32_t *from = all[8 * i + r];
      pair[j] = ((const uint16_t *)((uint64_t)from[1] << 32 | from[0]))[c];
    }
    at[i] = (uint32_t)pair[1] << 16 | pair[0];
  }
  memcpy(to, at, 4 * count);
}

/** D = A·B + C of 16-bit numbers in fp32: 16 × 8·halves by 8·halves × 8. @param brain whether they are bfloat16. */
static inline void multiplyMatrices(Thread *T, const uint32_t *a, const uint32_t *b, const float c[4], float d[4], int halves, int brain) {
  uint32_t words[6] = {a[0], a[1], 0, 0, b[0]};
  if (halves == 2) words[2] = a[2], words[3] = a[3], words[5] = b[1];
  const uint32_t(*all)[8] = T->calls->gather(T, words, 6);
  uint32_t lane = T->thread & 31;
  float sums[4];
  for (int i = 0; i < 4; i++) {
    uint32_t low = i >> 1, column = 2 * (lane & 3) + (i & 1);
    float sum = 0;
    for (uint32_t t = 0; t < 4; t++) {
      const uint32_t *x = all[4 * (lane >> 2) + t], *y = all[4 * column + t];
      for (int half_ = 0; half_ < halves; half_++)
        for (int j = 0; j < 2; j++) {
          uint16_t p = x[low + 2 * half_] >> 16 * j, q = y[4 + half_] >> 16 * j;
          sum += brain ? bfloat(p) * bfloat(q) : half(p) * half(q);
        }
    }
    sums[i] = sum + c[i];
  }
  memcpy(d, sums, sizeof sums);
}
