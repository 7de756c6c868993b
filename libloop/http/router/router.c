/* Routers: their making, and the registration of what they serve.
 *
 * A pattern is checked whole, then the nodes on its way are found or made, and at last the route is
 * hung to the last of them. Nodes that were made for a route which then met a conflict or the end
 * of memory stay: they match nothing. The names of parameters are not in the tree, where
 * "/:a" and "/:b" are one node, but in the pattern that each route keeps, so that two methods may
 * call the same segment differently.
 *
 * Regular expressions, which other routers offer for segments, are left out: a handler can look at
 * its parameter, and a table of patterns that overlap in ways that nobody sees is no table.
 *
 * SPDX-License-Identifier: MIT */
#include "router/router.h"

#include <stdlib.h>

static struct route_node *make_node(struct loop_text segment)
{
    struct route_node *node = calloc(1, sizeof(*node) + segment.size);
    if (node && segment.size > 0)
        memcpy(node->segment, segment.bytes, segment.size);
    if (node)
        node->size = segment.size;
    return node;
}

static void free_step(struct route_step *step)
{
    if (step)
        free(step->pattern);
    free(step);
}

static void free_steps(struct route_step *step)
{
    while (step) {
        struct route_step *next = step->next;
        free_step(step);
        step = next;
    }
}

/* As deep as a pattern has segments. */
static void free_nodes(struct route_node *node)
{
    while (node) {
        struct route_node *beside = node->beside;
        free_nodes(node->children);
        free_nodes(node->param);
        free_nodes(node->wildcard);
        free_steps(node->routes);
        free(node);
        node = beside;
    }
}

static struct route_step *make_step(struct loop_http_router *router, enum route_kind kind,
                                    loop_http_request_cb cb, void *data)
{
    struct route_step *step = calloc(1, sizeof(*step));
    if (!step)
        return NULL;
    step->mark.kind = kind;
    step->router = router;
    step->cb = cb;
    step->data = data;
    return step;
}

int loop_http_router_init(struct loop_http_router *router)
{
    struct route_node *root = make_node((struct loop_text){0});
    struct route_step *missing = make_step(router, ROUTE_MISSING, NULL, NULL);
    if (!root || !missing) {
        free(root);
        free(missing);
        return -ENOMEM;
    }
    void *data = router->data;
    *router = (struct loop_http_router){.data = data, .root = root, .missing = missing};
    return 0;
}

struct loop_text route_take_segment(struct loop_text *path)
{
    struct loop_text segment = {path->bytes + 1, 0};
    path->bytes++;
    path->size--;
    while (path->size > 0 && path->bytes[0] != '/') {
        path->bytes++;
        path->size--;
        segment.size++;
    }
    return segment;
}

struct loop_http_router *route_outermost(struct loop_http_router *router)
{
    while (router->parent)
        router = router->parent;
    return router;
}

int route_depth(const struct loop_http_router *router)
{
    int depth = 0;
    for (; router->parent; router = router->parent)
        depth++;
    return depth;
}

static bool is_param(struct loop_text segment)
{
    return segment.size > 0 && segment.bytes[0] == ':';
}

static bool is_wildcard(struct loop_text segment)
{
    return segment.size > 0 && segment.bytes[0] == '*';
}

/* Whether a pattern before this rest has a parameter of the same name. */
static bool is_taken(struct loop_text pattern, struct loop_text segment)
{
    for (;;) { /* until the segment itself comes */
        struct loop_text other = route_take_segment(&pattern);
        if (other.bytes == segment.bytes)
            return false;
        if (is_param(other) && other.size == segment.size &&
            memcmp(other.bytes + 1, segment.bytes + 1, segment.size - 1) == 0)
            return true;
    }
}

static int check_pattern(const char *string)
{
    struct loop_text pattern = loop_text_of(string);
    struct loop_text rest = pattern;
    if (!string || (pattern.size > 0 && string[0] != '/'))
        return -EINVAL;
    if (pattern.size > LOOP_ROUTE_PATTERN_MAX)
        return -ENAMETOOLONG;
    for (int count = 0; rest.size > 0; count++) {
        struct loop_text segment = route_take_segment(&rest);
        bool named = is_param(segment) || is_wildcard(segment);
        if (count == LOOP_ROUTE_SEGMENTS_MAX)
            return -E2BIG;
        if (named && (segment.size == 1 || is_taken(pattern, segment)))
            return -EINVAL;
        if (is_wildcard(segment) && rest.size > 0)
            return -EINVAL;
    }
    return 0;
}

/* The child of a node for a segment of a pattern; NULL: no memory. */
static struct route_node *child_of(struct route_node *node, struct loop_text segment)
{
    struct loop_text none = {0};
    struct route_node **place = is_param(segment)      ? &node->param
                                : is_wildcard(segment) ? &node->wildcard
                                                       : &node->children;
    if (is_param(segment) || is_wildcard(segment)) {
        if (!*place)
            *place = make_node(none);
        return *place;
    }
    for (; *place; place = &(*place)->beside)
        if ((*place)->size == segment.size &&
            (segment.size == 0 || memcmp((*place)->segment, segment.bytes, segment.size) == 0))
            return *place;
    *place = make_node(segment);
    return *place;
}

static struct route_node *grow(struct loop_http_router *router, const char *pattern)
{
    struct loop_text rest = loop_text_of(pattern);
    struct route_node *node = router->root;
    while (node && rest.size > 0)
        node = child_of(node, route_take_segment(&rest));
    return node;
}

static int add_route(struct route_node *node, struct route_step *route)
{
    struct route_step **place = &node->routes;
    for (; *place; place = &(*place)->next)
        if (strcmp((*place)->method, route->method) == 0)
            return -EEXIST;
    *place = route;
    return 0;
}

int loop_http_route(struct loop_http_router *router, const char *method, const char *pattern,
                    loop_http_request_cb handler, void *data)
{
    int error = check_pattern(pattern);
    if (error || !method || !handler)
        return error ? error : -EINVAL;
    if (!text_is_token(loop_text_of(method)))
        return -EINVAL;
    if (strlen(method) > LOOP_ROUTE_METHOD_MAX)
        return -ENAMETOOLONG;
    struct route_step *route = make_step(router, ROUTE_HANDLER, handler, data);
    struct route_node *node = route ? grow(router, pattern) : NULL;
    if (node) {
        memcpy(route->method, method, strlen(method) + 1);
        route->pattern = strdup(pattern);
    }
    error = node && route->pattern ? add_route(node, route) : -ENOMEM;
    if (error)
        free_step(route);
    return error;
}

int loop_http_use(struct loop_http_router *router, loop_http_request_cb middleware, void *data)
{
    if (!middleware)
        return -EINVAL;
    struct route_step *step = make_step(router, ROUTE_MIDDLEWARE, middleware, data);
    if (!step)
        return -ENOMEM;
    if (router->last)
        router->last->next = step;
    else
        router->first = step;
    router->last = step;
    return 0;
}

/* How many routers there are one below the other, from this one on. */
static int height(const struct loop_http_router *router)
{
    int highest = 0;
    for (const struct loop_http_router *child = router->below; child; child = child->beside) {
        int above = height(child);
        highest = above > highest ? above : highest;
    }
    return highest + 1;
}

static int check_mount(struct loop_http_router *router, const char *prefix,
                       struct loop_http_router *child)
{
    int error = check_pattern(prefix);
    if (error)
        return error;
    if (!child || prefix[0] == '\0' || prefix[strlen(prefix) - 1] == '/' || strstr(prefix, "/*"))
        return -EINVAL;
    if (child->parent)
        return -EBUSY;
    bool deep = route_depth(router) + 1 + height(child) > LOOP_ROUTE_MOUNTS_MAX;
    return deep || route_outermost(router) == child ? -ELOOP : 0;
}

int loop_http_mount(struct loop_http_router *router, const char *prefix,
                    struct loop_http_router *child)
{
    int error = check_mount(router, prefix, child);
    if (error)
        return error;
    struct route_node *node = grow(router, prefix);
    if (node && node->mounted)
        return -EEXIST;
    char *copy = strdup(prefix);
    if (!node || !copy) {
        free(copy);
        return -ENOMEM;
    }
    node->mounted = child;
    child->prefix = copy;
    child->parent = router;
    child->beside = router->below;
    router->below = child;
    return 0;
}

/* A router that is mounted no more. */
static void let_go(struct loop_http_router *child)
{
    free(child->prefix);
    child->prefix = NULL;
    child->parent = NULL;
    child->beside = NULL;
}

static void unmount(struct loop_http_router *child)
{
    struct loop_http_router **place = &child->parent->below;
    while (*place != child)
        place = &(*place)->beside;
    *place = child->beside;
    grow(child->parent, child->prefix)->mounted = NULL; /* all of it is there */
    let_go(child);
}

void loop_http_router_fini(struct loop_http_router *router)
{
    if (router->parent)
        unmount(router);
    while (router->below) {
        struct loop_http_router *child = router->below;
        router->below = child->beside;
        let_go(child);
    }
    free_nodes(router->root);
    free_steps(router->first);
    free_step(router->missing);
    void *data = router->data;
    *router = (struct loop_http_router){.data = data};
}

void loop_http_on_missing(struct loop_http_router *router, loop_http_request_cb handler)
{
    router->missing->cb = handler;
}

void loop_http_on_failure(struct loop_http_router *router, loop_http_failure_cb cb)
{
    router->failure_cb = cb;
}
