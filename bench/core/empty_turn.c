/* empty_turn: run the loop for one turn that never sleeps and finds nothing to do.
 *
 * One timer, an hour away, keeps the loop alive; nothing else is there. This is the fixed price of
 * a turn, which a busy server pays once for each batch of events.
 *
 * One operation is one turn.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

enum { TURNS = 2000000, HOUR_MS = 3600000 };

static struct peer_loop loop;
static struct peer_timer far;

void on_timer(void)
{
    bench_require(false, "an hour had not passed");
}

int main(void)
{
    peer_loop_init(&loop);
    peer_timer_init(&loop, &far);
    const struct peer_timeout hour = peer_timeout(HOUR_MS);
    peer_update_now(&loop);
    peer_timer_start(&loop, &far, &hour);
    peer_turn(&loop); /* the first tells the kernel what there is */
    const uint64_t start_ns = bench_cpu_ns();
    for (uint32_t i = 0; i < TURNS; i++)
        peer_turn(&loop);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, TURNS);
    return EXIT_SUCCESS;
}
