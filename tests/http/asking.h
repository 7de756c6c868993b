/* Internal. A server on the loop of a test, and a client that sends it bytes as they are: what the
 * tests of routers and bodies ask with.
 *
 * A question is a whole request, with "connection: close"; what comes back, until the server
 * closes, is the answer. It may be sent in two pieces, the second when the loop has turned a few
 * times since the first.
 *
 * SPDX-License-Identifier: MIT */
#ifndef ASKING_H
#define ASKING_H

#include "../test.h"
#include "loopback.h"

#include "loop/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_tcp client;
    struct loop_connect connect;
    struct loop_task later;
    int turns;
    uint64_t requests; /* that had come before this one */
    const char *rest;
    size_t rest_size;
    const char *question;
    size_t size, at;
    bool hang_up; /* instead of the second piece */
    char answer[65536];
    size_t answered;
} asking;

static void on_client_closed(struct loop_handle *handle)
{
    (void)handle;
    loop_stop(asking.loop);
}

static void on_answer(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size < 0) {
        loop_task_cancel(&asking.later);
        loop_close(&stream->handle, on_client_closed);
        return;
    }
    assert_true(asking.answered + (size_t)size < sizeof(asking.answer));
    memcpy(asking.answer + asking.answered, bytes, (size_t)size);
    asking.answered += (size_t)size;
    asking.answer[asking.answered] = '\0';
}

/* Who hangs up does so when the request is there: a reset may overtake what was sent before it. */
static void on_later(struct loop_task *task)
{
    bool came = asking.server.stats.requests > asking.requests;
    if (++asking.turns < 3 || (asking.hang_up && !came)) {
        loop_immediate(asking.loop, task, on_later);
        return;
    }
    if (asking.hang_up)
        loop_stream_reset(&asking.client.stream, on_client_closed);
    else
        loop_write_copy(&asking.client.stream, asking.question + asking.at,
                        asking.size - asking.at);
}

static void on_connected(struct loop_connect *connect, int status)
{
    (void)connect;
    assert_int_equal(0, status);
    assert_int_equal(0, loop_read_start(&asking.client.stream, on_answer));
    loop_write_copy(&asking.client.stream, asking.question, asking.at);
    if (asking.at == asking.size && !asking.hang_up)
        return;
    asking.turns = 0;
    asking.requests = asking.server.stats.requests;
    loop_immediate(asking.loop, &asking.later, on_later);
}

static const char *ask_bytes(const char *question, size_t size, size_t at)
{
    struct loop_address address;
    asking.question = question;
    asking.size = size;
    asking.at = at;
    asking.answered = 0;
    asking.answer[0] = '\0';
    uint16_t port = loop_http_server_port(&asking.server);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", port));
    loop_tcp_init(asking.loop, &asking.client);
    assert_int_equal(0, loop_tcp_connect(&asking.client, &asking.connect, &address, on_connected));
    loop_run(asking.loop, LOOP_RUN_DEFAULT);
    return asking.answer;
}

static void begin_asking(void **state, loop_http_request_cb on_request)
{
    memset(&asking, 0, sizeof(asking));
    asking.loop = *state;
    const struct loop_http_options options = {.on_request = on_request};
    assert_int_equal(0, loop_http_server_init(asking.loop, &asking.server, &options));
    assert_int_equal(0, loop_http_listen(&asking.server, "127.0.0.1", 0, 0));
    loopback_begin(asking.loop);
}

static void end_asking(void)
{
    loop_http_server_close(&asking.server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(asking.loop, LOOP_RUN_DEFAULT));
    loopback_end();
}

/* The status of an answer. */
static int status_of_answer(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static const char *body_of_answer(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    return body ? body + 4 : "";
}

#endif
