/* Redirects, as RFC 9110 15.4 says.
 *
 * Five statuses are followed, if they say where to; what is sent there depends on the status and
 * on the method. Credentials stay with the origin that they were meant for, and do not come back
 * to it. What cannot be followed is the response. A call follows five, or as many as it says; the
 * body of a redirect is thrown away, and if it is large its connection, too. The age of a call
 * stays what it was.
 *
 * The servers are two, so two origins. They say what they were asked: method, target, body and
 * credentials.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/client.h"
#include "loop/http/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture {
    struct loop *loop;
    struct loop_http_server servers[2];
    struct loop_http_client client;
    struct loop_http_call call;
    struct loop_http_call_options ask;
    uint64_t large; /* a body that redirects have */
    int redirected;
} fixture;

static const char *url(int server, const char *path)
{
    static char urls[4][2048];
    static unsigned next;
    char *text = urls[next++ % 4];
    snprintf(text, sizeof(urls[0]), "http://127.0.0.1:%u%s",
             loop_http_server_port(&fixture.servers[server]), path);
    return text;
}

/* --- the servers --- */

static void put_header(const struct loop_http_request *req, const char *name, char *text)
{
    const char *value = loop_http_header(req, name);
    if (value)
        sprintf(text + strlen(text), " %s=%s", name, value);
}

static void on_body(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    char text[512];
    assert_int_equal(0, status);
    snprintf(text, sizeof(text), "%d: %s %s%s%.*s", req->server == &fixture.servers[1], req->method,
             req->target, size > 0 ? " " : "", (int)size, bytes);
    put_header(req, "content-type", text);
    put_header(req, "authorization", text);
    put_header(req, "cookie", text);
    put_header(req, "x-other", text);
    loop_http_set_header(req->response, "X-Said", text);
    loop_http_end_text(req->response, text);
}

/* "/302/there": with a status of 302, to what is behind it. */
static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    char status[4] = "", where[1024];
    if (strlen(req->path) < 5 || req->path[1] != '3' || req->path[4] != '/') {
        assert_int_equal(0, loop_http_collect_body(req, 0, on_body));
        return;
    }
    fixture.redirected++;
    memcpy(status, req->path + 1, 3);
    ssize_t size = loop_percent_decode(loop_text_of(req->target + 5), where, sizeof(where) - 1);
    assert_true(size >= 0);
    where[size] = '\0';
    loop_http_set_status(res, atoi(status));
    if (*where)
        loop_http_set_header(res, "Location", where);
    char *body = calloc(1, fixture.large + 1);
    loop_http_end(res, body, fixture.large);
    free(body);
}

/* --- */

static void finish(void)
{
    loop_http_client_close(&fixture.client, NULL);
    for (int i = 0; i < 2; i++)
        loop_http_server_close(&fixture.servers[i], LOOP_NEVER, NULL);
}

static void on_end(struct loop_http_call *call, int status)
{
    const char *text = loop_http_call_header(call, "x-said");
    if (status == 0 && call->status == 200)
        say("%s", text);
    else
        say("%s:%d", loop_error_name(status), call->status);
}

static int set_up(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    fixture.ask = (struct loop_http_call_options){.collect = true, .on_end = on_end};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(0, loop_http_server_init(*state, &fixture.servers[i], &options));
        assert_int_equal(0, loop_http_listen(&fixture.servers[i], "127.0.0.1", 0, 0));
    }
    assert_int_equal(0, loop_http_client_init(*state, &fixture.client, NULL));
    return 0;
}

static int tear_down(void **state)
{
    finish();
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    return teardown(state);
}

static void get(const char *path, const char *words)
{
    fixture.ask.url = url(0, path);
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    while (fixture.call.fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said(words);
}

/* The path of a redirect to a path of the other server. */
static const char *to_the_other(int status, const char *path)
{
    static char text[1024], encoded[512];
    const char *there = url(1, path);
    assert_true(loop_percent_encode(loop_text_of(there), "/:", encoded, sizeof(encoded)) > 0);
    snprintf(text, sizeof(text), "/%d/%s", status, encoded);
    return text;
}

static void five_statuses_are_followed(void **state)
{
    (void)state;
    get("/301//there", "0: GET /there");
    get("/302//there", "0: GET /there");
    get("/303//there", "0: GET /there");
    get("/307//there", "0: GET /there");
    get("/308//there", "0: GET /there");
    get("/300//there", "OK:300");
    get("/304//there", "OK:304");
    get("/305//there", "OK:305");
    get("/306//there", "OK:306");
    assert_int_equal(1, fixture.client.stats.opened);
}

static void where_they_lead_is_resolved(void **state)
{
    (void)state;
    get("/302/../there", "0: GET /there");
    get("/302//a/./b/../c%3Fd", "0: GET /a/c?d");
    get(to_the_other(302, "/far?x#part"), "1: GET /far?x");
}

/* Methods and bodies: RFC 9110 15.4.2 to 15.4.9. */
static void the_method_and_the_body_follow_the_status(void **state)
{
    static const struct loop_http_header headers[] = {{"Content-Type", "a/b"}, {NULL, NULL}};
    static const struct {
        int status;
        const char *method, *said;
    } rows[] = {
        {301, "POST", "0: GET /there"},
        {302, "POST", "0: GET /there"},
        {303, "POST", "0: GET /there"},
        {307, "POST", "0: POST /there body content-type=a/b"},
        {308, "POST", "0: POST /there body content-type=a/b"},
        {301, "PUT", "0: PUT /there body content-type=a/b"},
        {302, "PUT", "0: PUT /there body content-type=a/b"},
        {303, "PUT", "0: GET /there"},
        {307, "PUT", "0: PUT /there body content-type=a/b"},
        {303, "DELETE", "0: GET /there"},
        {302, "DELETE", "0: DELETE /there body content-type=a/b"},
        {303, "HEAD", "0: HEAD /there body content-type=a/b"},
        {301, "HEAD", "0: HEAD /there body content-type=a/b"},
        {307, "HEAD", "0: HEAD /there body content-type=a/b"},
    };
    char path[32];
    (void)state;
    fixture.ask.headers = headers;
    fixture.ask.body = "body";
    fixture.ask.body_size = 4;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        fixture.ask.method = rows[i].method;
        snprintf(path, sizeof(path), "/%d//there", rows[i].status);
        get(path, rows[i].said);
    }
}

static void credentials_stay_with_their_origin(void **state)
{
    static const struct loop_http_header headers[] = {{"Authorization", "Basic x"},
                                                      {"Cookie", "a=b"},
                                                      {"Proxy-Authorization", "y"},
                                                      {"X-Other", "z"},
                                                      {NULL, NULL}};
    char path[1024], encoded[512];
    (void)state;
    fixture.ask.headers = headers;
    get("/302//there", "0: GET /there authorization=Basic x cookie=a=b x-other=z");
    get(to_the_other(302, "/there"), "1: GET /there x-other=z");
    snprintf(path, sizeof(path), "/302/%s", url(0, "/back"));
    const char *back = url(1, path);
    assert_true(loop_percent_encode(loop_text_of(back), "/:", encoded, sizeof(encoded)) > 0);
    snprintf(path, sizeof(path), "/302/%s", encoded);
    get(path, "0: GET /back x-other=z");
}

static void what_cannot_be_followed_is_the_response(void **state)
{
    (void)state;
    get("/302/", "OK:302");
    get("/302/ftp://127.0.0.1/", "OK:302");
    get("/302/ws://127.0.0.1/", "OK:302");
    get("/302/javascript:alert(1)", "OK:302");
    get("/302/http:", "OK:302");
    get("/302/http://me@127.0.0.1/", "OK:302");
    get("/302//a%20b", "OK:302");
    get("/302/https://127.0.0.1/", "OK:302"); /* without a context for TLS */
    fixture.ask.redirects = -1;
    get("/302//there", "OK:302");
    assert_int_equal(0, fixture.call.redirects);
    get("/302/ws%3A//127.0.0.1/", "OK:302");
    get("/302/WS%3A//127.0.0.1/", "OK:302");
}

static void there_is_a_limit(void **state)
{
    char path[256] = "";
    (void)state;
    for (int i = 0; i < 5; i++)
        strcat(path, "/302/");
    strcat(path, "/there");
    get(path, "0: GET /there");
    assert_int_equal(5, fixture.call.redirects);
    fixture.ask.redirects = 4;
    fixture.redirected = 0;
    get(path, "ELOOP:0");
    assert_int_equal(5, fixture.redirected);
    assert_int_equal(4, fixture.call.redirects);
}

static void a_body_that_was_streamed_is_not_there_any_more(void **state)
{
    (void)state;
    fixture.ask.streamed = true;
    fixture.ask.method = "POST";
    fixture.ask.url = url(0, "/307//there");
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    assert_int_equal(0, loop_http_call_end(&fixture.call, "body", 4));
    while (fixture.call.fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("OK:307");
    fixture.ask.url = url(0, "/303//there");
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    assert_int_equal(0, loop_http_call_write(&fixture.call, "body", 4));
    while (fixture.call.fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("0: GET /there");
}

static void the_body_of_a_redirect_is_thrown_away(void **state)
{
    (void)state;
    fixture.ask.body_bytes = 100;
    fixture.large = 50000;
    get("/302//there", "0: GET /there");
    assert_int_equal(1, fixture.client.stats.opened);
    fixture.large = 5000000;
    get("/302//there", "0: GET /there");
    assert_int_equal(2, fixture.client.stats.opened);
}

static void on_end_with_url(struct loop_http_call *call, int status)
{
    assert_string_equal(url(1, "/far"), call->url);
    on_end(call, status);
}

static void the_url_is_that_which_answered(void **state)
{
    (void)state;
    fixture.ask.on_end = on_end_with_url;
    get(to_the_other(308, "/far"), "1: GET /far");
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(five_statuses_are_followed),
        ONE(where_they_lead_is_resolved),
        ONE(the_method_and_the_body_follow_the_status),
        ONE(credentials_stay_with_their_origin),
        ONE(what_cannot_be_followed_is_the_response),
        ONE(there_is_a_limit),
        ONE(a_body_that_was_streamed_is_not_there_any_more),
        ONE(the_body_of_a_redirect_is_thrown_away),
        ONE(the_url_is_that_which_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
