/* The adapter for libloop: loop_work(), loop_fs_stat(), loop_fs_read().
 *
 * With few operations in flight libloop does on its own thread what the kernel promises to do at
 * once, a file in its cache. libloop-pool, the same with FS_POOL_ONLY, has the pool do it all, as
 * libuv does.
 *
 * SPDX-License-Identifier: MIT */
#include "pool.h"

#include <loop.h>

struct slot {
    struct loop_work work;
    struct loop_fs fs;
    uint32_t number;
};

static struct loop loop;
static struct slot slots[IN_FLIGHT_MAX];

static void do_nothing(void *data)
{
    (void)data;
}

static void on_work(struct loop_work *work, int status)
{
    bench_require(status == 0, "loop_work");
    on_complete(loop_container_of(work, struct slot, work)->number);
}

static void on_fs(struct loop_fs *fs)
{
    bench_require(fs->result >= 0, "loop_fs");
    on_complete(loop_container_of(fs, struct slot, fs)->number);
}

void peer_init(void)
{
    struct loop_pool_options pool_options = {.threads_max = POOL_THREADS};
    struct loop_options options = {.fs_pool_only = FS_POOL_ONLY};
    bench_require(loop_pool_create(&options.pool, &pool_options) == 0, "loop_pool_create");
    bench_require(loop_init(&loop, &options) == 0, "loop_init");
}

void peer_begin(enum operation operation, uint32_t number)
{
    struct slot *slot = &slots[number];
    int error = 0;
    slot->number = number;
    switch (operation) {
    case OPERATION_WORK:
        error = loop_work(&loop, &slot->work, do_nothing, on_work);
        break;
    case OPERATION_STAT:
        error = loop_fs_stat(&loop, &slot->fs, bench_path, on_fs);
        break;
    case OPERATION_READ:
        error = loop_fs_read(&loop, &slot->fs, bench_fd, READ_SIZE, 0, on_fs);
        break;
    }
    bench_require(error == 0, "begin");
}

void peer_run(void)
{
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) == 0, "loop_run");
}
