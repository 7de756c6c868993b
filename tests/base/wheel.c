/* The wheel, against a model of it.
 *
 * A pass fires what is due at its time and was started before it, by (deadline, start order): all
 * of it, nothing early, nothing twice. What a callback starts, whatever the deadline, waits for the
 * next pass; what it stops or restarts does not fire in this one. A deadline that has passed when
 * it is given counts as some time up to now; any other is kept as it is. wheel_next() says the
 * earliest deadline, exactly if the crowd it may look at is unbounded, and otherwise perhaps
 * earlier, never later, and never a time that has come when nothing is due. All that holds for
 * every clock and every deadline of 64 bits, and for a clock that goes back, which is then met by
 * nothing new.
 *
 * The model is an array: for each timer whether it is started, its deadline, its number. A pass
 * sorts what is due. Random programs of starts, restarts, stops, queries and passes are played on
 * both. Deadlines lie in the past, on the edges of slots, on powers of two, together, at the end of
 * the clock; the clock moves by a nanosecond or by years, to a deadline or 1 ns before it. Memory
 * of timers that are not started is overwritten, since it is the caller's.
 *
 * LOOP_TEST_SEED=N in the environment plays one program.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/wheel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMERS_MAX = 400,
    PROGRAMS = 300,
    OPERATIONS = 4000, /* in a program, but for those in callbacks */
    OPERATIONS_MIN = 1000000,
    WAKES_MAX = 2000, /* of a chain: callbacks start timers too, so it need not end */
};

static const unsigned crowd_unbounded = UINT32_MAX;

struct expected {
    bool started;
    uint64_t due_ns;
    uint64_t number; /* of the start */
};

struct program {
    struct loop_wheel wheel;
    struct loop_timer timers[TIMERS_MAX];
    struct expected expected[TIMERS_MAX];
    size_t size;    /* timers in use */
    size_t started; /* how many are */
    uint64_t now_ns;
    uint64_t latest_ns; /* that the wheel was ever told */
    uint64_t starts;
    uint64_t random;
    uint64_t seed;
    bool in_pass;
};

static struct program program;
static uint64_t operations;

_Noreturn static void give_up(const char *why)
{
    char message[128];
    int length = snprintf(message, sizeof(message), "LOOP_TEST_SEED=%llu: %s\n",
                          (unsigned long long)program.seed, why);
    if (write(STDERR_FILENO, message, (size_t)length) < 0)
        _exit(1);
    abort();
}

/* The library panics here; where it is linked with all that is inside it, its own function. */
__attribute__((weak)) _Noreturn void list_corrupt(void)
{
    give_up("a list is corrupt");
}

/* From whoever runs the tests, who finds that it takes too long. */
static void on_term(int number)
{
    (void)number;
    give_up("the wheel has not come to an end");
}

/* Like assert_true(), but says which program it was. */
static void expect(bool truth, const char *sentence)
{
    if (!truth)
        fail_msg("LOOP_TEST_SEED=%llu: %s", (unsigned long long)program.seed, sentence);
}

/* --- Numbers --- */

/* splitmix64 */
static uint64_t random_number(struct program *p)
{
    uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t below(struct program *p, size_t limit)
{
    return (size_t)(random_number(p) % limit);
}

/* As often between 2^3 and 2^4 as between 2^39 and 2^40. */
static uint64_t distance(struct program *p, unsigned bits_max)
{
    unsigned bits = (unsigned)below(p, bits_max + 1);
    return random_number(p) & ((UINT64_C(1) << bits) - 1);
}

static uint64_t after(uint64_t ns, uint64_t distance_ns)
{
    return ns < UINT64_MAX - distance_ns ? ns + distance_ns : UINT64_MAX;
}

static uint64_t before(uint64_t ns, uint64_t distance_ns)
{
    return ns > distance_ns ? ns - distance_ns : 0;
}

/* The start of a slot, of any level, or 1 ns beside it. */
static uint64_t edge(struct program *p, uint64_t ns)
{
    unsigned shift = WHEEL_GRAIN_BITS + WHEEL_DIGIT_BITS * (unsigned)below(p, LOOP_WHEEL_LEVELS);
    uint64_t start_ns = ns & ~((UINT64_C(1) << shift) - 1);
    return start_ns + below(p, 3) - 1; /* may wrap: any number will do */
}

static uint64_t deadline_of_another(struct program *p)
{
    const struct expected *other = &p->expected[below(p, p->size)];
    return other->started ? after(other->due_ns, below(p, 2)) : p->now_ns;
}

static uint64_t deadline(struct program *p)
{
    switch (below(p, 12)) {
    case 0:
        return p->now_ns;
    case 1:
        return before(p->now_ns, distance(p, 44));
    case 2:
        return edge(p, after(p->now_ns, distance(p, 44)));
    case 3:
        return edge(p, before(p->now_ns, distance(p, 24)));
    case 4:
        return UINT64_C(1) << below(p, 64);
    case 5:
        return UINT64_MAX - distance(p, 20);
    case 6:
        return UINT64_MAX;
    case 7:
    case 8:
        return deadline_of_another(p);
    case 9:
        return after(p->now_ns, distance(p, 20));
    default:
        return after(p->now_ns, distance(p, 44));
    }
}

/* --- The model --- */

static size_t index_of(const struct loop_timer *timer)
{
    return (size_t)(timer - program.timers);
}

/* The memory of a timer that is not started belongs to the caller. */
static void forget(struct program *p, size_t i)
{
    memset((void *)&p->timers[i], 0xdd, sizeof(p->timers[i]));
    p->expected[i].started = false;
    p->started--;
}

static void note_start(struct program *p, size_t i, uint64_t due_ns)
{
    struct expected *expected = &p->expected[i];
    p->started += !expected->started;
    *expected = (struct expected){true, p->timers[i].due_ns, ++p->starts};
    if (due_ns >= p->latest_ns)
        expect(expected->due_ns == due_ns, "a deadline to come was not kept as it is");
    expect(expected->due_ns >= due_ns, "a deadline was moved to earlier");
    expect(due_ns >= p->latest_ns || expected->due_ns <= p->latest_ns,
           "a deadline that has passed was moved behind now");
}

static uint64_t earliest(const struct program *p)
{
    uint64_t earliest_ns = UINT64_MAX;
    for (size_t i = 0; i < p->size; i++)
        if (p->expected[i].started && p->expected[i].due_ns < earliest_ns)
            earliest_ns = p->expected[i].due_ns;
    return earliest_ns;
}

struct turn {
    size_t index;
    struct expected expected;
};

static int compare(const void *left, const void *right)
{
    const struct expected *a = &((const struct turn *)left)->expected;
    const struct expected *b = &((const struct turn *)right)->expected;
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static size_t collect_due(const struct program *p, struct turn *turns)
{
    size_t count = 0;
    for (size_t i = 0; i < p->size; i++)
        if (p->expected[i].started && p->expected[i].due_ns <= p->now_ns)
            turns[count++] = (struct turn){i, p->expected[i]};
    qsort(turns, count, sizeof(*turns), compare);
    return count;
}

/* Whether it is still started, and has not been started anew. */
static bool still_due(const struct program *p, const struct turn *turn)
{
    const struct expected *expected = &p->expected[turn->index];
    return expected->started && expected->number == turn->expected.number;
}

/* --- The operations, on both --- */

static void start(struct program *p, size_t i, uint64_t due_ns)
{
    if (p->expected[i].started)
        wheel_restart(&p->wheel, &p->timers[i], due_ns);
    else
        wheel_start(&p->wheel, &p->timers[i], due_ns);
    note_start(p, i, due_ns);
}

static void stop(struct program *p, size_t i)
{
    if (!p->expected[i].started)
        return;
    wheel_stop(&p->wheel, &p->timers[i]);
    forget(p, i);
}

/* In a pass "now" is as good as a deadline that has come. */
static uint64_t not_before_now(const struct program *p, uint64_t ns)
{
    return p->in_pass && ns < p->now_ns ? p->now_ns : ns;
}

static void ask(struct program *p)
{
    uint64_t exact_ns = not_before_now(p, earliest(p));
    uint64_t crowded_ns = wheel_next(&p->wheel, p->now_ns, (unsigned)below(p, 2 * WHEEL_CROWD));
    expect(crowded_ns <= exact_ns, "wheel_next() is late");
    expect(crowded_ns > p->now_ns || exact_ns <= p->now_ns, "wheel_next() is due when nothing is");
    uint64_t next_ns = wheel_next(&p->wheel, p->now_ns, crowd_unbounded);
    expect(not_before_now(p, next_ns) == exact_ns, "wheel_next() is not exact");
}

static void operate(struct program *p)
{
    size_t i = below(p, p->size);
    size_t choice = below(p, 20);
    operations++;
    if (choice < 13)
        start(p, i, deadline(p));
    else if (choice < 15 && p->expected[i].started)
        start(p, i, after(p->expected[i].due_ns, distance(p, 44)));
    else if (choice < 18)
        stop(p, i);
    else
        ask(p);
    expect(wheel_empty(&p->wheel) == (p->started == 0), "wheel_empty() is wrong");
}

static void pass(struct program *p)
{
    struct turn turns[TIMERS_MAX];
    size_t count = collect_due(p, turns);
    size_t next = 0;
    uint64_t last_seq = p->wheel.seq;
    struct loop_timer *timer;
    p->in_pass = true;
    wheel_pass_begin(&p->wheel, p->now_ns);
    while ((timer = wheel_pass_next(&p->wheel, last_seq))) {
        while (next < count && !still_due(p, &turns[next]))
            next++;
        expect(next < count, "a timer fired that was not due");
        expect(index_of(timer) == turns[next++].index, "timers fired out of order");
        forget(p, index_of(timer));
        for (size_t n = below(p, 3); n > 0; n--)
            operate(p);
    }
    wheel_pass_end(&p->wheel);
    p->in_pass = false;
    while (next < count && !still_due(p, &turns[next]))
        next++;
    expect(next == count, "a timer that was due did not fire");
    expect(wheel_empty(&p->wheel) == (p->started == 0), "wheel_empty() is wrong after a pass");
}

/* Where the clock goes. */
static uint64_t time_to_come(struct program *p)
{
    switch (below(p, 10)) {
    case 0:
        return p->now_ns;
    case 1:
        return before(earliest(p), 1);
    case 2:
    case 3:
        return earliest(p);
    case 4:
        return wheel_next(&p->wheel, p->now_ns, WHEEL_CROWD);
    case 5:
        return deadline_of_another(p);
    case 6:
        return edge(p, after(p->now_ns, distance(p, 42)));
    case 7:
        return after(p->now_ns, 1);
    case 8:
        return after(p->now_ns, distance(p, below(p, 20) == 0 ? 56 : 22));
    default:
        return after(p->now_ns, distance(p, 42));
    }
}

/* The end of the clock is reached seldom: it is where programs end. */
static void move_clock(struct program *p)
{
    uint64_t to_ns = time_to_come(p);
    if (to_ns > p->now_ns && to_ns - p->now_ns > UINT64_C(1) << 57 && below(p, 200) > 0)
        to_ns = after(p->now_ns, distance(p, 42));
    if (to_ns > p->now_ns)
        p->now_ns = to_ns;
    else if (below(p, 50) == 0)
        p->now_ns = before(p->now_ns, distance(p, 24));
    if (p->now_ns > p->latest_ns)
        p->latest_ns = p->now_ns;
}

/* --- The tests --- */

static void begin(struct program *p, uint64_t seed, uint64_t base_ns, size_t size)
{
    memset(p, 0, sizeof(*p));
    p->random = p->seed = seed;
    p->now_ns = p->latest_ns = base_ns;
    p->size = size;
    wheel_init(&p->wheel, base_ns);
}

static uint64_t base(struct program *p)
{
    switch (below(p, 5)) {
    case 0:
        return distance(p, 16);
    case 1:
        return edge(p, random_number(p));
    case 2:
        return UINT64_MAX - distance(p, 50);
    case 3:
        return distance(p, 50);
    default:
        return random_number(p);
    }
}

static void play(uint64_t seed)
{
    static const size_t sizes[] = {1, 2, 7, 9, 40, TIMERS_MAX};
    struct program *p = &program;
    begin(p, seed, 0, 1);
    begin(p, seed, base(p), sizes[below(p, ARRAY_LENGTH(sizes))]);
    for (int i = 0; i < OPERATIONS; i++) {
        operate(p);
        if (below(p, 6) > 0)
            continue;
        move_clock(p);
        pass(p);
    }
}

static void random_programs_fire_all_that_is_due_in_exact_order(void **state)
{
    (void)state;
    const char *one = getenv("LOOP_TEST_SEED");
    if (one) {
        play(strtoull(one, NULL, 0));
        return;
    }
    operations = 0;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++)
        play(seed);
    assert_true(operations >= OPERATIONS_MIN);
}

/* As a loop does it: asked for the next deadline, it sleeps until then and not a nanosecond
 * longer. */
static void sleep_through(struct program *p, unsigned crowd_max)
{
    for (int wakes = 0; wakes < WAKES_MAX && p->started > 0; wakes++) {
        uint64_t earliest_ns = earliest(p);
        uint64_t next_ns = wheel_next(&p->wheel, p->now_ns, crowd_max);
        expect(next_ns <= earliest_ns, "wheel_next() would oversleep");
        expect(next_ns > p->now_ns || earliest_ns <= p->now_ns, "wheel_next() would spin");
        expect(crowd_max != crowd_unbounded || next_ns == earliest_ns, "wheel_next() is not exact");
        if (next_ns > p->now_ns)
            p->now_ns = p->latest_ns = next_ns;
        pass(p);
    }
}

static void sleeping_exactly_to_the_next_deadline_misses_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct program *p = &program;
        begin(p, seed, seed % 2 ? distance(p, 50) : 0, TIMERS_MAX);
        for (size_t i = 0; i < p->size; i++)
            start(p, i, after(p->now_ns, distance(p, 40)));
        sleep_through(p, seed % 3 ? WHEEL_CROWD : crowd_unbounded);
    }
}

/* One timer at the first and one at the last nanosecond of every slot, looked at 1 ns too early. */
static void check_edges_of_slot(struct program *p, unsigned slot)
{
    uint64_t start_ns = (slot % LOOP_WHEEL_SLOTS + UINT64_C(0)) << wheel_shift(slot);
    uint64_t edges_ns[] = {start_ns, start_ns + (UINT64_C(1) << wheel_shift(slot)) - 1};
    begin(p, slot, 0, 2);
    for (size_t i = 0; i < 2; i++)
        start(p, i, edges_ns[i]);
    for (size_t i = 0; i < 2; i++) {
        p->now_ns = before(edges_ns[i], 1);
        wheel_pass_begin(&p->wheel, p->now_ns);
        bool early = edges_ns[i] > 0 && wheel_pass_next(&p->wheel, p->wheel.seq);
        wheel_pass_end(&p->wheel);
        expect(!early, "a timer fired 1 ns early");
        p->now_ns = edges_ns[i];
        wheel_pass_begin(&p->wheel, p->now_ns);
        expect(wheel_pass_next(&p->wheel, p->wheel.seq) == &p->timers[i], "a timer did not fire");
        wheel_pass_end(&p->wheel);
    }
    expect(wheel_empty(&p->wheel), "something is left");
}

static void every_slot_is_exact_at_both_edges(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < LOOP_WHEEL_LEVELS * LOOP_WHEEL_SLOTS; slot++)
        check_edges_of_slot(&program, slot);
}

/* As 100,000 connections whose idle timeouts are set in one turn: filed one way round, restarted
 * the other, so that the slot is in the worst order for a sort. */
static void many_equal_deadlines_fire_in_the_order_of_their_last_start(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    struct loop_timer *timers = calloc(MANY, sizeof(*timers));
    struct loop_wheel *wheel = &program.wheel;
    assert_non_null(timers);
    wheel_init(wheel, 0);
    for (size_t i = 0; i < MANY; i++)
        wheel_start(wheel, &timers[i], LOOP_SEC);
    for (size_t i = MANY; i-- > 0;)
        wheel_restart(wheel, &timers[i], 2 * LOOP_SEC);
    wheel_pass_begin(wheel, 2 * LOOP_SEC);
    for (size_t i = MANY; i-- > 0;)
        assert_ptr_equal(wheel_pass_next(wheel, wheel->seq), &timers[i]);
    assert_null(wheel_pass_next(wheel, wheel->seq));
    wheel_pass_end(wheel);
    free(timers);
}

static void an_empty_wheel_has_no_deadline(void **state)
{
    (void)state;
    struct program *p = &program;
    begin(p, 0, 12345, 1);
    assert_true(wheel_empty(&p->wheel));
    assert_true(wheel_next(&p->wheel, p->now_ns, WHEEL_CROWD) == LOOP_NEVER);
    start(p, 0, LOOP_NEVER);
    assert_false(wheel_empty(&p->wheel));
    assert_true(wheel_next(&p->wheel, p->now_ns, WHEEL_CROWD) == LOOP_NEVER);
    stop(p, 0);
    assert_true(wheel_empty(&p->wheel));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_wheel_has_no_deadline),
        cmocka_unit_test(every_slot_is_exact_at_both_edges),
        cmocka_unit_test(many_equal_deadlines_fire_in_the_order_of_their_last_start),
        cmocka_unit_test(sleeping_exactly_to_the_next_deadline_misses_none),
        cmocka_unit_test(random_programs_fire_all_that_is_due_in_exact_order),
    };
    signal(SIGTERM, on_term);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
