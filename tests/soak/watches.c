/* A folder that churns, and handles that watch it: one with all that is below, one for a single
 * file, which is started and stopped again and again. Every few milliseconds something happens in
 * the folder: files come, are written, change their names and go, directories come with something
 * in them, move, and go; and now and then the watched folder itself goes, with all in it, and the
 * handles start anew on the next.
 *
 * That changes are told rightly is what the tests of fs_event are for. Here they are counted, and
 * what may not grow are the watches: a directory that went without its record going would show.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 8, ROUNDS_OF_A_FOLDER = 200, CHURN_MS = 5, PATH_SIZE = 96 };

static struct loop_fs_event tree, single;
static struct loop_timer churn;
static char base[PATH_SIZE / 2], folder[PATH_SIZE / 2 + 8];
static int rounds;

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    done.changes++;
    if (change->kind == LOOP_FS_EVENT_ERROR && change->error != -ENOENT)
        done.errors++;
    if (change->kind == LOOP_FS_EVENT_GONE && loop_is_active(&event->handle))
        done.errors++;
}

static void path_of(char path[static PATH_SIZE], const char *name, uint32_t number)
{
    snprintf(path, PATH_SIZE, "%s/%s%u", folder, name, number);
}

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, "x", 1) != 1)
        done.errors++;
    close(fd);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_directory(const char *path)
{
    char inner[PATH_SIZE + 8];
    mkdir(path, 0700);
    snprintf(inner, sizeof(inner), "%s/a", path);
    mkdir(inner, 0700);
    snprintf(inner, sizeof(inner), "%s/f", path);
    make_file(inner);
}

static void watch_single(void)
{
    char path[PATH_SIZE];
    path_of(path, "f", 0);
    if (loop_is_active(&single.handle))
        loop_fs_event_stop(&single);
    else
        loop_fs_event_start(&single, path, 0, on_change); /* it may be gone: that is no error */
}

static void change_something(void)
{
    char path[PATH_SIZE], to[PATH_SIZE];
    const char *name = chance(2) ? "f" : "d";
    path_of(path, name, chance(NAMES));
    path_of(to, name, chance(NAMES));
    switch (chance(5)) {
    case 0:
        rename(path, to);
        break;
    case 1:
        remove_all(path);
        break;
    case 2:
        watch_single();
        break;
    default:
        if (name[0] == 'f')
            make_file(path);
        else
            make_directory(path);
    }
}

static void make_folder(void)
{
    static unsigned number;
    snprintf(folder, sizeof(folder), "%s/%u", base, number++ % 10);
    check(mkdir(folder, 0700) < 0 ? -errno : 0, folder);
    rounds = 0;
}

/* Under the watch: the handle is told that its folder is gone, some time after this. */
static void lose_folder(void)
{
    remove_all(folder);
    make_folder();
}

static void on_churn(struct loop_timer *timer)
{
    (void)timer;
    if (!loop_is_active(&tree.handle))
        check(loop_fs_event_start(&tree, folder, LOOP_FS_EVENT_RECURSIVE, on_change), "watching");
    if (++rounds == ROUNDS_OF_A_FOLDER)
        lose_folder();
    else
        change_something();
}

void watches_begin(void)
{
    snprintf(base, sizeof(base), "/tmp/loop-soak-XXXXXX");
    check(mkdtemp(base) ? 0 : -errno, "a folder in /tmp");
    make_folder();
    loop_fs_event_init(&loop, &tree);
    loop_fs_event_init(&loop, &single);
    loop_timer_init(&loop, &churn);
    check(loop_timer_start(&churn, CHURN_MS * LOOP_MS, CHURN_MS * LOOP_MS, on_churn), "timer");
}

void watches_end(void)
{
    loop_timer_stop(&churn);
    loop_fs_event_stop(&tree);
    loop_close(&single.handle, NULL); /* a close does as well as a stop */
    remove_all(base);
}
