/* Two handles for one signal and one for another, which the process sends to itself; and the
 * orderly end of a server at SIGTERM, which is asked for and then forgotten. The first handle
 * of a loop opens a descriptor, and each may need memory. A signal that came must be told to
 * every handle that waits for it, and with the last of them the handler must be gone, which
 * the run that follows on the same loop would notice.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <signal.h>

static struct loop_signal first, second, once;
static struct loop_graceful graceful;
static int told;

static void on_signal(struct loop_signal *handle, int number)
{
    (void)number;
    told++;
    shut(&handle->handle);
}

static void on_graceful(struct loop_graceful *end, int number)
{
    (void)end;
    (void)number;
}

static void start(struct loop *loop)
{
    told = 0;
    loop_signal_init(loop, &first);
    loop_signal_init(loop, &second);
    loop_signal_init(loop, &once);
    if (ok(loop_graceful_start(loop, &graceful, LOOP_SEC, on_graceful, NULL)))
        loop_graceful_stop(&graceful);
    if (!ok(loop_signal_start(&first, SIGUSR1, on_signal)) ||
        !ok(loop_signal_start(&second, SIGUSR1, on_signal)) ||
        !ok(loop_signal_start_once(&once, SIGUSR2, on_signal)))
        return;
    raise(SIGUSR1);
    raise(SIGUSR2);
}

static bool done(void)
{
    return told == 3;
}

const struct scenario signal_scenario = {.name = "signal",
                                         .clock = LOOP_CLOCK_MONOTONIC,
                                         .start = start,
                                         .done = done};
