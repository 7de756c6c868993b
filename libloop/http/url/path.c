/* Paths: of requests, where safety counts, and of files, as Node's path.posix has them.
 *
 * A request's path is walked once, segment by segment: decoded first, then looked at, so that
 * "%2e%2e" is as much a way up as "..", and never looked at before decoding, which is how servers
 * came to be walked out of. What is written never begins with "//", of which a relative path, made
 * by leaving out the first "/", would be absolute again. The kernel's RESOLVE_BENEATH should guard
 * the files themselves as well: links are beyond what text can say.
 *
 * All functions write no more than they have read, so that text may be decoded where it stands.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"

enum { FILE_PATH_MAX = 4096 }; /* the kernel's PATH_MAX, which counts the 0 */

/* Takes the last segment away, and the "/" before it. */
static void pop(struct writer *writer, size_t start)
{
    while (writer->size > start && writer->bytes[writer->size - 1] != '/')
        writer->size--;
    writer->size -= writer->size > start;
}

/* What leads nowhere else: "", "." or "..". */
static bool is_dots(const char *segment, size_t size)
{
    return size == 0 || (size <= 2 && memcmp(segment, "..", size) == 0);
}

/* Takes the first segment of path, with the "/" in front of it. */
static struct loop_text take_segment(struct loop_text *path)
{
    size_t size = path->bytes[0] == '/';
    while (size < path->size && path->bytes[size] != '/')
        size++;
    struct loop_text segment = {path->bytes, size};
    path->bytes += size;
    path->size -= size;
    return segment;
}

void url_remove_dots(struct writer *writer, struct loop_text path)
{
    size_t start = writer->size;
    while (path.size > 0) {
        struct loop_text segment = take_segment(&path);
        bool slash = segment.bytes[0] == '/';
        size_t size = segment.size - slash;
        if (size == 0 || !is_dots(segment.bytes + slash, size)) {
            write_text(writer, segment);
            continue;
        }
        if (slash && size == 2)
            pop(writer, start);
        if (slash && path.size == 0)
            write_byte(writer, '/');
        if (!slash && path.size > 0) { /* "../" at the front goes away whole */
            path.bytes++;
            path.size--;
        }
    }
}

/* Whether every byte of a decoded segment means nothing but itself to whoever opens files. */
static bool is_harmless(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (is_control(bytes[i]) || bytes[i] == '/' || bytes[i] == '\\')
            return false;
    return true;
}

ssize_t loop_url_path(struct loop_text text, char *path, size_t capacity)
{
    struct writer writer = {.bytes = path, .capacity = capacity};
    bool dots = true;
    if (text.size == 0 || text.bytes[0] != '/')
        return -EINVAL;
    while (text.size > 0) {
        struct loop_text segment = take_segment(&text);
        size_t start = writer.size;
        write_byte(&writer, '/');
        segment.bytes++;
        segment.size--;
        if (!text_decode(&writer, segment, false))
            return -EINVAL;
        if (writer.full)
            return -ENOBUFS;
        size_t size = writer.size - start - 1;
        if (!is_harmless(path + start + 1, size))
            return -EINVAL;
        dots = is_dots(path + start + 1, size);
        if (!dots)
            continue;
        writer.size = start;
        if (size == 2)
            pop(&writer, 0);
    }
    if (dots)
        write_byte(&writer, '/');
    return write_end(&writer);
}

/* Without the slashes behind it. */
static size_t stem_length(const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    return length;
}

struct loop_text loop_path_basename(const char *path)
{
    size_t end = stem_length(path);
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return (struct loop_text){path + start, end - start};
}

struct loop_text loop_path_dirname(const char *path)
{
    struct loop_text name = loop_path_basename(path);
    size_t length = (size_t)(name.bytes - path);
    if (length == 0)
        return loop_text_of(path[0] == '/' ? "/" : ".");
    if (length == 1)
        return loop_text_of("/");
    if (length == 2 && path[0] == '/')
        return loop_text_of("//"); /* which POSIX lets a system give a meaning of its own */
    return (struct loop_text){path, length - 1};
}

struct loop_text loop_path_extname(const char *path)
{
    struct loop_text name = loop_path_basename(path);
    size_t dot = name.size;
    while (dot > 0 && name.bytes[dot - 1] != '.')
        dot--;
    if (dot <= 1 || is_dots(name.bytes, name.size))
        return loop_text_of("");
    return (struct loop_text){name.bytes + dot - 1, name.size - dot + 1};
}

/* Whether there is a segment that ".." takes away. */
static bool can_pop(const struct writer *writer, size_t start)
{
    size_t size = writer->size;
    if (size == start)
        return false;
    if (size - start < 2 || memcmp(writer->bytes + size - 2, "..", 2) != 0)
        return true;
    return size - start > 2 && writer->bytes[size - 3] != '/';
}

static void add_segment(struct writer *writer, size_t start, struct loop_text segment)
{
    if (text_is(segment, "..") && can_pop(writer, start)) {
        pop(writer, start);
        return;
    }
    if (text_is(segment, "..") && start == 1)
        return; /* above the root is the root */
    if (writer->size > start)
        write_byte(writer, '/');
    write_text(writer, segment);
}

ssize_t loop_path_normalize(const char *path, char *out, size_t capacity)
{
    struct writer writer = {.bytes = out, .capacity = capacity};
    struct loop_text rest = loop_text_of(path);
    size_t length = rest.size;
    size_t root = path[0] == '/';
    if (root)
        write_byte(&writer, '/');
    while (rest.size > 0 && !writer.full) {
        struct loop_text segment = text_cut(&rest, '/');
        if (segment.size > 0 && !text_is(segment, "."))
            add_segment(&writer, root, segment);
    }
    if (writer.size == 0 && !writer.full)
        write_byte(&writer, '.');
    if (length > 0 && path[length - 1] == '/' && writer.size > root)
        write_byte(&writer, '/');
    return write_end(&writer);
}

ssize_t loop_path_join(const char *const *parts, size_t count, char *out, size_t capacity)
{
    char joined[FILE_PATH_MAX];
    struct writer writer = {.bytes = joined, .capacity = sizeof(joined)};
    for (size_t i = 0; i < count; i++) {
        if (parts[i][0] == '\0')
            continue;
        if (writer.size > 0)
            write_byte(&writer, '/');
        write_string(&writer, parts[i]);
    }
    return write_end(&writer) < 0 ? -ENAMETOOLONG : loop_path_normalize(joined, out, capacity);
}
