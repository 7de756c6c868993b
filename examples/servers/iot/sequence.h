/* What the numbers of one device tell: lost, late, twice, or begun anew.
 *
 * The last 64 numbers are remembered, a bit for each. A number ahead has left out those before it,
 * which count as lost; one that comes behind takes its loss back and is late, or was there already
 * and comes twice. One far off may be a mistake of somebody else's, so it is a stray, and changes
 * nothing until its successor comes too: then the device has begun anew (the rule of RFC 3550,
 * appendix A.1). Nothing is known of readings before the first that came or behind the last.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SEQUENCE_H
#define SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

enum sequence_verdict { READING_NEW, READING_LATE, READING_TWICE, READING_STRAY };

struct sequence_counts {
    uint64_t received; /* new ones and late ones */
    uint64_t lost, late, twice, strays, restarts;
};

/* All zero: nothing has come. */
struct sequence {
    uint32_t next;   /* the number behind the highest */
    uint32_t span;   /* of how many numbers window tells; 0: none has come */
    uint64_t window; /* bit n: next - 1 - n has come */
    uint32_t stray;  /* the number that would make the last stray a new beginning */
    bool straying;
};

/* Takes the next number that has come, and adds to counts. */
enum sequence_verdict sequence_take(struct sequence *sequence, uint32_t number,
                                    struct sequence_counts *counts);

#endif
