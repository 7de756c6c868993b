/* Far ends: processes elsewhere that connect, answer, send, read, stop reading, half-close, reset.
 *
 * Each has a socket without a descriptor and wakes up now and then to do what comes to its mind.
 * When the faults are over it becomes a good citizen: it reads all that comes and, once, ends what
 * it sends. It has strength for some hundred deeds, so that no run lasts for ever; what it sends is
 * noise, since transfer.c compares what the library read with what it told.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

enum { PEERS_MAX = 64, ACTS_MAX = 400, CALLS_MAX = 100 };

struct peer {
    struct socket *socket; /* NULL: free */
    bool reads;
    bool writes;
    unsigned acts;
};

static struct peer peers[PEERS_MAX];
static bool calm;
static unsigned calls;

static void act(void *what, uint64_t number);

static void plan(struct peer *peer)
{
    world_later(calm ? MS : world_below(20 * MS), act, peer, 0);
}

static void leave(struct peer *peer)
{
    struct socket *socket = peer->socket;
    peer->socket = NULL;
    world_forget(peer);
    file_release(&socket->file);
}

static void send_some(struct socket *socket)
{
    static char bytes[140000];
    size_t size = 1 + world_below(world_chance(100) ? sizeof(bytes) : 600);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)world_below(256);
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    socket_put(socket, &iov, 1);
}

static void read_some(struct socket *socket, size_t most)
{
    static char bytes[70000];
    socket_take(socket, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
}

static bool is_over(const struct socket *socket)
{
    return socket->state == CLOSED || !socket->peer;
}

static void act(void *what, uint64_t number)
{
    struct peer *peer = what;
    (void)number;
    bool tired = ++peer->acts > ACTS_MAX && !calm;
    if (tired || (is_over(peer->socket) && (calm || world_chance(500)))) {
        leave(peer);
        return;
    }
    if (calm || (peer->reads && world_chance(800)))
        read_some(peer->socket, calm ? SIZE_MAX : 1 + world_below(9000));
    if (!calm && peer->writes && world_chance(500))
        send_some(peer->socket);
    if (calm || world_chance(20))
        socket_finish(peer->socket);
    if (fault(RESETS, 20)) {
        peer->socket->reset_on_close = true;
        leave(peer);
        return;
    }
    peer->reads ^= world_chance(50);
    plan(peer);
}

void peer_attach(struct socket *socket)
{
    struct peer *peer = peers;
    while (peer < peers + PEERS_MAX && peer->socket)
        peer++;
    socket->file.references++;
    if (peer == peers + PEERS_MAX) {
        file_release(&socket->file);
        return;
    }
    *peer = (struct peer){.socket = socket};
    peer->reads = world_chance(800);
    peer->writes = world_chance(700);
    plan(peer);
}

void peer_serve(struct socket *client)
{
    struct socket *server = socket_make(client->family);
    socket_join(client, server);
    peer_attach(server);
}

static void call_one(int family, unsigned port)
{
    struct socket *listener = listener_at(family, port);
    if (!listener)
        return;
    struct socket *client = socket_make(family);
    struct socket *server = socket_make(family);
    if (backlog_push(listener, server)) {
        socket_join(client, server);
        peer_attach(client);
        return;
    }
    client->file.references = server->file.references = 1;
    file_release(&client->file);
    file_release(&server->file);
}

static void call(void *what, uint64_t number)
{
    (void)number;
    int family = world_chance(500) ? AF_INET : AF_UNIX;
    call_one(family, 1 + world_below(6));
    if (!calm && ++calls < CALLS_MAX)
        world_later(world_below(30 * MS), call, what, 0);
}

void peers_begin(void)
{
    memset(peers, 0, sizeof(peers));
    calm = false;
    calls = 0;
    if (has(PEERS))
        world_later(world_below(10 * MS), call, peers, 0);
}

void peers_calm(void)
{
    calm = true;
}

void peers_end(void)
{
    for (struct peer *peer = peers; peer < peers + PEERS_MAX; peer++)
        if (peer->socket)
            leave(peer);
}
