/* The server of files on libloop-http: one call for a request.
 *
 * Files are kept open for a second before they are looked for anew, as nginx is told to do here.
 * The rest is at its defaults: Last-Modified, ETag and Accept-Ranges are sent, as nginx does.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <loop/core.h>
#include <loop/http/files.h>

static struct loop_http_files files;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_header(res, "Server", SERVER_NAME);
    loop_http_set_header(res, "Keep-Alive", SERVER_KEEP_ALIVE);
    loop_http_files_serve(&files, req, res, NULL);
}

int main(int argc, char **argv)
{
    struct loop loop;
    struct loop_http_server server;
    bench_require(argc == 3, "usage: server-libloop-files static DIRECTORY");
    const struct loop_http_files_options files_options = {
        .root = argv[2],
        .cache_files = 100,
        .cache_ns = LOOP_SEC,
    };
    const struct loop_http_options options = {
        .on_request = on_request,
        .limits = {.keep_alive_ns = SERVER_IDLE_S * LOOP_SEC, .connections = SERVER_CONNECTIONS},
    };
    bench_require(loop_init(&loop, NULL) == 0, "loop_init");
    bench_require(loop_http_files_init(&files, &files_options) == 0, "loop_http_files_init");
    bench_require(loop_http_server_init(&loop, &server, &options) == 0, "loop_http_server_init");
    bench_require(loop_http_listen(&server, "127.0.0.1", 0, 0) == 0, "loop_http_listen");
    server_announce(loop_http_server_port(&server));
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
    return EXIT_SUCCESS;
}
