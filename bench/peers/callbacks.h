/* Internal. The contract between a workload and its adapter.
 *
 * A workload is one source file, compiled once for every peer. It includes "peer.h", which the
 * include path finds in bench/peers/PEER/. Every peer.h has the same names, all static inline:
 *
 *   peer_loop      init, init_threaded (other threads will wake it), turn (never sleeps), run
 *                  (until peer_stop), stop, update_now, run_inside
 *   peer_timeout   a duration in the peer's own unit, worked out before the clock starts
 *   peer_timer     init, start, restart (of an active timer), stop
 *   peer_immediate, peer_next_tick, struct peer_task and peer_post, struct peer_async
 *
 * and leaves out what the library cannot do; bench/core/meson.build then leaves out the pair.
 *
 * Every library has its own type of callback. The adapter's callback calls one of the functions
 * below, and the workload defines those that it uses; callbacks.c stands in for the others. As the
 * names are fixed and all is one translation unit, the compiler joins the two: no peer pays for an
 * indirect call that its user would not pay.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_CALLBACKS_H
#define BENCH_CALLBACKS_H

struct peer_async;
struct peer_task;

/* Once, in a callback of the loop, during peer_run_inside(): where programs really start timers.
 * Some peers only cache their clock inside. */
void on_inside(void);

/* A timer fired. */
void on_timer(void);

/* One turn after peer_immediate(), which may be called again in it. */
void on_immediate(void);

/* After the callback that called peer_next_tick(), which may be called again in it. */
void on_tick(void);

/* On the thread of the loop, once for each peer_post(). The task may be posted again. */
void on_posted(struct peer_task *task);

/* On the thread of the loop, once or more after peer_async_send(), fewer times than there were
 * sends. */
void on_async(struct peer_async *async);

#endif
