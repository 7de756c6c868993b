/* The devices that are known, by name: at most so many, in memory that is taken once.
 *
 * A table of twice as many places, probed one after another. Where a name stands depends on a key
 * that nobody knows, drawn at the start: whoever chooses names cannot make them meet. A device is
 * never forgotten; who comes when the table is full is refused, and the others notice nothing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef DEVICES_H
#define DEVICES_H

#include "reading.h"
#include "sequence.h"

struct device {
    char name[DEVICE_SIZE]; /* empty: nobody has the place */
    char kind[KIND_SIZE];   /* of the last reading */
    double value;
    uint64_t heard_ns;
    struct sequence sequence;
    struct sequence_counts counts;
};

struct devices {
    struct device *places;
    uint32_t mask; /* places - 1, which are a power of two */
    uint32_t count, max;
    uint64_t key;
};

/* Errors: -ENOMEM, -EINVAL (max 0, or more than a million), those of getrandom(2). */
int devices_open(struct devices *devices, uint32_t max);
void devices_close(struct devices *devices); /* harmless if it was not opened */

/* The device of a name with zeros behind it. NULL: there is none; with add also: no more places. */
struct device *devices_find(struct devices *devices, const char name[DEVICE_SIZE], bool add);

#endif
