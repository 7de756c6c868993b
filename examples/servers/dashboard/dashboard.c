/* A dashboard: what the machine and this very loop are doing, live, by server-sent events.
 *
 *     ./run example dashboard           then open http://127.0.0.1:8080
 *     curl -N 127.0.0.1:8080/events     the same for a terminal
 *
 * Once a second a thread of the pool reads /proc, and when it is done the loop adds how it is
 * itself, and publishes. Every page draws from the same events. A page that was away for a while
 * says which event it saw last and gets those that it missed; one that is new asks for the last two
 * minutes besides. machine.c reads, heart.c feels the loop's pulse, sample.c makes JSON of both.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "sample.h"

#include <loop/http/events.h>
#include <loop/http/router.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SAMPLES = 121, /* two minutes and the one before */
    BLOCK_MS = 50,
};

static const uint64_t SAMPLE_NS = LOOP_SEC;
static const uint64_t BLOCK_EVERY_NS = 2 * LOOP_SEC;

static struct {
    struct serve *serve; /* NULL: nothing was opened */
    struct loop_http_router router;
    struct loop_http_events events;
    struct heart heart;
    struct loop_timer timer;
    struct loop_work reading;
    bool is_reading;
    struct machine read; /* the pool's, while it reads */
    struct sample before, now;
    json_t *samples; /* an array, the last two minutes */
    uint64_t may_block_ns;
} dashboard;

/* --- once a second --- */

static void publish(json_t *sample)
{
    char *text = json_dumps(sample, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text)
        loop_http_publish_text(&dashboard.events, NULL, text);
    free(text);
    if (json_array_size(dashboard.samples) == SAMPLES)
        json_array_remove(dashboard.samples, 0);
    json_array_append_new(dashboard.samples, sample);
}

/* On a thread of the pool. */
static void read_machine(void *data)
{
    machine_read(data);
}

/* The first has nothing to be compared with. */
static void on_read(struct loop_work *work, int status)
{
    (void)work;
    dashboard.is_reading = false;
    if (status < 0)
        return;
    dashboard.before = dashboard.now;
    dashboard.now.number++;
    dashboard.now.machine = dashboard.read;
    dashboard.now.viewers = dashboard.events.count;
    sample_take(&dashboard.now, &dashboard.serve->loop, &dashboard.heart, &dashboard.serve->server);
    json_t *sample =
        dashboard.now.number > 1 ? sample_json(&dashboard.now, &dashboard.before) : NULL;
    if (sample)
        publish(sample);
}

/* A disk, or a kernel, that takes longer than a second makes a gap, and no queue. */
static void on_second(struct loop_timer *timer)
{
    if (dashboard.is_reading)
        return;
    dashboard.reading.request.data = &dashboard.read;
    dashboard.is_reading = loop_work_class(timer->handle.loop, &dashboard.reading, LOOP_POOL_FS,
                                           read_machine, on_read) == 0;
}

/* --- what is asked --- */

static void get_events(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_subscribe(&dashboard.events, res);
}

static void get_samples(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    char *text = json_dumps(dashboard.samples, JSON_COMPACT | JSON_REAL_PRECISION(6));
    loop_http_set_header(res, "content-type", "application/json");
    loop_http_set_header(res, "cache-control", "no-store");
    if (text)
        loop_http_end_text(res, text);
    else
        loop_http_end_error(res, 503, NULL);
    free(text);
}

static void get_metrics(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    char *text = sample_metrics(&dashboard.now);
    loop_http_set_header(res, "content-type", "text/plain; version=0.0.4; charset=utf-8");
    if (text)
        loop_http_write(res, text, strlen(text));
    free(text);
    loop_http_end_metrics(res, "dashboard");
}

/* --- the button --- */

/* A page of somebody else may send a POST too. Browsers say whose page it was; what says nothing is
 * no browser, and has nobody else's rights to misuse. */
static bool is_own_page(const struct loop_http_request *req)
{
    const char *origin = loop_http_header(req, "origin");
    const char *site = loop_http_header(req, "sec-fetch-site");
    const char *host = loop_http_header(req, "host");
    if (site && strcmp(site, "same-origin") != 0)
        return false;
    if (!origin)
        return true;
    char own[512];
    int size =
        snprintf(own, sizeof(own), "%s://%s", req->secure ? "https" : "http", host ? host : "");
    return size > 0 && (size_t)size < sizeof(own) && strcmp(origin, own) == 0;
}

/* What no server should ever do: everybody waits. It is rationed, for the sake of the others. */
static void post_block(struct loop_http_request *req, struct loop_http_response *res)
{
    uint64_t now_ns = loop_now(req->server->loop);
    if (!is_own_page(req)) {
        loop_http_end_error(res, 403, "This is for the dashboard's own page.");
        return;
    }
    if (now_ns < dashboard.may_block_ns) {
        loop_http_set_status(res, 429);
        loop_http_set_header(res, "retry-after", "2");
        loop_http_end_text(res, "Once in two seconds is enough.\n");
        return;
    }
    dashboard.may_block_ns = now_ns + BLOCK_EVERY_NS;
    const struct timespec pause = {.tv_nsec = BLOCK_MS * 1000000L};
    nanosleep(&pause, NULL);
    loop_http_set_status(res, 204);
    loop_http_end(res, NULL, 0);
}

/* --- its life --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&dashboard.router, req, res);
}

static int make_routes(struct loop_http_router *router)
{
    int error = loop_http_router_init(router);
    if (error == 0)
        error = loop_http_route(router, "GET", "/events", get_events, NULL);
    if (error == 0)
        error = loop_http_route(router, "GET", "/samples", get_samples, NULL);
    if (error == 0)
        error = loop_http_route(router, "GET", "/metrics", get_metrics, NULL);
    if (error == 0)
        error = loop_http_route(router, "POST", "/block", post_block, NULL);
    loop_http_on_missing(router, embed_handle);
    return error;
}

static int open_dashboard(struct serve *serve)
{
    static const struct loop_http_events_options options = {.keep_events = 600,
                                                            .subscribers = 200,
                                                            .retry_ms = 1000,
                                                            .lost = "lost"};
    int error = make_routes(&dashboard.router);
    if (error == 0)
        error = loop_http_events_init(&serve->loop, &dashboard.events, &options);
    if (error < 0)
        return error;
    dashboard.serve = serve;
    dashboard.samples = json_array();
    heart_start(&serve->loop, &dashboard.heart);
    loop_timer_init(&serve->loop, &dashboard.timer);
    loop_timer_set_fixed_rate(&dashboard.timer, true);
    loop_unref(&dashboard.timer.handle);
    return loop_timer_start(&dashboard.timer, 0, SAMPLE_NS, on_second);
}

static void close_dashboard(struct serve *serve)
{
    (void)serve;
    loop_http_router_fini(&dashboard.router);
    if (!dashboard.serve)
        return;
    loop_timer_stop(&dashboard.timer);
    heart_stop(&dashboard.heart);
    loop_http_events_fini(&dashboard.events);
    json_decref(dashboard.samples);
}

int main(int argc, char **argv)
{
    static struct serve serving = {.about = "What the machine and the loop are doing, live.",
                                   .http.on_request = on_request,
                                   .open = open_dashboard,
                                   .close = close_dashboard};
    return serve(argc, argv, &serving);
}
