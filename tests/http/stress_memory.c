/* A server whose memory ends: in each scenario each allocation of libloop-http fails once.
 *
 * memory_ends.h refuses the nth. Whatever that was for, nothing crashes, the program gets its
 * callbacks once, every exchange can be ended, the server can be closed, and no memory is left.
 * What a peer is told then is not looked at, but that nothing looks whole that is not: it may be
 * nothing. The memory of the loop does not end.
 *
 * SPDX-License-Identifier: MIT */
#include "memory_ends.h"
#include "server.h"

#include "loop/pipe.h"

/* --- programs, each of which can go wrong anywhere --- */

static struct loop_pipe source, sink;
static struct loop_shutdown last;
static unsigned begun, ended;

static void end(struct loop_http_response *res, const void *bytes, size_t size)
{
    ended++;
    loop_http_end(res, bytes, size);
}

static void end_late(struct loop_task *task)
{
    struct loop_http_response *res = task->data;
    end(res, "late", 4);
}

static struct loop_task late;

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    end(req->response, status == 0 ? bytes : NULL, status == 0 ? size : 0);
}

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    if (size > 0)
        loop_http_write(req->response, bytes, (size_t)size);
    else
        end(req->response, NULL, 0);
}

static void on_sent(struct loop_stream *from, int status)
{
    (void)status;
    ended++;
    loop_close(&from->handle, NULL);
    loop_close(&sink.handle, NULL);
}

static void send_stream(struct loop_http_response *res)
{
    loop_pipe_init(loop, &source);
    loop_pipe_init(loop, &sink);
    assert_int_equal(0, loop_pipe_pair(&source, &sink));
    if (loop_http_end_stream(res, &source.stream, -1, on_sent) == 0) {
        loop_write_copy(&sink.stream, "piece", 5);
        loop_shutdown(&sink.stream, &last, on_peer_shutdown);
        return;
    }
    loop_close(&source.handle, NULL);
    loop_close(&sink.handle, NULL);
    end(res, NULL, 0);
}

static void send_headers(struct loop_http_response *res)
{
    static char value[5000];
    memset(value, 'v', sizeof(value) - 1);
    loop_http_set_header(res, "Content-Type", "text/html");
    loop_http_add_header(res, "X", value);
    loop_http_set_header(res, "X", "short");
    loop_http_get_header(res, "x");
    loop_http_add_trailer(res, "Y", "z");
    loop_http_write(res, "piece", 5);
    end(res, NULL, 0);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char much[1 << 20];
    begun++;
    if (strcmp(req->path, "/collect") == 0) {
        loop_http_collect_body(req, 0, on_collected);
    } else if (strcmp(req->path, "/echo") == 0) {
        loop_http_read_body(req, on_body);
    } else if (strcmp(req->path, "/stream") == 0) {
        send_stream(res);
    } else if (strcmp(req->path, "/headers") == 0) {
        send_headers(res);
    } else if (strcmp(req->path, "/much") == 0) {
        end(res, much, sizeof(much));
    } else if (strcmp(req->path, "/late") == 0) {
        late.data = res;
        loop_immediate(loop, &late, end_late);
    } else {
        ended++;
        loop_http_end_error(res, 404, NULL);
    }
}

static void on_log(struct loop_http_server *logged, const struct loop_http_request *req, int error)
{
    char line[300];
    (void)logged;
    loop_http_log_line(line, sizeof(line), req, error);
}

/* --- scenarios --- */

static struct peer peer;
static bool whole; /* it asks for what "/headers" says, and nothing more */

/* Whoever gets no answer can tell, and what looks whole is. */
static void check_answers(void)
{
    assert_true(peer.size > 0 || peer.ended);
    if (strstr(peer.in, "0\r\nY: z\r\n\r\n"))
        assert_non_null(strstr(peer.in, "\r\n\r\n5\r\npiece\r\n0\r\n"));
}

static void ask_once(const char *request)
{
    long armed = memory_left;
    memory_left = 0;
    peer_open(&peer);
    peer.capacity = 4 << 20;
    peer.in = realloc(peer.in, peer.capacity);
    assert_non_null(peer.in);
    memory_left = armed;
    peer_send(&peer, request);
    settle();
    settle();
    if (whole)
        check_answers();
    peer_half_close(&peer);
    settle();
    memory_left = 0;
    peer_close(&peer);
}

/* One run in which the nth allocation fails; false: there were not so many. */
static bool survives(void **state, const char *request, long nth)
{
    const struct loop_http_options options = {.on_request = on_request,
                                              .on_log = on_log,
                                              .compress = true};
    long before = memory_in_use;
    memory_left = 0;
    memory_asked_for = 0;
    begun = ended = 0;
    open_server_with(state, &options);
    memory_left = nth;
    ask_once(request);
    bool reached = memory_asked_for >= nth;
    loop_http_server_close(&server, 0, on_server_closed);
    while (!server_closed)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(begun, ended);
    assert_int_equal(before, memory_in_use);
    return reached;
}

static void run_out(void **state, const char *request)
{
    long nth = 1;
    while (survives(state, request, nth))
        nth++;
    assert_true(nth > 2);
}

static void while_requests_are_refused(void **state)
{
    run_out(state, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    run_out(state, "GET / HTTP/1.1\nHost: a\r\n\r\n");
}

static void while_a_body_is_collected(void **state)
{
    run_out(state, "PUT /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"
                   "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    run_out(state, "PUT /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\n6\r\nhello!\r\n0\r\nX: y\r\n\r\n");
    run_out(state, "PUT /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n0123456789");
}

static void while_a_body_is_read(void **state)
{
    run_out(state, "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n");
    run_out(state, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
}

static void while_requests_wait(void **state)
{
    run_out(state, "GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /late HTTP/1.1\r\nHost: a\r\n\r\n"
                   "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void while_a_response_is_made(void **state)
{
    run_out(state, "GET /headers HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
                   "GET /headers HTTP/1.1\r\nHost: a\r\n\r\n");
    run_out(state, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void no_answer_looks_whole_that_is_not(void **state)
{
    whole = true;
    run_out(state, "GET /headers HTTP/1.1\r\nHost: a\r\n\r\n");
    run_out(state, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    whole = false;
}

static void while_a_response_comes_from_a_stream(void **state)
{
    run_out(state, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    run_out(state, "GET /stream HTTP/1.0\r\nHost: a\r\n\r\n");
}

/* --- a loop whose own memory does not end --- */

static int descriptors;

static int setup_own(void **state)
{
    static struct loop own;
    const struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL,
                                         .allocator = {.resize = memory_core}};
    descriptors = open_descriptors();
    *state = &own;
    return loop_init(&own, &options);
}

static int teardown_own(void **state)
{
    return loop_fini(*state) < 0 || open_descriptors() != descriptors ? -1 : 0;
}

#define own_test(name) cmocka_unit_test_setup_teardown(name, setup_own, teardown_own)

static const struct CMUnitTest tests[] = {
    own_test(while_requests_are_refused),
    own_test(while_a_body_is_collected),
    own_test(while_a_body_is_read),
    own_test(while_requests_wait),
    own_test(while_a_response_is_made),
    own_test(while_a_response_comes_from_a_stream),
    own_test(no_answer_looks_whole_that_is_not),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
