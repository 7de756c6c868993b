/* epoll and eventfd.
 *
 * As in Linux an entry belongs to a pair of open file description and descriptor number. Closing
 * the number leaves the entry alone as long as another number, here or in another process, points
 * at the description; its events then come for ever, and since the number does not lead to the
 * description any more nobody can take the entry away. Hang-ups and errors are reported to those
 * who asked for nothing.
 *
 * What is ready is reported in an order of chance, at times in part. An entry that is reported
 * again and again without one system call for its descriptor is one that somebody should have taken
 * away or understood: the loop spins.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

enum { WATCHES_MAX = 512, IGNORED_MAX = 24 };

struct watch {
    struct file *file; /* NULL: free */
    struct file *epoll;
    int fd;
    uint32_t events;
    uint64_t tag;
    unsigned seen;    /* the file's pulse when it was reported last */
    unsigned ignored; /* reports since a call for the descriptor */
};

struct epoll_file {
    struct file file;
};

struct event_file {
    struct file file;
    uint64_t count;
};

static struct watch watches[WATCHES_MAX];
static unsigned used; /* none is used from here on */
static uint64_t waits;

void epoll_begin(void)
{
    memset(watches, 0, sizeof(watches));
    used = 0;
    waits = 0;
}

uint64_t epoll_waits(void)
{
    return waits;
}

void epoll_forget(const struct file *file)
{
    for (unsigned i = 0; i < used; i++)
        if (watches[i].file == file || watches[i].epoll == file)
            watches[i].file = NULL;
}

void epoll_touched(int fd)
{
    for (unsigned i = 0; i < used; i++)
        if (watches[i].fd == fd)
            watches[i].ignored = 0;
}

uint32_t epoll_wanted(int fd)
{
    for (unsigned i = 0; i < used; i++)
        if (watches[i].file && watches[i].fd == fd && watches[i].file == file_of(fd))
            return watches[i].events;
    return 0;
}

static uint32_t no_events(const struct file *file)
{
    (void)file;
    return 0;
}

static void release(struct file *file)
{
    free(file);
}

static uint32_t event_events(const struct file *file)
{
    return EPOLLOUT | (((const struct event_file *)(const void *)file)->count > 0 ? EPOLLIN : 0);
}

static const struct file_ops epoll_ops = {.events = no_events, .release = release};
static const struct file_ops event_ops = {.events = event_events, .release = release};

int sys_epoll_create(void)
{
    world_call(-1);
    struct epoll_file *epoll = calloc(1, sizeof(*epoll));
    epoll->file.ops = &epoll_ops;
    return file_open(&epoll->file);
}

int sys_eventfd(void)
{
    world_call(-1);
    struct event_file *event = calloc(1, sizeof(*event));
    event->file.ops = &event_ops;
    return file_open(&event->file);
}

static struct event_file *event_of(int fd)
{
    struct file *file = file_of(fd);
    if (!file || file->ops != &event_ops)
        fail("descriptor %d is no eventfd", fd);
    return (struct event_file *)(void *)file;
}

void sys_eventfd_signal(int fd)
{
    event_of(fd)->count++;
    event_of(fd)->file.pulse++;
}

void sys_eventfd_clear(int fd)
{
    world_call(fd);
    event_of(fd)->count = 0;
}

static struct watch *find(const struct file *epoll, const struct file *file, int fd)
{
    for (unsigned i = 0; i < used; i++)
        if (watches[i].file == file && watches[i].fd == fd && watches[i].epoll == epoll)
            return &watches[i];
    return NULL;
}

static struct watch *make_watch(void)
{
    for (unsigned i = 0; i < used; i++)
        if (!watches[i].file)
            return &watches[i];
    if (used == WATCHES_MAX)
        fail("more than %d descriptors are watched", WATCHES_MAX);
    return &watches[used++];
}

static int add(struct file *epoll, struct file *file, const struct watch *wish)
{
    if (find(epoll, file, wish->fd))
        return -EEXIST;
    if (fault(BAD_EPOLL, 150))
        return world_chance(500) ? -ENOSPC : -ENOMEM;
    *make_watch() = *wish;
    return 0;
}

int sys_epoll_ctl(int epoll_fd, int operation, int fd, uint32_t events, uint64_t tag)
{
    world_call(fd);
    struct file *epoll = file_of(epoll_fd), *file = file_of(fd);
    if (!epoll || !file)
        return -EBADF;
    note("epoll_ctl %d %d %x", operation, fd, events);
    struct watch wish = {.file = file,
                         .epoll = epoll,
                         .fd = fd,
                         .events = events | EPOLLERR | EPOLLHUP,
                         .tag = tag,
                         .seen = file->pulse - 1};
    if (operation == EPOLL_CTL_ADD)
        return add(epoll, file, &wish);
    struct watch *watch = find(epoll, file, fd);
    if (!watch)
        return -ENOENT;
    if (operation == EPOLL_CTL_MOD)
        *watch = wish;
    else
        watch->file = NULL;
    return 0;
}

static uint32_t ready(const struct watch *watch)
{
    if (!watch->file || (watch->events & EPOLLET && watch->seen == watch->file->pulse))
        return 0;
    return watch->file->ops->events(watch->file) & watch->events;
}

static void report(struct watch *watch, struct epoll_event *event)
{
    *event = (struct epoll_event){.events = ready(watch), .data.u64 = watch->tag};
    watch->seen = watch->file->pulse;
    watch->file->reported = waits;
    watch->file->reported_as = event->events;
    if (!(watch->events & EPOLLET) && ++watch->ignored > IGNORED_MAX)
        fail("P10: the loop spins: events %x of descriptor %d, which %s, come and nobody looks",
             event->events, watch->fd, file_of(watch->fd) ? "is open" : "was closed");
}

static void shuffle(struct epoll_event *events, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int other = (int)world_below((uint32_t)i + 1);
        struct epoll_event event = events[i];
        events[i] = events[other];
        events[other] = event;
    }
}

static int collect(const struct file *epoll, struct epoll_event *events, int max)
{
    int count = 0;
    unsigned first = world_below(used);
    if (fault(SPURIOUS, 100))
        max = 1 + (int)world_below((uint32_t)max); /* the rest comes with the next */
    for (unsigned i = 0; i < used && count < max; i++) {
        struct watch *watch = &watches[(first + i) % used];
        if (watch->epoll == epoll && ready(watch))
            report(watch, &events[count++]);
    }
    shuffle(events, count);
    return count;
}

/* Returns as soon as something is ready, or it is time, or a signal came. */
int sys_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    struct file *epoll = file_of(epoll_fd);
    uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : world_now() + (uint64_t)timeout_ms * MS;
    if (!epoll || epoll->ops != &epoll_ops)
        return -EBADF;
    told_wait();
    world_pass(5 * US);
    waits++;
    int count = collect(epoll, events, max);
    while (count == 0 && world_now() < until_ns) {
        if (fault(SPURIOUS, 60))
            return -EINTR;
        if (!world_next(until_ns) && !told_stuck())
            fail("P10: the loop sleeps for ever, with something left to do");
        count = collect(epoll, events, max);
    }
    note("wait %d: %d", timeout_ms, count);
    told_woke();
    return count;
}
