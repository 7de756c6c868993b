/* hiredis' asynchronous interface on a watcher of the loop.
 *
 * hiredis says what it wants to be told of (addRead and so on), and is told by two calls. Either
 * may free the context, after which only line->context, set to NULL by the cleanup hook, says so;
 * the watcher has been stopped by then, and the descriptor is closed right behind it.
 *
 * hiredis writes with write(2), which raises SIGPIPE if Redis has gone. The signal is blocked
 * around the call, and taken away if the call has made it: ignoring it for the whole process would
 * be the program's decision. Its sockets are not close-on-exec either: that is made up for here.
 *
 * errno is 0 before each of the two calls: it is the one place where the reason of a broken
 * connection can be read as a number, since hiredis keeps only a sentence.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* Then it is somebody else's, and stays. */
static bool was_pending(const sigset_t *blocked_before)
{
    sigset_t pending;
    return sigismember(blocked_before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
           sigismember(&pending, SIGPIPE) == 1;
}

/* A write that failed has cost the line its context. */
static void write_quietly(struct redis_line *line)
{
    sigset_t pipe, before;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    bool pending = was_pending(&before);
    errno = 0;
    redisAsyncHandleWrite(line->context);
    if (!line->context && !pending)
        sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    struct redis_line *line = loop_container_of(poll, struct redis_line, poll);
    if (status < 0) {
        line_fail(line, status, NULL);
        return;
    }
    line->heard = line->heard || events & LOOP_READABLE;
    errno = 0;
    if (events & LOOP_READABLE)
        redisAsyncHandleRead(line->context);
    if (events & LOOP_WRITABLE && line->context)
        write_quietly(line);
    line_check(line);
}

/* A watcher that cannot be had is noticed by the timer, outside of hiredis. */
static void want(struct redis_line *line, uint32_t events)
{
    if (events == line->wanted)
        return;
    line->wanted = events;
    if (!events) {
        loop_poll_stop(&line->poll);
        return;
    }
    int error = loop_poll_start(&line->poll, events, on_poll);
    if (error && !line->error) {
        struct loop_redis *redis = line->client->redis;
        snprintf(redis->error, sizeof(redis->error), "%s", loop_strerror(error));
        line->error = error;
        line_wake(line);
    }
}

static void add_read(void *arg)
{
    struct redis_line *line = arg;
    want(line, line->wanted | LOOP_READABLE);
}

static void add_write(void *arg)
{
    struct redis_line *line = arg;
    want(line, line->wanted | LOOP_WRITABLE);
}

static void delete_write(void *arg)
{
    struct redis_line *line = arg;
    want(line, line->wanted & ~(uint32_t)LOOP_WRITABLE);
}

/* What hiredis has met, as one of our numbers. */
static int number(int error, int system_error)
{
    switch (error) {
    case REDIS_ERR_EOF:
        return -ECONNRESET;
    case REDIS_ERR_PROTOCOL:
        return -EPROTO;
    case REDIS_ERR_OOM:
        return -ENOMEM;
    case REDIS_ERR_IO:
        return system_error && system_error != EINPROGRESS ? -system_error : -EIO;
    default:
        return -EACCES; /* an error where a subscription was to be confirmed: Redis refuses it */
    }
}

static void note(struct redis_line *line, const redisAsyncContext *context, int system_error)
{
    if (line->error || !context->err)
        return;
    line->error = number(context->err, system_error);
    struct loop_redis *redis = line->client->redis;
    snprintf(redis->error, sizeof(redis->error), "%s", context->errstr ? context->errstr : "");
}

static void cleanup(void *arg)
{
    struct redis_line *line = arg;
    note(line, line->context, errno);
    want(line, 0);
    line->context = NULL;
}

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis_line *line = context->data;
    if (status != REDIS_OK)
        note(line, context, errno);
    else if (line->state == REDIS_LINE_CONNECTING)
        line_greet(line);
}

static void attach(struct redis_line *line, redisAsyncContext *context)
{
    line->context = context;
    line->wanted = 0;
    context->data = line;
    context->ev.data = line;
    context->ev.addRead = add_read; /* and it reads until the end: there is no delRead */
    context->ev.addWrite = add_write;
    context->ev.delWrite = delete_write;
    context->ev.cleanup = cleanup;
    loop_poll_init(line->client->redis->loop, &line->poll, context->c.fd);
    redisAsyncSetConnectCallback(context, on_connect);
}

/* host: an address; NULL: the path of the options. */
int adapter_connect(struct redis_line *line, const char *host, int port)
{
    const struct loop_redis_options *options = &line->client->options;
    errno = 0;
    redisAsyncContext *context =
        host ? redisAsyncConnect(host, port) : redisAsyncConnectUnix(options->path);
    if (!context)
        return -ENOMEM;
    if (context->err) {
        note(line, context, errno);
        redisAsyncFree(context);
        return line->error;
    }
    fcntl(context->c.fd, F_SETFD, FD_CLOEXEC);
    attach(line, context);
    return 0;
}

/* Inside a callback of hiredis it is freed as soon as that has returned. */
void adapter_drop(struct redis_line *line)
{
    if (line->context)
        redisAsyncFree(line->context);
}
