/* What is outside, where it fails: the functions of sys.h themselves.
 *
 * Most of what the library asks of the kernel cannot be made to fail from a program that uses it,
 * and torture, which fails everything, has another sys.h in its place. So these are called here as
 * the library calls them: each says a negative errno, or what stands for it, and an interruption of
 * a wait is nobody's business. Those that are for a child are called in one. The lock of terminals,
 * which signal handlers may take, is waited for by whoever comes second.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "handles/tty.h"
#include "sys_inotify.h"
#include "sys_process.h"

#include <pthread.h>
#include <stdlib.h>

static void a_directory_is_told_from_all_else(void **state)
{
    char path[] = "/tmp/loop-sys-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(path));
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(0, mkdirat(directory, "d", 0755));
    assert_int_equal(0, symlinkat("d", directory, "link"));
    assert_true(sys_is_directory(directory, "d"));
    assert_false(sys_is_directory(directory, "link"));
    assert_false(sys_is_directory(directory, "none"));
    assert_int_equal(0, unlinkat(directory, "link", 0));
    assert_int_equal(0, unlinkat(directory, "d", AT_REMOVEDIR));
    assert_int_equal(0, rmdir(path));
    close(directory);
}

static void what_cannot_be_asked_is_told_as_such(void **state)
{
    char little[2];
    unsigned interface;
    char name[IF_NAMESIZE];
    (void)state;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(0, sys_inotify_queued(-1));
    assert_true(sys_working_directory(little, 1) < 0);
    assert_null(sys_map(-1, 4096));
    assert_int_equal(0, sys_terminal_device(file));
    assert_false(sys_terminal_is_master(file));
    assert_false(sys_terminal_hung_up(file));
    assert_false(sys_is_terminal(file));
    assert_true(sys_interface_index("no-such-one", &interface) < 0);
    assert_true(sys_interface_name(UINT32_MAX, name) < 0);
    close(file);
}

static void on_alarm(int number)
{
    (void)number;
}

/* The pauses only make it likely that the parent waits by then. */
static int interrupt_parent(void)
{
    for (int i = 0; i < 5; i++) {
        sys_pause_ns(5 * LOOP_MS);
        kill(getppid(), SIGALRM);
    }
    return 7;
}

static void a_wait_that_is_interrupted_goes_on(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, before; /* without SA_RESTART */
    siginfo_t info;
    (void)state;
    assert_int_equal(0, sigaction(SIGALRM, &action, &before));
    pid_t child = fork();
    if (child == 0)
        _exit(interrupt_parent());
    int pidfd = sys_pidfd_open(child);
    assert_true(pidfd >= 0);
    assert_int_equal(0, sys_wait(pidfd, &info, 0));
    assert_int_equal(0, sigaction(SIGALRM, &before, NULL));
    assert_int_equal(child, info.si_pid);
    assert_int_equal(7, info.si_status);
    assert_int_equal(-ECHILD, sys_wait(pidfd, &info, 0));
    close(pidfd);
}

/* Each once in vain. Root may do all that others may not, unless it gives that up. */
static int fail_in_child(void *arg)
{
    static const char *const nothing[] = {NULL};
    (void)arg;
    bool right = sys_child_setsid() >= 0 && sys_child_setsid() == -EPERM &&
                 sys_child_new_group() == -EPERM && sys_child_chdir("/none") == -ENOENT &&
                 sys_child_chdir("/") == 0;
    right &= sys_child_move_up(-1, 10) == -EBADF && sys_child_keep(-1) == -EBADF &&
             sys_child_dup_to(-1, 10) == -EBADF && sys_child_keep(0) == 0 &&
             sys_child_move_up(0, 10) >= 10 && sys_child_dup_to(0, 10) == 10;
    if (geteuid() == 0)
        right &= sys_child_drop_groups() == 0 && sys_child_setgid(65534) == 0 &&
                 sys_child_setuid(65534) == 0;
    right &= sys_child_drop_groups() == -EPERM && sys_child_setgid(0) == -EPERM &&
             sys_child_setuid(0) == -EPERM;
    return right && sys_child_execute("/none", nothing, nothing) == -ENOENT ? 0 : 1;
}

static void what_a_child_cannot_do_is_a_negative_errno(void **state)
{
    (void)state;
    in_child(fail_in_child, NULL);
}

/* The lock. */

struct second {
    uint32_t lock;
    uint32_t comes;
    uint32_t had;
};

static void *come_second(void *arg)
{
    struct second *second = arg;
    atomic_put(&second->comes, 1);
    sigset_t before = tty_lock(&second->lock);
    second->had = 1;
    tty_unlock(&second->lock, before);
    return NULL;
}

static void who_comes_second_waits_for_the_lock(void **state)
{
    struct second second = {0};
    pthread_t thread;
    sigset_t now;
    (void)state;
    sigset_t before = tty_lock(&second.lock);
    assert_int_equal(0, pthread_sigmask(SIG_BLOCK, NULL, &now));
    assert_int_equal(1, sigismember(&now, SIGINT)); /* no handler comes in between */
    assert_int_equal(0, pthread_create(&thread, NULL, come_second, &second));
    while (!atomic_get(&second.comes))
        sys_yield();
    busy_ns(20 * LOOP_MS); /* it is at the door by now, most likely */
    assert_int_equal(0, second.had);
    tty_unlock(&second.lock, before);
    pthread_join(thread, NULL);
    assert_int_equal(1, second.had);
    assert_int_equal(0, pthread_sigmask(SIG_BLOCK, NULL, &now));
    assert_int_equal(0, sigismember(&now, SIGINT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(a_directory_is_told_from_all_else),
        virtual_test(what_cannot_be_asked_is_told_as_such),
        virtual_test(a_wait_that_is_interrupted_goes_on),
        virtual_test(what_a_child_cannot_do_is_a_negative_errno),
        virtual_test(who_comes_second_waits_for_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
