/* What goes: messages, parts of messages, pings, and the answers to pings.
 *
 * Frames are written into the link, which gathers those of one callback and sends them in one
 * piece. Before a frame is begun there is a look whether it would fit under the cap of what may
 * wait: half a frame cannot be taken back.
 *
 * A peer that pings and does not read would make answers pile up. While much waits only the last
 * ping is remembered, and answered when there is room, as the RFC allows (5.5.3).
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <string.h>

int websocket_write(void *owner, const void *bytes, size_t size)
{
    struct loop_websocket *ws = owner;
    int status = link_write(ws->link, bytes, size);
    if (status == 1)
        websocket_set(ws, WEBSOCKET_CROWDED);
    return status;
}

bool websocket_fits(const struct loop_websocket *ws, size_t size)
{
    size_t waiting = link_waiting(ws->link) + WEBSOCKET_HEAD_MAX;
    return waiting <= LOOP_WRITE_MAX && size <= LOOP_WRITE_MAX - waiting;
}

int websocket_frame(struct loop_websocket *ws, unsigned opcode, const void *bytes, size_t size,
                    bool ends)
{
    if (ws->state != LOOP_WEBSOCKET_OPEN)
        return -EPIPE;
    if (!websocket_fits(ws, size))
        return -ENOBUFS;
    return websocket_wire_write(ws->wire, opcode, bytes, size, ends);
}

/* --- messages --- */

static bool type_valid(enum loop_websocket_type type)
{
    return type == LOOP_WEBSOCKET_TEXT || type == LOOP_WEBSOCKET_BINARY;
}

int websocket_sendable(enum loop_websocket_type type, const void *bytes, size_t size)
{
    if (!type_valid(type) || (!bytes && size > 0))
        return -EINVAL;
    if (type == LOOP_WEBSOCKET_TEXT && !utf8_valid(bytes, size))
        return -EILSEQ;
    return 0;
}

static int send_with_care(struct loop_websocket *ws, enum loop_websocket_type type,
                          const void *bytes, size_t size)
{
    if (ws->state != LOOP_WEBSOCKET_OPEN)
        return -EPIPE;
    if (websocket_is(ws, WEBSOCKET_SENDING))
        return -EBUSY;
    return websocket_deflate_send(ws, type, bytes, size);
}

int loop_websocket_send(struct loop_websocket *ws, enum loop_websocket_type type, const void *bytes,
                        size_t size)
{
    int status = websocket_sendable(type, bytes, size);
    if (status < 0)
        return status;
    if (ws->flags & (WEBSOCKET_SENDING | WEBSOCKET_DEFLATES))
        return send_with_care(ws, type, bytes, size);
    return websocket_frame(ws, type, bytes, size, true);
}

int loop_websocket_send_text(struct loop_websocket *ws, const char *text)
{
    return text ? loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, strlen(text)) : -EINVAL;
}

static void note_part(struct loop_websocket *ws, enum loop_websocket_type type, bool ends)
{
    websocket_clear(ws, WEBSOCKET_SENDING);
    websocket_clear(ws, WEBSOCKET_BINARY);
    if (ends)
        return;
    websocket_set(ws, WEBSOCKET_SENDING);
    if (type == LOOP_WEBSOCKET_BINARY)
        websocket_set(ws, WEBSOCKET_BINARY);
}

int loop_websocket_send_part(struct loop_websocket *ws, enum loop_websocket_type type,
                             const void *bytes, size_t size, bool ends)
{
    bool begun = websocket_is(ws, WEBSOCKET_SENDING);
    bool binary = websocket_is(ws, WEBSOCKET_BINARY);
    if (!type_valid(type) || (!bytes && size > 0))
        return -EINVAL;
    if (begun && binary != (type == LOOP_WEBSOCKET_BINARY))
        return -EINVAL;
    unsigned opcode = begun ? WSLAY_CONTINUATION_FRAME : (unsigned)type;
    int status = websocket_frame(ws, opcode, bytes, size, ends);
    if (status >= 0)
        note_part(ws, type, ends);
    return status;
}

/* --- control frames --- */

int loop_websocket_ping(struct loop_websocket *ws, const void *bytes, size_t size)
{
    if (size > WEBSOCKET_CONTROL_MAX)
        return -EMSGSIZE;
    int status = websocket_frame(ws, WSLAY_PING, bytes, size, true);
    return status < 0 ? status : 0;
}

void websocket_answer(struct loop_websocket *ws, const char *bytes, size_t size)
{
    if (!websocket_is(ws, WEBSOCKET_CROWDED)) {
        websocket_frame(ws, WSLAY_PONG, bytes, size, true);
        return;
    }
    memcpy(ws->answer, bytes, size);
    ws->answer_size = (uint8_t)size;
    ws->answer_due = true;
}

void websocket_drained(struct link *link)
{
    struct loop_websocket *ws = link->owner;
    websocket_clear(ws, WEBSOCKET_CROWDED);
    if (ws->answer_due)
        websocket_frame(ws, WSLAY_PONG, ws->answer, ws->answer_size, true);
    ws->answer_due = false;
    if (ws->state == LOOP_WEBSOCKET_OPEN && ws->options.on_drain)
        ws->options.on_drain(ws);
}

size_t loop_websocket_waiting(const struct loop_websocket *ws)
{
    return ws->link && ws->state != LOOP_WEBSOCKET_CONNECTING ? link_waiting(ws->link) : 0;
}
