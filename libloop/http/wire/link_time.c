/* How long a peer has taken nothing.
 *
 * A stream tells that its queue shrinks only when that is nearly empty, and the kernel that it has
 * room only when much of its buffer is free: of a buffer that has grown to megabytes, a slow peer
 * may need minutes for that part. So the two are looked at: what waits in the queue, and what the
 * kernel has and the peer has not acknowledged, or, on a unix-domain socket, not read. Whichever
 * has become less since the last look, the peer took some.
 *
 * Nobody looks while nothing waits, which costs fast peers nothing; whatever waits begins to then.
 *
 * SPDX-License-Identifier: MIT */
#include "wire/link.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

static int unsent(const struct link *link)
{
    int size = 0;
    return ioctl(loop_stream_fd(&link->stream), SIOCOUTQ, &size) == 0 ? size : 0;
}

uint64_t link_moved_ns(struct link *link)
{
    size_t queued = link->stream.queued;
    int in_kernel = queued > 0 ? unsent(link) : 0;
    if (queued < link->seen_queued || in_kernel < link->seen_unsent)
        link->moved_ns = loop_now(link->stream.handle.loop);
    link->seen_queued = queued;
    link->seen_unsent = in_kernel;
    return link->moved_ns;
}

/* If less than both waits now, some has gone; if nothing waited, it goes, or begins to wait. */
void link_gave(struct link *link, size_t waited, size_t size)
{
    link->seen_queued = waited + size;
    if (waited == 0)
        link->moved_ns = loop_now(link->stream.handle.loop);
    link_moved_ns(link);
}
