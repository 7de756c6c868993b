/* What all devices together measure: for each kind of reading its count, mean, least and greatest,
 * in each of the last sixty seconds, and since the start.
 *
 * A window is put together from whole seconds when somebody asks, so a reading costs the same
 * however many windows there are, and nothing has to be taken back when it grows old.
 *
 * SPDX-License-Identifier: MIT */
#ifndef KINDS_H
#define KINDS_H

#include "reading.h"
#include "sequence.h"

enum { KINDS_MAX = 16, KINDS_SECONDS = 60 };

struct aggregate {
    uint64_t count; /* of readings, none twice: the next three are theirs */
    double sum, min, max;
    uint64_t late, twice;
};

struct kind {
    char name[KIND_SIZE]; /* empty: there are no more kinds */
    struct aggregate total;
    struct aggregate seconds[KINDS_SECONDS];
};

/* All zero: nothing has come. */
struct kinds {
    struct kind list[KINDS_MAX];
    uint64_t second; /* the one under way; it is at second % KINDS_SECONDS */
};

/* The kind of a name with zeros behind it, which may be new. NULL: there are too many. */
struct kind *kinds_find(struct kinds *kinds, const char name[KIND_SIZE]);

void kinds_add(struct kinds *kinds, struct kind *kind, double value, enum sequence_verdict verdict);

/* A second is over. */
void kinds_next_second(struct kinds *kinds);

/* The last whole seconds, at most KINDS_SECONDS - 1. */
struct aggregate kinds_window(const struct kinds *kinds, const struct kind *kind, unsigned seconds);

/* Readings that came in a second that many ago; 1 is the last whole one. */
uint64_t kinds_rate(const struct kinds *kinds, unsigned seconds_ago);

#endif
