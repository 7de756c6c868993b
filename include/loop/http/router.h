/* Public. Routes: which function answers which method and path. Part of libloop-http.
 *
 * A pattern is made of segments: "/users/:id/posts" takes any one segment that is not empty where
 * ":id" stands; "/files/" followed by "*path" takes all that follows, with its slashes. A segment
 * that is written out goes before a parameter, and that before a wildcard, whatever the order in
 * which they were given; a path that leads nowhere one way is tried the next. "/a" and "/a/" are
 * two paths. Paths are compared decoded, segment by segment, and not otherwise changed: "/a/../b"
 * is a path of three segments. Routes are written by the program: they are decoded text.
 *
 * What runs: the middleware of the router in the order in which it was given, then that of the
 * router mounted in it, if the path leads there, then the handler. Each middleware ends the
 * response, or calls loop_http_next(), at once or any time later. HEAD is answered by the handler
 * of GET, OPTIONS by the methods that there are, if they have no handler of their own; a path that
 * has other methods alone is answered with 405, and one that there is not with 404, also behind the
 * middleware.
 *
 * A router is the caller's memory. It serves from the moment in which it is given to a request, and
 * may get more routes at any time, on the loop's thread. Looking up a route allocates nothing, and
 * takes no longer than there are routes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_ROUTER_H
#define LOOP_HTTP_ROUTER_H

#include "../task.h"

#include "../http.h"
#include "url.h"

enum {
    LOOP_ROUTE_PATTERN_MAX = 1024, /* bytes */
    LOOP_ROUTE_SEGMENTS_MAX = 32,  /* of a pattern */
    LOOP_ROUTE_METHOD_MAX = 32,    /* bytes */
    LOOP_ROUTE_MOUNTS_MAX = 8,     /* routers one below the other */
};

struct route_node;
struct route_step;

/* An answer to what went wrong: ends the response. message may be NULL. */
typedef void (*loop_http_failure_cb)(struct loop_http_request *req, struct loop_http_response *res,
                                     int status, const char *message);

struct loop_http_router {
    void *data; /* yours */

    /* private */
    struct route_node *root;
    struct route_step *first, *last; /* middleware, in its order */
    struct route_step *missing;
    struct loop_http_router *parent; /* that it is mounted in; or NULL */
    struct loop_http_router *below;  /* mounted in this one, the last first */
    struct loop_http_router *beside; /* mounted in the same one */
    char *prefix;                    /* where in the parent */
    loop_http_failure_cb failure_cb;
};

/* Makes a router without routes. Errors: -ENOMEM. */
LOOP_API int loop_http_router_init(struct loop_http_router *router);

/* Frees what it has. No request may be under way in it. Routers mounted in it stay the caller's,
 * mounted nowhere; it is taken out of the one that it is mounted in. Harmless if called twice, or
 * on one that is all zero. */
LOOP_API void loop_http_router_fini(struct loop_http_router *router);

/* Has handler answer a method ("GET"; "*": any that has no handler of its own) where the pattern
 * matches. data is for loop_http_route_data(). A pattern "" is, in a router that is mounted, its
 * prefix itself. Errors, with nothing changed: -EEXIST (another handler has the method at the same
 * paths, whatever the names of parameters), -EINVAL (no token, no "/" in front, a parameter without
 * a name or one name twice, a wildcard that is not last; NULL), -ENAMETOOLONG, -E2BIG (over
 * LOOP_ROUTE_SEGMENTS_MAX), -ENOMEM. */
LOOP_API int loop_http_route(struct loop_http_router *router, const char *method,
                             const char *pattern, loop_http_request_cb handler, void *data);

/* Has middleware run before all handlers of the router, and before 404 and 405. Errors: -EINVAL,
 * -ENOMEM. */
LOOP_API int loop_http_use(struct loop_http_router *router, loop_http_request_cb middleware,
                           void *data);

/* Puts all routes of child below a prefix ("/api", "/users/:user"). Routes that router itself has
 * there go first. child is lent until one of the two is finished. Errors: -EEXIST (there is one),
 * -EBUSY (child is mounted), -ELOOP (child contains router, or is over LOOP_ROUTE_MOUNTS_MAX deep),
 * and as loop_http_route(); -EINVAL also of a prefix with a wildcard, or a "/" at its end. */
LOOP_API int loop_http_mount(struct loop_http_router *router, const char *prefix,
                             struct loop_http_router *child);

/* Answers paths that no route matches, in place of "404 Not Found"; and, in a router that is
 * mounted, those below its prefix. NULL: as before. */
LOOP_API void loop_http_on_missing(struct loop_http_router *router, loop_http_request_cb handler);

/* Answers what loop_http_fail() is told, and 405, in this router and those mounted in it, but for
 * those with an answer of their own. NULL: as before. */
LOOP_API void loop_http_on_failure(struct loop_http_router *router, loop_http_failure_cb cb);

/* Answers a request: call it in the request callback, with the outermost router. A path with an
 * escape that is none is a failure, of status 400. */
LOOP_API void loop_http_router_handle(struct loop_http_router *router,
                                      struct loop_http_request *req,
                                      struct loop_http_response *res);

/* In middleware: goes on to the next, and at last to the handler, which may run, and end the
 * response, before this returns. Once for each middleware. In a handler: it was not meant, and the
 * answer is that to a path that there is not. */
LOOP_API void loop_http_next(struct loop_http_request *req, struct loop_http_response *res);

/* Ends the response for something that went wrong, by the failure callback of the router or, if
 * there is none, loop_http_end_error(). At any time from loop_http_router_handle() on. */
LOOP_API void loop_http_fail(struct loop_http_request *req, struct loop_http_response *res,
                             int status, const char *message);

/* The value of a parameter of the path, decoded once, with a 0 behind it; returns its length. It
 * may be "..", and hold slashes: it is no path. That of a wildcard is one, as loop_url_path() makes
 * it, beginning with "/". In middleware there are the parameters of prefixes alone. Errors:
 * -ENOENT (no such parameter, or no route), -EINVAL (a 0 in it; a wildcard that is no safe path),
 * -ENOBUFS (as long as the target and 1 always suffices). */
LOOP_API ssize_t loop_http_param(const struct loop_http_request *req, const char *name, char *value,
                                 size_t capacity);

/* The pattern of the route that a request took, with all prefixes: for logs and statistics, where
 * paths would be too many. Also in on_log. -ENOENT: none; -ENOBUFS. */
LOOP_API ssize_t loop_http_route_pattern(const struct loop_http_request *req, char *text,
                                         size_t capacity);

/* What was given with the handler or middleware that runs. NULL: nothing. */
LOOP_API void *loop_http_route_data(const struct loop_http_request *req);

#endif
