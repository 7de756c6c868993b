/* Internal. A client that sends bytes as they are and keeps what comes back: what the tests of
 * files and of compression ask with.
 *
 * A peer is one connection: it sends its question when it is connected, and closes when the server
 * does. ask() does that and waits. Tests that want to be slow, or many at a time, open peers
 * themselves, and may look at each piece as it comes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef PEER_H
#define PEER_H

#include "../test.h"

#include "loop/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct peer {
    struct loop_tcp tcp;
    struct loop_connect connect;
    const char *question;
    size_t question_size;
    char *bytes; /* all that came, with a 0 behind it */
    size_t size, capacity;
    uint64_t total; /* also of what is not kept */
    void (*on_piece)(struct peer *peer, const char *bytes, size_t size); /* it is not kept then */
    void (*on_over)(struct peer *peer);
    int status; /* the last word of the connection */
    bool over;
};

static inline void peer_closed(struct loop_handle *handle)
{
    struct peer *peer = loop_container_of(handle, struct peer, tcp.handle);
    peer->over = true;
    if (peer->on_over)
        peer->on_over(peer);
    else
        loop_stop(handle->loop);
}

static inline void peer_keep(struct peer *peer, const char *bytes, size_t size)
{
    if (peer->size + size + 1 > peer->capacity) {
        peer->capacity = 2 * (peer->size + size + 1);
        peer->bytes = realloc(peer->bytes, peer->capacity);
        assert_non_null(peer->bytes);
    }
    memcpy(peer->bytes + peer->size, bytes, size);
    peer->size += size;
    peer->bytes[peer->size] = '\0';
}

static inline void peer_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct peer *peer = loop_container_of(stream, struct peer, tcp.stream);
    if (size < 0) {
        peer->status = (int)size;
        loop_close(&stream->handle, peer_closed);
        return;
    }
    peer->total += (size_t)size;
    if (peer->on_piece)
        peer->on_piece(peer, bytes, (size_t)size);
    else
        peer_keep(peer, bytes, (size_t)size);
}

static inline void peer_connected(struct loop_connect *connect, int status)
{
    struct peer *peer = loop_container_of(connect, struct peer, connect);
    assert_int_equal(0, status);
    assert_int_equal(0, loop_read_start(&peer->tcp.stream, peer_read));
    assert_true(loop_write_copy(&peer->tcp.stream, peer->question, peer->question_size) >= 0);
}

/* All zero but what it is to call. */
static inline void peer_open(struct loop *loop, uint16_t port, struct peer *peer,
                             const char *question)
{
    struct loop_address address;
    peer->question = question;
    peer->question_size = strlen(question);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", port));
    loop_tcp_init(loop, &peer->tcp);
    assert_int_equal(0, loop_tcp_connect(&peer->tcp, &peer->connect, &address, peer_connected));
}

/* The peer of the last question, whose answer is whole. */
static inline struct peer *ask(struct loop_http_server *server, const char *question)
{
    static struct peer peer;
    free(peer.bytes);
    peer = (struct peer){0};
    peer_keep(&peer, "", 0);
    peer_open(server->loop, loop_http_server_port(server), &peer, question);
    loop_run(server->loop, LOOP_RUN_DEFAULT);
    assert_true(peer.over);
    return &peer;
}

static inline void forget_answer(struct peer *peer)
{
    free(peer->bytes);
    *peer = (struct peer){0};
}

static inline int status_of(const struct peer *peer)
{
    return strncmp(peer->bytes, "HTTP/1.1 ", 9) == 0 ? atoi(peer->bytes + 9) : 0;
}

static inline const char *body_of(const struct peer *peer)
{
    const char *body = strstr(peer->bytes, "\r\n\r\n");
    return body ? body + 4 : "";
}

static inline size_t body_size_of(const struct peer *peer)
{
    const char *body = strstr(peer->bytes, "\r\n\r\n");
    return body ? peer->size - (size_t)(body + 4 - peer->bytes) : 0;
}

/* The value of the first header of a name; "": there is none. Valid until the next call. */
static inline const char *header_of(const struct peer *peer, const char *name)
{
    static char value[1024];
    size_t size = strlen(name);
    const char *end = strstr(peer->bytes, "\r\n\r\n");
    value[0] = '\0';
    for (const char *line = peer->bytes; end && line && line < end;
         line = strstr(line + 1, "\r\n")) {
        const char *at = line + (*line == '\r' ? 2 : 0);
        if (strncasecmp(at, name, size) == 0 && strncmp(at + size, ": ", 2) == 0) {
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + size + 2, "\r"),
                     at + size + 2);
            break;
        }
    }
    return value;
}

#endif
