/* A loop per thread, and how they end together.
 *
 * Threads are started one after the other, each waited for, so that an address that is taken is an
 * error of the call and not of a thread nobody looks at. Each thread's loop is kept alive by the
 * handle that will tell it to finish, so that it can be asked things until then; each tells the
 * main loop of its end, which joins it. All signals are blocked in them: the main thread has them.
 *
 * A question goes from thread to thread and back to the main loop, as one posted task: nothing is
 * ever read by one thread while another writes it, and the program needs no lock. Stopping waits
 * for questions under way, since a loop that has ended takes no task.
 *
 * SPDX-License-Identifier: MIT */
#include "loop/http/workers.h"
#include "loop/task.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

/* What a new thread and the one that waits for it share. */
struct beginning {
    struct loop_thread *thread;
    sem_t started;
};

struct question {
    struct loop_task task;
    struct loop_threads *threads;
    unsigned at; /* whose turn it is */
    loop_thread_ask_cb ask;
    loop_threads_asked_cb done;
    void *arg;
};

/* --- the end, on the main loop --- */

static void on_end(struct loop_handle *handle)
{
    struct loop_threads *threads = loop_container_of(handle, struct loop_threads, alive.handle);
    struct loop_thread *memory = threads->threads;
    if (threads->options.on_end)
        threads->options.on_end(threads);
    free(memory);
}

/* A thread has run to its end, or is about to return from its last call. */
static void on_ended(struct loop_task *task)
{
    struct loop_thread *thread = loop_container_of(task, struct loop_thread, ended);
    struct loop_threads *threads = thread->threads;
    pthread_join(thread->id, NULL);
    thread->made = false;
    if (--threads->left > 0)
        return;
    if (!threads->options.no_signals)
        loop_graceful_stop(&threads->graceful);
    loop_close(&threads->alive.handle, on_end);
}

/* --- on the threads --- */

static void on_drain(struct loop_async *drain)
{
    struct loop_thread *thread = loop_container_of(drain, struct loop_thread, drain);
    loop_close(&drain->handle, NULL);
    thread->threads->options.drain(thread);
}

static int make_loop(struct loop_thread *thread)
{
    int error = loop_init(&thread->loop, NULL);
    if (error)
        return error;
    error = loop_async_init(&thread->loop, &thread->drain, on_drain);
    if (error)
        loop_fini(&thread->loop);
    return error;
}

/* What start has closed has still to be told so. */
static void give_up(struct loop_thread *thread)
{
    loop_close(&thread->drain.handle, NULL);
    loop_run(&thread->loop, LOOP_RUN_DEFAULT);
    loop_fini(&thread->loop);
}

static void *run(void *arg)
{
    struct beginning *beginning = arg;
    struct loop_thread *thread = beginning->thread;
    thread->status = make_loop(thread);
    if (!thread->status) {
        thread->status = thread->threads->options.start(thread);
        if (thread->status)
            give_up(thread);
    }
    bool started = thread->status == 0;
    sem_post(&beginning->started); /* beginning is gone from here on */
    if (!started)
        return NULL;
    loop_run(&thread->loop, LOOP_RUN_DEFAULT);
    loop_fini(&thread->loop);
    loop_post(thread->threads->loop, &thread->ended, on_ended);
    return NULL;
}

/* --- stopping --- */

static void drain_all(struct loop_threads *threads)
{
    for (unsigned i = 0; i < threads->count; i++)
        if (threads->threads[i].made)
            loop_async_send(&threads->threads[i].drain);
}

void loop_threads_stop(struct loop_threads *threads)
{
    if (threads->stopping)
        return;
    threads->stopping = true;
    if (threads->asking == 0)
        drain_all(threads);
}

static void on_graceful(struct loop_graceful *graceful, int number)
{
    (void)number;
    loop_threads_stop(loop_container_of(graceful, struct loop_threads, graceful));
}

/* --- the beginning --- */

static int create(struct loop_thread *thread, struct beginning *beginning)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, run, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static int start_thread(struct loop_thread *thread)
{
    struct beginning beginning = {.thread = thread};
    sem_init(&beginning.started, 0, 0);
    int error = create(thread, &beginning);
    if (!error) {
        while (sem_wait(&beginning.started) < 0)
            continue; /* a signal */
        error = thread->status;
        thread->made = error == 0;
        if (error)
            pthread_join(thread->id, NULL);
    }
    sem_destroy(&beginning.started);
    return error;
}

/* What has started ends, while the caller waits. */
static void unwind(struct loop_threads *threads)
{
    drain_all(threads);
    for (unsigned i = 0; i < threads->count; i++) {
        if (!threads->threads[i].made)
            continue;
        pthread_join(threads->threads[i].id, NULL);
        loop_task_cancel(&threads->threads[i].ended);
    }
    free(threads->threads);
    threads->threads = NULL;
}

static int start_all(struct loop_threads *threads)
{
    int error = 0;
    for (unsigned i = 0; i < threads->count && !error; i++) {
        struct loop_thread *thread = &threads->threads[i];
        thread->threads = threads;
        thread->number = i;
        error = start_thread(thread);
    }
    if (!error && !threads->options.no_signals)
        error =
            loop_graceful_start(threads->loop, &threads->graceful, LOOP_NEVER, on_graceful, NULL);
    return error;
}

static void on_alive(struct loop_timer *timer) /* unreachable: a timer of LOOP_NEVER is not due */
{
    (void)timer;
}

int loop_threads_start(struct loop *loop, struct loop_threads *threads,
                       const struct loop_threads_options *options)
{
    if (!loop || !threads || !options || !options->start || !options->drain ||
        options->count > LOOP_WORKERS_MAX)
        return -EINVAL;
    unsigned count = options->count ? options->count : loop_processors();
    *threads = (struct loop_threads){
        .data = threads->data, .loop = loop, .count = count, .left = count, .options = *options};
    threads->threads = calloc(count, sizeof(*threads->threads));
    if (!threads->threads)
        return -ENOMEM;
    int error = start_all(threads);
    if (error) {
        unwind(threads);
        return error;
    }
    loop_timer_init(loop, &threads->alive);
    return loop_timer_start(&threads->alive, LOOP_NEVER, 0, on_alive);
}

/* --- questions --- */

static void on_question(struct loop_task *task);

/* The next thread, or back to the main loop. */
static void pass_on(struct question *question)
{
    struct loop_threads *threads = question->threads;
    struct loop *to =
        question->at < threads->count ? &threads->threads[question->at].loop : threads->loop;
    loop_post(to, &question->task, on_question);
}

static void answer(struct question *question)
{
    struct loop_threads *threads = question->threads;
    loop_threads_asked_cb done = question->done;
    void *arg = question->arg;
    free(question);
    if (--threads->asking == 0 && threads->stopping)
        drain_all(threads);
    done(threads, arg);
}

static void on_question(struct loop_task *task)
{
    struct question *question = loop_container_of(task, struct question, task);
    struct loop_threads *threads = question->threads;
    if (question->at == threads->count) {
        answer(question);
        return;
    }
    question->ask(&threads->threads[question->at], question->arg);
    question->at++;
    pass_on(question);
}

int loop_threads_ask(struct loop_threads *threads, loop_thread_ask_cb ask,
                     loop_threads_asked_cb done, void *arg)
{
    if (!threads || !ask || !done)
        return -EINVAL;
    if (threads->stopping || !threads->threads)
        return -ECANCELED;
    struct question *question = calloc(1, sizeof(*question));
    if (!question)
        return -ENOMEM;
    question->threads = threads;
    question->ask = ask;
    question->done = done;
    question->arg = arg;
    threads->asking++;
    pass_on(question);
    return 0;
}

void loop_http_stats_add(struct loop_http_stats *sum, const struct loop_http_stats *more)
{
    sum->accepted += more->accepted;
    sum->connections += more->connections;
    sum->requests += more->requests;
    sum->active += more->active;
    sum->bytes_in += more->bytes_in;
    sum->bytes_out += more->bytes_out;
    for (size_t i = 0; i < sizeof(sum->responses) / sizeof(sum->responses[0]); i++)
        sum->responses[i] += more->responses[i];
    sum->refused += more->refused;
    sum->timed_out += more->timed_out;
    sum->duration_ns += more->duration_ns;
    for (size_t i = 0; i < sizeof(sum->buckets) / sizeof(sum->buckets[0]); i++)
        sum->buckets[i] += more->buckets[i];
}
