/* The server on libloop-http: hello answers with a fixed text, and websocket sends back each
 * message as it came.
 *
 * One callback, three headers, one end: as the manual begins. All is at its defaults but the time
 * that idle connections stay and how many there may be. Static files are a program of their own.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <loop/core.h>
#include <loop/http.h>
#include <loop/websocket.h>

#include <string.h>

static bool is_websocket;

static void on_message(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    loop_websocket_send(ws, type, bytes, size);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)code;
    (void)reason;
    free(ws);
}

static void accept_socket(struct loop_http_response *res)
{
    static const struct loop_websocket_options options = {
        .on_message = on_message,
        .on_close = on_close,
    };
    struct loop_websocket *ws = bench_array(1, sizeof *ws);
    if (loop_websocket_accept(res, ws, &options) < 0)
        free(ws);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    if (is_websocket) {
        accept_socket(res);
        return;
    }
    loop_http_set_header(res, "Server", SERVER_NAME);
    loop_http_set_header(res, "Content-Type", SERVER_TYPE);
    loop_http_set_header(res, "Keep-Alive", SERVER_KEEP_ALIVE);
    loop_http_end(res, SERVER_TEXT, sizeof SERVER_TEXT - 1);
}

int main(int argc, char **argv)
{
    struct loop loop;
    struct loop_http_server server;
    const struct loop_http_options options = {
        .on_request = on_request,
        .limits = {.keep_alive_ns = SERVER_IDLE_S * LOOP_SEC, .connections = SERVER_CONNECTIONS},
    };
    is_websocket = argc > 1 && strcmp(argv[1], "websocket") == 0;
    bench_require(loop_init(&loop, NULL) == 0, "loop_init");
    bench_require(loop_http_server_init(&loop, &server, &options) == 0, "loop_http_server_init");
    bench_require(loop_http_listen(&server, "127.0.0.1", 0, 0) == 0, "loop_http_listen");
    server_announce(loop_http_server_port(&server));
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
    return EXIT_SUCCESS;
}
