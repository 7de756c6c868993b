/* The Redis client, and somebody who answers as no Redis does that can be had for a test.
 *
 * A server that is loading its data is asked again later. One that says nothing, or speaks
 * something else, or has refused a subscription, is told with a number that says so, and tried
 * again. A line for messages is there for as long as somebody listens: when the last has left it is
 * not made again, and when the connection breaks before that was confirmed, nothing is left of the
 * channel. A name that is not looked up in time counts as a connection that was not. What makes no
 * sense is refused, and a signal that was there before us stays.
 *
 * The clock is the virtual one: pauses and deadlines pass at once.
 *
 * SPDX-License-Identifier: MIT */
#include "scripted_redis.h"

#include "loop/pool.h"

#include <semaphore.h>
#include <signal.h>
#include <time.h>

static struct fixture {
    struct loop *loop;
    struct loop_redis redis;
    struct loop_redis_options options;
    struct loop_redis_subscription room;
    unsigned pings;
    int stop_at; /* words said by on_state */
} fixture;

static void on_state(struct loop_redis *redis, enum loop_redis_line line, int status)
{
    assert_int_equal(status == 0, redis->connected[line]);
    say("%d:%s", (int)line, loop_error_name(status));
    if (--fixture.stop_at == 0)
        loop_stop(redis->loop);
}

static int setup(void **state)
{
    if (setup_virtual(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    scripted_redis_begin(*state);
    fixture.options = (struct loop_redis_options){.path = scripted_redis.path,
                                                  .on_state = on_state,
                                                  .retry_max_ns = 100 * LOOP_MS};
    return 0;
}

static int finish(void **state)
{
    scripted_redis_end();
    return teardown(state);
}

/* Until so many words were said by on_state. */
static void run(int words)
{
    fixture.stop_at = words;
    assert_int_equal(1, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

static void open_redis(int words)
{
    assert_int_equal(0, loop_redis_open(fixture.loop, &fixture.redis, &fixture.options));
    run(words);
}

static void close_redis(void)
{
    loop_redis_close(&fixture.redis, NULL);
    loop_redis_close(&fixture.redis, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_null(fixture.redis.client);
    assert_int_equal(0, loop_redis_unanswered(&fixture.redis));
    loop_redis_close(&fixture.redis, NULL);
}

static void on_pass(struct loop_timer *timer)
{
    (void)timer;
}

static void pass(uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(fixture.loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, ns, 0, on_pass));
    while (loop_is_active(&timer.handle))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
}

static void on_message(struct loop_redis_subscription *subscription, const char *channel,
                       const char *bytes, size_t size)
{
    assert_true(subscription->listening);
    say("%s=%.*s", channel, (int)size, bytes ? bytes : "");
    loop_stop(fixture.loop);
}

static void listen_to_room(void)
{
    assert_int_equal(0, loop_redis_subscribe(&fixture.redis, &fixture.room, "room", on_message));
}

/* --- greetings --- */

static bool is_loading(struct peer *peer, const char *word, const char *argument)
{
    (void)word;
    (void)argument;
    if (++fixture.pings < 3)
        peer_say(peer, "-LOADING Redis is loading the dataset in memory\r\n");
    return fixture.pings < 3;
}

static void a_server_that_is_loading_is_asked_again(void **state)
{
    (void)state;
    scripted_redis.on_command = is_loading;
    open_redis(3);
    assert_said("0:EAGAIN 0:EAGAIN 0:OK");
    close_redis();
}

static bool is_silent(struct peer *peer, const char *word, const char *argument)
{
    (void)peer;
    (void)word;
    (void)argument;
    return ++fixture.pings < 3;
}

static void one_that_says_nothing_is_given_up_and_tried_again(void **state)
{
    (void)state;
    scripted_redis.on_command = is_silent;
    fixture.options.connect_ns = 7 * LOOP_SEC;
    uint64_t before_ns = loop_now(fixture.loop);
    open_redis(3);
    assert_said("0:ETIMEDOUT 0:ETIMEDOUT 0:OK");
    assert_true(loop_now(fixture.loop) - before_ns >= 14 * LOOP_SEC);
    close_redis();
}

static bool speaks_http(struct peer *peer, const char *word, const char *argument)
{
    (void)word;
    (void)argument;
    peer_say(peer, "HTTP/1.1 400 Bad Request\r\n\r\n");
    return true;
}

static void one_that_speaks_something_else_is_told(void **state)
{
    (void)state;
    scripted_redis.on_command = speaks_http;
    open_redis(1);
    assert_said("0:EPROTO");
    assert_true(fixture.redis.error[0] != '\0');
    close_redis();
}

static bool hangs_up(struct peer *peer, const char *word, const char *argument)
{
    (void)word;
    (void)argument;
    peer_hang_up(peer);
    return true;
}

static void one_that_hangs_up_is_told(void **state)
{
    (void)state;
    scripted_redis.on_command = hangs_up;
    open_redis(1);
    assert_said("0:ECONNRESET");
    close_redis();
}

static sem_t busy;

static void keep_busy(void *data)
{
    (void)data;
    sem_wait(&busy);
}

static void on_free(struct loop_work *work, int status)
{
    (void)work;
    (void)status;
}

static void on_told(struct loop_redis *redis, enum loop_redis_line line, int status)
{
    on_state(redis, line, status);
    sem_post(&busy);
    loop_redis_close(redis, NULL);
}

/* The one thread that could look it up has other work, for which the virtual clock would wait. */
static void a_name_that_is_not_found_in_time_is_told(void **state)
{
    const struct loop_pool_options one = {.threads_max = 1};
    struct loop_options options = {.clock = LOOP_CLOCK_MONOTONIC};
    struct loop own;
    struct loop_work work = {.release = NULL};
    struct loop_redis redis;
    (void)state;
    assert_int_equal(0, sem_init(&busy, 0, 0));
    assert_int_equal(0, loop_pool_create(&options.pool, &one));
    assert_int_equal(0, loop_init(&own, &options));
    assert_int_equal(0, loop_work_class(&own, &work, LOOP_POOL_DNS, keep_busy, on_free));
    const struct loop_redis_options away = {.host = "localhost",
                                            .connect_ns = LOOP_MS,
                                            .on_state = on_told};
    assert_int_equal(0, loop_redis_open(&own, &redis, &away));
    assert_int_equal(0, loop_run(&own, LOOP_RUN_DEFAULT));
    assert_said("0:ETIMEDOUT");
    assert_int_equal(0, loop_fini(&own));
    loop_pool_destroy(options.pool);
    sem_destroy(&busy);
}

/* --- messages --- */

static bool refuses_to_subscribe(struct peer *peer, const char *word, const char *argument)
{
    (void)argument;
    if (strcmp(word, "SUBSCRIBE") != 0)
        return false;
    peer_say(peer, "-NOPERM this user has no permissions to access the channel\r\n");
    return true;
}

static void a_subscription_that_is_refused_is_told(void **state)
{
    (void)state;
    scripted_redis.on_command = refuses_to_subscribe;
    open_redis(1);
    listen_to_room();
    run(2);
    assert_said("0:OK 1:OK 1:EACCES");
    assert_false(fixture.room.listening);
    close_redis();
    assert_null(fixture.room.channel);
}

static void who_leaves_before_there_is_a_connection_leaves_nothing(void **state)
{
    (void)state;
    open_redis(1);
    listen_to_room();
    loop_redis_unsubscribe(&fixture.room);
    assert_null(fixture.room.channel);
    pass(LOOP_SEC);
    assert_said("0:OK");
    assert_int_equal(1, scripted_redis.accepted);
    close_redis();
}

/* The line has no pulse then, and when it breaks it stays away until somebody listens. */
static void a_line_that_nobody_listens_to_is_not_made_again(void **state)
{
    (void)state;
    open_redis(1);
    listen_to_room();
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_said("0:OK 1:OK room=");
    loop_redis_unsubscribe(&fixture.room);
    pass(60 * LOOP_SEC);
    assert_said("");
    assert_int_equal(2, scripted_redis.accepted);
    peer_hang_up(&scripted_redis.peers[1]);
    pass(60 * LOOP_SEC);
    assert_said("1:ECONNRESET");
    assert_int_equal(2, scripted_redis.accepted);
    listen_to_room();
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_said("1:OK room=");
    assert_int_equal(3, scripted_redis.accepted);
    close_redis();
}

static bool never_confirms(struct peer *peer, const char *word, const char *argument)
{
    (void)argument;
    if (strcmp(word, "UNSUBSCRIBE") == 0)
        peer_hang_up(peer);
    return strcmp(word, "UNSUBSCRIBE") == 0;
}

static void a_channel_that_was_left_is_forgotten_with_its_connection(void **state)
{
    (void)state;
    scripted_redis.on_command = never_confirms;
    open_redis(1);
    listen_to_room();
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    loop_redis_unsubscribe(&fixture.room);
    run(1);
    assert_said("0:OK 1:OK room= 1:ECONNRESET");
    listen_to_room();
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_said("1:OK room=");
    close_redis();
}

static bool adds_to_it(struct peer *peer, const char *word, const char *argument)
{
    if (strcmp(word, "SUBSCRIBE") != 0)
        return false;
    peer_confirm(peer, "subscribe", argument);
    peer_confirm(peer, "subscribe", argument);
    peer_message(peer, argument, "hello");
    return true;
}

static void a_channel_that_is_confirmed_twice_is_told_once(void **state)
{
    (void)state;
    scripted_redis.on_command = adds_to_it;
    open_redis(1);
    listen_to_room();
    pass(LOOP_SEC);
    assert_said("0:OK 1:OK room= room=hello");
    close_redis();
}

/* Nobody wants to know of the connection, and a pattern may be spelled as a channel is. */
static void a_pattern_is_not_the_channel_of_its_name(void **state)
{
    struct loop_redis_subscription same = {.listening = false};
    (void)state;
    fixture.options.on_state = NULL;
    assert_int_equal(0, loop_redis_open(fixture.loop, &fixture.redis, &fixture.options));
    listen_to_room();
    assert_int_equal(0, loop_redis_subscribe_pattern(&fixture.redis, &same, "room", on_message));
    pass(LOOP_SEC);
    assert_true(fixture.room.listening && same.listening);
    assert_ptr_not_equal(fixture.room.channel, same.channel);
    peer_hang_up(&scripted_redis.peers[1]);
    pass(LOOP_SEC);
    assert_said("room= room= room= room=");
    close_redis();
}

/* --- the program's mistakes --- */

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct loop_redis_subscription other = {.listening = false};
    const char *words[] = {"PING"};
    assert_int_equal(-EINVAL, loop_redis_open(fixture.loop, NULL, NULL));
    open_redis(1);
    assert_int_equal(-EINVAL, loop_redis_subscribe(NULL, &other, "a", on_message));
    assert_int_equal(-EINVAL, loop_redis_subscribe(&fixture.redis, NULL, "a", on_message));
    assert_int_equal(-EINVAL, loop_redis_subscribe(&fixture.redis, &other, NULL, on_message));
    assert_int_equal(-EINVAL, loop_redis_subscribe(&fixture.redis, &other, "a", NULL));
    assert_int_equal(-EINVAL, loop_redis_command(NULL, 1, words, NULL, NULL, NULL));
    assert_int_equal(-EINVAL, loop_redis_command(&fixture.redis, 1, NULL, NULL, NULL, NULL));
    assert_int_equal(-EINVAL, loop_redis_command(&fixture.redis, (size_t)INT32_MAX + 1, words, NULL,
                                                 NULL, NULL));
    assert_int_equal(-EINVAL, loop_redis_publish(&fixture.redis, "a", NULL, 1, NULL, NULL));
    assert_int_equal(0, loop_redis_publish(&fixture.redis, "a", NULL, 0, NULL, NULL));
    loop_redis_close(&fixture.redis, NULL);
    assert_int_equal(-ECANCELED, loop_redis_subscribe(&fixture.redis, &other, "a", on_message));
    assert_int_equal(-ECANCELED, loop_redis_command(&fixture.redis, 1, words, NULL, NULL, NULL));
    close_redis();
    assert_int_equal(-ECANCELED, loop_redis_subscribe(&fixture.redis, &other, "a", on_message));
}

static void a_signal_that_was_pending_before_stays(void **state)
{
    sigset_t pipe_set, before, pending;
    (void)state;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    assert_int_equal(0, sigprocmask(SIG_BLOCK, &pipe_set, &before));
    open_redis(1); /* nothing is pending yet */
    raise(SIGPIPE);
    assert_int_equal(0, loop_redis_publish(&fixture.redis, "a", "b", 1, NULL, NULL));
    pass(LOOP_SEC);
    assert_int_equal(0, sigpending(&pending));
    assert_int_equal(1, sigismember(&pending, SIGPIPE));
    assert_int_equal(SIGPIPE, sigtimedwait(&pipe_set, NULL, &(struct timespec){0}));
    assert_int_equal(0, sigprocmask(SIG_SETMASK, &before, NULL));
    close_redis();
    said();
}

static const struct CMUnitTest tests[] = {
#define ONE(name) cmocka_unit_test_setup_teardown(name, setup, finish)
    ONE(a_server_that_is_loading_is_asked_again),
    ONE(one_that_says_nothing_is_given_up_and_tried_again),
    ONE(one_that_speaks_something_else_is_told),
    ONE(one_that_hangs_up_is_told),
    ONE(a_name_that_is_not_found_in_time_is_told),
    ONE(a_subscription_that_is_refused_is_told),
    ONE(who_leaves_before_there_is_a_connection_leaves_nothing),
    ONE(a_line_that_nobody_listens_to_is_not_made_again),
    ONE(a_channel_that_was_left_is_forgotten_with_its_connection),
    ONE(a_channel_that_is_confirmed_twice_is_told_once),
    ONE(a_pattern_is_not_the_channel_of_its_name),
    ONE(what_makes_no_sense_is_refused),
    ONE(a_signal_that_was_pending_before_stays),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
