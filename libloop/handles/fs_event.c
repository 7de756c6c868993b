/* Watching files: handles, from start to stop.
 *
 * What is common to all handles of a loop is in fs_event_watches.c, the tree of each in
 * fs_event_places.c; events come in fs_event_queue.c, and fs_event_scan.c reads directories. A
 * handle that is stopped has given back all that it had, so it needs no close.
 *
 * The path is kept, absolute, for whenever it must be watched anew; a program may change its
 * working directory. A symbolic link is not resolved: if it leads elsewhere when the path is
 * looked at again, what was watched is gone.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/fs_event.h"

void fs_event_tell(struct loop_fs_event *event, struct loop_fs_change change)
{
    struct loop *loop = event->handle.loop;
    if (!change.name)
        change.name = "";
    handle_callback_begin(&event->handle, (loop_function)event->cb, change.kind);
    event->cb(event, &change);
    callback_end(loop);
}

static void become_inactive(struct loop_fs_event *event)
{
    struct loop_watches *watches = event->handle.loop->watches;
    fs_event_displace(event->root);
    memory_resize(&watches->allocator, event->path, 0);
    event->root = NULL;
    event->path = NULL;
    list_remove(&event->peer);
    list_remove(&event->handle.link);
    handle_stop(&event->handle);
    fs_event_release(watches);
}

/* Stopped first: it may be started again in the callback. */
void fs_event_tell_gone(struct loop_fs_event *event, int error)
{
    become_inactive(event);
    fs_event_tell(event, (struct loop_fs_change){.kind = LOOP_FS_EVENT_GONE, .error = error});
}

static void stop(struct loop_handle *handle)
{
    loop_fs_event_stop(loop_container_of(handle, struct loop_fs_event, handle));
}

void loop_fs_event_init(struct loop *loop, struct loop_fs_event *event)
{
    static const struct loop_handle_ops ops = {.type = "fs_event", .stop = stop};
    handle_init(loop, &event->handle, &ops);
    event->cb = NULL;
    event->root = NULL;
    event->path = NULL;
    event->depth_max = LOOP_FS_EVENT_DEPTH_MAX;
    event->places_max = LOOP_FS_EVENT_WATCHES_MAX;
}

int loop_fs_event_bounds(struct loop_fs_event *event, uint32_t depth_max, uint32_t watches_max)
{
    if (!event)
        return -EINVAL;
    int error = handle_usable(&event->handle);
    if (!error && event->root)
        error = -EBUSY;
    if (error)
        return error;
    event->depth_max = depth_max > 0 ? depth_max : LOOP_FS_EVENT_DEPTH_MAX;
    event->places_max = watches_max > 0 ? watches_max : LOOP_FS_EVENT_WATCHES_MAX;
    return 0;
}

static uint32_t mask_of(uint32_t flags)
{
    uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVE | IN_MOVE_SELF | IN_ATTRIB;
    mask |= flags & LOOP_FS_EVENT_NAMES ? 0 : IN_MODIFY;
    mask |= flags & LOOP_FS_EVENT_WRITTEN ? IN_CLOSE_WRITE : 0;
    return mask;
}

/* 0, or why it has none. */
static int keep_path(struct loop_fs_event *event, const char *path)
{
    char directory[PATH_SIZE];
    ssize_t length = path[0] == '/' ? 0 : sys_working_directory(directory, sizeof(directory));
    if (path[0] == '\0')
        return -ENOENT;
    if (length < 0)
        return length == -ERANGE ? -ENAMETOOLONG : (int)length;
    size_t size = strlen(path) + 1;
    size_t before = length > 0 ? (size_t)length + 1 : 0;
    if (before + size > PATH_SIZE)
        return -ENAMETOOLONG;
    event->path = memory_resize(&event->handle.loop->options.allocator, NULL, before + size);
    if (!event->path)
        return -ENOMEM;
    memcpy(event->path, directory, (size_t)length);
    if (before > 0)
        event->path[length] = '/';
    memcpy(event->path + before, path, size);
    return 0;
}

/* Where the queue ends is asked before: what happens from the binding on is told. */
static int bind_root(struct loop_fs_event *event, const char *path)
{
    event->places = event->unscanned = 0;
    event->root = fs_event_place(event);
    int error = event->root ? keep_path(event, path) : -ENOMEM;
    if (!error) {
        fs_event_take_queue(event->handle.loop->watches);
        uint64_t end = fs_event_queue_end(event->handle.loop->watches);
        error = fs_event_bind(event->root, event->path);
        event->root->since = end;
    }
    if (error >= 0)
        return 0;
    if (event->root)
        fs_event_displace(event->root);
    memory_resize(&event->handle.loop->options.allocator, event->path, 0);
    event->root = NULL;
    event->path = NULL;
    return error;
}

static int may_start(const struct loop_fs_event *event, const char *path, uint32_t flags)
{
    enum { ALL = LOOP_FS_EVENT_RECURSIVE | LOOP_FS_EVENT_NAMES | LOOP_FS_EVENT_WRITTEN };
    if (!path || flags & ~(uint32_t)ALL)
        return -EINVAL;
    int error = handle_usable(&event->handle);
    if (!error && event->root)
        error = -EALREADY;
    const struct loop_watches *watches = event->handle.loop->watches;
    if (!error && (forked(event->handle.loop) || (watches && !fs_event_is_ours(watches))))
        error = -ECHILD;
    return error;
}

int loop_fs_event_start(struct loop_fs_event *event, const char *path, uint32_t flags,
                        loop_fs_event_cb cb)
{
    int error = event && cb ? may_start(event, path, flags) : -EINVAL;
    if (error)
        return error;
    struct loop_handle *handle = &event->handle;
    struct loop_watches *watches = fs_event_open(handle->loop, &error);
    if (!watches)
        return error;
    event->flags = flags;
    event->mask = mask_of(flags);
    error = bind_root(event, path);
    if (error) {
        fs_event_release(watches);
        return error;
    }
    event->cb = cb;
    event->trouble = 0;
    event->told = 0;
    event->ready = false;
    list_init(&event->peer);
    list_append(&watches->handles, &event->peer);
    if (fs_event_recursive(event)) {
        fs_event_want_scan(event->root, SCAN_QUIET);
        fs_event_go_on(watches);
    }
    list_append(&handle->loop->handles, &handle->link);
    handle_start(handle);
    trace(handle->loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)cb), 0);
    return 0;
}

void loop_fs_event_stop(struct loop_fs_event *event)
{
    if (handle_usable(&event->handle) == 0 && event->root)
        become_inactive(event);
}

const char *loop_fs_change_word(enum loop_fs_change_kind kind)
{
    static const char *const words[] = {
        [LOOP_FS_EVENT_CREATED] = "created",
        [LOOP_FS_EVENT_REMOVED] = "removed",
        [LOOP_FS_EVENT_MODIFIED] = "modified",
        [LOOP_FS_EVENT_FINISHED] = "finished",
        [LOOP_FS_EVENT_ATTRIBUTES] = "attributes",
        [LOOP_FS_EVENT_RENAMED] = "renamed",
        [LOOP_FS_EVENT_MOVED_IN] = "moved in",
        [LOOP_FS_EVENT_MOVED_OUT] = "moved out",
        [LOOP_FS_EVENT_GONE] = "gone",
        [LOOP_FS_EVENT_READY] = "ready",
        [LOOP_FS_EVENT_OVERFLOW] = "overflow",
        [LOOP_FS_EVENT_ERROR] = "error",
    };
    return (size_t)kind < sizeof(words) / sizeof(*words) ? words[kind] : "unknown";
}
