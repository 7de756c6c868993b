/* The server on libuv.
 *
 * All reads share one buffer, as its bytes do not outlive the callback. An answer is one piece of
 * memory, the request and a copy of the bytes, given to uv_write() and freed in its callback: the
 * scheme of libuv's own test/echo-server.c, which also takes 64 KiB from malloc() for each read,
 * and is half as fast for it. A source writes its one piece by a request of its own, and again in
 * the callback of that.
 *
 * Variant "try": uv_try_write() straight from the buffer, and only what it leaves is copied.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <uv.h>

struct answer {
    uv_write_t request;
    char bytes[];
};

struct source {
    uv_tcp_t tcp;
    uv_write_t request;
};

static char piece[SERVER_PIECE];
static enum server_role role;
static bool try_first;

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(piece, sizeof piece);
}

static void on_answered(uv_write_t *request, int status)
{
    (void)status; /* an error is told to the reads too */
    free(bench_container_of(request, struct answer, request));
}

static void answer_copy(uv_stream_t *stream, const char *bytes, size_t size)
{
    struct answer *answer = malloc(sizeof *answer + size);
    bench_require(answer != NULL, "malloc");
    const uv_buf_t buf = uv_buf_init(memcpy(answer->bytes, bytes, size), (unsigned)size);
    int error = uv_write(&answer->request, stream, &buf, 1, on_answered);
    bench_require(error == 0, "uv_write");
}

/* How many bytes the kernel has taken. */
static size_t answer_now(uv_stream_t *stream, char *bytes, size_t size)
{
    const uv_buf_t buf = uv_buf_init(bytes, (unsigned)size);
    int result = uv_try_write(stream, &buf, 1);
    bench_require(result >= 0 || result == UV_EAGAIN, "uv_try_write");
    return result > 0 ? (size_t)result : 0;
}

static void on_echo(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_close);
        return;
    }
    size_t written = try_first && size > 0 ? answer_now(stream, buf->base, (size_t)size) : 0;
    if (written < (size_t)size)
        answer_copy(stream, buf->base + written, (size_t)size - written);
}

static void on_drop(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    (void)buf;
    if (size < 0)
        uv_close((uv_handle_t *)stream, on_close);
}

static void write_piece(struct source *source);

static void on_written(uv_write_t *request, int status)
{
    bench_require(status == 0, "the client has gone");
    write_piece(bench_container_of(request, struct source, request));
}

static void write_piece(struct source *source)
{
    const uv_buf_t buf = uv_buf_init(piece, sizeof piece);
    int error = uv_write(&source->request, (uv_stream_t *)&source->tcp, &buf, 1, on_written);
    bench_require(error == 0, "uv_write");
}

static void on_connection(uv_stream_t *listener, int status)
{
    bench_require(status == 0, "a connection");
    size_t size = role == ROLE_SOURCE ? sizeof(struct source) : sizeof(uv_tcp_t);
    uv_tcp_t *tcp = bench_array(1, size);
    bench_require(uv_tcp_init(listener->loop, tcp) == 0, "uv_tcp_init");
    bench_require(uv_accept(listener, (uv_stream_t *)tcp) == 0, "uv_accept");
    if (role == ROLE_SOURCE) {
        write_piece(bench_container_of(tcp, struct source, tcp));
        return;
    }
    uv_read_cb on_read = role == ROLE_ECHO ? on_echo : on_drop;
    int error = uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    bench_require(error == 0, "uv_read_start");
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_os_fd_t fd;
    const struct sockaddr_in address = server_address();
    role = server_role(argc, argv);
    try_first = server_variant(argc, argv, "try");
    bench_require(uv_tcp_init(loop, &listener) == 0, "uv_tcp_init");
    int error = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    bench_require(error == 0, "uv_tcp_bind");
    bench_require(uv_tcp_nodelay(&listener, 1) == 0, "uv_tcp_nodelay");
    error = uv_listen((uv_stream_t *)&listener, SERVER_BACKLOG, on_connection);
    bench_require(error == 0, "uv_listen");
    bench_require(uv_fileno((uv_handle_t *)&listener, &fd) == 0, "uv_fileno");
    server_announce(server_port(fd), sizeof(uv_tcp_t));
    return uv_run(loop, UV_RUN_DEFAULT);
}
