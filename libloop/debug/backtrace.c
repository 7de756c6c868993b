/* libloop-debug: the backtrace behind a panic, by libunwind.
 *
 * A library of its own, because linking libunwind replaces the C library's backtrace(3) and parts
 * of C++'s exception handling for the whole program, which a program that only wants a loop must
 * not be made to accept. Loading it is enough: it registers itself with the core.
 *
 * A panic is an ordinary call on an ordinary stack, so the stack may be walked and named on the
 * spot. Names come from the symbol tables, static functions included; where there is none the
 * address is given, for addr2line(1).
 *
 * SPDX-License-Identifier: MIT */
#define UNW_LOCAL_ONLY
#include "loop/debug.h"

#include <libunwind.h>
#include <stdio.h>
#include <unistd.h>

static void print_frame(int fd, unw_cursor_t *cursor, unsigned number)
{
    char line[320];
    char name[256];
    unw_word_t address = 0;
    unw_word_t offset = 0;
    unw_get_reg(cursor, UNW_REG_IP, &address);
    int length;
    if (unw_get_proc_name(cursor, name, sizeof(name), &offset) == 0)
        length =
            snprintf(line, sizeof(line), "  #%-2u %s+0x%lx\n", number, name, (unsigned long)offset);
    else
        length = snprintf(line, sizeof(line), "  #%-2u 0x%lx\n", number, (unsigned long)address);
    if (length > 0 && write(fd, line, (size_t)length) < 0)
        return; /* there is nobody else to tell */
}

void loop_debug_backtrace(int fd)
{
    enum { FRAMES_MAX = 64 };
    unw_context_t context;
    unw_cursor_t cursor;
    unw_getcontext(&context);
    unw_init_local(&cursor, &context);
    for (unsigned i = 0; i < FRAMES_MAX && unw_step(&cursor) > 0; i++)
        print_frame(fd, &cursor, i);
}

static void on_panic(const char *message)
{
    (void)message;
    loop_debug_backtrace(STDERR_FILENO);
}

__attribute__((constructor)) void loop_debug_init(void)
{
    loop_set_panic_cb(on_panic);
}
