/* Time, and what is going to happen.
 *
 * The clock stands still but for what moves it: a system call costs a little, a callback of the
 * program may take long, and a wait jumps to what happens next. What is going to happen is a heap
 * by time, and at one time in the order in which it was planned. It happens inside system calls, as
 * the deeds of other processes and of the network do.
 *
 * timerfd: absolute, expires once, a little late at times, as timers of a busy kernel do. Arming it
 * anew takes back an expiration that nobody has read, as timerfd_settime(2) does.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

enum { PLANS_MAX = 1 << 16 };

struct plan {
    uint64_t at_ns;
    uint64_t number;  /* of its planning */
    happening happen; /* NULL: it was forgotten */
    void *what;
    uint64_t argument;
};

static struct plan plans[PLANS_MAX];
static size_t plan_count;
static uint64_t planned, happened, now_ns;

void world_begin(void)
{
    plan_count = 0;
    planned = happened = 0;
    now_ns = world_below(UINT32_MAX);
    now_ns = SECOND + now_ns * world_below(1 << 20);
}

void world_end(void)
{
    plan_count = 0;
}

uint64_t world_now(void)
{
    return now_ns;
}

uint64_t world_happened(void)
{
    return happened;
}

static bool before(const struct plan *a, const struct plan *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

static void swap(size_t i, size_t j)
{
    struct plan plan = plans[i];
    plans[i] = plans[j];
    plans[j] = plan;
}

void world_later(uint64_t after_ns, happening happen, void *what, uint64_t number)
{
    if (plan_count == PLANS_MAX)
        fail("the simulator plans too much");
    size_t i = plan_count++;
    plans[i] = (struct plan){now_ns + after_ns, planned++, happen, what, number};
    for (; i > 0 && before(&plans[i], &plans[(i - 1) / 2]); i = (i - 1) / 2)
        swap(i, (i - 1) / 2);
}

static struct plan take(void)
{
    struct plan first = plans[0];
    plans[0] = plans[--plan_count];
    for (size_t i = 0, least; 2 * i + 1 < plan_count; i = least) {
        least = 2 * i + 1;
        if (least + 1 < plan_count && before(&plans[least + 1], &plans[least]))
            least++;
        if (!before(&plans[least], &plans[i]))
            break;
        swap(i, least);
    }
    return first;
}

void world_forget(const void *what)
{
    for (size_t i = 0; i < plan_count; i++)
        if (plans[i].what == what)
            plans[i].happen = NULL;
}

static void do_first(void)
{
    struct plan plan = take();
    now_ns = plan.at_ns > now_ns ? plan.at_ns : now_ns;
    if (!plan.happen)
        return;
    happened++;
    plan.happen(plan.what, plan.argument);
}

/* What happens may take time itself, so the end is fixed before. */
void world_pass(uint64_t ns)
{
    uint64_t until_ns = now_ns + ns;
    while (plan_count > 0 && plans[0].at_ns <= until_ns)
        do_first();
    now_ns = until_ns > now_ns ? until_ns : now_ns;
}

bool world_next(uint64_t until_ns)
{
    while (plan_count > 0 && !plans[0].happen)
        take();
    if (plan_count > 0 && plans[0].at_ns <= until_ns) {
        do_first();
        return true;
    }
    if (until_ns == UINT64_MAX)
        return false;
    now_ns = until_ns > now_ns ? until_ns : now_ns;
    return true;
}

void world_call(int fd)
{
    run.steps++;
    signals_call();
    if (fd >= 0)
        epoll_touched(fd);
    if (in_thread())
        return; /* its time is what it says it is */
    world_pass(has(SLOW_CALLS) ? world_below(3 * US) : 50);
}

uint64_t sys_clock_ns(clockid_t clock)
{
    (void)clock;
    world_call(-1);
    return now_ns;
}

void sys_pause_ns(uint64_t ns)
{
    world_pass(ns);
}

struct timer_file {
    struct file file;
    bool expired;
};

static uint32_t timer_events(const struct file *file)
{
    return ((const struct timer_file *)(const void *)file)->expired ? EPOLLIN : 0;
}

static void free_timer(struct file *file)
{
    world_forget(file);
    free(file);
}

static const struct file_ops timer_ops = {.events = timer_events, .release = free_timer};

int sys_timerfd_create(clockid_t clock)
{
    (void)clock;
    world_call(-1);
    if (fault(FEW_FILES, 400))
        return -ENFILE;
    struct timer_file *timer = calloc(1, sizeof(*timer));
    timer->file.ops = &timer_ops;
    return file_open(&timer->file);
}

static void expire(void *what, uint64_t number)
{
    struct timer_file *timer = what;
    (void)number;
    timer->expired = true;
    timer->file.pulse++;
}

int sys_timerfd_arm(int fd, uint64_t deadline_ns)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file || file->ops != &timer_ops)
        return file ? -EINVAL : -EBADF;
    struct timer_file *timer = (struct timer_file *)(void *)file;
    world_forget(timer);
    timer->expired = false;
    uint64_t late_ns = world_chance(200) ? world_below(60 * US) : 0;
    uint64_t after_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    if (after_ns < UINT64_MAX / 4)
        world_later(after_ns + late_ns, expire, timer, 0);
    return 0;
}
