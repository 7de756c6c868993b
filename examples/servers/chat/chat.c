/* A chat: rooms over WebSockets, on one process or on several that share them through Redis.
 *
 *     ./run example chat                              then open http://127.0.0.1:8080 twice
 *     ./run example chat --redis 127.0.0.1:6379       and a second one with another --port
 *
 * This file is the way of a guest: a socket is accepted, says who it is and where it wants to go,
 * speaks, and goes. What a guest may do is bounded here: how many, how long until they say who they
 * are, how often they speak. Rooms are in room.c, Redis in shared.c, what a name may be in words.c.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "room.h"
#include "shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GUESTS_MAX = 5000,
    MESSAGE_BYTES = 16 * 1024, /* 1,000 characters, each escaped, fit */
    SAY_PER_S = 5,
    SAY_BURST = 10,
    FAULTS_MAX = 50, /* refused so often, a guest has to go */
};

static const uint64_t JOIN_NS = 10 * LOOP_SEC;

struct guest {
    struct loop_websocket ws;
    struct person person;
    struct loop_timer patience; /* until it says who it is */
    double may_say;             /* messages, right now */
    uint64_t counted_ns;        /* when that was */
    unsigned faults;
};

static struct rooms rooms;
static size_t guests;
static const char *redis_address;

/* --- what a guest says --- */

static void refuse(struct guest *guest, const char *what, const char *why)
{
    if (++guest->faults == FAULTS_MAX)
        loop_websocket_close(&guest->ws, LOOP_WEBSOCKET_POLICY, "too much was refused");
    else
        room_answer(&guest->ws,
                    json_pack("{s:s, s:s, s:s}", "type", "refused", "what", what, "why", why));
}

/* Five in a second, or ten after a while of silence. */
static bool may_say(struct guest *guest)
{
    uint64_t now_ns = loop_now(guest->ws.loop);
    double more = (double)(now_ns - guest->counted_ns) / (double)LOOP_SEC * SAY_PER_S;
    guest->counted_ns = now_ns;
    guest->may_say = guest->may_say + more < SAY_BURST ? guest->may_say + more : SAY_BURST;
    if (guest->may_say < 1)
        return false;
    guest->may_say -= 1;
    return true;
}

static void join(struct guest *guest, const char *room_name, const char *name)
{
    char asked[ROOM_BYTES];
    if (!words_name(name, guest->person.name)) {
        refuse(guest, "join", "A name has 1 to 32 characters that can be seen.");
        return;
    }
    if (!words_room(room_name, asked)) {
        refuse(guest, "join", "A room has 1 to 32 letters, digits, - and _.");
        return;
    }
    struct room *room = rooms_find(&rooms, asked);
    if (room && room_named(room, guest->person.name)) {
        refuse(guest, "join", "Somebody in this room has that name.");
        return;
    }
    if (!room || room_enter(room, &guest->person) < 0)
        refuse(guest, "join", room ? "This room is full." : "There are too many rooms.");
    else
        loop_timer_stop(&guest->patience);
}

static void say(struct guest *guest, const char *text)
{
    if (!words_said(text))
        refuse(guest, "say", "A message has 1 to 1,000 characters.");
    else
        room_say(&guest->person, text);
}

/* {"type": "join", "room", "name"}, once, and then {"type": "say", "text"}. */
static bool obey(struct guest *guest, json_t *message)
{
    const char *type = "", *room, *name, *text;
    bool known = json_unpack(message, "{s:s}", "type", &type) == 0;
    if (!known)
        return false;
    if (strcmp(type, "join") == 0 && !guest->person.room)
        known = json_unpack(message, "{s:s, s:s}", "room", &room, "name", &name) == 0;
    else if (strcmp(type, "say") == 0 && guest->person.room)
        known = json_unpack(message, "{s:s}", "text", &text) == 0;
    else
        return false;
    if (!known)
        return false;
    if (!may_say(guest))
        refuse(guest, type, "That was too fast: please wait a moment.");
    else if (guest->person.room)
        say(guest, text);
    else
        join(guest, room, name);
    return true;
}

/* --- its life --- */

static void on_message(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    struct guest *guest = loop_container_of(ws, struct guest, ws);
    json_t *message = type == LOOP_WEBSOCKET_TEXT ? json_loadb(bytes, size, 0, NULL) : NULL;
    if (!obey(guest, message))
        loop_websocket_close(ws, LOOP_WEBSOCKET_POLICY, "that means nothing here");
    json_decref(message);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)code;
    (void)reason;
    struct guest *guest = loop_container_of(ws, struct guest, ws);
    loop_timer_stop(&guest->patience);
    room_leave(&guest->person);
    free(guest);
    guests--;
}

static void on_impatience(struct loop_timer *timer)
{
    struct guest *guest = loop_container_of(timer, struct guest, patience);
    loop_websocket_close(&guest->ws, LOOP_WEBSOCKET_POLICY, "nobody has said who this is");
}

static struct loop_websocket_options socket_options = {.on_message = on_message,
                                                       .on_close = on_close,
                                                       .message_bytes = MESSAGE_BYTES};

static void open_socket(struct loop_http_request *req, struct loop_http_response *res)
{
    struct guest *guest = guests < GUESTS_MAX ? calloc(1, sizeof(*guest)) : NULL;
    if (!guest) {
        loop_http_end_error(res, 503, "There are too many guests.");
        return;
    }
    struct loop *loop = req->server->loop;
    if (loop_websocket_accept(res, &guest->ws, &socket_options) < 0) {
        free(guest);
        return;
    }
    guests++;
    guest->person.ws = &guest->ws;
    guest->may_say = SAY_BURST;
    guest->counted_ns = loop_now(loop);
    rooms_id(&rooms, guest->person.id);
    loop_timer_init(loop, &guest->patience);
    loop_timer_start(&guest->patience, JOIN_NS, 0, on_impatience);
}

/* --- the server --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    if (strcmp(req->path, "/socket") == 0)
        open_socket(req, res);
    else if (strcmp(req->path, "/metrics") == 0)
        loop_http_end_metrics(res, "chat");
    else
        embed_handle(req, res);
}

static int open_chat(struct serve *serve)
{
    int error = rooms_init(&serve->loop, &rooms);
    if (serve->patient)
        socket_options.ping_ns = socket_options.stall_ns = LOOP_NEVER;
    if (error == 0 && redis_address)
        error = shared_open(&rooms, redis_address);
    if (error == -ENOSYS)
        fprintf(stderr, "--redis: this program was built without hiredis\n");
    else if (error == -EINVAL)
        fprintf(stderr, "--redis %s: it is HOST:PORT\n", redis_address);
    return error;
}

static void drain_chat(struct serve *serve)
{
    (void)serve;
    shared_close(&rooms);
}

static void close_chat(struct serve *serve)
{
    (void)serve;
    shared_free(&rooms);
    rooms_fini(&rooms);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"redis", "HOST:PORT", "share the rooms with other processes", &redis_address, NULL}, {0}};
    static struct serve chat = {.about = "A chat: rooms over WebSockets.",
                                .http.on_request = on_request,
                                .options = options,
                                .open = open_chat,
                                .drain = drain_chat,
                                .close = close_chat};
    return serve(argc, argv, &chat);
}
