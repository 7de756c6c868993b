/* Calls by TLS: "https" needs a context, and then is as "http", but for proving whom it talks to.
 *
 * The certificate has to be trusted and to be that of the host in the URL; nothing is sent before.
 * Connections are kept as any other, and are not those of the same host without TLS. A body that
 * ends with the connection is complete only if the server said that it would end (RFC 9112 9.8). No
 * redirect leads from https to http unless the call says so.
 *
 * Certificates are made anew in each run.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "loop/http/client.h"
#include "loop/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIG = 1000000 };

static struct fixture {
    struct loop *loop;
    struct loop_http_server server, plain;
    struct loop_tls_context *server_tls, *client_tls;
    struct loop_http_client client;
    struct loop_http_call call;
    struct loop_http_call_options ask;
    struct loop_tcp listener, peer; /* a server that is cut off */
    struct loop_tls tls;
    bool polite; /* says goodbye before it goes */
    int requests;
    char *big;
} fixture;

static const char *url(const char *scheme, const char *host, const char *path)
{
    static char urls[4][256];
    static unsigned next;
    char *text = urls[next++ % 4];
    struct loop_http_server *server =
        strcmp(scheme, "http") == 0 ? &fixture.plain : &fixture.server;
    snprintf(text, sizeof(urls[0]), "%s://%s:%u%s", scheme, host, loop_http_server_port(server),
             path);
    return text;
}

/* --- servers --- */

static void on_body(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    assert_int_equal(0, status);
    loop_http_end(req->response, bytes, size);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    fixture.requests++;
    if (strcmp(req->path, "/echo") == 0) {
        loop_http_collect_body(req, 0, on_body);
        return;
    }
    if (strcmp(req->path, "/down") == 0) {
        loop_http_set_status(res, 302);
        loop_http_set_header(res, "Location", url("http", "localhost", "/"));
    }
    if (strcmp(req->path, "/up") == 0) {
        loop_http_set_status(res, 302);
        loop_http_set_header(res, "Location", url("https", "localhost", "/"));
    }
    loop_http_end_text(res, req->secure ? "secure" : "plain");
}

/* --- the client --- */

static void on_end(struct loop_http_call *call, int status)
{
    say("%s:%d:%s", loop_error_name(status), call->status, call->body ? call->body : "");
}

static void make_context(struct loop_tls_context **context, const struct loop_tls_options *options)
{
    char why[256] = "";
    if (loop_tls_context_new(context, options, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

static int set_up(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        fixture.big[i] = (char)(i * i / 11);
    fixture.ask = (struct loop_http_call_options){.collect = true, .on_end = on_end};
    const struct loop_tls_options server = {.server = true,
                                            .certificate_file = certs_path("server.pem")};
    const struct loop_tls_options client = {.ca_file = certs_path("ca.pem")};
    make_context(&fixture.server_tls, &server);
    make_context(&fixture.client_tls, &client);
    struct loop_http_options options = {.on_request = on_request};
    assert_int_equal(0, loop_http_server_init(*state, &fixture.plain, &options));
    assert_int_equal(0, loop_http_listen(&fixture.plain, "127.0.0.1", 0, 0));
    options.tls = fixture.server_tls;
    assert_int_equal(0, loop_http_server_init(*state, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    const struct loop_http_client_options ask = {.tls = fixture.client_tls};
    assert_int_equal(0, loop_http_client_init(*state, &fixture.client, &ask));
    return 0;
}

static int tear_down(void **state)
{
    loop_http_client_close(&fixture.client, NULL);
    loop_http_server_close(&fixture.server, LOOP_NEVER, NULL);
    loop_http_server_close(&fixture.plain, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    loop_tls_context_unref(fixture.server_tls);
    loop_tls_context_unref(fixture.client_tls);
    free(fixture.big);
    return teardown(state);
}

static void get(const char *where, const char *words)
{
    fixture.ask.url = where;
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    while (fixture.call.fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said(words);
}

static void https_is_http_by_tls(void **state)
{
    (void)state;
    get(url("https", "localhost", "/"), "OK:200:secure");
    get(url("https", "127.0.0.1", "/"), "OK:200:secure");
    get(url("http", "localhost", "/"), "OK:200:plain");
}

/* So much that the program would be told to wait, if it had more to give. */
static void a_long_head_waits_for_the_handshake(void **state)
{
    static char value[65000], path[8000];
    const struct loop_http_header headers[] = {{"X-Long", value}, {NULL, NULL}};
    char *where = malloc(sizeof(path) + 100);
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    memset(path, 'p', sizeof(path) - 1);
    snprintf(where, sizeof(path) + 100, "%s%s", url("https", "localhost", "/"), path);
    fixture.ask.headers = headers;
    fixture.ask.url = where;
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    while (fixture.call.fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    free(where);
    said(); /* that it is too long, or that the server has gone in the midst of it */
    assert_int_equal(1, fixture.server.stats.responses[4]);
    assert_int_equal(0, fixture.requests);
}

static void connections_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        get(url("https", "localhost", "/"), "OK:200:secure");
    assert_int_equal(1, fixture.client.stats.opened);
    assert_int_equal(4, fixture.client.stats.reused);
}

static void on_big_end(struct loop_http_call *call, int status)
{
    assert_int_equal(0, status);
    assert_int_equal(BIG, call->body_read);
    assert_memory_equal(fixture.big, call->body, BIG);
    say("same");
}

static void bodies_arrive_whole_both_ways(void **state)
{
    (void)state;
    fixture.ask.method = "POST";
    fixture.ask.body = fixture.big;
    fixture.ask.body_size = BIG;
    fixture.ask.on_end = on_big_end;
    get(url("https", "localhost", "/echo"), "same");
    get(url("https", "localhost", "/echo"), "same");
    assert_int_equal(1, fixture.client.stats.opened);
}

static void the_name_must_be_the_host_s(void **state)
{
    (void)state;
    get(url("https", "127.0.0.2", "/"), "ECONNREFUSED:0:");
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.2",
                                         loop_http_server_port(&fixture.server), 0));
    get(url("https", "127.0.0.2", "/"), "EKEYREJECTED:0:");
    assert_int_equal(0, fixture.requests);
}

static void on_client_closed(struct loop_http_client *client)
{
    (void)client;
    say("closed");
}

static void who_is_not_trusted_is_asked_nothing(void **state)
{
    struct loop_tls_context *system;
    const struct loop_tls_options options = {0};
    (void)state;
    make_context(&system, &options);
    const struct loop_http_client_options ask = {.tls = system};
    loop_http_client_close(&fixture.client, on_client_closed);
    loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("closed");
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &ask));
    get(url("https", "localhost", "/"), "EKEYREJECTED:0:");
    assert_int_equal(0, fixture.requests);
    loop_tls_context_unref(system);
}

static void a_server_without_tls_is_not_one_with(void **state)
{
    char wrong[64];
    (void)state;
    snprintf(wrong, sizeof(wrong), "https://localhost:%u/", loop_http_server_port(&fixture.plain));
    get(wrong, "EPROTO:0:");
    assert_int_equal(0, fixture.requests);
}

static void no_redirect_leads_to_plain_http_unless_asked(void **state)
{
    (void)state;
    get(url("https", "localhost", "/down"), "OK:302:secure");
    get(url("http", "localhost", "/up"), "OK:200:secure");
    fixture.ask.insecure = true;
    get(url("https", "localhost", "/down"), "OK:200:plain");
}

/* --- a body that ends with the connection --- */

static void on_tls_closed(struct loop_tls *tls)
{
    (void)tls;
}

static void on_written(struct loop_tls *tls, int status)
{
    assert_int_equal(0, status);
    loop_tls_close(tls, on_tls_closed);
    loop_close(&fixture.peer.handle, NULL);
}

/* What is cut off by anybody on the way: the stream ends, and TLS does not. */
static void on_plain_written(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    assert_int_equal(0, status);
    loop_tls_abandon(&fixture.tls, on_tls_closed);
    loop_close(&fixture.peer.handle, NULL);
}

static void on_asked(struct loop_tls *tls, ssize_t size, void *bytes)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nbody";
    static struct loop_shutdown shutdown;
    (void)bytes;
    if (size < 0)
        return;
    loop_tls_read_stop(tls);
    assert_true(loop_tls_write(tls, answer, sizeof(answer) - 1) >= 0);
    if (fixture.polite)
        assert_int_equal(0, loop_tls_shutdown(tls, on_written));
    else
        assert_int_equal(0, loop_shutdown(&fixture.peer.stream, &shutdown, on_plain_written));
}

static void on_handshake(struct loop_tls *tls, int status)
{
    assert_int_equal(0, status);
    assert_int_equal(0, loop_tls_read_start(tls, on_asked));
}

static void on_connection(struct loop_stream *listener, int status)
{
    assert_int_equal(0, status);
    loop_tcp_init(fixture.loop, &fixture.peer);
    assert_int_equal(0, loop_accept(listener, &fixture.peer.stream));
    fixture.tls = (struct loop_tls){0};
    assert_int_equal(0, loop_tls_start(&fixture.tls, &fixture.peer.stream, fixture.server_tls, NULL,
                                       on_handshake));
}

static void a_body_without_length_needs_the_goodbye(void **state)
{
    struct loop_address address;
    char where[64];
    (void)state;
    loop_tcp_init(fixture.loop, &fixture.listener);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&fixture.listener, &address, 0));
    assert_int_equal(0, loop_listen(&fixture.listener.stream, 10, on_connection));
    assert_int_equal(0, loop_tcp_local(&fixture.listener, &address));
    snprintf(where, sizeof(where), "https://127.0.0.1:%u/", loop_address_port(&address));
    fixture.polite = true;
    get(where, "OK:200:body");
    fixture.polite = false;
    get(where, "ECONNABORTED:200:");
    loop_close(&fixture.listener.handle, NULL);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(https_is_http_by_tls),
        ONE(a_long_head_waits_for_the_handshake),
        ONE(connections_are_kept),
        ONE(bodies_arrive_whole_both_ways),
        ONE(the_name_must_be_the_host_s),
        ONE(who_is_not_trusted_is_asked_nothing),
        ONE(a_server_without_tls_is_not_one_with),
        ONE(no_redirect_leads_to_plain_http_unless_asked),
        ONE(a_body_without_length_needs_the_goodbye),
    };
    certs_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    certs_remove();
    return failed;
}
