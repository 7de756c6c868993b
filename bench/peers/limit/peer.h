/* Internal. The limit where threads meet: the least that can do the work, as one would write it by
 * hand for one program. It is no library: nothing is checked, traced, closed or kept alive, there
 * is one async handle to a loop and nothing else to wait for.
 *
 * The wake-up is an eventfd, watched edge-triggered and never read. It is written only while the
 * loop is asleep: the sender first leaves its message, then looks at the flag; the loop first sets
 * the flag, then looks for messages. All four are sequentially consistent, so one of the two sees
 * the other. Every turn polls, as a loop with descriptors must.
 *
 * What a sender wrote before is visible to the callback, as it is with libloop; for that a send is
 * an exchange and not a mere load.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"
#include "mailbox.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct peer_loop {
    int epoll_fd;
    int event_fd;
    bool stopping;
    atomic_bool asleep;
    struct peer_async *async; /* NULL: none */
    struct mailbox mailbox;
};

struct peer_task {
    struct mail mail;
};

struct peer_async {
    struct peer_loop *loop;
    atomic_bool sent;
};

/* The first to find the loop asleep wakes it. */
static inline void peer_wake(struct peer_loop *peer)
{
    if (!atomic_load(&peer->asleep) || !atomic_exchange(&peer->asleep, false))
        return;
    const uint64_t one = 1;
    bench_require(write(peer->event_fd, &one, sizeof one) == sizeof one, "write");
}

static inline void peer_task_init(struct peer_loop *peer, struct peer_task *task)
{
    (void)peer;
    task->mail = (struct mail){0};
}

static inline void peer_post(struct peer_loop *peer, struct peer_task *task)
{
    if (mailbox_put(&peer->mailbox, &task->mail))
        peer_wake(peer);
}

static inline void peer_async_init(struct peer_loop *peer, struct peer_async *async)
{
    async->loop = peer;
    atomic_init(&async->sent, false);
    peer->async = async;
}

static inline void peer_async_send(struct peer_async *async)
{
    if (!atomic_exchange(&async->sent, true))
        peer_wake(async->loop);
}

static inline void peer_loop_init_threaded(struct peer_loop *peer)
{
    *peer = (struct peer_loop){
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int error = epoll_ctl(peer->epoll_fd, EPOLL_CTL_ADD, peer->event_fd, &event);
    bench_require(error == 0, "epoll_ctl");
}

static inline bool peer_has_messages(struct peer_loop *peer)
{
    return atomic_load(&peer->mailbox.newest) != NULL ||
           (peer->async != NULL && atomic_load(&peer->async->sent));
}

/* Announces the sleep before the last look, so that no message falls between the two. */
static inline bool peer_may_sleep(struct peer_loop *peer)
{
    atomic_store(&peer->asleep, true);
    if (!peer_has_messages(peer))
        return true;
    atomic_store(&peer->asleep, false);
    return false;
}

static inline void peer_poll(struct peer_loop *peer)
{
    struct epoll_event event;
    int timeout_ms = peer_may_sleep(peer) ? -1 : 0;
    bench_require(epoll_wait(peer->epoll_fd, &event, 1, timeout_ms) >= 0, "epoll_wait");
    atomic_store(&peer->asleep, false);
}

static inline void peer_deliver(struct peer_loop *peer)
{
    if (peer->async != NULL && atomic_exchange(&peer->async->sent, false))
        on_async(peer->async);
    struct mail *mail = mailbox_take(&peer->mailbox);
    while (mail != NULL) {
        struct mail *next = mail->next; /* before the callback: it may post the task again */
        on_posted(bench_container_of(mail, struct peer_task, mail));
        mail = next;
    }
}

static inline void peer_run(struct peer_loop *peer)
{
    peer->stopping = false;
    while (!peer->stopping) {
        peer_poll(peer);
        peer_deliver(peer);
    }
}

static inline void peer_stop(struct peer_loop *peer)
{
    peer->stopping = true;
}

#endif
