/* Public. Files as streams: read and written piece by piece on the thread pool, with all that
 * loop/stream.h offers. loop_stream_pipe() between a file and a socket is a download, or an upload.
 *
 * A file is always ready and may block even so, which is why epoll(7) does not take it. So pieces
 * of 60 KiB are read ahead and written behind by the pool, one at a time each way, and the stream
 * has them when it looks. For single operations at chosen places see loop/fs.h.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FILE_H
#define LOOP_FILE_H

#include "stream.h"

struct loop_file_cell;
struct loop_file_piece;

struct loop_file {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
    };

    /* private */
    struct loop_file_cell *cell; /* the descriptor for the pool's threads */
    struct loop_request reading; /* a piece is on its way */
    struct loop_request writing; /* the same */
    struct loop_file_piece
        *input; /* the piece on its way in; once it is here, what is left of it */
    struct loop_file_piece *output;
    int64_t read_offset; /* of the next piece; -1: at the file's own position */
    int64_t write_offset;
    int error; /* of the last piece written: told to the next write, or to the shutdown */
};

/* Makes a file handle in the caller's memory; opens nothing. */
LOOP_API void loop_file_init(struct loop *loop, struct loop_file *file);

/* Adopts a descriptor, of a regular file or of whatever else read(2) and write(2) may block on, as
 * loop_fs_open() gives it. Reading and writing begin at offset and go on from there, each by
 * itself; -1: at the file's own position. (Opened with O_APPEND, it is written at its end.)
 *
 * A write is told when its bytes are the library's; that all of them are the file's is told by
 * loop_shutdown(), which waits for it, and errors on the way are told to the next write or to that.
 * The end of the file is LOOP_EOF; reading may be started again later, if it grows.
 *
 * The descriptor is the handle's to close, and a duplicate of it lives until no thread uses it any
 * more. Errors, with the descriptor still the caller's: -EINVAL (offset below -1, NULL), -EBUSY,
 * -EBADF, -EISDIR, -EMFILE, -ENOMEM. */
LOOP_API int loop_file_open(struct loop_file *file, int fd, int64_t offset);

#endif
