/* In the place of shared.c where there is no hiredis: one process, and nobody to share rooms with.
 *
 * Everything else in the program is the same, and does not ask which of the two it was built with.
 * --redis is refused with a sentence, so that nobody believes to share what is not shared.
 *
 * SPDX-License-Identifier: MIT */
#include "shared.h"

#include <errno.h>

int shared_open(struct rooms *rooms, const char *where)
{
    (void)rooms;
    (void)where;
    return -ENOSYS;
}

void shared_close(struct rooms *rooms)
{
    (void)rooms;
}

void shared_free(struct rooms *rooms)
{
    (void)rooms;
}

json_t *shared_state(const struct shared *shared)
{
    (void)shared;
    return json_null();
}

void shared_listen(struct room *room)
{
    (void)room;
}

void shared_ignore(struct room *room)
{
    (void)room;
}

void shared_message(struct room *room, json_t *message)
{
    (void)room;
    (void)message;
}

void shared_change(struct room *room, const struct person *person, bool here)
{
    (void)room;
    (void)person;
    (void)here;
}
