/* The life of streams: connecting, deadlines, the order of the end, and forks.
 *
 * Writes may be queued before the connection is there; they follow it, or fail with it and are told
 * after it. The idle callback comes when no byte has moved either way for so long, and again after
 * each further such time; it keeps no loop alive.
 *
 * Closing completes what is outstanding, connect, read, writes in order and shutdown, then comes
 * the close callback, and then nothing: neither an event nor a deadline.
 *
 * A forked child that says loop_after_fork() goes on with its copy; one that only closes what it
 * has leaves the parent's connection alone.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_requests.h"

#include <poll.h>

/* Connecting. */

static void writes_queued_meanwhile_follow_the_connection(void **state)
{
    struct server server;
    struct dial dial = {0};
    char bytes[32];
    begin_dial(state, &server, 1);
    start_connect(&pair.writer, &server, &dial);
    put(&pair.writer, &dial.a, "a", 10);
    put(&pair.writer, &dial.b, "b", 10);
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &dial.shutdown, on_shut));
    assert_said("");
    pair.raw = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
    run(pair.loop);
    assert_said("connect:OK write-a:OK write-b:OK shutdown:OK");
    assert_int_equal(20, recv(pair.raw, bytes, 20, MSG_WAITALL));
    assert_memory_equal("01234567890123456789", bytes, 20);
    assert_int_equal(0, read(pair.raw, bytes, 1));
    close(server.fd);
    close_pair(&pair);
}

static void what_was_queued_fails_with_the_connection(void **state)
{
    struct server server;
    struct dial dial = {0};
    begin_dial(state, &server, -1); /* bound, and deaf */
    start_connect(&pair.writer, &server, &dial);
    if (loop_stream_fd(&pair.writer.stream) >= 0)
        start_all(&pair.writer, &dial);
    run(pair.loop);
    if (kind == TCP)
        assert_said("connect:ECONNREFUSED read:ECONNREFUSED:0 write-a:ECONNREFUSED "
                    "write-b:ECONNREFUSED shutdown:ECONNREFUSED");
    else
        assert_said("connect:ECONNREFUSED");
    assert_int_equal(-1, loop_stream_fd(&pair.writer.stream));
    assert_int_equal(0, listen(server.fd, 1)); /* it may try again */
    start_connect(&pair.writer, &server, &dial);
    run(pair.loop);
    assert_said("connect:OK");
    close(server.fd);
    close_pair(&pair);
}

/* The listener's queue is full, and does not answer. */
static void begin_endless_dial(void **state, struct server *server, struct dial *dial)
{
    begin_dial(state, server, 0);
    pair.raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(pair.raw, &server->address.any, server->address.size));
    start_connect(&pair.writer, server, dial);
    turn(pair.loop);
    assert_said("");
}

static void a_connect_is_cancelled_with_all_behind_it(void **state)
{
    struct server server;
    struct dial dial = {0};
    begin_endless_dial(state, &server, &dial);
    start_all(&pair.writer, &dial);
    assert_int_equal(0, loop_request_cancel(&dial.connect.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&dial.connect.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&dial.a.request));
    assert_said("");
    run(pair.loop);
    assert_said("connect:ECANCELED read:ECANCELED:0 write-a:ECANCELED write-b:ECANCELED "
                "shutdown:ECANCELED");
    assert_int_equal(-1, loop_stream_fd(&pair.writer.stream));
    close(server.fd);
    close_pair(&pair);
}

static void a_late_connect_fails_with_all_behind_it(void **state)
{
    struct server server;
    struct dial dial = {0};
    begin_endless_dial(state, &server, &dial);
    assert_int_equal(0, loop_request_deadline(&dial.connect.request, 3 * LOOP_MS));
    start_all(&pair.writer, &dial);
    run(pair.loop);
    assert_said("connect:ETIMEDOUT read:ETIMEDOUT:0 write-a:ETIMEDOUT write-b:ETIMEDOUT "
                "shutdown:ETIMEDOUT");
    assert_int_equal(3 * LOOP_MS, loop_now(pair.loop));
    assert_int_equal(-1, loop_stream_fd(&pair.writer.stream));
    close(server.fd);
    close_pair(&pair);
}

static void on_idle(struct loop_stream *stream)
{
    say("%s-idle-%d", end_of(stream)->name, (int)(loop_now(stream->handle.loop) / (100 * LOOP_MS)));
}

/* The stream has no descriptor then, and may be freed. */
static void a_connect_that_came_to_nothing_leaves_no_deadline(void **state)
{
    struct server server;
    struct dial dial = {0};
    begin_endless_dial(state, &server, &dial);
    assert_int_equal(0, loop_stream_set_idle(&pair.writer.stream, 3 * LOOP_MS, on_idle));
    assert_int_equal(0, loop_request_deadline(&dial.connect.request, 3 * LOOP_MS));
    run(pair.loop);
    assert_said("connect:ETIMEDOUT");
    pass(pair.loop, 5 * LOOP_SEC);
    assert_said("timer");
    close(server.fd);
    close_pair(&pair);
}

static void closing_tells_all_in_order(void **state)
{
    struct server server;
    struct dial dial = {0};
    begin_endless_dial(state, &server, &dial);
    start_all(&pair.writer, &dial);
    loop_close(&pair.writer.handle, on_end_close);
    assert_said("");
    assert_int_equal(-1, loop_stream_fd(&pair.writer.stream));
    run(pair.loop);
    assert_said("connect:ECANCELED read:ECANCELED:0 write-a:ECANCELED write-b:ECANCELED "
                "shutdown:ECANCELED w-closed");
    close(server.fd);
    close_raw(&pair);
}

/* Deadlines. */

static void the_idle_callback_comes_after_silence_and_again(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC, on_idle));
    pass(pair.loop, 3500 * LOOP_MS);
    assert_said("r-idle-10 r-idle-20 r-idle-30 timer");
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, 2 * LOOP_SEC, on_idle));
    pass(pair.loop, 3000 * LOOP_MS); /* from the call on */
    assert_said("r-idle-55 timer");
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC / 10, on_idle));
    pass(pair.loop, 100 * LOOP_MS); /* to earlier */
    assert_said("r-idle-66 timer");
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_NEVER, NULL));
    pass(pair.loop, 9 * LOOP_SEC);
    assert_said("timer");
    close_pair(&pair);
}

static void await_bytes(const struct end *end)
{
    struct pollfd bytes = {.fd = loop_stream_fd(&end->stream), .events = POLLIN};
    assert_int_equal(1, poll(&bytes, 1, -1));
}

static void bytes_either_way_put_the_idle_callback_off(void **state)
{
    struct loop_buf buf = {text, 10};
    begin_pair(state);
    start_reading(&pair.reader);
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC, on_idle));
    assert_int_equal(0, loop_stream_set_idle(&pair.writer.stream, LOOP_SEC, on_idle));
    pass(pair.loop, 700 * LOOP_MS);
    assert_int_equal(10, loop_try_write(&pair.writer.stream, &buf, 1));
    await_bytes(&pair.reader); /* or else the time, which is virtual, would pass at once */
    run_until_size(pair.loop, &pair.reader.size, 10);
    pass(pair.loop, 1300 * LOOP_MS - loop_now(pair.loop));
    assert_said("timer timer");
    pass(pair.loop, 1900 * LOOP_MS - loop_now(pair.loop));
    assert_said("r-idle-17 w-idle-17 timer");
    close_pair(&pair);
}

static void the_idle_callback_keeps_no_loop_alive(void **state)
{
    begin_reader(state);
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC, on_idle));
    assert_false(loop_alive(pair.loop));
    run(pair.loop);
    assert_int_equal(0, loop_now(pair.loop));
    close_pair(&pair);
    assert_said("");
}

static void idleness_is_counted_from_the_opening(void **state)
{
    int fds[2];
    struct loop *loop = *state;
    memset(&pair, 0, sizeof(pair));
    pair.loop = loop;
    init_end(loop, &pair.reader, "r");
    assert_int_equal(-EINVAL, loop_stream_set_idle(&pair.reader.stream, 0, on_idle));
    assert_int_equal(-EINVAL, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC, NULL));
    assert_int_equal(-EINVAL, loop_stream_set_idle(NULL, LOOP_SEC, on_idle));
    assert_int_equal(0, loop_stream_set_idle(&pair.reader.stream, LOOP_SEC, on_idle));
    pass(loop, 3 * LOOP_SEC);
    make_fds(fds, 0);
    adopt(&pair.reader, fds[0]);
    pair.raw = fds[1];
    pass(loop, 1500 * LOOP_MS);
    assert_said("timer r-idle-40 timer");
    close_pair(&pair);
}

/* Closing. */

static void closing_cancels_what_waits_and_nothing_comes_afterwards(void **state)
{
    struct dial dial = {0};
    begin_pair(state);
    fill(&pair.writer);
    start_all(&pair.writer, &dial);
    struct loop_buf buf = {text, 1};
    assert_int_equal(1, loop_try_write(&pair.reader.stream, &buf, 1)); /* an event that is due */
    assert_int_equal(0, loop_stream_set_idle(&pair.writer.stream, LOOP_SEC, on_idle));
    loop_close(&pair.writer.handle, on_end_close);
    assert_int_equal(-ECANCELED, loop_stream_set_idle(&pair.writer.stream, LOOP_SEC, on_idle));
    run(pair.loop);
    assert_said("read:ECANCELED:0 write-a:ECANCELED write-b:ECANCELED shutdown:ECANCELED "
                "w-closed");
    pass(pair.loop, 3 * LOOP_SEC);
    assert_said("timer");
    close_pair(&pair);
}

static void requests_may_be_cancelled_between_close_and_its_callback(void **state)
{
    struct dial dial = {0};
    begin_pair(state);
    fill(&pair.writer);
    start_all(&pair.writer, &dial);
    loop_close(&pair.writer.handle, on_end_close);
    assert_int_equal(0, loop_request_cancel(&dial.b.request));
    assert_int_equal(0, loop_request_cancel(&dial.a.request));
    run(pair.loop);
    assert_said("write-b:ECANCELED write-a:ECANCELED read:ECANCELED:0 shutdown:ECANCELED "
                "w-closed");
    close_pair(&pair);
}

/* The stream's memory is gone by the time that the deadline would come. */
static void a_deadline_set_after_close_is_forgotten(void **state)
{
    struct loop_write write;
    struct pair *own = calloc(1, sizeof(*own));
    open_pair_with(own, *state, SMALL);
    fill(&own->writer);
    put(&own->writer, &write, "a", 10);
    loop_close(&own->writer.handle, NULL);
    loop_close(&own->reader.handle, NULL);
    loop_request_deadline(&write.request, LOOP_SEC);
    run(own->loop);
    assert_said("write-a:ECANCELED");
    memset(own, 0xee, sizeof(*own));
    free(own);
    pass(*state, 2 * LOOP_SEC);
    assert_said("timer");
}

static void a_vacant_stream_closes_too(void **state)
{
    memset(&pair, 0, sizeof(pair));
    init_end(*state, &pair.reader, "r");
    loop_close(&pair.reader.handle, on_end_close);
    run(*state);
    assert_said("r-closed");
}

/* In the callback of the connection. */

static void on_connect_close(struct loop_connect *connect, int status)
{
    on_connect(connect, status);
    loop_close(&pair.writer.handle, on_end_close);
}

static void a_stream_may_be_closed_in_its_connect_callback(void **state)
{
    for (int deaf = 0; deaf < 2; deaf++) {
        struct server server;
        struct dial dial = {0};
        begin_dial(state, &server, deaf ? -1 : 1);
        assert_int_equal(0, loop_tcp_connect(&pair.writer.tcp, &dial.connect, &server.address,
                                             on_connect_close));
        start_all(&pair.writer, &dial);
        run(pair.loop);
        if (deaf)
            assert_said("connect:ECONNREFUSED read:ECONNREFUSED:0 write-a:ECONNREFUSED "
                        "write-b:ECONNREFUSED shutdown:ECONNREFUSED w-closed");
        else
            assert_said("connect:OK read:ECANCELED:0 write-a:ECANCELED write-b:ECANCELED "
                        "shutdown:ECANCELED w-closed");
        close(server.fd);
    }
}

/* Forks. */

static int go_on_in_child(void *arg)
{
    (void)arg;
    if (loop_run(pair.loop, LOOP_RUN_NOWAIT) != -ECHILD)
        return 1;
    if (loop_after_fork(pair.loop) < 0)
        return 2;
    raw_write(&pair, "child");
    run_until_size(pair.loop, &pair.reader.size, 8);
    if (strcmp("onechild", got(&pair.reader)) != 0)
        return 3;
    close_pair(&pair);
    return loop_fini(pair.loop) == 0 ? 0 : 4;
}

static int close_in_child(void *arg)
{
    (void)arg;
    loop_close(&pair.reader.handle, NULL);
    if (loop_after_fork(pair.loop) < 0)
        return 1;
    return loop_run(pair.loop, LOOP_RUN_DEFAULT) == 0 && loop_fini(pair.loop) == 0 ? 0 : 2;
}

/* The same once the loop is the child's own. */
static int close_in_child_of_the_loop(void *arg)
{
    (void)arg;
    if (loop_after_fork(pair.loop) < 0)
        return 1;
    loop_close(&pair.reader.handle, NULL);
    return loop_run(pair.loop, LOOP_RUN_DEFAULT) == 0 && loop_fini(pair.loop) == 0 ? 0 : 2;
}

/* What it stopped to want was not told to the kernel before the fork. */
static int read_again_in_child(void *arg)
{
    (void)arg;
    if (loop_after_fork(pair.loop) < 0)
        return 1;
    start_reading(&pair.reader);
    raw_write(&pair, "child");
    run_until_size(pair.loop, &pair.reader.size, 5);
    close_pair(&pair);
    return loop_fini(pair.loop) == 0 ? 0 : 2;
}

static void forked_from(void **state, int (*child)(void *arg))
{
    begin_reader(state);
    start_reading(&pair.reader);
    raw_write(&pair, "one");
    run_until_size(pair.loop, &pair.reader.size, 3);
    in_child(child, NULL);
    assert_true(fcntl(pair.raw, F_GETFL) & O_NONBLOCK);
    raw_write(&pair, "parent");
    run_until_size(pair.loop, &pair.reader.size, 9);
    assert_string_equal("oneparent", got(&pair.reader));
    close_pair(&pair);
}

static void a_child_goes_on_with_its_copy(void **state)
{
    forked_from(state, go_on_in_child);
}

static void a_child_that_closes_leaves_the_parent_alone(void **state)
{
    forked_from(state, close_in_child);
}

static void a_child_reads_what_was_stopped_just_before_it(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    turn(pair.loop);
    loop_read_stop(&pair.reader.stream);
    in_child(read_again_in_child, NULL);
    start_reading(&pair.reader);
    close_pair(&pair);
}

/* Non-blocking is a property of what parent and child share. */
static void a_child_that_closes_leaves_the_parent_non_blocking(void **state)
{
    int fds[2];
    memset(&pair, 0, sizeof(pair));
    pair.loop = *state;
    make_fds(fds, 0);
    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) & ~O_NONBLOCK);
    pair.raw = fds[1];
    open_end(pair.loop, &pair.reader, "r", fds[0]);
    in_child(close_in_child, NULL);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    in_child(close_in_child_of_the_loop, NULL);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close_pair(&pair);
}

static void a_descriptor_that_was_blocking_is_so_again(void **state)
{
    int fds[2];
    memset(&pair, 0, sizeof(pair));
    pair.loop = *state;
    make_fds(fds, 0);
    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) & ~O_NONBLOCK);
    int copy = dup(fds[0]);
    pair.raw = fds[1];
    open_end(pair.loop, &pair.reader, "r", fds[0]);
    assert_true(fcntl(copy, F_GETFL) & O_NONBLOCK);
    close_pair(&pair);
    assert_false(fcntl(copy, F_GETFL) & O_NONBLOCK);
    close(copy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        over_sockets(writes_queued_meanwhile_follow_the_connection),
        over_sockets(what_was_queued_fails_with_the_connection),
        over(tcp, a_connect_is_cancelled_with_all_behind_it),
        over(tcp, a_late_connect_fails_with_all_behind_it),
        over(tcp, a_connect_that_came_to_nothing_leaves_no_deadline),
        over(tcp, closing_tells_all_in_order),
        over_all(the_idle_callback_comes_after_silence_and_again),
        over_all(bytes_either_way_put_the_idle_callback_off),
        over_all(the_idle_callback_keeps_no_loop_alive),
        over_all(idleness_is_counted_from_the_opening),
        over_sockets(closing_cancels_what_waits_and_nothing_comes_afterwards),
        over_sockets(requests_may_be_cancelled_between_close_and_its_callback),
        over_all(a_deadline_set_after_close_is_forgotten),
        over_sockets(a_vacant_stream_closes_too),
        over(tcp, a_stream_may_be_closed_in_its_connect_callback),
        over_all(a_child_goes_on_with_its_copy),
        over_all(a_child_that_closes_leaves_the_parent_alone),
        over_all(a_child_reads_what_was_stopped_just_before_it),
        over(unix, a_child_that_closes_leaves_the_parent_non_blocking),
        over(pipe, a_child_that_closes_leaves_the_parent_non_blocking),
        over(unix, a_descriptor_that_was_blocking_is_so_again),
        over(pipe, a_descriptor_that_was_blocking_is_so_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
