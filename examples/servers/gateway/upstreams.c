/* Who is asked, and who is left alone: see upstreams.h.
 *
 * Finding one looks at all of them: they are few, and a heap would have to be kept for every
 * request. The search begins behind the last that was found, so that those with as many requests
 * take turns.
 *
 * SPDX-License-Identifier: MIT */
#include "upstreams.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FAILURES_MAX = 3, BAD_PROBES_MAX = 2, PROBE_BYTES = 64 * 1024 };

const char *upstream_state_name(const struct upstream *upstream)
{
    static const char *const names[] = {"up", "down", "trying"};
    return names[upstream->state];
}

static void set_state(struct upstream *upstream, enum upstream_state state)
{
    if (upstream->state == state)
        return;
    upstream->ejected += state == UPSTREAM_DOWN;
    upstream->state = state;
    upstream->failures = 0;
    fprintf(stderr, "%s is %s\n", upstream->name, upstream_state_name(upstream));
}

/* --- requests --- */

static bool may_take(const struct upstream *upstream)
{
    return upstream->state == UPSTREAM_UP ||
           (upstream->state == UPSTREAM_TRYING && upstream->active == 0);
}

struct upstream *upstreams_take(struct upstreams *all, const struct upstream *other)
{
    struct upstream *best = NULL;
    for (unsigned i = 0; i < all->count; i++) {
        struct upstream *each = &all->list[(all->next + i) % all->count];
        if (each == other || !may_take(each))
            continue;
        if (!best || (!all->options.round_robin && each->active < best->active))
            best = each;
    }
    if (!best)
        return NULL;
    all->next = (unsigned)(best - all->list + 1) % all->count;
    best->active++;
    best->requests++;
    best->took_over += other != NULL;
    return best;
}

void upstream_give_back(struct upstream *upstream)
{
    upstream->active--;
    upstream->requests--;
}

void upstream_done(struct upstream *upstream, int error, int status)
{
    upstream->active--;
    if (error == 0) {
        upstream->failures = 0;
        upstream->answers[status / 100 < 6 ? status / 100 : 0]++;
        if (upstream->state == UPSTREAM_TRYING)
            set_state(upstream, UPSTREAM_UP);
        return;
    }
    if (error == -ECANCELED) /* the client has gone */
        return;
    upstream->failed++;
    upstream->failures++;
    if (upstream->state == UPSTREAM_TRYING || upstream->failures >= FAILURES_MAX ||
        error == -ECONNREFUSED)
        set_state(upstream, UPSTREAM_DOWN);
}

/* --- probes --- */

static void on_probed(struct loop_http_call *call, int error)
{
    struct upstream *upstream = call->data;
    if (error == -ECANCELED)
        return;
    if (error == 0 && call->status < 400) {
        upstream->bad_probes = 0;
        if (upstream->state != UPSTREAM_UP)
            set_state(upstream, upstream->state == UPSTREAM_DOWN ? UPSTREAM_TRYING : UPSTREAM_UP);
        return;
    }
    upstream->probes_failed++;
    upstream->bad_probes++;
    if (upstream->state == UPSTREAM_TRYING || upstream->bad_probes >= BAD_PROBES_MAX)
        set_state(upstream, UPSTREAM_DOWN);
}

static void probe(struct upstream *upstream)
{
    char url[UPSTREAM_NAME_SIZE + 300];
    const struct upstreams_options *options = &upstream->all->options;
    snprintf(url, sizeof(url), "http://%s%s", upstream->name, options->health);
    const struct loop_http_call_options call = {.url = url,
                                                .redirects = -1,
                                                .collect = true,
                                                .body_bytes = PROBE_BYTES,
                                                .total_ns = options->probe_ns,
                                                .on_end = on_probed};
    upstream->probe.data = upstream;
    if (loop_http_call_start(&upstream->prober, &upstream->probe, &call) == 0)
        upstream->probes++;
}

/* One that is still under way goes on: starting it again is refused. */
static void on_tick(struct loop_timer *timer)
{
    struct upstreams *all = loop_container_of(timer, struct upstreams, timer);
    for (unsigned i = 0; i < all->count; i++)
        probe(&all->list[i]);
}

/* --- their life --- */

void upstreams_init(struct loop *loop, struct upstreams *all,
                    const struct upstreams_options *options)
{
    all->loop = loop;
    all->options = *options;
    all->count = all->next = 0;
    loop_timer_init(loop, &all->timer);
    loop_unref(&all->timer.handle);
}

static bool is_name(const char *name)
{
    char text[UPSTREAM_NAME_SIZE + 8];
    struct loop_url url;
    snprintf(text, sizeof(text), "http://%s", name);
    return strlen(name) < UPSTREAM_NAME_SIZE &&
           loop_url_parse_http(&url, loop_text_of(text)) == 0 && url.path.size == 0 &&
           !url.query.bytes && !url.fragment.bytes;
}

int upstreams_add(struct upstreams *all, const char *name)
{
    if (!is_name(name))
        return -EINVAL;
    if (all->count == UPSTREAMS_MAX)
        return -E2BIG;
    /* Its probes end by their own limit. */
    const struct loop_http_client_options prober = {.connect_ns = LOOP_NEVER,
                                                    .head_ns = LOOP_NEVER,
                                                    .stall_ns = LOOP_NEVER,
                                                    .idle_ns = all->options.client.idle_ns};
    struct upstream *upstream = &all->list[all->count];
    *upstream = (struct upstream){.all = all};
    strcpy(upstream->name, name);
    int error = loop_http_client_init(all->loop, &upstream->client, &all->options.client);
    if (error == 0)
        error = loop_http_client_init(all->loop, &upstream->prober, &prober);
    all->count += error == 0;
    return error;
}

int upstreams_start(struct upstreams *all)
{
    return loop_timer_start(&all->timer, 0, all->options.probe_every_ns, on_tick);
}

void upstreams_stop(struct upstreams *all)
{
    loop_timer_stop(&all->timer);
    for (unsigned i = 0; i < all->count; i++)
        loop_http_call_cancel(&all->list[i].probe);
}

void upstreams_close(struct upstreams *all)
{
    upstreams_stop(all);
    for (unsigned i = 0; i < all->count; i++) {
        loop_http_client_close(&all->list[i].client, NULL);
        loop_http_client_close(&all->list[i].prober, NULL);
    }
}
