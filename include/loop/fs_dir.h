/* Public. Directories: their entries, in batches or all at once.
 *
 * An open directory is a descriptor, and where it has got to is in the kernel. So there is no
 * handle for it: open it, ask for entries until there are none, and close it by loop_fs_close().
 * Two requests that read one directory at a time share its entries between them.
 *
 * Entries come in no order. Those that are made or removed meanwhile may be there or not; all
 * others come exactly once. What is said of requests in loop/fs.h is true here too.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FS_DIR_H
#define LOOP_FS_DIR_H

#include "fs.h"

/* open(2) of a directory for reading: result is the descriptor, which is close-on-exec and belongs
 * to the caller. -ENOTDIR: it is none. */
LOOP_API int loop_fs_opendir(struct loop *loop, struct loop_fs *fs, const char *path,
                             loop_fs_cb cb);

/* The next entries, at least one and at most count_max (1 to 65536): fs->entries, valid in the
 * callback; result: how many, 0 at the end. Cancelled, it may have passed over some. */
LOOP_API int loop_fs_readdir(struct loop *loop, struct loop_fs *fs, int dir_fd, size_t count_max,
                             loop_fs_cb cb);

/* All entries of a directory in one operation: fs->entries, valid in the callback; result: how
 * many. -EFBIG: names of more than 64 MiB. */
LOOP_API int loop_fs_scandir(struct loop *loop, struct loop_fs *fs, const char *path,
                             loop_fs_cb cb);

#endif
