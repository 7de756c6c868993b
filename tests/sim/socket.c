/* Connected sockets: two rows of bytes, each with a place where what has arrived ends.
 *
 * What is sent counts against the reader's buffer at once and arrives after a while, in order;
 * between unix-domain sockets it arrives at once. A buffer is full with what waits in it and what
 * is on its way, which is when the sender gets -EAGAIN. Closing sends an end behind the bytes, or a
 * reset if something was left unread, or if it was asked for.
 *
 * The order in which reading finds things is Linux's: bytes first, whatever has happened since;
 * then the error of the socket, once; then the end.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

static struct socket *socket_in(const struct file *file)
{
    return (struct socket *)(void *)(uintptr_t)file;
}

struct socket *socket_of(int fd)
{
    struct file *file = file_of(fd);
    return file && file->ops == &socket_ops ? socket_in(file) : NULL;
}

static bool is_writable(const struct socket *socket)
{
    if (socket->shut || !socket->peer)
        return true;
    size_t room = socket->peer->size_max - socket->peer->size;
    return room > socket->peer->size_max / 3;
}

/* Half of it is over at each side: then it has hung up. */
static uint32_t events(const struct file *file)
{
    const struct socket *socket = socket_in(file);
    uint32_t events = socket->error ? EPOLLERR : 0;
    if (socket->state == LISTENING)
        return events | (socket->backlog ? EPOLLIN : 0);
    if (socket->state == CONNECTING)
        return events;
    if (socket->state != CONNECTED)
        return events | EPOLLOUT | EPOLLHUP | (socket->state == CLOSED ? EPOLLIN | EPOLLRDHUP : 0);
    events |= socket->arrived > 0 || socket->fin ? EPOLLIN : 0;
    events |= socket->fin ? EPOLLRDHUP : 0;
    events |= is_writable(socket) ? EPOLLOUT : 0;
    return events | (socket->fin && socket->shut ? EPOLLHUP : 0);
}

struct socket *socket_make(int family)
{
    struct socket *socket = calloc(1, sizeof(*socket));
    socket->file.ops = &socket_ops;
    socket->family = family;
    socket->file.flags = O_RDWR | O_NONBLOCK;
    socket->size_max = has(SMALL_QUEUES) && world_chance(700) ? 64 + world_below(8192)
                                                              : 65536 + world_below(262144);
    socket->bytes = malloc(socket->size_max);
    return socket;
}

void socket_join(struct socket *a, struct socket *b)
{
    a->peer = b;
    b->peer = a;
    a->state = b->state = CONNECTED;
}

static uint64_t latency(const struct socket *to)
{
    if (to->family == AF_UNIX)
        return 0;
    return world_chance(100) ? world_below(200 * MS) : 10 * US + world_below(2 * MS);
}

/* Behind all that is on its way already. */
static void send_behind(struct socket *to, happening happen, uint64_t number)
{
    uint64_t at_ns = world_now() + latency(to);
    to->last_ns = at_ns > to->last_ns ? at_ns : to->last_ns;
    if (to->family == AF_UNIX)
        happen(to, number);
    else
        world_later(to->last_ns - world_now(), happen, to, number);
}

static void arrive(void *what, uint64_t size)
{
    struct socket *to = what;
    to->arrived += size;
    to->file.pulse++;
}

static void end(void *what, uint64_t number)
{
    struct socket *to = what;
    (void)number;
    to->fin = true;
    to->file.pulse++;
}

static void break_off(void *what, uint64_t number)
{
    struct socket *to = what;
    (void)number;
    if (to->state == CLOSED)
        return;
    to->error = to->fin ? EPIPE : ECONNRESET;
    to->fin = to->shut = true;
    to->state = CLOSED;
    to->file.pulse++;
    if (to->peer)
        to->peer->peer = NULL;
    to->peer = NULL;
}

void socket_reset(struct socket *from)
{
    if (from->peer)
        send_behind(from->peer, break_off, 0);
}

void socket_finish(struct socket *from)
{
    if (!from->shut && from->peer)
        send_behind(from->peer, end, 0);
    from->shut = true;
}

static void close_unix(struct socket *socket)
{
    struct socket *peer = socket->peer;
    if (!peer)
        return;
    peer->peer = NULL;
    peer->fin = peer->shut = true;
    if (socket->size > 0)
        peer->error = ECONNRESET;
    peer->file.pulse++;
}

static void close_tcp(struct socket *socket)
{
    if (socket->reset_on_close || socket->arrived > 0)
        socket_reset(socket);
    else
        socket_finish(socket);
    if (socket->peer)
        socket->peer->peer = NULL;
}

static void release(struct file *file)
{
    struct socket *socket = socket_in(file);
    if (socket->state == LISTENING || socket->state == BOUND)
        listener_forget(socket);
    if (socket->family == AF_UNIX)
        close_unix(socket);
    else
        close_tcp(socket);
    world_forget(socket);
    free(socket->bytes);
    free(socket);
}

const struct file_ops socket_ops = {.mode = S_IFSOCK, .events = events, .release = release};

static int take_error(struct socket *socket)
{
    int error = socket->error;
    socket->error = 0;
    return -error;
}

ssize_t socket_take(struct socket *socket, void *bytes, size_t size)
{
    size_t got = size < socket->arrived ? size : socket->arrived;
    if (socket->state == CONNECTING)
        return -EAGAIN;
    if (got == 0 && socket->error)
        return take_error(socket);
    if (got == 0 && (socket->fin || socket->state == CLOSED))
        return 0;
    if (got == 0)
        return socket->state == CONNECTED ? -EAGAIN : -ENOTCONN;
    if (fault(SHORT, 300))
        got = 1 + world_below((uint32_t)got);
    memcpy(bytes, socket->bytes, got);
    memmove(socket->bytes, socket->bytes + got, socket->size - got);
    socket->size -= got;
    socket->arrived -= got;
    if (socket->peer)
        socket->peer->file.pulse++;
    return (ssize_t)got;
}

/* To nobody: the bytes are lost, and the answer is a reset. */
static ssize_t send_in_vain(struct socket *socket, const struct iovec *iov, int count)
{
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        told_sent(&socket->file, iov[i].iov_base, iov[i].iov_len);
        all += (ssize_t)iov[i].iov_len;
    }
    send_behind(socket, break_off, 0);
    return all;
}

static int may_send(struct socket *socket)
{
    if (socket->state == CONNECTING)
        return -EAGAIN;
    if (socket->error)
        return take_error(socket);
    if (socket->shut || socket->state != CONNECTED)
        return socket->family == AF_UNIX && socket->state != CONNECTED ? -ENOTCONN : -EPIPE;
    return 0;
}

ssize_t socket_put(struct socket *socket, const struct iovec *iov, int count)
{
    struct socket *peer = socket->peer;
    int error = may_send(socket);
    if (error)
        return error;
    if (!peer)
        return send_in_vain(socket, iov, count);
    size_t room = peer->size_max - peer->size, all = 0;
    if (room == 0)
        return -EAGAIN;
    if (fault(SHORT, 300))
        room = 1 + world_below((uint32_t)room);
    for (int i = 0; i < count && all < room; i++) {
        size_t got = iov[i].iov_len < room - all ? iov[i].iov_len : room - all;
        if (got > 0)
            memcpy(peer->bytes + peer->size, iov[i].iov_base, got);
        told_sent(&socket->file, iov[i].iov_base, got);
        peer->size += got;
        all += got;
    }
    send_behind(peer, arrive, all);
    return (ssize_t)all;
}

/* Of a program that never closes a descriptor of the library's own. */
static int misused(int fd)
{
    if (!file_of(fd))
        fail("P2: descriptor %d is read or written, and is closed", fd);
    return -ENOTSOCK;
}

ssize_t sys_recv(int fd, void *bytes, size_t size)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    if (!socket)
        return misused(fd);
    if (fault(SPURIOUS, 30))
        return not_now();
    ssize_t got = socket_take(socket, bytes, size);
    note("recv %d: %zd", fd, got);
    if (got > 0)
        told_received(&socket->file, bytes, (size_t)got);
    else
        told_end(&socket->file, (int)got);
    return got;
}

ssize_t sys_recvmsg(int fd, struct msghdr *message)
{
    message->msg_controllen = 0;
    message->msg_flags = 0;
    return sys_recv(fd, message->msg_iov->iov_base, message->msg_iov->iov_len);
}

static ssize_t put(int fd, const struct iovec *iov, int count)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    if (!socket)
        return misused(fd);
    if (socket->state == CONNECTED && fault(SPURIOUS, 30))
        return not_now();
    ssize_t sent = socket_put(socket, iov, count);
    note("send %d: %zd", fd, sent);
    return sent;
}

ssize_t sys_send(int fd, const void *bytes, size_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    return put(fd, &iov, 1);
}

ssize_t sys_sendmsg(int fd, const struct msghdr *message)
{
    return put(fd, message->msg_iov, (int)message->msg_iovlen);
}

int sys_shutdown(int fd, int how)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    if (!socket || how != SHUT_WR)
        return -EINVAL;
    if (socket->state != CONNECTED)
        return -ENOTCONN;
    socket_finish(socket);
    return 0;
}
