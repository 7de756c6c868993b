/* Rooms: see room.h.
 *
 * A message is made into text once, and into a frame once, for all who hear it. Whoever does not
 * take what is sent has it waiting here, up to a bound, and is then dropped: the others do not
 * notice. People coming and going are told at most ten times a second, many at once, since a
 * thousand who come together would otherwise be half a million frames.
 *
 * SPDX-License-Identifier: MIT */
#include "room.h"

#include "shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const uint64_t TELL_NS = 100 * LOOP_MS;

static void tell_changes(struct loop_timer *timer);

/* --- all of them --- */

int rooms_init(struct loop *loop, struct rooms *rooms)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    *rooms = (struct rooms){.loop = loop};
    snprintf(rooms->process, sizeof(rooms->process), "%016llx", (unsigned long long)random);
    return 0;
}

void rooms_id(struct rooms *rooms, char id[ID_BYTES])
{
    snprintf(id, ID_BYTES, "%s-%llu", rooms->process, (unsigned long long)++rooms->last_number);
}

void rooms_tell(struct rooms *rooms, json_t *message)
{
    for (struct room *room = rooms->first; room; room = room->next)
        room_tell(room, json_incref(message));
    json_decref(message);
}

static void forget(struct room *room)
{
    struct room **at = &room->all->first;
    while (*at != room)
        at = &(*at)->next;
    *at = room->next;
    room->all->count--;
    loop_timer_stop(&room->telling);
    json_decref(room->messages);
    json_decref(room->changes);
    free(room);
}

void rooms_fini(struct rooms *rooms)
{
    while (rooms->first)
        forget(rooms->first);
}

static struct room *longest_empty(struct rooms *rooms)
{
    struct room *found = NULL;
    for (struct room *room = rooms->first; room; room = room->next) {
        if (room->count == 0 && (!found || room->left_ns < found->left_ns))
            found = room;
    }
    return found;
}

static struct room *make(struct rooms *rooms, const char *name)
{
    struct room *room = calloc(1, sizeof(*room));
    if (!room)
        return NULL;
    room->all = rooms;
    room->left_ns = loop_now(rooms->loop);
    memcpy(room->name, name, strlen(name) + 1);
    loop_websocket_group_init(&room->group);
    loop_timer_init(rooms->loop, &room->telling);
    room->messages = json_array();
    room->changes = json_array();
    room->next = rooms->first;
    rooms->first = room;
    rooms->count++;
    if (!room->messages || !room->changes) {
        forget(room);
        return NULL;
    }
    return room;
}

struct room *rooms_known(struct rooms *rooms, const char *name)
{
    struct room *room = rooms->first;
    while (room && strcmp(room->name, name) != 0)
        room = room->next;
    return room;
}

struct room *rooms_find(struct rooms *rooms, const char *name)
{
    struct room *room = rooms_known(rooms, name);
    if (room)
        return room;
    if (rooms->count == ROOMS_MAX) {
        struct room *old = longest_empty(rooms);
        if (!old)
            return NULL;
        forget(old);
    }
    return make(rooms, name);
}

/* --- telling --- */

static void drop_slow(struct room *room)
{
    for (struct person *person = room->people; person; person = person->next) {
        if (person->ws && loop_websocket_waiting(person->ws) > ROOM_WAITING_MAX)
            loop_websocket_reset(person->ws);
    }
}

void room_tell(struct room *room, json_t *message)
{
    char *text = room->group.count > 0 ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text)
        return;
    drop_slow(room);
    loop_websocket_broadcast(&room->group, LOOP_WEBSOCKET_TEXT, text, strlen(text), NULL);
    free(text);
}

void room_answer(struct loop_websocket *ws, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text)
        loop_websocket_send_text(ws, text);
    free(text);
}

/* --- people --- */

struct person *room_named(const struct room *room, const char *name)
{
    struct person *person = room->people;
    while (person && strcmp(person->name, name) != 0)
        person = person->next;
    return person;
}

struct person *room_person(const struct room *room, const char *id)
{
    struct person *person = room->people;
    while (person && strcmp(person->id, id) != 0)
        person = person->next;
    return person;
}

static void tell_changes(struct loop_timer *timer)
{
    struct room *room = loop_container_of(timer, struct room, telling);
    room_tell(room, json_pack("{s:s, s:O}", "type", "people", "changes", room->changes));
    json_array_clear(room->changes);
}

static void change(struct room *room, const struct person *person, bool here, bool quiet)
{
    json_array_append_new(room->changes, json_pack("{s:s, s:s, s:b, s:b}", "id", person->id, "name",
                                                   person->name, "here", here, "quiet", quiet));
    if (!loop_is_active(&room->telling.handle))
        loop_timer_start(&room->telling, TELL_NS, 0, tell_changes);
}

void room_add(struct room *room, struct person *person, bool quiet)
{
    person->room = room;
    person->next = room->people;
    room->people = person;
    room->count++;
    change(room, person, true, quiet);
}

void room_leave(struct person *person)
{
    struct room *room = person->room;
    if (!room)
        return;
    struct person **at = &room->people;
    while (*at != person)
        at = &(*at)->next;
    *at = person->next;
    person->room = NULL;
    room->count--;
    change(room, person, false, false);
    if (person->ws) {
        loop_websocket_leave(person->ws);
        shared_change(room, person, false);
        room->left_ns = loop_now(room->all->loop);
        if (room->group.count == 0)
            shared_ignore(room);
    }
}

static json_t *welcome(const struct room *room, const struct person *person)
{
    json_t *people = json_array();
    for (const struct person *each = room->people; each; each = each->next)
        json_array_append_new(people, json_pack("{s:s, s:s}", "id", each->id, "name", each->name));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:O}", "type", "welcome", "you", person->id, "room",
                     room->name, "shared", shared_state(room->all->shared), "people", people,
                     "messages", room->messages);
}

int room_enter(struct room *room, struct person *person)
{
    if (room->count >= ROOM_PEOPLE_MAX)
        return -ENOSPC;
    int error = loop_websocket_join(&room->group, person->ws);
    if (error < 0)
        return error;
    room_add(room, person, false);
    shared_listen(room);
    room_answer(person->ws, welcome(room, person));
    shared_change(room, person, true);
    return 0;
}

/* --- messages --- */

static double time_of(const json_t *message)
{
    return json_number_value(json_object_get(message, "at"));
}

static bool is_message(json_t *message)
{
    const char *id, *from, *name, *text;
    json_t *at;
    return json_unpack(message, "{s:s, s:s, s:s, s:s, s:o}", "id", &id, "from", &from, "name",
                       &name, "text", &text, "at", &at) == 0 &&
           json_is_integer(at);
}

bool room_knows(const json_t *messages, const json_t *message)
{
    size_t index;
    const json_t *each;
    json_array_foreach(messages, index, each)
    {
        if (json_equal(json_object_get(each, "id"), json_object_get(message, "id")))
            return true;
    }
    return false;
}

/* Messages of another process may be late: behind those that are not younger. */
static bool insert(struct room *room, json_t *message)
{
    size_t at = json_array_size(room->messages);
    while (at > 0 && time_of(json_array_get(room->messages, at - 1)) > time_of(message))
        at--;
    bool full = json_array_size(room->messages) == ROOM_MESSAGES;
    if (full && at == 0)
        return false;
    if (json_array_insert(room->messages, at, message) < 0)
        return false;
    if (full)
        json_array_remove(room->messages, 0);
    return true;
}

bool room_remember(struct room *room, json_t *message)
{
    if (!is_message(message) || room_knows(room->messages, message) || !insert(room, message))
        return false;
    room_tell(room, json_pack("{s:s, s:[O]}", "type", "messages", "messages", message));
    return true;
}

json_int_t room_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void room_say(struct person *person, const char *text)
{
    char id[ID_BYTES];
    rooms_id(person->room->all, id);
    json_t *message = json_pack("{s:s, s:s, s:s, s:s, s:I}", "id", id, "from", person->id, "name",
                                person->name, "text", text, "at", room_now_ms());
    if (message && room_remember(person->room, message))
        shared_message(person->room, message);
    json_decref(message);
}
