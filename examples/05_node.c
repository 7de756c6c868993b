/* The same in Node's words: a program to read beside the JavaScript that it stands for.
 *
 *     ./run example node
 *
 *     setTimeout(() => console.log('timeout'), 0)         loop_set_timeout(…)
 *     setImmediate(() => console.log('immediate'))        loop_set_immediate(…)
 *     queueMicrotask(() => console.log('microtask'))      loop_queue_microtask(…)
 *     process.nextTick(() => console.log('tick'))         loop_process_next_tick(…)
 *     console.log('main')
 *
 * Expect: main, tick, microtask, and then timeout and immediate in either order: a timeout of 0 ms
 * is one of 1 ms, and whether that is over when the loop begins is up to the machine. In Node too.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <stdio.h>
#include <stdlib.h>

static void log_line(void *text)
{
    printf("%s\n", (const char *)text);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    static char timeout[] = "timeout", immediate[] = "immediate", microtask[] = "microtask";
    static char tick[] = "tick";
    struct loop loop;
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    bool all = loop_set_timeout(&loop, 0, log_line, timeout) &&
               loop_set_immediate(&loop, log_line, immediate) &&
               loop_queue_microtask(&loop, log_line, microtask) &&
               loop_process_next_tick(&loop, log_line, tick);
    if (!all)
        return EXIT_FAILURE; /* out of memory */
    printf("main\n");
    loop_run(&loop, LOOP_RUN_DEFAULT);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
