/* A tree of files, and inotify.
 *
 * The tree has few names, so that they come, go and come back. A directory that is read gives its
 * entries a few at a time, as they are by then. A name that is replaced or removed is an inode that
 * nothing leads to; its watch goes with it.
 *
 * inotify is as inotify(7) says: one number for an inode however often it is watched, masks that
 * grow, an event that equals the last one in the queue is dropped, a rename is two events with one
 * cookie, and a full queue takes one more, which says so. Events of an inode that is removed come
 * in the order of the kernel: IN_ATTRIB of itself (a file), IN_IGNORED, IN_DELETE of its parent.
 * Under test are programs that read slowly: a read may bring a part, as if the rest had come just
 * after it.
 *
 * SPDX-License-Identifier: MIT */
#include "tree.h"

#include <stddef.h>

enum { DEPTH_MAX = 5, CHILDREN_MAX = 8 };

struct watch_of {
    struct watch_of *next;
    const struct node *node;
    uint32_t mask;
    int wd;
};

/* As struct inotify_event. */
struct record {
    int wd;
    uint32_t mask, cookie, len;
};

struct queued {
    struct queued *next;
    struct record event;
    char name[16];
};

struct inotify {
    struct file file;
    struct watch_of *watches;
    struct queued *queue;
    unsigned length, length_max;
    bool overflown; /* and the word of it still in the queue */
    int last_wd;
};

struct directory {
    struct file file;
    const struct node *node;
    unsigned position;
};

static struct node *nodes; /* all there ever were in this run */
static struct node *top;
static struct inotify *inotify;
static unsigned numbers, cookies, events;

static struct node *make_node(struct node *parent, char name, bool is_directory)
{
    struct node *node = calloc(1, sizeof(*node));
    *node = (struct node){.older = nodes, .parent = parent, .number = ++numbers};
    node->name[0] = name;
    node->is_directory = is_directory;
    nodes = node;
    return node;
}

void tree_begin(void)
{
    nodes = NULL;
    inotify = NULL;
    numbers = cookies = events = 0;
    top = make_node(NULL, 't', true);
}

void tree_end(void)
{
    while (nodes) {
        struct node *node = nodes;
        nodes = node->older;
        free(node);
    }
}

static struct node *child_of(const struct node *parent, char name)
{
    for (struct node *node = nodes; node; node = node->older)
        if (node->parent == parent && node->name[0] == name && !node->removed && node != top)
            return node;
    return NULL;
}

struct node *tree_at(const char *path)
{
    if (strncmp(path, "/t", 2) != 0)
        return NULL;
    struct node *node = top;
    for (path += 2; node && path[0] == '/' && path[1]; path += 2)
        node = node->is_directory ? child_of(node, path[1]) : NULL;
    return node;
}

unsigned tree_depth(const struct node *node)
{
    unsigned depth = 0;
    for (; node->parent; node = node->parent)
        depth++;
    return depth;
}

void tree_path(const struct node *node, char path[PATH_ROOM])
{
    size_t at = 2 * (size_t)tree_depth(node) + 2;
    path[at] = '\0';
    for (; node; node = node->parent) {
        path[--at] = node->name[0];
        path[--at] = '/';
    }
}

static bool is_below(const struct node *node, const struct node *above)
{
    while (node && node != above)
        node = node->parent;
    return node == above;
}

/* The queue. */

static bool is_same(const struct queued *a, const struct queued *b)
{
    return a->event.wd == b->event.wd && a->event.mask == b->event.mask &&
           a->event.cookie == b->event.cookie && strcmp(a->name, b->name) == 0;
}

static void append(struct queued event)
{
    struct queued **place = &inotify->queue, *last = NULL;
    for (; *place; place = &(*place)->next)
        last = *place;
    if (last && is_same(last, &event))
        return;
    events++;
    *place = malloc(sizeof(event));
    **place = event;
    inotify->length++;
    inotify->file.pulse++;
}

/* false: there was no room for it. */
static bool queue(int wd, uint32_t mask, uint32_t cookie, const char *name)
{
    struct queued event = {.event = {.wd = wd, .mask = mask, .cookie = cookie}};
    if (name) {
        event.event.len = sizeof(event.name);
        event.name[0] = name[0];
    }
    if (inotify->length < inotify->length_max) {
        append(event);
        return true;
    }
    if (!inotify->overflown)
        append((struct queued){.event = {.wd = -1, .mask = IN_Q_OVERFLOW}});
    if (!inotify->overflown)
        told_overflow();
    inotify->overflown = true;
    return false;
}

static struct watch_of *watch_of(const struct node *node)
{
    struct watch_of *watch = inotify ? inotify->watches : NULL;
    while (watch && watch->node != node)
        watch = watch->next;
    return watch;
}

/* false: whoever wanted to hear of it will not, for want of room. */
static bool notify(const struct node *node, uint32_t mask, uint32_t cookie, const char *name)
{
    const struct watch_of *watch = watch_of(node);
    bool wanted = watch && watch->mask & mask & IN_ALL_EVENTS;
    return !wanted || queue(watch->wd, mask, cookie, name);
}

static void drop_watch(struct watch_of *watch)
{
    struct watch_of **place = &inotify->watches;
    while (*place != watch)
        place = &(*place)->next;
    *place = watch->next;
    bool told = queue(watch->wd, IN_IGNORED, 0, NULL);
    told_ignored(watch->node, told);
    free(watch);
}

static size_t size_of(const struct queued *queued)
{
    return sizeof(queued->event) + queued->event.len;
}

static void drop_first(void)
{
    struct queued *first = inotify->queue;
    inotify->queue = first->next;
    inotify->length--;
    if (first->event.mask & IN_Q_OVERFLOW)
        inotify->overflown = false;
    free(first);
}

static ssize_t read_queue(struct file *file, void *bytes, size_t size)
{
    (void)file;
    size_t got = 0;
    if (!inotify->queue)
        return -EAGAIN;
    while (inotify->queue && size - got >= size_of(inotify->queue)) {
        memcpy((char *)bytes + got, &inotify->queue->event, size_of(inotify->queue));
        got += size_of(inotify->queue);
        drop_first();
        if (fault(SHORT, 200))
            break;
    }
    return (ssize_t)got;
}

static uint32_t queue_events(const struct file *file)
{
    (void)file;
    return inotify->queue ? EPOLLIN : 0;
}

static void free_inotify(struct file *file)
{
    while (inotify->queue)
        drop_first();
    while (inotify->watches) {
        struct watch_of *watch = inotify->watches;
        inotify->watches = watch->next;
        free(watch);
    }
    free(file);
    inotify = NULL;
}

static const struct file_ops inotify_ops = {.events = queue_events,
                                            .release = free_inotify,
                                            .read = read_queue};

int sys_inotify_open(void)
{
    world_call(-1);
    if (inotify)
        fail("a second inotify descriptor is opened");
    inotify = calloc(1, sizeof(*inotify));
    inotify->file.ops = &inotify_ops;
    inotify->length_max = has(SMALL_QUEUES) ? 2 + world_below(12) : 1024;
    return file_open(&inotify->file);
}

int sys_inotify_add(int fd, const char *path, uint32_t mask)
{
    world_call(fd);
    const struct node *node = tree_at(path);
    if (!node)
        return -ENOENT;
    if (mask & IN_ONLYDIR && !node->is_directory)
        return -ENOTDIR;
    if (fault(NO_MEMORY, 60))
        return world_chance(500) ? -ENOSPC : -ENOMEM;
    struct watch_of *watch = watch_of(node);
    if (!watch) {
        watch = calloc(1, sizeof(*watch));
        *watch = (struct watch_of){inotify->watches, node, 0, ++inotify->last_wd};
        inotify->watches = watch;
    }
    watch->mask = mask & IN_MASK_ADD ? watch->mask | mask : mask;
    return watch->wd;
}

void sys_inotify_remove(int fd, int wd)
{
    world_call(fd);
    struct watch_of *watch = inotify->watches;
    while (watch && watch->wd != wd)
        watch = watch->next;
    if (watch)
        drop_watch(watch);
}

size_t sys_inotify_queued(int fd)
{
    size_t size = 0;
    world_call(fd);
    for (const struct queued *queued = inotify->queue; queued; queued = queued->next)
        size += size_of(queued);
    return size;
}

unsigned tree_last_queued(void)
{
    return inotify && inotify->queue ? events : 0;
}

/* Directories. */

static uint32_t no_events(const struct file *file)
{
    (void)file;
    return 0;
}

static void free_directory(struct file *file)
{
    free(file);
}

static const struct file_ops directory_ops = {.mode = S_IFDIR,
                                              .events = no_events,
                                              .release = free_directory};

int sys_open_directory(const char *path, bool follow)
{
    (void)follow;
    world_call(-1);
    const struct node *node = tree_at(path);
    if (!node || !node->is_directory)
        return node ? -ENOTDIR : -ENOENT;
    struct directory *directory = calloc(1, sizeof(*directory));
    directory->file.ops = &directory_ops;
    directory->node = node;
    return file_open(&directory->file);
}

/* Those behind the position, in the order in which they came there. */
static const struct node *entry_behind(const struct directory *directory)
{
    const struct node *found = NULL;
    for (const struct node *node = nodes; node; node = node->older)
        if (node->parent == directory->node && !node->removed &&
            node->number > directory->position && (!found || node->number < found->number))
            found = node;
    return found;
}

static uint16_t put_entry(void *at, const char *name, bool is_directory)
{
    struct sys_entry *entry = at;
    size_t size = (offsetof(struct sys_entry, name) + strlen(name) + 8) & ~(size_t)7;
    memset(entry, 0, size);
    entry->size = (uint16_t)size;
    entry->type = world_chance(300) ? SYS_ENTRY_UNKNOWN : is_directory ? SYS_ENTRY_DIRECTORY : 8;
    memcpy(entry->name, name, strlen(name));
    return entry->size;
}

ssize_t sys_read_directory(int fd, void *entries, size_t size)
{
    world_call(fd);
    struct directory *directory = (struct directory *)(void *)file_of(fd);
    uint16_t used = 0;
    const struct node *entry;
    if (directory->node->removed)
        return -ENOENT;
    if (directory->position == 0 && world_chance(500))
        used = put_entry(entries, "..", true);
    while (used + 64 < (int)size && (entry = entry_behind(directory))) {
        used =
            (uint16_t)(used + put_entry((char *)entries + used, entry->name, entry->is_directory));
        directory->position = entry->number;
        if (has(SHORT) && world_chance(300))
            break;
    }
    return used;
}

bool sys_is_directory(int dir_fd, const char *name)
{
    const struct directory *directory = (struct directory *)(void *)file_of(dir_fd);
    const struct node *node = child_of(directory->node, name[0]);
    return node && node->is_directory;
}

ssize_t sys_working_directory(char *path, size_t size)
{
    return snprintf(path, size, "/t");
}

/* What others do. */

static struct node *any_node(bool directory)
{
    unsigned count = 0;
    struct node *found = NULL;
    for (struct node *node = nodes; node; node = node->older)
        if (!node->removed && (!directory || node->is_directory) && program_below(++count) == 0)
            found = node;
    return found;
}

struct node *tree_any(bool directory)
{
    return any_node(directory);
}

static uint32_t kind_bit(const struct node *node)
{
    return node->is_directory ? IN_ISDIR : 0;
}

static bool is_full(const struct node *directory)
{
    unsigned count = 0;
    for (const struct node *node = nodes; node; node = node->older)
        count += node->parent == directory && !node->removed;
    return count >= CHILDREN_MAX || tree_depth(directory) >= DEPTH_MAX;
}

static void create(void)
{
    struct node *parent = any_node(true);
    char name = (char)('a' + program_below(6));
    if (child_of(parent, name) || is_full(parent))
        return;
    struct node *node = make_node(parent, name, program_chance(400));
    if (notify(parent, IN_CREATE | kind_bit(node), 0, node->name))
        told_entry(parent, LOOP_FS_EVENT_CREATED, node);
}

/* Nothing leads to it any more. */
static void vanish(struct node *node, bool link_count)
{
    node->removed = true;
    if (link_count && notify(node, IN_ATTRIB | kind_bit(node), 0, NULL))
        told_self(node, LOOP_FS_EVENT_ATTRIBUTES);
    struct watch_of *watch = watch_of(node);
    if (watch)
        drop_watch(watch);
}

static bool is_empty(const struct node *directory)
{
    for (const struct node *node = nodes; node; node = node->older)
        if (node->parent == directory && !node->removed)
            return false;
    return true;
}

static void unlink_any(void)
{
    struct node *node = any_node(false);
    if (node == top || !is_empty(node))
        return;
    vanish(node, !node->is_directory);
    if (notify(node->parent, IN_DELETE | kind_bit(node), 0, node->name))
        told_entry(node->parent, LOOP_FS_EVENT_REMOVED, node);
}

static void move(struct node *node, struct node *to, char name)
{
    struct node *replaced = child_of(to, name), *from = node->parent;
    char old[2] = {node->name[0]};
    uint32_t cookie = ++cookies;
    if (replaced)
        replaced->removed = true;
    bool gone = notify(from, IN_MOVED_FROM | kind_bit(node), cookie, old);
    if (gone)
        told_entry(from, LOOP_FS_EVENT_MOVED_OUT, node);
    node->parent = to;
    node->name[0] = name;
    node->number = ++numbers;
    bool come = notify(to, IN_MOVED_TO | kind_bit(node), cookie, node->name);
    if (come)
        told_moved_in(to, node, gone && from == to ? old[0] : '\0');
    if (replaced)
        vanish(replaced, true);
    if (notify(node, IN_MOVE_SELF | kind_bit(node), 0, NULL))
        told_self(node, LOOP_FS_EVENT_GONE);
}

static void rename_any(void)
{
    struct node *node = any_node(false), *to = any_node(true);
    char name = (char)('a' + program_below(6));
    const struct node *there = child_of(to, name);
    if (node == top || is_below(to, node) || is_full(to) || node == there)
        return;
    if (there && (there->is_directory != node->is_directory || !is_empty(there)))
        return;
    if (!node->is_directory || tree_depth(to) < 2)
        move(node, to, name);
}

static void touch(uint32_t bit, enum loop_fs_change_kind kind)
{
    struct node *node = any_node(false);
    if (bit != IN_ATTRIB && node->is_directory)
        return;
    if (node->parent && notify(node->parent, bit | kind_bit(node), 0, node->name))
        told_entry(node->parent, kind, node);
    if (notify(node, bit | kind_bit(node), 0, NULL))
        told_self(node, kind);
}

void tree_change(void)
{
    run.steps++;
    switch (program_below(8)) {
    case 0:
    case 1:
    case 2:
        create();
        break;
    case 3:
        unlink_any();
        break;
    case 4:
        rename_any();
        break;
    case 5:
        touch(IN_ATTRIB, LOOP_FS_EVENT_ATTRIBUTES);
        break;
    case 6:
        touch(IN_CLOSE_WRITE, LOOP_FS_EVENT_FINISHED);
        break;
    default:
        touch(IN_MODIFY, LOOP_FS_EVENT_MODIFIED);
    }
}
