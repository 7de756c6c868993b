/* Public. What bodies are made of: JSON, and forms, urlencoded or in parts with files among them.
 * Part of libloop-http.
 *
 * Each reader here takes the place of loop_http_read_body(): it looks at the content type, reads
 * with limits, and calls back once in the end. If that is with a negative status there is nothing
 * more to be done: the library ends the response behind the callback, with 415 (-EMEDIUMTYPE: not
 * the type that was asked for), 400 (-EBADMSG: not what its type says; the answer tells where),
 * 413 (-EFBIG, -E2BIG: over a limit), 408, or what else fits, unless the callback has ended it
 * itself. If you end the response before the last callback, wherever that is, the reader goes with
 * it: no callback of its comes any more, and files that it has saved are removed.
 *
 * Errors of the calls, with nothing begun: -EALREADY (the body is being read), -EINVAL, -ENOMEM.
 * Callbacks come in the poll phase or in a tick, never inside a call.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_BODY_H
#define LOOP_HTTP_BODY_H

#include "../task.h"

#include "../http.h"
#include "url.h"

struct json_t; /* of <jansson.h> */

/* Whether the content type is this one ("application/json"), whatever its parameters and case. */
LOOP_API bool loop_http_has_type(const struct loop_http_request *req, const char *type);

/* --- JSON --- */

/* Comes once. status 0: json is the body; the library lets go of it behind the callback, so who
 * keeps it calls json_incref(). */
typedef void (*loop_http_json_cb)(struct loop_http_request *req, int status, struct json_t *json);

/* Reads a body of "application/json", or of a type that ends in "+json", of at most max bytes (0:
 * the limit of the server): any value in UTF-8, in which no name comes twice in an object. */
LOOP_API int loop_http_read_json(struct loop_http_request *req, size_t max, loop_http_json_cb cb);

/* Ends the response with a status and a value, which stays the caller's. Errors, with the response
 * not ended: -EINVAL (NULL, or a value that contains itself), -ENOMEM, and those of
 * loop_http_set_status(). */
LOOP_API int loop_http_end_json(struct loop_http_response *res, int status,
                                const struct json_t *json);

/* --- urlencoded forms --- */

/* Comes once. status 0: the form, for loop_query_get() and loop_query_init(), whose fields are
 * known to be well encoded and not too many. Valid until the response is ended. */
typedef void (*loop_http_form_cb)(struct loop_http_request *req, int status, struct loop_text form);

/* Reads a body of "application/x-www-form-urlencoded", of at most max bytes (0: the limit of the
 * server). */
LOOP_API int loop_http_read_form(struct loop_http_request *req, size_t max, loop_http_form_cb cb);

/* --- forms in parts (multipart/form-data, RFC 7578) --- */

/* 0 stands for the default. */
struct loop_multipart_limits {
    uint64_t part_bytes;   /* of one part; 1 MiB */
    uint64_t total_bytes;  /* of the body, with all that is between the parts; 16 MiB */
    uint32_t parts;        /* 100 */
    uint32_t header_bytes; /* of one part, with the blank line; 4 KiB */
};

/* A part, as the client says. */
struct loop_multipart_part {
    const char *name;     /* of the field */
    const char *filename; /* NULL: a field. Never a path: it is whatever the client likes */
    const char *type;     /* "text/plain" if it does not say */
    uint64_t size;        /* bytes of it that have come */
};

struct loop_multipart;

enum { LOOP_MULTIPART_PAUSE = 1, LOOP_MULTIPART_BOUNDARY_MAX = 70 };

/* What a parser calls, any of which may be NULL. Each returns 0; LOOP_MULTIPART_PAUSE, to have no
 * other called for now; or a negative errno, with which the parser fails. bytes are valid until
 * the function returns, the part until its end() has returned. */
struct loop_multipart_events {
    int (*begin)(struct loop_multipart *form, const struct loop_multipart_part *part);
    int (*bytes)(struct loop_multipart *form, const struct loop_multipart_part *part,
                 const void *bytes, size_t size);
    int (*end)(struct loop_multipart *form, const struct loop_multipart_part *part);
};

/* A parser that is fed, by whoever has the bytes; no loop is needed. */
struct loop_multipart {
    void *data; /* yours */

    /* read-only */
    struct loop_multipart_part part; /* the one under way */
    uint64_t total;                  /* bytes fed */
    uint32_t parts;                  /* begun */

    /* private */
    struct loop_multipart_limits limits;
    struct loop_multipart_events events;
    char delimiter[LOOP_MULTIPART_BOUNDARY_MAX + 5]; /* CR LF "--" boundary, and a 0 */
    uint32_t delimiter_size;
    uint32_t matched;   /* bytes of the delimiter that came last */
    uint32_t head_size; /* of what is in head */
    int state;
    int error;
    char *head; /* limits.header_bytes */
};

/* Makes a parser for a body of this content type ("multipart/form-data; boundary=x"). limits and
 * events are copied; limits may be NULL. Errors: -EMEDIUMTYPE (another type), -EINVAL (no boundary,
 * or none of RFC 2046), -ENOMEM. */
LOOP_API int loop_multipart_init(struct loop_multipart *form, const char *content_type,
                                 const struct loop_multipart_limits *limits,
                                 const struct loop_multipart_events *events);
LOOP_API void loop_multipart_fini(struct loop_multipart *form);

/* Parses bytes, however the body is cut. Returns how many were used: all, or, after a pause,
 * perhaps fewer; the rest is to be fed again. Errors, of which the first stays: -EBADMSG (not such
 * a form), -EFBIG (a part, or all), -E2BIG (too many parts, or header bytes), and those of
 * events. */
LOOP_API ssize_t loop_multipart_feed(struct loop_multipart *form, const void *bytes, size_t size);

/* The body is over. 0: it was whole; else -EBADMSG, or the error of before. */
LOOP_API int loop_multipart_finish(struct loop_multipart *form);

/* What reads a form of a request. The events are those of a parser, whose data is the request; a
 * pause lasts until loop_http_resume_parts(). */
struct loop_http_parts {
    struct loop_multipart_limits limits;
    struct loop_multipart_events events;
    void (*done)(struct loop_http_request *req, int status); /* comes once, last */
};

LOOP_API int loop_http_read_parts(struct loop_http_request *req,
                                  const struct loop_http_parts *parts);

/* Goes on after a pause, from a tick. Harmless if there is none. */
LOOP_API void loop_http_resume_parts(struct loop_http_request *req);

/* A part that was saved. */
struct loop_http_saved {
    const char *name;
    const char *filename; /* as the client says; NULL: a field */
    const char *type;
    const char *path; /* of the file that has it; NULL: a field */
    const char *text; /* of a field, with a 0 behind it; NULL: a file */
    uint64_t size;
};

/* status 0: all parts, valid until it returns; the files are yours from now on, to be renamed or
 * removed. Otherwise they are removed. */
typedef void (*loop_http_save_cb)(struct loop_http_request *req, int status,
                                  const struct loop_http_saved *parts, size_t count);

struct loop_http_save_options {
    const char *folder; /* where files go, by names that nobody can guess, for their owner alone */
    struct loop_multipart_limits limits;
    uint32_t field_bytes; /* of one field, and they are kept in memory; 0: 64 KiB */
    bool sync;            /* fsync(2) of each file */
};

/* Reads a form and writes its files as they come, on the pool, no faster than the disk takes them.
 * The client's names are told and never used. options is copied. Errors also: -ENAMETOOLONG. */
LOOP_API int loop_http_save_parts(struct loop_http_request *req,
                                  const struct loop_http_save_options *options,
                                  loop_http_save_cb cb);

#endif
