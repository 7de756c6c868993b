/* Calls, against a server of this library.
 *
 * A call is a request and its response. The request has a method, headers and a body, from memory
 * or streamed, in chunks or with an announced length; with "Expect" the body goes when the server
 * wants it. The response comes as on_head, pieces of the body and on_end, which comes once and
 * last; or the body is collected, within a limit. A call can be paused and goes on where it was.
 * gzip is decoded if that was asked for, within the same limit. What could be refused is refused at
 * the start, with nothing begun.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/client.h"
#include "loop/http/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIG = 1000000, LARGE = 8 * 1024 * 1024, ZEROS = 4 * 1024 * 1024 };

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_http_client client;
    struct loop_http_call call, second;
    struct loop_http_call_options options;
    struct loop_timer timer;
    char *big;
    uint64_t received; /* by the server */
    uint64_t sent;     /* by it */
    size_t at;         /* of big, compared so far */
    int rounds;
    int drained;
    bool quiet; /* on_end says nothing of the body */
} fixture;

static const char *url(const char *path)
{
    static char urls[4][512];
    static unsigned next;
    char *text = urls[next++ % 4];
    snprintf(text, sizeof(urls[0]), "http://127.0.0.1:%u%s", loop_http_server_port(&fixture.server),
             path);
    return text;
}

/* --- the server --- */

static void on_body_collected(struct loop_http_request *req, int status, const char *bytes,
                              size_t size)
{
    assert_int_equal(0, status);
    loop_http_end(req->response, bytes, size);
}

static void on_piece(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    char text[32];
    (void)bytes;
    if (size > 0) {
        fixture.received += (uint64_t)size;
        return;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)fixture.received);
    loop_http_end_text(req->response, size == LOOP_EOF ? text : "broken");
}

static void pour(struct loop_http_response *res)
{
    int status = 0;
    while (status == 0 && fixture.sent < LARGE) {
        status = loop_http_write(res, fixture.big, 50000);
        if (status >= 0)
            fixture.sent += 50000;
    }
    if (fixture.sent >= LARGE || status < 0)
        loop_http_end(res, NULL, 0);
    else
        loop_http_on_drain(res, pour);
}

static void send_back_the_head(struct loop_http_request *req, struct loop_http_response *res)
{
    char text[1024];
    int size = snprintf(text, sizeof(text), "%s %s", req->method, req->target);
    for (size_t i = 0; i < req->header_count; i++)
        if (strcmp(req->headers[i].name, "host") != 0)
            size += snprintf(text + size, sizeof(text) - (size_t)size, " %s=%s",
                             req->headers[i].name, req->headers[i].value);
    loop_http_set_header(res, "X-Method", req->method);
    loop_http_end_text(res, text);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    if (strncmp(req->path, "/head", 5) == 0) {
        send_back_the_head(req, res);
    } else if (strcmp(req->path, "/echo") == 0) {
        assert_int_equal(0, loop_http_collect_body(req, 0, on_body_collected));
    } else if (strcmp(req->path, "/count") == 0) {
        loop_http_limit_body(req, UINT64_MAX);
        assert_int_equal(0, loop_http_read_body(req, on_piece));
    } else if (strcmp(req->path, "/large") == 0) {
        pour(res);
    } else if (strcmp(req->path, "/zeros") == 0) {
        char *zeros = calloc(1, ZEROS);
        loop_http_set_header(res, "Content-Type", "text/plain");
        loop_http_end(res, zeros, ZEROS);
        free(zeros);
    } else if (strcmp(req->path, "/trailer") == 0) {
        loop_http_set_header(res, "Trailer", "X-Sum");
        loop_http_write(res, "body", 4);
        loop_http_add_trailer(res, "X-Sum", "7");
        loop_http_end(res, NULL, 0);
    } else {
        loop_http_end_error(res, 404, NULL);
    }
}

/* --- the client --- */

static void finish(void)
{
    loop_http_client_close(&fixture.client, NULL);
    loop_http_server_close(&fixture.server, LOOP_NEVER, NULL);
}

static void on_end(struct loop_http_call *call, int status)
{
    if (fixture.quiet || !call->body)
        say("%s %d", status < 0 ? loop_error_name(status) : "0", call->status);
    else
        say("%s %d %s", status < 0 ? loop_error_name(status) : "0", call->status, call->body);
    if (--fixture.rounds <= 0)
        finish();
}

static int set_up(void **state)
{
    const struct loop_http_options options = {.on_request = on_request, .compress = true};
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state, .rounds = 1};
    fixture.options = (struct loop_http_call_options){.collect = true, .on_end = on_end};
    fixture.big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        fixture.big[i] = (char)('a' + (i * i / 7) % 26);
    loop_timer_init(fixture.loop, &fixture.timer);
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, NULL));
    return 0;
}

static int tear_down(void **state)
{
    finish();
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_int_equal(0, fixture.client.stats.active);
    assert_int_equal(0, fixture.client.stats.connections);
    free(fixture.big);
    return teardown(state);
}

static int start(const char *path)
{
    fixture.options.url = url(path);
    return loop_http_call_start(&fixture.client, &fixture.call, &fixture.options);
}

static void run(const char *path, const char *words)
{
    assert_int_equal(0, start(path));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said(words);
}

/* --- requests and responses --- */

static void a_whole_body_is_got_in_one_line(void **state)
{
    (void)state;
    assert_int_equal(0, loop_http_get(&fixture.client, &fixture.call, url("/head"), on_end));
    assert_int_equal(-EALREADY, loop_http_get(&fixture.client, &fixture.call, url("/"), on_end));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 GET /head accept-encoding=gzip");
}

static void the_target_is_the_path_and_the_query(void **state)
{
    (void)state;
    run("/head/a%20b?c=d&e#part", "0 200 GET /head/a%20b?c=d&e");
}

static void headers_go_as_they_are(void **state)
{
    static const struct loop_http_header headers[] = {{"Accept", "text/plain, */*"},
                                                      {"X-A", ""},
                                                      {"x-a", "twice"},
                                                      {NULL, NULL}};
    (void)state;
    fixture.options.headers = headers;
    fixture.options.method = "DELETE";
    run("/head", "0 200 DELETE /head accept=text/plain, */* x-a= x-a=twice");
}

static void a_value_may_have_a_tab_and_codings_are_the_program_s(void **state)
{
    static const struct loop_http_header headers[] = {{"X-A", "a\tb"},
                                                      {"Accept-Encoding", "identity"},
                                                      {NULL, NULL}};
    static const struct loop_http_header bad[] = {{"X-A", "a\x7f"}, {NULL, NULL}};
    (void)state;
    fixture.options.headers = bad;
    assert_int_equal(-EINVAL, start("/head"));
    fixture.options.headers = headers;
    run("/head", "0 200 GET /head x-a=a\tb accept-encoding=identity");
}

static void an_answer_that_says_no_is_an_answer(void **state)
{
    (void)state;
    fixture.quiet = true;
    run("/nowhere", "0 404");
}

static void a_response_to_head_has_no_body_but_its_size(void **state)
{
    (void)state;
    fixture.options.method = "HEAD";
    run("/head", "0 200 ");
    assert_true(fixture.call.body_size > 0);
}

static void on_head_found(struct loop_http_call *call)
{
    assert_string_equal("GET", loop_http_call_header(call, "X-METHOD"));
    assert_null(loop_http_call_header(call, "x-metho"));
    assert_string_equal("OK", call->reason);
    assert_int_equal(9, call->body_size);
    say("head");
}

static void on_body_said(struct loop_http_call *call, const void *bytes, size_t size)
{
    (void)call;
    say("%.*s", (int)size, (const char *)bytes);
}

static void the_head_comes_first_then_the_body_then_the_end(void **state)
{
    (void)state;
    fixture.options.collect = false;
    fixture.options.on_head = on_head_found;
    fixture.options.on_body = on_body_said;
    run("/head", "head GET /head 0 200");
}

static void on_trailers(struct loop_http_call *call, int status)
{
    assert_int_equal(1, call->trailer_count);
    say("%d %s: %s", status, call->trailers[0].name, call->trailers[0].value);
    assert_null(loop_http_call_header(call, "x-sum"));
    finish();
}

static void trailers_are_told_at_the_end(void **state)
{
    (void)state;
    fixture.options.on_end = on_trailers;
    run("/trailer", "0 x-sum: 7");
}

static void on_end_again(struct loop_http_call *call, int status)
{
    on_end(call, status);
    if (fixture.rounds > 0)
        assert_int_equal(0, start("/head"));
}

static void a_call_may_be_started_again_in_its_end(void **state)
{
    (void)state;
    fixture.rounds = 3;
    fixture.options.on_end = on_end_again;
    run("/head", "0 200 GET /head 0 200 GET /head 0 200 GET /head");
    assert_int_equal(1, fixture.client.stats.opened);
    assert_int_equal(2, fixture.client.stats.reused);
    assert_int_equal(3, fixture.client.stats.calls);
}

static void what_a_call_points_to_may_go_once_it_is_started(void **state)
{
    char text[128], name[] = "X-Name", value[] = "value", method[] = "PUT";
    struct loop_http_header headers[] = {{name, value}, {NULL, NULL}};
    (void)state;
    snprintf(text, sizeof(text), "%s", url("/head"));
    fixture.options.url = text;
    fixture.options.method = method;
    fixture.options.headers = headers;
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.options));
    memset(text, '!', sizeof(text));
    memset(headers, 0, sizeof(headers));
    name[0] = value[0] = method[0] = '!';
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 PUT /head x-name=value content-length=0");
}

/* --- bodies of requests --- */

static void on_echoed(struct loop_http_call *call, int status)
{
    assert_int_equal(0, status);
    assert_int_equal(200, call->status);
    assert_int_equal(BIG, call->body_read);
    assert_memory_equal(fixture.big, call->body, BIG);
    say("same");
    finish();
}

static void a_body_from_memory_arrives_whole(void **state)
{
    (void)state;
    fixture.options.method = "POST";
    fixture.options.body = fixture.big;
    fixture.options.body_size = BIG;
    fixture.options.on_end = on_echoed;
    run("/echo", "same");
}

static void a_body_waits_for_the_server_to_want_it(void **state)
{
    (void)state;
    fixture.options.method = "POST";
    fixture.options.body = fixture.big;
    fixture.options.body_size = BIG;
    fixture.options.expect_continue = true;
    fixture.options.on_end = on_echoed;
    run("/echo", "same");
}

static void a_server_that_does_not_want_it_does_not_get_it(void **state)
{
    (void)state;
    fixture.options.method = "POST";
    fixture.options.body = "unwanted";
    fixture.options.body_size = 8;
    fixture.options.expect_continue = true;
    fixture.options.headers = NULL;
    fixture.quiet = true;
    run("/nowhere", "0 404");
}

/* As much as there is room for, then again when there is. */
static void fill(struct loop_http_call *call)
{
    int status = 0;
    fixture.drained++;
    while (status == 0 && fixture.sent < LARGE) {
        status = loop_http_call_write(call, fixture.big, BIG / 16);
        assert_true(status >= 0);
        fixture.sent += BIG / 16;
    }
    if (fixture.sent >= LARGE)
        assert_int_equal(0, loop_http_call_end(call, "!", 1));
}

static void streamed(uint64_t announced, bool expect, bool later)
{
    char words[64];
    uint64_t total = (LARGE + BIG / 16 - 1) / (BIG / 16) * (BIG / 16) + 1;
    fixture.options.method = "PUT";
    fixture.options.streamed = true;
    fixture.options.stream_size = announced ? total : 0;
    fixture.options.expect_continue = expect;
    fixture.options.on_drain = fill;
    snprintf(words, sizeof(words), "0 200 %llu", (unsigned long long)total);
    assert_int_equal(0, start("/count"));
    if (later)
        for (int i = 0; i < 10; i++)
            loop_run(fixture.loop, LOOP_RUN_NOWAIT);
    fill(&fixture.call);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said(words);
    assert_true(fixture.drained > 1);
}

static void a_body_is_streamed_in_chunks(void **state)
{
    (void)state;
    streamed(0, false, false);
}

static void a_body_is_streamed_with_its_length(void **state)
{
    (void)state;
    streamed(1, false, false);
}

static void a_body_is_streamed_when_the_server_wants_it(void **state)
{
    (void)state;
    streamed(0, true, false);
}

static void a_body_is_streamed_to_an_open_connection(void **state)
{
    (void)state;
    streamed(1, false, true);
}

static void an_empty_stream_is_an_empty_body(void **state)
{
    (void)state;
    fixture.options.method = "POST";
    fixture.options.streamed = true;
    assert_int_equal(0, start("/echo"));
    assert_int_equal(0, loop_http_call_write(&fixture.call, NULL, 0));
    assert_int_equal(0, loop_http_call_end(&fixture.call, NULL, 0));
    assert_int_equal(-EPIPE, loop_http_call_end(&fixture.call, NULL, 0));
    assert_int_equal(-EPIPE, loop_http_call_write(&fixture.call, "x", 1));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 ");
}

static void a_stream_is_held_to_what_was_announced(void **state)
{
    (void)state;
    fixture.options.method = "POST";
    fixture.options.streamed = true;
    fixture.options.stream_size = 5;
    assert_int_equal(0, start("/echo"));
    assert_int_equal(-EMSGSIZE, loop_http_call_write(&fixture.call, "123456", 6));
    assert_int_equal(0, loop_http_call_write(&fixture.call, "123", 3));
    assert_int_equal(-EMSGSIZE, loop_http_call_end(&fixture.call, "4", 1));
    assert_int_equal(-EMSGSIZE, loop_http_call_end(&fixture.call, "456", 3));
    assert_int_equal(-EINVAL, loop_http_call_end(&fixture.call, NULL, 2));
    assert_int_equal(0, loop_http_call_end(&fixture.call, "45", 2));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 12345");
}

static void what_waits_of_a_stream_is_limited(void **state)
{
    (void)state;
    fixture.options.streamed = true;
    assert_int_equal(0, start("/echo"));
    int status = 0;
    for (size_t size = 0; size < 2 * (size_t)LOOP_WRITE_MAX && status >= 0; size += BIG)
        status = loop_http_call_write(&fixture.call, fixture.big, BIG);
    assert_int_equal(-ENOBUFS, status);
    assert_int_equal(0, loop_http_call_cancel(&fixture.call));
    assert_int_equal(-EPIPE, loop_http_call_write(&fixture.call, "x", 1));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ECANCELED 0");
}

static void only_a_stream_is_written_to(void **state)
{
    (void)state;
    assert_int_equal(-EPIPE, loop_http_call_write(&fixture.call, "x", 1));
    assert_int_equal(0, start("/head"));
    assert_int_equal(-EINVAL, loop_http_call_write(&fixture.call, "x", 1));
    assert_int_equal(-EINVAL, loop_http_call_end(&fixture.call, NULL, 0));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 GET /head");
}

/* --- bodies of responses --- */

static void on_resume(struct loop_timer *timer)
{
    (void)timer;
    assert_int_equal(fixture.at, fixture.call.body_read);
    loop_http_call_resume(&fixture.call);
}

/* Each piece is one round: paused, and resumed a millisecond later, a few times. */
static void on_large(struct loop_http_call *call, const void *bytes, size_t size)
{
    (void)bytes;
    fixture.at += size;
    assert_int_equal(fixture.at, call->body_read);
    if (++fixture.drained > 20)
        return;
    loop_http_call_pause(call);
    loop_timer_start(&fixture.timer, LOOP_MS, 0, on_resume);
}

static void a_paused_call_gets_nothing_and_then_the_rest(void **state)
{
    (void)state;
    fixture.options.collect = false;
    fixture.options.on_body = on_large;
    run("/large", "0 200");
    assert_int_equal(fixture.sent, fixture.at);
}

static void on_zeros_decoded(struct loop_http_call *call, const void *bytes, size_t size)
{
    assert_int_equal(0, *(const char *)bytes);
    on_large(call, bytes, size);
}

static void a_paused_call_is_not_overrun_by_what_is_unpacked(void **state)
{
    (void)state;
    fixture.options.collect = false;
    fixture.options.decode = true;
    fixture.options.on_body = on_zeros_decoded;
    run("/zeros", "0 200");
    assert_int_equal(ZEROS, fixture.at);
    assert_int_equal(-1, fixture.call.body_size);
}

static void a_paused_server_has_to_wait(void **state)
{
    (void)state;
    fixture.options.collect = false;
    fixture.options.on_head = loop_http_call_pause;
    assert_int_equal(0, start("/large"));
    while (fixture.call.status == 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    for (int i = 0; i < 2000; i++)
        loop_run(fixture.loop, LOOP_RUN_NOWAIT);
    assert_int_equal(200, fixture.call.status);
    assert_int_equal(0, fixture.call.body_read);
    assert_true(fixture.sent < LARGE);
    loop_http_call_resume(&fixture.call);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200");
    assert_int_equal(fixture.sent, fixture.call.body_read);
}

static void a_body_within_the_limit_is_collected(void **state)
{
    (void)state;
    fixture.options.body_bytes = 9;
    run("/head", "0 200 GET /head");
}

static void one_byte_more_than_the_limit_is_too_much(void **state)
{
    (void)state;
    fixture.options.body_bytes = 8;
    run("/head", "EFBIG 200");
}

static void what_is_collected_is_limited_without_being_asked(void **state)
{
    (void)state;
    run("/zeros", "EFBIG 200");
}

static void the_limit_is_on_what_is_unpacked(void **state)
{
    (void)state;
    fixture.options.decode = true;
    run("/zeros", "EFBIG 200");
    assert_true(fixture.server.stats.bytes_out < 100000);
}

static void what_is_packed_stays_packed_if_nobody_asks(void **state)
{
    static const struct loop_http_header headers[] = {{"Accept-Encoding", "gzip"}, {NULL, NULL}};
    (void)state;
    fixture.options.headers = headers;
    fixture.quiet = true;
    run("/zeros", "0 200");
    assert_true(fixture.call.body_read < 100000);
}

/* --- what is refused --- */

static int refused(void)
{
    struct loop_http_call call = {0};
    int error = loop_http_call_start(&fixture.client, &call, &fixture.options);
    assert_null(call.fetch);
    return error;
}

static void what_is_no_url_of_http_is_refused(void **state)
{
    static const char *const urls[] = {"",
                                       "/",
                                       "here",
                                       "ftp://here/",
                                       "ws://h/",
                                       "http:/here/",
                                       "http://",
                                       "http://a b/",
                                       "http://h:0/",
                                       "http://user@here/",
                                       "http://h/\r\nX: y"};
    char *longest = malloc(LOOP_URL_MAX + 100);
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++) {
        fixture.options.url = urls[i];
        assert_int_equal(-EINVAL, refused());
    }
    fixture.options.url = NULL;
    assert_int_equal(-EINVAL, refused());
    fixture.options.url = "https://here/";
    assert_int_equal(-EPROTONOSUPPORT, refused());
    memset(longest, 'a', LOOP_URL_MAX + 99);
    memcpy(longest, "http://h/", 9);
    longest[LOOP_URL_MAX + 99] = '\0';
    fixture.options.url = longest;
    assert_int_equal(-ENAMETOOLONG, refused());
    free(longest);
}

static void headers_that_would_be_others_are_refused(void **state)
{
    static const struct loop_http_header bad[][2] = {
        {{"Host", "x"}, {NULL, NULL}},       {{"content-LENGTH", "1"}, {NULL, NULL}},
        {{"Connection", "x"}, {NULL, NULL}}, {{"Transfer-Encoding", "x"}, {NULL, NULL}},
        {{"TE", "x"}, {NULL, NULL}},         {{"Upgrade", "x"}, {NULL, NULL}},
        {{"Expect", "x"}, {NULL, NULL}},     {{"Accept-Encoding", "x"}, {NULL, NULL}},
        {{"a", "b\r\nc: d"}, {NULL, NULL}},  {{"a", "b\nc"}, {NULL, NULL}},
        {{"a b", "c"}, {NULL, NULL}},        {{"a:", "c"}, {NULL, NULL}},
        {{"", "c"}, {NULL, NULL}},           {{"a", NULL}, {NULL, NULL}},
        {{"a", "\x7f"}, {NULL, NULL}},
    };
    static const char *const methods[] = {"", "GET ", "G\r\nET", "CONNECT"};
    (void)state;
    fixture.options.url = "http://here/";
    fixture.options.decode = true;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        fixture.options.headers = bad[i];
        assert_int_equal(-EINVAL, refused());
    }
    fixture.options.headers = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        fixture.options.method = methods[i];
        assert_int_equal(-EINVAL, refused());
    }
}

static void more_headers_than_any_server_takes_are_refused(void **state)
{
    (void)state;
    memset(fixture.big, 'x', 70000);
    fixture.big[70000] = '\0';
    const struct loop_http_header headers[] = {{"X", fixture.big}, {NULL, NULL}};
    fixture.options.headers = headers;
    fixture.options.url = "http://here/";
    assert_int_equal(-E2BIG, refused());
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    const struct loop_http_call_options good = {.url = "http://here/", .on_end = on_end};
    struct loop_http_call_options bad[6] = {good, good, good, good, good, good};
    (void)state;
    bad[0].on_end = NULL;
    bad[1].streamed = true, bad[1].body = "x", bad[1].body_size = 1;
    bad[2].body_size = 1;
    bad[3].collect = true, bad[3].on_body = on_body_said;
    bad[4].redirects = -2;
    bad[5].stream_size = 1;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        fixture.options = bad[i];
        assert_int_equal(-EINVAL, refused());
    }
    assert_int_equal(-EINVAL, loop_http_call_start(NULL, &fixture.call, &good));
    assert_int_equal(-EINVAL, loop_http_call_start(&fixture.client, NULL, &good));
    assert_int_equal(-EINVAL, loop_http_call_start(&fixture.client, &fixture.call, NULL));
    assert_int_equal(-EINVAL, loop_http_client_init(NULL, &fixture.client, NULL));
    assert_int_equal(-EINVAL, loop_http_client_init(fixture.loop, NULL, NULL));
    assert_int_equal(0, fixture.client.stats.calls);
}

/* "http://host?query" asks for "/". */
static void a_url_may_have_no_path(void **state)
{
    (void)state;
    fixture.server.options.on_request = send_back_the_head;
    run("", "0 200 GET /");
}

static void on_host(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_end_text(res, loop_http_header(req, "host"));
}

static void an_address_of_ip6_stays_in_its_brackets(void **state)
{
    char text[64], words[64];
    unsigned port = loop_http_server_port(&fixture.server);
    (void)state;
    if (loop_http_listen(&fixture.server, "::1", (uint16_t)port, 0) == -EADDRNOTAVAIL)
        skip();
    fixture.server.options.on_request = on_host;
    snprintf(text, sizeof(text), "HTTP://[::1]:%u/", port);
    snprintf(words, sizeof(words), "0 200 [::1]:%u", port);
    fixture.options.url = text;
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.options));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said(words);
}

static void rest_again(struct loop_http_call *call)
{
    for (int i = 0; i < 2; i++) {
        loop_http_call_pause(call);
        loop_http_call_resume(call);
    }
    loop_http_call_resume(call);
}

static void a_rest_that_is_over_at_once_changes_nothing(void **state)
{
    (void)state;
    fixture.options.on_head = rest_again;
    run("/head", "0 200 GET /head");
}

static void a_stream_of_nothing_with_a_size_is_refused(void **state)
{
    (void)state;
    fixture.options.streamed = true;
    fixture.options.method = "POST";
    assert_int_equal(0, start("/echo"));
    assert_int_equal(-EINVAL, loop_http_call_write(&fixture.call, NULL, 1));
    assert_int_equal(0, loop_http_call_write(&fixture.call, NULL, 0));
    assert_int_equal(-EINVAL, loop_http_call_end(&fixture.call, NULL, 1));
    assert_int_equal(0, loop_http_call_end(&fixture.call, "end", 3));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("0 200 end");
}

static void a_call_that_is_over_can_be_asked_nothing(void **state)
{
    (void)state;
    run("/head", "0 200 GET /head");
    assert_int_equal(-EALREADY, loop_http_call_cancel(&fixture.call));
    assert_int_equal(-EALREADY, loop_http_call_deadline(&fixture.call, 1));
    loop_http_call_pause(&fixture.call);
    loop_http_call_resume(&fixture.call);
    assert_int_equal(-ECANCELED, start("/head"));
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
static const struct CMUnitTest tests[] = {
    ONE(a_whole_body_is_got_in_one_line),
    ONE(the_target_is_the_path_and_the_query),
    ONE(headers_go_as_they_are),
    ONE(a_value_may_have_a_tab_and_codings_are_the_program_s),
    ONE(an_answer_that_says_no_is_an_answer),
    ONE(a_response_to_head_has_no_body_but_its_size),
    ONE(the_head_comes_first_then_the_body_then_the_end),
    ONE(trailers_are_told_at_the_end),
    ONE(a_call_may_be_started_again_in_its_end),
    ONE(what_a_call_points_to_may_go_once_it_is_started),
    ONE(a_body_from_memory_arrives_whole),
    ONE(a_body_waits_for_the_server_to_want_it),
    ONE(a_server_that_does_not_want_it_does_not_get_it),
    ONE(a_body_is_streamed_in_chunks),
    ONE(a_body_is_streamed_with_its_length),
    ONE(a_body_is_streamed_when_the_server_wants_it),
    ONE(a_body_is_streamed_to_an_open_connection),
    ONE(an_empty_stream_is_an_empty_body),
    ONE(a_stream_is_held_to_what_was_announced),
    ONE(what_waits_of_a_stream_is_limited),
    ONE(only_a_stream_is_written_to),
    ONE(a_paused_call_gets_nothing_and_then_the_rest),
    ONE(a_paused_call_is_not_overrun_by_what_is_unpacked),
    ONE(a_paused_server_has_to_wait),
    ONE(a_body_within_the_limit_is_collected),
    ONE(one_byte_more_than_the_limit_is_too_much),
    ONE(what_is_collected_is_limited_without_being_asked),
    ONE(the_limit_is_on_what_is_unpacked),
    ONE(what_is_packed_stays_packed_if_nobody_asks),
    ONE(what_is_no_url_of_http_is_refused),
    ONE(headers_that_would_be_others_are_refused),
    ONE(more_headers_than_any_server_takes_are_refused),
    ONE(options_that_contradict_each_other_are_refused),
    ONE(a_url_may_have_no_path),
    ONE(an_address_of_ip6_stays_in_its_brackets),
    ONE(a_rest_that_is_over_at_once_changes_nothing),
    ONE(a_stream_of_nothing_with_a_size_is_refused),
    ONE(a_call_that_is_over_can_be_asked_nothing),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
