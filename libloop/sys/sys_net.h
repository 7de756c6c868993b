/* Internal. What libloop does with sockets, and with names of the net: a part of sys.h, which
 * includes it, and to which all that is said there applies.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_NET_H
#define LOOP_SYS_NET_H

#include "sys.h"

#include <linux/errqueue.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* Sockets. All are made non-blocking and close-on-exec, and none raises SIGPIPE. That a call must
 * not wait is said in each, too: others who share the open file may change its mode. */

static inline int sys_socket(int family, int type)
{
    return sys_result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static inline int sys_socketpair(int fds[2])
{
    return sys_result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

static inline int sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return sys_result(bind(fd, address, size));
}

static inline int sys_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return sys_result(connect(fd, address, size));
}

static inline int sys_listen(int fd, int backlog)
{
    return sys_result(listen(fd, backlog));
}

static inline int sys_accept(int fd)
{
    return sys_result(accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static inline int sys_shutdown(int fd, int how)
{
    return sys_result(shutdown(fd, how));
}

static inline int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    return sys_result(getsockopt(fd, level, name, value, size));
}

static inline int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return sys_result(setsockopt(fd, level, name, value, size));
}

static inline int sys_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return sys_result(getsockname(fd, address, size));
}

static inline int sys_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    return sys_result(getpeername(fd, address, size));
}

static inline ssize_t sys_recv(int fd, void *bytes, size_t size)
{
    return sys_size(recv(fd, bytes, size, MSG_DONTWAIT));
}

static inline ssize_t sys_recvmsg(int fd, struct msghdr *message)
{
    return sys_size(recvmsg(fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
}

static inline ssize_t sys_send(int fd, const void *bytes, size_t size)
{
    return sys_size(send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *message)
{
    return sys_size(sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Datagrams. */

static inline int sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned count)
{
    return sys_result(sendmmsg(fd, messages, count, MSG_NOSIGNAL));
}

static inline int sys_recvmmsg(int fd, struct mmsghdr *messages, unsigned count)
{
    return sys_result(recvmmsg(fd, messages, count, 0, NULL));
}

/* What the network said of a datagram sent earlier. */
static inline ssize_t sys_recv_error(int fd, struct msghdr *message)
{
    return sys_size(recvmsg(fd, message, MSG_ERRQUEUE));
}

/* Names. */

static inline int sys_interface_index(const char *name, uint32_t *index)
{
    uint32_t found = if_nametoindex(name);
    if (found == 0)
        return -errno;
    *index = found;
    return 0;
}

static inline int sys_interface_name(uint32_t index, char name[IF_NAMESIZE])
{
    return if_indextoname(index, name) ? 0 : -errno;
}

/* Both return 0 or an EAI_ code, and with EAI_SYSTEM a negative errno. */
static inline int sys_getaddrinfo(const char *host, const char *service,
                                  const struct addrinfo *hints, struct addrinfo **list, int *error)
{
    int code = getaddrinfo(host, service, hints, list);
    *error = code == EAI_SYSTEM ? -errno : 0;
    return code;
}

static inline int sys_getnameinfo(const struct sockaddr *address, socklen_t address_size,
                                  char *host, socklen_t host_size, char *service,
                                  socklen_t service_size, int flags, int *error)
{
    int code = getnameinfo(address, address_size, host, host_size, service, service_size, flags);
    *error = code == EAI_SYSTEM ? -errno : 0;
    return code;
}

static inline void sys_freeaddrinfo(struct addrinfo *list)
{
    freeaddrinfo(list);
}

#endif
