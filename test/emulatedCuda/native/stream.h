// What the stand-ins for CUDA's libraries share: a stream is a queue that runs when somebody waits for it.
#pragma once
#include <stddef.h>

/** Runs `work` on a copy of `data` (`bytes` long) in its turn on `stream`; a recorded one at each launch of its graph. */
void emulateLater(void *stream, void (*work)(void *), const void *data, size_t bytes);
