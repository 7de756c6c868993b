/* The mailbox: the one way into a loop from other threads.
 *
 * Whoever has something for the loop pushes a parcel: a posted task, an async handle to be called,
 * a job that the pool has done. Pushing is lock-free and async-signal-safe. The loop takes all that
 * is there in one step and delivers it in order of arrival, in the poll phase, behind the
 * descriptors.
 *
 * A loop that is busy looks into its mailbox before it sleeps, so senders owe it a system call only
 * when it is asleep. That is told by the same word that holds the parcels: a loop falls asleep by
 * putting a mark where nothing is, which fails if a parcel is there, and the sender that replaces
 * the mark by a parcel writes the eventfd. So no parcel can be left behind a sleeping loop. Between
 * turns, when another loop hosts this one, the mark is there too. [DOC: asleep]
 *
 * The mailbox is memory of its own with a count of its holders: the loop, every waker, every job on
 * the pool. So a sender that is too late finds another mark, that it is closed, and never a stale
 * pointer or a descriptor number that has a new owner. What a parcel brings about may be the end
 * of the loop, while its sender is still here: behind the push the mailbox is not touched any more,
 * but by who has a loop to wake, and holds it for so long.
 *
 * Alternatives not taken: a lock (a signal handler may send), an eventfd written for every parcel
 * (a system call each), a scan of all async handles (libuv's; it costs their number), a flag beside
 * the inbox, which has to be looked at behind every push.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

/* Marks in the place of an empty inbox. */
static struct loop_link asleep; /* whoever replaces it wakes the loop */
static struct loop_link closed; /* the loop is gone, and the mark stays */

struct loop_mailbox {
    uint32_t holders;
    struct loop_link *inbox;  /* newest first, linked by prev alone; or a mark */
    struct loop_watcher wake; /* an eventfd */
    struct loop *loop;        /* for its own thread alone */
    struct loop_allocator allocator;
};

static struct loop_parcel *parcel_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_parcel, link);
}

static void wake_ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    (void)status;
    (void)events;
    sys_eventfd_clear(watcher->fd);
}

/* Opens an eventfd and watches it. */
static int open_wake(struct loop *loop, struct loop_mailbox *mailbox)
{
    int fd = sys_eventfd();
    if (fd < 0)
        return fd;
    watcher_init(&mailbox->wake, fd, wake_ready);
    int error = watcher_start(loop, &mailbox->wake, EPOLLIN);
    if (error)
        sys_close(fd);
    return error;
}

int mailbox_open(struct loop *loop)
{
    const struct loop_allocator *allocator = &loop->options.allocator;
    struct loop_mailbox *mailbox = memory_resize(allocator, NULL, sizeof(*mailbox));
    if (!mailbox)
        return -ENOMEM;
    *mailbox = (struct loop_mailbox){.holders = 1,
                                     .inbox = &asleep,
                                     .loop = loop,
                                     .allocator = *allocator};
    int error = open_wake(loop, mailbox);
    if (error)
        memory_resize(allocator, mailbox, 0);
    else
        loop->mailbox = mailbox;
    return error;
}

struct loop_mailbox *mailbox_retain(struct loop_mailbox *mailbox)
{
    atomic_add(&mailbox->holders, 1);
    return mailbox;
}

void mailbox_release(struct loop_mailbox *mailbox)
{
    if (atomic_sub(&mailbox->holders, 1) > 1)
        return;
    struct loop_allocator allocator = mailbox->allocator;
    sys_close(mailbox->wake.fd);
    memory_resize(&allocator, mailbox, 0);
}

const struct loop_allocator *mailbox_allocator(const struct loop_mailbox *mailbox)
{
    return &mailbox->allocator;
}

/* Moves all that has come to the back of loop->posted. mark takes its place, or NULL. A parcel that
 * is pushed knows its elder: that is half of a list, and one walk to the oldest makes the rest. */
static void take_inbox(struct loop *loop, struct loop_link *mark)
{
    struct loop_link *newest = atomic_swap(&loop->mailbox->inbox, mark);
    struct loop_link *posted = &loop->posted, *younger = posted;
    if (!newest || newest == &asleep)
        return;
    for (struct loop_link *link = newest; link; link = link->prev) {
        link->next = younger;
        younger = link;
    }
    younger->prev = posted->prev;
    posted->prev->next = younger;
    posted->prev = newest;
}

void mailbox_close(struct loop *loop)
{
    struct loop_link *link;
    watcher_stop(loop, &loop->mailbox->wake);
    take_inbox(loop, &closed);
    while ((link = list_pop(&loop->posted)))
        parcel_of(link)->deliver(NULL, parcel_of(link));
    mailbox_release(loop->mailbox);
    loop->mailbox = NULL;
}

int mailbox_reopen(struct loop *loop)
{
    struct loop_mailbox *mailbox = loop->mailbox;
    watcher_stop(loop, &mailbox->wake);
    sys_close(mailbox->wake.fd);
    return open_wake(loop, mailbox);
}

/* The caller holds the mailbox, or knows that the loop will be there until the parcel is in it. */
static bool push_and_wake(struct loop_mailbox *mailbox, struct loop_parcel *parcel)
{
    struct loop_link *before = &asleep;
    mailbox_retain(mailbox);
    parcel->link.prev = NULL;
    bool pushed = atomic_replace(&mailbox->inbox, &before, &parcel->link);
    if (pushed)
        sys_eventfd_signal(mailbox->wake.fd);
    mailbox_release(mailbox);
    return pushed;
}

/* Of a loop that is gone nothing is left that could be ended by delivering. Not inline, so that
 * who finds parcels or nothing, which is nearly everybody, calls nothing and saves no registers. */
static __attribute__((noinline)) void
push_on_mark(struct loop_mailbox *mailbox, struct loop_parcel *parcel, const struct loop_link *mark)
{
    if (mark == &closed)
        parcel->deliver(NULL, parcel);
    else if (!push_and_wake(mailbox, parcel))
        post_push(mailbox, parcel);
}

void post_push(struct loop_mailbox *mailbox, struct loop_parcel *parcel)
{
    struct loop_link *newest = atomic_get(&mailbox->inbox);
    while (newest != &asleep && newest != &closed) {
        parcel->link.prev = newest;
        if (atomic_replace(&mailbox->inbox, &newest, &parcel->link))
            return;
    }
    push_on_mark(mailbox, parcel, newest);
}

/* The first of what is in the inbox, newest first. The loop's thread: only it takes from there. */
static struct loop_link *newest_of(const struct loop *loop)
{
    struct loop_link *newest = atomic_get(&loop->mailbox->inbox);
    return newest == &asleep ? NULL : newest;
}

bool post_waiting(const struct loop *loop)
{
    return !list_empty(&loop->posted) || newest_of(loop);
}

bool post_keeps_alive(const struct loop *loop)
{
    for (struct loop_link *link = loop->posted.next; link != &loop->posted; link = link->next)
        if (parcel_of(link)->keeps_alive)
            return true;
    for (struct loop_link *link = newest_of(loop); link; link = link->prev)
        if (parcel_of(link)->keeps_alive)
            return true;
    return false;
}

void post_fetch(struct loop *loop)
{
    if (newest_of(loop))
        take_inbox(loop, NULL);
}

/* What lies between two marks: what is fetched meanwhile is behind them and waits for the next
 * turn. The first keeps the head of the list out of it, which lies beside what senders read. */
void post_deliver(struct loop *loop)
{
    struct loop_parcel first = {.keeps_alive = false}, last = {.keeps_alive = false};
    struct loop_link *link;
    post_fetch(loop);
    if (list_empty(&loop->posted))
        return;
    list_append(loop->posted.next, &first.link);
    list_append(&loop->posted, &last.link);
    while ((link = first.link.next) != &last.link) {
        list_remove(link);
        parcel_of(link)->deliver(loop, parcel_of(link));
    }
    list_remove(&first.link);
    list_remove(&last.link);
}

/* Puts one mark, or none, in the place of another. false: it was not there. */
static bool change_mark(struct loop_mailbox *mailbox, struct loop_link *from, struct loop_link *to)
{
    struct loop_link *seen = from;
    while (seen == from)
        if (atomic_replace(&mailbox->inbox, &seen, to))
            return true;
    return false;
}

bool post_may_sleep(struct loop *loop)
{
    struct loop_mailbox *mailbox = loop->mailbox;
    bool marked = change_mark(mailbox, NULL, &asleep) || atomic_get(&mailbox->inbox) == &asleep;
    return marked && list_empty(&loop->posted);
}

void post_awake(struct loop *loop)
{
    change_mark(loop->mailbox, &asleep, NULL);
}

static void deliver_task(struct loop *loop, struct loop_parcel *parcel)
{
    if (loop)
        task_run(loop_container_of(parcel, struct loop_task, parcel));
}

/* What is not a task is a send to a closed handle, or a job whose request was cancelled. */
bool post_has_tasks(struct loop *loop)
{
    post_fetch(loop);
    for (struct loop_link *link = loop->posted.next; link != &loop->posted; link = link->next)
        if (parcel_of(link)->deliver == deliver_task)
            return true;
    return false;
}

int loop_post(struct loop *loop, struct loop_task *task, loop_task_cb cb)
{
    if (!loop || !task || !cb)
        return -EINVAL;
    task_prepare(loop, task, cb, TASK_POSTED);
    task->parcel.deliver = deliver_task;
    task->parcel.keeps_alive = !task->unref;
    post_push(loop->mailbox, &task->parcel);
    return 0;
}
