/* Threads that wake a loop, as many and as unruly as a program may have.
 *
 * What a thread wrote before it sent or posted is seen by the callback that follows: nothing it
 * wrote may be left behind a loop that was told already, nor behind one that was about to sleep. A
 * sender here writes a number with a relaxed store, sends, and waits until the loop has seen it,
 * many times; a wake-up that is lost leaves both waiting for ever, and the test does not end. No
 * timer looks after that: it would be the one that wakes the loop. Handles are closed and loops are
 * finished while threads still send to them; those find out by -ECANCELED and touch nothing that is
 * gone. What is sent may end the loop while the sender is still inside the call. Two loops play
 * ball.
 *
 * LOOP_TEST_ROUNDS in the environment says how many rounds. The 200,000 that it is otherwise fail
 * on two processors if a sender looks at the waker's flag before its own writes are out, and if the
 * loop falls asleep without a fence. They are cut short where they take long, as they do where each
 * of them has to wait for a processor: on one, the test says little anyway.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { STEP = 48, TURN = 256 }; /* for dawdle(): what the loop needs to call back, and for a turn */

static uint64_t rounds(void)
{
    const char *asked = getenv("LOOP_TEST_ROUNDS");
    uint64_t count = asked ? strtoull(asked, NULL, 10) : 0;
    return count ? count : 200000;
}

static uint64_t load(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void store(uint64_t *number, uint64_t value)
{
    __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

/* A generator of its own for each thread: rand() would take a lock, and so put the threads in
 * order. */
static uint32_t random_below(uint32_t *seed, uint32_t limit)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % limit;
}

/* Lets a moment pass, any of those that are shorter than limit, so as to meet the other thread at
 * each of its steps; about a nanosecond each. */
static void dawdle(uint32_t *seed, uint32_t limit)
{
    for (volatile uint32_t count = random_below(seed, limit); count > 0; count = count - 1)
        continue;
}

/* Answers come within a microsecond, unless the loop sleeps, or needs our processor. */
static void wait_a_bit(uint32_t *waited)
{
    if (++*waited > 200)
        sched_yield();
}

/* What is seen of the senders' numbers says with this bit that none is to follow. One word says
 * both, so that all of them stop behind the same number. */
static const uint64_t ENOUGH = UINT64_C(1) << 63;

enum { TIME_S = 8, ROUNDS_MIN = 100 };

static bool is_enough(const struct loop *loop, uint64_t start_ns, uint64_t done)
{
    return done >= ROUNDS_MIN && !getenv("LOOP_TEST_ROUNDS") &&
           loop_now(loop) - start_ns > TIME_S * LOOP_SEC;
}

static uint64_t start_of_rounds(struct loop *loop)
{
    loop_update_now(loop);
    return loop_now(loop);
}

/* The publication litmus. What is sent is a message of some length: its stores wait for each
 * other in the sender's processor, and a sender that merely looked at the waker's flag would be
 * ahead of them. */

enum { SENDERS_MAX = 2, LINES = 9 };

struct litmus {
    struct loop *loop;
    struct loop_async herald; /* called just before the other, and tells the senders so */
    struct loop_async async;
    struct loop_hook idle; /* has the loop never sleep: the race is for the waker's flag */
    struct loop_task last; /* closes all */
    uint64_t start_ns;
    uint64_t rounds;
    uint32_t senders;
    uint32_t senders_left;
    uint32_t seed; /* of the loop's thread */
    _Alignas(64) uint64_t heralded;
    _Alignas(64) uint64_t seen; /* by the loop, from each of them */
    struct sender {
        struct line {
            _Alignas(64) uint64_t written;
        } lines[LINES];
        struct loop_waker *herald;
        struct loop_waker *waker;
        pthread_t thread;
        uint32_t seed;
    } sender[SENDERS_MAX];
};

static struct litmus litmus;

static void on_last(struct loop_task *task)
{
    (void)task;
    loop_hook_stop(&litmus.idle);
    loop_close(&litmus.herald.handle, NULL);
    loop_close(&litmus.async.handle, NULL);
}

static void on_herald(struct loop_async *async)
{
    (void)async;
    store(&litmus.heralded, load(&litmus.heralded) + 1);
    dawdle(&litmus.seed, STEP);
}

/* The last line first: it is the one that may be missing. */
static void on_sent(struct loop_async *async)
{
    (void)async;
    uint64_t seen = litmus.rounds;
    for (uint32_t i = 0; i < litmus.senders; i++)
        for (uint32_t line = LINES; line-- > 0;) {
            uint64_t written = load(&litmus.sender[i].lines[line].written);
            seen = written < seen ? written : seen;
        }
    uint64_t before = load(&litmus.seen);
    if (before & ENOUGH)
        return;
    if (seen > before && is_enough(litmus.loop, litmus.start_ns, seen))
        seen |= ENOUGH;
    store(&litmus.seen, seen);
}

/* The senders may have nowhere else to run. */
static void on_idle(struct loop_hook *hook)
{
    if (loop_turn(hook->handle.loop) % 8 == 0)
        sched_yield();
}

static void await_number(const uint64_t *number, uint64_t least)
{
    uint32_t waited = 0;
    while (load(number) < least)
        wait_a_bit(&waited);
}

/* The first send of a round has the last meet a loop that was told already, and is just about to
 * look. Nobody goes on before all were seen in this round, so that nobody's next send makes good
 * for one that was lost. */
static void *send_each_round(void *arg)
{
    struct sender *sender = arg;
    for (uint64_t number = 1; number <= litmus.rounds && !(load(&litmus.seen) & ENOUGH); number++) {
        uint64_t heralded = load(&litmus.heralded);
        dawdle(&sender->seed, TURN);
        loop_waker_send(sender->herald);
        loop_waker_send(sender->waker);
        await_number(&litmus.heralded, heralded + 1);
        dawdle(&sender->seed, STEP);
        for (uint32_t line = 0; line < LINES; line++)
            store(&sender->lines[line].written, number);
        loop_waker_send(sender->waker);
        await_number(&litmus.seen, number);
    }
    loop_waker_release(sender->herald);
    loop_waker_release(sender->waker);
    if (__atomic_sub_fetch(&litmus.senders_left, 1, __ATOMIC_SEQ_CST) == 0)
        loop_post(litmus.loop, &litmus.last, on_last);
    return NULL;
}

static void begin_litmus(struct loop *loop, uint64_t count)
{
    memset(&litmus, 0, sizeof(litmus));
    litmus.loop = loop;
    litmus.rounds = count;
    assert_int_equal(0, loop_async_init(loop, &litmus.herald, on_herald));
    assert_int_equal(0, loop_async_init(loop, &litmus.async, on_sent));
    loop_idle_init(loop, &litmus.idle);
    litmus.start_ns = start_of_rounds(loop);
}

static void run_litmus(uint32_t senders)
{
    litmus.senders = litmus.senders_left = senders;
    for (uint32_t i = 0; i < senders; i++) {
        struct sender *sender = &litmus.sender[i];
        sender->seed = i + 1;
        sender->herald = loop_async_waker(&litmus.herald);
        sender->waker = loop_async_waker(&litmus.async);
        assert_int_equal(0, pthread_create(&sender->thread, NULL, send_each_round, sender));
    }
    int left = loop_run(litmus.loop, LOOP_RUN_DEFAULT);
    for (uint32_t i = 0; i < senders; i++)
        pthread_join(litmus.sender[i].thread, NULL);
    assert_int_equal(0, left);
    assert_true(load(&litmus.seen) == litmus.rounds || load(&litmus.seen) & ENOUGH);
}

static void what_one_thread_wrote_before_it_sent_is_seen(void **state)
{
    begin_litmus(*state, rounds());
    loop_hook_start(&litmus.idle, on_idle);
    run_litmus(1);
}

static void what_two_threads_wrote_before_they_sent_is_seen(void **state)
{
    begin_litmus(*state, rounds() / 8);
    loop_hook_start(&litmus.idle, on_idle);
    run_litmus(2);
}

static void a_loop_that_falls_asleep_all_the_time_misses_no_send(void **state)
{
    begin_litmus(*state, rounds() / 4);
    run_litmus(2);
}

/* Spinning for longer than a thread needs to answer: most sends meet a loop that looks for them. */
static void a_loop_that_spins_before_it_sleeps_misses_no_send(void **state)
{
    struct loop *loop = *state;
    loop->options.spin_ns = 5 * LOOP_US;
    begin_litmus(loop, rounds() / 8);
    run_litmus(2);
}

/* A post at a time, each to a loop that is about to sleep. */

struct pusher {
    struct loop *loop;
    struct loop_task task;
    struct loop_async keeper;
    uint64_t start_ns;
    uint64_t rounds;
    uint64_t written;
    uint64_t seen;
};

static struct pusher pusher;

static void on_pushed(struct loop_task *task)
{
    (void)task;
    uint64_t seen = load(&pusher.written);
    if (seen == pusher.rounds || is_enough(pusher.loop, pusher.start_ns, seen)) {
        loop_close(&pusher.keeper.handle, NULL);
        seen |= ENOUGH;
    }
    __atomic_store_n(&pusher.seen, seen, __ATOMIC_RELEASE);
}

static void on_keeper(struct loop_async *async)
{
    (void)async;
}

/* The acquiring load: the task is ours again. */
static void *post_one_at_a_time(void *arg)
{
    uint32_t seed = 1;
    for (uint64_t number = 1; !(load(&pusher.seen) & ENOUGH); number++) {
        uint32_t waited = 0;
        dawdle(&seed, TURN);
        store(&pusher.written, number);
        loop_post(pusher.loop, &pusher.task, on_pushed);
        while (__atomic_load_n(&pusher.seen, __ATOMIC_ACQUIRE) < number)
            wait_a_bit(&waited);
    }
    return arg;
}

static void no_post_is_left_behind_a_loop_that_falls_asleep(void **state)
{
    pthread_t thread;
    memset(&pusher, 0, sizeof(pusher));
    pusher.loop = *state;
    pusher.rounds = rounds() / 2;
    assert_int_equal(0, loop_async_init(*state, &pusher.keeper, on_keeper));
    pusher.start_ns = start_of_rounds(*state);
    assert_int_equal(0, pthread_create(&thread, NULL, post_one_at_a_time, NULL));
    int left = loop_run(*state, LOOP_RUN_DEFAULT);
    pthread_join(thread, NULL);
    assert_int_equal(0, left);
    assert_int_equal(load(&pusher.written) | ENOUGH, load(&pusher.seen));
}

/* Loops that end because of what was sent: the sender may still be inside the call. */

static struct leaver {
    struct loop loop;
    struct loop_async async;
    struct loop_task task;
    uint32_t ready; /* atomic */
} leaver;

static void on_last_send(struct loop_async *async)
{
    loop_close(&async->handle, NULL);
}

static void on_last_post(struct loop_task *task)
{
    (void)task;
    loop_close(&leaver.async.handle, NULL);
}

static void *run_until_told(void *arg)
{
    if (loop_init(&leaver.loop, NULL) < 0 ||
        loop_async_init(&leaver.loop, &leaver.async, on_last_send) < 0)
        abort();
    __atomic_store_n(&leaver.ready, 1, __ATOMIC_RELEASE);
    if (loop_run(&leaver.loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(&leaver.loop) != 0)
        abort();
    return arg;
}

static void a_send_and_a_post_may_end_the_loop(void **state)
{
    uint64_t start_ns = start_of_rounds(*state);
    for (uint64_t round = 0; round < rounds() / 100 && !is_enough(*state, start_ns, round);
         round++) {
        pthread_t thread;
        uint32_t waited = 0;
        leaver.ready = 0;
        assert_int_equal(0, pthread_create(&thread, NULL, run_until_told, NULL));
        while (!__atomic_load_n(&leaver.ready, __ATOMIC_ACQUIRE))
            wait_a_bit(&waited);
        if (round % 2 == 0)
            assert_int_equal(0, loop_async_send(&leaver.async));
        else
            assert_int_equal(0, loop_post(&leaver.loop, &leaver.task, on_last_post));
        pthread_join(thread, NULL);
        loop_update_now(*state);
    }
}

/* A crowd: asyncs that are closed at random under their senders, a loop that ends under them. */

enum { ASYNCS = 3, CROWD_SENDERS = 3, CROWD_POSTERS = 2, POSTS = 40 };

struct crowd {
    struct loop loop;
    struct loop_task own; /* posted by the loop itself, and cancelled as often as not */
    uint32_t seed;
    uint32_t posts_left;
    uint32_t open; /* asyncs */
    struct crowd_async {
        struct loop_async async;
        struct crowd *crowd;
        uint32_t calls_left;
    } asyncs[ASYNCS];
    struct crowd_post {
        struct loop_task task;
        struct crowd *crowd;
    } posts[CROWD_POSTERS][POSTS];
};

/* A sender owns nothing of the crowd but its wakers, and so may outlive it. */
struct crowd_sender {
    struct loop_waker *wakers[ASYNCS];
    uint32_t seed;
    uint32_t too_late; /* sends that were not refused though the loop was gone */
    pthread_t thread;
};

static void close_some(struct crowd *crowd)
{
    for (size_t i = 0; i < ASYNCS; i++) {
        struct crowd_async *each = &crowd->asyncs[i];
        bool last = crowd->open == 1;
        if (loop_is_closing(&each->async.handle) || each->calls_left > 0)
            continue;
        if (last && crowd->posts_left > 0)
            continue;
        crowd->open--;
        loop_close(&each->async.handle, NULL);
    }
}

static void on_own(struct loop_task *task)
{
    close_some(loop_container_of(task, struct crowd, own));
}

static void on_crowd_async(struct loop_async *async)
{
    struct crowd_async *each = loop_container_of(async, struct crowd_async, async);
    struct crowd *crowd = each->crowd;
    if (each->calls_left > 0)
        each->calls_left--;
    loop_task_cancel(&crowd->own);
    if (random_below(&crowd->seed, 2))
        loop_post(&crowd->loop, &crowd->own, on_own);
    close_some(crowd);
}

static void on_crowd_post(struct loop_task *task)
{
    struct crowd *crowd = loop_container_of(task, struct crowd_post, task)->crowd;
    crowd->posts_left--;
    close_some(crowd);
}

static bool crowd_gone;

/* Once the loop is gone there is no more than one send to each, so that this ends in any case. */
static void *send_until_refused(void *arg)
{
    struct crowd_sender *sender = arg;
    uint32_t refused = 0;
    while (refused < ASYNCS) {
        uint32_t i = random_below(&sender->seed, ASYNCS);
        bool gone = __atomic_load_n(&crowd_gone, __ATOMIC_SEQ_CST);
        if (!sender->wakers[i])
            continue;
        int error = loop_waker_send(sender->wakers[i]);
        if (random_below(&sender->seed, 4) == 0)
            sched_yield();
        if (!error && !gone)
            continue;
        sender->too_late += !error;
        loop_waker_release(sender->wakers[i]);
        sender->wakers[i] = NULL;
        refused++;
    }
    return NULL;
}

static void *post_all(void *arg)
{
    struct crowd_post *posts = arg;
    for (size_t i = 0; i < POSTS; i++)
        loop_post(&posts[i].crowd->loop, &posts[i].task, on_crowd_post);
    return NULL;
}

static struct crowd *make_crowd(uint32_t seed)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    assert_non_null(crowd);
    crowd_gone = false;
    crowd->seed = seed;
    crowd->open = ASYNCS;
    crowd->posts_left = CROWD_POSTERS * POSTS;
    assert_int_equal(0, loop_init(&crowd->loop, &options));
    for (size_t i = 0; i < ASYNCS; i++) {
        struct crowd_async *each = &crowd->asyncs[i];
        each->crowd = crowd;
        each->calls_left = random_below(&crowd->seed, 30);
        assert_int_equal(0, loop_async_init(&crowd->loop, &each->async, on_crowd_async));
    }
    for (size_t i = 0; i < CROWD_POSTERS * POSTS; i++)
        crowd->posts[i / POSTS][i % POSTS].crowd = crowd;
    return crowd;
}

static void start_senders(struct crowd *crowd, struct crowd_sender *senders)
{
    for (size_t i = 0; i < CROWD_SENDERS; i++) {
        senders[i] = (struct crowd_sender){.seed = crowd->seed + (uint32_t)i};
        for (size_t k = 0; k < ASYNCS; k++)
            senders[i].wakers[k] = loop_async_waker(&crowd->asyncs[k].async);
        assert_int_equal(0,
                         pthread_create(&senders[i].thread, NULL, send_until_refused, &senders[i]));
    }
}

/* Posters are joined before the loop is finished, as loop_post() asks; senders after it is
 * freed. */
static void run_crowd(uint32_t seed)
{
    struct crowd_sender senders[CROWD_SENDERS];
    pthread_t posters[CROWD_POSTERS];
    struct crowd *crowd = make_crowd(seed);
    start_senders(crowd, senders);
    for (size_t i = 0; i < CROWD_POSTERS; i++)
        assert_int_equal(0, pthread_create(&posters[i], NULL, post_all, crowd->posts[i]));
    int left = loop_run(&crowd->loop, LOOP_RUN_DEFAULT);
    for (size_t i = 0; i < CROWD_POSTERS; i++)
        pthread_join(posters[i], NULL);
    int error = loop_fini(&crowd->loop);
    if (!error)
        free(crowd);
    __atomic_store_n(&crowd_gone, true, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < CROWD_SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_int_equal(0, left);
    assert_string_equal("OK", loop_error_name(error));
    for (size_t i = 0; i < CROWD_SENDERS; i++)
        assert_int_equal(0, senders[i].too_late);
}

static void handles_close_and_loops_end_while_threads_send_to_them(void **state)
{
    uint64_t count = rounds() / 1000 + 1, start_ns = start_of_rounds(*state);
    for (uint32_t seed = 1; seed <= count && !is_enough(*state, start_ns, seed); seed++) {
        run_crowd(seed);
        loop_update_now(*state);
    }
}

/* Two loops, each with a thread of its own, and balls that are posted from one to the other. */

enum { BALLS = 4 };

struct player {
    struct loop loop;
    struct loop_async keeper;
    struct loop_task bye;
    uint64_t start_ns;
    uint64_t balls_seen;
    struct player *other;
    pthread_t thread;
    uint32_t balls_home;
};

struct ball {
    struct loop_task task;
    struct player *holder;
    uint64_t throws_left;
};

static struct player players[2];
static struct ball balls[BALLS];

static void leave(struct player *player)
{
    loop_close(&player->keeper.handle, NULL);
}

static void on_bye(struct loop_task *task)
{
    leave(loop_container_of(task, struct player, bye));
}

/* The number of throws is even, so that all balls come home to the first player; and it is he who
 * keeps them when it is enough. */
static void on_ball(struct loop_task *task)
{
    struct ball *ball = loop_container_of(task, struct ball, task);
    struct player *player = ball->holder;
    if (player == &players[0] && is_enough(&player->loop, player->start_ns, player->balls_seen++))
        ball->throws_left = 0;
    if (ball->throws_left > 0) {
        ball->throws_left--;
        ball->holder = player->other;
        loop_post(&player->other->loop, task, on_ball);
    } else if (++player->balls_home == BALLS) {
        loop_post(&player->other->loop, &player->other->bye, on_bye);
        leave(player);
    }
}

static void *play(void *arg)
{
    struct player *player = arg;
    loop_run(&player->loop, LOOP_RUN_DEFAULT);
    return NULL;
}

static void make_player(struct player *player, struct player *other)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    *player = (struct player){.other = other};
    assert_int_equal(0, loop_init(&player->loop, &options));
    assert_int_equal(0, loop_async_init(&player->loop, &player->keeper, on_keeper));
    player->start_ns = start_of_rounds(&player->loop);
}

static void two_loops_post_to_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        make_player(&players[i], &players[1 - i]);
    for (size_t i = 0; i < BALLS; i++) {
        balls[i] = (struct ball){.holder = &players[0], .throws_left = rounds() / 20 * 2};
        assert_int_equal(0, loop_post(&players[0].loop, &balls[i].task, on_ball));
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&players[i].thread, NULL, play, &players[i]));
    for (size_t i = 0; i < 2; i++)
        pthread_join(players[i].thread, NULL);
    assert_int_equal(BALLS, players[0].balls_home);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(0, loop_fini(&players[i].loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(what_one_thread_wrote_before_it_sent_is_seen),
        real_test(what_two_threads_wrote_before_they_sent_is_seen),
        real_test(a_loop_that_falls_asleep_all_the_time_misses_no_send),
        real_test(a_loop_that_spins_before_it_sleeps_misses_no_send),
        real_test(no_post_is_left_behind_a_loop_that_falls_asleep),
        real_test(a_send_and_a_post_may_end_the_loop),
        real_test(handles_close_and_loops_end_while_threads_send_to_them),
        real_test(two_loops_post_to_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
