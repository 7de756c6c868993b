/* Which program a worker is: this one, found again by its name.
 *
 * /proc/self/exe, executed, would be the file that runs now, even if another lies in its place by
 * then, and new code is what a roll is for. So the path is read at the start, and executed by name
 * each time. A file that was replaced while we started has " (deleted)" behind its name: that is
 * cut off. The arguments are read from /proc/self/cmdline, so that main() need not hand them on.
 *
 * SPDX-License-Identifier: MIT */
#include "workers/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COMMAND_LINE_FIRST = 4096, COMMAND_LINE_MAX = 4 * 1024 * 1024 };

static int find_file(struct loop_supervisor *supervisor)
{
    static const char deleted[] = " (deleted)";
    char path[PATH_MAX + 1];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size < 0)
        return -errno;
    path[size] = '\0';
    size_t cut = strlen(deleted);
    if ((size_t)size > cut && strcmp(path + size - cut, deleted) == 0)
        path[(size_t)size - cut] = '\0';
    supervisor->own_file = strdup(path);
    supervisor->options.file = supervisor->own_file;
    return supervisor->own_file ? 0 : -ENOMEM;
}

/* All of it, into memory that grows; or a negative errno. */
static ssize_t read_all(int fd, char **text)
{
    size_t size = 0;
    for (size_t room = COMMAND_LINE_FIRST; room <= COMMAND_LINE_MAX; room *= 2) {
        char *more = realloc(*text, room + 1);
        if (!more)
            return -ENOMEM;
        *text = more;
        ssize_t got;
        while (size < room && (got = read(fd, more + size, room - size)) > 0)
            size += (size_t)got;
        if (size < room)
            return got < 0 ? -errno : (ssize_t)size;
    }
    return -E2BIG;
}

static int find_args(struct loop_supervisor *supervisor)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t size = read_all(fd, &supervisor->own_text);
    close(fd);
    if (size < 0)
        return (int)size;
    size_t count = 0;
    for (ssize_t i = 0; i < size; i++)
        count += supervisor->own_text[i] == '\0';
    supervisor->own_args = calloc(count + 1, sizeof(*supervisor->own_args));
    if (!supervisor->own_args)
        return -ENOMEM;
    const char *at = supervisor->own_text;
    for (size_t i = 0; i < count; i++) {
        supervisor->own_args[i] = at;
        at += strlen(at) + 1;
    }
    supervisor->options.args = supervisor->own_args;
    return 0;
}

int program_find(struct loop_supervisor *supervisor)
{
    int error = supervisor->options.file ? 0 : find_file(supervisor);
    if (!error && !supervisor->options.args)
        error = find_args(supervisor);
    return error;
}

void program_free(struct loop_supervisor *supervisor)
{
    free(supervisor->own_file);
    free(supervisor->own_text);
    free(supervisor->own_args);
    supervisor->own_file = supervisor->own_text = NULL;
    supervisor->own_args = NULL;
}
