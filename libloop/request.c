/* The life of every request: one operation that completes exactly once.
 *
 * A request is the caller's memory, lent from the call that starts the operation until its callback
 * begins. In between it is on loop->requests or, when its outcome is known but must not be told
 * yet, on loop->pending: no callback is ever called from inside the function it was handed to. It
 * is off both before the callback, which may therefore start the request again or free it.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

enum { REQUEST_IN_FLIGHT = 0x4e90, REQUEST_UNREFERENCED = 1, REQUEST_DEFERRED = 2 };

bool request_in_flight(const struct loop_request *request)
{
    return request->magic == REQUEST_IN_FLIGHT;
}

void request_check(const struct loop_request *request, const struct loop_request_ops *ops)
{
    if (request_in_flight(request))
        panic("the %s request was started again before its callback; use one request for each "
              "operation, all zero before its first use",
              ops->type);
}

void request_start(struct loop *loop, struct loop_request *request,
                   const struct loop_request_ops *ops, loop_function callback)
{
    request->loop = loop;
    request->ops = ops;
    request->magic = REQUEST_IN_FLIGHT;
    request->flags = 0;
    request->id = ++loop->last_id;
    request->cause = loop->running_cb;
    list_append(&loop->requests, &request->link);
    loop->active_requests++;
    trace(loop, LOOP_TRACE_SUBMITTED, request_subject(request, callback), 0);
}

void request_defer(struct loop_request *request)
{
    request->flags |= REQUEST_DEFERRED; /* its outcome is decided */
    list_remove(&request->link);
    list_append(&request->loop->pending, &request->link);
}

void request_complete(struct loop_request *request)
{
    list_remove(&request->link);
    if (request->ops->before)
        request->ops->before(request); /* still lent: whoever is told must not start it */
    loop_request_unref(request);
    request->magic = 0;
    request->ops->complete(request);
}

struct subject request_subject(const struct loop_request *request, loop_function callback)
{
    return (struct subject){request->ops->type, request->id, callback, request->cause};
}

void loop_request_ref(struct loop_request *request)
{
    if (request_in_flight(request) && (request->flags & REQUEST_UNREFERENCED)) {
        request->flags &= (uint16_t)~REQUEST_UNREFERENCED;
        request->loop->active_requests++;
    }
}

void loop_request_unref(struct loop_request *request)
{
    if (request_in_flight(request) && !(request->flags & REQUEST_UNREFERENCED)) {
        request->flags |= REQUEST_UNREFERENCED;
        request->loop->active_requests--;
    }
}

static bool decided(const struct loop_request *request)
{
    return !request_in_flight(request) || request->flags & REQUEST_DEFERRED;
}

int loop_request_cancel(struct loop_request *request)
{
    if (!request)
        return -EINVAL;
    if (decided(request))
        return -EALREADY;
    thread_check(request->loop, request->ops->type);
    request->ops->cancel(request, -ECANCELED);
    return 0;
}

int loop_request_deadline(struct loop_request *request, uint64_t after_ns)
{
    if (!request)
        return -EINVAL;
    if (!request_in_flight(request))
        return -EALREADY;
    thread_check(request->loop, request->ops->type);
    if (!request->ops->expect)
        return -EOPNOTSUPP;
    if (!decided(request)) /* otherwise it is met */
        request->ops->expect(request, deadline_after(request->loop, after_ns));
    return 0;
}
