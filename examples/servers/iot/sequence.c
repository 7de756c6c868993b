/* The numbers of a device: see sequence.h.
 *
 * Numbers wrap around, so what is ahead is told by the sign of a difference. The bits of the window
 * that are unset and within the span are exactly those which were counted as lost.
 *
 * SPDX-License-Identifier: MIT */
#include "sequence.h"

enum {
    WINDOW = 64,        /* bits; a device that sends each second has a minute for its late ones */
    AHEAD_MAX = 100000, /* a day without network, at one a second */
};

static enum sequence_verdict begin(struct sequence *sequence, uint32_t number,
                                   struct sequence_counts *counts)
{
    *sequence = (struct sequence){.next = number + 1, .span = 1, .window = 1};
    counts->received++;
    return READING_NEW;
}

static enum sequence_verdict go_ahead(struct sequence *sequence, uint32_t left_out,
                                      struct sequence_counts *counts)
{
    uint32_t steps = left_out + 1;
    sequence->window = steps < WINDOW ? sequence->window << steps | 1 : 1;
    sequence->span = sequence->span + steps < WINDOW ? sequence->span + steps : WINDOW;
    sequence->next += steps;
    counts->lost += left_out;
    counts->received++;
    return READING_NEW;
}

static enum sequence_verdict look_back(struct sequence *sequence, uint32_t back,
                                       struct sequence_counts *counts)
{
    uint64_t bit = UINT64_C(1) << back;
    if (sequence->window & bit) {
        counts->twice++;
        return READING_TWICE;
    }
    if (back < sequence->span) {
        counts->lost--;
    } else { /* before the first that came, and with it those between */
        counts->lost += back - sequence->span;
        sequence->span = back + 1;
    }
    sequence->window |= bit;
    counts->late++;
    counts->received++;
    return READING_LATE;
}

static enum sequence_verdict stray(struct sequence *sequence, uint32_t number,
                                   struct sequence_counts *counts)
{
    if (sequence->straying && number == sequence->stray) {
        counts->restarts++;
        return begin(sequence, number, counts);
    }
    sequence->straying = true;
    sequence->stray = number + 1;
    counts->strays++;
    return READING_STRAY;
}

enum sequence_verdict sequence_take(struct sequence *sequence, uint32_t number,
                                    struct sequence_counts *counts)
{
    int32_t ahead = (int32_t)(number - sequence->next);
    if (sequence->span == 0)
        return begin(sequence, number, counts);
    if (ahead > AHEAD_MAX || ahead < -WINDOW)
        return stray(sequence, number, counts);
    sequence->straying = false;
    return ahead >= 0 ? go_ahead(sequence, (uint32_t)ahead, counts)
                      : look_back(sequence, (uint32_t)(-ahead) - 1, counts);
}
