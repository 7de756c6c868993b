/* The program: random calls of the public API, from outside the loop and from inside its callbacks.
 *
 * It has things of each kind, a few at a time, made, used, closed and freed in any order that the
 * contract allows, and some that it only just allows: a timer freed as soon as it is stopped, a
 * descriptor given back in the callback that it was reported to. Memory is freed as early as may
 * be, so that whoever looks at it later is found by a sanitizer.
 *
 * When its budget is spent the world stops failing, everything under way must come to an end, then
 * all is closed and the loop must be over, with nothing left.
 *
 * SPDX-License-Identifier: MIT */
#include "program.h"

enum { THINGS_MAX = 6, STOP_TIMERS = 40 };

struct timer {
    struct thing thing;
    struct loop_timer timer;
};

struct hook {
    struct thing thing;
    struct loop_hook hook;
};

struct task {
    struct thing thing;
    struct loop_task task;
};

struct async {
    struct thing thing;
    struct loop_async async;
    struct loop_waker *waker; /* a sender elsewhere */
    unsigned sent;
};

struct poll {
    struct thing thing;
    struct loop_poll poll;
    uint32_t events;
    int fd;
    int other_fd; /* of the pipe whose end it watches */
};

struct loop the_loop;

static struct task doorbell; /* of another thread, when the loop sleeps for good */
static bool rung, settling;
static unsigned favourite; /* what this run does most; KINDS_OF_ACTS: not yet decided */

void check_result(const char *what, int result, bool expected)
{
    note("%s: %d", what, result);
    if (!expected)
        fail("%s returned %s", what, loop_error_name(result));
}

static struct timer *timer_of(struct thing *thing)
{
    return (struct timer *)(void *)thing;
}

static void on_timer(struct loop_timer *timer)
{
    model_called(&loop_container_of(timer, struct timer, timer)->thing);
    react();
}

static void on_timer_close(struct loop_handle *handle)
{
    struct timer *timer = loop_container_of(handle, struct timer, timer.handle);
    model_closed(&timer->thing);
    model_remove(&timer->thing);
    react();
}

static void timer_start(struct timer *timer)
{
    uint64_t after_ns = program_chance(200) ? 0 : program_below(40 * MS);
    if (program_chance(100))
        after_ns = program_below(1000) * UINT64_C(77) * MS;
    uint64_t repeat_ns = program_chance(300) ? 1 + program_below(10 * MS) : 0;
    timer->thing.repeat_ns = repeat_ns;
    model_arm(&timer->thing, after_ns);
    check_result("timer start", loop_timer_start(&timer->timer, after_ns, repeat_ns, on_timer),
                 true);
}

static void timer_make(void)
{
    struct timer *timer = calloc(1, sizeof(*timer));
    model_add(&timer->thing, A_TIMER);
    loop_timer_init(&the_loop, &timer->timer);
    timer->thing.fixed_rate = program_chance(300);
    loop_timer_set_fixed_rate(&timer->timer, timer->thing.fixed_rate);
    timer_start(timer);
}

static void ref_or_unref(struct thing *thing, struct loop_handle *handle)
{
    thing->unref = !thing->unref;
    if (thing->unref)
        loop_unref(handle);
    else
        loop_ref(handle);
}

static void timer_act(void)
{
    struct thing *thing = model_pick(TIMER_BIT);
    if (!thing || (program_chance(400) && model_count(TIMER_BIT) < 3 * THINGS_MAX)) {
        timer_make();
        return;
    }
    struct timer *timer = timer_of(thing);
    switch (program_below(6)) {
    case 0:
    case 1:
        timer_start(timer);
        break;
    case 2:
        loop_timer_stop(&timer->timer);
        model_stop(thing);
        if (program_chance(300))
            model_remove(thing);
        break;
    case 3:
        if (thing->repeat_ns > 0)
            model_arm(thing, thing->repeat_ns);
        check_result("timer again", loop_timer_again(&timer->timer), true);
        break;
    case 4:
        ref_or_unref(thing, &timer->timer.handle);
        break;
    default:
        model_close(thing);
        loop_close(&timer->timer.handle, on_timer_close);
    }
}

static void on_hook(struct loop_hook *hook)
{
    model_called(&loop_container_of(hook, struct hook, hook)->thing);
    react();
}

static void on_hook_close(struct loop_handle *handle)
{
    struct hook *hook = loop_container_of(handle, struct hook, hook.handle);
    model_closed(&hook->thing);
    model_remove(&hook->thing);
    react();
}

static void hook_make(void)
{
    static void (*const inits[])(struct loop * loop, struct loop_hook * hook) = {loop_idle_init,
                                                                                 loop_prepare_init,
                                                                                 loop_check_init};
    struct hook *hook = calloc(1, sizeof(*hook));
    unsigned kind = program_below(3);
    model_add(&hook->thing, AN_IDLE + kind);
    inits[kind](&the_loop, &hook->hook);
    model_start(&hook->thing);
    check_result("hook start", loop_hook_start(&hook->hook, on_hook), true);
}

static void hook_act(void)
{
    struct thing *thing = model_pick(HOOK_BITS);
    if (!thing || (program_chance(300) && model_count(HOOK_BITS) < THINGS_MAX)) {
        hook_make();
        return;
    }
    struct hook *hook = (struct hook *)(void *)thing;
    switch (program_below(4)) {
    case 0:
        model_start(thing);
        check_result("hook start", loop_hook_start(&hook->hook, on_hook), true);
        break;
    case 1:
        loop_hook_stop(&hook->hook);
        model_stop(thing);
        if (program_chance(300))
            model_remove(thing);
        break;
    case 2:
        ref_or_unref(thing, &hook->hook.handle);
        break;
    default:
        model_close(thing);
        loop_close(&hook->hook.handle, on_hook_close);
    }
}

static void on_task(struct loop_task *task)
{
    struct task *mine = loop_container_of(task, struct task, task);
    model_called(&mine->thing);
    model_remove(&mine->thing);
    react();
}

static void task_queue(enum kind kind)
{
    static void (*const queues[])(struct loop * loop, struct loop_task * task,
                                  loop_task_cb cb) = {loop_next_tick, loop_microtask,
                                                      loop_immediate};
    struct task *task = calloc(1, sizeof(*task));
    model_add(&task->thing, kind);
    model_start(&task->thing);
    if (program_chance(100)) {
        loop_task_unref(&task->task);
        task->thing.unref = true;
    }
    if (kind == A_POST)
        check_result("post", loop_post(&the_loop, &task->task, on_task), true);
    else
        queues[kind - A_TICK](&the_loop, &task->task, on_task);
}

static void task_act(void)
{
    struct thing *thing = program_chance(200) ? model_pick(TASK_BITS) : NULL;
    if (!thing) {
        task_queue(A_TICK + program_below(3));
        return;
    }
    struct task *task = (struct task *)(void *)thing;
    bool canceled = loop_task_cancel(&task->task);
    check_result("task cancel", canceled, canceled);
    model_remove(thing);
}

/* By another thread, at a time of its own. */
static void post_from_elsewhere(void *what, uint64_t number)
{
    (void)what;
    (void)number;
    task_queue(A_POST);
}

static void post_act(void)
{
    if (program_chance(500))
        task_queue(A_POST);
    else
        world_later(program_below(20 * MS), post_from_elsewhere, &the_loop, 0);
}

static void on_async(struct loop_async *async)
{
    struct async *mine = loop_container_of(async, struct async, async);
    model_event(&mine->thing);
    if (mine->sent == 0)
        fail("P3: async %u is called and nobody sent", mine->thing.number);
    mine->sent = 0;
    react();
}

static void on_async_close(struct loop_handle *handle)
{
    struct async *mine = loop_container_of(handle, struct async, async.handle);
    model_closed(&mine->thing);
    loop_waker_release(mine->waker);
    model_remove(&mine->thing);
    react();
}

static void send_from_elsewhere(void *what, uint64_t number)
{
    struct async *mine = what;
    (void)number;
    mine->sent += loop_waker_send(mine->waker) == 0;
}

static void async_make(void)
{
    struct async *mine = calloc(1, sizeof(*mine));
    int error = loop_async_init(&the_loop, &mine->async, on_async);
    check_result("async init", error, error == 0 || error == -ENOMEM);
    if (error) {
        free(mine);
        return;
    }
    model_add(&mine->thing, AN_ASYNC);
    model_start(&mine->thing);
    mine->waker = loop_async_waker(&mine->async);
}

static void async_close(struct thing *thing)
{
    struct async *mine = (struct async *)(void *)thing;
    world_forget(mine);
    model_close(thing);
    loop_close(&mine->async.handle, on_async_close);
    check_result("send to closed", loop_waker_send(mine->waker),
                 loop_async_send(&mine->async) == -ECANCELED);
}

static void async_act(void)
{
    struct thing *thing = model_pick(ASYNC_BIT);
    if (!thing || (program_chance(200) && model_count(ASYNC_BIT) < THINGS_MAX)) {
        async_make();
        return;
    }
    struct async *mine = (struct async *)(void *)thing;
    switch (program_below(4)) {
    case 0:
        mine->sent++;
        check_result("async send", loop_async_send(&mine->async), true);
        break;
    case 1:
        world_later(program_below(10 * MS), send_from_elsewhere, mine, 0);
        break;
    case 2:
        ref_or_unref(thing, &mine->async.handle);
        break;
    default:
        async_close(thing);
    }
}

/* What the kernel said of it in this very batch; a hang-up counts as all that was asked for. */
static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    struct poll *mine = loop_container_of(poll, struct poll, poll);
    struct file *file = file_of(mine->fd);
    model_event(&mine->thing);
    if (!mine->thing.active)
        fail("P2: poll %u is called and was stopped", mine->thing.number);
    if (status < 0)
        fail("poll %u is told %s", mine->thing.number, loop_error_name(status));
    if (!file || file->reported != epoll_waits() || events & ~mine->events)
        fail("P2: poll %u is told of %x, which is not its own", mine->thing.number, events);
    if (file->reported_as == EPOLLIN && events != LOOP_READABLE)
        fail("poll %u is told of %x", mine->thing.number, events);
    char bytes[64];
    if (events & LOOP_READABLE)
        sys_read(mine->fd, bytes, sizeof(bytes));
    epoll_touched(mine->fd);
    if (mine->other_fd < 0) { /* it hung up, and would say so for ever */
        loop_poll_stop(poll);
        model_stop(&mine->thing);
    }
    react();
}

static void poll_let_go(struct poll *mine)
{
    sys_close(mine->fd);
    if (mine->other_fd >= 0)
        sys_close(mine->other_fd);
    model_remove(&mine->thing);
}

static void on_poll_close(struct loop_handle *handle)
{
    struct poll *mine = loop_container_of(handle, struct poll, poll.handle);
    model_closed(&mine->thing);
    poll_let_go(mine);
    react();
}

static struct poll *poll_make(void)
{
    int fds[2];
    if (world_pipe(fds) < 0)
        return NULL;
    struct poll *mine = calloc(1, sizeof(*mine));
    unsigned end = program_below(2);
    mine->fd = fds[end];
    mine->other_fd = fds[!end];
    mine->events = end ? LOOP_WRITABLE : LOOP_READABLE;
    model_add(&mine->thing, A_POLL);
    loop_poll_init(&the_loop, &mine->poll, mine->fd);
    return mine;
}

static void poll_start(struct poll *mine)
{
    int error = loop_poll_start(&mine->poll, mine->events, on_poll);
    check_result("poll start", error, error == 0 || error == -ENOSPC || error == -ENOMEM);
    if (error == 0)
        model_start(&mine->thing);
}

static void poll_stop(struct poll *mine)
{
    loop_poll_stop(&mine->poll);
    model_stop(&mine->thing);
    if (program_chance(500))
        poll_let_go(mine); /* and its numbers are free for others */
}

/* One gives its numbers back, and another has them at once: events may be on their way. */
static void poll_replace(struct poll *mine)
{
    loop_poll_stop(&mine->poll);
    model_stop(&mine->thing);
    poll_let_go(mine);
    struct poll *other = poll_make();
    if (other)
        poll_start(other);
}

static void poll_hang_up(struct poll *mine)
{
    if (mine->other_fd >= 0)
        sys_close(mine->other_fd);
    mine->other_fd = -1;
}

static void poll_write(struct poll *mine)
{
    if (mine->other_fd < 0)
        return;
    struct iovec iov = {.iov_base = (char[]){"some bytes"}, .iov_len = 10};
    sys_writev_quietly(mine->events == LOOP_READABLE ? mine->other_fd : mine->fd, &iov, 1);
}

static void poll_act(void)
{
    struct thing *thing = model_pick(POLL_BIT);
    if (!thing || (program_chance(300) && model_count(POLL_BIT) < THINGS_MAX)) {
        poll_make();
        return;
    }
    struct poll *mine = (struct poll *)(void *)thing;
    switch (program_below(9)) {
    case 0:
    case 1:
        poll_start(mine);
        break;
    case 7:
        poll_hang_up(mine);
        break;
    case 2:
        poll_stop(mine);
        break;
    case 5:
    case 6:
        poll_replace(mine);
        break;
    case 3:
        ref_or_unref(thing, &mine->poll.handle);
        break;
    case 4:
        model_close(thing);
        loop_close(&mine->poll.handle, on_poll_close);
        break;
    default:
        poll_write(mine);
    }
}

/* Streams have most to be found in them. */
static const struct {
    void (*act)(void);
    enum feature feature;
} kinds[] = {
    {stream_act, TCP},       {stream_act, UNIX},      {stream_act, FIFOS},
    {stream_act, TCP},       {stream_act, UNIX},      {timer_act, TIMERS},
    {hook_act, HOOKS},       {task_act, TASKS},       {post_act, POSTS},
    {async_act, ASYNCS},     {poll_act, POLLS},       {request_act, DEADLINES},
    {watching_act, CHANGES}, {process_act, CHILDREN}, {signal_act, SIGNALS},
};

enum { KINDS_OF_ACTS = sizeof(kinds) / sizeof(*kinds) };

/* Each run does more of one thing than of others, and what it does not have is drawn again. */
static unsigned choose(void)
{
    unsigned kind = favourite;
    if (favourite == KINDS_OF_ACTS)
        favourite = program_below(KINDS_OF_ACTS);
    else if (!program_chance(250))
        kind = program_below(KINDS_OF_ACTS);
    for (int i = 0; i < 3 && !(kind < KINDS_OF_ACTS && has(kinds[kind].feature)); i++)
        kind = program_below(KINDS_OF_ACTS);
    return kind;
}

static void act(void)
{
    run.budget--;
    unsigned kind = choose();
    if (!has(kinds[kind].feature))
        return;
    model_call_begins();
    kinds[kind].act();
    model_call_ends();
}

void react(void)
{
    if (has(SLOW_PROGRAM) && run.faults && program_chance(100))
        world_pass(program_below(8 * MS));
    if (has(NESTED) && !settling && run.budget > 0)
        for (unsigned n = program_below(4); n > 0 && run.budget > 0; n--)
            act();
    if (!settling && program_chance(10))
        loop_stop(&the_loop);
    model_check_alive();
}

static void on_doorbell(struct loop_task *task)
{
    (void)task;
    model_called(&doorbell.thing);
    rung = false;
    loop_stop(&the_loop);
}

/* By another thread. */
static bool ring(void)
{
    rung = true;
    model_start(&doorbell.thing);
    return loop_post(&the_loop, &doorbell.task, on_doorbell) == 0;
}

/* A listener that tries for ever to accept is not stuck, nor are two copies that feed each other,
 * but nothing comes of it. */
void told_wait(void)
{
    model_wait();
    streams_check();
    if (!rung && model_is_quiet())
        ring();
}

void told_woke(void)
{
    model_woke();
}

/* Who must still be called back. */
static struct thing *left(void)
{
    struct thing *thing = request_left();
    if (!thing)
        thing = watching_left();
    return thing ? thing : family_left();
}

/* The loop sleeps and nothing is going to happen: another thread calls it back. */
bool told_stuck(void)
{
    return !rung && (!settling || !left()) && ring();
}

static void run_loop(enum loop_mode mode)
{
    note("run %d", (int)mode);
    model_run_begins(mode == LOOP_RUN_DEFAULT);
    int left = loop_run(&the_loop, mode);
    model_run_ends();
    model_check_alive();
    check_result("run", left, left == (int)loop_alive(&the_loop));
}

static void settle(void)
{
    uint64_t end_ns = world_now() + 400 * SECOND;
    settling = true;
    run.faults = false;
    peers_calm();
    watching_calm();
    family_calm();
    copies_close();
    for (int turns = 0; left() && loop_alive(&the_loop); turns++) {
        streams_calm();
        if (world_now() > end_ns || turns > 1000000)
            fail("P10: %s %u waits for its end, or to be told", model_word(left()), left()->number);
        world_pass(10 * MS); /* an idle hook keeps the loop from it */
        run_loop(LOOP_RUN_ONCE);
    }
}

static void close_thing(struct thing *thing)
{
    switch (thing->kind) {
    case A_TIMER:
        model_close(thing);
        loop_close(&timer_of(thing)->timer.handle, on_timer_close);
        break;
    case AN_IDLE:
    case A_PREPARE:
    case A_CHECK:
        model_close(thing);
        loop_close(&((struct hook *)(void *)thing)->hook.handle, on_hook_close);
        break;
    case AN_ASYNC:
        async_close(thing);
        break;
    case A_POLL:
        model_close(thing);
        loop_close(&((struct poll *)(void *)thing)->poll.handle, on_poll_close);
        break;
    case A_STREAM:
        stream_close_now(thing, program_chance(200));
        break;
    case A_WATCH:
        watching_close(thing);
        break;
    case A_PROCESS:
        process_close(thing);
        break;
    case A_SIGNAL:
        signal_close(thing);
        break;
    default:
        break;
    }
}

/* What keeps nothing alive is still queued when the loop is over. */
static void cancel_tasks(void)
{
    struct thing *thing;
    while ((thing = model_pick(TASK_BITS))) {
        struct task *task = (struct task *)(void *)thing;
        check_result("task cancel", thing->unref, loop_task_cancel(&task->task) && thing->unref);
        model_remove(thing);
    }
}

static void close_all(void)
{
    model_call_begins();
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (!thing->closing)
            close_thing(thing);
    model_call_ends();
    for (int i = 0; loop_alive(&the_loop) || model_sure_alive(); i++) {
        run_loop(LOOP_RUN_DEFAULT);
        if (i > 100)
            fail("P10: the loop does not end");
    }
    cancel_tasks();
    if (model_things())
        fail("P3: thing %u was never called back", model_things()->number);
}

static void play(void)
{
    while (run.budget > 0) {
        for (unsigned n = 1 + program_below(8); n > 0 && run.budget > 0; n--)
            act();
        model_check_alive();
        run_loop(program_below(3));
    }
}

static int begin(void)
{
    struct loop_options options = {.clock = program_below(2)};
    options.events_max = program_chance(300) ? 1 + program_below(4) : 0;
    rung = settling = false;
    favourite = KINDS_OF_ACTS;
    doorbell = (struct task){.thing = {.kind = A_POST, .unref = true}};
    model_begin(&the_loop);
    streams_begin();
    family_begin();
    int error = loop_init(&the_loop, &options);
    check_result("init", error,
                 error == 0 || error == -ENOMEM || error == -ENOSPC || error == -EMFILE);
    return error;
}

static void finish(void)
{
    int error = loop_fini(&the_loop);
    check_result("fini", error, error == 0);
}

/* Children whose handles were closed end before the loop does, or are left to the next one. */
static void over(bool leave_children)
{
    if (leave_children)
        finish();
    world_pass(SECOND);
    if (leave_children)
        check_result("init", begin(), true);
    finish();
}

void program_main(void)
{
    if (begin() < 0) {
        run.faults = false; /* it must work the second time, and leave nothing of the first */
        check_result("init", begin(), true);
    }
    loop_task_unref(&doorbell.task);
    run.faults = true;
    play();
    settle();
    close_all();
    world_forget(&the_loop); /* nobody posts to it any more */
    over(program_chance(300));
    loop_pool_shutdown();
    jobs_end();
}
