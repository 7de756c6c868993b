/* A TCP server that sends back what it reads, and a client that sends more than the kernel
 * holds at once, shuts down its half, and reads it all back. Then the three handles are
 * closed. On the way each socket gets the options that a server would set: no delay, keep-
 * alive, a shared port, an idle deadline. All bytes have to come back, or an error has to
 * be told on either side.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <string.h>

enum { SIZE = 96 * 1024 };

static struct loop_tcp listener, server, client;
static struct loop_connect connecting;
static struct loop_write writing;
static struct loop_shutdown ending, server_ending;
static char bytes[SIZE];
static size_t received;
static bool server_ended, client_ended;

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    ended();
    ok(status);
}

static void on_server_read(struct loop_stream *stream, ssize_t size, void *got)
{
    if (size > 0) {
        ok(loop_write_copy(stream, got, (size_t)size));
    } else if (size == LOOP_EOF) {
        server_ended = true;
        began(loop_shutdown(stream, &server_ending, on_shutdown));
    } else {
        ok(size);
    }
}

static void on_client_read(struct loop_stream *stream, ssize_t size, void *got)
{
    (void)got;
    if (size > 0) {
        received += (size_t)size;
    } else if (size == LOOP_EOF) {
        client_ended = true;
        shut(&stream->handle);
        shut(&server.handle);
        shut(&listener.handle);
    } else {
        ok(size);
    }
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    ended();
    struct loop_buf buf = {bytes, SIZE};
    if (!ok(status) || !ok(loop_tcp_nodelay(&client, true)))
        return;
    if (began(loop_write(&client.stream, &writing, &buf, 1, on_write)) &&
        ok(loop_read_start(&client.stream, on_client_read)))
        began(loop_shutdown(&client.stream, &ending, on_shutdown));
}

static void on_idle(struct loop_stream *stream)
{
    (void)stream;
}

static void on_connection(struct loop_stream *stream, int status)
{
    loop_tcp_init(stream->handle.loop, &server);
    if (!ok(status) || !ok(loop_accept(stream, &server.stream)))
        return;
    ok(loop_stream_set_idle(&server.stream, 10 * LOOP_SEC, on_idle));
    ok(loop_tcp_keepalive(&server, 60, 10, 3));
    ok(loop_read_start(&server.stream, on_server_read));
}

static void start(struct loop *loop)
{
    struct loop_address address;
    received = 0;
    server_ended = client_ended = false;
    loop_tcp_init(loop, &listener);
    loop_tcp_init(loop, &client);
    ok(loop_address_parse(&address, "127.0.0.1", 0));
    if (ok(loop_tcp_bind(&listener, &address, LOOP_TCP_REUSE_PORT)) &&
        ok(loop_listen(&listener.stream, LOOP_BACKLOG, on_connection)) &&
        ok(loop_tcp_local(&listener, &address)))
        began(loop_tcp_connect(&client, &connecting, &address, on_connect));
}

static bool done(void)
{
    return received == SIZE && server_ended && client_ended;
}

const struct scenario echo_scenario = {.name = "echo",
                                       .clock = LOOP_CLOCK_MONOTONIC,
                                       .start = start,
                                       .done = done};
