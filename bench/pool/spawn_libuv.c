/* The adapter for libuv: uv_spawn(), with UV_IGNORE for each descriptor, which is /dev/null.
 * A handle is for one process, and so closed and made again for the next.
 * The loop runs until the close callback.
 *
 * SPDX-License-Identifier: MIT */
#include "spawn.h"

#include <uv.h>

static uv_loop_t loop;
static uv_process_t process;

static void on_exit_of(uv_process_t *ended, int64_t exit_status, int term_signal)
{
    bench_require(exit_status == 0 && term_signal == 0, "/bin/true");
    uv_close((uv_handle_t *)ended, NULL);
}

void spawn_init(void)
{
    bench_require(uv_loop_init(&loop) == 0, "uv_loop_init");
}

void spawn_one(void)
{
    char name[] = "true";
    char *args[] = {name, NULL};
    uv_process_options_t options = {.file = "/bin/true", .args = args, .exit_cb = on_exit_of};
    bench_require(uv_spawn(&loop, &process, &options) == 0, "uv_spawn");
    bench_require(uv_run(&loop, UV_RUN_DEFAULT) == 0, "uv_run");
}
