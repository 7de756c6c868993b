/* The server on libevent's evhttp.
 *
 * evhttp writes Date and Content-Length itself. The text is in a buffer of libevent's, made for
 * each request, since that is what evhttp_send_reply() takes; the text itself is not copied into
 * it.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void on_request(struct evhttp_request *req, void *data)
{
    (void)data;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();
    bench_require(body != NULL, "evbuffer_new");
    evhttp_add_header(headers, "Server", SERVER_NAME);
    evhttp_add_header(headers, "Content-Type", SERVER_TYPE);
    evhttp_add_header(headers, "Keep-Alive", SERVER_KEEP_ALIVE);
    evbuffer_add_reference(body, SERVER_TEXT, sizeof SERVER_TEXT - 1, NULL, NULL);
    evhttp_send_reply(req, 200, "OK", body);
    evbuffer_free(body);
}

int main(void)
{
    struct event_base *base = event_base_new();
    bench_require(base != NULL, "event_base_new");
    struct evhttp *http = evhttp_new(base);
    bench_require(http != NULL, "evhttp_new");
    evhttp_set_timeout(http, SERVER_IDLE_S);
    evhttp_set_gencb(http, on_request, NULL);
    struct evhttp_bound_socket *socket = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    bench_require(socket != NULL, "evhttp_bind_socket_with_handle");
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = evhttp_bound_socket_get_fd(socket);
    bench_require(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    server_announce(ntohs(address.sin_port));
    bench_require(event_base_dispatch(base) == 0, "event_base_dispatch");
    return EXIT_SUCCESS;
}
