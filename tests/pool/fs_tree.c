/* Trees, directories and whole files: what takes many system calls and is one operation.
 *
 * Directories are made with all that lead there; temporary ones, and files, have names that nobody
 * else has. A tree is removed whatever it is made of, 500 levels deep or a thousand entries wide,
 * and links in it are removed but never followed, not even when a directory is swapped for one
 * meanwhile. Entries of a directory come each once, in batches of any size, with their whole names.
 * A copy has the bytes and the mode, across file systems too, and onto itself changes nothing. A
 * file written in the place of another is the old or the new, and of a failure nothing is left. A
 * disk that is full, a directory that may not be written, and memory that runs out are results. Who
 * cancels is told at once, and what was made for nobody is undone.
 *
 * SPDX-License-Identifier: MIT */
#include "fs_test.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static ssize_t removed(const char *path, unsigned flags)
{
    return did(loop_fs_rm(loop, fresh(), path, flags, on_fs));
}

/* Making. */

static void all_directories_that_lead_there_are_made(void **state)
{
    begin(state);
    assert_int_equal(3, did(loop_fs_mkdir_all(loop, fresh(), in_folder("a/b/c"), 0777, on_fs)));
    assert_int_equal(0755, mode_of(in_folder("a/b/c")));
    assert_int_equal(0, did(loop_fs_mkdir_all(loop, fresh(), in_folder("a/b/c"), 0777, on_fs)));
    assert_int_equal(2, did(loop_fs_mkdir_all(loop, fresh(), in_folder("a//x/y//"), 0777, on_fs)));
    assert_int_equal(1, did(loop_fs_mkdir_all(loop, fresh(), in_folder("a/./z/.."), 0777, on_fs)));
    make_file(in_folder("file"), "", 0);
    assert_int_equal(-EEXIST,
                     did(loop_fs_mkdir_all(loop, fresh(), in_folder("file"), 0777, on_fs)));
    assert_int_equal(-ENOTDIR,
                     did(loop_fs_mkdir_all(loop, fresh(), in_folder("file/a/b"), 0777, on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_mkdir_all(loop, fresh(), "", 0777, on_fs)));
    assert_int_equal(0, did(loop_fs_mkdir_all(loop, fresh(), "/", 0777, on_fs)));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(2, did(loop_fs_mkdir_all(loop, fresh_at(fd), "rel/ative", 0777, on_fs)));
    assert_true(exists(in_folder("rel/ative")));
    close(fd);
    end();
}

static void temporary_names_are_nobody_elses(void **state)
{
    char first[sizeof(op.text)];
    begin(state);
    const char *prefix = in_folder("t-");
    assert_int_equal(strlen(prefix) + 6, did(loop_fs_mkdtemp(loop, fresh(), prefix, on_fs)));
    assert_memory_equal(prefix, op.text, strlen(prefix));
    assert_int_equal(0700, mode_of(op.text));
    snprintf(first, sizeof(first), "%s", op.text);
    assert_true(did(loop_fs_mkdtemp(loop, fresh(), prefix, on_fs)) > 0);
    assert_string_not_equal(first, op.text);
    int fd = (int)did(loop_fs_mkstemp(loop, fresh(), prefix, on_fs));
    assert_int_equal(FD_CLOEXEC, fcntl(fd, F_GETFD));
    assert_int_equal(0600, mode_of(op.text));
    assert_int_equal(1, write(fd, "x", 1));
    close(fd);
    assert_string_equal("x", content(op.text));
    assert_int_equal(-ENOENT, did(loop_fs_mkdtemp(loop, fresh(), in_folder("no/t"), on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_mkstemp(loop, fresh(), in_folder("no/t"), on_fs)));
    end();
}

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static void pass(void *data)
{
    (void)data;
}

/* A job that is done behind what was started before, so that this has run. */
static void wait_for_the_pool(void)
{
    struct loop_work behind = {.request.data = NULL};
    int descriptors = open_descriptors();
    assert_int_equal(0, loop_work(loop, &behind, pass, NULL));
    run_to_end();
    (void)descriptors;
}

static void what_was_made_for_nobody_is_undone(void **state)
{
    begin_with(state, 1, false);
    int descriptors = open_descriptors();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(0, i % 2 ? loop_fs_mkdtemp(loop, fresh(), in_folder("t"), on_fs)
                                  : loop_fs_mkstemp(loop, fresh(), in_folder("t"), on_fs));
        if (i % 4 > 1)
            usleep(1); /* whatever it does by now */
        assert_int_equal(0, loop_request_cancel(&op.fs.request));
        run_to_end();
        assert_int_equal(-ECANCELED, op.result);
        wait_for_the_pool();
        assert_int_equal(0, entries_of(folder));
    }
    assert_int_equal(descriptors, open_descriptors());
    end();
}

/* Removing. */

static void rm_removes_files_links_and_trees(void **state)
{
    begin(state);
    make_file(in_folder("file"), "", 0);
    assert_int_equal(0, symlink("d", in_folder("link")));
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    make_file(in_folder("d/file"), "", 0);
    assert_int_equal(-EISDIR, removed(in_folder("d"), 0));
    assert_int_equal(0, removed(in_folder("link"), LOOP_FS_RECURSIVE));
    assert_true(exists(in_folder("d/file")));
    assert_int_equal(0, removed(in_folder("file"), 0));
    assert_int_equal(-ENOENT, removed(in_folder("file"), LOOP_FS_RECURSIVE));
    assert_int_equal(0, removed(in_folder("file"), LOOP_FS_FORCE));
    assert_int_equal(0, removed(in_folder("d/"), LOOP_FS_RECURSIVE));
    assert_int_equal(-EINVAL, removed(in_folder("."), LOOP_FS_RECURSIVE));
    assert_int_equal(-EINVAL, removed(in_folder("x/.."), LOOP_FS_RECURSIVE));
    assert_int_equal(-EINVAL, removed(in_folder("x/..//"), LOOP_FS_RECURSIVE));
    assert_int_equal(-EINVAL, removed("/", LOOP_FS_RECURSIVE));
    assert_int_equal(-EINVAL, removed("///", LOOP_FS_RECURSIVE));
    assert_int_equal(-ENOENT, removed("", LOOP_FS_RECURSIVE));
    assert_int_equal(0, entries_of(folder));
    end();
}

static void a_tree_500_levels_deep_is_removed_with_few_descriptors(void **state)
{
    begin(state);
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(0, mkdirat(fd, "a directory with a rather long name", 0755));
        close(openat(fd, "file", O_WRONLY | O_CREAT, 0600));
        int below = openat(fd, "a directory with a rather long name", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = below;
    }
    close(fd);
    int descriptors = open_descriptors();
    assert_int_equal(0,
                     removed(in_folder("a directory with a rather long name"), LOOP_FS_RECURSIVE));
    assert_int_equal(descriptors, open_descriptors());
    assert_int_equal(1, entries_of(folder));
    end();
}

static void a_wide_tree_is_removed(void **state)
{
    char name[64];
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        assert_int_equal(0, i % 2 ? mkdir(in_folder(name), 0755) : symlink("/", in_folder(name)));
        snprintf(name, sizeof(name), "d/%d/file", i);
        if (i % 4 == 1)
            make_file(in_folder(name), "", 0);
    }
    assert_int_equal(0, removed(in_folder("d"), LOOP_FS_RECURSIVE));
    assert_false(exists(in_folder("d")));
    end();
}

static void links_in_a_tree_are_removed_and_not_followed(void **state)
{
    begin(state);
    assert_int_equal(0, mkdir(in_folder("outside"), 0755));
    make_file(in_folder("outside/treasure"), "gold", 4);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    assert_int_equal(0, mkdir(in_folder("d/e"), 0755));
    assert_int_equal(0, symlink("../../outside", in_folder("d/e/dir")));
    assert_int_equal(0, symlink("../../outside/treasure", in_folder("d/e/file")));
    assert_int_equal(0, symlink("..", in_folder("d/e/up")));
    assert_int_equal(0, symlink("nowhere", in_folder("d/e/none")));
    assert_int_equal(0, removed(in_folder("d"), LOOP_FS_RECURSIVE));
    assert_false(exists(in_folder("d")));
    assert_string_equal("gold", content(in_folder("outside/treasure")));
    end();
}

struct swapper {
    pthread_t thread;
    char directory[512];
    char link[512];
    bool over;
};

/* A directory and a link to where the treasure is, one in the place of the other. */
static void *swap(void *arg)
{
    struct swapper *swapper = arg;
    while (!__atomic_load_n(&swapper->over, __ATOMIC_RELAXED))
        syscall(SYS_renameat2, AT_FDCWD, swapper->directory, AT_FDCWD, swapper->link,
                RENAME_EXCHANGE);
    return NULL;
}

static void a_directory_swapped_for_a_link_leads_nowhere(void **state)
{
    struct swapper swapper = {.over = false};
    begin(state);
    assert_int_equal(0, mkdir(in_folder("outside"), 0755));
    make_file(in_folder("outside/treasure"), "gold", 4);
    assert_int_equal(0, symlink(in_folder("outside"), in_folder("link")));
    snprintf(swapper.directory, sizeof(swapper.directory), "%s", in_folder("d/e"));
    snprintf(swapper.link, sizeof(swapper.link), "%s", in_folder("link"));
    assert_int_equal(0, pthread_create(&swapper.thread, NULL, swap, &swapper));
    for (int i = 0; i < 100; i++) {
        mkdir(in_folder("d"), 0755);
        mkdir(in_folder("d/e"), 0755);
        mkdir(in_folder("d/e/f"), 0755);
        close(open(in_folder("d/e/f/file"), O_WRONLY | O_CREAT, 0600));
        did(loop_fs_rm(loop, fresh(), in_folder("d"), LOOP_FS_RECURSIVE, on_fs));
        assert_string_equal("gold", content(in_folder("outside/treasure")));
    }
    __atomic_store_n(&swapper.over, true, __ATOMIC_RELAXED);
    pthread_join(swapper.thread, NULL);
    end();
}

enum { SWAPPED = 2000 };

/* From the end of what a thread of the pool is to remove, once that has begun. */
static void *swap_for_files(void *arg)
{
    struct swapper *swapper = arg;
    while (access(swapper->link, F_OK) == 0)
        ;
    for (int i = SWAPPED; i-- > 0;) {
        char name[600];
        snprintf(name, sizeof(name), "%s/%d", swapper->directory, i);
        if (rmdir(name) == 0)
            close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    return NULL;
}

static void directories_swapped_for_files_are_removed_or_given_up(void **state)
{
    struct swapper swapper = {.over = false};
    char name[32];
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    for (int i = 0; i < SWAPPED; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        assert_int_equal(0, mkdir(in_folder(name), 0755));
    }
    snprintf(swapper.directory, sizeof(swapper.directory), "%s", in_folder("d"));
    DIR *entries = opendir(in_folder("d")); /* what comes first */
    const struct dirent *entry;
    while ((entry = readdir(entries)) && entry->d_name[0] == '.')
        ;
    assert_non_null(entry);
    snprintf(swapper.link, sizeof(swapper.link), "%s/%.32s", in_folder("d"), entry->d_name);
    closedir(entries);
    assert_int_equal(0, pthread_create(&swapper.thread, NULL, swap_for_files, &swapper));
    ssize_t result = removed(in_folder("d"), LOOP_FS_RECURSIVE);
    assert_true(result == 0 || result == -ENOTEMPTY);
    pthread_join(swapper.thread, NULL);
    removed(in_folder("d"), LOOP_FS_RECURSIVE | LOOP_FS_FORCE);
    end();
}

static void *fill_again(void *arg)
{
    struct swapper *swapper = arg;
    while (!__atomic_load_n(&swapper->over, __ATOMIC_RELAXED)) {
        int fd = open(swapper->link, O_WRONLY | O_CREAT, 0600);
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

/* Whoever wins, it ends. */
static void a_tree_that_somebody_fills_is_removed_or_given_up(void **state)
{
    struct swapper swapper = {.over = false};
    begin(state);
    snprintf(swapper.link, sizeof(swapper.link), "%s", in_folder("d/e/file"));
    assert_int_equal(0, pthread_create(&swapper.thread, NULL, fill_again, &swapper));
    for (int i = 0; i < 30; i++) {
        mkdir(in_folder("d"), 0755);
        mkdir(in_folder("d/e"), 0755);
        ssize_t result = removed(in_folder("d"), LOOP_FS_RECURSIVE);
        assert_true(result == -ENOTEMPTY || (result == 0 && !exists(in_folder("d"))));
    }
    __atomic_store_n(&swapper.over, true, __ATOMIC_RELAXED);
    pthread_join(swapper.thread, NULL);
    end();
}

/* Directories. */

enum { MANY = 10000 };

static unsigned char seen[MANY];
static size_t largest_batch;

static void mark(const struct loop_fs *fs)
{
    for (ssize_t i = 0; i < fs->result; i++) {
        const struct loop_dirent *entry = &fs->entries[i];
        assert_int_equal(strlen(entry->name), entry->length);
        assert_int_equal(DT_REG, entry->type);
        assert_true(entry->inode > 0);
        seen[strtol(entry->name + 5, NULL, 10)]++;
    }
    if (fs->result > (ssize_t)largest_batch)
        largest_batch = (size_t)fs->result;
}

static void on_all(struct loop_fs *fs)
{
    on_fs(fs);
    mark(fs);
}

static size_t batch;

static void on_batch(struct loop_fs *fs)
{
    op.result = fs->result;
    mark(fs);
    int fd = *(int *)fs->request.data;
    if (fs->result > 0)
        assert_int_equal(0, loop_fs_readdir(loop, fs, fd, batch, on_batch));
}

static void each_was_seen(int times)
{
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(times, seen[i]);
    memset(seen, 0, sizeof(seen));
}

static void ten_thousand_entries_come_each_once_in_batches_of_any_size(void **state)
{
    const size_t batches[] = {1, 7, 1000, 65536};
    char name[64];
    begin(state);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "name-%d", i);
        make_file(in_folder(name), "", 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(batches); i++) {
        batch = batches[i];
        largest_batch = 0;
        int fd = (int)did(loop_fs_opendir(loop, fresh(), folder, on_fs));
        assert_true(fd >= 0);
        fresh()->request.data = &fd;
        assert_int_equal(0, loop_fs_readdir(loop, &op.fs, fd, batch, on_batch));
        run_to_end();
        assert_int_equal(0, op.result);
        assert_true(largest_batch > 0 && largest_batch <= batch);
        each_was_seen(1);
        assert_int_equal(0, did(loop_fs_close(loop, fresh(), fd, on_fs)));
    }
    assert_int_equal(MANY, did(loop_fs_scandir(loop, fresh(), folder, on_all)));
    each_was_seen(1);
    end();
}

static void on_names(struct loop_fs *fs)
{
    on_fs(fs);
    for (ssize_t i = 0; i < fs->result; i++)
        say("%s:%d", fs->entries[i].name, fs->entries[i].type);
}

/* Links of one file, with names as long as can be: 280 bytes each, in 64 MiB. */
static bool link_many(int directory, int from, int to)
{
    char name[256], number[16];
    memset(name, 'x', 255);
    name[255] = '\0';
    for (int i = from; i < to; i++) {
        snprintf(number, sizeof(number), "%07d", i);
        memcpy(name, number, 7);
        if (linkat(directory, "file", directory, name, 0) < 0)
            return false;
    }
    return true;
}

static uint64_t done_by_threads(void)
{
    struct loop_pool_stats stats;
    loop_pool_stats(pool, &stats);
    return stats.of[LOOP_POOL_FS].done;
}

/* While a thread is at it, which has so much to do that it is seen; unless we get no processor as
 * long as that takes, and then it is behind it. To whoever waits either is the same. */
static void cancel_at_work(uint64_t done_before)
{
    struct loop_pool_stats stats;
    do
        loop_pool_stats(pool, &stats);
    while (stats.of[LOOP_POOL_FS].running == 0 && stats.of[LOOP_POOL_FS].done == done_before);
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    run_to_end();
    assert_int_equal(-ECANCELED, op.result);
    wait_for_the_pool();
}

static void a_directory_of_64_mib_is_listed_whole_and_a_larger_one_is_refused(void **state)
{
    enum { FITS = 239000, IS_TOO_MANY = 239700 };
    begin(state);
    char path[] = "/dev/shm/libloop-XXXXXX";
    if (!mkdtemp(path)) {
        end();
        skip();
    }
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(openat(directory, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    bool has_room = link_many(directory, 0, FITS);
    if (has_room)
        assert_int_equal(FITS + 1, did(loop_fs_scandir(loop, fresh(), path, on_fs)));
    has_room = has_room && link_many(directory, FITS, IS_TOO_MANY);
    if (has_room)
        assert_int_equal(-EFBIG, did(loop_fs_scandir(loop, fresh(), path, on_fs)));
    uint64_t done_before = done_by_threads();
    assert_int_equal(0, loop_fs_scandir(loop, fresh(), path, on_fs));
    cancel_at_work(done_before);
    done_before = done_by_threads();
    assert_int_equal(0, loop_fs_rm(loop, fresh(), path, LOOP_FS_RECURSIVE, on_fs));
    cancel_at_work(done_before);
    close(directory);
    assert_int_equal(0, removed(path, LOOP_FS_RECURSIVE));
    end();
    if (!has_room)
        skip();
}

static void an_entry_has_its_name_and_its_type(void **state)
{
    char name[256];
    begin(state);
    assert_int_equal(0, did(loop_fs_scandir(loop, fresh(), folder, on_names)));
    assert_said("");
    assert_int_equal(0, mkdir(in_folder("..."), 0755));
    assert_int_equal(1, did(loop_fs_scandir(loop, fresh(), folder, on_names)));
    assert_said("...:4");
    assert_int_equal(0, rmdir(in_folder("...")));
    assert_int_equal(0, symlink("x", in_folder("\xff\x01")));
    assert_int_equal(1, did(loop_fs_scandir(loop, fresh(), folder, on_names)));
    assert_said("\xff\x01:10");
    unlink(in_folder("\xff\x01"));
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(0, mkfifo(in_folder(name), 0600));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(1, did(loop_fs_readdir(loop, fresh(), fd, 1, on_names)));
    assert_int_equal(255 + 2, strlen(said()));
    assert_int_equal(0, did(loop_fs_readdir(loop, fresh(), fd, 1, on_names)));
    assert_int_equal(1, did(loop_fs_scandir(loop, fresh_at(fd), ".", on_fs)));
    close(fd);
    assert_int_equal(-EBADF, did(loop_fs_readdir(loop, fresh(), fd, 1, on_names)));
    assert_int_equal(-ENOTDIR, did(loop_fs_scandir(loop, fresh(), in_folder(name), on_fs)));
    assert_int_equal(-ENOTDIR, did(loop_fs_opendir(loop, fresh(), in_folder(name), on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_scandir(loop, fresh(), in_folder("none"), on_fs)));
    end();
}

/* Copying. */

enum { LARGE = 3 << 20 };

static unsigned char large[LARGE];

static void make_large(const char *path)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (unsigned char)(i * 31 + (i >> 11));
    make_file(path, large, LARGE);
}

static void assert_is_large(const char *path)
{
    static unsigned char bytes[LARGE + 1];
    int fd = open(path, O_RDONLY);
    assert_int_equal(LARGE, read(fd, bytes, sizeof(bytes)));
    close(fd);
    assert_memory_equal(large, bytes, LARGE);
}

static ssize_t copied(const char *from, const char *to, unsigned flags)
{
    return did(loop_fs_copy_file(loop, fresh(), from, to, flags, on_fs));
}

static void a_copy_has_the_bytes_and_the_mode(void **state)
{
    begin(state);
    make_large(in_folder("from"));
    assert_int_equal(0, chmod(in_folder("from"), 0751));
    assert_int_equal(LARGE, copied(in_folder("from"), in_folder("to"), 0));
    assert_is_large(in_folder("to"));
    assert_int_equal(0751, mode_of(in_folder("to")));
    make_file(in_folder("small"), "small", 5);
    assert_int_equal(5, copied(in_folder("small"), in_folder("to"), 0));
    assert_string_equal("small", content(in_folder("to")));
    assert_int_equal(-EEXIST, copied(in_folder("small"), in_folder("to"), LOOP_FS_COPY_EXCLUSIVE));
    assert_int_equal(5, copied(in_folder("small"), in_folder("new"), LOOP_FS_COPY_EXCLUSIVE));
    make_file(in_folder("empty"), "", 0);
    assert_int_equal(0, copied(in_folder("empty"), in_folder("to"), 0));
    assert_string_equal("", content(in_folder("to")));
    end();
}

static void holes_are_copied_as_holes(void **state)
{
    const off_t far = (off_t)5 << 30;
    struct stat stat;
    char back[4] = "";
    begin(state);
    int fd = open(in_folder("sparse"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(3, pwrite(fd, "mid", 3, far / 2));
    assert_int_equal(0, ftruncate(fd, far));
    close(fd);
    assert_true(did(loop_fs_copy_file(loop, fresh(), in_folder("sparse"), in_folder("to"), 0,
                                      on_fs)) == far);
    fd = open(in_folder("to"), O_RDONLY);
    assert_int_equal(0, fstat(fd, &stat));
    assert_true(stat.st_size == far && stat.st_blocks < 2048);
    assert_int_equal(3, pread(fd, back, 3, far / 2));
    assert_string_equal("mid", back);
    close(fd);
    end();
}

static void a_copy_onto_itself_changes_nothing(void **state)
{
    begin(state);
    make_file(in_folder("file"), "text", 4);
    assert_int_equal(0, link(in_folder("file"), in_folder("other")));
    assert_int_equal(0, symlink("file", in_folder("link")));
    assert_int_equal(0, copied(in_folder("file"), in_folder("file"), 0));
    assert_int_equal(0, copied(in_folder("file"), in_folder("other"), 0));
    assert_int_equal(0, copied(in_folder("link"), in_folder("file"), 0));
    assert_string_equal("text", content(in_folder("file")));
    end();
}

static void a_copy_that_fails_leaves_nothing(void **state)
{
    begin(state);
    make_file(in_folder("file"), "text", 4);
    assert_int_equal(0, mkfifo(in_folder("fifo"), 0600));
    assert_int_equal(-ENOENT, copied(in_folder("none"), in_folder("to"), 0));
    assert_int_equal(-EINVAL, copied(in_folder("fifo"), in_folder("to"), 0));
    assert_int_equal(-EINVAL, copied(folder, in_folder("to"), 0));
    assert_int_equal(-EISDIR, copied(in_folder("file"), folder, 0));
    assert_int_equal(-ENOENT, copied(in_folder("file"), in_folder("no/to"), 0));
    assert_false(exists(in_folder("to")));
    ssize_t result = copied(in_folder("file"), in_folder("to"), LOOP_FS_COPY_CLONE);
    assert_true(result == 4 || !exists(in_folder("to")));
    end();
}

static void a_copy_crosses_file_systems(void **state)
{
    char other[] = "/dev/shm/loop-fs-XXXXXX";
    char path[64], back[64];
    struct stat here, there;
    begin(state);
    if (!mkdtemp(other) || stat(other, &there) || stat(folder, &here) ||
        here.st_dev == there.st_dev) {
        end();
        skip();
    }
    snprintf(path, sizeof(path), "%s/to", other);
    snprintf(back, sizeof(back), "%s/proc", other);
    make_large(in_folder("from"));
    assert_int_equal(LARGE, copied(in_folder("from"), path, 0));
    assert_is_large(path);
    assert_int_equal(-EXDEV, did(loop_fs_rename(loop, fresh(), path, in_folder("x"), 0, on_fs)));
    assert_int_equal(LARGE, copied(path, in_folder("back"), 0));
    assert_is_large(in_folder("back"));
    ssize_t size = copied("/proc/self/status", back, 0); /* whose size is 0 */
    assert_true(size > 0);
    assert_non_null(strstr(content(back), "Name:"));
    remove_folder(other);
    end();
}

/* Whole files. */

static ssize_t wrote(const char *name, const char *text, unsigned flags)
{
    return did(
        loop_fs_write_file(loop, fresh(), in_folder(name), text, strlen(text), 0666, flags, on_fs));
}

static void a_whole_file_is_written_over_behind_or_in_its_place(void **state)
{
    begin(state);
    assert_int_equal(3, wrote("file", "one", 0));
    assert_int_equal(0644, mode_of(in_folder("file")));
    assert_int_equal(1, wrote("file", "2", LOOP_FS_SYNC));
    assert_string_equal("2", content(in_folder("file")));
    assert_int_equal(-EEXIST, wrote("file", "three", LOOP_FS_EXCLUSIVE));
    assert_int_equal(5, wrote("new", "three", LOOP_FS_EXCLUSIVE));
    const char *file = in_folder("file");
    assert_int_equal(2, did(loop_fs_append_file(loop, fresh(), file, "34", 2, 0600, 0, on_fs)));
    assert_int_equal(1, did(loop_fs_append_file(loop, fresh(), file, "5", 1, 0600, LOOP_FS_SYNC,
                                                on_fs)));
    assert_string_equal("2345", content(file));
    assert_int_equal(0, chmod(file, 0604));
    assert_int_equal(6, wrote("file", "atomic", LOOP_FS_ATOMIC));
    assert_string_equal("atomic", content(in_folder("file")));
    assert_int_equal(0604, mode_of(in_folder("file")));
    assert_int_equal(0, wrote("empty", "", LOOP_FS_ATOMIC));
    assert_int_equal(0644, mode_of(in_folder("empty")));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(1, did(loop_fs_write_file(loop, fresh_at(fd), "rel", "x", 1, 0600,
                                               LOOP_FS_ATOMIC, on_fs)));
    assert_string_equal("x", content(in_folder("rel")));
    close(fd);
    assert_int_equal(4, entries_of(folder));
    end();
}

static void what_cannot_be_replaced_leaves_nothing_beside_it(void **state)
{
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    assert_int_equal(-EISDIR, wrote("d", "x", LOOP_FS_ATOMIC));
    assert_int_equal(-EISDIR, wrote("d", "x", 0));
    assert_int_equal(-ENOENT, wrote("no/file", "x", LOOP_FS_ATOMIC));
    assert_int_equal(1, entries_of(folder));
    make_file(in_folder("d/target"), "old", 3);
    assert_int_equal(0, symlink("d/target", in_folder("link")));
    assert_int_equal(3, wrote("link", "new", LOOP_FS_ATOMIC));
    assert_string_equal("old", content(in_folder("d/target")));
    assert_string_equal("new", content(in_folder("link")));
    end();
}

/* Full disks, forbidden directories. Each in a child, which has a loop of its own. */

static int child_loop(void)
{
    static struct loop own;
    loop_after_fork(loop);
    int error = loop_init(&own, NULL);
    loop = &own;
    return error;
}

/* In a child there is no cmocka to tell: a number says which step it was. */
static ssize_t result_of(int error)
{
    if (error)
        return error;
    loop_run(loop, LOOP_RUN_DEFAULT);
    return op.result;
}

enum { SKIPPED = 77 };

static int on_a_full_disk(void *arg)
{
    (void)arg;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", folder, "tmpfs", 0, "size=1m") < 0)
        return SKIPPED;
    if (child_loop() < 0)
        return 1;
    const char *file = in_folder("file");
    if (result_of(loop_fs_write_file(loop, fresh(), file, "old", 3, 0600, 0, on_fs)) != 3)
        return 2;
    if (result_of(loop_fs_write_file(loop, fresh(), file, large, LARGE, 0600, LOOP_FS_ATOMIC,
                                     on_fs)) != -ENOSPC)
        return 3;
    if (strcmp("old", content(file)) != 0 || entries_of(folder) != 1)
        return 4;
    if (result_of(loop_fs_copy_file(loop, fresh(), (const char *)arg, in_folder("copy"), 0,
                                    on_fs)) != -ENOSPC)
        return 5;
    if (entries_of(folder) != 1)
        return 6;
    return result_of(loop_fs_write_file(loop, fresh(), in_folder("x"), large, LARGE, 0600, 0,
                                        on_fs)) == -ENOSPC
               ? 0
               : 7;
}

static int status_of(int (*run)(void *arg), void *arg)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run(arg));
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_full_disk_is_told_and_leaves_the_old_file(void **state)
{
    char source[] = "/tmp/loop-large-XXXXXX";
    begin(state);
    close(mkstemp(source));
    make_large(source);
    int status = status_of(on_a_full_disk, source);
    unlink(source);
    end();
    if (status == SKIPPED)
        skip();
    assert_int_equal(0, status);
}

static int as_nobody(void *arg)
{
    (void)arg;
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
        return SKIPPED;
    if (child_loop() < 0)
        return 1;
    const char *file = in_folder("file"), *fresh_file = in_folder("new");
    if (result_of(loop_fs_write_file(loop, fresh(), fresh_file, "x", 1, 0600, 0, on_fs)) != -EACCES)
        return 2;
    if (result_of(loop_fs_write_file(loop, fresh(), file, "x", 1, 0600, LOOP_FS_ATOMIC, on_fs)) !=
        -EACCES)
        return 3;
    if (result_of(loop_fs_unlink(loop, fresh(), file, on_fs)) != -EACCES)
        return 4;
    if (result_of(loop_fs_rm(loop, fresh(), folder, LOOP_FS_RECURSIVE, on_fs)) != -EACCES)
        return 5;
    if (result_of(loop_fs_mkdir_all(loop, fresh(), in_folder("a/b"), 0700, on_fs)) != -EACCES)
        return 6;
    if (result_of(loop_fs_copy_file(loop, fresh(), file, fresh_file, 0, on_fs)) != -EACCES)
        return 7;
    if (result_of(loop_fs_mkstemp(loop, fresh(), fresh_file, on_fs)) != -EACCES)
        return 8;
    return result_of(loop_fs_read_file(loop, fresh(), file, on_fs)) == 4 ? 0 : 9;
}

static void a_directory_that_may_not_be_written_stays_as_it_is(void **state)
{
    begin(state);
    make_file(in_folder("file"), "text", 4);
    assert_int_equal(0, chmod(folder, 0555));
    int status = status_of(as_nobody, NULL);
    assert_int_equal(0, chmod(folder, 0755));
    assert_string_equal("text", content(in_folder("file")));
    end();
    if (status == SKIPPED)
        skip();
    assert_int_equal(0, status);
}

/* Memory. */

struct scarce {
    struct loop_allocator plenty;
    int left;
};

static void *scarce_resize(void *ctx, void *memory, size_t size)
{
    struct scarce *scarce = ctx;
    if (size > 0 && __atomic_fetch_sub(&scarce->left, 1, __ATOMIC_RELAXED) <= 0)
        return NULL;
    return scarce->plenty.resize(scarce->plenty.ctx, memory, size);
}

static int start_number(int i)
{
    const char *file = in_folder("file"), *to = in_folder("to");
    switch (i) {
    case 0:
        return loop_fs_stat(loop, fresh(), file, on_fs);
    case 1:
        return loop_fs_scandir(loop, fresh(), folder, on_fs);
    case 2:
        return loop_fs_copy_file(loop, fresh(), "/proc/self/status", to, 0, on_fs);
    case 3:
        return loop_fs_rm(loop, fresh(), in_folder("d"), LOOP_FS_RECURSIVE, on_fs);
    case 4:
        return loop_fs_write_file(loop, fresh(), to, "x", 1, 0600, LOOP_FS_ATOMIC, on_fs);
    case 5:
        return loop_fs_mkdir_all(loop, fresh(), in_folder("d/e/f"), 0700, on_fs);
    case 6:
        return loop_fs_realpath(loop, fresh(), file, on_fs);
    default:
        return loop_fs_read_file(loop, fresh(), file, on_fs);
    }
}

static ssize_t result_with_memory_for(int i, int allocations)
{
    struct scarce scarce = {.plenty = loop->options.allocator, .left = allocations};
    loop->options.allocator = (struct loop_allocator){.resize = scarce_resize, .ctx = &scarce};
    int error = start_number(i);
    if (!error)
        run_to_end();
    assert_int_equal(!error, op.calls);
    loop->options.allocator = scarce.plenty;
    return error ? error : op.result;
}

/* The fixture looks at what is left of memory and descriptors. */
static void memory_that_runs_out_anywhere_is_the_result(void **state)
{
    for (int pool_only = 0; pool_only < 2; pool_only++) {
        begin_with(state, 2, pool_only);
        make_file(in_folder("file"), "text", 4);
        for (int i = 0; i < 8; i++) {
            int allocations = 0;
            ssize_t result;
            mkdir(in_folder("d"), 0755);
            mkdir(in_folder("d/e"), 0755);
            mkdir(in_folder("d/e/f"), 0755);
            while ((result = result_with_memory_for(i, allocations)) == -ENOMEM)
                allocations++;
            assert_true(result >= 0);
            assert_true(allocations > 0 && allocations < 20);
        }
        end();
    }
}

/* Cancelling. */

static void a_cancelled_tree_or_copy_is_told_at_once_and_ends(void **state)
{
    char name[64];
    begin_with(state, 1, false);
    make_large(in_folder("from"));
    for (int i = 0; i < 40; i++) {
        assert_int_equal(0, mkdir(in_folder("d"), 0755) && errno != EEXIST);
        for (int j = 0; j < 50; j++) {
            snprintf(name, sizeof(name), "d/%d", j);
            close(open(in_folder(name), O_WRONLY | O_CREAT, 0600));
        }
        assert_int_equal(0, i % 2 ? loop_fs_rm(loop, fresh(), in_folder("d"), 1, on_fs)
                                  : loop_fs_copy_file(loop, fresh(), in_folder("from"),
                                                      in_folder("to"), 0, on_fs));
        busy_ns((uint64_t)i * 20000);
        int canceled = loop_request_cancel(&op.fs.request);
        assert_int_equal(0, canceled);
        run_to_end();
        assert_int_equal(1, op.calls);
        assert_int_equal(-ECANCELED, op.result);
        wait_for_the_pool();
        unlink(in_folder("to"));
    }
    end();
}

static void a_loop_ends_while_a_thread_is_at_work_for_it(void **state)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    begin(state);
    struct loop *lasting = loop;
    struct loop *brief = malloc(sizeof(*brief));
    options.pool = pool;
    make_large(in_folder("from"));
    assert_int_equal(0, loop_init(brief, &options));
    loop = brief;
    assert_int_equal(0, loop_fs_copy_file(loop, fresh(), in_folder("from"), in_folder("to"), 0,
                                          on_fs));
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    run_to_end();
    assert_int_equal(-ECANCELED, op.result);
    assert_int_equal(0, loop_fini(brief));
    free(brief);
    loop = lasting;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(all_directories_that_lead_there_are_made),
        real_test(temporary_names_are_nobody_elses),
        real_test(what_was_made_for_nobody_is_undone),
        real_test(rm_removes_files_links_and_trees),
        real_test(a_tree_500_levels_deep_is_removed_with_few_descriptors),
        real_test(a_wide_tree_is_removed),
        real_test(links_in_a_tree_are_removed_and_not_followed),
        real_test(a_directory_swapped_for_a_link_leads_nowhere),
        real_test(directories_swapped_for_files_are_removed_or_given_up),
        real_test(a_tree_that_somebody_fills_is_removed_or_given_up),
        real_test(ten_thousand_entries_come_each_once_in_batches_of_any_size),
        real_test(a_directory_of_64_mib_is_listed_whole_and_a_larger_one_is_refused),
        real_test(an_entry_has_its_name_and_its_type),
        real_test(a_copy_has_the_bytes_and_the_mode),
        real_test(holes_are_copied_as_holes),
        real_test(a_copy_onto_itself_changes_nothing),
        real_test(a_copy_that_fails_leaves_nothing),
        real_test(a_copy_crosses_file_systems),
        real_test(a_whole_file_is_written_over_behind_or_in_its_place),
        real_test(what_cannot_be_replaced_leaves_nothing_beside_it),
        real_test(a_full_disk_is_told_and_leaves_the_old_file),
        real_test(a_directory_that_may_not_be_written_stays_as_it_is),
        real_test(memory_that_runs_out_anywhere_is_the_result),
        real_test(a_cancelled_tree_or_copy_is_told_at_once_and_ends),
        real_test(a_loop_ends_while_a_thread_is_at_work_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
