/* Public. What every request shares: one operation that completes exactly once.
 *
 * A request is the caller's memory, all zero before its first use. It is lent from the call that
 * starts the operation until its callback begins, which may free it or start it again; started
 * again before that, it panics. Each module has its own types of requests, each of which begins
 * with a struct loop_request: give the functions below &work.request.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_REQUEST_H
#define LOOP_REQUEST_H

#include "core.h"

/* What every request begins with. It is the caller's memory, lent from the call that starts the
 * operation until its callback. */
struct loop_request {
    void *data; /* yours */

    /* read-only, while in flight */
    struct loop *loop;
    const struct loop_request_ops *ops; /* its type */

    /* private */
    struct loop_link link; /* on loop->requests or loop->pending */
    uint16_t magic;        /* says that it is in flight */
    uint16_t flags;
    uint32_t id;         /* in the trace */
    loop_function cause; /* the callback that started it; NULL: none */
};

/* As loop_ref() and loop_unref() for handles: a request in flight keeps the loop alive unless
 * unreferenced. Call it after the function that started the request. */
LOOP_API void loop_request_ref(struct loop_request *request);
LOOP_API void loop_request_unref(struct loop_request *request);

/* Completes a request in flight with -ECANCELED, in the pending phase of this turn or the next.
 * What had been done is done: of a write, so many bytes; of work that runs on a thread, whatever it
 * does, and its result is dropped. Errors: -EALREADY (not in flight, or its outcome is decided),
 * -EINVAL (NULL). */
LOOP_API int loop_request_cancel(struct loop_request *request);

/* Completes a request in flight with -ETIMEDOUT, otherwise as if cancelled, if it has not completed
 * after_ns from loop_now(). Again: the new deadline replaces the old, at no cost if it is later.
 * LOOP_NEVER: none. One whose outcome is decided meets any. Errors: -EALREADY (not in flight),
 * -EOPNOTSUPP (requests of this type have no deadlines), -EINVAL (NULL). */
LOOP_API int loop_request_deadline(struct loop_request *request, uint64_t after_ns);

#endif
