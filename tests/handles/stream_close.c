/* The end of streams: closing, and giving away, from wherever that is done.
 *
 * A stream can be closed in any callback, its own, its peer's or a stranger's, and be freed when
 * its close callback comes. Who has the descriptor's number next does not hear of its past, in the
 * same batch of events or later, and a dup that keeps the descriptor open keeps no event alive. A
 * descriptor that somebody else closed is told as -EBADF, or panics. A reset is unkind to the peer.
 *
 * A stream that is detached gives its descriptor back, with all that has not been read, and may be
 * freed in the very callback that did it.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_requests.h"

/* Closing in each callback. All memory is freed by the close callbacks, so that whoever looks at it
 * afterwards is found out. */

enum callback { READ, INTO, WRITE, DRAIN, SHUTDOWN, IDLE, COPIED, CALLBACKS };
enum victim { SELF = 1, PEER = 2, STRANGER = 4, VICTIMS = 8 };

struct life {
    struct end *ends[3]; /* the one that strikes, its peer, and a stranger's; NULL: gone */
    int stranger;        /* the other end of that */
    enum callback when;
    unsigned whom;
    bool struck;
    struct loop_read read;
    struct loop_write writes[2];
    struct loop_shutdown shutdown;
    struct loop_stream_pipe copy;
    char bytes[8];
};

static struct life *life;

static void on_freed(struct loop_handle *handle)
{
    struct end *end = loop_container_of(handle, struct end, handle);
    for (int i = 0; i < 3; i++)
        if (life->ends[i] == end)
            life->ends[i] = NULL;
    memset(end, 0xee, sizeof(*end));
    free(end);
}

static void kill_end(struct end *end)
{
    if (end && !loop_is_closing(&end->handle))
        loop_close(&end->handle, on_freed);
}

/* The deadline is there to be forgotten by close; were it there before, a virtual clock would pass
 * it while TCP is on its way. */
static void strike_on_idle(struct loop_stream *stream);

static void strike(enum callback callback)
{
    if (callback != life->when || life->struck)
        return;
    life->struck = true;
    loop_stream_set_idle(&life->ends[0]->stream, LOOP_SEC, strike_on_idle);
    for (int i = 0; i < 3; i++)
        if (life->whom >> i & 1)
            kill_end(life->ends[i]);
}

static void strike_on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    (void)stream;
    if (size > 0)
        strike(READ);
}

static void strike_on_into(struct loop_read *read, int status)
{
    (void)read;
    (void)status;
    strike(INTO);
}

static void strike_on_written(struct loop_write *write, int status)
{
    (void)write;
    (void)status;
    strike(WRITE);
}

static void strike_on_drain(struct loop_stream *stream)
{
    (void)stream;
    strike(DRAIN);
}

static void strike_on_shut(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    (void)status;
    strike(SHUTDOWN);
}

static void strike_on_idle(struct loop_stream *stream)
{
    (void)stream;
    strike(IDLE);
}

static void strike_on_copied(struct loop_stream_pipe *copy, int status)
{
    (void)copy;
    (void)status;
    strike(COPIED);
}

static struct end *new_end(struct loop *loop, int fd)
{
    struct end *end = malloc(sizeof(*end));
    open_end(loop, end, "x", fd);
    return end;
}

static void open_life(struct loop *loop)
{
    int fds[2], others[2];
    make_fds(fds, SMALL);
    make_fds(others, SMALL);
    life->ends[0] = new_end(loop, fds[1]);
    life->ends[1] = new_end(loop, fds[0]);
    life->ends[2] = new_end(loop, others[0]);
    life->stranger = others[1];
    assert_int_equal(5, write(life->stranger, "hello", 5));
}

static void start_life(void)
{
    static char zeros[1 << 20];
    struct loop_stream *self = &life->ends[0]->stream, *peer = &life->ends[1]->stream;
    struct loop_buf small = {zeros, 5}, large = {zeros, sizeof(zeros)};
    assert_int_equal(5, loop_try_write(peer, &small, 1)); /* something to read */
    if (life->when == INTO)
        loop_read_into(self, &life->read, life->bytes, 5, 5, strike_on_into);
    else if (life->when != IDLE)
        loop_read_start(self, strike_on_read);
    if (life->when == COPIED)
        assert_int_equal(0, loop_stream_pipe(&life->ends[2]->stream, self, &life->copy,
                                             strike_on_copied));
    else
        loop_read_start(&life->ends[2]->stream, strike_on_read);
    loop_stream_set_marks(self, 1, 2, 0, strike_on_drain);
    if (life->when == IDLE)
        loop_stream_set_idle(self, LOOP_SEC, strike_on_idle);
    loop_write(self, &life->writes[0], &large, 1, strike_on_written);
    loop_write(self, &life->writes[1], &small, 1, strike_on_written);
    if (life->when == SHUTDOWN)
        loop_shutdown(self, &life->shutdown, strike_on_shut);
    if (life->when == COPIED) {
        close(life->stranger);
        life->stranger = -1;
    }
    if (life->when != IDLE)
        loop_read_start(peer, strike_on_read);
}

static void live(struct loop *loop, enum callback when, unsigned whom)
{
    struct life mine = {.when = when, .whom = whom};
    life = &mine;
    open_life(loop);
    start_life();
    run_until(loop, &mine.struck);
    for (int i = 0; i < 10; i++)
        turn(loop);
    for (int i = 0; i < 3; i++)
        kill_end(mine.ends[i]);
    run(loop);
    for (int i = 0; i < 3; i++)
        assert_null(mine.ends[i]);
    if (mine.stranger >= 0)
        close(mine.stranger);
}

static void any_stream_may_be_closed_in_any_callback(void **state)
{
    for (int when = 0; when < CALLBACKS; when++)
        for (unsigned whom = 1; whom < VICTIMS; whom++)
            live(*state, (enum callback)when, whom);
}

/* Descriptors. */

static struct pair others[2];

static void expect_nothing(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)stream;
    (void)bytes;
    say("unexpected:%zd", size);
}

/* Closes both, and opens another pair, which gets their numbers. */
static void on_read_replace(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop *loop = stream->handle.loop;
    int fds[2], numbers[2];
    (void)size;
    (void)bytes;
    for (int i = 0; i < 2; i++) {
        numbers[i] = loop_stream_fd(&others[i].reader.stream);
        loop_close(&others[i].reader.handle, on_end_close);
    }
    make_fds(fds, 0);
    pair.loop = loop;
    open_end(loop, &pair.reader, "n", fds[0]);
    open_end(loop, &pair.writer, "m", fds[1]);
    for (int i = 0; i < 2; i++)
        assert_true(fds[i] == numbers[0] || fds[i] == numbers[1]);
    assert_int_equal(0, loop_read_start(&pair.reader.stream, expect_nothing));
    if (kind != PIPE)
        assert_int_equal(0, loop_read_start(&pair.writer.stream, expect_nothing));
    say("replaced");
}

static void the_next_owner_of_a_number_gets_no_stale_event(void **state)
{
    struct loop *loop = *state;
    memset(&pair, 0, sizeof(pair));
    pair.raw = -1;
    for (int i = 0; i < 2; i++) {
        open_reader(&others[i], loop);
        raw_write(&others[i], "x");
        assert_int_equal(0, loop_read_start(&others[i].reader.stream, on_read_replace));
    }
    loop_run(loop, LOOP_RUN_ONCE);
    turn(loop);
    turn(loop);
    assert_said("replaced r-closed r-closed");
    loop_read_stop(&pair.reader.stream);
    loop_read_stop(&pair.writer.stream);
    close_pair(&pair);
    close_raw(&others[0]);
    close_raw(&others[1]);
}

static void a_dup_of_a_closed_descriptor_is_not_watched(void **state)
{
    begin_reader(state);
    start_reading(&pair.reader);
    turn(pair.loop);
    int copy = dup(loop_stream_fd(&pair.reader.stream));
    loop_close(&pair.reader.handle, on_end_close);
    raw_write(&pair, "x");
    run(pair.loop);
    assert_said("r-closed");
    pass(pair.loop, LOOP_SEC);
    assert_said("timer");
    close(copy);
    close_raw(&pair);
}

static void a_descriptor_closed_behind_us_is_told(void **state)
{
    struct dial dial = {0};
    begin_pair(state);
    fill(&pair.writer);
    start_reading(&pair.writer);
    turn(pair.loop);
    put(&pair.writer, &dial.a, "a", 10); /* epoll has still to be told, and will refuse it */
    close(loop_stream_fd(&pair.writer.stream));
    run(pair.loop);
    assert_said("w-EBADF write-a:EBADF");
    assert_int_equal(-1, loop_stream_fd(&pair.writer.stream));
    close_pair(&pair);
}

static void close_behind(void)
{
    struct loop loop;
    kind = UNIX;
    assert_int_equal(0, loop_init(&loop, NULL));
    open_pair(&pair, &loop);
    close(loop_stream_fd(&pair.reader.stream));
    loop_close(&pair.reader.handle, NULL);
}

static void closing_what_was_closed_behind_us_panics(void **state)
{
    (void)state;
    assert_panics(close_behind, "was closed when somebody else had closed its descriptor");
}

/* Giving away. */

static int detached_fd;

static void detach_and_free(struct loop_stream *stream)
{
    struct end *end = end_of(stream);
    detached_fd = loop_stream_detach(stream);
    assert_true(detached_fd >= 0);
    memset(end, 0xee, sizeof(*end));
    free(end);
}

/* Reads all of a large write, and then lets the loop end. */
static void on_read_until_full(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    end_of(stream)->size += (size_t)size;
    if (end_of(stream)->size == 1 << 20)
        loop_read_stop(stream);
}

static void on_read_detach(struct loop_stream *stream, ssize_t size, void *bytes)
{
    on_read(stream, size, bytes);
    if (!loop_is_active(&stream->handle) && size > 0)
        return;
    detach_and_free(stream);
}

static void on_idle_detach(struct loop_stream *stream)
{
    detach_and_free(stream);
}

/* As much as a read takes, or less, or the end. */
static void a_stream_detached_in_its_read_callback_may_be_freed(void **state)
{
    static char zeros[LOOP_LENT_SIZE + 100];
    static const size_t sizes[] = {0, 10, LOOP_LENT_SIZE + 100};
    struct loop *loop = *state;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        int fds[2];
        make_fds(fds, 0);
        if (kind == PIPE)
            fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        assert_int_equal(sizes[i], write(fds[1], zeros, sizes[i]));
        if (sizes[i] == 0)
            close(fds[1]);
        struct end *end = new_end(loop, fds[0]);
        assert_int_equal(0, loop_read_start(&end->stream, on_read_detach));
        run(loop);
        if (sizes[i] == 0)
            said();
        if (sizes[i] > LOOP_LENT_SIZE && kind != TCP)
            assert_int_equal(100, read(detached_fd, zeros, sizeof(zeros)));
        close(detached_fd);
        if (sizes[i] > 0)
            close(fds[1]);
    }
}

static void a_stream_detached_in_its_idle_callback_may_be_freed(void **state)
{
    struct loop *loop = *state;
    int fds[2];
    make_fds(fds, 0);
    struct end *end = new_end(loop, fds[0]);
    assert_int_equal(0, loop_stream_set_idle(&end->stream, LOOP_SEC, on_idle_detach));
    start_reading(end);
    run(loop);
    assert_int_equal(fds[0], detached_fd);
    pass(loop, 5 * LOOP_SEC);
    close(fds[0]);
    close(fds[1]);
}

static void on_into_detach(struct loop_read *read, int status)
{
    on_into(read, status);
    detach_and_free(read->common.stream);
}

static void on_written_detach(struct loop_write *write, int status)
{
    on_written(write, status);
    detach_and_free(write->common.stream);
}

static void on_connect_detach(struct loop_connect *connect, int status)
{
    on_connect(connect, status);
    detach_and_free(connect->common.stream);
}

static void on_shut_detach(struct loop_shutdown *shutdown, int status)
{
    on_shut(shutdown, status);
    detach_and_free(shutdown->common.stream);
}

static void expect_detached(struct loop *loop, const char *words)
{
    run(loop);
    assert_string_equal(words, said());
    pass(loop, LOOP_SEC);
    said();
    close(detached_fd);
}

static void a_stream_detached_by_its_last_request_may_be_freed(void **state)
{
    struct loop *loop = *state;
    struct loop_buf buf = {text, 10}, large = {calloc(1, 1 << 20), 1 << 20};
    struct dial dial = {0};
    for (int i = 0; i < 4; i++) {
        memset(&dial, 0, sizeof(dial));
        begin_pair(state);
        struct end *end = new_end(loop, loop_stream_detach(&pair.writer.stream));
        struct loop_stream *self = &end->stream, *peer = &pair.reader.stream;
        dial.a.request.data = (void *)(uintptr_t) "a";
        if (i == 0) {
            loop_try_write(peer, &buf, 1);
            loop_read_into(self, &dial.read, dial.bytes, 1, 16, on_into_detach);
            expect_detached(loop, "read:OK:10");
        } else if (i == 1) {
            loop_write(self, &dial.a, &buf, 1, on_written_detach);
            expect_detached(loop, "write-a:OK");
        } else if (i == 2) { /* in the poll phase, from the queue */
            loop_write(self, &dial.a, &large, 1, on_written_detach);
            assert_int_equal(0, loop_read_start(peer, on_read_until_full));
            expect_detached(loop, "write-a:OK");
        } else {
            loop_shutdown(self, &dial.shutdown, on_shut_detach);
            expect_detached(loop, "shutdown:OK");
        }
        pair.writer.name = NULL;
        close_pair(&pair);
    }
    free((void *)(uintptr_t)large.bytes);
}

static void a_stream_detached_in_its_connect_callback_may_be_freed(void **state)
{
    struct server server;
    struct loop_connect connect = {0};
    begin_dial(state, &server, 1);
    struct end *end = malloc(sizeof(*end));
    init_end(*state, end, "x");
    assert_int_equal(0, loop_tcp_connect(&end->tcp, &connect, &server.address, on_connect_detach));
    start_reading(end);
    expect_detached(*state, "connect:OK");
    close(server.fd);
}

static void a_detached_descriptor_goes_on_elsewhere(void **state)
{
    struct dial dial = {0};
    begin_reader(state);
    start_reading(&pair.reader);
    raw_write(&pair, "one");
    run_until_size(pair.loop, &pair.reader.size, 3);
    loop_read_stop(&pair.reader.stream);
    assert_int_equal(0, loop_read_into(&pair.reader.stream, &dial.read, dial.bytes, 1, 8, on_into));
    assert_int_equal(-EBUSY, loop_stream_detach(&pair.reader.stream));
    assert_int_equal(0, loop_request_cancel(&dial.read.request));
    assert_int_equal(-EBUSY, loop_stream_detach(&pair.reader.stream)); /* it is not told yet */
    run(pair.loop);
    assert_said("read:ECANCELED:0");
    start_reading(&pair.reader);
    int fd = loop_stream_detach(&pair.reader.stream);
    assert_true(fd >= 0);
    assert_false(loop_alive(pair.loop));
    assert_int_equal(-ENOTCONN, loop_stream_detach(&pair.reader.stream));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    raw_write(&pair, "two");
    adopt(&pair.reader, fd);
    start_reading(&pair.reader);
    run_until_size(pair.loop, &pair.reader.size, 6);
    assert_string_equal("onetwo", got(&pair.reader));
    close_pair(&pair);
}

static void a_reset_is_unkind_to_the_peer(void **state)
{
    struct loop_write write;
    char byte;
    begin_pair(state);
    fill(&pair.writer);
    put(&pair.writer, &write, "a", 10);
    int peer = loop_stream_detach(&pair.reader.stream);
    loop_stream_reset(&pair.writer.stream, on_end_close);
    run(pair.loop);
    assert_said("write-a:ECANCELED w-closed");
    fcntl(peer, F_SETFL, 0);
    ssize_t last;
    while ((last = read(peer, &byte, 1)) > 0)
        ;
    assert_int_equal(kind == TCP ? -1 : 0, last);
    assert_true(last == 0 || errno == ECONNRESET);
    close(peer);
    pair.writer.name = NULL;
    close_pair(&pair);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        over_sockets(any_stream_may_be_closed_in_any_callback),
        over_all(the_next_owner_of_a_number_gets_no_stale_event),
        over_all(a_dup_of_a_closed_descriptor_is_not_watched),
        over_sockets(a_descriptor_closed_behind_us_is_told),
        virtual_test(closing_what_was_closed_behind_us_panics),
        over_all(a_stream_detached_in_its_read_callback_may_be_freed),
        over_all(a_stream_detached_in_its_idle_callback_may_be_freed),
        over_sockets(a_stream_detached_by_its_last_request_may_be_freed),
        over(tcp, a_stream_detached_in_its_connect_callback_may_be_freed),
        over_all(a_detached_descriptor_goes_on_elsewhere),
        over_sockets(a_reset_is_unkind_to_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
