/* Those who listen to a channel: how they come, what they are sent, and how they go.
 *
 * A subscriber is an exchange whose response does not end by itself, and memory that hangs on it:
 * however the exchange ends, its hook is the one way out of the channel. Most subscribers are sent
 * each event as it is published. One that is behind, because it has come back, is given the ring at
 * its own pace, a piece whenever its link has drained, until it has caught up.
 *
 * Whoever has to go is first taken off the list, and its response ended when the walk is over,
 * since that may call the server's log, which may do anything.
 *
 * Waiting in the ring for who is slow, in place of cutting it off, was not done: as long as it is
 * connected it would be further and further behind, and what it shows older and older.
 *
 * SPDX-License-Identifier: MIT */
#include "events/events.h"

#include "server/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subscriber {
    struct exchange_hook hook;
    struct loop_link link;           /* on events->subscribers, or of those that have to go */
    struct loop_http_events *events; /* NULL: it is no subscriber any more */
    struct exchange *exchange;
    uint64_t next; /* the event to send, while it is behind */
    bool behind;
};

static struct subscriber *of_link(struct loop_link *link)
{
    return loop_container_of(link, struct subscriber, link);
}

/* --- who goes --- */

/* Also off the list of those that have to go: the log of another that goes may end its response. */
static void leave(struct subscriber *subscriber)
{
    struct loop_http_events *events = subscriber->events;
    list_remove(&subscriber->link);
    if (!events)
        return;
    subscriber->events = NULL;
    if (--events->count == 0)
        loop_timer_stop(&events->quiet);
}

static void leave_for(struct subscriber *subscriber, struct loop_link *going)
{
    leave(subscriber);
    list_append(going, &subscriber->link);
}

/* What waits for one that is cut off would only wait longer. */
void subscribers_end(struct loop_link *going, bool cut_off)
{
    for (struct loop_link *link; (link = list_pop(going));) {
        struct exchange *exchange = of_link(link)->exchange;
        if (cut_off && exchange->conn)
            link_reset(exchange->conn->wire);
        loop_http_end(&exchange->res, NULL, 0); /* frees the subscriber */
    }
}

static void on_gone(struct exchange_hook *hook)
{
    struct subscriber *subscriber = loop_container_of(hook, struct subscriber, hook);
    leave(subscriber);
    free(subscriber);
}

static void on_close(struct loop_http_response *res)
{
    loop_http_end(res, NULL, 0);
}

/* The server closes, be it in the log of this very end. Who does not take the end at once would
 * make it wait. */
static void on_leave(struct exchange_hook *hook)
{
    struct subscriber *subscriber = loop_container_of(hook, struct subscriber, hook);
    struct exchange *exchange = subscriber->exchange;
    struct link *wire = exchange->conn->wire;
    if (exchange->ended)
        return;
    leave(subscriber);
    loop_http_end(&exchange->res, NULL, 0);
    if (link_flush(wire) < 0 || link_waiting(wire) > 0)
        link_reset(wire);
}

/* --- sending --- */

static bool is_late(const struct subscriber *subscriber)
{
    return subscriber->behind && subscriber->next < subscriber->events->first;
}

/* False: it has to go. */
static bool tell(struct subscriber *subscriber, const char *bytes, size_t size)
{
    const struct exchange *exchange = subscriber->exchange;
    if (!exchange->conn ||
        link_waiting(exchange->conn->wire) + size > subscriber->events->options.waiting_bytes)
        return false;
    return loop_http_write(&subscriber->exchange->res, bytes, size) >= 0;
}

static void count_cut_off(struct subscriber *subscriber)
{
    const struct exchange *exchange = subscriber->exchange;
    subscriber->events->cut_off += exchange->conn && !exchange->conn->wire->failed;
}

static void on_room(struct loop_http_response *res);

/* As much of the ring as its link takes; then it waits, or has caught up. */
static int catch_up(struct subscriber *subscriber)
{
    struct loop_http_events *events = subscriber->events;
    struct loop_http_response *res = &subscriber->exchange->res;
    int status = 0;
    while (status == 0 && subscriber->next < events->published) {
        const struct event_text *text = ring_at(events, subscriber->next++);
        status = loop_http_write(res, text->bytes, text->size);
    }
    subscriber->behind = status == 1; /* until its link has room for what is published next */
    if (status == 1)
        loop_http_on_drain(res, on_room);
    return status < 0 ? status : 0;
}

static void on_room(struct loop_http_response *res)
{
    struct exchange_hook *hook = exchange_of_response(res)->hooks;
    while (hook && hook->gone != on_gone)
        hook = hook->next;
    struct subscriber *subscriber = loop_container_of(hook, struct subscriber, hook);
    struct loop_link going;
    list_init(&going);
    if (!subscriber->events || catch_up(subscriber) == 0)
        return;
    leave_for(subscriber, &going);
    subscribers_end(&going, true);
}

/* To all that have caught up. Those for whom too much waits go to a list. */
void subscribers_tell(struct loop_http_events *events, const char *bytes, size_t size,
                      struct loop_link *going)
{
    struct loop_link *next;
    events->spoke_ns = loop_now(events->loop);
    for (struct loop_link *at = events->subscribers.next; at != &events->subscribers; at = next) {
        struct subscriber *subscriber = of_link(at);
        next = at->next;
        if (subscriber->behind || tell(subscriber, bytes, size))
            continue;
        count_cut_off(subscriber);
        leave_for(subscriber, going);
    }
}

/* Those that are behind, and whose next event has just been forgotten. */
void subscribers_drop_late(struct loop_http_events *events, struct loop_link *going)
{
    struct loop_link *next;
    for (struct loop_link *at = events->subscribers.next; at != &events->subscribers; at = next) {
        struct subscriber *subscriber = of_link(at);
        next = at->next;
        if (!is_late(subscriber))
            continue;
        count_cut_off(subscriber);
        leave_for(subscriber, going);
    }
}

/* --- who comes --- */

static int refuse(struct loop_http_response *res, int error)
{
    if (res->head_sent) {
        loop_http_end_error(res, 500, NULL);
    } else if (error == -ECANCELED) {
        loop_http_set_status(res, 204);
        loop_http_end(res, NULL, 0);
    } else {
        loop_http_end_error(res, 503, NULL);
    }
    return error;
}

static int set_headers(struct loop_http_response *res)
{
    int error = loop_http_set_header(res, "Content-Type", "text/event-stream");
    if (!error && !loop_http_get_header(res, "cache-control"))
        error = loop_http_set_header(res, "Cache-Control", "no-store, no-transform");
    if (!error) /* nginx gathers what it is sent, but not then */
        error = loop_http_set_header(res, "X-Accel-Buffering", "no");
    if (!error)
        error = loop_http_set_status(res, 200);
    exchange_of_response(res)->length = -1; /* nobody knows it */
    return error;
}

/* Where it stands, and what it missed. The first write sends the head, so there is always one: a
 * new subscriber is given the id of the newest event, to miss none from now on. */
static int greet(struct subscriber *subscriber)
{
    struct loop_http_events *events = subscriber->events;
    struct loop_http_response *res = &subscriber->exchange->res;
    const char *id = loop_http_header(res->request, "last-event-id");
    char text[LOOP_HTTP_EVENT_ID_MAX + 64];
    subscriber->next = events->published;
    bool found = !id || ring_find(events, id, &subscriber->next);
    int size = 0;
    if (events->options.retry_ms)
        size = snprintf(text, sizeof(text), "retry: %u\n", (unsigned)events->options.retry_ms);
    size += snprintf(text + size, sizeof(text) - (size_t)size, id ? ":\n\n" : "id: %s\n\n",
                     events->last);
    int status = loop_http_write(res, text, (size_t)size);
    if (status >= 0 && !found && events->options.lost) {
        loop_http_write(res, "event: ", 7);
        loop_http_write(res, events->options.lost, strlen(events->options.lost));
        status = loop_http_write(res, "\ndata:\n\n", 8);
    }
    return status < 0 ? status : catch_up(subscriber);
}

static int join(struct loop_http_events *events, struct exchange *exchange)
{
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
    if (!subscriber)
        return -ENOMEM;
    *subscriber = (struct subscriber){.hook = {.gone = on_gone, .leave = on_leave},
                                      .events = events,
                                      .exchange = exchange};
    list_append(&events->subscribers, &subscriber->link);
    exchange_hook(exchange, &subscriber->hook);
    exchange->endless = true;
    loop_http_on_drain(&exchange->res, NULL);
    loop_http_on_close(&exchange->res, on_close);
    if (events->count++ == 0)
        events_watch(events);
    return greet(subscriber);
}

int loop_http_subscribe(struct loop_http_events *events, struct loop_http_response *res)
{
    struct exchange *exchange = exchange_of_response(res);
    if (res->head_sent)
        return refuse(res, -EALREADY);
    if (!events->ring)
        return refuse(res, -ECANCELED);
    if (events->count >= events->options.subscribers)
        return refuse(res, -EBUSY);
    int error = set_headers(res);
    if (!error && strcmp(res->request->method, "HEAD") == 0)
        return loop_http_end(res, NULL, 0);
    if (!error && (!exchange->conn || exchange->conn->eof || res->request->server->closing))
        error = -EPIPE;
    if (!error)
        error = join(events, exchange);
    return error ? refuse(res, error) : 0;
}

/* For the end of the channel. */
void subscribers_leave(struct loop_http_events *events, struct loop_link *going)
{
    while (!list_empty(&events->subscribers))
        leave_for(of_link(events->subscribers.next), going);
}
