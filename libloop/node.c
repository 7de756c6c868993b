/* The loop in Node's words: setTimeout and its kin, on top of timers and tasks.
 *
 * The caller gives a function and gets a number, so the memory is the library's: entries from
 * chunks that are never moved, since timers are on lists, and that are used again. A number is an
 * entry's place and its generation. Clearing or running out ends a generation, so a number kept too
 * long finds nothing, and harms nobody.
 *
 * A timeout's entry lives until its function has returned, because Node lets it be refreshed in it.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

enum { CHUNK = 64 };

#define DELAY_MAX_MS UINT64_C(2147483647) /* setTimeout's, a signed 32-bit number */

struct entry {
    union {
        struct loop_timer timer;
        struct loop_task task;
    };
    loop_node_fn fn;
    void *arg;
    uint64_t delay_ns;
    uint32_t place;
    uint32_t generation;
    enum { FREE, TIMEOUT, INTERVAL, TASK } kind;
    struct entry *next_free;
};

struct loop_node {
    struct entry **chunks;
    uint32_t chunk_count;
    struct entry *free;
};

static loop_id id_of(const struct entry *entry)
{
    return (uint64_t)entry->generation << 32 | (entry->place + 1);
}

/* NULL for a stale number. */
static struct entry *entry_of(struct loop *loop, loop_id id)
{
    uint32_t place = (uint32_t)id - 1;
    struct loop_node *node = loop->node;
    if (!node || place / CHUNK >= node->chunk_count)
        return NULL;
    struct entry *entry = &node->chunks[place / CHUNK][place % CHUNK];
    return entry->kind != FREE && entry->generation == id >> 32 ? entry : NULL;
}

static void release(struct loop *loop, struct entry *entry)
{
    entry->kind = FREE;
    entry->generation++;
    entry->next_free = loop->node->free;
    loop->node->free = entry;
}

/* Adds a chunk of free entries. */
static int add_chunk(struct loop *loop)
{
    const struct loop_allocator *allocator = &loop->options.allocator;
    struct loop_node *node = loop->node;
    struct entry **chunks =
        memory_resize(allocator, node->chunks, (node->chunk_count + 1) * sizeof(*chunks));
    if (!chunks)
        return -ENOMEM;
    node->chunks = chunks;
    struct entry *chunk = memory_resize(allocator, NULL, CHUNK * sizeof(*chunk));
    if (!chunk)
        return -ENOMEM;
    memset(chunk, 0, CHUNK * sizeof(*chunk));
    for (uint32_t i = CHUNK; i-- > 0;) {
        chunk[i].place = node->chunk_count * CHUNK + i;
        chunk[i].next_free = node->free;
        node->free = &chunk[i];
    }
    chunks[node->chunk_count++] = chunk;
    return 0;
}

/* NULL: out of memory. */
static struct entry *take(struct loop *loop, loop_node_fn fn, void *arg)
{
    if (!loop->node) {
        loop->node = memory_resize(&loop->options.allocator, NULL, sizeof(*loop->node));
        if (!loop->node)
            return NULL;
        *loop->node = (struct loop_node){0};
    }
    if (!loop->node->free && add_chunk(loop) < 0)
        return NULL;
    struct entry *entry = loop->node->free;
    loop->node->free = entry->next_free;
    entry->fn = fn;
    entry->arg = arg;
    return entry;
}

static void on_timer(struct loop_timer *timer)
{
    struct entry *entry = loop_container_of(timer, struct entry, timer);
    struct loop *loop = timer->handle.loop;
    loop_id id = id_of(entry);
    entry->fn(entry->arg);
    if (entry_of(loop, id) && !loop_is_active(&timer->handle))
        release(loop, entry);
}

/* The entry may be used again for what the function queues, so it goes first. */
static void on_task(struct loop_task *task)
{
    struct entry *entry = loop_container_of(task, struct entry, task);
    loop_node_fn fn = entry->fn;
    void *arg = entry->arg;
    release(task->loop, entry);
    fn(arg);
}

static uint64_t node_delay(uint64_t delay_ns)
{
    bool fits = delay_ns >= LOOP_MS && delay_ns <= DELAY_MAX_MS * LOOP_MS;
    return fits ? delay_ns - delay_ns % LOOP_MS : LOOP_MS;
}

static loop_id set_timer(struct loop *loop, uint64_t delay_ns, bool again, loop_node_fn fn,
                         void *arg)
{
    struct entry *entry = fn ? take(loop, fn, arg) : NULL;
    if (!entry)
        return 0;
    entry->kind = again ? INTERVAL : TIMEOUT;
    entry->delay_ns = node_delay(delay_ns);
    loop_update_now(loop);
    loop_timer_init(loop, &entry->timer);
    loop_timer_start(&entry->timer, entry->delay_ns, again ? entry->delay_ns : 0, on_timer);
    return id_of(entry);
}

loop_id loop_set_timeout(struct loop *loop, uint64_t after_ns, loop_node_fn fn, void *arg)
{
    return set_timer(loop, after_ns, false, fn, arg);
}

loop_id loop_set_interval(struct loop *loop, uint64_t every_ns, loop_node_fn fn, void *arg)
{
    return set_timer(loop, every_ns, true, fn, arg);
}

static loop_id set_task(struct loop *loop, loop_node_fn fn, void *arg,
                        void (*queue)(struct loop *, struct loop_task *, loop_task_cb))
{
    struct entry *entry = fn ? take(loop, fn, arg) : NULL;
    if (!entry)
        return 0;
    entry->kind = TASK;
    entry->task = (struct loop_task){0};
    queue(loop, &entry->task, on_task);
    return id_of(entry);
}

loop_id loop_set_immediate(struct loop *loop, loop_node_fn fn, void *arg)
{
    return set_task(loop, fn, arg, loop_immediate);
}

loop_id loop_process_next_tick(struct loop *loop, loop_node_fn fn, void *arg)
{
    return set_task(loop, fn, arg, loop_next_tick);
}

loop_id loop_queue_microtask(struct loop *loop, loop_node_fn fn, void *arg)
{
    return set_task(loop, fn, arg, loop_microtask);
}

/* A walk shows timers to whoever may close them. */
static bool is_there(const struct entry *entry)
{
    return entry->timer.handle.magic == HANDLE_LIVE;
}

static void clear(struct loop *loop, struct entry *entry)
{
    if (entry->kind == TASK)
        loop_task_cancel(&entry->task);
    else if (is_there(entry))
        loop_timer_stop(&entry->timer);
    release(loop, entry);
}

void loop_clear(struct loop *loop, loop_id id)
{
    struct entry *entry = entry_of(loop, id);
    if (entry)
        clear(loop, entry);
}

void loop_refresh(struct loop *loop, loop_id id)
{
    struct entry *entry = entry_of(loop, id);
    if (!entry || entry->kind == TASK || !is_there(entry))
        return;
    loop_update_now(loop);
    loop_timer_start(&entry->timer, entry->delay_ns, loop_timer_repeat(&entry->timer), on_timer);
}

static void set_ref(struct loop *loop, loop_id id, void (*timer_ref)(struct loop_handle *),
                    void (*task_ref)(struct loop_task *))
{
    struct entry *entry = entry_of(loop, id);
    if (entry && entry->kind == TASK)
        task_ref(&entry->task);
    else if (entry)
        timer_ref(&entry->timer.handle);
}

void loop_id_ref(struct loop *loop, loop_id id)
{
    set_ref(loop, id, loop_ref, loop_task_ref);
}

void loop_id_unref(struct loop *loop, loop_id id)
{
    set_ref(loop, id, loop_unref, loop_task_unref);
}

/* Each is one active timer or one queued task, but for a timeout whose function runs. */
size_t node_entries(const struct loop *loop)
{
    size_t count = 0;
    for (uint32_t i = 0; loop->node && i < loop->node->chunk_count; i++)
        for (uint32_t k = 0; k < CHUNK; k++)
            count += loop->node->chunks[i][k].kind != FREE;
    return count;
}

void node_fini(struct loop *loop)
{
    struct loop_node *node = loop->node;
    if (!node)
        return;
    for (uint32_t i = 0; i < node->chunk_count; i++) {
        for (uint32_t k = 0; k < CHUNK; k++)
            if (node->chunks[i][k].kind != FREE)
                clear(loop, &node->chunks[i][k]);
        memory_resize(&loop->options.allocator, node->chunks[i], 0);
    }
    memory_resize(&loop->options.allocator, node->chunks, 0);
    memory_resize(&loop->options.allocator, node, 0);
    loop->node = NULL;
}
