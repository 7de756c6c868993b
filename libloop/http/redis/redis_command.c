/* Commands: from the call to the answer.
 *
 * Each is a record of its own, on one of two lists: those that wait for a connection, as text, and
 * those that were sent, which Redis answers in their order. What was sent and not answered when the
 * connection goes is lost for us, done or not; nothing is ever sent a second time. The number of
 * both together and their size are bounded, so that neither a Redis that is away nor one that has
 * stopped reading fills our memory.
 *
 * hiredis would rather have the commands itself, also before it is connected. But it forgets them
 * when the connection fails, and what a program publishes in the second of a restart is to wait.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SIZE_OF_NUMBER = 24 }; /* "$18446744073709551615\r\n" and a 0 */

/* Not for the program: they change what the connection is, and the next one would not know. */
static bool forbidden(const char *word, size_t size)
{
    static const char *const words[] = {"SUBSCRIBE",   "PSUBSCRIBE",   "SSUBSCRIBE",
                                        "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
                                        "MONITOR",     "QUIT",         "RESET",
                                        "HELLO",       "AUTH",         "SELECT",
                                        NULL};
    for (const char *const *at = words; *at; at++)
        if (strlen(*at) == size && strncasecmp(*at, word, size) == 0)
            return true;
    return false;
}

static size_t size_of(const char **words, const size_t *sizes, size_t i)
{
    return sizes ? sizes[i] : strlen(words[i]);
}

/* In the form that Redis reads: the number of words, then each with its size before it. NULL: no
 * memory. */
static char *encode(size_t count, const char **words, const size_t *sizes, size_t *size)
{
    size_t room = SIZE_OF_NUMBER;
    for (size_t i = 0; i < count; i++)
        room += SIZE_OF_NUMBER + size_of(words, sizes, i) + 2;
    char *text = malloc(room);
    if (!text)
        return NULL;
    size_t at = (size_t)sprintf(text, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        size_t length = size_of(words, sizes, i);
        at += (size_t)sprintf(text + at, "$%zu\r\n", length);
        memcpy(text + at, words[i], length);
        memcpy(text + at + length, "\r\n", 2);
        at += length + 2;
    }
    *size = at;
    return text;
}

static struct redis_command *of_link(struct loop_link *link)
{
    return loop_container_of(link, struct redis_command, link);
}

/* Before the callback, which may give the next command, it is forgotten. */
static void complete(struct redis_command *command, int status, const redisReply *reply)
{
    struct redis_client *client = command->client;
    loop_redis_reply_cb cb = command->cb;
    void *arg = command->arg;
    list_remove(&command->link);
    client->unanswered--;
    client->unanswered_bytes -= command->size;
    free(command->text);
    free(command);
    if (cb)
        cb(client->redis, status, reply, arg);
}

/* Without a reply the context is dying: the line will say what is lost. */
static void on_reply(redisAsyncContext *context, void *answer, void *arg)
{
    (void)context;
    if (answer)
        complete(arg, 0, answer);
}

static void send_now(struct redis_command *command)
{
    struct redis_line *line = &command->client->lines[LOOP_REDIS_COMMANDS];
    list_append(&command->client->sent, &command->link);
    if (redisAsyncFormattedCommand(line->context, on_reply, command, command->text,
                                   command->size) != REDIS_OK) {
        line->error = -ENOMEM;
        line_wake(line);
    }
    free(command->text);
    command->text = NULL;
}

void command_send_waiting(struct redis_client *client)
{
    for (struct loop_link *link; (link = list_pop(&client->waiting));)
        send_now(of_link(link));
}

/* Those of now: callbacks may give more. */
static void fail_list(struct loop_link *list, int status)
{
    struct loop_link taken;
    list_init(&taken);
    for (struct loop_link *link; (link = list_pop(list));)
        list_append(&taken, link);
    while (!list_empty(&taken))
        complete(of_link(taken.next), status, NULL);
}

void command_fail_sent(struct redis_client *client, int status)
{
    fail_list(&client->sent, status);
}

void command_fail_all(struct redis_client *client, int status)
{
    fail_list(&client->sent, status);
    fail_list(&client->waiting, status);
}

static struct redis_command *command_new(struct redis_client *client, size_t count,
                                         const char **words, const size_t *sizes)
{
    struct redis_command *command = calloc(1, sizeof(*command));
    if (!command)
        return NULL;
    command->client = client;
    command->text = encode(count, words, sizes, &command->size);
    if (command->text)
        return command;
    free(command);
    return NULL;
}

static bool fits(const struct redis_client *client, size_t count, const char **words,
                 const size_t *sizes)
{
    size_t room = client->options.unanswered_bytes - client->unanswered_bytes;
    for (size_t i = 0; i < count; i++) {
        size_t size = size_of(words, sizes, i);
        if (size > room || room - size < SIZE_OF_NUMBER)
            return false;
        room -= size + SIZE_OF_NUMBER;
    }
    return client->unanswered < client->options.unanswered;
}

static void accept_command(struct redis_client *client, struct redis_command *command)
{
    client->unanswered++;
    client->unanswered_bytes += command->size;
    const struct redis_line *line = &client->lines[LOOP_REDIS_COMMANDS];
    if (line->state == REDIS_LINE_UP && line->context && !line->error)
        send_now(command);
    else
        list_append(&client->waiting, &command->link);
}

int loop_redis_command(struct loop_redis *redis, size_t count, const char **words,
                       const size_t *sizes, loop_redis_reply_cb cb, void *arg)
{
    if (!redis || !words || count == 0 || count > INT32_MAX ||
        forbidden(words[0], size_of(words, sizes, 0)))
        return -EINVAL;
    struct redis_client *client = redis->client;
    if (!client || client->closing)
        return -ECANCELED;
    if (!fits(client, count, words, sizes))
        return -ENOBUFS;
    struct redis_command *command = command_new(client, count, words, sizes);
    if (!command)
        return -ENOMEM;
    list_init(&command->link);
    command->cb = cb;
    command->arg = arg;
    accept_command(client, command);
    return 0;
}

int loop_redis_publish(struct loop_redis *redis, const char *channel, const void *bytes,
                       size_t size, loop_redis_reply_cb cb, void *arg)
{
    if (!channel || (!bytes && size))
        return -EINVAL;
    const char *words[] = {"PUBLISH", channel, size ? bytes : ""};
    const size_t sizes[] = {7, strlen(channel), size};
    return loop_redis_command(redis, 3, words, sizes, cb, arg);
}
