/* Work: a function of the user's on the pool, and a callback when it has returned.
 *
 * The function is given data as it was when the work was submitted, and never the request: that is
 * the loop thread's, and after a cancel it may be gone while the function still runs. What the data
 * points to is the caller's care; loop_work_canceled() tells a long function that it may give up.
 *
 * work->job is the link between the two halves. It is there while the pool has the job, and gone
 * once the work was cancelled or abandoned, which is how its completion knows what to tell.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

struct work_job {
    struct loop_job job;
    loop_work_fn fn;
    void *data;
};

static void run(struct loop_job *job)
{
    struct work_job *work_job = loop_container_of(job, struct work_job, job);
    work_job->fn(work_job->data);
}

/* work->job is gone if the work was cancelled. */
static void complete(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    struct loop *loop = request->loop;
    int status = work->job ? 0 : -ECANCELED;
    if (work->job)
        job_free(work->job);
    work->job = NULL;
    if (!work->done)
        return;
    callback_begin(loop, request_subject(request, (loop_function)work->done), 0);
    work->done(work, status);
    callback_end(loop);
}

static void abandon(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    work->job->request = NULL;
    work->job = NULL;
}

static void cancel(struct loop_request *request, int status)
{
    (void)status; /* having no deadlines: -ECANCELED */
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    pool_cancel(work->job);
    work->job = NULL;
}

static const struct loop_request_ops work_ops = {.type = "work",
                                                 .complete = complete,
                                                 .abandon = abandon,
                                                 .cancel = cancel};

int loop_work(struct loop *loop, struct loop_work *work, loop_work_fn fn, loop_work_cb done)
{
    if (!loop || !work || !fn)
        return -EINVAL;
    thread_check(loop, "work");
    request_check(&work->request, &work_ops);
    struct work_job *made = memory_resize(&loop->options.allocator, NULL, sizeof(*made));
    if (!made)
        return -ENOMEM;
    *made = (struct work_job){.job = {.allocator = loop->options.allocator,
                                      .request = &work->request,
                                      .run = run,
                                      .discard = job_free},
                              .fn = fn,
                              .data = work->request.data};
    int error = pool_submit(loop, &made->job);
    if (error) {
        job_free(&made->job);
        return error;
    }
    work->job = &made->job;
    work->done = done;
    request_start(loop, &work->request, &work_ops, (loop_function)done);
    return 0;
}
