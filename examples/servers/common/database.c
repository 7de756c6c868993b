/* SQLite on the pool: see database.h.
 *
 * The life of a job: database_run() puts it into its queue; a free lane takes the first, and the
 * pool runs it: the transaction, the function, the end of the transaction; back on the loop the
 * lane takes the next one before the callback, which may submit more. Every transaction that writes
 * begins with BEGIN IMMEDIATE, so the only place where another process can make it wait is its very
 * beginning, when nothing is done yet and giving up is simple.
 *
 * SPDX-License-Identifier: MIT */
#include "database.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* --- errors --- */

static int errno_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -EFBIG;
    default:
        return -EIO;
    }
}

int database_error(struct database_connection *connection)
{
    return errno_of(sqlite3_errcode(connection->sqlite));
}

/* --- statements --- */

sqlite3_stmt *database_statement(struct database_connection *connection, unsigned number)
{
    sqlite3_stmt **statement = &connection->prepared[number];
    if (!*statement) {
        sqlite3_prepare_v3(connection->sqlite, connection->texts[number], -1,
                           SQLITE_PREPARE_PERSISTENT, statement, NULL);
        return *statement;
    }
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    return *statement;
}

int database_step(struct database_connection *connection, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    return code == SQLITE_DONE ? 0 : database_error(connection);
}

/* One that is left in the middle would keep its view of the database, and the log from shrinking.
 */
static void end_statements(struct database_connection *connection)
{
    for (unsigned i = 0; i < DATABASE_STATEMENTS; i++)
        sqlite3_reset(connection->prepared[i]);
}

static int execute(struct database_connection *connection, const char *text)
{
    int code = sqlite3_exec(connection->sqlite, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : errno_of(code);
}

/* --- a job --- */

/* SQLite counts in an int; the most of that, 24 days, stands for longer times and for no limit. */
static int busy_ms(uint64_t ns)
{
    return ns / LOOP_MS < INT_MAX ? (int)(ns / LOOP_MS) : INT_MAX;
}

/* What is left of its patience, for SQLite to wait; the first look at the lock costs nothing. */
static int wait_ms(uint64_t due_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * LOOP_SEC + (uint64_t)now.tv_nsec;
    return due_ns > now_ns ? busy_ms(due_ns - now_ns) : 0;
}

/* On a thread of the pool. */
static void work(void *data)
{
    struct database_lane *lane = data;
    struct database_connection *connection = &lane->connection;
    struct database_job *job = lane->job;
    sqlite3_busy_timeout(connection->sqlite, wait_ms(job->due_ns));
    int result = execute(connection, job->writes ? "BEGIN IMMEDIATE" : "BEGIN");
    if (result == 0)
        result = job->fn(connection, job);
    end_statements(connection);
    if (result == 0)
        result = execute(connection, "COMMIT");
    if (result != 0 && !sqlite3_get_autocommit(connection->sqlite))
        execute(connection, "ROLLBACK");
    job->result = result;
}

static void on_done(struct loop_work *request, int status);

static struct database_job *take(struct database_queue *queue)
{
    struct database_job *job = queue->first;
    queue->first = job->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    return job;
}

static void put(struct database_queue *queue, struct database_job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
}

/* A disk is what SQLite waits for. */
static int begin(struct database_lane *lane, struct database_job *job)
{
    lane->job = job;
    lane->work.request.data = lane;
    int error = loop_work_class(lane->database->loop, &lane->work, LOOP_POOL_FS, work, on_done);
    if (error < 0)
        lane->job = NULL;
    return error;
}

/* Jobs that cannot begin, or have waited too long for their turn, are over: their callbacks come
 * from on_done(), never from a submission. */
static void begin_next(struct database_lane *lane)
{
    while (!lane->job && lane->queue->first) {
        struct database_job *job = take(lane->queue);
        bool late = loop_now(lane->database->loop) > job->due_ns;
        int error = late ? -EBUSY : begin(lane, job);
        if (error < 0)
            job->done(job, error);
    }
}

static void on_done(struct loop_work *request, int status)
{
    struct database_lane *lane = loop_container_of(request, struct database_lane, work);
    struct database_job *job = lane->job;
    lane->job = NULL;
    begin_next(lane); /* before the callback: it may free the job, or submit it again */
    job->done(job, status < 0 ? status : job->result);
}

static struct database_lane *free_lane(struct database *database, struct database_queue *queue)
{
    for (unsigned i = 0; i < database->lane_count; i++) {
        struct database_lane *lane = &database->lanes[i];
        if (lane->queue == queue && !lane->job)
            return lane;
    }
    return NULL;
}

int database_run(struct database *database, struct database_job *job)
{
    bool alone = database->lane_count == 1;
    struct database_queue *queue = job->writes || alone ? &database->writes : &database->reads;
    uint64_t now_ns = loop_now(database->loop);
    bool limited = database->patience_ns < LOOP_NEVER - now_ns;
    job->due_ns = limited ? now_ns + database->patience_ns : LOOP_NEVER;
    struct database_lane *lane = free_lane(database, queue);
    if (lane && queue->count == 0)
        return begin(lane, job);
    if (queue->count >= DATABASE_QUEUE)
        return -EBUSY;
    put(queue, job);
    return 0;
}

/* --- its life --- */

int database_read_patience(const char *ms, bool patient, uint64_t *patience_ns)
{
    *patience_ns = patient ? LOOP_NEVER : 2 * LOOP_SEC;
    if (!ms)
        return 0;
    char *end;
    unsigned long long number = strtoull(ms, &end, 10);
    *patience_ns = number < LOOP_NEVER / LOOP_MS ? number * LOOP_MS : LOOP_NEVER;
    return *ms < '0' || *ms > '9' || *end != '\0' ? -EINVAL : 0;
}

static int open_connection(struct database_lane *lane, const char *path)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    struct database_connection *connection = &lane->connection;
    int code = sqlite3_open_v2(path, &connection->sqlite, flags, NULL);
    if (code != SQLITE_OK)
        return errno_of(code);
    sqlite3_busy_timeout(connection->sqlite, busy_ms(lane->database->patience_ns));
    return execute(connection, "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF");
}

/* The lanes one by one; the first makes what the others find. */
static int open_lane(struct database *database, unsigned number,
                     const struct database_options *options)
{
    struct database_lane *lane = &database->lanes[number];
    lane->database = database;
    lane->queue = number == 0 ? &database->writes : &database->reads;
    lane->connection.texts = options->texts;
    int error = open_connection(lane, options->path);
    if (error == 0 && number == 0)
        error = execute(&lane->connection, "PRAGMA journal_mode = WAL");
    if (error == 0 && number == 0)
        error = execute(&lane->connection, options->schema);
    if (error < 0)
        fprintf(stderr, "%s: %s\n", options->path, sqlite3_errmsg(lane->connection.sqlite));
    return error;
}

int database_open(struct loop *loop, struct database *database,
                  const struct database_options *options)
{
    database->loop = loop;
    database->patience_ns = options->patience_ns;
    database->writes.last = &database->writes.first;
    database->reads.last = &database->reads.first;
    bool memory = strcmp(options->path, ":memory:") == 0;
    mode_t mask = umask(077); /* also what SQLite puts beside the file takes its mode from it */
    int error = 0;
    while (error == 0 && database->lane_count < (memory ? 1 : DATABASE_LANES))
        error = open_lane(database, database->lane_count++, options);
    umask(mask);
    return error;
}

static void close_connection(struct database_connection *connection)
{
    for (unsigned i = 0; i < DATABASE_STATEMENTS; i++)
        sqlite3_finalize(connection->prepared[i]);
    sqlite3_close(connection->sqlite);
}

void database_close(struct database *database)
{
    while (database->lane_count > 0)
        close_connection(&database->lanes[--database->lane_count].connection);
}
