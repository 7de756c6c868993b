/* An echo server, on TCP or on a unix-domain socket: the life of a connection, with backpressure.
 *
 *     ./run example echo                     then: nc 127.0.0.1 7007
 *     ./run example echo 8000                another port; 0 lets the kernel choose
 *     ./run example echo --unix /tmp/echo    then: nc -U /tmp/echo
 *     ./run example echo --idle 5            who says nothing for 5 seconds is shown the door
 *
 * Type lines: each comes back. Ctrl-D ends the conversation, when all has come back. Ctrl-C ends
 * the server; the file of the unix-domain socket then stays, and is in the way of the next: rm it.
 *
 * A client that sends and does not read must not fill our memory. When more waits for it than the
 * high mark (64 KiB), loop_write_copy() returns 1, and we stop reading from it until the drain
 * callback says that little waits. The kernel's buffers fill, and at last the client's write waits.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both begin with a stream, so the code that follows need not know which it is. */
union socket {
    struct loop_handle handle;
    struct loop_stream stream;
    struct loop_tcp tcp;
    struct loop_pipe pipe;
};

struct server {
    struct loop loop;
    union socket listener;
    const char *path; /* NULL: TCP */
    uint16_t port;
    uint64_t idle_ns;
};

struct connection {
    union socket socket;
    struct loop_shutdown end;
};

static void on_drain(struct loop_stream *stream);
static void on_end(struct loop_shutdown *end, int status);

static struct connection *connection_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct connection, socket.stream);
}

static void on_close(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct connection, socket.handle));
}

static void close_connection(struct connection *connection)
{
    if (!loop_is_closing(&connection->socket.handle))
        loop_close(&connection->socket.handle, on_close);
}

static void init_socket(struct server *server, union socket *socket)
{
    if (server->path)
        loop_pipe_init(&server->loop, &socket->pipe);
    else
        loop_tcp_init(&server->loop, &socket->tcp);
}

/* The end of what the client says is not the end of what it wants to hear. */
static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct connection *connection = connection_of(stream);
    int result = size > 0 ? loop_write_copy(stream, bytes, (size_t)size) : (int)size;
    if (result == 1)
        loop_read_stop(stream);
    else if (result == LOOP_EOF)
        result = loop_shutdown(stream, &connection->end, on_end);
    if (result < 0)
        close_connection(connection);
}

static void on_drain(struct loop_stream *stream)
{
    if (loop_read_start(stream, on_read) < 0)
        close_connection(connection_of(stream));
}

static void on_idle(struct loop_stream *stream)
{
    printf("a silent client is shown the door\n");
    fflush(stdout);
    close_connection(connection_of(stream));
}

/* All that was echoed is with the kernel. */
static void on_end(struct loop_shutdown *end, int status)
{
    (void)status;
    close_connection(loop_container_of(end, struct connection, end));
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct server *server = loop_container_of(listener, struct server, listener.stream);
    struct connection *connection = status < 0 ? NULL : calloc(1, sizeof(*connection));
    if (!connection) {
        fprintf(stderr, "a client has to wait: %s\n", loop_strerror(status < 0 ? status : -ENOMEM));
        if (status == 0)
            loop_refuse(listener);
        return;
    }
    init_socket(server, &connection->socket);
    struct loop_stream *stream = &connection->socket.stream;
    int error = loop_accept(listener, stream);
    if (!error)
        error = loop_stream_set_marks(stream, 0, 0, 0, on_drain);
    if (!error)
        error = loop_stream_set_idle(stream, server->idle_ns, on_idle);
    if (!error)
        error = loop_read_start(stream, on_read);
    if (error)
        close_connection(connection);
}

/* 127.0.0.1: nobody on the net is to meet an example. */
static int bind_listener(struct server *server)
{
    struct loop_address address;
    if (server->path)
        return loop_pipe_bind(&server->listener.pipe, server->path, strlen(server->path));
    int error = loop_address_parse(&address, "127.0.0.1", server->port);
    return error ? error : loop_tcp_bind(&server->listener.tcp, &address, 0);
}

static void print_where(const struct server *server)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    if (server->path)
        printf("listening on %s\n", server->path);
    else if (loop_tcp_local(&server->listener.tcp, &address) == 0)
        printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

static int serve(struct server *server)
{
    int error = loop_init(&server->loop, NULL);
    if (error)
        return fail("loop_init", error);
    init_socket(server, &server->listener);
    error = bind_listener(server);
    if (!error)
        error = loop_listen(&server->listener.stream, LOOP_BACKLOG, on_connection);
    if (error)
        return fail("cannot listen", error);
    print_where(server);
    error = loop_run(&server->loop, LOOP_RUN_DEFAULT);
    return error < 0 ? fail("loop_run", error) : EXIT_SUCCESS;
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
    fprintf(file, "usage: echo [PORT] [--unix PATH] [--idle SECONDS]\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"unix", required_argument, NULL, 'u'},
                                            {"idle", required_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct server server = {.port = 7007, .idle_ns = 60 * LOOP_SEC};
    long port = server.port, idle_s = 60;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'u')
            server.path = optarg;
        else if (option == 'i')
            idle_s = number(optarg, 86400);
        else
            return print_usage(option == 'h' ? stdout : stderr);
    }
    if (optind < argc)
        port = number(argv[optind++], 65535);
    if (optind < argc || port < 0 || idle_s < 1)
        return print_usage(stderr);
    server.port = (uint16_t)port;
    server.idle_ns = (uint64_t)idle_s * LOOP_SEC;
    return serve(&server);
}
