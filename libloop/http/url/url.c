/* URLs: cut into their pieces, and put together again, by RFC 3986.
 *
 * One walk from the left: the scheme ends at the first ":" if what is before it can be one, "//"
 * begins an authority that ends at "/", "?" or "#", then come path, query and fragment, each of
 * them held to its set of bytes. What two programs might read in two ways is refused: a backslash,
 * which browsers take for "/", a byte over 127, an escape without digits, "%" in brackets, a second
 * "@". So the host that is checked is the host that is connected to.
 *
 * A regular expression, which the RFC's appendix offers, cuts anything into pieces; it says nothing
 * of whether they are any.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"

#include <arpa/inet.h>

/* Also: what is allowed beside unreserved bytes and escapes. */
static bool holds_only(struct loop_text text, const char *also)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.bytes[i];
        struct loop_text rest = {text.bytes + i, text.size - i};
        if (byte == '%' ? text_escape(rest) < 0 : !is_unreserved(byte) && !is_one_of(byte, also))
            return false;
    }
    return true;
}

static bool is_scheme(struct loop_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_letter(text.bytes[i]) && !is_digit(text.bytes[i]) &&
            !is_one_of(text.bytes[i], "+-."))
            return false;
    return text.size > 0 && is_letter(text.bytes[0]);
}

/* What is before the first of these bytes; the rest begins with it. */
static struct loop_text take_until(struct loop_text *rest, const char *ends)
{
    size_t size = 0;
    while (size < rest->size && !is_one_of(rest->bytes[size], ends))
        size++;
    struct loop_text front = {rest->bytes, size};
    rest->bytes += size;
    rest->size -= size;
    return front;
}

static void skip(struct loop_text *rest, size_t size)
{
    rest->bytes += size;
    rest->size -= size;
}

static int parse_port(struct loop_url *url, struct loop_text text)
{
    int32_t port = 0;
    if (text.size == 0)
        return 0; /* "host:" is allowed, and says nothing */
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.bytes[i]))
            return -EINVAL;
        port = port * 10 + (text.bytes[i] - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    url->port = port;
    return 0;
}

static bool is_ip6(struct loop_text text)
{
    char string[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.size >= sizeof(string))
        return false;
    memcpy(string, text.bytes, text.size);
    string[text.size] = '\0';
    return strlen(string) == text.size && inet_pton(AF_INET6, string, &address) == 1;
}

/* "[::1]", and the port behind it. */
static int parse_literal(struct loop_url *url, struct loop_text rest)
{
    skip(&rest, 1);
    url->host = take_until(&rest, "]");
    if (rest.size == 0 || !is_ip6(url->host))
        return -EINVAL;
    skip(&rest, 1);
    if (rest.size > 0 && rest.bytes[0] != ':')
        return -EINVAL;
    skip(&rest, rest.size > 0);
    url->ip6 = true;
    return parse_port(url, rest);
}

static int parse_authority(struct loop_url *url, struct loop_text rest)
{
    if (memchr(rest.bytes, '@', rest.size)) {
        url->userinfo = text_cut(&rest, '@');
        if (!holds_only(url->userinfo, "!$&'()*+,;=:"))
            return -EINVAL;
    }
    if (rest.size > 0 && rest.bytes[0] == '[')
        return parse_literal(url, rest);
    url->host = text_cut(&rest, ':');
    return holds_only(url->host, "!$&'()*+,;=") ? parse_port(url, rest) : -EINVAL;
}

/* Takes "http:" off the front, if it is there. */
static int parse_scheme(struct loop_url *url, struct loop_text *rest)
{
    struct loop_text behind = *rest;
    struct loop_text front = take_until(&behind, ":/?#");
    if (behind.size == 0 || behind.bytes[0] != ':')
        return 0;
    if (!is_scheme(front))
        return -EINVAL; /* a first segment with a ":", which RFC 3986, 4.2, asks to write "./a:b" */
    url->scheme = front;
    skip(&behind, 1);
    *rest = behind;
    return 0;
}

static int parse_path_and_so_on(struct loop_url *url, struct loop_text rest)
{
    url->path = take_until(&rest, "?#");
    if (rest.size > 0 && rest.bytes[0] == '?') {
        skip(&rest, 1);
        url->query = take_until(&rest, "#");
    }
    if (rest.size > 0) {
        skip(&rest, 1);
        url->fragment = rest;
    }
    bool valid = holds_only(url->path, "!$&'()*+,;=:@/") &&
                 holds_only(url->query, "!$&'()*+,;=:@/?") &&
                 holds_only(url->fragment, "!$&'()*+,;=:@/?");
    return valid ? 0 : -EINVAL;
}

int loop_url_parse(struct loop_url *url, struct loop_text text)
{
    struct loop_url parsed = {.port = -1};
    if (!text.bytes)
        return -EINVAL;
    if (text.size > LOOP_URL_MAX)
        return -ENAMETOOLONG;
    int error = parse_scheme(&parsed, &text);
    if (!error && text_begins(text, "//")) {
        skip(&text, 2);
        error = parse_authority(&parsed, take_until(&text, "/?#"));
    }
    if (!error)
        error = parse_path_and_so_on(&parsed, text);
    if (!error)
        *url = parsed;
    return error;
}

/* A name that DNS may know, or dotted numbers: no escapes, which are decoded by some. */
static bool is_plain_host(struct loop_text host)
{
    for (size_t i = 0; i < host.size; i++)
        if (!is_letter(host.bytes[i]) && !is_digit(host.bytes[i]) &&
            !is_one_of(host.bytes[i], "-_."))
            return false;
    return host.size > 0 && host.size < 256;
}

int loop_url_parse_http(struct loop_url *url, struct loop_text text)
{
    struct loop_url parsed;
    int error = loop_url_parse(&parsed, text);
    if (error)
        return error;
    bool plain = text_is(parsed.scheme, "http") || text_is(parsed.scheme, "ws");
    bool secure = text_is(parsed.scheme, "https") || text_is(parsed.scheme, "wss");
    if (!plain && !secure)
        return -EINVAL;
    if (parsed.userinfo.bytes || parsed.port == 0 || (!parsed.ip6 && !is_plain_host(parsed.host)))
        return -EINVAL;
    if (parsed.port < 0)
        parsed.port = secure ? 443 : 80;
    *url = parsed;
    return 0;
}

static void build_authority(struct writer *writer, const struct loop_url *url)
{
    write_string(writer, "//");
    if (url->userinfo.bytes) {
        write_text(writer, url->userinfo);
        write_byte(writer, '@');
    }
    write_string(writer, url->ip6 ? "[" : "");
    write_text(writer, url->host);
    write_string(writer, url->ip6 ? "]" : "");
    if (url->port < 0)
        return;
    char digits[5];
    size_t count = 0;
    for (int32_t left = url->port; left > 0 || count == 0; left /= 10)
        digits[sizeof(digits) - ++count] = (char)('0' + left % 10);
    write_byte(writer, ':');
    write_bytes(writer, digits + sizeof(digits) - count, count);
}

static void build_front(struct writer *writer, const struct loop_url *url)
{
    if (url->scheme.bytes) {
        write_text(writer, url->scheme);
        write_byte(writer, ':');
    }
    if (url->host.bytes)
        build_authority(writer, url);
}

static void build_back(struct writer *writer, const struct loop_url *url)
{
    if (url->query.bytes) {
        write_byte(writer, '?');
        write_text(writer, url->query);
    }
    if (url->fragment.bytes) {
        write_byte(writer, '#');
        write_text(writer, url->fragment);
    }
}

static bool same(struct loop_text a, struct loop_text b)
{
    return !a.bytes == !b.bytes && a.size == b.size &&
           (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

/* Whether what was built is read as what it was built from. */
static bool reads_back(const struct loop_url *url, struct loop_text text)
{
    struct loop_url read;
    return loop_url_parse(&read, text) == 0 && same(read.scheme, url->scheme) &&
           same(read.userinfo, url->userinfo) && same(read.host, url->host) &&
           read.path.size == url->path.size && same(read.query, url->query) &&
           same(read.fragment, url->fragment) && read.port == url->port && read.ip6 == url->ip6;
}

ssize_t loop_url_build(const struct loop_url *url, char *text, size_t capacity)
{
    struct writer writer = {.bytes = text, .capacity = capacity};
    if (url->port > UINT16_MAX)
        return -EINVAL;
    build_front(&writer, url);
    write_text(&writer, url->path);
    build_back(&writer, url);
    ssize_t size = write_end(&writer);
    if (size < 0)
        return size;
    return reads_back(url, (struct loop_text){text, (size_t)size}) ? size : -EINVAL;
}

/* RFC 3986, 5.2.3: what is before the last "/" of base, and "/" if there is an authority alone. */
static struct loop_text folder(const struct loop_url *base)
{
    size_t size = base->path.size;
    if (size == 0 && base->host.bytes)
        return loop_text_of("/");
    while (size > 0 && base->path.bytes[size - 1] != '/')
        size--;
    return (struct loop_text){base->path.bytes, size};
}

/* Puts both together where the path belongs, and takes the dots away there. */
static void write_path(struct writer *writer, struct loop_text front, struct loop_text back)
{
    struct writer path = {.bytes = writer->bytes + writer->size,
                          .capacity = writer->capacity - writer->size};
    write_text(&path, front);
    write_text(&path, back);
    struct loop_text joined = {path.bytes, path.size};
    path.size = 0;
    url_remove_dots(&path, joined);
    writer->size += path.size;
    writer->full |= path.full;
}

/* Without an authority "//" would begin one, so such a path is written "/.//", as browsers do. */
static void write_guarded_path(struct writer *writer, const struct loop_url *url,
                               struct loop_text front, struct loop_text back)
{
    size_t start = writer->size;
    write_path(writer, front, back);
    struct loop_text path = {writer->bytes + start, writer->size - start};
    if (url->host.bytes || !text_begins(path, "//"))
        return;
    if (writer->capacity - writer->size < 2) {
        writer->full = true;
        return;
    }
    memmove(writer->bytes + start + 2, path.bytes, path.size);
    memcpy(writer->bytes + start, "/.", 2);
    writer->size += 2;
}

/* Fills in from base what a reference without an authority leaves out, and returns what its path
 * goes behind. */
static struct loop_text take_over(struct loop_url *target, const struct loop_url *base)
{
    struct loop_text none = {0};
    target->userinfo = base->userinfo;
    target->host = base->host;
    target->port = base->port;
    target->ip6 = base->ip6;
    if (target->path.size > 0)
        return target->path.bytes[0] == '/' ? none : folder(base);
    target->path = base->path;
    if (!target->query.bytes)
        target->query = base->query;
    return none;
}

ssize_t loop_url_resolve(const struct loop_url *base, const struct loop_url *reference, char *text,
                         size_t capacity)
{
    struct writer writer = {.bytes = text, .capacity = capacity};
    struct loop_url target = *reference;
    struct loop_text front = {0};
    if (!base->scheme.bytes)
        return -EINVAL;
    if (!reference->scheme.bytes) {
        target.scheme = base->scheme;
        front = reference->host.bytes ? front : take_over(&target, base);
    }
    build_front(&writer, &target);
    write_guarded_path(&writer, &target, front, target.path);
    build_back(&writer, &target);
    return write_end(&writer);
}
