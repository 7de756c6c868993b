/* Internal. What a router is made of: a tree of segments, and steps that run.
 *
 * A request under way remembers nothing but the step that it is at, in req->route: a middleware,
 * a route, or the answer to what is missing. What comes next, and what the parameters are, is found
 * by looking at the path once more, which is cheaper than to keep it: nothing has to be allocated
 * for a request, nor freed with it, and nothing points into a tree that may grow meanwhile.
 *
 * A reader of a body (body.h) puts itself before the step, as long as it reads, for want of another
 * place of its own in a request: route_step_of() looks through it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_ROUTER_INSIDE_H
#define LOOP_HTTP_ROUTER_INSIDE_H

#include "loop/http/router.h"
#include "url/url_text.h"

enum route_kind { ROUTE_HANDLER, ROUTE_MIDDLEWARE, ROUTE_MISSING, ROUTE_READER };

/* What req->route points to. */
struct route_mark {
    enum route_kind kind;
};

struct route_step {
    struct route_mark mark;
    struct loop_http_router *router;
    struct route_step *next; /* middleware of the router; routes of the node */
    loop_http_request_cb cb; /* NULL: the library's own answer */
    void *data;
    char *pattern;                          /* of a route */
    char method[LOOP_ROUTE_METHOD_MAX + 1]; /* of a route; "*": any */
};

/* What has begun to read a body. */
struct route_reader {
    struct route_mark mark;
    const void *route; /* what req->route was */
};

struct route_node {
    struct route_node *children; /* written out segments, each list by beside */
    struct route_node *beside;
    struct route_node *param;    /* any one segment */
    struct route_node *wildcard; /* all the rest */
    struct route_step *routes;
    struct loop_http_router *mounted;
    size_t size;
    char segment[]; /* size bytes, decoded */
};

/* What the path of a request leads to. */
struct route_found {
    struct loop_http_router *router; /* the innermost that the path leads into */
    struct route_step *route;        /* NULL: none for the method */
};

/* The first segment of a path that begins with "/", without it; the rest begins with the next. */
struct loop_text route_take_segment(struct loop_text *path);

struct loop_http_router *route_outermost(struct loop_http_router *router);
int route_depth(const struct loop_http_router *router);

struct route_found route_find(struct loop_http_router *outermost,
                              const struct loop_http_request *req);

/* The methods that a path has, as an Allow header lists them; "": none. */
void route_methods(struct loop_http_router *outermost, const struct loop_http_request *req,
                   struct writer *writer);

/* NULL: the request is not in a router. */
const struct route_step *route_step_of(const struct loop_http_request *req);

/* Also while a body is read: the reader stays where it is. */
void route_set(struct loop_http_request *req, const struct route_step *step);

#endif
