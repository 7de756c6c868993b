/* What a channel remembers: the newest events, within a number and a size.
 *
 * Looking for an id goes through the ring from the newest on: who comes back has mostly not been
 * away for long, and a table of a thousand ids would cost more than it saves. Also known is the id
 * just before the oldest event: who saw that one last has missed nothing that is not here.
 *
 * An event that is larger than all that may be remembered empties the ring, and is itself not kept:
 * a run with a hole in it would look whole to those who come back.
 *
 * SPDX-License-Identifier: MIT */
#include "events/events.h"

#include <stdlib.h>
#include <string.h>

static struct event_text **place(const struct loop_http_events *events, uint64_t number)
{
    return &events->ring[number % events->options.keep_events];
}

const struct event_text *ring_at(const struct loop_http_events *events, uint64_t number)
{
    return *place(events, number);
}

static void forget_oldest(struct loop_http_events *events)
{
    struct event_text **oldest = place(events, events->first);
    events->first++;
    events->kept_bytes -= (*oldest)->size;
    memcpy(events->before, (*oldest)->id, sizeof(events->before));
    free(*oldest);
    *oldest = NULL;
}

void ring_add(struct loop_http_events *events, struct event_text *text)
{
    if (events->published - events->first == events->options.keep_events)
        forget_oldest(events);
    *place(events, events->published) = text;
    events->published++;
    events->kept_bytes += text->size;
    memcpy(events->last, text->id, sizeof(events->last));
    while (events->kept_bytes > events->options.keep_bytes)
        forget_oldest(events);
}

bool ring_find(const struct loop_http_events *events, const char *id, uint64_t *number)
{
    *number = events->published;
    for (; *number > events->first; --*number)
        if (strcmp(ring_at(events, *number - 1)->id, id) == 0)
            return true;
    return strcmp(events->before, id) == 0;
}

void ring_clear(struct loop_http_events *events)
{
    while (events->first < events->published)
        forget_oldest(events);
    free(events->ring);
    events->ring = NULL;
}
