/* What a line says by itself: who we are when it is connected, and later that it is still there.
 *
 * A greeting ends with a PING, though nothing else may be in it, since the first answer is what
 * shows that somebody reads: a connection is in the kernel's queue before the server has seen it,
 * and one that is loading its data says so. An error to any part of it refuses the line.
 *
 * The pulse of the line for messages is a subscription that it has already, since a PING there has
 * no callback in hiredis 0.14, where each would leave a little memory behind.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "LOADING" and its like will be over by themselves. */
static int refusal(const redisReply *reply)
{
    static const char *const passing[] = {"LOADING", "BUSY", "MASTERDOWN"};
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        if (strncmp(reply->str, passing[i], strlen(passing[i])) == 0)
            return -EAGAIN;
    return -EACCES;
}

/* A line that is refused goes down outside of hiredis, in line_check(). */
static void on_greeted(redisAsyncContext *context, void *answer, void *arg)
{
    struct redis_line *line = arg;
    const redisReply *reply = answer;
    (void)context;
    if (!reply || line->error || line->client->closing)
        return;
    struct loop_redis *redis = line->client->redis;
    if (reply->type == REDIS_REPLY_ERROR) {
        line->error = refusal(reply);
        snprintf(redis->error, sizeof(redis->error), "%s", reply->str);
    } else if (--line->greetings == 0) {
        line_up(line);
    }
}

static void greet(struct redis_line *line, int count, const char **words)
{
    line->greetings++;
    if (redisAsyncCommandArgv(line->context, on_greeted, line, count, words, NULL) != REDIS_OK)
        line->error = -ENOMEM;
}

void line_greet(struct redis_line *line)
{
    const struct loop_redis_options *options = &line->client->options;
    char database[16];
    snprintf(database, sizeof(database), "%u", options->database);
    if (options->user)
        greet(line, 3, (const char *[]){"AUTH", options->user, options->password});
    else if (options->password)
        greet(line, 2, (const char *[]){"AUTH", options->password});
    if (options->database)
        greet(line, 2, (const char *[]){"SELECT", database});
    greet(line, 1, (const char *[]){"PING"});
}

/* That something has come is seen where it is read. */
static void on_pulse(redisAsyncContext *context, void *answer, void *arg)
{
    (void)context;
    (void)answer;
    (void)arg;
}

void line_beat(struct redis_line *line)
{
    if (line->which == LOOP_REDIS_MESSAGES)
        channel_beat(line->client);
    else if (redisAsyncCommand(line->context, on_pulse, NULL, "PING") != REDIS_OK)
        line->error = -ENOMEM;
}
