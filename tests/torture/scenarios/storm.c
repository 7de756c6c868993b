/* Many clients come to one unix-domain listener at once: every third is refused, the others get
 * a byte and are closed when it has gone. Descriptors and memory may run out with each of them,
 * and a connection may be gone before it is accepted. Each client is told of its end, by the end
 * of the stream or by an error; and the path of the listener is removed, or left for the next
 * run to complain of.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 9 };

static struct client {
    struct loop_pipe pipe;
    struct loop_connect connect;
    struct loop_write write;
} clients[CLIENTS], servers[CLIENTS];

static struct loop_pipe listener;
static char path[64];
static int came, refused, greeted, sent_away;

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = loop_container_of(stream, struct client, pipe.stream);
    (void)bytes;
    if (size > 0) {
        greeted++;
        return;
    }
    if (size == LOOP_EOF || ok(size))
        sent_away++;
    shut(&client->pipe.handle);
    if (sent_away == CLIENTS)
        shut(&listener.handle);
}

static void on_connect(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    ended();
    if (ok(status))
        ok(loop_read_start(&client->pipe.stream, on_read));
}

static void on_write(struct loop_write *write, int status)
{
    ended();
    ok(status);
    shut(&write->common.stream->handle);
}

static void on_connection(struct loop_stream *stream, int status)
{
    if (!ok(status))
        return;
    if (came % 3 == 2) {
        refused += ok(loop_refuse(stream));
        came++;
        return;
    }
    struct client *server = &servers[came++];
    loop_pipe_init(stream->handle.loop, &server->pipe);
    struct loop_buf word = {"!", 1};
    if (ok(loop_accept(stream, &server->pipe.stream)))
        began(loop_write(&server->pipe.stream, &server->write, &word, 1, on_write));
}

static void start(struct loop *loop)
{
    came = refused = greeted = sent_away = 0;
    memset(clients, 0, sizeof(clients));
    memset(servers, 0, sizeof(servers));
    snprintf(path, sizeof(path), "/tmp/torture-%d.sock", (int)getpid());
    loop_pipe_init(loop, &listener);
    if (!ok(loop_pipe_bind(&listener, path, strlen(path))) ||
        !ok(loop_listen(&listener.stream, CLIENTS, on_connection)))
        return;
    for (int i = 0; i < CLIENTS; i++) {
        loop_pipe_init(loop, &clients[i].pipe);
        began(loop_pipe_connect(&clients[i].pipe, &clients[i].connect, path, strlen(path),
                                on_connect));
    }
}

static bool done(void)
{
    return came == CLIENTS && refused == CLIENTS / 3 && greeted == CLIENTS - CLIENTS / 3 &&
           sent_away == CLIENTS;
}

/* Removing it may have failed. */
static void clean(void)
{
    unlink(path);
}

const struct scenario storm_scenario = {
    .name = "storm", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
