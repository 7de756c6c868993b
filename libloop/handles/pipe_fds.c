/* Descriptors passed through unix-domain sockets, as SCM_RIGHTS of unix(7).
 *
 * They travel with a byte, so passing some is a property of a write, and they come with what a read
 * returns. The kernel never joins in one read what bore descriptors with what bore others. What a
 * read brought is offered to its callback; what that does not take is closed behind it, so that a
 * peer cannot fill our table with what nobody wants.
 *
 * A pipe that did not ask for them has none: a plain recv(2) makes the kernel close them.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/pipe.h"

#include "base/control.h"

enum { CONTROL_SIZE = CMSG_SPACE(LOOP_WRITE_FDS_MAX * sizeof(int)) };

/* As cmsg(3) asks: aligned for the header. */
union control {
    struct cmsghdr header;
    char bytes[CONTROL_SIZE];
};

static struct loop_pipe *pipe_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct loop_pipe, stream);
}

static ssize_t read_plainly(struct loop_stream *stream, void *bytes, size_t size)
{
    return socket_io.read(stream, bytes, size);
}

static ssize_t write_unix(struct loop_stream *stream, const struct iovec *iov, int count,
                          const struct loop_write *write)
{
    if (!write || write->fd_count == 0)
        return socket_io.write(stream, iov, count, write);
    union control control = {.bytes = {0}};
    size_t size = write->fd_count * sizeof(int);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (uint16_t)count, /* a size_t, or an int in POSIX */
                             .msg_control = &control,
                             .msg_controllen = (unsigned)CMSG_SPACE(size)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = (unsigned)CMSG_LEN(size);
    memcpy(CMSG_DATA(&control.header), write->fds, size);
    return sys_sendmsg(stream->watcher.fd, &message);
}

static int end_unix(struct loop_stream *stream)
{
    return socket_io.end(stream);
}

/* A path that it is bound to is whose the descriptor is. */
static void release_unix(struct loop_stream *stream)
{
    pipe_of(stream)->bound_in = 0;
}

const struct loop_stream_io unix_io = {.read = read_plainly,
                                       .write = write_unix,
                                       .end = end_unix,
                                       .release = release_unix};

static void close_untaken(struct loop_stream *stream)
{
    struct loop_pipe *pipe = pipe_of(stream);
    while (pipe->taken_count < pipe->received_count)
        sys_close(pipe->received[pipe->taken_count++]);
    pipe->received_count = pipe->taken_count = 0;
    pipe->dropped = false;
}

static void release_receiving(struct loop_stream *stream)
{
    struct loop_pipe *pipe = pipe_of(stream);
    close_untaken(stream);
    release_unix(stream);
    memory_resize(&stream->handle.loop->options.allocator, pipe->received, 0);
    pipe->received = NULL;
}

/* Memory for them is had when the first come: most who may receive some never do. */
static void receive(struct loop_pipe *pipe, const struct cmsghdr *header)
{
    int fds[LOOP_WRITE_FDS_MAX];
    size_t size = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return; /* unreachable: nothing else was asked for */
    memcpy(fds, CMSG_DATA(header), size);
    if (!pipe->received)
        pipe->received = memory_resize(&pipe->handle.loop->options.allocator, NULL, sizeof(fds));
    pipe->dropped = !pipe->received;
    for (size_t i = 0; i < size / sizeof(int); i++)
        if (pipe->received)
            pipe->received[pipe->received_count++] = fds[i];
        else
            sys_close(fds[i]);
}

/* Truncated: our table is full, and the kernel has dropped some. The bytes are told all the same.
 * */
static ssize_t read_receiving(struct loop_stream *stream, void *bytes, size_t size)
{
    struct loop_pipe *pipe = pipe_of(stream);
    union control control;
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    close_untaken(stream);
    ssize_t result = sys_recvmsg(stream->watcher.fd, &message);
    if (result < 0)
        return result;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = control_after(&message, header))
        receive(pipe, header);
    pipe->dropped |= (message.msg_flags & MSG_CTRUNC) != 0;
    return result;
}

static const struct loop_stream_io receiving_io = {.read = read_receiving,
                                                   .write = write_unix,
                                                   .end = end_unix,
                                                   .told = close_untaken,
                                                   .release = release_receiving};

static bool is_unix(const struct loop_pipe *pipe)
{
    return pipe->stream.io == &unix_io || pipe->stream.io == &receiving_io;
}

int loop_pipe_receive_fds(struct loop_pipe *pipe)
{
    int error = pipe ? stream_usable(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    if (!is_unix(pipe))
        return -EPROTOTYPE;
    if (pipe->stream.read)
        return -EBUSY;
    pipe->stream.io = &receiving_io;
    return 0;
}

int loop_pipe_take_fd(struct loop_pipe *pipe)
{
    int error = pipe ? stream_usable(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    if (pipe->taken_count < pipe->received_count)
        return pipe->received[pipe->taken_count++];
    return pipe->dropped ? -EMFILE : -EAGAIN;
}

static bool bufs_empty(const struct loop_buf *bufs, size_t count)
{
    while (count > 0 && bufs[count - 1].size == 0)
        count--;
    return count == 0;
}

int loop_pipe_write_fds(struct loop_pipe *pipe, struct loop_write *write,
                        const struct loop_buf *bufs, size_t count, const int *fds, size_t fd_count,
                        loop_write_cb cb)
{
    int error = pipe && bufs && fds ? stream_usable(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    if (fd_count == 0 || fd_count > LOOP_WRITE_FDS_MAX)
        return -EINVAL;
    if (!is_unix(pipe))
        return -EPROTOTYPE;
    if (bufs_empty(bufs, count))
        return -EINVAL;
    return stream_write(&pipe->stream, write, bufs, count, fds, fd_count, cb);
}

int loop_pipe_peer(const struct loop_pipe *pipe, pid_t *pid, uid_t *uid, gid_t *gid)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int error = pipe && pid && uid && gid ? stream_usable(&pipe->stream) : -EINVAL;
    if (!error)
        error = is_unix(pipe) ? 0 : -EPROTOTYPE;
    if (!error)
        error = sys_getsockopt(pipe->stream.watcher.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (!error && peer.pid == 0 && peer.uid == (uid_t)-1)
        error = -ENOTCONN;
    if (error)
        return error;
    *pid = peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return 0;
}
