/* Traffic without end: a server and its clients on one loop, and beside them look-ups, files, work
 * and timers. What soak.py watches is whether anything grows. soak SECONDS, or soak idle.
 *
 * Each slot is a client that does one of five things, ends, and begins anew after a short while:
 *
 *   short     sends a few bytes, reads them back, and closes
 *   long      does so again and again for some seconds
 *   silent    sends nothing: the server's idle deadline ends it
 *   reset     sends, and resets the connection before the answer
 *   slow      asks for more than it reads, in small pieces, and leaves in the middle
 *
 * A line of figures is printed each second. After SECONDS nothing begins anew; when all have ended
 * the loop must be empty and the table of descriptors as it was.
 *
 * Addresses of clients go round 127.0.0.0/24, or the ports of one would run out within a minute.
 *
 * SPDX-License-Identifier: MIT */
#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 100, MESSAGE = 512, FLOOD = 64 * 1024, SLOW_READS = 20, LONG_ROUNDS = 30 };

enum kind { SHORT, LONG, SILENT, RESET, SLOW, KINDS };

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

static struct loop loop;
static struct loop_tcp listener;
static struct loop_timer second, end, lag_timer, chores;
static struct client clients[SLOTS];
static struct loop_getaddrinfo lookup;
static struct loop_fs file;
static struct loop_work work;
static uint16_t port;
static uint64_t connections, chores_done, errors, lag_max_ns, lag_due_ns;
static int servers, seconds, seconds_max, chores_in_flight;
static bool ending;
static char flood[FLOOD];

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "soak: %s: %s\n", what, loop_strerror(result));
    exit(1);
}

static uint32_t chance(uint32_t below)
{
    static uint64_t state = 88172645463325252; /* xorshift: the same run each time */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % below);
}

/* The server. */

static void on_server_closed(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct server, tcp.handle));
    servers--;
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
        errors++;
        return;
    }
    struct server *server = calloc(1, sizeof(*server));
    if (!server) {
        loop_refuse(stream);
        return;
    }
    loop_tcp_init(&loop, &server->tcp);
    servers++;
    if (loop_accept(stream, &server->tcp.stream) < 0 ||
        loop_stream_set_idle(&server->tcp.stream, 500 * LOOP_MS, on_server_idle) < 0 ||
        loop_read_start(&server->tcp.stream, on_server_read) < 0)
        close_server(server);
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

static void on_connect(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    if (status < 0) {
        errors += status != -ECANCELED;
        close_client(client);
        return;
    }
    connections++;
    if (client->kind == SLOW) {
        if (loop_write_copy(&client->tcp.stream, "s", 1) == 0)
            read_slowly(&client->timer);
        return;
    }
    check(loop_read_start(&client->tcp.stream, on_echo), "reading");
    if (client->kind != SILENT)
        say_something(client);
    if (client->kind == RESET && !loop_is_closing(&client->tcp.handle))
        loop_stream_reset(&client->tcp.stream, on_client_closed);
}

static void begin(struct client *client)
{
    struct loop_address address;
    char text[32];
    client->kind = (enum kind)chance(KINDS);
    client->rounds = 0;
    snprintf(text, sizeof(text), "127.0.0.%u", 1 + chance(250));
    check(loop_address_parse(&address, text, port), text);
    loop_tcp_init(&loop, &client->tcp);
    check(loop_tcp_connect(&client->tcp, &client->connect, &address, on_connect), "connecting");
}

/* Chores: what goes through the pool, and what need not. */

static void done(int status)
{
    chores_done++;
    chores_in_flight--;
    errors += status < 0;
}

static void on_lookup(struct loop_getaddrinfo *req)
{
    done(req->status);
}

static void on_file(struct loop_fs *fs)
{
    done((int)fs->result);
}

static void on_work(struct loop_work *request, int status)
{
    (void)request;
    done(status);
}

static void compute(void *data)
{
    (void)data;
}

static void on_chores(struct loop_timer *timer)
{
    (void)timer;
    if (chores_in_flight > 0 || ending)
        return;
    chores_in_flight = 3;
    check(loop_getaddrinfo(&loop, &lookup, "127.0.0.1", "80", NULL, on_lookup), "look-up");
    check(loop_fs_read_file(&loop, &file, "/etc/passwd", on_file), "file");
    check(loop_work(&loop, &work, compute, on_work), "work");
}

/* Figures. */

static void count_one(struct loop_handle *handle, void *arg)
{
    (void)handle;
    ++*(int *)arg;
}

static void on_lag(struct loop_timer *timer)
{
    uint64_t late_ns = loop_now(&loop) - lag_due_ns;
    if (late_ns > lag_max_ns)
        lag_max_ns = late_ns;
    lag_due_ns = loop_now(&loop) + 10 * LOOP_MS;
    check(loop_timer_start(timer, 10 * LOOP_MS, 0, on_lag), "timer");
}

static void on_second(struct loop_timer *timer)
{
    int handles = 0;
    (void)timer;
    loop_walk(&loop, count_one, &handles);
    printf("%d connections %llu chores %llu handles %d servers %d lag_us %llu errors %llu\n",
           ++seconds, (unsigned long long)connections, (unsigned long long)chores_done, handles,
           servers, (unsigned long long)(lag_max_ns / 1000), (unsigned long long)errors);
    fflush(stdout);
    lag_max_ns = 0;
}

static void on_end(struct loop_timer *timer)
{
    (void)timer;
    ending = true;
    for (int i = 0; i < SLOTS; i++)
        loop_timer_stop(&clients[i].timer);
    for (int i = 0; i < SLOTS; i++)
        if (clients[i].tcp.handle.loop && loop_stream_fd(&clients[i].tcp.stream) >= 0)
            close_client(&clients[i]);
    loop_close(&listener.handle, NULL);
    loop_timer_stop(&second);
    loop_timer_stop(&lag_timer);
    loop_timer_stop(&chores);
}

static void start_server(void)
{
    struct loop_address address;
    check(loop_address_parse(&address, "0.0.0.0", 0), "address");
    loop_tcp_init(&loop, &listener);
    check(loop_tcp_bind(&listener, &address, 0), "bind");
    check(loop_listen(&listener.stream, LOOP_BACKLOG, on_connection), "listen");
    check(loop_tcp_local(&listener, &address), "local");
    port = loop_address_port(&address);
}

static void start_traffic(void)
{
    lag_due_ns = loop_now(&loop) + 10 * LOOP_MS;
    loop_timer_init(&loop, &second);
    loop_timer_init(&loop, &end);
    loop_timer_init(&loop, &lag_timer);
    loop_timer_init(&loop, &chores);
    check(loop_timer_start(&second, LOOP_SEC, LOOP_SEC, on_second), "timer");
    check(loop_timer_start(&end, (uint64_t)seconds_max * LOOP_SEC, 0, on_end), "timer");
    check(loop_timer_start(&lag_timer, 10 * LOOP_MS, 0, on_lag), "timer");
    check(loop_timer_start(&chores, LOOP_MS, LOOP_MS, on_chores), "timer");
    for (int i = 0; i < SLOTS; i++) {
        loop_timer_init(&loop, &clients[i].timer);
        begin(&clients[i]);
    }
}

/* Everything that could wake a loop is there, and nothing happens. */

static void on_async(struct loop_async *async)
{
    (void)async;
}

static void never(struct loop_timer *timer)
{
    (void)timer;
}

static int idle(void)
{
    static struct loop_async async;
    static struct loop_timer far;
    start_server();
    check(loop_async_init(&loop, &async, on_async), "async");
    loop_timer_init(&loop, &far);
    check(loop_timer_start(&far, 3600 * LOOP_SEC, 0, never), "timer");
    puts("idle");
    fflush(stdout);
    return loop_run(&loop, LOOP_RUN_DEFAULT);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int before = open_descriptors();
    check(argc == 2 ? 0 : -EINVAL, "usage: soak SECONDS, or soak idle");
    check(loop_init(&loop, NULL), "loop");
    if (strcmp(argv[1], "idle") == 0)
        return idle();
    seconds_max = atoi(argv[1]);
    start_server();
    start_traffic();
    check(loop_run(&loop, LOOP_RUN_DEFAULT), "running");
    check(loop_fini(&loop), "something is left when all has ended");
    loop_pool_shutdown();
    int left = open_descriptors() - before;
    printf(
        "ended: %llu connections, %llu chores, %llu errors, %d servers and %d descriptors left\n",
        (unsigned long long)connections, (unsigned long long)chores_done,
        (unsigned long long)errors, servers, left);
    return errors > 0 || servers > 0 || left != 0;
}
