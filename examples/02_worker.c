/* A long computation on the thread pool beside a loop that stays responsive.
 *
 *     ./run example worker
 *
 * Expect: dots, one every 20 ms, while a thread of the pool looks for a large prime; then the
 * prime. Were the search made in a callback, there would be no dots.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <stdio.h>
#include <stdlib.h>

struct search {
    struct loop_timer dots;
    struct loop_work work;
    unsigned long prime; /* the thread's, until the callback */
};

static bool is_prime(unsigned long n)
{
    for (unsigned long divisor = 3; divisor * divisor <= n; divisor += 2)
        if (n % divisor == 0)
            return false;
    return true;
}

/* On a thread of the pool. */
static void find_prime(void *data)
{
    struct search *search = data;
    search->prime = 1000000000000001;
    while (!is_prime(search->prime))
        search->prime += 2;
}

static void on_dot(struct loop_timer *timer)
{
    (void)timer;
    printf(".");
    fflush(stdout);
}

static void on_found(struct loop_work *work, int status)
{
    struct search *search = loop_container_of(work, struct search, work);
    loop_timer_stop(&search->dots);
    if (status < 0)
        printf("\n%s\n", loop_strerror(status));
    else
        printf("\n%lu is prime\n", search->prime);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    struct loop loop;
    struct search search = {.work.request.data = &search};
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    loop_timer_init(&loop, &search.dots);
    loop_timer_start(&search.dots, 0, 20 * LOOP_MS, on_dot);
    error = loop_work(&loop, &search.work, find_prime, on_found);
    if (error)
        return fail("loop_work", error);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    loop_pool_shutdown();
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
