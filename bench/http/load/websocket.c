/* The client of the WebSocket row: ping-pong of 64 bytes of text on 64 connections, as long as it
 * is told to.
 *
 *     websocket-client PORT SECONDS
 *
 * On bare epoll. Each connection sends one masked frame, waits until the same bytes have come back,
 * and sends the next. It prints what wrk does for the other rows: operations, p50 and p99 from
 * sending to the echo. A peer that answers with anything else ends it.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 64, TEXT = 64, SENT = TEXT + 6, ECHOED = TEXT + 2, TIMES_MAX = 4000000 };

struct connection {
    uint64_t sent_ns;
    size_t come;
    int fd;
    unsigned char echo[ECHOED];
};

static unsigned char frame[SENT];
static uint32_t *times_us;
static uint32_t count;

/* Text of 64 bytes, masked by four bytes that are not all zero. */
static void make_frame(void)
{
    const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    frame[0] = 0x81;
    frame[1] = 0x80 | TEXT;
    memcpy(frame + 2, mask, sizeof mask);
    for (size_t i = 0; i < TEXT; i++)
        frame[6 + i] = (unsigned char)('a' + i % 26) ^ mask[i % 4];
}

static void send_frame(struct connection *connection)
{
    connection->sent_ns = bench_wall_ns();
    connection->come = 0;
    bench_require(send(connection->fd, frame, SENT, MSG_NOSIGNAL) == SENT, "send");
}

static bool is_echo(const unsigned char *echo)
{
    bool same = echo[0] == 0x81 && echo[1] == TEXT;
    for (size_t i = 0; same && i < TEXT; i++)
        same = echo[2 + i] == 'a' + i % 26;
    return same;
}

static void on_bytes(struct connection *connection)
{
    ssize_t size =
        recv(connection->fd, connection->echo + connection->come, ECHOED - connection->come, 0);
    bench_require(size > 0, "recv");
    connection->come += (size_t)size;
    if (connection->come < ECHOED)
        return;
    bench_require(is_echo(connection->echo), "this is no echo");
    if (count < TIMES_MAX)
        times_us[count++] = (uint32_t)((bench_wall_ns() - connection->sent_ns) / 1000);
    send_frame(connection);
}

/* Blocking, before the clock is started. */
static void shake_hands(int fd)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    char answer[1024] = "";
    size_t size = 0;
    bench_require(send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0, "send");
    while (!strstr(answer, "\r\n\r\n") && size < sizeof answer - 1) {
        ssize_t come = recv(fd, answer + size, sizeof answer - 1 - size, 0);
        bench_require(come > 0, "recv");
        size += (size_t)come;
    }
    bench_require(strncmp(answer, "HTTP/1.1 101 ", 13) == 0, answer);
}

static int connect_to(uint16_t port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_require(fd >= 0, "socket");
    bench_require(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
    int error = connect(fd, (const struct sockaddr *)&address, sizeof address);
    bench_require(error == 0, "connect");
    shake_hands(fd);
    return fd;
}

static void open_all(struct connection *connections, int epoll_fd, uint16_t port)
{
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].fd = connect_to(port);
        int error = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event);
        bench_require(error == 0, "epoll_ctl");
    }
    for (size_t i = 0; i < CONNECTIONS; i++)
        send_frame(&connections[i]);
}

static int by_size(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

int main(int argc, char **argv)
{
    static struct connection connections[CONNECTIONS];
    struct epoll_event events[CONNECTIONS];
    bench_require(argc == 3, "usage: websocket-client PORT SECONDS");
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    times_us = bench_array(TIMES_MAX, sizeof *times_us);
    make_frame();
    open_all(connections, epoll_fd, (uint16_t)atoi(argv[1]));
    uint64_t start_ns = bench_wall_ns();
    uint64_t until_ns = start_ns + (uint64_t)(atof(argv[2]) * 1e9);
    while (bench_wall_ns() < until_ns) {
        int ready = epoll_wait(epoll_fd, events, CONNECTIONS, 1000);
        bench_require(ready > 0, "no answer for a second");
        for (int i = 0; i < ready; i++)
            on_bytes(events[i].data.ptr);
    }
    uint64_t duration_ns = bench_wall_ns() - start_ns;
    bench_require(count > 0, "no message came back");
    qsort(times_us, count, sizeof *times_us, by_size);
    printf("operations %u\nbytes %u\nduration_us %llu\np50_us %u\np99_us %u\nfailed 0\n", count,
           count * ECHOED, (unsigned long long)(duration_ns / 1000), times_us[count / 2],
           times_us[(uint64_t)count * 99 / 100]);
    return EXIT_SUCCESS;
}
