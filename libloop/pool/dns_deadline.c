/* When a look-up is given up: a private timer in each request.
 *
 * It is armed only if the caller has set a deadline, and stopped as soon as the outcome is decided.
 * A later deadline moves nothing: the timer fires when the earlier one was, finds that it is not
 * time yet, and is armed again. What happens then is a cancel with another number: the request
 * completes in the pending phase, and a thread that is stuck in the resolver stays there.
 *
 * SPDX-License-Identifier: MIT */
#include "dns.h"

static void on_due(struct loop_timer *timer)
{
    struct loop_dns_deadline *deadline = loop_container_of(timer, struct loop_dns_deadline, timer);
    if (deadline->due_ns > timer->handle.loop->now_ns)
        deadline_by(timer, deadline->due_ns);
    else
        deadline->request->ops->cancel(deadline->request, -ETIMEDOUT);
}

void dns_deadline_init(struct loop_dns_deadline *deadline, struct loop *loop,
                       struct loop_request *request)
{
    deadline_init(loop, &deadline->timer, on_due);
    deadline->request = request;
    deadline->due_ns = LOOP_NEVER;
}

void dns_deadline_set(struct loop_dns_deadline *deadline, uint64_t due_ns)
{
    deadline->due_ns = due_ns;
    deadline_by(&deadline->timer, due_ns);
}

void dns_deadline_end(struct loop_dns_deadline *deadline)
{
    loop_timer_stop(&deadline->timer);
}
