/* The smallest loop: a timer that repeats, and the rule that ends the program.
 *
 *     ./run example timer
 *
 * Expect: three lines, a tenth of a second apart. Nobody stops the loop. Stopping the timer leaves
 * nothing that could call back, so loop_run() returns.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <stdio.h>
#include <stdlib.h>

struct countdown {
    struct loop_timer timer;
    int left;
};

static void on_timer(struct loop_timer *timer)
{
    struct countdown *countdown = loop_container_of(timer, struct countdown, timer);
    printf("%d\n", countdown->left);
    if (--countdown->left == 0)
        loop_timer_stop(timer);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    struct loop loop;
    struct countdown countdown = {.left = 3};
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    loop_timer_init(&loop, &countdown.timer);
    loop_timer_start(&countdown.timer, 100 * LOOP_MS, 100 * LOOP_MS, on_timer);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
