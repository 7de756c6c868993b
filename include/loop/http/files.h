/* Public. Files for browsers: a directory served over HTTP. Part of libloop-http.
 *
 * What is served lies beneath a root, which is opened once, and nothing else does: the kernel
 * itself holds every lookup there (openat2(2), RESOLVE_BENEATH), so that neither "..", nor a link
 * that leads out, nor a directory that is swapped meanwhile shows anything more. Links that stay
 * inside are followed. Regular files and directories are all that is ever served.
 *
 * GET and HEAD, ETag and Last-Modified and all that is asked with them (RFC 9110, section 13), one
 * range (14), and what files are from /etc/mime.types. What is in the page cache is answered at
 * once, in the poll phase; for the rest a thread of the pool waits.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_FILES_H
#define LOOP_HTTP_FILES_H

#include "../http.h"

/* All zero but root means all defaults. Strings are copied. */
struct loop_http_files_options {
    const char *root;          /* a directory */
    const char *const *index;  /* served for a directory, NULL behind the last; NULL: index.html */
    const char *fallback;      /* beneath the root: served for what is not there; NULL: 404 */
    const char *cache_control; /* the header of that name; NULL: none */
    const char *mime_types;    /* a file; NULL: /etc/mime.types, or if missing a small table */
    uint32_t cache_files;      /* that are kept open; 0: none. One descriptor each */
    uint64_t cache_ns;         /* how long one is not looked for anew; 0: 1 s */
    bool dot_files;            /* names that begin with a dot are there too */
    bool listing;              /* of a directory without an index: what is in it; else 404 */
    bool precompressed;        /* "x.br" or "x.gz" in the place of "x", if the client takes it */
};

struct loop_http_files {
    void *data; /* yours */

    /* private */
    struct file_root *root;
};

/* Opens the root, and reads the table of types: blocks, and is for the beginning of a program. A
 * server on several loops wants one for each. Errors: -EINVAL (NULL, a fallback that begins with
 * "/", controls in cache_control), those of open(2), -ENOTDIR, -ENOMEM. */
LOOP_API int loop_http_files_init(struct loop_http_files *files,
                                  const struct loop_http_files_options *options);

/* What is under way is still served, from memory of its own. */
LOOP_API void loop_http_files_fini(struct loop_http_files *files);

/* Answers a request and ends its response. path: which file, below the root, encoded as it was sent
 * and beginning with "/", such as what is behind a prefix; NULL: req->path. Headers that were set
 * before are sent with the file, and with 304, Cache-Control in the place of that of the options. A
 * status that was set, as for a page that goes with 404, is sent with the whole file, whatever the
 * client's conditions. A path that is none, or in which there is a byte that could be a path to
 * somebody else (0, controls, "\", an encoded "/"), is answered with 400.
 *
 * A file that grows meanwhile is sent as long as it was; if it shrinks the connection is closed. */
LOOP_API void loop_http_files_serve(struct loop_http_files *files, struct loop_http_request *req,
                                    struct loop_http_response *res, const char *path);

#endif
