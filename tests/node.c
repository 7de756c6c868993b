/* The loop in Node's words.
 *
 * Ticks come before microtasks, both before all else, and after every callback; a timeout of 0 is
 * one of 1 ms and so comes behind an immediate on a clock that stands still. Delays are whole
 * milliseconds, between 1 and 2147483647 of them or else one, and count from the call.
 *
 * What was cleared does not run, whatever its kind, whoever clears it and however late. An id finds
 * what it was given for, or nothing: what has run, was cleared, or was never given is harmless to
 * clear, refresh, ref and unref, even when another now has its place. A timeout may be refreshed as
 * long as its function has not returned, an interval as long as it was not cleared.
 *
 * Memory is the library's: an id is 0 when there is none to be had, and loop_fini() frees what is
 * left, unless it refuses: then it does nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_MS UINT64_C(2147483647)

enum kind { TIMEOUT, INTERVAL, IMMEDIATE, TICK, MICROTASK, KINDS };

/* What a function is given: its name, and what it is to do when it runs. */
struct step {
    struct loop *loop;
    const char *name;
    loop_id id;
    struct step *other;
    int left; /* how often it does what it does */
};

static void speak(void *arg)
{
    struct step *step = arg;
    say("%s", step->name);
}

static void speak_at(void *arg)
{
    struct step *step = arg;
    say("%s@%d", step->name, (int)(loop_now(step->loop) / LOOP_MS));
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static loop_id set(struct loop *loop, enum kind kind, loop_node_fn fn, void *arg)
{
    switch (kind) {
    case TIMEOUT:
        return loop_set_timeout(loop, 0, fn, arg);
    case INTERVAL:
        return loop_set_interval(loop, 0, fn, arg);
    case IMMEDIATE:
        return loop_set_immediate(loop, fn, arg);
    case TICK:
        return loop_process_next_tick(loop, fn, arg);
    default:
        return loop_queue_microtask(loop, fn, arg);
    }
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

/* --- order --- */

static void each_kind_runs_in_nodes_order(void **state)
{
    struct loop *loop = *state;
    struct step timeout = {.name = "timeout"}, immediate = {.name = "immediate"};
    struct step microtask = {.name = "microtask"}, tick = {.name = "tick"};
    assert_true(loop_set_timeout(loop, 0, speak, &timeout) != 0);
    assert_true(loop_set_immediate(loop, speak, &immediate) != 0);
    assert_true(loop_queue_microtask(loop, speak, &microtask) != 0);
    assert_true(loop_process_next_tick(loop, speak, &tick) != 0);
    say("main");
    run(loop);
    assert_said("main tick microtask immediate timeout");
}

static void queue_all(void *arg)
{
    static struct step microtask = {.name = "microtask"}, tick = {.name = "tick"};
    static struct step immediate = {.name = "immediate"}, timeout = {.name = "timeout"};
    struct step *step = arg;
    speak(step);
    loop_set_timeout(step->loop, 0, speak, &timeout);
    loop_set_immediate(step->loop, speak, &immediate);
    loop_queue_microtask(step->loop, speak, &microtask);
    loop_process_next_tick(step->loop, speak, &tick);
}

static void ticks_and_microtasks_come_between_two_timeouts(void **state)
{
    struct loop *loop = *state;
    struct step first = {.name = "first", .loop = loop}, second = {.name = "second"};
    loop_set_timeout(loop, LOOP_MS, queue_all, &first);
    loop_set_timeout(loop, LOOP_MS, speak, &second);
    run(loop);
    assert_said("first tick microtask second immediate timeout");
}

static void queue_both(void *arg)
{
    static struct step tick = {.name = "tick-of-microtask"}, last = {.name = "microtask-of-it"};
    struct step *step = arg;
    speak(step);
    loop_process_next_tick(step->loop, speak, &tick);
    loop_queue_microtask(step->loop, speak, &last);
}

static void a_tick_of_a_microtask_waits_for_all_microtasks(void **state)
{
    struct loop *loop = *state;
    struct step first = {.name = "a", .loop = loop}, second = {.name = "b"};
    loop_queue_microtask(loop, queue_both, &first);
    loop_queue_microtask(loop, speak, &second);
    run(loop);
    assert_said("a b microtask-of-it tick-of-microtask");
}

static void equal_timeouts_run_in_the_order_of_their_calls(void **state)
{
    struct loop *loop = *state;
    struct step steps[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++)
        loop_set_timeout(loop, i * LOOP_MS / 2, speak, &steps[i]); /* 0, 0.5 and 1 ms are one */
    run(loop);
    assert_said("a b c");
}

/* --- delays --- */

/* How long after the call a timeout of so long runs. */
static uint64_t ran_at(struct loop *loop, uint64_t after_ns)
{
    int runs = 0;
    uint64_t start_ns = loop_now(loop);
    loop_id id = loop_set_timeout(loop, after_ns, count, &runs);
    assert_true(id != 0);
    run(loop);
    assert_int_equal(1, runs);
    return loop_now(loop) - start_ns;
}

static void delays_are_whole_milliseconds(void **state)
{
    struct loop *loop = *state;
    assert_true(ran_at(loop, 0) == LOOP_MS);
    assert_true(ran_at(loop, 1) == LOOP_MS);
    assert_true(ran_at(loop, LOOP_MS) == LOOP_MS);
    assert_true(ran_at(loop, 19 * LOOP_MS / 10) == LOOP_MS);
    assert_true(ran_at(loop, 2 * LOOP_MS - 1) == LOOP_MS);
    assert_true(ran_at(loop, 2 * LOOP_MS) == 2 * LOOP_MS);
    assert_true(ran_at(loop, DELAY_MAX_MS * LOOP_MS) == DELAY_MAX_MS * LOOP_MS);
}

static void a_delay_beyond_the_longest_is_the_shortest(void **state)
{
    struct loop *loop = *state;
    assert_true(ran_at(loop, (DELAY_MAX_MS + 1) * LOOP_MS) == LOOP_MS);
    assert_true(ran_at(loop, LOOP_NEVER) == LOOP_MS);
}

/* Node compares before it cuts off. */
static void half_a_millisecond_beyond_the_longest_is_beyond_it(void **state)
{
    struct loop *loop = *state;
    assert_true(ran_at(loop, DELAY_MAX_MS * LOOP_MS + LOOP_MS / 2) == LOOP_MS);
}

static void speak_and_clear(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    if (--step->left == 0)
        loop_clear(step->loop, step->id);
}

static void an_interval_has_the_delays_of_a_timeout(void **state)
{
    struct loop *loop = *state;
    struct step shortest = {.name = "short", .loop = loop, .left = 2};
    struct step cut = {.name = "cut", .loop = loop, .left = 2};
    shortest.id = loop_set_interval(loop, LOOP_NEVER, speak_and_clear, &shortest);
    cut.id = loop_set_interval(loop, 5 * LOOP_MS - 1, speak_and_clear, &cut);
    run(loop);
    assert_said("short@1 short@2 cut@4 cut@8");
}

static struct loop *timed_loop;

static void note_time(void *arg)
{
    *(uint64_t *)arg = loop_now(timed_loop);
}

static void a_delay_counts_from_the_call_and_not_from_the_cached_clock(void **state)
{
    struct loop *loop = *state;
    uint64_t ran_ns = 0;
    timed_loop = loop;
    uint64_t cached_ns = loop_now(loop);
    busy_ns(5 * LOOP_MS);
    loop_set_timeout(loop, 2 * LOOP_MS, note_time, &ran_ns);
    run(loop);
    assert_true(ran_ns >= cached_ns + 7 * LOOP_MS);
}

/* --- clearing --- */

static void what_is_cleared_before_the_loop_runs_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "no"};
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++) {
        loop_id id = set(loop, kind, speak, &step);
        assert_true(id != 0);
        assert_true(loop_alive(loop));
        loop_clear(loop, id);
        assert_false(loop_alive(loop));
    }
    run(loop);
    assert_said("");
}

static void clear_other(void *arg)
{
    struct step *step = arg;
    speak(step);
    loop_clear(step->loop, step->other->id);
}

/* Both are due in the same pass, drain or phase. */
static void what_an_earlier_callback_of_its_kind_clears_does_not_run(void **state)
{
    struct loop *loop = *state;
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++) {
        struct step third = {.name = "third"}, second = {.name = "second"};
        struct step first = {.name = "first", .loop = loop, .other = &second};
        set(loop, kind == INTERVAL ? TIMEOUT : kind, clear_other, &first);
        second.id = set(loop, kind, speak, &second);
        set(loop, kind == INTERVAL ? TIMEOUT : kind, speak, &third);
        run(loop);
        assert_said("first third");
    }
}

static void what_another_kind_of_callback_clears_does_not_run(void **state)
{
    struct loop *loop = *state;
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++) {
        struct step victim = {.name = "victim"};
        struct step tick = {.name = "tick", .loop = loop, .other = &victim};
        loop_process_next_tick(loop, clear_other, &tick);
        victim.id = set(loop, kind, speak, &victim);
        run(loop);
        assert_said("tick");
    }
}

static void an_interval_runs_until_its_own_function_clears_it(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "i", .loop = loop, .left = 3};
    step.id = loop_set_interval(loop, 5 * LOOP_MS, speak_and_clear, &step);
    run(loop);
    assert_said("i@5 i@10 i@15");
    assert_false(loop_alive(loop));
}

static void clear_and_replace(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    loop_clear(step->loop, step->id);
    step->other->id = loop_set_timeout(step->loop, 2 * LOOP_MS, speak_at, step->other);
    loop_clear(step->loop, step->id);
}

static void what_takes_the_place_of_one_that_cleared_itself_runs(void **state)
{
    struct loop *loop = *state;
    for (enum kind kind = TIMEOUT; kind <= INTERVAL; kind++) {
        struct step heir = {.name = "heir", .loop = loop};
        struct step step = {.name = "self", .loop = loop, .other = &heir};
        uint64_t start_ns = loop_now(loop);
        step.id = set(loop, kind, clear_and_replace, &step);
        run(loop);
        assert_true(loop_now(loop) == start_ns + 3 * LOOP_MS);
        assert_true(heir.id != 0 && heir.id != step.id);
        assert_non_null(strstr(said(), "heir@"));
    }
}

static void a_timeout_that_clears_itself_has_still_run_once(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "t", .loop = loop, .left = 1};
    step.id = loop_set_timeout(loop, LOOP_MS, speak_and_clear, &step);
    run(loop);
    assert_said("t@1");
}

/* --- stale ids --- */

static void poke(struct loop *loop, loop_id id)
{
    loop_refresh(loop, id);
    loop_id_unref(loop, id);
    loop_id_ref(loop, id);
    loop_id_unref(loop, id);
    loop_clear(loop, id);
}

static void the_id_of_what_has_run_is_harmless(void **state)
{
    struct loop *loop = *state;
    for (enum kind old = TIMEOUT; old < KINDS; old++)
        for (enum kind new = TIMEOUT; new < KINDS; new ++) {
            struct step first = {.name = "first", .loop = loop};
            struct step second = {.name = "second", .loop = loop};
            if (old == INTERVAL || new == INTERVAL)
                continue;
            loop_id stale = set(loop, old, speak, &first);
            run(loop);
            poke(loop, stale);
            assert_true(set(loop, new, speak, &second) != stale);
            poke(loop, stale);
            assert_true(loop_alive(loop));
            run(loop);
            assert_said("first second");
        }
}

static void the_id_of_what_was_cleared_does_not_clear_what_has_its_place(void **state)
{
    struct loop *loop = *state;
    loop_id stale[1000];
    int runs = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(stale); i++) {
        stale[i] = set(loop, (enum kind)(i % KINDS), count, &runs);
        for (size_t k = 0; k < i; k++)
            assert_true(stale[k] != stale[i]);
        loop_clear(loop, stale[i]);
    }
    loop_set_timeout(loop, LOOP_MS, count, &runs);
    loop_set_immediate(loop, count, &runs);
    for (size_t i = 0; i < ARRAY_LENGTH(stale); i++)
        poke(loop, stale[i]);
    run(loop);
    assert_int_equal(2, runs);
}

static void ids_that_were_never_given_are_harmless(void **state)
{
    struct loop *loop = *state;
    const loop_id ids[] = {0, 1, 2, 63, 64, 65, 1000, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    int runs = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++)
        poke(loop, ids[i]);
    loop_id id = loop_set_timeout(loop, LOOP_MS, count, &runs);
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++)
        if (ids[i] != id)
            poke(loop, ids[i]);
    poke(loop, id + 1);
    poke(loop, id + (UINT64_C(1) << 32));
    poke(loop, id - (UINT64_C(1) << 32));
    assert_true(loop_alive(loop));
    run(loop);
    assert_int_equal(1, runs);
}

/* --- refresh --- */

static void refresh_other(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    loop_refresh(step->loop, step->other->id);
}

static void a_refreshed_timeout_starts_over(void **state)
{
    struct loop *loop = *state;
    struct step timeout = {.name = "t", .loop = loop};
    struct step other = {.name = "o", .loop = loop, .other = &timeout};
    timeout.id = loop_set_timeout(loop, 5 * LOOP_MS, speak_at, &timeout);
    loop_set_timeout(loop, 3 * LOOP_MS, refresh_other, &other);
    run(loop);
    assert_said("o@3 t@8");
}

static void a_refreshed_interval_starts_over_and_goes_on(void **state)
{
    struct loop *loop = *state;
    struct step interval = {.name = "i", .loop = loop, .left = 2};
    struct step other = {.name = "o", .loop = loop, .other = &interval};
    interval.id = loop_set_interval(loop, 4 * LOOP_MS, speak_and_clear, &interval);
    loop_set_timeout(loop, 2 * LOOP_MS, refresh_other, &other);
    run(loop);
    assert_said("o@2 i@6 i@10");
}

static void a_refreshed_timeout_moves_behind_its_peers(void **state)
{
    struct loop *loop = *state;
    struct step a = {.name = "a"}, b = {.name = "b"};
    loop_id id = loop_set_timeout(loop, LOOP_MS, speak, &a);
    loop_set_timeout(loop, LOOP_MS, speak, &b);
    loop_refresh(loop, id);
    run(loop);
    assert_said("b a");
}

static void a_timeout_due_in_this_pass_that_is_refreshed_waits(void **state)
{
    struct loop *loop = *state;
    struct step timeout = {.name = "t", .loop = loop};
    struct step other = {.name = "o", .loop = loop, .other = &timeout};
    loop_set_timeout(loop, 3 * LOOP_MS, refresh_other, &other);
    timeout.id = loop_set_timeout(loop, 3 * LOOP_MS, speak_at, &timeout);
    run(loop);
    assert_said("o@3 t@6");
}

static void refresh_self(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    if (step->left-- > 0)
        loop_refresh(step->loop, step->id);
}

static void a_timeout_may_be_refreshed_in_its_own_function(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "t", .loop = loop, .left = 2};
    step.id = loop_set_timeout(loop, 5 * LOOP_MS, refresh_self, &step);
    run(loop);
    assert_said("t@5 t@10 t@15");
    poke(loop, step.id);
    run(loop);
    assert_said("");
}

static void refresh_then_clear(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    loop_refresh(step->loop, step->id);
    loop_clear(step->loop, step->id);
    loop_refresh(step->loop, step->id);
}

static void a_timeout_refreshed_and_cleared_in_its_own_function_is_over(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "t", .loop = loop};
    step.id = loop_set_timeout(loop, LOOP_MS, refresh_then_clear, &step);
    run(loop);
    assert_said("t@1");
}

static void refreshing_a_task_does_nothing(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "task"};
    for (enum kind kind = IMMEDIATE; kind < KINDS; kind++) {
        loop_refresh(loop, set(loop, kind, speak, &step));
        run(loop);
        assert_said("task");
    }
}

/* --- ref and unref --- */

static void unreferenced_ones_alone_do_not_keep_the_loop_alive(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "ran"};
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++) {
        loop_id id = set(loop, kind, speak, &step);
        loop_id_unref(loop, id);
        loop_id_unref(loop, id);
        assert_false(loop_alive(loop));
        loop_id_ref(loop, id);
        loop_id_ref(loop, id);
        assert_true(loop_alive(loop));
        loop_id_unref(loop, id);
        assert_false(loop_alive(loop));
        if (kind <= IMMEDIATE)
            run(loop);
        assert_said("");
        loop_clear(loop, id);
    }
}

static void what_is_referenced_again_runs(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "ran"};
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++) {
        if (kind == INTERVAL)
            continue;
        loop_id id = set(loop, kind, speak, &step);
        loop_id_unref(loop, id);
        loop_id_ref(loop, id);
        run(loop);
        assert_said("ran");
    }
}

static void an_unreferenced_interval_runs_as_long_as_others_do(void **state)
{
    struct loop *loop = *state;
    struct step interval = {.name = "i", .loop = loop}, timeout = {.name = "t", .loop = loop};
    loop_id_unref(loop, loop_set_interval(loop, 3 * LOOP_MS, speak_at, &interval));
    loop_set_timeout(loop, 10 * LOOP_MS, speak_at, &timeout);
    run(loop);
    assert_said("i@3 i@6 i@9 t@10");
}

static void unref_self(void *arg)
{
    struct step *step = arg;
    speak_at(step);
    loop_id_unref(step->loop, step->id);
}

static void an_interval_unreferenced_in_its_own_function_ends_the_loop(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "i", .loop = loop};
    step.id = loop_set_interval(loop, LOOP_MS, unref_self, &step);
    run(loop);
    assert_said("i@1");
}

static void a_refreshed_timeout_stays_unreferenced(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "t", .loop = loop};
    loop_id id = loop_set_timeout(loop, LOOP_MS, speak_at, &step);
    loop_id_unref(loop, id);
    loop_refresh(loop, id);
    run(loop);
    assert_said("");
}

static void the_place_of_an_unreferenced_one_is_no_heirloom(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "ran"};
    for (enum kind old = TIMEOUT; old < KINDS; old++)
        for (enum kind new = IMMEDIATE; new < KINDS; new ++) {
            loop_id id = set(loop, old, speak, &step);
            loop_id_unref(loop, id);
            loop_clear(loop, id);
            set(loop, new, speak, &step);
            assert_true(loop_alive(loop));
            run(loop);
            assert_said("ran");
        }
}

/* --- memory --- */

static void what_is_left_is_freed_by_fini(void **state)
{
    struct loop *loop = *state;
    static int runs;
    for (int i = 0; i < 200; i++)
        assert_true(set(loop, (enum kind)(i % KINDS), count, &runs) != 0);
    loop_id_unref(loop, loop_set_timeout(loop, LOOP_MS, count, &runs));
    assert_true(loop_alive(loop)); /* teardown looks at the rest */
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void a_refused_fini_leaves_all_as_it_was(void **state)
{
    struct loop *loop = *state;
    struct step step = {.name = "timeout"};
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer);
    loop_set_timeout(loop, 2 * LOOP_MS, speak, &step);
    assert_int_equal(-EBUSY, loop_fini(loop));
    run(loop);
    assert_said("timer timeout");
}

static void ten_thousand_at_once_all_run(void **state)
{
    enum { MANY = 10000 };
    struct loop *loop = *state;
    loop_id *ids = calloc(MANY, sizeof(*ids));
    int runs = 0;
    assert_non_null(ids);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            enum kind kind = (enum kind)(i % KINDS);
            ids[i] = set(loop, kind == INTERVAL ? TIMEOUT : kind, count, &runs);
            assert_true(ids[i] != 0);
        }
        for (size_t i = 0; i < MANY; i += 4)
            loop_clear(loop, ids[i]);
        run(loop);
        assert_int_equal((round + 1) * MANY * 3 / 4, runs);
        for (size_t i = 0; i < MANY; i++)
            poke(loop, ids[i]);
    }
    free(ids);
}

static void close_it(struct loop_handle *handle, void *arg)
{
    (void)arg;
    loop_close(handle, NULL);
}

static void never(void *arg)
{
    (void)arg;
    say("never");
}

/* A walk shows the library's own timers to programs that close whatever there is. */
static void a_timer_that_was_closed_in_a_walk_is_cleared_and_refreshed_harmlessly(void **state)
{
    loop_id id = loop_set_timeout(*state, LOOP_SEC, never, NULL);
    loop_set_interval(*state, LOOP_SEC, never, NULL);
    loop_walk(*state, close_it, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    loop_refresh(*state, id);
    loop_clear(*state, id);
    assert_said("");
}

static void no_function_gives_no_id(void **state)
{
    struct loop *loop = *state;
    for (enum kind kind = TIMEOUT; kind < KINDS; kind++)
        assert_true(set(loop, kind, NULL, NULL) == 0);
    assert_false(loop_alive(loop));
    run(loop);
}

/* Memory that is refused once, at the call whose turn it is. */
struct scarcity {
    int until_refusal;
    int held;
};

static void *resize_once_in_vain(void *ctx, void *memory, size_t size)
{
    struct scarcity *scarcity = ctx;
    if (size > 0 && --scarcity->until_refusal == 0)
        return NULL;
    if (size == 0) {
        scarcity->held -= memory != NULL;
        free(memory);
        return NULL;
    }
    scarcity->held += memory == NULL;
    return realloc(memory, size);
}

/* Returns false when memory lasted. */
static bool try_with(int refused_call)
{
    enum { EACH = 100 };
    struct scarcity scarcity = {.until_refusal = refused_call};
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL,
                                   .allocator = {resize_once_in_vain, &scarcity}};
    struct loop loop;
    int given = 0, runs = 0;
    if (loop_init(&loop, &options) == 0) {
        for (int i = 0; i < EACH; i++)
            for (enum kind kind = TIMEOUT; kind < KINDS; kind++)
                given += set(&loop, kind == INTERVAL ? TIMEOUT : kind, count, &runs) != 0;
        assert_true(given >= EACH * KINDS - 1);
        assert_int_equal(0, loop_run(&loop, LOOP_RUN_DEFAULT));
        assert_int_equal(given, runs);
        loop_set_interval(&loop, LOOP_MS, count, &runs);
        loop_set_immediate(&loop, count, &runs);
        assert_int_equal(0, loop_fini(&loop));
    }
    assert_int_equal(0, scarcity.held);
    return scarcity.until_refusal <= 0;
}

static void an_id_is_0_when_memory_runs_out_and_all_else_runs(void **state)
{
    (void)state;
    int refused_call = 1;
    while (try_with(refused_call))
        refused_call++;
    assert_true(refused_call > 5); /* the loop's own, and several chunks */
}

static const struct CMUnitTest tests[] = {
    virtual_test(each_kind_runs_in_nodes_order),
    virtual_test(ticks_and_microtasks_come_between_two_timeouts),
    virtual_test(a_tick_of_a_microtask_waits_for_all_microtasks),
    virtual_test(equal_timeouts_run_in_the_order_of_their_calls),
    virtual_test(delays_are_whole_milliseconds),
    virtual_test(a_delay_beyond_the_longest_is_the_shortest),
    virtual_test(half_a_millisecond_beyond_the_longest_is_beyond_it),
    virtual_test(an_interval_has_the_delays_of_a_timeout),
    real_test(a_delay_counts_from_the_call_and_not_from_the_cached_clock),
    virtual_test(what_is_cleared_before_the_loop_runs_does_not_run),
    virtual_test(what_an_earlier_callback_of_its_kind_clears_does_not_run),
    virtual_test(what_another_kind_of_callback_clears_does_not_run),
    virtual_test(an_interval_runs_until_its_own_function_clears_it),
    virtual_test(what_takes_the_place_of_one_that_cleared_itself_runs),
    virtual_test(a_timeout_that_clears_itself_has_still_run_once),
    virtual_test(the_id_of_what_has_run_is_harmless),
    virtual_test(the_id_of_what_was_cleared_does_not_clear_what_has_its_place),
    virtual_test(ids_that_were_never_given_are_harmless),
    virtual_test(a_refreshed_timeout_starts_over),
    virtual_test(a_refreshed_interval_starts_over_and_goes_on),
    virtual_test(a_refreshed_timeout_moves_behind_its_peers),
    virtual_test(a_timeout_due_in_this_pass_that_is_refreshed_waits),
    virtual_test(a_timeout_may_be_refreshed_in_its_own_function),
    virtual_test(a_timeout_refreshed_and_cleared_in_its_own_function_is_over),
    virtual_test(refreshing_a_task_does_nothing),
    virtual_test(unreferenced_ones_alone_do_not_keep_the_loop_alive),
    virtual_test(what_is_referenced_again_runs),
    virtual_test(an_unreferenced_interval_runs_as_long_as_others_do),
    virtual_test(an_interval_unreferenced_in_its_own_function_ends_the_loop),
    virtual_test(a_refreshed_timeout_stays_unreferenced),
    virtual_test(the_place_of_an_unreferenced_one_is_no_heirloom),
    virtual_test(what_is_left_is_freed_by_fini),
    virtual_test(a_refused_fini_leaves_all_as_it_was),
    virtual_test(ten_thousand_at_once_all_run),
    virtual_test(a_timer_that_was_closed_in_a_walk_is_cleared_and_refreshed_harmlessly),
    virtual_test(no_function_gives_no_id),
    virtual_test(an_id_is_0_when_memory_runs_out_and_all_else_runs),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
