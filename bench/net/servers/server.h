/* Internal. What the servers share: the words they are called with, and how they say where they
 * listen.
 *
 * A server is a whole program, as its library's manual would have it written. Its last argument is
 * the role: echo (send back what comes, until the connection ends), sink (drop what comes) or
 * source (send pieces of 64 KiB as fast as they go). An argument before that is a variant of its
 * own. It listens on a port of 127.0.0.1 that the kernel chooses, with TCP_NODELAY on the
 * listening socket, from which connections inherit it; on the first error it does not know it
 * ends.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum { SERVER_BACKLOG = 511, SERVER_PIECE = 65536 };

enum server_role { ROLE_ECHO, ROLE_SINK, ROLE_SOURCE };

static inline enum server_role server_role(int argc, char **argv)
{
    static const char *const names[] = {"echo", "sink", "source"};
    for (size_t i = 0; argc > 1 && i < sizeof names / sizeof *names; i++)
        if (strcmp(argv[argc - 1], names[i]) == 0)
            return (enum server_role)i;
    bench_require(false, "usage: server-PEER [VARIANT] echo|sink|source");
    return ROLE_ECHO;
}

static inline bool server_variant(int argc, char **argv, const char *name)
{
    return argc > 2 && strcmp(argv[1], name) == 0;
}

/* handle_bytes: what the server allocates itself for a connection. */
static inline void server_announce(uint16_t port, size_t handle_bytes)
{
    printf("%u %zu\n", port, handle_bytes);
    bench_require(fflush(stdout) == 0, "standard output");
}

static inline uint16_t server_port(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int error = getsockname(fd, (struct sockaddr *)&address, &size);
    bench_require(error == 0, "getsockname");
    return ntohs(address.sin_port);
}

static inline void server_set_nodelay(int fd)
{
    const int on = 1;
    int error = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bench_require(error == 0, "setsockopt");
}

static inline struct sockaddr_in server_address(void)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* For libraries that watch descriptors and leave the sockets to their user. */
static inline int server_listen(void)
{
    const struct sockaddr_in address = server_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bench_require(fd >= 0, "socket");
    int error = bind(fd, (const struct sockaddr *)&address, sizeof address);
    bench_require(error == 0, "bind");
    server_set_nodelay(fd);
    bench_require(listen(fd, SERVER_BACKLOG) == 0, "listen");
    return fd;
}

#endif
