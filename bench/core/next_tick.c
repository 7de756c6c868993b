/* next_tick: a long chain of ticks from one callback, each queueing the next.
 *
 * All run in one drain, behind that callback and before the loop goes on. Only libloop has a tick
 * queue; the limit is a plain list of callbacks, with nothing of a loop round it.
 *
 * One operation is one tick, queued and run.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

enum { TICKS = 50000000 };

static struct peer_loop loop;
static uint32_t ran;

void on_tick(void)
{
    if (++ran < TICKS)
        peer_next_tick(&loop);
}

void on_inside(void)
{
    peer_next_tick(&loop);
}

int main(void)
{
    peer_loop_init(&loop);
    const uint64_t start_ns = bench_cpu_ns();
    peer_run_inside(&loop);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, ran);
    return EXIT_SUCCESS;
}
