/* Fuzzing the path of a request for a file, as far as the open: whatever the bytes, what is opened
 * lies beneath the root.
 *
 * There is a real tree, with links that lead in, out and round, and beside it what must not be
 * seen. Each input is tried as a request sends it, decoded by the one function for that, and then
 * as it is, as if the decoding had let it through; by the kernel's lookup, and by the walk that
 * stands in for it. Where a descriptor leads is asked of /proc. What the walk opens the kernel
 * opens too.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "files/files.h"

#include "loop/http/url.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char top[64] = "/tmp/loop-fuzz-XXXXXX";
static char root[80];
static int dir = -1;

static void run(const char *commands)
{
    char line[512];
    snprintf(line, sizeof(line), "cd '%s' && %s", top, commands);
    demand(system(line) == 0);
}

static void remove_tree(void)
{
    char line[128];
    snprintf(line, sizeof(line), "rm -r '%s'", top);
    demand(system(line) == 0);
}

static void make_tree(void)
{
    demand(mkdtemp(top) != NULL);
    atexit(remove_tree);
    run("mkdir -p root/a/b/c root2 && touch s root2/s root/f root/a/f root/a/b/f root/.h && "
        "mkfifo root/p && cd root && ln -s a/b i && ln -s ../s o && ln -s /etc e && ln -s .. u && "
        "ln -s r r && ln -s /proc/self/cwd m && ln -s ../../f a/b/x");
    snprintf(root, sizeof(root), "%s/root", top);
    dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    demand(dir >= 0);
}

static void check_beneath(int fd)
{
    char link[64], target[4200];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof(target) - 1);
    demand(size > 0);
    target[size] = '\0';
    size_t root_size = strlen(root);
    demand(strncmp(target, root, root_size) == 0);
    demand(target[root_size] == '\0' || target[root_size] == '/');
}

static void try_path(const char *path)
{
    struct stat walked, found;
    int by_kernel = files_open(dir, path, false);
    int by_walk = files_open_walk(dir, path);
    if (by_kernel >= 0)
        check_beneath(by_kernel);
    if (by_walk >= 0) {
        check_beneath(by_walk);
        demand(by_kernel >= 0);
        demand(fstat(by_walk, &walked) == 0 && fstat(by_kernel, &found) == 0);
        demand(walked.st_ino == found.st_ino);
        close(by_walk);
    }
    if (by_kernel >= 0)
        close(by_kernel);
}

static void check_decoded(const char *path, size_t size)
{
    demand(path[0] == '/' && strlen(path) == size && !strchr(path, '\\'));
    demand(!strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./"));
    demand(size < 3 || strcmp(path + size - 3, "/..") != 0);
    try_path(path + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char decoded[FILE_PATH_MAX];
    if (dir < 0)
        make_tree();
    const struct loop_text text = {(const char *)bytes, size};
    ssize_t length = loop_url_path(text, decoded, sizeof(decoded));
    if (length >= 0)
        check_decoded(decoded, (size_t)length);
    if (size < sizeof(decoded)) {
        memcpy(decoded, bytes, size);
        decoded[size] = '\0';
        try_path(decoded);
    }
    return 0;
}
