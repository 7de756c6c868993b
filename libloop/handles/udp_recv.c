/* UDP: receiving.
 *
 * By default one recvmsg(2) takes one datagram into the buffer that the loop lends, which is larger
 * than any, and the next is taken after the callback; so a handle that stops in its callback has
 * lost nothing. At most 32 are taken for one readiness: the rest wait in the kernel for the next
 * turn. In a batch one recvmmsg(2) divides the same buffer among up to 64; what the kernel has
 * given it will not take back, so stopping in the middle loses the rest, and counts them.
 *
 * After each callback the handle may have been stopped, closed, or freed. Its watcher's tag says
 * which: it changes when the watcher stops for good, and is looked up without touching the handle.
 *
 * Errors of datagrams sent earlier come as the result of a receive, or, if somebody set IP_RECVERR,
 * in the error queue together with the address that they are about. An error in that queue is the
 * socket's error too, and reading it there clears it, so the queue is read first and nothing is
 * told twice. What else is in the queue, time stamps and the like, belongs to whoever asked for it;
 * they had until now to read it, and it would keep the loop awake.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

#include "base/control.h"

enum {
    BURST = 32, /* datagrams for one readiness; as libuv */
    ERRORS = 32 /* the same for errors */
};

static bool is_there(const struct loop *loop, int fd, uint64_t tag)
{
    return watcher_tag(&loop->poller, fd) == tag;
}

static void tell(struct loop_udp *udp, ssize_t size, void *bytes, const struct loop_address *from,
                 unsigned flags)
{
    struct loop *loop = udp->handle.loop;
    loop_udp_recv_cb cb = udp->recv_cb;
    callback_begin(loop, handle_subject(&udp->handle, (loop_function)cb), size);
    cb(udp, size, bytes, from, flags);
    callback_end(loop);
}

/* The same, for what the kernel filled in. */
static void tell_message(struct loop_udp *udp, ssize_t size, const struct msghdr *message)
{
    struct loop_address *from = message->msg_name;
    from->size = message->msg_namelen;
    tell(udp, size, message->msg_iov->iov_base, udp_is_internet(from) ? from : NULL,
         message->msg_flags & MSG_TRUNC ? LOOP_UDP_TRUNCATED : 0);
}

static ssize_t take(int fd, struct msghdr *message, struct loop_address *from, struct iovec *room)
{
    *from = (struct loop_address){.size = 0};
    *message = (struct msghdr){.msg_name = &from->any,
                               .msg_namelen = sizeof(from->ip6),
                               .msg_iov = room,
                               .msg_iovlen = 1};
    return sys_recvmsg(fd, message);
}

enum outcome { NOTHING, TOLD, TOLD_THE_LAST }; /* the last: it stopped, or is gone */

static enum outcome receive_one(struct loop_udp *udp)
{
    const struct loop *loop = udp->handle.loop;
    int fd = udp->watcher.fd;
    uint64_t tag = watcher_tag(&loop->poller, fd);
    struct loop_address from;
    struct msghdr message;
    struct iovec room = {.iov_base = loop->poller.lent, .iov_len = LOOP_LENT_SIZE};
    ssize_t size = take(fd, &message, &from, &room);
    if (udp_try_later(size))
        return NOTHING;
    if (size < 0)
        tell(udp, size, NULL, NULL, 0);
    else
        tell_message(udp, size, &message);
    return is_there(loop, fd, tag) && udp->recv_cb ? TOLD : TOLD_THE_LAST;
}

/* Whether anything came, and was told. */
static bool receive_each(struct loop_udp *udp)
{
    enum outcome outcome = TOLD;
    int told = 0;
    while (outcome == TOLD && told < BURST) {
        outcome = receive_one(udp);
        told += outcome != NOTHING;
    }
    return told > 0;
}

struct batch {
    struct mmsghdr messages[LOOP_UDP_BATCH_MAX];
    struct iovec slots[LOOP_UDP_BATCH_MAX];
    struct loop_address from[LOOP_UDP_BATCH_MAX];
};

/* Lays the slots out in the lent buffer; returns how many there are. */
static unsigned divide(struct batch *batch, char *lent, size_t slot_size)
{
    size_t count = LOOP_LENT_SIZE / slot_size;
    if (count > LOOP_UDP_BATCH_MAX)
        count = LOOP_UDP_BATCH_MAX;
    for (size_t i = 0; i < count; i++) {
        batch->from[i] = (struct loop_address){.size = 0};
        batch->slots[i] = (struct iovec){.iov_base = lent + i * slot_size, .iov_len = slot_size};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &batch->from[i].any,
                                                     .msg_namelen = sizeof(batch->from[i].ip6),
                                                     .msg_iov = &batch->slots[i],
                                                     .msg_iovlen = 1};
    }
    return (unsigned)count;
}

/* Calls back for all of the batch, unless the handle stops. */
static void tell_batch(struct loop_udp *udp, struct batch *batch, int count)
{
    const struct loop *loop = udp->handle.loop;
    int fd = udp->watcher.fd;
    uint64_t tag = watcher_tag(&loop->poller, fd);
    for (int i = 0; i < count; i++) {
        tell_message(udp, batch->messages[i].msg_len, &batch->messages[i].msg_hdr);
        if (!is_there(loop, fd, tag))
            return;
        if (!udp->recv_cb) {
            udp->dropped += (uint64_t)(count - 1 - i);
            return;
        }
    }
}

/* Whether anything came, and was told. */
static bool receive_batch(struct loop_udp *udp)
{
    struct batch batch;
    unsigned count = divide(&batch, udp->handle.loop->poller.lent, udp->slot_size);
    int received = sys_recvmmsg(udp->watcher.fd, batch.messages, count);
    if (udp_try_later(received))
        return false;
    if (received < 0)
        tell(udp, received, NULL, NULL, 0);
    else
        tell_batch(udp, &batch, received);
    return true;
}

/* Somebody shut the socket down, and there is nothing left to read: it is readable for ever. */
static void end(struct loop_udp *udp)
{
    struct loop *loop = udp->handle.loop;
    loop_udp_recv_cb cb = udp->recv_cb;
    struct subject subject = handle_subject(&udp->handle, (loop_function)cb);
    loop_udp_recv_stop(udp);
    callback_begin(loop, subject, LOOP_EOF);
    cb(udp, LOOP_EOF, NULL, NULL, 0);
    callback_end(loop);
}

void udp_receive(struct loop_udp *udp, uint32_t events)
{
    bool told = udp->slot_size > 0 ? receive_batch(udp) : receive_each(udp);
    if (!told && events & EPOLLRDHUP)
        end(udp);
}

static const struct sock_extended_err *extended_error(const struct cmsghdr *control)
{
    bool ip4 = control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR;
    bool ip6 = control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR;
    return ip4 || ip6 ? (const void *)CMSG_DATA(control) : NULL;
}

/* What the network, or this machine's own part of it, says of a datagram; 0: it is something else,
 * or empty. */
static int error_in(struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
         control = control_after(message, control)) {
        const struct sock_extended_err *error = extended_error(control);
        if (error &&
            (error->ee_origin == SO_EE_ORIGIN_ICMP || error->ee_origin == SO_EE_ORIGIN_ICMP6 ||
             error->ee_origin == SO_EE_ORIGIN_LOCAL))
            return -(int)error->ee_errno;
    }
    return 0;
}

/* false: the queue is empty, or the handle has gone. The datagram's bytes come along, and are left
 * behind. */
static bool receive_error(struct loop_udp *udp)
{
    const struct loop *loop = udp->handle.loop;
    int fd = udp->watcher.fd;
    uint64_t tag = watcher_tag(&loop->poller, fd);
    struct loop_address about = {.size = 0};
    _Alignas(struct cmsghdr) char control[512];
    struct msghdr message = {.msg_name = &about.any,
                             .msg_namelen = sizeof(about.ip6),
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t size = sys_recv_error(fd, &message);
    if (size < 0)
        return false;
    about.size = message.msg_namelen;
    int error = error_in(&message);
    if (error && udp->recv_cb)
        tell(udp, error, NULL, udp_is_internet(&about) ? &about : NULL, 0);
    return is_there(loop, fd, tag);
}

void udp_receive_errors(struct loop_udp *udp)
{
    for (int i = 0; i < ERRORS; i++)
        if (!receive_error(udp))
            return;
}

int loop_udp_recv_start(struct loop_udp *udp, loop_udp_recv_cb cb)
{
    if (!cb)
        return -EINVAL;
    int error = udp_usable(udp);
    if (error)
        return error;
    struct loop_handle *handle = &udp->handle;
    if (udp->recv_cb)
        return -EALREADY;
    if (!poller_lend(handle->loop))
        return -ENOMEM;
    udp->recv_cb = cb;
    error = udp_watch(udp);
    if (error) {
        udp->recv_cb = NULL;
        return error;
    }
    handle_start(handle);
    trace(handle->loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)cb), 0);
    return 0;
}

void loop_udp_recv_stop(struct loop_udp *udp)
{
    if (handle_usable(&udp->handle) < 0 || !udp->recv_cb)
        return;
    udp->recv_cb = NULL;
    handle_stop(&udp->handle);
    udp_watch(udp);
}

int loop_udp_set_batch(struct loop_udp *udp, size_t size_max)
{
    if (!udp || size_max > LOOP_LENT_SIZE)
        return -EINVAL;
    int error = handle_usable(&udp->handle);
    if (!error)
        udp->slot_size = (uint32_t)size_max;
    return error;
}
