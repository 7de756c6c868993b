/* async_flood: one thread sends to one async handle as fast as it can while the loop runs.
 *
 * Any number of sends before the callback make one callback, so that most of them should cost next
 * to nothing. Rounds of five million go on until enough time has passed. A last send, behind a
 * flag that the callback reads, ends the loop: it also shows that no wake-up was lost.
 *
 * One operation is one send, the CPU time of both threads together.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SENDS = 5000000 };

static struct peer_loop loop;
static struct peer_async async;
static atomic_bool finished;

void on_async(struct peer_async *woken)
{
    (void)woken;
    if (atomic_load(&finished))
        peer_stop(&loop);
}

static void *send_all(void *arg)
{
    uint64_t *sent = arg;
    const uint64_t start_ns = bench_cpu_ns();
    do {
        for (uint32_t i = 0; i < SENDS; i++)
            peer_async_send(&async);
        *sent += SENDS;
    } while (bench_cpu_ns() - start_ns < bench_round_ns);
    atomic_store(&finished, true);
    peer_async_send(&async);
    return NULL;
}

int main(void)
{
    peer_loop_init_threaded(&loop);
    peer_async_init(&loop, &async);
    uint64_t sent = 0;
    pthread_t sender;
    const uint64_t start_ns = bench_cpu_ns();
    bench_require(pthread_create(&sender, NULL, send_all, &sent) == 0, "pthread_create");
    peer_run(&loop);
    bench_require(pthread_join(sender, NULL) == 0, "pthread_join");
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, sent);
    return EXIT_SUCCESS;
}
