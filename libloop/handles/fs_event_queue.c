/* Watching files: what the kernel's queue holds, and whom it concerns.
 *
 * One read each turn takes at most 64 KiB; the rest waits in the kernel, and the descriptor stays
 * readable. Every event goes to the places that are bound to its number, each of which tells its
 * user in its own words. Places are taken off the watch and put back one by one, so a callback may
 * stop any handle and start others: what it stops is not told, what it starts has not been there.
 *
 * A rename is two events with one cookie, and the kernel promises neither that they are neighbours
 * nor that they are read together. So a half looks for the other among the next 64 events; if fewer
 * have come, it waits for the next turn, and all that is behind it waits too, so that the order
 * stays. Both parents are locked while the kernel writes the two, so nothing that stands between
 * them is about the same names, and the rename can be told where it began.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/fs_event.h"

/* Where an event stands in the queue matters: who came later is not told. */
struct entry {
    struct inotify_event *event;
    uint64_t position;
};

typedef void (*visitor)(struct loop_fs_place *place, struct entry entry, struct entry other);

static struct entry entry_at(struct loop_watches *watches, size_t at)
{
    void *event = watches->bytes + at;
    return (struct entry){event, watches->position + at};
}

static size_t size_of(struct entry entry)
{
    return sizeof(*entry.event) + entry.event->len;
}

/* name NULL: the place's own directory. What has too long a name is said to have it. */
static void tell(struct loop_fs_place *place, enum loop_fs_change_kind kind, struct entry entry)
{
    const char *leaf = entry.event->len > 0 ? entry.event->name : NULL;
    char *text = fs_event_join(place, NULL, leaf, fs_event_watches(place)->text[0], NAME_SIZE);
    bool is_directory = entry.event->mask & IN_ISDIR;
    if (text)
        fs_event_tell(place->event, (struct loop_fs_change){.kind = kind,
                                                            .is_directory = is_directory,
                                                            .name = text});
    else
        fs_event_trouble(place->event, -ENAMETOOLONG);
}

static bool is_open(const struct loop_fs_place *place)
{
    return fs_event_recursive(place->event) && !place->settled;
}

/* A name that was listed has been told already, by reading the directory. */
static void appeared(struct loop_fs_place *place, enum loop_fs_change_kind kind, struct entry entry)
{
    const char *text = entry.event->name;
    bool follow = fs_event_recursive(place->event) && entry.event->mask & IN_ISDIR;
    struct fs_name *name = is_open(place) ? fs_event_find(place, text) : NULL;
    bool told = name && name->listed;
    if (told)
        name->listed = false;
    else if (follow && kind == LOOP_FS_EVENT_MOVED_IN)
        fs_event_forget(fs_event_find(place, text)); /* it has been replaced */
    if (!told && is_open(place))
        fs_event_note(place, text, false);
    if (follow)
        fs_event_follow(place, text, SCAN_TELL);
    if (!told)
        tell(place, kind, entry);
}

static void vanished(struct loop_fs_place *place, enum loop_fs_change_kind kind, struct entry entry)
{
    if (fs_event_recursive(place->event))
        fs_event_forget(fs_event_find(place, entry.event->name));
    tell(place, kind, entry);
}

static void changed(struct loop_fs_place *place, enum loop_fs_change_kind kind, struct entry entry)
{
    if (kind == LOOP_FS_EVENT_ATTRIBUTES && place->event->flags & LOOP_FS_EVENT_NAMES)
        return;
    tell(place, kind, entry);
}

static const struct {
    uint32_t bit;
    enum loop_fs_change_kind kind;
    void (*tell)(struct loop_fs_place *place, enum loop_fs_change_kind kind, struct entry entry);
} words[] = {
    {IN_CREATE, LOOP_FS_EVENT_CREATED, appeared},
    {IN_MOVED_TO, LOOP_FS_EVENT_MOVED_IN, appeared},
    {IN_DELETE, LOOP_FS_EVENT_REMOVED, vanished},
    {IN_MOVED_FROM, LOOP_FS_EVENT_MOVED_OUT, vanished},
    {IN_MODIFY, LOOP_FS_EVENT_MODIFIED, changed},
    {IN_CLOSE_WRITE, LOOP_FS_EVENT_FINISHED, changed},
    {IN_ATTRIB, LOOP_FS_EVENT_ATTRIBUTES, changed},
};

/* The kernel has let go of a root: that is the end. Of another: its parent will tell, unless a file
 * system was unmounted there, and then there is something else to be seen. */
static void lost(struct loop_fs_place *place)
{
    place->watch->gone = true;
    fs_event_unbind(place);
    if (place->name)
        fs_event_want_scan(place, SCAN_TELL);
    else
        fs_event_tell_gone(place->event, 0);
}

/* An open file that was unlinked has other attributes, and no name any more. */
static void happened_to_itself(struct loop_fs_place *place, struct entry entry)
{
    if (place->name)
        return; /* its parent's event says the same */
    if (entry.event->mask & IN_ATTRIB)
        fs_event_want_scan(place, SCAN_CHECK);
    if (entry.event->mask & IN_MOVE_SELF) {
        fs_event_tell_gone(place->event, 0);
        return;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (entry.event->mask & place->event->mask & words[i].bit) {
            words[i].tell(place, words[i].kind, entry);
            return;
        }
}

static void happened(struct loop_fs_place *place, struct entry entry, struct entry other)
{
    (void)other;
    if (entry.event->mask & IN_IGNORED) {
        lost(place);
        return;
    }
    if (entry.event->len == 0) {
        happened_to_itself(place, entry);
        return;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (entry.event->mask & place->event->mask & words[i].bit) {
            words[i].tell(place, words[i].kind, entry);
            return;
        }
}

/* Renames. */

static struct loop_fs_place *place_of(const struct loop_fs_event *event,
                                      const struct fs_watch *watch)
{
    struct loop_link *link = watch ? watch->places.next : NULL;
    for (; watch && link != &watch->places; link = link->next) {
        struct loop_fs_place *place = loop_container_of(link, struct loop_fs_place, link);
        if (place->event == event)
            return place;
    }
    return NULL;
}

/* true: it is known under its new name already, and was never told under the old one. */
static bool rename_in_tree(struct loop_fs_place *from, struct entry gone, struct loop_fs_place *to,
                           struct entry come)
{
    const char *text = come.event->name;
    struct fs_name *before = fs_event_find(from, gone.event->name);
    struct fs_name *after = fs_event_find(to, text);
    bool told = is_open(from) && !before && is_open(to) && after && after->listed;
    if (after)
        after->listed = false;
    bool moved = before && before->child;
    if (moved)
        fs_event_move(before->child, to, text);
    else if (!told)
        fs_event_forget(before);
    if (is_open(to))
        fs_event_note(to, text, false);
    if (come.event->mask & IN_ISDIR && !moved)
        fs_event_follow(to, text, SCAN_TELL);
    return told;
}

static void tell_rename(struct loop_fs_place *from, struct entry gone, struct loop_fs_place *to,
                        struct entry come)
{
    struct loop_watches *watches = fs_event_watches(from);
    struct loop_fs_change change = {.kind = LOOP_FS_EVENT_RENAMED,
                                    .is_directory = come.event->mask & IN_ISDIR,
                                    .name = fs_event_join(to, NULL, come.event->name,
                                                          watches->text[0], NAME_SIZE),
                                    .old_name = fs_event_join(from, NULL, gone.event->name,
                                                              watches->text[1], NAME_SIZE)};
    if (change.name && change.old_name)
        fs_event_tell(from->event, change);
    else
        fs_event_trouble(from->event, -ENAMETOOLONG);
}

/* Seen from the old parent. */
static void renamed(struct loop_fs_place *from, struct entry gone, struct entry come)
{
    struct loop_watches *watches = fs_event_watches(from);
    struct loop_fs_place *to = place_of(from->event, fs_event_watch(watches, come.event->wd));
    if (come.event->wd == gone.event->wd)
        to = from;
    if (!to || to->since > come.position) {
        vanished(from, LOOP_FS_EVENT_MOVED_OUT, gone);
        return;
    }
    from->event->told = watches->renames;
    if (!fs_event_recursive(from->event) || !rename_in_tree(from, gone, to, come))
        tell_rename(from, gone, to, come);
}

/* Seen from the new parent, if the handle does not have the old one. */
static void moved_in(struct loop_fs_place *to, struct entry come, struct entry gone)
{
    if (to->event->told != fs_event_watches(to)->renames)
        happened(to, come, gone);
}

/* Each place in its turn; a watch is there as long as a place is left. */
static void hand_out(struct loop_watches *watches, struct entry entry, struct entry other,
                     visitor visit)
{
    struct fs_watch *watch = fs_event_watch(watches, entry.event->wd);
    struct loop_link taken;
    struct loop_link *link;
    if (!watch)
        return;
    list_take(&watch->places, &taken);
    while ((link = list_pop(&taken))) {
        struct loop_fs_place *place = loop_container_of(link, struct loop_fs_place, link);
        list_append(&watch->places, link);
        if (place->since <= entry.position)
            visit(place, entry, other);
    }
}

/* The other half of a rename, among what stands behind; event NULL: not there. */
static struct entry other_half(struct loop_watches *watches, size_t at, bool *may_come)
{
    uint32_t cookie = entry_at(watches, at).event->cookie;
    *may_come = watches->position + at >= watches->aged;
    for (int i = 0; i <= PAIR_REACH && at < watches->used; i++) {
        struct entry entry = entry_at(watches, at);
        if (entry.event->mask & IN_MOVED_TO && entry.event->cookie == cookie)
            return entry;
        at += size_of(entry);
    }
    *may_come = *may_come && at >= watches->used;
    return (struct entry){NULL, 0};
}

void fs_event_shake(struct loop_watches *watches, uint64_t position)
{
    struct loop_link taken;
    struct loop_link *link;
    list_take(&watches->handles, &taken);
    while ((link = list_pop(&taken))) {
        struct loop_fs_event *event = loop_container_of(link, struct loop_fs_event, peer);
        list_append(&watches->handles, link);
        if (event->root->since > position)
            continue;
        fs_event_want_scan(event->root, SCAN_REPAIR);
        fs_event_tell(event, (struct loop_fs_change){.kind = LOOP_FS_EVENT_OVERFLOW});
    }
}

/* false: its other half may come yet. */
static bool hand_out_at(struct loop_watches *watches, size_t at)
{
    struct entry entry = entry_at(watches, at);
    struct entry other = {NULL, 0};
    bool may_come = false;
    if (entry.event->mask & IN_MOVED_FROM)
        other = other_half(watches, at, &may_come);
    if (may_come && !other.event)
        return false;
    if (entry.event->mask & IN_Q_OVERFLOW) {
        fs_event_shake(watches, entry.position);
    } else if (other.event) {
        watches->renames++;
        hand_out(watches, entry, other, renamed);
        hand_out(watches, other, entry, moved_in);
        other.event->mask = 0; /* it is told */
    } else if (entry.event->mask) {
        hand_out(watches, entry, other, happened);
    }
    return true;
}

void fs_event_dispatch(struct loop_watches *watches)
{
    size_t at = 0;
    while (at < watches->used && hand_out_at(watches, at))
        at += size_of(entry_at(watches, at));
    watches->position += at;
    watches->used -= at;
    memmove(watches->bytes, watches->bytes + at, watches->used);
}
