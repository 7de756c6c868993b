/* The page for a folder: see listing.h.
 *
 * Read whole, sorted, written: ENTRIES_MAX bounds all three, since a page of a million names would
 * be of use to nobody. What a link leads to is asked from the root on, so one that leads out of it,
 * or nowhere, is not in the list; nor are sockets, devices and FIFOs, which are never served.
 *
 * SPDX-License-Identifier: MIT */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <loop/http/url.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES_MAX = 10000, PATH_SIZE = 4096 };

struct entry {
    char *name;
    bool directory;
    uint64_t size;
    struct timespec modified;
};

struct listing {
    const struct look *look;
    struct entry *entries;
    size_t count, capacity;
    bool more; /* than are listed */
};

/* --- reading --- */

static int add(struct listing *listing, const char *name, const struct stat *stat)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 64;
        struct entry *grown = realloc(listing->entries, capacity * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        listing->entries = grown;
        listing->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    listing->entries[listing->count++] = (struct entry){
        .name = copy,
        .directory = S_ISDIR(stat->st_mode),
        .size = S_ISREG(stat->st_mode) ? (uint64_t)stat->st_size : 0,
        .modified = stat->st_mtim,
    };
    return 0;
}

/* Whether there is something to be shown of it: of a link, where it leads. */
static bool look_at(const struct listing *listing, int dir, const char *name, struct stat *stat)
{
    const struct look *look = listing->look;
    char path[PATH_SIZE];
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (*name == '.' && !look->dot_files))
        return false;
    if (fstatat(dir, name, stat, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (S_ISLNK(stat->st_mode)) {
        int size = snprintf(path, sizeof(path), "%s%s", look->path, name);
        if (size >= (int)sizeof(path) || look_stat(look->root, path, stat) < 0)
            return false;
    }
    return S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode);
}

static int read_entries(struct listing *listing, DIR *stream)
{
    int error = 0;
    for (const struct dirent *each; error == 0 && (each = readdir(stream));) {
        struct stat stat;
        if (!look_at(listing, dirfd(stream), each->d_name, &stat))
            continue;
        listing->more = listing->count == ENTRIES_MAX;
        if (listing->more)
            break;
        error = add(listing, each->d_name, &stat);
    }
    return error;
}

static int read_directory(struct listing *listing)
{
    int fd = look_open(listing->look->root, listing->look->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return -ENOMEM;
    }
    int error = read_entries(listing, stream);
    closedir(stream);
    return error;
}

/* --- sorting --- */

static int by_name(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return a->directory != b->directory ? b->directory - a->directory : strcmp(a->name, b->name);
}

static int by_size(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->directory != b->directory || a->size == b->size)
        return by_name(left, right);
    return a->size < b->size ? -1 : 1;
}

static int by_time(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    const struct timespec *from = &a->modified, *to = &b->modified;
    if (a->directory != b->directory)
        return by_name(left, right);
    if (from->tv_sec != to->tv_sec)
        return from->tv_sec < to->tv_sec ? -1 : 1;
    return from->tv_nsec == to->tv_nsec  ? by_name(left, right)
           : from->tv_nsec < to->tv_nsec ? -1
                                         : 1;
}

/* A column of the table, and how the list is sorted by it. */
static const struct column {
    const char *key, *title, *down; /* down: the same, in the other direction */
    int (*compare)(const void *left, const void *right);
} columns[] = {
    {"name", "Name", "-name", by_name},
    {"size", "Size", "-size", by_size},
    {"time", "Modified", "-time", by_time},
};

/* The column that "?sort=" names, "-" in front for the last first. */
static const struct column *wanted(const char *query, bool *down)
{
    char key[16];
    *down = false;
    if (loop_query_get(loop_text_of(query), "sort", key, sizeof(key)) < 0)
        return &columns[0];
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        *down = strcmp(key, columns[i].down) == 0;
        if (*down || strcmp(key, columns[i].key) == 0)
            return &columns[i];
    }
    return &columns[0];
}

/* The other way round, but folders stay first. */
static void turn_round(struct listing *listing)
{
    size_t folders = 0;
    while (folders < listing->count && listing->entries[folders].directory)
        folders++;
    const size_t ends[][2] = {{0, folders}, {folders, listing->count}};
    for (size_t part = 0; part < 2; part++) {
        size_t from = ends[part][0], to = ends[part][1];
        for (; from + 1 < to; from++) {
            struct entry entry = listing->entries[from];
            listing->entries[from] = listing->entries[--to];
            listing->entries[to] = entry;
        }
    }
}

/* --- writing --- */

/* U+2400 and on are the signs of the controls. Attributes here are in double quotes. */
static void write_byte(FILE *page, unsigned char byte)
{
    const char *entity = byte == '\'' ? NULL : loop_html_entity((char)byte);
    if (entity)
        fputs(entity, page);
    else if (byte == 0x7f)
        fputs("\u2421", page);
    else if (byte < ' ')
        fprintf(page, "\xe2\x90%c", 0x80 + byte);
    else
        fputc(byte, page);
}

static void write_text(FILE *page, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        write_byte(page, (unsigned char)text[i]);
}

/* A path may not hold these, whoever asks, so there is nothing to be linked. */
static bool can_be_asked_for(const char *name)
{
    for (; *name; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte < ' ' || byte == 0x7f || byte == '\\')
            return false;
    }
    return true;
}

static void write_link(FILE *page, const char *prefix, const char *name, size_t size,
                       const char *end)
{
    char link[3 * PATH_SIZE];
    if (loop_percent_encode((struct loop_text){name, size}, "/", link, sizeof(link)) < 0)
        return;
    fprintf(page, "<a href=\"%s%s%s\"><bdi>", prefix, link, end);
}

static void write_size(FILE *page, uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double number = (double)size;
    size_t unit = 0;
    for (; number >= 1000 && unit < 6; unit++)
        number /= 1024;
    fprintf(page, "<span title=\"%" PRIu64 " bytes\">%.*f %s</span>", size,
            unit > 0 && number < 10 ? 1 : 0, number, units[unit]);
}

static void write_time(FILE *page, time_t seconds)
{
    char shown[32], exact[32];
    struct tm local, utc;
    if (!localtime_r(&seconds, &local) || !gmtime_r(&seconds, &utc) ||
        !strftime(shown, sizeof(shown), "%Y-%m-%d %H:%M", &local) ||
        !strftime(exact, sizeof(exact), "%Y-%m-%dT%H:%M:%SZ", &utc))
        return;
    fprintf(page, "<time datetime=\"%s\">%s</time>", exact, shown);
}

static void write_entry(FILE *page, const struct entry *entry)
{
    bool linked = can_be_asked_for(entry->name);
    const char *slash = entry->directory ? "/" : "";
    fprintf(page, "<tr class=\"%s\"><td>", entry->directory ? "folder" : "file");
    if (linked)
        write_link(page, "./", entry->name, strlen(entry->name), slash);
    else
        fputs("<span><bdi>", page);
    write_text(page, entry->name, strlen(entry->name));
    fprintf(page, "%s</bdi>%s</td><td>", slash, linked ? "</a>" : "</span>");
    if (!entry->directory)
        write_size(page, entry->size);
    fputs("</td><td>", page);
    write_time(page, entry->modified.tv_sec);
    fputs("</td></tr>\n", page);
}

/* Every folder above, and this one. */
static void write_way(FILE *page, const char *path)
{
    fputs("<h1><a href=\"/\">Index</a> /", page);
    for (const char *at = path + 1; *at;) {
        const char *end = strchrnul(at, '/');
        bool linked = *end == '/' && end[1] != '\0';
        fputs(" ", page);
        if (linked)
            write_link(page, "", path, (size_t)(end + 1 - path), "");
        else
            fputs("<bdi>", page);
        write_text(page, at, (size_t)(end - at));
        fprintf(page, "</bdi>%s /", linked ? "</a>" : "");
        at = *end ? end + 1 : end;
    }
    fputs("</h1>\n", page);
}

static void write_titles(FILE *page, const struct column *by, bool down)
{
    fputs("<table>\n<thead><tr>", page);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        const struct column *column = &columns[i];
        bool sorted = column == by;
        const char *sort = !sorted ? "none" : down ? "descending" : "ascending";
        fprintf(page, "<th aria-sort=\"%s\"><a href=\"?sort=%s\">%s</a></th>", sort,
                sorted && !down ? column->down : column->key, column->title);
    }
    fputs("</tr></thead>\n<tbody>\n", page);
}

static void write_page(FILE *page, const struct listing *listing, const struct column *by,
                       bool down)
{
    const char *path = listing->look->path;
    fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n"
          "<link rel=\"stylesheet\" href=\"/?static.css\">\n<title>",
          page);
    write_text(page, path, strlen(path));
    fputs("</title>\n<main>\n", page);
    write_way(page, path);
    write_titles(page, by, down);
    if (strcmp(path, "/") != 0)
        fputs("<tr class=\"up\"><td><a href=\"../\">Up</a></td><td></td><td></td></tr>\n", page);
    for (size_t i = 0; i < listing->count; i++)
        write_entry(page, &listing->entries[i]);
    fprintf(page, "</tbody>\n</table>\n<p>%zu%s %s</p>\n</main>\n", listing->count,
            listing->more ? " of more" : "", listing->count == 1 ? "entry" : "entries");
}

/* --- all of it --- */

static int make_page(struct listing *listing, struct look *look)
{
    bool down;
    const struct column *by = wanted(look->query, &down);
    if (listing->count > 0)
        qsort(listing->entries, listing->count, sizeof(*listing->entries), by->compare);
    if (down)
        turn_round(listing);
    FILE *page = open_memstream(&look->page, &look->page_size);
    if (!page)
        return -ENOMEM;
    write_page(page, listing, by, down);
    bool failed = ferror(page) != 0;
    if (fclose(page) == 0 && !failed)
        return 0;
    free(look->page);
    look->page = NULL;
    return -ENOMEM;
}

int listing_make(struct look *look)
{
    struct listing listing = {.look = look};
    int error = read_directory(&listing);
    if (error == 0)
        error = make_page(&listing, look);
    for (size_t i = 0; i < listing.count; i++)
        free(listing.entries[i].name);
    free(listing.entries);
    return error;
}
