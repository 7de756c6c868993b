/* A folder of files that people have sent.
 *
 * A file that is on its way lies in ".parts" inside the folder, by a name that nobody can guess,
 * and gets its own name when it is whole: what is in the list is complete, always. The name is what
 * the sender's file is called, made harmless; if it is taken already, "name (2).txt". Renaming
 * never replaces anything, so two who send the same name at once both keep what they sent.
 *
 * One server has a folder at a time. What a crash has left in ".parts" is removed when the next
 * begins. All functions block: store_open() is for the beginning of a program, the others for a
 * thread of the pool, and may run side by side.
 *
 * SPDX-License-Identifier: MIT */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>

struct json_t; /* of <jansson.h> */

enum {
    STORE_PATH_SIZE = 3072,
    STORE_NAME_SIZE = 256,   /* with a 0 behind it */
    STORE_FILES_MAX = 10000, /* all of them are in one list */
};

struct store {
    int folder, parts_folder; /* -1: it is not open */
    char parts[STORE_PATH_SIZE];
};

/* How much there is. */
struct store_use {
    uint64_t bytes;
    uint64_t files;
};

/* Opens a folder, made if it is missing, for its owner alone. On failure (a negative errno; -EBUSY:
 * another server has it) nothing is open. */
int store_open(struct store *store, const char *path, struct store_use *use);
void store_close(struct store *store);

/* Gives a file that came to path, in the parts folder, the name that is wanted, or one like it,
 * which is told; on failure it is removed. Errors: -EEXIST (a thousand have that name). */
int store_keep(const struct store *store, const char *path, const char *wanted,
               char name[STORE_NAME_SIZE]);

/* An array of {"name", "size", "modified"}, the newest first. Errors: -ENOMEM. */
int store_list(const struct store *store, struct json_t **files);

/* Tells how large it was. Errors: -ENOENT, also for what store_keep() would never call so. */
int store_remove(const struct store *store, const char *name, uint64_t *size);

/* Makes a name harmless: no folder before it, no dot in front, no controls, UTF-8, not too long.
 * It keeps its ending, and is never empty. */
void store_clean_name(const char *wanted, char name[STORE_NAME_SIZE]);

#endif
