/* A line: one connection to Redis, made again whenever it is lost.
 *
 *     idle → looking → connecting → up → pause → looking …
 *
 * Every failure, of whatever state, goes through line_fail(): the context is dropped, the pause
 * begins, then what was lost is completed, and the program told last, when it finds everything as
 * it will stay. The pause doubles from 100 ms to the bound of the options; once the greeting has
 * been answered it begins anew. A server that is loading its data answers the greeting with an
 * error: that is a pause too.
 *
 * A peer that is not there any more says nothing, so a line that is up has a pulse: something that
 * must be answered by the time of the next one.
 *
 * SPDX-License-Identifier: MIT */
#include "redis/redis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const uint64_t pause_first_ns = 100 * LOOP_MS;

static void on_timer(struct loop_timer *timer);

static struct loop_redis *redis_of(const struct redis_line *line)
{
    return line->client->redis;
}

static void tell(struct redis_line *line, int status)
{
    const struct loop_redis_options *options = &line->client->options;
    if (options->on_state && !line->client->closing)
        options->on_state(redis_of(line), line->which, status);
}

/* Between a half and the whole of it: clients that were cut off together come one by one. */
static uint64_t with_chance(uint64_t ns)
{
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
        return ns;
    return ns / 2 + chance % (ns / 2 + 1);
}

static void start_pause(struct redis_line *line)
{
    uint64_t max_ns = line->client->options.retry_max_ns;
    uint64_t next_ns = line->pause_ns ? line->pause_ns * 2 : pause_first_ns;
    line->pause_ns = next_ns < max_ns ? next_ns : max_ns;
    line->state = REDIS_LINE_PAUSE;
    loop_timer_start(&line->timer, with_chance(line->pause_ns), 0, on_timer);
}

static void lose(struct redis_line *line)
{
    if (line->which == LOOP_REDIS_COMMANDS)
        command_fail_sent(line->client, -ECONNRESET);
    else
        channel_line_lost(line->client);
}

/* why NULL: the sentence of error, unless the adapter has noted one of its own. */
void line_fail(struct redis_line *line, int error, const char *why)
{
    struct loop_redis *redis = redis_of(line);
    if (line->client->closing)
        return;
    bool noted = line->error != 0;
    if (why || !noted)
        snprintf(redis->error, sizeof(redis->error), "%s", why ? why : loop_strerror(error));
    adapter_drop(line);
    line->error = 0;
    line->beaten = false;
    redis->connected[line->which] = false;
    start_pause(line);
    lose(line);
    tell(line, error);
}

/* After each call into hiredis. */
void line_check(struct redis_line *line)
{
    bool connected = line->state == REDIS_LINE_CONNECTING || line->state == REDIS_LINE_UP;
    if (connected && (line->error || !line->context))
        line_fail(line, line->error ? line->error : -ECONNRESET, NULL);
}

/* --- connecting --- */

/* The deadline begins anew: a look-up that was just in time leaves it spent. */
static void connected(struct redis_line *line, int error)
{
    line->state = REDIS_LINE_CONNECTING;
    loop_timer_start(&line->timer, line->client->options.connect_ns, 0, on_timer);
    if (error || line->error)
        line_fail(line, line->error ? line->error : error, NULL);
}

/* What hiredis is given is an address, which it need not look up. The name may have several, of
 * which each attempt takes the next. */
static void on_look(struct loop_getaddrinfo *look)
{
    struct redis_line *line = loop_container_of(look, struct redis_line, look);
    line->state = REDIS_LINE_IDLE;
    if (line->client->closing) {
        line_stop(line);
        return;
    }
    if (look->status < 0) {
        line_fail(line, look->status, NULL);
        return;
    }
    const struct loop_address *address = &look->addresses[line->attempts++ % look->count];
    char host[LOOP_DNS_HOST_SIZE];
    int code =
        getnameinfo(&address->any, address->size, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
    connected(line, code ? -EINVAL : adapter_connect(line, host, line->client->options.port));
}

static int look_up(struct redis_line *line)
{
    const struct loop_redis_options *options = &line->client->options;
    const struct loop_dns_hints hints = {.socket_type = SOCK_STREAM};
    char service[REDIS_SERVICE_SIZE];
    snprintf(service, sizeof(service), "%u", options->port);
    return loop_getaddrinfo(redis_of(line)->loop, &line->look, options->host, service, &hints,
                            on_look);
}

static void attempt(struct redis_line *line)
{
    line->error = 0;
    line->greetings = 0;
    loop_timer_start(&line->timer, line->client->options.connect_ns, 0, on_timer);
    if (line->client->options.path) {
        connected(line, adapter_connect(line, NULL, 0));
        return;
    }
    line->state = REDIS_LINE_LOOKING;
    int error = look_up(line);
    if (error)
        line_fail(line, error, NULL);
}

/* A look-up that takes too long is given up, and tells that itself. */
static void time_out(struct redis_line *line)
{
    if (line->state != REDIS_LINE_LOOKING)
        line_fail(line, line->error ? line->error : -ETIMEDOUT, NULL);
    else
        loop_request_deadline(&line->look.request, 0);
}

static void pulse(struct redis_line *line)
{
    if (line->error) {
        line_check(line);
        return;
    }
    if (line->beaten && !line->heard) {
        line_fail(line, -ETIMEDOUT, "Redis does not answer");
        return;
    }
    line->heard = false;
    line->beaten = true;
    loop_timer_start(&line->timer, line->client->options.alive_ns, 0, on_timer);
    line_beat(line);
}

static bool wanted(const struct redis_line *line)
{
    return line->which == LOOP_REDIS_COMMANDS || line->client->channel_count > 0;
}

static void on_timer(struct loop_timer *timer)
{
    struct redis_line *line = loop_container_of(timer, struct redis_line, timer);
    if (line->state == REDIS_LINE_UP)
        pulse(line);
    else if (line->state == REDIS_LINE_LOOKING || line->state == REDIS_LINE_CONNECTING)
        time_out(line);
    else if (wanted(line))
        attempt(line);
    else
        line->state = REDIS_LINE_IDLE;
}

/* The greeting is answered. */
void line_up(struct redis_line *line)
{
    line->state = REDIS_LINE_UP;
    line->pause_ns = 0;
    redis_of(line)->connected[line->which] = true;
    line->heard = false;
    line->beaten = false;
    loop_timer_start(&line->timer, line->client->options.alive_ns, 0, on_timer);
    if (line->which == LOOP_REDIS_COMMANDS)
        command_send_waiting(line->client);
    else
        channel_subscribe_all(line->client);
    tell(line, 0);
}

/* line->error was set where nothing may be told: the timer will see it. */
void line_wake(struct redis_line *line)
{
    loop_timer_start(&line->timer, 0, 0, on_timer);
}

/* From a call of the program's: the timer begins, so that no failure is told inside of it. */
void line_start(struct redis_line *line)
{
    if (line->state == REDIS_LINE_IDLE && !loop_is_active(&line->timer.handle))
        loop_timer_start(&line->timer, 0, 0, on_timer);
}

static void on_closed(struct loop_handle *handle)
{
    struct redis_line *line = loop_container_of(handle, struct redis_line, timer.handle);
    client_line_closed(line->client);
}

/* For good. A look-up in flight calls back first, and comes here again. */
void line_stop(struct redis_line *line)
{
    if (line->state == REDIS_LINE_LOOKING) {
        loop_request_cancel(&line->look.request);
        return;
    }
    adapter_drop(line);
    redis_of(line)->connected[line->which] = false;
    loop_close(&line->timer.handle, on_closed);
}
