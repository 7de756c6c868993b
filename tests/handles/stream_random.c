/* Streams under random use: whatever the sizes, the pieces, the pauses and the buffers, the same
 * bytes come out, in order, and then the end.
 *
 * Two parties write a row of bytes each and check the one they read, both at once. They write in
 * each of the three ways, several buffers at a time, stop and start reading, read into memory of
 * their own, pause, and shut down when they are through. Between them is nothing; or each talks to
 * an echo, which copies and heeds the drain callback; or to an echo made by one pipe of streams; or
 * two pipes join a connection over TCP to one of unix-domain sockets. What happens follows from a
 * seed, which is printed if a test fails or hangs.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_pair.h"

#include <signal.h>

enum { SEEDS = 300, TOTAL_MAX = 400000, BUFS_MAX = 9 };

static uint32_t seed, state_of_chance;

/* xorshift32: the same everywhere. */
static uint32_t chance(uint32_t below)
{
    state_of_chance ^= state_of_chance << 13;
    state_of_chance ^= state_of_chance >> 17;
    state_of_chance ^= state_of_chance << 5;
    return state_of_chance % below;
}

static size_t random_size(size_t max)
{
    static const uint32_t most[] = {2, 100, 5000, 70000};
    size_t size = chance(most[chance(ARRAY_LENGTH(most))]);
    return size < max ? size : max;
}

/* From whoever runs the tests, who finds that it takes too long. */
static void on_term(int number)
{
    (void)number;
    print_error("seed %u has not come to an end\n", seed);
    _exit(1);
}

static void expect(bool holds, const char *what)
{
    if (!holds)
        print_error("seed %u: %s\n", seed, what);
    assert_true(holds);
}

/* A party writes total bytes of the pattern and reads expected bytes of it. */
struct party {
    struct end end;
    size_t sent, total, received, expected;
    bool writing; /* its one request is in flight */
    bool waiting; /* for the drain callback */
    bool ended;
    bool shut;
    struct loop_timer read_pause, write_pause;
    struct loop_write write;
    struct loop_read read;
    struct loop_shutdown shutdown;
    char bytes[9000];
};

static char *row; /* the pattern, longer than any total */

static struct party *party_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct party, end.stream);
}

static void produce(struct party *party);
static void consume(struct party *party);

static void on_write_pause(struct loop_timer *timer)
{
    produce(loop_container_of(timer, struct party, write_pause));
}

static void on_read_pause(struct loop_timer *timer)
{
    consume(loop_container_of(timer, struct party, read_pause));
}

static void on_written(struct loop_write *write, int status)
{
    struct party *party = loop_container_of(write, struct party, write);
    expect(status == 0, "a write failed");
    party->writing = false;
    produce(party);
}

static void on_drain(struct loop_stream *stream)
{
    struct party *party = party_of(stream);
    expect(party->waiting || party->writing, "drained, and nobody waits for it");
    party->waiting = false;
    produce(party);
}

static void on_shut(struct loop_shutdown *shutdown, int status)
{
    expect(status == 0, "a shutdown failed");
    loop_container_of(shutdown, struct party, shutdown)->shut = true;
}

/* Several buffers, empty ones among them. */
static void write_some(struct party *party, size_t size)
{
    struct loop_buf bufs[BUFS_MAX];
    uint32_t count = 1 + chance(BUFS_MAX);
    size_t left = size;
    for (uint32_t i = 0; i < count; i++) {
        size_t piece = i == count - 1 ? left : chance((uint32_t)left + 1);
        bufs[i] = (struct loop_buf){row + party->sent + size - left, piece};
        left -= piece;
    }
    party->writing = true;
    int result = loop_write(&party->end.stream, &party->write, bufs, count, on_written);
    expect(result >= 0, "a write was refused");
    memset(bufs, 0xee, sizeof(bufs));
    party->sent += size;
}

static void copy_some(struct party *party, size_t size)
{
    char copy[70000];
    memcpy(copy, row + party->sent, size);
    int result = loop_write_copy(&party->end.stream, copy, size);
    expect(result >= 0, "a copy was refused");
    memset(copy, 0xee, size);
    party->waiting = result == 1;
    party->sent += size;
}

static void try_some(struct party *party, size_t size)
{
    struct loop_buf buf = {row + party->sent, size};
    ssize_t sent = loop_try_write(&party->end.stream, &buf, 1);
    expect(sent >= 0 || sent == -EAGAIN, "a try failed");
    party->sent += sent > 0 ? (size_t)sent : 0;
}

/* Writes until it has to wait for something, be it chance. */
static void produce(struct party *party)
{
    while (!party->writing && !party->waiting && party->sent < party->total) {
        size_t size = random_size(party->total - party->sent);
        uint32_t way = chance(8);
        if (way < 3)
            write_some(party, size);
        else if (way < 5)
            copy_some(party, size);
        else if (way < 7)
            try_some(party, size);
        if (way == 7) {
            loop_timer_start(&party->write_pause, chance(1000), 0, on_write_pause);
            return;
        }
    }
    if (party->sent == party->total && !party->writing && !party->shutdown.cb) {
        int error = loop_shutdown(&party->end.stream, &party->shutdown, on_shut);
        expect(error == 0, "a shutdown was refused");
    }
}

static void check(struct party *party, const char *bytes, size_t size)
{
    expect(party->received + size <= party->expected, "more came than was sent");
    expect(memcmp(row + party->received, bytes, size) == 0, "other bytes came than were sent");
    party->received += size;
}

static void finish(struct party *party, int status)
{
    expect(status == LOOP_EOF, "reading failed");
    expect(party->received == party->expected, "the end came too early");
    expect(!party->ended, "the end came twice");
    party->ended = true;
}

static void pause_reading(struct party *party)
{
    loop_timer_start(&party->read_pause, chance(1000), 0, on_read_pause);
}

static void on_piece(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct party *party = party_of(stream);
    if (size < 0) {
        finish(party, (int)size);
        return;
    }
    check(party, bytes, (size_t)size);
    if (chance(4) > 0)
        return;
    loop_read_stop(stream);
    if (chance(2))
        pause_reading(party);
    else
        consume(party);
}

static void on_filled(struct loop_read *read, int status)
{
    struct party *party = loop_container_of(read, struct party, read);
    check(party, party->bytes, read->size);
    if (status < 0)
        finish(party, status);
    else if (chance(4))
        consume(party);
    else
        pause_reading(party);
}

static void consume(struct party *party)
{
    int error;
    if (chance(2)) {
        error = loop_read_start(&party->end.stream, on_piece);
    } else {
        size_t max = 1 + chance(sizeof(party->bytes)), min = 1 + chance((uint32_t)max);
        error = loop_read_into(&party->end.stream, &party->read, party->bytes, min, max, on_filled);
    }
    expect(error == 0, "a read was refused");
}

static void init_party(struct loop *loop, struct party *party, int fd, size_t total,
                       size_t expected)
{
    memset(party, 0, sizeof(*party));
    open_end(loop, &party->end, "party", fd);
    loop_timer_init(loop, &party->read_pause);
    loop_timer_init(loop, &party->write_pause);
    size_t low = 1 + chance(20000), high = low + 1 + chance(60000);
    loop_stream_set_marks(&party->end.stream, low, high, LOOP_WRITE_MAX, on_drain);
    party->total = total;
    party->expected = expected;
}

static void start_party(struct loop *loop, struct party *party, int fd, size_t total,
                        size_t expected)
{
    init_party(loop, party, fd, total, expected);
    produce(party);
    consume(party);
}

static void make_random_fds(int fds[2])
{
    static const int sizes[] = {0, 4096, 16384, 65536};
    make_fds(fds, sizes[chance(ARRAY_LENGTH(sizes))]);
}

/* Nothing between them. */

static void talk_directly(struct loop *loop)
{
    struct party a, b;
    int fds[2];
    size_t there = chance(TOTAL_MAX), back = chance(TOTAL_MAX);
    make_random_fds(fds);
    start_party(loop, &a, fds[0], there, back);
    start_party(loop, &b, fds[1], back, there);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    expect(a.ended && b.ended && a.shut && b.shut, "it did not end");
    loop_close(&a.end.handle, NULL);
    loop_close(&b.end.handle, NULL);
    run(loop);
}

/* One direction, which is all that pipe(2) has. */
static void talk_one_way(struct loop *loop)
{
    struct party a, b;
    int fds[2];
    size_t total = chance(TOTAL_MAX);
    make_random_fds(fds);
    init_party(loop, &a, fds[1], total, 0);
    init_party(loop, &b, fds[0], 0, total);
    produce(&a);
    consume(&b);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    expect(b.ended && a.shut, "it did not end");
    loop_close(&a.end.handle, NULL);
    loop_close(&b.end.handle, NULL);
    run(loop);
}

/* An echo that copies. */

static struct loop_shutdown echo_shutdown;

static void echo_on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    int result = size > 0 ? loop_write_copy(stream, bytes, (size_t)size)
                          : loop_shutdown(stream, &echo_shutdown, NULL);
    expect(size > 0 || size == LOOP_EOF, "the echo could not read");
    expect(result >= 0, "the echo could not write");
    if (result == 1)
        loop_read_stop(stream);
}

static void echo_on_drain(struct loop_stream *stream)
{
    expect(loop_read_start(stream, echo_on_read) == 0, "the echo could not read on");
}

static void start_copying_echo(struct loop *loop, struct end *echo)
{
    (void)loop;
    memset(&echo_shutdown, 0, sizeof(echo_shutdown));
    size_t low = 1 + chance(20000), high = low + 1 + chance(60000);
    loop_stream_set_marks(&echo->stream, low, high, LOOP_WRITE_MAX, echo_on_drain);
    assert_int_equal(0, loop_read_start(&echo->stream, echo_on_read));
}

/* An echo that is a pipe to itself. */

static struct loop_stream_pipe there_pipe, back_pipe;
static int pipes_done;

static void on_copied(struct loop_stream_pipe *pipe, int status)
{
    (void)pipe;
    expect(status == 0, "a pipe failed");
    pipes_done++;
}

static void start_piped_echo(struct loop *loop, struct end *echo)
{
    (void)loop;
    memset(&there_pipe, 0, sizeof(there_pipe));
    assert_int_equal(0, loop_stream_pipe(&echo->stream, &echo->stream, &there_pipe, on_copied));
}

static void talk_to(struct loop *loop, void (*start)(struct loop *loop, struct end *echo))
{
    struct party party;
    struct end echo;
    int fds[2];
    size_t total = chance(TOTAL_MAX);
    make_random_fds(fds);
    bool turned = chance(2); /* the small buffers are on one side */
    open_end(loop, &echo, "echo", fds[turned]);
    start(loop, &echo);
    start_party(loop, &party, fds[!turned], total, total);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    expect(party.ended && party.shut, "it did not end");
    loop_close(&party.end.handle, NULL);
    loop_close(&echo.handle, NULL);
    run(loop);
}

static void talk_to_a_copying_echo(struct loop *loop)
{
    talk_to(loop, start_copying_echo);
}

static void talk_to_a_piped_echo(struct loop *loop)
{
    pipes_done = 0;
    talk_to(loop, start_piped_echo);
    expect(pipes_done == 1, "the pipe was not told of its end");
}

/* A proxy. */

static void talk_through_a_proxy(struct loop *loop)
{
    struct party a, b;
    struct end near, far;
    int fds[2], others[2];
    size_t there = chance(TOTAL_MAX), back = chance(TOTAL_MAX);
    pipes_done = 0;
    memset(&there_pipe, 0, sizeof(there_pipe));
    memset(&back_pipe, 0, sizeof(back_pipe));
    kind = TCP;
    make_random_fds(fds);
    open_end(loop, &near, "near", fds[0]);
    start_party(loop, &a, fds[1], there, back);
    kind = UNIX;
    make_random_fds(others);
    open_end(loop, &far, "far", others[0]);
    start_party(loop, &b, others[1], back, there);
    assert_int_equal(0, loop_stream_pipe(&near.stream, &far.stream, &there_pipe, on_copied));
    assert_int_equal(0, loop_stream_pipe(&far.stream, &near.stream, &back_pipe, on_copied));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    expect(a.ended && b.ended && pipes_done == 2, "it did not end");
    expect(there_pipe.copied == there && back_pipe.copied == back, "the pipes miscounted");
    struct end *ends[] = {&a.end, &b.end, &near, &far};
    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++)
        loop_close(&ends[i]->handle, NULL);
    run(loop);
}

static void with_many_seeds(void **state, void (*talk)(struct loop *loop))
{
    row = pattern_bytes(TOTAL_MAX);
    signal(SIGTERM, on_term);
    for (seed = 1; seed <= SEEDS; seed++) {
        state_of_chance = seed * 2654435761u;
        talk(*state);
    }
    free(row);
}

static void two_parties_understand_each_other(void **state)
{
    with_many_seeds(state, talk_directly);
}

static void one_party_understands_the_other(void **state)
{
    with_many_seeds(state, talk_one_way);
}

static void an_echo_that_copies_gives_all_back(void **state)
{
    with_many_seeds(state, talk_to_a_copying_echo);
}

static void an_echo_by_a_pipe_gives_all_back(void **state)
{
    with_many_seeds(state, talk_to_a_piped_echo);
}

static void a_proxy_of_two_pipes_passes_all_on(void **state)
{
    with_many_seeds(state, talk_through_a_proxy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        over_sockets(two_parties_understand_each_other),
        over_all(one_party_understands_the_other),
        over_sockets(an_echo_that_copies_gives_all_back),
        over_sockets(an_echo_by_a_pipe_gives_all_back),
        virtual_test(a_proxy_of_two_pipes_passes_all_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
