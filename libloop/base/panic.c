/* Panic: a mistake of the program after which going on would corrupt memory.
 *
 * What the world does to a program (a peer that hangs up, a full table, no memory) is an error and
 * is returned. What a program does to itself and can be told cheaply is an error too, with no
 * change of state. What is left ends here: a handle closed twice, a request reused in flight, a
 * call from the wrong thread, a descriptor of the loop closed by somebody else.
 *
 * The sentence goes straight to the descriptor: stdio may be what is broken. libloop-debug sets the
 * callback to add a backtrace; the core itself depends on libc alone.
 *
 * SPDX-License-Identifier: MIT */
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>

#include "loop/core.h"

#include "base/atomic.h"
#include "base/list.h"
#include "sys.h"

static loop_panic_cb panic_cb;

void loop_set_panic_cb(loop_panic_cb cb)
{
    atomic_put(&panic_cb, cb);
}

void panic(const char *format, ...)
{
    char message[512] = "libloop: panic: ";
    size_t used = strlen(message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + used, sizeof(message) - used - 1, format, arguments);
    va_end(arguments);
    used = strlen(message);
    message[used] = '\n';
    sys_write(STDERR_FILENO, message, used + 1);
    message[used] = '\0';

    loop_panic_cb cb = atomic_get(&panic_cb);
    if (cb)
        cb(message);
    sys_abort();
}

void list_corrupt(void)
{
    panic("a list is corrupt: something was freed or initialised while it was active or queued; "
          "stop, cancel or close it first");
}
