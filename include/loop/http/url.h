/* Public. The small texts of the web: URLs, paths, queries and cookies, in the roles of Node's
 * url, path and querystring. Part of libloop-http.
 *
 * Text that comes in is lent and cut into pieces where it stands; text that goes out is written to
 * the caller's buffer, whole and with a 0 behind it, or not at all. Functions that write return the
 * length without that 0, or a negative errno: -ENOBUFS (it does not fit, and nothing is promised of
 * the buffer), -EINVAL (not what it should be). Nothing is truncated, nothing allocated. What is
 * percent-encoded is decoded once, never twice: a name that decodes to "%2e" is that name.
 *
 * Functions here know nothing of a loop, and any thread may call them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_URL_H
#define LOOP_HTTP_URL_H

#include "../core.h"

#include <string.h>
#include <sys/types.h>

enum {
    LOOP_URL_MAX = 8192,          /* bytes of a URL: as a request's target */
    LOOP_QUERY_FIELDS_MAX = 1000, /* of a query or a form; as Node */
    LOOP_COOKIE_MAX = 4096,       /* bytes of a cookie's name and value: what browsers keep */
    LOOP_COOKIE_ATTRIBUTE = 1024, /* bytes of one attribute: the same */
    LOOP_COOKIE_TEXT_SIZE = 8192, /* room for any Set-Cookie that is valid */
};

/* A piece of text: lent, with no 0 behind it. bytes NULL: there is none, which is not the same as
 * an empty one. */
struct loop_text {
    const char *bytes;
    size_t size;
};

/* A whole string as a piece. NULL: none. */
static inline struct loop_text loop_text_of(const char *string)
{
    struct loop_text text = {string, string ? strlen(string) : 0};
    return text;
}

/* The same bytes; none is equal to none alone. */
LOOP_API bool loop_text_equal(struct loop_text text, const char *string);

/* --- URLs (RFC 3986) --- */

/* The pieces of a URL, as they are written: encoded, in any case. */
struct loop_url {
    struct loop_text scheme;   /* none: a relative reference */
    struct loop_text userinfo; /* none, or what is before the "@" */
    struct loop_text host;     /* of "[::1]" what is inside; none: no authority, no "//" */
    struct loop_text path;     /* always there, may be empty */
    struct loop_text query;    /* behind the "?" */
    struct loop_text fragment; /* behind the "#" */
    int32_t port;              /* -1: none */
    bool ip6;                  /* the host is to be put into brackets */
};

/* Cuts a URL, or a relative reference, into pieces that point into text. Every byte is held to the
 * grammar: spaces, controls, backslashes and bytes over 127 must come encoded, and an escape must
 * have two digits. Not taken, though the grammar has them: zones, and addresses of future versions.
 * Errors, with url untouched: -EINVAL, -ENAMETOOLONG (over LOOP_URL_MAX). */
LOOP_API int loop_url_parse(struct loop_url *url, struct loop_text text);

/* The same for what a client may be asked to fetch: "http", "https", "ws" or "wss" in any case,
 * with a host of letters, digits, "-", "_" and "." or an address, and nobody's name or password
 * (-EINVAL). The port is filled in from the scheme; port 0 is none. */
LOOP_API int loop_url_parse_http(struct loop_url *url, struct loop_text text);

/* Puts the pieces together again. -EINVAL: pieces that would be read differently. */
LOOP_API ssize_t loop_url_build(const struct loop_url *url, char *text, size_t capacity);

/* What a reference means on the page at base (RFC 3986, section 5): a URL without dot segments.
 * -EINVAL: base has no scheme. */
LOOP_API ssize_t loop_url_resolve(const struct loop_url *base, const struct loop_url *reference,
                                  char *text, size_t capacity);

/* Decodes "%41" to "A". text may point to the buffer itself: the result is never longer. The result
 * may hold any byte, 0 too. -EINVAL: an escape without two digits. */
LOOP_API ssize_t loop_percent_decode(struct loop_text text, char *bytes, size_t capacity);

/* Encodes all but letters, digits, "-", "." "_", "~", and the bytes in keep, such as "/" (NULL:
 * none). It must not be in place. */
LOOP_API ssize_t loop_percent_encode(struct loop_text bytes, const char *keep, char *text,
                                     size_t capacity);

/* What stands for a byte in the text of an HTML page and in quoted attributes, such as "&lt;";
 * NULL: it stands for itself. A page that passes all that is not its own through this has no
 * other's markup in it. Any thread. */
LOOP_API const char *loop_html_entity(char byte);

/* --- paths --- */

/* The path of a request as a path below some root: decoded once, without ".", ".." and empty
 * segments, with its last "/" if it ends in one or in a dot segment. It begins with "/", and ".."
 * at the root stays there. text may point to the buffer itself. -EINVAL: no "/" in front, an escape
 * that is none, and what is a path to somebody else, encoded or not: backslash, controls, 0, and an
 * encoded "/". */
LOOP_API ssize_t loop_url_path(struct loop_text text, char *path, size_t capacity);

/* As Node's path.posix functions of these names: they look at the text alone. The results of the
 * first three are pieces of path, or constants. */
LOOP_API struct loop_text loop_path_basename(const char *path); /* "/a/b.c/" is "b.c" */
LOOP_API struct loop_text loop_path_dirname(const char *path);  /* "/a/b.c/" is "/a" */
LOOP_API struct loop_text loop_path_extname(const char *path);  /* "/a/b.c" is ".c" */
LOOP_API ssize_t loop_path_normalize(const char *path, char *out, size_t capacity);

/* Puts "/" between parts, leaves out empty ones, and normalises: ".." of a part may leave those
 * before it. For what a client sends, loop_url_path() comes first. -ENAMETOOLONG: 4096 and more. */
LOOP_API ssize_t loop_path_join(const char *const *parts, size_t count, char *out, size_t capacity);

/* --- queries and forms (application/x-www-form-urlencoded) --- */

/* Where a walk through a query is. */
struct loop_query {
    /* private */
    struct loop_text rest;
    unsigned fields;
};

/* Begins a walk through "a=1&b=2"; text is lent until its end. */
LOOP_API void loop_query_init(struct loop_query *query, struct loop_text text);

/* The next field: its name, and its value, which is empty if there is no "=", both decoded, with
 * "+" for a space, to the buffer, each with a 0 behind it. They are valid until the buffer is used
 * again; one as large as the text and 2 always does. Returns 1; 0: there is no more. Errors, from
 * which on every call returns 0: -EINVAL (an escape), -ENOBUFS, -E2BIG (over
 * LOOP_QUERY_FIELDS_MAX). */
LOOP_API int loop_query_next(struct loop_query *query, struct loop_text *name,
                             struct loop_text *value, char *buffer, size_t capacity);

/* The decoded value of the first field of a name. -ENOENT: there is none; and as
 * loop_query_next() of that field. */
LOOP_API ssize_t loop_query_get(struct loop_text text, const char *name, char *value,
                                size_t capacity);

/* Adds a field behind the length bytes of a query that is being built, with "&" if it is not the
 * first; returns the new length. With an error the query is as it was. */
LOOP_API ssize_t loop_query_add(char *text, size_t length, size_t capacity, struct loop_text name,
                                struct loop_text value);

/* --- cookies (RFC 6265) --- */

struct loop_http_request;
struct loop_http_response;

enum loop_same_site {
    LOOP_SAME_SITE_DEFAULT, /* what the browser thinks: Lax */
    LOOP_SAME_SITE_LAX,
    LOOP_SAME_SITE_STRICT,
    LOOP_SAME_SITE_NONE, /* only with secure */
};

/* A cookie to set. All zero but name is one that lasts as long as the browser runs. */
struct loop_cookie {
    const char *name;
    const char *value;  /* NULL: "" */
    const char *path;   /* NULL: that of the request, up to its last "/" */
    const char *domain; /* NULL: the host that sends it alone */
    int64_t max_age_s;  /* 0: says nothing; -1: it is to be forgotten */
    int64_t expires_s;  /* since 1970; 0: says nothing */
    enum loop_same_site same_site;
    bool secure;    /* over TLS alone */
    bool http_only; /* not for scripts */
};

/* Takes the next cookie from the front of a Cookie header, of whose rest text is then told. What is
 * not "name=value" with a name that is a token is passed over; quotes belong to the value. False:
 * there is no more. */
LOOP_API bool loop_cookie_next(struct loop_text *text, struct loop_text *name,
                               struct loop_text *value);

/* The first cookie of a name in a Cookie header; none if there is none, or header is NULL. */
LOOP_API struct loop_text loop_cookie_get(const char *header, const char *name);

/* Writes the value of a Set-Cookie header. -EINVAL: a name that is no token, a value with spaces,
 * quotes, commas, semicolons, backslashes or controls, a path or domain that is none, same_site
 * NONE without secure, a name that begins with "__Secure-" without secure, or with "__Host-"
 * without secure and path "/", or with a domain. -ENAMETOOLONG: over LOOP_COOKIE_MAX or
 * LOOP_COOKIE_ATTRIBUTE. */
LOOP_API ssize_t loop_cookie_build(const struct loop_cookie *cookie, char *text, size_t capacity);

/* The first cookie of a name that came with a request, and one more to go with the response: errors
 * as loop_cookie_build() and loop_http_add_header(). Loop thread. */
LOOP_API struct loop_text loop_http_cookie(const struct loop_http_request *req, const char *name);
LOOP_API int loop_http_set_cookie(struct loop_http_response *res, const struct loop_cookie *cookie);

#endif
