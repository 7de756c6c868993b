/* du: how much room trees take on the disk, as `du -s` says.
 *
 *     ./run example du /usr/share /etc
 *     ./run example du --slow /usr/share     one at a time, to compare
 *
 * A directory is two requests: what it is, and what is in it; a file is one. What is found waits on
 * a stack, and at most 256 are under way at a time: so the threads of the pool have work, and
 * memory stays small, since the last found is the next to be looked at.
 *
 * Links are counted and not followed. A file with several names is counted once. What cannot be
 * read is complained of, and the rest is counted.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file or directory: on the stack, or under way. */
struct item {
    struct loop_fs fs;
    struct item *below;
    char path[];
};

struct du {
    struct loop loop;
    struct item *stack;
    unsigned running, running_max;
    uintmax_t blocks; /* of 512 bytes */
    bool failed;

    struct inode {
        dev_t device;
        ino_t number; /* 0: free */
    } * inodes;       /* with several names, met before: a table of 2^n, at most half full */
    size_t inode_count, inode_max;
};

static struct du du = {.running_max = 256};

static void on_stat(struct loop_fs *fs);
static void on_entries(struct loop_fs *fs);

static void *must(void *memory)
{
    if (memory)
        return memory;
    fprintf(stderr, "out of memory\n");
    exit(EXIT_FAILURE);
}

static void complain(const char *path, ssize_t error)
{
    fprintf(stderr, "%s: %s\n", path, loop_strerror((int)error));
    du.failed = true;
}

static void push(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    struct item *item = must(calloc(1, sizeof(*item) + size));
    snprintf(item->path, size, "%s%s%s", directory, *name ? "/" : "", name);
    item->below = du.stack;
    du.stack = item;
}

/* Whether it is the first time that this file is met. */
static bool note(struct inode *inodes, size_t max, struct inode inode)
{
    size_t at = (inode.number * 0x9e3779b97f4a7c15u ^ inode.device) & (max - 1);
    while (inodes[at].number != 0) {
        if (inodes[at].number == inode.number && inodes[at].device == inode.device)
            return false;
        at = (at + 1) & (max - 1);
    }
    inodes[at] = inode;
    return true;
}

static void grow(void)
{
    size_t max = du.inode_max ? 2 * du.inode_max : 1024;
    struct inode *inodes = must(calloc(max, sizeof(*inodes)));
    for (size_t i = 0; i < du.inode_max; i++)
        if (du.inodes[i].number != 0)
            note(inodes, max, du.inodes[i]);
    free(du.inodes);
    du.inodes = inodes;
    du.inode_max = max;
}

static bool is_new(const struct stat *stat)
{
    if (stat->st_nlink < 2 || S_ISDIR(stat->st_mode))
        return true;
    if (2 * du.inode_count >= du.inode_max)
        grow();
    bool added = note(du.inodes, du.inode_max, (struct inode){stat->st_dev, stat->st_ino});
    du.inode_count += added;
    return added;
}

/* As many as may be under way. */
static void go_on(void)
{
    while (du.stack && du.running < du.running_max) {
        struct item *item = du.stack;
        du.stack = item->below;
        int error = loop_fs_lstat(&du.loop, &item->fs, item->path, on_stat);
        if (error) {
            complain(item->path, error);
            free(item);
        } else {
            du.running++;
        }
    }
}

static void end(struct item *item, ssize_t error)
{
    if (error < 0)
        complain(item->path, error);
    free(item);
    du.running--;
    go_on();
}

static void on_stat(struct loop_fs *fs)
{
    struct item *item = loop_container_of(fs, struct item, fs);
    ssize_t error = fs->result;
    if (error == 0 && is_new(fs->stat)) {
        du.blocks += (uintmax_t)fs->stat->st_blocks;
        if (S_ISDIR(fs->stat->st_mode)) {
            error = loop_fs_scandir(&du.loop, fs, item->path, on_entries);
            if (error == 0)
                return;
        }
    }
    end(item, error);
}

static void on_entries(struct loop_fs *fs)
{
    struct item *item = loop_container_of(fs, struct item, fs);
    for (ssize_t i = 0; i < fs->result; i++)
        push(item->path, fs->entries[i].name);
    end(item, fs->result);
}

static int usage(FILE *to, int status)
{
    fprintf(to, "usage: du [--slow] PATH...\n");
    return status;
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, EXIT_SUCCESS);
    if (argc > 1 && strcmp(argv[1], "--slow") == 0) {
        du.running_max = 1;
        first++;
    }
    if (first == argc || argv[first][0] == '-')
        return usage(stderr, 2);
    int error = loop_init(&du.loop, NULL);
    for (int i = first; i < argc && !error; i++) {
        du.blocks = 0;
        push(argv[i], "");
        go_on();
        loop_run(&du.loop, LOOP_RUN_DEFAULT);
        printf("%ju\t%s\n", (du.blocks + 1) / 2, argv[i]);
    }
    loop_pool_shutdown();
    if (!error)
        error = loop_fini(&du.loop);
    if (error)
        complain("du", error);
    free(du.inodes);
    return du.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
