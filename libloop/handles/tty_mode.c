/* The modes of terminals, and that each is what it was when the program has ended.
 *
 * A handle that sets a mode stakes a claim: which terminal, and how it was before. All claims of
 * the process are on one list, since a signal that ends it asks for all of them, in whichever
 * thread it comes. Claims of one terminal agree on how it was before, and when one is given up the
 * terminal is set as the last of the others wants it. A claim counts in the process that staked
 * it: a forked child inherits the list, the exit handler and the signal handlers, and must not undo
 * what its parent still needs.
 *
 * A claim is on the list before the terminal is set, so that no signal finds it set and unclaimed.
 * The handler for fatal signals restores, puts the default back and raises the signal again. It is
 * blocked until the handler returns, so a core dump shows the place where the signal came.
 *
 * The mode is set at once (TCSANOW). To wait until all output is out (TCSADRAIN) would block the
 * loop for as long as somebody holds the terminal with Ctrl-S, and is of no use: Linux applies the
 * output modes when bytes are written. So nothing is waited for, and EINTR can only mean that the
 * program is in the background and has a handler for SIGTTOU: trying again would go on for ever.
 * Restoring is done with every signal blocked, so that SIGTTOU does not stop a program that ends in
 * the background.
 *
 * Alternative not taken: one terminal for the process, as libuv has it, which leaves the second
 * raw.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/tty.h"

struct loop_tty_claim {
    struct loop_link link; /* on claims */
    int fd;                /* the handle's */
    pid_t pid;             /* whose it is */
    unsigned device;       /* which terminal */
    enum loop_tty_mode mode;
    struct termios before;
};

static struct loop_link claims = {&claims, &claims};
static uint32_t claims_lock;

/* How a program ends that has not asked for anything else. */
static const int fatal[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGSEGV,
                            SIGABRT, SIGBUS,  SIGFPE, SIGILL};

static struct loop_tty_claim *claim_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_tty_claim, link);
}

void loop_tty_restore(void)
{
    pid_t pid = sys_pid();
    sigset_t before = tty_lock(&claims_lock);
    for (struct loop_link *link = claims.next; link != &claims; link = link->next)
        if (claim_of(link)->pid == pid)
            sys_terminal_set(claim_of(link)->fd, &claim_of(link)->before);
    tty_unlock(&claims_lock, before);
}

static void restore_and_die(int number)
{
    loop_tty_restore();
    sys_signal_default(number);
    sys_raise(number);
}

static void unlock_in_child(void)
{
    atomic_put(&claims_lock, 0);
}

static void watch_forks(void)
{
    sys_at_fork_in_child(unlock_in_child);
}

/* Once, but tried again as long as it fails. Under claims_lock. */
static int restore_at_exit(void)
{
    static bool registered;
    int error = registered ? 0 : sys_at_exit(loop_tty_restore);
    registered = registered || error == 0;
    return error;
}

static int prepare(void)
{
    static sys_once forks_watched = SYS_ONCE;
    sys_call_once(&forks_watched, watch_forks);
    sigset_t before = tty_lock(&claims_lock);
    int error = restore_at_exit();
    tty_unlock(&claims_lock, before);
    return error;
}

static bool handled_by(int number, void (*handler)(int))
{
    struct sigaction now;
    sys_sigaction(number, NULL, &now);
    return !(now.sa_flags & SA_SIGINFO) && now.sa_handler == handler;
}

/* SA_ONSTACK: after a stack overflow a program may have another stack for its handlers. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = SA_ONSTACK};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
        if (handled_by(fatal[i], SIG_DFL))
            sys_sigaction(fatal[i], &action, NULL);
}

static void release_signals(void)
{
    for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
        if (handled_by(fatal[i], restore_and_die))
            sys_signal_default(fatal[i]);
}

static struct termios in_mode(const struct termios *before, enum loop_tty_mode mode)
{
    struct termios termios = *before;
    if (mode == LOOP_TTY_RAW)
        cfmakeraw(&termios);
    else
        termios.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    termios.c_cc[VMIN] = 1; /* a read has something for us with the first byte */
    termios.c_cc[VTIME] = 0;
    return termios;
}

/* Another of the same terminal and process, the last that was staked; or NULL. Under the lock. */
static const struct loop_tty_claim *rival(const struct loop_tty_claim *claim)
{
    for (struct loop_link *link = claims.prev; link != &claims; link = link->prev) {
        const struct loop_tty_claim *other = claim_of(link);
        if (other != claim && other->device == claim->device && other->pid == claim->pid)
            return other;
    }
    return NULL;
}

/* How the terminal is to be without this claim. Under the lock. */
static struct termios without(const struct loop_tty_claim *claim)
{
    const struct loop_tty_claim *other = rival(claim);
    return other ? in_mode(&other->before, other->mode) : claim->before;
}

/* Off the list, and freed. */
static void give_up(struct loop_tty *tty, bool restore)
{
    struct loop_tty_claim *claim = tty->claim;
    sigset_t before = tty_lock(&claims_lock);
    struct termios termios = without(claim);
    if (restore)
        sys_terminal_set(claim->fd, &termios);
    list_remove(&claim->link);
    if (list_empty(&claims))
        release_signals();
    tty_unlock(&claims_lock, before);
    memory_resize(&tty->handle.loop->options.allocator, claim, 0);
    tty->claim = NULL;
}

void tty_mode_release(struct loop_tty *tty)
{
    if (tty->claim)
        give_up(tty, tty->claim->pid == sys_pid());
}

/* Last on the list, as of this process. */
static void stake(struct loop_tty_claim *claim)
{
    sigset_t before = tty_lock(&claims_lock);
    const struct loop_tty_claim *other = rival(claim);
    if (other)
        claim->before = other->before;
    if (list_empty(&claims))
        catch_signals();
    list_remove(&claim->link);
    list_append(&claims, &claim->link);
    tty_unlock(&claims_lock, before);
}

/* A claim of the parent's is none of a forked child's: the terminal is as it is found. */
static int claim(struct loop_tty *tty)
{
    struct loop_tty_claim found = {.fd = tty->stream.watcher.fd, .pid = sys_pid()};
    int error = prepare();
    if (!error)
        error = sys_terminal_get(found.fd, &found.before);
    if (error)
        return error;
    if (tty->claim && tty->claim->pid != found.pid)
        give_up(tty, false);
    if (!tty->claim) {
        tty->claim = memory_resize(&tty->handle.loop->options.allocator, NULL, sizeof(found));
        if (!tty->claim)
            return -ENOMEM;
        *tty->claim = found;
        tty->claim->device = sys_terminal_device(found.fd);
        list_init(&tty->claim->link);
    }
    stake(tty->claim);
    return 0;
}

/* First as any call would, so that job control has its say, and only then is the claim given up. */
static int set_normal(struct loop_tty *tty)
{
    if (!tty->claim)
        return 0;
    sigset_t before = tty_lock(&claims_lock);
    struct termios termios = without(tty->claim);
    tty_unlock(&claims_lock, before);
    int error = sys_terminal_set(tty->claim->fd, &termios);
    if (!error)
        give_up(tty, false);
    return error;
}

int loop_tty_set_mode(struct loop_tty *tty, enum loop_tty_mode mode)
{
    int error = tty && (unsigned)mode <= LOOP_TTY_RAW ? handle_usable(&tty->handle) : -EINVAL;
    if (!error && tty->stream.watcher.fd < 0)
        error = -ENOTCONN;
    if (error || mode == LOOP_TTY_NORMAL)
        return error ? error : set_normal(tty);
    bool fresh = !tty->claim;
    error = claim(tty);
    if (error)
        return error;
    struct termios termios = in_mode(&tty->claim->before, mode);
    error = sys_terminal_set(tty->claim->fd, &termios);
    if (!error)
        tty->claim->mode = mode;
    else if (fresh)
        give_up(tty, false);
    return error;
}
