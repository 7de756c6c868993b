/* Internal. A list that any thread may put to and one thread takes whole, without a lock.
 *
 * libuv and libev wake a loop from another thread but carry nothing: their users keep a queue
 * beside the wake-up. Most guard it by a mutex. This one is as quick as such a queue gets, so that
 * the figure speaks of the library and not of the mutex: one swap puts, one takes all, and the
 * putter learns whether the owner has to be told.
 *
 * Nothing is ever taken singly, so a mail that comes back at the same address while another thread
 * is putting does no harm.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_MAILBOX_H
#define BENCH_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mail {
    struct mail *next;
};

struct mailbox {
    _Atomic(struct mail *) newest;
};

/* True if the mailbox was empty: the owner does not know yet. The mail must not be touched after
 * this, the owner may have it already. */
static inline bool mailbox_put(struct mailbox *mailbox, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do
        mail->next = newest;
    while (!atomic_compare_exchange_weak(&mailbox->newest, &newest, mail));
    return newest == NULL;
}

/* All that is there, oldest first. */
static inline struct mail *mailbox_take(struct mailbox *mailbox)
{
    struct mail *mail = atomic_exchange(&mailbox->newest, NULL);
    struct mail *oldest = NULL;
    while (mail != NULL) {
        struct mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    return oldest;
}

#endif
