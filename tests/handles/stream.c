/* Reading from streams.
 *
 * loop_read_start() calls back in the poll phase for each piece that arrives, in memory that the
 * loop lends to whichever callback runs. Stopping and starting again loses nothing: what arrives
 * meanwhile waits in the kernel. The end comes once, behind all the bytes that were sent before it,
 * and so does an error; then there is silence, and the stream is no more active. A peer that goes
 * away while nobody reads costs no turns. However fast one peer sends, it gets 16 reads of a turn.
 *
 * loop_read_into() fills the caller's memory once: at least min bytes, which may come in pieces,
 * and never a byte over max, since what is over belongs to the next read. An end, a cancel and a
 * deadline say how many bytes had come. Only one read of either sort is under way.
 *
 * A connection that is silent has no memory of its own.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_pair.h"

#include <limits.h>

static struct pair pair;

static void begin_reader(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_reader(&pair, *state);
}

static void begin_pair(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_pair(&pair, *state);
}

/* Pieces. */

static void what_arrives_is_told_in_the_poll_phase(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    assert_true(loop_is_active(&pair.reader.handle));
    raw_write(&pair, "one");
    assert_int_equal(0, pair.reader.size); /* never from inside a call */
    run_until_size(pair.loop, &pair.reader.size, 3);
    assert_string_equal("one", got(&pair.reader));
    raw_write(&pair, "two");
    run_until_size(pair.loop, &pair.reader.size, 3);
    assert_string_equal("two", got(&pair.reader));
    assert_said("");
    close_pair(&pair);
}

static void *lent_to[2];

static void on_read_lent(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct end *end = end_of(stream);
    lent_to[end->name[0] == 'b'] = bytes;
    memset(bytes, 'x', (size_t)size); /* ours to change */
    end->size += (size_t)size;
}

static void all_streams_of_a_loop_are_lent_the_same_memory(void **state)
{
    struct pair other = {0};
    begin_reader(state);
    open_reader(&other, *state);
    other.reader.name = "b";
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_lent));
    assert_int_equal(0, loop_read_start(&other.reader.stream, on_read_lent));
    raw_write(&pair, "one");
    raw_write(&other, "two");
    run_until_size(pair.loop, &pair.reader.size, 3);
    run_until_size(pair.loop, &other.reader.size, 3);
    assert_non_null(lent_to[0]);
    assert_ptr_equal(lent_to[0], lent_to[1]);
    loop_read_stop(&pair.reader.stream);
    close_pair(&other);
    close_pair(&pair);
}

enum { LONG = 1 << 20 };

/* Writes what the kernel takes of the pattern. */
static void feed(size_t *sent)
{
    static char bytes[8192];
    for (;;) {
        size_t size = LONG - *sent < sizeof(bytes) ? LONG - *sent : sizeof(bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = pattern(*sent + i);
        ssize_t written = size > 0 ? write(pair.raw, bytes, size) : 0;
        if (written <= 0)
            return;
        *sent += (size_t)written;
    }
}

static void on_read_stop(struct loop_stream *stream, ssize_t size, void *bytes)
{
    on_read_pattern(stream, size, bytes);
    loop_read_stop(stream);
    assert_false(loop_is_active(&stream->handle));
}

static void stopping_and_starting_again_loses_nothing(void **state)
{
    size_t sent = 0;
    begin_reader(state);
    while (pair.reader.size < LONG) {
        feed(&sent);
        assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_stop));
        assert_int_equal(-EALREADY, loop_read_start(&pair.reader.stream, on_read_stop));
        size_t before = pair.reader.size;
        while (pair.reader.size == before)
            assert_true(loop_run(pair.loop, LOOP_RUN_ONCE) >= 0);
        assert_true(pair.reader.size - before <= LOOP_LENT_SIZE); /* one piece: it was stopped */
    }
    assert_int_equal(LONG, pair.reader.size);
    close_pair(&pair);
}

static void nothing_comes_after_a_stop(void **state)
{
    begin_reader(state);
    raw_write(&pair, "one");
    start_reading(&pair.reader);
    loop_read_stop(&pair.reader.stream);
    loop_read_stop(&pair.reader.stream); /* harmless */
    assert_false(loop_alive(pair.loop));
    turn(pair.loop);
    assert_int_equal(0, pair.reader.size);
    start_reading(&pair.reader);
    run_until_size(pair.loop, &pair.reader.size, 3);
    loop_read_stop(&pair.reader.stream);
    raw_write(&pair, "two");
    turn(pair.loop);
    assert_int_equal(3, pair.reader.size);
    start_reading(&pair.reader);
    run_until_size(pair.loop, &pair.reader.size, 6);
    assert_string_equal("onetwo", got(&pair.reader));
    close_pair(&pair);
}

static void on_read_second(struct loop_stream *stream, ssize_t size, void *bytes)
{
    on_read(stream, size, bytes);
    say("second");
    loop_read_stop(stream);
}

static void on_read_change(struct loop_stream *stream, ssize_t size, void *bytes)
{
    on_read(stream, size, bytes);
    say("first");
    loop_read_stop(stream);
    assert_int_equal(0, loop_read_start(stream, on_read_second));
}

static void the_callback_can_be_changed_in_the_callback(void **state)
{
    begin_reader(state);
    raw_write(&pair, "one");
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_change));
    run_until_size(pair.loop, &pair.reader.size, 3);
    raw_write(&pair, "two");
    run_until_size(pair.loop, &pair.reader.size, 6);
    assert_said("first second");
    close_pair(&pair);
}

static void reading_keeps_the_loop_alive_unless_unreferenced(void **state)
{
    begin_reader(state);
    assert_false(loop_alive(pair.loop));
    start_reading(&pair.reader);
    assert_true(loop_alive(pair.loop));
    loop_unref(&pair.reader.handle);
    run(pair.loop);
    loop_read_stop(&pair.reader.stream);
    assert_false(loop_alive(pair.loop));
    close_pair(&pair);
}

/* The end. */

static void the_end_comes_once_and_then_silence(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    raw_write(&pair, "last");
    close_raw(&pair);
    run(pair.loop); /* it ends: the stream is not active any more */
    assert_string_equal("last", got(&pair.reader));
    assert_said("r-EOF");
    turn(pair.loop);
    start_reading(&pair.reader); /* whoever asks again is told again */
    run(pair.loop);
    assert_said("r-EOF");
    close_pair(&pair);
}

static void all_that_was_sent_comes_before_the_end(void **state)
{
    begin_reader(state);
    size_t sent = 0;
    feed(&sent);
    assert_true(sent > 16384);
    close_raw(&pair);
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_pattern));
    run(pair.loop);
    assert_int_equal(sent, pair.reader.size);
    assert_true(pair.reader.ended);
    assert_said("r-EOF");
    close_pair(&pair);
}

static void an_end_of_one_direction_leaves_the_other(void **state)
{
    char bytes[8];
    begin_reader(state);
    start_reading(&pair.reader);
    assert_int_equal(0, shutdown(pair.raw, SHUT_WR));
    run(pair.loop);
    assert_said("r-EOF");
    struct loop_buf buf = {"still", 5};
    assert_int_equal(5, loop_try_write(&pair.reader.stream, &buf, 1));
    struct timeval patience = {.tv_sec = 10};
    fcntl(pair.raw, F_SETFL, 0);
    setsockopt(pair.raw, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(5, read(pair.raw, bytes, sizeof(bytes)));
    close_pair(&pair);
}

/* Errors. */

static void a_reset_is_told_once(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    raw_reset(&pair);
    run(pair.loop);
    assert_said("r-ECONNRESET");
    turn(pair.loop);
    close_pair(&pair);
}

/* A unix-domain peer that closes without having read what was sent to it. */
static void a_peer_that_left_our_bytes_unread_resets(void **state)
{
    begin_reader(state);
    struct loop_buf buf = {"unread", 6};
    assert_int_equal(6, loop_try_write(&pair.reader.stream, &buf, 1));
    raw_write(&pair, "last");
    close_raw(&pair);
    start_reading(&pair.reader);
    run(pair.loop);
    assert_string_equal("last", got(&pair.reader));
    assert_said("r-ECONNRESET");
    close_pair(&pair);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* A second passes at once if nothing is to be done; a descriptor that is always ready would not let
 * it. */
static void expect_no_turns_are_spent(void)
{
    struct loop_timer timer;
    loop_timer_init(pair.loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, LOOP_SEC, 0, on_timer));
    uint64_t turns = loop_turn(pair.loop);
    run(pair.loop);
    assert_true(loop_turn(pair.loop) - turns <= 4);
    assert_said("timer");
}

static void a_peer_that_leaves_while_nobody_reads_costs_no_turns(void **state)
{
    begin_reader(state);
    close_raw(&pair);
    expect_no_turns_are_spent();
    start_reading(&pair.reader);
    loop_read_stop(&pair.reader.stream);
    expect_no_turns_are_spent();
    close_pair(&pair);
}

static void a_reset_while_nobody_reads_costs_no_turns(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    raw_write(&pair, "one");
    run_until_size(pair.loop, &pair.reader.size, 3);
    loop_read_stop(&pair.reader.stream);
    raw_reset(&pair);
    expect_no_turns_are_spent();
    start_reading(&pair.reader); /* it is told to who asks */
    run(pair.loop);
    assert_said("r-ECONNRESET");
    close_pair(&pair);
}

static void an_end_that_was_told_costs_no_turns(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    close_raw(&pair);
    run(pair.loop);
    assert_said("r-EOF");
    expect_no_turns_are_spent();
    close_pair(&pair);
}

/* Fairness. */

static uint64_t this_turn;
static int reads_this_turn, reads_most, turns_full;

static void refill(void)
{
    static char zeros[65536];
    while (write(pair.raw, zeros, sizeof(zeros)) > 0)
        ;
}

static void on_read_refill(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    assert_true(size > 0);
    refill();
    uint64_t now = loop_turn(stream->handle.loop);
    reads_this_turn = now == this_turn ? reads_this_turn + 1 : 1;
    reads_most = reads_this_turn > reads_most ? reads_this_turn : reads_most;
    turns_full += reads_this_turn == 16;
    this_turn = now;
}

static void a_fast_sender_gets_16_reads_of_a_turn(void **state)
{
    int size = 1 << 20;
    begin_reader(state);
    this_turn = 0;
    reads_this_turn = reads_most = turns_full = 0;
    if (kind == PIPE)
        fcntl(pair.raw, F_SETPIPE_SZ, size);
    else
        setsockopt(pair.raw, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    refill();
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_refill));
    for (int i = 0; i < 20; i++)
        turn(pair.loop);
    assert_true(reads_most <= 16);
    if (kind != TCP) /* its pieces are as the network makes them */
        assert_int_equal(20, turns_full);
    close_pair(&pair);
}

/* Reading into the caller's memory. */

struct into {
    struct loop_read read;
    char bytes[32];
    bool done;
    int status;
};

static void on_into(struct loop_read *read, int status)
{
    struct into *into = loop_container_of(read, struct into, read);
    into->done = true;
    into->status = status;
    into->bytes[read->size] = '\0';
    say("%s:%zu:%s", status == LOOP_EOF ? "EOF" : loop_error_name(status), read->size, into->bytes);
}

static int read_into(struct into *into, size_t min, size_t max)
{
    into->done = false;
    return loop_read_into(&pair.reader.stream, &into->read, into->bytes, min, max, on_into);
}

static void start_into(struct into *into, size_t min, size_t max)
{
    assert_int_equal(0, read_into(into, min, max));
    assert_int_equal(0, into->read.size);
    assert_false(into->done);
}

static void it_reads_exactly_so_many(void **state)
{
    struct into into = {0};
    begin_reader(state);
    raw_write(&pair, "headbody+");
    start_into(&into, 4, 4);
    run(pair.loop);
    start_into(&into, 4, 4);
    run(pair.loop);
    assert_said("OK:4:head OK:4:body");
    start_reading(&pair.reader); /* what is over is there for any reader */
    run_until_size(pair.loop, &pair.reader.size, 1);
    assert_string_equal("+", got(&pair.reader));
    close_pair(&pair);
}

static void it_waits_for_the_least_and_takes_the_most(void **state)
{
    struct into into = {0};
    begin_reader(state);
    start_into(&into, 5, 8);
    raw_write(&pair, "ab");
    run_until_size(pair.loop, &into.read.size, 2);
    assert_false(into.done);
    raw_write(&pair, "cd");
    run_until_size(pair.loop, &into.read.size, 4);
    assert_false(into.done);
    raw_write(&pair, "efghij");
    run(pair.loop);
    assert_said("OK:8:abcdefgh");
    start_into(&into, 1, 30);
    run(pair.loop);
    assert_said("OK:2:ij");
    close_pair(&pair);
}

static void an_end_before_the_least_says_how_much_there_was(void **state)
{
    struct into into = {0};
    begin_reader(state);
    raw_write(&pair, "abc");
    start_into(&into, 5, 8);
    close_raw(&pair);
    run(pair.loop);
    assert_said("EOF:3:abc");
    start_into(&into, 1, 8);
    run(pair.loop);
    assert_said("EOF:0:");
    close_pair(&pair);
}

static void an_end_behind_the_least_is_for_the_next_read(void **state)
{
    struct into into = {0};
    begin_reader(state);
    raw_write(&pair, "abc");
    close_raw(&pair);
    start_into(&into, 3, 8);
    run(pair.loop);
    assert_said("OK:3:abc");
    start_into(&into, 1, 8);
    run(pair.loop);
    assert_said("EOF:0:");
    close_pair(&pair);
}

static void a_reset_ends_it(void **state)
{
    struct into into = {0};
    begin_reader(state);
    start_into(&into, 5, 8);
    raw_write(&pair, "abc");
    run_until_size(pair.loop, &into.read.size, 3);
    raw_reset(&pair);
    run(pair.loop);
    assert_said("ECONNRESET:3:abc");
    close_pair(&pair);
}

static void a_cancel_says_how_much_there_was(void **state)
{
    struct into into = {0};
    begin_reader(state);
    start_into(&into, 5, 8);
    raw_write(&pair, "abc");
    run_until_size(pair.loop, &into.read.size, 3);
    assert_int_equal(0, loop_request_cancel(&into.read.request));
    assert_said(""); /* later */
    assert_int_equal(-EALREADY, loop_request_cancel(&into.read.request));
    assert_int_equal(0, loop_request_deadline(&into.read.request, LOOP_SEC));
    raw_write(&pair, "def");
    run(pair.loop);
    assert_said("ECANCELED:3:abc");
    assert_int_equal(-EALREADY, loop_request_cancel(&into.read.request));
    start_into(&into, 3, 3);
    run(pair.loop);
    assert_said("OK:3:def");
    close_pair(&pair);
}

static void a_deadline_says_how_much_there_was(void **state)
{
    struct into into = {0};
    begin_reader(state);
    start_into(&into, 5, 8);
    raw_write(&pair, "abc");
    run_until_size(pair.loop, &into.read.size, 3);
    assert_int_equal(0, loop_request_deadline(&into.read.request, 5 * LOOP_SEC));
    run(pair.loop);
    assert_said("ETIMEDOUT:3:abc");
    assert_int_equal(5 * LOOP_SEC, loop_now(pair.loop));
    close_pair(&pair);
}

static void on_into_again(struct loop_read *read, int status)
{
    struct into *into = loop_container_of(read, struct into, read);
    on_into(read, status);
    if (status == 0)
        assert_int_equal(0, loop_read_into(&pair.reader.stream, read, into->bytes, 2, 2,
                                           on_into_again));
}

static void its_callback_may_read_again_with_the_same_request(void **state)
{
    struct into into = {0};
    int mine;
    begin_reader(state);
    into.read.request.data = &mine;
    raw_write(&pair, "abcdefg");
    close_raw(&pair);
    assert_int_equal(0, loop_read_into(&pair.reader.stream, &into.read, into.bytes, 2, 2,
                                       on_into_again));
    run(pair.loop);
    assert_said("OK:2:ab OK:2:cd OK:2:ef EOF:1:g");
    assert_ptr_equal(&mine, into.read.request.data);
    close_pair(&pair);
}

/* Usage. */

static void only_one_read_is_under_way(void **state)
{
    struct into into = {0}, other = {0};
    begin_reader(state);
    start_into(&into, 1, 8);
    assert_int_equal(-EBUSY, read_into(&other, 1, 8));
    assert_int_equal(-EBUSY, loop_read_start(&pair.reader.stream, on_read));
    loop_read_stop(&pair.reader.stream); /* there is nothing to be stopped */
    assert_int_equal(0, loop_request_cancel(&into.read.request));
    run(pair.loop);
    assert_said("ECANCELED:0:");
    start_reading(&pair.reader);
    assert_int_equal(-EALREADY, loop_read_start(&pair.reader.stream, on_read));
    assert_int_equal(-EBUSY, read_into(&other, 1, 8));
    loop_read_stop(&pair.reader.stream);
    close_pair(&pair);
}

static void wrong_arguments_are_refused(void **state)
{
    struct into into = {0};
    begin_reader(state);
    struct loop_stream *stream = &pair.reader.stream;
    assert_int_equal(-EINVAL, loop_read_start(stream, NULL));
    assert_int_equal(-EINVAL, loop_read_start(NULL, on_read));
    assert_int_equal(-EINVAL, read_into(&into, 0, 8));
    assert_int_equal(-EINVAL, read_into(&into, 9, 8));
    assert_int_equal(-EINVAL, read_into(&into, 1, (size_t)SSIZE_MAX + 1));
    assert_int_equal(-EINVAL, loop_read_into(stream, NULL, into.bytes, 1, 8, on_into));
    assert_int_equal(-EINVAL, loop_read_into(stream, &into.read, NULL, 1, 8, on_into));
    assert_int_equal(-EINVAL, loop_read_into(stream, &into.read, into.bytes, 1, 8, NULL));
    assert_int_equal(-EINVAL, loop_read_into(NULL, &into.read, into.bytes, 1, 8, on_into));
    assert_false(loop_alive(pair.loop));
    close_pair(&pair);
}

static void a_stream_without_a_descriptor_or_closing_is_not_read(void **state)
{
    struct into into = {0};
    memset(&pair, 0, sizeof(pair));
    pair.loop = *state;
    init_end(*state, &pair.reader, "r");
    assert_int_equal(-ENOTCONN, loop_read_start(&pair.reader.stream, on_read));
    assert_int_equal(-ENOTCONN, read_into(&into, 1, 8));
    loop_read_stop(&pair.reader.stream);
    assert_int_equal(-1, loop_stream_fd(&pair.reader.stream));
    loop_close(&pair.reader.handle, on_end_close);
    assert_int_equal(-ECANCELED, loop_read_start(&pair.reader.stream, on_read));
    assert_int_equal(-ECANCELED, read_into(&into, 1, 8));
    loop_read_stop(&pair.reader.stream);
    run(pair.loop);
    assert_said("r-closed");
}

static void reuse_in_flight(void)
{
    struct into into = {0};
    struct loop loop;
    assert_int_equal(0, loop_init(&loop, NULL));
    kind = UNIX;
    open_pair(&pair, &loop);
    read_into(&into, 1, 8);
    loop_request_cancel(&into.read.request); /* its callback has not come all the same */
    read_into(&into, 1, 8);
}

static void a_request_reused_in_flight_panics(void **state)
{
    (void)state;
    assert_panics(reuse_in_flight, "the read request was started again before its callback");
}

/* Memory. */

static size_t memory_in_use;

static void *measuring_resize(void *ctx, void *memory, size_t size)
{
    size_t *block = memory ? (size_t *)memory - 2 : NULL;
    (void)ctx;
    memory_in_use -= block ? *block : 0;
    memory_in_use += size;
    if (size == 0) {
        free(block);
        return NULL;
    }
    block = realloc(block, size + 2 * sizeof(size_t));
    *block = size;
    return block + 2;
}

enum { MANY = 100 };

static void connections_that_fell_silent_have_no_memory(void **state)
{
    static struct pair many[MANY];
    struct loop_options options = {.allocator.resize = measuring_resize};
    struct loop loop;
    (void)state;
    memory_in_use = 0;
    assert_int_equal(0, loop_init(&loop, &options));
    size_t empty = memory_in_use;
    for (int i = 0; i < MANY; i++) {
        open_reader(&many[i], &loop);
        start_reading(&many[i].reader);
        raw_write(&many[i], "hello");
    }
    for (int i = 0; i < MANY; i++)
        run_until_size(&loop, &many[i].reader.size, 5);
    size_t table = 1024 * sizeof(struct loop_poll_slot);
    assert_true(memory_in_use - empty <= LOOP_LENT_SIZE + table);
    for (int i = 0; i < MANY; i++) {
        loop_close(&many[i].reader.handle, NULL);
        close_raw(&many[i]);
    }
    run(&loop);
    assert_int_equal(0, loop_fini(&loop));
    assert_int_equal(0, memory_in_use);
}

static void *refusing_resize(void *ctx, void *memory, size_t size)
{
    bool *refuse = ctx;
    if (size > 0 && *refuse)
        return NULL;
    return measuring_resize(NULL, memory, size);
}

static void without_memory_to_lend_reading_does_not_start(void **state)
{
    bool refuse = false;
    struct loop_options options = {.allocator = {refusing_resize, &refuse}};
    struct loop loop;
    (void)state;
    memset(&pair, 0, sizeof(pair));
    assert_int_equal(0, loop_init(&loop, &options));
    open_reader(&pair, &loop);
    refuse = true;
    assert_int_equal(-ENOMEM, loop_read_start(&pair.reader.stream, on_read));
    assert_false(loop_is_active(&pair.reader.handle));
    refuse = false;
    start_reading(&pair.reader);
    raw_write(&pair, "one");
    run_until_size(&loop, &pair.reader.size, 3);
    close_pair(&pair);
    assert_int_equal(0, loop_fini(&loop));
}

/* Both ends of one connection are streams of one loop. */
static void a_loop_may_talk_to_itself(void **state)
{
    begin_pair(state);
    start_reading(&pair.reader);
    struct loop_buf buf = {"hello", 5};
    assert_int_equal(5, loop_try_write(&pair.writer.stream, &buf, 1));
    run_until_size(pair.loop, &pair.reader.size, 5);
    loop_close(&pair.writer.handle, on_end_close);
    run(pair.loop);
    assert_said("r-EOF w-closed");
    close_pair(&pair);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        over_all(what_arrives_is_told_in_the_poll_phase),
        over_all(all_streams_of_a_loop_are_lent_the_same_memory),
        over_all(stopping_and_starting_again_loses_nothing),
        over_all(nothing_comes_after_a_stop),
        over_all(the_callback_can_be_changed_in_the_callback),
        over_all(reading_keeps_the_loop_alive_unless_unreferenced),
        over_all(the_end_comes_once_and_then_silence),
        over_all(all_that_was_sent_comes_before_the_end),
        over_sockets(an_end_of_one_direction_leaves_the_other),
        over(tcp, a_reset_is_told_once),
        over(unix, a_peer_that_left_our_bytes_unread_resets),
        over_all(a_peer_that_leaves_while_nobody_reads_costs_no_turns),
        over(tcp, a_reset_while_nobody_reads_costs_no_turns),
        over_all(an_end_that_was_told_costs_no_turns),
        over_all(a_fast_sender_gets_16_reads_of_a_turn),
        over_all(it_reads_exactly_so_many),
        over_all(it_waits_for_the_least_and_takes_the_most),
        over_all(an_end_before_the_least_says_how_much_there_was),
        over_all(an_end_behind_the_least_is_for_the_next_read),
        over(tcp, a_reset_ends_it),
        over_all(a_cancel_says_how_much_there_was),
        over_all(a_deadline_says_how_much_there_was),
        over_all(its_callback_may_read_again_with_the_same_request),
        over_all(only_one_read_is_under_way),
        over_all(wrong_arguments_are_refused),
        over_sockets(a_stream_without_a_descriptor_or_closing_is_not_read),
        virtual_test(a_request_reused_in_flight_panics),
        over_all(connections_that_fell_silent_have_no_memory),
        over_all(without_memory_to_lend_reading_does_not_start),
        over_all(a_loop_may_talk_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
