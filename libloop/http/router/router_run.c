/* A request on its way through a router: middleware, the handler, and what is answered without.
 *
 * Where a request is, stands in req->route, and nowhere else. loop_http_next() finds the step that
 * follows it: the next middleware of the same router, then the first of the one mounted in it that
 * the path leads into, and behind the last of them the handler. So a middleware may take as long as
 * it likes, and end the response whenever it likes: there is nothing to be cleaned up.
 *
 * After each call of a user's function the request may be gone, so such a call is the last thing
 * that a function here does.
 *
 * SPDX-License-Identifier: MIT */
#include "router/router.h"

enum { METHODS_SIZE = 1024 }; /* an Allow header: HTTP has some 40 methods of 6 letters */

static void run(const struct route_step *step, struct loop_http_request *req,
                struct loop_http_response *res)
{
    route_set(req, step);
    step->cb(req, res);
}

static loop_http_failure_cb failure_of(const struct loop_http_router *router)
{
    while (!router->failure_cb && router->parent)
        router = router->parent;
    return router->failure_cb;
}

void loop_http_fail(struct loop_http_request *req, struct loop_http_response *res, int status,
                    const char *message)
{
    const struct route_step *step = route_step_of(req);
    loop_http_failure_cb cb = step ? failure_of(step->router) : NULL;
    if (cb)
        cb(req, res, status, message);
    else
        loop_http_end_error(res, status, message);
}

static void answer_missing(struct loop_http_router *router, struct loop_http_request *req,
                           struct loop_http_response *res)
{
    while (!router->missing->cb && router->parent)
        router = router->parent;
    route_set(req, router->missing);
    if (router->missing->cb)
        router->missing->cb(req, res);
    else
        loop_http_fail(req, res, 404, NULL);
}

/* 405 keeps the Allow header, which loop_http_end_error() would take away. */
static void answer_not_allowed(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct route_step *step = route_step_of(req);
    loop_http_failure_cb cb = failure_of(step->router);
    loop_http_set_status(res, 405);
    if (cb)
        cb(req, res, 405, NULL);
    else
        loop_http_end_text(res, "Method Not Allowed\n");
}

/* The path leads to no handler for the method. */
static void answer_without(struct loop_http_router *router, struct loop_http_request *req,
                           struct loop_http_response *res)
{
    char methods[METHODS_SIZE];
    struct writer writer = {.bytes = methods, .capacity = sizeof(methods)};
    bool asks = strcmp(req->method, "OPTIONS") == 0;
    bool of_server = asks && strcmp(req->path, "*") == 0; /* of no path: RFC 9110, 9.3.7 */
    route_methods(route_outermost(router), req, &writer);
    if (write_end(&writer) <= 0 && !of_server) {
        answer_missing(router, req, res);
        return;
    }
    route_set(req, router->missing);
    if (writer.size > 0)
        loop_http_set_header(res, "allow", methods);
    if (!asks) {
        answer_not_allowed(req, res);
        return;
    }
    loop_http_set_status(res, 204);
    loop_http_end(res, NULL, 0);
}

/* The router directly below from that inner is, or is in; from NULL: the outermost. */
static struct loop_http_router *toward(struct loop_http_router *inner,
                                       const struct loop_http_router *from)
{
    while (inner && inner->parent != from)
        inner = inner->parent;
    return inner;
}

/* The middleware of from is behind: into the next router on the way, or to the end of it. */
static void go_on(struct loop_http_router *from, struct route_found found,
                  struct loop_http_request *req, struct loop_http_response *res)
{
    while (from != found.router) {
        from = toward(found.router, from);
        if (!from) { /* somebody has changed the path: it leads out of where the request is */
            loop_http_end_error(res, 500, NULL);
            return;
        }
        if (from->first) {
            run(from->first, req, res);
            return;
        }
    }
    if (found.route)
        run(found.route, req, res);
    else
        answer_without(found.router, req, res);
}

static bool is_encoded_well(const char *path)
{
    struct loop_text rest = loop_text_of(path);
    for (; rest.size > 0; rest.bytes++, rest.size--)
        if (rest.bytes[0] == '%' && text_escape(rest) < 0)
            return false;
    return true;
}

void loop_http_router_handle(struct loop_http_router *router, struct loop_http_request *req,
                             struct loop_http_response *res)
{
    router = route_outermost(router);
    route_set(req, router->missing);
    if (is_encoded_well(req->path))
        go_on(NULL, route_find(router, req), req, res);
    else
        loop_http_fail(req, res, 400, NULL);
}

void loop_http_next(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct route_step *step = route_step_of(req);
    if (!step || step->mark.kind == ROUTE_MISSING)
        loop_http_fail(req, res, 404, NULL);
    else if (step->mark.kind == ROUTE_HANDLER)
        answer_missing(step->router, req, res);
    else if (step->next)
        run(step->next, req, res);
    else
        go_on(step->router, route_find(route_outermost(step->router), req), req, res);
}
