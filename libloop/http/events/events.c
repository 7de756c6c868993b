/* Channels of server-sent events: what is published, and what is said when nothing is.
 *
 * Publishing makes the text once, writes it to all who listen, and remembers it, in that order, so
 * that an event too large to be remembered is still sent. Ending the responses of those who have to
 * go comes last: it may call the server's log, and the channel is whole by then.
 *
 * One timer serves the channel. It is not moved by publishing, which only notes the time: when it
 * fires it looks how long ago that was. It runs while somebody listens.
 *
 * SPDX-License-Identifier: MIT */
#include "events/events.h"

#include "list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEEP_EVENTS = 1000,
    KEEP_BYTES = 1024 * 1024,
    WAITING_BYTES = 256 * 1024, /* what a phone takes in a few seconds */
    SUBSCRIBERS = 10000,        /* as connections of a server */
};

static const uint64_t quiet_default = 15 * LOOP_SEC; /* proxies cut what is silent after 30 or 60 */

int loop_http_publish(struct loop_http_events *events, const struct loop_http_event *event)
{
    char next[LOOP_HTTP_EVENT_ID_MAX + 1];
    struct event_text *text;
    struct loop_link going;
    if (!events->ring)
        return -ECANCELED;
    snprintf(next, sizeof(next), "%llx-%llu", (unsigned long long)events->run,
             (unsigned long long)events->published + 1);
    int error = event_make(event, next, events->options.waiting_bytes / 2, &text);
    if (error)
        return error;
    list_init(&going);
    subscribers_tell(events, text->bytes, text->size, &going);
    ring_add(events, text);
    subscribers_drop_late(events, &going);
    subscribers_end(&going, true);
    return 0;
}

int loop_http_publish_text(struct loop_http_events *events, const char *type, const char *text)
{
    const struct loop_http_event event = {.type = type,
                                          .data = text,
                                          .size = text ? strlen(text) : 0};
    return loop_http_publish(events, &event);
}

/* --- silence --- */

static void on_quiet(struct loop_timer *timer)
{
    static const char comment[] = ":\n\n";
    struct loop_http_events *events = loop_container_of(timer, struct loop_http_events, quiet);
    struct loop_link going;
    list_init(&going);
    uint64_t silent_ns = loop_now(events->loop) - events->spoke_ns;
    bool speaks = silent_ns >= events->options.quiet_ns;
    if (speaks)
        subscribers_tell(events, comment, sizeof(comment) - 1, &going);
    if (events->count > 0)
        loop_timer_start(timer, events->options.quiet_ns - (speaks ? 0 : silent_ns), 0, on_quiet);
    subscribers_end(&going, true);
}

void events_watch(struct loop_http_events *events)
{
    events->spoke_ns = loop_now(events->loop);
    if (events->options.quiet_ns != LOOP_NEVER)
        loop_timer_start(&events->quiet, events->options.quiet_ns, 0, on_quiet);
}

/* --- the channel --- */

static void fill(uint32_t *option, uint32_t value)
{
    *option = *option ? *option : value;
}

/* Ids of this run are not those of another, which may be the same event to nobody. */
static uint64_t name_run(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int loop_http_events_init(struct loop *loop, struct loop_http_events *events,
                          const struct loop_http_events_options *options)
{
    static const struct loop_http_events_options none;
    struct loop_http_events made = {.data = events->data, .loop = loop};
    made.options = options ? *options : none;
    fill(&made.options.keep_events, KEEP_EVENTS);
    fill(&made.options.keep_bytes, KEEP_BYTES);
    fill(&made.options.waiting_bytes, WAITING_BYTES);
    fill(&made.options.subscribers, SUBSCRIBERS);
    if (made.options.quiet_ns == 0)
        made.options.quiet_ns = quiet_default;
    if (made.options.waiting_bytes > LOOP_WRITE_MAX ||
        made.options.waiting_bytes < 2 * LOOP_WRITE_HIGH ||
        (made.options.lost && event_check_name(made.options.lost) < 0))
        return -EINVAL;
    made.ring = calloc(made.options.keep_events, sizeof(struct event_text *));
    if (!made.ring)
        return -ENOMEM;
    made.run = name_run();
    snprintf(made.last, sizeof(made.last), "%llx-0", (unsigned long long)made.run);
    memcpy(made.before, made.last, sizeof(made.before));
    *events = made;
    list_init(&events->subscribers);
    loop_timer_init(loop, &events->quiet);
    return 0;
}

void loop_http_events_fini(struct loop_http_events *events)
{
    struct loop_link going;
    list_init(&going);
    if (!events->ring)
        return;
    ring_clear(events);
    subscribers_leave(events, &going);
    loop_timer_stop(&events->quiet);
    subscribers_end(&going, false);
}
