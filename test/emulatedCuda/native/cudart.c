// CUDA's runtime library without a device, for ONNX Runtime's CUDA provider: memory is the host’s, a stream is
// a queue that runs when somebody waits for it. Every call that matters is a line of the file that EMULATED_CUDA_TRACE names.
// What is not here returns 0 (standIns.ts). Struct offsets are those of CUDA 13.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "stream.h"

typedef struct { unsigned x, y, z; } dim3;
enum { outOfMemory = 2, unsupportedInCapture = 900, notFound = 1 };
/** Of a call before, until somebody asks. */
static int failure;

/** One lock for everything: a thread may wait for the device while another one gives it work. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static void unlock(int *held) { pthread_mutex_unlock(&lock); }
/** Until the end of the block. */
#define LOCKED int held __attribute__((cleanup(unlock))) = pthread_mutex_lock(&lock)

static FILE *out;
static long kernels;
static void say(const char *format, ...) {
  LOCKED;
  if (!out) out = fopen(getenv("EMULATED_CUDA_TRACE"), "a");
  if (kernels) fprintf(out, "kernels %ld\n", kernels);
  kernels = 0;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(out, format, arguments);
  va_end(arguments);
  fputc('\n', out);
  fflush(out);
}


typedef struct Block { char *at; size_t bytes; int device; struct Block *next; } Block;
static Block *blocks;
static size_t used, peak;
/** Whether device memory holds nothing: larger models than this machine's memory can be counted, not computed. */
static int hollow(void) { return getenv("EMULATED_CUDA_HOLLOW") != 0; }
static Block *blockOf(const void *p) {
  for (Block *b = blocks; b; b = b->next)
    if ((char *)p >= b->at && (char *)p < b->at + b->bytes) return b;
  return 0;
}
/** Bytes of the device. */
static size_t memory(void) {
  const char *own = getenv("EMULATED_CUDA_MEMORY");
  return own ? strtoull(own, 0, 10) : 80ul << 30;
}
/** What nvidia-smi tells. */
static void tell(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s.used", getenv("EMULATED_CUDA_TRACE"));
  FILE *file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "%zu %zu %zu\n", used >> 20, memory() >> 20, peak >> 20);
  fclose(file);
}
static void *take(size_t bytes, int device) {
  LOCKED;
  Block *b = malloc(sizeof *b);
  size_t room = (bytes + 1023) / 512 * 512;
  void *at = device && hollow() ? mmap(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : aligned_alloc(512, room);
  *b = (Block){at, bytes ? bytes : 1, device, blocks};
  // As it was left.
  if (!device || !hollow()) memset(b->at, 0xA5, bytes);
  blocks = b;
  if (device) {
    used += bytes;
    if (used > peak) peak = used;
    tell();
  }
  return b->at;
}
static void drop(void *p) {
  LOCKED;
  for (Block **b = &blocks; *b; b = &(*b)->next)
    if ((*b)->at == p) {
      Block *gone = *b;
      *b = gone->next;
      if (gone->device) used -= gone->bytes, tell();
      if (gone->device && hollow()) munmap(gone->at, (gone->bytes + 1023) / 512 * 512);
      else memset(gone->at, 0xDD, gone->bytes), free(gone->at);
      free(gone);
      return;
    }
}
static const char *where(const void *p) {
  LOCKED;
  Block *b = blockOf(p);
  return !b ? "pageable" : b->device ? "device" : "pinned";
}

typedef struct Work {
  void *to;
  const void *from;
  size_t bytes;
  /** A copy of pageable memory, made when the call came. */
  void *staged;
  int value;
  void (*call)(void *);
  /** Of a graph, which keeps `staged` for its next launch. */
  int kept;
  struct Work *next;
} Work;
typedef struct { Work *head, *tail; } Queue;
typedef struct Stream {
  Queue queue, recording;
  int capturing;
  /** In order with the default stream. */
  int blocking;
  struct Stream *next;
} Stream;
static Stream legacy;
static Stream *streams;
static Stream *streamOf(void *s) { return (uintptr_t)s < 4 ? &legacy : s; }
static void append(Queue *q, Work w) {
  Work *own = malloc(sizeof w);
  *own = w;
  own->next = 0;
  if (q->tail) q->tail->next = own;
  else q->head = own;
  q->tail = own;
}
static void drain(Stream *s);
/** The default stream waits for every blocking one, and those for it: it runs at once. */
static void drainAll(void) {
  LOCKED;
  for (Stream *each = streams; each; each = each->next)
    if (each->blocking) drain(each);
  drain(&legacy);
}
static void put(void *s, Work w) {
  LOCKED;
  Stream *stream = streamOf(s);
  append(stream->capturing ? &stream->recording : &stream->queue, w);
  if (stream == &legacy) drainAll();
  else if (!stream->capturing && getenv("EMULATED_CUDA_NOW")) drain(stream);
}
void emulateLater(void *stream, void (*work)(void *), const void *data, size_t bytes) {
  // There is nothing to compute with.
  if (hollow()) return;
  put(stream, (Work){.call = work, .staged = memcpy(malloc(bytes), data, bytes)});
}
static void drain(Stream *s) {
  LOCKED;
  while (s->queue.head) {
    Work *w = s->queue.head;
    s->queue.head = w->next;
    if (!w->next) s->queue.tail = 0;
    if (hollow() && !w->call && w->bytes > 1 << 16) ;
    else if (w->call) w->call(w->staged ? w->staged : w->to);
    else if (w->from) memcpy(w->to, w->staged ? w->staged : w->from, w->bytes);
    else memset(w->to, w->value, w->bytes);
    if (!w->kept) free(w->staged);
    free(w);
  }
}

int cudaGetDeviceCount(int *n) { return *n = 1, 0; }
int cudaGetDevice(int *n) { return *n = 0, 0; }
int cudaDriverGetVersion(int *v) { return *v = 13020, 0; }
int cudaRuntimeGetVersion(int *v) { return *v = 13020, 0; }
const char *cudaGetErrorString(int e) {
  return e == unsupportedInCapture ? "not while capturing" : e == outOfMemory ? "out of memory" : "a failure";
}
const char *cudaGetErrorName(int e) { return cudaGetErrorString(e); }
int cudaDeviceGetAttribute(int *v, int a, int d) { return *v = a == 16 ? 132 : a == 75 ? 9 : a == 76 ? 0 : 1024, 0; }
int cudaGetDeviceProperties(char *p, int d) {
  memset(p, 0, 1008);
  strcpy(p, "none");
  *(size_t *)(p + 288) = memory();
  *(size_t *)(p + 296) = 49152;
  *(int *)(p + 304) = 65536;
  *(int *)(p + 308) = 32;
  *(int *)(p + 320) = 1024;
  for (int i = 0; i < 3; i++) ((int *)(p + 324))[i] = 1024, ((int *)(p + 336))[i] = i ? 65535 : INT32_MAX;
  *(int *)(p + 360) = 9;
  *(int *)(p + 384) = 132;
  *(int *)(p + 604) = 2048;
  *(size_t *)(p + 624) = 233472;
  *(size_t *)(p + 672) = 232448;
  return 0;
}
int cudaMemGetInfo(size_t *f, size_t *t) { return *t = memory(), *f = *t - used, 0; }
int cudaFuncGetAttributes(char *a, const void *f) {
  memset(a, 0, 144);
  *(int *)(a + 24) = 1024;
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *f, int b, size_t s, unsigned g) { return *n = 2, 0; }
int cudaGetDriverEntryPointByVersion(const char *s, void **f, unsigned v, unsigned long long g, int *r) {
  *f = 0;
  if (r) *r = notFound;
  return 0;
}
int cudaPointerGetAttributes(char *a, const void *p) {
  LOCKED;
  Block *b = blockOf(p);
  memset(a, 0, 88);
  *(int *)a = !b ? 0 : b->device ? 2 : 1;
  *(const void **)(a + 8) = *(const void **)(a + 16) = p;
  return 0;
}

static int recordings;
int cudaMalloc(void **p, size_t bytes) {
  if (recordings) say("FORBIDDEN cudaMalloc");
  if (used + bytes > memory()) return say("cudaMalloc %zu: out of memory", bytes), *p = 0, failure = outOfMemory;
  say("cudaMalloc %zu", bytes);
  return *p = take(bytes, 1), 0;
}
int cudaMallocHost(void **p, size_t bytes) { return say("cudaMallocHost %zu", bytes), *p = take(bytes, 0), 0; }
int cudaHostAlloc(void **p, size_t bytes, unsigned f) { return cudaMallocHost(p, bytes); }
// It waits for all that may still use it.
static void drainEvery(void);
int cudaFree(void *p) { return say("cudaFree"), drainEvery(), drop(p), 0; }
int cudaFreeHost(void *p) { return drop(p), 0; }

int cudaStreamCreateWithFlags(void **s, unsigned f) { 
  LOCKED;
  Stream *made = calloc(1, sizeof *made);
  made->blocking = !(f & 1);
  made->next = streams;
  return say("cudaStreamCreateWithFlags %u", f), *s = streams = made, 0;
}
int cudaStreamCreate(void **s) { return cudaStreamCreateWithFlags(s, 0); }
int cudaStreamDestroy(void *s) {
  LOCKED;
  say("cudaStreamDestroy"), drain(s);
  for (Stream **each = &streams; *each; each = &(*each)->next)
    if (*each == s) return *each = (*each)->next, free(s), 0;
  return 0;
}
int cudaStreamSynchronize(void *s) {
  if (streamOf(s)->capturing) return say("FORBIDDEN cudaStreamSynchronize"), unsupportedInCapture;
  return say("WAIT cudaStreamSynchronize%s", (uintptr_t)s < 4 ? " of the default stream" : ""), streamOf(s) == &legacy ? drainAll() : drain(streamOf(s)), 0;
}
static void drainEvery(void) {
  LOCKED;
  for (Stream *each = streams; each; each = each->next) drain(each);
  drain(&legacy);
}
int cudaDeviceSynchronize(void) { return say("WAIT cudaDeviceSynchronize"), drainEvery(), 0; }
// An event stands for all that its stream has in hand.
int cudaEventRecord(void **e, void *s) { return *e = streamOf(s), 0; }
int cudaEventSynchronize(void **e) { return say("WAIT cudaEventSynchronize"), *e ? drain(*e) : (void)0, 0; }
int cudaStreamWaitEvent(void *s, void **e, unsigned flags) { return *e && *e != streamOf(s) ? drain(*e) : (void)0, 0; }
int cudaStreamIsCapturing(void *s, int *c) { return *c = streamOf(s)->capturing, 0; }
int cudaLaunchHostFunc(void *s, void (*f)(void *), void *data) {
  say(streamOf(s)->capturing ? "FORBIDDEN cudaLaunchHostFunc" : "cudaLaunchHostFunc");
  return put(s, (Work){.to = data, .call = f}), 0;
}
int cudaMemsetAsync(void *to, int value, size_t bytes, void *s) {
  say("cudaMemsetAsync");
  return put(s, (Work){.to = to, .bytes = bytes, .value = value}), 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *s) {
  const char *source = where(from), *target = where(to);
  int pageable = source[1] == 'a' || target[1] == 'a';
  say("%scudaMemcpyAsync %s to %s %zu%s", pageable && streamOf(s)->capturing ? "FORBIDDEN " : "", source, target, bytes,
      (uintptr_t)s < 4 ? " on the default stream" : "");
  Work w = {.to = to, .from = from, .bytes = bytes};
  if (source[1] == 'a' && !(hollow() && bytes > 1 << 16)) w.staged = memcpy(malloc(bytes), from, bytes);
  put(s, w);
  if (target[1] == 'a') say("WAIT copy to pageable memory"), drain(streamOf(s));
  return 0;
}
int cudaMemcpy2DAsync(char *to, size_t step, const char *from, size_t stride, size_t bytes, size_t rows, int kind, void *s) {
  for (size_t i = 0; i < rows; i++) cudaMemcpyAsync(to + i * step, from + i * stride, bytes, kind, s);
  return 0;
}
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
  say("WAIT cudaMemcpy");
  return drainAll(), hollow() && bytes > 1 << 16 ? 0 : memcpy(to, from, bytes), 0;
}
int cudaMemset(void *to, int value, size_t bytes) { return drainAll(), hollow() && bytes > 1 << 16 ? 0 : memset(to, value, bytes), 0; }

int cudaStreamBeginCapture(void *s, int mode) {
  LOCKED;
  Stream *stream = streamOf(s);
  stream->capturing = 1, recordings++;
  stream->recording = (Queue){0, 0};
  return say("cudaStreamBeginCapture %d", mode), 0;
}
int cudaStreamEndCapture(void *s, void **graph) {
  LOCKED;
  Stream *stream = streamOf(s);
  stream->capturing = 0, recordings--;
  Queue *own = malloc(sizeof *own);
  *own = stream->recording;
  return say("cudaStreamEndCapture"), *graph = own, 0;
}
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) { return *executable = graph, 0; }
int cudaGraphLaunch(void *executable, void *s) {
  LOCKED;
  say("cudaGraphLaunch");
  for (Work *w = ((Queue *)executable)->head; w; w = w->next) w->kept = 1, append(&streamOf(s)->queue, *w);
  return 0;
}

// cudart.kernels.c
int emulateLaunch(const void *function, dim3 grid, dim3 block, void **args, size_t shared, void *stream);
static int launched(const void *f, dim3 g, dim3 b, void **a, size_t n, void *s) {
  LOCKED;
  if ((uintptr_t)s < 4) say("KERNEL on the default stream");
  kernels++;
  int error = emulateLaunch(f, g, b, a, n, s);
  if (error) failure = error;
  return error;
}
int cudaLaunchKernel(const void *f, dim3 g, dim3 b, void **a, size_t n, void *s) { return launched(f, g, b, a, n, s); }
int __cudaLaunchKernel(const void *f, dim3 g, dim3 b, void **a, size_t n, void *s) { return launched(f, g, b, a, n, s); }
int cudaLaunchCooperativeKernel(const void *f, dim3 g, dim3 b, void **a, size_t n, void *s) { return launched(f, g, b, a, n, s); }
int cudaLaunchKernelExC(const char *configuration, const void *f, void **a) {
  struct { dim3 grid, block; size_t shared; void *stream; } c;
  memcpy(&c, configuration, sizeof c);
  return launched(f, c.grid, c.block, a, c.shared, c.stream);
}
int cudaPeekAtLastError(void) { return failure; }
int cudaGetLastError(void) {
  int was = failure;
  return failure = 0, was;
}
static __thread struct { dim3 grid, block; size_t shared; void *stream; } pushed;
unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t n, void *s) {
  pushed.grid = g, pushed.block = b, pushed.shared = n, pushed.stream = s;
  return 0;
}
int __cudaPopCallConfiguration(dim3 *g, dim3 *b, size_t *n, void **s) {
  *g = pushed.grid, *b = pushed.block, *n = pushed.shared, *s = pushed.stream;
  return 0;
}
int __cudaGetKernel(const void **k, const void *f) { return *k = f, 0; }
void **__cudaRegisterFatBinary(void *f) { static void *handle[4]; return handle; }
int cudaEventCreateWithFlags(void **e, unsigned f) { return *e = calloc(1, 8), 0; }
int cudaEventCreate(void **e) { return cudaEventCreateWithFlags(e, 0); }
int cudaEventDestroy(void *e) { return free(e), 0; }
