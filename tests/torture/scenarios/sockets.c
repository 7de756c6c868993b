/* What the program opened itself and block, and what comes of it: the two ends of a unix-domain
 * socket pair, one as a pipe that is asked who its peer is, and that is sent descriptors which
 * nobody takes; a large copy of bytes, of which the kernel takes but a part; a TCP handle that is
 * bound before it connects; a pipe(2) of which a file stream reads and another writes, at no
 * position, since pipes have none. When a pipe handle is closed its open file blocks again, and
 * what nobody took is closed with it.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COPIED = 300 * 1000 };

static struct loop_pipe a, b, from, to;
static struct loop_tcp listener, client, server, unwilling, caller;
static struct loop_connect connecting, calling;
static struct loop_file in, out;
static struct loop_write passing, writing;
static struct loop_shutdown ending, last;
static int pair[2], ends[2];
static bool a_ours, b_ours, in_ours, out_ours; /* and not the library's */
static bool passed, connected, accepted, was_read;
static size_t got, copied;

static void on_fds(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (!ok(size))
        return;
    passed = true;
    shut(&stream->handle);
    shut(&a.handle);
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void start_pair(struct loop *loop)
{
    pid_t pid;
    uid_t uid;
    gid_t gid;
    struct loop_buf word = {"here", 4};
    loop_pipe_init(loop, &a);
    loop_pipe_init(loop, &b);
    a_ours = !ok(loop_pipe_open(&a, pair[0]));
    b_ours = !ok(loop_pipe_open(&b, pair[1]));
    if (a_ours || b_ours || !ok(loop_pipe_peer(&a, &pid, &uid, &gid)) ||
        !ok(loop_pipe_receive_fds(&b)) || !ok(loop_read_start(&b.stream, on_fds)))
        return;
    began(loop_pipe_write_fds(&a, &passing, &word, 1, ends, 2, on_write));
}

static void finish_tcp(void)
{
    if (!connected || !accepted)
        return;
    shut(&listener.handle);
    shut(&client.handle);
    shut(&server.handle);
}

static void on_connection(struct loop_stream *stream, int status)
{
    loop_tcp_init(stream->handle.loop, &server);
    if (ok(status))
        accepted = ok(loop_accept(stream, &server.stream));
    finish_tcp();
}

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    ended();
    connected = ok(status);
    finish_tcp();
}

static void start_tcp(struct loop *loop)
{
    struct loop_address any, there;
    loop_tcp_init(loop, &listener);
    loop_tcp_init(loop, &client);
    ok(loop_address_parse(&any, "127.0.0.1", 0));
    if (ok(loop_tcp_bind(&listener, &any, 0)) &&
        ok(loop_listen(&listener.stream, 8, on_connection)) &&
        ok(loop_tcp_local(&listener, &there)) && ok(loop_tcp_bind(&client, &any, 0)))
        began(loop_tcp_connect(&client, &connecting, &there, on_connect));
}

/* What it does not accept is closed with it. */
static void on_unwanted(struct loop_stream *stream, int status)
{
    ok(status);
    shut(&stream->handle);
    shut(&caller.handle);
}

static void on_call(struct loop_connect *connect, int status)
{
    (void)connect;
    ended();
    ok(status);
}

static void start_unwilling(struct loop *loop)
{
    struct loop_address any, there;
    loop_tcp_init(loop, &unwilling);
    loop_tcp_init(loop, &caller);
    ok(loop_address_parse(&any, "127.0.0.1", 0));
    if (ok(loop_tcp_bind(&unwilling, &any, 0)) &&
        ok(loop_listen(&unwilling.stream, 8, on_unwanted)) &&
        ok(loop_tcp_local(&unwilling, &there)))
        began(loop_tcp_connect(&caller, &calling, &there, on_call));
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size > 0) {
        got += (size_t)size;
    } else if (size == LOOP_EOF) {
        was_read = true;
        shut(&stream->handle);
    } else {
        ok(size);
    }
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    ended();
    ok(status);
    shut(&out.handle);
}

static void start_files(struct loop *loop)
{
    struct loop_buf word = {"hello", 5};
    loop_file_init(loop, &in);
    loop_file_init(loop, &out);
    in_ours = !ok(loop_file_open(&in, ends[0], -1));
    out_ours = !ok(loop_file_open(&out, ends[1], -1));
    if (in_ours || out_ours || !began(loop_write(&out.stream, &writing, &word, 1, on_write)))
        return;
    if (began(loop_shutdown(&out.stream, &ending, on_shutdown)))
        ok(loop_read_start(&in.stream, on_read));
}

static void on_copied(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size == LOOP_EOF && copied == COPIED) {
        shut(&from.handle);
        shut(&stream->handle);
    } else if (ok(size)) {
        copied += (size_t)size;
    }
}

/* Bytes that were copied tell nobody of their end; this does. */
static void on_copy_sent(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    ended();
    ok(status);
}

/* More than the kernel holds, so that the rest needs memory when some of it is gone. */
static void start_copy(struct loop *loop)
{
    static const char bytes[COPIED];
    loop_pipe_init(loop, &from);
    loop_pipe_init(loop, &to);
    if (ok(loop_pipe_pair(&from, &to)) && ok(loop_read_start(&to.stream, on_copied)) &&
        ok(loop_write_copy(&from.stream, bytes, COPIED)))
        began(loop_shutdown(&from.stream, &last, on_copy_sent));
}

static void start(struct loop *loop)
{
    passed = connected = accepted = was_read = false;
    got = copied = 0;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    must(pipe2(ends, O_CLOEXEC));
    start_pair(loop);
    start_tcp(loop);
    start_unwilling(loop);
    start_files(loop);
    start_copy(loop);
}

static bool done(void)
{
    return passed && connected && accepted && was_read && got == 5 && copied == COPIED;
}

static void clean(void)
{
    const int fds[] = {pair[0], pair[1], ends[0], ends[1]};
    const bool ours[] = {a_ours, b_ours, in_ours, out_ours};
    for (int i = 0; i < 4; i++)
        if (ours[i])
            close(fds[i]);
}

const struct scenario sockets_scenario = {
    .name = "sockets", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
