/* Internal. The end of a program in which memory can no longer be trusted.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_PANIC_H
#define LOOP_BASE_PANIC_H

/* Says on standard error what was done and what to do instead, in one sentence, and aborts. In
 * every build: in C the mistakes that end here are most often a use after free that has begun. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
