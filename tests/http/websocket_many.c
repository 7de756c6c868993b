/* Ten thousand WebSockets at one server.
 *
 * The clients are a process of their own, on a loop of their own, since one process may not have
 * descriptors for both ends. No more than a hundred connect at a time. Each says its number and is
 * echoed; when all are there one message goes to all of them; whoever has heard it closes. Each
 * must have heard its own number, then the message to all, and nothing else, and every closing must
 * be clean on both sides.
 *
 * Neither side has limits of time, since who is slow here is the machine.
 *
 * LOOP_TEST_CLIENTS says how many; fewer come if the process may not have so many descriptors.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 10000, DIALLING_MAX = 100, SPARE_DESCRIPTORS = 100 };

#define TO_ALL "you are all here"

static unsigned clients;

/* --- the clients' process --- */

static struct client {
    struct loop_websocket ws;
    unsigned heard;
} * crowd;

static struct loop crowd_loop;
static char url[64];
static unsigned started, clean;

static void start_next(void);

static void say_number(struct loop_websocket *ws)
{
    char text[16];
    struct client *client = loop_container_of(ws, struct client, ws);
    snprintf(text, sizeof(text), "%u", (unsigned)(client - crowd));
    loop_websocket_send_text(ws, text);
    start_next();
}

static void hear(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                 size_t size)
{
    char text[16];
    struct client *client = loop_container_of(ws, struct client, ws);
    snprintf(text, sizeof(text), "%u", (unsigned)(client - crowd));
    const char *expected = client->heard == 0 ? text : TO_ALL;
    if (type != LOOP_WEBSOCKET_TEXT || size != strlen(expected) || memcmp(bytes, expected, size))
        _exit(2);
    if (++client->heard == 2)
        loop_websocket_close(ws, 1000, NULL);
}

static void count_closed(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    clean += code == 1000 && ws->error == 0;
}

static void start_next(void)
{
    static const struct loop_websocket_options options = {.on_open = say_number,
                                                          .on_message = hear,
                                                          .on_close = count_closed,
                                                          .ping_ns = LOOP_NEVER,
                                                          .stall_ns = LOOP_NEVER,
                                                          .close_ns = LOOP_NEVER,
                                                          .open_ns = LOOP_NEVER};
    if (started == clients)
        return;
    if (loop_websocket_connect(&crowd_loop, &crowd[started++].ws, url, &options) < 0)
        _exit(3);
}

static void be_the_crowd(unsigned port)
{
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", port);
    crowd = calloc(clients, sizeof(*crowd));
    if (!crowd || loop_init(&crowd_loop, NULL) < 0)
        _exit(4);
    for (unsigned i = 0; i < DIALLING_MAX; i++)
        start_next();
    int left = loop_run(&crowd_loop, LOOP_RUN_DEFAULT);
    free(crowd);
    _exit(left == 0 && clean == clients && loop_fini(&crowd_loop) == 0 ? 0 : 5);
}

/* --- the server --- */

static struct loop_http_server server;
static struct loop_websocket_group group;
static unsigned numbers, farewells;

static void join(struct loop_websocket *ws)
{
    loop_websocket_join(&group, ws);
}

static void echo(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                 size_t size)
{
    loop_websocket_send(ws, type, bytes, size);
    if (++numbers == clients)
        loop_websocket_broadcast(&group, LOOP_WEBSOCKET_TEXT, TO_ALL, strlen(TO_ALL), NULL);
}

static void let_go(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    farewells += code == 1000 && ws->error == 0;
    free(ws);
    if (farewells == clients)
        loop_http_server_close(&server, LOOP_NEVER, NULL);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const struct loop_websocket_options options = {.on_open = join,
                                                          .on_message = echo,
                                                          .on_close = let_go,
                                                          .ping_ns = LOOP_NEVER,
                                                          .stall_ns = LOOP_NEVER,
                                                          .close_ns = LOOP_NEVER};
    struct loop_websocket *ws = calloc(1, sizeof(*ws));
    (void)req;
    if (!ws || loop_websocket_accept(res, ws, &options) < 0)
        abort();
}

static unsigned count_clients(void)
{
    const char *asked = getenv("LOOP_TEST_CLIENTS");
    unsigned wanted = asked ? (unsigned)atoi(asked) : CLIENTS;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted + SPARE_DESCRIPTORS)
        wanted = (unsigned)limit.rlim_cur - SPARE_DESCRIPTORS;
    return wanted > DIALLING_MAX ? wanted : DIALLING_MAX;
}

static void ten_thousand_are_echoed_told_and_let_go(void **state)
{
    const struct loop_http_options options = {.on_request = on_request,
                                              .limits = {.connections = CLIENTS + 1,
                                                         .head_ns = LOOP_NEVER,
                                                         .write_stall_ns = LOOP_NEVER}};
    int status;
    clients = count_clients();
    loop_websocket_group_init(&group);
    assert_int_equal(0, loop_http_server_init(*state, &server, &options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        be_the_crowd(loop_http_server_port(&server));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    assert_int_equal(0, WEXITSTATUS(status));
    assert_int_equal(clients, farewells);
    assert_int_equal(0, group.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {real_test(ten_thousand_are_echoed_told_and_let_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
