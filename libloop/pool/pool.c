/* The threads of a pool, and the way of a job to them and back.
 *
 * DESIGN. A request on the pool has two halves. The user's half is a loop_request in the user's
 * memory, touched by the loop's thread alone. The pool's half is a job, memory of the library's,
 * with all that a thread needs: copies of paths, buffers, the outcome. So a request can be
 * cancelled at any time, completes at once, and its memory may be freed, while a thread still works
 * on the job; what comes of it is dropped when the job comes home through the loop's mailbox.
 *
 * Waking a thread costs more than most jobs, so it is done seldom. A job is pushed without a lock
 * (lanes.c), and then somebody must be sure to look. A thread that searches is sure to: it was
 * called or started and has not looked yet. While there is one nobody else is called; when it has
 * looked and leaves jobs behind, it calls the next. So a burst of submissions costs one wake-up,
 * and threads wake each other for as long as there is work.
 *
 * That none is forgotten: who submits pushes the job, then reads searching and idle; a thread
 * counts itself as searching no more, or as idle, and then looks into the inbox. All four are
 * sequentially consistent, so one of the two sees the other. [DOC: searching]
 *
 * The thread that fell idle last is called first, so that those that are not needed grow old and
 * may end. A thread that ends joins the one that ended before it; the last is joined with the pool.
 *
 * SPDX-License-Identifier: MIT */
#include "lanes.h"
#include "sys_park.h"

static _Thread_local struct loop_job *current_job;

static void count_idle(struct loop_pool *pool, struct worker *worker, bool idle)
{
    if (idle)
        list_append(&pool->parked, &worker->link);
    else
        list_remove(&worker->link);
    atomic_put(&pool->idle, idle ? pool->idle + 1 : pool->idle - 1);
}

static void count_searching(struct worker *worker, bool searching)
{
    struct loop_pool *pool = worker->pool;
    if (worker->searching != searching)
        atomic_put(&pool->searching, searching ? pool->searching + 1 : pool->searching - 1);
    worker->searching = searching;
}

static struct worker *call_any(struct loop_pool *pool)
{
    struct worker *worker = loop_container_of(pool->parked.prev, struct worker, link);
    count_idle(pool, worker, false);
    count_searching(worker, true);
    atomic_put(&worker->called, 1);
    return worker;
}

/* Whom to wake up, behind the lock; NULL: nobody is needed, or nobody is there. */
static struct worker *call(struct loop_pool *pool)
{
    if (pool->idle == 0 || pool->searching > 0 || lanes_startable(&pool->lanes) == 0)
        return NULL;
    return call_any(pool);
}

static void wake(const struct worker *worker)
{
    if (worker)
        sys_unpark(&worker->called);
}

/* Until it is called. false: nobody did in all the time that it may be idle. */
static bool park(struct worker *worker)
{
    struct loop_pool *pool = worker->pool;
    uint64_t until_ns = LOOP_NEVER;
    int error = 0;
    if (pool->idle_ns > 0 && pool->threads > pool->threads_min)
        until_ns = sys_clock_ns(CLOCK_MONOTONIC) + pool->idle_ns;
    worker->called = 0;
    count_idle(pool, worker, true);
    if (!lanes_have_mail(&pool->lanes)) { /* behind the count */
        sys_unlock(&pool->lock);
        while (!atomic_get(&worker->called) && error != -ETIMEDOUT)
            error = sys_park(&worker->called, 0, until_ns);
        sys_lock(&pool->lock);
    }
    if (!worker->called)
        count_idle(pool, worker, false);
    return worker->called || error != -ETIMEDOUT;
}

/* Who submits has his job counted, and then looks whether there is a thread: so either he finds
 * none, or this thread finds the job. */
static bool may_end(struct loop_pool *pool)
{
    if (!pool->ending && pool->threads <= pool->threads_min)
        return false;
    atomic_put(&pool->threads, pool->threads - 1);
    if (pool->ending || lanes_waiting(&pool->lanes) == 0)
        return true;
    atomic_put(&pool->threads, pool->threads + 1);
    return false;
}

static struct loop_job *look(struct worker *worker)
{
    count_searching(worker, false);
    lanes_fetch(&worker->pool->lanes); /* behind the count */
    return lanes_begin(&worker->pool->lanes);
}

/* What waits when the pool ends is of a class that has its share of the threads, and these will
 * take it. */
static struct loop_job *look_until_there_is_one(struct worker *worker)
{
    struct loop_job *job;
    while (!(job = look(worker)))
        if ((worker->pool->ending || !park(worker)) && may_end(worker->pool))
            return NULL;
    return job;
}

/* Behind the push the job is its request's again, so its hold on the mailbox is given up here. */
void pool_send_home(struct loop_job *job)
{
    struct loop_mailbox *mailbox = job->mailbox;
    post_push(mailbox, &job->parcel);
    mailbox_release(mailbox);
}

/* One job has ended, another begins: with one turn of the lock, if there is one. The thread is free
 * before the loop hears of it, and may submit the next. */
static struct loop_job *next_job(struct worker *worker, struct loop_job *done)
{
    struct loop_pool *pool = worker->pool;
    sys_lock(&pool->lock);
    if (done)
        lanes_end(&pool->lanes, done);
    struct loop_job *job = look(worker);
    if (!job && done) {
        sys_unlock(&pool->lock);
        pool_send_home(done);
        done = NULL;
        sys_lock(&pool->lock);
    }
    if (!job)
        job = look_until_there_is_one(worker);
    if (!job)
        return NULL;
    struct worker *helper = call(pool);
    sys_unlock(&pool->lock);
    wake(helper);
    if (done)
        pool_send_home(done);
    return job;
}

static void run(struct loop_job *job, uint32_t worker)
{
    bool timed = job->traced || job->submitted_ns > 0;
    job->worker = worker;
    if (timed)
        job->started_ns = sys_clock_ns(CLOCK_MONOTONIC);
    current_job = job;
    job->run(job);
    current_job = NULL;
    if (timed)
        job->done_ns = sys_clock_ns(CLOCK_MONOTONIC);
}

/* Holds the lock when it is called. */
static void end_thread(struct worker *worker)
{
    struct loop_pool *pool = worker->pool;
    bool any_before = pool->any_ended;
    sys_thread before = pool->ended;
    pool->any_ended = true;
    pool->ended = worker->id;
    worker->exists = false;
    if (pool->threads == 0)
        sys_cond_signal(&pool->all_ended);
    sys_unlock(&pool->lock);
    if (any_before)
        sys_thread_join(before);
}

void pool_end_threads(struct loop_pool *pool)
{
    sys_lock(&pool->lock);
    pool->ending = true;
    while (pool->idle > 0)
        wake(call_any(pool));
    while (pool->threads > 0)
        sys_cond_wait(&pool->all_ended, &pool->lock);
    sys_unlock(&pool->lock);
    if (pool->any_ended)
        sys_thread_join(pool->ended);
}

static void *thread_main(void *arg)
{
    struct worker *worker = arg;
    struct loop_job *job = NULL;
    while ((job = next_job(worker, job)))
        run(job, worker->number);
    end_thread(worker);
    return NULL;
}

bool loop_work_canceled(void)
{
    return current_job && atomic_get(&current_job->canceled);
}

/* It has the lowest number that is free. */
static int start_thread(struct loop_pool *pool)
{
    uint32_t i = 0;
    while (pool->workers[i].exists)
        i++;
    struct worker *worker = &pool->workers[i];
    *worker = (struct worker){.pool = pool, .number = i + 1};
    int error = sys_thread_start(&worker->id, pool->stack_size, pool->name, thread_main, worker);
    if (error)
        return error;
    worker->exists = true;
    count_searching(worker, true);
    atomic_put(&pool->threads, pool->threads + 1);
    return 0;
}

/* Without any thread a job is refused; with one at least it can wait. */
static int have_a_thread(struct loop_pool *pool)
{
    if (atomic_get(&pool->threads) > 0)
        return 0;
    sys_lock(&pool->lock);
    int error = pool->threads > 0 ? 0 : start_thread(pool);
    sys_unlock(&pool->lock);
    return error ? -EAGAIN : 0;
}

/* Whether nobody is sure to look for it. A thread that ends a job is: that of a full class. */
static bool needs_help(const struct loop_pool *pool, enum pool_class kind)
{
    if (lanes_full(&pool->lanes, kind))
        return false;
    if (atomic_get(&pool->searching) == 0 && atomic_get(&pool->idle) > 0)
        return true;
    int64_t threads = atomic_get(&pool->threads);
    return threads < pool->threads_max &&
           (int64_t)lanes_waiting(&pool->lanes) > threads - lanes_running(&pool->lanes);
}

static void help(struct loop_pool *pool)
{
    sys_lock(&pool->lock);
    lanes_fetch(&pool->lanes);
    uint32_t free_threads = pool->threads - lanes_running(&pool->lanes);
    if (pool->threads < pool->threads_max && lanes_startable(&pool->lanes) > free_threads)
        start_thread(pool); /* if it cannot be had, those that are there will come to it */
    struct worker *worker = call(pool);
    sys_unlock(&pool->lock);
    wake(worker);
}

/* Told when the job is home, so that all events of a loop come from its own thread. */
static void trace_job(struct loop *loop, const struct loop_job *job)
{
    struct subject subject = request_subject(job->request, NULL);
    trace_work(loop, LOOP_TRACE_WORK_STARTED, subject, job->started_ns, job->worker);
    trace_work(loop, LOOP_TRACE_WORK_DONE, subject, job->done_ns, job->worker);
}

static void deliver(struct loop *loop, struct loop_parcel *parcel)
{
    struct loop_job *job = loop_container_of(parcel, struct loop_job, parcel);
    if (!loop || !job->request) {
        job->discard(job);
        return;
    }
    loop->clock_holds--;
    if (job->traced)
        trace_job(loop, job);
    if (job->arrive)
        job->arrive(job);
    else
        request_complete(job->request);
}

static int let_in(struct loop_pool *pool, struct loop_job *job)
{
    uint64_t came = lanes_let_in(&pool->lanes);
    if (came == 0)
        return -EAGAIN;
    if (have_a_thread(pool) < 0) {
        lanes_give_up(&pool->lanes);
        return -EAGAIN;
    }
    if (came % pool->time_one_in == 0)
        job->submitted_ns = sys_clock_ns(CLOCK_MONOTONIC);
    return 0;
}

int pool_submit(struct loop *loop, struct loop_job *job)
{
    struct loop_pool *pool;
    int error = pool_of(loop, &pool);
    if (!error)
        error = let_in(pool, job);
    if (error)
        return error;
    job->pool = pool;
    job->parcel.deliver = deliver;
    job->mailbox = mailbox_retain(loop->mailbox);
    job->traced = loop->trace != NULL;
    loop->clock_holds++;
    enum pool_class kind = job->kind; /* before the job may be run and gone */
    lanes_put(&pool->lanes, job);
    if (needs_help(pool, kind))
        help(pool);
    return 0;
}

/* The pool is there for as long as jobs wait in it. */
bool pool_take_back(struct loop_job *job)
{
    struct loop_pool *pool = job->pool;
    atomic_put(&job->canceled, true);
    if (atomic_get(&job->begun))
        return false;
    sys_lock(&pool->lock);
    lanes_fetch(&pool->lanes);
    bool waits = !job->begun;
    if (waits)
        lanes_remove(&pool->lanes, job);
    sys_unlock(&pool->lock);
    if (waits)
        mailbox_release(job->mailbox);
    return waits;
}

void pool_cancel(struct loop_job *job)
{
    struct loop_request *request = job->request;
    job->request = NULL;
    request->loop->clock_holds--;
    if (pool_take_back(job))
        job->discard(job);
    request_defer(request);
}
