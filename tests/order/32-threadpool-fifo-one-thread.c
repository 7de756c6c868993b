/* On a pool of one thread operations complete in the order in which they were submitted, and ticks
 * and microtasks run between two completions that come in one batch.
 *
 * The main program is busy until all three are done, so the loop finds them together. A pool of one
 * thread is made by hand here, where Node reads UV_THREADPOOL_SIZE; fs.stat('/') is fstat(2) of a
 * descriptor.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

#include <fcntl.h>
#include <unistd.h>

struct stat_request {
    struct loop_fs fs;
    int i;
};

static void tick(void *arg)
{
    const struct stat_request *request = arg;
    printf("  tick%d\n", request->i);
}

static void micro(void *arg)
{
    const struct stat_request *request = arg;
    printf("  micro%d\n", request->i);
}

static void on_stat(struct loop_fs *fs)
{
    struct stat_request *request = loop_container_of(fs, struct stat_request, fs);
    must((int)fs->result, "fstat");
    printf("fs%d\n", request->i);
    loop_process_next_tick(&loop, tick, request);
    loop_queue_microtask(&loop, micro, request);
}

int main(void)
{
    struct stat_request requests[] = {{.i = 1}, {.i = 2}, {.i = 3}};
    struct loop_options options = {0};
    int root = open("/", O_RDONLY | O_CLOEXEC);
    must(loop_pool_create(&options.pool, &(struct loop_pool_options){.threads_max = 1}),
         "loop_pool_create");
    begin_script(&options);
    for (int i = 0; i < 3; i++)
        must(loop_fs_fstat(&loop, &requests[i].fs, root, on_stat), "loop_fs_fstat");
    busy(100);
    run_loop();
    loop_pool_destroy(options.pool);
    close(root);
    return end_script();
}
