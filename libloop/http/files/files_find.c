/* Finding what a path means: a file, its compressed sibling, the index of a directory, a listing of
 * one, or the fallback.
 *
 * All of it may block, so it is one function of a path and a root that do not change, run on a
 * thread of the pool; or, first, on the loop's thread with calls that give up (-EAGAIN) rather than
 * ask a disk. What is looked at is always the descriptor that will be sent, never the path again.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Opens what is a regular file or a directory. */
static int open_and_look(const struct file_search *search, const char *path, struct stat *stat)
{
    int fd = files_open(search->root->fd, path, search->in_memory);
    if (fd < 0)
        return fd;
    int error = fstat(fd, stat) < 0 ? -errno : 0;
    if (error == 0 && !S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode))
        error = -ENOENT;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* The sibling of a file that was found, if there is one that the client takes. */
static int try_sibling(struct file_search *search, const char *path, enum file_encoding encoding,
                       const char *suffix)
{
    char sibling[FILE_PATH_MAX + 8];
    struct stat stat;
    if (!(search->accepted & 1U << encoding))
        return 0;
    snprintf(sibling, sizeof(sibling), "%s%s", path, suffix);
    int fd = open_and_look(search, sibling, &stat);
    if (fd < 0)
        return fd == -EAGAIN ? fd : 0;
    if (!S_ISREG(stat.st_mode)) {
        close(fd);
        return 0;
    }
    close(search->fd);
    search->fd = fd;
    search->stat = stat;
    search->encoding = encoding;
    return 1;
}

static int choose_encoding(struct file_search *search, const char *path)
{
    search->encoding = FILE_PLAIN;
    int status = try_sibling(search, path, FILE_BROTLI, ".br");
    if (status == 0)
        status = try_sibling(search, path, FILE_GZIP, ".gz");
    if (status < 0)
        close(search->fd);
    return status < 0 ? status : 0;
}

/* -EISDIR: a directory, which is then open. */
static int find_file(struct file_search *search, const char *path)
{
    int fd = open_and_look(search, path, &search->stat);
    if (fd < 0)
        return fd;
    search->fd = fd;
    search->name = path;
    return S_ISDIR(search->stat.st_mode) ? -EISDIR : choose_encoding(search, path);
}

static bool is_missing(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV ||
           error == -ENAMETOOLONG;
}

static int find_index(struct file_search *search, const char *directory)
{
    char path[FILE_PATH_MAX];
    for (char **index = search->root->index; *index; index++) {
        int size = snprintf(path, sizeof(path), "%s%s", directory, *index);
        if (size >= (int)sizeof(path))
            continue;
        int error = find_file(search, path);
        search->name = *index;
        if (error == -EISDIR)
            close(search->fd);
        else if (!is_missing(error))
            return error;
    }
    return -ENOENT;
}

/* The directory is open. */
static int find_in_directory(struct file_search *search, const char *path)
{
    int dir = search->fd;
    search->directory = *path && path[strlen(path) - 1] != '/';
    if (search->directory) {
        close(dir);
        return 0;
    }
    int error = find_index(search, path);
    if (error == -ENOENT && search->root->options.listing) {
        if (search->in_memory)
            error = -EAGAIN;
        else
            return files_list(dir, search->path, search->root->options.dot_files, &search->listing,
                              &search->listing_size);
    }
    close(dir);
    return error;
}

int files_find(struct file_search *search)
{
    const char *path = search->path + 1; /* relative to the root */
    const char *fallback = search->root->options.fallback;
    int error = find_file(search, path);
    if (error == -EISDIR)
        error = find_in_directory(search, path);
    if (!is_missing(error))
        return error;
    search->directory = false;
    error = fallback ? find_file(search, fallback) : -ENOENT;
    if (error == -EISDIR)
        close(search->fd);
    return error == -EISDIR || is_missing(error) ? -ENOENT : error;
}
