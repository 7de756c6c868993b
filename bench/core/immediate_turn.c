/* immediate_turn: a chain of immediates, each queueing the next.
 *
 * As an immediate queued by an immediate runs one turn later, each turn polls once, without
 * sleeping, and runs one callback. Not every peer has immediates; the adapters say what comes
 * nearest: called once, after the next poll.
 *
 * One operation is one turn with its callback.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

enum { TURNS = 2000000 };

static struct peer_loop loop;
static uint32_t ran;

void on_immediate(void)
{
    if (++ran < TURNS)
        peer_immediate(&loop);
    else
        peer_stop(&loop);
}

int main(void)
{
    peer_loop_init(&loop);
    peer_immediate(&loop);
    const uint64_t start_ns = bench_cpu_ns();
    peer_run(&loop);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, ran);
    return EXIT_SUCCESS;
}
