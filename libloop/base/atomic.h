/* Internal. Atomics on plain fields, so that public headers need no <stdatomic.h>, which C++ lacks.
 *
 * All are sequentially consistent. The state of a waker and the counts of a pool's threads need
 * exactly that, and none of the others is on a path where a weaker order would be measurable.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_ATOMIC_H
#define LOOP_BASE_ATOMIC_H

#define atomic_get(pointer)         __atomic_load_n(pointer, __ATOMIC_SEQ_CST)
#define atomic_put(pointer, value)  __atomic_store_n(pointer, value, __ATOMIC_SEQ_CST)
#define atomic_swap(pointer, value) __atomic_exchange_n(pointer, value, __ATOMIC_SEQ_CST)
#define atomic_or(pointer, bits)    __atomic_fetch_or(pointer, bits, __ATOMIC_SEQ_CST)
#define atomic_and(pointer, bits)   __atomic_fetch_and(pointer, bits, __ATOMIC_SEQ_CST)
#define atomic_add(pointer, count)  __atomic_fetch_add(pointer, count, __ATOMIC_SEQ_CST)
#define atomic_sub(pointer, count)  __atomic_fetch_sub(pointer, count, __ATOMIC_SEQ_CST)

/* Stores value if *pointer is still *expected; otherwise sets *expected to what it is. */
#define atomic_replace(pointer, expected, value)                                                   \
    __atomic_compare_exchange_n(pointer, expected, value, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

#endif
