/* How often somebody may try: see limit.h.
 *
 * A try moves the time at which all is forgiven by each_ns; burst tries are allowed ahead of now.
 * That is a bucket that leaks, with one number in the place of a level and a time.
 *
 * SPDX-License-Identifier: MIT */
#include "limit.h"

#include <stddef.h>

static struct limit_entry *find(struct limit *limit, uint64_t key)
{
    struct limit_entry *set = limit->entries[key % LIMIT_SETS];
    for (size_t i = 0; i < LIMIT_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
    }
    return NULL;
}

static struct limit_entry *first_forgiven(struct limit *limit, uint64_t key)
{
    struct limit_entry *set = limit->entries[key % LIMIT_SETS];
    struct limit_entry *first = set;
    for (size_t i = 1; i < LIMIT_WAYS; i++) {
        if (set[i].clear_ns < first->clear_ns)
            first = &set[i];
    }
    return first;
}

uint64_t limit_wait_ns(struct limit *limit, uint64_t key, uint64_t now_ns)
{
    const struct limit_entry *entry = find(limit, key);
    uint64_t ahead_ns = (limit->burst - 1) * limit->each_ns;
    if (!entry || entry->clear_ns <= now_ns + ahead_ns)
        return 0;
    return entry->clear_ns - now_ns - ahead_ns;
}

void limit_count(struct limit *limit, uint64_t key, uint64_t now_ns)
{
    struct limit_entry *entry = find(limit, key);
    if (!entry) {
        entry = first_forgiven(limit, key);
        *entry = (struct limit_entry){.key = key};
    }
    uint64_t from_ns = entry->clear_ns > now_ns ? entry->clear_ns : now_ns;
    entry->clear_ns = from_ns + limit->each_ns;
}

void limit_forgive(struct limit *limit, uint64_t key)
{
    struct limit_entry *entry = find(limit, key);
    if (entry)
        entry->clear_ns = 0;
}
