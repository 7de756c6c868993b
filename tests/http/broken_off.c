/* Peers and programs that break off, at each point where one can.
 *
 * A stream that becomes a response is read no faster than the peer takes it, and is given back
 * once, whether the peer takes all of it or goes. Who is gone when the body is asked for is told
 * so. A body that nobody wants is thrown away up to a size, a time and its first fault; then the
 * server ends the connection. A server that closes drops the head that is half there, and waits
 * for no idle peer longer than it would have done anyway. A peer that takes nothing is cut off
 * before it costs all memory. A lack of descriptors ends by itself. Somebody without an address is
 * "-" in the log. A connection becomes another protocol's only while it is all there.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include "loop/pipe.h"
#include "loop/websocket.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MUCH = 24 * 1024 * 1024 };

static struct {
    struct loop_http_request *req; /* that waits to be answered */
    struct loop_pipe source;
    int feed; /* the other end of it; 0: none */
    size_t fed;
    struct loop_websocket ws;
    int status; /* of accepting it */
    uint64_t written;
} here;

static void hold(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    here.req = req;
}

static void end_early(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_text(res, "enough");
}

static void open_limited(void **state, loop_http_request_cb on_request,
                         struct loop_http_limits limits)
{
    const struct loop_http_options options = {.on_request = on_request, .limits = limits};
    memset(&here, 0, sizeof(here));
    open_server_with(state, &options);
}

static void open_server(void **state, loop_http_request_cb on_request)
{
    open_limited(state, on_request, (struct loop_http_limits){0});
}

static void ask(struct peer *peer, const char *request)
{
    peer_open(peer);
    peer_send(peer, request);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- streams --- */

static void on_source_closed(struct loop_handle *handle)
{
    (void)handle;
    say("closed");
}

static void on_sent(struct loop_stream *from, int status)
{
    assert_ptr_equal(&here.source.stream, from);
    say("sent:%s", loop_error_name(status));
    if (!loop_is_closing(&from->handle))
        loop_close(&from->handle, on_source_closed);
}

static void send_much(struct loop_http_request *req, struct loop_http_response *res)
{
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    here.feed = ends[1];
    here.fed = 0;
    loop_pipe_init(loop, &here.source);
    assert_int_equal(0, loop_pipe_open(&here.source, ends[0]));
    bool known = strcmp(req->path, "/known") == 0;
    assert_int_equal(0, loop_http_end_stream(res, &here.source.stream, known ? MUCH : -1, on_sent));
}

static void stop_feeding(void)
{
    if (here.feed > 0)
        close(here.feed);
    here.feed = 0;
}

/* Fills the source; false: nobody has taken anything of it. */
static bool feed(void)
{
    static const char bytes[64 * 1024];
    size_t left = MUCH - here.fed;
    ssize_t size =
        here.feed ? write(here.feed, bytes, left < sizeof(bytes) ? left : sizeof(bytes)) : -1;
    here.fed += size > 0 ? (size_t)size : 0;
    if (here.fed == MUCH)
        stop_feeding();
    return size > 0;
}

/* Until the server takes no more, for a peer that takes nothing. */
static void fill(struct peer *peer, const char *request)
{
    ask(peer, request);
    loop_read_stop(&peer->tcp.stream);
    while (!here.feed)
        loop_run(loop, LOOP_RUN_NOWAIT);
    for (int quiet = 0; quiet < 100; quiet++) {
        if (feed())
            quiet = 0;
        loop_run(loop, LOOP_RUN_NOWAIT);
    }
    assert_true(here.fed < MUCH);
}

static void a_stream_is_read_no_faster_than_it_is_taken(void **state)
{
    static const char *const requests[] = {GET, "GET /known HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET / HTTP/1.0\r\n\r\n"};
    struct peer peer;
    open_server(state, send_much);
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        fill(&peer, requests[i]);
        assert_said("");
        assert_int_equal(0, loop_read_start(&peer.tcp.stream, on_peer_read));
        while (server.stats.active > 0) {
            feed();
            loop_run(loop, LOOP_RUN_NOWAIT);
        }
        while (peer.size < MUCH)
            loop_run(loop, LOOP_RUN_ONCE);
        settle();
        assert_said("sent:OK closed");
        peer_close(&peer);
    }
    close_server();
}

static void a_stream_is_given_back_when_its_peer_goes(void **state)
{
    struct peer peer;
    open_server(state, send_much);
    fill(&peer, GET);
    peer_reset(&peer);
    settle();
    assert_said("sent:EPIPE closed");
    stop_feeding();
    close_server();
}

static void on_lost(struct loop_http_response *res)
{
    say("lost");
    loop_http_end(res, NULL, 0);
}

/* Without a look at what is said of those who do not take it. */
static void write_on(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char bytes[1024 * 1024];
    (void)req;
    loop_http_on_close(res, on_lost);
    int status;
    do {
        status = loop_http_write(res, bytes, sizeof(bytes));
        here.written += sizeof(bytes);
    } while (status >= 0);
    here.status = status;
}

static void who_takes_nothing_does_not_cost_all_memory(void **state)
{
    struct peer peer;
    open_server(state, write_on);
    ask(&peer, GET);
    assert_true(expect_end(&peer) < 0);
    assert_int_equal(-ENOBUFS, here.status);
    assert_true(here.written < 2 * LOOP_WRITE_MAX);
    assert_said("lost");
    peer_close(&peer);
    close_server();
}

/* --- bodies that nobody reads, or nobody sends --- */

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    (void)bytes;
    say("%s", size > 0 ? "bytes" : loop_error_name((int)size));
    if (size <= 0)
        loop_http_end(req->response, NULL, 0);
}

static void who_has_gone_sends_no_body(void **state)
{
    struct peer peer;
    open_server(state, hold);
    ask(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    while (!here.req)
        loop_run(loop, LOOP_RUN_ONCE);
    peer_reset(&peer);
    settle();
    assert_int_equal(0, loop_http_read_body(here.req, on_body));
    assert_said(""); /* not from inside the call */
    settle();
    assert_said("EPIPE");
    close_server();
}

static void read_it(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(0, loop_http_read_body(req, on_body));
}

/* Whoever expects something else, or speaks of a version that knows nothing of it. */
static void who_does_not_ask_is_not_told_to_go_on(void **state)
{
    static const char *const heads[] = {
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-continue,\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect:\r\n\r\n",
        "PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    };
    struct peer peer;
    open_server(state, read_it);
    for (size_t i = 0; i < ARRAY_LENGTH(heads); i++) {
        ask(&peer, heads[i]);
        settle();
        peer_send(&peer, "x");
        expect(&peer, "HTTP/1.1 200 OK");
        assert_null(strstr(peer.in, "100 Continue"));
        assert_said("bytes EOF");
        peer_close(&peer);
    }
    close_server();
}

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    (void)bytes, (void)size;
    say("%s", loop_error_name(status));
    loop_http_end(req->response, "end", 3);
}

/* The answer has begun, so there is no other; nor is anybody told to go on. */
static void collect_late(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_write(res, "begun ", 6));
    assert_int_equal(0, loop_http_collect_body(req, 4, on_collected));
}

static void a_body_may_be_read_behind_the_head_of_the_response(void **state)
{
    struct peer peer;
    open_server(state, collect_late);
    ask(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect(&peer, "begun ");
    expect(&peer, "end\r\n0\r\n\r\n");
    assert_int_equal(0, expect_end(&peer));
    assert_null(strstr(peer.in, "100 Continue"));
    assert_null(strstr(peer.in, "413"));
    assert_said("EFBIG");
    peer_close(&peer);
    ask(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect(&peer, "end\r\n0\r\n\r\n");
    assert_said("OK");
    peer_close(&peer);
    close_server();
}

#define CHUNKED "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void so_much_of_a_body_is_thrown_away_and_no_more(void **state)
{
    static char piece[40 * 1024] = "8000\r\n";
    struct peer peer;
    open_server(state, end_early);
    memset(piece + 6, 'x', 0x8000);
    memcpy(piece + 6 + 0x8000, "\r\n", 2);
    ask(&peer, CHUNKED);
    expect(&peer, "enough");
    peer_send_bytes(&peer, piece, 6 + 0x8000 + 2);
    peer_send_bytes(&peer, piece, 6 + 0x8000 + 2);
    peer_send(&peer, "0\r\n\r\n" GET);
    expect(&peer, "enough"); /* the next, on the same connection */
    peer_send(&peer, CHUNKED);
    expect(&peer, "enough");
    for (int i = 0; i < 3; i++)
        peer_send_bytes(&peer, piece, 6 + 0x8000 + 2);
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
}

static void a_fault_in_what_is_thrown_away_ends_the_connection(void **state)
{
    struct peer peer;
    open_server(state, end_early);
    ask(&peer, CHUNKED);
    expect(&peer, "enough");
    peer_send(&peer, "no chunk\r\n");
    assert_int_equal(0, expect_end(&peer));
    assert_string_equal("", peer.in + peer.seen);
    assert_int_equal(1, server.stats.refused);
    peer_close(&peer);
    close_server();
}

/* No time passes meanwhile. */
static void await_answers(uint64_t count)
{
    while (server.stats.responses[2] < count)
        loop_run(loop, LOOP_RUN_NOWAIT);
}

static void what_is_thrown_away_must_come_in_time(void **state)
{
    struct peer peer;
    open_limited(state, end_early, (struct loop_http_limits){.body_grace_ns = 3 * LOOP_SEC});
    ask(&peer, CHUNKED);
    await_answers(1);
    uint64_t begun_ns = loop_now(loop);
    while (server.stats.timed_out == 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(3 * LOOP_SEC, loop_now(loop) - begun_ns);
    while (server.stats.connections > 0) /* which does not end its side */
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(5 * LOOP_SEC, loop_now(loop) - begun_ns);
    peer_close(&peer);
    close_server();
}

/* --- servers that close --- */

static void a_head_that_is_half_there_goes_with_its_server(void **state)
{
    struct peer peer;
    open_server(state, hold);
    ask(&peer, "GET / HTTP/1.1\r\nHost:");
    settle();
    loop_http_server_close(&server, 0, on_server_closed);
    assert_int_equal(-ECONNRESET, expect_end(&peer));
    peer_close(&peer);
    close_server();
    assert_null(here.req);
    assert_int_equal(0, server.stats.requests);
}

static void an_idle_peer_is_kept_no_longer_than_without_the_end(void **state)
{
    struct peer peer;
    open_limited(state, end_early, (struct loop_http_limits){.keep_alive_ns = 100 * LOOP_MS});
    ask(&peer, GET);
    await_answers(1);
    uint64_t begun_ns = loop_now(loop);
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    assert_int_equal(0, loop_http_server_port(&server));
    while (server.stats.connections > 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_true(loop_now(loop) - begun_ns <= 100 * LOOP_MS);
    peer_close(&peer);
    close_server();
}

/* --- connections that hardly come --- */

static int connect_raw(void)
{
    struct loop_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", loop_http_server_port(&server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    return fd;
}

/* A new connection is told why: by its end, or by being served when there is a descriptor again. */
static void a_lack_of_descriptors_ends_by_itself(void **state)
{
    struct rlimit before, small;
    struct peer peer;
    open_server(state, end_early);
    int fd = connect_raw();
    int next = dup(0);
    close(next);
    assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
    small = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &small));
    settle();
    assert_int_equal(0, server.stats.connections);
    assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
    ask(&peer, GET);
    expect(&peer, "enough");
    peer_close(&peer);
    close(fd);
    close_server();
}

static void note_line(struct loop_http_server *of, const struct loop_http_request *req, int error)
{
    char line[300], small[8];
    (void)of;
    size_t size = loop_http_log_line(line, sizeof(line), req, error);
    assert_int_equal(size, loop_http_log_line(NULL, 0, req, error));
    assert_int_equal(size, loop_http_log_line(small, sizeof(small), req, error));
    assert_memory_equal(line, small, sizeof(small) - 1);
    assert_int_equal('\0', small[sizeof(small) - 1]);
    *strchr(line, '[') = '\0';
    say("%s%s", line, strrchr(line + strlen(line) + 1, ']') + 1);
}

/* Neither has one who comes to a socket that somebody else has made. */
static void who_has_no_address_is_nobody_in_the_log(void **state)
{
    const struct loop_http_options options = {.on_request = end_early, .on_log = note_line};
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    open_server_with(state, &options);
    snprintf(where.sun_path, sizeof(where.sun_path), "/tmp/loop-broken-%d", (int)getpid());
    unlink(where.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(0, bind(listener, (const struct sockaddr *)&where, sizeof(where)));
    assert_int_equal(0, loop_http_listen_fd(&server, listener));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&where, sizeof(where)));
    assert_true(send(fd, GET, sizeof(GET) - 1, MSG_NOSIGNAL) > 0);
    settle();
    assert_said("- - -  \"GET / HTTP/1.1\" 200 6 \"-\" \"-\"");
    close(fd);
    close_server();
    unlink(where.sun_path);
}

/* It is gone before its address was asked for. */
static void who_resets_at_once_is_forgotten(void **state)
{
    const struct loop_http_options options = {.on_request = end_early, .on_log = note_line};
    open_server_with(state, &options);
    int fd = connect_raw();
    const struct linger now = {.l_onoff = 1};
    assert_int_equal(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    close(fd);
    settle();
    assert_int_equal(0, server.stats.connections);
    assert_said("");
    close_server();
}

/* A connection over the limit waits, and then goes with the server. */
static void who_waits_for_a_place_goes_with_the_server(void **state)
{
    struct peer peer;
    open_limited(state, hold, (struct loop_http_limits){.connections = 1});
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    ask(&peer, GET);
    while (!here.req)
        loop_run(loop, LOOP_RUN_ONCE);
    int fd = connect_raw();
    settle();
    assert_int_equal(1, server.stats.accepted);
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    loop_http_end_text(here.req->response, "the last");
    expect(&peer, "the last");
    peer_close(&peer);
    close_server();
    assert_int_equal(1, server.stats.accepted);
    close(fd);
}

/* --- other protocols --- */

#define UPGRADE                                                                                    \
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void on_ws_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)ws, (void)reason;
    say("closed:%u", code);
}

static int accept_now(void)
{
    const struct loop_websocket_options options = {.on_close = on_ws_close};
    return loop_websocket_accept(here.req->response, &here.ws, &options);
}

static void hold_upgrade(void **state, struct peer *peer)
{
    open_server(state, hold);
    ask(peer, UPGRADE "\r\n");
    while (!here.req)
        loop_run(loop, LOOP_RUN_ONCE);
    settle();
}

static void a_connection_may_be_taken_over_late(void **state)
{
    struct peer peer;
    hold_upgrade(state, &peer);
    assert_int_equal(0, accept_now());
    expect(&peer, "HTTP/1.1 101 ");
    peer_close(&peer);
    close_server();
    assert_said("closed:1006");
}

static void a_connection_that_is_gone_is_taken_over_by_nobody(void **state)
{
    struct peer peer;
    hold_upgrade(state, &peer);
    peer_reset(&peer);
    settle();
    assert_int_equal(-EPIPE, accept_now());
    close_server();
    assert_said("");
}

static void what_is_answered_already_is_taken_over_by_nobody(void **state)
{
    struct peer peer;
    hold_upgrade(state, &peer);
    assert_int_equal(0, loop_http_write(here.req->response, "begun", 5));
    assert_int_equal(-EALREADY, accept_now());
    assert_int_equal(0, expect_end(&peer));
    assert_null(strstr(peer.in, "101"));
    peer_close(&peer);
    close_server();
    assert_said("");
}

static void a_server_that_closes_says_goodbye_to_the_newest_too(void **state)
{
    struct peer peer;
    hold_upgrade(state, &peer);
    loop_http_server_close(&server, LOOP_SEC, on_server_closed);
    assert_int_equal(0, accept_now());
    expect(&peer, "HTTP/1.1 101 ");
    close_server();
    assert_said("closed:1006"); /* the peer does not answer */
    peer_close(&peer);
}

static const struct CMUnitTest tests[] = {
    real_test(a_stream_is_read_no_faster_than_it_is_taken),
    real_test(a_stream_is_given_back_when_its_peer_goes),
    real_test(who_takes_nothing_does_not_cost_all_memory),
    real_test(who_has_gone_sends_no_body),
    real_test(who_does_not_ask_is_not_told_to_go_on),
    real_test(a_body_may_be_read_behind_the_head_of_the_response),
    real_test(so_much_of_a_body_is_thrown_away_and_no_more),
    real_test(a_fault_in_what_is_thrown_away_ends_the_connection),
    virtual_test(what_is_thrown_away_must_come_in_time),
    real_test(a_head_that_is_half_there_goes_with_its_server),
    virtual_test(an_idle_peer_is_kept_no_longer_than_without_the_end),
    real_test(a_lack_of_descriptors_ends_by_itself),
    real_test(who_has_no_address_is_nobody_in_the_log),
    real_test(who_resets_at_once_is_forgotten),
    real_test(who_waits_for_a_place_goes_with_the_server),
    real_test(a_connection_may_be_taken_over_late),
    real_test(a_connection_that_is_gone_is_taken_over_by_nobody),
    real_test(what_is_answered_already_is_taken_over_by_nobody),
    real_test(a_server_that_closes_says_goodbye_to_the_newest_too),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
