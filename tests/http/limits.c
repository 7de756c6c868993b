/* The limits of a server, each at the limit and one past it.
 *
 * A head may have so many bytes, headers and bytes of target, and no more: 431 or 414. A body may
 * have so many bytes: 413, or -EFBIG to who reads it. A head has an absolute time, which bytes that
 * drip do not lengthen: 408; a connection may be idle for so long, and for less once the server
 * closes; a body must come at so many bytes a second once its grace is over, but only while
 * somebody reads it. A peer that takes nothing of what waits for it is cut off. Connections beyond
 * the limit wait in the kernel and are served when another goes, and each may bring so many
 * requests.
 *
 * The clock is virtual, so that a time is exactly that time. Peers that take nothing, or little,
 * are on a unix-domain socket, where what they have not read is known at once: over TCP the kernel
 * acknowledges in its own time, which is not virtual.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include "loop/websocket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop_http_request *asked;

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    (void)bytes;
    say("%s", status == 0 ? "collected" : loop_error_name(status));
    char text[32];
    int length = snprintf(text, sizeof(text), "<%zu>", size);
    loop_http_end(req->response, text, (size_t)length);
}

static void collect(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    if (strcmp(req->target, "/more") == 0)
        loop_http_limit_body(req, 20);
    loop_http_collect_body(req, 0, on_collected);
}

static void hold(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    asked = req;
}

static void open_limited(void **state, loop_http_request_cb on_request,
                         struct loop_http_limits limits)
{
    const struct loop_http_options options = {.on_request = on_request, .limits = limits};
    open_server_with(state, &options);
}

/* One request on a connection of its own, and what is said to it. */
static void check(const char *request, const char *answer)
{
    struct peer peer;
    peer_open(&peer);
    peer_send(&peer, request);
    peer_half_close(&peer);
    expect(&peer, answer);
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
}

/* --- sizes --- */

/* A head of so many bytes, its last header filled up. */
static const char *head_of(size_t size)
{
    static char head[1024];
    static const char begin[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ", end[] = "\r\n\r\n";
    memcpy(head, begin, sizeof(begin) - 1);
    memset(head + sizeof(begin) - 1, 'x', size);
    memcpy(head + size - (sizeof(end) - 1), end, sizeof(end));
    return head;
}

static void a_head_has_at_most_so_many_bytes(void **state)
{
    open_limited(state, collect, (struct loop_http_limits){.head_bytes = 512});
    check(head_of(512), "HTTP/1.1 200 OK");
    check(head_of(513), "HTTP/1.1 431 Request Header Fields Too Large");
    assert_int_equal(1, server.stats.refused);
    close_server();
}

/* Spaces before a value are no part of it, but of the head. */
static void spaces_and_empty_lines_count(void **state)
{
    static char spaces[700] = "GET / HTTP/1.1\r\nHost:";
    static char lines[700];
    open_limited(state, collect, (struct loop_http_limits){.head_bytes = 512});
    memset(spaces + strlen(spaces), ' ', 600);
    check(spaces, "HTTP/1.1 431 ");
    for (size_t i = 0; i < 600; i++)
        lines[i] = "\r\n"[i % 2];
    check(lines, "HTTP/1.1 431 ");
    close_server();
}

static void a_head_has_at_most_so_many_headers(void **state)
{
    open_limited(state, collect, (struct loop_http_limits){.headers = 3});
    check("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n", "HTTP/1.1 200 OK");
    check("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\nX: y\r\n\r\n", "HTTP/1.1 431 ");
    close_server();
}

static void a_target_has_at_most_so_many_bytes(void **state)
{
    open_limited(state, collect, (struct loop_http_limits){.target_bytes = 8});
    check("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK");
    check("GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 414 URI Too Long");
    close_server();
}

static void a_body_has_at_most_so_many_bytes(void **state)
{
    open_limited(state, collect, (struct loop_http_limits){.body_bytes = 5});
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "<5>");
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!", "HTTP/1.1 413 ");
    check("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
          "<5>");
    check("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
          "HTTP/1.1 413 ");
    check("PUT /more HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789",
          "<20>");
    check("PUT /more HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n012345678901234567890",
          "HTTP/1.1 413 ");
    said();
    close_server();
}

/* What a signed number would take for less than nothing. */
static void a_length_that_fits_no_number_is_too_large(void **state)
{
    open_limited(state, collect, (struct loop_http_limits){0});
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n", "413");
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", "413");
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n", "413");
    said();
    close_server();
}

static void trailers_have_the_limits_of_heads(void **state)
{
    static const char begin[] =
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    char request[256];
    open_limited(state, collect, (struct loop_http_limits){.headers = 3});
    snprintf(request, sizeof(request), "%sX: y\r\n\r\n", begin);
    check(request, "<0>");
    snprintf(request, sizeof(request), "%sX: y\r\nX: y\r\n\r\n", begin);
    check(request, "HTTP/1.1 400 ");
    said();
    close_server();
}

/* --- times --- */

/* A byte each second, or so. */
struct drip {
    struct loop_timer timer;
    struct peer *peer;
    const char *text;
};

static void on_drip(struct loop_timer *timer)
{
    struct drip *drip = loop_container_of(timer, struct drip, timer);
    if (*drip->text == '\0' || drip->peer->ended)
        loop_timer_stop(timer);
    else
        peer_send_bytes(drip->peer, drip->text++, 1);
}

static void begin_drip(struct drip *drip, struct peer *peer, const char *text, uint64_t every_ns)
{
    *drip = (struct drip){.peer = peer, .text = text};
    loop_timer_init(loop, &drip->timer);
    loop_timer_start(&drip->timer, every_ns, every_ns, on_drip);
}

static void a_head_that_drips_has_its_time_and_no_more(void **state)
{
    struct peer peer;
    struct drip drip;
    open_limited(state, collect, (struct loop_http_limits){.head_ns = 5 * LOOP_SEC});
    peer_open(&peer);
    peer_send(&peer, "G");
    settle();
    uint64_t begun_ns = loop_now(loop);
    begin_drip(&drip, &peer, "ET / HTTP/1.1\r\nHost: a\r\n\r\n", LOOP_SEC);
    expect(&peer, "HTTP/1.1 408 Request Timeout");
    assert_int_equal(5 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_int_equal(0, expect_end(&peer));
    assert_int_equal(1, server.stats.timed_out);
    loop_timer_stop(&drip.timer);
    peer_close(&peer);
    close_server();
}

static void a_peer_that_never_asks_is_let_go_without_a_word(void **state)
{
    struct peer peer;
    open_limited(state, collect, (struct loop_http_limits){.head_ns = 5 * LOOP_SEC});
    peer_open(&peer);
    assert_int_equal(0, expect_end(&peer));
    assert_int_equal(0, peer.size);
    assert_int_equal(5 * LOOP_SEC, loop_now(loop));
    peer_close(&peer);
    close_server();
}

static void an_idle_connection_is_kept_for_so_long(void **state)
{
    struct peer peer;
    open_limited(state, collect, (struct loop_http_limits){.keep_alive_ns = 7 * LOOP_SEC});
    peer_open(&peer);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&peer, "<0>");
    uint64_t begun_ns = loop_now(loop);
    assert_int_equal(0, expect_end(&peer));
    assert_int_equal(7 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_int_equal(0, server.stats.timed_out);
    peer_close(&peer);
    close_server();
    said();
}

static void a_body_that_drips_is_ended_after_its_grace(void **state)
{
    struct peer peer;
    struct drip drip;
    open_limited(state, collect,
                 (struct loop_http_limits){.body_rate = 2, .body_grace_ns = 4 * LOOP_SEC});
    peer_open(&peer);
    peer_send(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
    settle();
    uint64_t begun_ns = loop_now(loop);
    begin_drip(&drip, &peer, "01234567890123456789", LOOP_SEC);
    expect(&peer, "HTTP/1.1 408 ");
    assert_int_equal(4 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_int_equal(0, expect_end(&peer));
    assert_said("ETIMEDOUT");
    loop_timer_stop(&drip.timer);
    peer_close(&peer);
    close_server();
}

static void a_body_that_is_as_fast_as_asked_has_all_the_time(void **state)
{
    struct peer peer;
    struct drip drip;
    open_limited(state, collect,
                 (struct loop_http_limits){.body_rate = 1, .body_grace_ns = 4500 * LOOP_MS});
    peer_open(&peer);
    peer_send(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n0");
    begin_drip(&drip, &peer, "123456789012345678901234567890123456789", 900 * LOOP_MS);
    expect(&peer, "<40>");
    loop_timer_stop(&drip.timer);
    peer_close(&peer);
    close_server();
    said();
}

static void on_nothing(struct loop_timer *timer)
{
    (void)timer;
}

static void pass(uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, ns, 0, on_nothing);
    while (loop_is_active(&timer.handle))
        loop_run(loop, LOOP_RUN_ONCE);
}

static void nobody_is_too_slow_while_the_program_does_not_read(void **state)
{
    struct peer peer;
    open_limited(state, hold, (struct loop_http_limits){0});
    peer_open(&peer);
    peer_send(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    pass(1000 * LOOP_SEC);
    assert_false(peer.ended);
    loop_http_collect_body(asked, 0, on_collected);
    peer_send(&peer, "llo");
    expect(&peer, "<5>");
    peer_close(&peer);
    close_server();
    said();
}

static void on_gone(struct loop_http_response *res)
{
    say("gone");
    loop_http_end(res, NULL, 0);
}

static void write_much(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char much[8 << 20];
    (void)req;
    loop_http_on_close(res, on_gone);
    assert_int_equal(1, loop_http_write(res, much, sizeof(much)));
}

/* On a unix-domain socket: returns its descriptor. It reads when the test does, and has asked. */
static int open_near_peer(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(listener, (struct sockaddr *)&path, sizeof(sa_family_t)));
    assert_int_equal(0, getsockname(listener, (struct sockaddr *)&path, &size));
    assert_int_equal(0, loop_http_listen_fd(&server, listener));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&path, size));
    assert_int_equal(sizeof(request) - 1, send(fd, request, sizeof(request) - 1, 0));
    settle();
    return fd;
}

static void a_peer_that_takes_nothing_is_cut_off(void **state)
{
    open_limited(state, write_much, (struct loop_http_limits){.write_stall_ns = 6 * LOOP_SEC});
    int fd = open_near_peer();
    uint64_t begun_ns = loop_now(loop);
    while (server.stats.connections > 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(6 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_said("gone");
    assert_int_equal(1, server.stats.timed_out);
    close(fd);
    close_server();
}

/* As much as it takes until some waits. */
static void write_until_it_waits(struct loop_http_response *res)
{
    static const char piece[4096];
    int status = 0;
    while (status == 0) {
        status = loop_http_write(res, piece, sizeof(piece));
        settle();
    }
    assert_int_equal(1, status);
}

/* Long after the request, when no timer of its connection is left. */
static void a_peer_that_stops_taking_later_is_cut_off_as_well(void **state)
{
    open_limited(state, hold, (struct loop_http_limits){.write_stall_ns = 6 * LOOP_SEC});
    int fd = open_near_peer();
    loop_http_on_close(asked->response, on_gone);
    pass(100 * LOOP_SEC);
    uint64_t begun_ns = loop_now(loop);
    write_until_it_waits(asked->response);
    while (server.stats.connections > 0 && loop_now(loop) - begun_ns < 100 * LOOP_SEC) {
        pass(LOOP_SEC);
        settle();
    }
    assert_int_equal(0, server.stats.connections);
    assert_int_equal(6 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_said("gone");
    close(fd);
    close_server();
}

/* Less than what the kernel calls room, out of its buffer. */
static void a_peer_that_takes_little_is_not_cut_off(void **state)
{
    char bytes[8192];
    open_limited(state, hold, (struct loop_http_limits){.write_stall_ns = 6 * LOOP_SEC});
    int fd = open_near_peer();
    loop_http_on_close(asked->response, on_gone);
    write_until_it_waits(asked->response);
    for (int i = 0; i < 5; i++) {
        pass(4 * LOOP_SEC);
        assert_true(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
        settle();
        assert_int_equal(1, server.stats.connections);
    }
    pass(13 * LOOP_SEC);
    settle();
    assert_int_equal(0, server.stats.connections);
    assert_said("gone");
    close(fd);
    close_server();
}

/* What has come to it, and nothing more. */
static const char *near_peer_heard(int fd)
{
    static char text[1000];
    ssize_t size = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void a_server_that_closes_has_a_last_call(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    open_limited(state, collect, (struct loop_http_limits){.last_call_ns = 3 * LOOP_SEC});
    int silent = open_near_peer(), late = open_near_peer();
    assert_null(strstr(near_peer_heard(silent), "close"));
    assert_null(strstr(near_peer_heard(late), "close"));
    uint64_t begun_ns = loop_now(loop);
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    pass(3 * LOOP_SEC - 1);
    assert_int_equal(2, server.stats.connections);
    assert_int_equal(sizeof(request) - 1, send(late, request, sizeof(request) - 1, 0));
    settle();
    assert_non_null(strstr(near_peer_heard(late), "Connection: close\r\n\r\n<0>"));
    assert_int_equal(1, server.stats.connections);
    while (!server_closed)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(3 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_int_equal(0, recv(silent, &(char){0}, 1, MSG_DONTWAIT));
    said();
    close(silent);
    close(late);
}

static void a_time_may_be_without_end(void **state)
{
    struct peer peer;
    open_limited(state, write_much,
                 (struct loop_http_limits){.head_ns = LOOP_NEVER,
                                           .keep_alive_ns = LOOP_NEVER,
                                           .body_grace_ns = LOOP_NEVER,
                                           .write_stall_ns = LOOP_NEVER});
    peer_open(&peer);
    peer_send(&peer, "G");
    pass(1000 * LOOP_SEC);
    loop_read_stop(&peer.tcp.stream);
    peer_send(&peer, "ET / HTTP/1.1\r\nHost: a\r\n\r\n");
    pass(1000 * LOOP_SEC);
    assert_int_equal(1, server.stats.connections);
    assert_int_equal(0, server.stats.timed_out);
    peer_reset(&peer);
    assert_said("gone");
    close_server();
}

/* --- numbers --- */

static void connections_over_the_limit_wait_in_the_kernel(void **state)
{
    struct peer peers[3];
    open_limited(state, collect, (struct loop_http_limits){.connections = 2});
    for (int i = 0; i < 3; i++) {
        peer_open(&peers[i]);
        peer_send(&peers[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    expect(&peers[0], "<0>");
    expect(&peers[1], "<0>");
    expect_nothing(&peers[2]);
    assert_int_equal(2, server.stats.connections);
    peer_close(&peers[0]);
    expect(&peers[2], "<0>");
    assert_int_equal(2, server.stats.connections);
    assert_int_equal(3, server.stats.accepted);
    peer_close(&peers[1]);
    peer_close(&peers[2]);
    close_server();
    said();
}

static struct loop_websocket ws;

static void upgrade_or_collect(struct loop_http_request *req, struct loop_http_response *res)
{
    if (loop_websocket_wanted(req))
        assert_int_equal(0, loop_websocket_accept(res, &ws, NULL));
    else
        collect(req, res);
}

static void what_speaks_another_protocol_by_now_counts_as_well(void **state)
{
    struct peer peers[2];
    open_limited(state, upgrade_or_collect, (struct loop_http_limits){.connections = 1});
    peer_open(&peers[0]);
    peer_send(&peers[0], "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    expect(&peers[0], "HTTP/1.1 101 ");
    settle();
    assert_int_equal(1, server.stats.connections);
    peer_open(&peers[1]);
    peer_send(&peers[1], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_nothing(&peers[1]);
    peer_close(&peers[0]);
    expect(&peers[1], "<0>");
    peer_close(&peers[1]);
    close_server();
    said();
}

static void a_connection_may_bring_so_many_requests(void **state)
{
    struct peer peer;
    open_limited(state, collect, (struct loop_http_limits){.requests = 2});
    peer_open(&peer);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&peer, "<0>");
    assert_null(strstr(peer.in, "Connection: close"));
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&peer, "Connection: close\r\n\r\n<0>");
    assert_int_equal(0, expect_end(&peer));
    assert_int_equal(2, server.stats.requests);
    peer_close(&peer);
    close_server();
    said();
}

static void answer_10_kb(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char body[10000] = "begin";
    (void)req;
    loop_http_end(res, body, sizeof(body));
}

/* Neither its requests nor their answers pile up, and none is lost. */
static void a_slow_reader_that_pipelines_is_answered_as_it_reads(void **state)
{
    enum { COUNT = 4000 };
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct peer peer;
    open_limited(state, answer_10_kb, (struct loop_http_limits){0});
    peer_open(&peer);
    loop_read_stop(&peer.tcp.stream);
    for (int i = 0; i < COUNT; i++)
        peer_send(&peer, request);
    settle();
    assert_true(server.stats.requests < COUNT / 2);
    assert_int_equal(1, server.stats.connections);
    loop_read_start(&peer.tcp.stream, on_peer_read);
    while (peer.size < COUNT * (size_t)10000 && !peer.ended)
        loop_run(loop, LOOP_RUN_ONCE);
    settle();
    assert_int_equal(COUNT, server.stats.requests);
    assert_int_equal(COUNT, server.stats.responses[2]);
    peer_close(&peer);
    close_server();
}

static const struct CMUnitTest tests[] = {
    virtual_test(a_head_has_at_most_so_many_bytes),
    virtual_test(spaces_and_empty_lines_count),
    virtual_test(a_head_has_at_most_so_many_headers),
    virtual_test(a_target_has_at_most_so_many_bytes),
    virtual_test(a_body_has_at_most_so_many_bytes),
    virtual_test(a_length_that_fits_no_number_is_too_large),
    virtual_test(trailers_have_the_limits_of_heads),
    virtual_test(a_head_that_drips_has_its_time_and_no_more),
    virtual_test(a_peer_that_never_asks_is_let_go_without_a_word),
    virtual_test(an_idle_connection_is_kept_for_so_long),
    virtual_test(a_body_that_drips_is_ended_after_its_grace),
    virtual_test(a_body_that_is_as_fast_as_asked_has_all_the_time),
    virtual_test(nobody_is_too_slow_while_the_program_does_not_read),
    virtual_test(a_peer_that_takes_nothing_is_cut_off),
    virtual_test(a_peer_that_stops_taking_later_is_cut_off_as_well),
    virtual_test(a_peer_that_takes_little_is_not_cut_off),
    virtual_test(a_server_that_closes_has_a_last_call),
    virtual_test(a_time_may_be_without_end),
    virtual_test(connections_over_the_limit_wait_in_the_kernel),
    virtual_test(what_speaks_another_protocol_by_now_counts_as_well),
    virtual_test(a_connection_may_bring_so_many_requests),
    virtual_test(a_slow_reader_that_pipelines_is_answered_as_it_reads),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
