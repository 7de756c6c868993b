/* A server that ends well: at Ctrl-C it takes no more clients and lets those that are there finish.
 *
 *     ./run example shutdown          then: nc 127.0.0.1 7014, and type lines
 *     ./run example shutdown 8000     another port; 0 lets the kernel choose
 *     ./run example shutdown 0 30     30 seconds to finish, not 5
 *
 * Each line comes back. Press Ctrl-C (or kill it) while a client is connected: the server says so,
 * no new client gets in, and it ends as soon as the last client has gone. Who stays longer than 5
 * seconds is cut off. Press Ctrl-C twice, and it ends at once, whatever it is doing.
 *
 * All that is in loop_graceful_start(); what is left to the program is to close its listener.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server {
    struct loop loop;
    struct loop_tcp listener;
    struct loop_graceful graceful;
    unsigned clients;
};

struct client {
    struct loop_tcp tcp;
    struct server *server;
};

static void on_close(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    client->server->clients--;
    free(client);
}

static void close_client(struct client *client)
{
    if (!loop_is_closing(&client->tcp.handle))
        loop_close(&client->tcp.handle, on_close);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    int result = size > 0 ? loop_write_copy(stream, bytes, (size_t)size) : -1;
    if (result < 0)
        close_client(loop_container_of(stream, struct client, tcp.stream));
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct server *server = loop_container_of(listener, struct server, listener.stream);
    struct client *client = status == 0 ? calloc(1, sizeof(*client)) : NULL;
    if (!client) {
        loop_refuse(listener);
        return;
    }
    client->server = server;
    server->clients++;
    loop_tcp_init(&server->loop, &client->tcp);
    if (loop_accept(listener, &client->tcp.stream) < 0 ||
        loop_read_start(&client->tcp.stream, on_read) < 0)
        close_client(client);
}

static void on_shutdown(struct loop_graceful *graceful, int number)
{
    struct server *server = loop_container_of(graceful, struct server, graceful);
    printf("signal %d: waiting for %u clients\n", number, server->clients);
    fflush(stdout);
    loop_close(&server->listener.handle, NULL);
}

/* Time is up. What is left are clients: the listener was closed above. */
static void on_late(struct loop_handle *handle, void *arg)
{
    (void)arg;
    printf("a client is cut off\n");
    close_client(loop_container_of(handle, struct client, tcp.handle));
}

static int listen_on(struct server *server, uint16_t port)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    loop_tcp_init(&server->loop, &server->listener);
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_tcp_bind(&server->listener, &address, 0);
    if (!error)
        error = loop_listen(&server->listener.stream, LOOP_BACKLOG, on_connection);
    if (!error)
        error = loop_tcp_local(&server->listener, &address);
    if (!error)
        printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return error;
}

static int serve(struct server *server, uint16_t port, uint64_t drain_ns)
{
    int error = listen_on(server, port);
    if (!error)
        error =
            loop_graceful_start(&server->loop, &server->graceful, drain_ns, on_shutdown, on_late);
    if (!error)
        error = loop_run(&server->loop, LOOP_RUN_DEFAULT);
    return error;
}

int main(int argc, char **argv)
{
    struct server server = {.clients = 0};
    char *end = NULL;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return puts("usage: shutdown [PORT [SECONDS]]") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    unsigned long port = argc > 1 ? strtoul(argv[1], &end, 10) : 7014;
    unsigned long seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    if (argc > 3 || port > 65535 || (end && (end == argv[1] || *end != '\0')) || seconds > 86400) {
        fprintf(stderr, "usage: shutdown [PORT [SECONDS]]\n");
        return 2;
    }
    int error = loop_init(&server.loop, NULL);
    if (!error)
        error = serve(&server, (uint16_t)port, seconds * LOOP_SEC);
    if (!error)
        error = loop_fini(&server.loop);
    if (error) {
        fprintf(stderr, "shutdown: %s\n", loop_strerror(error));
        return EXIT_FAILURE;
    }
    puts("goodbye");
    return EXIT_SUCCESS;
}
