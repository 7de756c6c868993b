/* The page for a directory: its names, sorted, as links.
 *
 * A name may hold any byte but 0 and "/", and somebody else may have chosen it: as text it is
 * escaped, as a link encoded and put behind "./", so that "javascript:" is a file. Whether a link
 * leads to a directory is not asked, which would be a lookup for each. So many names and no more
 * are shown, as a page of a million would be of use to nobody and built on every request.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include "loop/http/url.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 10000 };

struct names {
    char **all; /* with "/" behind those of directories */
    size_t count, capacity;
};

static bool add(struct names *names, const struct dirent *entry)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 64;
        char **grown = realloc(names->all, capacity * sizeof(*grown));
        if (!grown)
            return false;
        names->all = grown;
        names->capacity = capacity;
    }
    char *name;
    if (asprintf(&name, "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "") < 0)
        return false;
    names->all[names->count++] = name;
    return true;
}

static int read_names(DIR *stream, bool dot_files, struct names *names)
{
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *name = entry->d_name;
        bool shown = name[0] != '.' || (dot_files && strcmp(name, ".") && strcmp(name, ".."));
        if (!shown || (entry->d_type != DT_DIR && entry->d_type != DT_REG &&
                       entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN))
            continue;
        if (names->count == NAMES_MAX)
            break;
        if (!add(names, entry))
            return -ENOMEM;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void write_escaped(FILE *page, const char *text)
{
    for (; *text; text++) {
        const char *entity = loop_html_entity(*text);
        if (entity)
            fputs(entity, page);
        else
            fputc(*text, page);
    }
}

static void write_entry(FILE *page, const char *name)
{
    char link[3 * 260];
    if (loop_percent_encode(loop_text_of(name), "/", link, sizeof(link)) < 0)
        return; /* unreachable: names of this length are none of Linux's own file systems */
    fprintf(page, "<li><a href=\"./%s\">", link);
    write_escaped(page, name);
    fputs("</a></li>\n", page);
}

static void write_page(FILE *page, const char *path, const struct names *names)
{
    fputs("<!doctype html>\n<meta charset=\"utf-8\">\n<title>", page);
    write_escaped(page, path);
    fputs("</title>\n<h1>", page);
    write_escaped(page, path);
    fputs("</h1>\n<ul>\n", page);
    if (strcmp(path, "/") != 0)
        fputs("<li><a href=\"../\">../</a></li>\n", page);
    for (size_t i = 0; i < names->count; i++)
        write_entry(page, names->all[i]);
    fputs("</ul>\n", page);
}

static int make_page(const char *path, const struct names *names, char **text, size_t *size)
{
    FILE *page = open_memstream(text, size);
    if (!page)
        return -ENOMEM;
    write_page(page, path, names);
    bool failed = ferror(page) != 0;
    if (fclose(page) == 0 && !failed)
        return 0;
    free(*text);
    *text = NULL;
    return -ENOMEM;
}

int files_list(int dir, const char *path, bool dot_files, char **page, size_t *size)
{
    struct names names = {0};
    DIR *stream = fdopendir(dir);
    if (!stream) {
        int error = -errno;
        close(dir);
        return error;
    }
    int error = read_names(stream, dot_files, &names);
    closedir(stream);
    if (names.count > 0)
        qsort(names.all, names.count, sizeof(*names.all), by_name);
    if (error == 0)
        error = make_page(path, &names, page, size);
    for (size_t i = 0; i < names.count; i++)
        free(names.all[i]);
    free(names.all);
    return error;
}
