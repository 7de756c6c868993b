/* An interval whose callback blocks for four periods runs once more, late, and not four times.
 *
 * It is armed again before its callback, for one period from then. When the callback ends that
 * deadline has passed, so it runs at the end of the turn, n=2, and the periods in between are lost:
 * a program that is late already is not given a burst.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static int n;
static loop_id iv;

static void immediate2(void *arg)
{
    (void)arg;
    printf("immediate2 n=%d\n", n);
    loop_clear(&loop, iv);
}

static void immediate1(void *arg)
{
    (void)arg;
    printf("immediate1 n=%d\n", n);
    loop_set_immediate(&loop, immediate2, NULL);
}

static void interval(void *arg)
{
    (void)arg;
    if (++n == 1) {
        busy(200);
        loop_set_immediate(&loop, immediate1, NULL);
    }
}

int main(void)
{
    begin_script(NULL);
    iv = loop_set_interval(&loop, 50 * LOOP_MS, interval, NULL);
    run_loop();
    return end_script();
}
