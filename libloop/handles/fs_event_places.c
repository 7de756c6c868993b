/* Watching files: the tree of places of a handle, and the names in it.
 *
 * A directory is known by its parent and its name there, so that renaming one is one name less and
 * one more, whatever is below it; paths are put together when they are asked for. The names of all
 * trees are in one table, by parent and text. Most belong to directories. Those of files are kept
 * only from the moment that a new directory is watched until what the kernel had queued by the end
 * of reading it has been handed out: so an entry that was found both ways is told once.
 *
 * A table grows by doubling. Without memory for that its chains become longer, and nothing fails.
 *
 * Alternatives not taken: a path for each directory (renaming the top of a tree would rewrite
 * them all), a list of each directory's children (a flat directory of 100,000 would be walked for
 * each of its events), a table for each directory (most have no directory in them).
 *
 * SPDX-License-Identifier: MIT */
#include "handles/fs_event.h"

static struct table_node **bucket(struct table *table, uint32_t hash)
{
    return table->size > 0 ? &table->buckets[hash & (table->size - 1)] : &table->spare;
}

struct table_node *table_chain(const struct table *table, uint32_t hash)
{
    return table->size > 0 ? table->buckets[hash & (table->size - 1)] : table->spare;
}

static void put(struct table *table, struct table_node *node)
{
    struct table_node **first = bucket(table, node->hash);
    node->next = *first;
    *first = node;
}

static void grow(struct loop_watches *watches, struct table *table)
{
    struct table larger = {.size = table->size > 0 ? 2 * table->size : 64, .count = table->count};
    size_t size = larger.size * sizeof(*larger.buckets);
    larger.buckets = memory_resize(&watches->allocator, NULL, size);
    if (!larger.buckets)
        return;
    memset(larger.buckets, 0, size);
    for (uint32_t i = 0; i < (table->size > 0 ? table->size : 1); i++) {
        struct table_node *node = table_chain(table, i);
        while (node) {
            struct table_node *next = node->next;
            put(&larger, node);
            node = next;
        }
    }
    memory_resize(&watches->allocator, table->buckets, 0);
    *table = larger;
}

void table_add(struct loop_watches *watches, struct table *table, struct table_node *node)
{
    if (table->count >= table->size)
        grow(watches, table);
    put(table, node);
    table->count++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **place = bucket(table, node->hash);
    while (*place != node)
        place = &(*place)->next;
    *place = node->next;
    table->count--;
}

/* FNV-1a, begun with the parent. */
static uint32_t hash_of(const struct loop_fs_place *parent, const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ ((uintptr_t)parent >> 4);
    hash *= UINT64_C(1099511628211);
    for (const char *at = text; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    return (uint32_t)(hash ^ hash >> 32);
}

struct fs_name *fs_event_find(const struct loop_fs_place *place, const char *text)
{
    uint32_t hash = hash_of(place, text);
    struct table_node *node = table_chain(&fs_event_watches(place)->names, hash);
    for (; node; node = node->next) {
        struct fs_name *name = loop_container_of(node, struct fs_name, node);
        if (node->hash == hash && name->parent == place && strcmp(name->text, text) == 0)
            return name;
    }
    return NULL;
}

void fs_event_trouble(struct loop_fs_event *event, int error)
{
    event->trouble = error;
    event->handle.loop->watches->troubled = true;
}

struct fs_name *fs_event_note(struct loop_fs_place *place, const char *text, bool listed)
{
    struct loop_watches *watches = fs_event_watches(place);
    struct fs_name *name = fs_event_find(place, text);
    if (name)
        return name;
    size_t size = strlen(text) + 1;
    name = memory_resize(&watches->allocator, NULL, sizeof(*name) + size);
    if (!name) {
        fs_event_trouble(place->event, -ENOMEM);
        return NULL;
    }
    *name = (struct fs_name){.node.hash = hash_of(place, text), .parent = place, .listed = listed};
    memcpy(name->text, text, size);
    list_append(&place->names, &name->link);
    table_add(watches, &watches->names, &name->node);
    return name;
}

void fs_event_forget(struct fs_name *name)
{
    if (!name)
        return;
    struct loop_watches *watches = fs_event_watches(name->parent);
    if (name->child)
        fs_event_displace(name->child);
    list_remove(&name->link);
    table_remove(&watches->names, &name->node);
    memory_resize(&watches->allocator, name, 0);
}

struct loop_fs_place *fs_event_place(struct loop_fs_event *event)
{
    struct loop_fs_place *place =
        memory_resize(&event->handle.loop->options.allocator, NULL, sizeof(*place));
    if (!place)
        return NULL;
    *place = (struct loop_fs_place){.event = event};
    list_init(&place->link);
    list_init(&place->names);
    list_init(&place->turn);
    event->places++;
    return place;
}

/* The tree is no deeper than its bound, and so is this. */
void fs_event_displace(struct loop_fs_place *place)
{
    while (!list_empty(&place->names))
        fs_event_forget(loop_container_of(place->names.next, struct fs_name, link));
    fs_event_end_scan(place);
    list_remove(&place->turn);
    fs_event_unbind(place);
    if (place->name)
        place->name->child = NULL;
    place->event->places--;
    memory_resize(&fs_event_watches(place)->allocator, place, 0);
}

uint32_t fs_event_depth(const struct loop_fs_place *place)
{
    uint32_t depth = 1;
    for (; place->name; place = place->name->parent)
        depth++;
    return depth;
}

/* A new place for a directory, or what is to be done with the one that it has. */
void fs_event_follow(struct loop_fs_place *place, const char *text, enum scan scan)
{
    struct loop_fs_event *event = place->event;
    struct fs_name *name = fs_event_find(place, text);
    if (name && name->child) {
        if (scan < SCAN_TELL || !name->child->told || !name->child->watch)
            fs_event_want_scan(name->child, scan);
        return;
    }
    if (event->places >= event->places_max || fs_event_depth(place) >= event->depth_max) {
        fs_event_trouble(event, -E2BIG);
        return;
    }
    bool known = name;
    name = fs_event_note(place, text, false);
    struct loop_fs_place *child = name ? fs_event_place(event) : NULL;
    if (child) {
        child->name = name;
        name->child = child;
        fs_event_want_scan(child, scan);
    } else {
        fs_event_trouble(event, -ENOMEM);
        if (!known)
            fs_event_forget(name);
    }
}

static bool is_within(const struct loop_fs_place *place, const struct loop_fs_place *top)
{
    while (place != top && place->name)
        place = place->name->parent;
    return place == top;
}

/* What stood there was replaced, and is gone. A directory cannot move into itself: if it seems so,
 * the tree that we know is not the one that is there. */
void fs_event_move(struct loop_fs_place *child, struct loop_fs_place *to, const char *text)
{
    struct fs_name *before = child->name;
    struct fs_name *replaced = fs_event_find(to, text);
    if (is_within(to, child) ||
        (replaced && replaced->child && is_within(child, replaced->child))) {
        fs_event_want_scan(to->event->root, SCAN_REPAIR);
        return;
    }
    fs_event_forget(replaced);
    struct fs_name *name = fs_event_note(to, text, false);
    if (name) {
        before->child = NULL;
        name->child = child;
        child->name = name;
        fs_event_want_scan(child, SCAN_CHECK);
    }
    fs_event_forget(before);
}

static bool put_before(char **at, const char *room, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(*at - room) < length)
        return false;
    *at -= length;
    memcpy(*at, text, length);
    return true;
}

/* From its end to its beginning. */
char *fs_event_join(const struct loop_fs_place *place, const char *prefix, const char *leaf,
                    char *room, size_t size)
{
    char *at = room + size - 1;
    *at = '\0';
    bool fits = !leaf || put_before(&at, room, leaf);
    for (; fits && place->name; place = place->name->parent)
        fits =
            (*at == '\0' || put_before(&at, room, "/")) && put_before(&at, room, place->name->text);
    if (fits && prefix)
        fits = (*at == '\0' || put_before(&at, room, "/")) && put_before(&at, room, prefix);
    return fits ? at : NULL;
}
