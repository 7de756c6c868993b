/* Internal. The part of sys.h for threads that wait to be called by name.
 *
 * A condition variable wakes any of those that wait for it, and in turn, so that of eight threads
 * with work for one all eight stay busy now and then. A thread that waits for a word of its own can
 * be chosen: the pool takes the one that fell idle last.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_PARK_H
#define LOOP_SYS_PARK_H

#include "sys.h"

#include <linux/futex.h>
#include <sys/syscall.h>

/* Waits while *word is value, until somebody unparks it, or until deadline_ns of CLOCK_MONOTONIC
 * (UINT64_MAX: for ever). May return for no reason: look at the word again. -ETIMEDOUT: it is
 * late. */
static inline int sys_park(uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                .tv_nsec = (long)(deadline_ns % 1000000000)};
    return sys_result((int)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                                   deadline_ns == UINT64_MAX ? NULL : &deadline, NULL,
                                   FUTEX_BITSET_MATCH_ANY));
}

/* Of the word only the address matters: it may have been given back meanwhile. */
static inline void sys_unpark(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
