/* Internal. What the two files of file streams share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_FILE_H
#define LOOP_HANDLES_FILE_H

#include "handles/stream.h"
#include "loop/file.h"

enum { PIECE_SIZE = 15 * 4096 }; /* whole pages, and less than a lent buffer: no second read */

/* A part of a file on its way in or out: a job with memory of its own. */
struct loop_file_piece {
    struct loop_job job;
    struct loop_file_cell *cell;
    int64_t offset; /* -1: at the file's own position */
    ssize_t result; /* bytes read or written, or a negative errno */
    size_t size;    /* to be written */
    size_t used;    /* of what was read: told already */
    char bytes[PIECE_SIZE];
};

/* file_piece.c */

int cell_make(struct loop_file_cell **cell, const struct loop_allocator *allocator, int fd);
void cell_release(struct loop_file_cell *cell); /* any thread */
struct loop_file_piece *piece_make(struct loop_file_cell *cell, int64_t offset,
                                   void (*run)(struct loop_job *job)); /* NULL: out of memory */
void piece_free(struct loop_job *job);
void piece_read(struct loop_job *job);  /* on a thread of the pool */
void piece_write(struct loop_job *job); /* the same: all of it, or as much as there is room for */

#endif
