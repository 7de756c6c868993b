/* Internal. The injector: decides, at each outside effect, whether it fails this time.
 *
 * Calls are numbered in the order in which they are met, over all threads. A run has a plan: which
 * call is to fail, with which of the errors that it may have, and whether those behind it fail
 * too. Where the calls are in the source is known before any is met, from a section of the program
 * that each adds an entry to; how often each was met and failed is counted in memory that the
 * runs, which are processes, share with the one that started them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TORTURE_INJECTOR_H
#define TORTURE_INJECTOR_H

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { TORTURE_ERRORS_MAX = 8, TORTURE_SITES_MAX = 1024 };

/* A place in the source where an effect is asked for. */
struct torture_site {
    const char *name;
    const char *file;
    int line;
    const int *errors; /* positive, ended by 0 */
};

#define TORTURE_SITE(called, ...)                                                                  \
    __extension__({                                                                                \
        static const int torture_errors[] = {__VA_ARGS__, 0};                                      \
        static struct torture_site torture_here                                                    \
            __attribute__((section("torture_sites"), aligned(8),                                   \
                           used)) = {called, __FILE__, __LINE__, torture_errors};                  \
        &torture_here;                                                                             \
    })

enum torture_mode {
    TORTURE_COUNT,  /* nothing fails */
    TORTURE_ONCE,   /* the call number `at` fails, with its error number `error` */
    TORTURE_FROM,   /* so do all behind it */
    TORTURE_SHORT,  /* what may do less than it was asked to does one byte */
    TORTURE_EINTR,  /* each site is interrupted when it is met first */
    TORTURE_EAGAIN, /* each site that may is not ready when it is met first */
    TORTURE_MODES,
};

struct torture_plan {
    enum torture_mode mode;
    uint32_t at;
    uint32_t error;
};

/* What a run tells the process that started it. Of memory the site is who asked for it. */
struct torture_record {
    uint32_t met;      /* calls that might have failed */
    uint32_t injected; /* and did */
    uint32_t errors;   /* that the call `at` may have */
    uintptr_t last;    /* the site that failed last: a struct torture_site, or an address */
    int last_error;
    uint32_t told; /* errors that the library has told of */
    int first_told;
    char verdict[128]; /* what was wrong; empty: nothing */
};

struct torture_shared {
    struct torture_record record;
    uint32_t failures[TORTURE_SITES_MAX]; /* of each site, over all runs */
    uint32_t meetings[TORTURE_SITES_MAX];
    uintptr_t askers[TORTURE_SITES_MAX]; /* for memory */
    uint32_t asker_failures[TORTURE_SITES_MAX];
};

extern struct torture_shared *torture_shared;

void torture_share(void);
void torture_begin(struct torture_plan plan);
void torture_end(void); /* nothing fails from here on */

size_t torture_site_count(void);
const struct torture_site *torture_site_at(size_t index); /* NULL: not in the section */

/* The error that this call fails with; 0: it does not. fd -1: it has none. */
int torture_meet(struct torture_site *site, int fd);

/* An allocator for loops, that fails too, and counts. */
void *torture_resize_memory(void *ctx, void *memory, size_t size);
long torture_allocations(void);

/* What is left of a request in runs for short results: one byte. */
struct torture_message {
    struct msghdr message;
    struct iovec iov;
};

size_t torture_short_size(int fd, size_t size);
const struct iovec *torture_short_iov(int fd, struct iovec *room, const struct iovec *iov,
                                      int *count);
const struct msghdr *torture_short_message(int fd, struct torture_message *room,
                                           const struct msghdr *message);

#endif
