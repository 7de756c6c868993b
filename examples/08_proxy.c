/* A TCP proxy: two streams coupled both ways, a connect that gives up, and a name looked up.
 *
 *     ./run example proxy 7008 example.org:80     then: curl http://127.0.0.1:7008/
 *     ./run example proxy 7008 [::1]:7007         an address of IPv6 stands in brackets
 *
 * Expect: a line for each connection when it is over, with the bytes that went each way. Ctrl-C
 * ends the proxy. Port 0 lets the kernel choose.
 *
 * loop_stream_pipe() reads no faster than the other side takes it. When one side has sent all it
 * will, the other is told so (half-close) and may go on answering; when both directions have ended
 * the connection is over. It is over too if connecting takes more than 10 seconds, if the host's
 * addresses have all been tried, or if no byte has moved for a minute.
 *
 * A deadline is refused (-EALREADY) only if the outcome is decided already and just not told yet,
 * as that of a look-up which needs no resolver: nobody has to look at what it returns.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_NS (10 * LOOP_SEC)
#define IDLE_NS    (60 * LOOP_SEC)

struct proxy {
    struct loop loop;
    struct loop_tcp listener;
    char host[LOOP_DNS_NAME_MAX + 2];
    const char *port;
};

struct relay {
    struct proxy *proxy;
    struct loop_tcp client;
    struct loop_tcp server;
    struct loop_getaddrinfo lookup;
    struct loop_address *addresses; /* of the host; malloc */
    size_t address_count, tried;
    struct loop_connect connect;
    struct loop_stream_pipe there; /* client to server */
    struct loop_stream_pipe back;
    unsigned ended; /* of the two */
    unsigned left;  /* what will still call back: handles, the look-up */
    int status;     /* the first error */
};

static void try_next(struct relay *relay, int error);

/* One thing less will call back; the last one says so and takes the relay away. */
static void let_go(struct relay *relay)
{
    if (--relay->left > 0)
        return;
    printf("%llu bytes there, %llu back: %s\n", (unsigned long long)relay->there.copied,
           (unsigned long long)relay->back.copied,
           relay->status < 0 ? loop_strerror(relay->status) : "done");
    fflush(stdout);
    free(relay->addresses);
    free(relay);
}

static void on_client_close(struct loop_handle *handle)
{
    let_go(loop_container_of(handle, struct relay, client.handle));
}

static void on_server_close(struct loop_handle *handle)
{
    let_go(loop_container_of(handle, struct relay, server.handle));
}

/* A look-up that is not under way cannot be cancelled, which is all right. */
static void close_relay(struct relay *relay, int status)
{
    if (loop_is_closing(&relay->client.handle))
        return;
    relay->status = status;
    loop_request_cancel(&relay->lookup.request);
    loop_close(&relay->client.handle, on_client_close);
    loop_close(&relay->server.handle, on_server_close);
}

static void on_pipe_end(struct relay *relay, int status)
{
    if (status < 0 || ++relay->ended == 2)
        close_relay(relay, status);
}

static void on_there_end(struct loop_stream_pipe *pipe, int status)
{
    on_pipe_end(loop_container_of(pipe, struct relay, there), status);
}

static void on_back_end(struct loop_stream_pipe *pipe, int status)
{
    on_pipe_end(loop_container_of(pipe, struct relay, back), status);
}

/* Every byte that moves, either way, is read from the client or written to it. */
static void on_idle(struct loop_stream *client)
{
    close_relay(loop_container_of(client, struct relay, client.stream), -ETIMEDOUT);
}

static void on_connect(struct loop_connect *connect, int status)
{
    struct relay *relay = loop_container_of(connect, struct relay, connect);
    struct loop_stream *client = &relay->client.stream;
    struct loop_stream *server = &relay->server.stream;
    if (loop_is_closing(&relay->client.handle))
        return;
    if (status < 0) {
        try_next(relay, status);
        return;
    }
    int error = loop_stream_set_idle(client, IDLE_NS, on_idle);
    if (!error)
        error = loop_stream_pipe(client, server, &relay->there, on_there_end);
    if (!error)
        error = loop_stream_pipe(server, client, &relay->back, on_back_end);
    if (error)
        close_relay(relay, error);
}

/* error: why the last did not do. After a connect that failed the handle is as new. */
static void try_next(struct relay *relay, int error)
{
    while (relay->tried < relay->address_count) {
        const struct loop_address *address = &relay->addresses[relay->tried++];
        error = loop_tcp_connect(&relay->server, &relay->connect, address, on_connect);
        if (!error) {
            loop_request_deadline(&relay->connect.request, CONNECT_NS);
            return;
        }
    }
    close_relay(relay, error);
}

static void on_lookup(struct loop_getaddrinfo *lookup)
{
    struct relay *relay = loop_container_of(lookup, struct relay, lookup);
    relay->address_count = lookup->count;
    relay->addresses = loop_getaddrinfo_take(lookup);
    if (!loop_is_closing(&relay->client.handle))
        try_next(relay, lookup->status);
    let_go(relay);
}

static int start(struct relay *relay, struct loop_stream *listener)
{
    static const struct loop_dns_hints hints = {.socket_type = SOCK_STREAM};
    struct proxy *proxy = relay->proxy;
    loop_tcp_init(&proxy->loop, &relay->client);
    loop_tcp_init(&proxy->loop, &relay->server);
    relay->left = 2;
    int error = loop_accept(listener, &relay->client.stream);
    if (!error)
        error = loop_getaddrinfo(&proxy->loop, &relay->lookup, proxy->host, proxy->port, &hints,
                                 on_lookup);
    if (error)
        return error;
    relay->left++;
    loop_request_deadline(&relay->lookup.request, CONNECT_NS);
    return 0;
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct proxy *proxy = loop_container_of(listener, struct proxy, listener.stream);
    struct relay *relay = status < 0 ? NULL : calloc(1, sizeof(*relay));
    if (!relay) {
        fprintf(stderr, "a client has to wait: %s\n", loop_strerror(status < 0 ? status : -ENOMEM));
        if (status == 0)
            loop_refuse(listener);
        return;
    }
    relay->proxy = proxy;
    int error = start(relay, listener);
    if (error)
        close_relay(relay, error);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

/* 127.0.0.1: nobody on the net is to meet an example. */
static int listen_on(struct proxy *proxy, uint16_t port)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address address;
    loop_tcp_init(&proxy->loop, &proxy->listener);
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_tcp_bind(&proxy->listener, &address, 0);
    if (!error)
        error = loop_listen(&proxy->listener.stream, LOOP_BACKLOG, on_connection);
    if (!error)
        error = loop_tcp_local(&proxy->listener, &address);
    if (!error)
        printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return error;
}

/* HOST:PORT or [ADDRESS]:PORT. */
static bool read_target(struct proxy *proxy, const char *target)
{
    const char *colon = strrchr(target, ':');
    size_t size = colon ? (size_t)(colon - target) : 0;
    if (size >= 2 && target[0] == '[' && colon[-1] == ']') {
        target++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof(proxy->host) || colon[1] == '\0')
        return false;
    memcpy(proxy->host, target, size);
    proxy->port = colon + 1;
    return true;
}

/* -1: no number up to max. */
static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' || value < 0 || value > max ? -1 : value;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: proxy PORT HOST:PORT\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static struct proxy proxy;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout);
    long port = argc == 3 ? number(argv[1], 65535) : -1;
    if (port < 0 || !read_target(&proxy, argv[2]))
        return print_usage(stderr);
    int error = loop_init(&proxy.loop, NULL);
    if (!error)
        error = listen_on(&proxy, (uint16_t)port);
    if (error)
        return fail("cannot listen", error);
    error = loop_run(&proxy.loop, LOOP_RUN_DEFAULT);
    return error < 0 ? fail("loop_run", error) : EXIT_SUCCESS;
}
