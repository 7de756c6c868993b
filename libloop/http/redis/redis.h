/* Internal. The parts of the Redis client, by file.
 *
 * A client is two lines. A line is one connection and all that it takes to have it again: a name
 * looked up, hiredis' context, a watcher for its socket, and one timer, which is the deadline while
 * connecting, the pulse while connected and the pause in between.
 *
 * hiredis tells the death of a context in several ways, at several times, and frees it itself. The
 * one sign that is relied on is its cleanup hook, which sets line->context to NULL; everything that
 * has to follow is done outside of hiredis, by line_check(). So no callback of the program's runs
 * inside a dying context but those of replies and messages that have come.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_REDIS_INTERNAL_H
#define LOOP_HTTP_REDIS_INTERNAL_H

#include "list.h"
#include "loop/dns.h"
#include "loop/http/redis.h"
#include "loop/poll.h"
#include "loop/timer.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

enum { REDIS_BUCKETS = 256, REDIS_PATH_MAX = 107, REDIS_SERVICE_SIZE = 8 };

enum redis_line_state {
    REDIS_LINE_IDLE, /* nobody wants it */
    REDIS_LINE_LOOKING,
    REDIS_LINE_CONNECTING, /* until the greeting is answered */
    REDIS_LINE_UP,
    REDIS_LINE_PAUSE, /* before the next attempt */
};

struct redis_line {
    struct redis_client *client;
    enum loop_redis_line which;
    enum redis_line_state state;
    redisAsyncContext *context; /* NULL: none, or hiredis has given it up */
    struct loop_poll poll;
    uint32_t wanted; /* of poll */
    struct loop_timer timer;
    struct loop_getaddrinfo look;
    uint64_t pause_ns;  /* the last one, without its randomness */
    uint32_t attempts;  /* takes the addresses of a name in turn */
    uint32_t greetings; /* not answered yet */
    int error;          /* why it goes down */
    bool heard;         /* since the last pulse */
    bool beaten;        /* a pulse was sent */
};

/* A command until it is answered. */
struct redis_command {
    struct loop_link link; /* on client->waiting or client->sent */
    struct redis_client *client;
    loop_redis_reply_cb cb;
    void *arg;
    char *text; /* as it goes out; NULL: it has */
    size_t size;
};

/* A channel or pattern with its listeners, until Redis has confirmed that there are none. */
struct redis_channel {
    struct loop_link link; /* in its bucket */
    struct redis_client *client;
    struct loop_link listeners;
    size_t count;     /* of them, also while they are being told */
    uint32_t unasked; /* "unsubscribe" was sent so often and not confirmed */
    bool pattern;
    char name[];
};

struct redis_client {
    struct loop_redis *redis;
    struct loop_redis_options options; /* with the defaults; strings are copies */
    struct redis_line lines[2];
    struct loop_link waiting; /* commands for a connection */
    struct loop_link sent;    /* commands for an answer */
    size_t unanswered;
    size_t unanswered_bytes;
    struct loop_link channels[REDIS_BUCKETS];
    size_t channel_count; /* with listeners */
    unsigned open_lines;  /* whose timer has not been closed */
    bool closing;
    loop_redis_close_cb close_cb;
};

/* redis_line.c; the greeting and the pulse are in redis_greet.c */
void line_start(struct redis_line *line);
void line_stop(struct redis_line *line); /* for good */
void line_check(struct redis_line *line);
void line_wake(struct redis_line *line);
void line_fail(struct redis_line *line, int error, const char *why);
void line_greet(struct redis_line *line);
void line_beat(struct redis_line *line);
void line_up(struct redis_line *line);

/* redis_adapter.c: hiredis' events on a watcher of ours */
int adapter_connect(struct redis_line *line, const char *host, int port);
void adapter_drop(struct redis_line *line);

/* redis_command.c */
void command_send_waiting(struct redis_client *client);
void command_fail_sent(struct redis_client *client, int status);
void command_fail_all(struct redis_client *client, int status);

/* redis_channel.c */
void channel_subscribe_all(struct redis_client *client);
void channel_line_lost(struct redis_client *client);
void channel_beat(struct redis_client *client);
void channel_free_all(struct redis_client *client);

/* redis.c */
void client_line_closed(struct redis_client *client);

#endif
