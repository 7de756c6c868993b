/* Internal. What the files of UDP offer each other.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_UDP_H
#define LOOP_HANDLES_UDP_H

#include "callback.h"

/* udp.c */

int udp_usable(const struct loop_udp *udp);            /* 0: it is open */
int udp_need_socket(struct loop_udp *udp, int family); /* opens one if there is none */
int udp_watch(struct loop_udp *udp);                   /* has epoll report what is under way */
bool udp_is_internet(const struct loop_address *address);

static inline bool udp_try_later(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR;
}

/* udp_recv.c */

void udp_receive(struct loop_udp *udp, uint32_t events); /* may be the end of the handle */
void udp_receive_errors(struct loop_udp *udp);           /* the same */

/* udp_send.c */

int udp_may_send(struct loop_udp *udp, const struct loop_udp_send *send, size_t size,
                 const struct loop_address *to);
void udp_prepare(struct loop_udp *udp, struct loop_udp_send *send, size_t size,
                 const struct loop_address *to, loop_udp_send_cb cb);
int udp_submit(struct loop_udp_send *send, const struct loop_buf *bufs, size_t count);
void udp_flush(struct loop_udp *udp);
bool udp_is_busy(const struct loop_udp *udp);          /* requests are in flight */
void udp_decide_all(struct loop_udp *udp, int status); /* told in the pending phase */
void udp_tell_all(struct loop_udp *udp);               /* it is closed: told now */
void udp_expire(struct loop_timer *timer);             /* the deadline of some request */

/* udp_try.c */

ssize_t udp_measure(const struct loop_buf *bufs,
                    size_t count); /* the size, or -EINVAL, -EMSGSIZE */
int udp_reach(struct loop_udp *udp, const struct loop_address *to); /* 0: there is a socket, now */
struct msghdr udp_message(const struct loop_buf *bufs, size_t count,
                          const struct loop_address *to); /* to NULL, or of size 0: the peer */

/* udp_segment.c */

int udp_push_segments(struct loop_udp_send *send); /* from send->sent on, which says how far */

#endif
