/* Work: a function of the user's on a pool.
 *
 * The function is given data as it was when the work was submitted, and never the request: that is
 * the loop thread's, and after a cancel it may be gone while the function still runs. What the data
 * points to is the caller's care; loop_work_canceled() tells a long function that it may give up.
 * With a release callback the caller is told when nobody will touch the data any more. That may be
 * long behind done, so the record of it is in the pool's half: the request is the caller's again at
 * done, as every request is. An alternative not taken is to keep the request until the release,
 * which would make one rule for it and another for all others. [DOC: release]
 *
 * work->job is the link between the two halves. It is there while the pool has the job for the
 * request, and gone once the work was cancelled.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"
#include "job_deadline.h"
#include "lanes.h"

/* The pool's half of work; and, with a release, what is left when the user's half is gone: a
 * request of its own, so that loop_alive(), loop_fini() and a fork treat it as any other. */
struct work_job {
    struct loop_job job;
    loop_work_fn fn;
    void *data;
    loop_work_release_cb release; /* NULL: nobody is told */
    struct loop_request held;     /* until then, once the work was cancelled */
    unsigned needed_by;           /* the pool, and the release; nobody: it is freed */
};

static struct work_job *work_job_of(struct loop_job *job)
{
    return loop_container_of(job, struct work_job, job);
}

static void let_go(struct loop_job *job)
{
    if (--work_job_of(job)->needed_by == 0)
        job_free(job);
}

static void run(struct loop_job *job)
{
    struct work_job *work_job = work_job_of(job);
    work_job->fn(work_job->data);
}

/* Comes home. A release waits for the pending phase, since the callback of the cancel, which is
 * first, may wait there still. */
static void arrive(struct loop_job *job)
{
    if (job->request == &work_job_of(job)->held)
        request_defer(job->request);
    else
        request_complete(job->request);
    let_go(job);
}

static void call_release(struct loop *loop, struct subject subject, struct work_job *job)
{
    subject.callback = (loop_function)job->release;
    callback_begin(loop, subject, 0);
    job->release(job->data);
    callback_end(loop);
    let_go(&job->job);
}

/* work->job is gone if the work was cancelled. The work itself may be, behind done. */
static void complete(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    struct loop *loop = request->loop;
    struct loop_job *job = work->job;
    struct subject subject = request_subject(request, (loop_function)work->done);
    job_deadline_end(&work->deadline);
    work->job = NULL;
    if (work->done) {
        callback_begin(loop, subject, 0);
        work->done(work, work->status);
        callback_end(loop);
    }
    if (job && work_job_of(job)->release)
        call_release(loop, subject, work_job_of(job));
}

/* A thread that had it is gone, and lets go of nothing any more: with a release the job stays, to
 * say so behind done. */
static void abandon(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    job_deadline_end(&work->deadline);
    work->status = -ECANCELED;
    work->job->request = NULL;
    if (!work_job_of(work->job)->release)
        work->job = NULL;
}

static void complete_held(struct loop_request *held)
{
    struct work_job *job = loop_container_of(held, struct work_job, held);
    call_release(held->loop, request_subject(held, NULL), job);
}

static void abandon_held(struct loop_request *held)
{
    loop_container_of(held, struct work_job, held)->job.request = NULL;
}

static const struct loop_request_ops held_ops = {.type = "work.release",
                                                 .complete = complete_held,
                                                 .abandon = abandon_held};

/* The reference goes over, if there is one. */
static void start_held(struct loop *loop, struct loop_request *request, struct work_job *job)
{
    request_start(loop, &job->held, &held_ops, (loop_function)job->release);
    uint64_t both = loop->active_requests;
    loop_request_unref(request);
    if (loop->active_requests == both)
        loop_request_unref(&job->held);
}

/* From here on the job is for the held request, which ends when it comes home, or at once. */
static void cancel_held(struct loop_request *request, struct loop_job *job)
{
    struct loop *loop = request->loop;
    start_held(loop, request, work_job_of(job));
    request_defer(request);
    job->request = &work_job_of(job)->held;
    if (!pool_take_back(job))
        return;
    loop->clock_holds--;
    arrive(job);
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    struct loop_job *job = work->job;
    job_deadline_end(&work->deadline);
    work->status = status;
    work->job = NULL;
    if (work_job_of(job)->release)
        cancel_held(request, job);
    else
        pool_cancel(job);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    job_deadline_set(&work->deadline, request, due_ns);
}

static const struct loop_request_ops work_ops = {
    .type = "work", .complete = complete, .abandon = abandon, .cancel = cancel, .expect = expect};

/* NULL: out of memory. */
static struct loop_job *make_job(struct loop *loop, struct loop_work *work,
                                 enum loop_pool_class kind, loop_work_fn fn)
{
    struct work_job *made = memory_resize(&loop->options.allocator, NULL, sizeof(*made));
    if (!made)
        return NULL;
    *made = (struct work_job){.job = {.allocator = loop->options.allocator,
                                      .request = &work->request,
                                      .kind = (enum pool_class)kind,
                                      .run = run,
                                      .arrive = arrive,
                                      .discard = let_go},
                              .fn = fn,
                              .data = work->request.data,
                              .release = work->release,
                              .needed_by = work->release ? 2 : 1};
    return &made->job;
}

int loop_work(struct loop *loop, struct loop_work *work, loop_work_fn fn, loop_work_cb done)
{
    return loop_work_class(loop, work, LOOP_POOL_CPU, fn, done);
}

int loop_work_class(struct loop *loop, struct loop_work *work, enum loop_pool_class kind,
                    loop_work_fn fn, loop_work_cb done)
{
    if (!loop || !work || !fn || kind >= LOOP_POOL_CLASSES)
        return -EINVAL;
    thread_check(loop, "work");
    request_check(&work->request, &work_ops);
    struct loop_job *job = make_job(loop, work, kind, fn);
    if (!job)
        return -ENOMEM;
    int error = pool_submit(loop, job);
    if (error) {
        job_free(job);
        return error;
    }
    work->job = job;
    work->done = done;
    work->status = 0;
    job_deadline_none(&work->deadline);
    request_start(loop, &work->request, &work_ops, (loop_function)done);
    return 0;
}
