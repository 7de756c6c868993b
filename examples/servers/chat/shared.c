/* Rooms that several processes share: see shared.h.
 *
 * On the channel of a room there are JSON objects, each with the "process" that it comes from:
 *
 *     message              was said
 *     change               {id, name, here}: somebody has come or gone
 *     people, ask          all who are here; ask: and who are there?
 *
 * The commands for one message are sent without MULTI: if only some of them reach Redis, somebody
 * hears the message late, or from the channel alone, and nothing is left half done in between.
 *
 * SPDX-License-Identifier: MIT */
#include "shared.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <loop/http/redis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t BEAT_NS = 5 * LOOP_SEC;
static const uint64_t GONE_NS = 15 * LOOP_SEC;
static const char keep_s[] = "604800"; /* a room that nobody speaks in is forgotten in a week */

struct shared {
    struct loop_redis redis;
    struct rooms *rooms;
    struct loop_timer beat;
    bool on; /* as the pages know it */
    bool closing;
};

struct shared_room {
    struct loop_redis_subscription subscription;
    struct room *room;
};

/* --- sending --- */

static int command(struct shared *shared, size_t count, const char **words, loop_redis_reply_cb cb,
                   void *arg)
{
    return loop_redis_command(&shared->redis, count, words, NULL, cb, arg);
}

/* Takes the reference to what is sent. */
static void publish(struct room *room, const char *kind, json_t *what, bool ask)
{
    char channel[ROOM_BYTES + 16];
    snprintf(channel, sizeof(channel), "chat:room:%s", room->name);
    json_t *json =
        json_pack("{s:s, s:o, s:b}", "process", room->all->process, kind, what, "ask", ask);
    char *text = json_dumps(json, JSON_COMPACT);
    if (text)
        loop_redis_publish(&room->all->shared->redis, channel, text, strlen(text), NULL, NULL);
    free(text);
    json_decref(json);
}

/* Who is here matters now or never, so it does not wait for Redis to come back. */
static bool hears(const struct room *room)
{
    return room->shared && room->all->shared->redis.connected[LOOP_REDIS_COMMANDS];
}

static void publish_people(struct room *room, bool ask)
{
    if (!hears(room))
        return;
    json_t *people = json_array();
    for (struct person *each = room->people; each; each = each->next) {
        if (each->ws)
            json_array_append_new(people,
                                  json_pack("{s:s, s:s}", "id", each->id, "name", each->name));
    }
    publish(room, "people", people, ask);
}

void shared_change(struct room *room, const struct person *person, bool here)
{
    if (hears(room))
        publish(room, "change",
                json_pack("{s:s, s:s, s:b}", "id", person->id, "name", person->name, "here", here),
                false);
}

void shared_message(struct room *room, json_t *message)
{
    if (!room->shared)
        return;
    char key[ROOM_BYTES + 16], newest[16];
    snprintf(key, sizeof(key), "chat:said:%s", room->name);
    snprintf(newest, sizeof(newest), "-%d", ROOM_MESSAGES);
    char *text = json_dumps(message, JSON_COMPACT);
    if (!text)
        return;
    command(room->all->shared, 3, (const char *[]){"RPUSH", key, text}, NULL, NULL);
    command(room->all->shared, 4, (const char *[]){"LTRIM", key, newest, "-1"}, NULL, NULL);
    command(room->all->shared, 3, (const char *[]){"EXPIRE", key, keep_s}, NULL, NULL);
    publish(room, "message", json_incref(message), false);
    free(text);
}

/* --- hearing --- */

static bool is_of(const struct person *person, const char *process)
{
    size_t size = strlen(process);
    return !person->ws && strncmp(person->id, process, size) == 0 && person->id[size] == '-';
}

static void remove_person(struct person *person)
{
    room_leave(person);
    free(person);
}

/* Somebody of another process is here; a name or an id that cannot be is passed over. */
static void hear_person(struct room *room, const json_t *json, bool quiet)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    const char *name = json_string_value(json_object_get(json, "name"));
    if (!id || !name || strlen(id) >= ID_BYTES || room->count >= ROOM_PEOPLE_MAX)
        return;
    struct person *person = room_person(room, id);
    bool is_new = !person;
    if (is_new) {
        person = calloc(1, sizeof(*person));
        if (!person || !words_name(name, person->name)) {
            free(person);
            return;
        }
        memcpy(person->id, id, strlen(id) + 1);
        room_add(room, person, quiet);
    }
    person->heard_ns = loop_now(room->all->loop);
}

static void hear_change(struct room *room, const json_t *change)
{
    const char *id = json_string_value(json_object_get(change, "id"));
    struct person *person = id ? room_person(room, id) : NULL;
    if (json_is_true(json_object_get(change, "here")))
        hear_person(room, change, false);
    else if (person && !person->ws)
        remove_person(person);
}

/* All of a process: whoever is not among them has left, though that was not heard. */
static void hear_people(struct room *room, const char *process, const json_t *people)
{
    size_t index;
    const json_t *each;
    json_array_foreach(people, index, each)
    {
        hear_person(room, each, true);
    }
    uint64_t now_ns = loop_now(room->all->loop);
    struct person *next;
    for (struct person *person = room->people; person; person = next) {
        next = person->next;
        if (is_of(person, process) && person->heard_ns != now_ns)
            remove_person(person);
    }
}

static void hear(struct room *room, json_t *json)
{
    const char *process = json_string_value(json_object_get(json, "process"));
    json_t *message = json_object_get(json, "message");
    const json_t *change = json_object_get(json, "change");
    const json_t *people = json_object_get(json, "people");
    if (!process || strcmp(process, room->all->process) == 0)
        return;
    if (message)
        room_remember(room, message);
    if (change)
        hear_change(room, change);
    if (people)
        hear_people(room, process, people);
    if (json_is_true(json_object_get(json, "ask")))
        publish_people(room, false);
}

/* What was asked of the list, and when. */
struct asking {
    char room[ROOM_BYTES];
    json_int_t at;
};

/* Takes what is new to us from the list; a new array of all that is in it. */
static json_t *read_list(struct room *room, const struct redisReply *reply)
{
    json_t *list = json_array();
    for (size_t i = 0; i < reply->elements; i++) {
        const struct redisReply *each = reply->element[i];
        json_t *message =
            each->type == REDIS_REPLY_STRING ? json_loadb(each->str, each->len, 0, NULL) : NULL;
        room_remember(room, message);
        json_array_append_new(list, message);
    }
    return list;
}

/* What was said here and is not in the list was under way when Redis was lost, or Redis has
 * forgotten it. Others know it by its id, if they have it. */
static void say_again(struct room *room, const json_t *list, json_int_t asked_at)
{
    size_t index, size = strlen(room->all->process);
    json_t *each;
    json_int_t oldest = json_array_size(list) < ROOM_MESSAGES
                            ? 0
                            : json_integer_value(json_object_get(json_array_get(list, 0), "at"));
    json_array_foreach(room->messages, index, each)
    {
        const char *id = json_string_value(json_object_get(each, "id"));
        json_int_t at = json_integer_value(json_object_get(each, "at"));
        bool is_ours = strncmp(id, room->all->process, size) == 0 && id[size] == '-';
        if (is_ours && at > oldest && at < asked_at && !room_knows(list, each))
            shared_message(room, each);
    }
}

static void on_list(struct loop_redis *redis, int status, const struct redisReply *reply, void *arg)
{
    struct shared *shared = loop_container_of(redis, struct shared, redis);
    struct asking *asking = arg;
    struct room *room = rooms_known(shared->rooms, asking->room);
    if (status == 0 && room && reply->type == REDIS_REPLY_ARRAY) {
        json_t *list = read_list(room, reply);
        say_again(room, list, asking->at);
        json_decref(list);
    }
    free(asking);
}

/* What was said before we heard, and who is there. */
static void catch_up(struct room *room)
{
    char key[ROOM_BYTES + 16];
    snprintf(key, sizeof(key), "chat:said:%s", room->name);
    struct asking *asking = calloc(1, sizeof(*asking));
    if (!asking)
        return;
    memcpy(asking->room, room->name, sizeof(asking->room));
    asking->at = room_now_ms();
    const char *words[] = {"LRANGE", key, "0", "-1"};
    if (command(room->all->shared, 4, words, on_list, asking) < 0)
        free(asking);
    publish_people(room, true);
}

static void on_message(struct loop_redis_subscription *subscription, const char *channel,
                       const char *bytes, size_t size)
{
    (void)channel;
    struct room *room = subscription->data;
    if (!bytes) {
        catch_up(room);
        return;
    }
    json_t *json = json_loadb(bytes, size, 0, NULL);
    hear(room, json);
    json_decref(json);
}

/* --- rooms --- */

void shared_listen(struct room *room)
{
    struct shared *shared = room->all->shared;
    if (!shared || room->shared)
        return;
    char channel[ROOM_BYTES + 16];
    snprintf(channel, sizeof(channel), "chat:room:%s", room->name);
    struct shared_room *own = calloc(1, sizeof(*own));
    if (!own)
        return;
    own->subscription.data = room;
    if (loop_redis_subscribe(&shared->redis, &own->subscription, channel, on_message) < 0)
        free(own);
    else
        room->shared = own;
}

void shared_ignore(struct room *room)
{
    struct shared_room *own = room->shared;
    if (!own)
        return;
    if (hears(room))
        publish(room, "people", json_array(), false);
    loop_redis_unsubscribe(&own->subscription);
    free(own);
    room->shared = NULL;
    struct person *next;
    for (struct person *person = room->people; person; person = next) {
        next = person->next;
        if (!person->ws)
            remove_person(person);
    }
}

static void expire(struct room *room)
{
    uint64_t now_ns = loop_now(room->all->loop);
    struct person *next;
    for (struct person *person = room->people; person; person = next) {
        next = person->next;
        if (!person->ws && now_ns - person->heard_ns > GONE_NS)
            remove_person(person);
    }
}

static void on_beat(struct loop_timer *timer)
{
    struct shared *shared = loop_container_of(timer, struct shared, beat);
    for (struct room *room = shared->rooms->first; room; room = room->next) {
        publish_people(room, false);
        expire(room);
    }
}

/* --- its life --- */

json_t *shared_state(const struct shared *shared)
{
    return shared ? json_boolean(shared->on) : json_null();
}

static void on_state(struct loop_redis *redis, enum loop_redis_line line, int status)
{
    struct shared *shared = loop_container_of(redis, struct shared, redis);
    bool on = redis->connected[LOOP_REDIS_COMMANDS] && redis->connected[LOOP_REDIS_MESSAGES];
    if (line == LOOP_REDIS_COMMANDS && status == 0)
        fprintf(stderr, "redis is there\n");
    else if (status < 0)
        fprintf(stderr, "redis: %s; rooms are not shared until it is back\n", redis->error);
    if (on == shared->on)
        return;
    shared->on = on;
    rooms_tell(shared->rooms, json_pack("{s:s, s:b}", "type", "shared", "shared", on));
}

static int read_where(const char *where, char *host, size_t size, uint16_t *port)
{
    const char *colon = strrchr(where, ':');
    char *end;
    if (!colon || colon == where || (size_t)(colon - where) >= size)
        return -EINVAL;
    memcpy(host, where, (size_t)(colon - where));
    host[colon - where] = '\0';
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || number == 0 || number > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)number;
    return 0;
}

int shared_open(struct rooms *rooms, const char *where)
{
    char host[256];
    struct loop_redis_options options = {.host = host,
                                         .on_state = on_state,
                                         .retry_max_ns = 2 * LOOP_SEC};
    int error = read_where(where, host, sizeof(host), &options.port);
    struct shared *shared = error == 0 ? calloc(1, sizeof(*shared)) : NULL;
    if (!shared)
        return error < 0 ? error : -ENOMEM;
    shared->rooms = rooms;
    error = loop_redis_open(rooms->loop, &shared->redis, &options);
    if (error < 0) {
        free(shared);
        return error;
    }
    rooms->shared = shared;
    loop_timer_init(rooms->loop, &shared->beat);
    return loop_timer_start(&shared->beat, BEAT_NS, BEAT_NS, on_beat);
}

static void on_farewell(struct loop_redis *redis, int status, const struct redisReply *reply,
                        void *arg)
{
    (void)status;
    (void)reply;
    (void)arg;
    loop_redis_close(redis, NULL);
}

void shared_close(struct rooms *rooms)
{
    struct shared *shared = rooms->shared;
    if (!shared || shared->closing)
        return;
    shared->closing = true;
    loop_timer_stop(&shared->beat);
    for (struct room *room = rooms->first; room; room = room->next)
        shared_ignore(room);
    bool there = shared->redis.connected[LOOP_REDIS_COMMANDS];
    if (!there || command(shared, 1, (const char *[]){"PING"}, on_farewell, NULL) < 0)
        loop_redis_close(&shared->redis, NULL);
}

void shared_free(struct rooms *rooms)
{
    free(rooms->shared);
    rooms->shared = NULL;
}
