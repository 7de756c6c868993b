/* The adapter for libloop: loop_process_spawn(), one handle that is started again and again.
 * What is not named of its descriptors is /dev/null, and its end is told by a pidfd.
 * A process that has ended leaves the handle inactive, so there is nothing to close.
 *
 * SPDX-License-Identifier: MIT */
#include "spawn.h"

#include <loop.h>

static struct loop loop;
static struct loop_process process;

static void on_exit_of(struct loop_process *ended, int exit_status, int term_signal)
{
    (void)ended;
    bench_require(exit_status == 0 && term_signal == 0, "/bin/true");
}

void spawn_init(void)
{
    bench_require(loop_init(&loop, NULL) == 0, "loop_init");
    loop_process_init(&loop, &process);
}

void spawn_one(void)
{
    const char *args[] = {"true", NULL};
    struct loop_process_options options = {.file = "/bin/true", .args = args};
    bench_require(loop_process_spawn(&process, &options, on_exit_of) == 0, "loop_process_spawn");
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) == 0, "loop_run");
}
