/* Internal. The contract between the spawning of processes and its adapter, spawn_NAME.c.
 *
 * spawn_one() starts /bin/true with /dev/null for what it reads and writes, and runs the loop until
 * its end has been told. The handle is used again, or closed, as the peer's manual has it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include "bench.h"

void spawn_init(void);
void spawn_one(void);

#endif
