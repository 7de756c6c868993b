/* Frames: wslay reads and writes them, and the rules stand before and behind it.
 *
 * wslay takes frames apart and unmasks them. It demands that lengths be as short as they can be and
 * below 2^63, and that control frames be small and in one piece; it says nothing of reserved bits,
 * opcodes, masks, or the order of frames. Those are in the first two bytes of a frame, which are
 * looked at here before wslay gets them: a peer is told at once, not when payload has come.
 *
 * wslay buffers what it is given. So that nothing stays in there when reading has to stop, it is
 * given no byte beyond the frame under way: the head first, then, since wslay tells the length only
 * with the first byte of payload, that one byte, then as much as there is.
 *
 * Bytes are counted by frame, so the limit is known to be broken before the payload has come.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MASKED = 0x80, FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, LENGTH = 0x7f };

static unsigned opcode_of(const struct websocket_wire *wire)
{
    return wire->head[0] & OPCODE;
}

/* --- what the first two bytes say --- */

/* Whether data may come now: a message begins when none is under way, and only then. */
static bool in_order(const struct websocket_wire *wire)
{
    return (opcode_of(wire) == WSLAY_CONTINUATION_FRAME) == (wire->opcode != 0);
}

/* A reserved bit is good in one case alone: the first frame of a message, deflated, as agreed. */
static bool may_reserve(const struct websocket_wire *wire)
{
    unsigned opcode = opcode_of(wire);
    return wire->packs && (wire->head[0] & RESERVED) == WEBSOCKET_PACKED &&
           (opcode == WSLAY_TEXT_FRAME || opcode == WSLAY_BINARY_FRAME);
}

static bool head_obeys(const struct websocket_wire *wire)
{
    unsigned opcode = opcode_of(wire);
    bool masked = wire->head[1] & MASKED;
    if (masked == wire->client || ((wire->head[0] & RESERVED) && !may_reserve(wire)))
        return false;
    if (opcode >= WSLAY_CONNECTION_CLOSE)
        return opcode <= WSLAY_PONG && (wire->head[0] & FIN) &&
               (wire->head[1] & LENGTH) <= WEBSOCKET_CONTROL_MAX;
    return opcode <= WSLAY_BINARY_FRAME && in_order(wire);
}

static uint8_t head_rest(const struct websocket_wire *wire)
{
    unsigned length = wire->head[1] & LENGTH;
    unsigned extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    return (uint8_t)(extended + (wire->head[1] & MASKED ? 4 : 0));
}

/* --- wslay's way to the bytes --- */

/* How many wslay may have now. */
static size_t portion(const struct websocket_wire *wire)
{
    if (wire->head_size < sizeof(wire->head))
        return sizeof(wire->head) - wire->head_size;
    if (wire->head_left > 0)
        return wire->head_left;
    return wire->in_payload ? (size_t)wire->payload_left : 1;
}

/* The head is looked at as it passes. */
static bool pass(struct websocket_wire *wire, const uint8_t *bytes, size_t size)
{
    if (wire->head_size == sizeof(wire->head)) {
        wire->head_left = (uint8_t)(wire->head_left > size ? wire->head_left - size : 0);
        return true;
    }
    memcpy(wire->head + wire->head_size, bytes, size);
    wire->head_size = (uint8_t)(wire->head_size + size);
    if (wire->head_size < sizeof(wire->head))
        return true;
    wire->head_left = head_rest(wire);
    if (!head_obeys(wire))
        wire->verdict = LOOP_WEBSOCKET_PROTOCOL_ERROR;
    return wire->verdict == 0;
}

static ssize_t give(uint8_t *to, size_t room, int flags, void *owner)
{
    (void)flags;
    struct websocket_wire *wire = owner;
    size_t size = portion(wire);
    size = size < room ? size : room;
    size = size < wire->input_size ? size : wire->input_size;
    if (size == 0 || !pass(wire, wire->input, size))
        return -1;
    memcpy(to, wire->input, size);
    wire->input += size;
    wire->input_size -= size;
    return (ssize_t)size;
}

/* --- what comes out --- */

/* Its limit is that of what it inflates to, which is counted there. */
static bool is_packed(const struct websocket_wire *wire)
{
    return wire->opcode & WEBSOCKET_PACKED;
}

static bool begin_frame(struct websocket_wire *wire, const struct wslay_frame_iocb *frame)
{
    wire->in_payload = true;
    wire->payload_left = frame->payload_length;
    wire->control_size = 0;
    if (wslay_is_ctrl_frame(frame->opcode))
        return true;
    if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
        wire->opcode = wire->head[0] & (WEBSOCKET_PACKED | OPCODE);
        wire->message_size = 0;
        wire->utf8 = (struct utf8){0};
    }
    if (frame->payload_length > wire->limit - wire->message_size && !is_packed(wire)) {
        wire->verdict = LOOP_WEBSOCKET_TOO_BIG;
        return false;
    }
    wire->message_size += frame->payload_length;
    return true;
}

static bool take_control(struct websocket_wire *wire, const struct wslay_frame_iocb *frame)
{
    memcpy(wire->control + wire->control_size, frame->data, frame->data_length);
    wire->control_size = (uint8_t)(wire->control_size + frame->data_length);
    if (wire->payload_left > 0)
        return true;
    return wire->ear->control(wire->owner, frame->opcode, (const char *)wire->control,
                              wire->control_size);
}

static bool take_data(struct websocket_wire *wire, const struct wslay_frame_iocb *frame)
{
    const char *bytes = (const char *)frame->data;
    bool ends = frame->fin && wire->payload_left == 0;
    enum loop_websocket_type type = (enum loop_websocket_type)wire->opcode;
    if (type == LOOP_WEBSOCKET_TEXT && (!utf8_feed(&wire->utf8, bytes, frame->data_length) ||
                                        (ends && !utf8_whole(&wire->utf8)))) {
        wire->verdict = LOOP_WEBSOCKET_BAD_DATA;
        return false;
    }
    if (ends)
        wire->opcode = 0;
    if (frame->data_length == 0 && !ends)
        return true;
    return wire->ear->piece(wire->owner, type, bytes, frame->data_length, ends);
}

static bool take(struct websocket_wire *wire, const struct wslay_frame_iocb *frame)
{
    if (!wire->in_payload && !begin_frame(wire, frame))
        return false;
    wire->payload_left -= frame->data_length;
    if (wire->payload_left == 0) {
        wire->in_payload = false;
        wire->head_size = 0;
    }
    return wslay_is_ctrl_frame(frame->opcode) ? take_control(wire, frame) : take_data(wire, frame);
}

size_t websocket_wire_read(struct websocket_wire *wire, const char *bytes, size_t size)
{
    wire->input = (const uint8_t *)bytes;
    wire->input_size = size;
    bool more = true;
    while (more && wire->verdict == 0) {
        struct wslay_frame_iocb frame;
        ssize_t status = wslay_frame_recv(wire->wslay, &frame);
        if (status >= 0)
            more = take(wire, &frame);
        else if (status == WSLAY_ERR_WANT_READ)
            more = wire->input_size > 0;
        else
            wire->verdict = LOOP_WEBSOCKET_PROTOCOL_ERROR;
    }
    return size - wire->input_size;
}

/* --- writing --- */

static ssize_t put(const uint8_t *bytes, size_t size, int flags, void *owner)
{
    (void)flags;
    struct websocket_wire *wire = owner;
    wire->written = wire->ear->write(wire->owner, bytes, size);
    return wire->written < 0 ? -1 : (ssize_t)size;
}

/* A key that nobody can guess for each frame: RFC 6455, 10.3. */
static int mask(uint8_t *key, size_t size, void *owner)
{
    struct websocket_wire *wire = owner;
    if (wire->keys_left < size) {
        wire->written = websocket_random(wire->keys, sizeof(wire->keys));
        if (wire->written < 0)
            return -1;
        wire->keys_left = sizeof(wire->keys);
    }
    wire->keys_left = (uint8_t)(wire->keys_left - size);
    memcpy(key, wire->keys + wire->keys_left, size);
    return 0;
}

int websocket_wire_write(struct websocket_wire *wire, unsigned opcode, const void *bytes,
                         size_t size, bool ends)
{
    struct wslay_frame_iocb frame = {.fin = ends,
                                     .rsv = opcode & WEBSOCKET_PACKED ? WSLAY_RSV1_BIT : 0,
                                     .opcode = opcode & OPCODE,
                                     .payload_length = size,
                                     .mask = wire->client,
                                     .data = bytes,
                                     .data_length = size};
    wire->written = 0;
    ssize_t status = wslay_frame_send(wire->wslay, &frame);
    return status < 0 && wire->written >= 0 ? -EIO : wire->written;
}

/* --- its life --- */

struct websocket_wire *websocket_wire_new(const struct websocket_ear *ear, void *owner, bool client,
                                          uint64_t limit)
{
    static const struct wslay_frame_callbacks ways = {.send_callback = put,
                                                      .recv_callback = give,
                                                      .genmask_callback = mask};
    struct websocket_wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return NULL;
    *wire = (struct websocket_wire){.ear = ear, .owner = owner, .client = client, .limit = limit};
    if (wslay_frame_context_init(&wire->wslay, &ways, wire) != 0) {
        free(wire);
        return NULL;
    }
    return wire;
}

void websocket_wire_free(struct websocket_wire *wire)
{
    if (!wire)
        return;
    wslay_frame_context_free(wire->wslay);
    free(wire);
}
