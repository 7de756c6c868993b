/* Internal. What the twins of Node's scenarios share: the loop that a script has without saying so,
 * and the few words of the scripts that C and loop/node.h do not have.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TESTS_ORDER_H
#define LOOP_TESTS_ORDER_H

#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct loop loop;

static inline void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    exit(1);
}

/* Lines come out one by one, so that a twin that hangs shows how far it came. */
static inline void begin_script(const struct loop_options *options)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(loop_init(&loop, options), "loop_init");
}

/* What Node does when the last line of a script has run. */
static inline void run_loop(void)
{
    must(loop_run(&loop, LOOP_RUN_DEFAULT), "loop_run");
}

static inline int end_script(void)
{
    must(loop_fini(&loop), "loop_fini");
    return 0;
}

/* () => log('tick1') is print, line("tick1"): the argument is only read. */
static inline void print(void *text)
{
    puts(text);
}

static inline void *line(const char *text)
{
    return (void *)(uintptr_t)text;
}

static inline uint64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * LOOP_SEC + (uint64_t)time.tv_nsec;
}

static inline void busy(uint64_t ms)
{
    uint64_t end_ns = clock_ns() + ms * LOOP_MS;
    while (clock_ns() < end_ns)
        continue;
}

#endif
