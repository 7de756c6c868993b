/* Pipes: unix-domain sockets, and descriptors of other makes that behave as streams.
 *
 * A socket is told to be non-blocking and quiet in each call; a pipe, a FIFO or a device has to be
 * made non-blocking, which everybody who shares its open file sees, and so is undone when it is
 * given up. Writing to a pipe that nobody reads raises SIGPIPE, which libloop never lets happen:
 * the kernel is asked not to where it can be asked, and otherwise the signal is held back for the
 * time of the call.
 *
 * The file of a bound path goes when the handle is closed, by the process that bound it: a forked
 * child that closes its copy leaves it there.
 *
 * Passing descriptors is in pipe_fds.c.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/pipe.h"

static ssize_t read_file(struct loop_stream *stream, void *bytes, size_t size)
{
    return sys_read(stream->watcher.fd, bytes, size);
}

static ssize_t write_file(struct loop_stream *stream, const struct iovec *iov, int count,
                          const struct loop_write *write)
{
    static bool by_hand; /* the kernel cannot be asked */
    (void)write;
    if (!atomic_get(&by_hand)) {
        ssize_t size = sys_writev_quietly(stream->watcher.fd, iov, count);
        if (size != -EOPNOTSUPP && size != -EINVAL && size != -ENOSYS)
            return size;
        atomic_put(&by_hand, true);
    }
    return sys_writev_blocked(stream->watcher.fd, iov, count);
}

/* The reader of a pipe sees its end when the last writer closes. Of a descriptor that can be read
 * too, a terminal or the like, there is no half to close. */
static int end_file(struct loop_stream *stream)
{
    int flags = sys_fcntl(stream->watcher.fd, F_GETFL, 0);
    /* unreachable: without flags, which an open descriptor has */
    if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY) {
        stream_shut(stream);
        stream->state |= STREAM_SHUT;
    }
    return flags < 0 ? flags : 0;
}

const struct loop_stream_io file_io = {.read = read_file, .write = write_file, .end = end_file};

/* Where it is bound, as a path; false: nowhere, or by an abstract name. */
static bool bound_path(const struct loop_pipe *pipe, struct sockaddr_un *address)
{
    socklen_t size = sizeof(*address) - 1;
    memset(address, 0, sizeof(*address));
    return pipe->stream.watcher.fd >= 0 &&
           sys_getsockname(pipe->stream.watcher.fd, (struct sockaddr *)address, &size) == 0 &&
           address->sun_path[0] != '\0';
}

/* Before the descriptor is closed: by then another may bind the path anew. */
static void stop(struct loop_handle *handle)
{
    struct loop_pipe *pipe = loop_container_of(handle, struct loop_pipe, handle);
    struct sockaddr_un address;
    if (pipe->bound_in == fork_generation() + 1 && bound_path(pipe, &address))
        sys_unlink(address.sun_path);
    stream_stop(handle);
}

void loop_pipe_init(struct loop *loop, struct loop_pipe *pipe)
{
    static const struct loop_handle_ops ops = {.type = "pipe",
                                               .stop = stop,
                                               .finish = stream_finish};
    stream_init(loop, &pipe->stream, &ops);
    pipe->received = NULL;
    pipe->received_count = pipe->taken_count = 0;
    pipe->dropped = false;
    pipe->bound_in = 0;
}

/* The size of the address, or why there is none. The kernel would take a path without its closing 0
 * and programs that read it back would run past its end, so one byte is kept for it. */
static int to_address(struct sockaddr_un *address, const char *name, size_t size)
{
    if (!name || size == 0 || (name[0] != '\0' && memchr(name, '\0', size)))
        return -EINVAL;
    if (size >= sizeof(address->sun_path))
        return -ENAMETOOLONG;
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, name, size);
    return (int)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] != '\0'));
}

int loop_pipe_bind(struct loop_pipe *pipe, const char *name, size_t size)
{
    struct sockaddr_un address;
    int error = pipe ? stream_vacant(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    int address_size = to_address(&address, name, size);
    int fd = address_size < 0 ? address_size : sys_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    error = sys_bind(fd, (struct sockaddr *)&address, (socklen_t)address_size);
    if (error) {
        sys_close(fd);
        return error;
    }
    stream_adopt(&pipe->stream, fd, &unix_io);
    pipe->bound_in = fork_generation() + 1;
    return 0;
}

int loop_pipe_connect(struct loop_pipe *pipe, struct loop_connect *connect, const char *name,
                      size_t size, loop_connect_cb cb)
{
    struct sockaddr_un address;
    int error = pipe ? stream_may_connect(&pipe->stream, connect) : -EINVAL;
    if (!error)
        error = cb ? stream_vacant(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    int address_size = to_address(&address, name, size);
    int fd = address_size < 0 ? address_size : sys_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    stream_adopt(&pipe->stream, fd, &unix_io);
    int result = sys_connect(fd, (struct sockaddr *)&address, (socklen_t)address_size);
    stream_connect(&pipe->stream, connect, result, cb);
    return 0;
}

/* How a descriptor is read and written; NULL: not as a stream, and *error says why. */
static const struct loop_stream_io *io_of(int fd, int *error)
{
    struct stat stat;
    int type = 0, family = 0;
    socklen_t size = sizeof(int);
    *error = fd < 0 ? -EBADF : sys_fstat(fd, &stat);
    if (*error)
        return NULL;
    *error = -EPERM;
    if (!S_ISSOCK(stat.st_mode))
        return S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode) ? &file_io : NULL;
    *error = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (!*error)
        *error = sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    if (!*error && type == SOCK_STREAM)
        return family == AF_UNIX ? &unix_io : &socket_io;
    *error = *error ? *error : -EPROTOTYPE;
    return NULL;
}

int loop_pipe_open(struct loop_pipe *pipe, int fd)
{
    int error = pipe ? stream_vacant(&pipe->stream) : -EINVAL;
    if (error)
        return error;
    const struct loop_stream_io *io = io_of(fd, &error);
    if (!io)
        return error;
    int flags = sys_fcntl(fd, F_GETFL, 0);
    error = sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (error)
        return error; /* unreachable: an open descriptor's flags can be set */
    stream_adopt(&pipe->stream, fd, io);
    if (!(flags & O_NONBLOCK))
        stream_block_again(&pipe->stream);
    return 0;
}

int loop_pipe_pair(struct loop_pipe *a, struct loop_pipe *b)
{
    int fds[2];
    int error = a && b && a != b ? stream_vacant(&a->stream) : -EINVAL;
    if (!error)
        error = stream_vacant(&b->stream);
    if (!error)
        error = sys_socketpair(fds);
    if (error)
        return error;
    stream_adopt(&a->stream, fds[0], &unix_io);
    stream_adopt(&b->stream, fds[1], &unix_io);
    return 0;
}
