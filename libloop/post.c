/* The mailbox: the one way into a loop from other threads.
 *
 * Whoever has something for the loop pushes a parcel: a posted task, an async handle to be called,
 * a job that the pool has done. Pushing is lock-free and async-signal-safe. The loop takes all that
 * is there in one step and delivers it in order of arrival, in the poll phase, behind the
 * descriptors.
 *
 * A loop that is busy looks into its mailbox before it sleeps, so senders owe it a system call only
 * when it is asleep. Two flags, two sides: the sender pushes, then reads asleep; the loop sets
 * asleep, then looks for parcels. All four are sequentially consistent, so at least one of them
 * sees the other, and no parcel is left behind a sleeping loop. Of several senders the one that
 * clears the flag writes the eventfd. Between turns, when another loop hosts this one, the flag is
 * set too. [DOC: asleep]
 *
 * The mailbox is memory of its own with a count of its holders: the loop, every waker, every job on
 * the pool. So a sender that is too late finds it closed, and never a stale pointer or a descriptor
 * number that has a new owner.
 *
 * Alternatives not taken: a lock (a signal handler may send), an eventfd written for every parcel
 * (a system call each), a scan of all async handles (libuv's; it costs their number).
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

struct loop_mailbox {
    uint32_t holders;
    bool asleep;              /* senders must wake the loop */
    bool closed;              /* the loop is gone */
    struct loop_link *inbox;  /* newest first, linked by next alone */
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
    *mailbox =
        (struct loop_mailbox){.holders = 1, .asleep = true, .loop = loop, .allocator = *allocator};
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

/* All that has come, oldest first, linked by next alone. */
static struct loop_link *take_inbox(struct loop_mailbox *mailbox)
{
    struct loop_link *newest = atomic_swap(&mailbox->inbox, NULL);
    struct loop_link *oldest = NULL;
    while (newest) {
        struct loop_link *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* Nobody is left to deliver to. */
static void let_go(struct loop_mailbox *mailbox)
{
    struct loop_link *link = take_inbox(mailbox);
    while (link) {
        struct loop_link *next = link->next;
        parcel_of(link)->deliver(NULL, parcel_of(link));
        link = next;
    }
}

void mailbox_close(struct loop *loop)
{
    struct loop_link *link;
    watcher_stop(loop, &loop->mailbox->wake);
    while ((link = list_pop(&loop->posted)))
        parcel_of(link)->deliver(NULL, parcel_of(link));
    atomic_put(&loop->mailbox->closed, true);
    let_go(loop->mailbox);
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

/* Behind the push: either the loop's closing sees the parcel, or this sees that it has closed. The
 * caller holds the mailbox, and let_go() gives up what the parcel holds of it. */
void post_push(struct loop_mailbox *mailbox, struct loop_parcel *parcel)
{
    struct loop_link *newest = atomic_get(&mailbox->inbox);
    do
        parcel->link.next = newest;
    while (!atomic_replace(&mailbox->inbox, &newest, &parcel->link));

    if (atomic_get(&mailbox->closed))
        let_go(mailbox);
    else if (atomic_get(&mailbox->asleep) && atomic_swap(&mailbox->asleep, false))
        sys_eventfd_signal(mailbox->wake.fd);
}

bool post_waiting(const struct loop *loop)
{
    return !list_empty(&loop->posted) || atomic_get(&loop->mailbox->inbox);
}

/* Only this thread takes from the inbox, so it may be read where it is. */
bool post_keeps_alive(const struct loop *loop)
{
    for (struct loop_link *link = loop->posted.next; link != &loop->posted; link = link->next)
        if (parcel_of(link)->keeps_alive)
            return true;
    for (struct loop_link *link = atomic_get(&loop->mailbox->inbox); link; link = link->next)
        if (parcel_of(link)->keeps_alive)
            return true;
    return false;
}

void post_fetch(struct loop *loop)
{
    struct loop_link *link = atomic_get(&loop->mailbox->inbox) ? take_inbox(loop->mailbox) : NULL;
    while (link) {
        struct loop_link *next = link->next;
        list_append(&loop->posted, link);
        link = next;
    }
}

/* Up to a mark behind what has come so far: what is fetched meanwhile waits for the next turn. */
void post_deliver(struct loop *loop)
{
    struct loop_parcel mark = {.keeps_alive = false};
    struct loop_link *link;
    post_fetch(loop);
    if (list_empty(&loop->posted))
        return;
    list_append(&loop->posted, &mark.link);
    while ((link = list_pop(&loop->posted)) != &mark.link)
        parcel_of(link)->deliver(loop, parcel_of(link));
}

/* Storing is the dear part: a fence, that a turn which does not sleep need not pay. */
static void set_asleep(struct loop_mailbox *mailbox, bool asleep)
{
    if (atomic_get(&mailbox->asleep) != asleep)
        atomic_put(&mailbox->asleep, asleep);
}

bool post_may_sleep(struct loop *loop)
{
    set_asleep(loop->mailbox, true);
    return !post_waiting(loop);
}

void post_awake(struct loop *loop)
{
    set_asleep(loop->mailbox, false);
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
    struct loop_mailbox *mailbox = mailbox_retain(loop->mailbox); /* cb may end the loop */
    post_push(mailbox, &task->parcel);
    mailbox_release(mailbox);
    return 0;
}
