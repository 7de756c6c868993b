/* The contexts of makecontext(3), for a C library that has none: musl. The simulator's threads are
 * such contexts.
 *
 * As much as that needs: a function without arguments, that never returns, and a switch that keeps
 * what a call must keep. Signal masks and the state of floating-point numbers stay as they are, so
 * that no system call is made. For x86-64 alone; on other processors there is no simulator without
 * glibc. The alternative, threads that wait for each other, would leave one behind for each context
 * that is not gone back to.
 *
 * SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Puts the registers that a call keeps, and where to go on, on the stack; and the stack away. */
void small_switch(void **from, void *to);

__asm__(".text\n"
        ".globl small_switch\n"
        ".type small_switch, @function\n"
        "small_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size small_switch, . - small_switch\n");

int getcontext(ucontext_t *context)
{
    context->uc_stack.ss_sp = NULL;
    return 0;
}

/* As if it had been left just before its first instruction, with the stack as behind a call. */
void makecontext(ucontext_t *context, void (*run)(void), int count, ...)
{
    enum { KEPT = 6 };
    uintptr_t top = (uintptr_t)context->uc_stack.ss_sp + context->uc_stack.ss_size;
    void **stack = (void **)(top & ~(uintptr_t)15);
    (void)count;
    *--stack = NULL; /* where it would return to */
    *--stack = (void *)(uintptr_t)run;
    for (int i = 0; i < KEPT; i++)
        *--stack = NULL;
    context->uc_stack.ss_sp = stack;
}

int swapcontext(ucontext_t *restrict from, const ucontext_t *restrict to)
{
    small_switch(&from->uc_stack.ss_sp, to->uc_stack.ss_sp);
    return 0;
}
