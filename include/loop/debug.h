/* Public. libloop-debug: a library of its own, on libunwind.
 *
 * A program that links it (pkg-config loop-debug) sees a backtrace behind the sentence of each
 * panic. It is apart from the core because linking libunwind replaces the C library's backtrace(3)
 * for the whole program.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_DEBUG_H
#define LOOP_DEBUG_H

#include "core.h"

/* Has every panic print a backtrace from now on. The library does it by itself when it is loaded;
 * calling it makes sure that a linker does not leave the library out. Any thread. */
LOOP_API void loop_debug_init(void);

/* The stack of the calling thread as text, a frame a line, written to a descriptor. Any thread; not
 * a signal handler. */
LOOP_API void loop_debug_backtrace(int fd);

#endif
