/* UDP: sending now or not at all, one datagram or many, and what that has in common with sending
 * through the queue: how a datagram is described to the kernel.
 *
 * Nobody may overtake the queue: while anything waits there, the answer is -EAGAIN.
 *
 * Of many the kernel sends as many as it can, up to 64 in one sendmmsg(2), and says how many, but
 * not what was wrong with the next. That is found out when it is tried again, by the caller, from
 * there; so the library stops at the first short answer.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

enum {
    BATCH = 64,         /* datagrams in one call: 4 KiB of stack */
    BUFFERS_MAX = 1024, /* the kernel's: UIO_MAXIOV */
};

/* A list of ours is one of the kernel's but for const, and the kernel only reads. */
_Static_assert(sizeof(struct loop_buf) == sizeof(struct iovec) &&
                   offsetof(struct loop_buf, bytes) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct loop_buf, size) == offsetof(struct iovec, iov_len),
               "a list of struct loop_buf is one of struct iovec");

struct msghdr udp_message(const struct loop_buf *bufs, size_t count, const struct loop_address *to)
{
    bool named = to && to->size > 0;
    return (struct msghdr){.msg_name = named ? (void *)(uintptr_t)&to->any : NULL,
                           .msg_namelen = named ? to->size : 0,
                           .msg_iov = (void *)(uintptr_t)bufs,
                           .msg_iovlen = (uint16_t)count};
}

/* No datagram is longer than the buffer that receives them. */
ssize_t udp_measure(const struct loop_buf *bufs, size_t count)
{
    size_t size = 0;
    if ((!bufs && count > 0) || count > BUFFERS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!bufs[i].bytes && bufs[i].size > 0)
            return -EINVAL;
        if (bufs[i].size > LOOP_LENT_SIZE - size)
            return -EMSGSIZE;
        size += bufs[i].size;
    }
    return (ssize_t)size;
}

int udp_reach(struct loop_udp *udp, const struct loop_address *to)
{
    int error = handle_usable(&udp->handle);
    if (error)
        return error;
    if (to)
        return udp_is_internet(to) ? udp_need_socket(udp, to->any.sa_family) : -EINVAL;
    return udp->watcher.fd < 0 ? -EDESTADDRREQ : 0;
}

/* The error of one datagram that could never be sent, or the size of the row of good ones. */
static ssize_t good_ones(const struct loop_datagram *datagrams, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct loop_datagram *datagram = &datagrams[i];
        ssize_t size = udp_measure(datagram->bufs, datagram->count);
        if (size >= 0 && datagram->to && !udp_is_internet(datagram->to))
            size = -EINVAL;
        if (size < 0)
            return i > 0 ? (ssize_t)i : size;
    }
    return (ssize_t)count;
}

static ssize_t send_batch(struct loop_udp *udp, const struct loop_datagram *datagrams, size_t count)
{
    struct mmsghdr messages[BATCH];
    for (size_t i = 0; i < count; i++)
        messages[i].msg_hdr = udp_message(datagrams[i].bufs, datagrams[i].count, datagrams[i].to);
    int sent = sys_sendmmsg(udp->watcher.fd, messages, (unsigned)count);
    return sent == -EINTR ? -EAGAIN : sent;
}

static ssize_t send_batches(struct loop_udp *udp, const struct loop_datagram *datagrams,
                            size_t count)
{
    size_t done = 0;
    while (done < count) {
        size_t size = count - done < BATCH ? count - done : BATCH;
        ssize_t sent = send_batch(udp, datagrams + done, size);
        if (sent < 0)
            return done > 0 ? (ssize_t)done : sent;
        done += (size_t)sent;
        if ((size_t)sent < size)
            break;
    }
    return (ssize_t)done;
}

ssize_t loop_udp_try_send_many(struct loop_udp *udp, const struct loop_datagram *datagrams,
                               size_t count)
{
    if (!udp || !datagrams || count == 0)
        return -EINVAL;
    ssize_t good = good_ones(datagrams, count);
    int error = good < 0 ? (int)good : udp_reach(udp, datagrams->to);
    if (!error && !list_empty(&udp->sending))
        error = -EAGAIN;
    return error ? error : send_batches(udp, datagrams, (size_t)good);
}

ssize_t loop_udp_try_send(struct loop_udp *udp, const struct loop_buf *bufs, size_t count,
                          const struct loop_address *to)
{
    struct loop_datagram datagram = {.bufs = bufs, .count = count, .to = to};
    ssize_t sent = loop_udp_try_send_many(udp, &datagram, 1);
    return sent < 0 ? sent : udp_measure(bufs, count);
}
