/* Fuzzing the interface where the kernel answers for itself: TCP over the loopback, UDP, files as
 * streams, single operations on files, signals; as fuzz_api.c does with what needs no net.
 *
 * A byte says what is done, the next to what; from outside, and from inside callbacks. What has to
 * hold: no callback of a handle that is stopped or closed, one close callback for each close, one
 * callback for each request, no descriptor more at the end than at the beginning; and once the
 * bytes are used up everything can be closed, the loop ends, and memory is back. That what arrives
 * is what was sent is left to the simulator and to the tests of each.
 *
 * Files are done on a pool of one thread, and the clock is virtual, so that a deadline waits for
 * nobody: which of the two is first is the kernel's to say, and with it what an input reaches may
 * differ a little from run to run. No name is looked up and no child started: both cost more than
 * a thousand runs of the rest.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STREAMS = 5, UDPS = 3, FILES = 4, SIGNALS = 2, BUDGET = 120, LISTENER = 0, A_FILE = 4 };

/* What the loop is expected to know of a handle. */
struct state {
    bool open, closing;
};

static struct stream {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
        struct loop_tcp tcp;
        struct loop_file file;
    };
    struct state state;
    struct loop_connect connect;
    struct loop_write write;
    struct loop_read read;
    struct loop_shutdown shutdown;
    bool connecting, writing, reading, ending;
    char room[64];
} streams[STREAMS]; /* the first listens, the last is a file, those between are connections */

static struct udp {
    struct loop_udp udp;
    struct state state;
    struct loop_udp_send send;
    bool sending;
} udps[UDPS];

static struct file {
    struct loop_fs fs;
    bool busy;
} files[FILES];

static struct sig {
    struct loop_signal signal;
    struct state state;
} signals[SIGNALS];

static struct loop loop;
static const uint8_t *input;
static size_t left;
static int budget, depth, memory_fd = -1;
static long allocations;

static uint8_t next(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

static void act(void);

static void act_within(void)
{
    if (depth > 0)
        return;
    depth++;
    for (int i = next() % 4; i > 0; i--)
        act();
    depth--;
}

static void on_close(struct loop_handle *handle)
{
    struct state *state = handle->data;
    demand(state->closing && !loop_is_active(handle));
    *state = (struct state){0};
    act_within();
}

static void shut(struct loop_handle *handle, struct state *state)
{
    if (!state->open || state->closing)
        return;
    state->closing = true;
    loop_close(handle, on_close);
}

static void demand_open(const struct loop_handle *handle)
{
    const struct state *state = handle->data;
    demand(state->open && !state->closing);
}

/* Streams. */

static void on_connect(struct loop_connect *connect, int status)
{
    struct stream *stream = loop_container_of(connect, struct stream, connect);
    demand(stream->connecting && status <= 0);
    stream->connecting = false;
    act_within();
}

static void on_write(struct loop_write *write, int status)
{
    struct stream *stream = loop_container_of(write, struct stream, write);
    demand(stream->writing && status <= 0);
    stream->writing = false;
    act_within();
}

static void on_read_into(struct loop_read *read, int status)
{
    struct stream *stream = loop_container_of(read, struct stream, read);
    demand(stream->reading && status <= 0 && read->size <= sizeof(stream->room));
    stream->reading = false;
    act_within();
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    struct stream *stream = loop_container_of(shutdown, struct stream, shutdown);
    demand(stream->ending && status <= 0);
    stream->ending = false;
    act_within();
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    demand_open(&stream->handle);
    demand(size != 0);
    if (size > 0)
        memset(bytes, 0, (size_t)size); /* ours to change */
    act_within();
}

static void open_stream(struct stream *stream)
{
    if (stream == &streams[A_FILE])
        loop_file_init(&loop, &stream->file);
    else
        loop_tcp_init(&loop, &stream->tcp);
    stream->handle.data = &stream->state;
    stream->state.open = true;
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct stream *stream = &streams[1 + next() % 3];
    demand_open(&listener->handle);
    if (status == 0 && !stream->state.open) {
        open_stream(stream);
        loop_accept(listener, &stream->stream);
    } else if (status == 0 && next() % 2) {
        demand(loop_refuse(listener) == 0);
    }
    act_within();
}

static void listen_or_refuse(struct stream *stream)
{
    struct loop_address address;
    demand(loop_address_parse(&address, "127.0.0.1", 0) == 0);
    if (loop_tcp_bind(&stream->tcp, &address, 0) == 0)
        demand(loop_listen(&stream->stream, 4, on_connection) == 0);
}

static void connect_to_listener(struct stream *stream)
{
    struct loop_address address;
    const struct stream *listener = &streams[LISTENER];
    if (stream->connecting || !listener->state.open || listener->state.closing ||
        loop_tcp_local(&listener->tcp, &address) < 0)
        return;
    stream->connecting =
        loop_tcp_connect(&stream->tcp, &stream->connect, &address, on_connect) == 0;
}

static void open_the_file(struct stream *stream)
{
    int fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    demand(fd >= 0);
    if (loop_file_open(&stream->file, fd, 0) < 0)
        close(fd);
}

static void join_the_net(struct stream *stream)
{
    if (stream == &streams[LISTENER])
        listen_or_refuse(stream);
    else if (stream == &streams[A_FILE])
        open_the_file(stream);
    else
        connect_to_listener(stream);
}

static void write_some(struct stream *stream, uint8_t how)
{
    static const char bytes[300000];
    struct loop_buf buf = {bytes, how < 0xf0 ? how : sizeof(bytes)};
    if (!stream->writing)
        stream->writing = loop_write(&stream->stream, &stream->write, &buf, 1, on_write) >= 0;
}

static void read_exactly(struct stream *stream, uint8_t how)
{
    if (!stream->reading)
        stream->reading = loop_read_into(&stream->stream, &stream->read, stream->room, how % 64,
                                         sizeof(stream->room), on_read_into) == 0;
}

static void cancel_something(struct stream *stream, uint8_t how)
{
    struct loop_request *request = stream->connecting ? &stream->connect.request
                                   : stream->writing  ? &stream->write.request
                                   : stream->reading  ? &stream->read.request
                                                      : NULL;
    if (request && how % 2)
        loop_request_cancel(request);
    else if (request)
        loop_request_deadline(request, LOOP_MS);
}

static void finish(struct stream *stream, uint8_t how)
{
    if (how % 4 == 0 && !stream->state.closing) {
        stream->state.closing = true;
        loop_stream_reset(&stream->stream, on_close);
    } else if (how % 4 == 1) {
        shut(&stream->handle, &stream->state);
    } else if (!stream->ending) {
        stream->ending = loop_shutdown(&stream->stream, &stream->shutdown, on_shutdown) == 0;
    }
}

static void act_on_stream(struct stream *stream, uint8_t what, uint8_t how)
{
    if (!stream->state.open)
        open_stream(stream);
    switch (what % 8) {
    case 0:
    case 1:
        join_the_net(stream);
        break;
    case 2:
        loop_read_start(&stream->stream, on_read);
        break;
    case 3:
        loop_read_stop(&stream->stream);
        break;
    case 4:
        write_some(stream, how);
        break;
    case 5:
        read_exactly(stream, how);
        break;
    case 6:
        cancel_something(stream, how);
        break;
    default:
        finish(stream, how);
    }
}

/* Datagrams. */

static void on_datagram(struct loop_udp *udp, ssize_t size, void *bytes,
                        const struct loop_address *from, unsigned flags)
{
    (void)from;
    demand_open(&udp->handle);
    demand(udp->recv_cb && (flags & ~(unsigned)LOOP_UDP_TRUNCATED) == 0);
    if (size > 0)
        memset(bytes, 0, (size_t)size);
    act_within();
}

static void on_sent(struct loop_udp_send *send, int status)
{
    struct udp *udp = loop_container_of(send, struct udp, send);
    demand(udp->sending && status <= 0 && send->sent <= send->size);
    udp->sending = false;
    act_within();
}

static void send_some(struct udp *udp, const struct loop_address *to, uint8_t how)
{
    static const char bytes[70000];
    size_t size = how < 0xf0 ? how : how < 0xf8 ? LOOP_UDP_SIZE_MAX : sizeof(bytes);
    struct loop_buf buf = {bytes, size};
    if (udp->sending)
        return;
    if (how & 1)
        udp->sending = loop_udp_send(&udp->udp, &udp->send, &buf, 1, to, on_sent) == 0;
    else
        udp->sending = loop_udp_send_segments(&udp->udp, &udp->send, bytes, size, 1 + how * 8u, to,
                                              on_sent) == 0;
}

static void act_on_udp(struct udp *udp, uint8_t what, uint8_t how)
{
    struct loop_address address;
    const struct udp *other = &udps[how % UDPS];
    if (!udp->state.open) {
        loop_udp_init(&loop, &udp->udp);
        udp->udp.handle.data = &udp->state;
        udp->state.open = true;
    }
    bool known = other->state.open && loop_udp_local(&other->udp, &address) == 0;
    if (!known)
        demand(loop_address_parse(&address, "127.0.0.1", 0) == 0);
    switch (what % 8) {
    case 0:
        loop_udp_bind(&udp->udp, &(struct loop_address){.ip4 = {.sin_family = AF_INET}, .size = 16},
                      0);
        break;
    case 1:
        loop_udp_connect(&udp->udp, known ? &address : NULL);
        break;
    case 2:
    case 3:
        send_some(udp, known && what & 16 ? &address : NULL, how);
        break;
    case 4:
        loop_udp_recv_start(&udp->udp, on_datagram);
        break;
    case 5:
        loop_udp_recv_stop(&udp->udp);
        break;
    case 6:
        loop_udp_set_batch(&udp->udp, how * 300u);
        break;
    default:
        shut(&udp->udp.handle, &udp->state);
    }
}

/* Operations on one file. */

static void on_fs(struct loop_fs *fs)
{
    struct file *file = loop_container_of(fs, struct file, fs);
    demand(file->busy);
    file->busy = false;
    act_within();
}

static void start_fs(struct file *file, uint8_t how)
{
    static const char bytes[256];
    int error = how % 4 == 0   ? loop_fs_read(&loop, &file->fs, memory_fd, how, how, on_fs)
                : how % 4 == 1 ? loop_fs_write(&loop, &file->fs, memory_fd, bytes, how, how, on_fs)
                : how % 4 == 2 ? loop_fs_fstat(&loop, &file->fs, memory_fd, on_fs)
                               : loop_fs_ftruncate(&loop, &file->fs, memory_fd, how, on_fs);
    demand(error == 0);
    file->busy = true;
}

static void act_on_file(struct file *file, uint8_t what, uint8_t how)
{
    if (!file->busy)
        start_fs(file, how);
    else if (what % 2)
        loop_request_cancel(&file->fs.request);
    else
        loop_request_deadline(&file->fs.request, how * LOOP_US);
}

/* Signals: raised here, so that it is known when they come. */

static void on_signal(struct loop_signal *handle, int number)
{
    demand_open(&handle->handle);
    demand(number == SIGUSR1 || number == SIGUSR2);
    act_within();
}

static void act_on_signal(struct sig *sig, uint8_t how)
{
    int number = how & 16 ? SIGUSR1 : SIGUSR2;
    if (!sig->state.open) {
        loop_signal_init(&loop, &sig->signal);
        sig->signal.handle.data = &sig->state;
        sig->state.open = true;
    }
    if (how % 4 == 0)
        loop_signal_start(&sig->signal, number, on_signal);
    else if (how % 4 == 1)
        loop_signal_stop(&sig->signal);
    else if (how % 4 == 2 && loop_is_active(&sig->signal.handle))
        raise(sig->signal.number);
    else
        shut(&sig->signal.handle, &sig->state);
}

/* A call, and then the end. */

static void act(void)
{
    uint8_t what = next(), how = next();
    if (budget-- <= 0)
        return;
    switch (what % 8) {
    case 0:
        if (depth == 0)
            loop_run(&loop, LOOP_RUN_NOWAIT);
        break;
    case 1:
    case 2:
        act_on_udp(&udps[what / 8 % UDPS], next(), how);
        break;
    case 3:
        act_on_file(&files[what / 8 % FILES], what / 32, how);
        break;
    case 4:
        act_on_signal(&signals[what / 8 % SIGNALS], how);
        break;
    default:
        act_on_stream(&streams[what / 8 % STREAMS], next(), how);
    }
}

static void close_all(void)
{
    left = 0;
    budget = 0;
    for (int i = 0; i < STREAMS; i++)
        shut(&streams[i].handle, &streams[i].state);
    for (int i = 0; i < UDPS; i++)
        shut(&udps[i].udp.handle, &udps[i].state);
    for (int i = 0; i < SIGNALS; i++)
        shut(&signals[i].signal.handle, &signals[i].state);
    demand(loop_run(&loop, LOOP_RUN_DEFAULT) == 0);
}

static void demand_silence(void)
{
    for (int i = 0; i < STREAMS; i++) {
        const struct stream *stream = &streams[i];
        demand(!stream->state.open && !stream->connecting && !stream->writing && !stream->reading &&
               !stream->ending);
    }
    for (int i = 0; i < UDPS; i++)
        demand(!udps[i].state.open && !udps[i].sending);
    for (int i = 0; i < FILES; i++)
        demand(!files[i].busy);
    for (int i = 0; i < SIGNALS; i++)
        demand(!signals[i].state.open);
}

static void *resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    __atomic_fetch_add(&allocations, (!memory && size > 0) - (memory && size == 0),
                       __ATOMIC_RELAXED);
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

static void forget_all(void)
{
    memset(streams, 0, sizeof(streams));
    memset(udps, 0, sizeof(udps));
    memset(files, 0, sizeof(files));
    memset(signals, 0, sizeof(signals));
}

static int lowest_free_descriptor(void)
{
    int fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    demand(fd >= 0);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct loop_pool *pool;
    struct loop_pool_options one = {.threads_max = 1};
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL, .allocator.resize = resize};
    input = bytes;
    left = size;
    budget = BUDGET;
    demand(loop_pool_create(&pool, &one) == 0);
    options.pool = pool;
    forget_all();
    demand((memory_fd = memfd_create("fuzz", MFD_CLOEXEC)) >= 0);
    int lowest = lowest_free_descriptor();
    demand(loop_init(&loop, &options) == 0);
    while (left > 0 && budget > 0)
        act();
    close_all();
    demand_silence();
    demand(loop_fini(&loop) == 0);
    loop_pool_destroy(pool); /* and with it what was cancelled while a thread was at it */
    demand(allocations == 0);
    demand(lowest_free_descriptor() == lowest);
    close(memory_fd);
    return 0;
}
