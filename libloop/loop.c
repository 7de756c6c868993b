/* The loop.
 *
 *      ┌──────────────────────────┐
 *  ┌──▶│          timers          │  1  due timers, by deadline, then start order
 *  │   │     pending callbacks    │  2  completions put off from the turn before
 *  │   │      idle, prepare       │  3  hooks before sleeping
 *  │   │           poll           │  4  sleep in epoll, then I/O callbacks, then pending
 *  │   │          check           │  5  immediates, then check hooks
 *  └───│      close callbacks     │  6  last words of closed handles
 *      └──────────────────────────┘
 *        after every callback: all ticks, then all microtasks, until both are empty
 *
 * Each box is a function below, and a file in phases/. The circle has to be cut somewhere, since
 * loop_run() may run one turn only. Cut before pending, a turn of LOOP_RUN_ONCE can sleep until the
 * next timer and run it; cut before timers it would run it a turn late. LOOP_RUN_DEFAULT therefore
 * runs the timers that are due already once on its way in. So do libuv since 1.45 and Node since
 * 20.
 *
 * A phase takes its list and then runs it, so that a turn is over at some time: what callbacks add
 * is for the next turn. That one rule is why nothing can starve the loop, but for ticks and
 * microtasks, which by their nature come before all else; a drain of them that does not end is
 * reported.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

static bool alive(const struct loop *loop)
{
    return loop->active_handles > 0 || loop->active_requests > 0 || loop->queued_tasks > 0 ||
           !list_empty(&loop->pending) || !list_empty(&loop->closing) ||
           !list_empty(&loop->ending) || post_keeps_alive(loop);
}

/* How long poll may sleep, and why not longer. [DOC: poll-limit] */
static struct poll_limit poll_limit(struct loop *loop)
{
    if (!loop->may_sleep || loop->stopping)
        return (struct poll_limit){0, LOOP_POLL_NOWAIT};
    if (!list_empty(&loop->idle))
        return (struct poll_limit){0, LOOP_POLL_IDLE};
    if (loop->queued_tasks > 0)
        return (struct poll_limit){0, LOOP_POLL_TASK};
    if (post_waiting(loop))
        return (struct poll_limit){0, LOOP_POLL_POSTED};
    if (!list_empty(&loop->pending))
        return (struct poll_limit){0, LOOP_POLL_PENDING};
    if (!list_empty(&loop->closing))
        return (struct poll_limit){0, LOOP_POLL_CLOSING};
    if (!alive(loop))
        return (struct poll_limit){0, LOOP_POLL_NOT_ALIVE};
    uint64_t next_ns = timers_next(loop);
    return (struct poll_limit){next_ns, next_ns == LOOP_NEVER ? LOOP_POLL_EVENTS : LOOP_POLL_TIMER};
}

/* A single turn that has something to do already has made its progress without sleeping. */
static void turn_begin(struct loop *loop, enum loop_mode mode)
{
    loop->turn++;
    loop->may_sleep =
        mode == LOOP_RUN_DEFAULT ||
        (mode == LOOP_RUN_ONCE && list_empty(&loop->pending) && list_empty(&loop->idle));
    trace(loop, LOOP_TRACE_TURN, (struct subject){0}, 0);
}

static int run_begin(struct loop *loop, enum loop_mode mode)
{
    if (!loop || mode > LOOP_RUN_NOWAIT)
        return -EINVAL;
    if (forked(loop))
        return -ECHILD;
    thread_check(loop, "loop");
    if (loop->running)
        return -EBUSY;
    loop->running = true;
    loop->now_stale = true;
    loop->thread = &thread_mark;
    trace(loop, LOOP_TRACE_RUN_BEGIN, (struct subject){0}, 0);
    if (mode != LOOP_RUN_NOWAIT)
        post_awake(loop); /* a single quick turn need not save its senders a wake-up */
    if (!loop->stopping)
        ticks_drain(loop);
    return 0;
}

static int run_end(struct loop *loop)
{
    int left = forked(loop) ? -ECHILD : alive(loop);
    trace(loop, LOOP_TRACE_RUN_END, (struct subject){0}, left);
    post_may_sleep(loop);
    loop->phase = LOOP_PHASE_NONE;
    loop->stopping = false;
    loop->running = false;
    loop->thread = NULL;
    return left;
}

int loop_run(struct loop *loop, enum loop_mode mode)
{
    int error = run_begin(loop, mode);
    if (error)
        return error;

    if (mode == LOOP_RUN_DEFAULT && alive(loop) && !loop->stopping)
        phase_timers(loop);

    while (alive(loop) && !loop->stopping && !forked(loop)) {
        turn_begin(loop, mode);
        phase_pending(loop);
        phase_idle(loop);
        phase_prepare(loop);
        phase_poll(loop, poll_limit(loop));
        phase_check(loop);
        phase_closing(loop);
        phase_timers(loop);

        if (mode != LOOP_RUN_DEFAULT)
            break;
    }
    return run_end(loop);
}

void loop_stop(struct loop *loop)
{
    thread_check(loop, "loop");
    loop->stopping = true;
}

bool loop_alive(const struct loop *loop)
{
    return alive(loop);
}

enum loop_phase loop_phase(const struct loop *loop)
{
    return loop->phase;
}

uint64_t loop_turn(const struct loop *loop)
{
    return loop->turn;
}

int loop_backend_fd(const struct loop *loop)
{
    return loop->poller.epoll_fd;
}

int64_t loop_backend_timeout(struct loop *loop)
{
    bool may_sleep = loop->may_sleep; /* a callback may ask in a turn that must not */
    loop->may_sleep = true;
    struct poll_limit limit = poll_limit(loop);
    loop->may_sleep = may_sleep;
    if (limit.until_ns == LOOP_NEVER && list_empty(&loop->poller.changed))
        return -1;
    if (limit.until_ns <= loop->now_ns || !list_empty(&loop->poller.changed))
        return 0;
    uint64_t wait_ns = limit.until_ns - loop->now_ns;
    return wait_ns < INT64_MAX ? (int64_t)wait_ns : INT64_MAX;
}
