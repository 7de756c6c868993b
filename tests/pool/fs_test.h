/* Internal. What the tests of the file system share: a folder made for each test, and operations
 * one at a time.
 *
 *     assert_int_equal(0, did(loop_fs_mkdir(loop, fresh(), in_folder("d"), 0700, on_fs)));
 *
 * starts one, runs the loop to its end, and has the result.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FS_TEST_H
#define LOOP_FS_TEST_H

#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

struct op {
    struct loop_fs fs;
    int calls;
    ssize_t result;
    enum loop_phase phase;
    char text[5000]; /* what bytes were */
    struct stat stat;
    struct statx statx;
    struct statfs statfs;
};

static struct loop *loop;
static struct loop_pool *pool;
static struct op op; /* of did() */
static char folder[128];

static inline void on_fs(struct loop_fs *fs)
{
    struct op *done = loop_container_of(fs, struct op, fs);
    done->calls++;
    done->result = fs->result;
    done->phase = loop_phase(fs->request.loop);
    if (fs->bytes)
        snprintf(done->text, sizeof(done->text), "%s", fs->bytes);
    if (fs->stat)
        done->stat = *fs->stat;
    if (fs->statx)
        done->statx = *fs->statx;
    if (fs->statfs)
        done->statfs = *fs->statfs;
}

static inline struct loop_fs *fresh(void)
{
    memset(&op, 0, sizeof(op));
    return &op.fs;
}

static inline struct loop_fs *fresh_at(int dir_fd)
{
    loop_fs_at(fresh(), dir_fd);
    return &op.fs;
}

static inline void run_to_end(void)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static inline ssize_t did(int error)
{
    assert_int_equal(0, error);
    assert_int_equal(0, op.calls);
    run_to_end();
    assert_int_equal(1, op.calls);
    assert_true(op.phase == LOOP_PHASE_POLL || op.phase == LOOP_PHASE_PENDING);
    return op.result;
}

/* A path in the test's folder; of the last four calls. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][8192];
    static unsigned next;
    char *path = paths[next++ % ARRAY_LENGTH(paths)];
    snprintf(path, sizeof(*paths), "%s/%.8000s", folder, name);
    return path;
}

static inline void make_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(size, write(fd, bytes, size));
    close(fd);
}

static inline bool exists(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

static inline const char *content(const char *path)
{
    static char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[size < 0 ? 0 : size] = '\0';
    close(fd);
    return size < 0 ? "(nothing)" : text;
}

static inline mode_t mode_of(const char *path)
{
    struct stat stat;
    assert_int_equal(0, lstat(path, &stat));
    return stat.st_mode & 07777;
}

static inline int remove_entry(const char *path, const struct stat *stat, int type,
                               struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void remove_folder(const char *path)
{
    assert_int_equal(0, nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS));
}

static inline void begin_with(void **state, uint32_t threads, bool pool_only)
{
    struct loop_pool_options options = {.threads_max = threads};
    loop = *state;
    umask(022);
    snprintf(folder, sizeof(folder), "%s/loop-fs-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    loop->options.fs_pool_only = pool_only;
}

static inline void begin(void **state)
{
    begin_with(state, 4, false);
}

static inline void end(void)
{
    run_to_end();
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    remove_folder(folder);
}

#endif
