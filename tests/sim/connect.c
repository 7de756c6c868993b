/* Sockets before they are connected: names, listeners, backlogs, and the three ways in which an
 * attempt to connect may end.
 *
 * A TCP connect takes a round trip. It finds a listener of this process, or a far port, whose
 * number says what is there: somebody who answers, nobody (refused), or silence, which lasts until
 * the kernel gives up. A listener whose backlog is full does not answer, and is asked again. A
 * unix-domain connect is over when the call returns.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stddef.h>

enum { FAR_PORTS = 1000 }; /* from here on nobody of this process listens */

static struct socket *listeners; /* and what is only bound */

void listeners_begin(void)
{
    listeners = NULL;
}

static struct socket *named(int family, unsigned port)
{
    for (struct socket *socket = listeners; socket; socket = socket->next)
        if ((socket->family == AF_UNIX) == (family == AF_UNIX) && socket->port == port)
            return socket;
    return NULL;
}

struct socket *listener_at(int family, unsigned port)
{
    struct socket *socket = named(family, port);
    return socket && socket->state == LISTENING ? socket : NULL;
}

/* What waited for it is sent away. */
void listener_forget(struct socket *listener)
{
    struct socket **place = &listeners;
    while (*place && *place != listener)
        place = &(*place)->next;
    if (*place)
        *place = listener->next;
    while (listener->backlog) {
        struct socket *server = listener->backlog;
        listener->backlog = server->next;
        server->reset_on_close = true;
        file_release(&server->file);
    }
}

bool backlog_push(struct socket *listener, struct socket *server)
{
    struct socket **place = &listener->backlog;
    if (listener->waiting > listener->waiting_max)
        return false;
    while (*place)
        place = &(*place)->next;
    *place = server;
    server->next = NULL;
    server->file.references = 1; /* the backlog's */
    listener->waiting++;
    listener->file.pulse++;
    return true;
}

int sys_socket(int family, int type)
{
    (void)type;
    world_call(-1);
    return file_open(&socket_make(family)->file);
}

int sys_socketpair(int fds[2])
{
    world_call(-1);
    struct socket *ends[2] = {socket_make(AF_UNIX), socket_make(AF_UNIX)};
    socket_join(ends[0], ends[1]);
    for (int i = 0; i < 2; i++)
        fds[i] = file_open(&ends[i]->file);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            sys_close(fds[i]);
    return -EMFILE;
}

/* Paths are /sim/NUMBER, abstract names the same behind their 0. */
static unsigned port_of(const struct sockaddr *address)
{
    if (address->sa_family != AF_UNIX)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    const char *path = ((const struct sockaddr_un *)(const void *)address)->sun_path;
    return (unsigned)strtoul(strrchr(path + 1, '/') + 1, NULL, 10);
}

static bool is_path(const struct sockaddr *address)
{
    return address->sa_family == AF_UNIX &&
           ((const struct sockaddr_un *)(const void *)address)->sun_path[0] != '\0';
}

int sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    (void)size;
    world_call(fd);
    struct socket *socket = socket_of(fd);
    if (!socket || socket->state != FRESH)
        return -EINVAL;
    unsigned port = port_of(address);
    if (named(socket->family, port) || (is_path(address) && !path_create(port)))
        return -EADDRINUSE;
    socket->port = port;
    socket->is_path = is_path(address);
    socket->state = BOUND;
    socket->next = listeners;
    listeners = socket;
    return 0;
}

int sys_listen(int fd, int backlog)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    if (!socket || socket->state != BOUND)
        return -EINVAL;
    socket->state = LISTENING;
    socket->waiting_max = has(SMALL_QUEUES) ? world_below(3) : (unsigned)backlog;
    return 0;
}

int sys_accept(int fd)
{
    world_call(fd);
    struct socket *listener = socket_of(fd);
    if (!listener || listener->state != LISTENING)
        return listener ? -EINVAL : -EBADF;
    if (!listener->backlog)
        return -EAGAIN;
    if (fault(SPURIOUS, 50))
        return not_now();
    if (fault(FEW_FILES, 50))
        return -ENFILE;
    struct socket *server = listener->backlog;
    server->file.references++; /* it stays where it is if there is no descriptor for it */
    int taken = file_open(&server->file);
    server->file.references--;
    if (taken < 0)
        return taken;
    server->file.references--; /* the backlog's */
    listener->backlog = server->next;
    server->next = NULL;
    listener->waiting--;
    note("accept %d: %d", fd, taken);
    if (fault(RESETS, 50)) {
        sys_close(taken);
        return -ECONNABORTED;
    }
    return taken;
}

static bool connect_to(struct socket *client, struct socket *listener)
{
    struct socket *server = socket_make(client->family);
    server->port = client->port;
    if (!backlog_push(listener, server)) {
        server->file.references = 1;
        file_release(&server->file);
        return false;
    }
    socket_join(client, server);
    return true;
}

static void end_attempt(struct socket *client, int error)
{
    client->state = CLOSED;
    client->error = error;
    client->fin = client->shut = true;
    client->file.pulse++;
}

/* A SYN that nobody answers is sent again after one second, two, four…, and then given up. */
static void ask_again(struct socket *client, uint64_t port_and_tries);

static void attempt(void *what, uint64_t port_and_tries)
{
    struct socket *client = what;
    unsigned port = (unsigned)port_and_tries & 0xffff;
    struct socket *listener = listener_at(AF_INET, port);
    if (port >= FAR_PORTS && port % 3 == 0)
        peer_serve(client);
    else if (port >= FAR_PORTS && port % 3 == 1)
        end_attempt(client, ETIMEDOUT);
    else if (!listener)
        end_attempt(client, ECONNREFUSED);
    else if (!connect_to(client, listener))
        ask_again(client, port_and_tries);
    client->file.pulse++;
}

static void ask_again(struct socket *client, uint64_t port_and_tries)
{
    enum { TRIES_MAX = 6 };
    uint64_t tries = port_and_tries >> 16;
    if (tries == TRIES_MAX)
        end_attempt(client, ETIMEDOUT);
    else
        world_later(SECOND << tries, attempt, client, port_and_tries + (1 << 16));
}

static int connect_unix(struct socket *client, unsigned port)
{
    struct socket *listener = listener_at(AF_UNIX, port);
    if (!listener)
        return -ECONNREFUSED;
    return connect_to(client, listener) ? 0 : -EAGAIN;
}

int sys_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    (void)size;
    world_call(fd);
    struct socket *client = socket_of(fd);
    unsigned port = port_of(address);
    if (!client || client->state == LISTENING)
        return -EINVAL;
    if (client->family == AF_UNIX)
        return connect_unix(client, port);
    if (client->state == BOUND)
        listener_forget(client);
    if (fault(RESETS, 50))
        return -ENETUNREACH;
    bool silent = port >= FAR_PORTS && port % 3 == 1;
    client->state = CONNECTING;
    world_later(silent ? 120 * SECOND : 100 * US + world_below(20 * MS), attempt, client, port);
    return -EINPROGRESS;
}

static int put_int(void *value, int number)
{
    *(int *)value = number;
    return 0;
}

int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    (void)level;
    (void)size;
    if (!socket)
        return file_of(fd) ? -ENOTSOCK : -EBADF;
    if (name == SO_ERROR) {
        put_int(value, socket->error);
        socket->error = 0;
        return 0;
    }
    if (name == SO_PROTOCOL)
        return put_int(value, socket->family == AF_UNIX ? 0 : IPPROTO_TCP);
    if (name == SO_TYPE)
        return put_int(value, SOCK_STREAM);
    return name == SO_DOMAIN ? put_int(value, socket->family) : -ENOPROTOOPT;
}

int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    world_call(fd);
    struct socket *socket = socket_of(fd);
    (void)value;
    (void)size;
    if (!socket)
        return file_of(fd) ? -ENOTSOCK : -EBADF;
    if (level == SOL_SOCKET && name == SO_LINGER)
        socket->reset_on_close = true;
    return 0;
}

int sys_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    struct socket *socket = socket_of(fd);
    world_call(fd);
    if (!socket)
        return -EBADF;
    if (socket->family == AF_UNIX) {
        struct sockaddr_un *name = (struct sockaddr_un *)(void *)address;
        name->sun_family = AF_UNIX;
        name->sun_path[0] = '\0';
        if (socket->is_path)
            snprintf(name->sun_path, 32, "/sim/%u", socket->port);
        *size = offsetof(struct sockaddr_un, sun_path) + 32;
        return 0;
    }
    struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)socket->port)};
    memcpy(address, &ip4, sizeof(ip4));
    *size = sizeof(ip4);
    return 0;
}

int sys_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    struct socket *socket = socket_of(fd);
    if (!socket)
        return -EBADF;
    if (socket->state != CONNECTED)
        return -ENOTCONN;
    return sys_getsockname(fd, address, size);
}
