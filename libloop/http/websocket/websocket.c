/* The life of a WebSocket: from the link it is given to its last callback.
 *
 * Whatever opens a socket begins it, then opens it with a link, and what came behind the handshake
 * is held until on_open has been called, in a tick: so no message overtakes the function that
 * opened it. One timer serves all states: until it is open, it is the patience of the opening side;
 * while it is open, it looks for silence; and once it closes, it puts an end to that.
 *
 * The timer is not moved by what comes and goes. Traffic notes the time, and the timer, when it
 * fires, looks how long ago that was: a message costs one store.
 *
 * The memory a socket has of its own is the wire's, about 5 KiB, most of it wslay's; more only
 * while a message is incomplete.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ping_default = 30 * LOOP_SEC; /* shorter than what most proxies wait, 60 s */
static const uint64_t pong_default = 10 * LOOP_SEC; /* a phone in a tunnel, but not on a train */
static const uint64_t stall_default = 30 * LOOP_SEC;
static const uint64_t close_default = 10 * LOOP_SEC;
static const uint64_t open_default = 30 * LOOP_SEC;
enum { MESSAGE_BYTES = 1024 * 1024 };

static void fill(uint64_t *option, uint64_t value)
{
    if (*option == 0)
        *option = value;
}

static void fill_defaults(struct loop_websocket_options *options)
{
    fill(&options->message_bytes, options->on_piece ? UINT64_MAX : MESSAGE_BYTES);
    fill(&options->ping_ns, ping_default);
    fill(&options->pong_ns, pong_default);
    fill(&options->stall_ns, stall_default);
    fill(&options->close_ns, close_default);
    fill(&options->open_ns, open_default);
}

/* --- the timer --- */

static uint64_t later(uint64_t ns, uint64_t after_ns)
{
    return after_ns > LOOP_NEVER - ns ? LOOP_NEVER : ns + after_ns;
}

/* When its silence will be too long; asks it first. A peer that we do not read from is not silent.
 * 0: it already is. */
static uint64_t check_silence(struct loop_websocket *ws, uint64_t now_ns)
{
    if (websocket_is(ws, WEBSOCKET_PAUSED))
        ws->heard_ns = now_ns;
    if (ws->pinged_ns > ws->heard_ns) {
        uint64_t due_ns = later(ws->pinged_ns, ws->options.pong_ns);
        return due_ns <= now_ns ? 0 : due_ns;
    }
    uint64_t due_ns = later(ws->heard_ns, ws->options.ping_ns);
    if (due_ns > now_ns)
        return due_ns;
    websocket_frame(ws, WSLAY_PING, WEBSOCKET_OWN_PING, strlen(WEBSOCKET_OWN_PING), true);
    ws->pinged_ns = now_ns;
    return later(now_ns, ws->options.pong_ns);
}

/* When it will have taken nothing for too long; 0: it has. */
static uint64_t check_stall(struct loop_websocket *ws, uint64_t now_ns)
{
    bool waits = ws->link->stream.queued > 0;
    uint64_t due_ns = later(waits ? link_moved_ns(ws->link) : now_ns, ws->options.stall_ns);
    return due_ns <= now_ns ? 0 : due_ns;
}

static void look(struct loop_websocket *ws);

static void on_look(struct loop_timer *timer)
{
    look(loop_container_of(timer, struct loop_websocket, timer));
}

static void look(struct loop_websocket *ws)
{
    uint64_t now_ns = loop_now(ws->loop);
    uint64_t stall_ns = check_stall(ws, now_ns); /* first: a ping would be seen to wait */
    uint64_t silence_ns = check_silence(ws, now_ns);
    uint64_t due_ns = silence_ns < stall_ns ? silence_ns : stall_ns;
    if (due_ns == 0)
        websocket_drop(ws, -ETIMEDOUT);
    else if (due_ns != LOOP_NEVER)
        loop_timer_start(&ws->timer, due_ns - now_ns, 0, on_look);
}

static void on_late(struct loop_timer *timer)
{
    websocket_drop(loop_container_of(timer, struct loop_websocket, timer), -ETIMEDOUT);
}

void websocket_deadline(struct loop_websocket *ws, uint64_t after_ns)
{
    loop_timer_stop(&ws->timer);
    if (after_ns != LOOP_NEVER)
        loop_timer_start(&ws->timer, after_ns, 0, on_late);
}

/* --- its beginning --- */

int websocket_begin(struct loop *loop, struct loop_websocket *ws,
                    const struct loop_websocket_options *options, bool client)
{
    static const struct loop_websocket_options none;
    if (ws->state != LOOP_WEBSOCKET_CLOSED)
        return -EBUSY;
    *ws = (struct loop_websocket){.data = ws->data, .loop = loop};
    ws->options = options ? *options : none;
    fill_defaults(&ws->options);
    ws->wire = websocket_wire_new(&websocket_ear, ws, client, ws->options.message_bytes);
    if (!ws->wire)
        return -ENOMEM;
    ws->state = LOOP_WEBSOCKET_CONNECTING;
    ws->flags = client ? WEBSOCKET_CLIENT : 0;
    loop_timer_init(loop, &ws->timer);
    return 0;
}

void websocket_abandon(struct loop_websocket *ws)
{
    websocket_deflate_free(ws);
    websocket_wire_free(ws->wire);
    *ws = (struct loop_websocket){.data = ws->data};
}

static void on_bytes(struct link *link, const char *bytes, size_t size)
{
    struct loop_websocket *ws = link->owner;
    ws->heard_ns = loop_now(ws->loop);
    if (!websocket_is(ws, WEBSOCKET_DEAF))
        websocket_read(ws, bytes, size);
}

static void on_closed(struct link *link)
{
    struct loop_websocket *ws = link->owner;
    ws->link = NULL;
    upgrade_over(link); /* the server says so a turn later: on_close comes first */
    websocket_finish(ws);
}

static void on_opening(struct loop_task *task)
{
    struct loop_websocket *ws = loop_container_of(task, struct loop_websocket, opening);
    websocket_clear(ws, WEBSOCKET_OPENING);
    if (ws->state == LOOP_WEBSOCKET_OPEN && ws->options.on_open)
        ws->options.on_open(ws);
    websocket_read_on(ws);
}

int websocket_open(struct loop_websocket *ws, struct link *link, const char *rest, size_t size)
{
    static const struct link_user user = {.bytes = on_bytes,
                                          .ended = websocket_ended,
                                          .drained = websocket_drained,
                                          .closed = on_closed};
    int status = websocket_hold(ws, rest, size);
    if (status < 0)
        return status;
    link_pause(link);
    link->user = &user;
    link->owner = ws;
    ws->link = link;
    ws->state = LOOP_WEBSOCKET_OPEN;
    ws->heard_ns = loop_now(ws->loop);
    websocket_set(ws, WEBSOCKET_OPENING);
    loop_next_tick(ws->loop, &ws->opening, on_opening);
    loop_timer_stop(&ws->timer);
    look(ws);
    return 0;
}

/* --- its end --- */

void websocket_finish(struct loop_websocket *ws)
{
    loop_timer_stop(&ws->timer);
    loop_task_cancel(&ws->opening);
    loop_task_cancel(&ws->resuming);
    loop_websocket_leave(ws);
    websocket_deflate_free(ws);
    websocket_wire_free(ws->wire);
    free(ws->message);
    free(ws->held);
    ws->wire = NULL;
    ws->message = ws->held = NULL;
    ws->state = LOOP_WEBSOCKET_CLOSED;
    unsigned code = ws->code ? ws->code : LOOP_WEBSOCKET_ABNORMAL;
    if (ws->options.on_close)
        ws->options.on_close(ws, code, ws->reason);
}
