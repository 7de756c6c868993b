/* Descriptors that the program opened itself, given to streams and datagram handles: both ends
 * of a pipe(2) through which more goes than it holds, a TCP socket, a UDP socket with nobody at
 * the other end, and an address with a zone. What the library refused to adopt is the scenario's
 * still, and is closed by it: a descriptor too many or too few at the end of the run says that
 * this was not so.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop_pipe in, out;
static struct loop_tcp tcp;
static struct loop_udp udp;
static struct loop_write writing;
static struct loop_shutdown ending;
static int ends[2], tcp_fd, udp_fd, deaf_fd;
static struct loop_address nobody;
static bool in_ours, out_ours, tcp_ours, udp_ours; /* and not the library's */
static bool was_read, refused;
static size_t got;

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size > 0) {
        got += (size_t)size;
    } else if (size == LOOP_EOF) {
        was_read = true;
        shut(&stream->handle);
        shut(&out.handle);
    } else {
        ok(size);
    }
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    ended();
    ok(status);
}

static void start_pipes(struct loop *loop)
{
    static const char bytes[100 * 1000];
    struct loop_buf bufs[2] = {{bytes, 50 * 1000}, {bytes, 50 * 1000}};
    loop_pipe_init(loop, &in);
    loop_pipe_init(loop, &out);
    in_ours = !ok(loop_pipe_open(&in, ends[0]));
    out_ours = !ok(loop_pipe_open(&out, ends[1]));
    if (in_ours || out_ours || !ok(loop_read_start(&in.stream, on_read)))
        return;
    if (began(loop_write(&out.stream, &writing, bufs, 2, on_write)))
        began(loop_shutdown(&out.stream, &ending, on_shutdown));
}

static void on_recv(struct loop_udp *handle, ssize_t size, void *bytes,
                    const struct loop_address *from, unsigned flags)
{
    (void)bytes;
    (void)from;
    (void)flags;
    if (size == -ECONNREFUSED)
        refused = true; /* what this scenario is after */
    else
        ok(size);
    shut(&handle->handle);
}

/* A port of this machine whose socket hears itself alone: for others nobody is there, and the
 * network says so. */
static void open_deaf(void)
{
    nobody = (struct loop_address){.size = sizeof(nobody.ip4)};
    nobody.ip4 = (struct sockaddr_in){.sin_family = AF_INET};
    nobody.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    deaf_fd = must(socket(AF_INET, SOCK_DGRAM, 0));
    must(bind(deaf_fd, &nobody.any, nobody.size));
    must(getsockname(deaf_fd, &nobody.any, &nobody.size));
    must(connect(deaf_fd, &nobody.any, nobody.size));
}

static void start_udp(struct loop *loop)
{
    struct loop_buf word = {"anybody?", 8};
    loop_udp_init(loop, &udp);
    udp_ours = !ok(loop_udp_open(&udp, udp_fd));
    if (!udp_ours && ok(loop_udp_connect(&udp, &nobody)) && ok(loop_udp_recv_start(&udp, on_recv)))
        ok(loop_udp_try_send(&udp, &word, 1, NULL));
}

static void start_tcp(struct loop *loop)
{
    struct loop_address address;
    loop_tcp_init(loop, &tcp);
    tcp_ours = !ok(loop_tcp_open(&tcp, tcp_fd));
    if (!tcp_ours && ok(loop_tcp_local(&tcp, &address)))
        loop_stream_reset(&tcp.stream, NULL);
}

static void start(struct loop *loop)
{
    struct loop_address zoned;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    was_read = refused = false;
    got = 0;
    must(pipe2(ends, 0));
    tcp_fd = must(socket(AF_INET, SOCK_STREAM, 0));
    udp_fd = must(socket(AF_INET, SOCK_DGRAM, 0));
    open_deaf();
    start_pipes(loop);
    start_udp(loop);
    start_tcp(loop);
    if (ok(loop_address_parse(&zoned, "fe80::1%lo", 80)))
        loop_address_text(&zoned, text);
}

static bool done(void)
{
    return was_read && refused && got == 100 * 1000;
}

static void clean(void)
{
    if (in_ours)
        close(ends[0]);
    if (out_ours)
        close(ends[1]);
    if (tcp_ours)
        close(tcp_fd);
    if (udp_ours)
        close(udp_fd);
    close(deaf_fd);
}

const struct scenario adopt_scenario = {
    .name = "adopt", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
