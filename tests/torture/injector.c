/* The injector: see injector.h.
 *
 * EAGAIN is an answer only where nobody promised to wait: descriptors that block do not give it.
 * Fewer bytes than asked for are given by regular files, pipes, terminals and stream sockets, but
 * not by datagrams, eventfds and the like, which are whole or not at all.
 *
 * In runs where all fails from some call on, what passes by itself (EINTR, EAGAIN) is left out: the
 * library may try such a call again for ever, and should.
 *
 * SPDX-License-Identifier: MIT */
#include "injector.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

extern struct torture_site __start_torture_sites[];
extern struct torture_site __stop_torture_sites[];

struct torture_shared *torture_shared;

static struct torture_plan plan;
static long allocations; /* any thread */
static bool on;
static bool interrupted[TORTURE_SITES_MAX];

void torture_share(void)
{
    torture_shared = mmap(NULL, sizeof(*torture_shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (torture_shared == MAP_FAILED)
        abort();
}

void torture_begin(struct torture_plan chosen)
{
    plan = chosen;
    torture_shared->record = (struct torture_record){0};
    __atomic_store_n(&on, true, __ATOMIC_SEQ_CST);
}

void torture_end(void)
{
    __atomic_store_n(&on, false, __ATOMIC_SEQ_CST);
}

size_t torture_site_count(void)
{
    return (size_t)(__stop_torture_sites - __start_torture_sites);
}

const struct torture_site *torture_site_at(size_t index)
{
    return &__start_torture_sites[index];
}

/* Whether a call on this descriptor may say EAGAIN. */
static bool may_be_unready(const char *name, int fd)
{
    struct stat stat;
    if (fd < 0 || strcmp(name, "read_cached") == 0 || fstat(fd, &stat) < 0)
        return true;
    return S_ISSOCK(stat.st_mode) || (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* An eventfd, a timerfd, inotify: nothing behind it that could break. */
static bool is_pure(int fd)
{
    struct stat stat;
    return fd >= 0 && fstat(fd, &stat) == 0 && (stat.st_mode & S_IFMT) == 0;
}

static bool passes(int error)
{
    return error == EINTR || error == EAGAIN;
}

static uint32_t count_of(const int *errors)
{
    uint32_t count = 0;
    while (errors[count])
        count++;
    return count;
}

static bool has(const int *errors, int wanted)
{
    for (; *errors; errors++)
        if (*errors == wanted)
            return true;
    return false;
}

/* thread_start has no descriptor, and its EAGAIN lasts. */
static int lasting(const int *errors, int fd)
{
    return fd < 0 || !passes(errors[0]) ? errors[0] : 0;
}

static int first_time(const int *errors, uint32_t index, int error)
{
    if (!has(errors, error) || __atomic_exchange_n(&interrupted[index], true, __ATOMIC_SEQ_CST))
        return 0;
    return error;
}

/* The error for the call number `number`; 0: none. */
static int choose(const int *errors, uint32_t index, int fd, uint32_t number)
{
    switch (plan.mode) {
    case TORTURE_ONCE:
        if (number != plan.at)
            return 0;
        torture_shared->record.errors = count_of(errors);
        return plan.error < count_of(errors) ? errors[plan.error] : 0;
    case TORTURE_FROM:
        return number >= plan.at ? lasting(errors, fd) : 0;
    case TORTURE_EINTR:
        return first_time(errors, index, EINTR);
    case TORTURE_EAGAIN:
        return fd < 0 ? 0 : first_time(errors, index, EAGAIN);
    default:
        return 0;
    }
}

static void note(uintptr_t where, int error)
{
    torture_shared->record.last = where;
    torture_shared->record.last_error = error;
    __atomic_add_fetch(&torture_shared->record.injected, 1, __ATOMIC_RELAXED);
}

int torture_meet(struct torture_site *site, int fd)
{
    if (!__atomic_load_n(&on, __ATOMIC_SEQ_CST))
        return 0;
    uint32_t index = (uint32_t)(site - __start_torture_sites);
    uint32_t number = __atomic_add_fetch(&torture_shared->record.met, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&torture_shared->meetings[index], 1, __ATOMIC_RELAXED);
    int error = choose(site->errors, index, fd, number);
    if (error == EAGAIN && !may_be_unready(site->name, fd))
        error = 0;
    if (error == EIO && strcmp(site->name, "read") == 0 && is_pure(fd))
        error = 0;
    if (!error)
        return 0;
    note((uintptr_t)site, error);
    __atomic_add_fetch(&torture_shared->failures[index], 1, __ATOMIC_RELAXED);
    return error;
}

/* Memory. Who asks is one frame up: the library is built so that there is one for each call. */

static uint32_t asker_index(uintptr_t asker)
{
    uint32_t index = 0;
    while (index < TORTURE_SITES_MAX - 1) {
        uintptr_t none = 0;
        if (__atomic_load_n(&torture_shared->askers[index], __ATOMIC_SEQ_CST) == asker ||
            __atomic_compare_exchange_n(&torture_shared->askers[index], &none, asker, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            none == asker)
            break;
        index++;
    }
    return index;
}

static bool memory_fails(uintptr_t asker)
{
    static const int errors[] = {ENOMEM, 0};
    if (!__atomic_load_n(&on, __ATOMIC_SEQ_CST))
        return false;
    uint32_t number = __atomic_add_fetch(&torture_shared->record.met, 1, __ATOMIC_RELAXED);
    uint32_t index = asker_index(asker);
    if (!choose(errors, index, -1, number))
        return false;
    note(asker, ENOMEM);
    __atomic_add_fetch(&torture_shared->asker_failures[index], 1, __ATOMIC_RELAXED);
    return true;
}

#pragma GCC diagnostic ignored "-Wframe-address" /* they are there: see meson.build */

void *torture_resize_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size > 0 && memory_fails((uintptr_t)__builtin_return_address(1)))
        return NULL;
    if (!memory && size > 0)
        __atomic_add_fetch(&allocations, 1, __ATOMIC_SEQ_CST);
    if (size > 0)
        return realloc(memory, size);
    if (memory)
        __atomic_sub_fetch(&allocations, 1, __ATOMIC_SEQ_CST);
    free(memory);
    return NULL;
}

long torture_allocations(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_SEQ_CST);
}

/* Short results. */

static bool may_be_short(int fd)
{
    struct stat stat;
    int type;
    socklen_t size = sizeof(type);
    if (plan.mode != TORTURE_SHORT || !__atomic_load_n(&on, __ATOMIC_SEQ_CST))
        return false;
    if (fd < 0)
        return true;
    if (fstat(fd, &stat) < 0)
        return false;
    if (S_ISSOCK(stat.st_mode))
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
    return S_ISREG(stat.st_mode) || S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode);
}

static void note_short(void)
{
    __atomic_add_fetch(&torture_shared->record.injected, 1, __ATOMIC_RELAXED);
}

size_t torture_short_size(int fd, size_t size)
{
    if (size < 2 || !may_be_short(fd))
        return size;
    note_short();
    return 1;
}

const struct iovec *torture_short_iov(int fd, struct iovec *room, const struct iovec *iov,
                                      int *count)
{
    if (!may_be_short(fd))
        return iov;
    for (int i = 0; i < *count; i++)
        if (iov[i].iov_len > 0) {
            *room = (struct iovec){iov[i].iov_base, 1};
            *count = 1;
            note_short();
            return room;
        }
    return iov;
}

const struct msghdr *torture_short_message(int fd, struct torture_message *room,
                                           const struct msghdr *message)
{
    int count = (int)message->msg_iovlen;
    const struct iovec *iov = torture_short_iov(fd, &room->iov, message->msg_iov, &count);
    if (iov != &room->iov)
        return message;
    room->message = *message;
    room->message.msg_iov = &room->iov;
    room->message.msg_iovlen = 1;
    return &room->message;
}
