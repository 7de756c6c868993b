/* The server of libloop-http, seen by raw clients.
 *
 * Requests of one connection are answered in their order, each when the one before it has ended;
 * what a peer sends meanwhile is kept as far as it was read, and then waits with the peer. A body
 * comes to who asks for it, in pieces or whole, may be paused, and is thrown away if nobody asks. A
 * response has the length that is known, or comes in chunks, and to clients of HTTP/1.0 until the
 * end; one that is shorter than announced ends the connection. What a program sets cannot become
 * more than one header.
 *
 * The exchange stays valid until it is ended, whatever becomes of the peer; its close callback
 * comes once, or never. A server that closes lets go of idle connections at once, of busy ones
 * after their response, and of all others when the grace time is over.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include "loop/file.h"
#include "loop/http/events.h"
#include "loop/pipe.h"
#include "loop/websocket.h"

#include <sys/socket.h>
#include <unistd.h>

enum { ASKED_MAX = 64 };

static struct loop_http_request *asked[ASKED_MAX];
static unsigned asked_count;
static loop_http_request_cb handler;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_true(asked_count < ASKED_MAX);
    asked[asked_count++] = req;
    say("%s%s", req->method, req->target);
    if (handler)
        handler(req, res);
}

static void open_server(void **state, loop_http_request_cb handle)
{
    const struct loop_http_options options = {.on_request = on_request};
    handler = handle;
    asked_count = 0;
    open_server_with(state, &options);
}

static void end_with_target(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_end(res, req->target, strlen(req->target)));
}

static struct loop_http_response *response(unsigned i)
{
    assert_true(i < asked_count);
    return asked[i]->response;
}

static const char *name_of(int status)
{
    return status == 0 ? "0" : loop_error_name(status);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- connections --- */

static void a_connection_stays_for_the_next_request(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    for (int i = 0; i < 3; i++) {
        peer_send(&peer, GET("/a"));
        expect(&peer, "HTTP/1.1 200 OK\r\nDate: ");
        expect(&peer, "Content-Length: 2\r\n\r\n/a");
    }
    assert_int_equal(1, server.stats.accepted);
    assert_int_equal(3, server.stats.requests);
    peer_close(&peer);
    close_server();
}

static void a_request_waits_for_the_response_before_it(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/1") GET("/2"));
    settle();
    assert_said("GET/1");
    assert_int_equal(0, loop_http_end(response(0), "one", 3));
    assert_said(""); /* not from inside */
    expect(&peer, "one");
    settle();
    assert_said("GET/2");
    assert_int_equal(0, loop_http_end(response(1), "two", 3));
    expect(&peer, "two");
    peer_close(&peer);
    close_server();
}

/* What it sends while it waits stays with it, but for one read. */
static void a_peer_that_sends_on_makes_the_server_keep_one_read(void **state)
{
    static char requests[1 << 20];
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    size_t size = sizeof(GET("/x")) - 1;
    for (size_t at = 0; at + size <= sizeof(requests); at += size)
        memcpy(requests + at, GET("/x"), size);
    peer_send_bytes(&peer, requests, sizeof(requests) / size * size);
    settle();
    assert_int_equal(1, asked_count);
    assert_true(server.stats.bytes_in <= 64 * 1024);
    peer_reset(&peer);
    loop_http_end(response(0), NULL, 0);
    close_server();
}

static void pipelined_requests_are_answered_in_one_piece(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer, GET("/1") GET("/2") GET("/3"));
    for (const char *at = "123"; *at; at++) {
        char text[] = "\r\n\r\n/1";
        text[5] = *at;
        expect(&peer, text);
    }
    peer_close(&peer);
    close_server();
}

static void a_client_of_http_1_0_is_let_go_unless_it_wants_to_stay(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer, "GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    expect(&peer, "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n/1");
    peer_send(&peer, "GET /2 HTTP/1.0\r\n\r\n");
    expect(&peer, "Connection: close\r\n\r\n/2");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
}

static void a_client_that_half_closes_gets_all_its_answers(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/1") GET("/2"));
    peer_half_close(&peer);
    settle();
    loop_http_end(response(0), "one", 3);
    expect(&peer, "one");
    settle();
    loop_http_end(response(1), "two", 3);
    expect(&peer, "two");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
}

static void say_gone(struct loop_http_response *res)
{
    (void)res;
    say("gone");
}

/* Its end is no more than that, but what is written to it then fails. */
static void a_client_that_half_closes_and_goes_is_told_to_who_writes(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/1"));
    peer_half_close(&peer);
    settle();
    assert_said("GET/1");
    loop_http_on_close(response(0), say_gone);
    peer_reset(&peer);
    assert_said("");
    assert_int_equal(0, loop_http_write(response(0), "one", 3));
    settle();
    assert_said("gone");
    assert_int_equal(-EPIPE, loop_http_end(response(0), NULL, 0));
    close_server();
}

/* It would never hear of that end. */
static void a_client_that_half_closed_gets_no_other_protocol(void **state)
{
    static struct loop_websocket ws;
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    peer_half_close(&peer);
    settle();
    assert_int_equal(-EPIPE, loop_websocket_accept(response(0), &ws, NULL));
    expect(&peer, "HTTP/1.1 500 ");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
    said();
}

static void an_absolute_target_has_the_path_that_it_names(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("http://a:80/b/c?d=e?f") GET("http://a?q"));
    settle();
    assert_string_equal("http://a:80/b/c?d=e?f", asked[0]->target);
    assert_string_equal("/b/c", asked[0]->path);
    assert_string_equal("d=e?f", asked[0]->query);
    loop_http_end(response(0), NULL, 0);
    settle();
    assert_string_equal("/", asked[1]->path);
    assert_string_equal("q", asked[1]->query);
    loop_http_end(response(1), NULL, 0);
    peer_close(&peer);
    close_server();
}

/* Upgrade is an offer, which nobody has to take (RFC 9110 7.8). */
static void an_upgrade_that_is_not_taken_up_is_a_request_like_others(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    expect(&peer, "\r\n\r\n/1");
    peer_send(&peer, GET("/2"));
    expect(&peer, "\r\n\r\n/2");
    peer_close(&peer);
    close_server();
}

/* --- bodies of requests --- */

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    if (size > 0)
        say("%.*s", (int)size, (const char *)bytes);
    else
        say("%s", size == LOOP_EOF ? "end" : name_of((int)size));
    for (size_t i = 0; size == LOOP_EOF && i < req->trailer_count; i++)
        say("%s=%s", req->trailers[i].name, req->trailers[i].value);
}

static void read_body(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(0, loop_http_read_body(req, on_body));
    assert_int_equal(-EALREADY, loop_http_read_body(req, on_body));
}

static void a_body_comes_as_it_is_sent_and_then_its_trailers(void **state)
{
    struct peer peer;
    open_server(state, read_body);
    peer_open(&peer);
    peer_send(&peer, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
    settle();
    assert_said("POST/a he");
    peer_send(&peer, "llo\r\n0\r\nX: y\r\n\r\n");
    settle();
    assert_said("llo end x=y");
    assert_int_equal(5, asked[0]->body_read);
    assert_int_equal(-1, asked[0]->body_size);
    loop_http_end(response(0), NULL, 0);
    peer_close(&peer);
    close_server();
}

static void a_request_without_a_body_tells_its_end_all_the_same(void **state)
{
    struct peer peer;
    open_server(state, read_body);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    assert_said("GET/a end");
    loop_http_end(response(0), NULL, 0);
    peer_close(&peer);
    close_server();
}

static void a_paused_body_waits_with_its_peer(void **state)
{
    static char body[1 << 20];
    struct peer peer;
    open_server(state, read_body);
    peer_open(&peer);
    memset(body, 'b', sizeof(body));
    peer_send(&peer, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    settle();
    assert_said("POST/a");
    loop_http_pause_body(asked[0]);
    peer_send_bytes(&peer, body, sizeof(body));
    settle();
    assert_said("");
    assert_int_equal(0, asked[0]->body_read);
    assert_true(server.stats.bytes_in <= 80 * 1024);
    loop_http_resume_body(asked[0]);
    while (asked[0]->body_read < sizeof(body))
        loop_run(loop, LOOP_RUN_ONCE);
    said();
    loop_http_end(response(0), "all", 3);
    expect(&peer, "all");
    peer_close(&peer);
    close_server();
}

static void a_body_that_nobody_asked_for_is_thrown_away_if_it_is_small(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/2"));
    expect(&peer, "\r\n\r\n/1");
    expect(&peer, "\r\n\r\n/2");
    peer_send(&peer, "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nhello");
    expect(&peer, "Connection: close\r\n\r\n/3");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
}

static void whoever_expects_100_continue_gets_it_when_the_body_is_asked_for(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer,
              "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect_nothing(&peer);
    loop_http_read_body(asked[0], on_body);
    expect(&peer, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_send(&peer, "hello");
    settle();
    assert_said("PUT/a hello end");
    loop_http_end(response(0), "thanks", 6);
    expect(&peer, "thanks");
    peer_close(&peer);
    close_server();
}

/* It may send the body or not; nobody can know. */
static void whoever_is_refused_instead_is_let_go(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer,
              "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect(&peer, "Connection: close\r\n\r\n/a");
    assert_int_equal(0, expect_end(&peer));
    assert_null(strstr(peer.in, "100 Continue"));
    peer_close(&peer);
    close_server();
}

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    say("%s:%zu", name_of(status), size);
    assert_true(status < 0 || bytes[size] == '\0');
    loop_http_end(req->response, bytes, size);
}

static void collect_4(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(0, loop_http_collect_body(req, 4, on_collected));
}

static void a_collected_body_has_at_most_the_size_that_was_asked(void **state)
{
    struct peer peer;
    open_server(state, collect_4);
    peer_open(&peer);
    peer_send(&peer, GET("/0"));
    expect(&peer, "Content-Length: 0\r\n");
    peer_send(&peer, "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour");
    expect(&peer, "\r\n\r\nfour");
    peer_send(&peer, "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "1\r\nf\r\n3\r\nour\r\n0\r\n\r\n");
    expect(&peer, "\r\n\r\nfour");
    peer_send(&peer, "POST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfiver");
    expect(&peer, "HTTP/1.1 413 ");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    peer_open(&peer);
    peer_send(&peer, "POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "4\r\nfour\r\n1\r\nr\r\n0\r\n\r\n");
    expect(&peer, "HTTP/1.1 413 ");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
    const char *words = said();
    assert_non_null(strstr(words, "GET/0 0:0 POST/4 0:4 POST/c 0:4 POST/5 EFBIG:0 POST/d EFBIG:0"));
}

static void a_body_that_is_not_http_is_told_to_its_reader(void **state)
{
    struct peer peer;
    open_server(state, read_body);
    peer_open(&peer);
    peer_send(&peer, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    settle();
    assert_said("POST/a EPROTO");
    loop_http_end_error(response(0), 400, NULL);
    expect(&peer, "HTTP/1.1 400 Bad Request\r\n");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
}

/* --- responses --- */

static void write_two_pieces(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_set_header(res, "Trailer", "X");
    loop_http_add_trailer(res, "X", "y");
    loop_http_write(res, "one ", 4);
    assert_int_equal(-EALREADY, loop_http_set_header(res, "X", "y"));
    assert_int_equal(-EALREADY, loop_http_set_status(res, 404));
    assert_string_equal("X", loop_http_get_header(res, "trailer"));
    loop_http_end(res, "two", 3);
}

static void a_response_of_unknown_length_comes_in_chunks(void **state)
{
    struct peer peer;
    open_server(state, write_two_pieces);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    expect(&peer, "Transfer-Encoding: chunked\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\nX: y\r\n\r\n");
    assert_null(strstr(peer.in, "Content-Length"));
    peer_close(&peer);
    close_server();
}

static void write_without_trailers(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    assert_int_equal(-EALREADY, loop_http_add_trailer(res, "X", "y"));
    loop_http_write(res, "one ", 4);
    loop_http_end(res, "two", 3);
}

static void to_a_client_of_http_1_0_it_comes_until_the_end(void **state)
{
    struct peer peer;
    open_server(state, write_without_trailers);
    peer_open(&peer);
    peer_send(&peer, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(&peer, "Connection: close\r\n\r\none two");
    assert_int_equal(0, expect_end(&peer));
    assert_null(strstr(peer.in, "chunked"));
    peer_close(&peer);
    close_server();
}

static void head_gets_the_head_that_get_would_get(void **state)
{
    struct peer peer;
    open_server(state, end_with_target);
    peer_open(&peer);
    peer_send(&peer, "HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n" GET("/2"));
    expect(&peer, "Content-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\n");
    peer_close(&peer);
    close_server();
}

static void end_without_content(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_status(res, req->target[1] == '2' ? 204 : 304);
    loop_http_end(res, "no", 2);
}

static void a_status_without_a_body_has_none(void **state)
{
    struct peer peer;
    open_server(state, end_without_content);
    peer_open(&peer);
    peer_send(&peer, GET("/2") GET("/3"));
    expect(&peer, "HTTP/1.1 204 No Content\r\n");
    expect(&peer, "GMT\r\n\r\nHTTP/1.1 304 Not Modified\r\n");
    expect(&peer, "\r\n\r\n");
    assert_null(strstr(peer.in, "chunked"));
    expect_nothing(&peer);
    peer_close(&peer);
    close_server();
}

static void announce_4(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_set_header(res, "Content-Length", "4"));
    if (req->target[1] == 'l') {
        assert_int_equal(0, loop_http_write(res, "fou", 3));
        assert_int_equal(-EMSGSIZE, loop_http_write(res, "r!", 2));
        assert_int_equal(0, loop_http_end(res, "r", 1));
    } else {
        assert_int_equal(-EMSGSIZE, loop_http_end(res, "fou", 3));
    }
}

static void a_response_is_held_to_the_length_that_was_announced(void **state)
{
    struct peer peer;
    open_server(state, announce_4);
    peer_open(&peer);
    peer_send(&peer, GET("/long") GET("/short"));
    expect(&peer, "Content-Length: 4\r\n\r\nfour");
    expect(&peer, "Content-Length: 4\r\n\r\nfou");
    assert_int_equal(0, expect_end(&peer));
    assert_string_equal("", peer.in + peer.seen);
    peer_close(&peer);
    close_server();
}

static void set_headers(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char *const names[] = {"", "a b", "a:", "a\r\nb", "a\n", "\xe4", "a/b"};
    static const char *const values[] = {"a\rb", "a\nb", "a\r\nX: y", "\x01", "a\x7f", "\x1b[0m"};
    static const char *const framing[] = {"Transfer-Encoding", "CONNECTION", "Date"};
    static const char *const lengths[] = {
        "", "-1", "+5", "5 ", "0x5", "1,1", "12345678901234567890"};
    (void)req;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_int_equal(-EINVAL, loop_http_set_header(res, names[i], "x"));
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        assert_int_equal(-EINVAL, loop_http_set_header(res, "X", values[i]));
        assert_int_equal(-EINVAL, loop_http_add_header(res, "X", values[i]));
        assert_int_equal(-EINVAL, loop_http_add_trailer(res, "X", values[i]));
    }
    for (size_t i = 0; i < ARRAY_LENGTH(framing); i++)
        assert_int_equal(-EINVAL, loop_http_set_header(res, framing[i], "x"));
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        assert_int_equal(-EINVAL, loop_http_set_header(res, "Content-Length", lengths[i]));
    assert_int_equal(-EINVAL, loop_http_set_status(res, 100));
    assert_int_equal(-EINVAL, loop_http_set_status(res, 199));
    assert_int_equal(-EINVAL, loop_http_set_status(res, 1000));
    assert_null(loop_http_get_header(res, "x"));
    loop_http_set_header(res, "X-One", "1");
    loop_http_add_header(res, "Set-Cookie", "a=b");
    loop_http_add_header(res, "Set-Cookie", "c=d");
    loop_http_set_header(res, "x-one", "2");
    loop_http_set_header(res, "Y", "\t tab and \xe4 ");
    assert_string_equal("2", loop_http_get_header(res, "X-ONE"));
    assert_string_equal("a=b", loop_http_get_header(res, "set-cookie"));
    loop_http_end(res, NULL, 0);
}

static void a_header_that_is_set_stays_one_header(void **state)
{
    struct peer peer;
    open_server(state, set_headers);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    expect(&peer, "GMT\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nx-one: 2\r\nY: \t tab and \xe4 \r\n"
                  "Content-Length: 0\r\n\r\n");
    peer_close(&peer);
    close_server();
}

static void set_too_many(struct loop_http_request *req, struct loop_http_response *res)
{
    char value[1001];
    int count = 0;
    int error;
    (void)req;
    memset(value, 'v', 1000);
    value[1000] = '\0';
    while ((error = loop_http_add_header(res, "X", value)) == 0)
        count++;
    assert_int_equal(-E2BIG, error);
    assert_int_equal(65, count);
    loop_http_end(res, "x", 1);
}

static void headers_of_a_response_are_64_kib_at_most(void **state)
{
    struct peer peer;
    open_server(state, set_too_many);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    expect(&peer, "\r\n\r\nx");
    peer_close(&peer);
    close_server();
}

static void fail_late(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_header(res, "X", "y");
    if (req->target[1] == 'l')
        loop_http_write(res, "some", 4);
    loop_http_end_error(res, 500, NULL);
}

static void an_error_replaces_what_was_set_or_ends_the_connection(void **state)
{
    struct peer peer;
    open_server(state, fail_late);
    peer_open(&peer);
    peer_send(&peer, GET("/early") GET("/late"));
    expect(&peer, "HTTP/1.1 500 Internal Server Error\r\n");
    expect(&peer, "\r\n\r\nInternal Server Error\n");
    assert_null(strstr(peer.in, "X: y\r\nContent"));
    expect(&peer, "\r\n\r\n4\r\nsome\r\n");
    assert_int_equal(0, expect_end(&peer));
    assert_string_equal("", peer.in + peer.seen); /* no last chunk */
    peer_close(&peer);
    close_server();
}

/* --- streams and slow peers --- */

static struct loop_file file;
static struct loop_pipe source, sink;

static void on_sent(struct loop_stream *from, int status)
{
    say("sent:%s", name_of(status));
    loop_close(&from->handle, NULL);
}

static void send_file(struct loop_http_request *req, struct loop_http_response *res)
{
    char path[] = "/tmp/loop-http-XXXXXX";
    (void)req;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(0, ftruncate(fd, 300000));
    loop_file_init(loop, &file);
    assert_int_equal(0, loop_file_open(&file, fd, 0));
    assert_int_equal(0, loop_http_end_stream(res, &file.stream, 300000, on_sent));
}

static void a_response_may_come_from_a_file(void **state)
{
    struct peer peer;
    open_server(state, send_file);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    expect(&peer, "Content-Length: 300000\r\n\r\n");
    while (peer.size < peer.seen + 300000)
        loop_run(loop, LOOP_RUN_ONCE);
    settle();
    assert_said("GET/a sent:0");
    peer_close(&peer);
    close_server();
}

static void send_pipe(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_pipe_init(loop, &source);
    loop_pipe_init(loop, &sink);
    assert_int_equal(0, loop_pipe_pair(&source, &sink));
    assert_int_equal(0, loop_http_end_stream(res, &source.stream, -1, on_sent));
}

static void a_stream_without_a_length_comes_in_chunks_until_it_ends(void **state)
{
    struct peer peer;
    open_server(state, send_pipe);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    loop_write_copy(&sink.stream, "one", 3);
    expect(&peer, "chunked\r\n\r\n3\r\none\r\n");
    loop_write_copy(&sink.stream, "two!", 4);
    loop_close(&sink.stream.handle, NULL);
    expect(&peer, "4\r\ntwo!\r\n0\r\n\r\n");
    assert_said("GET/a sent:0");
    peer_close(&peer);
    close_server();
}

static void on_body_of_nobody(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    (void)req;
    (void)size;
    (void)bytes;
    fail();
}

/* What was to be told of the body is not, and nothing of the stream is read. */
static void an_empty_stream_ends_a_response_whose_body_is_read(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    assert_int_equal(0, loop_http_read_body(response(0)->request, on_body_of_nobody));
    loop_pipe_init(loop, &source);
    loop_pipe_init(loop, &sink);
    assert_int_equal(0, loop_pipe_pair(&source, &sink));
    assert_int_equal(0, loop_http_end_stream(response(0), &source.stream, 0, on_sent));
    expect(&peer, "Content-Length: 0\r\n\r\n");
    assert_said("GET/a sent:0");
    loop_close(&sink.stream.handle, NULL);
    peer_close(&peer);
    close_server();
}

/* Nobody would end the read of a stream that brings nothing. */
static void a_stream_for_a_peer_that_has_gone_is_not_read(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    peer_reset(&peer);
    assert_said("GET/a");
    send_pipe(response(0)->request, response(0));
    settle();
    assert_said("sent:EPIPE");
    loop_close(&sink.stream.handle, NULL);
    close_server();
}

static void a_stream_is_let_go_if_the_peer_goes(void **state)
{
    struct peer peer;
    open_server(state, send_pipe);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    loop_write_copy(&sink.stream, "one", 3);
    expect(&peer, "one");
    peer_reset(&peer);
    assert_said("GET/a sent:EPIPE");
    loop_close(&sink.stream.handle, NULL);
    close_server();
}

static void on_drain(struct loop_http_response *res)
{
    (void)res;
    say("drain");
}

/* Until it says that it has enough. */
static void fill(struct loop_http_request *req, struct loop_http_response *res)
{
    static char piece[10000];
    int status;
    (void)req;
    memset(piece, 'p', sizeof(piece));
    while ((status = loop_http_write(res, piece, sizeof(piece))) == 0)
        ;
    assert_int_equal(1, status);
    loop_http_on_drain(res, on_drain);
}

static void a_slow_reader_is_waited_for(void **state)
{
    struct peer peer;
    open_server(state, fill);
    peer_open(&peer);
    loop_read_stop(&peer.tcp.stream);
    peer_send(&peer, GET("/a"));
    settle();
    assert_said("GET/a");
    loop_read_start(&peer.tcp.stream, on_peer_read);
    for (int i = 0; i < 20; i++)
        settle();
    assert_said("drain"); /* once */
    loop_http_end(response(0), NULL, 0);
    expect(&peer, "\r\n0\r\n\r\n");
    peer_close(&peer);
    close_server();
}

/* --- peers that go --- */

static void on_close(struct loop_http_response *res)
{
    say("gone");
    assert_int_equal(-EPIPE, loop_http_write(res, "x", 1));
}

static void wait_for_close(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_on_close(res, on_close);
}

static void an_exchange_outlives_its_peer(void **state)
{
    struct peer peer;
    open_server(state, wait_for_close);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    peer_reset(&peer);
    assert_said("GET/a gone");
    assert_int_equal(0, server.stats.connections);
    assert_int_equal(1, server.stats.active);
    assert_string_equal("/a", asked[0]->target);
    assert_string_equal("a", loop_http_header(asked[0], "Host"));
    assert_int_equal(-EPIPE, loop_http_end(response(0), "late", 4));
    assert_int_equal(0, server.stats.active);
    assert_said("");
    close_server();
}

static void end_it(struct loop_http_response *res)
{
    say("gone");
    loop_http_end(res, NULL, 0);
}

static void end_when_it_closes(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_on_close(res, end_it);
}

static void it_may_be_ended_in_its_close_callback(void **state)
{
    struct peer peer;
    open_server(state, end_when_it_closes);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    peer_reset(&peer);
    assert_said("GET/a gone");
    assert_int_equal(0, server.stats.active);
    close_server();
}

static void no_close_callback_comes_for_what_was_ended(void **state)
{
    struct peer peer;
    open_server(state, wait_for_close);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    loop_http_end(response(0), "x", 1);
    expect(&peer, "\r\n\r\nx");
    peer_reset(&peer);
    assert_said("GET/a");
    close_server();
}

static struct loop_work work;
static struct loop_http_response *worked;

static void work_long(void *arg)
{
    (void)arg;
}

static void on_worked(struct loop_work *job, int status)
{
    (void)job;
    say("worked:%s:%s", name_of(status), name_of(loop_http_end(worked, "w", 1)));
}

static void work_for_it(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    worked = res;
    assert_int_equal(0, loop_work(loop, &work, work_long, on_worked));
}

static void an_answer_from_a_thread_finds_its_request(void **state)
{
    struct peer peer;
    open_server(state, work_for_it);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    expect(&peer, "\r\n\r\nw");
    assert_said("GET/a worked:0:0");
    peer_send(&peer, GET("/b"));
    while (asked_count < 2)
        loop_run(loop, LOOP_RUN_ONCE);
    loop_stream_reset(&peer.tcp.stream, NULL);
    free(peer.in);
    while (server.stats.active > 0)
        loop_run(loop, LOOP_RUN_ONCE);
    said(); /* who was first is the threads' matter */
    close_server();
}

static void a_peer_that_goes_is_told_to_who_reads_its_body(void **state)
{
    struct peer peer;
    open_server(state, read_body);
    peer_open(&peer);
    peer_send(&peer, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    settle();
    peer_close(&peer);
    assert_said("POST/a he EPIPE");
    loop_http_end(response(0), NULL, 0);
    close_server();
}

/* --- closing --- */

static void closing_lets_go_of_idle_connections_at_once(void **state)
{
    struct peer idle, fresh;
    open_server(state, end_with_target);
    peer_open(&idle);
    peer_open(&fresh);
    peer_send(&idle, GET("/a"));
    expect(&idle, "/a");
    close_server();
    assert_int_equal(0, expect_end(&idle));
    assert_int_equal(0, expect_end(&fresh));
    peer_close(&idle);
    peer_close(&fresh);
}

static void closing_waits_for_responses_under_way(void **state)
{
    struct peer peer;
    open_server(state, NULL);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    assert_int_equal(-ECANCELED, loop_http_listen(&server, "127.0.0.1", 0, 0));
    settle();
    assert_false(server_closed);
    loop_http_end(response(0), "last", 4);
    expect(&peer, "Connection: close\r\n\r\nlast");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    assert_true(server_closed);
}

static void closing_cuts_off_what_is_left_after_the_grace_time(void **state)
{
    struct peer peer;
    open_server(state, wait_for_close);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    settle();
    uint64_t begun_ns = loop_now(loop);
    loop_http_server_close(&server, 3 * LOOP_SEC, on_server_closed);
    loop_http_server_close(&server, 9 * LOOP_SEC, NULL); /* can only shorten it */
    assert_int_equal(-ECONNRESET, expect_end(&peer));
    assert_int_equal(3 * LOOP_SEC, loop_now(loop) - begun_ns);
    assert_said("GET/a gone");
    settle();
    assert_false(server_closed); /* the exchange is the program's */
    loop_http_end(response(0), NULL, 0);
    settle();
    assert_true(server_closed);
    peer_close(&peer);
}

static void close_and_end(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_server_close(&server, 0, on_server_closed);
    loop_http_end(res, req->target, strlen(req->target));
}

static void a_server_may_be_closed_in_a_request_callback(void **state)
{
    struct peer peer;
    open_server(state, close_and_end);
    peer_open(&peer);
    peer_send(&peer, GET("/a"));
    while (!server_closed)
        loop_run(loop, LOOP_RUN_ONCE);
    expect_end(&peer);
    peer_close(&peer);
}

/* --- places to listen --- */

static void end_with_peer(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_true((loop_http_peer(req)->size == 0) == (strcmp(req->path, "/path") == 0));
    end_with_target(req, res);
}

static char path_answer[512];
static struct loop_pipe path_pipe;

static void on_path_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size > 0)
        strncat(path_answer, bytes, (size_t)size);
    else
        loop_close(&stream->handle, NULL);
}

static void on_path_connected(struct loop_connect *connect, int status)
{
    static const char question[] = "GET /path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_int_equal(0, status);
    (void)connect;
    loop_read_start(&path_pipe.stream, on_path_read);
    loop_write_copy(&path_pipe.stream, question, sizeof(question) - 1);
}

static void ask_at_path(const char *path)
{
    struct loop_connect connect;
    loop_pipe_init(loop, &path_pipe);
    path_answer[0] = '\0';
    loop_pipe_connect(&path_pipe, &connect, path, strlen(path), on_path_connected);
    while (!strstr(path_answer, "\r\n\r\n/path"))
        loop_run(loop, LOOP_RUN_ONCE);
    settle();
}

static void a_server_listens_on_paths_and_on_sockets_of_others(void **state)
{
    struct loop_address address;
    struct peer peer;
    char path[] = "/tmp/loop-http-sock-XXXXXX";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    loop = *state;
    server_closed = false;
    loopback_begin(loop);
    handler = end_with_peer;
    asked_count = 0;
    const struct loop_http_options options = {.on_request = on_request};
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    assert_int_equal(0, loop_http_server_port(&server));
    assert_int_equal(-EBADF, loop_http_listen_fd(&server, 1000));
    loop_address_parse(&address, "127.0.0.1", 0);
    assert_int_equal(0, bind(fd, (const struct sockaddr *)&address.any, address.size));
    assert_int_equal(0, loop_http_listen_fd(&server, fd));
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(0, loop_http_listen_path(&server, path));
    assert_int_equal(-EADDRINUSE, loop_http_listen_path(&server, path));
    peer_open(&peer); /* at the first, which is the socket */
    peer_send(&peer, GET("/fd"));
    expect(&peer, "/fd");
    peer_close(&peer);
    ask_at_path(path);
    close_server();
    assert_int_equal(-1, access(path, F_OK));
}

/* --- what is said of it --- */

static char lines[2048];

static void on_log(struct loop_http_server *logged, const struct loop_http_request *req, int error)
{
    assert_ptr_equal(&server, logged);
    size_t used = strlen(lines);
    used += loop_http_log_line(lines + used, sizeof(lines) - used, req, error);
    assert_true(used + 1 < sizeof(lines));
    strcpy(lines + used, "\n");
}

static void a_log_line_cannot_be_forged(void **state)
{
    struct peer peer;
    char tiny[8];
    const struct loop_http_options options = {.on_request = on_request, .on_log = on_log};
    lines[0] = '\0';
    asked_count = 0;
    handler = NULL;
    open_server_with(state, &options);
    peer_open(&peer);
    peer_send(&peer,
              "GET /\"a\\ HTTP/1.1\r\nHost: a\r\nUser-Agent: x\" \xe4\t\\\r\nReferer: r\r\n\r\n");
    settle();
    assert_true(loop_http_log_line(tiny, sizeof(tiny), asked[0], 0) > 50);
    assert_int_equal(7, strlen(tiny));
    loop_http_end(response(0), "body", 4);
    expect(&peer, "body");
    peer_send(&peer, "FOO\r\n\r\n");
    expect(&peer, "400");
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
    close_server();
    assert_int_equal(0, strncmp(lines, "127.0.0.1 - - [", 15));
    assert_non_null(
        strstr(lines, "] \"GET /\\x22a\\x5c HTTP/1.1\" 200 4 \"r\" \"x\\x22 \\xe4\\x09\\x5c\"\n"));
    assert_non_null(strstr(lines, "\" 400 12 \"-\" \"-\"\n"));
}

static void tell_metrics(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_metrics(res, "app");
}

/* Each line is a comment, or a name, perhaps with a label, and a number. */
static void metrics_are_in_the_text_format_of_prometheus(void **state)
{
    struct peer peer;
    open_server(state, tell_metrics);
    peer_open(&peer);
    peer_send(&peer, GET("/metrics"));
    expect(&peer, "text/plain; version=0.0.4");
    expect(&peer, "\r\n\r\n");
    expect(&peer, "\napp_request_duration_seconds_count 0\n");
    char *at = strstr(peer.in, "\r\n\r\n") + 4;
    for (char *line = strtok(at, "\n"); line; line = strtok(NULL, "\n")) {
        char *end;
        if (strncmp(line, "# TYPE app_", 11) == 0)
            continue;
        assert_int_equal(0, strncmp(line, "app_", 4));
        const char *number = strrchr(line, ' ');
        assert_non_null(number);
        assert_true(strtod(number, &end) >= 0 && *end == '\0');
    }
    peer_close(&peer);
    close_server();
}

static struct loop_http_events events;

static void subscribe(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    assert_int_equal(0, loop_http_subscribe(&events, res));
}

static void close_in_log(struct loop_http_server *logged, const struct loop_http_request *req,
                         int error)
{
    (void)req;
    (void)error;
    say("over");
    loop_http_server_close(logged, 0, on_server_closed);
}

/* Which ends what can be ended, but not what is over, once more. */
static void the_log_may_close_the_server(void **state)
{
    struct peer peer;
    const struct loop_http_options options = {.on_request = subscribe, .on_log = close_in_log};
    open_server_with(state, &options);
    assert_int_equal(0, loop_http_events_init(loop, &events, NULL));
    peer_open(&peer);
    peer_send(&peer, GET("/"));
    expect(&peer, "id: ");
    loop_http_events_fini(&events);
    settle();
    assert_said("over");
    peer_close(&peer);
    close_server();
}

static const struct CMUnitTest tests[] = {
    virtual_test(the_log_may_close_the_server),
    virtual_test(a_connection_stays_for_the_next_request),
    virtual_test(a_request_waits_for_the_response_before_it),
    virtual_test(a_peer_that_sends_on_makes_the_server_keep_one_read),
    virtual_test(pipelined_requests_are_answered_in_one_piece),
    virtual_test(a_client_of_http_1_0_is_let_go_unless_it_wants_to_stay),
    virtual_test(a_client_that_half_closes_gets_all_its_answers),
    virtual_test(a_client_that_half_closes_and_goes_is_told_to_who_writes),
    virtual_test(a_client_that_half_closed_gets_no_other_protocol),
    virtual_test(an_absolute_target_has_the_path_that_it_names),
    virtual_test(an_upgrade_that_is_not_taken_up_is_a_request_like_others),
    virtual_test(a_body_comes_as_it_is_sent_and_then_its_trailers),
    virtual_test(a_request_without_a_body_tells_its_end_all_the_same),
    virtual_test(a_paused_body_waits_with_its_peer),
    virtual_test(a_body_that_nobody_asked_for_is_thrown_away_if_it_is_small),
    virtual_test(whoever_expects_100_continue_gets_it_when_the_body_is_asked_for),
    virtual_test(whoever_is_refused_instead_is_let_go),
    virtual_test(a_collected_body_has_at_most_the_size_that_was_asked),
    virtual_test(a_body_that_is_not_http_is_told_to_its_reader),
    virtual_test(a_response_of_unknown_length_comes_in_chunks),
    virtual_test(to_a_client_of_http_1_0_it_comes_until_the_end),
    virtual_test(head_gets_the_head_that_get_would_get),
    virtual_test(a_status_without_a_body_has_none),
    virtual_test(a_response_is_held_to_the_length_that_was_announced),
    virtual_test(a_header_that_is_set_stays_one_header),
    virtual_test(headers_of_a_response_are_64_kib_at_most),
    virtual_test(an_error_replaces_what_was_set_or_ends_the_connection),
    virtual_test(a_response_may_come_from_a_file),
    virtual_test(a_stream_without_a_length_comes_in_chunks_until_it_ends),
    virtual_test(an_empty_stream_ends_a_response_whose_body_is_read),
    virtual_test(a_stream_for_a_peer_that_has_gone_is_not_read),
    virtual_test(a_stream_is_let_go_if_the_peer_goes),
    virtual_test(a_slow_reader_is_waited_for),
    virtual_test(an_exchange_outlives_its_peer),
    virtual_test(it_may_be_ended_in_its_close_callback),
    virtual_test(no_close_callback_comes_for_what_was_ended),
    real_test(an_answer_from_a_thread_finds_its_request),
    virtual_test(a_peer_that_goes_is_told_to_who_reads_its_body),
    virtual_test(closing_lets_go_of_idle_connections_at_once),
    virtual_test(closing_waits_for_responses_under_way),
    virtual_test(closing_cuts_off_what_is_left_after_the_grace_time),
    virtual_test(a_server_may_be_closed_in_a_request_callback),
    virtual_test(a_server_listens_on_paths_and_on_sockets_of_others),
    virtual_test(a_log_line_cannot_be_forged),
    virtual_test(metrics_are_in_the_text_format_of_prometheus),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
