/* Internal. A ring of links with a head: the list that everything in libloop waits on.
 *
 * A link is on exactly one list, or alone. The fairness rule of every phase is one helper: take the
 * list, then run it. What a callback adds goes to the list that was taken from, and waits for the
 * next turn; what a callback removes is unlinked from wherever it is, and does not run.
 *
 * Removing checks that the neighbours agree. They do not if a link was freed or initialised while
 * it was on a list, and going on would spread that through memory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_LIST_H
#define LOOP_BASE_LIST_H

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

_Noreturn void list_corrupt(void);

/* Whether the links of a walk agree: link, and next, which was read from it. A link that was
 * initialised anew leads to itself. */
static inline void list_check(const struct loop_link *link, const struct loop_link *next)
{
    if (__builtin_expect(next->prev != link || next == link, 0))
        list_corrupt();
}

/* Afterwards the link is alone. */
static inline void list_remove(struct loop_link *link)
{
    if (__builtin_expect(link->next->prev != link || link->prev->next != link, 0))
        list_corrupt();
    link->next->prev = link->prev;
    link->prev->next = link->next;
    list_init(link);
}

/* Moves all of from to taken, a head that was not in use, in order. */
static inline void list_take(struct loop_link *from, struct loop_link *taken)
{
    list_init(taken);
    if (list_empty(from))
        return;
    *taken = *from;
    taken->next->prev = taken;
    taken->prev->next = taken;
    list_init(from);
}

/* Moves all of from to the front of list, in order. */
static inline void list_prepend_all(struct loop_link *list, struct loop_link *from)
{
    if (list_empty(from))
        return;
    from->prev->next = list->next;
    list->next->prev = from->prev;
    list->next = from->next;
    from->next->prev = list;
    list_init(from);
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
