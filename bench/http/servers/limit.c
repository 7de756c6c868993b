/* The limit: the server as one would write it by hand for one answer, on bare epoll and llhttp:
 * the text of hello, or for static the file that is asked for first.
 *
 * Level-triggered, one recv() and one send() for an event. llhttp parses incrementally, with the
 * callbacks that a server needs: the target, names and values of headers are noted where they stand
 * in the read, their size is held to a limit, and the end of a head says whether the connection is
 * kept. The head of the answer, with the text, is made anew when the second of its Date changes.
 * The file is kept open, and goes by sendfile(2) behind the head. Requests that come together are
 * answered together, but for files.
 *
 * It has no time limits and no queue of output: where the kernel does not take an answer at once,
 * or a peer speaks no HTTP, the connection is closed.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <llhttp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS = 1024, READ_SIZE = 65536, HEADERS_MAX = 100, HEAD_MAX = 16384, OUT_MAX = 65536 };

struct text {
    const char *bytes;
    size_t size;
};

struct connection {
    llhttp_t parser;
    int fd;
    uint32_t headers;
    size_t head_size;
};

static struct text target, names[HEADERS_MAX], values[HEADERS_MAX]; /* of the read under way */
static char out[OUT_MAX];
static size_t out_size;
static char answer[512];
static size_t answer_size;
static time_t answer_time;
static llhttp_settings_t settings;
static const char *directory; /* NULL: the answer is the text */
static int file = -1;
static struct stat file_status;

/* --- the answer --- */

static void open_file(void)
{
    char path[4096];
    int size = snprintf(path, sizeof path, "%s%.*s", directory, (int)target.size, target.bytes);
    bench_require(size > 0 && (size_t)size < sizeof path, "a path");
    file = open(path, O_RDONLY | O_CLOEXEC);
    bench_require(file >= 0 && fstat(file, &file_status) == 0, path);
    answer_time = 0;
}

static void date_text(char *text, size_t room, time_t when)
{
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(text, room, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void file_lines(char *lines, size_t room)
{
    char date[40];
    date_text(date, sizeof date, file_status.st_mtime);
    snprintf(lines, room, "Last-Modified: %s\r\nETag: \"%lx-%lx\"\r\nAccept-Ranges: bytes\r\n",
             date, (unsigned long)file_status.st_mtime, (unsigned long)file_status.st_size);
}

/* Once a turn the clock is looked at. */
static void renew_answer(void)
{
    time_t now = time(NULL);
    if (now == answer_time)
        return;
    char date[40], lines[256] = "";
    answer_time = now;
    date_text(date, sizeof date, now);
    if (file >= 0)
        file_lines(lines, sizeof lines);
    const char *text = directory ? "" : SERVER_TEXT;
    size_t length = directory ? (size_t)file_status.st_size : strlen(text);
    answer_size = (size_t)snprintf(
        answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: %s\r\nContent-Type: %s\r\nKeep-Alive: %s\r\n"
        "%sContent-Length: %zu\r\n\r\n%s",
        date, SERVER_NAME, SERVER_TYPE, SERVER_KEEP_ALIVE, lines, length, text);
}

/* How much of it has left. */
static size_t send_file(int fd)
{
    off_t at = 0;
    ssize_t size = send(fd, answer, answer_size, MSG_MORE | MSG_NOSIGNAL);
    ssize_t sent = sendfile(fd, file, &at, (size_t)file_status.st_size);
    return (size > 0 ? (size_t)size : 0) + (sent > 0 ? (size_t)sent : 0);
}

/* --- what llhttp calls --- */

static int note(llhttp_t *parser, struct text *text, const char *bytes, size_t size)
{
    struct connection *connection = bench_container_of(parser, struct connection, parser);
    connection->head_size += size;
    *text = (struct text){bytes, size};
    return connection->head_size > HEAD_MAX ? HPE_USER : 0;
}

static int on_url(llhttp_t *parser, const char *bytes, size_t size)
{
    return note(parser, &target, bytes, size);
}

static int on_header_field(llhttp_t *parser, const char *bytes, size_t size)
{
    struct connection *connection = bench_container_of(parser, struct connection, parser);
    if (connection->headers == HEADERS_MAX)
        return HPE_USER;
    return note(parser, &names[connection->headers], bytes, size);
}

static int on_header_value(llhttp_t *parser, const char *bytes, size_t size)
{
    struct connection *connection = bench_container_of(parser, struct connection, parser);
    return note(parser, &values[connection->headers], bytes, size);
}

static int on_header_value_complete(llhttp_t *parser)
{
    bench_container_of(parser, struct connection, parser)->headers++;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct connection *connection = bench_container_of(parser, struct connection, parser);
    connection->headers = 0;
    connection->head_size = 0;
    if (out_size + answer_size > OUT_MAX || !llhttp_should_keep_alive(parser))
        return HPE_USER;
    if (directory && file < 0) {
        open_file();
        renew_answer();
    }
    if (directory)
        return send_file(connection->fd) == answer_size + (size_t)file_status.st_size ? 0
                                                                                      : HPE_USER;
    memcpy(out + out_size, answer, answer_size);
    out_size += answer_size;
    return 0;
}

/* --- connections --- */

static void drop(struct connection *connection)
{
    close(connection->fd);
    free(connection);
}

static void serve(struct connection *connection)
{
    static char bytes[READ_SIZE];
    ssize_t size = recv(connection->fd, bytes, sizeof bytes, 0);
    out_size = 0;
    if (size <= 0 || llhttp_execute(&connection->parser, bytes, (size_t)size) != HPE_OK) {
        drop(connection);
        return;
    }
    if (out_size && send(connection->fd, out, out_size, MSG_NOSIGNAL) != (ssize_t)out_size)
        drop(connection);
}

static void watch(int epoll_fd, int fd, struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = connection};
    bench_require(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void accept_one(int epoll_fd, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bench_require(fd >= 0, "accept4");
    struct connection *connection = bench_array(1, sizeof *connection);
    connection->fd = fd;
    llhttp_init(&connection->parser, HTTP_REQUEST, &settings);
    watch(epoll_fd, fd, connection);
}

static int listen_on(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bench_require(fd >= 0, "socket");
    bench_require(bind(fd, (const struct sockaddr *)&any, sizeof any) == 0, "bind");
    bench_require(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
    bench_require(listen(fd, SERVER_BACKLOG) == 0, "listen");
    bench_require(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    server_announce(ntohs(address.sin_port));
    return fd;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    directory = argc > 2 ? argv[2] : NULL;
    llhttp_settings_init(&settings);
    settings.on_url = on_url;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_header_value_complete = on_header_value_complete;
    settings.on_message_complete = on_message_complete;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    int listener = listen_on();
    watch(epoll_fd, listener, NULL);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        bench_require(count > 0 || errno == EINTR, "epoll_wait");
        renew_answer();
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
            else
                accept_one(epoll_fd, listener);
        }
    }
}
