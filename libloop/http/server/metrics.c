/* The statistics of a server in the text format of Prometheus (version 0.0.4), and as a histogram
 * of how long exchanges took.
 *
 * Counters end in _total and never fall, gauges have no ending, times are in seconds: the
 * conventions that its dashboards rely on. The page is made in one buffer on the stack, which is
 * larger than it can be; what would not fit is left out whole.
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct page {
    char text[8192];
    size_t used;
    const char *prefix;
};

__attribute__((format(printf, 2, 3))) static void say(struct page *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = sizeof(page->text) - page->used;
    int size = vsnprintf(page->text + page->used, room, format, args);
    va_end(args);
    if (size > 0 && (size_t)size < room)
        page->used += (size_t)size;
}

static void say_number(struct page *page, const char *type, const char *name, uint64_t number)
{
    say(page, "# TYPE %s_%s %s\n%s_%s %" PRIu64 "\n", page->prefix, name, type, page->prefix, name,
        number);
}

static void say_responses(struct page *page, const struct loop_http_stats *stats)
{
    say(page, "# TYPE %s_responses_total counter\n", page->prefix);
    for (unsigned digit = 1; digit <= 5; digit++)
        say(page, "%s_responses_total{code=\"%uxx\"} %" PRIu64 "\n", page->prefix, digit,
            stats->responses[digit]);
}

/* Every other bucket: a factor of four is fine enough to see by. */
static void say_durations(struct page *page, const struct loop_http_stats *stats)
{
    enum { BUCKETS = sizeof(stats->buckets) / sizeof(stats->buckets[0]) };
    uint64_t count = 0;
    say(page, "# TYPE %s_request_duration_seconds histogram\n", page->prefix);
    for (unsigned i = 0; i < BUCKETS; i++) {
        count += stats->buckets[i];
        if (i % 2 == 0)
            say(page, "%s_request_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n", page->prefix,
                64e-6 * (double)(1U << i), count);
    }
    say(page, "%s_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", page->prefix, count);
    say(page, "%s_request_duration_seconds_sum %g\n", page->prefix,
        (double)stats->duration_ns / 1e9);
    say(page, "%s_request_duration_seconds_count %" PRIu64 "\n", page->prefix, count);
}

int loop_http_end_metrics(struct loop_http_response *res, const char *prefix)
{
    const struct loop_http_stats *stats = &res->request->server->stats;
    struct page page = {.prefix = prefix ? prefix : "http"};
    say_number(&page, "counter", "connections_accepted_total", stats->accepted);
    say_number(&page, "gauge", "connections", stats->connections);
    say_number(&page, "counter", "requests_total", stats->requests);
    say_number(&page, "gauge", "requests_active", stats->active);
    say_number(&page, "counter", "requests_refused_total", stats->refused);
    say_number(&page, "counter", "connections_timed_out_total", stats->timed_out);
    say_number(&page, "counter", "received_bytes_total", stats->bytes_in);
    say_number(&page, "counter", "sent_bytes_total", stats->bytes_out);
    say_responses(&page, stats);
    say_durations(&page, stats);
    loop_http_set_header(res, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    return loop_http_end(res, page.text, page.used);
}
