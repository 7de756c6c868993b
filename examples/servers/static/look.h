/* What a path means: a file for the library to serve, a folder to be listed, or nothing.
 *
 * The library holds every lookup beneath the root by itself and needs none of this; it knows one
 * plain list and one plain 404, though. So a look comes first, on a thread of the pool, and what it
 * finds is shown as pages of this program. Between the look and the answer a file may go: then the
 * library's own answer is the right one. Nothing is decided here that would let anything be seen.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOK_H
#define LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum look_found { LOOK_SERVE, LOOK_LISTING, LOOK_MISSING };

struct look {
    /* asked */
    int root;          /* a directory, open by O_PATH */
    const char *path;  /* decoded, beginning with "/" */
    const char *query; /* how a listing is sorted */
    bool dot_files;
    bool listing;

    /* found */
    enum look_found found;
    bool has_404; /* there is a /404.html */
    char *page;   /* LOOK_LISTING: to be freed */
    size_t page_size;
};

/* Any thread. */
void look(struct look *look);

/* What lies beneath the root, with or without "/" in front, wherever links lead on the way.
 * Negative: an errno, -EXDEV if it is outside. */
int look_open(int root, const char *path, int flags);
int look_stat(int root, const char *path, struct stat *stat);

#endif
