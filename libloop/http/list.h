/* Internal. A ring of links with a head, for what this library keeps lists of: the links are the
 * public struct loop_link, the functions those of the core in their shortest form, since the core's
 * own are not part of its interface.
 *
 * A link is on exactly one list, or alone.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_LIST_H
#define LOOP_HTTP_LIST_H

#include "loop/core.h"

static inline void list_init(struct loop_link *list)
{
    list->next = list->prev = list;
}

static inline bool list_empty(const struct loop_link *list)
{
    return list->next == list;
}

static inline void list_append(struct loop_link *list, struct loop_link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

/* Afterwards the link is alone. */
static inline void list_remove(struct loop_link *link)
{
    link->next->prev = link->prev;
    link->prev->next = link->next;
    list_init(link);
}

/* The first link, now alone; NULL from an empty list. */
static inline struct loop_link *list_pop(struct loop_link *list)
{
    if (list_empty(list))
        return NULL;
    struct loop_link *first = list->next;
    list_remove(first);
    return first;
}

#endif
