// The threads of a block as fibers: each runs until it meets the others at a barrier or in a warp, and waits there for its turn.
#include "threads.h"
#include <stdlib.h>
#include <sys/mman.h>

enum { stackBytes = 256 << 10, most = 1024 };
enum { READY, WAITING, DONE };
typedef struct Fiber {
  Thread thread;
  void *sp;
  int state;
  /** Where it waits: the barrier's number, or -1 in its warp. */
  int at;
  // What it brought.
  uint32_t mask;
  int kind;
  uint64_t value;
  uint32_t b, c;
  uint32_t words[8];
  // What it takes away.
  uint64_t result;
  uint8_t found;
} Fiber;
static Fiber fibers[most];
static char *stacks;
static void *scheduler;
static Fiber *current;
static const Kernel *running;
static const char *runningName;
static uint32_t alive;
enum { barriers = 16 };
/** Threads at each barrier, and how many open it where its instruction says so. */
static uint32_t waitingAt[barriers], expectedAt[barriers];

void swapStacks(void **save, void *load);
__asm__(".text\n.globl swapStacks\n.hidden swapStacks\n.type swapStacks,@function\nswapStacks:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

static void die(const char *why) {
  Grid *g = fibers[0].thread.grid;
  fprintf(stderr, "kernel %s, block %u %u %u: %s\n", runningName, g->ctaid[0], g->ctaid[1], g->ctaid[2], why);
  fflush(stderr);
  abort();
}
static void leave(Fiber *f, int state) {
  f->state = state;
  swapStacks(&f->sp, scheduler);
}

/** The lanes of its warp that wait for the same others; done ones count as there. */
static int gathered(Fiber *f) {
  Fiber *warp = fibers + (f->thread.thread & ~31u);
  uint32_t lanes = f->thread.grid->threads - (f->thread.thread & ~31u);
  for (uint32_t lane = 0; lane < 32; lane++) {
    if (!(f->mask >> lane & 1) || lane >= lanes || warp[lane].state == DONE) continue;
    if (warp[lane].state != WAITING || warp[lane].at != -1 || warp[lane].mask != f->mask) return 0;
  }
  return 1;
}
/** By turns: a lane brings words for the one after the next when all have read this one. */
static uint32_t gatheredWords[most / 32][2][32][8];
static uint8_t turns[most / 32];
static void resolve(Fiber *f) {
  Fiber *warp = fibers + (f->thread.thread & ~31u);
  uint32_t lanes = f->thread.grid->threads - (f->thread.thread & ~31u), here = 0, set = 0;
  uint64_t sum = 0, all = ~0ull, any = 0, odd = 0;
  uint32_t low = ~0u, high = 0;
  int32_t lowest = INT32_MAX, highest = INT32_MIN;
  for (uint32_t lane = 0; lane < 32 && lane < lanes; lane++) {
    if (!(f->mask >> lane & 1) || warp[lane].state == DONE) continue;
    if (warp[lane].kind != f->kind) die("lanes of one mask meet at different instructions");
    uint32_t v = warp[lane].value;
    here |= 1u << lane;
    if (warp[lane].value) set |= 1u << lane;
    sum += v, all &= v, any |= v, odd ^= v;
    if (v < low) low = v;
    if (v > high) high = v;
    if ((int32_t)v < lowest) lowest = v;
    if ((int32_t)v > highest) highest = v;
  }
  uint32_t number = f->thread.thread / 32;
  if (f->kind == GATHER) turns[number] ^= 1;
  for (uint32_t lane = 0; lane < 32 && lane < lanes; lane++) {
    if (!(here >> lane & 1)) continue;
    Fiber *own = warp + lane;
    uint32_t segment = own->c >> 8 & 31, clamp = own->c & 31, b = own->b & 31;
    uint32_t least = lane & segment, last = least | (clamp & ~segment);
    int64_t from = lane;
    uint32_t same = 0;
    own->found = 1;
    switch (own->kind) {
      case SHUFFLE_UP: from = (int64_t)lane - b, own->found = from >= (int64_t)last; break;
      case SHUFFLE_DOWN: from = lane + b, own->found = from <= last; break;
      case SHUFFLE_BFLY: from = lane ^ b, own->found = from <= last; break;
      case SHUFFLE_IDX: from = least | (b & ~segment), own->found = from <= last; break;
      case VOTE_ANY: own->result = set != 0; continue;
      case VOTE_ALL: own->result = set == here; continue;
      case VOTE_UNI: own->result = set == here || set == 0; continue;
      case VOTE_BALLOT: own->result = set; continue;
      case MATCH_ANY:
      case MATCH_ALL:
        for (uint32_t other = 0; other < 32 && other < lanes; other++)
          if (here >> other & 1 && warp[other].value == own->value) same |= 1u << other;
        own->found = same == here;
        own->result = own->kind == MATCH_ANY || own->found ? same : 0;
        continue;
      case REDUCE_ADD: own->result = (uint32_t)sum; continue;
      case REDUCE_MIN: own->result = low; continue;
      case REDUCE_MAX: own->result = high; continue;
      case REDUCE_MIN_SIGNED: own->result = (uint32_t)lowest; continue;
      case REDUCE_MAX_SIGNED: own->result = (uint32_t)highest; continue;
      case REDUCE_AND: own->result = (uint32_t)all; continue;
      case REDUCE_OR: own->result = (uint32_t)any; continue;
      case REDUCE_XOR: own->result = (uint32_t)odd; continue;
      case ELECT: own->result = __builtin_ctz(here), own->found = own->result == lane; continue;
      case GATHER:
        memcpy(gatheredWords[number][turns[number]][lane], own->words, sizeof own->words);
        own->result = turns[number];
        continue;
      default: continue;
    }
    if (!own->found) from = lane;
    // A lane that is not there hands over nothing in particular.
    own->result = here >> from & 1 ? warp[from].value : 0xBADBADBADull;
  }
  for (uint32_t lane = 0; lane < 32; lane++)
    if (here >> lane & 1) warp[lane].state = READY;
}
static uint64_t exchange(Thread *t, int kind, uint32_t mask, uint64_t value, uint32_t b, uint32_t c, uint8_t *found) {
  Fiber *f = (Fiber *)t;
  f->at = -1, f->kind = kind, f->mask = mask, f->value = value, f->b = b, f->c = c;
  if (!(mask >> (t->thread & 31) & 1)) die("a lane meets others without itself in the mask");
  f->state = WAITING;
  if (gathered(f)) resolve(f);
  if (f->state == WAITING) leave(f, WAITING);
  return *found = f->found, f->result;
}

typedef const uint32_t (*Words)[8];
static Words gather(Thread *t, const uint32_t *words, int count) {
  Fiber *f = (Fiber *)t;
  uint8_t found;
  memcpy(f->words, words, count * sizeof *words);
  return gatheredWords[t->thread / 32][exchange(t, GATHER, ~0u, 0, 0, 0, &found)];
}

/** Lets the threads at a barrier go on when all that it waits for are there. */
static void openFull(uint32_t id) {
  uint32_t waiting = waitingAt[id], set = 0, threads = fibers[0].thread.grid->threads;
  if (!waiting || waiting < (expectedAt[id] ? expectedAt[id] : alive)) return;
  waitingAt[id] = 0;
  for (uint32_t i = 0; i < threads; i++)
    if (fibers[i].state == WAITING && fibers[i].at == (int)id) set += fibers[i].value != 0;
  for (uint32_t i = 0; i < threads; i++) {
    Fiber *f = fibers + i;
    if (f->state != WAITING || f->at != (int)id) continue;
    f->result = f->kind == BARRIER_OR ? set != 0 : f->kind == BARRIER_AND ? set == waiting : set;
    f->state = READY;
  }
}
static uint32_t barrier(Thread *t, uint32_t id, uint32_t threads, uint32_t value, int kind) {
  Fiber *f = (Fiber *)t;
  if (id >= barriers) die("a barrier's number is 0 to 15");
  if (waitingAt[id] && threads != expectedAt[id]) die("threads wait at one barrier for different numbers of others");
  f->at = id, f->value = value, f->kind = kind, f->state = WAITING;
  waitingAt[id]++, expectedAt[id] = threads;
  openFull(id);
  if (f->state == WAITING) leave(f, WAITING);
  return f->result;
}
static uint32_t active(Thread *t) { return 1u << (t->thread & 31); }
static void yield(Thread *t) { leave((Fiber *)t, READY); }
static void finish(Thread *t) {
  leave((Fiber *)t, DONE);
  abort();
}
static void fail(Thread *t, const char *why) {
  die(why);
  abort();
}
static const Calls calls = {barrier, exchange, gather, active, yield, finish, fail};

static void start(void) {
  running->body(&current->thread);
  finish(&current->thread);
}
static void *freshStack(uint32_t i) {
  // At different places in their pages: else all of them fall on the same lines of the processor's caches.
  void **top = (void **)(stacks + (size_t)(i + 1) * stackBytes - i % 61 * 1088) - 2;
  *top = (void *)start;
  memset(top - 6, 0, 6 * sizeof *top);
  return top - 6;
}

/** Says where threads wait that nobody lets go on. */
static void stuck(uint32_t threads) {
  static char text[1024];
  int length = snprintf(text, sizeof text, "its threads wait for ever:");
  for (uint32_t id = 0; id < barriers; id++)
    if (waitingAt[id]) length += snprintf(text + length, sizeof text - length, " %u at barrier %u;", waitingAt[id], id);
  uint32_t warps = 0;
  for (uint32_t i = 0; i < threads; i++) warps += fibers[i].state == WAITING && fibers[i].at == -1;
  if (warps) length += snprintf(text + length, sizeof text - length, " %u for lanes of their warps;", warps);
  snprintf(text + length, sizeof text - length, " %u of %u have not ended", alive, threads);
  die(text);
}
static void runBlock(uint32_t threads) {
  alive = threads;
  memset(waitingAt, 0, sizeof waitingAt);
  while (alive) {
    int moved = 0;
    for (uint32_t i = 0; i < threads; i++) {
      Fiber *f = fibers + i;
      if (f->state != READY) continue;
      moved = 1;
      current = f;
      swapStacks(&scheduler, f->sp);
      if (f->state != DONE) continue;
      alive--;
      // Those who waited for it, too.
      for (uint32_t lane = i & ~31u; lane < (i | 31u) + 1 && lane < threads; lane++)
        if (fibers[lane].state == WAITING && fibers[lane].at == -1 && gathered(fibers + lane)) resolve(fibers + lane);
      for (uint32_t id = 0; id < barriers; id++) openFull(id);
    }
    if (!moved) stuck(threads);
  }
}

static void oneByOne(void) { die("a thread without a stack of its own meets others"); }
static const Calls alone = {(void *)oneByOne, (void *)oneByOne, (void *)oneByOne, active, (void *)oneByOne, (void *)oneByOne, fail};

void runGrid(const Kernel *kernel, const char *name, const uint32_t grid[3], const uint32_t block[3], uint32_t dynamicShared, const char *params) {
  static char *shared;
  static size_t room;
  // Dynamic shared memory begins where any of its variables may.
  uint32_t offset = (kernel->staticShared + 127) & ~127u;
  size_t bytes = offset + dynamicShared + 16;
  if (bytes > room) {
    free(shared);
    shared = aligned_alloc(1024, room = (bytes + 1023) & ~1023ul);
  }
  if (!stacks) stacks = mmap(0, (size_t)most * stackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  uint32_t threads = block[0] * block[1] * block[2];
  Grid g = {{0}, {block[0], block[1], block[2]}, {grid[0], grid[1], grid[2]}, threads, offset, dynamicShared, bytes, shared, params};
  running = kernel, runningName = name;
  fibers[0].thread.grid = &g;
  if (threads > most) die("more than 1024 threads");
  for (g.ctaid[2] = 0; g.ctaid[2] < grid[2]; g.ctaid[2]++)
    for (g.ctaid[1] = 0; g.ctaid[1] < grid[1]; g.ctaid[1]++)
      for (g.ctaid[0] = 0; g.ctaid[0] < grid[0]; g.ctaid[0]++) {
        // As the block before left it, at best.
        memset(shared, 0xA5, bytes);
        for (uint32_t i = 0; i < threads; i++) {
          Thread t = {{i % block[0], i / block[0] % block[1], i / (block[0] * block[1])}, i, &g, kernel->meets ? &calls : &alone};
          if (kernel->meets) fibers[i] = (Fiber){.thread = t, .sp = freshStack(i), .state = READY};
          else kernel->body(&t);
        }
        if (kernel->meets) runBlock(threads);
      }
}
