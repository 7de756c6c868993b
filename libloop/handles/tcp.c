/* TCP: where streams meet the internet. The socket is made when its family is known, by bind or
 * connect; all that comes after is a stream's.
 *
 * Options are set on the socket, so what is asked for before there is one is -ENOTCONN and not
 * remembered, fast open apart. That is one rule instead of a list of wishes, and a listener's
 * options are inherited by what it accepts.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

static ssize_t read_socket(struct loop_stream *stream, void *bytes, size_t size)
{
    return sys_recv(stream->watcher.fd, bytes, size);
}

static ssize_t write_socket(struct loop_stream *stream, const struct iovec *iov, int count,
                            const struct loop_write *write)
{
    (void)write;
    if (count == 1)
        return sys_send(stream->watcher.fd, iov->iov_base, iov->iov_len);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)count};
    return sys_sendmsg(stream->watcher.fd, &message);
}

static int end_socket(struct loop_stream *stream)
{
    return sys_shutdown(stream->watcher.fd, SHUT_WR);
}

const struct loop_stream_io socket_io = {.read = read_socket,
                                         .write = write_socket,
                                         .end = end_socket};

void loop_tcp_init(struct loop *loop, struct loop_tcp *tcp)
{
    static const struct loop_handle_ops ops = {.type = "tcp",
                                               .stop = stream_stop,
                                               .finish = stream_finish};
    stream_init(loop, &tcp->stream, &ops);
}

static int set_option(int fd, int level, int name, int value)
{
    return sys_setsockopt(fd, level, name, &value, sizeof(value));
}

static bool is_internet(const struct loop_address *address)
{
    return address && (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6) &&
           address->size <= sizeof(struct sockaddr_in6);
}

static int bind_socket(int fd, const struct loop_address *address, unsigned flags)
{
    int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && flags & LOOP_TCP_REUSE_PORT)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!error && address->any.sa_family == AF_INET6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & LOOP_TCP_IPV6_ONLY) != 0);
    return error ? error : sys_bind(fd, &address->any, address->size);
}

int loop_tcp_bind(struct loop_tcp *tcp, const struct loop_address *address, unsigned flags)
{
    int error = tcp ? stream_vacant(&tcp->stream) : -EINVAL;
    if (error)
        return error;
    if (!is_internet(address) || flags & ~(unsigned)(LOOP_TCP_IPV6_ONLY | LOOP_TCP_REUSE_PORT))
        return -EINVAL;
    int fd = sys_socket(address->any.sa_family, SOCK_STREAM);
    if (fd < 0)
        return fd;
    error = bind_socket(fd, address, flags);
    if (error)
        sys_close(fd);
    else
        stream_adopt(&tcp->stream, fd, &socket_io);
    return error;
}

/* Whether the descriptor, if there is one, is only bound. */
static bool is_fresh(const struct loop_stream *stream)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    struct sockaddr *any = (struct sockaddr *)&peer;
    if (stream->connect || stream->state & (STREAM_LISTENING | STREAM_CONNECTED))
        return false;
    return stream->watcher.fd < 0 || sys_getpeername(stream->watcher.fd, any, &size) == -ENOTCONN;
}

int loop_tcp_connect(struct loop_tcp *tcp, struct loop_connect *connect,
                     const struct loop_address *address, loop_connect_cb cb)
{
    int error = tcp ? stream_may_connect(&tcp->stream, connect) : -EINVAL;
    if (error)
        return error;
    if (!cb || !is_internet(address))
        return -EINVAL;
    if (!is_fresh(&tcp->stream))
        return -EBUSY;
    if (tcp->stream.watcher.fd < 0) {
        int fd = sys_socket(address->any.sa_family, SOCK_STREAM);
        if (fd < 0)
            return fd;
        stream_adopt(&tcp->stream, fd, &socket_io);
    }
    if (tcp->stream.state & STREAM_EARLY) /* without it, connecting takes a round trip more */
        set_option(tcp->stream.watcher.fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
    int result = sys_connect(tcp->stream.watcher.fd, &address->any, address->size);
    stream_connect(&tcp->stream, connect, result, cb);
    return 0;
}

int loop_tcp_open(struct loop_tcp *tcp, int fd)
{
    int error = tcp ? stream_vacant(&tcp->stream) : -EINVAL;
    if (error)
        return error;
    int protocol = 0, type = 0;
    socklen_t size = sizeof(int);
    error = fd < 0 ? -EBADF : sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    if (!error)
        error = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (error)
        return error;
    if (protocol != IPPROTO_TCP || type != SOCK_STREAM)
        return -EPROTOTYPE;
    int flags = sys_fcntl(fd, F_GETFL, 0);
    error = sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (error)
        return error; /* unreachable: an open descriptor's flags can be set */
    stream_adopt(&tcp->stream, fd, &socket_io);
    return 0;
}

static int name(const struct loop_tcp *tcp, struct loop_address *address,
                int (*ask)(int fd, struct sockaddr *address, socklen_t *size))
{
    int error = tcp && address ? stream_usable(&tcp->stream) : -EINVAL;
    if (error)
        return error;
    struct loop_address answer = {.size = sizeof(answer.ip6)};
    error = ask(tcp->stream.watcher.fd, &answer.any, &answer.size);
    if (!error)
        *address = answer;
    return error;
}

int loop_tcp_local(const struct loop_tcp *tcp, struct loop_address *address)
{
    return name(tcp, address, sys_getsockname);
}

int loop_tcp_peer(const struct loop_tcp *tcp, struct loop_address *address)
{
    return name(tcp, address, sys_getpeername);
}

static int set_tcp_option(struct loop_tcp *tcp, int name, int value)
{
    int error = tcp ? stream_usable(&tcp->stream) : -EINVAL;
    return error ? error : set_option(tcp->stream.watcher.fd, IPPROTO_TCP, name, value);
}

int loop_tcp_nodelay(struct loop_tcp *tcp, bool on)
{
    return set_tcp_option(tcp, TCP_NODELAY, on);
}

int loop_tcp_keepalive(struct loop_tcp *tcp, unsigned idle_s, unsigned interval_s, unsigned count)
{
    enum { SECONDS_MAX = 32767, COUNT_MAX = 127 }; /* MAX_TCP_KEEPIDLE and others of the kernel */
    int error = tcp ? stream_usable(&tcp->stream) : -EINVAL;
    if (error)
        return error;
    int fd = tcp->stream.watcher.fd;
    if (idle_s == 0)
        return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    if (idle_s > SECONDS_MAX || interval_s - 1 >= SECONDS_MAX || count - 1 >= COUNT_MAX)
        return -EINVAL;
    error = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle_s);
    if (!error)
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)interval_s);
    if (!error)
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)count);
    return error ? error : set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Before there is a socket it is a wish, the only one that is remembered: connect(2) has to know.
 * */
int loop_tcp_fast_open(struct loop_tcp *tcp, unsigned queue)
{
    int error = tcp ? handle_usable(&tcp->handle) : -EINVAL;
    if (error || queue > INT32_MAX)
        return error ? error : -EINVAL;
    struct loop_stream *stream = &tcp->stream;
    if (!is_fresh(stream))
        return -EBUSY;
    if (stream->watcher.fd >= 0)
        return set_tcp_option(tcp, TCP_FASTOPEN, (int)queue);
    stream->state &= (uint16_t)~STREAM_EARLY;
    stream->state |= queue > 0 ? STREAM_EARLY : 0;
    return 0;
}
