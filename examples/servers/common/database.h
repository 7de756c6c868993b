/* SQLite on the pool. A job is a function that runs on a thread, in a transaction of its own; its
 * callback comes on the loop's thread.
 *
 * SQLite lets one write at a time, whatever one does; so there is one connection that writes, with
 * a queue before it, and several that read, which in WAL mode neither wait for it nor hold it up.
 * The queues are the loop's own and lists of jobs: a connection is never used by two threads at
 * once, no mutex is taken, and writers that wait for their turn occupy no thread of the pool. With
 * a connection per request they would, each asleep in SQLite until the lock is free. A database in
 * memory belongs to one connection, which then does all.
 *
 * Nothing waits for ever, unless it is told to: a job has patience_ns from its submission, in the
 * queue and for a lock that another process holds, and fails with -EBUSY behind it; where
 * DATABASE_QUEUE jobs wait, one more is refused. For whoever asks that is "503, try again later".
 *
 * SPDX-License-Identifier: MIT */
#ifndef DATABASE_H
#define DATABASE_H

#include <loop.h>
#include <sqlite3.h>

enum {
    DATABASE_LANES = 4, /* connections: one writes, three read */
    DATABASE_STATEMENTS = 16,
    DATABASE_QUEUE = 1000,
};

/* What a job works with. */
struct database_connection {
    sqlite3 *sqlite;
    const char *const *texts;
    sqlite3_stmt *prepared[DATABASE_STATEMENTS];
};

struct database_job;

/* On a thread of the pool. 0: what was written is kept. Anything else: it is undone, and told to
 * the callback; by convention a negative errno, or a number over 0 of the program's own. */
typedef int (*database_fn)(struct database_connection *connection, struct database_job *job);

/* On the loop's thread, once: what the function has returned, or a negative errno. -EBUSY: the
 * database was locked too long; -ENOSPC, -EROFS, -EIO: the disk. The job may be freed in it. */
typedef void (*database_cb)(struct database_job *job, int result);

/* The caller's memory, lent until its callback. */
struct database_job {
    database_fn fn;
    database_cb done;
    bool writes;

    /* private */
    struct database_job *next;
    uint64_t due_ns;
    int result;
};

struct database_queue {
    struct database_job *first, **last;
    unsigned count;
};

/* A connection, and the work of the job that has it. */
struct database_lane {
    struct database *database;
    struct database_queue *queue; /* that it serves */
    struct database_connection connection;
    struct database_job *job; /* NULL: it is free */
    struct loop_work work;
};

struct database {
    struct loop *loop;
    uint64_t patience_ns;
    struct database_queue writes, reads;
    unsigned lane_count;
    struct database_lane lanes[DATABASE_LANES];
};

struct database_options {
    const char *path;   /* ":memory:", or a file, made if it is missing, for its owner alone */
    const char *schema; /* run once: CREATE TABLE IF NOT EXISTS … */
    const char *const *texts; /* of the statements, by number; ended by NULL */
    uint64_t patience_ns;     /* LOOP_NEVER: a job waits for as long as it takes */
};

/* What --patience MS says. NULL, it was not given: 2 seconds, or, if the server is patient, without
 * a limit. Errors: -EINVAL. */
int database_read_patience(const char *ms, bool patient, uint64_t *patience_ns);

/* Opens it, which may block: before the loop runs. All zero but what is in options. On failure
 * (negative errno) a sentence has been written to standard error. */
int database_open(struct loop *loop, struct database *database,
                  const struct database_options *options);

/* When no job is under way: behind loop_run(). Harmless if it was not opened. */
void database_close(struct database *database);

/* Errors, without any callback: -EBUSY (too many wait), and those of loop_work(). */
int database_run(struct database *database, struct database_job *job);

/* --- in a job --- */

/* A statement, prepared the first time, with nothing bound and at its beginning. It ends with the
 * job by itself. NULL: database_error() tells why. */
sqlite3_stmt *database_statement(struct database_connection *connection, unsigned number);

/* 1: a row is there; 0: there is no more; else a negative errno. */
int database_step(struct database_connection *connection, sqlite3_stmt *statement);

/* The last failure of a connection as a negative errno. */
int database_error(struct database_connection *connection);

#endif
