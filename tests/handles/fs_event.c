/* Watching files: what is done to a file, a directory or a tree is told, in order.
 *
 * In a directory entries are created, modified, renamed and removed; a rename is one change with
 * two names, also if its halves are read apart, and half of one is a move in or out. Names come
 * whole, of 255 bytes and of any bytes. The watched thing itself may go: then the handle has
 * stopped. Handles that watch one inode, by one path or by two, each hear their own, and the end of
 * one silences no other; who comes later is not told what happened before. What the kernel could
 * not keep is an overflow, told to all, and watching goes on.
 *
 * With LOOP_FS_EVENT_RECURSIVE new directories are followed, and nothing that is created in them
 * meanwhile is lost or told twice. Directories that are renamed have right paths from then on.
 * Depth and number are bounded. Symbolic links are not followed.
 *
 * In a callback any handle may be stopped, started or closed. Nothing watched: no descriptor. A
 * forked child watches for itself.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct eye {
    struct loop_fs_event event;
    const char *name; /* NULL: says nothing before each word */
    void (*then)(struct eye *eye, const struct loop_fs_change *change);
    struct eye *other;
    long count; /* changes told */
    int last;   /* the kind of the last one */
};

static char tree[64]; /* the temporary directory of the test under way */

/* The tree. */

static const char *path_of(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", tree, name);
    return path;
}

static void make_directory(const char *name)
{
    assert_int_equal(0, mkdir(path_of(name), 0755));
}

static void make_file(const char *name)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(0, close(fd));
}

static void write_file(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(strlen(text), write(fd, text, strlen(text)));
    assert_int_equal(0, close(fd));
}

static void move(const char *from, const char *to)
{
    assert_int_equal(0, rename(path_of(from), path_of(to)));
}

static void remove_file(const char *name)
{
    assert_int_equal(0, unlink(path_of(name)));
}

static void remove_directory(const char *name)
{
    assert_int_equal(0, rmdir(path_of(name)));
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)type;
    (void)where;
    return remove(path);
}

static int begin(void **state, int (*setup)(void **state))
{
    strcpy(tree, "/tmp/loop-fs-event-XXXXXX");
    return mkdtemp(tree) ? setup(state) : -1;
}

static int begin_virtual(void **state)
{
    return begin(state, setup_virtual);
}

static int begin_real(void **state)
{
    return begin(state, setup_real);
}

static int end(void **state)
{
    nftw(tree, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
    return teardown(state);
}

#define tree_test(name)      cmocka_unit_test_setup_teardown(name, begin_virtual, end)
#define real_tree_test(name) cmocka_unit_test_setup_teardown(name, begin_real, end)

/* The handles. */

static struct eye *eye_of(struct loop_fs_event *event)
{
    return loop_container_of(event, struct eye, event);
}

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    struct eye *eye = eye_of(event);
    const char *slash = change->is_directory ? "/" : "";
    eye->count++;
    eye->last = (int)change->kind;
    if (eye->name && *eye->name)
        say("%s:", eye->name);
    if (eye->name && change->old_name)
        say("%s %s%s>%s%s", loop_fs_change_word(change->kind), change->old_name, slash,
            change->name, slash);
    else if (eye->name && *change->name)
        say("%s %s%s", loop_fs_change_word(change->kind), change->name, slash);
    else if (eye->name)
        say("%s", loop_fs_change_word(change->kind));
    if (eye->name && change->error)
        say("%s", loop_error_name(change->error));
    if (eye->then)
        eye->then(eye, change);
}

static void watch(struct loop *loop, struct eye *eye, const char *name, const char *path,
                  uint32_t flags)
{
    *eye = (struct eye){.name = name};
    loop_fs_event_init(loop, &eye->event);
    assert_int_equal(0, loop_fs_event_start(&eye->event, path, flags, on_change));
}

static void turns(struct loop *loop, int count)
{
    while (count-- > 0)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* Enough for the kernel's queue, what waits a turn, and directories that are read in pieces. */
static void look(struct loop *loop)
{
    turns(loop, 50);
}

static void stop(struct eye *eye)
{
    loop_fs_event_stop(&eye->event);
    assert_false(loop_is_active(&eye->event.handle));
}

/* One directory. */

static void what_happens_in_a_directory_is_told_in_order(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, 0);
    make_file("a");
    write_file("a", "text");
    assert_int_equal(0, chmod(path_of("a"), 0600));
    move("a", "b");
    make_directory("d");
    remove_file("b");
    remove_directory("d");
    assert_said("");
    look(*state);
    assert_said("created a modified a attributes a renamed a>b created d/ removed b removed d/");
    stop(&eye);
}

static void nothing_below_a_directory_is_told_unless_asked_for(void **state)
{
    struct eye eye;
    make_directory("d");
    watch(*state, &eye, "", tree, 0);
    make_file("d/a");
    make_directory("d/e");
    look(*state);
    assert_said("");
    stop(&eye);
}

static void in_poll(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    assert_int_equal(LOOP_PHASE_POLL, loop_phase(eye->event.handle.loop));
}

static void changes_come_in_the_poll_phase(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    eye.then = in_poll;
    make_directory("d");
    make_file("d/a");
    move("d/a", "b");
    look(*state);
    assert_true(eye.count >= 3);
    said();
    stop(&eye);
}

static void then_stop(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    loop_fs_event_stop(&eye->event);
}

static void *make_one(void *arg)
{
    (void)arg;
    make_file("a");
    return NULL;
}

static void a_sleeping_loop_is_woken(void **state)
{
    struct eye eye;
    pthread_t thread;
    watch(*state, &eye, "", tree, 0);
    eye.then = then_stop;
    assert_int_equal(0, pthread_create(&thread, NULL, make_one, NULL));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    pthread_join(thread, NULL);
    assert_said("created a");
}

static void what_comes_from_elsewhere_is_moved_in_and_what_goes_there_moved_out(void **state)
{
    struct eye eye;
    make_directory("in");
    make_file("a");
    watch(*state, &eye, "", path_of("in"), 0);
    move("a", "in/b");
    look(*state);
    assert_said("moved in b");
    move("in/b", "c");
    make_file("in/after");
    look(*state);
    assert_said("moved out b created after");
    stop(&eye);
}

static void a_rename_between_two_handles_is_half_of_one_for_each(void **state)
{
    struct eye a, b;
    make_directory("a");
    make_directory("b");
    make_file("a/x");
    watch(*state, &a, "a", path_of("a"), 0);
    watch(*state, &b, "b", path_of("b"), 0);
    move("a/x", "b/y");
    look(*state);
    assert_said("a: moved out x b: moved in y");
    stop(&a);
    stop(&b);
}

static void names_are_whole_and_may_be_any_bytes(void **state)
{
    char longest[256], heard[512];
    struct eye eye;
    memset(longest, 'x', 255);
    longest[255] = '\0';
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    assert_said("ready");
    make_directory(longest);
    look(*state);
    snprintf(heard, sizeof(heard), "created %s/", longest);
    assert_said(heard);
    longest[254] = '\n';
    longest[0] = (char)0xff;
    longest[1] = (char)0xc0;
    make_file(longest);
    look(*state);
    snprintf(heard, sizeof(heard), "created %s", longest);
    assert_said(heard);
    stop(&eye);
}

static void a_handle_hears_what_it_asked_for(void **state)
{
    struct eye names, finished;
    watch(*state, &names, "n", tree, LOOP_FS_EVENT_NAMES);
    watch(*state, &finished, "f", tree, LOOP_FS_EVENT_WRITTEN | LOOP_FS_EVENT_NAMES);
    make_file("a");
    look(*state);
    assert_said("n: created a f: created a f: finished a");
    write_file("a", "text");
    assert_int_equal(0, chmod(path_of("a"), 0600));
    look(*state);
    assert_said("f: finished a");
    remove_file("a");
    look(*state);
    assert_said("n: removed a f: removed a");
    stop(&names);
    stop(&finished);
}

/* Halves of a rename. Each filler is 16 bytes and 16 of name; two files take turns, since the
 * kernel merges what is the same as the last. */
static void fill(size_t bytes)
{
    for (size_t i = 0; i < bytes / 32; i++)
        assert_int_equal(0, chmod(path_of(i % 2 ? "1" : "2"), 0600));
}

static void then_say_names(struct eye *eye, const struct loop_fs_change *change)
{
    (void)eye;
    if (change->kind != LOOP_FS_EVENT_ATTRIBUTES)
        say("%s %s", loop_fs_change_word(change->kind), change->name);
}

static void a_rename_whose_halves_are_read_apart_is_one(void **state)
{
    for (size_t before = 0; before < 4; before++) {
        struct eye eye;
        make_file("1");
        make_file("2");
        make_file("old");
        watch(*state, &eye, NULL, tree, 0);
        eye.then = then_say_names;
        fill(65536 - 32 * before);
        move("old", "new");
        make_file("after");
        look(*state);
        assert_said("renamed new created after");
        stop(&eye);
        remove_file("new");
        remove_file("after");
    }
}

static void two_halves_that_do_not_belong_together_are_no_rename(void **state)
{
    struct eye eye;
    make_directory("t");
    make_file("t/a");
    make_file("b");
    watch(*state, &eye, "", path_of("t"), 0);
    move("t/a", "a");
    move("b", "t/b");
    look(*state);
    assert_said("moved out a moved in b");
    stop(&eye);
}

/* So many events behind it that it is known at once. */
static void half_a_rename_in_a_crowd_is_told_in_its_place(void **state)
{
    struct eye eye;
    make_directory("t");
    make_file("t/1");
    make_file("t/2");
    make_file("t/a");
    watch(*state, &eye, NULL, path_of("t"), 0);
    eye.then = then_say_names;
    move("t/a", "a");
    for (int i = 0; i < 100; i++)
        assert_int_equal(0, chmod(path_of(i % 2 ? "t/1" : "t/2"), 0600));
    make_file("t/after");
    look(*state);
    assert_said("moved out a created after");
    stop(&eye);
}

static void a_rename_to_where_nobody_looks_any_more_is_a_move_out(void **state)
{
    struct eye a, b;
    make_directory("a");
    make_directory("b");
    make_file("a/x");
    watch(*state, &a, "a", path_of("a"), LOOP_FS_EVENT_RECURSIVE);
    watch(*state, &b, "b", path_of("b"), 0);
    look(*state);
    move("a/x", "b/x");
    stop(&b);
    look(*state);
    assert_said("a: ready a: moved out x");
    stop(&a);
}

/* When d is bound the rename is in the queue already: one read's worth stands before it. */
static void a_rename_into_a_directory_that_was_not_watched_then_is_a_move_out(void **state)
{
    struct eye eye, other;
    make_directory("t");
    make_directory("d");
    make_file("1");
    make_file("2");
    make_file("t/x");
    watch(*state, &eye, NULL, path_of("t"), LOOP_FS_EVENT_RECURSIVE);
    watch(*state, &other, NULL, path_of("d"), 0);
    look(*state);
    eye.then = then_say_names;
    move("1", "t/1");
    move("2", "t/2");
    move("d", "t/d");
    for (size_t i = 0; i < 65536 / 32; i++)
        assert_int_equal(0, chmod(path_of(i % 2 ? "t/1" : "t/2"), 0600));
    move("t/x", "t/d/y");
    look(*state);
    assert_said("moved in 1 moved in 2 moved in d created d/y moved out x");
    stop(&eye);
}

/* What the file is. */

static void a_file_is_watched_by_itself(void **state)
{
    struct eye eye;
    make_file("a");
    make_file("b");
    watch(*state, &eye, "", path_of("a"), 0);
    write_file("a", "text");
    write_file("b", "text");
    look(*state);
    assert_said("modified");
    assert_int_equal(0, chmod(path_of("a"), 0600));
    look(*state);
    assert_said("attributes");
    remove_file("a");
    look(*state);
    assert_said("attributes gone");
    assert_false(loop_is_active(&eye.event.handle));
    assert_false(loop_alive(*state));
}

static void a_file_that_is_held_open_is_gone_when_its_name_is(void **state)
{
    struct eye eye;
    make_file("a");
    int fd = open(path_of("a"), O_RDONLY | O_CLOEXEC);
    watch(*state, &eye, "", path_of("a"), 0);
    make_file("new");
    move("new", "a");
    look(*state);
    assert_said("attributes gone");
    assert_false(loop_alive(*state));
    close(fd);
}

static void what_was_renamed_is_gone(void **state)
{
    struct eye eye, below;
    make_directory("d");
    watch(*state, &eye, "", path_of("d"), 0);
    watch(*state, &below, "tree", path_of("d"), LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    assert_said("tree: ready");
    move("d", "e");
    look(*state);
    assert_said("gone tree: gone");
}

static void then_again(struct eye *eye, const struct loop_fs_change *change)
{
    if (change->kind != LOOP_FS_EVENT_GONE)
        return;
    assert_int_equal(-ENOENT, loop_fs_event_start(&eye->event, path_of("d"), 0, on_change));
    make_directory("d");
    assert_int_equal(0, loop_fs_event_start(&eye->event, path_of("d"), 0, on_change));
}

static void a_directory_that_was_removed_and_made_again_is_watched_again(void **state)
{
    struct eye eye;
    make_directory("d");
    watch(*state, &eye, "", path_of("d"), 0);
    eye.then = then_again;
    remove_directory("d");
    look(*state);
    assert_said("gone");
    make_file("d/a");
    look(*state);
    assert_said("created a");
    stop(&eye);
}

static void a_file_system_that_is_unmounted_is_gone(void **state)
{
    struct eye eye, above;
    make_directory("m");
    if (mount("none", path_of("m"), "tmpfs", 0, "size=64k") < 0)
        skip();
    make_directory("m/d");
    watch(*state, &eye, "", path_of("m"), 0);
    watch(*state, &above, "tree", tree, LOOP_FS_EVENT_RECURSIVE | LOOP_FS_EVENT_NAMES);
    look(*state);
    assert_said("tree: ready");
    make_file("m/d/a");
    assert_int_equal(0, umount(path_of("m")));
    look(*state);
    assert_said("tree: created m/d/a gone");
    make_file("m/b");
    look(*state);
    assert_said("tree: created m/b");
    stop(&above);
}

/* One inode, several handles. */

static void two_handles_on_one_path_do_not_silence_each_other(void **state)
{
    struct eye a, b;
    watch(*state, &a, "a", tree, LOOP_FS_EVENT_NAMES);
    watch(*state, &b, "b", tree, 0);
    make_file("x");
    write_file("x", "text");
    look(*state);
    assert_said("a: created x b: created x b: modified x");
    stop(&b);
    make_file("y");
    look(*state);
    assert_said("a: created y");
    watch(*state, &b, "b", tree, 0);
    stop(&a);
    write_file("y", "text");
    look(*state);
    assert_said("b: modified y");
    stop(&b);
}

static void hard_links_are_one_file(void **state)
{
    struct eye a, b;
    make_file("a");
    assert_int_equal(0, link(path_of("a"), path_of("b")));
    watch(*state, &a, "a", path_of("a"), LOOP_FS_EVENT_NAMES);
    watch(*state, &b, "b", path_of("b"), 0);
    write_file("a", "text");
    look(*state);
    assert_said("b: modified");
    remove_file("a");
    look(*state);
    assert_said("b: attributes a: gone");
    write_file("b", "text");
    look(*state);
    assert_said("b: modified");
    stop(&b);
}

static void what_happened_before_the_start_is_not_told(void **state)
{
    struct eye a, b;
    watch(*state, &a, "a", tree, 0);
    watch(*state, &b, "b", tree, 0);
    make_file("x");
    stop(&b);
    assert_int_equal(0, loop_fs_event_start(&b.event, tree, 0, on_change));
    make_file("y");
    look(*state);
    assert_said("a: created x a: created y b: created y");
    stop(&a);
    make_file("z");
    stop(&b);
    assert_int_equal(0, loop_fs_event_start(&b.event, tree, 0, on_change));
    look(*state);
    assert_said("");
    stop(&b);
}

/* The kernel makes one of two equal events that follow each other in its queue. */
static void a_change_is_not_merged_with_one_from_before_the_start(void **state)
{
    struct eye a, b;
    make_file("x");
    watch(*state, &a, "a", path_of("x"), 0);
    write_file("x", "old");
    watch(*state, &b, "b", path_of("x"), 0);
    write_file("x", "new");
    look(*state);
    assert_said("a: modified a: modified b: modified");
    stop(&a);
    stop(&b);
}

/* In callbacks. */

static void then_stop_other(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    loop_fs_event_stop(&eye->event);
    loop_fs_event_stop(&eye->other->event);
}

static void a_handle_that_a_callback_stops_is_not_called(void **state)
{
    struct eye a, b;
    watch(*state, &a, "a", tree, 0);
    watch(*state, &b, "b", tree, LOOP_FS_EVENT_RECURSIVE);
    turns(*state, 3);
    said();
    a.other = &b;
    b.other = &a;
    a.then = b.then = then_stop_other;
    make_directory("x");
    make_file("y");
    look(*state);
    assert_said("a: created x/");
    assert_false(loop_alive(*state));
}

static void then_free(struct eye *eye, const struct loop_fs_change *change)
{
    assert_string_equal("x", change->name);
    loop_fs_event_stop(&eye->event);
    free(eye);
    assert_string_equal("x", change->name); /* it lasts as long as the callback */
}

static void a_stopped_handle_may_be_freed_in_its_callback(void **state)
{
    struct eye *eye = malloc(sizeof(*eye));
    assert_non_null(eye);
    watch(*state, eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    make_directory("x");
    make_file("x/y");
    eye->then = then_free;
    look(*state);
    assert_said("created x/");
}

static void then_restart(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    loop_fs_event_stop(&eye->event);
    assert_int_equal(0, loop_fs_event_start(&eye->event, tree, 0, on_change));
}

static void what_was_queued_before_a_restart_is_not_told(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, 0);
    eye.then = then_restart;
    make_file("a");
    make_file("b");
    look(*state);
    assert_said("created a");
    make_file("c");
    look(*state);
    assert_said("created c");
    stop(&eye);
}

static void on_close(struct loop_handle *handle)
{
    (void)handle;
    say("close");
}

static void then_close(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    loop_close(&eye->event.handle, on_close);
    assert_int_equal(-ECANCELED, loop_fs_event_start(&eye->event, tree, 0, on_change));
}

static void a_handle_may_be_closed_in_its_callback(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, 0);
    eye.then = then_close;
    make_file("a");
    make_file("b");
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("created a close");
}

/* Trees. */

static void a_tree_is_ready_when_all_its_directories_are_watched(void **state)
{
    struct eye eye;
    make_directory("a");
    make_directory("a/b");
    make_file("a/b/old");
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    assert_said("ready");
    make_file("a/b/c");
    make_file("d");
    look(*state);
    assert_said("created a/b/c created d");
    stop(&eye);
}

/* What is found in a new directory comes as the file system lists it, in any order; but what is
 * inside something comes behind that. That it is all that was told is seen by the length. */

static void assert_begins(const char *told, const char *words)
{
    assert_int_equal(0, strncmp(words, told, strlen(words)));
}

static void assert_order(const char *told, const char *one, const char *other)
{
    const char *found = strstr(told, one);
    assert_non_null(found);
    assert_non_null(strstr(found + strlen(one), other));
}

static void what_is_in_a_new_directory_is_told_once(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    make_directory("a");
    make_file("a/1");
    make_directory("a/b");
    make_file("a/b/2");
    look(*state);
    const char *told = said();
    assert_begins(told, "created a/ ");
    assert_order(told, "created a/b/", "created a/b/2");
    assert_non_null(strstr(told, "created a/1"));
    assert_int_equal(strlen("created a/ created a/b/ created a/1 created a/b/2"), strlen(told));
    make_file("a/b/3");
    remove_file("a/b/2");
    make_file("a/b/2");
    look(*state);
    assert_said("created a/b/3 removed a/b/2 created a/b/2");
    stop(&eye);
}

static void then_replace(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    eye->then = NULL;
    remove_directory("d");
    make_file("d");
}

static void then_create(struct eye *eye, const struct loop_fs_change *change)
{
    if (strcmp(change->name, "a/1") == 0 && change->kind == LOOP_FS_EVENT_CREATED) {
        make_file("a/late");
        move("a/late", "later");
        make_directory("a/d");
        make_file("a/d/x");
        eye->then = NULL;
    }
}

/* The directory is being read just then, and what is in it when that goes on may be found so. */
static void what_is_created_while_a_directory_is_read_is_told_once(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    eye.then = then_create;
    make_directory("a");
    make_file("a/1");
    look(*state);
    const char *told = said();
    assert_begins(told, "created a/ created a/1 ");
    assert_order(told, "created a/late", "renamed a/late>later");
    assert_order(told, "created a/d/", "created a/d/x");
    assert_int_equal(strlen("created a/ created a/1 created a/late renamed a/late>later "
                            "created a/d/ created a/d/x"),
                     strlen(told));
    stop(&eye);
}

static void directories_that_are_renamed_have_right_paths(void **state)
{
    struct eye eye;
    make_directory("a");
    make_directory("a/b");
    make_directory("c");
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    move("a", "c/d");
    make_file("c/d/b/x");
    look(*state);
    assert_said("renamed a/>c/d/ created c/d/b/x");
    move("c/d/b/x", "y");
    look(*state);
    assert_said("renamed c/d/b/x>y");
    make_directory("a");
    make_file("a/z");
    remove_directory("c/d/b");
    look(*state);
    assert_said("created a/ removed c/d/b/ created a/z");
    stop(&eye);
}

static void what_is_moved_out_is_silent_and_what_is_moved_in_is_told_whole(void **state)
{
    struct eye eye;
    make_directory("t");
    make_directory("t/a");
    make_directory("t/a/b");
    make_file("t/a/b/f");
    watch(*state, &eye, "", path_of("t"), LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    move("t/a", "out");
    look(*state);
    assert_said("moved out a/");
    make_file("out/b/g");
    look(*state);
    assert_said("");
    move("out", "t/in");
    look(*state);
    const char *told = said();
    assert_non_null(strstr(told, "moved in in/ created in/b/ created in/b/"));
    assert_non_null(strstr(told, "created in/b/f"));
    assert_non_null(strstr(told, "created in/b/g"));
    assert_int_equal(6, eye.count); /* with "ready" and "moved out" */
    stop(&eye);
}

static void symbolic_links_are_not_followed(void **state)
{
    struct eye eye, through;
    make_directory("t");
    make_directory("elsewhere");
    watch(*state, &eye, "", path_of("t"), LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    assert_int_equal(0, symlink(path_of("elsewhere"), path_of("t/link")));
    look(*state);
    assert_said("created link");
    make_file("elsewhere/a");
    look(*state);
    assert_said("");
    watch(*state, &through, "link", path_of("t/link"), LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    make_file("elsewhere/b");
    look(*state);
    assert_said("link: ready link: created b");
    stop(&eye);
    stop(&through);
}

static void depth_and_number_are_bounded(void **state)
{
    struct eye eye = {.name = ""};
    make_directory("a");
    make_directory("a/b");
    loop_fs_event_init(*state, &eye.event);
    assert_int_equal(0, loop_fs_event_bounds(&eye.event, 2, 3));
    assert_int_equal(0, loop_fs_event_start(&eye.event, tree, LOOP_FS_EVENT_RECURSIVE, on_change));
    assert_int_equal(-EBUSY, loop_fs_event_bounds(&eye.event, 2, 3));
    look(*state);
    assert_said("error E2BIG ready");
    make_file("a/b/too-deep");
    make_file("a/x");
    look(*state);
    assert_said("created a/x");
    make_directory("c");
    make_directory("d");
    look(*state);
    assert_said("created c/ created d/ error E2BIG");
    remove_directory("c");
    make_directory("e");
    make_file("e/x");
    look(*state);
    assert_said("removed c/ created e/ created e/x");
    stop(&eye);
}

static void a_directory_that_a_file_has_replaced_is_not_followed(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    eye.then = then_replace;
    make_directory("d");
    look(*state);
    assert_said("created d/ removed d/ created d");
    stop(&eye);
}

static void what_was_too_deep_is_followed_when_it_has_come_up(void **state)
{
    struct eye eye = {.name = ""};
    make_directory("a");
    make_directory("a/b");
    make_directory("c");
    make_file("a/b/x");
    loop_fs_event_init(*state, &eye.event);
    assert_int_equal(0, loop_fs_event_bounds(&eye.event, 2, 0));
    assert_int_equal(0, loop_fs_event_start(&eye.event, tree, LOOP_FS_EVENT_RECURSIVE, on_change));
    look(*state);
    assert_said("error E2BIG ready");
    move("a/b", "b");
    look(*state);
    assert_said("renamed a/b/>b/ created b/x");
    make_file("b/y");
    look(*state);
    assert_said("created b/y");
    move("c", "b/c"); /* too deep in its turn */
    look(*state);
    assert_said("renamed c/>b/c/ error b/c/ E2BIG");
    make_file("b/c/z");
    look(*state);
    assert_said("");
    stop(&eye);
}

/* Deep and broad, by a thread that does not wait. */

enum { DEPTH = 40, BREADTH = 25 };

static void make_branch(char *path, size_t size, int number)
{
    size_t length = strlen(path);
    for (int depth = 0; depth < DEPTH; depth++) {
        snprintf(path + length, size - length, "/%d-%d", number, depth);
        length += strlen(path + length);
        assert_int_equal(0, mkdir(path, 0755));
        char file[4096];
        snprintf(file, sizeof(file), "%s/file", path);
        close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
}

static void *make_branches(void *arg)
{
    (void)arg;
    for (int i = 0; i < BREADTH; i++) {
        char path[4096];
        strcpy(path, tree);
        make_branch(path, sizeof(path), i);
    }
    return NULL;
}

/* What the user knows, by what was told: a list, longest prefix by rename. */
struct known {
    struct eye eye;
    char *names[4 * DEPTH * BREADTH];
    size_t count;
    int twice, unknown;
    bool renamed;
};

static size_t index_of(const struct known *known, const char *name)
{
    size_t i = 0;
    while (i < known->count && strcmp(known->names[i], name) != 0)
        i++;
    return i;
}

static void drop(struct known *known, size_t i)
{
    free(known->names[i]);
    known->names[i] = known->names[--known->count];
}

static void drop_all_below(struct known *known, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = known->count; i-- > 0;)
        if (strncmp(known->names[i], name, length) == 0 &&
            (known->names[i][length] == '/' || known->names[i][length] == '\0'))
            drop(known, i);
}

static void learn(struct known *known, const char *name)
{
    if (index_of(known, name) < known->count)
        known->twice++;
    else if (known->count < ARRAY_LENGTH(known->names))
        known->names[known->count++] = strdup(name);
}

static void rename_all(struct known *known, const char *old_name, const char *name)
{
    size_t length = strlen(old_name);
    known->unknown += index_of(known, old_name) == known->count;
    drop_all_below(known, name);
    for (size_t i = 0; i < known->count; i++) {
        char *text = known->names[i];
        char renamed[4096];
        if (strncmp(text, old_name, length) != 0 || (text[length] && text[length] != '/'))
            continue;
        snprintf(renamed, sizeof(renamed), "%s%s", name, text + length);
        free(text);
        known->names[i] = strdup(renamed);
    }
    if (index_of(known, name) == known->count)
        learn(known, name);
}

static void then_know(struct eye *eye, const struct loop_fs_change *change)
{
    struct known *known = loop_container_of(eye, struct known, eye);
    if (change->kind == LOOP_FS_EVENT_CREATED || change->kind == LOOP_FS_EVENT_MOVED_IN)
        learn(known, change->name);
    else if (change->kind == LOOP_FS_EVENT_REMOVED || change->kind == LOOP_FS_EVENT_MOVED_OUT)
        drop_all_below(known, change->name);
    else if (change->kind == LOOP_FS_EVENT_RENAMED)
        rename_all(known, change->old_name, change->name);
    else
        assert_int_equal(LOOP_FS_EVENT_READY, change->kind);
}

static const struct known *judged;
static size_t seen, unseen;

static int judge(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)type;
    if (where->level == 0)
        return 0;
    seen++;
    unseen += index_of(judged, path + strlen(tree) + 1) == judged->count;
    return 0;
}

/* Whether all that is there is known, and nothing else. */
static bool knows_the_tree(const struct known *known)
{
    judged = known;
    seen = unseen = 0;
    assert_int_equal(0, nftw(tree, judge, 64, FTW_PHYS));
    return unseen == 0 && seen == known->count;
}

static void follow_thread(struct loop *loop, struct known *known, void *(*work)(void *))
{
    pthread_t thread;
    watch(loop, &known->eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE | LOOP_FS_EVENT_NAMES);
    turns(loop, 3);
    known->eye.then = then_know;
    assert_int_equal(0, pthread_create(&thread, NULL, work, NULL));
    while (pthread_tryjoin_np(thread, NULL) == EBUSY)
        turns(loop, 1);
    for (int i = 0; i < 1000 && !knows_the_tree(known); i++)
        look(loop);
    if (!knows_the_tree(known))
        print_error("%zu are known, %zu there, %zu of them not known\n", known->count, seen,
                    unseen);
    assert_true(knows_the_tree(known));
    look(loop);
    assert_true(knows_the_tree(known));
    stop(&known->eye);
    for (size_t i = 0; i < known->count; i++)
        free(known->names[i]);
}

static void a_thousand_directories_made_at_full_speed_are_all_told_once(void **state)
{
    static struct known known;
    known = (struct known){.count = 0};
    follow_thread(*state, &known, make_branches);
    assert_int_equal(2 * DEPTH * BREADTH, seen);
    assert_int_equal(0, known.twice);
}

/* The same with directories that are renamed when they have grown. */
static void *make_and_rename(void *arg)
{
    (void)arg;
    for (int i = 0; i < BREADTH; i++) {
        char path[4096], from[128], to[128];
        strcpy(path, tree);
        make_branch(path, sizeof(path), i);
        for (int j = 0; j < 5; j++) {
            snprintf(from, sizeof(from), "%s/%d-%d", tree, i, j);
            snprintf(to, sizeof(to), "%s/%d-%d", tree, i, j + 1);
            assert_int_equal(0, rename(from, to));
        }
    }
    return NULL;
}

static void renaming_them_meanwhile_leaves_the_right_tree(void **state)
{
    static struct known known;
    known = (struct known){.count = 0};
    follow_thread(*state, &known, make_and_rename);
    assert_int_equal(2 * DEPTH * BREADTH, seen);
}

/* A directory of more entries than are read in a turn. */

enum { BURST = 1024, WIDTH = 3 * BURST + 300 };

static void make_wide(const char *name)
{
    char file[64];
    make_directory(name);
    for (int i = 0; i < WIDTH; i++) {
        snprintf(file, sizeof(file), "%s/%04d", name, i);
        make_file(file);
    }
}

/* One call of the kernel's may bring 8 KiB more than was asked for. The turn in which the directory
 * is heard of goes on in itself. */
static void so_many_entries_are_read_in_a_turn(void **state)
{
    enum { CALL = 8192 / 24 };
    struct eye eye;
    make_wide("w");
    make_directory("t");
    watch(*state, &eye, NULL, path_of("t"), LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    long before = eye.count;
    move("w", "t/w");
    turns(*state, 1);
    assert_true(eye.count - before >= BURST - 4); /* two dots, and the directory itself */
    assert_true(eye.count - before <= 2 * (BURST + CALL));
    before = eye.count;
    turns(*state, 1);
    assert_true(eye.count - before >= BURST - 2);
    assert_true(eye.count - before <= BURST + CALL);
    look(*state);
    assert_int_equal(2 + WIDTH, eye.count);
    stop(&eye);
}

/* The directory is being read just then: half of what it holds gets other names. */
static void then_rename_half(struct eye *eye, const struct loop_fs_change *change)
{
    struct known *known = loop_container_of(eye, struct known, eye);
    then_know(eye, change);
    if (known->renamed || strncmp(change->name, "w/", 2) != 0)
        return;
    known->renamed = true;
    for (int i = 0; i < WIDTH; i += 2) {
        char from[64], to[64];
        snprintf(from, sizeof(from), "w/%04d", i);
        snprintf(to, sizeof(to), "w/new-%04d", i);
        move(from, to);
    }
}

static void then_rename_all(struct eye *eye, const struct loop_fs_change *change)
{
    struct known *known = loop_container_of(eye, struct known, eye);
    then_know(eye, change);
    if (known->renamed || strncmp(change->name, "w/", 2) != 0)
        return;
    known->renamed = true;
    move("w", "v");
}

static void follow_wide(struct loop *loop,
                        void (*then)(struct eye *eye, const struct loop_fs_change *change))
{
    static struct known known;
    known = (struct known){.count = 0};
    watch(loop, &known.eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE | LOOP_FS_EVENT_NAMES);
    turns(loop, 3);
    known.eye.then = then;
    make_wide("w");
    look(loop);
    assert_true(known.renamed);
    assert_true(knows_the_tree(&known));
    assert_int_equal(WIDTH + 1, known.count);
    stop(&known.eye);
    for (size_t i = 0; i < known.count; i++)
        free(known.names[i]);
}

static void what_is_renamed_while_its_directory_is_read_is_known_by_its_new_name(void **state)
{
    follow_wide(*state, then_rename_half);
}

static void a_directory_that_is_renamed_while_it_is_read_is_read_to_its_end(void **state)
{
    follow_wide(*state, then_rename_all);
}

/* Names that are too long: a chain of directories whose names grow, the lowest first, so that each
 * call has a short path. */

enum { LINKS = 20 };

static const char *link_path(int depth, const char *leaf)
{
    static char path[LINKS * 2 + 512];
    path[0] = '\0';
    for (int i = 1; i < depth; i++)
        strcat(path, "s/");
    return path_of(strcat(path, leaf));
}

static void make_chain(void)
{
    for (int i = 1; i <= LINKS; i++)
        assert_int_equal(0, mkdir(link_path(i, "s"), 0755));
}

static void grow_chain(const char *longest)
{
    for (int i = LINKS; i >= 1; i--)
        assert_int_equal(0, rename(link_path(i, "s"), link_path(i, longest)));
}

static void shrink_chain(const char *longest)
{
    for (int i = 1; i <= LINKS; i++)
        assert_int_equal(0, rename(link_path(i, longest), link_path(i, "s")));
}

static void make_file_at(int directory, const char *name)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(0, close(fd));
}

static void then_count_errors(struct eye *eye, const struct loop_fs_change *change)
{
    (void)eye;
    if (change->kind == LOOP_FS_EVENT_ERROR)
        say("%s", loop_error_name(change->error));
    else if (change->kind != LOOP_FS_EVENT_RENAMED)
        say("%s", loop_fs_change_word(change->kind));
}

static void names_that_grow_too_long_are_an_error_and_the_others_go_on(void **state)
{
    char longest[256];
    struct eye eye;
    memset(longest, 'x', 255);
    longest[255] = '\0';
    make_chain();
    int deepest = open(link_path(LINKS, "s"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(deepest >= 0);
    watch(*state, &eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    eye.then = then_count_errors;
    grow_chain(longest);
    make_file_at(deepest, "a");
    assert_int_equal(0, renameat(deepest, "a", deepest, "b"));
    assert_int_equal(0, renameat(deepest, "b", AT_FDCWD, path_of("c")));
    look(*state);
    const char *told = said();
    assert_non_null(strstr(told, "ENAMETOOLONG"));
    assert_null(strstr(told, "created"));
    make_file("d");
    look(*state);
    assert_said("created");
    stop(&eye);
    assert_int_equal(0, fchdir(deepest));
    assert_int_equal(-ENAMETOOLONG, loop_fs_event_start(&eye.event, "a", 0, on_change));
    assert_int_equal(0, chdir("/"));
    close(deepest);
    shrink_chain(longest);
}

/* The kernel's queue is full. */

static long queue_limit(void)
{
    long limit = 16384;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    if (file) {
        assert_int_equal(1, fscanf(file, "%ld", &limit));
        fclose(file);
    }
    return limit;
}

struct count {
    struct eye eye;
    long overflows;
};

static void then_count(struct eye *eye, const struct loop_fs_change *change)
{
    loop_container_of(eye, struct count, eye)->overflows += change->kind == LOOP_FS_EVENT_OVERFLOW;
}

static void an_overflow_is_told_to_all_and_watching_goes_on(void **state)
{
    struct count flat = {.overflows = 0}, deep = {.overflows = 0};
    long limit = queue_limit();
    if (limit > 100000)
        skip();
    make_directory("quiet");
    make_directory("noisy");
    make_file("noisy/1");
    make_file("noisy/2");
    watch(*state, &flat.eye, NULL, path_of("quiet"), 0);
    watch(*state, &deep.eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    flat.eye.then = deep.eye.then = then_count;
    for (long i = 0; i < limit + 20000; i++)
        assert_int_equal(0, chmod(path_of(i % 2 ? "noisy/1" : "noisy/2"), 0600));
    make_directory("missed");
    make_file("missed/a");
    remove_directory("quiet");
    make_directory("quiet");
    while (flat.overflows == 0 || deep.overflows == 0)
        turns(*state, 1);
    look(*state);
    assert_int_equal(1, flat.overflows);
    assert_int_equal(1, deep.overflows);
    assert_int_equal(LOOP_FS_EVENT_GONE, flat.eye.last);
    deep.eye.name = "";
    make_file("missed/b");
    make_file("quiet/c");
    look(*state);
    assert_said("created missed/b created quiet/c");
    stop(&deep.eye);
}

/* What follows is lost, until somebody has read. */
static void crowd_the_queue(long limit)
{
    for (long i = 0; i < limit + 100; i++)
        assert_int_equal(0, chmod(path_of(i % 2 ? "noisy/1" : "noisy/2"), 0600));
}

static void watch_crowded(struct loop *loop, struct eye *eye)
{
    make_directory("noisy");
    make_file("noisy/1");
    make_file("noisy/2");
    watch(loop, eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE);
    look(loop);
    crowd_the_queue(queue_limit());
}

static void after_an_overflow(struct loop *loop, struct eye *eye)
{
    struct count *count = loop_container_of(eye, struct count, eye);
    eye->then = then_count;
    while (count->overflows == 0)
        turns(loop, 1);
    look(loop);
    eye->then = NULL;
    eye->name = "";
}

static void what_an_overflow_has_hidden_is_found_or_forgotten(void **state)
{
    struct count count = {.overflows = 0};
    if (queue_limit() > 100000)
        skip();
    make_directory("gone");
    make_directory("gone/child");
    make_directory("other");
    make_directory("other/child");
    watch_crowded(*state, &count.eye);
    remove_directory("gone/child");
    remove_directory("gone");
    move("other", "noisy/other");
    make_directory("other"); /* not the one that was watched */
    after_an_overflow(*state, &count.eye);
    make_file("other/a");
    make_file("noisy/other/child/b");
    make_directory("gone");
    look(*state);
    assert_said("created other/a created noisy/other/child/b created gone/");
    stop(&count.eye);
}

/* First x moves into the directory that was in it; that x came out of it was lost. */
static void a_rename_that_cannot_be_has_the_tree_looked_at(void **state)
{
    struct count count = {.overflows = 0};
    if (queue_limit() > 100000)
        skip();
    make_directory("x");
    make_directory("x/y");
    watch_crowded(*state, &count.eye);
    move("x/y", "y");
    turns(*state, 1);
    move("x", "y/x");
    after_an_overflow(*state, &count.eye);
    make_file("y/a");
    make_file("y/x/b");
    look(*state);
    assert_said("created y/a created y/x/b");
    stop(&count.eye);
}

/* The same, where what seems to be replaced is above. */
static void a_directory_that_seems_to_replace_its_own_parent_has_the_tree_looked_at(void **state)
{
    struct count count = {.overflows = 0};
    if (queue_limit() > 100000)
        skip();
    make_directory("x");
    make_directory("x/y");
    watch_crowded(*state, &count.eye);
    move("x", "z");
    turns(*state, 1);
    move("z/y", "x");
    after_an_overflow(*state, &count.eye);
    make_file("x/a");
    make_file("z/b");
    look(*state);
    assert_said("created x/a created z/b");
    stop(&count.eye);
}

/* Errors. */

static void a_wrong_start_starts_nothing(void **state)
{
    char longest[5000];
    struct loop_fs_event event;
    int before = open_descriptors();
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    make_file("file");
    loop_fs_event_init(*state, &event);
    assert_int_equal(-EINVAL, loop_fs_event_start(NULL, tree, 0, on_change));
    assert_int_equal(-EINVAL, loop_fs_event_start(&event, NULL, 0, on_change));
    assert_int_equal(-EINVAL, loop_fs_event_start(&event, tree, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_event_start(&event, tree, 1024, on_change));
    assert_int_equal(-ENOENT, loop_fs_event_start(&event, "", 0, on_change));
    assert_int_equal(-ENOENT, loop_fs_event_start(&event, path_of("none"), 0, on_change));
    assert_int_equal(-ENOTDIR, loop_fs_event_start(&event, path_of("file/x"), 0, on_change));
    assert_int_equal(-ENOTDIR, loop_fs_event_start(&event, path_of("file"), LOOP_FS_EVENT_RECURSIVE,
                                                   on_change));
    assert_int_equal(-ENAMETOOLONG, loop_fs_event_start(&event, longest, 0, on_change));
    longest[4096] = '\0';
    assert_int_equal(-ENAMETOOLONG, loop_fs_event_start(&event, longest, 0, on_change));
    longest[4095] = '\0';
    assert_int_equal(-ENAMETOOLONG, loop_fs_event_start(&event, longest, 0, on_change));
    assert_int_equal(before, open_descriptors());
    assert_false(loop_is_active(&event.handle));
    assert_int_equal(0, loop_fs_event_start(&event, tree, 0, on_change));
    assert_int_equal(-EALREADY, loop_fs_event_start(&event, tree, 0, on_change));
    loop_fs_event_stop(&event);
    loop_fs_event_stop(&event);
    assert_int_equal(before, open_descriptors());
}

/* In a user namespace of its own a child has limits of its own. */
static int exhaust(void *arg)
{
    struct loop_fs_event event;
    struct eye eye = {.name = ""};
    if (unshare(CLONE_NEWUSER) < 0)
        return 77;
    FILE *user = fopen("/proc/sys/user/max_inotify_watches", "we");
    if (!user || fprintf(user, "2\n") < 0 || fclose(user) != 0)
        return 77;
    if (loop_after_fork(arg) < 0)
        return 1;
    loop_fs_event_init(arg, &eye.event);
    loop_fs_event_init(arg, &event);
    if (loop_fs_event_start(&eye.event, tree, LOOP_FS_EVENT_RECURSIVE, on_change) < 0)
        return 2;
    look(arg);
    if (strcmp(said(), "error a/b/ ENOSPC ready") != 0)
        return 3;
    if (loop_fs_event_start(&event, path_of("a/b"), 0, on_change) != -ENOSPC)
        return 4;
    loop_fs_event_stop(&eye.event);
    if (loop_fs_event_start(&event, path_of("a/b"), 0, on_change) != 0)
        return 5;
    loop_fs_event_stop(&event);
    return 0;
}

static void too_many_watches_are_an_error(void **state)
{
    int status;
    make_directory("a");
    make_directory("a/b");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(exhaust(*state));
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(0, WEXITSTATUS(status));
}

static long memory_left;

static void *little_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size > 0 && memory_left-- <= 0)
        return NULL;
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

static void without_memory_nothing_is_started_and_nothing_lost_in_silence(void **state)
{
    struct loop *loop = *state;
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = little_memory;
    for (int i = 0; i < 40; i++) {
        struct eye eye = {.name = NULL};
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        memory_left = i;
        loop_fs_event_init(loop, &eye.event);
        int error = loop_fs_event_start(&eye.event, tree, LOOP_FS_EVENT_RECURSIVE, on_change);
        if (!error) {
            make_directory(name);
            look(loop);
            assert_true(eye.count >= 2);
            assert_int_equal(0, eye.event.trouble);
            stop(&eye);
        } else {
            assert_int_equal(-ENOMEM, error);
            assert_null(loop->watches);
        }
    }
    turns(loop, 2);
    loop->options.allocator = before;
}

static void without_memory_what_is_renamed_is_told_of_all_the_same(void **state)
{
    struct loop *loop = *state;
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = little_memory;
    for (int i = 0; i < 6; i++) {
        struct eye eye;
        make_directory("a");
        make_directory("a/b");
        memory_left = LONG_MAX;
        watch(loop, &eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE);
        look(loop);
        eye.name = "";
        memory_left = i;
        move("a", "c");
        look(loop);
        memory_left = LONG_MAX;
        const char *told = said();
        assert_int_equal(0, strncmp("renamed a/>c/", told, 13));
        if (strstr(told, "ENOMEM") == NULL) {
            make_file("c/b/x");
            look(loop);
            assert_said("created c/b/x");
            remove_file("c/b/x");
        }
        stop(&eye);
        remove_directory("c/b");
        remove_directory("c");
    }
    turns(loop, 2);
    loop->options.allocator = before;
}

/* Somebody closes what he did not open, and the number is given out again. */
static int find_inotify(void)
{
    char path[64], target[64];
    for (int fd = 3; fd < 1024; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strcmp(target, "anon_inode:inotify") == 0)
            return fd;
    }
    return -1;
}

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void then_fail_again(struct eye *eye, const struct loop_fs_change *change)
{
    (void)change;
    int error = loop_fs_event_start(&eye->event, tree, 0, on_change);
    say("again %s", loop_error_name(error));
}

static void a_descriptor_closed_behind_the_handles_is_told_to_all(void **state)
{
    struct eye a, b;
    struct loop_poll poll;
    int ends[2];
    watch(*state, &a, "a", tree, 0);
    watch(*state, &b, "b", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    assert_said("b: ready");
    a.then = then_fail_again;
    int fd = find_inotify();
    assert_true(fd >= 0);
    assert_int_equal(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    assert_int_equal(fd, dup3(ends[0], fd, O_CLOEXEC));
    loop_poll_init(*state, &poll, fd);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_poll));
    look(*state);
    assert_said("a: gone EBADF again EBADF b: gone EBADF");
    assert_false(loop_is_active(&a.event.handle));
    assert_false(loop_is_active(&b.event.handle));
    loop_close(&poll.handle, NULL);
    turns(*state, 2);
    close(fd);
    close(ends[0]);
    close(ends[1]);
    watch(*state, &a, "a", tree, 0);
    make_file("x");
    look(*state);
    assert_said("a: created x");
    stop(&a);
}

/* The life of a handle. */

static void an_active_handle_keeps_the_loop_alive_and_unfinished(void **state)
{
    struct eye eye;
    int before = open_descriptors();
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    assert_string_equal("fs_event", loop_handle_type(&eye.event.handle));
    assert_true(loop_alive(*state));
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_unref(&eye.event.handle);
    assert_false(loop_alive(*state));
    assert_int_equal(-EBUSY, loop_fini(*state));
    assert_int_equal(before + 1, open_descriptors());
    stop(&eye);
    assert_int_equal(before, open_descriptors());
}

static void a_hundred_handles_share_one_descriptor(void **state)
{
    static struct eye eyes[200];
    int before = open_descriptors();
    for (size_t i = 0; i < ARRAY_LENGTH(eyes); i++)
        watch(*state, &eyes[i], NULL, tree, 0);
    assert_int_equal(before + 1, open_descriptors());
    make_file("a");
    look(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(eyes); i++) {
        assert_int_equal(1, eyes[i].count);
        stop(&eyes[i]);
    }
    assert_int_equal(before, open_descriptors());
}

static void what_starts_when_the_last_has_stopped_hears_its_own(void **state)
{
    struct eye eye;
    for (int i = 0; i < 3; i++) {
        watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
        stop(&eye);
    }
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    make_file("a");
    look(*state);
    assert_said("ready created a");
    loop_close(&eye.event.handle, on_close);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("close");
}

static void a_relative_path_stays_what_it_was(void **state)
{
    struct eye eye;
    int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_directory("t");
    assert_int_equal(0, chdir(tree));
    watch(*state, &eye, "", "t", LOOP_FS_EVENT_RECURSIVE);
    assert_int_equal(0, fchdir(directory));
    close(directory);
    look(*state);
    make_directory("t/a");
    make_file("t/a/b");
    look(*state);
    assert_said("ready created a/ created a/b");
    stop(&eye);
}

static int watch_in_child(void *arg)
{
    struct eye *eye = arg;
    struct loop *loop = eye->event.handle.loop;
    if (loop_after_fork(loop) < 0)
        return 1;
    look(loop);
    if (strcmp(said(), "overflow") != 0)
        return 2;
    make_file("d/child");
    look(loop);
    return strcmp(said(), "created d/child") == 0 ? 0 : 3;
}

static int stop_in_child(void *arg)
{
    struct eye *eye = arg;
    loop_fs_event_stop(&eye->event);
    if (loop_fs_event_start(&eye->event, tree, 0, on_change) != -ECHILD)
        return 1;
    return loop_fini(eye->event.handle.loop) < 0;
}

static void a_forked_child_watches_for_itself(void **state)
{
    struct eye eye;
    make_directory("d");
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    assert_said("ready");
    in_child(watch_in_child, &eye);
    in_child(stop_in_child, &eye);
    make_file("d/parent");
    look(*state);
    assert_said("created d/child created d/parent");
    stop(&eye);
}

/* The child is left in the middle of an event, and of a directory. */
static void then_fork(struct eye *eye, const struct loop_fs_change *change)
{
    int status;
    (void)change;
    eye->then = NULL;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) {
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_true(WIFEXITED(status));
        assert_int_equal(0, WEXITSTATUS(status));
    } else if (loop_after_fork(eye->event.handle.loop) < 0) {
        _exit(1);
    } else {
        eye->other = eye; /* to be known by */
    }
}

static void a_child_that_is_forked_in_a_callback_watches_for_itself(void **state)
{
    struct eye eye;
    watch(*state, &eye, "", tree, LOOP_FS_EVENT_RECURSIVE);
    look(*state);
    said();
    eye.then = then_fork;
    make_directory("d");
    make_file("d/a");
    for (int i = 0; i < 50; i++)
        loop_run(*state, LOOP_RUN_NOWAIT);
    bool is_child = eye.other;
    const char *told = said();
    if (is_child) {
        bool knew = strstr(told, "created d/") && strstr(told, "overflow");
        make_file("d/child");
        look(*state);
        _exit(knew && strcmp(said(), "created d/child") == 0 ? 0 : 2);
    }
    assert_int_equal(0,
                     strncmp("created d/ ", told, 11)); /* and in it, as the directory has them */
    assert_non_null(strstr(told, " created d/a"));
    assert_non_null(strstr(told, " created d/child"));
    assert_int_equal(strlen("created d/ created d/a created d/child"), strlen(told));
    stop(&eye);
}

static void *watch_in_thread(void *arg)
{
    struct loop loop = {0};
    struct eye eye;
    int done = 0;
    assert_int_equal(0, loop_init(&loop, NULL));
    watch(&loop, &eye, NULL, tree, LOOP_FS_EVENT_RECURSIVE);
    while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE) || done++ < 10)
        turns(&loop, 1);
    loop_fs_event_stop(&eye.event);
    assert_int_equal(0, loop_fini(&loop));
    return NULL;
}

static void two_loops_in_two_threads_watch_one_tree(void **state)
{
    pthread_t threads[2];
    bool over = false;
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, watch_in_thread, &over));
    make_branches(NULL);
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static const struct CMUnitTest tests[] = {
    tree_test(what_happens_in_a_directory_is_told_in_order),
    tree_test(nothing_below_a_directory_is_told_unless_asked_for),
    tree_test(changes_come_in_the_poll_phase),
    real_tree_test(a_sleeping_loop_is_woken),
    tree_test(what_comes_from_elsewhere_is_moved_in_and_what_goes_there_moved_out),
    tree_test(a_rename_between_two_handles_is_half_of_one_for_each),
    tree_test(names_are_whole_and_may_be_any_bytes),
    tree_test(a_handle_hears_what_it_asked_for),
    tree_test(a_rename_whose_halves_are_read_apart_is_one),
    tree_test(two_halves_that_do_not_belong_together_are_no_rename),
    tree_test(half_a_rename_in_a_crowd_is_told_in_its_place),
    tree_test(a_rename_to_where_nobody_looks_any_more_is_a_move_out),
    tree_test(a_rename_into_a_directory_that_was_not_watched_then_is_a_move_out),
    tree_test(a_file_is_watched_by_itself),
    tree_test(a_file_that_is_held_open_is_gone_when_its_name_is),
    tree_test(what_was_renamed_is_gone),
    tree_test(a_directory_that_was_removed_and_made_again_is_watched_again),
    tree_test(a_file_system_that_is_unmounted_is_gone),
    tree_test(two_handles_on_one_path_do_not_silence_each_other),
    tree_test(hard_links_are_one_file),
    tree_test(what_happened_before_the_start_is_not_told),
    tree_test(a_change_is_not_merged_with_one_from_before_the_start),
    tree_test(a_handle_that_a_callback_stops_is_not_called),
    tree_test(a_stopped_handle_may_be_freed_in_its_callback),
    tree_test(what_was_queued_before_a_restart_is_not_told),
    tree_test(a_handle_may_be_closed_in_its_callback),
    tree_test(a_tree_is_ready_when_all_its_directories_are_watched),
    tree_test(what_is_in_a_new_directory_is_told_once),
    tree_test(what_is_created_while_a_directory_is_read_is_told_once),
    tree_test(directories_that_are_renamed_have_right_paths),
    tree_test(what_is_moved_out_is_silent_and_what_is_moved_in_is_told_whole),
    tree_test(symbolic_links_are_not_followed),
    tree_test(depth_and_number_are_bounded),
    tree_test(a_directory_that_a_file_has_replaced_is_not_followed),
    tree_test(what_was_too_deep_is_followed_when_it_has_come_up),
    real_tree_test(a_thousand_directories_made_at_full_speed_are_all_told_once),
    real_tree_test(renaming_them_meanwhile_leaves_the_right_tree),
    tree_test(so_many_entries_are_read_in_a_turn),
    tree_test(what_is_renamed_while_its_directory_is_read_is_known_by_its_new_name),
    tree_test(a_directory_that_is_renamed_while_it_is_read_is_read_to_its_end),
    tree_test(names_that_grow_too_long_are_an_error_and_the_others_go_on),
    tree_test(an_overflow_is_told_to_all_and_watching_goes_on),
    tree_test(what_an_overflow_has_hidden_is_found_or_forgotten),
    tree_test(a_rename_that_cannot_be_has_the_tree_looked_at),
    tree_test(a_directory_that_seems_to_replace_its_own_parent_has_the_tree_looked_at),
    tree_test(a_wrong_start_starts_nothing),
    tree_test(too_many_watches_are_an_error),
    tree_test(without_memory_nothing_is_started_and_nothing_lost_in_silence),
    tree_test(without_memory_what_is_renamed_is_told_of_all_the_same),
    tree_test(a_descriptor_closed_behind_the_handles_is_told_to_all),
    tree_test(an_active_handle_keeps_the_loop_alive_and_unfinished),
    tree_test(a_hundred_handles_share_one_descriptor),
    tree_test(what_starts_when_the_last_has_stopped_hears_its_own),
    tree_test(a_relative_path_stays_what_it_was),
    tree_test(a_forked_child_watches_for_itself),
    tree_test(a_child_that_is_forked_in_a_callback_watches_for_itself),
    real_tree_test(two_loops_in_two_threads_watch_one_tree),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
