/* What a process has counted is written before it ends, however it ends: for ./run coverage.
 *
 * The counters of a program are written by exit(3). Many of our processes leave otherwise: children
 * of tests by _exit(2), misuse by abort(3), a terminal's signal handler by raise(3), all of them on
 * purpose. So in a build with counters, and there only, these three are ours: each writes what was
 * counted and then does what its namesake does. Panics are thus measured like everything else.
 *
 * The library is linked statically there: a shared one would have counters of its own, which
 * cannot be written from here. A process that is killed writes nothing.
 *
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

/* What was written must not be written, and so added, again. */
static void write_counters(void)
{
    __gcov_dump();
    __gcov_reset();
}

void _exit(int status)
{
    write_counters();
    for (;;)
        syscall(SYS_exit_group, status);
}

int raise(int number)
{
    write_counters();
    return (int)syscall(SYS_tgkill, getpid(), gettid(), number);
}

/* A handler may want to know, and may return. */
void abort(void)
{
    raise(SIGABRT);
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
    _exit(134);
}
