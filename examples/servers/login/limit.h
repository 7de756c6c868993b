/* How often somebody may try: a table of fixed size, whoever comes.
 *
 * Each key, an address or the name of an account, may try so many times at once, and then once in
 * so long. Of each only one number is kept: when it will have all its tries again. The table is
 * eight places for each of a thousand numbers that a key leads to; where all eight are taken, the
 * one that is forgiven first makes room. Which keys meet there nobody can plan: secret_number().
 *
 * SPDX-License-Identifier: MIT */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdint.h>

enum { LIMIT_SETS = 1024, LIMIT_WAYS = 8 };

struct limit_entry {
    uint64_t key;
    uint64_t clear_ns; /* when nothing of it counts any more */
};

/* All zero but the first two. */
struct limit {
    uint64_t each_ns; /* what a try costs */
    unsigned burst;   /* tries at once */
    struct limit_entry entries[LIMIT_SETS][LIMIT_WAYS];
};

/* 0: it may try. Else in how many nanoseconds. Counts nothing. */
uint64_t limit_wait_ns(struct limit *limit, uint64_t key, uint64_t now_ns);

/* Counts a try. */
void limit_count(struct limit *limit, uint64_t key, uint64_t now_ns);

/* Takes back what was counted. */
void limit_forgive(struct limit *limit, uint64_t key);

#endif
