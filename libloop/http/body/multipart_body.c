/* The body of a request given to the parser of multipart.c, with pauses.
 *
 * A pause holds at once: of the piece of the body in which it came the rest is copied, at most one
 * read's worth, and no other piece comes until that is used up. So a part is never further ahead
 * than its reader asked for, and at last the client has to wait. Going on is done by a tick, since
 * who says so may be inside a callback of ours.
 *
 * While it is paused the reader finishes for no reason, not even that the peer has gone: whoever
 * paused it has something under way that uses it.
 *
 * SPDX-License-Identifier: MIT */
#include "body/reader.h"

#include <stdlib.h>

struct parts_reader {
    struct body_reader reader;
    struct loop_multipart form;
    struct loop_multipart_events events; /* the user's */
    void (*done)(struct loop_http_request *req, int status);
    struct parts_owner *owner; /* NULL: done is to be told */
    char *rest;                /* of the piece in which the pause came */
    size_t rest_size, rest_used;
    bool paused;
    bool going_on; /* the tick is queued */
    bool feeding;  /* the parser is on the stack */
    bool dropped;  /* and the request has gone meanwhile */
    int failed;    /* to be told when the pause is over */
};

static struct parts_reader *parts_of(const struct loop_http_request *req)
{
    return loop_container_of(reader_of(req), struct parts_reader, reader);
}

static struct parts_reader *parts_of_form(const struct loop_multipart *form)
{
    return parts_of(form->data);
}

struct parts_owner *parts_owner(const struct loop_http_request *req)
{
    return parts_of(req)->owner;
}

/* An event may have ended the response. */
static int noted(struct parts_reader *parts, int result)
{
    if (parts->dropped)
        return -ECANCELED;
    parts->paused = result == LOOP_MULTIPART_PAUSE;
    return result;
}

static int on_begin(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    struct parts_reader *parts = parts_of_form(form);
    return parts->events.begin ? noted(parts, parts->events.begin(form, part)) : 0;
}

static int on_bytes(struct loop_multipart *form, const struct loop_multipart_part *part,
                    const void *bytes, size_t size)
{
    struct parts_reader *parts = parts_of_form(form);
    return parts->events.bytes ? noted(parts, parts->events.bytes(form, part, bytes, size)) : 0;
}

static int on_end(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    struct parts_reader *parts = parts_of_form(form);
    return parts->events.end ? noted(parts, parts->events.end(form, part)) : 0;
}

static void free_parts(struct parts_reader *parts)
{
    loop_multipart_fini(&parts->form);
    free(parts->rest);
    free(parts);
}

static void on_done(struct body_reader *reader, int status, const char *message)
{
    struct parts_reader *parts = loop_container_of(reader, struct parts_reader, reader);
    struct parts_reader copy = *parts;
    (void)message;
    loop_multipart_fini(&copy.form);
    free(copy.rest);
    free(parts);
    if (copy.owner)
        copy.owner->done(copy.owner, status);
    else
        copy.done(copy.reader.req, status);
}

static void on_drop(struct body_reader *reader)
{
    struct parts_reader *parts = loop_container_of(reader, struct parts_reader, reader);
    if (parts->owner)
        parts->owner->dropped(parts->owner, parts->paused);
    parts->dropped = true;
    if (!parts->feeding)
        free_parts(parts);
}

/* False: the request has gone, and so have parts. */
static bool feed(struct parts_reader *parts, const char *bytes, size_t size, ssize_t *used)
{
    parts->feeding = true;
    *used = loop_multipart_feed(&parts->form, bytes, size);
    parts->feeding = false;
    if (!parts->dropped)
        return true;
    free_parts(parts);
    return false;
}

static void finish(struct parts_reader *parts, int status)
{
    const char *message = status == -EBADMSG ? "Not a form in parts" : NULL;
    reader_finish(&parts->reader, status, message);
}

/* Keeps what follows the pause; the piece itself goes away. */
static int keep(struct parts_reader *parts, const char *bytes, size_t size)
{
    free(parts->rest);
    parts->rest = NULL;
    parts->rest_size = parts->rest_used = 0;
    if (size == 0)
        return 0;
    parts->rest = malloc(size);
    if (!parts->rest)
        return -ENOMEM;
    memcpy(parts->rest, bytes, size);
    parts->rest_size = size;
    return 0;
}

static void on_piece(struct parts_reader *parts, const char *bytes, size_t size)
{
    struct loop_http_request *req = parts->reader.req;
    ssize_t used;
    if (!feed(parts, bytes, size, &used))
        return;
    if (!parts->paused) {
        if (used < 0)
            finish(parts, (int)used);
        return;
    }
    loop_http_pause_body(req);
    parts->failed = used < 0 ? (int)used : keep(parts, bytes + used, size - (size_t)used);
}

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    struct parts_reader *parts = parts_of(req);
    if (size > 0) {
        on_piece(parts, bytes, (size_t)size);
        return;
    }
    if (size != LOOP_EOF && !parts->failed)
        parts->failed = (int)size;
    if (!parts->paused && !parts->going_on)
        finish(parts, parts->failed ? parts->failed : loop_multipart_finish(&parts->form));
}

/* What is left of the piece in which the pause came; it may pause again. False: parts have gone. */
static bool use_rest(struct parts_reader *parts)
{
    size_t left = parts->rest_size - parts->rest_used;
    ssize_t used;
    if (left == 0)
        return true;
    if (!feed(parts, parts->rest + parts->rest_used, left, &used))
        return false;
    parts->rest_used += used > 0 ? (size_t)used : 0;
    parts->failed = used < 0 ? (int)used : 0;
    return true;
}

static void on_go_on(struct loop_task *task)
{
    struct body_reader *reader = loop_container_of(task, struct body_reader, task);
    struct parts_reader *parts = loop_container_of(reader, struct parts_reader, reader);
    parts->going_on = false;
    if (!parts->failed && !use_rest(parts))
        return;
    if (parts->paused)
        return;
    if (parts->failed)
        finish(parts, parts->failed);
    else
        loop_http_resume_body(reader->req); /* it cannot have ended, but by an error */
}

void loop_http_resume_parts(struct loop_http_request *req)
{
    struct parts_reader *parts = reader_of(req) ? parts_of(req) : NULL;
    if (!parts || !parts->paused)
        return;
    parts->paused = false;
    parts->going_on = true;
    loop_next_tick(req->server->loop, &parts->reader.task, on_go_on);
}

void parts_fail(struct loop_http_request *req, int status)
{
    struct parts_reader *parts = parts_of(req);
    if (!parts->failed)
        parts->failed = status;
    loop_http_resume_parts(req);
}

static int make_parser(struct parts_reader *parts, const struct loop_http_parts *options)
{
    static const struct loop_multipart_events events = {on_begin, on_bytes, on_end};
    struct loop_http_request *req = parts->reader.req;
    const char *type = loop_http_header(req, "content-type");
    int error = loop_multipart_init(&parts->form, type, &options->limits, &events);
    parts->form.data = req;
    return error == -EINVAL ? -EBADMSG : error;
}

int parts_start(struct loop_http_request *req, const struct loop_http_parts *options,
                struct parts_owner *owner)
{
    if (reader_is_late(req))
        return -EALREADY;
    struct parts_reader *parts = calloc(1, sizeof(*parts));
    if (!parts)
        return -ENOMEM;
    parts->reader.done = on_done;
    parts->reader.drop = on_drop;
    parts->reader.req = req;
    parts->events = options->events;
    parts->done = options->done;
    parts->owner = owner;
    int refused = make_parser(parts, options);
    if (refused == -ENOMEM) {
        free(parts);
        return -ENOMEM;
    }
    reader_attach(req, &parts->reader);
    if (refused) {
        reader_refuse(&parts->reader, refused);
        return 0;
    }
    loop_http_limit_body(req, parts->form.limits.total_bytes);
    loop_http_read_body(req, on_body); /* which nobody else does */
    return 0;
}

int loop_http_read_parts(struct loop_http_request *req, const struct loop_http_parts *parts)
{
    return parts && parts->done ? parts_start(req, parts, NULL) : -EINVAL;
}
