/* A Redis client whose outside calls fail one after the other.
 *
 * It opens, with a password and a database, listens to a channel and a pattern, publishes, hears,
 * leaves, and closes. In each run one allocation, one call of the loop, of hiredis or for random
 * bytes is refused. A connection that is lost by that is made again, a command that was taken is
 * completed once, and closing brings everything to its end. On the virtual clock pauses take no
 * time.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "scripted_redis.h"

#include "loop/dns.h"
#include "loop/poll.h"

#include <hiredis/async.h>
#include <sys/random.h>

int __real_loop_poll_start(struct loop_poll *poll, uint32_t events, loop_poll_cb cb);
int __wrap_loop_poll_start(struct loop_poll *poll, uint32_t events, loop_poll_cb cb);
int __real_loop_getaddrinfo(struct loop *loop, struct loop_getaddrinfo *req, const char *node,
                            const char *service, const struct loop_dns_hints *hints,
                            loop_getaddrinfo_cb cb);
int __wrap_loop_getaddrinfo(struct loop *loop, struct loop_getaddrinfo *req, const char *node,
                            const char *service, const struct loop_dns_hints *hints,
                            loop_getaddrinfo_cb cb);
int __real_redisAsyncCommandArgv(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                 int count, const char **words, const size_t *sizes);
int __wrap_redisAsyncCommandArgv(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                 int count, const char **words, const size_t *sizes);
int __real_redisAsyncFormattedCommand(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                      const char *text, size_t size);
int __wrap_redisAsyncFormattedCommand(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                      const char *text, size_t size);
int __wrap_redisAsyncCommand(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                             const char *format, ...);
redisAsyncContext *__real_redisAsyncConnectUnix(const char *path);
redisAsyncContext *__wrap_redisAsyncConnectUnix(const char *path);
ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

int __wrap_loop_poll_start(struct loop_poll *poll, uint32_t events, loop_poll_cb cb)
{
    return refused("loop_poll_start") ? -ENOMEM : __real_loop_poll_start(poll, events, cb);
}

int __wrap_loop_getaddrinfo(struct loop *loop, struct loop_getaddrinfo *req, const char *node,
                            const char *service, const struct loop_dns_hints *hints,
                            loop_getaddrinfo_cb cb)
{
    return refused("loop_getaddrinfo")
               ? -ENOMEM
               : __real_loop_getaddrinfo(loop, req, node, service, hints, cb);
}

int __wrap_redisAsyncCommandArgv(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                 int count, const char **words, const size_t *sizes)
{
    return refused("redisAsyncCommandArgv")
               ? REDIS_ERR
               : __real_redisAsyncCommandArgv(context, fn, arg, count, words, sizes);
}

int __wrap_redisAsyncFormattedCommand(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                                      const char *text, size_t size)
{
    return refused("redisAsyncFormattedCommand")
               ? REDIS_ERR
               : __real_redisAsyncFormattedCommand(context, fn, arg, text, size);
}

int __wrap_redisAsyncCommand(redisAsyncContext *context, redisCallbackFn *fn, void *arg,
                             const char *format, ...)
{
    va_list arguments;
    if (refused("redisAsyncCommand"))
        return REDIS_ERR;
    va_start(arguments, format);
    int status = redisvAsyncCommand(context, fn, arg, format, arguments);
    va_end(arguments);
    return status;
}

redisAsyncContext *__wrap_redisAsyncConnectUnix(const char *path)
{
    if (refused("redisAsyncConnectUnix"))
        return NULL;
    redisAsyncContext *context = __real_redisAsyncConnectUnix(path);
    if (refused_by_name("the memory of hiredis"))
        context->err = REDIS_ERR_OOM;
    return context;
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    if (!refused("getrandom"))
        return __real_getrandom(bytes, size, flags);
    errno = EAGAIN;
    return -1;
}

static struct loop_redis redis;
static struct loop_redis_subscription room, rooms;
static struct loop_timer pulse;
static unsigned given, completed, closed, downs;

static void on_closed(struct loop_redis *over)
{
    assert_ptr_equal(&redis, over);
    assert_int_equal(given, completed);
    closed++;
}

static void close_redis(void)
{
    loop_redis_close(&redis, on_closed);
    loop_timer_stop(&pulse);
}

/* A few pulses of both lines later. */
static void on_pulse(struct loop_timer *timer)
{
    (void)timer;
    loop_redis_unsubscribe(&room);
    loop_redis_unsubscribe(&rooms);
    close_redis();
}

static void end_soon(void)
{
    if (!loop_is_active(&pulse.handle))
        loop_timer_start(&pulse, 45 * LOOP_SEC, 0, on_pulse);
}

static void on_reply(struct loop_redis *over, int status, const struct redisReply *reply, void *arg)
{
    (void)over;
    (void)arg;
    assert_int_equal(status == 0, reply != NULL);
    completed++;
    if (status < 0 && status != -ECANCELED)
        end_soon();
}

static void publish(void)
{
    if (loop_redis_publish(&redis, "room", "hello", 5, on_reply, NULL) == 0)
        given++;
    else
        end_soon();
}

/* What was said is lost with its connection: it is said again. */
static void on_state(struct loop_redis *over, enum loop_redis_line line, int status)
{
    (void)over;
    downs += status < 0;
    if (line == LOOP_REDIS_MESSAGES && status == 0)
        publish();
}

static void on_message(struct loop_redis_subscription *subscription, const char *channel,
                       const char *bytes, size_t size)
{
    (void)channel;
    (void)size;
    if (!bytes && subscription == &room)
        publish();
    if (bytes)
        end_soon();
}

static void begin(void **state)
{
    given = completed = closed = downs = 0;
    memset(&room, 0, sizeof(room));
    memset(&rooms, 0, sizeof(rooms));
    scripted_redis_begin(*state);
    loop_timer_init(*state, &pulse);
}

static void end(void)
{
    disarm();
    loop_timer_stop(&pulse);
    assert_null(redis.client);
    assert_int_equal(given, completed);
    scripted_redis_end();
}

static void talk(void **state)
{
    begin(state);
    const struct loop_redis_options options = {.path = scripted_redis.path,
                                               .host = "h",
                                               .user = "user",
                                               .password = "word",
                                               .database = 1,
                                               .retry_max_ns = 100 * LOOP_MS,
                                               .on_state = on_state};
    arm();
    if (loop_redis_open(*state, &redis, &options) < 0) {
        end();
        return;
    }
    publish();
    int status = loop_redis_subscribe(&redis, &room, "room", on_message);
    if (status == 0)
        status = loop_redis_subscribe_pattern(&redis, &rooms, "room*", on_message);
    if (status < 0)
        close_redis();
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(1, closed);
    end();
}

static void everything_is_completed_whatever_is_refused(void **state)
{
    refuse_each(state, talk);
}

static void on_down(struct loop_redis *over, enum loop_redis_line line, int status)
{
    (void)over;
    assert_int_equal(LOOP_REDIS_COMMANDS, line);
    say("%s", loop_error_name(status));
    close_redis();
}

static void a_look_up_that_cannot_be_begun_is_told(void **state)
{
    begin(state);
    const struct loop_redis_options options = {.host = "localhost", .on_state = on_down};
    refuse("loop_getaddrinfo", 1);
    assert_int_equal(0, loop_redis_open(*state, &redis, &options));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ENOMEM");
    end();
}

static bool hangs_up(struct peer *peer, const char *word, const char *argument)
{
    (void)word;
    (void)argument;
    peer_hang_up(peer);
    scripted_redis.on_command = NULL;
    return true;
}

static void on_up(struct loop_redis *over, enum loop_redis_line line, int status)
{
    (void)over;
    assert_int_equal(LOOP_REDIS_COMMANDS, line);
    say("%s", loop_error_name(status));
    if (status == 0)
        close_redis();
}

/* Then all pauses are of one length. */
static void without_chance_there_is_a_pause_too(void **state)
{
    begin(state);
    const struct loop_redis_options options = {.path = scripted_redis.path, .on_state = on_up};
    scripted_redis.on_command = hangs_up;
    refuse("getrandom", 1);
    assert_int_equal(0, loop_redis_open(*state, &redis, &options));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ECONNRESET OK");
    assert_string_equal("getrandom", refused_call());
    end();
}

static void what_hiredis_lacks_is_told(void **state)
{
    begin(state);
    const struct loop_redis_options options = {.path = scripted_redis.path, .on_state = on_down};
    refuse("the memory of hiredis", 1);
    assert_int_equal(0, loop_redis_open(*state, &redis, &options));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ENOMEM");
    end();
}

static const struct CMUnitTest tests[] = {
    spared_test(everything_is_completed_whatever_is_refused),
    spared_test(a_look_up_that_cannot_be_begun_is_told),
    spared_test(what_hiredis_lacks_is_told),
    spared_test(without_chance_there_is_a_pause_too),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
