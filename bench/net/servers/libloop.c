/* The server on libloop.
 *
 * What comes is lent to the read callback. loop_write_copy() sends it from there and copies only
 * what the kernel does not take at once; if more than the high mark waits, reading stops until the
 * drain callback. A source writes its one piece by a request of its own, and again in the callback
 * of that.
 *
 * Variant "spin": the loop looks for work for 50 us before it sleeps. All else is at its defaults.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <loop/core.h>
#include <loop/tcp.h>

struct connection {
    struct loop_tcp tcp;
};

struct source {
    struct connection connection;
    struct loop_write write;
};

static char piece[SERVER_PIECE];
static enum server_role role;

static void on_close(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct connection, tcp.handle));
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size < 0) {
        loop_close(&stream->handle, on_close);
        return;
    }
    if (role == ROLE_SINK)
        return;
    int result = loop_write_copy(stream, bytes, (size_t)size);
    if (result < 0)
        loop_close(&stream->handle, on_close);
    else if (result == 1)
        loop_read_stop(stream);
}

static void on_drain(struct loop_stream *stream)
{
    bench_require(loop_read_start(stream, on_read) == 0, "loop_read_start");
}

static void serve(struct loop_stream *listener)
{
    struct connection *connection = bench_array(1, sizeof *connection);
    struct loop_stream *stream = &connection->tcp.stream;
    loop_tcp_init(listener->handle.loop, &connection->tcp);
    bench_require(loop_accept(listener, stream) == 0, "loop_accept");
    int error = loop_stream_set_marks(stream, 0, 0, 0, on_drain);
    bench_require(error == 0, "loop_stream_set_marks");
    bench_require(loop_read_start(stream, on_read) == 0, "loop_read_start");
}

static void on_written(struct loop_write *write, int status);

static void write_piece(struct source *source)
{
    const struct loop_buf buf = {piece, sizeof piece};
    struct loop_stream *stream = &source->connection.tcp.stream;
    int result = loop_write(stream, &source->write, &buf, 1, on_written);
    bench_require(result >= 0, "loop_write");
}

static void on_written(struct loop_write *write, int status)
{
    bench_require(status == 0, "the client has gone");
    write_piece(loop_container_of(write, struct source, write));
}

static void feed(struct loop_stream *listener)
{
    struct source *source = bench_array(1, sizeof *source);
    loop_tcp_init(listener->handle.loop, &source->connection.tcp);
    int error = loop_accept(listener, &source->connection.tcp.stream);
    bench_require(error == 0, "loop_accept");
    write_piece(source);
}

static void on_connection(struct loop_stream *listener, int status)
{
    bench_require(status == 0, loop_strerror(status));
    if (role == ROLE_SOURCE)
        feed(listener);
    else
        serve(listener);
}

static void listen_on(struct loop *loop, struct loop_tcp *listener)
{
    struct loop_address address;
    loop_tcp_init(loop, listener);
    bench_require(loop_address_parse(&address, "127.0.0.1", 0) == 0, "loop_address_parse");
    bench_require(loop_tcp_bind(listener, &address, 0) == 0, "loop_tcp_bind");
    bench_require(loop_tcp_nodelay(listener, true) == 0, "loop_tcp_nodelay");
    int error = loop_listen(&listener->stream, SERVER_BACKLOG, on_connection);
    bench_require(error == 0, "loop_listen");
    bench_require(loop_tcp_local(listener, &address) == 0, "loop_tcp_local");
    server_announce(loop_address_port(&address), sizeof(struct connection));
}

int main(int argc, char **argv)
{
    struct loop loop;
    struct loop_tcp listener;
    const struct loop_options options = {
        .spin_ns = server_variant(argc, argv, "spin") ? 50 * LOOP_US : 0,
    };
    role = server_role(argc, argv);
    bench_require(loop_init(&loop, &options) == 0, "loop_init");
    listen_on(&loop, &listener);
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
    return EXIT_SUCCESS;
}
