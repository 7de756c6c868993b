/* Internal. What the files of event channels share: the text of an event, and the ring of those
 * that are remembered.
 *
 * Events are numbered from 0 in the order of their publishing; the ring holds an unbroken run of
 * them that ends with the newest. So a subscriber that is behind needs no queue, but a number.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_EVENTS_INTERNAL_H
#define LOOP_HTTP_EVENTS_INTERNAL_H

#include "loop/http/events.h"

/* An event as it is sent. One piece of memory. */
struct event_text {
    size_t size; /* of bytes */
    char id[LOOP_HTTP_EVENT_ID_MAX + 1];
    char bytes[];
};

/* events.c: somebody listens, so the channel must not be silent. */
void events_watch(struct loop_http_events *events);

/* events_subscriber.c. Those who have to go are put on a list, going, and are none of the channel's
 * any more; subscribers_end() ends their responses, which may call the server's log. cut_off: with
 * all that still waits for them. */
void subscribers_tell(struct loop_http_events *events, const char *bytes, size_t size,
                      struct loop_link *going);
void subscribers_drop_late(struct loop_http_events *events, struct loop_link *going);
void subscribers_leave(struct loop_http_events *events, struct loop_link *going);
void subscribers_end(struct loop_link *going, bool cut_off);

/* events_text.c */

/* 0, or what is wrong with a name (-EINVAL, -EILSEQ). */
int event_check_name(const char *name);

/* Makes the text of an event; next: its id, if it has none. Errors: as loop_http_publish(). */
int event_make(const struct loop_http_event *event, const char *next, size_t max,
               struct event_text **text);

/* events_ring.c */

/* Takes an event in, and forgets what is over the limits, be it this one. */
void ring_add(struct loop_http_events *events, struct event_text *text);

/* The number of the event behind the one with this id; false: that is not known any more. */
bool ring_find(const struct loop_http_events *events, const char *id, uint64_t *number);

/* What is remembered: first to published - 1. */
const struct event_text *ring_at(const struct loop_http_events *events, uint64_t number);

void ring_clear(struct loop_http_events *events);

#endif
