/* Watching files: directories are read, to find what was there before anybody watched.
 *
 * A new directory is watched first and read then: what is created in between is seen both ways, and
 * told once, because until the queue has been handed out as far as it was filled when the reading
 * ended (settled_at) the place remembers the names that it has told. The directories found below
 * wait for their own turn in the same list.
 *
 * Paths may be out of date, since the queue lags behind the tree: the directory may have been
 * renamed, and something else have its name. Either nothing is found there, and an event that is
 * still to come will say why; or another inode is bound, and the event of the renaming, when it
 * comes, has the place and all below it checked again, by their new paths.
 *
 * Reading happens here and not on the pool: a directory that somebody has just written to is in the
 * kernel's memory, and what comes back from another thread would have to be put in order with the
 * queue again. It is bounded, to 1,024 entries or directories at a time, and goes on as a task of
 * the loop. One directory is open at a time.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/fs_event.h"

enum { SCAN_BURST = 1024 }; /* about a millisecond */

void fs_event_want_scan(struct loop_fs_place *place, enum scan scan)
{
    struct loop_watches *watches = fs_event_watches(place);
    enum scan *wish = watches->scanning == place ? &place->next : &place->scan;
    if (*wish < scan)
        *wish = scan;
    place->told |= scan == SCAN_TELL;
    if (place->queued)
        return;
    list_remove(&place->turn); /* it may be settling */
    list_append(&watches->scans, &place->turn);
    place->queued = true;
    place->event->unscanned++;
}

void fs_event_end_scan(struct loop_fs_place *place)
{
    struct loop_watches *watches = fs_event_watches(place);
    if (!place->queued)
        return;
    if (watches->scanning == place) {
        sys_close(watches->dir_fd);
        watches->scanning = NULL;
    }
    list_remove(&place->turn);
    place->queued = false;
    if (--place->event->unscanned == 0 && !place->event->ready)
        watches->troubled = true; /* to be told so */
}

static void finish(struct loop_fs_place *place)
{
    struct loop_watches *watches = fs_event_watches(place);
    enum scan next = place->next;
    fs_event_end_scan(place);
    place->scan = place->next = SCAN_NONE;
    if (next)
        fs_event_want_scan(place, next);
    else
        list_append(&watches->finished, &place->turn);
}

static bool is_missing(int error)
{
    return error == -ENOENT || error == -ENOTDIR;
}

/* The directory cannot be watched; the place may be gone afterwards. */
static void fail(struct loop_fs_place *place, int error)
{
    struct loop_watches *watches = fs_event_watches(place);
    struct loop_fs_event *event = place->event;
    struct loop_fs_change change = {.kind = LOOP_FS_EVENT_ERROR,
                                    .is_directory = true,
                                    .error = error,
                                    .name = fs_event_join(place, NULL, NULL, watches->text[0],
                                                          NAME_SIZE)};
    if (!place->name) {
        fs_event_tell_gone(event, is_missing(error) ? 0 : error);
        return;
    }
    if (is_missing(error) && place->scan != SCAN_REPAIR) {
        fs_event_end_scan(place); /* what it wants it still wants: some event will say more */
        return;
    }
    fs_event_displace(place);
    if (is_missing(error))
        return;
    if (change.name)
        fs_event_tell(event, change);
    else
        fs_event_trouble(event, error);
}

static void forget_entries(struct loop_fs_place *place, bool all)
{
    struct loop_link taken;
    struct loop_link *link;
    list_take(&place->names, &taken);
    while ((link = list_pop(&taken))) {
        struct fs_name *name = loop_container_of(link, struct fs_name, link);
        list_append(&place->names, link);
        if (all || !name->child)
            fs_event_forget(name);
    }
}

static void check_children(struct loop_fs_place *place)
{
    for (struct loop_link *link = place->names.next; link != &place->names; link = link->next) {
        struct loop_fs_place *child = loop_container_of(link, struct fs_name, link)->child;
        if (child)
            fs_event_want_scan(child, place->scan);
    }
}

/* 0, or why it cannot be read. */
static int open_place(struct loop_fs_place *place, const char *path)
{
    struct loop_watches *watches = fs_event_watches(place);
    int fd = sys_open_directory(path, !place->name);
    if (fd < 0)
        return fd;
    watches->dir_fd = fd;
    watches->scanning = place;
    return 0;
}

/* Watches first; in the wrong order something would be missed. */
static void begin(struct loop_fs_place *place)
{
    struct loop_watches *watches = fs_event_watches(place);
    bool was_bound = place->watch;
    char *path = fs_event_join(place, place->event->path, NULL, watches->path, PATH_SIZE);
    int error = path ? fs_event_bind(place, path) : -ENAMETOOLONG;
    if (error >= 0 && fs_event_depth(place) > place->event->depth_max)
        error = -E2BIG;
    if (error == 1 && was_bound && !place->name)
        error = -ENOENT; /* something else */
    if (error == 1 && was_bound) {
        forget_entries(place, true);
        place->scan = SCAN_TELL;
        place->told = true;
    } else if (place->scan == SCAN_CHECK || place->scan == SCAN_REPAIR) {
        check_children(place);
    }
    if (error >= 0 && !fs_event_recursive(place->event)) {
        finish(place);
        return;
    }
    if (error >= 0)
        error = open_place(place, path);
    if (error < 0)
        fail(place, error);
    else
        place->settled = false;
}

/* Whether the user does not know of it. */
static bool is_news(const struct loop_fs_place *place, const struct fs_name *name,
                    bool is_directory)
{
    if (place->scan == SCAN_TELL)
        return !name || (name->child && !name->child->told);
    return place->scan != SCAN_QUIET && is_directory && !name;
}

static void found(struct loop_fs_place *place, const char *text, bool is_directory)
{
    struct loop_watches *watches = fs_event_watches(place);
    bool news = is_news(place, fs_event_find(place, text), is_directory);
    if (!news && !is_directory)
        return;
    struct fs_name *name = news ? fs_event_note(place, text, true) : NULL;
    if (name)
        name->listed = true;
    if (is_directory && place->scan == SCAN_TELL)
        fs_event_follow(place, text, SCAN_TELL);
    else if (is_directory && (news || place->scan == SCAN_QUIET))
        fs_event_follow(place, text, news ? SCAN_TELL : SCAN_QUIET);
    if (!news)
        return;
    struct loop_fs_change change = {.kind = LOOP_FS_EVENT_CREATED,
                                    .is_directory = is_directory,
                                    .name = fs_event_join(place, NULL, text, watches->text[0],
                                                          NAME_SIZE)};
    if (change.name)
        fs_event_tell(place->event, change);
    else
        fs_event_trouble(place->event, -ENAMETOOLONG);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All that one call brings is told at once: kept for later it would be stale. Returns how many. */
static int read_some(struct loop_watches *watches, struct loop_fs_place *place)
{
    ssize_t size = sys_read_directory(watches->dir_fd, watches->entries, ENTRIES_SIZE);
    int count = 1;
    if (size < 0 && size != -ENOENT) /* that means that it is no more */
        fs_event_trouble(place->event, (int)size);
    if (size <= 0)
        finish(place);
    for (ssize_t at = 0; at < size && watches->scanning == place; count++) {
        void *here = watches->entries + at;
        const struct sys_entry *entry = here;
        at += entry->size;
        if (is_dots(entry->name))
            continue;
        bool is_directory = entry->type == SYS_ENTRY_DIRECTORY;
        if (entry->type == SYS_ENTRY_UNKNOWN)
            is_directory = sys_is_directory(watches->dir_fd, entry->name);
        found(place, entry->name, is_directory);
    }
    return count;
}

void fs_event_scan(struct loop_watches *watches)
{
    int done = 0;
    while (done < SCAN_BURST && fs_event_is_ours(watches) && !list_empty(&watches->scans)) {
        struct loop_link *first = watches->scans.next;
        struct loop_fs_place *place = loop_container_of(first, struct loop_fs_place, turn);
        if (watches->scanning == place) {
            done += read_some(watches, place);
        } else {
            begin(place);
            done++;
        }
    }
}

/* Where the queue ends is asked once for all, since the kernel has to count. */
static void note_queue_end(struct loop_watches *watches)
{
    struct loop_link *link;
    uint64_t end = list_empty(&watches->finished) ? 0 : fs_event_queue_end(watches);
    while ((link = list_pop(&watches->finished))) {
        loop_container_of(link, struct loop_fs_place, turn)->settled_at = end;
        list_append(&watches->settling, link);
    }
}

void fs_event_settle(struct loop_watches *watches)
{
    note_queue_end(watches);
    while (!list_empty(&watches->settling)) {
        struct loop_link *first = watches->settling.next;
        struct loop_fs_place *place = loop_container_of(first, struct loop_fs_place, turn);
        if (place->settled_at > watches->position)
            return;
        list_remove(first);
        forget_entries(place, false);
        place->settled = true;
        place->told = true; /* or known to a user who has looked, at LOOP_FS_EVENT_READY */
    }
}
