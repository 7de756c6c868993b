/* UDP: sending.
 *
 * A datagram is tried at once. Only if the kernel has no room for it is the request queued, and
 * only then is epoll asked to say when there is room; while anything waits, all that comes later
 * waits behind it, so the order is kept. The queue is sent by up to 64 datagrams in one
 * sendmmsg(2).
 *
 * A queued request keeps a copy of the list of its buffers, in itself if that is short, and of the
 * address; the bytes stay the caller's. An outcome is always told in the pending phase, which comes
 * right behind the I/O callbacks, so nothing here calls back; requests that are decided but not
 * told are kept in order, since closing must tell them before its own callback.
 *
 * The cap of the queue is a promise about memory, so it counts a datagram as if the kernel took
 * nothing, and refuses it whole.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

enum {
    BATCH = 64,       /* datagrams in one call: 4 KiB of stack */
    FLUSHES_MAX = 16, /* calls for one readiness, so that a quick network does not hold us up */
};

static struct loop_udp_send *linked(struct loop_link *link)
{
    return loop_container_of(link, struct loop_udp_send, link);
}

/* The life of a request. */

static void complete(struct loop_request *request)
{
    struct loop_udp_send *send = loop_container_of(request, struct loop_udp_send, request);
    struct loop *loop = request->loop;
    list_remove(&send->link);
    memory_resize(&loop->options.allocator, send->allocated, 0);
    send->allocated = NULL;
    if (!send->cb)
        return;
    callback_begin(loop, request_subject(request, (loop_function)send->cb), (int64_t)send->sent);
    send->cb(send, send->status);
    callback_end(loop);
}

static void tell_later(struct loop_udp_send *send, int status)
{
    send->status = status;
    list_append(&send->udp->sent, &send->link);
    request_defer(&send->request);
}

/* Its waiting is over. */
static void decide(struct loop_udp_send *send, int status)
{
    struct loop_udp *udp = send->udp;
    udp->queued -= send->size - send->sent;
    udp->queued_count--;
    if (status == 0)
        send->sent = send->size;
    list_remove(&send->link);
    tell_later(send, status);
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_udp_send *send = loop_container_of(request, struct loop_udp_send, request);
    decide(send, status);
    udp_watch(send->udp);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_udp_send *send = loop_container_of(request, struct loop_udp_send, request);
    send->due_ns = due_ns;
    deadline_by(&send->udp->deadline, due_ns);
}

static const struct loop_request_ops send_ops = {.type = "udp send",
                                                 .complete = complete,
                                                 .cancel = cancel,
                                                 .expect = expect};

void udp_expire(struct loop_timer *timer)
{
    struct loop_udp *udp = loop_container_of(timer, struct loop_udp, deadline);
    uint64_t now_ns = udp->handle.loop->now_ns;
    uint64_t next_ns = LOOP_NEVER;
    struct loop_link *next;
    for (struct loop_link *link = udp->sending.next; link != &udp->sending; link = next) {
        struct loop_udp_send *send = linked(link);
        next = link->next;
        if (send->due_ns <= now_ns)
            decide(send, -ETIMEDOUT);
        else if (send->due_ns < next_ns)
            next_ns = send->due_ns;
    }
    udp_watch(udp);
    deadline_by(timer, next_ns);
}

bool udp_is_busy(const struct loop_udp *udp)
{
    return !list_empty(&udp->sending) || !list_empty(&udp->sent);
}

void udp_decide_all(struct loop_udp *udp, int status)
{
    while (!list_empty(&udp->sending))
        decide(linked(udp->sending.next), status);
}

void udp_tell_all(struct loop_udp *udp)
{
    while (!list_empty(&udp->sent))
        request_complete(&linked(udp->sent.next)->request);
}

/* The queue. */

/* What has to be copied is, so that the lists are the caller's again. */
static int keep(struct loop_udp_send *send, const struct loop_buf *bufs, size_t count)
{
    send->bufs = send->few;
    if (count > sizeof(send->few) / sizeof(*send->few)) {
        send->allocated =
            memory_resize(&send->udp->handle.loop->options.allocator, NULL, count * sizeof(*bufs));
        send->bufs = send->allocated;
    }
    if (!send->bufs)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        send->bufs[i] = bufs[i];
    send->count = (uint32_t)count;
    return 0;
}

static int queue(struct loop_udp_send *send, const struct loop_buf *bufs, size_t count)
{
    struct loop_udp *udp = send->udp;
    struct loop *loop = udp->handle.loop;
    int error = keep(send, bufs, count);
    if (!error)
        error = watcher_start(loop, &udp->watcher, udp->watcher.wanted | EPOLLOUT);
    if (error) {
        memory_resize(&loop->options.allocator, send->allocated, 0);
        return error;
    }
    udp->queued += send->size - send->sent;
    udp->queued_count++;
    list_append(&udp->sending, &send->link);
    request_start(loop, &send->request, &send_ops, (loop_function)send->cb);
    return 0;
}

/* Up to BATCH of those that wait, and are one datagram each. */
static unsigned gather(struct loop_udp *udp, struct mmsghdr *messages)
{
    unsigned count = 0;
    for (struct loop_link *link = udp->sending.next; link != &udp->sending && count < BATCH;
         link = link->next) {
        const struct loop_udp_send *send = linked(link);
        if (send->segment_size > 0)
            break;
        messages[count++].msg_hdr = udp_message(send->bufs, send->count, &send->to);
    }
    return count;
}

/* An error is the first one's. */
static int flush_datagrams(struct loop_udp *udp)
{
    struct mmsghdr messages[BATCH];
    int sent = sys_sendmmsg(udp->watcher.fd, messages, gather(udp, messages));
    if (udp_try_later(sent))
        return sent;
    if (sent < 0)
        decide(linked(udp->sending.next), sent);
    for (int i = 0; i < sent; i++)
        decide(linked(udp->sending.next), 0);
    return 0;
}

static int flush_segments(struct loop_udp *udp, struct loop_udp_send *send)
{
    size_t before = send->sent;
    int error = udp_push_segments(send);
    udp->queued -= send->sent - before;
    if (udp_try_later(error))
        return error;
    decide(send, error);
    return 0;
}

static int flush_some(struct loop_udp *udp)
{
    struct loop_udp_send *first = linked(udp->sending.next);
    return first->segment_size > 0 ? flush_segments(udp, first) : flush_datagrams(udp);
}

void udp_flush(struct loop_udp *udp)
{
    for (int i = 0; i < FLUSHES_MAX && !list_empty(&udp->sending); i++)
        if (flush_some(udp) < 0)
            break;
    udp_watch(udp);
}

/* Sending. */

int udp_may_send(struct loop_udp *udp, const struct loop_udp_send *send, size_t size,
                 const struct loop_address *to)
{
    int error = handle_usable(&udp->handle);
    if (error)
        return error;
    request_check(&send->request, &send_ops);
    if (udp->queued > udp->max || size > udp->max - udp->queued)
        return -ENOBUFS;
    return udp_reach(udp, to);
}

void udp_prepare(struct loop_udp *udp, struct loop_udp_send *send, size_t size,
                 const struct loop_address *to, loop_udp_send_cb cb)
{
    send->udp = udp;
    send->size = size;
    send->sent = 0;
    list_init(&send->link);
    send->cb = cb;
    send->due_ns = LOOP_NEVER;
    send->to = to ? *to : (struct loop_address){.size = 0};
    send->allocated = NULL;
    send->segment_size = 0;
}

static int push(struct loop_udp_send *send, const struct loop_buf *bufs, size_t count)
{
    if (send->segment_size > 0)
        return udp_push_segments(send);
    struct msghdr message = udp_message(bufs, count, &send->to);
    ssize_t sent = sys_sendmsg(send->udp->watcher.fd, &message);
    send->sent = sent < 0 ? 0 : (size_t)sent;
    return sent < 0 ? (int)sent : 0;
}

int udp_submit(struct loop_udp_send *send, const struct loop_buf *bufs, size_t count)
{
    struct loop_udp *udp = send->udp;
    int error = list_empty(&udp->sending) ? push(send, bufs, count) : -EAGAIN;
    if (udp_try_later(error))
        return queue(send, bufs, count);
    if (!error && send->cb) {
        request_start(udp->handle.loop, &send->request, &send_ops, (loop_function)send->cb);
        list_remove(&send->link);
        tell_later(send, 0);
    }
    return error;
}

int loop_udp_send(struct loop_udp *udp, struct loop_udp_send *send, const struct loop_buf *bufs,
                  size_t count, const struct loop_address *to, loop_udp_send_cb cb)
{
    if (!udp || !send)
        return -EINVAL;
    ssize_t size = udp_measure(bufs, count);
    int error = size < 0 ? (int)size : udp_may_send(udp, send, (size_t)size, to);
    if (error)
        return error;
    udp_prepare(udp, send, (size_t)size, to, cb);
    return udp_submit(send, bufs, count);
}
