/* Connections: a server and its clients on one loop. Each slot is a client that does one of eight
 * things, ends, and begins anew after a short while:
 *
 *   short     sends a few bytes, reads them back, and closes
 *   long      does so again and again for some seconds
 *   silent    sends nothing: the server's idle deadline ends it
 *   reset     sends, and resets the connection before the answer
 *   slow      asks for more than it reads, in small pieces, and leaves in the middle
 *   stuck     asks for more than it reads, and reads nothing: the server's write never ends
 *   deaf      waits for an answer that does not come, until the deadline of its read
 *   half-open connects to one who does not even accept, until the deadline of its connect
 *
 * The one who does not accept is a listener whose backlog of one was filled at the beginning: what
 * else is sent to it the kernel drops. Addresses of clients go round 127.0.0.0/24, or the ports of
 * one would run out within a minute.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <unistd.h>

enum { SLOTS = 100, MESSAGE = 512, FLOOD = 64 * 1024, SLOW_READS = 20, LONG_ROUNDS = 30 };
enum { BACKLOG_FILLED = 2 }; /* Linux lets one more than the backlog wait */

enum kind { SHORT, LONG, SILENT, RESET, SLOW, STUCK, DEAF, HALF_OPEN, KINDS };

struct client {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_timer timer;
    struct loop_read read;
    enum kind kind;
    int rounds;
    char room[1024];
};

struct server {
    struct loop_tcp tcp;
    struct loop_write write;
};

static struct loop_tcp listener;
static struct client clients[SLOTS];
static uint16_t port, full_port;
static int full = -1, fillers[BACKLOG_FILLED];
static char flood[FLOOD];

/* The server. */

static void on_server_closed(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct server, tcp.handle));
    done.servers--;
}

static void close_server(struct server *server)
{
    if (!loop_is_closing(&server->tcp.handle))
        loop_close(&server->tcp.handle, on_server_closed);
}

static void on_flooded(struct loop_write *write, int status)
{
    struct server *server = loop_container_of(write, struct server, write);
    struct loop_buf buf = {flood, FLOOD};
    if (status == 0 && loop_write(&server->tcp.stream, write, &buf, 1, on_flooded) < 0)
        close_server(server);
}

static void on_server_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct server *server = loop_container_of(stream, struct server, tcp.stream);
    if (size <= 0)
        close_server(server);
    else if (((const char *)bytes)[0] == 's')
        on_flooded(&server->write, 0);
    else if (loop_write_copy(stream, bytes, (size_t)size) < 0)
        close_server(server);
}

static void on_server_idle(struct loop_stream *stream)
{
    close_server(loop_container_of(stream, struct server, tcp.stream));
}

static void on_connection(struct loop_stream *stream, int status)
{
    if (status < 0) {
        done.errors++;
        return;
    }
    struct server *server = calloc(1, sizeof(*server));
    if (!server) {
        loop_refuse(stream);
        return;
    }
    loop_tcp_init(&loop, &server->tcp);
    done.servers++;
    if (loop_accept(stream, &server->tcp.stream) < 0 ||
        loop_stream_set_idle(&server->tcp.stream, 500 * LOOP_MS, on_server_idle) < 0 ||
        loop_read_start(&server->tcp.stream, on_server_read) < 0)
        close_server(server);
}

void listen_somewhere(void)
{
    struct loop_address address;
    check(loop_address_parse(&address, "0.0.0.0", 0), "address");
    loop_tcp_init(&loop, &listener);
    check(loop_tcp_bind(&listener, &address, 0), "bind");
    check(loop_listen(&listener.stream, LOOP_BACKLOG, on_connection), "listen");
    check(loop_tcp_local(&listener, &address), "local");
    port = loop_address_port(&address);
}

static void fill_a_listener(void)
{
    struct loop_address address;
    check(loop_address_parse(&address, "127.0.0.1", 0), "address");
    full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(full < 0 ? -errno : 0, "socket");
    check(bind(full, &address.any, address.size) < 0 ? -errno : 0, "bind");
    check(listen(full, 1) < 0 ? -errno : 0, "listen");
    check(getsockname(full, &address.any, &address.size) < 0 ? -errno : 0, "getsockname");
    full_port = loop_address_port(&address);
    for (int i = 0; i < BACKLOG_FILLED; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        check(fillers[i] < 0 ? -errno : 0, "socket");
        if (connect(fillers[i], &address.any, address.size) < 0 && errno != EINPROGRESS)
            check(-errno, "connecting");
    }
}

/* The clients. */

static void begin(struct client *client);

static void on_pause_over(struct loop_timer *timer)
{
    begin(loop_container_of(timer, struct client, timer));
}

static void on_client_closed(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    if (!ending)
        check(loop_timer_start(&client->timer, chance(20) * LOOP_MS, 0, on_pause_over), "timer");
}

static void close_client(struct client *client)
{
    loop_timer_stop(&client->timer);
    if (!loop_is_closing(&client->tcp.handle))
        loop_close(&client->tcp.handle, on_client_closed);
}

static void say_something(struct client *client)
{
    static const char message[MESSAGE] = "e";
    if (loop_write_copy(&client->tcp.stream, message, MESSAGE) < 0)
        close_client(client);
}

static void on_next_round(struct loop_timer *timer)
{
    say_something(loop_container_of(timer, struct client, timer));
}

static void on_echo(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = loop_container_of(stream, struct client, tcp.stream);
    (void)bytes;
    if (size > 0 && client->kind == LONG && ++client->rounds < LONG_ROUNDS)
        check(loop_timer_start(&client->timer, 100 * LOOP_MS, 0, on_next_round), "timer");
    else if (size <= 0 || client->kind != SILENT)
        close_client(client);
}

static void read_slowly(struct loop_timer *timer);

static void on_slow_read(struct loop_read *read, int status)
{
    struct client *client = loop_container_of(read, struct client, read);
    if (status < 0 || ++client->rounds == SLOW_READS)
        close_client(client);
    else
        check(loop_timer_start(&client->timer, 20 * LOOP_MS, 0, read_slowly), "timer");
}

static void read_slowly(struct loop_timer *timer)
{
    struct client *client = loop_container_of(timer, struct client, timer);
    if (loop_read_into(&client->tcp.stream, &client->read, client->room, 1, sizeof(client->room),
                       on_slow_read) < 0)
        close_client(client);
}

static void on_stuck_long_enough(struct loop_timer *timer)
{
    close_client(loop_container_of(timer, struct client, timer));
}

static void ask_for_a_flood(struct client *client)
{
    if (loop_write_copy(&client->tcp.stream, "s", 1) < 0)
        close_client(client);
    else if (client->kind == SLOW)
        read_slowly(&client->timer);
    else
        check(loop_timer_start(&client->timer, LOOP_SEC, 0, on_stuck_long_enough), "timer");
}

static void on_no_answer(struct loop_read *read, int status)
{
    struct client *client = loop_container_of(read, struct client, read);
    if (status == -ETIMEDOUT)
        done.unanswered++;
    else if (status != -ECANCELED)
        done.errors++;
    close_client(client);
}

static void wait_in_vain(struct client *client)
{
    if (loop_read_into(&client->tcp.stream, &client->read, client->room, 1, 1, on_no_answer) < 0)
        close_client(client);
    else
        check(loop_request_deadline(&client->read.request, 100 * LOOP_MS), "deadline");
}

static void talk(struct client *client)
{
    check(loop_read_start(&client->tcp.stream, on_echo), "reading");
    if (client->kind != SILENT)
        say_something(client);
    if (client->kind == RESET && !loop_is_closing(&client->tcp.handle))
        loop_stream_reset(&client->tcp.stream, on_client_closed);
}

static void on_connect(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    if (client->kind == HALF_OPEN) {
        done.unanswered += status == -ETIMEDOUT;
        done.errors += status != -ETIMEDOUT && status != -ECANCELED;
        close_client(client);
        return;
    }
    if (status < 0) {
        done.errors += status != -ECANCELED;
        close_client(client);
        return;
    }
    done.connections++;
    if (client->kind == SLOW || client->kind == STUCK)
        ask_for_a_flood(client);
    else if (client->kind == DEAF)
        wait_in_vain(client);
    else
        talk(client);
}

static void begin(struct client *client)
{
    struct loop_address address;
    char text[32] = "127.0.0.1";
    client->kind = (enum kind)chance(KINDS);
    client->rounds = 0;
    if (client->kind != HALF_OPEN)
        snprintf(text, sizeof(text), "127.0.0.%u", 1 + chance(250));
    check(loop_address_parse(&address, text, client->kind == HALF_OPEN ? full_port : port), text);
    loop_tcp_init(&loop, &client->tcp);
    check(loop_tcp_connect(&client->tcp, &client->connect, &address, on_connect), "connecting");
    if (client->kind == HALF_OPEN)
        check(loop_request_deadline(&client->connect.request, 200 * LOOP_MS), "deadline");
}

void traffic_begin(void)
{
    listen_somewhere();
    fill_a_listener();
    for (int i = 0; i < SLOTS; i++) {
        loop_timer_init(&loop, &clients[i].timer);
        begin(&clients[i]);
    }
}

void traffic_end(void)
{
    for (int i = 0; i < SLOTS; i++) {
        loop_timer_stop(&clients[i].timer);
        if (loop_stream_fd(&clients[i].tcp.stream) >= 0)
            close_client(&clients[i]);
    }
    for (int i = 0; i < BACKLOG_FILLED; i++)
        close(fillers[i]);
    close(full);
    loop_close(&listener.handle, NULL);
}
