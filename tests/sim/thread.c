/* Threads without threads: each is a context of its own on this one, which runs until it waits.
 *
 * A thread that was started or signalled goes on a while later, inside some system call of the loop
 * or while the loop sleeps, which is when the time for it has come. So the pool's own code runs,
 * locks and all, and completions come at times that follow from the seed. That a lock is taken is
 * checked; that it would be needed is not: real threads and a sanitizer do that elsewhere.
 *
 * The address sanitizer has to be told of each change of stacks; without it, nobody is.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"
#include "sys_park.h"

#include <ucontext.h>

enum { STACK_SIZE = 256 * 1024 };

struct sim_thread {
    ucontext_t context;
    struct sim_thread *next;
    void *(*run)(void *);
    void *arg;
    const void *waits_for; /* a condition or a word; or NULL */
    uint64_t waits;        /* how often it has waited: a deadline is that of one */
    bool done;
    void *fake_stack;
    char *stack;
};

void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size)
    __attribute__((weak));
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size)
    __attribute__((weak));

static struct sim_thread *threads;
static struct sim_thread *current; /* NULL: the loop's thread */
static ucontext_t home;
static const void *home_bottom;
static size_t home_size;

void threads_begin(void)
{
    threads = current = NULL;
}

void threads_end(void)
{
    while (threads) {
        struct sim_thread *thread = threads;
        threads = thread->next;
        if (!thread->done)
            fail("P9: a thread was not ended");
        free(thread->stack);
        free(thread);
    }
}

bool in_thread(void)
{
    return current != NULL;
}

static const void *self(void)
{
    return current ? (const void *)current : (const void *)&home;
}

static void leave_for_home(bool for_good)
{
    struct sim_thread *thread = current;
    current = NULL;
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(for_good ? NULL : &thread->fake_stack, home_bottom,
                                       home_size);
    swapcontext(&thread->context, &home);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(thread->fake_stack, &home_bottom, &home_size);
}

static void begin(void)
{
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(NULL, &home_bottom, &home_size);
    current->run(current->arg);
    current->done = true;
    leave_for_home(true);
}

static void go_on(void *what, uint64_t number)
{
    struct sim_thread *thread = what;
    void *fake_stack = NULL;
    (void)number;
    current = thread;
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&fake_stack, thread->stack, STACK_SIZE);
    swapcontext(&home, &thread->context);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
}

static void wake(struct sim_thread *thread)
{
    thread->waits_for = NULL;
    thread->waits++;
    world_later(world_below(50 * US), go_on, thread, 0);
}

int sys_thread_start(sys_thread *thread, size_t stack_size, const char *name,
                     void *(*start)(void *), void *arg)
{
    (void)stack_size;
    (void)name;
    if (fault(NO_MEMORY, 200))
        return -EAGAIN;
    struct sim_thread *made = calloc(1, sizeof(*made));
    made->stack = malloc(STACK_SIZE);
    made->run = start;
    made->arg = arg;
    made->next = threads;
    threads = *thread = made;
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack;
    made->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&made->context, begin, 0);
    wake(made);
    return 0;
}

void sys_thread_join(sys_thread thread)
{
    while (!thread->done && current)
        thread_busy(US);
    while (!thread->done)
        if (!world_next(UINT64_MAX))
            fail("P10: a thread is waited for that waits itself");
}

void thread_busy(uint64_t ns)
{
    world_later(ns, go_on, current, 0);
    leave_for_home(false);
}

void sys_mutex_init(sys_mutex *mutex)
{
    mutex->owner = NULL;
}

void sys_mutex_fini(sys_mutex *mutex)
{
    if (mutex->owner)
        fail("a mutex is finished while it is held");
}

/* Nobody lets time pass while holding one, so it is free. */
void sys_lock(sys_mutex *mutex)
{
    if (mutex->owner)
        fail("a mutex is taken that somebody holds");
    mutex->owner = self();
}

void sys_unlock(sys_mutex *mutex)
{
    if (mutex->owner != self())
        fail("a mutex is given back by who does not hold it");
    mutex->owner = NULL;
}

void sys_cond_init(sys_cond *cond)
{
    cond->waiting = 0;
}

void sys_cond_fini(sys_cond *cond)
{
    if (cond->waiting > 0)
        fail("a condition is finished that somebody waits for");
}

/* The loop's own thread looks again whenever something has happened. */
void sys_cond_wait(sys_cond *cond, sys_mutex *mutex)
{
    sys_unlock(mutex);
    if (current) {
        cond->waiting++;
        current->waits_for = cond;
        leave_for_home(false);
    } else if (!world_next(UINT64_MAX)) {
        fail("P10: a condition is waited for that nobody will signal");
    }
    sys_lock(mutex);
}

void sys_cond_signal(sys_cond *cond)
{
    for (struct sim_thread *thread = threads; thread; thread = thread->next) {
        if (thread->waits_for != cond)
            continue;
        cond->waiting--;
        wake(thread);
        return;
    }
}

void sys_cond_broadcast(sys_cond *cond)
{
    while (cond->waiting > 0)
        sys_cond_signal(cond);
}

/* The deadline of a wait that is over is nobody's. */
static void be_late(void *what, uint64_t wait)
{
    struct sim_thread *thread = what;
    if (thread->waits == wait && thread->waits_for)
        wake(thread);
}

int sys_park(uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
        return -EAGAIN;
    if (deadline_ns <= world_now())
        return -ETIMEDOUT;
    current->waits_for = word;
    if (deadline_ns != UINT64_MAX)
        world_later(deadline_ns - world_now(), be_late, current, current->waits);
    leave_for_home(false);
    bool called = __atomic_load_n(word, __ATOMIC_SEQ_CST) != value;
    return called || world_now() < deadline_ns ? 0 : -ETIMEDOUT;
}

void sys_unpark(const uint32_t *word)
{
    for (struct sim_thread *thread = threads; thread; thread = thread->next) {
        if (thread->waits_for != word)
            continue;
        wake(thread);
        return;
    }
}
