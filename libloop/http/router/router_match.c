/* Which route a path leads to: one walk down the tree, segment by segment.
 *
 * At each node what is written out goes first, then the parameter, the router mounted there, and
 * the wildcard; where a way ends without an answer for the method, the next is tried. Each node is
 * reached by one way only, so that none is visited twice, however long the path: a walk is never
 * longer than the tree is large. It is as deep as patterns are, of which registration sees to it
 * that they are not deep.
 *
 * A segment is compared with its escapes decoded on the way: "/us%65rs" is "/users", and an encoded
 * "/" divides nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "router/router.h"

struct search {
    const char *method;
    struct writer *methods; /* not NULL: gather them all, find none */
    struct route_found found;
};

static bool matches(struct loop_text segment, const struct route_node *node)
{
    size_t length = 0;
    while (segment.size > 0) {
        int byte = segment.bytes[0] == '%' ? text_escape(segment) : (unsigned char)segment.bytes[0];
        size_t size = segment.bytes[0] == '%' ? 3 : 1;
        if (length == node->size || byte != (unsigned char)node->segment[length])
            return false;
        segment.bytes += size;
        segment.size -= size;
        length++;
    }
    return length == node->size;
}

static struct route_step *route_for(const struct route_node *node, const char *method)
{
    for (struct route_step *route = node->routes; route; route = route->next)
        if (strcmp(route->method, method) == 0)
            return route;
    return NULL;
}

static bool is_listed(const struct writer *writer, const char *method)
{
    struct loop_text list = {writer->bytes, writer->size};
    while (list.size > 0)
        if (text_is(text_trim(text_cut(&list, ',')), method))
            return true;
    return false;
}

static void list_method(struct writer *writer, const char *method)
{
    if (is_listed(writer, method))
        return;
    write_string(writer, writer->size > 0 ? ", " : "");
    write_string(writer, method);
}

static void list_methods(const struct route_node *node, struct writer *writer)
{
    for (const struct route_step *route = node->routes; route; route = route->next) {
        list_method(writer, route->method);
        if (strcmp(route->method, "GET") == 0)
            list_method(writer, "HEAD");
    }
}

/* The path has ended at a node: whether that is an answer. */
static bool arrive(const struct route_node *node, struct loop_http_router *router,
                   struct search *search)
{
    if (search->methods) {
        list_methods(node, search->methods);
        return false;
    }
    struct route_step *route = route_for(node, search->method);
    if (!route && strcmp(search->method, "HEAD") == 0)
        route = route_for(node, "GET");
    if (!route)
        route = route_for(node, "*");
    if (!route)
        return false;
    search->found = (struct route_found){.router = router, .route = route};
    return true;
}

static bool walk(const struct route_node *node, struct loop_http_router *router,
                 struct loop_text path, struct search *search);

static bool walk_mounted(struct loop_http_router *child, struct loop_text path,
                         struct search *search)
{
    if (!child)
        return false;
    if (route_depth(child) > route_depth(search->found.router))
        search->found.router = child;
    return walk(child->root, child, path, search);
}

static bool walk(const struct route_node *node, struct loop_http_router *router,
                 struct loop_text path, struct search *search)
{
    struct loop_text rest = path;
    if (path.size == 0)
        return arrive(node, router, search) || walk_mounted(node->mounted, path, search);
    struct loop_text segment = route_take_segment(&rest);
    for (const struct route_node *child = node->children; child; child = child->beside)
        if (matches(segment, child) && walk(child, router, rest, search))
            return true;
    if (node->param && segment.size > 0 && walk(node->param, router, rest, search))
        return true;
    if (walk_mounted(node->mounted, path, search))
        return true;
    return node->wildcard && arrive(node->wildcard, router, search);
}

struct route_found route_find(struct loop_http_router *outermost,
                              const struct loop_http_request *req)
{
    struct search search = {.method = req->method, .found = {.router = outermost}};
    if (req->path[0] == '/')
        walk(outermost->root, outermost, loop_text_of(req->path), &search);
    return search.found;
}

void route_methods(struct loop_http_router *outermost, const struct loop_http_request *req,
                   struct writer *writer)
{
    struct search search = {.methods = writer, .found = {.router = outermost}};
    if (req->path[0] == '/')
        walk(outermost->root, outermost, loop_text_of(req->path), &search);
    if (writer->size > 0)
        list_method(writer, "OPTIONS");
}
