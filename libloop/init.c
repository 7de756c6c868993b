/* The making and the end of a loop, and its second beginning in a forked child.
 *
 * All that a loop takes from outside it takes here: memory for events, an epoll descriptor, an
 * eventfd. The fallible steps come first and are undone in reverse order. It is given back only
 * when nothing is left that could call back, so that ending a loop never calls anybody.
 *
 * fork(2) copies the loop's memory but shares its epoll set: a child that ran the loop would take
 * its parent's events and undo its registrations. The child is told apart by a number that a fork
 * handler counts up, which costs no system call; loop_after_fork() gives it descriptors of its own.
 * A child made by a bare clone(2) system call is not noticed.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

enum {
    EVENTS_MAX = 1024,   /* 12 KiB: what one epoll_wait() brings; more waits for the next turn */
    DRAIN_MAX = 1000000, /* about 10 ms of empty ticks: no program means that */
};

static uint32_t generation;

static void count_fork(void)
{
    generation++;
}

static void watch_forks(void)
{
    sys_at_fork_in_child(count_fork);
}

uint32_t fork_generation(void)
{
    return generation;
}

bool forked(const struct loop *loop)
{
    return loop->fork_generation != generation;
}

void *memory_resize(const struct loop_allocator *allocator, void *memory, size_t size)
{
    return allocator->resize(allocator->ctx, memory, size);
}

uint32_t loop_version(void)
{
    return LOOP_VERSION_MAJOR << 16 | LOOP_VERSION_MINOR << 8 | LOOP_VERSION_PATCH;
}

const char *loop_version_string(void)
{
    return LOOP_VERSION_STRING;
}

static struct loop_options with_defaults(const struct loop_options *given)
{
    struct loop_options options = given ? *given : (struct loop_options){0};
    if (options.events_max == 0)
        options.events_max = EVENTS_MAX;
    if (options.drain_max == 0)
        options.drain_max = DRAIN_MAX;
    if (!options.allocator.resize)
        options.allocator.resize = sys_resize;
    if (sys_processors_online() == 1)
        options.spin_ns = 0; /* whoever we would wait for needs this processor */
    return options;
}

static void init_lists(struct loop *loop)
{
    struct loop_link *lists[] = {
        &loop->pending, &loop->idle,   &loop->prepare,    &loop->immediates,  &loop->check,
        &loop->closing, &loop->ticks,  &loop->microtasks, &loop->taken_hooks, &loop->ran_hooks,
        &loop->ending,  &loop->posted, &loop->handles,    &loop->requests,
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        list_init(lists[i]);
}

int loop_init(struct loop *loop, const struct loop_options *options)
{
    static sys_once forks_watched = SYS_ONCE;
    struct loop_options chosen = with_defaults(options);
    if (!loop || chosen.clock > LOOP_CLOCK_VIRTUAL || chosen.events_max > INT32_MAX / 16)
        return -EINVAL;

    sys_call_once(&forks_watched, watch_forks);
    *loop = (struct loop){.data = loop->data, .options = chosen};
    loop->fork_generation = fork_generation();
    init_lists(loop);
    loop_update_now(loop);
    wheel_init(&loop->wheel, loop->now_ns);

    int error = poller_open(loop);
    if (error)
        return error;
    error = mailbox_open(loop);
    if (error) {
        poller_close(loop);
        return error;
    }
    trace_from_environment(loop);
    return 0;
}

static void count(struct loop_handle *handle, void *arg)
{
    (void)handle;
    ++*(size_t *)arg;
}

static size_t length(const struct loop_link *list)
{
    size_t length = 0;
    for (struct loop_link *link = list->next; link != list; link = link->next)
        length++;
    return length;
}

/* More timers and tasks than Node's words have made, which are the library's own to let go of. */
static bool timers_or_tasks_left(struct loop *loop)
{
    size_t left = length(&loop->immediates) + length(&loop->ticks) + length(&loop->microtasks);
    timers_walk(loop, count, &left);
    return left > node_entries(loop);
}

static bool anything_left(struct loop *loop)
{
    return !list_empty(&loop->pending) || !list_empty(&loop->idle) || !list_empty(&loop->prepare) ||
           !list_empty(&loop->check) || !list_empty(&loop->closing) ||
           !list_empty(&loop->handles) || !list_empty(&loop->requests) || post_has_tasks(loop) ||
           timers_or_tasks_left(loop);
}

int loop_fini(struct loop *loop)
{
    if (!loop)
        return -EINVAL;
    thread_check(loop, "loop");
    if (loop->running)
        return -EBUSY;
    if (anything_left(loop))
        return -EBUSY;
    processes_fini(loop);
    node_fini(loop);
    trace_fini(loop);
    mailbox_close(loop);
    poller_close(loop);
    return 0;
}

/* What other threads were to finish, nobody will: they were not copied. */
static void abandon_requests(struct loop *loop)
{
    struct loop_link taken;
    struct loop_link *link;
    list_take(&loop->requests, &taken);
    while ((link = list_pop(&taken))) {
        struct loop_request *request = loop_container_of(link, struct loop_request, link);
        list_append(&loop->requests, link);
        if (request->ops->abandon) {
            request->ops->abandon(request);
            request_defer(request);
        }
    }
    loop->clock_holds = 0;
}

int loop_after_fork(struct loop *loop)
{
    if (!loop)
        return -EINVAL;
    if (!forked(loop))
        return 0;
    int error = poller_reopen(loop);
    if (!error)
        error = mailbox_reopen(loop);
    if (error)
        return error;
    abandon_requests(loop);
    pool_after_fork(loop);
    return 0;
}
