/* Open files, and the few that are kept open.
 *
 * A file is opened, looked at and described (its type, its tag, its date, as lines of a head) once,
 * and then shared by all who send it at the same time. The cache keeps the last file of each slot,
 * found by a hash of its path, for a short time that is an option: what is changed in the meantime
 * is seen when that is over, as with every server that has such a cache. One whose time is over is
 * opened anew, and its place taken.
 *
 * Contents are not kept: the kernel does that, for everybody, and knows when memory is short.
 * Whether it has them is asked by reading a byte without waiting; of a file that was sent whole a
 * moment ago it is not asked again.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Pages that were read in the last second go when nothing else is left to go. */
static const uint64_t warm_ns = LOOP_SEC;

/* Tags are strong: they change with the file, its size, and its time to the nanosecond. */
static void describe(struct open_file *file, const struct stat *stat)
{
    uint64_t changed_ns =
        (uint64_t)stat->st_mtim.tv_sec * LOOP_SEC + (uint64_t)stat->st_mtim.tv_nsec;
    snprintf(file->etag, sizeof(file->etag), "\"%jx-%jx-%jx\"", (uintmax_t)stat->st_ino,
             (uintmax_t)stat->st_size, (uintmax_t)changed_ns);
    file->size = (uint64_t)stat->st_size;
    time_t now_s = time(NULL); /* a date that is to come is none: RFC 9110 8.8.2.1 */
    file->modified_s = stat->st_mtim.tv_sec < now_s ? stat->st_mtim.tv_sec : now_s;
}

static size_t write_lines(char *lines, size_t room, const struct file_search *search,
                          const struct open_file *file)
{
    static const char *const encodings[] = {
        [FILE_PLAIN] = "",
        [FILE_BROTLI] = "Content-Encoding: br\r\n",
        [FILE_GZIP] = "Content-Encoding: gzip\r\n",
    };
    const struct loop_http_files_options *options = &search->root->options;
    char date[HTTP_DATE_SIZE];
    http_date_write(file->modified_s, date);
    return (size_t)snprintf(
        lines, room,
        "Content-Type: %s\r\nLast-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n%s%s%s%s%s",
        mime_find(search->root->types, search->name), date, file->etag, encodings[search->encoding],
        options->precompressed ? "Vary: Accept-Encoding\r\n" : "",
        options->cache_control ? "Cache-Control: " : "",
        options->cache_control ? options->cache_control : "", options->cache_control ? "\r\n" : "");
}

struct open_file *open_file_new(const struct file_search *search)
{
    struct open_file described = {.refs = 1, .fd = search->fd, .accepted = search->accepted};
    describe(&described, &search->stat);
    const char *control = search->root->options.cache_control;
    described.control_size = control ? strlen(control) + strlen("Cache-Control: \r\n") : 0;
    size_t path_size = strlen(search->path) + 1;
    size_t lines_size = write_lines(NULL, 0, search, &described);
    struct open_file *file = malloc(sizeof(*file) + path_size + lines_size + 1);
    if (!file) {
        close(search->fd);
        return NULL;
    }
    memcpy(file, &described, sizeof(described));
    memcpy(file->path, search->path, path_size);
    file->lines = file->path + path_size;
    file->lines_size = write_lines(file->lines, lines_size + 1, search, file);
    return file;
}

void open_file_release(struct open_file *file)
{
    if (--file->refs > 0)
        return;
    close(file->fd);
    free(file);
}

/* --- whether it is in memory --- */

static bool has_byte(int fd, uint64_t at)
{
    char byte;
    const struct iovec room = {&byte, 1};
    ssize_t size = preadv2(fd, &room, 1, (off_t)at, RWF_NOWAIT);
    return size >= 0; /* 0: it is shorter now, which costs no disk either */
}

bool open_file_is_warm(const struct open_file *file, uint64_t at, size_t size, uint64_t now_ns)
{
    if (file->sent_ns > 0 && now_ns - file->sent_ns < warm_ns)
        return true;
    return has_byte(file->fd, at) && has_byte(file->fd, at + size - 1);
}

/* --- the cache --- */

/* FNV-1a, which is good enough for a table whose worst case is a file opened again. */
static struct open_file **slot(const struct file_root *root, const char *path, unsigned accepted)
{
    uint64_t hash = 14695981039346656037U + accepted;
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 1099511628211U;
    return &root->cache[(hash >> 8) % root->options.cache_files];
}

struct open_file *files_cache_get(const struct file_root *root, const char *path, unsigned accepted,
                                  uint64_t now_ns)
{
    if (!root->cache)
        return NULL;
    struct open_file *file = *slot(root, path, accepted);
    if (!file || now_ns - file->found_ns >= root->options.cache_ns || file->accepted != accepted ||
        strcmp(file->path, path) != 0)
        return NULL;
    file->refs++;
    return file;
}

void files_cache_put(struct file_root *root, struct open_file *file, uint64_t now_ns)
{
    if (!root->cache)
        return;
    struct open_file **place = slot(root, file->path, file->accepted);
    if (*place)
        open_file_release(*place);
    *place = file;
    file->refs++;
    file->found_ns = now_ns;
}

void files_cache_free(struct file_root *root)
{
    for (uint32_t i = 0; root->cache && i < root->options.cache_files; i++)
        if (root->cache[i])
            open_file_release(root->cache[i]);
    free(root->cache);
}
