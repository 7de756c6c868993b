/* What comes: pieces become messages, control frames are obeyed.
 *
 * A message is gathered in memory that grows with what has come, never with what was announced, and
 * is given back with the message unless it is small. Every callback may pause or close the socket;
 * it cannot go away, since on_close comes in the closing phase alone. What was read from the link
 * and must wait is held here, at most what one read brings, and the link is not read meanwhile.
 *
 * Once a close frame is sent, messages are read but dropped: what still matters is the peer's close
 * frame behind them.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX = 4096 }; /* between messages; what most chats need */

static bool may_read(const struct loop_websocket *ws)
{
    return !websocket_is(ws, WEBSOCKET_DEAF) &&
           !(websocket_is(ws, WEBSOCKET_PAUSED) && ws->state == LOOP_WEBSOCKET_OPEN);
}

/* --- messages --- */

/* With room for a 0 behind it. */
static bool gather(struct loop_websocket *ws, const char *bytes, size_t size)
{
    size_t needed = ws->message_size + size + 1;
    if (needed > ws->message_capacity) {
        size_t capacity = needed < 2 * ws->message_capacity ? 2 * ws->message_capacity : needed;
        char *message = realloc(ws->message, capacity);
        if (!message)
            return false;
        ws->message = message;
        ws->message_capacity = capacity;
    }
    memcpy(ws->message + ws->message_size, bytes, size);
    ws->message_size += size;
    ws->message[ws->message_size] = '\0';
    return true;
}

static void deliver(struct loop_websocket *ws, enum loop_websocket_type type)
{
    size_t size = ws->message_size;
    ws->message_size = 0;
    ws->options.on_message(ws, type, ws->message, size);
    if (ws->message_capacity > KEPT_MAX) {
        free(ws->message);
        ws->message = NULL;
        ws->message_capacity = 0;
    }
}

static bool on_piece(void *owner, enum loop_websocket_type type, const char *bytes, size_t size,
                     bool ends)
{
    struct loop_websocket *ws = owner;
    if (ws->state != LOOP_WEBSOCKET_OPEN)
        return true;
    if (ws->options.on_piece)
        ws->options.on_piece(ws, type, bytes, size, ends);
    else if (ws->options.on_message && !gather(ws, bytes, size))
        websocket_fail(ws, LOOP_WEBSOCKET_INTERNAL_ERROR);
    else if (ws->options.on_message && ends)
        deliver(ws, type);
    return may_read(ws);
}

/* --- control frames --- */

static void take_pong(struct loop_websocket *ws, const char *bytes, size_t size)
{
    static const char own[] = WEBSOCKET_OWN_PING;
    bool ours = size == sizeof(own) - 1 && memcmp(bytes, own, size) == 0;
    if (!ours && ws->options.on_pong)
        ws->options.on_pong(ws, bytes, size);
}

static bool on_control(void *owner, unsigned opcode, const char *bytes, size_t size)
{
    struct loop_websocket *ws = owner;
    if (opcode == WSLAY_CONNECTION_CLOSE)
        websocket_close_came(ws, bytes, size);
    else if (ws->state == LOOP_WEBSOCKET_OPEN && opcode == WSLAY_PING)
        websocket_answer(ws, bytes, size);
    else if (ws->state == LOOP_WEBSOCKET_OPEN)
        take_pong(ws, bytes, size);
    return may_read(ws);
}

const struct websocket_ear websocket_ear = {.piece = on_piece,
                                            .control = on_control,
                                            .write = websocket_write};

/* --- bytes --- */

/* How many were read. */
static size_t feed(struct loop_websocket *ws, const char *bytes, size_t size)
{
    size_t used = websocket_wire_read(ws->wire, bytes, size);
    if (ws->wire->verdict != 0 && !websocket_is(ws, WEBSOCKET_DEAF))
        websocket_fail(ws, ws->wire->verdict);
    return websocket_is(ws, WEBSOCKET_DEAF) ? size : used;
}

int websocket_hold(struct loop_websocket *ws, const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    ws->held = malloc(size);
    if (!ws->held)
        return -ENOMEM;
    memcpy(ws->held, bytes, size);
    ws->held_at = 0;
    ws->held_size = size;
    return 0;
}

void websocket_read(struct loop_websocket *ws, const char *bytes, size_t size)
{
    size_t used = feed(ws, bytes, size);
    int status = websocket_hold(ws, bytes + used, size - used);
    if (status < 0)
        websocket_drop(ws, status);
}

static void feed_held(struct loop_websocket *ws)
{
    if (websocket_is(ws, WEBSOCKET_DEAF))
        ws->held_at = ws->held_size;
    else
        ws->held_at += feed(ws, ws->held + ws->held_at, ws->held_size - ws->held_at);
    if (ws->held_at < ws->held_size)
        return;
    free(ws->held);
    ws->held = NULL;
}

/* Bytes, if only to throw them away: not before the rest of a piece, or in a turn too early. */
static bool may_take(const struct loop_websocket *ws)
{
    return !(ws->flags & (WEBSOCKET_INFLATING | WEBSOCKET_RESUMING)) &&
           (may_read(ws) || websocket_is(ws, WEBSOCKET_DEAF));
}

void websocket_read_on(struct loop_websocket *ws)
{
    if (websocket_is(ws, WEBSOCKET_INFLATING) && may_read(ws))
        websocket_inflate_on(ws);
    if (ws->held && may_take(ws))
        feed_held(ws);
    if (ws->held || !link_is_open(ws->link) || !may_take(ws))
        return;
    int status = link_read(ws->link);
    if (status < 0)
        websocket_drop(ws, status);
}

static void on_resuming(struct loop_task *task)
{
    struct loop_websocket *ws = loop_container_of(task, struct loop_websocket, resuming);
    websocket_clear(ws, WEBSOCKET_RESUMING);
    websocket_read_on(ws);
}

void websocket_read_soon(struct loop_websocket *ws)
{
    if (websocket_is(ws, WEBSOCKET_OPENING) || websocket_is(ws, WEBSOCKET_RESUMING))
        return;
    websocket_set(ws, WEBSOCKET_RESUMING);
    loop_next_tick(ws->loop, &ws->resuming, on_resuming);
}

void loop_websocket_pause(struct loop_websocket *ws)
{
    if (ws->state != LOOP_WEBSOCKET_OPEN || websocket_is(ws, WEBSOCKET_PAUSED))
        return;
    websocket_set(ws, WEBSOCKET_PAUSED);
    link_pause(ws->link);
}

void loop_websocket_resume(struct loop_websocket *ws)
{
    if (ws->state != LOOP_WEBSOCKET_OPEN || !websocket_is(ws, WEBSOCKET_PAUSED))
        return;
    websocket_clear(ws, WEBSOCKET_PAUSED);
    ws->heard_ns = loop_now(ws->loop);
    websocket_read_soon(ws);
}
