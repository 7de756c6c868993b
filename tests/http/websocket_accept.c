/* The server's handshake: who is let in, and what those hear who are not.
 *
 * A request must be a GET of HTTP/1.1 without a body, ask to upgrade to a WebSocket of version 13,
 * in headers that may be lists and of any case, and bring one key of 16 bytes. Otherwise it is
 * answered with 400, 405, or 426 and the version that would do; the connection goes on, and the
 * memory of the socket was not touched.
 *
 * Browsers name the page that asks. If that is of the same host, or on the list, or the program
 * says so, it is let in; otherwise it hears 403. The subprotocol is the first of the server's that
 * the client offers. What was set on the response goes along.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/websocket.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define ASKS    "Host: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define GOOD    "GET / HTTP/1.1\r\n" ASKS VERSION KEY

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_websocket ws;
    struct loop_websocket_options options;
    int status;
    char answer[4096];
} fixture;

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)ws;
    assert_string_equal("", reason);
    say("closed %u", code);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    fixture.options.on_close = on_close;
    assert_int_equal(0, loop_http_set_header(res, "set-cookie", "a=b"));
    fixture.status = loop_websocket_accept(res, &fixture.ws, &fixture.options);
    if (fixture.status < 0)
        assert_int_equal(LOOP_WEBSOCKET_CLOSED, fixture.ws.state);
}

static int set_up(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    return loop_http_listen(&fixture.server, "127.0.0.1", 0, 0);
}

static int tear_down(void **state)
{
    loop_http_server_close(&fixture.server, 0, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    return teardown(state);
}

/* Sends a request, ends, and reads until the server has ended too. */
static void ask(const char *request)
{
    struct loop_address address;
    size_t size = 0;
    ssize_t got = -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           loop_http_server_port(&fixture.server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    shutdown(fd, SHUT_WR);
    fixture.status = 1;
    while (got != 0) {
        loop_run(fixture.loop, LOOP_RUN_NOWAIT);
        got = recv(fd, fixture.answer + size, sizeof(fixture.answer) - 1 - size, MSG_DONTWAIT);
        assert_true(got >= 0 || errno == EAGAIN);
        size += got > 0 ? (size_t)got : 0;
    }
    fixture.answer[size] = '\0';
    close(fd);
    while (fixture.ws.state != LOOP_WEBSOCKET_CLOSED)
        loop_run(fixture.loop, LOOP_RUN_NOWAIT);
}

static void expect_status(const char *request, int status, int error)
{
    int answered = 0;
    ask(request);
    assert_int_equal(1, sscanf(fixture.answer, "HTTP/1.1 %d", &answered));
    if (status != answered)
        print_error("%s%s", request, fixture.answer);
    assert_int_equal(status, answered);
    assert_int_equal(error, fixture.status);
    assert_said(status == 101 ? "closed 1006" : "");
}

static void a_good_request_is_let_in(void **state)
{
    (void)state;
    expect_status(GOOD "\r\n", 101, 0);
    assert_non_null(strstr(fixture.answer, "Upgrade: websocket\r\n"));
    assert_non_null(strstr(fixture.answer, "Connection: Upgrade\r\n"));
    assert_non_null(
        strstr(fixture.answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(fixture.answer, "set-cookie: a=b\r\n"));
    assert_null(strstr(fixture.answer, "Sec-WebSocket-Protocol"));
    assert_int_equal(LOOP_EOF, fixture.ws.error);
}

static void headers_may_be_lists_of_any_case(void **state)
{
    (void)state;
    expect_status("GET /?a HTTP/1.1\r\nhost: here\r\nupgrade: h2c, WebSocket\r\n"
                  "connection: keep-alive ,\tUPGRADE\r\n" VERSION KEY "\r\n",
                  101, 0);
    expect_status("GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n"
                  "Connection: Upgrade\r\n" VERSION KEY "\r\n",
                  101, 0);
}

static void what_is_no_handshake_is_refused(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n" VERSION KEY "\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n" VERSION KEY "\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websockets\r\nConnection: Upgrade\r\n" VERSION KEY
        "\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: web socket\r\nConnection: Upgrade\r\n" VERSION KEY
        "\r\n",
        "GET / HTTP/1.0\r\n" ASKS VERSION KEY "\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION KEY KEY "\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "Sec-WebSocket-Key: \r\n\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j Q==\r\n\r\n",
        "GET / HTTP/1.1\r\n" ASKS VERSION "Sec-WebSocket-Key: ==hlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        GOOD "Content-Length: 1\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++)
        expect_status(requests[i], 400, -EPROTO);
    expect_status("POST / HTTP/1.1\r\n" ASKS VERSION KEY "\r\n", 405, -EPROTO);
    assert_non_null(strstr(fixture.answer, "allow: GET\r\n"));
}

static void another_version_is_told_which_one_would_do(void **state)
{
    static const char *const versions[] = {"", "Sec-WebSocket-Version: 12\r\n",
                                           "Sec-WebSocket-Version: 130\r\n",
                                           "Sec-WebSocket-Version: 13, 8\r\n", VERSION VERSION};
    char request[512];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        snprintf(request, sizeof(request), "GET / HTTP/1.1\r\n" ASKS KEY "%s\r\n", versions[i]);
        expect_status(request, 426, -EPROTO);
        assert_non_null(strstr(fixture.answer, "sec-websocket-version: 13\r\n"));
    }
}

static void a_page_of_the_same_host_is_let_in_and_others_are_not(void **state)
{
    (void)state;
    expect_status(GOOD "Origin: https://here\r\n\r\n", 101, 0);
    expect_status(GOOD "Origin: http://HERE\r\n\r\n", 101, 0);
    expect_status(GOOD "Origin: https://elsewhere\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: https://here:8443\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: https://here.elsewhere\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: null\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: here\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: \r\n\r\n", 403, -EACCES);
}

static void origins_may_be_listed(void **state)
{
    static const char *const listed[] = {"https://a.example", "https://b.example", NULL};
    static const char *const any[] = {"*", NULL};
    (void)state;
    fixture.options.origins = listed;
    expect_status(GOOD "Origin: https://b.example\r\n\r\n", 101, 0);
    expect_status(GOOD "Origin: https://here\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "Origin: https://b.example.org\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "\r\n", 101, 0);
    fixture.options.origins = any;
    expect_status(GOOD "Origin: null\r\n\r\n", 101, 0);
}

static bool check_origin(const struct loop_http_request *req, const char *origin)
{
    assert_string_equal("here", loop_http_header(req, "host"));
    return origin && strcmp(origin, "https://c.example") == 0;
}

static void the_program_may_decide_on_origins(void **state)
{
    static const char *const listed[] = {"https://a.example", NULL};
    (void)state;
    fixture.options.check_origin = check_origin;
    expect_status(GOOD "Origin: https://c.example\r\n\r\n", 101, 0);
    expect_status(GOOD "Origin: https://a.example\r\n\r\n", 403, -EACCES);
    expect_status(GOOD "\r\n", 403, -EACCES);
    fixture.options.origins = listed;
    expect_status(GOOD "Origin: https://a.example\r\n\r\n", 101, 0);
    expect_status(GOOD "Origin: https://c.example\r\n\r\n", 101, 0);
}

static void the_first_subprotocol_of_the_server_that_is_offered_is_chosen(void **state)
{
    static const char *const ours[] = {"chat.v2", "chat.v1", NULL};
    (void)state;
    fixture.options.protocols = ours;
    expect_status(GOOD "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n\r\n", 101, 0);
    assert_non_null(strstr(fixture.answer, "Sec-WebSocket-Protocol: chat.v2\r\n"));
    assert_string_equal("chat.v2", fixture.ws.protocol);
    expect_status(GOOD "Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n",
                  101, 0);
    assert_non_null(strstr(fixture.answer, "Sec-WebSocket-Protocol: chat.v1\r\n"));
    expect_status(GOOD "Sec-WebSocket-Protocol: CHAT.v1, constructor\r\n\r\n", 101, 0);
    assert_null(strstr(fixture.answer, "Sec-WebSocket-Protocol"));
    assert_null(fixture.ws.protocol);
}

static void a_list_of_thousands_of_commas_takes_no_time(void **state)
{
    static char request[12000];
    static const char *const ours[] = {"chat", NULL};
    (void)state;
    fixture.options.protocols = ours;
    size_t size = (size_t)snprintf(request, sizeof(request), GOOD "Sec-WebSocket-Protocol: ");
    memset(request + size, ',', 10000);
    snprintf(request + size + 10000, 100, " chat\r\n\r\n");
    expect_status(request, 101, 0);
    assert_string_equal("chat", fixture.ws.protocol);
}

#define accept_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        accept_test(a_good_request_is_let_in),
        accept_test(headers_may_be_lists_of_any_case),
        accept_test(what_is_no_handshake_is_refused),
        accept_test(another_version_is_told_which_one_would_do),
        accept_test(a_page_of_the_same_host_is_let_in_and_others_are_not),
        accept_test(origins_may_be_listed),
        accept_test(the_program_may_decide_on_origins),
        accept_test(the_first_subprotocol_of_the_server_that_is_offered_is_chosen),
        accept_test(a_list_of_thousands_of_commas_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
