/* Files as streams: the thread pool in the place of epoll.
 *
 * To the rest of the stream a file looks like a descriptor that is sometimes ready. What epoll
 * would report is here the arrival of a piece: one is read ahead while the last is told, one is
 * written behind while the next is gathered. A piece is a job with its own memory, so that a closed
 * handle may be freed while a thread is still at it.
 *
 * What the threads do, and with which descriptor, is in file_piece.c.
 *
 * Alternatives not taken: io_uring (another kernel interface for what the pool does); more than one
 * piece ahead (the page cache reads ahead already).
 *
 * SPDX-License-Identifier: MIT */
#include "handles/file.h"

static struct loop_file *file_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct loop_file, stream);
}

/* Sends the piece to the pool; its arrival completes the request. */
static int submit(struct loop_file *file, struct loop_file_piece *piece,
                  struct loop_request *request, const struct loop_request_ops *ops)
{
    piece->job.request = request;
    int error = pool_submit(file->handle.loop, &piece->job);
    if (error)
        piece_free(&piece->job);
    else
        request_start(file->handle.loop, request, ops, NULL);
    return error;
}

/* In a forked child, or behind a cancel: the thread that has it lets it go. */
static void abandon_input(struct loop_request *request)
{
    struct loop_file *file = loop_container_of(request, struct loop_file, reading);
    if (file->input)
        file->input->job.request = NULL;
    file->input = NULL;
}

static void abandon_output(struct loop_request *request)
{
    struct loop_file *file = loop_container_of(request, struct loop_file, writing);
    if (file->output)
        file->output->job.request = NULL;
    file->output = NULL;
    file->error = -ECANCELED;
}

static bool reads(const struct loop_stream *stream)
{
    return stream->watcher.fd >= 0 && stream->watcher.wanted & EPOLLIN;
}

/* A piece is here, or there will be none. */
static void read_done(struct loop_request *request)
{
    struct loop_file *file = loop_container_of(request, struct loop_file, reading);
    struct loop_file_piece *piece = file->input;
    if (piece && piece->job.request) {
        piece->job.request = NULL; /* it is ours now */
        if (file->read_offset >= 0 && piece->result > 0)
            file->read_offset += piece->result;
    }
    if (reads(&file->stream))
        stream_readable(&file->stream);
}

static void write_done(struct loop_request *request)
{
    struct loop_file *file = loop_container_of(request, struct loop_file, writing);
    struct loop_stream *stream = &file->stream;
    if (file->output) {
        file->error = file->output->result < 0 ? (int)file->output->result : 0;
        piece_free(&file->output->job);
    }
    file->output = NULL;
    if (stream->watcher.fd >= 0)
        stream_flush(stream);
}

static const struct loop_request_ops reading_ops = {.type = "file read",
                                                    .complete = read_done,
                                                    .abandon = abandon_input};
static const struct loop_request_ops writing_ops = {.type = "file write",
                                                    .complete = write_done,
                                                    .abandon = abandon_output};

/* The next piece is on its way before this one is told. */
static int read_ahead(struct loop_file *file)
{
    struct loop_file_piece *piece = piece_make(file->cell, file->read_offset, piece_read);
    int error = piece ? submit(file, piece, &file->reading, &reading_ops) : -ENOMEM;
    file->input = error ? NULL : piece;
    return error;
}

/* As if a piece arrived, in the pending phase. */
static void look_again(struct loop_file *file)
{
    request_start(file->handle.loop, &file->reading, &reading_ops, NULL);
    request_defer(&file->reading);
}

/* What epoll would be told. A piece that is here already is told later, as any. */
static int watch(struct loop_stream *stream, uint32_t events)
{
    struct loop_file *file = file_of(stream);
    bool idle = events & EPOLLIN && !request_in_flight(&file->reading);
    int error = 0;
    if (idle && file->input)
        look_again(file);
    else if (idle)
        error = read_ahead(file);
    if (!error)
        stream->watcher.wanted = events;
    return error;
}

/* What is left of the piece that is here, as far as there is room. */
static ssize_t take(struct loop_file_piece *piece, void *bytes, size_t size)
{
    size_t left = piece->result > 0 ? (size_t)piece->result - piece->used : 0;
    size_t taken = left < size ? left : size;
    memcpy(bytes, piece->bytes + piece->used, taken);
    piece->used += taken;
    return piece->result > 0 ? (ssize_t)taken : piece->result;
}

static ssize_t read_file(struct loop_stream *stream, void *bytes, size_t size)
{
    struct loop_file *file = file_of(stream);
    struct loop_file_piece *piece = file->input;
    if (request_in_flight(&file->reading))
        return -EAGAIN;
    if (!piece) {
        int error = read_ahead(file);
        return error ? error : -EAGAIN;
    }
    ssize_t result = take(piece, bytes, size);
    if (piece->result > (ssize_t)piece->used)
        return result;
    piece_free(&piece->job);
    file->input = NULL;
    if (result > 0 && read_ahead(file) < 0)
        look_again(file); /* and be told why it failed, if it does again */
    return result;
}

static void fill(struct loop_file_piece *piece, const struct iovec *iov, int count)
{
    piece->size = 0;
    for (int i = 0; i < count && piece->size < PIECE_SIZE; i++) {
        size_t room = PIECE_SIZE - piece->size;
        size_t size = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(piece->bytes + piece->size, iov[i].iov_base, size);
        piece->size += size;
    }
}

static ssize_t write_file(struct loop_stream *stream, const struct iovec *iov, int count,
                          const struct loop_write *write)
{
    struct loop_file *file = file_of(stream);
    (void)write;
    if (request_in_flight(&file->writing))
        return -EAGAIN;
    int error = file->error;
    file->error = 0;
    if (error)
        return error;
    struct loop_file_piece *piece = piece_make(file->cell, file->write_offset, piece_write);
    if (!piece)
        return -ENOMEM;
    fill(piece, iov, count);
    ssize_t size = (ssize_t)piece->size;
    error = submit(file, piece, &file->writing, &writing_ops);
    if (error)
        return error == -EAGAIN ? -ENOBUFS : error; /* no arrival would come to try again */
    file->output = piece;
    if (file->write_offset >= 0)
        file->write_offset += size;
    return size;
}

/* Not before the last piece is the file's. */
static int end_file(struct loop_stream *stream)
{
    struct loop_file *file = file_of(stream);
    if (request_in_flight(&file->writing))
        return -EAGAIN;
    int error = file->error;
    file->error = 0;
    return error;
}

/* A thread that is at it lets it go at its end. */
static void drop(struct loop_file_piece **piece)
{
    struct loop_file_piece *dropped = *piece;
    *piece = NULL;
    if (dropped && dropped->job.request)
        pool_cancel(&dropped->job);
    else if (dropped)
        piece_free(&dropped->job);
}

static void release(struct loop_stream *stream)
{
    struct loop_file *file = file_of(stream);
    drop(&file->input);
    drop(&file->output);
    cell_release(file->cell);
    file->cell = NULL;
    stream->watcher.wanted = 0;
}

static bool is_busy(struct loop_stream *stream)
{
    struct loop_file *file = file_of(stream);
    return request_in_flight(&file->reading) || request_in_flight(&file->writing);
}

static const struct loop_stream_io file_stream_io = {.read = read_file,
                                                     .write = write_file,
                                                     .end = end_file,
                                                     .watch = watch,
                                                     .busy = is_busy,
                                                     .release = release};

/* Its pieces were dropped when it was stopped. */
static void finish(struct loop_handle *handle)
{
    struct loop_file *file = loop_container_of(handle, struct loop_file, handle);
    if (request_in_flight(&file->reading))
        request_complete(&file->reading);
    if (request_in_flight(&file->writing))
        request_complete(&file->writing);
    stream_finish(handle);
}

void loop_file_init(struct loop *loop, struct loop_file *file)
{
    static const struct loop_handle_ops ops = {.type = "file",
                                               .stop = stream_stop,
                                               .finish = finish};
    stream_init(loop, &file->stream, &ops);
    file->cell = NULL;
    file->reading = file->writing = (struct loop_request){.magic = 0};
    file->input = file->output = NULL;
    file->error = 0;
}

int loop_file_open(struct loop_file *file, int fd, int64_t offset)
{
    struct stat stat;
    int error = file && offset >= -1 ? stream_vacant(&file->stream) : -EINVAL;
    if (!error)
        error = fd < 0 ? -EBADF : sys_fstat(fd, &stat);
    if (!error && S_ISDIR(stat.st_mode))
        error = -EISDIR;
    if (!error)
        error = cell_make(&file->cell, &file->handle.loop->options.allocator, fd);
    if (error)
        return error;
    file->read_offset = file->write_offset = offset;
    file->error = 0;
    stream_adopt(&file->stream, fd, &file_stream_io);
    return 0;
}
