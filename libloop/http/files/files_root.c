/* The root of static files: what a program chose, copied, and the directory, opened once.
 *
 * A root does not change once it is made, so threads of the pool may ask it while the program lets
 * go of it: it is counted, by the user and by each search under way, all on the loop's thread. The
 * directory is held by its descriptor (O_PATH): what is served stays what it was if somebody
 * renames it, or puts another in its place.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void file_root_release(struct file_root *root)
{
    if (--root->refs > 0)
        return;
    for (char **index = root->index; index && *index; index++)
        free(*index);
    free(root->index);
    free((char *)(uintptr_t)root->options.fallback);
    free((char *)(uintptr_t)root->options.cache_control);
    mime_free(root->types);
    files_cache_free(root);
    if (root->fd >= 0)
        close(root->fd);
    free(root);
}

/* In the place of the user's; false: no memory. */
static bool copy_text(const char **text)
{
    const char *given = *text;
    *text = given ? strdup(given) : NULL;
    return *text || !given;
}

static bool copy_index(struct file_root *root, const char *const *names)
{
    static const char *const usual[] = {"index.html", NULL};
    size_t count = 0;
    names = names ? names : usual;
    while (names[count])
        count++;
    root->index = calloc(count + 1, sizeof(*root->index));
    for (size_t i = 0; root->index && i < count; i++)
        if (!(root->index[i] = strdup(names[i])))
            return false;
    return root->index != NULL;
}

static bool fill(struct file_root *root, const struct loop_http_files_options *options)
{
    bool copied = copy_text(&root->options.fallback);
    copied = copy_text(&root->options.cache_control) && copied; /* both: they are freed */
    root->types = mime_load(options->mime_types);
    if (options->cache_files)
        root->cache = calloc(options->cache_files, sizeof(struct open_file *));
    return copied && copy_index(root, options->index) && root->types &&
           (root->cache || !options->cache_files);
}

/* What would make another header of it is none. */
static bool is_value(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool are_possible(const struct loop_http_files_options *options)
{
    return options && options->root && (!options->fallback || *options->fallback != '/') &&
           is_value(options->cache_control);
}

int loop_http_files_init(struct loop_http_files *files,
                         const struct loop_http_files_options *options)
{
    if (!files || !are_possible(options))
        return -EINVAL;
    struct file_root *root = calloc(1, sizeof(*root));
    if (!root)
        return -ENOMEM;
    root->refs = 1;
    root->options = *options;
    root->options.root = root->options.mime_types = NULL; /* not used any more */
    root->options.cache_ns = options->cache_ns ? options->cache_ns : LOOP_SEC;
    root->fd = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int error = root->fd < 0 ? -errno : 0;
    if (!fill(root, options) && error == 0)
        error = -ENOMEM;
    if (error < 0)
        file_root_release(root);
    else
        files->root = root;
    return error;
}

void loop_http_files_fini(struct loop_http_files *files)
{
    file_root_release(files->root);
    files->root = NULL;
}
