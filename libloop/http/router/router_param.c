/* What a handler may ask about the way that its request came: parameters, pattern, data.
 *
 * The step that a request is at knows its pattern, and its router the prefixes before it. To find a
 * parameter, patterns and path are walked side by side until its name comes by. That is a few dozen
 * bytes to look at, most often once for a request, and spares it a table. Decoding is done into
 * the caller's memory, once.
 *
 * SPDX-License-Identifier: MIT */
#include "router/router.h"

const struct route_step *route_step_of(const struct loop_http_request *req)
{
    const struct route_mark *mark = req->route;
    while (mark && mark->kind == ROUTE_READER)
        mark = ((const struct route_reader *)(const void *)mark)->route;
    return (const struct route_step *)(const void *)mark;
}

void route_set(struct loop_http_request *req, const struct route_step *step)
{
    const struct route_mark *mark = req->route;
    if (mark && mark->kind == ROUTE_READER)
        ((struct route_reader *)(uintptr_t)req->route)->route = step;
    else
        req->route = step;
}

/* Where a parameter is sought. */
struct side {
    struct loop_text path; /* what is left of it */
    const char *name;
    struct loop_text value;
    bool wildcard;
};

/* Walks along a pattern; true: the name came by. */
static bool walk_pattern(struct side *side, const char *string)
{
    struct loop_text pattern = loop_text_of(string);
    while (pattern.size > 0 && side->path.size > 0) {
        struct loop_text all = side->path;
        struct loop_text piece = route_take_segment(&pattern);
        struct loop_text segment = route_take_segment(&side->path);
        if (piece.size < 2 || (piece.bytes[0] != ':' && piece.bytes[0] != '*'))
            continue;
        side->wildcard = piece.bytes[0] == '*';
        side->value = side->wildcard ? all : segment;
        piece.bytes++;
        piece.size--;
        if (loop_text_equal(piece, side->name))
            return true;
    }
    return false;
}

/* Along the prefixes, the outermost first. */
static bool walk_prefixes(struct side *side, const struct loop_http_router *router)
{
    return router->parent &&
           (walk_prefixes(side, router->parent) || walk_pattern(side, router->prefix));
}

ssize_t loop_http_param(const struct loop_http_request *req, const char *name, char *value,
                        size_t capacity)
{
    const struct route_step *step = route_step_of(req);
    struct side side = {.path = loop_text_of(req->path), .name = name};
    if (!step || req->path[0] != '/')
        return -ENOENT;
    if (!walk_prefixes(&side, step->router) &&
        !(step->pattern && walk_pattern(&side, step->pattern)))
        return -ENOENT;
    if (side.wildcard)
        return loop_url_path(side.value, value, capacity);
    ssize_t size = loop_percent_decode(side.value, value, capacity);
    return size > 0 && memchr(value, '\0', (size_t)size) ? -EINVAL : size;
}

static void write_prefixes(struct writer *writer, const struct loop_http_router *router)
{
    if (!router->parent)
        return;
    write_prefixes(writer, router->parent);
    write_string(writer, router->prefix);
}

ssize_t loop_http_route_pattern(const struct loop_http_request *req, char *text, size_t capacity)
{
    const struct route_step *step = route_step_of(req);
    struct writer writer = {.bytes = text, .capacity = capacity};
    if (!step || !step->pattern)
        return -ENOENT;
    write_prefixes(&writer, step->router);
    write_string(&writer, step->pattern);
    return write_end(&writer);
}

void *loop_http_route_data(const struct loop_http_request *req)
{
    const struct route_step *step = route_step_of(req);
    return step ? step->data : NULL;
}
