// What a kernel translated from PTX (ptx/) is made of: what it knows of its launch, and how it meets the threads beside it.
#pragma once
#include "floats.h"
#include "integers.h"
#include <stdio.h>

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
  WARP_BARRIER, GATHER, ELECT
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

static inline void F_vprintf(Thread *T, uint8_t *result, uint8_t *format, uint8_t *values) {
  const char *text;
  memcpy(&text, format, sizeof text);
  fprintf(stderr, "kernel: %s", text);
  memset(result, 0, 4);
}
static inline void F___assertfail(Thread *T, uint8_t *message, uint8_t *file, uint8_t *line, uint8_t *function, uint8_t *size) {
  static char said[2048];
  const char *texts[3];
  uint32_t number;
  memcpy(texts, message, 8), memcpy(texts + 1, file, 8), memcpy(texts + 2, function, 8), memcpy(&number, line, 4);
  snprintf(said, sizeof said, "%s:%u: %s: assertion %s", texts[1], number, texts[2], texts[0]);
  T->calls->fail(T, said);
}
