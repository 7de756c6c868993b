/* Connecting by name to a listener on this machine. The name has two addresses, of which
 * one answers: an attempt that fails is no error if another does not, so many failures
 * have no consequence but a slower connection. What was accepted beside the one that won
 * is refused. If all attempts fail the callback says why, and none of their sockets is
 * left.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <stdio.h>

static struct loop_tcp listener, client, server;
static struct loop_dial dialing;
static bool connected, accepted;

static void finish(void)
{
    if (!connected || !accepted)
        return;
    shut(&listener.handle);
    shut(&client.handle);
    shut(&server.handle);
}

static void on_dial(struct loop_dial *dial, int status)
{
    (void)dial;
    ended();
    connected = ok(status);
    finish();
}

static void on_connection(struct loop_stream *stream, int status)
{
    struct loop_tcp *into = accepted ? NULL : &server;
    if (!ok(status))
        return;
    if (!into) {
        ok(loop_refuse(stream));
        return;
    }
    loop_tcp_init(stream->handle.loop, into);
    accepted = ok(loop_accept(stream, &into->stream));
    finish();
}

static void start(struct loop *loop)
{
    char port[8];
    struct loop_address address;
    connected = accepted = false;
    loop_tcp_init(loop, &listener);
    loop_tcp_init(loop, &client);
    ok(loop_address_parse(&address, "127.0.0.1", 0));
    if (!ok(loop_tcp_bind(&listener, &address, 0)) ||
        !ok(loop_listen(&listener.stream, 8, on_connection)) ||
        !ok(loop_tcp_local(&listener, &address)))
        return;
    snprintf(port, sizeof(port), "%u", loop_address_port(&address));
    began(loop_dial(&client, &dialing, "localhost", port, on_dial));
}

static bool done(void)
{
    return connected && accepted;
}

const struct scenario dial_scenario = {.name = "dial",
                                       .clock = LOOP_CLOCK_MONOTONIC,
                                       .start = start,
                                       .done = done};
