/* Watching files: the loop's one inotify descriptor, and the kernel's watches.
 *
 * One for all handles of the loop, because a user may have 128 inotify instances and 192,000
 * watches: with a descriptor for each handle the 129th could not be had. It is opened with the
 * first handle and closed behind the last, so its state hangs on loop->watches and a loop that
 * watches nothing pays a pointer. While a callback runs nothing of it is let go of.
 *
 * An inode that is watched twice has one number in the kernel, and one mask: so what is added is
 * OR-ed to it (IN_MASK_ADD), each handle is told by its own mask, and the number is given back with
 * the last that is bound to it. The kernel gives numbers out in a circle of 2^31, so that no event
 * in the queue is older than the number's previous life. For a number that lives on, a handle that
 * starts notes where the queue ends (FIONREAD): what stands before that is not for it.
 *
 * What is left for the next turn, directories to read or half a rename, is a parcel that the loop
 * sends to itself. A request that is always in flight, and nobody counts, hears of forks, as those
 * on the pool do: the child's inherited descriptor is its parent's queue, and it must have its own.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/fs_event.h"

static void run(struct loop_watches *watches);

/* Where the next event will stand. */
uint64_t fs_event_queue_end(const struct loop_watches *watches)
{
    return watches->position + watches->used + sys_inotify_queued(watches->watcher.fd);
}

/* The kernel merges an event with an equal one at the end of its queue, however old, and what came
 * before a handle's start is not told to it: so nothing old may be at that end when one starts. If
 * there is more than we have room for it stays, and the merging is possible. */
void fs_event_take_queue(struct loop_watches *watches)
{
    size_t room = QUEUE_SIZE - watches->used;
    if (room < PATH_SIZE || sys_inotify_queued(watches->watcher.fd) == 0)
        return;
    ssize_t size = sys_read(watches->watcher.fd, watches->bytes + watches->used, room);
    if (size <= 0)
        return;
    watches->used += (size_t)size;
    fs_event_go_on(watches);
}

struct fs_watch *fs_event_watch(struct loop_watches *watches, int wd)
{
    struct table_node *node = table_chain(&watches->watches, (uint32_t)wd);
    while (node && node->hash != (uint32_t)wd)
        node = node->next;
    return node ? loop_container_of(node, struct fs_watch, node) : NULL;
}

static struct fs_watch *add_watch(struct loop_watches *watches, int wd)
{
    struct fs_watch *watch = memory_resize(&watches->allocator, NULL, sizeof(*watch));
    if (!watch)
        return NULL;
    *watch = (struct fs_watch){.node.hash = (uint32_t)wd, .wd = wd};
    list_init(&watch->places);
    table_add(watches, &watches->watches, &watch->node);
    return watch;
}

int fs_event_bind(struct loop_fs_place *place, const char *path)
{
    struct loop_watches *watches = fs_event_watches(place);
    uint32_t how = IN_MASK_ADD | IN_EXCL_UNLINK;
    how |= fs_event_recursive(place->event) ? IN_ONLYDIR : 0;
    how |= place->name ? IN_DONT_FOLLOW : 0;
    int wd = sys_inotify_add(watches->watcher.fd, path, place->event->mask | how);
    if (wd < 0)
        return wd;
    struct fs_watch *watch = fs_event_watch(watches, wd);
    if (watch && watch == place->watch)
        return 0;
    if (watch)
        place->since = fs_event_queue_end(watches);
    else
        watch = add_watch(watches, wd);
    if (!watch) {
        sys_inotify_remove(watches->watcher.fd, wd);
        return -ENOMEM;
    }
    fs_event_unbind(place);
    place->watch = watch;
    watch->count++;
    list_append(&watch->places, &place->link);
    return 1;
}

/* In a child that still has its parent's descriptor nothing must be said to the kernel. */
void fs_event_unbind(struct loop_fs_place *place)
{
    struct loop_watches *watches = fs_event_watches(place);
    struct fs_watch *watch = place->watch;
    if (!watch)
        return;
    list_remove(&place->link);
    place->watch = NULL;
    if (--watch->count > 0)
        return;
    if (!watch->gone && fs_event_is_ours(watches))
        sys_inotify_remove(watches->watcher.fd, watch->wd);
    table_remove(&watches->watches, &watch->node);
    memory_resize(&watches->allocator, watch, 0);
}

/* Next turn, in the poll phase. */
void fs_event_go_on(struct loop_watches *watches)
{
    if (watches->posted)
        return;
    watches->posted = true;
    post_push(watches->loop->mailbox, &watches->parcel);
}

static void deliver(struct loop *loop, struct loop_parcel *parcel)
{
    struct loop_watches *watches = loop_container_of(parcel, struct loop_watches, parcel);
    struct loop_allocator allocator = watches->allocator;
    watches->posted = false;
    if (watches->closed)
        memory_resize(&allocator, watches, 0);
    else if (loop) /* unreachable: no loop is finished while somebody watches */
        run(watches);
}

static void ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    struct loop_watches *watches = loop_container_of(watcher, struct loop_watches, watcher);
    (void)events;
    if (status < 0)
        watches->failure = status; /* somebody closed it */
    run(watches);
}

static int open_queue(struct loop_watches *watches)
{
    int fd = sys_inotify_open();
    if (fd < 0)
        return fd;
    watcher_init(&watches->watcher, fd, ready);
    int error = watcher_start(watches->loop, &watches->watcher, EPOLLIN);
    if (error)
        sys_close(fd);
    return error;
}

static void unbind_all(struct loop_watches *watches)
{
    for (uint32_t i = 0; watches->watches.count > 0; i++) {
        struct table_node *node;
        while ((node = table_chain(&watches->watches, i))) {
            struct fs_watch *watch = loop_container_of(node, struct fs_watch, node);
            struct loop_link *first = watch->places.next;
            watch->gone = true;
            fs_event_unbind(loop_container_of(first, struct loop_fs_place, link));
        }
    }
}

/* A forked child: the queue that it shares with its parent is the parent's. */
static void reopen(struct loop_request *request)
{
    struct loop_watches *watches = loop_container_of(request, struct loop_watches, request);
    if (watches->busy)
        return; /* an event is being handed out: complete() comes soon enough */
    watches->generation = fork_generation();
    unbind_all(watches);
    watcher_stop(watches->loop, &watches->watcher);
    sys_close(watches->watcher.fd);
    watches->used = 0;
    watches->position += UINT32_MAX; /* past all that was noted of the other queue */
    watches->shaken = true;
    watches->failure = open_queue(watches);
}

static const struct loop_request_ops fork_ops;

static void begin_request(struct loop_watches *watches)
{
    request_start(watches->loop, &watches->request, &fork_ops, NULL);
    loop_request_unref(&watches->request);
}

/* In the child, in its first pending phase; it may have forked again before. */
static void complete(struct loop_request *request)
{
    struct loop_watches *watches = loop_container_of(request, struct loop_watches, request);
    if (!fs_event_is_ours(watches))
        reopen(request);
    begin_request(watches);
    fs_event_go_on(watches);
}

static const struct loop_request_ops fork_ops = {.type = "fs_event",
                                                 .complete = complete,
                                                 .abandon = reopen};

struct loop_watches *fs_event_open(struct loop *loop, int *error)
{
    struct loop_watches *watches = loop->watches;
    *error = watches ? watches->failure : -ENOMEM;
    if (watches)
        return watches->failure ? NULL : watches;
    watches = memory_resize(&loop->options.allocator, NULL, sizeof(*watches));
    if (!watches)
        return NULL;
    memset(watches, 0, offsetof(struct loop_watches, path));
    watches->loop = loop;
    watches->allocator = loop->options.allocator;
    watches->parcel.deliver = deliver;
    watches->dir_fd = -1;
    watches->generation = fork_generation();
    list_init(&watches->handles);
    list_init(&watches->scans);
    list_init(&watches->finished);
    list_init(&watches->settling);
    *error = open_queue(watches);
    if (*error) {
        memory_resize(&loop->options.allocator, watches, 0);
        return NULL;
    }
    begin_request(watches);
    loop->watches = watches;
    return watches;
}

void fs_event_release(struct loop_watches *watches)
{
    struct loop *loop = watches->loop;
    if (watches->busy || !list_empty(&watches->handles))
        return;
    list_remove(&watches->request.link);
    if (watches->watcher.wanted) {
        watcher_stop(loop, &watches->watcher);
        sys_close(watches->watcher.fd);
    }
    memory_resize(&watches->allocator, watches->watches.buckets, 0);
    memory_resize(&watches->allocator, watches->names.buckets, 0);
    loop->watches = NULL;
    watches->closed = true;
    if (!watches->posted)
        memory_resize(&loop->options.allocator, watches, 0);
}

/* What a handle is to be told at the end of a turn's work, one thing at a time. */
static void tell_trouble(struct loop_watches *watches, struct loop_fs_event *event)
{
    struct loop_fs_change change = {.kind = LOOP_FS_EVENT_ERROR, .error = event->trouble};
    bool ready = fs_event_recursive(event) && event->unscanned == 0 && !event->ready;
    if (watches->failure) {
        fs_event_tell_gone(event, watches->failure);
        return;
    }
    if (!change.error && !ready)
        return;
    if (change.error) {
        event->trouble = 0;
        watches->troubled |= ready;
    } else {
        event->ready = true;
        change.kind = LOOP_FS_EVENT_READY;
    }
    fs_event_tell(event, change);
}

static void tell_troubles(struct loop_watches *watches)
{
    struct loop_link taken;
    struct loop_link *link;
    if (watches->failure)
        unbind_all(watches);
    watches->troubled = false;
    list_take(&watches->handles, &taken);
    while ((link = list_pop(&taken))) {
        list_append(&watches->handles, link);
        tell_trouble(watches, loop_container_of(link, struct loop_fs_event, peer));
    }
}

static void fetch(struct loop_watches *watches)
{
    if (watches->aged_turn != watches->loop->turn) {
        watches->aged_turn = watches->loop->turn;
        watches->aged = watches->position + watches->used;
    }
    ssize_t size =
        sys_read(watches->watcher.fd, watches->bytes + watches->used, QUEUE_SIZE - watches->used);
    if (size > 0)
        watches->used += (size_t)size;
}

/* A turn's work: one read, what it brought, and a piece of the directories to be read. */
static void run(struct loop_watches *watches)
{
    if (!fs_event_is_ours(watches))
        return;
    watches->busy = true;
    if (watches->shaken && !watches->failure) {
        watches->shaken = false;
        fs_event_shake(watches, UINT64_MAX);
    }
    if (!watches->failure && watches->watcher.wanted) {
        fetch(watches);
        fs_event_dispatch(watches);
        fs_event_scan(watches);
        fs_event_settle(watches);
    }
    if (watches->troubled || watches->failure)
        tell_troubles(watches);
    watches->busy = false;
    if (list_empty(&watches->handles))
        fs_event_release(watches);
    else if (watches->used > 0 || !list_empty(&watches->scans) || watches->troubled)
        fs_event_go_on(watches);
}
