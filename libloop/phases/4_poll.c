/* Phase 4: poll. The loop tells epoll what has changed, sleeps in it, and hands out what came.
 *
 * A timer bounds the sleep through a timerfd in the same set, which knows nanoseconds, where
 * epoll_wait(2) knows milliseconds. It is set when the first deadline has moved to earlier, which
 * is seldom; when it has moved to later the kernel wakes us too early once, and we go back to
 * sleep. It is edge-triggered, and so need not be read.
 *
 * One batch of events is fetched per turn, and what does not fit in it waits in the kernel for the
 * next, so that a thousand busy descriptors cannot keep timers and immediates from their turn.
 * Behind the descriptors come the parcels of other threads (post.c), and behind these signals.
 *
 * A loop may be asked to spin, that is to look again for a bounded time, before it sleeps: where
 * the answer comes from another processor within microseconds, waking up is what costs most.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

enum { PENDING_ROUNDS = 8 }; /* libuv's number: then timers and check have their turn */

/* The timer went off: from here on it will not, until it is set again. */
static void timer_ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    (void)status;
    (void)events;
    loop_container_of(watcher, struct loop_poller, timer)->armed_ns = LOOP_NEVER;
}

static int open_timer(struct loop *loop)
{
    int fd = sys_timerfd_create(clock_of(loop));
    if (fd < 0)
        return fd;
    watcher_init(&loop->poller.timer, fd, timer_ready);
    int error = watcher_start(loop, &loop->poller.timer, EPOLLIN | EPOLLET);
    if (error) {
        sys_close(fd);
        loop->poller.timer.fd = -1;
    }
    return error;
}

/* Has the kernel wake us at until_ns, or earlier. */
static int arm(struct loop *loop, uint64_t until_ns)
{
    struct loop_poller *poller = &loop->poller;
    if (until_ns >= poller->armed_ns)
        return 0;
    int error = poller->timer.fd < 0 ? open_timer(loop) : 0;
    if (!error)
        error = sys_timerfd_arm(poller->timer.fd, until_ns);
    if (!error)
        poller->armed_ns = until_ns;
    return error;
}

static int wait(struct loop *loop, int timeout_ms)
{
    struct loop_poller *poller = &loop->poller;
    int count;
    if (forked(loop))
        return 0; /* the set is the parent's, and so are its events */
    do
        count = sys_epoll_wait(poller->epoll_fd, poller->events, (int)loop->options.events_max,
                               timeout_ms);
    while (count == -EINTR && timeout_ms <= 0); /* a bounded sleep would begin anew */
    if (count == -EINTR)
        return 0;
    if (count < 0)
        panic(
            "epoll_wait returned %s: somebody closed descriptor %d, which is the loop's; look for "
            "a close(2) of a descriptor that was closed already",
            loop_error_name(count), poller->epoll_fd);
    return count;
}

/* No descriptor could be had for the timer: sleep by epoll's own clock, whole milliseconds and no
 * later than the deadline. */
static int wait_coarsely(struct loop *loop, uint64_t until_ns)
{
    enum { HOUR_MS = 3600 * 1000 };
    uint64_t now_ns = clock_read(loop); /* the cached one is older than the last callback */
    uint64_t ms = until_ns > now_ns ? (until_ns - now_ns) / LOOP_MS + 1 : 0;
    return wait(loop, ms < HOUR_MS ? (int)ms : HOUR_MS);
}

/* The one event is the timer, and what it was set for has moved to later. */
static bool woke_too_early(struct loop *loop, int count)
{
    struct epoll_event *events = loop->poller.events;
    if (count != 1 || events[0].data.u64 != watcher_tag(&loop->poller, loop->poller.timer.fd))
        return false;
    loop_update_now(loop);
    return timers_next(loop) > loop->now_ns;
}

/* Wakes that come too early do not end it. */
static int doze_until(struct loop *loop, uint64_t until_ns)
{
    int count;
    for (;;) {
        if (until_ns != LOOP_NEVER && arm(loop, until_ns) < 0)
            return wait_coarsely(loop, until_ns);
        count = wait(loop, -1);
        if (until_ns == LOOP_NEVER || !woke_too_early(loop, count))
            return count;
        loop->poller.armed_ns = LOOP_NEVER;
        until_ns = timers_next(loop);
    }
}

/* Time that nobody can spend otherwise passes at once; work on the pool can. */
static int jump_to(struct loop *loop, uint64_t until_ns)
{
    if (until_ns == LOOP_NEVER || loop->clock_holds > 0)
        return wait(loop, -1);
    int count = wait(loop, 0);
    if (count == 0 && until_ns > loop->now_ns)
        loop->now_ns = until_ns;
    return count;
}

/* Whether a few looks at the mailbox and the kernel are cheaper than a sleep: while they have found
 * something of late. After 16 failures in a row one sleep in 16 is tried. */
static int spin(struct loop *loop, uint64_t until_ns)
{
    struct loop_poller *poller = &loop->poller;
    if (poller->spin_misses >= 16 && poller->spin_misses++ % 16 != 0)
        return 0;
    uint64_t give_up_ns = loop->now_ns + loop->options.spin_ns;
    int count = 0;
    do {
        count = wait(loop, 0);
        loop_update_now(loop);
    } while (count == 0 && !post_waiting(loop) && loop->now_ns < give_up_ns &&
             loop->now_ns < until_ns);
    poller->spin_misses = count > 0 || post_waiting(loop) ? 0 : poller->spin_misses + 1;
    return count;
}

/* Before it sleeps the loop says so to other threads, and looks whether one was quicker. */
static int sleep_until(struct loop *loop, uint64_t until_ns)
{
    int count;
    if (!post_may_sleep(loop))
        count = wait(loop, 0);
    else if (loop->options.clock == LOOP_CLOCK_VIRTUAL)
        count = jump_to(loop, until_ns);
    else
        count = doze_until(loop, until_ns);
    post_awake(loop);
    return count;
}

static int wait_for_events(struct loop *loop, uint64_t until_ns)
{
    int count = 0;
    if (until_ns <= loop->now_ns)
        return wait(loop, 0);
    if (loop->options.spin_ns > 0 && loop->options.clock != LOOP_CLOCK_VIRTUAL)
        count = spin(loop, until_ns);
    return count > 0 ? count : sleep_until(loop, until_ns);
}

/* Descriptors first, then what other threads posted, then the watchers that asked to be last:
 * signals, so that their callbacks see all that was done before them. */
static void dispatch(struct loop *loop, int count)
{
    struct epoll_event *events = loop->poller.events;
    struct loop_watcher *watcher;
    int late = 0;
    watchers_tell_lost(loop);
    for (int i = 0; i < count; i++) {
        watcher = watcher_for(&loop->poller, &events[i]);
        if (watcher && watcher->last)
            events[late++] = events[i];
        else if (watcher)
            watcher->ready(watcher, 0, events[i].events);
    }
    post_deliver(loop);
    for (int i = 0; i < late; i++) {
        watcher = watcher_for(&loop->poller, &events[i]);
        if (watcher)
            watcher->ready(watcher, 0, events[i].events);
    }
}

void phase_poll(struct loop *loop, struct poll_limit limit)
{
    phase_enter(loop, LOOP_PHASE_POLL);
    if (!watchers_apply(loop))
        limit = (struct poll_limit){0, LOOP_POLL_LOST};
    trace_poll(loop, limit);
    int count = wait_for_events(loop, limit.until_ns);
    loop_update_now(loop);
    trace(loop, LOOP_TRACE_POLL_END, (struct subject){0}, count);
    dispatch(loop, count);
    for (int i = 0; i < PENDING_ROUNDS && !list_empty(&loop->pending); i++)
        pending_run(loop);
}
