/* Rooms that several processes share, through Redis.
 *
 * Each process tells its own people at once and the others through a channel for each room. What
 * was said also goes into a list, so that a process that was away, or a room that opens, can read
 * what it missed: the message on the channel is quick, the list is what counts, and ids see to it
 * that nothing is heard twice. While Redis is away everybody goes on alone; what is said meanwhile
 * waits, and is sent when Redis is back.
 *
 * Who is here is told by each process whenever it changes, and again every five seconds. The people
 * of a process that is not heard of for fifteen have left.
 *
 * In a build without hiredis alone.c takes the place of shared.c.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SHARED_H
#define SHARED_H

#include "room.h"

/* where: "HOST:PORT". Errors: -EINVAL (not of that form), -ENOSYS (built without), -ENOMEM. */
int shared_open(struct rooms *rooms, const char *where);

/* Says that the people here are gone, and ends when Redis has heard it. */
void shared_close(struct rooms *rooms);

/* Frees it, when the loop has ended. */
void shared_free(struct rooms *rooms);

/* True, false, or null if nothing was opened: for the pages. */
json_t *shared_state(const struct shared *shared);

/* A room has its first person here, or has lost its last. */
void shared_listen(struct room *room);
void shared_ignore(struct room *room);

/* What happened here, for the others. */
void shared_message(struct room *room, json_t *message);
void shared_change(struct room *room, const struct person *person, bool here);

#endif
