/* The Redis client's life: options, two lines, and their end.
 *
 * Everything that callbacks of hiredis may point to lives in one piece, struct redis_client, and
 * outlives both lines: it is freed with the last word to the program, in the closing phase, when
 * no context and no look-up is left. What is unanswered is completed there too, just before.
 *
 * Not taken: a pool of connections. Redis does one command after the other, and one connection
 * carries as many as it can do.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void client_free(struct redis_client *client)
{
    free((char *)(uintptr_t)client->options.host);
    free((char *)(uintptr_t)client->options.path);
    free((char *)(uintptr_t)client->options.user);
    free((char *)(uintptr_t)client->options.password);
    free(client);
}

static void set_defaults(struct loop_redis_options *options)
{
    options->port = options->port ? options->port : 6379;
    options->connect_ns = options->connect_ns ? options->connect_ns : 5 * LOOP_SEC;
    options->retry_max_ns = options->retry_max_ns ? options->retry_max_ns : 10 * LOOP_SEC;
    options->alive_ns = options->alive_ns ? options->alive_ns : 10 * LOOP_SEC;
    options->unanswered = options->unanswered ? options->unanswered : 10000;
    options->unanswered_bytes =
        options->unanswered_bytes ? options->unanswered_bytes : 16 * 1024 * 1024;
}

/* Whether there was memory for all of them. */
static bool copy_strings(struct loop_redis_options *to, const struct loop_redis_options *from)
{
    to->host = copy(from->host ? from->host : "127.0.0.1");
    to->path = copy(from->path);
    to->user = copy(from->user);
    to->password = copy(from->password);
    return to->host && !to->path == !from->path && !to->user == !from->user &&
           !to->password == !from->password;
}

static struct redis_client *client_new(struct loop_redis *redis,
                                       const struct loop_redis_options *options)
{
    struct redis_client *client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    client->redis = redis;
    client->options = *options;
    if (!copy_strings(&client->options, options)) {
        client_free(client);
        return NULL;
    }
    set_defaults(&client->options);
    list_init(&client->waiting);
    list_init(&client->sent);
    for (size_t i = 0; i < REDIS_BUCKETS; i++)
        list_init(&client->channels[i]);
    for (unsigned i = 0; i < 2; i++) {
        client->lines[i].client = client;
        client->lines[i].which = i ? LOOP_REDIS_MESSAGES : LOOP_REDIS_COMMANDS;
        loop_timer_init(redis->loop, &client->lines[i].timer);
    }
    client->open_lines = 2;
    return client;
}

int loop_redis_open(struct loop *loop, struct loop_redis *redis,
                    const struct loop_redis_options *options)
{
    static const struct loop_redis_options all_defaults;
    options = options ? options : &all_defaults;
    if (!loop || !redis || (options->user && !options->password))
        return -EINVAL;
    if ((options->host && strlen(options->host) > LOOP_DNS_NAME_MAX) ||
        (options->path && strlen(options->path) > REDIS_PATH_MAX))
        return -ENAMETOOLONG;
    *redis = (struct loop_redis){.data = redis->data, .loop = loop};
    redis->client = client_new(redis, options);
    if (!redis->client)
        return -ENOMEM;
    line_start(&redis->client->lines[LOOP_REDIS_COMMANDS]);
    return 0;
}

void loop_redis_close(struct loop_redis *redis, loop_redis_close_cb cb)
{
    struct redis_client *client = redis->client;
    if (!client || client->closing)
        return;
    client->closing = true;
    client->close_cb = cb;
    line_stop(&client->lines[LOOP_REDIS_COMMANDS]);
    line_stop(&client->lines[LOOP_REDIS_MESSAGES]);
}

void client_line_closed(struct redis_client *client)
{
    if (--client->open_lines > 0)
        return;
    struct loop_redis *redis = client->redis;
    channel_free_all(client);
    command_fail_all(client, -ECANCELED);
    loop_redis_close_cb cb = client->close_cb;
    redis->client = NULL;
    client_free(client);
    if (cb)
        cb(redis);
}

size_t loop_redis_unanswered(const struct loop_redis *redis)
{
    return redis->client ? redis->client->unanswered : 0;
}
