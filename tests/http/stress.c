/* Many peers at once, most of them bad: what is left when they have gone is what was there before.
 *
 * Some read slowly, a little each turn of the loop, what is far more than the kernel holds; some
 * send a body byte by byte; some ask for several things and reset the connection wherever they are;
 * some connect and say nothing, to a server of their own. That one alone has a time for heads: on a
 * machine that stalls it would put out others, too. Who behaves gets every byte. Afterwards there
 * is no connection, no exchange, no descriptor and no memory more than before, and the servers can
 * be closed.
 *
 * Hundreds in the suite; an argument is another number: test-stress 4000.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BODY = 300000, SENT = 400, AT_ONCE = 100 };

static unsigned peer_count = 300;

enum kind { SLOW_READER, SLOW_SENDER, RESETTER, SILENT, KINDS };

struct bad_peer {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_task task;
    enum kind kind;
    unsigned steps;
    size_t got;
};

static struct loop *loop;
static struct loop_http_server server, impatient;
static unsigned left, added, answered;

/* --- the server --- */

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    (void)bytes;
    char text[32];
    int length = snprintf(text, sizeof(text), "got %zu", status == 0 ? size : 0);
    loop_http_end(req->response, text, (size_t)length);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char body[BODY];
    if (strcmp(req->target, "/large") == 0)
        loop_http_end(res, body, sizeof(body));
    else
        loop_http_collect_body(req, 0, on_collected);
}

/* --- peers --- */

static void on_gone(struct loop_handle *handle)
{
    struct bad_peer *peer = loop_container_of(handle, struct bad_peer, tcp.handle);
    loop_task_cancel(&peer->task);
    free(peer);
    if (--left == 0 && added == peer_count)
        loop_stop(loop);
}

static void on_bytes(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct bad_peer *peer = loop_container_of(stream, struct bad_peer, tcp.stream);
    (void)bytes;
    if (size < 0) {
        answered += (peer->kind == SLOW_READER && peer->got > BODY) ||
                    (peer->kind == SLOW_SENDER && peer->got > 0);
        loop_close(&stream->handle, on_gone);
        return;
    }
    peer->got += (size_t)size;
    if (peer->kind == SLOW_READER)
        loop_read_stop(stream); /* until its next step */
}

static void on_step(struct loop_task *task);

static void step_again(struct bad_peer *peer)
{
    if (!loop_is_closing(&peer->tcp.handle))
        loop_immediate(loop, &peer->task, on_step);
}

static void reset_somewhere(struct bad_peer *peer)
{
    static const char text[] =
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\nPUT /a HTTP/1.1\r\nHost: a\r\n"
        "Content-Length: 5\r\n\r\nhello";
    size_t size = sizeof(text) - 1;
    size_t at = (size_t)((uintptr_t)peer / 64 % size);
    loop_write_copy(&peer->tcp.stream, text, at);
    if (peer->steps++ > at % 5)
        loop_stream_reset(&peer->tcp.stream, on_gone);
    else
        step_again(peer);
}

static void on_step(struct loop_task *task)
{
    struct bad_peer *peer = loop_container_of(task, struct bad_peer, task);
    if (loop_is_closing(&peer->tcp.handle))
        return;
    if (peer->kind == RESETTER) {
        reset_somewhere(peer);
        return;
    }
    if (peer->kind == SLOW_READER)
        loop_read_start(&peer->tcp.stream, on_bytes);
    else if (peer->steps++ < SENT)
        loop_write_copy(&peer->tcp.stream, "x", 1);
    step_again(peer);
}

static void add_peer(void);

static void on_connected(struct loop_connect *connect, int status)
{
    static const char *const first[KINDS] = {
        [SLOW_READER] = "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        [SLOW_SENDER] = ("PUT /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                         "Content-Length: 400\r\n\r\n"),
        [RESETTER] = "",
        [SILENT] = "",
    };
    struct bad_peer *peer = loop_container_of(connect, struct bad_peer, connect);
    assert_int_equal(0, status);
    loop_write_copy(&peer->tcp.stream, first[peer->kind], strlen(first[peer->kind]));
    loop_read_start(&peer->tcp.stream, on_bytes);
    if (peer->kind != SILENT)
        step_again(peer);
    add_peer();
}

/* Some at a time, since the kernel drops what its backlog has no room for. */
static void add_peer(void)
{
    struct loop_address address;
    if (added == peer_count)
        return;
    struct bad_peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->kind = (enum kind)(added++ % KINDS);
    loop_tcp_init(loop, &peer->tcp);
    loop_address_parse(&address, "127.0.0.1",
                       loop_http_server_port(peer->kind == SILENT ? &impatient : &server));
    assert_int_equal(0, loop_tcp_connect(&peer->tcp, &peer->connect, &address, on_connected));
    left++;
}

/* --- what is left --- */

static void serve(struct loop_http_server *serving, uint64_t head_ns)
{
    const struct loop_http_options options = {.on_request = on_request,
                                              .limits = {.head_ns = head_ns,
                                                         .keep_alive_ns = LOOP_NEVER,
                                                         .body_grace_ns = LOOP_NEVER,
                                                         .write_stall_ns = LOOP_NEVER}};
    assert_int_equal(0, loop_http_server_init(loop, serving, &options));
    assert_int_equal(0, loop_http_listen(serving, "127.0.0.1", 0, 0));
}

static void run(void **state)
{
    loop = *state;
    added = answered = 0;
    serve(&server, LOOP_NEVER);
    serve(&impatient, 2 * LOOP_SEC);
    for (unsigned i = 0; i < AT_ONCE; i++)
        add_peer();
    loop_run(loop, LOOP_RUN_DEFAULT);
    while (server.stats.connections > 0 || impatient.stats.connections > 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(0, server.stats.active);
    loop_http_server_close(&server, 0, NULL);
    loop_http_server_close(&impatient, 0, NULL);
    loop_run(loop, LOOP_RUN_DEFAULT);
}

static void many_bad_peers_leave_nothing_behind(void **state)
{
    unsigned good = (peer_count + 3) / KINDS + (peer_count + 2) / KINDS;
    run(state);
    assert_int_equal(good, answered);
    int descriptors = open_descriptors();
    size_t before = mallinfo2().uordblks;
    run(state);
    assert_int_equal(good, answered);
    assert_int_equal(descriptors, open_descriptors());
    assert_true(mallinfo2().uordblks <= before + 64 * 1024); /* what the loop has grown */
}

static const struct CMUnitTest tests[] = {
    real_test(many_bad_peers_leave_nothing_behind),
};

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc > 1)
        peer_count = (unsigned)atoi(argv[1]);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
