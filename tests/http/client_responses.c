/* What a client believes of a response, and how it knows where it ends.
 *
 * A table of responses, each said by a peer as it stands there, whole and cut at many places, with
 * the same outcome. A response is complete at its announced length, at its last chunk, at its head
 * if it has no body (RFC 9112 6.3), or at the end of the connection if it says nothing of that. A
 * connection is kept only behind a response that was read exactly. What two readers might read in
 * two ways, be it once or with what stands behind it, is an error, and so is an end that comes too
 * early. Interim responses are passed over, but not without end.
 *
 * The outcome: the error, the status and the body, and "kept" if the connection is. Without a
 * status no head has come.
 *
 * SPDX-License-Identifier: MIT */
#include "scripted.h"

#include "loop/http/client.h"

#include <stdlib.h>

#define OK      "HTTP/1.1 200 OK\r\n"
#define FIVE    "Content-Length: 5\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define HELLO   OK FIVE "\r\nhello"
#define TWICE   "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
#define EIGHT   TWICE TWICE TWICE TWICE

/* "hello" and "there", each a member of gzip of 25 bytes. */
#define PACKED                                                                                     \
    "\037\213\010\000\000\000\000\000\002\003\313\110\315\311\311\007\000\206\246\020\066\005\000" \
    "\000\000"
#define THERE                                                                                      \
    "\037\213\010\000\000\000\000\000\002\003\053\311\110\055\112\005\000\226\351\057\132\005\000" \
    "\000\000"
#define GZIP(size) OK "Content-Encoding: gzip\r\nContent-Length: " #size "\r\n\r\n"

static struct fixture {
    struct loop *loop;
    struct loop_http_client client;
    struct loop_http_call call;
    const char *answer;
    size_t size, cut;
    bool closes, decodes;
    int turns;
    struct loop_task later;
    struct peer *peer;
    char outcome[256];
} fixture;

static void on_later(struct loop_task *task)
{
    if (++fixture.turns < 3) {
        loop_immediate(fixture.loop, task, on_later);
        return;
    }
    peer_send_bytes(fixture.peer, fixture.answer + fixture.cut, fixture.size - fixture.cut);
    if (fixture.closes)
        peer_close(fixture.peer);
}

static void on_request(struct peer *peer)
{
    fixture.peer = peer;
    fixture.turns = fixture.cut < fixture.size ? 0 : 2;
    peer_send_bytes(peer, fixture.answer, fixture.cut);
    on_later(&fixture.later);
}

static void on_end(struct loop_http_call *call, int status)
{
    char *at = fixture.outcome;
    size_t room = sizeof(fixture.outcome);
    int size = snprintf(at, room, "%s", status < 0 ? loop_error_name(status) : "0");
    if (call->status)
        size += snprintf(at + size, room - (size_t)size, " %d", call->status);
    if (call->body && *call->body)
        size += snprintf(at + size, room - (size_t)size, " %s", call->body);
    for (size_t i = 0; i < call->trailer_count; i++)
        size += snprintf(at + size, room - (size_t)size, " %s=%s", call->trailers[i].name,
                         call->trailers[i].value);
    if (fixture.client.stats.idle == 1)
        snprintf(at + size, room - (size_t)size, " kept");
    loop_http_client_close(&fixture.client, NULL);
}

static const char *ask(const char *method, const char *answer, size_t size, size_t cut, bool closes)
{
    const struct loop_http_call_options options = {.url = scripted_url("/"),
                                                   .method = method,
                                                   .collect = true,
                                                   .decode = fixture.decodes,
                                                   .on_end = on_end};
    fixture.answer = answer;
    fixture.size = size;
    fixture.cut = cut;
    fixture.closes = closes;
    fixture.outcome[0] = '\0';
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, NULL));
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &options));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_null(fixture.call.fetch);
    return fixture.outcome;
}

struct row {
    const char *answer;
    const char *outcome;
};

static void check(const char *method, const struct row *row, bool closes)
{
    size_t size = strlen(row->answer);
    for (size_t cut = size; cut <= size; cut = cut > 2 ? cut - 3 : size + 1) {
        const char *outcome = ask(method, row->answer, size, cut, closes);
        if (strcmp(row->outcome, outcome) != 0)
            fail_msg("\"%s\", cut at %zu: \"%s\", not \"%s\"", row->answer, cut, outcome,
                     row->outcome);
    }
}

#define CHECK(method, rows, closes)                                                                \
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)                                                \
    check(method, &(rows)[i], closes)

static int set_up(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    scripted_begin(*state, on_request);
    return 0;
}

static int tear_down(void **state)
{
    scripted_end();
    return teardown(state);
}

/* --- */

static void a_response_says_where_it_ends(void **state)
{
    static const struct row rows[] = {
        {HELLO, "0 200 hello kept"},
        {OK CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n", "0 200 hello kept"},
        {OK CHUNKED "\r\n2;a=b\r\nhe\r\n003;c=d\r\nllo\r\n00\r\n\r\n", "0 200 hello kept"},
        {OK CHUNKED "\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\nY: \r\n\r\n",
         "0 200 hello x-sum=7 y= kept"},
        {OK "transfer-encoding:CHUNKED\r\n\r\n0\r\n\r\n", "0 200 kept"},
        {OK "Content-Length: 0\r\n\r\n", "0 200 kept"},
        {OK "Connection: close\r\n" FIVE "\r\nhello", "0 200 hello"},
        {OK "Upgrade: h2c\r\nConnection: upgrade\r\n" FIVE "\r\nhello", "0 200 hello kept"},
        {"HTTP/1.0 200 OK\r\n" FIVE "\r\nhello", "0 200 hello"},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" FIVE "\r\nhello", "0 200 hello kept"},
        {"HTTP/1.1 404 \r\n" FIVE "\r\nhello", "0 404 hello kept"},
        {"HTTP/1.1 500\r\n" FIVE "\r\nhello", "0 500 hello kept"},
        {"HTTP/1.1 999 What\r\n" FIVE "\r\nhello", "0 999 hello kept"},
    };
    (void)state;
    CHECK(NULL, rows, false);
}

static void some_have_no_body_whatever_they_say(void **state)
{
    static const struct row head[] = {
        {OK FIVE "\r\n", "0 200 kept"},
        {OK CHUNKED "\r\n", "0 200 kept"},
        {OK "\r\n", "0 200 kept"},
        {"HTTP/1.1 404 No\r\n" FIVE "\r\n", "0 404 kept"},
    };
    static const struct row get[] = {
        {"HTTP/1.1 204 None\r\n\r\n", "0 204 kept"},
        {"HTTP/1.1 304 Same\r\n" FIVE "\r\n", "0 304 kept"},
        {"HTTP/1.1 304 Same\r\n" CHUNKED "\r\n", "0 304 kept"},
    };
    static const struct row bad[] = {
        {"HTTP/1.1 204 None\r\n" FIVE "\r\n", "EPROTO"},
        {"HTTP/1.1 204 None\r\n" CHUNKED "\r\n", "EPROTO"},
        {"HTTP/1.1 103 Early\r\n" FIVE "\r\nhello" HELLO, "EPROTO"},
        {"HTTP/1.1 100 Continue\r\n" CHUNKED "\r\n0\r\n\r\n" HELLO, "EPROTO"},
    };
    (void)state;
    CHECK("HEAD", head, false);
    CHECK(NULL, get, false);
    CHECK(NULL, bad, false);
}

static void the_end_of_the_connection_may_be_that_of_the_body(void **state)
{
    static const struct row rows[] = {
        {OK "\r\nhello", "0 200 hello"},
        {OK "\r\n", "0 200"},
        {"HTTP/1.0 200 OK\r\n\r\nhello\r\nthere", "0 200 hello\r\nthere"},
        {OK "Connection: keep-alive\r\n\r\nhello", "0 200 hello"},
        {HELLO, "0 200 hello kept"}, /* the end comes behind it */
    };
    (void)state;
    CHECK(NULL, rows, true);
}

static void an_end_that_comes_too_early_is_an_error(void **state)
{
    static const struct row rows[] = {
        {"", "ECONNRESET"},
        {"HTTP/1.1 2", "ECONNRESET"},
        {OK "Content-Le", "ECONNRESET"},
        {OK FIVE "\r\nhell", "ECONNRESET 200"},
        {OK CHUNKED "\r\n5\r\nhel", "ECONNRESET 200"},
        {OK CHUNKED "\r\n5\r\nhello\r\n", "ECONNRESET 200"},
        {OK CHUNKED "\r\n5\r\nhello\r\n0\r\n", "ECONNRESET 200"},
        {OK CHUNKED "\r\n5\r\nhello\r\n0\r\nX: y\r\n", "ECONNRESET 200"},
        {TWICE, "ECONNRESET"},
    };
    (void)state;
    CHECK(NULL, rows, true);
}

static void interim_responses_are_passed_over_but_not_without_end(void **state)
{
    static const struct row rows[] = {
        {TWICE HELLO, "0 200 hello kept"},
        {"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" HELLO, "0 200 hello kept"},
        {EIGHT EIGHT HELLO, "0 200 hello kept"},
        {EIGHT EIGHT TWICE HELLO, "EPROTO"},
        {"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "EPROTO"},
        {"HTTP/1.1 099 Low\r\n\r\n" HELLO, "EPROTO"},
    };
    (void)state;
    CHECK(NULL, rows, false);
}

static void a_body_that_is_announced_in_two_ways_is_an_error(void **state)
{
    static const struct row rows[] = {
        {OK FIVE CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n", "EPROTO"},
        {OK CHUNKED FIVE "\r\n5\r\nhello\r\n0\r\n\r\n", "EPROTO"},
        {OK FIVE "Content-Length: 6\r\n\r\nhello", "EPROTO"},
        {OK FIVE FIVE "\r\nhello", "EPROTO"},
        {OK "Content-Length: 5, 5\r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: +5\r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: -5\r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: 0x5\r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: 5 5\r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: \r\n\r\nhello", "EPROTO"},
        {OK "Content-Length: 18446744073709551621\r\n\r\nhello", "EPROTO"},
        {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "EPROTO"},
        {OK CHUNKED CHUNKED "\r\n0\r\n\r\n", "EPROTO"},
        {OK "Transfer-Encoding: identity\r\n\r\nhello", "EPROTO"},
        {OK "Transfer-Encoding: xchunked\r\n\r\nhello", "EPROTO"},
        {OK "Transfer-Encoding: chunked, identity\r\n\r\nhello", "EPROTO"},
        {"HTTP/1.0 200 OK\r\n" CHUNKED "\r\n0\r\n\r\n", "EPROTO"},
        {OK "Content-Length : 5\r\n\r\nhello", "EPROTO"},
        {OK " Content-Length: 5\r\n\r\nhello", "EPROTO"},
        {OK "X: y\r\n Content-Length: 5\r\n\r\nhello", "EPROTO"},
        {OK "X: y\nContent-Length: 5\r\n\r\nhello", "EPROTO"},
        {OK "Content Length: 5\r\n" FIVE "\r\nhello", "EPROTO"},
        {OK ": 5\r\n" FIVE "\r\nhello", "EPROTO"},
    };
    (void)state;
    CHECK(NULL, rows, false);
}

static void chunks_are_held_to_their_grammar(void **state)
{
    static const struct row rows[] = {
        {OK CHUNKED "\r\nzz\r\nhello\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n5\r\nhelloX\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n5\nhello\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n5\r\nhello\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n-5\r\nhello\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n0x5\r\nhello\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", "EPROTO 200"},
        {OK CHUNKED "\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "EPROTO 200"},
    };
    (void)state;
    CHECK(NULL, rows, false);
}

static void what_is_not_http_1_is_an_error(void **state)
{
    static const struct row rows[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", "EPROTO"},
        {"ICY 200 OK\r\n\r\n", "EPROTO"},
        {"HTTP/2.0 200 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"HTTP/1.2 200 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"HTTP/0.9 200 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"HTTP/1.1 20 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"HTTP/1.1 2000 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"HTTP/1.1 -20 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"http/1.1 200 OK\r\n" FIVE "\r\nhello", "EPROTO"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "EPROTO"},
        {"\x16\x03\x01\x02\r\n\r\n", "EPROTO"},
    };
    static const char zero[] = OK "X: a\0b\r\n" FIVE "\r\nhello";
    (void)state;
    CHECK(NULL, rows, false);
    assert_string_equal("EPROTO", ask(NULL, zero, sizeof(zero) - 1, sizeof(zero) - 1, false));
}

static const char *ask_packed(const char *answer, size_t size, size_t cut)
{
    fixture.decodes = true;
    return ask(NULL, answer, size, cut, true);
}

static void gzip_is_unpacked_to_its_end(void **state)
{
    static const char one[] = GZIP(25) PACKED;
    static const char two[] = GZIP(50) PACKED THERE;
    static const char none[] = GZIP(0);
    static const char chunks[] =
        OK CHUNKED "Content-Encoding: X-GZIP\r\n\r\n19\r\n" PACKED "\r\n0\r\n\r\n";
    static const char other[] = OK "Content-Encoding: br\r\n" FIVE "\r\nhello";
    (void)state;
    for (size_t cut = 1; cut < sizeof(one); cut++)
        assert_string_equal("0 200 hello kept", ask_packed(one, sizeof(one) - 1, cut));
    for (size_t cut = 1; cut < sizeof(two); cut++)
        assert_string_equal("0 200 hellothere kept", ask_packed(two, sizeof(two) - 1, cut));
    for (size_t cut = 1; cut < sizeof(chunks); cut++)
        assert_string_equal("0 200 hello kept", ask_packed(chunks, sizeof(chunks) - 1, cut));
    assert_string_equal("0 200 kept", ask_packed(none, sizeof(none) - 1, 1));
    assert_string_equal("0 200 hello kept", ask_packed(other, sizeof(other) - 1, 1));
}

static void what_is_not_whole_gzip_is_an_error(void **state)
{
    static const char whole[] = OK "Content-Encoding: gzip\r\n\r\n" PACKED;
    static const char behind[] = GZIP(29) PACKED "more";
    static const char wrong[] = GZIP(5) "hello";
    char broken[sizeof(whole)];
    size_t head = strlen(OK "Content-Encoding: gzip\r\n\r\n");
    (void)state;
    assert_string_equal("0 200 hello", ask_packed(whole, sizeof(whole) - 1, 1));
    for (size_t size = head + 1; size < sizeof(whole) - 1; size++)
        assert_string_equal("EBADMSG 200", ask_packed(whole, size, 1));
    assert_non_null(strstr(ask_packed(behind, sizeof(behind) - 1, 1), "EBADMSG 200"));
    assert_non_null(strstr(ask_packed(wrong, sizeof(wrong) - 1, 1), "EBADMSG 200"));
    for (size_t at = head + 10; at < sizeof(whole) - 1; at++) {
        memcpy(broken, whole, sizeof(whole));
        broken[at] = (char)~broken[at];
        assert_string_equal("EBADMSG 200", ask_packed(broken, sizeof(broken) - 1, 1));
    }
}

/* What comes behind a response, nobody has asked for: it is not that to the next request. */
static void a_connection_with_more_behind_the_response_is_not_kept(void **state)
{
    static const struct row rows[] = {
        {HELLO HELLO, "0 200 hello"},
        {OK CHUNKED "\r\n0\r\n\r\nHTTP/1.1", "0 200"},
        {"HTTP/1.1 304 Same\r\n" FIVE "\r\nhello", "0 304"},
        {HELLO "\r\n", "0 200 hello"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        size_t size = strlen(rows[i].answer);
        assert_string_equal(rows[i].outcome, ask(NULL, rows[i].answer, size, size, false));
    }
}

/* The limits: 16 KiB and 100 headers, of the head and again of the trailers. */
static const char *long_answer(const char *begin, const char *header, size_t count)
{
    static char answer[64 * 1024];
    size_t size = strlen(begin);
    memcpy(answer, begin, size);
    for (size_t i = 0; i < count; i++, size += strlen(header))
        strcpy(answer + size, header);
    strcpy(answer + size, "\r\n");
    return answer;
}

static const char *ask_long(const char *begin, const char *header, size_t count, size_t cut)
{
    const char *answer = long_answer(begin, header, count);
    return ask(NULL, answer, strlen(answer), cut, false);
}

static void heads_and_trailers_have_limits(void **state)
{
    static char header[1026];
    (void)state;
    memset(header, 'x', sizeof(header));
    memcpy(header, "A: ", 3);
    memcpy(header + 1023, "\r\n", 3);
    const char *begin = "HTTP/1.1 204 None\r\n", *body = OK CHUNKED "\r\n0\r\n";
    for (size_t cut = 1; cut < 16000; cut += 5000) {
        assert_string_equal("0 204 kept", ask_long(begin, header, 15, cut));
        assert_string_equal("EMSGSIZE", ask_long(begin, header, 17, cut));
        assert_string_equal("EMSGSIZE 200", ask_long(body, header, 17, cut));
    }
    assert_string_equal("0 204 kept", ask_long(begin, "a:\r\n", 100, 1));
    assert_string_equal("EMSGSIZE", ask_long(begin, "a:\r\n", 101, 1));
}

/* The client writes on before it has looked. */
static void refuse_and_go(struct peer *peer)
{
    peer_send(peer, "HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
    peer_reset(peer);
    assert_int_equal(0, loop_http_call_write(&fixture.call, "more", 4));
}

static void an_answer_that_was_there_before_the_server_went_is_read(void **state)
{
    (void)state;
    const struct loop_http_call_options options = {.url = scripted_url("/"),
                                                   .method = "POST",
                                                   .streamed = true,
                                                   .on_end = on_end};
    scripted.on_request = refuse_and_go;
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, NULL));
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &options));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_string_equal("0 413", fixture.outcome);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(a_response_says_where_it_ends),
        ONE(some_have_no_body_whatever_they_say),
        ONE(the_end_of_the_connection_may_be_that_of_the_body),
        ONE(an_end_that_comes_too_early_is_an_error),
        ONE(interim_responses_are_passed_over_but_not_without_end),
        ONE(a_body_that_is_announced_in_two_ways_is_an_error),
        ONE(chunks_are_held_to_their_grammar),
        ONE(what_is_not_http_1_is_an_error),
        ONE(gzip_is_unpacked_to_its_end),
        ONE(what_is_not_whole_gzip_is_an_error),
        ONE(a_connection_with_more_behind_the_response_is_not_kept),
        ONE(heads_and_trailers_have_limits),
        ONE(an_answer_that_was_there_before_the_server_went_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
