/* Public. Redis on the loop, by hiredis: commands, and messages published from one process to all
 * others on all machines. Part of libloop-http if that was built with hiredis (1 or 0.14).
 *
 * A struct loop_redis has two connections, since one that has subscribed takes no other commands:
 * one for commands, and one for messages with the first subscription. Each is made again whenever
 * it is lost, after 0.1 s, 0.2 s and so on up to a bound, at random up to a half earlier, so that
 * many clients do not all come at once; and each is asked now and then whether it is still there.
 *
 * What happens while Redis is away, said plainly:
 *
 *     Messages are lost. Redis keeps none for who is not there. Subscriptions are made again by
 *     themselves, and each is told when messages come again. What must not be lost belongs into a
 *     list or a stream (commands XADD, XRANGE), with the message as a hint to look there.
 *     Commands wait, up to a number and a size; more are refused with -ENOBUFS.
 *     Commands that were sent and not answered fail with -ECONNRESET. They may have been done or
 *     not, so they are never sent twice.
 *
 * All callbacks come on the loop's thread, mostly in the poll phase, and never from inside a call.
 * One loop_redis belongs to one loop.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_REDIS_H
#define LOOP_HTTP_REDIS_H

#include "../core.h"

struct loop_redis;
struct loop_redis_subscription;
struct redis_channel;
struct redis_client;
struct redisReply; /* <hiredis/hiredis.h>, for who looks into replies */

/* Which of the two connections. */
enum loop_redis_line { LOOP_REDIS_COMMANDS, LOOP_REDIS_MESSAGES };

/* Comes once for each command. status 0: reply is what Redis has said, of type REDIS_REPLY_ERROR
 * too, valid until the callback returns. Otherwise reply is NULL: -ECONNRESET (sent, and the
 * connection was lost: whether it was done is not known), -ECANCELED (closed). */
typedef void (*loop_redis_reply_cb)(struct loop_redis *redis, int status,
                                    const struct redisReply *reply, void *arg);

/* bytes not NULL: a message, size bytes and then a 0, valid until the callback returns; channel is
 * where it was published, which for a pattern is one of many. bytes NULL: from here on messages
 * come; again after each time that the connection was lost, and what was published meanwhile is not
 * made up for. The subscription may be ended, and any other, and the memory freed, in it. */
typedef void (*loop_redis_message_cb)(struct loop_redis_subscription *subscription,
                                      const char *channel, const char *bytes, size_t size);

/* status 0: a connection is there. Otherwise it is lost, or could not be made: a negative errno,
 * with redis->error saying more, and it will be tried again. -EACCES: Redis refuses us. */
typedef void (*loop_redis_state_cb)(struct loop_redis *redis, enum loop_redis_line line,
                                    int status);

/* Comes in the closing phase, once: the memory is yours again. */
typedef void (*loop_redis_close_cb)(struct loop_redis *redis);

/* All zero, or NULL: 127.0.0.1, port 6379, without a password. Copied. */
struct loop_redis_options {
    const char *host; /* a name or an address; NULL: "127.0.0.1" */
    uint16_t port;    /* 0: 6379 */
    const char *path; /* a unix-domain socket, in the place of host and port */
    const char *user; /* with a password; NULL: the default user */
    const char *password;
    unsigned database;
    loop_redis_state_cb on_state; /* may be NULL */
    uint64_t connect_ns;          /* to look up the name, and again to connect; 0: 5 s */
    uint64_t retry_max_ns;        /* between two attempts at most; 0: 10 s */
    uint64_t alive_ns;   /* asks so often, and gives up if not answered by the next time; 0: 10 s;
                            LOOP_NEVER: does not ask, as it must be for commands that block */
    uint32_t unanswered; /* commands, sent or waiting; 0: 10,000 */
    size_t unanswered_bytes; /* of them; 0: 16 MiB */
};

struct loop_redis {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    bool connected[2]; /* by enum loop_redis_line */
    char error[128];   /* why a connection was last lost or not made; "" until then */

    /* private */
    struct redis_client *client;
};

/* One who listens to a channel: your memory, lent until loop_redis_unsubscribe(). */
struct loop_redis_subscription {
    void *data; /* yours */

    /* read-only */
    struct loop_redis *redis;
    bool listening; /* messages come: Redis has confirmed it */

    /* private */
    struct loop_link link;         /* in the channel */
    struct redis_channel *channel; /* NULL: not subscribed */
    loop_redis_message_cb cb;
};

/* Begins to connect; the loop is kept alive until loop_redis_close(). redis is the caller's memory.
 * Errors, with nothing started: -EINVAL (an argument NULL, a user without a password),
 * -ENAMETOOLONG (host over 253 bytes, path over 107), -ENOMEM. That there is no Redis is told to
 * on_state. */
LOOP_API int loop_redis_open(struct loop *loop, struct loop_redis *redis,
                             const struct loop_redis_options *options);

/* Ends subscriptions, completes what is not answered with -ECANCELED, then calls cb, which may be
 * NULL. Commands that were not sent are not sent any more. Called twice, it does nothing. */
LOOP_API void loop_redis_close(struct loop_redis *redis, loop_redis_close_cb cb);

/* Sends a command: count words, of the given sizes; sizes NULL: they are text. All is copied; the
 * callback, which may be NULL, comes in the order of the calls. Commands of one callback are sent
 * together, so a transaction (MULTI … EXEC) is to be given in one. Errors: -EINVAL (no word, one of
 * what changes the connection: SUBSCRIBE and its like, MONITOR, QUIT, RESET, HELLO, AUTH, SELECT),
 * -ENOBUFS (too many are unanswered), -ENOMEM, -ECANCELED (closing). */
LOOP_API int loop_redis_command(struct loop_redis *redis, size_t count, const char **words,
                                const size_t *sizes, loop_redis_reply_cb cb, void *arg);

/* PUBLISH: hands a message to all that listen to channel now, on whatever machine. The reply is
 * how many: an integer. Errors as above. */
LOOP_API int loop_redis_publish(struct loop_redis *redis, const char *channel, const void *bytes,
                                size_t size, loop_redis_reply_cb cb, void *arg);

/* Listens to a channel, or to all whose name matches a pattern: "room.*" (glob style, see
 * PSUBSCRIBE). Any number may listen to one channel; Redis is asked once. Messages come to them in
 * the order in which they have subscribed. Errors: -EINVAL, -EALREADY (it is subscribed), -ENOMEM,
 * -ECANCELED (closing). */
LOOP_API int loop_redis_subscribe(struct loop_redis *redis,
                                  struct loop_redis_subscription *subscription, const char *channel,
                                  loop_redis_message_cb cb);
LOOP_API int loop_redis_subscribe_pattern(struct loop_redis *redis,
                                          struct loop_redis_subscription *subscription,
                                          const char *pattern, loop_redis_message_cb cb);

/* No message comes to it any more, and the memory is yours. Harmless if it is not subscribed (but
 * it must have been all zero before it first was), and behind loop_redis_close(). */
LOOP_API void loop_redis_unsubscribe(struct loop_redis_subscription *subscription);

/* How many commands are unanswered, sent or waiting for a connection. */
LOOP_API size_t loop_redis_unanswered(const struct loop_redis *redis);

#endif
