/* Channels and patterns, and who listens to them.
 *
 * Redis is asked once for each, however many listen, and asked again by each new listener, since
 * its answer is what says to that one that messages come. A channel is remembered until Redis has
 * confirmed that it was left: until then messages of it may still be on their way, and hiredis
 * holds a pointer to it.
 *
 * Messages go to the listeners of that moment: the list is taken, and each is put back before it is
 * called, so that any of them may leave, or be freed, and others come.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct redis_channel *of_link(struct loop_link *link)
{
    return loop_container_of(link, struct redis_channel, link);
}

static struct loop_redis_subscription *listener_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_redis_subscription, link);
}

static struct redis_line *line_of(struct redis_client *client)
{
    return &client->lines[LOOP_REDIS_MESSAGES];
}

static bool is_up(const struct redis_client *client)
{
    const struct redis_line *line = &client->lines[LOOP_REDIS_MESSAGES];
    return line->state == REDIS_LINE_UP && line->context && !line->error;
}

/* FNV-1a: names of channels are made by the program. */
static struct loop_link *bucket_of(struct redis_client *client, const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return &client->channels[hash % REDIS_BUCKETS];
}

static struct redis_channel *find(struct redis_client *client, const char *name, bool pattern)
{
    struct loop_link *bucket = bucket_of(client, name);
    for (struct loop_link *link = bucket->next; link != bucket; link = link->next) {
        struct redis_channel *channel = of_link(link);
        if (channel->pattern == pattern && strcmp(channel->name, name) == 0)
            return channel;
    }
    return NULL;
}

static struct redis_channel *channel_new(struct redis_client *client, const char *name,
                                         bool pattern)
{
    size_t size = strlen(name) + 1;
    struct redis_channel *channel = calloc(1, sizeof(*channel) + size);
    if (!channel)
        return NULL;
    memcpy(channel->name, name, size);
    channel->client = client;
    channel->pattern = pattern;
    list_init(&channel->link);
    list_init(&channel->listeners);
    list_append(bucket_of(client, name), &channel->link);
    return channel;
}

static void channel_free(struct redis_channel *channel)
{
    list_remove(&channel->link);
    free(channel);
}

/* --- what Redis says --- */

/* A message goes to those who were told that messages come; bytes NULL tells the others. */
static void tell(struct redis_channel *channel, const char *from, const char *bytes, size_t size)
{
    struct loop_link taken;
    list_init(&taken);
    for (struct loop_link *link; (link = list_pop(&channel->listeners));)
        list_append(&taken, link);
    for (struct loop_link *link; (link = list_pop(&taken));) {
        struct loop_redis_subscription *listener = listener_of(link);
        list_append(&channel->listeners, link);
        bool concerned = bytes ? listener->listening : !listener->listening;
        listener->listening = listener->listening || !bytes;
        if (concerned && !channel->client->closing)
            listener->cb(listener, from, bytes, size);
    }
}

static void confirm_left(struct redis_channel *channel)
{
    if (--channel->unasked == 0 && channel->count == 0)
        channel_free(channel);
}

/* "message" channel bytes, "pmessage" pattern channel bytes, "[p][un]subscribe" name number. */
static void on_message(redisAsyncContext *context, void *answer, void *arg)
{
    struct redis_channel *channel = arg;
    const redisReply *reply = answer;
    (void)context;
    if (!reply || channel->client->closing || reply->type != REDIS_REPLY_ARRAY ||
        reply->elements < 3)
        return;
    const char *kind = reply->element[0]->str + channel->pattern;
    const redisReply *last = reply->element[reply->elements - 1];
    if (strcmp(kind, "message") == 0)
        tell(channel, reply->element[reply->elements - 2]->str, last->str, last->len);
    else if (strcmp(kind, "subscribe") == 0)
        tell(channel, channel->name, NULL, 0);
    else if (strcmp(kind, "unsubscribe") == 0)
        confirm_left(channel);
}

/* --- what we say --- */

static void ask(struct redis_channel *channel, const char *command)
{
    struct redis_line *line = line_of(channel->client);
    const char *word = channel->pattern ? command : command + 1;
    const char *words[] = {word, channel->name};
    if (redisAsyncCommandArgv(line->context, on_message, channel, 2, words, NULL) != REDIS_OK) {
        line->error = -ENOMEM;
        line_wake(line);
    }
}

static void subscribe(struct redis_channel *channel)
{
    if (is_up(channel->client))
        ask(channel, "PSUBSCRIBE");
}

static void each_channel(struct redis_client *client, void (*act)(struct redis_channel *channel))
{
    for (size_t i = 0; i < REDIS_BUCKETS; i++) {
        struct loop_link *next;
        for (struct loop_link *link = client->channels[i].next; link != &client->channels[i];
             link = next) {
            next = link->next;
            act(of_link(link));
        }
    }
}

void channel_subscribe_all(struct redis_client *client)
{
    each_channel(client, subscribe);
}

static void forget_connection(struct redis_channel *channel)
{
    channel->unasked = 0;
    struct loop_link *link = channel->listeners.next;
    for (; link != &channel->listeners; link = link->next)
        listener_of(link)->listening = false;
    if (channel->count == 0)
        channel_free(channel);
}

/* Outside of hiredis: the context, which held pointers to channels, is gone. */
void channel_line_lost(struct redis_client *client)
{
    each_channel(client, forget_connection);
}

/* Any channel with listeners will do: it is one that we may subscribe to. */
void channel_beat(struct redis_client *client)
{
    for (size_t i = 0; i < REDIS_BUCKETS; i++) {
        struct loop_link *link = client->channels[i].next;
        for (; link != &client->channels[i]; link = link->next)
            if (of_link(link)->count > 0) {
                subscribe(of_link(link));
                return;
            }
    }
    line_of(client)->beaten = false;
}

static void let_go(struct redis_channel *channel)
{
    for (struct loop_link *link; (link = list_pop(&channel->listeners));) {
        listener_of(link)->channel = NULL;
        listener_of(link)->listening = false;
    }
    channel_free(channel);
}

void channel_free_all(struct redis_client *client)
{
    each_channel(client, let_go);
}

/* --- the program's calls --- */

static int add(struct loop_redis *redis, struct loop_redis_subscription *subscription,
               const char *name, bool pattern, loop_redis_message_cb cb)
{
    if (!redis || !subscription || !name || !cb)
        return -EINVAL;
    if (subscription->channel)
        return -EALREADY;
    struct redis_client *client = redis->client;
    if (!client || client->closing)
        return -ECANCELED;
    struct redis_channel *channel = find(client, name, pattern);
    if (!channel)
        channel = channel_new(client, name, pattern);
    if (!channel)
        return -ENOMEM;
    client->channel_count += channel->count++ == 0;
    subscription->redis = redis;
    subscription->listening = false;
    subscription->channel = channel;
    subscription->cb = cb;
    list_append(&channel->listeners, &subscription->link);
    subscribe(channel);
    line_start(line_of(client));
    return 0;
}

int loop_redis_subscribe(struct loop_redis *redis, struct loop_redis_subscription *subscription,
                         const char *channel, loop_redis_message_cb cb)
{
    return add(redis, subscription, channel, false, cb);
}

int loop_redis_subscribe_pattern(struct loop_redis *redis,
                                 struct loop_redis_subscription *subscription, const char *pattern,
                                 loop_redis_message_cb cb)
{
    return add(redis, subscription, pattern, true, cb);
}

void loop_redis_unsubscribe(struct loop_redis_subscription *subscription)
{
    struct redis_channel *channel = subscription->channel;
    if (!channel)
        return;
    struct redis_client *client = channel->client;
    list_remove(&subscription->link);
    subscription->channel = NULL;
    subscription->listening = false;
    if (--channel->count > 0)
        return;
    client->channel_count--;
    if (line_of(client)->state != REDIS_LINE_UP) {
        channel_free(channel);
    } else if (is_up(client)) {
        channel->unasked++;
        ask(channel, "PUNSUBSCRIBE");
    }
}
