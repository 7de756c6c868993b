/* Watchers: a descriptor, and what epoll is to tell of it.
 *
 * A watcher's first registration goes to the kernel at once, so that the caller is told of a bad
 * descriptor; later changes of interest are gathered and told before sleeping, those that cancel
 * out not at all. Stopping tells the kernel at once, always before anybody closes the descriptor:
 * epoll watches the open file behind it, which a dup or a child's copy keeps open, and whose events
 * nobody could then stop.
 *
 * An event bears the descriptor's number and a generation that changes with each watcher. So one
 * that was fetched for a watcher stopped earlier in the same batch is dropped, and the next owner
 * of the number never sees it.
 *
 * Alternatives not taken: edge-triggered watching (a callback that reads only part would hang),
 * registering by pointer (a stale event would lead into freed memory), a probe of each descriptor.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

/* A forked child shares the epoll set with its parent, and must leave it alone. */
static int control(struct loop *loop, int operation, const struct loop_watcher *watcher)
{
    if (forked(loop))
        return -ECHILD;
    struct loop_poller *poller = &loop->poller;
    return sys_epoll_ctl(poller->epoll_fd, operation, watcher->fd, watcher->wanted,
                         watcher_tag(poller, watcher->fd));
}

/* Room for the descriptor's slot. */
static int reserve(struct loop *loop, int fd)
{
    struct loop_poller *poller = &loop->poller;
    uint32_t needed = (uint32_t)fd + 1;
    if (needed <= poller->slot_count)
        return 0;
    uint32_t count = needed > 2 * poller->slot_count ? needed + 15 : 2 * poller->slot_count;
    struct loop_poll_slot *slots =
        memory_resize(&loop->options.allocator, poller->slots, count * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + poller->slot_count, 0, (count - poller->slot_count) * sizeof(*slots));
    poller->slots = slots;
    poller->slot_count = count;
    return 0;
}

void watcher_init(struct loop_watcher *watcher, int fd,
                  void (*ready)(struct loop_watcher *watcher, int status, uint32_t events))
{
    *watcher = (struct loop_watcher){.ready = ready, .fd = fd};
    list_init(&watcher->changed);
}

static void mark_changed(struct loop_poller *poller, struct loop_watcher *watcher)
{
    if (list_empty(&watcher->changed))
        list_append(&poller->changed, &watcher->changed);
}

/* The slot may seem taken though the kernel does not know the descriptor: then it was closed and
 * its number given out again behind the old watcher's back, which is told so in the next poll. */
static int add(struct loop *loop, struct loop_watcher *watcher)
{
    struct loop_poller *poller = &loop->poller;
    if (watcher->fd < 0)
        return -EBADF;
    int error = reserve(loop, watcher->fd);
    if (error)
        return error;
    struct loop_poll_slot *slot = &poller->slots[watcher->fd];
    struct loop_watcher *before = slot->watcher;
    slot->generation += before != NULL;
    error = control(loop, EPOLL_CTL_ADD, watcher);
    if (error) {
        slot->generation -= before != NULL;
        return error;
    }
    if (before)
        mark_changed(poller, before);
    list_remove(&watcher->changed); /* it may have been among the lost */
    slot->watcher = watcher;
    watcher->known = watcher->wanted;
    return 0;
}

/* Wanting nothing for a while is a change like others: it may be over before the kernel hears. */
int watcher_start(struct loop *loop, struct loop_watcher *watcher, uint32_t wanted)
{
    uint32_t before = watcher->wanted;
    watcher->wanted = wanted;
    if (watcher->known) {
        if (wanted != before)
            mark_changed(&loop->poller, watcher);
        return 0;
    }
    int error = wanted ? add(loop, watcher) : 0;
    if (error)
        watcher->wanted = before;
    return error;
}

static bool owns_slot(const struct loop_poller *poller, const struct loop_watcher *watcher)
{
    return watcher->known && poller->slots[watcher->fd].watcher == watcher;
}

/* Events fetched before this are stale from here on. [DOC: generation] */
static void forget(struct loop_poller *poller, struct loop_watcher *watcher)
{
    if (owns_slot(poller, watcher)) {
        poller->slots[watcher->fd].watcher = NULL;
        poller->slots[watcher->fd].generation++;
    }
    list_remove(&watcher->changed); /* or from the lost */
    watcher->wanted = watcher->known = 0;
}

/* That the kernel does not know the descriptor any more is what we wanted. */
void watcher_stop(struct loop *loop, struct loop_watcher *watcher)
{
    if (owns_slot(&loop->poller, watcher))
        control(loop, EPOLL_CTL_DEL, watcher);
    forget(&loop->poller, watcher);
}

/* Hang-ups are reported even to those who want nothing, so nothing must be known of them. */
static void apply_change(struct loop *loop, struct loop_watcher *watcher)
{
    int error = -EBADF;
    if (watcher->wanted == 0) {
        watcher_stop(loop, watcher);
        return;
    }
    if (owns_slot(&loop->poller, watcher)) {
        if (watcher->wanted == watcher->known)
            return;
        error = control(loop, EPOLL_CTL_MOD, watcher);
    }
    if (!error) {
        watcher->known = watcher->wanted;
        return;
    }
    forget(&loop->poller, watcher);
    list_append(&loop->poller.lost, &watcher->changed);
}

bool watchers_apply(struct loop *loop)
{
    struct loop_link taken;
    struct loop_link *link;
    if (list_empty(&loop->poller.changed))
        return true;
    list_take(&loop->poller.changed, &taken);
    while ((link = list_pop(&taken)))
        apply_change(loop, loop_container_of(link, struct loop_watcher, changed));
    return list_empty(&loop->poller.lost);
}

/* They were closed behind their handles' backs. */
void watchers_tell_lost(struct loop *loop)
{
    struct loop_link taken;
    struct loop_link *link;
    if (list_empty(&loop->poller.lost))
        return;
    list_take(&loop->poller.lost, &taken);
    while ((link = list_pop(&taken))) {
        struct loop_watcher *watcher = loop_container_of(link, struct loop_watcher, changed);
        watcher->ready(watcher, -EBADF, 0);
    }
}

int poller_open(struct loop *loop)
{
    struct loop_poller *poller = &loop->poller;
    list_init(&poller->changed);
    list_init(&poller->lost);
    poller->timer.fd = -1;
    poller->armed_ns = LOOP_NEVER;
    poller->epoll_fd = sys_epoll_create();
    if (poller->epoll_fd < 0)
        return poller->epoll_fd;
    poller->events = memory_resize(&loop->options.allocator, NULL,
                                   loop->options.events_max * sizeof(struct epoll_event));
    if (poller->events)
        return 0;
    sys_close(poller->epoll_fd);
    return -ENOMEM;
}

void *poller_lend(struct loop *loop)
{
    if (!loop->poller.lent)
        loop->poller.lent = memory_resize(&loop->options.allocator, NULL, LOOP_LENT_SIZE);
    return loop->poller.lent;
}

void poller_close(struct loop *loop)
{
    struct loop_poller *poller = &loop->poller;
    if (poller->timer.fd >= 0)
        sys_close(poller->timer.fd);
    sys_close(poller->epoll_fd);
    memory_resize(&loop->options.allocator, poller->events, 0);
    memory_resize(&loop->options.allocator, poller->slots, 0);
    memory_resize(&loop->options.allocator, poller->lent, 0);
}

/* All that was watched is watched again, but for the timer, which comes back with the next
 * sleep. */
int poller_reopen(struct loop *loop)
{
    struct loop_poller *poller = &loop->poller;
    int epoll_fd = sys_epoll_create();
    if (epoll_fd < 0)
        return epoll_fd;
    sys_close(poller->epoll_fd);
    poller->epoll_fd = epoll_fd;
    loop->fork_generation = fork_generation();
    if (poller->timer.fd >= 0) {
        forget(poller, &poller->timer);
        sys_close(poller->timer.fd);
    }
    poller->timer.fd = -1;
    poller->armed_ns = LOOP_NEVER;
    int error = 0;
    for (uint32_t fd = 0; fd < poller->slot_count && !error; fd++) {
        struct loop_watcher *watcher = poller->slots[fd].watcher;
        if (watcher && watcher->wanted == 0)
            forget(poller, watcher);
        else if (watcher)
            error = control(loop, EPOLL_CTL_ADD, watcher);
    }
    return error;
}
