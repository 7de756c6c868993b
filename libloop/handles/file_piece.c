/* Pieces of files: what the threads of the pool do for a file stream.
 *
 * They use a duplicate of the descriptor, in a cell that the handle and the pieces hold together.
 * Closing the one that the handle has would otherwise let its number be given out again under a
 * thread's write, which would then reach somebody else's file. The last to let go closes it.
 *
 * A thread does all of its piece, however many calls that takes; an interruption is nobody's
 * business.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/file.h"

struct loop_file_cell {
    struct loop_allocator allocator;
    int fd;
    uint32_t holds;
};

static struct loop_file_piece *piece_of(struct loop_job *job)
{
    return loop_container_of(job, struct loop_file_piece, job);
}

int cell_make(struct loop_file_cell **cell, const struct loop_allocator *allocator, int fd)
{
    int copy = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return copy;
    *cell = memory_resize(allocator, NULL, sizeof(**cell));
    if (!*cell) {
        sys_close(copy);
        return -ENOMEM;
    }
    **cell = (struct loop_file_cell){.allocator = *allocator, .fd = copy, .holds = 1};
    return 0;
}

void cell_release(struct loop_file_cell *cell)
{
    if (atomic_sub(&cell->holds, 1) > 1)
        return;
    sys_close(cell->fd);
    memory_resize(&cell->allocator, cell, 0);
}

struct loop_file_piece *piece_make(struct loop_file_cell *cell, int64_t offset,
                                   void (*run)(struct loop_job *job))
{
    struct loop_file_piece *piece = memory_resize(&cell->allocator, NULL, sizeof(*piece));
    if (!piece)
        return NULL;
    piece->job = (struct loop_job){.kind = POOL_FS,
                                   .allocator = cell->allocator,
                                   .run = run,
                                   .discard = piece_free};
    piece->cell = cell;
    atomic_add(&cell->holds, 1);
    piece->offset = offset;
    piece->used = 0;
    return piece;
}

void piece_free(struct loop_job *job)
{
    cell_release(piece_of(job)->cell);
    job_free(job);
}

void piece_read(struct loop_job *job)
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

void piece_write(struct loop_job *job)
{
    struct loop_file_piece *piece = piece_of(job);
    size_t done = 0;
    piece->result = 0;
    while (done < piece->size && (piece->result >= 0 || piece->result == -EINTR)) {
        piece->result = write_some(piece, done);
        if (piece->result == 0)
            piece->result = -EIO; /* unreachable: no file does that, and we must not go on */
        done += piece->result > 0 ? (size_t)piece->result : 0;
    }
}
