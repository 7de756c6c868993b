/* WebSockets by TLS: nothing above the link knows of it, so what is tested here is that both ends
 * find each other, that messages of every size arrive whole and in order, that close frames do,
 * and that a client which does not trust the server hears so in on_close, before anything was sent.
 *
 * Certificates are made anew in each run. What TLS itself does is tested elsewhere.
 * A reset tells the peer no more than that the connection is lost.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "loop/tls.h"
#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 125, 126, 4096, 16384, 16385, 65536, 1000000, 5};

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_tls_context *server_tls, *client_tls;
    struct loop_websocket client, served;
    struct loop_websocket_options options;
    size_t returned;
    int closed;
    char payload[1000000];
    char url[64];
} fixture;

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    say("%s:%u%s%s:%s", ws == &fixture.client ? "c" : "s", code, *reason ? ":" : "", reason,
        loop_error_name(ws->error));
    if (++fixture.closed == 2 || fixture.served.state == LOOP_WEBSOCKET_CLOSED)
        loop_http_server_close(&fixture.server, 0, NULL);
}

static void echo(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                 size_t size)
{
    assert_true(loop_websocket_send(ws, type, bytes, size) >= 0);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const struct loop_websocket_options options = {.on_message = echo, .on_close = on_close};
    assert_true(req->secure);
    assert_int_equal(0, loop_websocket_accept(res, &fixture.served, &options));
}

static void send_next(struct loop_websocket *ws)
{
    assert_true(loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.payload,
                                    sizes[fixture.returned]) >= 0);
}

static void compare(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                    size_t size)
{
    assert_int_equal(LOOP_WEBSOCKET_BINARY, type);
    assert_int_equal(sizes[fixture.returned], size);
    assert_memory_equal(fixture.payload, bytes, size);
    if (++fixture.returned < ARRAY_LENGTH(sizes))
        send_next(ws);
    else
        assert_int_equal(0, loop_websocket_close(ws, 4001, "bye"));
}

static int set_up(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    const struct loop_tls_options server = {.server = true,
                                            .certificate_file = certs_path("server.pem")};
    const struct loop_tls_options client = {.ca_file = certs_path("ca.pem")};
    assert_int_equal(0, loop_tls_context_new(&fixture.server_tls, &server, NULL, 0));
    assert_int_equal(0, loop_tls_context_new(&fixture.client_tls, &client, NULL, 0));
    const struct loop_http_options options = {.on_request = on_request, .tls = fixture.server_tls};
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    snprintf(fixture.url, sizeof(fixture.url), "wss://127.0.0.1:%u/",
             loop_http_server_port(&fixture.server));
    for (size_t i = 0; i < sizeof(fixture.payload); i++)
        fixture.payload[i] = (char)(i * 7);
    fixture.options = (struct loop_websocket_options){.on_open = send_next,
                                                      .on_message = compare,
                                                      .on_close = on_close,
                                                      .tls = fixture.client_tls};
    return 0;
}

static int tear_down(void **state)
{
    loop_tls_context_unref(fixture.client_tls);
    loop_tls_context_unref(fixture.server_tls);
    return teardown(state);
}

static void run(void)
{
    assert_int_equal(0, loop_websocket_connect(fixture.loop, &fixture.client, fixture.url,
                                               &fixture.options));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

static void messages_of_every_size_come_back(void **state)
{
    (void)state;
    run();
    assert_int_equal(ARRAY_LENGTH(sizes), fixture.returned);
    assert_said("s:4001:bye:OK c:4001:OK");
}

static void reset(struct loop_websocket *ws)
{
    loop_websocket_reset(ws);
}

static void a_reset_is_no_goodbye(void **state)
{
    (void)state;
    fixture.options.on_open = reset;
    run();
    const char *words = said();
    assert_non_null(strstr(words, "c:1006:ECANCELED"));
    assert_non_null(strstr(words, "s:1006:"));
}

static void a_server_that_is_not_trusted_hears_nothing(void **state)
{
    const struct loop_tls_options options = {.ca_file = certs_path("self.pem")};
    (void)state;
    loop_tls_context_unref(fixture.client_tls);
    assert_int_equal(0, loop_tls_context_new(&fixture.client_tls, &options, NULL, 0));
    fixture.options.tls = fixture.client_tls;
    run();
    const char *words = said();
    assert_int_equal(0, strncmp(words, "c:1006:", 7));
    assert_null(strstr(words, "OK"));
    assert_int_equal(0, fixture.client.status);
}

/* What it asks is more than may wait at once, until the handshake is over. */
static void a_long_request_waits_for_the_handshake(void **state)
{
    static char value[100000];
    const struct loop_http_header headers[] = {{"X-Long", value}, {NULL, NULL}};
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    fixture.options.headers = headers;
    run();
    const char *words = said();
    assert_int_equal(0, strncmp(words, "c:1006:", 7));
    assert_int_equal(1, fixture.server.stats.responses[4]);
}

#define tls_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tls_test(messages_of_every_size_come_back),
        tls_test(a_long_request_waits_for_the_handshake),
        tls_test(a_reset_is_no_goodbye),
        tls_test(a_server_that_is_not_trusted_hears_nothing),
    };
    certs_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    certs_remove();
    return failed;
}
