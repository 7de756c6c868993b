/* chain on libloop's streams.
 *
 * Each pair is read as a pipe, into the buffer that the loop lends, and its idle deadline is the
 * stream's own. chain_pass() writes to the other end as in all programs here.
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <loop/core.h>
#include <loop/pipe.h>

static struct loop loop;
static struct chain chain;
static struct loop_pipe pipes[CHAIN_PAIRS];

static void on_idle(struct loop_stream *stream)
{
    (void)stream;
    bench_require(false, "a pair was idle");
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop_pipe *pipe = loop_container_of(stream, struct loop_pipe, stream);
    (void)bytes;
    bench_require(size == 1, "a read");
    if (!chain_pass(&chain, (uint32_t)(pipe - pipes)))
        loop_stop(&loop);
}

static void run(void)
{
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
}

int main(void)
{
    bench_require(loop_init(&loop, NULL) == 0, "loop_init");
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        struct loop_stream *stream = &pipes[i].stream;
        loop_pipe_init(&loop, &pipes[i]);
        bench_require(loop_pipe_open(&pipes[i], chain.pairs[i][0]) == 0, "loop_pipe_open");
        int error = loop_stream_set_idle(stream, CHAIN_IDLE_S * LOOP_SEC, on_idle);
        bench_require(error == 0, "loop_stream_set_idle");
        bench_require(loop_read_start(stream, on_read) == 0, "loop_read_start");
    }
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
