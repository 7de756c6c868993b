/* Internal. What the readers of bodies share: where they hang on a request, and how they end.
 *
 * A reader is memory of its own from its call to its last callback. It hangs before what
 * req->route was (router.h), which it gives back before anybody is called. Whatever a reader has to
 * say before a single byte was read, that the type is wrong, it says from a tick.
 *
 * If the response is ended meanwhile the request goes, and the reader with it, without a word.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_READER_H
#define LOOP_HTTP_READER_H

#include "server/connection.h"
#include "loop/http/body.h"
#include "router/router.h"

struct body_reader {
    struct route_reader mark;
    struct exchange_hook hook;
    struct loop_http_request *req;
    struct loop_task task;
    int status; /* to be told by the task */
    /* Frees the reader, which is detached by now, and calls back. */
    void (*done)(struct body_reader *reader, int status, const char *message);
    /* Frees it, when the request goes, which can still be read. */
    void (*drop)(struct body_reader *reader);
};

/* The reader of a request; NULL: none. */
struct body_reader *reader_of(const struct loop_http_request *req);

/* Whether anybody reads the body, or has read it. */
bool reader_is_late(const struct loop_http_request *req);

/* Takes a reader in; the request has none. */
void reader_attach(struct loop_http_request *req, struct body_reader *reader);
void reader_detach(struct body_reader *reader);

/* Detaches it, calls done(), and ends the response if status is negative. message: of the answer,
 * may be NULL. */
void reader_finish(struct body_reader *reader, int status, const char *message);

/* The same with an error, from a tick. */
void reader_refuse(struct body_reader *reader, int status);

/* Who reads parts with a struct of its own: one of the two is the last that it hears. */
struct parts_owner {
    void (*done)(struct parts_owner *owner, int status);
    void (*dropped)(struct parts_owner *owner, bool paused); /* the request has gone */
};

/* As loop_http_read_parts(), for such an owner. */
int parts_start(struct loop_http_request *req, const struct loop_http_parts *parts,
                struct parts_owner *owner);
struct parts_owner *parts_owner(const struct loop_http_request *req);

/* Goes on after a pause by failing. */
void parts_fail(struct loop_http_request *req, int status);

#endif
