/* UDP: the life of a handle, and what it has epoll report. udp_send.c, udp_try.c, udp_segment.c,
 * udp_recv.c and udp_option.c are what it does.
 *
 * The socket is made when its family is known, by bind, connect or the first send. From then on the
 * handle is among the loop's, active or not, so that a program that forgets to close it hears of
 * it. It is active while it receives; sends are requests, which count for themselves.
 *
 * What epoll reports follows from what is under way (wanted(), below): readable while the handle
 * receives, writable while something waits to be sent, and with neither the socket is not watched
 * at all, since epoll reports errors even to those who want nothing.
 *
 * An error stays on the socket until a call returns it, and what is in the socket's error queue
 * (IP_RECVERR of ip(7), or time stamps that somebody asked for) until it is read from there. Either
 * would end every sleep at once; so the error queue is emptied first, which takes the socket's
 * error along with it, and then receiving or sending meets what is left. [DOC: udp-errors]
 *
 * A unix-domain datagram socket behaves in all this like one of UDP, so such a one may be adopted.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

enum { ALL_FLAGS = LOOP_UDP_IPV6_ONLY | LOOP_UDP_REUSE_ADDRESS | LOOP_UDP_REUSE_PORT };

int udp_usable(const struct loop_udp *udp)
{
    if (!udp)
        return -EINVAL;
    int error = handle_usable(&udp->handle);
    return !error && udp->watcher.fd < 0 ? -ENOTCONN : error;
}

/* 0: it could be opened. */
static int vacant(const struct loop_udp *udp)
{
    int error = udp_usable(udp);
    if (!error)
        return -EBUSY;
    return error == -ENOTCONN ? 0 : error;
}

bool udp_is_internet(const struct loop_address *address)
{
    if (address->any.sa_family == AF_INET)
        return address->size == sizeof(address->ip4);
    return address->any.sa_family == AF_INET6 && address->size == sizeof(address->ip6);
}

/* Readers want to hear of a shutdown too: such a socket is readable for ever. */
static uint32_t wanted(const struct loop_udp *udp)
{
    uint32_t events = udp->recv_cb ? EPOLLIN | EPOLLRDHUP : 0;
    return list_empty(&udp->sending) ? events : events | EPOLLOUT;
}

int udp_watch(struct loop_udp *udp)
{
    uint32_t events = wanted(udp);
    if (events == udp->watcher.wanted)
        return 0;
    return watcher_start(udp->handle.loop, &udp->watcher, events);
}

static void adopt(struct loop_udp *udp, int fd, int family)
{
    udp->watcher.fd = fd;
    udp->family = (uint16_t)family;
    udp->segments = 0;
    list_append(&udp->handle.loop->handles, &udp->handle.link);
}

static void let_go(struct loop_udp *udp)
{
    watcher_stop(udp->handle.loop, &udp->watcher);
    loop_timer_stop(&udp->deadline);
    list_remove(&udp->handle.link);
    if (handle_is_active(&udp->handle))
        handle_stop(&udp->handle);
    udp->recv_cb = NULL;
    udp->watcher.fd = -1;
}

static void stop(struct loop_handle *handle)
{
    struct loop_udp *udp = loop_container_of(handle, struct loop_udp, handle);
    int fd = udp->watcher.fd;
    if (fd < 0)
        return;
    udp_decide_all(udp, -ECANCELED);
    let_go(udp);
    if (sys_close(fd) == -EBADF)
        panic("the udp was closed when somebody else had closed its descriptor %d; a descriptor "
              "given to libloop is closed by loop_close() alone",
              fd);
}

static void finish(struct loop_handle *handle)
{
    udp_tell_all(loop_container_of(handle, struct loop_udp, handle));
}

/* The descriptor was closed behind us: it is not ours to close any more. */
static void lose(struct loop_udp *udp, int error)
{
    struct loop *loop = udp->handle.loop;
    loop_udp_recv_cb cb = udp->recv_cb;
    struct subject subject = handle_subject(&udp->handle, (loop_function)cb);
    udp_decide_all(udp, error);
    let_go(udp);
    if (!cb)
        return;
    callback_begin(loop, subject, error);
    cb(udp, error, NULL, NULL, 0);
    callback_end(loop);
}

/* Each step may call back, and find the handle stopped, closed, or freed, afterwards. */
static void ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    struct loop_udp *udp = loop_container_of(watcher, struct loop_udp, watcher);
    const struct loop_poller *poller = &udp->handle.loop->poller;
    int fd = watcher->fd;
    if (status < 0) {
        lose(udp, status);
        return;
    }
    if (watcher->wanted == 0)
        return; /* it was stopped earlier in this batch, which the kernel has not heard yet */
    uint64_t tag = watcher_tag(poller, fd);
    if (events & EPOLLERR)
        udp_receive_errors(udp);
    if (watcher_tag(poller, fd) != tag)
        return;
    if (events & (EPOLLERR | EPOLLHUP))
        events |= EPOLLIN | EPOLLOUT;
    if (events & watcher->wanted & EPOLLIN)
        udp_receive(udp, events);
    if (watcher_tag(poller, fd) == tag && events & watcher->wanted & EPOLLOUT)
        udp_flush(udp);
}

void loop_udp_init(struct loop *loop, struct loop_udp *udp)
{
    static const struct loop_handle_ops ops = {.type = "udp", .stop = stop, .finish = finish};
    handle_init(loop, &udp->handle, &ops);
    udp->queued = 0;
    udp->queued_count = 0;
    udp->dropped = 0;
    watcher_init(&udp->watcher, -1, ready);
    list_init(&udp->sending);
    list_init(&udp->sent);
    udp->recv_cb = NULL;
    udp->max = LOOP_UDP_QUEUE_MAX;
    udp->slot_size = 0;
    udp->family = AF_UNSPEC;
    udp->segments = 0;
    deadline_init(loop, &udp->deadline, udp_expire);
}

/* IPv6 hears IPv4 too unless told otherwise, whatever /proc/sys/net/ipv6/bindv6only says. */
static int open_socket(int family, unsigned flags)
{
    int only = (flags & LOOP_UDP_IPV6_ONLY) != 0;
    int fd = sys_socket(family, SOCK_DGRAM);
    if (fd < 0 || family != AF_INET6)
        return fd;
    int error = sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    if (!error)
        return fd;
    sys_close(fd);
    return error;
}

static int bind_socket(int fd, const struct loop_address *address, unsigned flags)
{
    int on = 1;
    int error = 0;
    if (flags & LOOP_UDP_REUSE_ADDRESS)
        error = sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!error && flags & LOOP_UDP_REUSE_PORT)
        error = sys_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    return error ? error : sys_bind(fd, &address->any, address->size);
}

int loop_udp_bind(struct loop_udp *udp, const struct loop_address *address, unsigned flags)
{
    if (!udp || !address || !udp_is_internet(address) || flags & ~(unsigned)ALL_FLAGS)
        return -EINVAL;
    int error = vacant(udp);
    if (error)
        return error;
    int fd = open_socket(address->any.sa_family, flags);
    if (fd < 0)
        return fd;
    error = bind_socket(fd, address, flags);
    if (error)
        sys_close(fd);
    else
        adopt(udp, fd, address->any.sa_family);
    return error;
}

int udp_need_socket(struct loop_udp *udp, int family)
{
    if (udp->watcher.fd >= 0)
        return 0;
    int fd = open_socket(family, 0);
    if (fd >= 0)
        adopt(udp, fd, family);
    return fd < 0 ? fd : 0;
}

static int disconnect(struct loop_udp *udp)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct loop_address peer;
    int error = udp_usable(udp);
    if (!error)
        error = loop_udp_peer(udp, &peer);
    return error ? error : sys_connect(udp->watcher.fd, &nobody, sizeof(nobody));
}

/* A socket that was made for a peer who cannot be reached is not kept. */
static int connect_fresh(struct loop_udp *udp, const struct loop_address *address)
{
    int fd = open_socket(address->any.sa_family, 0);
    if (fd < 0)
        return fd;
    int error = sys_connect(fd, &address->any, address->size);
    if (error)
        sys_close(fd);
    else
        adopt(udp, fd, address->any.sa_family);
    return error;
}

int loop_udp_connect(struct loop_udp *udp, const struct loop_address *address)
{
    if (!udp || (address && !udp_is_internet(address)))
        return -EINVAL;
    int error = handle_usable(&udp->handle);
    if (error)
        return error;
    if (!list_empty(&udp->sending))
        return -EBUSY;
    if (!address)
        return disconnect(udp);
    if (udp->watcher.fd < 0)
        return connect_fresh(udp, address);
    return sys_connect(udp->watcher.fd, &address->any, address->size);
}

/* The family of a descriptor that can be adopted. */
static int family_of(int fd)
{
    int type = 0, family = 0;
    socklen_t size = sizeof(type);
    int error = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (!error)
        error = sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    if (error)
        return error;
    bool known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
    return known && type == SOCK_DGRAM ? family : -EPROTOTYPE;
}

int loop_udp_open(struct loop_udp *udp, int fd)
{
    int error = vacant(udp);
    if (error)
        return error;
    int family = family_of(fd);
    int flags = family < 0 ? family : sys_fcntl(fd, F_GETFL, 0);
    error = flags < 0 ? flags : sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (!error)
        adopt(udp, fd, family);
    return error;
}

int loop_udp_detach(struct loop_udp *udp)
{
    int error = udp_usable(udp);
    if (error)
        return error;
    if (udp_is_busy(udp))
        return -EBUSY;
    int fd = udp->watcher.fd;
    let_go(udp);
    return fd;
}

int loop_udp_fd(const struct loop_udp *udp)
{
    return udp->watcher.fd;
}

static int ask(const struct loop_udp *udp, struct loop_address *address,
               int (*question)(int fd, struct sockaddr *address, socklen_t *size))
{
    if (!address)
        return -EINVAL;
    int error = udp_usable(udp);
    struct loop_address answer = {.size = sizeof(answer.ip6)};
    if (!error)
        error = question(udp->watcher.fd, &answer.any, &answer.size);
    if (error)
        return error;
    if (!udp_is_internet(&answer))
        return -EAFNOSUPPORT;
    *address = answer;
    return 0;
}

int loop_udp_local(const struct loop_udp *udp, struct loop_address *address)
{
    return ask(udp, address, sys_getsockname);
}

int loop_udp_peer(const struct loop_udp *udp, struct loop_address *address)
{
    return ask(udp, address, sys_getpeername);
}
