/* The adapter for libuv: uv_queue_work(), uv_fs_stat(), uv_fs_read() with a buffer for each slot.
 *
 * UV_THREADPOOL_SIZE gives it as many threads as the others have; it starts them all at once. The
 * requests are reused, and cleaned up in their callbacks, as its manual has it.
 *
 * SPDX-License-Identifier: MIT */
#include "pool.h"

#include <uv.h>

struct slot {
    union {
        uv_work_t work;
        uv_fs_t fs;
    } as;
    uint32_t number;
    char bytes[READ_SIZE];
};

static uv_loop_t loop;
static struct slot slots[IN_FLIGHT_MAX];

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

static void on_work(uv_work_t *work, int status)
{
    bench_require(status == 0, "uv_queue_work");
    on_complete(bench_container_of(work, struct slot, as)->number);
}

static void on_fs(uv_fs_t *fs)
{
    bench_require(fs->result >= 0, "uv_fs");
    uv_fs_req_cleanup(fs);
    on_complete(bench_container_of(fs, struct slot, as)->number);
}

void peer_init(void)
{
    bench_require(setenv("UV_THREADPOOL_SIZE", "4", 1) == 0, "setenv");
    bench_require(uv_loop_init(&loop) == 0, "uv_loop_init");
}

void peer_begin(enum operation operation, uint32_t number)
{
    struct slot *slot = &slots[number];
    uv_buf_t buffer = uv_buf_init(slot->bytes, READ_SIZE);
    int error = 0;
    slot->number = number;
    switch (operation) {
    case OPERATION_WORK:
        error = uv_queue_work(&loop, &slot->as.work, do_nothing, on_work);
        break;
    case OPERATION_STAT:
        error = uv_fs_stat(&loop, &slot->as.fs, bench_path, on_fs);
        break;
    case OPERATION_READ:
        error = uv_fs_read(&loop, &slot->as.fs, bench_fd, &buffer, 1, 0, on_fs);
        break;
    }
    bench_require(error == 0, "begin");
}

void peer_run(void)
{
    bench_require(uv_run(&loop, UV_RUN_DEFAULT) == 0, "uv_run");
}
