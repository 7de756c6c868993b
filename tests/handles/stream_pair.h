/* Internal. What the tests of streams share: two ends of each kind of connection.
 *
 * A test that holds for more than one kind is run once for each: over(tcp, …) and so on name its
 * entries. The kinds are loopback TCP, a pair of unix-domain sockets, and pipe(2), which has one
 * direction: what the writer is written the reader reads. Either end can be a stream of the loop's
 * or a raw descriptor in the test's own hands.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TESTS_STREAM_PAIR_H
#define LOOP_TESTS_STREAM_PAIR_H

#include "test.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { TCP, UNIX, PIPE };

/* Of the test that runs. */
static enum kind kind;

static inline int setup_tcp(void **state)
{
    kind = TCP;
    return setup_virtual(state);
}

static inline int setup_unix(void **state)
{
    kind = UNIX;
    return setup_virtual(state);
}

static inline int setup_pipe(void **state)
{
    kind = PIPE;
    return setup_virtual(state);
}

/* Entries for the list of tests. */
#define named(name, test, setup)                                                                   \
    {                                                                                              \
        name, test, setup, teardown, NULL                                                          \
    }
#define over(kind, test)   named(#test " (" #kind ")", test, setup_##kind)
#define over_sockets(test) over(tcp, test), over(unix, test)
#define over_all(test)     over_sockets(test), over(pipe, test)

/* One end, of whatever kind. */
struct end {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
        struct loop_tcp tcp;
        struct loop_pipe pipe;
    };
    const char *name;
    size_t size; /* bytes that have come */
    bool ended;  /* with LOOP_EOF or an error */
    char got[256];
};

struct pair {
    struct loop *loop;
    struct end reader;
    struct end writer;
    int raw; /* the other end, if only one is a stream; or -1 */
};

static inline struct end *end_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct end, stream);
}

static inline void make_tcp(int fds[2], int buffer_size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    int on = 1; /* the ports of many connections before may still be in TIME_WAIT */
    assert_int_equal(0, setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    if (buffer_size > 0)
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof(buffer_size));
    assert_int_equal(0, bind(listener, (struct sockaddr *)&address, size));
    assert_int_equal(0, listen(listener, 1));
    assert_int_equal(0, getsockname(listener, (struct sockaddr *)&address, &size));
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer_size > 0)
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof(buffer_size));
    assert_int_equal(0, connect(fds[1], (struct sockaddr *)&address, size));
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    close(listener);
}

/* What is written to fds[1] is read from fds[0]. buffer_size 0: the kernel's own. */
static inline void make_fds(int fds[2], int buffer_size)
{
    if (kind == TCP)
        make_tcp(fds, buffer_size);
    else if (kind == UNIX)
        assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    else
        assert_int_equal(0, pipe2(fds, O_CLOEXEC));
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK));
    if (buffer_size > 0 && kind == UNIX)
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof(buffer_size));
    if (buffer_size > 0 && kind == PIPE)
        assert_true(fcntl(fds[1], F_SETPIPE_SZ, buffer_size) > 0);
}

static inline void init_end(struct loop *loop, struct end *end, const char *name)
{
    memset(end, 0, sizeof(*end));
    end->name = name;
    if (kind == TCP)
        loop_tcp_init(loop, &end->tcp);
    else
        loop_pipe_init(loop, &end->pipe);
}

static inline void adopt(struct end *end, int fd)
{
    if (kind == TCP)
        assert_int_equal(0, loop_tcp_open(&end->tcp, fd));
    else
        assert_int_equal(0, loop_pipe_open(&end->pipe, fd));
}

static inline void open_end(struct loop *loop, struct end *end, const char *name, int fd)
{
    init_end(loop, end, name);
    adopt(end, fd);
}

/* Both ends are streams. */
static inline void open_pair_with(struct pair *pair, struct loop *loop, int buffer_size)
{
    int fds[2];
    make_fds(fds, buffer_size);
    pair->loop = loop;
    pair->raw = -1;
    open_end(loop, &pair->reader, "r", fds[0]);
    open_end(loop, &pair->writer, "w", fds[1]);
}

static inline void open_pair(struct pair *pair, struct loop *loop)
{
    open_pair_with(pair, loop, 0);
}

/* Only the reader is a stream, or only the writer. */
static inline void open_reader(struct pair *pair, struct loop *loop)
{
    int fds[2];
    make_fds(fds, 0);
    pair->loop = loop;
    pair->raw = fds[1];
    open_end(loop, &pair->reader, "r", fds[0]);
}

static inline void open_writer(struct pair *pair, struct loop *loop, int buffer_size)
{
    int fds[2];
    make_fds(fds, buffer_size);
    pair->loop = loop;
    pair->raw = fds[0];
    open_end(loop, &pair->writer, "w", fds[1]);
}

static inline void on_end_close(struct loop_handle *handle)
{
    say("%s-closed", loop_container_of(handle, struct end, handle)->name);
}

static inline void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static inline void turn(struct loop *loop)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* Turns, which may sleep, until it is so. */
static inline void run_until(struct loop *loop, const bool *done)
{
    while (!*done && loop_run(loop, LOOP_RUN_ONCE) == 1)
        ;
    assert_true(*done);
}

static inline void run_until_size(struct loop *loop, const size_t *size, size_t wanted)
{
    while (*size < wanted && loop_run(loop, LOOP_RUN_ONCE) == 1)
        ;
    assert_int_equal(wanted, *size);
}

static inline void close_end(struct end *end)
{
    if (!loop_is_closing(&end->handle))
        loop_close(&end->handle, NULL);
}

static inline void close_raw(struct pair *pair)
{
    if (pair->raw >= 0)
        close(pair->raw);
    pair->raw = -1;
}

/* Closes both, whichever of them are streams, and runs the loop to its end. */
static inline void close_pair(struct pair *pair)
{
    if (pair->reader.name)
        close_end(&pair->reader);
    if (pair->writer.name)
        close_end(&pair->writer);
    run(pair->loop);
    close_raw(pair);
}

static inline void raw_write(struct pair *pair, const char *text)
{
    assert_int_equal((ssize_t)strlen(text), write(pair->raw, text, strlen(text)));
}

/* Closes the raw end unkindly: a TCP peer gets a reset. */
static inline void raw_reset(struct pair *pair)
{
    struct linger at_once = {.l_onoff = 1};
    assert_int_equal(0, setsockopt(pair->raw, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
    close_raw(pair);
}

/* Reads what the raw end has, up to size; returns how much that was. */
static inline size_t raw_drain(struct pair *pair, size_t size)
{
    static char bytes[65536];
    size_t all = 0;
    ssize_t got;
    while (all < size && (got = read(pair->raw, bytes,
                                     size - all < sizeof(bytes) ? size - all : sizeof(bytes))) > 0)
        all += (size_t)got;
    return all;
}

/* So much is to come to the raw end, and no more; it may take a moment. */
static inline void assert_drains(struct pair *pair, size_t size)
{
    int flags = fcntl(pair->raw, F_GETFL);
    assert_int_equal(0, fcntl(pair->raw, F_SETFL, flags & ~O_NONBLOCK));
    assert_int_equal(size, raw_drain(pair, size));
    assert_int_equal(0, fcntl(pair->raw, F_SETFL, flags));
    assert_int_equal(0, raw_drain(pair, SIZE_MAX));
}

/* Keeps what comes; the tests that care read got. */
static inline void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct end *end = end_of(stream);
    assert_int_equal(LOOP_PHASE_POLL, loop_phase(end->handle.loop));
    if (size <= 0) {
        assert_null(bytes);
        assert_false(loop_is_active(&end->handle));
        end->ended = true;
        say("%s-%s", end->name, size == LOOP_EOF ? "EOF" : loop_error_name((int)size));
        return;
    }
    for (ssize_t i = 0; i < size && end->size + (size_t)i < sizeof(end->got) - 1; i++)
        end->got[end->size + (size_t)i] = ((char *)bytes)[i];
    end->size += (size_t)size;
}

/* All that came since the last call, as text. */
static inline const char *got(struct end *end)
{
    static char copy[sizeof(end->got)];
    memcpy(copy, end->got, sizeof(copy));
    memset(end->got, 0, sizeof(end->got));
    end->size = 0;
    return copy;
}

static inline void start_reading(struct end *end)
{
    assert_int_equal(0, loop_read_start(&end->stream, on_read));
}

/* A byte that says where it stands in a long row. */
static inline char pattern(size_t at)
{
    return (char)(unsigned char)(at * 31 + at / 251 + at / 65521);
}

static inline char *pattern_bytes(size_t size)
{
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(i);
    return bytes;
}

static inline void on_read_pattern(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct end *end = end_of(stream);
    size_t wrong = 0;
    end->ended = size <= 0;
    if (size < 0)
        say("%s-%s", end->name, size == LOOP_EOF ? "EOF" : loop_error_name((int)size));
    for (ssize_t i = 0; i < size; i++)
        wrong += ((char *)bytes)[i] != pattern(end->size++);
    assert_int_equal(0, wrong);
}

/* What TCP may keep for the writer, in bytes; 1 is as little as it allows. */
static inline void set_send_buffer(struct end *end, int size)
{
    if (kind == TCP)
        assert_int_equal(0, setsockopt(loop_stream_fd(&end->stream), SOL_SOCKET, SO_SNDBUF, &size,
                                       sizeof(size)));
}

/* Fills what the kernel keeps for the writer, so that the next byte has to be queued; returns how
 * much that took. What TCP has passed on it forgets when that is acknowledged, some time later, and
 * finds room again: so it is given more than the reader's end can take, and is then allowed so
 * little that the writer's end stays full until the reader has read. */
static inline size_t fill(struct end *end)
{
    static const char zeros[4096];
    static const struct loop_buf steps[] = {{zeros, 4096}, {zeros, 1}};
    size_t all = 0;
    set_send_buffer(end, 65536);
    for (int idle = 0; idle < 3; idle++)
        for (size_t i = 0; i < ARRAY_LENGTH(steps); i++)
            for (ssize_t sent; (sent = loop_try_write(&end->stream, &steps[i], 1)) > 0; idle = 0)
                all += (size_t)sent;
    set_send_buffer(end, 1);
    return all;
}

#endif
