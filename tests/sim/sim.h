/* Internal. What the parts of the simulator offer each other.
 *
 * The world (clock.c, files.c, epoll.c, socket.c, connect.c, thread.c, memory.c) is what the
 * library sees through sys.h. A program (program.c, streams.c) is a row of random calls of the
 * public API on it; the far ends of its connections (peer.c) are part of the world. The model
 * (model.c) says at each step what may come next and fails the run when something else does.
 *
 * All chance comes from two rows of numbers, one for the world and one for the program, both from
 * the seed. So a run can be had again, and a program stays much the same when the world is made
 * more friendly, which is how a failing run is made smaller.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_H
#define LOOP_SIM_H

#include "sys.h"

enum {
    US = 1000,
    MS = 1000 * 1000,
    FILES_MAX = 256, /* descriptors; a run may have fewer */
};

#define SECOND UINT64_C(1000000000)

/* What a run may do and what may go wrong in it. Each seed has some of them. */
enum feature {
    TIMERS,
    HOOKS,
    TASKS,
    POSTS,
    ASYNCS,
    POLLS,
    TCP,
    UNIX,
    FIFOS,
    PEERS,
    COPIES, /* loop_stream_pipe() */
    WORK,
    DEADLINES,
    NESTED,       /* calls from inside callbacks */
    SLOW_CALLS,   /* each system call takes time */
    SLOW_PROGRAM, /* callbacks take time */
    SHORT,        /* reads and writes of a part */
    SPURIOUS,     /* readiness that was none, and EINTR */
    SMALL_QUEUES, /* full buffers, small backlogs */
    RESETS,
    FEW_FILES, /* EMFILE */
    NO_MEMORY, /* allocations fail */
    BAD_EPOLL, /* ADD and MOD fail */
    DUPS,      /* other processes hold copies of descriptors */
    CHANGES,   /* of a tree of files, which is watched */
    CHILDREN,
    SIGNALS,
    FEATURES
};

extern const char *const feature_names[FEATURES];

/* The run under way. */
struct run {
    uint64_t seed;
    uint32_t budget; /* actions that the program has left */
    uint32_t features;
    bool faults; /* off in the end, when everything must come to an end */
    bool verbose;
    bool aborts;    /* when it fails, for a fuzzer */
    uint64_t steps; /* calls of the world and of the program */
    uint64_t callbacks;
    uint64_t hash; /* of all that happened */
};

extern struct run run;

static inline bool has(enum feature feature)
{
    return run.features >> feature & 1;
}

/* run.c */

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* for -v, and the hash */
void run_seed(uint64_t seed, uint32_t budget, uint32_t mask, bool verbose);
uint32_t seed_features(uint64_t seed); /* and the rows of chance begin anew */

/* random.c */

void random_seed(uint64_t seed);
void random_bytes(const uint8_t *bytes, size_t size); /* from now on the program's row is this */
uint32_t world_below(uint32_t limit);                 /* 0 for a limit of 0 */
uint32_t program_below(uint32_t limit);               /* the same */
bool world_chance(uint32_t per_mille);
bool program_chance(uint32_t per_mille);
int not_now(void); /* of a call that was not to be made, or was interrupted */
bool fault(enum feature feature, uint32_t per_mille); /* it has it, and it happens now */

/* clock.c */

typedef void (*happening)(void *what, uint64_t number);

uint64_t world_now(void);
void world_begin(void);
void world_end(void);
void world_later(uint64_t after_ns, happening happen, void *what, uint64_t number);
void world_forget(const void *what); /* nothing happens to it any more */
void world_pass(uint64_t ns);        /* time, and with it what happens */
bool world_next(uint64_t until_ns);  /* passes to what happens next; false: nothing, ever */
void world_call(int fd);             /* a system call begins; fd: what it is about, or -1 */
uint64_t world_happened(void);       /* how much has */

/* files.c */

struct file;
struct watch;

struct file_ops {
    mode_t mode;
    uint32_t (*events)(const struct file *file);
    void (*release)(struct file *file);
    ssize_t (*read)(struct file *file, void *bytes, size_t size);
    ssize_t (*write)(struct file *file, const struct iovec *iov, int count);
};

/* An open file description: descriptors, of this process and of others, point at it. */
struct file {
    const struct file_ops *ops;
    unsigned references;
    unsigned pulse;       /* counts what an edge-triggered watch is told of */
    unsigned watches;     /* epoll entries that point at it */
    int flags;            /* O_RDONLY…, O_NONBLOCK */
    uint64_t reported;    /* the number of the wait that reported it last */
    uint32_t reported_as; /* with these events */
    void *owner;          /* the program's record of it, or NULL */
};

void files_begin(void);
void files_end(void);
int file_open(struct file *file);     /* its lowest free descriptor, or -EMFILE and nothing */
struct file *file_of(int fd);         /* NULL: none */
void file_release(struct file *file); /* one reference less */
unsigned files_open(void);
int world_dup(int fd);
int world_pipe(int fds[2]);
bool world_path_exists(void);
bool path_create(unsigned number); /* false: it exists */

/* epoll.c */

void epoll_forget(const struct file *file);
void epoll_touched(int fd); /* a system call was made for it: it was not reported in vain */
uint64_t epoll_waits(void);
void epoll_begin(void);
uint32_t epoll_wanted(int fd); /* what is watched of it */

/* socket.c */

enum socket_state { FRESH, BOUND, LISTENING, CONNECTING, CONNECTED, CLOSED };

struct socket {
    struct file file;
    int family;
    enum socket_state state;
    unsigned port; /* or the number of its name; 0: none */
    bool is_path;
    struct socket *peer;    /* NULL: gone */
    struct socket *backlog; /* of a listener: first come */
    struct socket *next;    /* in a backlog, or among the listeners */
    unsigned waiting, waiting_max;
    char *bytes; /* sent to here and not yet read */
    size_t size, arrived, size_max;
    uint64_t last_ns; /* when the last of what is on its way arrives */
    bool fin;         /* no more comes */
    bool shut;        /* no more goes */
    bool reset_on_close;
    int error;
};

struct socket *socket_make(int family);
void socket_join(struct socket *a, struct socket *b);
void socket_reset(struct socket *from); /* its peer is told */
void socket_finish(struct socket *from);
ssize_t socket_take(struct socket *socket, void *bytes, size_t size);
ssize_t socket_put(struct socket *socket, const struct iovec *iov, int count);
struct socket *socket_of(int fd); /* NULL: none, or something else */
extern const struct file_ops socket_ops;

/* tree.c */

void tree_begin(void);
void tree_end(void);

/* children.c */

void children_begin(void);
void children_end(void);
void signals_call(void); /* a system call begins */

/* connect.c */

void listeners_begin(void);
void listener_forget(struct socket *listener);
struct socket *listener_at(int family, unsigned port);
bool backlog_push(struct socket *listener, struct socket *server);

/* peer.c */

void peer_attach(struct socket *socket);
void peer_serve(struct socket *client); /* connects it with one who waits at a far port */
void peers_call(void);                  /* one of them connects to some listener */
void peers_begin(void);
void peers_end(void);
void peers_calm(void); /* from now on they read, and end */

/* thread.c */

void threads_begin(void);
void threads_end(void);
void thread_busy(uint64_t ns); /* of the thread that runs */
bool in_thread(void);

/* memory.c */

void memory_begin(void);
void memory_end(void);

/* What the world tells the model. */
void told_wait(void);  /* epoll_wait() begins */
void told_woke(void);  /* it returns */
bool told_stuck(void); /* nothing will ever happen; false: and that is wrong */
void told_sent(struct file *file, const void *bytes, size_t size);
void told_received(struct file *file, const void *bytes, size_t size);
void told_end(struct file *file, int result); /* a read that returned no bytes: 0 or an error */

#endif
