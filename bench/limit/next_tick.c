/* next_tick, the limit: a list of callbacks and nothing round it.
 *
 * Each callback queues the next, as in bench/core/next_tick.c. The callbacks are called through a
 * pointer, as any queue must that does not know them; but nothing says which callback is under way,
 * whether it may be cancelled, or that the loop has to stay alive for it.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "fifo.h"

enum { TICKS = 50000000 };

static struct fifo ticks;
static uint32_t ran;

static void on_tick(struct fifo_task *task)
{
    if (++ran < TICKS)
        fifo_push(&ticks, task);
}

int main(void)
{
    struct fifo_task task = {.cb = on_tick};
    fifo_push(&ticks, &task);
    const uint64_t start_ns = bench_cpu_ns();
    fifo_drain(&ticks);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, ran);
    return EXIT_SUCCESS;
}
