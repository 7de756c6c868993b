/* Sending a file, or a part of one.
 *
 * What is small is read behind the head, where it leaves with it in one call; the loop's thread may
 * read, since preadv2(2) with RWF_NOWAIT gives up if a disk would be asked. What is large goes by
 * sendfile(2), which copies nothing, a piece at a time. sendfile(2) itself may wait for a disk, so
 * the first and the last byte of a piece are read first; if they are not in memory a thread of the
 * pool reads the piece, and then it is. A file that was sent whole a moment ago is there still, and
 * is not asked. A page that the kernel throws away meanwhile costs the loop a read: there is no way
 * to ask it not to, but to copy everything.
 *
 * When the socket takes no more, a small block is written through the stream like anything else,
 * and its callback tells that there is room: the stream's own bookkeeping of events, deadlines and
 * closing holds for files too. Over TLS bytes have to pass through here anyway, and a file is a
 * stream like others.
 *
 * A file that ends too early leaves its response short of what was announced, which closes the
 * connection: the one way in which a client can tell.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"
#include "files/files.h"

#include "loop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SMALL = 32 * 1024,      /* copying twice costs more than the calls that it saves from here on */
    PIECE = 512 * 1024,     /* for one sendfile(2), and one look whether it is in memory */
    PACKED_MAX = 64 * 1024, /* half a millisecond of compressing */
    TURN = 1024 * 1024,     /* for one connection, before others have their turn */
    BLOCK = 4 * 1024,       /* one page, which is all that a socket with room for anything takes */
};

struct sending {
    struct exchange *exchange;
    struct open_file *file;
    uint64_t at, end;
    uint64_t warm_end; /* a thread has read the file up to here */
    struct loop_work work;
    struct loop_task later;
    struct loop_write write;
    struct loop_file stream; /* over TLS, or compressed */
    char block[BLOCK];
};

static void go_on(struct sending *sending);

static bool lost(const struct sending *sending)
{
    const struct loop_http_connection *conn = sending->exchange->conn;
    return !conn || conn->wire->failed || !link_is_open(conn->wire);
}

/* Short of what was announced, it closes the connection. */
static void finish(struct sending *sending)
{
    response_finish(sending->exchange);
    open_file_release(sending->file);
    free(sending);
}

static void advance(struct sending *sending, size_t size)
{
    struct exchange *exchange = sending->exchange;
    struct link *wire = exchange->conn->wire;
    sending->at += size;
    exchange->res.written += size;
    wire->bytes_out += size;
    wire->moved_ns = loop_now(wire->stream.handle.loop);
}

/* --- what is not in memory --- */

static void read_piece(void *data)
{
    const struct sending *sending = data;
    enum { ROOM = 16 * 1024 };
    char room[ROOM];
    uint64_t at = sending->at;
    uint64_t end = sending->end - at < PIECE ? sending->end : at + PIECE;
    ssize_t size = 1;
    for (; at < end && size > 0; at += (uint64_t)size)
        size = pread(sending->file->fd, room, ROOM, (off_t)at);
}

static void on_warm(struct loop_work *work, int status)
{
    (void)status;
    struct sending *sending = loop_container_of(work, struct sending, work);
    sending->warm_end = sending->end - sending->at < PIECE ? sending->end : sending->at + PIECE;
    go_on(sending);
}

static void warm(struct sending *sending)
{
    struct loop *loop = sending->exchange->req.server->loop;
    sending->work.request.data = sending;
    if (loop_work_class(loop, &sending->work, LOOP_POOL_FS, read_piece, on_warm) < 0)
        finish(sending);
}

static bool is_in_memory(const struct sending *sending, size_t size)
{
    uint64_t now_ns = loop_now(sending->exchange->req.server->loop);
    return sending->at + size <= sending->warm_end ||
           open_file_is_warm(sending->file, sending->at, size, now_ns);
}

/* --- a socket that is full --- */

static void on_room(struct loop_write *write, int status)
{
    struct sending *sending = loop_container_of(write, struct sending, write);
    if (status < 0 || lost(sending)) {
        finish(sending);
        return;
    }
    go_on(sending);
}

static void wait_for_room(struct sending *sending)
{
    struct link *wire = sending->exchange->conn->wire;
    size_t max = sending->end - sending->at < BLOCK ? (size_t)(sending->end - sending->at) : BLOCK;
    if (!is_in_memory(sending, max)) {
        warm(sending);
        return;
    }
    ssize_t size = pread(sending->file->fd, sending->block, max, (off_t)sending->at);
    const struct loop_buf buf = {sending->block, size > 0 ? (size_t)size : 0};
    if (size <= 0 || loop_write(&wire->stream, &sending->write, &buf, 1, on_room) < 0) {
        finish(sending);
        return;
    }
    advance(sending, (size_t)size);
    connection_watch(sending->exchange->conn);
}

/* --- a socket with room --- */

/* What is gathered goes first, told that more follows; true: all of it has gone. */
static bool send_head(struct sending *sending)
{
    struct link *wire = sending->exchange->conn->wire;
    if (wire->stream.queued > 0 || wire->out_size == 0)
        return link_flush(wire) == 0 && wire->stream.queued == 0;
    ssize_t size = send(loop_stream_fd(&wire->stream), wire->out, wire->out_size,
                        MSG_MORE | MSG_NOSIGNAL | MSG_DONTWAIT);
    size_t sent = size > 0 ? (size_t)size : 0;
    wire->bytes_out += sent;
    wire->out_size -= sent;
    if (wire->out_size > 0) {
        memmove(wire->out, wire->out + sent, wire->out_size);
        return link_flush(wire) == 0 && wire->stream.queued == 0;
    }
    free(wire->out);
    wire->out = NULL;
    wire->out_capacity = 0;
    return true;
}

static void on_later(struct loop_task *task)
{
    struct sending *sending = loop_container_of(task, struct sending, later);
    go_on(sending);
}

/* What a thread has read is sent before it reads on. */
static size_t piece_size(const struct sending *sending)
{
    uint64_t end = sending->at < sending->warm_end ? sending->warm_end : sending->end;
    return end - sending->at < PIECE ? (size_t)(end - sending->at) : PIECE;
}

/* 1: go on; 0: somebody else will; negative: it cannot be done. */
static int send_piece(struct sending *sending)
{
    struct link *wire = sending->exchange->conn->wire;
    size_t size = piece_size(sending);
    if (!is_in_memory(sending, size)) {
        warm(sending);
        return 0;
    }
    ssize_t sent =
        files_sendfile(loop_stream_fd(&wire->stream), sending->file->fd, sending->at, size);
    if (sent == 0 || (sent < 0 && sent != -EAGAIN && sent != -EINTR))
        return -EIO;
    if (sent > 0)
        advance(sending, (size_t)sent);
    if (sent == (ssize_t)sending->file->size)
        sending->file->sent_ns = loop_now(wire->stream.handle.loop);
    if (sent == (ssize_t)size)
        return 1;
    wait_for_room(sending);
    return 0;
}

static void go_on(struct sending *sending)
{
    struct loop *loop = sending->exchange->req.server->loop;
    if (lost(sending)) {
        finish(sending);
        return;
    }
    if (!send_head(sending)) {
        wait_for_room(sending);
        return;
    }
    uint64_t turn_end = sending->at + TURN;
    int status = 1;
    while (status > 0 && sending->at < sending->end && sending->at < turn_end)
        status = send_piece(sending);
    if (status == 0)
        return;
    if (status < 0 || sending->at == sending->end)
        finish(sending);
    else
        loop_immediate(loop, &sending->later, on_later);
}

/* --- through the stream --- */

static void on_stream_closed(struct loop_handle *handle)
{
    struct sending *sending = loop_container_of(handle, struct sending, stream.handle);
    open_file_release(sending->file);
    free(sending);
}

static void on_streamed(struct loop_stream *from, int status)
{
    (void)status;
    loop_close(&from->handle, on_stream_closed);
}

static int send_stream(struct sending *sending)
{
    struct exchange *exchange = sending->exchange;
    int fd = fcntl(sending->file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    loop_file_init(exchange->req.server->loop, &sending->stream);
    int error = loop_file_open(&sending->stream, fd, (int64_t)sending->at);
    if (error < 0) {
        close(fd);
        return error;
    }
    error = loop_http_end_stream(&exchange->res, &sending->stream.stream,
                                 (int64_t)(sending->end - sending->at), on_streamed);
    if (error < 0) {
        loop_http_end_error(&exchange->res, 503, NULL);
        loop_close(&sending->stream.handle, on_stream_closed);
    }
    return 0;
}

static void send_large(struct exchange *exchange, struct open_file *file, uint64_t first,
                       uint64_t size, bool through)
{
    struct sending *sending = calloc(1, sizeof(*sending));
    int error = sending ? 0 : -ENOMEM;
    if (!error) {
        sending->exchange = exchange;
        sending->file = file;
        sending->at = first;
        sending->end = first + size;
        if (through)
            error = send_stream(sending);
        else if (!exchange->res.head_sent)
            error = response_send_head(exchange);
    }
    if (error < 0) {
        loop_http_end_error(&exchange->res, 503, NULL);
        open_file_release(file);
        free(sending);
    } else if (!through) {
        go_on(sending);
    }
}

/* False: it is not in memory, or not as long as it was, and the head alone is gathered. */
static bool send_small(struct exchange *exchange, struct open_file *file, uint64_t first,
                       size_t size)
{
    struct link *wire = exchange->conn->wire;
    enum { HEAD = 512 }; /* asked for together, so that the room is made once */
    if (!link_room(wire, HEAD + exchange->lines_size + size) || response_send_head(exchange) < 0)
        return false;
    char *room = link_room(wire, size);
    const struct iovec body = {room, size};
    if (!room || preadv2(file->fd, &body, 1, (off_t)first, RWF_NOWAIT) != (ssize_t)size)
        return false;
    link_wrote(wire, size);
    link_write(wire, NULL, 0); /* which flushes what is much */
    exchange->res.written += size;
    response_finish(exchange);
    open_file_release(file);
    return true;
}

/* All of it at once, for compressing. */
static bool send_packed(struct exchange *exchange, struct open_file *file, size_t size)
{
    char *bytes = malloc(size);
    const struct iovec room = {bytes, size};
    bool whole = bytes && preadv2(file->fd, &room, 1, 0, RWF_NOWAIT) == (ssize_t)size;
    if (whole) {
        loop_http_end(&exchange->res, bytes, size);
        open_file_release(file);
    }
    free(bytes);
    return whole;
}

void files_send(struct exchange *exchange, struct open_file *file, uint64_t first, uint64_t size)
{
    bool plain = exchange->conn && !exchange->conn->wire->tls;
    bool compressed = compress_would(exchange, size);
    exchange->length = (int64_t)size;
    if (size == 0 || !exchange->conn || exchange->answered ||
        strcmp(exchange->req.method, "HEAD") == 0) {
        loop_http_end(&exchange->res, NULL, 0);
        open_file_release(file);
        return;
    }
    if (compressed && size <= PACKED_MAX && send_packed(exchange, file, (size_t)size))
        return;
    if (size <= SMALL && !compressed && send_small(exchange, file, first, (size_t)size))
        return;
    send_large(exchange, file, first, size, compressed || !plain);
}
