/* The poll phase, seen through poll handles.
 *
 * Level-triggered: the callback comes each turn while what was asked for is true. Hang-ups and
 * errors count as all that was asked for. A second handle on a descriptor is -EEXIST, a regular
 * file -EPERM, a bad descriptor -EBADF, and then nothing has changed. An event of a handle stopped
 * or closed earlier in the batch is dropped, and whoever has the descriptor's number next does not
 * see it. A descriptor closed behind a handle is told that handle as -EBADF.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct watch {
    struct loop_poll poll;
    int fd;
    int peer;
    const char *name;
    struct watch *other;
};

static struct watch *watch_of(struct loop_poll *poll)
{
    return loop_container_of(poll, struct watch, poll);
}

static void open_watch(struct loop *loop, struct watch *watch, const char *name)
{
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    *watch = (struct watch){.fd = ends[0], .peer = ends[1], .name = name};
    loop_poll_init(loop, &watch->poll, watch->fd);
}

static void close_watch(struct watch *watch)
{
    loop_poll_stop(&watch->poll);
    close(watch->fd);
    if (watch->peer >= 0)
        close(watch->peer);
}

static void hang_up(struct watch *watch)
{
    close(watch->peer);
    watch->peer = -1;
}

static void send_byte(struct watch *watch)
{
    assert_int_equal(1, write(watch->peer, "x", 1));
}

static void on_event(struct loop_poll *poll, int status, uint32_t events)
{
    assert_int_equal(LOOP_PHASE_POLL, loop_phase(poll->handle.loop));
    if (status < 0)
        say("%s:%s", watch_of(poll)->name, loop_error_name(status));
    else
        say("%s:%s%s%s", watch_of(poll)->name, events & LOOP_READABLE ? "r" : "",
            events & LOOP_WRITABLE ? "w" : "", events & LOOP_DISCONNECT ? "d" : "");
}

static void turn(struct loop *loop)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void it_is_level_triggered(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    char byte;
    open_watch(loop, &a, "a");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    turn(loop);
    assert_said("");
    send_byte(&a);
    turn(loop);
    turn(loop);
    assert_said("a:r a:r");
    assert_int_equal(1, read(a.fd, &byte, 1));
    turn(loop);
    assert_said("");
    close_watch(&a);
}

static void only_what_was_asked_for_is_told_and_the_asking_can_change(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    open_watch(loop, &a, "a");
    send_byte(&a);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_WRITABLE, on_event));
    turn(loop);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE | LOOP_WRITABLE, on_event));
    turn(loop);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    turn(loop);
    loop_poll_stop(&a.poll);
    turn(loop);
    assert_said("a:w a:rw a:r");
    close_watch(&a);
}

static void a_hang_up_counts_as_all_that_was_asked_for(void **state)
{
    struct loop *loop = *state;
    struct watch a, b;
    open_watch(loop, &a, "a");
    open_watch(loop, &b, "b");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE | LOOP_DISCONNECT, on_event));
    assert_int_equal(0, loop_poll_start(&b.poll, LOOP_WRITABLE, on_event));
    loop_poll_stop(&b.poll);
    hang_up(&a);
    turn(loop);
    assert_said("a:rd");
    hang_up(&b);
    assert_int_equal(0, loop_poll_start(&b.poll, LOOP_WRITABLE, on_event));
    loop_poll_stop(&a.poll);
    turn(loop);
    assert_said("b:w");
    close_watch(&a);
    close_watch(&b);
}

static void disconnect_tells_of_a_half_close(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    open_watch(loop, &a, "a");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_DISCONNECT, on_event));
    turn(loop);
    assert_said("");
    shutdown(a.peer, SHUT_WR);
    turn(loop);
    assert_said("a:d");
    close_watch(&a);
}

static void bad_descriptors_are_refused_and_nothing_changes(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    struct loop_poll second, file, bad, negative;
    int fd = open("/proc/self/exe", O_RDONLY);
    open_watch(loop, &a, "a");
    assert_int_equal(-EINVAL, loop_poll_start(&a.poll, 0, on_event));
    assert_int_equal(-EINVAL, loop_poll_start(&a.poll, 64, on_event));
    assert_int_equal(-EINVAL, loop_poll_start(&a.poll, LOOP_READABLE, NULL));
    assert_int_equal(-EINVAL, loop_poll_start(NULL, LOOP_READABLE, on_event));
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    loop_poll_init(loop, &second, a.fd);
    assert_int_equal(-EEXIST, loop_poll_start(&second, LOOP_READABLE, on_event));
    loop_poll_init(loop, &file, fd);
    assert_int_equal(-EPERM, loop_poll_start(&file, LOOP_READABLE, on_event));
    close(fd);
    loop_poll_init(loop, &bad, fd);
    assert_int_equal(-EBADF, loop_poll_start(&bad, LOOP_READABLE, on_event));
    loop_poll_init(loop, &negative, -1);
    assert_int_equal(-EBADF, loop_poll_start(&negative, LOOP_READABLE, on_event));
    assert_false(loop_is_active(&second.handle) || loop_is_active(&file.handle) ||
                 loop_is_active(&bad.handle) || loop_is_active(&negative.handle));
    send_byte(&a);
    turn(loop);
    assert_said("a:r");
    loop_close(&a.poll.handle, NULL);
    assert_int_equal(-ECANCELED, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    turn(loop);
    close(a.fd);
    close(a.peer);
}

static void stop_other(struct loop_poll *poll, int status, uint32_t events)
{
    on_event(poll, status, events);
    loop_poll_stop(&watch_of(poll)->other->poll);
}

static void an_event_of_a_handle_stopped_earlier_in_the_batch_is_dropped(void **state)
{
    struct loop *loop = *state;
    struct watch a, b;
    open_watch(loop, &a, "x");
    open_watch(loop, &b, "x");
    a.other = &b;
    b.other = &a;
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, stop_other));
    assert_int_equal(0, loop_poll_start(&b.poll, LOOP_READABLE, stop_other));
    send_byte(&a);
    send_byte(&b);
    turn(loop);
    assert_said("x:r");
    close_watch(&a);
    close_watch(&b);
}

/* Closes the other's descriptor and opens a new one under the same number, which is not
 * readable. */
static void replace_other(struct loop_poll *poll, int status, uint32_t events)
{
    struct watch *other = watch_of(poll)->other;
    int ends[2];
    on_event(poll, status, events);
    loop_poll_stop(poll);
    loop_poll_stop(&other->poll);
    close(other->fd);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    assert_true(ends[0] == other->fd || ends[1] == other->fd);
    close(other->peer);
    other->peer = ends[0] == other->fd ? ends[1] : ends[0];
    loop_poll_init(poll->handle.loop, &other->poll, other->fd);
    assert_int_equal(0, loop_poll_start(&other->poll, LOOP_READABLE, on_event));
}

static void a_reused_descriptor_number_does_not_see_a_stale_event(void **state)
{
    struct loop *loop = *state;
    struct watch a, b;
    open_watch(loop, &a, "first");
    open_watch(loop, &b, "first");
    a.other = &b;
    b.other = &a;
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, replace_other));
    assert_int_equal(0, loop_poll_start(&b.poll, LOOP_READABLE, replace_other));
    send_byte(&a);
    send_byte(&b);
    turn(loop);
    turn(loop);
    assert_said("first:r");
    close_watch(&a);
    close_watch(&b);
}

static void
a_descriptor_closed_behind_the_handle_is_told_when_its_number_is_used_again(void **state)
{
    struct loop *loop = *state;
    struct watch a, b;
    open_watch(loop, &a, "old");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    close(a.fd);
    int fd = dup(a.peer);
    assert_int_equal(a.fd, fd);
    b = (struct watch){.fd = fd, .peer = -1, .name = "new"};
    loop_poll_init(loop, &b.poll, fd);
    assert_int_equal(0, loop_poll_start(&b.poll, LOOP_READABLE, on_event));
    turn(loop);
    assert_false(loop_is_active(&a.poll.handle));
    turn(loop);
    assert_said("old:EBADF new:r new:r");
    loop_poll_stop(&a.poll);
    turn(loop);
    assert_said("new:r");
    close_watch(&b);
    close(a.peer);
}

static void a_descriptor_closed_behind_the_handle_is_told_when_the_asking_changes(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    open_watch(loop, &a, "a");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    close(a.fd);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_WRITABLE, on_event));
    turn(loop);
    assert_said("a:EBADF");
    assert_false(loop_is_active(&a.poll.handle));
    assert_int_equal(-EBADF, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    close(a.peer);
}

static void on_immediate(struct loop_task *task)
{
    (void)task;
    say("immediate");
}

static void on_lost(struct loop_poll *poll, int status, uint32_t events)
{
    static struct loop_task task;
    on_event(poll, status, events);
    loop_immediate(poll->handle.loop, &task, on_immediate);
}

static void on_far_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* On the virtual clock a sleep would be a jump to the timer. */
static void what_a_lost_handle_queues_does_not_wait_for_a_sleep(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct watch a;
    open_watch(loop, &a, "a");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_lost));
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_SEC, 0, on_far_timer);
    close(a.fd);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_WRITABLE, on_lost));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a:EBADF immediate timer");
    close(a.peer);
}

/* epoll watches the open file, which the dup keeps open. */
static void nothing_comes_from_a_dup_after_stop(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    open_watch(loop, &a, "a");
    int copy = dup(a.fd);
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, on_event));
    loop_poll_stop(&a.poll);
    close(a.fd);
    send_byte(&a);
    turn(loop);
    assert_said("");
    a.fd = copy;
    close_watch(&a);
}

static void close_everything(struct loop_poll *poll, int status, uint32_t events)
{
    on_event(poll, status, events);
    for (struct watch *watch = watch_of(poll); watch; watch = watch->other)
        if (!loop_is_closing(&watch->poll.handle))
            loop_close(&watch->poll.handle, NULL);
}

static void a_callback_may_close_every_handle(void **state)
{
    struct loop *loop = *state;
    struct watch watches[20];
    for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
        open_watch(loop, &watches[i], "w");
        assert_int_equal(0, loop_poll_start(&watches[i].poll, LOOP_READABLE, close_everything));
        send_byte(&watches[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) /* a ring, so that all are reached */
        watches[i].other = i + 1 < ARRAY_LENGTH(watches) ? &watches[i + 1] : NULL;
    while (loop_alive(loop))
        turn(loop);
    said();
    for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
        close(watches[i].fd);
        close(watches[i].peer);
    }
}

static void more_events_than_a_batch_holds_all_arrive(void **state)
{
    struct loop *loop = *state;
    struct loop small;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct watch watches[20];
    int count = 0;
    (void)loop;
    options.events_max = 3;
    assert_int_equal(0, loop_init(&small, &options));
    for (size_t i = 0; i < ARRAY_LENGTH(watches); i++) {
        open_watch(&small, &watches[i], "w");
        assert_int_equal(0, loop_poll_start(&watches[i].poll, LOOP_READABLE, stop_other));
        watches[i].other = &watches[i]; /* stops itself */
        send_byte(&watches[i]);
    }
    while (loop_alive(&small) && count++ < 100)
        turn(&small);
    assert_true(count >= 7 && count < 15);
    said();
    for (size_t i = 0; i < ARRAY_LENGTH(watches); i++)
        close_watch(&watches[i]);
    assert_int_equal(0, loop_fini(&small));
}

static int told;

static void count_and_stop(struct loop_poll *poll, int status, uint32_t events)
{
    (void)status;
    (void)events;
    told++;
    loop_poll_stop(poll);
}

/* Copies of one descriptor that is always readable, so many that one has to wait for its turn. */
static void by_default_a_batch_holds_1024_events(void **state)
{
    enum { BATCH = 1024 };
    static struct loop_poll polls[BATCH + 1];
    struct rlimit before, many;
    struct loop *loop = *state;
    assert_int_equal(BATCH, loop->options.events_max);
    getrlimit(RLIMIT_NOFILE, &before);
    many = before;
    many.rlim_cur = before.rlim_max;
    if (before.rlim_max < 2 * BATCH || setrlimit(RLIMIT_NOFILE, &many) < 0)
        skip();
    int fd = eventfd(1, EFD_CLOEXEC);
    assert_true(fd >= 0);
    for (int count = BATCH; count <= BATCH + 1; count++) {
        told = 0;
        for (int i = 0; i < count; i++) {
            loop_poll_init(loop, &polls[i], fcntl(fd, F_DUPFD_CLOEXEC, 0));
            assert_int_equal(0, loop_poll_start(&polls[i], LOOP_READABLE, count_and_stop));
        }
        turn(loop);
        assert_int_equal(BATCH, told);
        turn(loop);
        assert_int_equal(count, told);
        for (int i = 0; i < count; i++)
            close(polls[i].watcher.fd);
    }
    close(fd);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void wake_up(struct loop_timer *timer)
{
    send_byte(timer->handle.data);
}

static void stop_self(struct loop_poll *poll, int status, uint32_t events)
{
    on_event(poll, status, events);
    loop_poll_stop(poll);
}

static void a_sleeping_loop_is_woken_by_a_descriptor(void **state)
{
    struct loop *loop = *state;
    struct watch a;
    struct loop_timer timer;
    open_watch(loop, &a, "a");
    assert_int_equal(0, loop_poll_start(&a.poll, LOOP_READABLE, stop_self));
    loop_timer_init(loop, &timer);
    timer.handle.data = &a;
    loop_timer_start(&timer, 2 * LOOP_MS, 0, wake_up);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a:r");
    close_watch(&a);
}

static void a_spinning_loop_finds_what_a_sleeping_one_would(void **state)
{
    struct loop *loop = *state;
    loop->options.spin_ns = 200 * LOOP_US;
    for (int i = 0; i < 40; i++)
        a_sleeping_loop_is_woken_by_a_descriptor(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(it_is_level_triggered),
        real_test(only_what_was_asked_for_is_told_and_the_asking_can_change),
        real_test(a_hang_up_counts_as_all_that_was_asked_for),
        real_test(disconnect_tells_of_a_half_close),
        real_test(bad_descriptors_are_refused_and_nothing_changes),
        real_test(an_event_of_a_handle_stopped_earlier_in_the_batch_is_dropped),
        real_test(a_reused_descriptor_number_does_not_see_a_stale_event),
        real_test(a_descriptor_closed_behind_the_handle_is_told_when_its_number_is_used_again),
        real_test(a_descriptor_closed_behind_the_handle_is_told_when_the_asking_changes),
        virtual_test(what_a_lost_handle_queues_does_not_wait_for_a_sleep),
        real_test(nothing_comes_from_a_dup_after_stop),
        real_test(a_callback_may_close_every_handle),
        real_test(more_events_than_a_batch_holds_all_arrive),
        real_test(by_default_a_batch_holds_1024_events),
        real_test(a_sleeping_loop_is_woken_by_a_descriptor),
        real_test(a_spinning_loop_finds_what_a_sleeping_one_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
