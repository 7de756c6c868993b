/* One end of ours, for other people's WebSockets to talk to.
 *
 *     websocket-peer serve        prints a port, echoes, deflated to whoever offers that, and ends
 *                                 with its standard input
 *     websocket-peer visit URL    sends messages of many sizes to a server that echoes, closes with
 *                                 4001 and a reason, and says what came back
 *
 * websocket_peers.py runs it against the peers that it finds; the judgement is the exit status.
 *
 * SPDX-License-Identifier: MIT */
#include "loop.h"
#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop loop;

/* --- serving --- */

static struct loop_http_server server;
static struct loop_pipe input;
static struct loop_websocket_group group;
static const char *const protocols[] = {"echo.v2", "echo.v1", NULL};

static void echo(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                 size_t size)
{
    loop_websocket_send(ws, type, bytes, size);
}

static void greet(struct loop_websocket *ws)
{
    loop_websocket_join(&group, ws);
}

static void release(struct loop_websocket *ws, unsigned code, const char *reason)
{
    fprintf(stderr, "closed %u %s\n", code, reason);
    free(ws);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const struct loop_websocket_options options = {.on_open = greet,
                                                          .on_message = echo,
                                                          .on_close = release,
                                                          .protocols = protocols,
                                                          .deflate = true};
    struct loop_websocket *ws = calloc(1, sizeof(*ws));
    if (!ws || !loop_websocket_wanted(req)) {
        loop_http_end_error(res, ws ? 404 : 503, NULL);
        free(ws);
        return;
    }
    if (loop_websocket_accept(res, ws, &options) < 0)
        free(ws);
}

static void on_input(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size > 0)
        return;
    loop_close(&stream->handle, NULL);
    loop_websocket_group_close(&group, LOOP_WEBSOCKET_GOING_AWAY, "the server ends");
    loop_http_server_close(&server, LOOP_SEC, NULL);
}

static int serve(void)
{
    const struct loop_http_options options = {.on_request = on_request};
    loop_websocket_group_init(&group);
    loop_pipe_init(&loop, &input);
    if (loop_pipe_open(&input, STDIN_FILENO) < 0 || loop_read_start(&input.stream, on_input) < 0 ||
        loop_http_server_init(&loop, &server, &options) < 0 ||
        loop_http_listen(&server, "127.0.0.1", 0, 0) < 0)
        return 1;
    printf("%u\n", loop_http_server_port(&server));
    fflush(stdout);
    return loop_run(&loop, LOOP_RUN_DEFAULT) != 0;
}

/* --- visiting --- */

static const size_t sizes[] = {0, 1, 125, 126, 127, 1000, 65535, 65536, 1000000};
enum { MESSAGES = 2 * sizeof(sizes) / sizeof(sizes[0]) };
static struct loop_websocket visitor;
static char payload[1000000];
static int returned, pongs;
static bool good = true;

/* Text and binary in turn; every third in two frames. */
static void send_next(struct loop_websocket *ws)
{
    enum loop_websocket_type type = returned % 2 ? LOOP_WEBSOCKET_BINARY : LOOP_WEBSOCKET_TEXT;
    size_t size = sizes[returned / 2];
    if (returned % 3 != 2) {
        good = good && loop_websocket_send(ws, type, payload, size) >= 0;
        return;
    }
    good = good && loop_websocket_send_part(ws, type, payload, size / 2, false) >= 0 &&
           loop_websocket_ping(ws, "between", 7) == 0 &&
           loop_websocket_send_part(ws, type, payload + size / 2, size - size / 2, true) >= 0;
}

static void compare(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                    size_t size)
{
    size_t expected = sizes[returned / 2];
    good = good && size == expected && memcmp(bytes, payload, size) == 0 &&
           (type == LOOP_WEBSOCKET_BINARY) == (returned % 2 == 1);
    if (++returned < MESSAGES)
        send_next(ws);
    else
        loop_websocket_close(ws, 4001, "that was all");
}

static void count_pong(struct loop_websocket *ws, const char *bytes, size_t size)
{
    (void)ws;
    pongs += size == 7 && memcmp(bytes, "between", 7) == 0;
}

static void say_farewell(struct loop_websocket *ws, unsigned code, const char *reason)
{
    printf("%d messages, %d pongs, protocol %s, closed %u %s, %s\n", returned, pongs,
           ws->protocol ? ws->protocol : "none", code, reason, loop_error_name(ws->error));
    good = good && code == 4001 && ws->error == 0;
}

static int visit(const char *url)
{
    static const struct loop_websocket_options options = {.on_open = send_next,
                                                          .on_message = compare,
                                                          .on_pong = count_pong,
                                                          .on_close = say_farewell,
                                                          .protocols = protocols,
                                                          .deflate = true};
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (char)(' ' + i * 7 % 90);
    if (loop_websocket_connect(&loop, &visitor, url, &options) < 0)
        return 1;
    loop_run(&loop, LOOP_RUN_DEFAULT);
    return !(good && returned == MESSAGES && pongs == MESSAGES / 3);
}

int main(int argc, char **argv)
{
    if (loop_init(&loop, NULL) < 0)
        return 1;
    int status = 2;
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        status = serve();
    else if (argc == 3 && strcmp(argv[1], "visit") == 0)
        status = visit(argv[2]);
    return loop_fini(&loop) < 0 ? 3 : status;
}
