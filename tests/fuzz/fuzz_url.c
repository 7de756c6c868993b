/* Fuzzing URLs and paths: what is before the first 0 is a reference, what is behind it a base.
 *
 * What is a URL can be put together, and is then the same URL. What resolves is a URL, without dot
 * segments, of the same scheme and host unless the reference has its own. The path of a request
 * that is taken begins with one "/", has no segment that leads up or nowhere and no byte that means
 * something to a file system, and is the same when it is encoded and taken again. What is encoded
 * is decoded to what it was; what is normalised stays as it is.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop/http/url.h"

#include <string.h>

enum { ROOM = 20000 };

static bool same(struct loop_text a, struct loop_text b)
{
    return !a.bytes == !b.bytes && a.size == b.size &&
           (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static void check_same(const struct loop_url *a, const struct loop_url *b)
{
    demand(same(a->scheme, b->scheme) && same(a->userinfo, b->userinfo) && same(a->host, b->host));
    demand(same(a->path, b->path) && same(a->query, b->query) && same(a->fragment, b->fragment));
    demand(a->port == b->port && a->ip6 == b->ip6);
}

static void check_build(const struct loop_url *url)
{
    static char text[ROOM];
    struct loop_url again;
    ssize_t size = loop_url_build(url, text, sizeof(text));
    demand(size >= 0 && size <= LOOP_URL_MAX); /* never longer than it came */
    demand(loop_url_parse(&again, (struct loop_text){text, (size_t)size}) == 0);
    check_same(url, &again);
}

/* No segment of a path is "." or "..". */
static void check_no_dots(struct loop_text path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.size; i++) {
        if (i < path.size && path.bytes[i] != '/')
            continue;
        size_t size = i - start;
        demand(size == 0 || size > 2 || memcmp(path.bytes + start, "..", size) != 0);
        start = i + 1;
    }
}

static void check_resolve(const struct loop_url *base, const struct loop_url *reference)
{
    static char text[ROOM];
    struct loop_url target;
    ssize_t size = loop_url_resolve(base, reference, text, sizeof(text));
    demand(base->scheme.bytes ? size >= 0 : size < 0);
    if (size < 0 || size > LOOP_URL_MAX)
        return;
    demand(loop_url_parse(&target, (struct loop_text){text, (size_t)size}) == 0);
    demand(same(target.scheme, reference->scheme.bytes ? reference->scheme : base->scheme));
    demand(same(target.fragment, reference->fragment));
    bool own = reference->scheme.bytes || reference->host.bytes;
    demand(same(target.host, own ? reference->host : base->host));
    if (target.path.size >= 4 && memcmp(target.path.bytes, "/.//", 4) == 0) {
        target.path.bytes += 2;
        target.path.size -= 2;
    }
    check_no_dots(target.path);
}

static void check_path(struct loop_text text)
{
    static char path[ROOM], encoded[3 * ROOM], again[3 * ROOM];
    ssize_t size = loop_url_path(text, path, sizeof(path));
    if (size < 0)
        return;
    demand(size > 0 && path[0] == '/' && strlen(path) == (size_t)size);
    demand(!strstr(path, "//") && !strchr(path, '\\'));
    check_no_dots((struct loop_text){path, (size_t)size});
    for (ssize_t i = 0; i < size; i++)
        demand((unsigned char)path[i] >= ' ' && path[i] != 127);
    struct loop_text all = {path, (size_t)size};
    ssize_t length = loop_percent_encode(all, "/", encoded, sizeof(encoded));
    demand(length >= size);
    struct loop_text encoded_text = {encoded, (size_t)length};
    demand(loop_url_path(encoded_text, again, sizeof(again)) == size);
    demand(strcmp(path, again) == 0);
}

static void check_percent(struct loop_text text)
{
    static char encoded[3 * ROOM], decoded[3 * ROOM];
    ssize_t size = loop_percent_encode(text, NULL, encoded, sizeof(encoded));
    demand(size >= (ssize_t)text.size);
    struct loop_text encoded_text = {encoded, (size_t)size};
    demand(loop_percent_decode(encoded_text, decoded, sizeof(decoded)) == (ssize_t)text.size);
    demand(text.size == 0 || memcmp(text.bytes, decoded, text.size) == 0);
}

static void check_normalize(const char *path)
{
    static char once[ROOM], twice[ROOM];
    ssize_t size = loop_path_normalize(path, once, sizeof(once));
    demand(size > 0);
    demand(loop_path_normalize(once, twice, sizeof(twice)) == size);
    demand(strcmp(once, twice) == 0);
    demand(loop_path_basename(path).size <= strlen(path));
    demand(loop_path_dirname(path).size > 0);
    demand(loop_path_extname(path).size <= loop_path_basename(path).size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char string[ROOM];
    struct loop_url base, reference;
    if (size > LOOP_URL_MAX)
        return 0;
    if (size > 0)
        memcpy(string, bytes, size);
    string[size] = '\0';
    const uint8_t *end = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t first = end ? (size_t)(end - bytes) : size;
    struct loop_text front = {(const char *)bytes, first};
    struct loop_text back = end ? (struct loop_text){(const char *)end + 1, size - first - 1}
                                : loop_text_of("http://u@a:1/b/c/d;p?q");
    check_path(front);
    check_percent((struct loop_text){(const char *)bytes, size});
    check_normalize(string);
    if (loop_url_parse(&reference, front) != 0)
        return 0;
    check_build(&reference);
    if (loop_url_parse(&base, back) == 0)
        check_resolve(&base, &reference);
    return 0;
}
