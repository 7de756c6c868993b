/* Rooms: who is in them, what was said last, and how all in one are told.
 *
 * A room is made when somebody first asks for it, and keeps its last messages when everybody has
 * left, until there are too many rooms: then the empty one that was left first is forgotten. People
 * of other processes are in the list too, with ws NULL; shared.h brings them and what they say.
 *
 * What a page is sent, always JSON with a "type":
 *
 *     welcome   you (an id), room, shared, people: [{id, name}], messages: the last 100
 *     messages  messages: [{id, from, name, text, at}]; at: ms since 1970
 *     people    changes: [{id, name, here, quiet}], in order; quiet: was here, and is now known
 *     shared    shared: whether other processes hear us; null: nobody has asked for that
 *     refused   what: "join" or "say"; why: a sentence
 *
 * SPDX-License-Identifier: MIT */
#ifndef ROOM_H
#define ROOM_H

#include "words.h"

#include <jansson.h>
#include <loop.h>
#include <loop/websocket.h>

enum {
    ROOMS_MAX = 200,
    ROOM_PEOPLE_MAX = 2000,
    ROOM_MESSAGES = 100,
    ROOM_WAITING_MAX = 1 << 20, /* bytes for one socket: more, and it is dropped */
    ID_BYTES = 40,
};

struct shared;
struct shared_room;

struct person {
    struct person *next; /* in room->people */
    struct room *room;   /* NULL: in none */
    struct loop_websocket *ws;
    char id[ID_BYTES];
    char name[NAME_BYTES];
    uint64_t heard_ns; /* of another process: when it last said so */
};

struct room {
    struct room *next;
    struct rooms *all;
    char name[ROOM_BYTES];
    struct person *people;
    size_t count; /* of people, here and elsewhere */
    struct loop_websocket_group group;
    json_t *messages;           /* an array, by time */
    json_t *changes;            /* of people, to be told */
    struct loop_timer telling;  /* of the changes: not one by one when a thousand come at once */
    uint64_t left_ns;           /* when the last one here left */
    struct shared_room *shared; /* NULL: this process is alone, or nobody is here */
};

struct rooms {
    struct loop *loop;
    struct room *first;
    size_t count;
    uint64_t last_number;  /* in the ids */
    char process[20];      /* the other part of them */
    struct shared *shared; /* or NULL */
};

int rooms_init(struct loop *loop, struct rooms *rooms);
void rooms_fini(struct rooms *rooms);

/* An id that no other process makes. */
void rooms_id(struct rooms *rooms, char id[ID_BYTES]);

/* To everybody in every room. */
void rooms_tell(struct rooms *rooms, json_t *message);

/* The room of that name; NULL: there is none. */
struct room *rooms_known(struct rooms *rooms, const char *name);

/* The same, new if there is none. NULL: there are too many, or no memory. */
struct room *rooms_find(struct rooms *rooms, const char *name);

/* NULL: nobody has that name, or that id. */
struct person *room_named(const struct room *room, const char *name);
struct person *room_person(const struct room *room, const char *id);

/* person->ws joins; it is welcomed, and the others are told. The room is full: -ENOSPC. */
int room_enter(struct room *room, struct person *person);
void room_leave(struct person *person);

/* The same for somebody of another process. quiet: they were there before we knew. */
void room_add(struct room *room, struct person *person, bool quiet);

/* A message of somebody here: all hear it, in other processes too. */
void room_say(struct person *person, const char *text);

/* Whether it is among others, by its id. */
bool room_knows(const json_t *messages, const json_t *message);

/* The clock of messages. */
json_int_t room_now_ms(void);

/* One of another process. false: it is known, or too old to keep, or not a message. */
bool room_remember(struct room *room, json_t *message);

/* Sends JSON to all in the room, or to one socket, and takes the reference to it. */
void room_tell(struct room *room, json_t *message);
void room_answer(struct loop_websocket *ws, json_t *message);

#endif
