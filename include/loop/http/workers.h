/* Public. All cores of a machine: a loop per thread, or a process per core under a supervisor. Part
 * of libloop-http (pkg-config: loop-http).
 *
 * Threads share memory, and their fate: one that crashes takes all with it. Processes share nothing
 * but sockets: one that crashes or hangs is replaced, and new code is rolled in while the old
 * serves, without a connection refused. Either way a listening socket per loop, bound to one port
 * (SO_REUSEPORT), has the kernel share out the connections.
 *
 * Of the supervisor's functions all are for the thread of its loop; its callbacks come in the
 * poll, timers and closing phases, and never from inside a call.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_WORKERS_H
#define LOOP_HTTP_WORKERS_H

#include "../async.h"
#include "../http.h"
#include "../pipe.h"
#include "../process.h"
#include "../signal.h"
#include "../task.h"
#include "../timer.h"

#include <pthread.h>

struct loop_supervisor;
struct loop_thread;
struct loop_threads;
struct loop_worker;
struct supervisor_slot;

enum { LOOP_LISTENERS_MAX = 16, LOOP_WORKERS_MAX = 1024 };

/* How many processors this process may use: at least 1. */
LOOP_API unsigned loop_processors(void);

/* --- a loop per thread --- */

/* On the new thread, whose loop has been made: opens what it serves, with LOOP_TCP_REUSE_PORT.
 * Returns 0 or a negative errno, which ends the thread, having closed what it opened. */
typedef int (*loop_thread_start_cb)(struct loop_thread *thread);

/* On the thread, in its poll phase, once: finish: loop_http_server_close(). The thread ends when
 * its loop has nothing left; it is not to be stopped. */
typedef void (*loop_thread_drain_cb)(struct loop_thread *thread);

/* On a thread, in its poll phase; the threads are asked one after the other, so arg needs no
 * lock. */
typedef void (*loop_thread_ask_cb)(struct loop_thread *thread, void *arg);

/* On the main loop's thread: all threads have been asked, in the poll phase. */
typedef void (*loop_threads_asked_cb)(struct loop_threads *threads, void *arg);

/* On the main loop's thread, in the closing phase, once: no thread is left. What they have left
 * in their data can be read; afterwards the memory is yours again. */
typedef void (*loop_threads_end_cb)(struct loop_threads *threads);

struct loop_threads_options {
    unsigned count; /* 0: loop_processors() */
    loop_thread_start_cb start;
    loop_thread_drain_cb drain;
    loop_threads_end_cb on_end; /* may be NULL */
    bool no_signals;            /* SIGINT and SIGTERM are yours */
};

struct loop_thread {
    void *data; /* yours */

    /* read-only */
    struct loop loop; /* for the thread itself */
    struct loop_threads *threads;
    unsigned number; /* 0 and up */

    /* private */
    pthread_t id;
    struct loop_async drain; /* keeps its loop alive until it comes */
    struct loop_task ended;
    int status; /* of the start */
    bool made;  /* there is such a thread, not joined yet */
};

struct loop_threads {
    void *data; /* yours */

    /* read-only */
    struct loop *loop; /* of the thread that has started them: the main loop */
    struct loop_thread *threads;
    unsigned count;

    /* private */
    struct loop_threads_options options;
    struct loop_graceful graceful;
    struct loop_timer alive; /* keeps the main loop so, and never calls */
    unsigned left;
    unsigned asking; /* questions under way, for which stopping waits */
    bool stopping;
};

/* Makes the threads, one after the other, and waits until each has started. The first SIGINT or
 * SIGTERM then stops them, a second ends the process; other signals come to the calling thread too.
 * Keeps the main loop alive until the end. Errors, with no thread left: -EINVAL (start or drain
 * NULL, more than LOOP_WORKERS_MAX), what a start has returned, -EAGAIN (too many threads), -ENOMEM
 * and those of loop_init(), loop_async_init() and loop_graceful_start(); threads that had started
 * are drained first, which is waited for. */
LOOP_API int loop_threads_start(struct loop *loop, struct loop_threads *threads,
                                const struct loop_threads_options *options);

/* Calls drain on each thread. Again, it does nothing. */
LOOP_API void loop_threads_stop(struct loop_threads *threads);

/* Calls ask on each thread in turn, then done on this one. Errors: -EINVAL (ask or done NULL),
 * -ECANCELED (stopping), -ENOMEM. */
LOOP_API int loop_threads_ask(struct loop_threads *threads, loop_thread_ask_cb ask,
                              loop_threads_asked_cb done, void *arg);

/* Adds the statistics of one server to a sum: of several in one process, in the ask callback. */
LOOP_API void loop_http_stats_add(struct loop_http_stats *sum, const struct loop_http_stats *more);

/* --- a process per core: the supervisor ---
 *
 * The supervisor holds the sockets: one for each listener and each slot, a slot being the place of
 * one worker. A worker inherits those of its slot, and its successor the same, so what waits in
 * their queues outlives any worker. Workers are this program, executed anew, so that it may have
 * been replaced by a newer one: main() asks loop_worker_called() which of the two it is.
 *
 * A worker that dies is started again: at once, and if it dies soon, or before it was ready, after
 * 0.1 s, 0.2 s and so on. Dying so too often in a row it is given up: the sockets of its slot are
 * closed, so that the others get all connections, and the next roll starts it again.
 *
 * Signals: SIGTERM and SIGINT have all workers finish, and again kill them; SIGHUP rolls. */

/* A line about what has happened, without its newline: "worker 2 (pid 4711) is ready". */
typedef void (*loop_supervisor_report_cb)(struct loop_supervisor *supervisor, const char *line);

/* Comes in the closing phase, once: no worker is left, the memory is yours again. status 0: it was
 * stopped; -ECHILD: all workers were given up. */
typedef void (*loop_supervisor_end_cb)(struct loop_supervisor *supervisor, int status);

struct loop_supervisor_listener {
    const char *address; /* as for loop_http_listen() */
    uint16_t port;
    bool ipv6_only;
};

/* All zero but listeners: all defaults. What it names must stay until the end. */
struct loop_supervisor_options {
    const struct loop_supervisor_listener *listeners;
    size_t listener_count;   /* at most LOOP_LISTENERS_MAX */
    unsigned workers;        /* 0: loop_processors() */
    const char *file;        /* to execute; NULL: this program, where it was at the start */
    const char *const *args; /* with args[0], and a NULL at the end; NULL: as this process has */
    loop_supervisor_report_cb report; /* NULL: lines on standard error */
    loop_supervisor_end_cb on_end;    /* may be NULL */
    uint64_t ready_ns;   /* for a worker to call loop_worker_ready(), else it is killed; 0: 30 s */
    uint64_t silence_ns; /* a worker whose loop has not turned for so long is killed; 0: 10 s */
    uint64_t drain_ns;   /* for a worker to finish when told, else it is killed; 0: 60 s */
    uint64_t quick_ns;   /* dying within so long after the start is dying soon; 0: 5 s */
    uint64_t retry_max_ns; /* the longest pause before a start; 0: 10 s */
    unsigned quick_max;    /* so many times in a row: given up; 0: 10 */
    bool no_signals;       /* you call loop_supervisor_stop() and _roll() yourself */
};

struct loop_supervisor {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    uint64_t started; /* workers, ever */
    uint64_t crashed; /* of them: ended without being told to */
    uint64_t killed;  /* by us: not ready, silent, or not finished in time */
    uint64_t rolls;   /* carried through */
    unsigned serving; /* workers that are ready now */
    bool rolling;

    /* private */
    struct loop_supervisor_options options; /* with the defaults */
    struct loop_address addresses[LOOP_LISTENERS_MAX];
    struct supervisor_slot *slots;
    struct loop_link children;
    struct loop_signal signals[3];
    struct loop_timer ending;
    char *own_file; /* what the defaults of file and args stand for */
    char *own_text;
    const char **own_args;
    unsigned roll_at; /* the slot whose turn it is */
    bool roll_again;  /* asked for while one was under way */
    bool stopping;
    int status;
};

/* Binds all sockets and starts the workers. Keeps the loop alive until the end. Errors, with
 * nothing left: -EINVAL (no or too many listeners, too many workers), those of
 * loop_address_parse(), socket(2) and bind(2), of loop_process_spawn() for the first worker
 * (-ENOENT…), -ENOMEM. */
LOOP_API int loop_supervisor_start(struct loop *loop, struct loop_supervisor *supervisor,
                                   const struct loop_supervisor_options *options);

/* The port of a listener: the kernel's choice if 0 was asked for. */
LOOP_API uint16_t loop_supervisor_port(const struct loop_supervisor *supervisor, size_t listener);

/* Replaces all workers, one after the other: starts a new one on the same sockets, waits until it
 * is ready, then tells the old one to finish. If a new one dies or is not ready in time, the roll
 * ends there and the old ones stay. Called meanwhile, it has another follow. */
LOOP_API void loop_supervisor_roll(struct loop_supervisor *supervisor);

/* Closes our sockets, tells all workers to finish, and ends when they have. Called again: kills
 * what is left. */
LOOP_API void loop_supervisor_stop(struct loop_supervisor *supervisor);

/* The process in a slot, or 0. */
LOOP_API pid_t loop_supervisor_pid(const struct loop_supervisor *supervisor, unsigned slot);

/* --- a process per core: the worker --- */

/* Comes in the poll phase, once: serve what has come, then end: loop_http_server_close(). */
typedef void (*loop_worker_drain_cb)(struct loop_worker *worker);

struct loop_worker {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    unsigned slot;      /* 0 and up */
    unsigned listeners; /* how many sockets there are */
    bool draining;

    /* private */
    struct loop_pipe control;
    struct loop_timer beat;
    struct loop_signal terminate;
    loop_worker_drain_cb on_drain;
};

/* Whether this process was started by a supervisor, to be a worker. */
LOOP_API bool loop_worker_called(void);

/* Begins to be a worker, without keeping the loop alive. It says that the loop turns, and listens
 * for the end of its work, which is also SIGTERM, and the end of the supervisor itself. SIGINT at a
 * terminal does not come to it. To be called once, before threads are started. Errors: -ENOTCONN
 * (no supervisor has started this), -EINVAL (on_drain NULL), and those of loop_pipe_open() and
 * loop_signal_start(). */
LOOP_API int loop_worker_start(struct loop *loop, struct loop_worker *worker,
                               loop_worker_drain_cb on_drain);

/* The listening socket of the listener with this number, for loop_http_listen_fd(): it is yours,
 * once. -EINVAL: there is none. */
LOOP_API int loop_worker_socket(const struct loop_worker *worker, unsigned listener);

/* To the supervisor: connections are served from here on. Errors: those of loop_write_copy(). */
LOOP_API int loop_worker_ready(struct loop_worker *worker);

/* Stops being a worker; the handles' memory is yours once the loop has run. Only to leave a clean
 * loop behind: a worker may just end. */
LOOP_API void loop_worker_close(struct loop_worker *worker);

#endif
