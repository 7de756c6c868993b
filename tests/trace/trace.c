/* Tracing: what a sink is told, and what the sinks of the library make of it.
 *
 * A turn's phases come in the order of the ring, each callback begins and ends before the next, and
 * in its own phase, but for ticks and microtasks, which come between callbacks. What is started in
 * a callback names it as its cause; what main started names nobody. A timer says how late it is,
 * poll how long it may sleep, and why not longer. On the virtual clock all of that is the same in
 * each run.
 *
 * A ring keeps the last events. The text is compared letter by letter; the Chrome trace is well
 * nested on each track, and tells what write(2) met. Several sinks see the same. LOOP_TRACE needs
 * nothing of the program, and what is wrong with it does not stop the program.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EVENTS = 1024, TEXT_SIZE = 16384 };

/* A ring that is large enough to keep all. */
static struct loop_trace_ring ring;
static struct loop_trace_event events[EVENTS];

static void watch(struct loop *loop)
{
    loop_trace_ring(loop, &ring, events, EVENTS);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_true(ring.count <= EVENTS);
}

/* The first of its kind and callback; NULL: any callback. */
static const struct loop_trace_event *event_of(enum loop_trace_kind kind, loop_function callback)
{
    for (uint64_t i = 0; i < ring.count; i++)
        if (events[i].kind == kind && (!callback || events[i].callback == callback))
            return &events[i];
    fail_msg("there is no event of kind %d", (int)kind);
    return NULL;
}

/* What was written to a memfd, which is closed. */
static const char *text_in(int fd)
{
    static char text[TEXT_SIZE];
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(length >= 0);
    text[length] = '\0';
    close(fd);
    return text;
}

static int memory_file(void)
{
    int fd = memfd_create("trace", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* --- a program with something in each phase --- */

struct program {
    struct loop_timer timer, repeating, closed;
    struct loop_hook idle, prepare, check;
    struct loop_task tick, microtask, immediate, posted;
    int rounds;
};

static void on_tick(struct loop_task *task)
{
    (void)task;
}

static void on_microtask(struct loop_task *task)
{
    (void)task;
}

static void on_immediate(struct loop_task *task)
{
    (void)task;
}

static void on_posted(struct loop_task *task)
{
    (void)task;
}

static void on_closed(struct loop_handle *handle)
{
    (void)handle;
}

static void on_hook(struct loop_hook *hook)
{
    loop_hook_stop(hook);
}

static void on_timer(struct loop_timer *timer)
{
    struct program *program = loop_container_of(timer, struct program, timer);
    struct loop *loop = timer->handle.loop;
    loop_next_tick(loop, &program->tick, on_tick);
    loop_microtask(loop, &program->microtask, on_microtask);
    loop_immediate(loop, &program->immediate, on_immediate);
    assert_int_equal(0, loop_post(loop, &program->posted, on_posted));
    loop_close(&program->closed.handle, on_closed);
    loop_hook_start(&program->idle, on_hook);
}

static void on_repeating(struct loop_timer *timer)
{
    struct program *program = loop_container_of(timer, struct program, repeating);
    if (++program->rounds == 3)
        loop_timer_stop(timer);
}

static void program_start(struct loop *loop, struct program *program)
{
    *program = (struct program){.rounds = 0};
    loop_timer_init(loop, &program->timer);
    loop_timer_init(loop, &program->repeating);
    loop_timer_init(loop, &program->closed);
    loop_idle_init(loop, &program->idle);
    loop_prepare_init(loop, &program->prepare);
    loop_check_init(loop, &program->check);
    loop_timer_start(&program->timer, 2 * LOOP_MS, 0, on_timer);
    loop_timer_start(&program->repeating, LOOP_MS, LOOP_MS, on_repeating);
    loop_hook_start(&program->prepare, on_hook);
    loop_hook_start(&program->check, on_hook);
}

/* --- order --- */

/* The order of the ring, as enum loop_phase happens not to count: timers come last. */
static int rank(uint8_t phase)
{
    return phase == LOOP_PHASE_TIMERS ? LOOP_PHASE_CLOSING + 1 : phase;
}

static void phases_begin_in_the_order_of_the_ring(void **state)
{
    struct loop *loop = *state;
    struct program program;
    int last = LOOP_PHASE_CLOSING; /* timers that are due run on the way in */
    uint64_t turns = 0;
    program_start(loop, &program);
    watch(loop);
    run(loop);
    for (uint64_t i = 0; i < ring.count; i++) {
        if (events[i].kind == LOOP_TRACE_TURN) {
            assert_int_equal(LOOP_PHASE_CLOSING + 1, last);
            last = LOOP_PHASE_TIMERS;
            assert_true(events[i].turn == ++turns);
        } else if (events[i].kind == LOOP_TRACE_PHASE) {
            assert_int_equal(last + 1, rank(events[i].phase));
            last++;
        }
        assert_true(events[i].turn == turns);
    }
    assert_true(turns > 3 && turns == loop_turn(loop));
    assert_int_equal(LOOP_TRACE_RUN_END, events[ring.count - 1].kind);
    assert_true(events[ring.count - 1].detail == 0);
}

static bool is_drained(const struct loop_trace_event *event)
{
    return strcmp(event->type, "tick") == 0 || strcmp(event->type, "microtask") == 0;
}

/* Whose callbacks come in which phase. */
static void assert_at_home(const struct loop_trace_event *event)
{
    static const char *const types[] = {
        [LOOP_PHASE_IDLE] = "idle hook",   [LOOP_PHASE_PREPARE] = "prepare hook",
        [LOOP_PHASE_POLL] = "posted task", [LOOP_PHASE_CLOSING] = "timer",
        [LOOP_PHASE_TIMERS] = "timer",     [LOOP_PHASE_CHECK] = NULL,
    };
    if (is_drained(event))
        return;
    if (event->phase == LOOP_PHASE_CHECK)
        assert_true(!strcmp(event->type, "immediate") || !strcmp(event->type, "check hook"));
    else
        assert_string_equal(types[event->phase], event->type);
}

static void callbacks_begin_and_end_in_their_phase_and_do_not_overlap(void **state)
{
    struct loop *loop = *state;
    struct program program;
    const struct loop_trace_event *under_way = NULL;
    int callbacks = 0;
    program_start(loop, &program);
    watch(loop);
    run(loop);
    for (uint64_t i = 0; i < ring.count; i++) {
        const struct loop_trace_event *event = &events[i];
        if (event->kind == LOOP_TRACE_CALLBACK_BEGIN) {
            assert_null(under_way);
            assert_at_home(event);
            assert_true(event->id != 0 || event->phase == LOOP_PHASE_POLL); /* any thread posts */
            under_way = event;
            callbacks++;
        } else if (event->kind == LOOP_TRACE_CALLBACK_END) {
            assert_non_null(under_way);
            assert_int_equal(under_way->phase, event->phase);
            under_way = NULL;
        } else if (event->kind == LOOP_TRACE_PHASE || event->kind == LOOP_TRACE_TURN) {
            assert_null(under_way);
        }
    }
    assert_null(under_way);
    assert_int_equal(12, callbacks); /* 3 + 1 timers, 3 hooks, 4 tasks, 1 closed */
}

static void ticks_come_right_behind_the_callback_and_before_microtasks(void **state)
{
    struct loop *loop = *state;
    struct program program;
    program_start(loop, &program);
    watch(loop);
    run(loop);
    const struct loop_trace_event *event =
        event_of(LOOP_TRACE_CALLBACK_BEGIN, (loop_function)on_timer);
    while (event->kind != LOOP_TRACE_CALLBACK_END)
        event++;
    assert_int_equal(LOOP_TRACE_CALLBACK_BEGIN, event[1].kind);
    assert_string_equal("tick", event[1].type);
    assert_int_equal(LOOP_TRACE_CALLBACK_END, event[2].kind);
    assert_int_equal(LOOP_TRACE_CALLBACK_BEGIN, event[3].kind);
    assert_string_equal("microtask", event[3].type);
    assert_int_equal(LOOP_TRACE_CALLBACK_END, event[4].kind);
}

static void poll_begins_and_ends_once_a_turn_and_time_does_not_run_backwards(void **state)
{
    struct loop *loop = *state;
    struct program program;
    uint64_t begun = 0, ended = 0, last_ns = 0;
    program_start(loop, &program);
    watch(loop);
    run(loop);
    for (uint64_t i = 0; i < ring.count; i++) {
        begun += events[i].kind == LOOP_TRACE_POLL_BEGIN;
        ended += events[i].kind == LOOP_TRACE_POLL_END;
        assert_true(begun == ended || begun == ended + 1);
        assert_true(events[i].time_ns >= last_ns);
        last_ns = events[i].time_ns;
    }
    assert_true(begun == ended && begun == loop_turn(loop));
}

static void a_handle_is_started_stopped_closing_and_closed_in_that_order(void **state)
{
    static const uint8_t expected[] = {LOOP_TRACE_STARTED, LOOP_TRACE_STOPPED, LOOP_TRACE_CLOSING,
                                       LOOP_TRACE_CALLBACK_BEGIN, LOOP_TRACE_CLOSED};
    struct loop *loop = *state;
    struct loop_timer timer;
    size_t found = 0;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 7 * LOOP_MS, 0, on_repeating);
    loop_close(&timer.handle, on_closed);
    run(loop);
    for (uint64_t i = 0; i < ring.count; i++)
        if (events[i].id == timer.handle.id) {
            assert_true(found < sizeof(expected));
            assert_int_equal(expected[found++], events[i].kind);
            assert_string_equal("timer", events[i].type);
        }
    assert_int_equal(sizeof(expected), found);
    assert_true(event_of(LOOP_TRACE_STARTED, NULL)->detail == 7 * (int64_t)LOOP_MS);
    assert_true(event_of(LOOP_TRACE_STARTED, NULL)->turn == 0);
}

static void each_run_begins_and_ends_once(void **state)
{
    struct loop *loop = *state;
    struct loop_task tick = {0};
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_repeating);
    loop_next_tick(loop, &tick, on_tick);
    watch(loop);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_int_equal(LOOP_TRACE_RUN_BEGIN, events[0].kind);
    assert_string_equal("tick", events[1].type); /* before the first turn */
    assert_int_equal(LOOP_TRACE_RUN_END, events[ring.count - 1].kind);
    assert_true(events[ring.count - 1].detail == 1);
    loop_timer_stop(&timer);
    loop_trace_remove(loop, &ring.trace);
    watch(loop);
    run(loop);
    assert_int_equal(2, ring.count); /* nothing was left to do */
    assert_int_equal(LOOP_TRACE_RUN_BEGIN, events[0].kind);
    assert_int_equal(LOOP_TRACE_RUN_END, events[1].kind);
    assert_true(events[1].detail == 0);
}

/* --- the ring --- */

static void count_event(struct loop_trace *trace, const struct loop_trace_event *event)
{
    (void)event;
    ++*(uint64_t *)trace->data;
}

static void assert_same(const struct loop_trace_event *a, const struct loop_trace_event *b)
{
    assert_true(a->time_ns == b->time_ns && a->turn == b->turn && a->detail == b->detail);
    assert_true(a->callback == b->callback && a->cause == b->cause && a->id == b->id);
    assert_true(a->kind == b->kind && a->phase == b->phase && a->reason == b->reason);
    assert_true(a->type == b->type || strcmp(a->type, b->type) == 0);
}

static void a_small_ring_keeps_the_last_events(void **state)
{
    struct loop *loop = *state;
    struct program program;
    struct loop_trace_event last[7];
    struct loop_trace_ring small;
    uint64_t seen = 0;
    struct loop_trace counter = {.data = &seen};
    program_start(loop, &program);
    watch(loop);
    loop_trace_ring(loop, &small, last, ARRAY_LENGTH(last));
    loop_trace_add(loop, &counter, count_event);
    run(loop);
    assert_true(seen > 2 * ARRAY_LENGTH(last));
    assert_true(small.count == seen && ring.count == seen);
    for (uint64_t i = seen - ARRAY_LENGTH(last); i < seen; i++)
        assert_same(&events[i], &last[i % ARRAY_LENGTH(last)]);
}

static void a_ring_of_one_keeps_the_last_event(void **state)
{
    struct loop *loop = *state;
    struct program program;
    struct loop_trace_event last;
    struct loop_trace_ring one;
    program_start(loop, &program);
    loop_trace_ring(loop, &one, &last, 1);
    run(loop);
    assert_int_equal(LOOP_TRACE_RUN_END, last.kind);
    assert_true(one.count > 1);
}

static void the_virtual_clock_gives_the_same_trace_twice(void **state)
{
    static struct loop_trace_event first[EVENTS];
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    uint64_t count = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct loop loop;
        struct program program;
        assert_int_equal(0, loop_init(&loop, &options));
        watch(&loop);
        program_start(&loop, &program);
        run(&loop);
        assert_int_equal(0, loop_fini(&loop));
        if (i == 0)
            memcpy(first, events, sizeof(first));
        assert_true(i == 0 || count == ring.count);
        count = ring.count;
    }
    for (uint64_t i = 0; i < count; i++)
        assert_same(&first[i], &events[i]);
}

/* --- several sinks --- */

static void name_turn(struct loop_trace *trace, const struct loop_trace_event *event)
{
    if (event->kind == LOOP_TRACE_TURN)
        say("%s", (const char *)trace->data);
}

static void one_turn(struct loop *loop)
{
    struct loop_task task = {0};
    loop_immediate(loop, &task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_NOWAIT));
}

static void sinks_see_all_in_their_order_until_they_are_removed(void **state)
{
    static char names[][2] = {"a", "b", "c", "d"};
    struct loop *loop = *state;
    struct loop_trace sinks[ARRAY_LENGTH(names)];
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        sinks[i].data = names[i];
        loop_trace_add(loop, &sinks[i], name_turn);
    }
    one_turn(loop);
    assert_said("a b c d");
    loop_trace_remove(loop, &sinks[1]); /* in the middle */
    one_turn(loop);
    assert_said("a c d");
    loop_trace_remove(loop, &sinks[0]); /* the first */
    loop_trace_remove(loop, &sinks[0]); /* not there */
    one_turn(loop);
    assert_said("c d");
    loop_trace_remove(loop, &sinks[3]); /* the last */
    one_turn(loop);
    assert_said("c");
    loop_trace_add(loop, &sinks[0], name_turn); /* again, behind the others */
    one_turn(loop);
    assert_said("c a");
    loop_trace_remove(loop, &sinks[2]);
    loop_trace_remove(loop, &sinks[0]);
    one_turn(loop);
    assert_said("");
}

/* --- why poll sleeps so long --- */

static void assert_first_poll(enum loop_poll_reason reason, int64_t detail)
{
    const struct loop_trace_event *event = event_of(LOOP_TRACE_POLL_BEGIN, NULL);
    assert_string_equal(loop_poll_reason_text(reason),
                        loop_poll_reason_text((enum loop_poll_reason)event->reason));
    assert_int_equal(reason, event->reason);
    assert_true(event->detail == detail);
}

static void stop_timer(struct loop_timer *timer)
{
    loop_timer_stop(timer);
}

static void poll_does_not_sleep_when_told_not_to_wait(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, stop_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_first_poll(LOOP_POLL_NOWAIT, 0);
    loop_timer_stop(&timer);
}

static void stop_loop(struct loop_hook *hook)
{
    loop_stop(hook->handle.loop);
    loop_hook_stop(hook);
}

static void poll_does_not_sleep_when_the_loop_was_stopped(void **state)
{
    struct loop *loop = *state;
    struct loop_hook hook;
    watch(loop);
    loop_prepare_init(loop, &hook);
    loop_hook_start(&hook, stop_loop);
    run(loop);
    assert_first_poll(LOOP_POLL_NOWAIT, 0);
}

static void on_idle(struct loop_hook *hook)
{
    loop_timer_stop(hook->handle.data); /* the hook itself stays, and the loop ends without it */
}

static void poll_does_not_sleep_beside_an_idle_hook(void **state)
{
    struct loop *loop = *state;
    struct loop_hook idle;
    struct loop_timer timer;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, stop_timer);
    loop_idle_init(loop, &idle);
    idle.handle.data = &timer;
    loop_hook_start(&idle, on_idle);
    loop_unref(&idle.handle);
    run(loop);
    assert_first_poll(LOOP_POLL_IDLE, 0);
    loop_hook_stop(&idle);
}

static void poll_does_not_sleep_while_an_immediate_is_queued(void **state)
{
    struct loop *loop = *state;
    struct loop_task task = {0};
    watch(loop);
    loop_immediate(loop, &task, on_immediate);
    run(loop);
    assert_first_poll(LOOP_POLL_TASK, 0);
}

static void poll_does_not_sleep_when_something_was_posted(void **state)
{
    struct loop *loop = *state;
    struct loop_task task = {0};
    watch(loop);
    loop_post(loop, &task, on_posted);
    run(loop);
    assert_first_poll(LOOP_POLL_POSTED, 0);
}

static sem_t gate;

static void wait_at_gate(void *data)
{
    (void)data;
    sem_wait(&gate);
}

static void on_canceled(struct loop_work *work, int status)
{
    (void)work;
    assert_int_equal(-ECANCELED, status);
    sem_post(&gate);
}

static void cancel_work(struct loop_hook *hook)
{
    loop_hook_stop(hook);
    struct loop_work *work = hook->handle.data;
    assert_int_equal(0, loop_request_cancel(&work->request));
}

static void poll_does_not_sleep_while_a_completion_is_pending(void **state)
{
    struct loop *loop = *state;
    struct loop_work work = {.done = NULL};
    struct loop_hook hook;
    sem_init(&gate, 0, 0);
    watch(loop);
    assert_int_equal(0, loop_work(loop, &work, wait_at_gate, on_canceled));
    loop_prepare_init(loop, &hook);
    hook.handle.data = &work;
    loop_hook_start(&hook, cancel_work);
    run(loop);
    assert_first_poll(LOOP_POLL_PENDING, 0);
    loop_pool_shutdown();
    sem_destroy(&gate);
}

static void poll_does_not_sleep_while_a_handle_is_closing(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_close(&timer.handle, NULL);
    run(loop);
    assert_first_poll(LOOP_POLL_CLOSING, 0);
}

static void poll_does_not_sleep_when_nothing_is_left(void **state)
{
    struct loop *loop = *state;
    struct loop_hook hook;
    watch(loop);
    loop_prepare_init(loop, &hook);
    loop_hook_start(&hook, on_hook);
    run(loop);
    assert_first_poll(LOOP_POLL_NOT_ALIVE, 0);
}

static void poll_sleeps_until_the_next_timer(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 5 * LOOP_MS, 0, stop_timer);
    run(loop);
    assert_first_poll(LOOP_POLL_TIMER, 5 * (int64_t)LOOP_MS);
    assert_true(event_of(LOOP_TRACE_POLL_END, NULL)->time_ns == 5 * LOOP_MS);
    assert_true(event_of(LOOP_TRACE_POLL_END, NULL)->detail == 0);
}

static void on_readable(struct loop_poll *poll, int status, uint32_t ready)
{
    (void)status;
    (void)ready;
    loop_poll_stop(poll);
}

static void without_a_timer_poll_sleeps_until_there_are_events(void **state)
{
    struct loop *loop = *state;
    struct loop_poll poll;
    int ends[2];
    watch(loop);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(1, write(ends[1], "x", 1));
    loop_poll_init(loop, &poll, ends[0]);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_readable));
    run(loop);
    assert_first_poll(LOOP_POLL_EVENTS, -1);
    assert_true(event_of(LOOP_TRACE_POLL_END, NULL)->detail == 1);
    close(ends[0]);
    close(ends[1]);
}

static void on_lost(struct loop_poll *poll, int status, uint32_t ready)
{
    (void)poll;
    (void)ready;
    assert_int_equal(-EBADF, status);
}

static void poll_does_not_sleep_when_a_handle_has_lost_its_descriptor(void **state)
{
    struct loop *loop = *state;
    struct loop_poll poll;
    int ends[2];
    watch(loop);
    assert_int_equal(0, pipe(ends));
    loop_poll_init(loop, &poll, ends[0]);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_lost));
    close(ends[0]);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE | LOOP_DISCONNECT, on_lost));
    run(loop);
    assert_first_poll(LOOP_POLL_LOST, 0);
    close(ends[1]);
}

static void each_reason_has_its_own_words(void **state)
{
    (void)state;
    for (int i = LOOP_POLL_NOWAIT; i <= LOOP_POLL_EVENTS; i++)
        for (int k = LOOP_POLL_NOWAIT; k < i; k++)
            assert_string_not_equal(loop_poll_reason_text((enum loop_poll_reason)i),
                                    loop_poll_reason_text((enum loop_poll_reason)k));
    assert_string_equal("unknown", loop_poll_reason_text((enum loop_poll_reason)200));
}

/* --- who caused it --- */

struct family {
    struct loop_timer parent, child, closed;
    struct loop_hook hook;
    struct loop_task tick, microtask, immediate, posted, grandchild;
    struct loop_work work;
};

static void on_grandchild(struct loop_task *task)
{
    (void)task;
}

static void on_child(struct loop_timer *timer)
{
    (void)timer;
}

static void nothing(void *data)
{
    (void)data;
}

static void on_work(struct loop_work *work, int status)
{
    (void)work;
    assert_int_equal(0, status);
}

static void queue_grandchild(struct loop_task *task)
{
    struct family *family = loop_container_of(task, struct family, tick);
    loop_immediate(task->loop, &family->grandchild, on_grandchild);
}

static void on_parent(struct loop_timer *timer)
{
    struct family *family = loop_container_of(timer, struct family, parent);
    struct loop *loop = timer->handle.loop;
    loop_timer_start(&family->child, LOOP_MS, 0, on_child);
    loop_hook_start(&family->hook, on_hook);
    loop_next_tick(loop, &family->tick, queue_grandchild);
    loop_microtask(loop, &family->microtask, on_microtask);
    loop_immediate(loop, &family->immediate, on_immediate);
    assert_int_equal(0, loop_post(loop, &family->posted, on_posted));
    assert_int_equal(0, loop_work(loop, &family->work, nothing, on_work));
    loop_close(&family->closed.handle, on_closed);
}

static void family_start(struct loop *loop, struct family *family)
{
    *family = (struct family){.work.done = NULL};
    loop_timer_init(loop, &family->parent);
    loop_timer_init(loop, &family->child);
    loop_timer_init(loop, &family->closed);
    loop_check_init(loop, &family->hook);
    loop_timer_start(&family->parent, LOOP_MS, 0, on_parent);
}

static void assert_caused(enum loop_trace_kind kind, loop_function callback, loop_function cause)
{
    assert_true(event_of(kind, callback)->cause == cause);
    assert_true(event_of(LOOP_TRACE_CALLBACK_BEGIN, callback)->cause == cause);
    assert_true(event_of(kind, callback)->id == event_of(LOOP_TRACE_CALLBACK_BEGIN, callback)->id);
}

static void what_a_callback_starts_names_that_callback(void **state)
{
    struct loop *loop = *state;
    struct family family;
    loop_function parent = (loop_function)on_parent;
    watch(loop);
    family_start(loop, &family);
    run(loop);
    assert_caused(LOOP_TRACE_STARTED, parent, NULL);
    assert_caused(LOOP_TRACE_STARTED, (loop_function)on_child, parent);
    assert_caused(LOOP_TRACE_STARTED, (loop_function)on_hook, parent);
    assert_caused(LOOP_TRACE_QUEUED, (loop_function)queue_grandchild, parent);
    assert_caused(LOOP_TRACE_QUEUED, (loop_function)on_microtask, parent);
    assert_caused(LOOP_TRACE_QUEUED, (loop_function)on_immediate, parent);
    assert_caused(LOOP_TRACE_SUBMITTED, (loop_function)on_work, parent);
    assert_caused(LOOP_TRACE_CLOSING, (loop_function)on_closed, parent);
    assert_caused(LOOP_TRACE_QUEUED, (loop_function)on_grandchild, (loop_function)queue_grandchild);
    /* any thread may post, so nobody is named */
    assert_null(event_of(LOOP_TRACE_CALLBACK_BEGIN, (loop_function)on_posted)->cause);
}

static void a_thread_of_the_pool_starts_and_ends_before_the_callback(void **state)
{
    struct loop *loop = *state;
    struct loop_work work = {.done = NULL};
    watch(loop);
    assert_int_equal(0, loop_work(loop, &work, nothing, on_work));
    run(loop);
    const struct loop_trace_event *submitted = event_of(LOOP_TRACE_SUBMITTED, NULL);
    const struct loop_trace_event *started = event_of(LOOP_TRACE_WORK_STARTED, NULL);
    const struct loop_trace_event *done = event_of(LOOP_TRACE_WORK_DONE, NULL);
    const struct loop_trace_event *callback = event_of(LOOP_TRACE_CALLBACK_BEGIN, NULL);
    assert_true(submitted < started && started < done && done < callback);
    assert_true(started->time_ns <= done->time_ns && done->time_ns <= callback->time_ns);
    assert_true(started->detail == done->detail && started->detail >= 1);
    assert_true(submitted->id == started->id && started->id == done->id);
    assert_true(callback->id == submitted->id);
    assert_string_equal("work", started->type);
}

static pthread_barrier_t all_at_once;

static void meet(void *data)
{
    (void)data;
    pthread_barrier_wait(&all_at_once);
}

/* Each is held until all run, so no thread has two of them. */
static void each_thread_of_the_pool_has_a_number_of_its_own(void **state)
{
    enum { THREADS = 16 };
    struct loop_pool_options pool_options = {.threads_max = THREADS,
                                             .class_max[LOOP_POOL_CPU] = THREADS};
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct loop loop;
    struct loop_work works[THREADS] = {{.done = NULL}};
    int taken[THREADS + 1] = {0};
    (void)state;
    pthread_barrier_init(&all_at_once, NULL, THREADS);
    assert_int_equal(0, loop_pool_create(&options.pool, &pool_options));
    assert_int_equal(0, loop_init(&loop, &options));
    watch(&loop);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(0, loop_work(&loop, &works[i], meet, on_work));
    run(&loop);
    assert_int_equal(0, loop_fini(&loop));
    loop_pool_destroy(options.pool);
    pthread_barrier_destroy(&all_at_once);
    for (uint64_t i = 0; i < ring.count; i++)
        if (events[i].kind == LOOP_TRACE_WORK_STARTED) {
            assert_in_range(events[i].detail, 1, THREADS);
            assert_int_equal(0, taken[events[i].detail]++);
        }
}

/* --- lateness --- */

static void on_late(struct loop_timer *timer)
{
    (void)timer;
}

static void on_punctual(struct loop_timer *timer)
{
    timer->handle.loop->now_ns += 3 * LOOP_MS; /* as a long callback does */
}

static void a_timer_says_how_late_it_is(void **state)
{
    struct loop *loop = *state;
    struct loop_timer punctual, late;
    watch(loop);
    loop_timer_init(loop, &punctual);
    loop_timer_init(loop, &late);
    loop_timer_start(&punctual, LOOP_MS, 0, on_punctual);
    loop_timer_start(&late, 2 * LOOP_MS, 0, on_late);
    run(loop);
    assert_true(event_of(LOOP_TRACE_CALLBACK_BEGIN, (loop_function)on_punctual)->detail == 0);
    assert_true(event_of(LOOP_TRACE_CALLBACK_BEGIN, (loop_function)on_late)->detail ==
                2 * (int64_t)LOOP_MS);
}

static void a_busy_loop_makes_timers_late_on_the_real_clock(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    watch(loop);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_late);
    busy_ns(3 * LOOP_MS);
    loop_update_now(loop);
    run(loop);
    assert_true(event_of(LOOP_TRACE_CALLBACK_BEGIN, NULL)->detail >= 2 * (int64_t)LOOP_MS);
}

/* --- names --- */

static void a_static_function_whose_name_is_longer_than_most_programs_would_ever_want(void)
{
    say("!");
}

static void the_names_of_static_functions_are_found(void **state)
{
    char name[128];
    (void)state;
    loop_function_name((loop_function)on_late, name, sizeof(name));
    assert_string_equal("on_late", name);
    loop_function_name((loop_function)on_punctual, name, sizeof(name));
    assert_string_equal("on_punctual", name);
    loop_function_name((loop_function)on_late, name, sizeof(name)); /* now it is known */
    assert_string_equal("on_late", name);
    loop_function_name((loop_function)assert_panics, name, sizeof(name));
    assert_string_equal("assert_panics", name);
    loop_function_name((loop_function)loop_function_name, name, sizeof(name));
    assert_string_equal("loop_function_name", name);
}

/* So long that no more than 119 letters of it are kept. */
#define TEN "abcdefghij"
static void long_one(void) __asm__(TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "k");

static void long_one(void)
{
    say("!!");
}

static void a_name_of_more_than_119_letters_is_cut_there(void **state)
{
    char name[256];
    (void)state;
    loop_function_name(long_one, name, sizeof(name));
    assert_int_equal(119, strlen(name));
    assert_memory_equal(TEN TEN, name, 20);
}

/* Distributions strip them, but for what is exported. */
static void the_names_of_a_library_are_found_without_its_symbol_table(void **state)
{
    char name[64];
    (void)state;
    loop_function_name((loop_function)rand, name, sizeof(name));
    assert_string_equal("rand", name);
}

/* A copy of the library that the address is of, in which nothing tells where its sections are. */
static void *open_without_sections(loop_function function, char *path)
{
    static char bytes[1 << 20];
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)function, &info))
        return NULL;
    int from = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
    ssize_t size = from < 0 ? -1 : read(from, bytes, sizeof(bytes));
    close(from);
    if (size < (ssize_t)sizeof(ElfW(Ehdr)) || size == sizeof(bytes))
        return NULL;
    ElfW(Ehdr) header;
    memcpy(&header, bytes, sizeof(header));
    header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
    memcpy(bytes, &header, sizeof(header));
    int to = mkostemp(path, O_CLOEXEC);
    assert_int_equal(size, write(to, bytes, (size_t)size));
    close(to);
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    unlink(path);
    return library;
}

static void a_library_without_sections_has_no_names(void **state)
{
    char name[64], path[] = "/tmp/loop-trace-XXXXXX";
    (void)state;
    void *known = dlsym(RTLD_DEFAULT, "_assert_true"); /* of cmocka, if it is a library */
    if (!known)
        skip();
    void *library = open_without_sections((loop_function)(uintptr_t)known, path);
    void *function = library ? dlsym(library, "_assert_true") : NULL;
    if (!function)
        skip();
    loop_function_name((loop_function)(uintptr_t)function, name, sizeof(name));
    assert_string_equal("?", name);
    dlclose(library);
}

static void an_address_that_is_no_function_has_no_name(void **state)
{
    static const uintptr_t bad[] = {0, 1, 4096, UINTPTR_MAX};
    char name[16];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        loop_function_name((loop_function)bad[i], name, sizeof(name));
        assert_string_equal("?", name);
    }
    loop_function_name((loop_function)(uintptr_t)&ring, name, sizeof(name)); /* data */
    assert_string_equal("?", name);
    loop_function_name((loop_function)(uintptr_t)name, name, sizeof(name)); /* the stack */
    assert_string_equal("?", name);
}

static void a_name_is_cut_at_the_size_of_its_buffer(void **state)
{
    char name[] = "xxxxxxxxxxxx";
    (void)state;
    loop_function_name((loop_function)on_punctual, name, 0);
    assert_string_equal("xxxxxxxxxxxx", name);
    loop_function_name((loop_function)on_punctual, name, 1);
    assert_string_equal("", name);
    loop_function_name((loop_function)on_punctual, name, 6);
    assert_string_equal("on_pu", name);
    assert_string_equal("xxxxxx", name + 6);
    loop_function_name((loop_function)on_punctual, name, sizeof(name));
    assert_string_equal("on_punctual", name);
}

static void a_long_name_is_cut_nowhere_else(void **state)
{
    char name[128];
    (void)state;
    loop_function_name(a_static_function_whose_name_is_longer_than_most_programs_would_ever_want,
                       name, sizeof(name));
    assert_string_equal("a_static_function_whose_name_is_longer_than_most_programs_would_ever_want",
                        name);
}

/* --- the text --- */

static const char timeline[] =
    "turn 1\n"
    "  poll     |         0 µs  sleeps at most 2.00 ms: the next timer\n"
    "           |      2000 µs  slept 2.00 ms, 0 ready\n"
    "  timers   |      2000 µs  timer          on_timer                  0 ns late  <- main\n"
    "           |      2000 µs    tick         on_tick                   <- on_timer\n"
    "           |      2000 µs    microtask    on_microtask              <- on_timer\n"
    "turn 2\n"
    "  idle     |      2000 µs  idle hook      on_hook                   <- on_timer\n"
    "  poll     |      2000 µs  does not sleep: an immediate is queued\n"
    "           |      2000 µs  posted task    on_posted                 <- loop_post()\n"
    "  check    |      2000 µs  immediate      on_immediate              <- on_timer\n"
    "  closing  |      2000 µs  close timer    on_closed                 <- on_timer\n"
    "2 turns, asleep 2.00 ms, awake 0 ns; callbacks: timers 1, idle 1, poll 1, check 1,"
    " closing 1, ticks and microtasks 2\n";

/* What the text sink makes of on_timer(), begun at that time. */
static const char *timeline_from(struct loop *loop, uint64_t start_ns)
{
    struct program program;
    struct loop_trace_text text;
    int fd = memory_file();
    loop->now_ns = start_ns;
    program_start(loop, &program);
    loop_hook_stop(&program.prepare);
    loop_hook_stop(&program.check);
    loop_timer_stop(&program.repeating);
    loop_trace_text(loop, &text, fd, false);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_trace_text_summary(&text);
    loop_trace_remove(loop, &text.trace);
    assert_true(text.turns == 2 && text.tasks == 2 && text.callbacks[LOOP_PHASE_TIMERS] == 1);
    assert_true(text.asleep_ns == 2 * LOOP_MS && text.awake_ns == 0);
    return text_in(fd);
}

static void the_text_is_this(void **state)
{
    assert_string_equal(timeline, timeline_from(*state, LOOP_MS));
}

static void the_text_is_the_same_when_the_first_event_is_at_zero(void **state)
{
    assert_string_equal(timeline, timeline_from(*state, 0));
}

static void the_text_has_colours_when_asked(void **state)
{
    struct loop *loop = *state;
    struct loop_task task = {0};
    struct loop_trace_text text;
    int fd = memory_file();
    loop_trace_text(loop, &text, fd, true);
    loop_immediate(loop, &task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_trace_remove(loop, &text.trace);
    const char *written = text_in(fd);
    assert_non_null(strstr(written, "\033[1mturn 1\033[0m\n"));
    assert_non_null(strstr(written, "\033[32mcheck   \033[0m \033[32m│\033[0m"));
    assert_non_null(strstr(written, "\033[2m  ← main\033[0m\n"));
}

static void ticks_before_the_first_phase_stand_outside_in_each_run(void **state)
{
    static const char lane[] = "  outside  |";
    struct loop *loop = *state;
    struct loop_task tick = {0};
    struct loop_timer timer;
    struct loop_trace_text text;
    loop_timer_init(loop, &timer);
    loop_trace_text(loop, &text, -1, false);
    for (int i = 0; i < 2; i++) {
        int fd = text.fd = memory_file();
        loop_timer_start(&timer, LOOP_MS, 0, stop_timer);
        loop_next_tick(loop, &tick, on_tick);
        assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
        assert_memory_equal(lane, text_in(fd), strlen(lane));
    }
    loop_trace_remove(loop, &text.trace);
}

/* Work without a callback leaves nothing to be said of its thread. */
static void a_worker_is_named_at_its_own_callback_only(void **state)
{
    struct loop *loop = *state;
    struct loop_work silent = {.done = NULL}, work = {.done = NULL};
    struct loop_task task = {0};
    struct loop_trace_text text;
    int fd = memory_file();
    loop_trace_text(loop, &text, fd, false);
    assert_int_equal(0, loop_work(loop, &silent, nothing, NULL));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_immediate(loop, &task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_work(loop, &work, nothing, on_work));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_trace_remove(loop, &text.trace);
    const char *written = text_in(fd);
    const char *immediate = strstr(written, "on_immediate");
    const char *worker = strstr(written, "  worker ");
    const char *on_work_line = strstr(written, "on_work");
    assert_true(immediate && worker && on_work_line);
    assert_true(worker > on_work_line);
}

static void time_between_two_runs_is_neither_asleep_nor_awake(void **state)
{
    struct loop *loop = *state;
    struct loop_trace_text text;
    int fd = memory_file();
    loop_trace_text(loop, &text, fd, false);
    one_turn(loop);
    loop->now_ns += LOOP_SEC;
    one_turn(loop);
    loop_trace_remove(loop, &text.trace);
    text_in(fd);
    assert_true(text.asleep_ns == 0);
    assert_true(text.awake_ns == 0);
}

/* --- the Chrome trace --- */

/* Slices that are open on a track. */
static int depth[256];

/* Looks at each line of the JSON, of which the sink writes one for each record. */
static int count_slices(const char *json)
{
    int slices = 0;
    memset(depth, 0, sizeof(depth));
    for (const char *line = json; line; line = strchr(line + 1, '\n')) {
        char ph;
        int track;
        if (sscanf(line, " {\"ph\":\"%c\",\"pid\":1,\"tid\":%d", &ph, &track) != 2)
            continue;
        assert_in_range(track, 1, ARRAY_LENGTH(depth) - 1);
        depth[track] += ph == 'B' ? 1 : ph == 'E' ? -1 : 0;
        assert_true(depth[track] >= 0);
        slices += ph == 'B';
    }
    for (size_t i = 0; i < ARRAY_LENGTH(depth); i++)
        assert_int_equal(0, depth[i]);
    return slices;
}

static void the_chrome_trace_is_nested_and_whole(void **state)
{
    struct loop *loop = *state;
    struct family family;
    struct loop_trace_chrome chrome;
    int fd = memory_file();
    loop_trace_chrome(loop, &chrome, fd);
    family_start(loop, &family);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_trace_remove(loop, &chrome.trace);
    assert_int_equal(0, loop_trace_chrome_finish(&chrome));
    const char *json = text_in(fd);
    assert_memory_equal("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", json, 40);
    assert_string_equal("\n]}\n", json + strlen(json) - 4);
    assert_true(count_slices(json) > 10);
    assert_non_null(strstr(json, "\"name\":\"on_parent\""));
    assert_non_null(strstr(json, "\"name\":\"queue_grandchild\""));
    assert_non_null(strstr(json, "\"name\":\"worker 1\""));
    assert_non_null(strstr(json, "\"name\":\"sleep: the next timer\""));
    assert_non_null(strstr(json, "\"name\":\"no sleep: an immediate is queued\""));
}

static void a_chrome_trace_of_several_runs_is_nested(void **state)
{
    struct loop *loop = *state;
    struct loop_task tick = {0};
    struct loop_trace_chrome chrome;
    int fd = memory_file();
    loop_trace_chrome(loop, &chrome, fd);
    for (int i = 0; i < 3; i++) {
        loop_next_tick(loop, &tick, on_tick);
        one_turn(loop);
    }
    loop_trace_remove(loop, &chrome.trace);
    assert_int_equal(0, loop_trace_chrome_finish(&chrome));
    assert_int_equal(3 * (1 + 7 + 1 + 2), count_slices(text_in(fd)));
}

static void a_chrome_trace_of_an_idle_loop_is_whole_too(void **state)
{
    struct loop *loop = *state;
    struct loop_trace_chrome chrome;
    int fd = memory_file();
    loop_trace_chrome(loop, &chrome, fd);
    loop_trace_remove(loop, &chrome.trace);
    assert_int_equal(0, loop_trace_chrome_finish(&chrome));
    const char *json = text_in(fd);
    assert_int_equal(0, count_slices(json));
    assert_string_equal("\n]}\n", json + strlen(json) - 4);
}

static struct loop_trace_chrome brief_chrome;
static int brief_fd;

static void begin_brief_trace(struct loop_task *task)
{
    brief_fd = memory_file();
    loop_trace_chrome(task->loop, &brief_chrome, brief_fd);
}

static void end_brief_trace(struct loop_task *task)
{
    loop_trace_remove(task->loop, &brief_chrome.trace);
    assert_int_equal(0, loop_trace_chrome_finish(&brief_chrome));
}

/* The ends of what had begun before it are left out, and what is open at its end is ended. */
static void a_chrome_trace_begun_and_ended_in_callbacks_is_nested(void **state)
{
    struct loop *loop = *state;
    struct loop_task tasks[3] = {0};
    loop_immediate(loop, &tasks[0], begin_brief_trace);
    loop_immediate(loop, &tasks[1], on_tick);
    loop_immediate(loop, &tasks[2], end_brief_trace);
    one_turn(loop);
    assert_int_equal(2, count_slices(text_in(brief_fd)));
}

static void a_full_disk_is_told_at_the_end(void **state)
{
    struct loop *loop = *state;
    struct program program;
    struct loop_trace_chrome chrome;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    loop_trace_chrome(loop, &chrome, fd);
    for (int i = 0; i < 5; i++) { /* more than its buffer holds */
        program_start(loop, &program);
        assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    }
    loop_trace_remove(loop, &chrome.trace);
    assert_int_equal(-ENOSPC, loop_trace_chrome_finish(&chrome));
    close(fd);
}

/* --- LOOP_TRACE --- */

/* In a child: a program that knows nothing of tracing. Its standard error is a memfd. */
struct ignorant {
    const char *loop_trace;
    int fd;
    struct loop_options options;
};

static int live_ignorantly(void *arg)
{
    const struct ignorant *ignorant = arg;
    struct loop loop;
    struct loop_task task = {0};
    setenv("LOOP_TRACE", ignorant->loop_trace, 1);
    dup2(ignorant->fd, STDERR_FILENO);
    int descriptors = open_descriptors();
    if (loop_init(&loop, &ignorant->options) != 0)
        return 2;
    loop_immediate(&loop, &task, on_immediate);
    if (loop_run(&loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(&loop) != 0)
        return 3;
    dprintf(STDERR_FILENO, "lived on\n");
    return descriptors == open_descriptors() ? 0 : 4;
}

static const char *heard_with_options(const char *loop_trace, struct loop_options options)
{
    struct ignorant ignorant = {loop_trace, memory_file(), options};
    in_child(live_ignorantly, &ignorant);
    return text_in(ignorant.fd);
}

static const char *heard_with(const char *loop_trace)
{
    return heard_with_options(loop_trace, test_options(LOOP_CLOCK_VIRTUAL));
}

static void LOOP_TRACE_text_traces_a_program_that_knows_nothing_of_it(void **state)
{
    (void)state;
    assert_string_equal(
        "turn 1\n"
        "  poll     |         0 µs  does not sleep: an immediate is queued\n"
        "  check    |         0 µs  immediate      on_immediate              <- main\n"
        "1 turns, asleep 0 ns, awake 0 ns; callbacks: check 1, ticks and microtasks 0\n"
        "lived on\n",
        heard_with("text"));
}

static void LOOP_TRACE_that_is_empty_asks_for_nothing(void **state)
{
    (void)state;
    assert_string_equal("lived on\n", heard_with(""));
}

static void LOOP_TRACE_that_is_nonsense_is_told_and_the_program_runs_on(void **state)
{
    char longer_than_a_line[4096];
    (void)state;
    assert_string_equal("libloop: LOOP_TRACE=nonsense: unknown; use text or chrome:FILE\n"
                        "lived on\n",
                        heard_with("nonsense"));
    memset(longer_than_a_line, 'x', sizeof(longer_than_a_line) - 1);
    longer_than_a_line[sizeof(longer_than_a_line) - 1] = '\0';
    assert_non_null(strstr(heard_with(longer_than_a_line), ": unknown; use text or chrome:FILE\n"
                                                           "lived on\n"));
}

static void LOOP_TRACE_that_names_no_file_is_told_and_the_program_runs_on(void **state)
{
    char expected[256];
    (void)state;
    snprintf(expected, sizeof(expected), "libloop: LOOP_TRACE=%s: %s\nlived on\n",
             "chrome:/nonexistent/x", loop_strerror(-ENOENT));
    assert_string_equal(expected, heard_with("chrome:/nonexistent/x"));
    assert_non_null(strstr(heard_with("chrome:"), loop_strerror(-ENOENT)));
    assert_non_null(strstr(heard_with("chrome:/dev/full"), loop_strerror(-ENOSPC)));
    assert_string_equal("lived on\n", heard_with("chrome:/dev/null"));
}

/* The sink itself is large; all that a loop needs is not. */
static void *refuse_what_is_large(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size >= sizeof(struct loop_trace_chrome) && size < 3 * sizeof(struct loop_trace_chrome) / 2)
        return NULL;
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

static void LOOP_TRACE_without_memory_is_told_and_leaves_nothing_open(void **state)
{
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL,
                                   .events_max = 16,
                                   .allocator.resize = refuse_what_is_large};
    char expected[256];
    (void)state;
    snprintf(expected, sizeof(expected), "libloop: LOOP_TRACE=text: %s\nlived on\n",
             loop_strerror(-ENOMEM));
    assert_string_equal(expected, heard_with_options("text", options));
    heard_with_options("chrome:/dev/null", options);
}

static const struct CMUnitTest tests[] = {
    virtual_test(phases_begin_in_the_order_of_the_ring),
    virtual_test(callbacks_begin_and_end_in_their_phase_and_do_not_overlap),
    virtual_test(ticks_come_right_behind_the_callback_and_before_microtasks),
    virtual_test(poll_begins_and_ends_once_a_turn_and_time_does_not_run_backwards),
    virtual_test(a_handle_is_started_stopped_closing_and_closed_in_that_order),
    virtual_test(each_run_begins_and_ends_once),
    virtual_test(a_small_ring_keeps_the_last_events),
    virtual_test(a_ring_of_one_keeps_the_last_event),
    virtual_test(the_virtual_clock_gives_the_same_trace_twice),
    virtual_test(sinks_see_all_in_their_order_until_they_are_removed),
    virtual_test(poll_does_not_sleep_when_told_not_to_wait),
    virtual_test(poll_does_not_sleep_when_the_loop_was_stopped),
    virtual_test(poll_does_not_sleep_beside_an_idle_hook),
    virtual_test(poll_does_not_sleep_while_an_immediate_is_queued),
    virtual_test(poll_does_not_sleep_when_something_was_posted),
    virtual_test(poll_does_not_sleep_while_a_completion_is_pending),
    virtual_test(poll_does_not_sleep_while_a_handle_is_closing),
    virtual_test(poll_does_not_sleep_when_nothing_is_left),
    virtual_test(poll_sleeps_until_the_next_timer),
    virtual_test(without_a_timer_poll_sleeps_until_there_are_events),
    virtual_test(poll_does_not_sleep_when_a_handle_has_lost_its_descriptor),
    virtual_test(each_reason_has_its_own_words),
    virtual_test(what_a_callback_starts_names_that_callback),
    real_test(a_thread_of_the_pool_starts_and_ends_before_the_callback),
    real_test(each_thread_of_the_pool_has_a_number_of_its_own),
    virtual_test(a_timer_says_how_late_it_is),
    real_test(a_busy_loop_makes_timers_late_on_the_real_clock),
    virtual_test(the_names_of_static_functions_are_found),
    virtual_test(a_name_of_more_than_119_letters_is_cut_there),
    virtual_test(the_names_of_a_library_are_found_without_its_symbol_table),
    virtual_test(a_library_without_sections_has_no_names),
    virtual_test(an_address_that_is_no_function_has_no_name),
    virtual_test(a_name_is_cut_at_the_size_of_its_buffer),
    virtual_test(a_long_name_is_cut_nowhere_else),
    virtual_test(the_text_is_this),
    virtual_test(the_text_is_the_same_when_the_first_event_is_at_zero),
    virtual_test(the_text_has_colours_when_asked),
    virtual_test(ticks_before_the_first_phase_stand_outside_in_each_run),
    virtual_test(a_worker_is_named_at_its_own_callback_only),
    virtual_test(time_between_two_runs_is_neither_asleep_nor_awake),
    virtual_test(the_chrome_trace_is_nested_and_whole),
    virtual_test(a_chrome_trace_of_several_runs_is_nested),
    virtual_test(a_chrome_trace_of_an_idle_loop_is_whole_too),
    virtual_test(a_chrome_trace_begun_and_ended_in_callbacks_is_nested),
    virtual_test(a_full_disk_is_told_at_the_end),
    virtual_test(LOOP_TRACE_text_traces_a_program_that_knows_nothing_of_it),
    virtual_test(LOOP_TRACE_that_is_empty_asks_for_nothing),
    virtual_test(LOOP_TRACE_that_is_nonsense_is_told_and_the_program_runs_on),
    virtual_test(LOOP_TRACE_that_names_no_file_is_told_and_the_program_runs_on),
    virtual_test(LOOP_TRACE_without_memory_is_told_and_leaves_nothing_open),
};

int main(void)
{
    unsetenv("LOOP_TRACE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
