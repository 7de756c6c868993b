/* The servers behind a gateway: which of them is asked next, and which are left alone for now.
 *
 *            three failures in a row, one refused connection, or two bad probes
 *     up ---------------------------------------------------------------------> down
 *      ^                                                                         |
 *      |  one answer, or one more good probe                     one good probe  |
 *      '---------------------------- trying <------------------------------------'
 *                                       '--- any failure ---> down
 *
 * Each is probed once a second, whatever its state, and has a second to answer. One that is being
 * tried gets a single request at a time. An answer is an answer, whatever its status: a server that
 * says 500 is there.
 *
 * SPDX-License-Identifier: MIT */
#ifndef UPSTREAMS_H
#define UPSTREAMS_H

#include <loop.h>
#include <loop/http/client.h>
#include <loop/http/url.h>

enum { UPSTREAMS_MAX = 32, UPSTREAM_NAME_SIZE = 80 };

enum upstream_state { UPSTREAM_UP, UPSTREAM_DOWN, UPSTREAM_TRYING };

struct upstream {
    char name[UPSTREAM_NAME_SIZE]; /* "127.0.0.1:8081" */
    struct loop_http_client client;
    enum upstream_state state;
    uint64_t active;   /* requests that it has now */
    unsigned failures; /* in a row */

    /* since the start */
    uint64_t requests, failed, ejected, took_over; /* the last: what another one had failed at */
    uint64_t answers[6];                           /* by the first digit of the status */
    uint64_t probes, probes_failed;

    /* private */
    struct upstreams *all;
    struct loop_http_client prober; /* so that no probe waits for a connection */
    struct loop_http_call probe;
    unsigned bad_probes; /* in a row */
};

struct upstreams_options {
    const char *health;      /* the path that is probed */
    uint64_t probe_every_ns; /* but never two at once */
    uint64_t probe_ns;       /* that one may take */
    bool round_robin;        /* in place of: who has the fewest requests */
    struct loop_http_client_options client;
};

struct upstreams {
    struct loop *loop;
    struct upstreams_options options;
    struct upstream list[UPSTREAMS_MAX];
    unsigned count;
    unsigned next; /* with whom the search begins */
    struct loop_timer timer;
};

void upstreams_init(struct loop *loop, struct upstreams *all,
                    const struct upstreams_options *options);

/* Errors: -EINVAL (not "HOST:PORT"), -E2BIG. */
int upstreams_add(struct upstreams *all, const char *name);

/* Begins to probe. */
int upstreams_start(struct upstreams *all);

/* Probes no more: the gateway is about to end. Harmless if it does not. */
void upstreams_stop(struct upstreams *all);

/* When no request is under way. */
void upstreams_close(struct upstreams *all);

/* The one to ask, which counts it in; never other. NULL: there is none. */
struct upstream *upstreams_take(struct upstreams *all, const struct upstream *other);

/* The outcome of a request: the status of on_end, and that of HTTP. */
void upstream_done(struct upstream *upstream, int error, int status);

/* The request has not begun after all. */
void upstream_give_back(struct upstream *upstream);

/* "up", "down", "trying". */
const char *upstream_state_name(const struct upstream *upstream);

#endif
