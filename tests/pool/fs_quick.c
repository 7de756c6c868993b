/* Files that the kernel has in memory: done on the loop's own thread, as if on the pool.
 *
 * No thread is started for them. The callback comes in the pending phase, or behind the I/O of
 * poll, and never from inside the call; from then on the outcome is decided, and cannot be
 * cancelled or late. So many operations and bytes are done in a turn, and the rest on the pool;
 * many look-ups at a time go to the pool; what is not in memory does, and all that might wait:
 * FIFOs, leases, file systems without a disk. The option has all done on the pool.
 *
 * What is on the pool may have a deadline, and is told of it at once, though a thread be stuck.
 *
 * SPDX-License-Identifier: MIT */
#include "fs_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

static bool quick; /* whether this file system is one of those that are done at once */

static void begin_quick(void **state)
{
    begin(state);
    make_file(in_folder("file"), "0123456789", 10);
    int fd = open(in_folder("file"), O_RDONLY);
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("file"), on_fs)));
    assert_int_equal(10, did(loop_fs_read(loop, fresh(), fd, 10, 0, on_fs)));
    quick = loop_pool_threads(pool) == 0;
    close(fd);
    if (!quick) {
        end();
        skip();
    }
}

static void assert_no_thread(void)
{
    assert_int_equal(0, loop_pool_threads(pool));
}

static void no_thread_is_needed(void **state)
{
    begin_quick(state);
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("file"), on_fs)));
    assert_int_equal(0, did(loop_fs_lstat(loop, fresh(), folder, on_fs)));
    assert_int_equal(10, did(loop_fs_read_file(loop, fresh(), in_folder("file"), on_fs)));
    assert_string_equal("0123456789", op.text);
    int fd = (int)did(loop_fs_open(loop, fresh(), in_folder("file"), O_RDONLY, 0, on_fs));
    assert_true(fd >= 0);
    assert_int_equal(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(4, did(loop_fs_read(loop, fresh(), fd, 4, 6, on_fs)));
    assert_int_equal(2, did(loop_fs_read(loop, fresh(), fd, 4, 8, on_fs)));
    assert_int_equal(0, did(loop_fs_read(loop, fresh(), fd, 4, 10, on_fs)));
    assert_int_equal(10, did(loop_fs_read(loop, fresh(), fd, 99, -1, on_fs)));
    assert_int_equal(0, did(loop_fs_read(loop, fresh(), fd, 99, -1, on_fs)));
    close(fd);
    assert_no_thread();
    loop->options.fs_pool_only = true;
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("file"), on_fs)));
    assert_int_equal(LOOP_PHASE_POLL, op.phase);
    assert_int_equal(1, loop_pool_threads(pool));
    end();
}

static void the_callback_comes_in_a_later_phase_and_the_outcome_is_decided(void **state)
{
    begin_quick(state);
    assert_int_equal(0, loop_fs_stat(loop, fresh(), in_folder("file"), on_fs));
    assert_int_equal(0, op.calls);
    assert_true(loop_alive(loop));
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, 0)); /* it is met */
    run_to_end();
    assert_int_equal(1, op.calls);
    assert_int_equal(0, op.result);
    assert_int_equal(LOOP_PHASE_PENDING, op.phase);
    end();
}

static int rounds;

static void on_stat_again(struct loop_fs *fs)
{
    if (++rounds < 100)
        assert_int_equal(0, loop_fs_stat(loop, fs, in_folder("file"), on_stat_again));
}

static void on_immediate(struct loop_task *task)
{
    (void)task;
    say("%s", rounds < 100 ? "in between" : "behind");
}

/* Eight rounds behind poll, as with all that is pending. */
static void whoever_always_goes_on_does_not_keep_others_from_their_turn(void **state)
{
    struct loop_task immediate = {.data = NULL};
    begin_quick(state);
    rounds = 0;
    assert_int_equal(0, loop_fs_stat(loop, fresh(), in_folder("file"), on_stat_again));
    loop_immediate(loop, &immediate, on_immediate);
    run_to_end();
    assert_int_equal(100, rounds);
    assert_said("in between");
    assert_no_thread();
    end();
}

static void so_many_operations_are_done_in_a_turn(void **state)
{
    enum { QUICK = 1024, ALL = QUICK + 36 };
    static struct op ops[ALL];
    begin_quick(state);
    run_to_end();
    memset(ops, 0, sizeof(ops));
    int fd = open(in_folder("file"), O_RDONLY);
    loop->fs_turn = loop->turn + 1; /* none of this turn's are used up */
    for (int i = 0; i < QUICK; i++)
        assert_int_equal(0, loop_fs_read(loop, &ops[i].fs, fd, 10, 0, on_fs));
    assert_no_thread();
    for (int i = QUICK; i < ALL; i++)
        assert_int_equal(0, loop_fs_read(loop, &ops[i].fs, fd, 10, 0, on_fs));
    assert_true(loop_pool_threads(pool) > 0);
    run_to_end();
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(1, ops[i].calls);
        assert_int_equal(10, ops[i].result);
    }
    close(fd);
    end();
}

static void so_many_bytes_are_read_in_a_turn(void **state)
{
    enum { PIECE = 256 * 1024, QUICK = 16 };
    static struct op ops[QUICK + 1];
    static char bytes[PIECE];
    begin_quick(state);
    memset(ops, 0, sizeof(ops));
    make_file(in_folder("large"), bytes, PIECE);
    int fd = open(in_folder("large"), O_RDONLY);
    loop->fs_turn = loop->turn + 1;
    for (int i = 0; i < QUICK; i++)
        assert_int_equal(0, loop_fs_read(loop, &ops[i].fs, fd, PIECE, 0, on_fs));
    assert_no_thread();
    assert_int_equal(0, loop_fs_read(loop, &ops[QUICK].fs, fd, 1, 0, on_fs));
    assert_int_equal(1, loop_pool_threads(pool));
    run_to_end();
    for (int i = 0; i < QUICK; i++)
        assert_int_equal(PIECE, ops[i].result);
    assert_int_equal(1, ops[QUICK].result);
    close(fd);
    end();
}

static void a_large_piece_is_read_on_the_pool(void **state)
{
    static char bytes[256 * 1024 + 1];
    static struct op large;
    begin_quick(state);
    memset(&large, 0, sizeof(large));
    make_file(in_folder("large"), bytes, sizeof(bytes));
    int fd = open(in_folder("large"), O_RDONLY);
    assert_int_equal(0, loop_fs_read(loop, &large.fs, fd, sizeof(bytes), 0, on_fs));
    assert_int_equal(1, loop_pool_threads(pool));
    run_to_end();
    assert_int_equal(sizeof(bytes), large.result);
    close(fd);
    end();
}

static void many_look_ups_at_a_time_are_shared_by_threads(void **state)
{
    static struct op ops[20];
    begin_quick(state);
    memset(ops, 0, sizeof(ops));
    for (int i = 0; i < 8; i++)
        assert_int_equal(0, loop_fs_stat(loop, &ops[i].fs, in_folder("file"), on_fs));
    assert_no_thread();
    for (int i = 8; i < 20; i++)
        assert_int_equal(0, loop_fs_stat(loop, &ops[i].fs, in_folder("file"), on_fs));
    assert_true(loop_pool_threads(pool) > 0);
    run_to_end();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(1, ops[i].calls);
        assert_int_equal(10, ops[i].stat.st_size);
    }
    assert_int_equal(0, loop->fs_in_flight);
    end();
}

static void what_is_only_partly_in_memory_is_read_whole(void **state)
{
    enum { SIZE = 200 * 1024 };
    static char bytes[SIZE], back[SIZE];
    begin_quick(state);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + (i >> 10));
    make_file(in_folder("large"), bytes, SIZE);
    int fd = open(in_folder("large"), O_RDWR);
    const struct iovec room = {back, SIZE};
    for (off_t hole = 0; hole < SIZE; hole += 65536) {
        assert_int_equal(0, fsync(fd));
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        posix_fadvise(fd, hole, 8192, POSIX_FADV_DONTNEED);
        memset(back, 0, SIZE);
        assert_int_equal(SIZE, did(loop_fs_readv(loop, fresh(), fd, &room, 1, 0, on_fs)));
        assert_memory_equal(bytes, back, SIZE);
        posix_fadvise(fd, hole, 8192, POSIX_FADV_DONTNEED);
        assert_int_equal(SIZE, did(loop_fs_read_file(loop, fresh(), in_folder("large"), on_fs)));
    }
    close(fd);
    end();
}

/* A reader that comes and goes would be seen by a writer that waits. */
static void a_fifo_is_not_opened_on_the_loops_thread(void **state)
{
    begin_quick(state);
    assert_int_equal(0, mkfifo(in_folder("fifo"), 0600));
    assert_int_equal(0, loop_fs_open(loop, fresh(), in_folder("fifo"), O_RDONLY, 0, on_fs));
    assert_int_equal(1, loop_pool_threads(pool));
    int writer = open(in_folder("fifo"), O_WRONLY);
    run_to_end();
    assert_true(op.result >= 0);
    close((int)op.result);
    close(writer);
    end();
}

/* Whoever opens the file has to wait until the lease is given up: a thread does. */
static void a_file_with_a_lease_is_opened_on_the_pool(void **state)
{
    begin_quick(state);
    int fd = open(in_folder("file"), O_RDWR);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
        close(fd);
        end();
        skip();
    }
    signal(SIGIO, SIG_IGN);
    assert_int_equal(0, loop_fs_open(loop, fresh(), in_folder("file"), O_RDONLY, 0, on_fs));
    assert_int_equal(1, loop_pool_threads(pool));
    fcntl(fd, F_SETLEASE, F_UNLCK);
    run_to_end();
    assert_true(op.result >= 0);
    close((int)op.result);
    close(fd);
    signal(SIGIO, SIG_DFL);
    end();
}

static void a_missing_name_is_known_at_once_or_looked_for(void **state)
{
    begin_quick(state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(-ENOENT, did(loop_fs_stat(loop, fresh(), in_folder("none"), on_fs)));
        assert_int_equal(-ENOENT, did(loop_fs_read_file(loop, fresh(), in_folder("none"), on_fs)));
    }
    make_file(in_folder("none"), "x", 1);
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("none"), on_fs)));
    end();
}

static void a_virtual_clock_does_not_move(void **state)
{
    begin_quick(state);
    assert_int_equal(10, did(loop_fs_read_file(loop, fresh(), in_folder("file"), on_fs)));
    assert_int_equal(0, loop_now(loop));
    end();
}

/* What a socket has is there at once; what it has not is waited for elsewhere. */
static void pipes_and_sockets_are_read_too(void **state)
{
    int ends[2];
    begin_quick(state);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    assert_int_equal(5, write(ends[1], "hello", 5));
    assert_int_equal(5, did(loop_fs_read(loop, fresh(), ends[0], 100, -1, on_fs)));
    assert_string_equal("hello", op.text);
    assert_int_equal(0, loop_fs_read(loop, fresh(), ends[0], 100, -1, on_fs));
    assert_int_equal(4, write(ends[1], "more", 4));
    run_to_end();
    assert_int_equal(4, op.result);
    close(ends[1]);
    assert_int_equal(0, did(loop_fs_read(loop, fresh(), ends[0], 100, -1, on_fs)));
    close(ends[0]);
    end();
}

/* Deadlines. */

static void on_late(struct loop_fs *fs)
{
    on_fs(fs);
    say("late");
}

static void an_operation_that_takes_too_long_is_given_up(void **state)
{
    int ends[2];
    begin(state);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, loop_fs_read(loop, fresh(), ends[0], 100, -1, on_late));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, LOOP_NEVER));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, 5 * LOOP_MS));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, 20 * LOOP_MS));
    uint64_t start_ns = loop_now(loop);
    run_to_end();
    assert_int_equal(-ETIMEDOUT, op.result);
    assert_int_equal(1, op.calls);
    assert_true(loop_now(loop) - start_ns >= 20 * LOOP_MS);
    assert_int_equal(4, write(ends[1], "late", 4));
    assert_int_equal(0, loop_fs_read(loop, fresh(), ends[0], 1, -1, on_late));
    loop_request_cancel(&op.fs.request);
    close(ends[1]);
    run_to_end();
    loop_pool_destroy(pool);
    close(ends[0]);
    assert_int_equal(0, loop_pool_create(&pool, NULL));
    loop->options.pool = pool;
    said();
    end();
}

/* A thread is at it once somebody can open the FIFO for writing, which there must be a reader for;
 * and then it waits for bytes that do not come. */
static void a_whole_file_has_a_deadline_too(void **state)
{
    int writer;
    begin(state);
    assert_int_equal(0, mkfifo(in_folder("fifo"), 0600));
    assert_int_equal(0, loop_fs_read_file(loop, fresh(), in_folder("fifo"), on_late));
    while ((writer = open(in_folder("fifo"), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        sched_yield();
    assert_int_equal(0, loop_request_deadline(&op.fs.request, LOOP_MS));
    while (op.calls == 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(-ETIMEDOUT, op.result);
    assert_said("late");
    close(writer);
    end();
}

static void a_deadline_that_is_met_is_forgotten(void **state)
{
    begin_with(state, 1, true);
    make_file(in_folder("file"), "0123456789", 10);
    assert_int_equal(0, loop_fs_stat(loop, fresh(), in_folder("file"), on_fs));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, 3600 * LOOP_SEC));
    run_to_end();
    assert_int_equal(0, op.result);
    assert_null(op.fs.deadline.request);
    memset(&op.fs, 0x5a, sizeof(op.fs)); /* it is the caller's again */
    assert_int_equal(10, did(loop_fs_read_file(loop, fresh(), in_folder("file"), on_fs)));
    end();
}

static int in_the_child(void *arg)
{
    (void)arg;
    if (loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 1;
    return op.calls == 1 && op.result == -ECANCELED && loop->fs_in_flight == 0 ? 0 : 2;
}

static void in_a_forked_child_nobody_is_at_it_any_more(void **state)
{
    int ends[2];
    begin(state);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, loop_fs_read(loop, fresh(), ends[0], 100, -1, on_fs));
    assert_int_equal(0, loop_request_deadline(&op.fs.request, 3600 * LOOP_SEC));
    in_child(in_the_child, NULL);
    assert_int_equal(1, write(ends[1], "x", 1));
    run_to_end();
    assert_int_equal(1, op.result);
    close(ends[0]);
    close(ends[1]);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(no_thread_is_needed),
        real_test(the_callback_comes_in_a_later_phase_and_the_outcome_is_decided),
        real_test(whoever_always_goes_on_does_not_keep_others_from_their_turn),
        real_test(so_many_operations_are_done_in_a_turn),
        real_test(so_many_bytes_are_read_in_a_turn),
        real_test(a_large_piece_is_read_on_the_pool),
        real_test(many_look_ups_at_a_time_are_shared_by_threads),
        real_test(what_is_only_partly_in_memory_is_read_whole),
        real_test(a_fifo_is_not_opened_on_the_loops_thread),
        real_test(a_file_with_a_lease_is_opened_on_the_pool),
        real_test(a_missing_name_is_known_at_once_or_looked_for),
        virtual_test(a_virtual_clock_does_not_move),
        real_test(pipes_and_sockets_are_read_too),
        real_test(an_operation_that_takes_too_long_is_given_up),
        real_test(a_whole_file_has_a_deadline_too),
        real_test(a_deadline_that_is_met_is_forgotten),
        real_test(in_a_forked_child_nobody_is_at_it_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
