/* The pool: origins, who goes next, and which connections are kept.
 *
 * Whoever has waited longest of those that can go is next, whatever its origin. To go takes a kept
 * connection of the origin, or the right to open one: below both caps. When only the cap of all is
 * in the way, the connection that was kept longest makes room, be it another origin's; its own
 * origin's younger calls do not come before that, so no origin can hold what others wait for by
 * being busy. At the cap, with more origins than connections, that costs a connection for each
 * call: order is preferred. All this is decided in one place, by a tick: calls and connections that
 * end only ask for that.
 *
 * Origins are looked for by walking: there are no more of them than connections and calls that
 * wait, each of which has a cap.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct fetch *first_waiting(const struct origin *origin)
{
    return loop_container_of(origin->waiting.next, struct fetch, queue);
}

static struct origin *origin_of_link(struct loop_link *link)
{
    return loop_container_of(link, struct origin, link);
}

static bool is_secure(const struct loop_url *url)
{
    return url->scheme.size == 5;
}

/* --- origins --- */

static bool origin_is(const struct origin *origin, const struct loop_url *url)
{
    return origin->secure == is_secure(url) && strlen(origin->host) == url->host.size &&
           strncasecmp(origin->host, url->host.bytes, url->host.size) == 0 &&
           atoi(origin->service) == url->port;
}

static struct origin *origin_new(struct loop_http_client *client, const struct loop_url *url)
{
    struct origin *origin = calloc(1, sizeof(*origin) + url->host.size + 1);
    if (!origin)
        return NULL;
    origin->client = client;
    origin->secure = is_secure(url);
    snprintf(origin->service, sizeof(origin->service), "%u", (unsigned)url->port & 0xffff);
    memcpy(origin->host, url->host.bytes, url->host.size);
    for (char *at = origin->host; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    list_init(&origin->waiting);
    list_init(&origin->idle);
    list_append(&client->origins, &origin->link);
    return origin;
}

static struct origin *origin_find(struct loop_http_client *client, const struct loop_url *url)
{
    struct loop_link *link = client->origins.next;
    for (; link != &client->origins; link = link->next)
        if (origin_is(origin_of_link(link), url))
            return origin_of_link(link);
    return origin_new(client, url);
}

void pool_release_origin(struct origin *origin)
{
    if (origin->connections > 0 || !list_empty(&origin->waiting))
        return;
    list_remove(&origin->link);
    free(origin);
}

/* --- the queues --- */

/* Before whom it belongs. Who comes again is older than nearly all, who is new younger. */
static struct loop_link *place_of(const struct fetch *fetch)
{
    struct loop_link *waiting = &fetch->origin->waiting;
    if (!list_empty(waiting) && first_waiting(fetch->origin)->seq > fetch->seq)
        return waiting->next;
    struct loop_link *before = waiting->prev;
    while (before != waiting && loop_container_of(before, struct fetch, queue)->seq > fetch->seq)
        before = before->prev;
    return before->next;
}

int pool_queue(struct fetch *fetch)
{
    struct loop_http_client *client = fetch->client;
    struct loop_url url;
    int error = loop_url_parse_http(&url, loop_text_of(fetch->url));
    if (error)
        return error; /* unreachable: fetch->url was parsed before it was taken */
    fetch->origin = origin_find(client, &url);
    if (!fetch->origin)
        return -ENOMEM;
    list_append(place_of(fetch), &fetch->queue);
    client->stats.waiting++;
    fetch_enter(fetch, FETCH_WAITING);
    pool_dispatch(client);
    return 0;
}

void pool_unqueue(struct fetch *fetch)
{
    list_remove(&fetch->queue);
    fetch->client->stats.waiting--;
    pool_release_origin(fetch->origin);
    fetch->origin = NULL;
}

/* --- kept connections --- */

static void on_timer(struct loop_timer *timer)
{
    struct loop_http_client *client = loop_container_of(timer, struct loop_http_client, timer);
    uint64_t now_ns = loop_now(client->loop);
    while (!list_empty(&client->idle)) {
        struct client_conn *conn = loop_container_of(client->idle.next, struct client_conn, kept);
        uint64_t due_ns = ns_later(conn->since_ns, client->options.idle_ns);
        if (due_ns > now_ns) {
            loop_timer_start(timer, due_ns - now_ns, 0, on_timer);
            return;
        }
        conn_leave(conn);
    }
}

void pool_keep(struct client_conn *conn)
{
    struct loop_http_client *client = conn->origin->client;
    conn->since_ns = loop_now(client->loop);
    list_append(&conn->origin->idle, &conn->link);
    list_append(&client->idle, &conn->kept);
    client->stats.idle++;
    loop_unref(&conn->wire->stream.handle);
    if (!loop_is_active(&client->timer.handle))
        loop_timer_start(&client->timer, client->options.idle_ns, 0, on_timer);
}

void pool_unkeep(struct client_conn *conn)
{
    if (list_empty(&conn->kept))
        return;
    list_remove(&conn->link);
    list_remove(&conn->kept);
    conn->origin->client->stats.idle--;
    loop_ref(&conn->wire->stream.handle);
}

/* --- who goes next --- */

static bool may_open(const struct origin *origin)
{
    const struct loop_http_client *client = origin->client;
    return origin->connections < client->options.origin_connections &&
           client->stats.connections < client->options.connections;
}

static bool can_go(const struct origin *origin)
{
    return (!list_empty(&origin->idle) && !first_waiting(origin)->retried) || may_open(origin);
}

/* Whether letting go of a kept connection would help, which is done one at a time, since each that
 * leaves makes room for one. */
static bool lacks_room(const struct origin *origin)
{
    const struct loop_http_client *client = origin->client;
    bool own = origin->connections >= client->options.origin_connections;
    return client->leaving == 0 && !list_empty(own ? &origin->idle : &client->idle);
}

static bool can_go_or_lacks_room(const struct origin *origin)
{
    return can_go(origin) || lacks_room(origin);
}

/* The origin whose first call has waited longest of those that can go, or could if there was room;
 * NULL: none. */
static struct origin *next_origin(struct loop_http_client *client)
{
    struct origin *next = NULL;
    struct loop_link *link = client->origins.next;
    for (; link != &client->origins; link = link->next) {
        struct origin *origin = origin_of_link(link);
        if (!list_empty(&origin->waiting) &&
            (!next || first_waiting(origin)->seq < first_waiting(next)->seq) &&
            can_go_or_lacks_room(origin))
            next = origin;
    }
    return next;
}

/* One that was closed meanwhile goes, and what is asked next is whether the origin still can. */
static void go(struct origin *origin)
{
    struct fetch *fetch = first_waiting(origin);
    if (fetch->retried || list_empty(&origin->idle)) {
        int error = conn_dial(origin, fetch);
        if (error)
            fetch_decide(fetch, error);
        return;
    }
    struct client_conn *conn = loop_container_of(origin->idle.prev, struct client_conn, link);
    if (!conn_is_fresh(conn)) {
        conn_leave(conn);
        return;
    }
    pool_unkeep(conn);
    pool_unqueue(fetch);
    origin->client->stats.reused++;
    conn_begin(conn, fetch);
}

static void make_room(struct origin *origin)
{
    struct loop_http_client *client = origin->client;
    if (origin->connections >= client->options.origin_connections)
        conn_leave(loop_container_of(origin->idle.next, struct client_conn, link));
    else
        conn_leave(loop_container_of(client->idle.next, struct client_conn, kept));
}

static void on_dispatch(struct loop_task *task)
{
    struct loop_http_client *client = loop_container_of(task, struct loop_http_client, dispatch);
    client->dispatching = false;
    for (struct origin *origin; (origin = next_origin(client));) {
        if (can_go(origin))
            go(origin);
        else
            make_room(origin);
    }
}

void pool_dispatch(struct loop_http_client *client)
{
    if (client->dispatching || client->closing || client->stats.waiting == 0)
        return;
    client->dispatching = true;
    loop_next_tick(client->loop, &client->dispatch, on_dispatch);
}
