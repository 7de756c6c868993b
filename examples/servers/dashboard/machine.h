/* What the machine is doing, as /proc tells it.
 *
 * Files of /proc are made by the kernel while they are read, which takes as long as it takes: so
 * they are read on a thread of the pool, and the loop does not wait. What is read are totals since
 * the machine was started; rates are differences of two readings, and are made by whoever draws.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

struct machine {
    uint64_t taken_ns; /* the monotonic clock */

    /* /proc/stat, in ticks of all processors together */
    uint64_t user;   /* programs, of any priority */
    uint64_t system; /* the kernel and its interrupts */
    uint64_t disk;   /* nobody: programs wait for a disk */
    uint64_t ticks;  /* all of them, the idle ones too */

    /* /proc/meminfo, bytes */
    uint64_t memory;
    uint64_t memory_free; /* could be had without swapping */
    uint64_t swap_used;

    double load[3]; /* /proc/loadavg: of 1, 5 and 15 minutes */

    /* /proc/net/dev, bytes of all interfaces but the machine's own loop */
    uint64_t received;
    uint64_t sent;
};

/* Blocks. What cannot be read stays 0. */
void machine_read(struct machine *machine);

#endif
