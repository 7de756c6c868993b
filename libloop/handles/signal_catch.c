/* The one handler of the process for all signals that loops wait for.
 *
 * It may come to any thread, whoever runs there, so it does three things that are safe everywhere:
 * it marks the signal in the cell of each loop that wants it, and writes that loop's eventfd. What
 * it walks is changed only under a lock, which it takes too, with all signals blocked: nobody who
 * holds it can be interrupted by a handler that waits for it, and a handler on another thread waits
 * for a few instructions. Starting and stopping is ordered by a mutex besides, which no handler
 * ever touches, and under which the kernel is asked.
 *
 * The handler that the program had is put back with the last who wants the signal. If the program
 * has put another over ours meanwhile, that one stays: it may call ours, which therefore is never
 * made to call it, or both would go round for ever.
 *
 * A forked child has the same cells but must not wake its parent's loops. Both locks are held
 * across fork(2), and each cell gets an eventfd of its own, under the same number, before anything
 * else runs in the child.
 *
 * Alternatives not taken: signalfd(2), which works only if the signal is blocked in every thread of
 * the program, which a library cannot promise; a self-pipe, which can be full.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/signal.h"

struct caught {
    uint32_t users;  /* handles of all loops */
    uint32_t takers; /* of these, such as do not pass it on */
    bool installed;  /* our handler, or one that may call ours */
    bool layered;    /* the handler before ours may call ours */
    struct sigaction previous;
};

static struct loop_link cells = {&cells, &cells};
static uint32_t spin_lock;
static sys_mutex mutex = SYS_MUTEX_READY;
static struct caught table[SIGNAL_MAX];
static sigset_t mask_before_fork;

static sigset_t lock(void)
{
    sigset_t before = sys_signals_block();
    while (atomic_swap(&spin_lock, 1))
        sys_yield();
    return before;
}

static void unlock(sigset_t before)
{
    atomic_put(&spin_lock, 0);
    sys_signals_restore(before);
}

static struct loop_signal_cell *cell_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_signal_cell, link);
}

/* A mark that is there already belongs to a wake-up that is still to be heard. */
static void mark_and_wake(uint64_t bit)
{
    for (struct loop_link *link = cells.next; link != &cells; link = link->next) {
        struct loop_signal_cell *cell = cell_of(link);
        if (cell->wanted & bit && !(atomic_or(&cell->pending, bit) & bit))
            sys_eventfd_signal(cell->wake.fd);
    }
}

static bool is_handler(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    const struct caught *caught = &table[number - 1];
    struct sigaction previous = {.sa_handler = SIG_DFL};
    sigset_t before = lock();
    mark_and_wake(signal_bit(number));
    if (caught->takers == 0 && !caught->layered)
        previous = caught->previous;
    unlock(before);
    if (!is_handler(&previous))
        return;
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, info, context);
    else
        previous.sa_handler(number);
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

/* What the program said of its handler holds while it is called too. */
static int flags_over(const struct sigaction *now, bool passes_on)
{
    int flags = passes_on && is_handler(now) ? now->sa_flags : SA_RESTART | SA_ONSTACK;
    return (flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
}

/* Under the mutex. */
static int install(int number, bool passes_on)
{
    struct caught *caught = &table[number - 1];
    struct sigaction now, ours = {.sa_sigaction = on_signal};
    int error = sys_sigaction(number, NULL, &now);
    if (error || is_ours(&now) || (passes_on && caught->installed && is_handler(&now)))
        return error;
    sigset_t before = lock();
    caught->previous = now;
    caught->layered = caught->installed && is_handler(&now);
    unlock(before);
    ours.sa_flags = flags_over(&now, passes_on);
    sigfillset(&ours.sa_mask);
    error = sys_sigaction(number, &ours, NULL);
    caught->installed |= !error;
    return error;
}

/* Under the mutex. */
static void uninstall(int number)
{
    struct caught *caught = &table[number - 1];
    struct sigaction now;
    if (sys_sigaction(number, NULL, &now) < 0 || !is_ours(&now))
        return;
    sys_sigaction(number, &caught->previous, NULL);
    caught->installed = caught->layered;
}

static void before_fork(void)
{
    sys_lock(&mutex);
    mask_before_fork = lock();
}

static void after_fork(void)
{
    unlock(mask_before_fork);
    sys_unlock(&mutex);
}

/* What came to the parent is not for the child. Closing first makes sure that there is a number. */
static void after_fork_in_child(void)
{
    for (struct loop_link *link = cells.next; link != &cells; link = link->next) {
        struct loop_signal_cell *cell = cell_of(link);
        cell->pending = 0;
        sys_close(cell->wake.fd);
        int fd = sys_eventfd();
        if (fd >= 0 && fd != cell->wake.fd) {
            sys_dup_over(fd, cell->wake.fd);
            sys_close(fd);
        }
    }
    after_fork();
}

static void watch_forks(void)
{
    sys_at_fork(before_fork, after_fork, after_fork_in_child);
}

struct loop_signal_cell *signals_find(const struct loop *loop)
{
    struct loop_signal_cell *found = NULL;
    sys_lock(&mutex);
    for (struct loop_link *link = cells.next; link != &cells && !found; link = link->next)
        found = cell_of(link)->loop == loop ? cell_of(link) : NULL;
    sys_unlock(&mutex);
    return found;
}

void signals_enter(struct loop_signal_cell *cell)
{
    static sys_once forks_watched = SYS_ONCE;
    sys_call_once(&forks_watched, watch_forks);
    sys_lock(&mutex);
    sigset_t before = lock();
    list_append(&cells, &cell->link);
    unlock(before);
    sys_unlock(&mutex);
}

void signals_leave(struct loop_signal_cell *cell)
{
    sys_lock(&mutex);
    sigset_t before = lock();
    list_remove(&cell->link);
    unlock(before);
    sys_unlock(&mutex);
}

/* Under the mutex. */
static void count(struct loop_signal_cell *cell, int number, uint32_t users, uint32_t takers)
{
    struct caught *caught = &table[number - 1];
    uint64_t bit = signal_bit(number);
    sigset_t before = lock();
    caught->users += users;
    caught->takers += takers;
    cell->users[number - 1] += users;
    cell->wanted = cell->users[number - 1] > 0 ? cell->wanted | bit : cell->wanted & ~bit;
    if (!(cell->wanted & bit))
        atomic_and(&cell->pending, ~bit);
    unlock(before);
}

int signals_want(struct loop_signal_cell *cell, int number, bool passes_on)
{
    const struct caught *caught = &table[number - 1];
    sys_lock(&mutex);
    bool first = passes_on ? caught->users == 0 : caught->takers == 0;
    int error = first ? install(number, passes_on) : 0;
    if (!error)
        count(cell, number, 1, !passes_on);
    sys_unlock(&mutex);
    return error;
}

void signals_unwant(struct loop_signal_cell *cell, int number, bool passes_on)
{
    sys_lock(&mutex);
    count(cell, number, UINT32_MAX, passes_on ? 0 : UINT32_MAX); /* minus one */
    if (table[number - 1].users == 0)
        uninstall(number);
    sys_unlock(&mutex);
}
