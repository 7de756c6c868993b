/* Where a program may be: the search along PATH, as execvp(3) does it.
 *
 * The paths to try are put together in the parent, and the child only tries them: it may not
 * allocate. The PATH is that of the environment that the program will have. Each path stands behind
 * the other with its closing 0, and an empty one ends the row.
 *
 * An empty element of PATH means the current directory, that is, the child's.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

static const char *value_of(const char *const *env, const char *name, size_t size)
{
    for (; *env; env++)
        if (strncmp(*env, name, size) == 0 && (*env)[size] == '=')
            return *env + size + 1;
    return NULL;
}

/* At *used; only counted if buffer is NULL. */
static void put(char *buffer, size_t *used, const char *bytes, size_t size)
{
    if (buffer)
        memcpy(buffer + *used, bytes, size);
    *used += size;
}

/* Fills the buffer, unless it is NULL, and returns how many bytes it takes. */
size_t path_candidates(const char *file, const char *const *env, char *buffer)
{
    static const char usual[] = "/usr/local/bin:/bin:/usr/bin";
    size_t used = 0, file_size = strlen(file) + 1;
    const char *path = value_of(env, "PATH", 4);
    path = path ? path : usual;
    if (strchr(file, '/')) {
        put(buffer, &used, file, file_size);
        path = NULL;
    }
    while (path) {
        size_t size = strcspn(path, ":");
        put(buffer, &used, path, size);
        put(buffer, &used, size > 0 ? "/" : "./", size > 0 ? 1 : 2);
        put(buffer, &used, file, file_size);
        path = path[size] == ':' ? path + size + 1 : NULL;
    }
    put(buffer, &used, "", 1);
    return used;
}
