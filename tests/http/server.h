/* Internal. A server on the loop of a test, and peers that send it bytes as they are.
 *
 * A peer is a connection of its own on the same loop. peer_send() gives bytes, expect() runs the
 * loop until the peer has got a text, expect_end() until the server has closed: 0 is an orderly
 * end, else the error. settle() gives everybody time to do what they will do without being asked:
 * on the loopback bytes arrive at once, as long as the server is open, so a few turns are enough.
 *
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "../test.h"
#include "loopback.h"

#include "loop/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_shutdown shutdown;
    char *in; /* a string */
    size_t size, capacity;
    size_t seen; /* what expect() has found ends here */
    int status;  /* LOOP_EOF, or an error */
    bool ended;
    bool connected;
};

static struct loop *loop;
static struct loop_http_server server;
static bool server_closed;

static void on_server_closed(struct loop_http_server *closed)
{
    assert_ptr_equal(&server, closed);
    assert_false(server_closed);
    server_closed = true;
    loopback_end();
}

static inline void open_server_with(void **state, const struct loop_http_options *options)
{
    loop = *state;
    server_closed = false;
    loopback_begin(loop);
    assert_int_equal(0, loop_http_server_init(loop, &server, options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
}

static void settle(void)
{
    for (int i = 0; i < 12; i++)
        loop_run(loop, LOOP_RUN_NOWAIT);
}

/* Nothing is left of it, whatever happened. */
static inline void close_server(void)
{
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    while (!server_closed)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(0, server.stats.connections);
    assert_int_equal(0, server.stats.active);
}

/* --- peers --- */

static void on_peer_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct peer *peer = loop_container_of(stream, struct peer, tcp.stream);
    if (size < 0) {
        peer->ended = true;
        peer->status = (int)size;
        loop_read_stop(stream);
        return;
    }
    if (peer->size + (size_t)size >= peer->capacity) {
        peer->capacity = 2 * (peer->size + (size_t)size) + 1;
        peer->in = realloc(peer->in, peer->capacity);
        assert_non_null(peer->in);
    }
    memcpy(peer->in + peer->size, bytes, (size_t)size);
    peer->size += (size_t)size;
    peer->in[peer->size] = '\0';
}

static void on_peer_connected(struct loop_connect *connect, int status)
{
    struct peer *peer = loop_container_of(connect, struct peer, connect);
    assert_int_equal(0, status);
    peer->connected = true;
    assert_int_equal(0, loop_read_start(&peer->tcp.stream, on_peer_read));
}

static void peer_open(struct peer *peer)
{
    struct loop_address address;
    *peer = (struct peer){.capacity = 1};
    peer->in = calloc(1, 1);
    uint16_t port = loop_http_server_port(&server);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", port));
    loop_tcp_init(loop, &peer->tcp);
    assert_int_equal(0, loop_tcp_connect(&peer->tcp, &peer->connect, &address, on_peer_connected));
    while (!peer->connected)
        loop_run(loop, LOOP_RUN_ONCE);
    loop_tcp_nodelay(&peer->tcp, true);
}

static void peer_send_bytes(struct peer *peer, const void *bytes, size_t size)
{
    assert_true(loop_write_copy(&peer->tcp.stream, bytes, size) >= 0);
}

static inline void peer_send(struct peer *peer, const char *text)
{
    peer_send_bytes(peer, text, strlen(text));
}

static void on_peer_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    (void)status;
}

static inline void peer_half_close(struct peer *peer)
{
    loop_shutdown(&peer->tcp.stream, &peer->shutdown, on_peer_shutdown);
}

static void peer_close(struct peer *peer)
{
    loop_close(&peer->tcp.stream.handle, NULL);
    free(peer->in);
    peer->in = NULL;
    settle();
}

static inline void peer_reset(struct peer *peer)
{
    loop_stream_reset(&peer->tcp.stream, NULL);
    free(peer->in);
    peer->in = NULL;
    settle();
}

/* Behind what was found before. */
static inline void expect(struct peer *peer, const char *text)
{
    const char *found;
    while (!(found = strstr(peer->in + peer->seen, text)) && !peer->ended)
        loop_run(loop, LOOP_RUN_ONCE);
    if (!found)
        print_error("no \"%s\" in \"%s\"\n", text, peer->in + peer->seen);
    assert_non_null(found);
    peer->seen = (size_t)(found - peer->in) + strlen(text);
}

static inline void expect_nothing(struct peer *peer)
{
    settle();
    assert_string_equal("", peer->in + peer->seen);
}

static inline int expect_end(struct peer *peer)
{
    while (!peer->ended)
        loop_run(loop, LOOP_RUN_ONCE);
    return peer->status == LOOP_EOF ? 0 : peer->status;
}

#endif
