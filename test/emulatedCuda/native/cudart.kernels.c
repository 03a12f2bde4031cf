// Kernels by the address that the provider launches: their names as it registers them, their code translated from PTX when they are
// launched first. EMULATED_CUDA_KERNELS names the folder of translated ones, EMULATED_CUDA_TRANSLATE the program that makes one
// (`program name file`); without it kernels do nothing.
#define _GNU_SOURCE
#include "stream.h"
#include "threads.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct { unsigned x, y, z; } dim3;
typedef struct Entry {
  const void *function;
  const char *name;
  const Kernel *kernel;
} Entry;
static Entry *entries;
static size_t room, count;
static Entry *slot(const void *function) {
  size_t i = ((uintptr_t)function >> 4) * 0x9E3779B97F4A7C15ull >> 20;
  while (entries[i & (room - 1)].function && entries[i & (room - 1)].function != function) i++;
  return entries + (i & (room - 1));
}
void __cudaRegisterFunction(void **handle, const void *function, char *code, const char *name) {
  if (2 * count >= room) {
    Entry *old = entries;
    size_t had = room;
    room = room ? 2 * room : 1 << 16;
    entries = calloc(room, sizeof *entries);
    for (size_t i = 0; i < had; i++)
      if (old[i].function) *slot(old[i].function) = old[i];
    free(old);
  }
  Entry *e = slot(function);
  if (!e->function) count++;
  *e = (Entry){function, name, 0};
}

static const char *inKernel;
static void crashed(int signal) {
  if (inKernel) dprintf(2, "signal %d in kernel %s\n", signal, inKernel);
  _exit(128 + signal);
}

/** The kernel's code; null and a line on stderr where it cannot be had. */
static const Kernel *codeOf(Entry *e) {
  if (e->kernel) return e->kernel;
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char *c = e->name; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
  char path[4096], command[16384];
  snprintf(path, sizeof path, "%s/%016lx.so", getenv("EMULATED_CUDA_KERNELS"), hash);
  if (access(path, R_OK)) {
    snprintf(command, sizeof command, "%s '%s' '%s'", getenv("EMULATED_CUDA_TRANSLATE"), e->name, path);
    if (system(command)) return fprintf(stderr, "no code for kernel %s\n", e->name), NULL;
  }
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library) e->kernel = dlsym(library, "kernel");
  if (!e->kernel) fprintf(stderr, "kernel %s: %s\n", e->name, dlerror());
  return e->kernel;
}

typedef struct {
  const Kernel *kernel;
  const char *name;
  dim3 grid, block;
  uint32_t shared;
  _Alignas(16) char params[];
} Launch;
static void run(void *data) {
  Launch *l = data;
  uint32_t grid[3] = {l->grid.x, l->grid.y, l->grid.z}, block[3] = {l->block.x, l->block.y, l->block.z};
  struct sigaction own = {.sa_handler = crashed}, before;
  sigaction(SIGSEGV, &own, &before);
  inKernel = l->name;
  runGrid(l->kernel, l->name, grid, block, l->shared, l->params);
  inKernel = 0;
  sigaction(SIGSEGV, &before, 0);
}

/** Puts a launch into its stream. Returns CUDA's error, 0 for none. */
int emulateLaunch(const void *function, dim3 grid, dim3 block, void **args, size_t shared, void *stream) {
  enum { invalidConfiguration = 9, invalidDeviceFunction = 98, notSupported = 801 };
  if (!getenv("EMULATED_CUDA_TRANSLATE")) return 0;
  if (!entries || !slot(function)->function) return invalidDeviceFunction;
  Entry *e = slot(function);
  size_t threads = (size_t)block.x * block.y * block.z, blocks = (size_t)grid.x * grid.y * grid.z;
  if (!threads || threads > 1024 || !blocks || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
    fprintf(stderr, "kernel %s: %u x %u x %u blocks of %u x %u x %u threads\n", e->name, grid.x, grid.y, grid.z, block.x, block.y, block.z);
    return invalidConfiguration;
  }
  const Kernel *kernel = codeOf(e);
  if (!kernel) return notSupported;
  size_t bytes = sizeof(Launch) + kernel->bytes;
  Launch *l = calloc(1, bytes);
  *l = (Launch){kernel, e->name, grid, block, shared};
  for (uint32_t i = 0; i < kernel->params; i++) memcpy(l->params + kernel->offsets[i], args[i], kernel->sizes[i]);
  emulateLater(stream, run, l, bytes);
  free(l);
  return 0;
}
