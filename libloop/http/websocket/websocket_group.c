/* Sending to many: the frame is built once, and its bytes are written to every link.
 *
 * That is possible for servers only, which do not mask what they send: a client's frame has a key
 * of its own. Writing to a link calls nobody back, so the list stays as it is while it is walked,
 * but for members that are given up, which leave it. Members that have agreed on deflated messages
 * share a second frame, built when the first of them is met: it can be shared since no message
 * depends on those before.
 *
 * A peer that does not read must not hold up the others or take memory without end: beyond the cap
 * of what may wait it is given up, since it could not be told what it has missed.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void loop_websocket_group_init(struct loop_websocket_group *group)
{
    *group = (struct loop_websocket_group){0};
    list_init(&group->members);
}

int loop_websocket_join(struct loop_websocket_group *group, struct loop_websocket *ws)
{
    if (ws->state != LOOP_WEBSOCKET_OPEN)
        return -EPIPE;
    if (websocket_is(ws, WEBSOCKET_CLIENT))
        return -EINVAL;
    if (ws->group)
        return -EEXIST;
    ws->group = group;
    list_append(&group->members, &ws->member);
    group->count++;
    return 0;
}

void loop_websocket_leave(struct loop_websocket *ws)
{
    if (!ws->group)
        return;
    list_remove(&ws->member);
    ws->group->count--;
    ws->group = NULL;
}

/* A frame as bytes. */
struct frame {
    char *bytes;
    size_t size;
};

static int append(void *owner, const void *bytes, size_t size)
{
    struct frame *frame = owner;
    memcpy(frame->bytes + frame->size, bytes, size);
    frame->size += size;
    return 0;
}

static const struct websocket_ear frame_ear = {.write = append};

static int build(struct frame *frame, enum loop_websocket_type type, const void *bytes, size_t size)
{
    struct websocket_wire *wire = websocket_wire_new(&frame_ear, frame, false, 0);
    frame->bytes = wire ? malloc(size + WEBSOCKET_HEAD_MAX) : NULL;
    int status = frame->bytes ? websocket_wire_write(wire, type, bytes, size, true) : -ENOMEM;
    websocket_wire_free(wire);
    return status;
}

/* One message as frames: deflated too, once a member wants that. */
struct news {
    enum loop_websocket_type type;
    const void *bytes;
    size_t size;
    struct frame plain, packed;
    unsigned bits; /* of the window that the packed one needs */
    bool tried;
};

static void build_packed(struct frame *frame, unsigned type, const struct websocket_packed *packed)
{
    struct websocket_wire *wire = websocket_wire_new(&frame_ear, frame, false, 0);
    frame->bytes = wire ? malloc(packed->size + WEBSOCKET_HEAD_MAX) : NULL;
    if (frame->bytes)
        websocket_wire_write(wire, type | WEBSOCKET_PACKED, packed->bytes, packed->size, true);
    websocket_wire_free(wire);
}

/* Without memory there is the plain one. */
static void pack(struct news *news)
{
    struct websocket_packed packed;
    news->tried = true;
    websocket_pack(&packed, news->bytes, news->size, UINT_MAX);
    if (packed.bytes)
        build_packed(&news->packed, news->type, &packed);
    news->bits = packed.bits;
    free(packed.bytes);
}

/* What a member gets who is not like most; NULL: nothing. */
static const struct frame *choose(const struct loop_websocket *ws, struct news *news)
{
    if (websocket_is(ws, WEBSOCKET_SENDING))
        return NULL;
    if (!news->tried)
        pack(news);
    bool packed = news->packed.bytes && websocket_deflate_bits(ws) >= news->bits;
    return packed ? &news->packed : &news->plain;
}

static void send_to(struct loop_websocket *ws, struct news *news)
{
    const struct frame *frame = &news->plain;
    if (ws->flags & (WEBSOCKET_SENDING | WEBSOCKET_DEFLATES))
        frame = choose(ws, news);
    if (!frame)
        return;
    if (link_waiting(ws->link) + frame->size > LOOP_WRITE_MAX)
        websocket_drop(ws, -ENOBUFS);
    else
        websocket_write(ws, frame->bytes, frame->size);
}

int loop_websocket_broadcast(struct loop_websocket_group *group, enum loop_websocket_type type,
                             const void *bytes, size_t size, const struct loop_websocket *except)
{
    struct news news = {.type = type, .bytes = bytes, .size = size};
    int status = websocket_sendable(type, bytes, size);
    if (status == 0 && size > LOOP_WRITE_MAX - WEBSOCKET_HEAD_MAX)
        status = -ENOBUFS;
    if (status < 0 || group->count == 0)
        return status;
    status = build(&news.plain, type, bytes, size);
    struct loop_link *next;
    for (struct loop_link *at = group->members.next; status == 0 && at != &group->members;
         at = next) {
        struct loop_websocket *ws = loop_container_of(at, struct loop_websocket, member);
        next = at->next;
        if (ws != except)
            send_to(ws, &news);
    }
    free(news.plain.bytes);
    free(news.packed.bytes);
    return status;
}

int loop_websocket_group_close(struct loop_websocket_group *group, unsigned code,
                               const char *reason)
{
    int status = 0;
    while (status == 0 && !list_empty(&group->members))
        status = loop_websocket_close(loop_container_of(group->members.next, struct loop_websocket,
                                                        member),
                                      code, reason);
    return status;
}
