/* Public. The loop, and what every handle and every request shares.
 *
 * A loop belongs to the thread that runs it. Every function here must be called on that thread
 * (before the first loop_run: on any one thread); loop_post() in loop/task.h and loop_waker_send()
 * in loop/async.h are the ways in from other threads.
 *
 * Words, each used in one sense only. Turn: one pass round the loop. Phase: one box of the diagram
 * in libloop/loop.c. Handle: a long-lived thing that calls back many times. Request: one operation
 * that completes exactly once. Task: a callback queued to run once. Active: started. Referenced:
 * keeps the loop alive while active. Alive: the loop has something left to do. Closing: close was
 * asked for and the close callback has not come.
 *
 * Errors: a function that cannot fail returns void, a question returns bool, all else 0 or a
 * negative errno. Callbacks receive the same numbers. A mistake after which memory could not be
 * trusted (a handle closed twice, a call on the wrong thread) panics: one sentence on standard
 * error, then abort(), in every build.
 *
 * C++ programs include these headers inside their own extern "C" block.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_CORE_H
#define LOOP_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_API __attribute__((visibility("default")))

#define LOOP_VERSION_MAJOR  0
#define LOOP_VERSION_MINOR  1
#define LOOP_VERSION_PATCH  0
#define LOOP_VERSION_STRING "0.1.0"

/* Durations and deadlines are uint64_t nanoseconds: 5 * LOOP_MS. */
#define LOOP_US    UINT64_C(1000)
#define LOOP_MS    UINT64_C(1000000)
#define LOOP_SEC   UINT64_C(1000000000)
#define LOOP_NEVER UINT64_MAX /* a deadline that does not come */

/* The one error that is no errno: the peer has sent all it will. */
#define LOOP_EOF (-4095)

/* From a member back to the struct that embeds it: the first line of most callbacks. */
#define loop_container_of(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct loop;
struct loop_handle;
struct loop_handle_ops;
struct loop_mailbox;
struct loop_node;
struct loop_pool;
struct loop_request;
struct loop_request_ops;
struct loop_trace;
struct loop_watches;

typedef void (*loop_close_cb)(struct loop_handle *handle);
typedef void (*loop_walk_cb)(struct loop_handle *handle, void *arg);
typedef void (*loop_warn_cb)(struct loop *loop, const char *message);
typedef void (*loop_panic_cb)(const char *message);
typedef void (*loop_function)(void); /* a callback whose type does not matter: for the trace */

enum loop_mode {
    LOOP_RUN_DEFAULT, /* turn after turn until nothing is left or loop_stop() */
    LOOP_RUN_ONCE,    /* one turn, which sleeps if there is nothing to do yet */
    LOOP_RUN_NOWAIT,  /* one turn, which never sleeps */
};

enum loop_phase {
    LOOP_PHASE_NONE, /* not inside loop_run() */
    LOOP_PHASE_TIMERS,
    LOOP_PHASE_PENDING,
    LOOP_PHASE_IDLE,
    LOOP_PHASE_PREPARE,
    LOOP_PHASE_POLL,
    LOOP_PHASE_CHECK,
    LOOP_PHASE_CLOSING,
};

enum loop_clock {
    LOOP_CLOCK_MONOTONIC, /* stands still while the machine is suspended */
    LOOP_CLOCK_BOOTTIME,  /* goes on while it is suspended: deadlines passed meanwhile are due */
    LOOP_CLOCK_VIRTUAL,   /* starts at 0; never sleeps but jumps to the next deadline */
};

/* resize(ctx, NULL, size) allocates, resize(ctx, memory, 0) frees and returns NULL, and otherwise
 * it resizes; NULL for size > 0 means out of memory. Called from any thread that lets go of a
 * waker or finishes work, so it must be thread-safe. */
struct loop_allocator {
    void *(*resize)(void *ctx, void *memory, size_t size);
    void *ctx;
};

/* All zero means all defaults. */
struct loop_options {
    enum loop_clock clock;           /* default: LOOP_CLOCK_MONOTONIC */
    uint32_t events_max;             /* events taken from the kernel per turn; 0: 1024 */
    uint32_t drain_max;              /* ticks and microtasks in one drain before warn; 0: 1000000 */
    uint64_t spin_ns;                /* look for work this long before sleeping; 0: do not */
    struct loop_pool *pool;          /* NULL: the pool that the process shares */
    bool fs_pool_only;               /* no file operation is done on the loop's own thread */
    struct loop_allocator allocator; /* resize NULL: malloc */
    loop_warn_cb warn;               /* NULL: a line on standard error, once a kind */
};

/* A ring of these is a list; each handle is on exactly one list at any moment. */
struct loop_link {
    struct loop_link *next;
    struct loop_link *prev;
};

enum {
    LOOP_WHEEL_LEVELS = 8,
    LOOP_WHEEL_SLOTS = 64,
    LOOP_WHEEL_ROWS = LOOP_WHEEL_LEVELS + 1, /* the last row is for private lists */
};

/* Every deadline of the 64-bit clock has a slot: see libloop/base/wheel.h. */
struct loop_wheel {
    uint64_t base_ns;                 /* no filed slot is before it */
    uint64_t limit_ns;                /* of the pass under way, or 0 */
    uint64_t seq;                     /* of the last start */
    uint64_t filled[LOOP_WHEEL_ROWS]; /* a bit for each used slot */
    struct loop_link slots[LOOP_WHEEL_ROWS * LOOP_WHEEL_SLOTS];
};

/* A descriptor and what the loop is to be told of it. Handles embed it. */
struct loop_watcher {
    struct loop_link changed; /* on poller.changed, or alone */
    void (*ready)(struct loop_watcher *watcher, int status, uint32_t events);
    int fd;
    uint32_t wanted; /* EPOLL… bits, as the handle wants them; 0: not started */
    uint32_t known;  /* as the kernel knows them; 0: it does not watch */
    bool last;       /* dispatched behind all others of its batch */
};

enum { LOOP_LENT_SIZE = 65536 }; /* the largest datagram, and what a socket has to read at most */

/* Who watches a descriptor, and since when: an event bears both numbers or is stale. */
struct loop_poll_slot {
    struct loop_watcher *watcher; /* NULL: nobody */
    uint32_t generation;          /* changes whenever the watcher does */
};

struct loop_poller {
    int epoll_fd;
    struct loop_watcher timer;    /* a timerfd, opened for the first sleep that a timer bounds */
    uint64_t armed_ns;            /* when it will fire; LOOP_NEVER: it will not */
    struct loop_poll_slot *slots; /* by descriptor */
    uint32_t slot_count;
    uint32_t spin_misses;     /* sleeps in a row that spinning did not avoid */
    struct loop_link changed; /* watchers whose interest the kernel does not know yet */
    struct loop_link lost;    /* watchers whose descriptor was closed; to be told */
    void *events;             /* events_max of struct epoll_event */
    void *lent;               /* LOOP_LENT_SIZE bytes to read into; NULL until they are needed */
};

struct loop {
    void *data; /* yours */

    /* read-only */
    uint64_t now_ns; /* the cached clock: loop_now() */
    uint64_t turn;   /* turns begun: loop_turn() */
    enum loop_phase phase;

    /* private */
    bool running;             /* inside loop_run() */
    bool stopping;            /* loop_stop() was called */
    bool may_sleep;           /* this turn's poll may block */
    bool draining;            /* ticks and microtasks are being run */
    bool warned;              /* a drain that did not end was reported */
    bool now_stale;           /* a callback has run since the clock was read */
    uint32_t fork_generation; /* of the process that may run this loop */
    uint32_t last_id;         /* ids are for the trace: handles, requests and tasks share them */
    loop_function running_cb; /* the callback under way: the cause of all that it starts */
    const void *thread;       /* inside loop_run(): the thread it was called on */

    uint64_t active_handles;  /* active and referenced */
    uint64_t active_requests; /* in flight and referenced */
    uint64_t queued_tasks;    /* queued and referenced */
    uint64_t clock_holds;     /* work in flight, for which a virtual clock stands still */

    uint64_t fs_turn;      /* the turn in which the following two began at 0 */
    uint32_t fs_quick;     /* file operations tried on the loop's own thread */
    uint32_t fs_bytes;     /* that they might read */
    uint32_t fs_in_flight; /* file operations, wherever they are done */

    struct loop_wheel wheel;      /* 1 timers */
    struct loop_link pending;     /* 2 requests whose completion was put off */
    struct loop_link idle;        /* 3 hooks */
    struct loop_link prepare;     /* 3 hooks */
    struct loop_poller poller;    /* 4 poll */
    struct loop_link immediates;  /* 5 tasks */
    struct loop_link check;       /* 5 hooks */
    struct loop_link taken_hooks; /* 3, 5 hooks that have still to run in their phase */
    struct loop_link ran_hooks;   /* 3, 5 hooks that have run in it */
    struct loop_link closing;     /* 6 handles whose close callback has not come */
    struct loop_link ending;      /* 2, 6 taken from pending or closing, about to be called back */
    struct loop_link ticks;       /* after every callback */
    struct loop_link microtasks;  /* after the ticks */
    struct loop_link posted;      /* parcels taken from the mailbox, not yet delivered */
    struct loop_link handles;     /* active handles that no phase keeps a list of */
    struct loop_link requests;    /* in flight */
    struct loop_mailbox *mailbox; /* the one way in from other threads */
    struct loop_trace *trace;     /* NULL: nobody is watching */
    void *environment_trace;      /* the sink that LOOP_TRACE asked for, or NULL */
    struct loop_node *node;       /* loop/node.h: NULL until it is used */
    struct loop_watches *watches; /* loop/fs_event.h: NULL until it is used */
    struct loop_options options;  /* with the defaults filled in */
};

/* What every handle begins with: &timer.handle is the way up, loop_container_of() the way down. */
struct loop_handle {
    void *data; /* yours */

    /* read-only */
    const struct loop_handle_ops *ops; /* its type */
    struct loop *loop;

    /* private */
    loop_close_cb close_cb; /* set by loop_close() */
    loop_function cause;    /* the callback that started it last; NULL: none */
    uint32_t id;            /* in the trace */
    uint16_t magic;         /* says that init was called and memory is whole */
    uint16_t flags;
    struct loop_link link; /* exactly one of: a phase's list, loop->handles, loop->closing */
};

/* What comes to the loop through its mailbox, from any thread. loop NULL: the loop is gone, let
 * go. */
struct loop_parcel {
    struct loop_link link;
    void (*deliver)(struct loop *loop, struct loop_parcel *parcel);
    bool keeps_alive;
};

/* Makes a loop in the caller's memory; options NULL means all defaults. Opens two descriptors (a
 * third with the first timer that is slept for). Errors: -EINVAL (loop NULL, unknown clock,
 * events_max over INT32_MAX / 16), -EMFILE, -ENFILE, -ENOMEM,
 * -ENOSPC (/proc/sys/fs/epoll/max_user_watches); nothing is left open then. */
LOOP_API int loop_init(struct loop *loop, const struct loop_options *options);

/* Releases all that loop_init() took. -EBUSY, and nothing is done, inside loop_run() or while
 * anything is left: an active or closing handle, a request in flight, a queued task. Never calls
 * back. -EINVAL: loop NULL. */
LOOP_API int loop_fini(struct loop *loop);

/* Runs the loop. Returns 1 if it is still alive (loop_stop(), or a mode of one turn), 0 if
 * nothing is left. Errors, before anything has run: -EINVAL (unknown mode), -EBUSY (called from
 * one of its own callbacks: loop_run does not nest), -ECHILD (the process was forked:
 * loop_after_fork()); also later, at the end of the turn, if a callback has forked and this is
 * the child. */
LOOP_API int loop_run(struct loop *loop, enum loop_mode mode);

/* Asks loop_run() to return after the turn under way, which then does not sleep. Called before
 * loop_run(), makes that one call return at once. */
LOOP_API void loop_stop(struct loop *loop);

/* Whether anything is left: an active referenced handle, a referenced request or queued task, a
 * pending completion, a closing handle. */
LOOP_API bool loop_alive(const struct loop *loop);

/* The cached clock, in ns: read after poll returns, before timers run and by loop_update_now().
 * Timers count from it. */
LOOP_API uint64_t loop_now(const struct loop *loop);

/* Reads the clock, for callbacks that ran long and now start timers. A virtual clock stays. */
LOOP_API void loop_update_now(struct loop *loop);

/* The phase whose callbacks are running; LOOP_PHASE_NONE outside loop_run(). */
LOOP_API enum loop_phase loop_phase(const struct loop *loop);
LOOP_API const char *loop_phase_name(enum loop_phase phase);

/* How many turns have begun since loop_init(). */
LOOP_API uint64_t loop_turn(const struct loop *loop);

/* To host this loop in another: wait until this descriptor is readable or loop_backend_timeout()
 * is over, then call loop_run() with LOOP_RUN_NOWAIT. The descriptor stays ours: do not close it,
 * do not change what it watches. It changes at loop_after_fork(). A loop that is not alive is over:
 * a host whose loop_run() returned 0 stops waiting for it. */
LOOP_API int loop_backend_fd(const struct loop *loop);

/* How long a host may wait, in ns from loop_now(); 0: not at all; -1: no bound but the descriptor.
 * It may be early, never late. */
LOOP_API int64_t loop_backend_timeout(struct loop *loop);

/* In a child of fork(2), before anything else is done with the loop but loop_fini(): gives it
 * descriptors of its own, watches all again, and completes what was on the thread pool with
 * -ECANCELED. Errors as loop_init(); the loop can then only be abandoned. In the parent, or
 * twice, it does nothing. */
LOOP_API int loop_after_fork(struct loop *loop);

/* Stops the handle and lets go of what it holds. cb (may be NULL) comes in the closing phase of
 * this turn or the next; handles closed in a close callback wait for the turn after. Requests of
 * the handle complete with -ECANCELED just before. After cb the memory is the caller's again and
 * libloop does not look at it. Closing twice panics. */
LOOP_API void loop_close(struct loop_handle *handle, loop_close_cb cb);

/* Active: it may call back (timer armed, hook or poll started, async not closed). */
LOOP_API bool loop_is_active(const struct loop_handle *handle);

/* From loop_close() on, for good. */
LOOP_API bool loop_is_closing(const struct loop_handle *handle);

/* A handle is referenced unless told otherwise. These are flags, not counters: any order, any
 * time, any number of times. The loop ends when no active handle is referenced. */
LOOP_API void loop_ref(struct loop_handle *handle);
LOOP_API void loop_unref(struct loop_handle *handle);
LOOP_API bool loop_has_ref(const struct loop_handle *handle);

/* Calls cb for each active handle, and each that owns a descriptor, at once. cb may stop or close
 * the handle it is given, and any other. A handle started meanwhile may or may not be visited. */
LOOP_API void loop_walk(struct loop *loop, loop_walk_cb cb, void *arg);

/* What the handle is, in a word: "timer". A constant. */
LOOP_API const char *loop_handle_type(const struct loop_handle *handle);

/* A sentence for a negative errno, "no error" for 0, "unknown error" for what no errno is. A
 * constant: any thread may ask and nobody frees it. */
LOOP_API const char *loop_strerror(int error);

/* Its name: "ENOENT" for -ENOENT, "OK" for 0, "UNKNOWN" for what no errno is. A constant. */
LOOP_API const char *loop_error_name(int error);

/* The version of the library that runs, as (major << 16 | minor << 8 | patch) and as text. Any
 * thread. */
LOOP_API uint32_t loop_version(void);
LOOP_API const char *loop_version_string(void);

/* cb is called with the sentence of a panic after it was printed and before abort(); it must not
 * call libloop. NULL takes it away. Process-wide, any thread. libloop-debug sets it. */
LOOP_API void loop_set_panic_cb(loop_panic_cb cb);

#endif
