/* The deadlines of a call: one timer for all of them.
 *
 * Each phase has at most one, beside that of the whole. While a request goes out, time counts from
 * when the kernel last took some of it; once all is out, until the head of the response is
 * complete: a head has to be there by then, however its bytes drip. A body may take as long as it
 * likes, so long as bytes come; who wants a bound for that sets one for the whole. While the
 * program has to act, because it has paused or streams a body, nobody waits for the server.
 *
 * The timer is not moved by what comes: that notes the time, and the timer, when it fires, looks
 * how long ago it was. It never stops while the call is in flight, which keeps the loop alive.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>

static void on_timer(struct loop_timer *timer);

/* When the kernel last took some of the request, or should have begun to. */
static uint64_t moved_ns(const struct fetch *fetch)
{
    uint64_t wire_ns = link_moved_ns(fetch->conn->wire);
    return wire_ns > fetch->since_ns ? wire_ns : fetch->since_ns;
}

static uint64_t asked_due(const struct fetch *fetch)
{
    const struct loop_http_client_options *options = &fetch->client->options;
    if (fetch->expecting)
        return ns_later(fetch->since_ns, CONTINUE_NS);
    if (link_waiting(fetch->conn->wire) > 0)
        return ns_later(moved_ns(fetch), options->stall_ns);
    return fetch->sent_all ? ns_later(moved_ns(fetch), options->head_ns) : LOOP_NEVER;
}

/* An answer may begin before the request is complete, and wait for the rest of it. */
static uint64_t body_due(const struct fetch *fetch)
{
    const struct loop_http_client_options *options = &fetch->client->options;
    bool asks = fetch->body_open && !fetch->sent_all && fetch->conn;
    if (fetch->paused || (asks && fetch->options.streamed && link_waiting(fetch->conn->wire) == 0))
        return LOOP_NEVER;
    return ns_later(asks ? moved_ns(fetch) : fetch->since_ns, options->stall_ns);
}

static uint64_t phase_due(const struct fetch *fetch)
{
    const struct loop_http_client_options *options = &fetch->client->options;
    switch (fetch->phase) {
    case FETCH_CONNECTING:
        return ns_later(fetch->since_ns, options->connect_ns);
    case FETCH_ASKED:
        return fetch->conn ? asked_due(fetch) : LOOP_NEVER;
    case FETCH_BODY:
        return body_due(fetch);
    case FETCH_WAITING:
    case FETCH_DECIDED:
        break;
    }
    return LOOP_NEVER;
}

/* Nobody tells when the kernel takes the last of a request, so that is looked at from time to
 * time. */
static uint64_t look_again(const struct fetch *fetch)
{
    uint64_t now_ns = loop_now(fetch->client->loop);
    bool sending = fetch->phase == FETCH_ASKED && fetch->sent_all;
    return sending ? ns_later(now_ns, fetch->client->options.head_ns) : LOOP_NEVER;
}

void fetch_watch(struct fetch *fetch)
{
    if (fetch->phase == FETCH_DECIDED)
        return;
    uint64_t now_ns = loop_now(fetch->client->loop);
    uint64_t due_ns = phase_due(fetch), look_ns = look_again(fetch);
    due_ns = due_ns < look_ns ? due_ns : look_ns;
    due_ns = due_ns < fetch->due_ns ? due_ns : fetch->due_ns;
    uint64_t after_ns = due_ns == LOOP_NEVER ? LOOP_NEVER : due_ns > now_ns ? due_ns - now_ns : 0;
    loop_timer_start(&fetch->timer, after_ns, 0, on_timer);
}

static void on_timer(struct loop_timer *timer)
{
    struct fetch *fetch = loop_container_of(timer, struct fetch, timer);
    uint64_t now_ns = loop_now(fetch->client->loop);
    bool over = now_ns >= fetch->due_ns;
    if (!over && now_ns >= phase_due(fetch)) {
        over = !fetch->expecting || fetch->phase != FETCH_ASKED;
        if (!over)
            fetch_send_body(fetch);
    }
    if (over)
        fetch_decide(fetch, -ETIMEDOUT);
    else
        fetch_watch(fetch);
}
