/* Internal. Static files, grouped by file: what each asks of the others.
 *
 * A search looks for a file with calls that may block, on a thread of the pool, or, told to use
 * only what the kernel has in memory, on the loop's. What it finds becomes an open file: counted,
 * since the cache and any number of responses may have it at once. The parts of HTTP that are
 * grammar (dates, validators, ranges) know nothing of files.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_FILES_INTERNAL_H
#define LOOP_HTTP_FILES_INTERNAL_H

#include "server/connection.h"

#include "loop/http/files.h"
#include "loop/pool.h"

#include <sys/stat.h>

struct mime_types;

enum { FILE_PATH_MAX = 4096 };

/* Of a root, from which everything may be asked on any thread; it does not change. */
struct file_root {
    unsigned refs; /* of the user, and of each response under way: the loop's thread counts */
    int fd;        /* O_PATH */
    struct loop_http_files_options options; /* strings are copies */
    char **index;                           /* NULL behind the last */
    struct mime_types *types;
    struct open_file **cache; /* options.cache_files slots; the loop's thread alone */
};

/* --- files_root.c --- */

/* Gives a reference back. */
void file_root_release(struct file_root *root);

/* --- files_open.c: any thread --- */

/* Opens path beneath dir for reading, without ever waiting for a FIFO. Only what is in memory:
 * -EAGAIN if a disk would be asked. */
int files_open(int dir, const char *path, bool in_memory);

/* The same on kernels without openat2(2): follows no links at all. */
int files_open_walk(int dir, const char *path);

/* --- files_find.c: any thread --- */

enum file_encoding { FILE_PLAIN, FILE_BROTLI, FILE_GZIP };

struct file_search {
    const struct file_root *root;
    const char *path;  /* decoded, beginning with "/" */
    unsigned accepted; /* 1 << enum file_encoding */
    bool in_memory;

    /* found, if it returns 0 */
    int fd;
    struct stat stat;
    enum file_encoding encoding;
    bool directory;   /* without a "/" behind its name: the client has to ask with one */
    const char *name; /* which tells the type: of path, of the index, of the fallback */
    char *listing;    /* HTML in the place of a file, to be freed */
    size_t listing_size;
};

/* 0, or a negative errno with nothing open. */
int files_find(struct file_search *search);

/* --- files_list.c: any thread --- */

/* The page for a directory, whose descriptor is closed. */
int files_list(int dir, const char *path, bool dot_files, char **page, size_t *size);

/* --- files_cache.c: open files --- */

struct open_file {
    unsigned refs;
    int fd;
    uint64_t size;
    time_t modified_s;
    uint64_t found_ns;
    uint64_t sent_ns; /* when it was last sent whole, in one piece; 0: never */
    unsigned accepted;
    char etag[64];
    char *lines; /* the headers that are its own; behind path */
    size_t lines_size;
    size_t control_size; /* of the last of them, "Cache-Control", which the program may have set */
    char path[];         /* what was asked for */
};

/* Takes the descriptor of the search. NULL: no memory. */
struct open_file *open_file_new(const struct file_search *search);
void open_file_release(struct open_file *file);

/* Whether size bytes, over 0, are taken to be in memory: the first and the last of them are, or all
 * of the file was just sent. */
bool open_file_is_warm(const struct open_file *file, uint64_t at, size_t size, uint64_t now_ns);

/* A file that was found a short while ago, with a reference for the caller, or NULL. */
struct open_file *files_cache_get(const struct file_root *root, const char *path, unsigned accepted,
                                  uint64_t now_ns);
void files_cache_put(struct file_root *root, struct open_file *file, uint64_t now_ns);
void files_cache_free(struct file_root *root);

/* --- files_send.c --- */

/* Sends the head, size bytes from first, and ends the response. Takes the reference. */
void files_send(struct exchange *exchange, struct open_file *file, uint64_t first, uint64_t size);

/* files_quiet.c: as sendfile(2), without SIGPIPE; or a negative errno. */
ssize_t files_sendfile(int socket, int file, uint64_t offset, size_t size);

/* --- mime.c --- */

struct mime_types *mime_load(const char *path);
void mime_free(struct mime_types *types);

/* "text/html; charset=utf-8": valid as long as types. */
const char *mime_find(const struct mime_types *types, const char *name);

/* --- range.c --- */

enum range { RANGE_ALL, RANGE_PART, RANGE_NONE };

/* What a Range header asks of size bytes; RANGE_ALL if it is to be passed over. */
enum range range_parse(const char *value, uint64_t size, uint64_t *first, uint64_t *last);

/* --- conditional.c --- */

enum condition { CONDITION_SEND, CONDITION_NOT_MODIFIED, CONDITION_FAILED };

struct validators {
    const char *etag; /* with its quotes; strong */
    time_t modified_s;
};

/* What the preconditions of a GET or HEAD come to. */
enum condition condition_check(const struct loop_http_request *req, const struct validators *of);

/* Whether If-Range allows a part. */
bool condition_allows_range(const struct loop_http_request *req, const struct validators *of);

enum { HTTP_DATE_SIZE = 30 };

/* RFC 9110 5.6.7: what is read may have any of the three forms; false: it is none. */
bool http_date_read(const char *text, time_t *seconds);
void http_date_write(time_t seconds, char text[HTTP_DATE_SIZE]);

#endif
