/* Watching files, in the program: handles, changes of the tree, and what has to be told of them.
 *
 * Each handle that watches one directory or file, without what is below, has a row of what it is to
 * be told: what happens to its inode while it is started, in order, in its own words. What the
 * kernel's queue had no room for is not in the row; that something was lost is. Two equal changes
 * in a row may be told as one, and a rename whose halves were read apart as two. The end of the
 * watching may also come because the path leads elsewhere, which is noticed when it is looked at
 * again.
 *
 * Of a handle that watches a whole tree it is demanded that it hears of what was lost, and nothing
 * once it is stopped, closed or gone; that its directories were found and read is for real tests.
 *
 * SPDX-License-Identifier: MIT */
#include "tree.h"

enum { WATCHES_OF_PROGRAM = 6 };

struct telling {
    enum loop_fs_change_kind kind;
    bool is_directory;
    char name[2], old_name[2];
};

struct watching {
    struct thing thing;
    struct loop_fs_event event;
    char path[PATH_ROOM];
    const struct node *node;
    uint32_t flags;
    struct telling *row; /* from first to count: not yet told */
    size_t first, count, room;
    struct telling last; /* told */
    unsigned since;      /* the event at the end of the queue when it was started, or 0 */
    bool any, ends;      /* last is valid; the row has an end */
};

static bool starting;

static struct watching *watching_of(struct thing *thing)
{
    return (struct watching *)(void *)thing;
}

static void expect(struct watching *mine, struct telling telling)
{
    if (mine->ends)
        return;
    if (mine->count == mine->room) {
        mine->room = mine->room ? 2 * mine->room : 8;
        mine->row = realloc(mine->row, mine->room * sizeof(*mine->row));
    }
    mine->row[mine->count++] = telling;
    note("watching %u is to hear: %s of %s", mine->thing.number, loop_fs_change_word(telling.kind),
         telling.name);
    mine->ends = telling.kind == LOOP_FS_EVENT_GONE;
}

static bool is_simple(const struct watching *mine)
{
    return !(mine->flags & LOOP_FS_EVENT_RECURSIVE);
}

static bool wants(const struct watching *mine, enum loop_fs_change_kind kind)
{
    if (kind == LOOP_FS_EVENT_MODIFIED || kind == LOOP_FS_EVENT_ATTRIBUTES)
        return !(mine->flags & LOOP_FS_EVENT_NAMES);
    return kind != LOOP_FS_EVENT_FINISHED || mine->flags & LOOP_FS_EVENT_WRITTEN;
}

/* Those who watch it and no more; NULL: all. */
static void expect_of(const struct node *node, struct telling telling)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next) {
        struct watching *mine = watching_of(thing);
        if (thing->kind != A_WATCH || !thing->active || (node && mine->node != node))
            continue;
        if (node && mine->since != 0 && mine->since == tree_last_queued())
            continue; /* it was merged with one from before the start, which could not be read */
        if ((is_simple(mine) && wants(mine, telling.kind)) ||
            telling.kind == LOOP_FS_EVENT_OVERFLOW)
            expect(mine, telling);
    }
}

void told_overflow(void)
{
    expect_of(NULL, (struct telling){.kind = LOOP_FS_EVENT_OVERFLOW});
}

void told_ignored(const struct node *node, bool told)
{
    if (told)
        expect_of(node, (struct telling){.kind = LOOP_FS_EVENT_GONE});
}

void told_entry(const struct node *parent, enum loop_fs_change_kind kind, const struct node *node)
{
    expect_of(parent, (struct telling){kind, node->is_directory, {node->name[0]}, ""});
}

void told_self(const struct node *node, enum loop_fs_change_kind kind)
{
    bool is_directory = node->is_directory && kind != LOOP_FS_EVENT_GONE;
    expect_of(node, (struct telling){kind, is_directory, "", ""});
}

/* With its other half just before it, it is a rename. */
void told_moved_in(const struct node *to, const struct node *node, char old)
{
    struct telling in = {LOOP_FS_EVENT_MOVED_IN, node->is_directory, {node->name[0]}, ""};
    for (struct thing *thing = model_things(); thing && old; thing = thing->next) {
        struct watching *mine = watching_of(thing);
        if (thing->kind == A_WATCH && thing->active && mine->node == to && is_simple(mine) &&
            !mine->ends)
            mine->count--;
    }
    in.kind = old ? LOOP_FS_EVENT_RENAMED : LOOP_FS_EVENT_MOVED_IN;
    in.old_name[0] = old;
    expect_of(to, in);
}

static bool is_same(const struct telling *a, const struct telling *b)
{
    return a->kind == b->kind && a->is_directory == b->is_directory && a->name[0] == b->name[0] &&
           a->old_name[0] == b->old_name[0];
}

/* Its first half was told alone; the second will be, too. */
static bool is_first_half(struct telling *next, const struct telling *said)
{
    if (next->kind != LOOP_FS_EVENT_RENAMED || said->kind != LOOP_FS_EVENT_MOVED_OUT ||
        next->old_name[0] != said->name[0] || next->is_directory != said->is_directory)
        return false;
    next->kind = LOOP_FS_EVENT_MOVED_IN;
    next->old_name[0] = '\0';
    return true;
}

static bool matches(struct watching *mine, const struct telling *said)
{
    for (; mine->first < mine->count; mine->first++) {
        struct telling *next = &mine->row[mine->first];
        if (is_first_half(next, said))
            return true;
        if (is_same(next, said)) {
            mine->first++;
            return true;
        }
        if (!mine->any || !is_same(next, &mine->last))
            return false;
    }
    return false;
}

static void forget_row(struct watching *mine)
{
    mine->first = mine->count = 0;
    mine->any = mine->ends = false;
}

/* It led elsewhere when it was looked at, or could not be looked at. */
static bool may_be_gone(const struct watching *mine, const struct loop_fs_change *change)
{
    if (change->error < 0)
        return has(NO_MEMORY) || has(FEW_FILES);
    return tree_at(mine->path) != mine->node || !is_simple(mine);
}

static void look(struct watching *mine, const struct loop_fs_change *change)
{
    struct telling said = {.kind = change->kind, .is_directory = change->is_directory};
    said.name[0] = change->name[0];
    said.old_name[0] = change->old_name ? change->old_name[0] : '\0';
    bool gone = said.kind == LOOP_FS_EVENT_GONE;
    if (!is_simple(mine) && !gone && said.kind != LOOP_FS_EVENT_OVERFLOW)
        return;
    if (!matches(mine, &said) && !(gone && may_be_gone(mine, change)))
        fail("P12: watching %u is told '%s' of %s, and next is '%s' of %s", mine->thing.number,
             loop_fs_change_word(said.kind), said.name,
             mine->first < mine->count ? loop_fs_change_word(mine->row[mine->first].kind) : "none",
             mine->first < mine->count ? mine->row[mine->first].name : "");
    mine->last = said;
    mine->any = true;
}

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    struct watching *mine = loop_container_of(event, struct watching, event);
    model_event(&mine->thing);
    note("change %s of %s", loop_fs_change_word(change->kind), change->name);
    if (!mine->thing.active)
        fail("P2: watching %u is told and was stopped", mine->thing.number);
    look(mine, change);
    if (change->kind == LOOP_FS_EVENT_GONE) {
        model_stop(&mine->thing);
        forget_row(mine);
    }
    react();
}

static void let_go(struct watching *mine)
{
    free(mine->row);
    model_remove(&mine->thing);
}

static void on_close(struct loop_handle *handle)
{
    struct watching *mine = loop_container_of(handle, struct watching, event.handle);
    model_closed(&mine->thing);
    let_go(mine);
    react();
}

static bool start_may_fail(int error)
{
    return error == 0 || error == -ENOMEM || error == -ENOSPC || error == -EMFILE;
}

static void start(struct watching *mine)
{
    const struct node *node = tree_any(program_chance(800));
    tree_path(node, mine->path);
    mine->flags = program_below(8) & (node->is_directory ? 7 : 6);
    starting = true;
    int error = loop_fs_event_start(&mine->event, mine->path, mine->flags, on_change);
    starting = false;
    check_result("watching start", error, start_may_fail(error));
    if (error)
        return;
    mine->node = node;
    mine->since = tree_last_queued();
    forget_row(mine);
    model_start(&mine->thing);
}

static void make(void)
{
    struct watching *mine = calloc(1, sizeof(*mine));
    model_add(&mine->thing, A_WATCH);
    loop_fs_event_init(&the_loop, &mine->event);
    start(mine);
}

static void change_from_elsewhere(void *what, uint64_t number)
{
    (void)what;
    if (!starting && run.faults)
        for (; number > 0; number--)
            tree_change();
}

void watching_close(struct thing *thing)
{
    model_close(thing);
    loop_close(&watching_of(thing)->event.handle, on_close);
}

static void stop(struct watching *mine)
{
    loop_fs_event_stop(&mine->event);
    model_stop(&mine->thing);
    if (program_chance(400))
        let_go(mine);
}

static void change_now_or_later(void)
{
    unsigned many = program_below(6) + 1;
    if (program_chance(500))
        world_later(program_below(10 * MS), change_from_elsewhere, &starting, many);
    else
        change_from_elsewhere(NULL, many);
}

void watching_act(void)
{
    struct thing *thing = model_pick(1 << A_WATCH);
    if (program_chance(600)) {
        change_now_or_later();
    } else if (!thing || (program_chance(400) && model_count(1 << A_WATCH) < WATCHES_OF_PROGRAM)) {
        make();
    } else if (program_chance(400)) {
        if (!thing->active)
            start(watching_of(thing));
    } else if (program_chance(500)) {
        stop(watching_of(thing));
    } else if (program_chance(300)) {
        watching_close(thing);
    } else {
        thing->unref = !thing->unref;
        (thing->unref ? loop_unref : loop_ref)(&watching_of(thing)->event.handle);
    }
}

/* Behind what was told only what equals it, and so was told with it. */
static bool is_told(const struct watching *mine)
{
    for (size_t i = mine->first; i < mine->count; i++)
        if (!mine->any || !is_same(&mine->row[i], &mine->last))
            return false;
    return true;
}

struct thing *watching_left(void)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (thing->kind == A_WATCH && thing->active && !thing->unref &&
            !is_told(watching_of(thing)))
            return thing;
    return NULL;
}

/* Nothing changes any more. */
void watching_calm(void)
{
    world_forget(&starting);
}
