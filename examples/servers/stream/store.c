/* A folder of files: see store.h.
 *
 * Everything is done below the folder's descriptor with names that hold no "/", so nothing outside
 * of it can be meant; regular files alone are seen. flock(2) on the folder of parts says that
 * it is taken, and ends with the process, however that ends.
 *
 * SPDX-License-Identifier: MIT */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 200, /* which leaves room for a number, in the 255 of a file system */
    ENDING_MAX_BYTES = 16,
    NUMBERS_MAX = 1000,
};

/* --- names --- */

static bool is_text(const char *name)
{
    json_t *string = json_string(name); /* which takes nothing but UTF-8 */
    json_decref(string);
    return string != NULL;
}

/* ".jpeg"; "" if there is none. */
static const char *ending_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name && strlen(dot) <= ENDING_MAX_BYTES ? dot : name + strlen(name);
}

/* So many bytes of UTF-8, or fewer: characters are not cut. */
static size_t cut(const char *text, size_t size)
{
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

void store_clean_name(const char *wanted, char name[STORE_NAME_SIZE])
{
    char clean[4 * STORE_NAME_SIZE];
    size_t size = 0;
    for (const char *at = wanted; *at; at++) {
        if (*at == '/' || *at == '\\')
            size = 0;
        else if (size == 0 && (*at == '.' || *at == ' '))
            continue;
        else if ((unsigned char)*at >= ' ' && *at != 0x7f && size < sizeof(clean) - 1)
            clean[size++] = *at;
    }
    while (size > 0 && clean[size - 1] == ' ')
        size--;
    clean[size] = '\0';
    if (size == 0 || !is_text(clean))
        strcpy(clean, "upload");
    const char *ending = ending_of(clean);
    size_t most = NAME_MAX_BYTES - strlen(ending);
    size_t stem = (size_t)(ending - clean);
    stem = stem > most ? cut(clean, most) : stem;
    snprintf(name, STORE_NAME_SIZE, "%.*s%s", (int)stem, clean, ending);
}

/* "name (2).txt"; 1: the name itself. */
static void number_name(const char *clean, unsigned number, char name[STORE_NAME_SIZE])
{
    const char *ending = ending_of(clean);
    char suffix[16] = "";
    if (number > 1)
        snprintf(suffix, sizeof(suffix), " (%u)", number);
    snprintf(name, STORE_NAME_SIZE, "%.*s%s%s", (int)(ending - clean), clean, suffix, ending);
}

/* --- the folder --- */

/* Calls fn for each regular file that is not hidden, until one is negative. */
static int each_file(int folder, int (*fn)(void *data, const char *name, const struct stat *stat),
                     void *data)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int error = stream ? 0 : -errno;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    for (const struct dirent *each; error >= 0 && (each = readdir(stream));) {
        struct stat stat;
        if (*each->d_name != '.' &&
            fstatat(folder, each->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode))
            error = fn(data, each->d_name, &stat);
    }
    closedir(stream);
    return error;
}

static int count(void *data, const char *name, const struct stat *stat)
{
    struct store_use *use = data;
    (void)name;
    use->files++;
    use->bytes += (uint64_t)stat->st_size;
    return 0;
}

static int sweep(void *data, const char *name, const struct stat *stat)
{
    const struct store *store = data;
    (void)stat;
    return unlinkat(store->parts_folder, name, 0) < 0 ? -errno : 0;
}

/* Opens a folder, and makes it first if it is missing. */
static int open_folder(int at, const char *path, int *fd)
{
    if (mkdirat(at, path, 0700) < 0 && errno != EEXIST)
        return -errno;
    *fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

static int open_both(struct store *store, const char *path)
{
    int error = open_folder(AT_FDCWD, path, &store->folder);
    if (error == 0)
        error = open_folder(store->folder, ".parts", &store->parts_folder);
    if (error == 0 && flock(store->parts_folder, LOCK_EX | LOCK_NB) < 0)
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
    return error;
}

int store_open(struct store *store, const char *path, struct store_use *use)
{
    store->folder = store->parts_folder = -1;
    *use = (struct store_use){0};
    if (snprintf(store->parts, sizeof(store->parts), "%s/.parts", path) >=
        (int)sizeof(store->parts))
        return -ENAMETOOLONG;
    int error = open_both(store, path);
    if (error == 0)
        error = each_file(store->parts_folder, sweep, store);
    if (error == 0)
        error = each_file(store->folder, count, use);
    if (error < 0)
        store_close(store);
    return error;
}

void store_close(struct store *store)
{
    if (store->folder >= 0)
        close(store->folder);
    if (store->parts_folder >= 0)
        close(store->parts_folder);
    store->folder = store->parts_folder = -1;
}

/* --- files --- */

int store_keep(const struct store *store, const char *path, const char *wanted,
               char name[STORE_NAME_SIZE])
{
    char clean[STORE_NAME_SIZE];
    store_clean_name(wanted, clean);
    int error = -EEXIST;
    for (unsigned number = 1; error == -EEXIST && number <= NUMBERS_MAX; number++) {
        number_name(clean, number, name);
        error = renameat2(AT_FDCWD, path, store->folder, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
    }
    if (error < 0)
        unlink(path);
    return error;
}

/* What has a name that is no text cannot be shown, nor asked for, by JSON. */
static int add_to_list(void *data, const char *name, const struct stat *stat)
{
    json_t *files = data;
    if (json_array_size(files) == STORE_FILES_MAX || !is_text(name))
        return 0;
    json_t *file = json_pack("{s:s, s:I, s:I}", "name", name, "size", (json_int_t)stat->st_size,
                             "modified", (json_int_t)stat->st_mtim.tv_sec);
    return json_array_append_new(files, file) < 0 ? -ENOMEM : 0;
}

static json_int_t number_of(const json_t *file, const char *key)
{
    return json_integer_value(json_object_get(file, key));
}

static int newest_first(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    json_int_t from = number_of(a, "modified"), to = number_of(b, "modified");
    if (from != to)
        return from > to ? -1 : 1;
    return strcmp(json_string_value(json_object_get(a, "name")),
                  json_string_value(json_object_get(b, "name")));
}

/* jansson sorts nothing: the values are moved to a C array and back. */
static int sort(json_t *files)
{
    size_t size = json_array_size(files);
    json_t **all = malloc((size + 1) * sizeof(json_t *));
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        all[i] = json_incref(json_array_get(files, i));
    qsort(all, size, sizeof(json_t *), newest_first);
    for (size_t i = 0; i < size; i++)
        json_array_set_new(files, i, all[i]);
    free(all);
    return 0;
}

int store_list(const struct store *store, json_t **files)
{
    *files = json_array();
    int error = *files ? each_file(store->folder, add_to_list, *files) : -ENOMEM;
    if (error == 0)
        error = sort(*files);
    if (error < 0) {
        json_decref(*files);
        *files = NULL;
    }
    return error;
}

int store_remove(const struct store *store, const char *name, uint64_t *size)
{
    struct stat stat;
    if (*name == '\0' || *name == '.' || strchr(name, '/'))
        return -ENOENT;
    if (fstatat(store->folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENAMETOOLONG ? -ENOENT : -errno;
    if (!S_ISREG(stat.st_mode))
        return -ENOENT;
    *size = (uint64_t)stat.st_size;
    return unlinkat(store->folder, name, 0) < 0 ? -errno : 0;
}
