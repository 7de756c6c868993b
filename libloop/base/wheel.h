/* Internal. The timer wheel: start, stop and restart in O(1), fired in exact order.
 *
 * A deadline is a 64-bit number of nanoseconds, and its slot is read off its digits. Leave out the
 * lowest 16 bits; cut the rest into eight digits of six bits. The highest digit in which the
 * deadline and base_ns differ says the level, the deadline's own digit there says which of the 64
 * slots. So a slot at level 0 is 65 us wide, at level 1 4 ms, at level 2 268 ms, at level 7 nine
 * years, and all deadlines of the clock have a place: there is no overflow list.
 *
 * Everything below base_ns is empty, so slots are in time order: the first filled slot of the
 * lowest level in use is the earliest. A pass over the due timers walks them in that order. A slot
 * of an upper level is spread over the levels below it, base_ns moving to its start; a slot of
 * level 0 is gathered and sorted by (due_ns, seq), which usually finds it sorted, and fired. Only
 * the slot being fired leaves the wheel, so a callback may stop or restart any other timer as ever.
 *
 * A timer restarted with a later deadline is not moved: its numbers change, and the slot it was
 * filed in begins before its deadline still. It is filed again when somebody walks that slot. That
 * is what idle timeouts do on each packet, and it costs two stores.
 *
 * What that costs elsewhere: a pass may have to spread one slot of an upper level, which takes
 * about 0.1 ms for 10,000 timers. wheel_next() looks at no more than a crowd of timers in a slot
 * that has not begun, and then answers with the slot's start, which may be early, never late.
 *
 * Alternatives not taken: a binary or 4-ary heap (7 to 30 times the cost of start and stop), a
 * wheel of milliseconds (no exact order), a list per duration (Node's; a later deadline may run
 * first), a pairing heap (pauses of half a second at a million timers).
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_WHEEL_H
#define LOOP_BASE_WHEEL_H

#include "base/list.h"
#include "loop/timer.h"

enum {
    WHEEL_GRAIN_BITS = 16, /* 65 us: as fine as a kernel wakes us; coarser slots sort more */
    WHEEL_DIGIT_BITS = 6,
    WHEEL_CROWD = 8, /* looking at more timers costs more than waking up early */
    WHEEL_DUE = LOOP_WHEEL_LEVELS * LOOP_WHEEL_SLOTS, /* lists that are no slots: gathered, */
    WHEEL_WALKED,                                     /* and being walked */
};

_Static_assert(WHEEL_GRAIN_BITS + WHEEL_DIGIT_BITS * LOOP_WHEEL_LEVELS == 64, "all deadlines fit");
_Static_assert(1 << WHEEL_DIGIT_BITS == LOOP_WHEEL_SLOTS, "a digit is a slot");

static inline void wheel_init(struct loop_wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct loop_wheel){.base_ns = now_ns};
    for (unsigned i = 0; i < LOOP_WHEEL_ROWS * LOOP_WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
}

static inline struct loop_timer *wheel_timer(struct loop_link *link)
{
    return loop_container_of(link, struct loop_timer, handle.link);
}

static inline bool wheel_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

/* The lowest bit of a level's digit. */
static inline unsigned wheel_shift(unsigned slot)
{
    return WHEEL_GRAIN_BITS + WHEEL_DIGIT_BITS * (slot / LOOP_WHEEL_SLOTS);
}

static inline unsigned wheel_slot(const struct loop_wheel *wheel, uint64_t due_ns)
{
    uint64_t differ = (due_ns ^ wheel->base_ns) >> WHEEL_GRAIN_BITS;
    unsigned level = (63 - (unsigned)__builtin_clzll(differ | 1)) / WHEEL_DIGIT_BITS;
    unsigned row = level * LOOP_WHEEL_SLOTS;
    return row + (unsigned)(due_ns >> wheel_shift(row)) % LOOP_WHEEL_SLOTS;
}

/* Above its digit a slot's start has the digits of base_ns. */
static inline uint64_t wheel_slot_start(const struct loop_wheel *wheel, unsigned slot)
{
    unsigned shift = wheel_shift(slot);
    uint64_t above = wheel->base_ns >> shift & ~(uint64_t)(LOOP_WHEEL_SLOTS - 1);
    return (above | slot % LOOP_WHEEL_SLOTS) << shift;
}

static inline uint64_t wheel_slot_last(const struct loop_wheel *wheel, unsigned slot)
{
    return wheel_slot_start(wheel, slot) + ((UINT64_C(1) << wheel_shift(slot)) - 1);
}

static inline void wheel_append(struct loop_wheel *wheel, unsigned slot, struct loop_timer *timer)
{
    list_append(&wheel->slots[slot], &timer->handle.link);
    wheel->filled[slot / LOOP_WHEEL_SLOTS] |= UINT64_C(1) << slot % LOOP_WHEEL_SLOTS;
}

static inline void wheel_file(struct loop_wheel *wheel, struct loop_timer *timer)
{
    wheel_append(wheel, wheel_slot(wheel, timer->due_ns), timer);
}

/* A deadline that has passed already is due now: nothing is filed before base_ns, nor, during a
 * pass, before the end of it. */
static inline void wheel_start(struct loop_wheel *wheel, struct loop_timer *timer, uint64_t due_ns)
{
    uint64_t now_ns = wheel->base_ns > wheel->limit_ns ? wheel->base_ns : wheel->limit_ns;
    timer->due_ns = due_ns > now_ns ? due_ns : now_ns;
    timer->seq = ++wheel->seq;
    wheel_file(wheel, timer);
}

/* When the neighbours are one and the same they are the head of a list that is now empty. They are
 * written and not read: with a million timers each is a cache miss, and only reads are waited for.
 * Whether the links agree is looked at when a slot is walked. */
static inline void wheel_stop(struct loop_wheel *wheel, struct loop_timer *timer)
{
    struct loop_link *next = timer->handle.link.next;
    struct loop_link *prev = timer->handle.link.prev;
    next->prev = prev;
    prev->next = next;
    if (next == prev) {
        size_t slot = (size_t)(next - wheel->slots);
        wheel->filled[slot / LOOP_WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % LOOP_WHEEL_SLOTS);
    }
}

/* A later deadline leaves the timer where it is, unless it may be among those gathered to be
 * fired. */
static inline void wheel_restart(struct loop_wheel *wheel, struct loop_timer *timer,
                                 uint64_t due_ns)
{
    if (due_ns >= timer->due_ns && timer->due_ns > wheel->limit_ns) {
        timer->due_ns = due_ns;
        timer->seq = ++wheel->seq;
        return;
    }
    wheel_stop(wheel, timer);
    wheel_start(wheel, timer, due_ns);
}

/* LOOP_WHEEL_LEVELS * LOOP_WHEEL_SLOTS, which is WHEEL_DUE, if no slot is filled. */
static inline unsigned wheel_first(const struct loop_wheel *wheel)
{
    unsigned level = 0;
    while (level < LOOP_WHEEL_LEVELS && !wheel->filled[level])
        level++;
    if (level == LOOP_WHEEL_LEVELS)
        return WHEEL_DUE;
    return level * LOOP_WHEEL_SLOTS + (unsigned)__builtin_ctzll(wheel->filled[level]);
}

static inline bool wheel_empty(const struct loop_wheel *wheel)
{
    return wheel_first(wheel) == WHEEL_DUE && list_empty(&wheel->slots[WHEEL_DUE]);
}

/* The timers of a slot, which is then empty, as a list of their own. */
static inline void wheel_take(struct loop_wheel *wheel, unsigned slot, struct loop_link *taken)
{
    list_take(&wheel->slots[slot], taken);
    wheel->filled[slot / LOOP_WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % LOOP_WHEEL_SLOTS);
}

/* base_ns moves to the start of the first filled slot, and so its timers go to lower levels. */
static inline void wheel_spread(struct loop_wheel *wheel, unsigned slot)
{
    struct loop_link taken;
    wheel->base_ns = wheel_slot_start(wheel, slot);
    wheel_take(wheel, slot, &taken);
    for (struct loop_link *link = taken.next, *next; link != &taken; link = next) {
        next = link->next;
        list_check(link, next);
        wheel_file(wheel, wheel_timer(link));
    }
}

/* The first filled slot that is of level 0 or begins after now; WHEEL_DUE if there is none. */
static inline unsigned wheel_settle(struct loop_wheel *wheel, uint64_t now_ns)
{
    unsigned slot = wheel_first(wheel);
    while (slot >= LOOP_WHEEL_SLOTS && slot < WHEEL_DUE &&
           wheel_slot_start(wheel, slot) <= now_ns) {
        wheel_spread(wheel, slot);
        slot = wheel_first(wheel);
    }
    return slot;
}

/* The run of timers in order with which a chain begins; the chain goes on behind it. */
static inline struct loop_link *wheel_cut_run(struct loop_link **chain)
{
    struct loop_link *run = *chain;
    struct loop_link *last = run;
    while (last->next && wheel_before(wheel_timer(last), wheel_timer(last->next)))
        last = last->next;
    *chain = last->next;
    last->next = NULL;
    return run;
}

static inline struct loop_link *wheel_merge(struct loop_link *a, struct loop_link *b)
{
    struct loop_link *merged = NULL;
    struct loop_link **end = &merged;
    while (a && b) {
        struct loop_link **first = wheel_before(wheel_timer(a), wheel_timer(b)) ? &a : &b;
        *end = *first;
        end = &(*first)->next;
        *first = (*first)->next;
    }
    *end = a ? a : b;
    return merged;
}

/* Natural merge sort: runs[i] is the merger of 2^i runs, as in a binary counter. */
static inline void wheel_sort(struct loop_link *list)
{
    struct loop_link *runs[64] = {NULL};
    struct loop_link *chain = list->next;
    struct loop_link *sorted = NULL;
    list->prev->next = NULL;
    while (chain) {
        unsigned i = 0;
        struct loop_link *run = wheel_cut_run(&chain);
        for (; runs[i]; runs[i++] = NULL)
            run = wheel_merge(runs[i], run);
        runs[i] = run;
    }
    for (unsigned i = 0; i < 64; i++)
        sorted = wheel_merge(runs[i], sorted);

    struct loop_link *prev = list;
    for (struct loop_link *link = sorted; link; prev = link, link = link->next) {
        prev->next = link;
        link->prev = prev;
    }
    prev->next = list;
    list->prev = prev;
}

/* Moves what is due from a slot of level 0 to the list of the gathered, in order. Nodes started
 * after last_seq began in this very pass and wait for the next one. */
static inline void wheel_gather(struct loop_wheel *wheel, unsigned slot, uint64_t last_seq)
{
    uint64_t slot_last_ns = wheel_slot_last(wheel, slot);
    uint64_t limit_ns = wheel->limit_ns < slot_last_ns ? wheel->limit_ns : slot_last_ns;
    struct loop_link *due = &wheel->slots[WHEEL_DUE];
    struct loop_link taken;
    bool sorted = true;
    wheel_take(wheel, slot, &taken);
    for (struct loop_link *link = taken.next, *next; link != &taken; link = next) {
        struct loop_timer *timer = wheel_timer(link);
        next = link->next;
        list_check(link, next);
        if (timer->due_ns > limit_ns || timer->seq > last_seq) {
            wheel_file(wheel, timer);
            continue;
        }
        sorted = sorted && (list_empty(due) || wheel_before(wheel_timer(due->prev), timer));
        list_append(due, link);
    }
    if (!sorted)
        wheel_sort(due);
}

/* A pass fires all that is due at now_ns and was started before it. */
static inline void wheel_pass_begin(struct loop_wheel *wheel, uint64_t now_ns)
{
    wheel->limit_ns = now_ns;
}

static inline void wheel_pass_end(struct loop_wheel *wheel)
{
    if (wheel->limit_ns > wheel->base_ns)
        wheel->base_ns = wheel->limit_ns;
    wheel->limit_ns = 0;
}

/* The next timer of the pass, out of the wheel; NULL when the pass is over. */
static inline struct loop_timer *wheel_pass_next(struct loop_wheel *wheel, uint64_t last_seq)
{
    struct loop_link *due = &wheel->slots[WHEEL_DUE];
    while (list_empty(due)) {
        unsigned slot = wheel_settle(wheel, wheel->limit_ns);
        if (slot >= LOOP_WHEEL_SLOTS || wheel_slot_start(wheel, slot) > wheel->limit_ns)
            return NULL;
        wheel_gather(wheel, slot, last_seq);
        if (list_empty(due) && wheel_first(wheel) == slot)
            return NULL; /* the slot that now is in: the rest of it is for later */
    }
    return wheel_timer(list_pop(due));
}

/* The earliest deadline, or the start of its slot if more than crowd_max timers are in it;
 * LOOP_NEVER if there is none. */
static inline uint64_t wheel_next(struct loop_wheel *wheel, uint64_t now_ns, unsigned crowd_max)
{
    unsigned slot;
    if (!list_empty(&wheel->slots[WHEEL_DUE]))
        return now_ns;
    while ((slot = wheel_settle(wheel, now_ns)) != WHEEL_DUE) {
        struct loop_link *list = &wheel->slots[slot];
        uint64_t last_ns = wheel_slot_last(wheel, slot);
        uint64_t next_ns = LOOP_NEVER;
        unsigned crowd = 0;
        for (struct loop_link *link = list->next, *next; link != list; link = next) {
            struct loop_timer *timer = wheel_timer(link);
            next = link->next;
            list_check(link, next);
            if (++crowd > crowd_max && wheel_slot_start(wheel, slot) > now_ns)
                return wheel_slot_start(wheel, slot);
            if (timer->due_ns > last_ns) {
                wheel_stop(wheel, timer);
                wheel_file(wheel, timer);
            } else if (timer->due_ns < next_ns) {
                next_ns = timer->due_ns;
            }
        }
        if (!list_empty(list))
            return next_ns;
    }
    return LOOP_NEVER;
}

#endif
