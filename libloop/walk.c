/* Who is there: all active handles, wherever they are kept.
 *
 * A handle is on one list, its phase's if that keeps one and otherwise loop->handles, so walking
 * means visiting each of these places. There is no list of all handles: it would cost every start
 * and stop of a timer the touch of two neighbours, for a question that is asked seldom.
 *
 * Nothing is walked while it may change: a list is taken, and each handle is back in its place
 * before the callback, which may stop it, close it or free it, and any other too.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

static void walk(struct loop_link *list, loop_walk_cb cb, void *arg)
{
    struct loop_link taken;
    struct loop_link *link;
    list_take(list, &taken);
    while ((link = list_pop(&taken))) {
        list_append(list, link);
        cb(loop_container_of(link, struct loop_handle, link), arg);
    }
}

void loop_walk(struct loop *loop, loop_walk_cb cb, void *arg)
{
    timers_walk(loop, cb, arg);
    walk(&loop->idle, cb, arg);
    walk(&loop->prepare, cb, arg);
    walk(&loop->check, cb, arg);
    walk(&loop->taken_hooks, cb, arg);
    walk(&loop->ran_hooks, cb, arg);
    walk(&loop->handles, cb, arg);
}
