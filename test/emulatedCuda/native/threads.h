// Runs a translated kernel's blocks one after another, a block's threads by turns (threads.c).
#pragma once
#include "kernel.h"

/** @param name for messages. Ends the process, naming the kernel, when its threads wait for ever or assert. */
void runGrid(const Kernel *kernel, const char *name, const uint32_t grid[3], const uint32_t block[3], uint32_t dynamicShared, const char *params);
