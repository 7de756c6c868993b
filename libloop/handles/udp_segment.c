/* UDP: one buffer sent as many datagrams.
 *
 * It goes to the kernel by up to 64 segments with UDP_SEGMENT of udp(7): one way through the
 * network stack for all of them. A kernel that does not know that word (before Linux 4.18) ignores
 * it, and would send one long datagram; so each socket is asked once. One that knows it may still
 * refuse it, by the interface or the size, and then the segments are sent by sendmmsg(2). The next
 * such send asks again, since it may leave by another interface.
 *
 * A request of segments is the only one that may be half sent when the kernel has no more room. It
 * goes on where it stopped, and counts what is sent.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

enum {
    BATCH = 64,        /* datagrams in one call: 5 KiB of stack */
    SEGMENTS_MAX = 64, /* the kernel's UDP_MAX_SEGMENTS, which has since been raised to 128 */
};

/* Of udp->segments. */
enum { NOT_ASKED, KERNEL_CUTS, WE_CUT };

static bool kernel_cuts(struct loop_udp *udp)
{
    int value;
    socklen_t size = sizeof(value);
    if (udp->segments == NOT_ASKED) {
        int error = sys_getsockopt(udp->watcher.fd, IPPROTO_UDP, UDP_SEGMENT, &value, &size);
        udp->segments = error ? WE_CUT : KERNEL_CUTS;
    }
    return udp->segments == KERNEL_CUTS;
}

/* What is left of the buffer, from its first segment at number index on. */
static struct loop_buf slice(const struct loop_udp_send *send, size_t index, size_t size_max)
{
    size_t at = send->sent + index * send->segment_size;
    size_t left = send->size - at;
    return (struct loop_buf){(const char *)send->few->bytes + at,
                             left < size_max ? left : size_max};
}

static ssize_t push_whole(const struct loop_udp_send *send, size_t segments)
{
    struct loop_buf piece = slice(send, 0, segments * send->segment_size);
    uint16_t segment_size = (uint16_t)send->segment_size;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(segment_size))];
    } control = {.header = {.cmsg_level = IPPROTO_UDP,
                            .cmsg_type = UDP_SEGMENT,
                            .cmsg_len = CMSG_LEN(sizeof(segment_size))}};
    memcpy(CMSG_DATA(&control.header), &segment_size, sizeof(segment_size));
    struct msghdr message = udp_message(&piece, 1, &send->to);
    message.msg_control = &control;
    message.msg_controllen = sizeof(control.space);
    return sys_sendmsg(send->udp->watcher.fd, &message);
}

/* Returns the bytes of the datagrams that were sent. */
static ssize_t push_slices(const struct loop_udp_send *send)
{
    struct mmsghdr messages[BATCH];
    struct loop_buf slices[BATCH];
    size_t left = send->size - send->sent;
    unsigned count = 0;
    for (; count < BATCH && count * (size_t)send->segment_size < left; count++) {
        slices[count] = slice(send, count, send->segment_size);
        messages[count].msg_hdr = udp_message(&slices[count], 1, &send->to);
    }
    int sent = sys_sendmmsg(send->udp->watcher.fd, messages, count);
    if (sent < 0)
        return sent;
    size_t size = (size_t)sent * send->segment_size;
    return (ssize_t)(size < left ? size : left);
}

/* It cannot cut them on this way: that is said by several names. */
static bool refused(ssize_t result)
{
    return result == -EIO || result == -EINVAL || result == -EMSGSIZE || result == -EOPNOTSUPP ||
           result == -ENOPROTOOPT;
}

static ssize_t push_some(const struct loop_udp_send *send)
{
    size_t segments = LOOP_UDP_SIZE_MAX / send->segment_size;
    if (segments > SEGMENTS_MAX)
        segments = SEGMENTS_MAX;
    bool several = segments > 1 && send->size - send->sent > send->segment_size;
    ssize_t sent = several && kernel_cuts(send->udp) ? push_whole(send, segments) : -ENOPROTOOPT;
    return refused(sent) ? push_slices(send) : sent;
}

int udp_push_segments(struct loop_udp_send *send)
{
    while (send->sent < send->size) {
        ssize_t sent = push_some(send);
        if (sent < 0)
            return (int)sent;
        send->sent += (size_t)sent;
    }
    return 0;
}

int loop_udp_send_segments(struct loop_udp *udp, struct loop_udp_send *send, const void *bytes,
                           size_t size, size_t segment_size, const struct loop_address *to,
                           loop_udp_send_cb cb)
{
    if (!udp || !send || !bytes || size == 0 || segment_size == 0)
        return -EINVAL;
    int error = segment_size > LOOP_LENT_SIZE ? -EMSGSIZE : udp_may_send(udp, send, size, to);
    if (error)
        return error;
    udp_prepare(udp, send, size, to, cb);
    send->segment_size = (uint32_t)segment_size;
    *send->few = (struct loop_buf){bytes, size};
    return udp_submit(send, send->few, 1);
}
