/* Fuzzing the interface: bytes become calls, on timers, hooks, tasks, poll handles and pairs of
 * pipes, of a loop with a virtual clock; from outside, and from inside every callback.
 *
 * A byte says what is done, the next to what. No call is made that the headers call a mistake
 * which panics (closing twice, a request that is in flight); all others are, the useless ones too.
 * What has to hold: no callback of a handle that is stopped or closed, one close callback for each
 * close, one callback for each request, timers never early; and once the bytes are used up
 * everything can be closed, the loop comes to an end, is finished, and memory is back.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMERS = 6, HOOKS = 6, TASKS = 8, POLLS = 3, PAIRS = 3, PIPES = 2 * PAIRS, BUDGET = 400 };

/* What the loop is expected to know of a handle. */
struct state {
    bool open, closing;
};

static struct timer {
    struct loop_timer timer;
    struct state state;
    uint64_t due_ns;
} timers[TIMERS];

static struct hook {
    struct loop_hook hook;
    struct state state;
} hooks[HOOKS];

static struct task {
    struct loop_task task;
    bool queued;
} tasks[TASKS];

static struct poll {
    struct loop_poll poll;
    struct state state;
} polls[POLLS];

static struct pipe {
    struct loop_pipe pipe;
    struct state state;
    struct loop_write write;
    struct loop_read read;
    struct loop_shutdown shutdown;
    bool writing, reading, ending;
    char room[64];
} pipes[PIPES];

static struct loop loop;
static const uint8_t *input;
static size_t left;
static int budget; /* of calls: what restarts itself for ever comes to an end */
static int depth;
static int sockets[2];
static long allocations;

static uint8_t next(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

static void act(void);

/* A few calls from inside a callback. */
static void act_within(void)
{
    if (depth > 0)
        return;
    depth++;
    for (int i = next() % 4; i > 0; i--)
        act();
    depth--;
}

static struct state *state_of(struct loop_handle *handle)
{
    return handle->data;
}

static void on_close(struct loop_handle *handle)
{
    struct state *state = state_of(handle);
    demand(state->closing);
    demand(!loop_is_active(handle));
    *state = (struct state){0};
    act_within();
}

static void shut(struct loop_handle *handle)
{
    struct state *state = state_of(handle);
    if (!state || !state->open || state->closing)
        return;
    state->closing = true;
    loop_close(handle, on_close);
}

static void demand_open(struct loop_handle *handle)
{
    demand(state_of(handle)->open && !state_of(handle)->closing);
}

/* Timers. */

static void on_timer(struct loop_timer *handle)
{
    struct timer *timer = loop_container_of(handle, struct timer, timer);
    demand_open(&handle->handle);
    demand(loop_now(&loop) >= timer->due_ns);
    act_within();
}

static void act_on_timer(struct timer *timer, uint8_t how)
{
    uint64_t after_ns = (uint64_t)(how >> 4) * LOOP_MS;
    if (!timer->state.open) {
        loop_timer_init(&loop, &timer->timer);
        timer->timer.handle.data = &timer->state;
        timer->state.open = true;
    }
    switch (how % 6) {
    case 0:
    case 1:
        if (loop_timer_start(&timer->timer, after_ns, how & 1 ? LOOP_MS : 0, on_timer) == 0)
            timer->due_ns = loop_now(&loop) + after_ns;
        else
            demand(timer->state.closing);
        break;
    case 2:
        loop_timer_stop(&timer->timer);
        break;
    case 3:
        if (loop_timer_again(&timer->timer) == 0)
            timer->due_ns = loop_now(&loop);
        break;
    case 4:
        loop_unref(&timer->timer.handle);
        break;
    default:
        shut(&timer->timer.handle);
    }
}

/* Hooks and tasks. */

static void on_hook(struct loop_hook *hook)
{
    demand_open(&hook->handle);
    if (budget <= 0)
        loop_hook_stop(hook);
    act_within();
}

static void act_on_hook(struct hook *hook, uint8_t how)
{
    static void (*const inits[])(struct loop *, struct loop_hook *) = {loop_idle_init,
                                                                       loop_prepare_init,
                                                                       loop_check_init};
    if (!hook->state.open) {
        inits[(hook - hooks) % 3](&loop, &hook->hook);
        hook->hook.handle.data = &hook->state;
        hook->state.open = true;
    }
    if (how % 4 < 2)
        demand((loop_hook_start(&hook->hook, on_hook) == 0) == !hook->state.closing);
    else if (how % 4 == 2)
        loop_hook_stop(&hook->hook);
    else
        shut(&hook->hook.handle);
}

static void on_task(struct loop_task *queued)
{
    struct task *task = loop_container_of(queued, struct task, task);
    demand(task->queued);
    task->queued = false;
    act_within();
}

static void act_on_task(struct task *task, uint8_t how)
{
    static void (*const queue[])(struct loop *, struct loop_task *,
                                 loop_task_cb) = {loop_next_tick, loop_microtask, loop_immediate};
    if (how % 5 == 4 || task->queued) {
        demand(loop_task_cancel(&task->task) == task->queued);
        task->queued = false;
        return;
    }
    if (how % 5 == 3)
        demand(loop_post(&loop, &task->task, on_task) == 0);
    else
        queue[how % 5](&loop, &task->task, on_task);
    task->queued = true;
}

/* Poll handles, on a pair of sockets whose ends are always writable. */

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    demand_open(&poll->handle);
    demand(status == 0 && events != 0);
    if (budget <= 0)
        loop_poll_stop(poll);
    act_within();
}

static void act_on_poll(struct poll *poll, uint8_t how)
{
    if (!poll->state.open) {
        loop_poll_init(&loop, &poll->poll, sockets[(poll - polls) % 2]);
        poll->poll.handle.data = &poll->state;
        poll->state.open = true;
    }
    if (how % 4 < 2) {
        int error = loop_poll_start(&poll->poll, how >> 4, on_poll);
        demand(error == 0 || error == -EINVAL || error == -EEXIST || error == -ECANCELED);
    } else if (how % 4 == 2) {
        loop_poll_stop(&poll->poll);
    } else {
        shut(&poll->poll.handle);
    }
}

/* Pairs of pipes. */

static void on_write(struct loop_write *write, int status)
{
    struct pipe *pipe = loop_container_of(write, struct pipe, write);
    demand(pipe->writing && status <= 0);
    pipe->writing = false;
    act_within();
}

static void on_read_into(struct loop_read *read, int status)
{
    struct pipe *pipe = loop_container_of(read, struct pipe, read);
    demand(pipe->reading && status <= 0 && read->size <= sizeof(pipe->room));
    pipe->reading = false;
    act_within();
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    struct pipe *pipe = loop_container_of(shutdown, struct pipe, shutdown);
    demand(pipe->ending && status <= 0);
    pipe->ending = false;
    act_within();
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    demand_open(&stream->handle);
    demand(size != 0);
    if (size > 0)
        memset(bytes, 0, (size_t)size); /* ours to change */
    act_within();
}

static void open_pair(struct pipe *pair)
{
    for (int i = 0; i < 2; i++) {
        loop_pipe_init(&loop, &pair[i].pipe);
        pair[i].pipe.handle.data = &pair[i].state;
        pair[i].state.open = true;
    }
    demand(loop_pipe_pair(&pair[0].pipe, &pair[1].pipe) == 0);
}

static void write_some(struct pipe *pipe, uint8_t how)
{
    static const char bytes[300000];
    struct loop_buf buf = {bytes, how < 0xf0 ? how : sizeof(bytes)};
    if (pipe->writing)
        return;
    pipe->writing = loop_write(&pipe->pipe.stream, &pipe->write, &buf, 1, on_write) >= 0;
}

static void read_exactly(struct pipe *pipe, uint8_t how)
{
    if (pipe->reading)
        return;
    pipe->reading = loop_read_into(&pipe->pipe.stream, &pipe->read, pipe->room, how % 64,
                                   sizeof(pipe->room), on_read_into) == 0;
}

static void cancel_something(struct pipe *pipe)
{
    if (pipe->writing)
        loop_request_cancel(&pipe->write.request);
    else if (pipe->reading)
        loop_request_deadline(&pipe->read.request, LOOP_MS);
}

static void act_on_pipe(struct pipe *pipe, uint8_t what, uint8_t how)
{
    struct pipe *pair = &pipes[(pipe - pipes) / 2 * 2];
    if (!pair[0].state.open && !pair[1].state.open)
        open_pair(pair);
    if (!pipe->state.open)
        return;
    switch (what % 7) {
    case 0:
        loop_read_start(&pipe->pipe.stream, on_read);
        break;
    case 1:
        loop_read_stop(&pipe->pipe.stream);
        break;
    case 2:
        write_some(pipe, how);
        break;
    case 3:
        read_exactly(pipe, how);
        break;
    case 4:
        if (!pipe->ending)
            pipe->ending = loop_shutdown(&pipe->pipe.stream, &pipe->shutdown, on_shutdown) == 0;
        break;
    case 5:
        cancel_something(pipe);
        break;
    default:
        shut(&pipe->pipe.handle);
    }
}

/* A call, and then the end. */

static void act(void)
{
    uint8_t what = next(), how = next();
    if (budget-- <= 0)
        return;
    switch (what % 8) {
    case 0:
        loop_run(&loop, LOOP_RUN_NOWAIT); /* inside a callback: -EBUSY */
        break;
    case 1:
    case 2:
        act_on_timer(&timers[what / 8 % TIMERS], how);
        break;
    case 3:
        act_on_hook(&hooks[what / 8 % HOOKS], how);
        break;
    case 4:
        act_on_task(&tasks[what / 8 % TASKS], how);
        break;
    case 5:
        act_on_poll(&polls[what / 8 % POLLS], how);
        break;
    default:
        act_on_pipe(&pipes[what / 8 % PIPES], how, next());
    }
}

static void close_all(void)
{
    left = 0;
    budget = 0;
    for (int i = 0; i < TIMERS; i++)
        shut(&timers[i].timer.handle);
    for (int i = 0; i < HOOKS; i++)
        shut(&hooks[i].hook.handle);
    for (int i = 0; i < POLLS; i++)
        shut(&polls[i].poll.handle);
    for (int i = 0; i < PIPES; i++)
        shut(&pipes[i].pipe.handle);
    demand(loop_run(&loop, LOOP_RUN_DEFAULT) == 0);
}

static void demand_silence(void)
{
    for (int i = 0; i < TIMERS; i++)
        demand(!timers[i].state.open);
    for (int i = 0; i < TASKS; i++)
        demand(!tasks[i].queued);
    for (int i = 0; i < PIPES; i++)
        demand(!pipes[i].state.open && !pipes[i].writing && !pipes[i].reading && !pipes[i].ending);
}

static void *resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    allocations += (!memory && size > 0) - (memory && size == 0);
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

static void forget_all(void)
{
    memset(timers, 0, sizeof(timers));
    memset(hooks, 0, sizeof(hooks));
    memset(tasks, 0, sizeof(tasks));
    memset(polls, 0, sizeof(polls));
    memset(pipes, 0, sizeof(pipes));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL, .allocator.resize = resize};
    input = bytes;
    left = size;
    budget = BUDGET;
    forget_all();
    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
    demand(loop_init(&loop, &options) == 0);
    while (left > 0 && budget > 0)
        act();
    close_all();
    demand_silence();
    demand(loop_fini(&loop) == 0);
    demand(allocations == 0);
    close(sockets[0]);
    close(sockets[1]);
    return 0;
}
