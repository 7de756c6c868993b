/* What files are, by the ends of their names.
 *
 * The table is the system's, /etc/mime.types, kept as one sorted array of names and types in the
 * text that was read: 1,500 entries found by eleven comparisons. Without it there is a small one
 * of what the web is made of. Text is said to be UTF-8, which is what it is; types that say their
 * encoding themselves, HTML but for one, would do without.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TABLE_MAX = 1024 * 1024, EXTENSION_MAX = 32 };

struct mime_type {
    const char *extension; /* lower case */
    const char *type;
};

struct mime_types {
    struct mime_type *entries;
    size_t count, capacity;
    char *text; /* what they point to */
};

static const char unknown[] = "application/octet-stream";

/* As in the file: a type, and the ends of names that have it. */
static const char built_in[] =
    "text/html html htm\ntext/css css\ntext/javascript js mjs\ntext/plain txt log conf\n"
    "text/markdown md\ntext/csv csv\napplication/json json map\napplication/xml xml\n"
    "application/wasm wasm\napplication/pdf pdf\napplication/zip zip\napplication/gzip gz\n"
    "image/png png\nimage/jpeg jpg jpeg\nimage/gif gif\nimage/webp webp\nimage/avif avif\n"
    "image/svg+xml svg\nimage/vnd.microsoft.icon ico\nfont/woff woff\nfont/woff2 woff2\n"
    "font/ttf ttf\naudio/mpeg mp3\naudio/ogg ogg\nvideo/mp4 mp4\nvideo/webm webm\n";

/* Types with "; charset=utf-8" behind them are made once for each such type. */
static bool is_text(const char *type)
{
    return strncmp(type, "text/", 5) == 0 || strcmp(type, "application/javascript") == 0 ||
           strcmp(type, "application/xml") == 0 || strcmp(type, "image/svg+xml") == 0;
}

static int by_extension(const void *a, const void *b)
{
    const struct mime_type *left = a, *right = b;
    return strcmp(left->extension, right->extension);
}

/* Of two that are the same the first in the table counts. */
static int by_extension_and_place(const void *a, const void *b)
{
    const struct mime_type *left = a, *right = b;
    int order = by_extension(left, right);
    return order ? order
                 : (left->extension > right->extension) - (left->extension < right->extension);
}

static bool add(struct mime_types *types, const char *extension, const char *type)
{
    if (types->count == types->capacity) {
        size_t capacity = types->capacity ? 2 * types->capacity : 256;
        struct mime_type *grown = realloc(types->entries, capacity * sizeof(struct mime_type));
        if (!grown)
            return false;
        types->entries = grown;
        types->capacity = capacity;
    }
    types->entries[types->count++] = (struct mime_type){extension, type};
    return true;
}

/* Writes the type of a line to *out, behind which its names stay where they are. */
static bool add_line(struct mime_types *types, char *line, char **out)
{
    static const char space[] = " \t\r";
    char *rest = NULL, *type = strtok_r(line, space, &rest);
    if (!type || *type == '#')
        return true;
    char *name = strtok_r(NULL, space, &rest);
    char *copy = *out;
    if (name)
        *out += sprintf(copy, "%s%s", type, is_text(type) ? "; charset=utf-8" : "") + 1;
    for (; name; name = strtok_r(NULL, space, &rest)) {
        for (char *at = name; *at; at++)
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
        if (!add(types, name, copy))
            return false;
    }
    return true;
}

/* The text of a file, or of the table above: with as much room behind it for types. */
static char *read_text(const char *path, size_t *size)
{
    FILE *file = fopen(path ? path : "/etc/mime.types", "re");
    char *text = malloc(TABLE_MAX + 1);
    if (text) {
        *size = file ? fread(text, 1, TABLE_MAX, file) : 0;
        if (*size == 0)
            *size = (size_t)(stpcpy(text, built_in) - text);
        text[*size] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}

/* What is written for a line is at most three times as long as the line. */
static bool parse(struct mime_types *types, char *text, size_t size)
{
    enum { LONGER = 4 }; /* with the lines themselves */
    types->text = malloc(size * LONGER + 1);
    if (!types->text)
        return false;
    char *lines = types->text, *out = types->text + size + 1, *rest = NULL;
    memcpy(lines, text, size + 1);
    for (; (lines = strtok_r(lines, "\n", &rest)); lines = NULL)
        if (!add_line(types, lines, &out))
            return false;
    if (types->count > 0)
        qsort(types->entries, types->count, sizeof(struct mime_type), by_extension_and_place);
    return true;
}

struct mime_types *mime_load(const char *path)
{
    size_t size = 0;
    char *text = read_text(path, &size);
    struct mime_types *types = text ? calloc(1, sizeof(*types)) : NULL;
    bool ok = types && parse(types, text, size);
    free(text);
    if (ok)
        return types;
    mime_free(types);
    return NULL;
}

void mime_free(struct mime_types *types)
{
    if (!types)
        return;
    free(types->entries);
    free(types->text);
    free(types);
}

const char *mime_find(const struct mime_types *types, const char *name)
{
    char extension[EXTENSION_MAX];
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name || strlen(dot) > sizeof(extension) || strchr(dot, '/'))
        return unknown;
    size_t size = 0;
    for (const char *at = dot + 1; *at; at++)
        extension[size++] = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
    extension[size] = '\0';
    const struct mime_type wanted = {extension, NULL};
    struct mime_type *at = types->entries;
    at = at ? bsearch(&wanted, at, types->count, sizeof(*at), by_extension) : NULL;
    while (at && at > types->entries && by_extension(at - 1, at) == 0)
        at--;
    return at ? at->type : unknown;
}
