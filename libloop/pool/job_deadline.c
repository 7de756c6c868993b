/* Deadlines of jobs: a private timer in each request, in the user's half.
 *
 * It is made when the caller sets the first deadline, and stopped as soon as the outcome is
 * decided. A later deadline moves nothing: the timer fires when the earlier one was, finds that it
 * is not time yet, and is armed again. What happens then is a cancel with another number: the
 * request completes in the pending phase, and a thread that is stuck stays where it is.
 *
 * The timer cannot be in the pool's half, the job: look-ups share one, and a whole file takes many.
 *
 * SPDX-License-Identifier: MIT */
#include "job_deadline.h"

static void on_due(struct loop_timer *timer)
{
    struct loop_job_deadline *deadline = loop_container_of(timer, struct loop_job_deadline, timer);
    if (deadline->due_ns > timer->handle.loop->now_ns)
        deadline_by(timer, deadline->due_ns); /* it was put off */
    else
        deadline->request->ops->cancel(deadline->request, -ETIMEDOUT);
}

void job_deadline_set(struct loop_job_deadline *deadline, struct loop_request *request,
                      uint64_t due_ns)
{
    if (!deadline->request)
        deadline_init(request->loop, &deadline->timer, on_due);
    deadline->request = request;
    deadline->due_ns = due_ns;
    deadline_by(&deadline->timer, due_ns);
}

void job_deadline_end(struct loop_job_deadline *deadline)
{
    if (deadline->request)
        loop_timer_stop(&deadline->timer);
    deadline->request = NULL;
}
