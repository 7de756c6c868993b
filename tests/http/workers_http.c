/* HTTP under a supervisor: not one request fails while workers are replaced.
 *
 * Twenty clients keep their connections and ask without pause, while all workers are replaced,
 * again and again. Each request that was sent is answered, whole: by the old worker, which then
 * says "Connection: close", or by the new one. A server that closes a connection just when the next
 * request is on its way would be seen here. The servers have no time limits, their last call
 * neither: each client asks again, and a stalled machine is no reason to lose a request.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/workers.h"
#include "loop/tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 20, ROLLS = 5 };

/* --- the worker --- */

static struct loop worker_loop;
static struct loop_worker worker;
static struct loop_http_server server;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_text(res, "answer\n");
}

static void on_drain(struct loop_worker *drained)
{
    (void)drained;
    loop_http_server_close(&server, LOOP_NEVER, NULL);
}

static int be_worker(void)
{
    static const struct loop_http_options options = {.on_request = on_request,
                                                     .limits = {.head_ns = LOOP_NEVER,
                                                                .keep_alive_ns = LOOP_NEVER,
                                                                .last_call_ns = LOOP_NEVER}};
    if (loop_init(&worker_loop, NULL) < 0 ||
        loop_worker_start(&worker_loop, &worker, on_drain) < 0 ||
        loop_http_server_init(&worker_loop, &server, &options) < 0 ||
        loop_http_listen_fd(&server, loop_worker_socket(&worker, 0)) < 0 ||
        loop_worker_ready(&worker) < 0)
        return 1;
    return loop_run(&worker_loop, LOOP_RUN_DEFAULT) < 0;
}

/* --- the clients --- */

struct client {
    struct loop_tcp tcp;
    struct loop_connect connect;
    char text[512];
    size_t size;
    bool asked; /* and not answered yet */
};

static struct fixture {
    struct loop *loop;
    struct loop_supervisor supervisor;
    struct client clients[CLIENTS];
    unsigned open, answered, failed;
    unsigned want;
    bool ending;
    const char *await;
} fixture;

static void start_client(struct client *client);

static void on_closed(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    fixture.failed += client->asked;
    fixture.open--;
    if (!fixture.ending)
        start_client(client);
}

static void ask(struct client *client)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    if (fixture.ending) {
        loop_close(&client->tcp.handle, on_closed);
        return;
    }
    client->size = 0;
    client->asked = true;
    loop_write_copy(&client->tcp.stream, request, strlen(request));
}

static void on_heard(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = loop_container_of(stream, struct client, tcp.stream);
    if (size < 0) {
        loop_close(&stream->handle, on_closed);
        return;
    }
    assert_true(client->size + (size_t)size < sizeof(client->text));
    memcpy(client->text + client->size, bytes, (size_t)size);
    client->size += (size_t)size;
    client->text[client->size] = '\0';
    if (!strstr(client->text, "answer\n"))
        return;
    client->asked = false;
    fixture.answered++;
    if (fixture.answered == fixture.want)
        loop_stop(fixture.loop);
    if (strstr(client->text, "Connection: close"))
        loop_close(&stream->handle, on_closed);
    else
        ask(client);
}

static void on_connected(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    assert_int_equal(0, status);
    loop_read_start(&client->tcp.stream, on_heard);
    ask(client);
}

static void start_client(struct client *client)
{
    struct loop_address address;
    *client = (struct client){.size = 0};
    fixture.open++;
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           loop_supervisor_port(&fixture.supervisor, 0)));
    loop_tcp_init(fixture.loop, &client->tcp);
    assert_int_equal(0, loop_tcp_connect(&client->tcp, &client->connect, &address, on_connected));
}

static void on_report(struct loop_supervisor *supervisor, const char *line)
{
    if (fixture.await && strstr(line, fixture.await))
        loop_stop(supervisor->loop);
}

static void await(const char *words)
{
    fixture.await = words;
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    fixture.await = NULL;
}

static void answer_more(unsigned count)
{
    fixture.want = fixture.answered + count;
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    fixture.want = 0;
}

static void not_one_request_fails_while_workers_are_replaced(void **state)
{
    const struct loop_supervisor_listener listener = {.address = "127.0.0.1"};
    const struct loop_supervisor_options options = {.listeners = &listener,
                                                    .listener_count = 1,
                                                    .workers = 2,
                                                    .report = on_report,
                                                    .ready_ns = LOOP_NEVER,
                                                    .silence_ns = LOOP_NEVER,
                                                    .drain_ns = LOOP_NEVER};
    fixture.loop = *state;
    assert_int_equal(0, loop_supervisor_start(fixture.loop, &fixture.supervisor, &options));
    while (fixture.supervisor.serving < 2)
        await("is ready");
    for (size_t i = 0; i < CLIENTS; i++)
        start_client(&fixture.clients[i]);
    for (unsigned i = 0; i < ROLLS; i++) {
        answer_more(1000);
        loop_supervisor_roll(&fixture.supervisor);
        await("all workers have been replaced");
    }
    answer_more(1000);
    fixture.ending = true;
    while (fixture.open)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    print_message("# %u answered, %u failed\n", fixture.answered, fixture.failed);
    assert_int_equal(0, fixture.failed);
    assert_int_equal(ROLLS, fixture.supervisor.rolls);
    assert_int_equal(0, fixture.supervisor.crashed);
    loop_supervisor_stop(&fixture.supervisor);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(not_one_request_fails_while_workers_are_replaced),
    };
    if (loop_worker_called())
        return be_worker();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
