/* The Redis client, with a real redis-server, which is started, stopped, frozen and killed.
 *
 * Commands are answered in their order, errors among the answers. What is given while there is no
 * connection waits, up to a bound, and is sent once there is one; what was sent and not answered
 * when the server is killed fails, once, and is not sent again. A message comes to all who listen
 * to its channel or to a pattern of it, in the order in which they came; who leaves hears nothing
 * more. After the server was killed and started again everyone listens again and is told so. A
 * server that has stopped to answer is noticed; a wrong password, and one who speaks something
 * else, are told with a reason, and tried again. Closing completes all that is left, in order, from
 * wherever it is called. That Redis has gone while we write does not end the process.
 *
 * Without redis-server there is nothing to test with, and the tests are skipped.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/redis.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define redis_test(name) cmocka_unit_test_setup_teardown(name, setup, finish)

enum { LINE_COUNT = 2 };

static struct fixture {
    struct loop *loop;
    struct loop_redis redis;
    struct loop_redis_options options;
    char folder[32];
    char path[64];
    pid_t server;
    int ups[LINE_COUNT], downs[LINE_COUNT];
    int last_status;
    int stop_at_ups, stop_at_downs; /* of either line; 0: do not stop */
} fixture;

/* --- the server --- */

static bool have_server(void)
{
    return system("command -v redis-server >/dev/null 2>&1") == 0;
}

/* On a socket in a folder of its own. Whoever connects too early tries again. */
static void start_server(const char *password)
{
    const char *const words[] = {"redis-server",
                                 "--port",
                                 "0",
                                 "--unixsocket",
                                 fixture.path,
                                 "--dir",
                                 fixture.folder,
                                 "--save",
                                 "",
                                 "--appendonly",
                                 "no",
                                 "--loglevel",
                                 "warning",
                                 "--requirepass",
                                 password,
                                 NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(0, posix_spawn_file_actions_init(&actions));
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    assert_int_equal(0, posix_spawnp(&fixture.server, "redis-server", &actions, NULL,
                                     (char *const *)(uintptr_t)words, environ));
    posix_spawn_file_actions_destroy(&actions);
}

static void kill_server(void)
{
    if (fixture.server) {
        kill(fixture.server, SIGKILL);
        assert_int_equal(fixture.server, waitpid(fixture.server, NULL, 0));
    }
    fixture.server = 0;
    unlink(fixture.path);
}

static void on_state(struct loop_redis *redis, enum loop_redis_line line, int status)
{
    assert_ptr_equal(&fixture.redis, redis);
    assert_int_equal(status == 0, redis->connected[line]);
    assert_int_equal(status == 0, status == 0 || redis->error[0] == '\0');
    fixture.ups[line] += status == 0;
    fixture.downs[line] += status < 0;
    fixture.last_status = status ? status : fixture.last_status;
    if ((status == 0 && --fixture.stop_at_ups == 0) || (status < 0 && --fixture.stop_at_downs == 0))
        loop_stop(redis->loop);
}

static int setup(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    strcpy(fixture.folder, "/tmp/redis-test-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    snprintf(fixture.path, sizeof(fixture.path), "%s/socket", fixture.folder);
    fixture.options = (struct loop_redis_options){.path = fixture.path,
                                                  .on_state = on_state,
                                                  .retry_max_ns = 100 * LOOP_MS};
    return 0;
}

static int finish(void **state)
{
    kill_server();
    rmdir(fixture.folder);
    return teardown(state);
}

static void open_redis(void)
{
    assert_int_equal(0, loop_redis_open(fixture.loop, &fixture.redis, &fixture.options));
}

static void run(void)
{
    assert_int_equal(1, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

static void on_closed(struct loop_redis *redis)
{
    (void)redis;
    say("closed");
}

static void close_redis(void)
{
    loop_redis_close(&fixture.redis, on_closed);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

/* A server, and a client that has a connection. */
static void begin(void)
{
    if (!have_server()) {
        print_message("skipped: there is no redis-server\n");
        skip();
    }
    start_server("");
    fixture.stop_at_ups = 1;
    open_redis();
    run();
    assert_int_equal(1, fixture.ups[LOOP_REDIS_COMMANDS]);
}

/* --- what callbacks say --- */

static void on_reply(struct loop_redis *redis, int status, const struct redisReply *reply,
                     void *arg)
{
    assert_ptr_equal(&fixture.redis, redis);
    assert_int_equal(status == 0, reply != NULL);
    if (status < 0)
        say("%s", loop_error_name(status));
    else if (reply->type == REDIS_REPLY_INTEGER)
        say("%lld", reply->integer);
    else
        say("%s", reply->str ? reply->str : "nil");
    if (arg)
        loop_stop(redis->loop);
}

static void on_reply_close(struct loop_redis *redis, int status, const struct redisReply *reply,
                           void *arg)
{
    on_reply(redis, status, reply, arg);
    loop_redis_close(redis, on_closed);
}

static int give(loop_redis_reply_cb cb, void *arg, const char *a, const char *b, const char *c)
{
    const char *words[] = {a, b, c};
    return loop_redis_command(&fixture.redis, c ? 3 : b ? 2 : 1, words, NULL, cb, arg);
}

struct listener {
    struct loop_redis_subscription subscription;
    const char *name;
    bool leaves; /* with its first message */
    bool closes;
    bool stops;
    bool quiet; /* says nothing of being confirmed */
};

static void on_message(struct loop_redis_subscription *subscription, const char *channel,
                       const char *bytes, size_t size)
{
    struct listener *listener = loop_container_of(subscription, struct listener, subscription);
    assert_true(subscription->listening);
    if (bytes)
        assert_int_equal(0, bytes[size]);
    if (bytes)
        say("%s:%s=%.*s", listener->name, channel, (int)size, bytes);
    else if (!listener->quiet)
        say("%s+", listener->name);
    if (bytes && listener->leaves)
        loop_redis_unsubscribe(subscription);
    if (bytes && listener->closes)
        loop_redis_close(&fixture.redis, on_closed);
    if (listener->stops)
        loop_stop(fixture.loop);
}

static void listen_to(struct listener *listener, const char *channel)
{
    assert_int_equal(0, loop_redis_subscribe(&fixture.redis, &listener->subscription, channel,
                                             on_message));
}

static void publish(const char *channel, const char *text, void *arg)
{
    assert_int_equal(0, loop_redis_publish(&fixture.redis, channel, text, strlen(text), NULL, arg));
}

/* --- commands --- */

static void commands_are_answered_in_their_order(void **state)
{
    (void)state;
    begin();
    assert_int_equal(0, give(on_reply, NULL, "SET", "key", "value"));
    assert_int_equal(0, give(on_reply, NULL, "GET", "key", NULL));
    assert_int_equal(0, give(on_reply, NULL, "GET", "other", NULL));
    assert_int_equal(0, give(on_reply, NULL, "INCR", "number", NULL));
    assert_int_equal(0, give(on_reply, fixture.loop, "INCR", "key", NULL));
    assert_int_equal(5, loop_redis_unanswered(&fixture.redis));
    run();
    assert_int_equal(0, loop_redis_unanswered(&fixture.redis));
    assert_said("OK value nil 1 ERR value is not an integer or out of range");
    close_redis();
    assert_said("closed");
}

static void sizes_may_be_given_so_that_words_hold_zeros(void **state)
{
    (void)state;
    begin();
    const char *words[] = {"SET", "key", "a\0b"};
    const size_t sizes[] = {3, 3, 3};
    assert_int_equal(0, loop_redis_command(&fixture.redis, 3, words, sizes, on_reply, NULL));
    assert_int_equal(0, give(on_reply, fixture.loop, "STRLEN", "key", NULL));
    run();
    assert_said("OK 3");
    close_redis();
    assert_said("closed");
}

static void what_would_change_the_connection_is_refused(void **state)
{
    (void)state;
    open_redis();
    assert_int_equal(-EINVAL, give(on_reply, NULL, "subscribe", "a", NULL));
    assert_int_equal(-EINVAL, give(on_reply, NULL, "MONITOR", NULL, NULL));
    assert_int_equal(-EINVAL, give(on_reply, NULL, "Hello", "3", NULL));
    assert_int_equal(-EINVAL, give(on_reply, NULL, "SELECT", "1", NULL));
    assert_int_equal(-EINVAL, loop_redis_command(&fixture.redis, 0, NULL, NULL, on_reply, NULL));
    assert_int_equal(-EINVAL, loop_redis_publish(&fixture.redis, NULL, "", 0, NULL, NULL));
    assert_int_equal(0, loop_redis_unanswered(&fixture.redis));
    close_redis();
    assert_said("closed");
    assert_int_equal(-ECANCELED, give(on_reply, NULL, "PING", NULL, NULL));
}

static void options_that_make_no_sense_are_refused(void **state)
{
    char name[300];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    struct loop_redis_options options = {.user = "somebody"};
    assert_int_equal(-EINVAL, loop_redis_open(*state, &fixture.redis, &options));
    options = (struct loop_redis_options){.host = name};
    assert_int_equal(-ENAMETOOLONG, loop_redis_open(*state, &fixture.redis, &options));
    options = (struct loop_redis_options){.path = name};
    assert_int_equal(-ENAMETOOLONG, loop_redis_open(*state, &fixture.redis, &options));
    assert_int_equal(-EINVAL, loop_redis_open(NULL, &fixture.redis, NULL));
}

static void what_is_given_before_there_is_a_connection_is_sent_when_there_is_one(void **state)
{
    (void)state;
    if (!have_server())
        skip();
    fixture.stop_at_downs = 2;
    open_redis();
    assert_int_equal(0, give(on_reply, NULL, "SET", "key", "early"));
    assert_int_equal(0, give(on_reply, fixture.loop, "GET", "key", NULL));
    run();
    assert_said("");
    assert_string_equal("ENOENT", loop_error_name(fixture.last_status));
    assert_int_equal(2, loop_redis_unanswered(&fixture.redis));
    start_server("");
    run();
    assert_said("OK early");
    close_redis();
    assert_said("closed");
}

static void only_so_much_waits(void **state)
{
    (void)state;
    fixture.options.unanswered = 2;
    fixture.options.unanswered_bytes = 200;
    open_redis();
    char long_word[200];
    memset(long_word, 'x', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    assert_int_equal(-ENOBUFS, give(on_reply, NULL, "GET", long_word, NULL));
    assert_int_equal(0, give(on_reply, NULL, "GET", "a", NULL));
    assert_int_equal(0, give(on_reply, NULL, "GET", "b", NULL));
    assert_int_equal(-ENOBUFS, give(on_reply, NULL, "GET", "c", NULL));
    assert_int_equal(2, loop_redis_unanswered(&fixture.redis));
    close_redis();
    assert_said("ECANCELED ECANCELED closed");
}

static void what_was_not_answered_when_the_server_is_killed_fails_once(void **state)
{
    (void)state;
    begin();
    assert_int_equal(0, give(on_reply, fixture.loop, "INCR", "before", NULL));
    run();
    assert_int_equal(0, give(on_reply, NULL, "BLPOP", "nothing", "0"));
    assert_int_equal(0, give(on_reply, NULL, "INCR", "behind", NULL));
    loop_run(fixture.loop, LOOP_RUN_NOWAIT); /* they are sent */
    kill_server();
    fixture.stop_at_downs = 1;
    run();
    assert_said("1 ECONNRESET ECONNRESET");
    start_server("");
    assert_int_equal(0, give(on_reply, fixture.loop, "EXISTS", "behind", NULL));
    run();
    assert_said("0");
    close_redis();
    assert_said("closed");
}

static void writing_to_a_server_that_has_gone_does_not_end_the_process(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        kill_server();
        assert_int_equal(0, give(on_reply, NULL, "PING", NULL, NULL));
        fixture.stop_at_downs = 1;
        run();
        said();
        start_server("");
        fixture.stop_at_ups = 1;
        run();
    }
    close_redis();
    assert_said("closed");
}

/* --- messages --- */

static void a_message_comes_to_all_who_listen_in_their_order(void **state)
{
    (void)state;
    begin();
    struct listener a = {.name = "a"}, b = {.name = "b"}, p = {.name = "p", .stops = true};
    listen_to(&a, "room.1");
    listen_to(&b, "room.1");
    assert_int_equal(-EALREADY,
                     loop_redis_subscribe(&fixture.redis, &b.subscription, "room.2", on_message));
    assert_int_equal(0, loop_redis_subscribe_pattern(&fixture.redis, &p.subscription, "room.*",
                                                     on_message));
    run();
    /* Redis is asked in no particular order once the connection is there. */
    const char *words = said();
    assert_non_null(strstr(words, "a+ b+"));
    while (!a.subscription.listening)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    said();
    publish("room.1", "hello", NULL);
    run();
    assert_said("a:room.1=hello b:room.1=hello p:room.1=hello");
    publish("room.2", "others", NULL);
    run();
    assert_said("p:room.2=others");
    close_redis();
    assert_said("closed");
    assert_false(a.subscription.listening);
    loop_redis_unsubscribe(&a.subscription);
}

static void who_leaves_hears_nothing_more_and_may_come_again(void **state)
{
    (void)state;
    begin();
    struct listener a = {.name = "a", .leaves = true}, b = {.name = "b", .stops = true};
    listen_to(&a, "room");
    listen_to(&b, "room");
    run();
    assert_said("a+ b+");
    publish("room", "1", NULL);
    run();
    publish("room", "2", NULL);
    run();
    assert_said("a:room=1 b:room=1 b:room=2");
    loop_redis_unsubscribe(&b.subscription);
    loop_redis_unsubscribe(&b.subscription);
    listen_to(&b, "room");
    loop_redis_unsubscribe(&b.subscription);
    listen_to(&b, "room");
    run();
    assert_said("b+");
    publish("room", "3", NULL);
    run();
    assert_said("b:room=3");
    loop_redis_unsubscribe(&b.subscription);
    assert_int_equal(0, loop_redis_publish(&fixture.redis, "room", "4", 1, on_reply, fixture.loop));
    run();
    listen_to(&b, "other");
    run();
    said();
    assert_int_equal(0, loop_redis_publish(&fixture.redis, "room", "5", 1, on_reply, fixture.loop));
    run();
    assert_said("0");
    close_redis();
    assert_said("closed");
}

static void after_the_server_was_killed_everyone_listens_again_and_is_told(void **state)
{
    (void)state;
    begin();
    struct listener a = {.name = "a", .stops = true};
    listen_to(&a, "room");
    run();
    for (int i = 0; i < 3; i++) {
        kill_server();
        fixture.stop_at_downs = 2; /* both lines, whichever is first */
        run();
        assert_false(a.subscription.listening);
        publish("room", "in between", NULL);
        start_server("");
        while (!a.subscription.listening)
            loop_run(fixture.loop, LOOP_RUN_ONCE);
        fixture.stop_at_ups = 0;
    }
    while (loop_redis_unanswered(&fixture.redis))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    said();
    publish("room", "again", NULL);
    a.stops = false;
    while (loop_redis_unanswered(&fixture.redis))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    close_redis();
    assert_non_null(strstr(said(), "closed"));
    assert_true(fixture.ups[LOOP_REDIS_MESSAGES] >= 4);
}

static void a_thousand_channels_are_each_their_own(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    begin();
    struct listener *listeners = calloc(COUNT, sizeof(*listeners));
    assert_non_null(listeners);
    char names[COUNT][24];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "room.%d", i);
        listeners[i].name = "l";
        listeners[i].quiet = true;
        listen_to(&listeners[i], names[i]);
    }
    for (int i = 0; i < COUNT; i++)
        while (!listeners[i].subscription.listening)
            loop_run(fixture.loop, LOOP_RUN_ONCE);
    for (int i = 0; i < COUNT; i += 2)
        loop_redis_unsubscribe(&listeners[i].subscription);
    listeners[999].stops = true;
    publish("room.998", "nobody", NULL);
    publish("room.501", "somebody", NULL);
    publish("room.999", "the last", NULL);
    run();
    assert_said("l:room.501=somebody l:room.999=the last");
    close_redis();
    free(listeners);
    assert_said("closed");
}

/* --- trouble --- */

static void a_server_that_has_stopped_to_answer_is_noticed(void **state)
{
    (void)state;
    fixture.options.alive_ns = 50 * LOOP_MS;
    begin();
    struct listener a = {.name = "a", .stops = true};
    listen_to(&a, "room");
    run();
    kill(fixture.server, SIGSTOP);
    fixture.stop_at_downs = 2;
    run();
    assert_int_equal(-ETIMEDOUT, fixture.last_status);
    assert_false(a.subscription.listening);
    kill(fixture.server, SIGCONT);
    run();
    assert_true(a.subscription.listening);
    assert_said("a+ a+");
    close_redis();
    assert_said("closed");
}

static void a_wrong_password_is_told_and_the_right_one_opens(void **state)
{
    (void)state;
    if (!have_server())
        skip();
    start_server("right");
    fixture.options.password = "wrong";
    open_redis();
    while (fixture.last_status != -EACCES)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_non_null(strstr(fixture.redis.error, "WRONGPASS"));
    close_redis();
    fixture.options.password = "right";
    fixture.options.user = "default";
    fixture.options.database = 3;
    fixture.stop_at_ups = 1;
    open_redis();
    run();
    assert_int_equal(0, give(on_reply, fixture.loop, "CLIENT", "INFO", NULL));
    run();
    assert_non_null(strstr(said(), " db=3 "));
    close_redis();
    assert_said("closed");
}

static void a_name_that_nobody_has_is_told(void **state)
{
    (void)state;
    fixture.options.path = NULL;
    fixture.options.host = "no-such-host.invalid";
    fixture.stop_at_downs = 2;
    open_redis();
    run();
    assert_true(fixture.last_status == -ENOENT || fixture.last_status == -EAGAIN);
    close_redis();
    assert_said("closed");
}

static void a_port_that_nobody_listens_on_is_told(void **state)
{
    (void)state;
    fixture.options.path = NULL;
    fixture.options.host = "127.0.0.1"; /* localhost may be ::1, too, and that not there */
    fixture.options.port = 1;
    fixture.stop_at_downs = 3;
    open_redis();
    run();
    assert_int_equal(-ECONNREFUSED, fixture.last_status);
    assert_string_equal("Connection refused", fixture.redis.error);
    close_redis();
    assert_said("closed");
}

/* --- the end --- */

static void it_may_be_closed_before_it_has_begun(void **state)
{
    (void)state;
    fixture.options.path = NULL;
    fixture.options.host = "localhost";
    open_redis();
    loop_redis_close(&fixture.redis, on_closed);
    loop_redis_close(&fixture.redis, on_closed);
    assert_said("");
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("closed");
    open_redis();
    loop_run(fixture.loop, LOOP_RUN_NOWAIT); /* looking up */
    close_redis();
    assert_said("closed");
}

static void it_may_be_closed_from_a_reply(void **state)
{
    (void)state;
    begin();
    struct listener a = {.name = "a", .stops = true};
    listen_to(&a, "room");
    run();
    said();
    assert_int_equal(0, give(on_reply, NULL, "PING", NULL, NULL));
    assert_int_equal(0, give(on_reply_close, NULL, "PING", NULL, NULL));
    assert_int_equal(0, give(on_reply, NULL, "PING", NULL, NULL));
    assert_int_equal(0, give(on_reply_close, NULL, "PING", NULL, NULL));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("PONG PONG ECANCELED ECANCELED closed");
}

static void it_may_be_closed_from_a_message(void **state)
{
    (void)state;
    begin();
    struct listener a = {.name = "a", .closes = true}, b = {.name = "b", .stops = true};
    listen_to(&a, "room");
    listen_to(&b, "room");
    run();
    said();
    publish("room", "the end", NULL);
    b.stops = false;
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("a:room=the end closed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        redis_test(commands_are_answered_in_their_order),
        redis_test(sizes_may_be_given_so_that_words_hold_zeros),
        redis_test(what_would_change_the_connection_is_refused),
        redis_test(options_that_make_no_sense_are_refused),
        redis_test(what_is_given_before_there_is_a_connection_is_sent_when_there_is_one),
        redis_test(only_so_much_waits),
        redis_test(what_was_not_answered_when_the_server_is_killed_fails_once),
        redis_test(writing_to_a_server_that_has_gone_does_not_end_the_process),
        redis_test(a_message_comes_to_all_who_listen_in_their_order),
        redis_test(who_leaves_hears_nothing_more_and_may_come_again),
        redis_test(after_the_server_was_killed_everyone_listens_again_and_is_told),
        redis_test(a_thousand_channels_are_each_their_own),
        redis_test(a_server_that_has_stopped_to_answer_is_noticed),
        redis_test(a_wrong_password_is_told_and_the_right_one_opens),
        redis_test(a_name_that_nobody_has_is_told),
        redis_test(a_port_that_nobody_listens_on_is_told),
        redis_test(it_may_be_closed_before_it_has_begun),
        redis_test(it_may_be_closed_from_a_reply),
        redis_test(it_may_be_closed_from_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
