/* Files as streams: the thread pool in the place of epoll.
 *
 * To the rest of the stream a file looks like a descriptor that is sometimes ready. What epoll
 * would report is here the arrival of a piece: one is read ahead while the last is told, one is
 * written behind while the next is gathered. A piece is a job with its own memory, so that a closed
 * handle may be freed while a thread is still at it.
 *
 * The threads use a duplicate of the descriptor, in a cell that the handle and the pieces hold
 * together. Closing the one that the handle has would otherwise let its number be given out again
 * under a thread's write, which would then reach somebody else's file.
 *
 * Alternatives not taken: io_uring (another kernel interface for what the pool does); more than one
 * piece ahead (the page cache reads ahead already).
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"
#include "loop/file.h"

enum { PIECE_SIZE = 15 * 4096 }; /* whole pages, and less than a lent buffer: no second read */

struct loop_file_cell {
    struct loop_allocator allocator;
    int fd;
    uint32_t holds;
};

struct loop_file_piece {
    struct loop_job job;
    struct loop_file_cell *cell;
    int64_t offset;
    ssize_t result; /* bytes read or written, or a negative errno */
    size_t size;    /* to be written */
    size_t used;    /* of what was read: told already */
    char bytes[PIECE_SIZE];
};

static struct loop_file *file_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct loop_file, stream);
}

static struct loop_file_piece *piece_of(struct loop_job *job)
{
    return loop_container_of(job, struct loop_file_piece, job);
}

/* Any thread. */
static void release_cell(struct loop_file_cell *cell)
{
    if (atomic_sub(&cell->holds, 1) > 1)
        return;
    sys_close(cell->fd);
    memory_resize(&cell->allocator, cell, 0);
}

static void free_piece(struct loop_job *job)
{
    release_cell(piece_of(job)->cell);
    job_free(job);
}

/* On a thread of the pool. */
static void read_piece(struct loop_job *job)
{
    struct loop_file_piece *piece = piece_of(job);
    do
        piece->result = piece->offset < 0
                            ? sys_read(piece->cell->fd, piece->bytes, PIECE_SIZE)
                            : sys_pread(piece->cell->fd, piece->bytes, PIECE_SIZE, piece->offset);
    while (piece->result == -EINTR);
}

static ssize_t write_some(const struct loop_file_piece *piece, size_t done)
{
    const char *bytes = piece->bytes + done;
    size_t size = piece->size - done;
    return piece->offset < 0
               ? sys_write(piece->cell->fd, bytes, size)
               : sys_pwrite(piece->cell->fd, bytes, size, piece->offset + (int64_t)done);
}

/* All of it, or as much as there is room for. On a thread of the pool. */
static void write_piece(struct loop_job *job)
{
    struct loop_file_piece *piece = piece_of(job);
    size_t done = 0;
    piece->result = 0;
    while (done < piece->size && (piece->result >= 0 || piece->result == -EINTR)) {
        piece->result = write_some(piece, done);
        if (piece->result == 0)
            piece->result = -EIO; /* no file does that; without an end we would go on for ever */
        done += piece->result > 0 ? (size_t)piece->result : 0;
    }
}

/* NULL: out of memory. */
static struct loop_file_piece *make_piece(struct loop_file *file, int64_t offset,
                                          void (*run)(struct loop_job *job))
{
    const struct loop_allocator *allocator = &file->handle.loop->options.allocator;
    struct loop_file_piece *piece = memory_resize(allocator, NULL, sizeof(*piece));
    if (!piece)
        return NULL;
    piece->job = (struct loop_job){.kind = POOL_FS,
                                   .allocator = *allocator,
                                   .run = run,
                                   .discard = free_piece};
    piece->cell = file->cell;
    atomic_add(&file->cell->holds, 1);
    piece->offset = offset;
    piece->used = 0;
    return piece;
}

/* Sends the piece to the pool; its arrival completes the request. */
static int submit(struct loop_file *file, struct loop_file_piece *piece,
                  struct loop_request *request, const struct loop_request_ops *ops)
{
    piece->job.request = request;
    int error = pool_submit(file->handle.loop, &piece->job);
    if (error)
        free_piece(&piece->job);
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
        free_piece(&file->output->job);
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
    struct loop_file_piece *piece = make_piece(file, file->read_offset, read_piece);
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
    free_piece(&piece->job);
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
    struct loop_file_piece *piece = make_piece(file, file->write_offset, write_piece);
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
        free_piece(&dropped->job);
}

static void release(struct loop_stream *stream)
{
    struct loop_file *file = file_of(stream);
    drop(&file->input);
    drop(&file->output);
    release_cell(file->cell);
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

static int make_cell(struct loop_file *file, int fd)
{
    const struct loop_allocator *allocator = &file->handle.loop->options.allocator;
    int copy = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return copy;
    file->cell = memory_resize(allocator, NULL, sizeof(*file->cell));
    if (!file->cell) {
        sys_close(copy);
        return -ENOMEM;
    }
    *file->cell = (struct loop_file_cell){.allocator = *allocator, .fd = copy, .holds = 1};
    return 0;
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
        error = make_cell(file, fd);
    if (error)
        return error;
    file->read_offset = file->write_offset = offset;
    file->error = 0;
    stream_adopt(&file->stream, fd, &file_stream_io);
    return 0;
}
