/* Internal. A server that says what a test tells it to say, byte for byte, on the loop of the test:
 * for what no decent server would do.
 *
 * For each request whose head has come scripted.on_request is called with the peer it came from;
 * the test then answers by peer_send() and peer_close(), at once or later. What peers and
 * requests are called counts from 0 in the order in which they came. The listener does not keep the
 * loop alive.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SCRIPTED_H
#define SCRIPTED_H

#include "../test.h"

#include <stdio.h>
#include <string.h>

enum { PEERS = 64 };

struct peer {
    struct loop_tcp tcp;
    int index;
    int requests;
    bool open;
    bool deaf; /* reads no more */
    char request[8192];
    size_t size;
};

static struct {
    struct loop *loop;
    struct loop_tcp listener;
    struct peer peers[PEERS];
    int accepted;
    uint16_t port;
    void (*on_request)(struct peer *peer);
    void (*on_end)(struct peer *peer); /* NULL: closes */
    void (*on_accept)(struct peer *peer);
} scripted;

static void on_peer_closed(struct loop_handle *handle)
{
    (void)handle;
}

__attribute__((unused)) static void peer_close(struct peer *peer)
{
    if (peer->open)
        loop_close(&peer->tcp.handle, on_peer_closed);
    peer->open = false;
}

__attribute__((unused)) static void peer_reset(struct peer *peer)
{
    if (peer->open)
        loop_stream_reset(&peer->tcp.stream, on_peer_closed);
    peer->open = false;
}

__attribute__((unused)) static void peer_send_bytes(struct peer *peer, const char *bytes,
                                                    size_t size)
{
    if (peer->open)
        loop_write_copy(&peer->tcp.stream, bytes, size);
}

__attribute__((unused)) static void peer_send(struct peer *peer, const char *text)
{
    peer_send_bytes(peer, text, strlen(text));
}

/* Bodies stay behind the head, and are the test's to look at. */
static void on_peer_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct peer *peer = loop_container_of(stream, struct peer, tcp.stream);
    if (size < 0) {
        if (scripted.on_end)
            scripted.on_end(peer);
        else
            peer_close(peer);
        return;
    }
    size_t room = sizeof(peer->request) - 1 - peer->size;
    size_t taken = (size_t)size < room ? (size_t)size : room;
    bool had_head = strstr(peer->request, "\r\n\r\n");
    memcpy(peer->request + peer->size, bytes, taken);
    peer->size += taken;
    peer->request[peer->size] = '\0';
    if (had_head || !strstr(peer->request, "\r\n\r\n"))
        return;
    scripted.on_request(peer);
    peer->requests++;
}

/* From now on what comes is the next request. */
__attribute__((unused)) static void peer_next(struct peer *peer)
{
    peer->size = 0;
    peer->request[0] = '\0';
}

static void on_peer(struct loop_stream *listener, int status)
{
    assert_int_equal(0, status);
    struct peer *peer = &scripted.peers[scripted.accepted % PEERS];
    assert_false(peer->open);
    memset(peer, 0, sizeof(*peer));
    peer->index = scripted.accepted++;
    peer->open = true;
    loop_tcp_init(scripted.loop, &peer->tcp);
    assert_int_equal(0, loop_accept(listener, &peer->tcp.stream));
    assert_int_equal(0, loop_tcp_nodelay(&peer->tcp, true));
    if (scripted.on_accept)
        scripted.on_accept(peer);
    if (peer->open && !peer->deaf)
        assert_int_equal(0, loop_read_start(&peer->tcp.stream, on_peer_read));
}

static void scripted_begin(struct loop *loop, void (*on_request)(struct peer *peer))
{
    struct loop_address address;
    memset(&scripted, 0, sizeof(scripted));
    scripted.loop = loop;
    scripted.on_request = on_request;
    loop_tcp_init(loop, &scripted.listener);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&scripted.listener, &address, 0));
    assert_int_equal(0, loop_listen(&scripted.listener.stream, 100, on_peer));
    loop_unref(&scripted.listener.handle);
    assert_int_equal(0, loop_tcp_local(&scripted.listener, &address));
    scripted.port = loop_address_port(&address);
}

static void scripted_end(void)
{
    loop_close(&scripted.listener.handle, NULL);
    for (int i = 0; i < PEERS; i++)
        peer_close(&scripted.peers[i]);
    assert_int_equal(0, loop_run(scripted.loop, LOOP_RUN_DEFAULT));
}

/* The URL of a path there: in one of 4 buffers, used in turn. */
__attribute__((unused)) static const char *scripted_url(const char *path)
{
    static char urls[4][256];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%u%s", scripted.port, path);
    return url;
}

#endif
