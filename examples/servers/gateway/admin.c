/* The figures of a gateway: see admin.h.
 *
 * Each is a function of an upstream, so that the table below says all there is, and a figure comes
 * with the sentence that Prometheus shows.
 *
 * SPDX-License-Identifier: MIT */
#include "admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t (*figure)(const struct upstream *upstream);

static uint64_t is_usable(const struct upstream *upstream)
{
    return upstream->state != UPSTREAM_DOWN;
}

static uint64_t active(const struct upstream *upstream)
{
    return upstream->active;
}

static uint64_t requests(const struct upstream *upstream)
{
    return upstream->requests;
}

static uint64_t failed(const struct upstream *upstream)
{
    return upstream->failed;
}

static uint64_t took_over(const struct upstream *upstream)
{
    return upstream->took_over;
}

static uint64_t ejected(const struct upstream *upstream)
{
    return upstream->ejected;
}

static uint64_t probes(const struct upstream *upstream)
{
    return upstream->probes;
}

static uint64_t probes_failed(const struct upstream *upstream)
{
    return upstream->probes_failed;
}

static uint64_t connections(const struct upstream *upstream)
{
    return upstream->client.stats.connections;
}

static uint64_t opened(const struct upstream *upstream)
{
    return upstream->client.stats.opened;
}

static uint64_t reused(const struct upstream *upstream)
{
    return upstream->client.stats.reused;
}

static const struct {
    const char *name, *type, *help;
    figure of;
} figures[] = {
    {"up", "gauge", "1: it is asked.", is_usable},
    {"active", "gauge", "Requests under way.", active},
    {"requests_total", "counter", "Requests that it was given.", requests},
    {"failures_total", "counter", "Of those, without a whole answer.", failed},
    {"took_over_total", "counter", "Of those, another had failed at.", took_over},
    {"ejections_total", "counter", "How often it was left alone.", ejected},
    {"probes_total", "counter", "Probes.", probes},
    {"probe_failures_total", "counter", "Probes that failed.", probes_failed},
    {"connections", "gauge", "Connections to it.", connections},
    {"connections_opened_total", "counter", "Connections opened.", opened},
    {"connections_reused_total", "counter", "Requests over a kept connection.", reused},
};

static void write_upstreams(FILE *file, const struct upstreams *all)
{
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        fprintf(file, "# HELP gateway_upstream_%s %s\n# TYPE gateway_upstream_%s %s\n",
                figures[i].name, figures[i].help, figures[i].name, figures[i].type);
        for (unsigned each = 0; each < all->count; each++)
            fprintf(file, "gateway_upstream_%s{upstream=\"%s\"} %llu\n", figures[i].name,
                    all->list[each].name, (unsigned long long)figures[i].of(&all->list[each]));
    }
    fprintf(file, "# HELP gateway_upstream_answers_total Answers by the first digit.\n"
                  "# TYPE gateway_upstream_answers_total counter\n");
    for (unsigned each = 0; each < all->count; each++) {
        for (int digit = 2; digit < 6; digit++)
            fprintf(file, "gateway_upstream_answers_total{upstream=\"%s\",code=\"%dxx\"} %llu\n",
                    all->list[each].name, digit,
                    (unsigned long long)all->list[each].answers[digit]);
    }
}

static void write_front(FILE *file, const struct loop_http_stats *stats)
{
    fprintf(file,
            "# TYPE gateway_connections gauge\ngateway_connections %llu\n"
            "# TYPE gateway_requests_total counter\ngateway_requests_total %llu\n"
            "# TYPE gateway_active gauge\ngateway_active %llu\n"
            "# TYPE gateway_refused_total counter\ngateway_refused_total %llu\n",
            (unsigned long long)stats->connections, (unsigned long long)stats->requests,
            (unsigned long long)stats->active, (unsigned long long)stats->refused);
    fprintf(file, "# TYPE gateway_responses_total counter\n");
    for (int digit = 2; digit < 6; digit++)
        fprintf(file, "gateway_responses_total{code=\"%dxx\"} %llu\n", digit,
                (unsigned long long)stats->responses[digit]);
}

static void end_metrics(struct admin *admin, struct loop_http_response *res)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file) {
        write_front(file, &admin->front->stats);
        write_upstreams(file, admin->upstreams);
    }
    if (!file || fclose(file) != 0) {
        loop_http_end_error(res, 503, NULL);
    } else {
        loop_http_set_header(res, "content-type", "text/plain; version=0.0.4; charset=utf-8");
        loop_http_end(res, text, size);
    }
    free(text);
}

static bool anybody_there(const struct upstreams *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (all->list[i].state != UPSTREAM_DOWN)
            return true;
    }
    return false;
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    struct admin *admin = req->server->data;
    if (strcmp(req->path, "/metrics") == 0)
        end_metrics(admin, res);
    else if (strcmp(req->path, "/health") != 0)
        loop_http_end_error(res, 404, "There are /metrics and /health.");
    else if (anybody_there(admin->upstreams))
        loop_http_end_text(res, "ok\n");
    else
        loop_http_end_error(res, 503, "No server behind this gateway is there.");
}

int admin_open(struct admin *admin, const struct upstreams *upstreams,
               const struct loop_http_server *front, const char *port_text)
{
    char *end;
    if (!port_text)
        return 0;
    unsigned long port = strtoul(port_text, &end, 10);
    if (*port_text < '0' || *port_text > '9' || *end != '\0' || port > UINT16_MAX)
        return -EINVAL;
    const struct loop_http_options options = {.on_request = on_request};
    admin->upstreams = upstreams;
    admin->front = front;
    int error = loop_http_server_init(upstreams->loop, &admin->server, &options);
    if (error < 0)
        return error;
    admin->open = true;
    admin->server.data = admin;
    error = loop_http_listen(&admin->server, "127.0.0.1", (uint16_t)port, 0);
    if (error == 0)
        fprintf(stderr, "metrics on http://127.0.0.1:%u/metrics\n",
                loop_http_server_port(&admin->server));
    return error;
}

void admin_close(struct admin *admin)
{
    if (admin->open)
        loop_http_server_close(&admin->server, 0, NULL);
    admin->open = false;
}
