/* Processes: numbers, descriptors that name them, and how they end.
 *
 * A child is started by running the library's own code for it up to the program, which is then
 * executed, or not; that code ends by a jump. What the program does is decided by chance: it ends
 * after a while, with a status, or only when somebody kills it. A process that has ended stays a
 * zombie until its parent asks. There are processes of others, too, whose end can be seen and not
 * asked about. Children in this run: all of them must have been asked about at the end.
 *
 * Signals: a handler is called between two system calls, on whichever thread is there, unless they
 * are blocked; then when they are not any more. What came twice meanwhile comes once.
 *
 * SPDX-License-Identifier: MIT */
#include "children.h"

#include <setjmp.h>

struct pidfd {
    struct file file;
    struct child *child;
};

static struct child *children;
static pid_t last_pid;
static jmp_buf in_parent;
static struct child *being_made;
static struct sigaction handlers[NSIG];
static uint64_t pending;
static bool blocked;
static int planned_number;
static unsigned planned_calls; /* until it comes; 0: none is planned */

void children_begin(void)
{
    children = NULL;
    last_pid = 100;
    memset(handlers, 0, sizeof(handlers));
    pending = 0;
    blocked = false;
    planned_calls = 0;
}

void children_end(void)
{
    while (children) {
        struct child *child = children;
        children = child->next;
        if (!child->is_stranger && !child->reaped)
            fail("P9: process %d was left a zombie", (int)child->pid);
        free(child);
    }
    for (int number = 1; number < NSIG; number++)
        if (handlers[number].sa_flags & SA_SIGINFO)
            fail("P9: the handler of signal %d was not taken away", number);
}

static struct child *make(void)
{
    struct child *child = calloc(1, sizeof(*child));
    child->pid = ++last_pid;
    child->next = children;
    children = child;
    return child;
}

static void end(struct child *child, int status, int signal_number)
{
    if (child->ended)
        return;
    child->ended = true;
    child->status = status;
    child->signal = signal_number;
    world_forget(child);
}

static void end_by_itself(void *what, uint64_t status)
{
    end(what, (int)status, 0);
}

static void end_by_signal(void *what, uint64_t number)
{
    end(what, 0, (int)number);
}

/* The order in which arguments are evaluated is the compiler's affair, that of chance is not. */
static void end_later(struct child *child)
{
    uint32_t after_ns = world_below(20 * MS);
    world_later(after_ns, end_by_itself, child, world_below(256));
}

static void live(struct child *child)
{
    if (!run.faults || !world_chance(200))
        end_later(child); /* otherwise it runs until it is killed */
}

void children_calm(void)
{
    for (struct child *child = children; child; child = child->next)
        if (!child->ended)
            end_later(child);
}

struct child *stranger(void)
{
    struct child *child = make();
    child->is_stranger = true;
    live(child);
    return child;
}

struct child *child_at(pid_t pid)
{
    struct child *child = children;
    while (child && child->pid != pid)
        child = child->next;
    return child;
}

static uint32_t pidfd_events(const struct file *file)
{
    return ((const struct pidfd *)(const void *)file)->child->ended ? EPOLLIN : 0;
}

static void free_pidfd(struct file *file)
{
    free(file);
}

static const struct file_ops pidfd_ops = {.events = pidfd_events, .release = free_pidfd};

static int open_pidfd(struct child *child)
{
    struct pidfd *pidfd = calloc(1, sizeof(*pidfd));
    pidfd->file.ops = &pidfd_ops;
    pidfd->child = child;
    return file_open(&pidfd->file);
}

static struct child *child_of(int fd)
{
    struct file *file = file_of(fd);
    if (!file || file->ops != &pidfd_ops)
        fail("descriptor %d names no process", fd);
    return ((struct pidfd *)(void *)file)->child;
}

int sys_pidfd_open(pid_t pid)
{
    world_call(-1);
    struct child *child = child_at(pid);
    return child && !child->reaped ? open_pidfd(child) : -ESRCH;
}

static int strike(struct child *child, int number)
{
    if (child->reaped || (child->ended && child->is_stranger))
        return -ESRCH;
    if (number > 0 && !child->ended)
        world_later(world_below(100 * US), end_by_signal, child, (uint64_t)number);
    return 0;
}

int sys_pidfd_signal(int pidfd, int number)
{
    world_call(pidfd);
    return strike(child_of(pidfd), number);
}

int sys_pidfd_signal_group(int pidfd, int number)
{
    (void)pidfd;
    (void)number;
    return -EINVAL;
}

int sys_kill_group(pid_t leader, int number)
{
    world_call(-1);
    struct child *child = child_at(leader);
    return child && child->leads ? strike(child, number) : -ESRCH;
}

int sys_wait(int pidfd, siginfo_t *info, int options)
{
    world_call(pidfd);
    struct child *child = child_of(pidfd);
    memset(info, 0, sizeof(*info));
    if (child->is_stranger || child->reaped)
        return -ECHILD;
    while (!child->ended && !(options & WNOHANG))
        if (!world_next(UINT64_MAX))
            fail("P10: process %d is waited for, and never ends", (int)child->pid);
    if (!child->ended)
        return 0;
    info->si_pid = child->pid;
    info->si_code = child->signal ? CLD_KILLED : CLD_EXITED;
    info->si_status = child->signal ? child->signal : child->status;
    child->reaped = !(options & SYS_WNOWAIT);
    return 0;
}

/* run() does not come back if it has executed a program. */
pid_t sys_spawn(int (*run_child)(void *arg), void *stack_top, void *arg, int *pidfd)
{
    (void)stack_top;
    world_call(-1);
    if (fault(NO_MEMORY, 100))
        return world_chance(500) ? -EAGAIN : -ENOMEM;
    struct child *child = make();
    int fd = open_pidfd(child);
    if (fd < 0) {
        children = child->next;
        free(child);
        return fd;
    }
    *pidfd = fd;
    being_made = child;
    if (setjmp(in_parent) == 0)
        run_child(arg);
    being_made = NULL;
    return child->pid;
}

int sys_child_execute(const char *path, const char *const *args, const char *const *env)
{
    (void)args;
    (void)env;
    if (strcmp(path, "/program") != 0)
        return -ENOENT;
    if (world_chance(run.faults ? 100 : 0))
        return -EACCES;
    live(being_made);
    longjmp(in_parent, 1);
}

void sys_child_exit(void)
{
    end(being_made, 127, 0);
    longjmp(in_parent, 1);
}

int sys_child_new_group(void)
{
    being_made->leads = true;
    return 0;
}

int sys_child_setsid(void)
{
    return sys_child_new_group();
}

/* The child's table of descriptors is its own: nothing here sees it. */
int sys_child_move_up(int fd, int least)
{
    return file_of(fd) ? least + fd : -EBADF;
}

int sys_child_keep(int fd)
{
    (void)fd;
    return 0;
}

int sys_child_dup_to(int fd, int to)
{
    (void)fd;
    return to;
}

void sys_child_close_on_exec_from(unsigned first)
{
    (void)first;
}

int sys_child_chdir(const char *path)
{
    (void)path;
    return -ENOENT;
}

int sys_child_drop_groups(void)
{
    return -EPERM;
}

int sys_child_setgid(gid_t gid)
{
    (void)gid;
    return -EPERM;
}

int sys_child_setuid(uid_t uid)
{
    (void)uid;
    return -EPERM;
}

void sys_child_signal_default(int number)
{
    (void)number;
}

void sys_child_signal_mask(const sigset_t *mask)
{
    (void)mask;
}

int sys_dumpable(void)
{
    return 1;
}

void sys_set_dumpable(int dumpable)
{
    (void)dumpable;
}

char **sys_environ(void)
{
    return NULL;
}

int sys_pipe(int ends[2])
{
    (void)ends;
    return -EMFILE;
}

int sys_socketpair_blocking(int fds[2])
{
    (void)fds;
    return -EMFILE;
}

int sys_dup_over(int from, int to)
{
    (void)from;
    (void)to;
    return -EBADF;
}

/* Signals. */

static void deliver(int number)
{
    siginfo_t info = {.si_signo = number};
    if (!(handlers[number].sa_flags & SA_SIGINFO))
        return;
    told_signal(number);
    sigset_t before = sys_signals_block();
    handlers[number].sa_sigaction(number, &info, NULL);
    sys_signals_restore(before);
}

void signal_send(int number)
{
    if (blocked)
        pending |= UINT64_C(1) << number;
    else
        deliver(number);
}

void signal_send_at(int number, unsigned calls)
{
    planned_number = number;
    planned_calls = calls;
}

void signals_call(void)
{
    if (planned_calls > 0 && --planned_calls == 0)
        signal_send(planned_number);
}

sigset_t sys_signals_block(void)
{
    sigset_t before;
    sigemptyset(&before);
    if (blocked)
        sigfillset(&before);
    blocked = true;
    return before;
}

void sys_signals_restore(sigset_t before)
{
    blocked = sigismember(&before, SIGTERM);
    for (int number = 1; number < 64 && !blocked; number++) {
        if (!(pending >> number & 1))
            continue;
        pending &= ~(UINT64_C(1) << number);
        deliver(number);
    }
}

int sys_sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    world_call(-1);
    if (before)
        *before = handlers[number];
    if (action)
        handlers[number] = *action;
    return 0;
}

void sys_signal_default(int number)
{
    handlers[number] = (struct sigaction){.sa_handler = SIG_DFL};
}

void sys_raise(int number)
{
    signal_send(number);
}

void sys_yield(void)
{
    fail("P10: somebody waits for a lock that a handler has interrupted");
}

void sys_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare;
    (void)parent;
    (void)child;
}
