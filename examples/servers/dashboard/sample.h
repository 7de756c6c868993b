/* One second of the machine, the loop, the pool and the server, as JSON for the page and as text
 * for Prometheus.
 *
 * The JSON holds what a person wants to see: rates and shares since the sample before. Prometheus
 * wants totals, and makes rates of them itself.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "heart.h"
#include "machine.h"

#include <jansson.h>
#include <loop/http.h>

/* Totals, all taken in one moment. */
struct sample {
    uint64_t number;
    struct machine machine;
    struct heart_lag lag;
    uint64_t turns;
    uint64_t callbacks;
    uint64_t asleep_ns;
    unsigned handles; /* active, or with a descriptor */
    struct loop_pool_stats pool;
    struct loop_http_stats server;
    uint64_t viewers;
};

/* Takes all but number, machine and viewers, which are the caller's. */
void sample_take(struct sample *sample, struct loop *loop, struct heart *heart,
                 const struct loop_http_server *server);

/* What was between two: a new reference, or NULL. */
json_t *sample_json(const struct sample *now, const struct sample *before);

/* Text for Prometheus, malloc()ed; NULL: no memory. */
char *sample_metrics(const struct sample *sample);

#endif
