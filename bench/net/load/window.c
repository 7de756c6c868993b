/* The measured window: opens when the server is warm, closes a while later.
 *
 * Warm means that its memory is there, the kernel's queues are full and, for a server in
 * JavaScript, its code is compiled.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

static const uint64_t warm_up_ns = 200000000;
static const uint64_t measure_ns = 400000000;

static void take_marks(struct window *window, uint64_t operations)
{
    window->cpu_ns = bench_clock_ns(window->subject->clock) - window->cpu_ns;
    window->wall_ns = bench_wall_ns() - window->wall_ns;
    window->operations = operations - window->operations;
}

bool window_goes_on(struct window *window, uint64_t operations)
{
    if (window->operations_max > 0)
        return operations < window->operations_max;
    const uint64_t now_ns = bench_wall_ns();
    if (window->until_ns == 0)
        window->until_ns = now_ns + warm_up_ns;
    if (now_ns < window->until_ns)
        return true;
    take_marks(window, operations); /* the second time it leaves the differences */
    window->open = !window->open;
    window->until_ns = now_ns + measure_ns;
    return window->open;
}
