/* Aggregates: see kinds.h.
 *
 * Kinds are few, so they are looked for one by one. A second that is over is not touched any more
 * until the ring comes round to it and it is emptied.
 *
 * SPDX-License-Identifier: MIT */
#include "kinds.h"

#include <string.h>

struct kind *kinds_find(struct kinds *kinds, const char name[KIND_SIZE])
{
    for (struct kind *kind = kinds->list; kind < kinds->list + KINDS_MAX; kind++) {
        if (!*kind->name)
            memcpy(kind->name, name, KIND_SIZE);
        if (memcmp(kind->name, name, KIND_SIZE) == 0)
            return kind;
    }
    return NULL;
}

static void merge(struct aggregate *all, const struct aggregate *one)
{
    all->late += one->late;
    all->twice += one->twice;
    if (one->count == 0)
        return;
    all->min = all->count == 0 || one->min < all->min ? one->min : all->min;
    all->max = all->count == 0 || one->max > all->max ? one->max : all->max;
    all->sum += one->sum;
    all->count += one->count;
}

void kinds_add(struct kinds *kinds, struct kind *kind, double value, enum sequence_verdict verdict)
{
    struct aggregate one = {.late = verdict == READING_LATE, .twice = verdict == READING_TWICE};
    if (verdict == READING_NEW || verdict == READING_LATE) {
        one.count = 1;
        one.sum = one.min = one.max = value;
    }
    merge(&kind->seconds[kinds->second % KINDS_SECONDS], &one);
    merge(&kind->total, &one);
}

void kinds_next_second(struct kinds *kinds)
{
    kinds->second++;
    for (struct kind *kind = kinds->list; kind < kinds->list + KINDS_MAX; kind++)
        kind->seconds[kinds->second % KINDS_SECONDS] = (struct aggregate){0};
}

/* second + KINDS_SECONDS, so that nothing goes below 0 in the first minute. */
static const struct aggregate *second_of(const struct kinds *kinds, const struct kind *kind,
                                         unsigned ago)
{
    return &kind->seconds[(kinds->second + KINDS_SECONDS - ago) % KINDS_SECONDS];
}

struct aggregate kinds_window(const struct kinds *kinds, const struct kind *kind, unsigned seconds)
{
    struct aggregate all = {0};
    for (unsigned ago = 1; ago <= seconds; ago++)
        merge(&all, second_of(kinds, kind, ago));
    return all;
}

uint64_t kinds_rate(const struct kinds *kinds, unsigned seconds_ago)
{
    uint64_t count = 0;
    for (int i = 0; i < KINDS_MAX; i++)
        count += second_of(kinds, &kinds->list[i], seconds_ago)->count;
    return count;
}
