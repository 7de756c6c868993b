/* Work on the shared pool, some of it cancelled. A thread that cannot be started is no
 * error as long as another exists; without any the work is refused, and nothing of it
 * is left. A cancelled piece calls back once, with -ECANCELED, whether a thread had
 * begun with it or not, so the number of callbacks says more here than the number of
 * runs. Every second piece has data, which are released once, if the piece was not
 * refused.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

enum { COUNT = 6 };

static struct loop_work works[COUNT];
static int ran, came, canceled, released;

static void run(void *data)
{
    (void)data;
    __atomic_add_fetch(&ran, 1, __ATOMIC_SEQ_CST);
}

static void on_done(struct loop_work *work, int status)
{
    (void)work;
    ended();
    came++;
    canceled += status == -ECANCELED;
    ok(status);
}

static void on_release(void *data)
{
    (void)data;
    ended();
    released++;
}

/* The release is one more callback to come; for work that is refused it must not. */
static void start(struct loop *loop)
{
    ran = came = canceled = released = 0;
    for (int i = 0; i < COUNT; i++) {
        works[i].release = i % 2 ? on_release : NULL;
        bool well = began(loop_work(loop, &works[i], run, on_done));
        if (well && works[i].release)
            began(0);
    }
    loop_request_cancel(&works[COUNT - 1].request);
}

static bool done(void)
{
    return came == COUNT && canceled == 1 && released == COUNT / 2 &&
           __atomic_load_n(&ran, __ATOMIC_SEQ_CST) >= COUNT - 1;
}

const struct scenario work_scenario = {.name = "work",
                                       .clock = LOOP_CLOCK_MONOTONIC,
                                       .start = start,
                                       .done = done};
