/* Internal. The contract between a workload on the thread pool and its adapter.
 *
 * A workload keeps IN_FLIGHT operations going: whenever one has completed, the next is begun in its
 * callback. An adapter, NAME.c in this folder, begins operations with peer_begin(), calls
 * on_complete() once for each on the thread of the loop, and returns from peer_run() when there are
 * none left. Every peer has POOL_THREADS threads.
 *
 * The operations: an empty function; the status of a file by its path; 4 KiB of a file that is in
 * the kernel's cache, by its descriptor.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "bench.h"

enum operation { OPERATION_WORK, OPERATION_STAT, OPERATION_READ };

enum { IN_FLIGHT_MAX = 64, POOL_THREADS = 4, READ_SIZE = 4096 };

extern const char *const bench_path; /* a file of READ_SIZE bytes */
extern int bench_fd;                 /* the same, open */

void peer_init(void);

/* Begins one in the given slot, of which the last operation has completed. */
void peer_begin(enum operation operation, uint32_t slot);

/* The operation of the slot has completed. */
void on_complete(uint32_t slot);

void peer_run(void);

#endif
