/* Internal. The walk through the control messages of a message, as cmsg(3) describes it.
 *
 * CMSG_NXTHDR does the same, but musl's mixes signed and unsigned numbers, of which the compiler
 * warns where the macro is used. A length that is too small for a header ends the walk: the kernel
 * never writes one, and with it the walk would not get ahead. So does a next header that the buffer
 * has no room for.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_CONTROL_H
#define LOOP_BASE_CONTROL_H

#include <stddef.h>
#include <sys/socket.h>

static inline struct cmsghdr *control_after(const struct msghdr *message, struct cmsghdr *control)
{
    size_t at = (size_t)((char *)control - (char *)message->msg_control);
    if (control->cmsg_len < CMSG_LEN(0))
        return NULL; /* unreachable: the kernel writes whole headers */
    size_t next = at + CMSG_SPACE(control->cmsg_len - CMSG_LEN(0));
    if (next > message->msg_controllen || message->msg_controllen - next < sizeof(struct cmsghdr))
        return NULL;
    return (void *)((char *)message->msg_control + next);
}

#endif
