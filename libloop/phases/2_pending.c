/* Phase 2: pending completions, put off so that no callback comes from inside the call it was
 * handed to.
 *
 * Some requests have their outcome at once: work cancelled before it began, a write that the kernel
 * took whole. They are queued here. The queue is run at the head of each turn, and again behind the
 * I/O callbacks of poll, since most of what is put off was put off by them; there in at most eight
 * rounds, so that a callback that always starts the next operation does not hold up the loop (libuv
 * has the same number). What is left then makes the next poll not sleep.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

void pending_run(struct loop *loop)
{
    struct loop_link *ending = &loop->ending;
    list_take(&loop->pending, ending);
    while (!list_empty(ending))
        request_complete(loop_container_of(ending->next, struct loop_request, link));
}

void phase_pending(struct loop *loop)
{
    phase_enter(loop, LOOP_PHASE_PENDING);
    pending_run(loop);
}
