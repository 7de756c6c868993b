/* Password hashing on the cpu class of the pool, beside a loop that stays responsive.
 *
 *     ./run example hash                        hashes eight passwords of its own
 *     printf 'secret\nother\n' | ./run example hash -
 *     ./run example hash --cost 8 --threads 2
 *
 * A good password hash is slow on purpose. Done in a callback it would hold up everybody: with one
 * login at 100 ms each, ten a second are all there is. Here each is work on the pool, which begins
 * them in order and leaves a thread to files; the loop meanwhile keeps its appointments.
 *
 * Expect: a line for each password as it is done, with the time that it took, and at the end how
 * late the latest of the heartbeats was, one every 5 ms. Ctrl-C ends the program.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <crypt.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_SIZE = 128, HEARTBEAT_MS = 5 };

struct program {
    struct loop loop;
    struct loop_timer heartbeat;
    uint64_t due_ns;
    uint64_t latest_ns; /* by how much the latest heartbeat missed its time */
    unsigned left;
    unsigned long cost;
};

/* One password: the loop's but while its work is in flight, when it is the thread's. */
struct login {
    struct loop_work work;
    struct program *program;
    uint64_t began_ns;
    struct crypt_data crypt; /* 32 KiB: crypt_r(3) wants no stack for it */
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    char password[PASSWORD_SIZE];
    const char *hash; /* NULL: it failed */
};

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

/* On a thread of the pool. */
static void hash_password(void *data)
{
    struct login *login = data;
    login->hash = crypt_r(login->password, login->setting, &login->crypt);
    explicit_bzero(login->password, sizeof(login->password));
}

static void on_hashed(struct loop_work *work, int status)
{
    struct login *login = loop_container_of(work, struct login, work);
    struct program *program = login->program;
    loop_update_now(&program->loop);
    double ms = (double)(loop_now(&program->loop) - login->began_ns) / (double)LOOP_MS;
    if (status < 0 || !login->hash || login->hash[0] == '*')
        printf("failed: %s\n", status < 0 ? loop_strerror(status) : "crypt_r(3) refused it");
    else
        printf("%6.1f ms since it was asked for: %.30s...\n", ms, login->hash);
    free(login);
    if (--program->left == 0)
        loop_timer_stop(&program->heartbeat);
}

static int ask_for_hash(struct program *program, const char *password)
{
    struct login *login = calloc(1, sizeof(*login));
    if (!login)
        return -ENOMEM;
    login->program = program;
    login->work.request.data = login;
    login->began_ns = loop_now(&program->loop);
    snprintf(login->password, sizeof(login->password), "%s", password);
    /* "$y$": yescrypt, Debian's choice; the salt is random. */
    int error =
        crypt_gensalt_rn("$y$", program->cost, NULL, 0, login->setting, sizeof(login->setting))
            ? loop_work(&program->loop, &login->work, hash_password, on_hashed)
            : -EINVAL;
    if (error)
        free(login);
    else
        program->left++;
    return error;
}

static void on_heartbeat(struct loop_timer *timer)
{
    struct program *program = loop_container_of(timer, struct program, heartbeat);
    loop_update_now(&program->loop);
    uint64_t late_ns = loop_now(&program->loop) - program->due_ns;
    if (late_ns > program->latest_ns)
        program->latest_ns = late_ns;
    program->due_ns = loop_now(&program->loop) + HEARTBEAT_MS * LOOP_MS;
    loop_timer_start(timer, HEARTBEAT_MS * LOOP_MS, 0, on_heartbeat);
}

/* Standard input is read before the loop runs: reading it beside is what 09_cat shows. */
static int ask_for_all(struct program *program, bool from_input)
{
    char line[PASSWORD_SIZE];
    int error = 0;
    for (unsigned i = 0; !from_input && i < 8 && !error; i++) {
        snprintf(line, sizeof(line), "correct horse battery staple %u", i);
        error = ask_for_hash(program, line);
    }
    while (from_input && !error && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        error = ask_for_hash(program, line);
    }
    return error;
}

static int run(struct program *program, struct loop_pool *pool, bool from_input)
{
    struct loop_options options = {.pool = pool};
    int error = loop_init(&program->loop, &options);
    if (error)
        return fail("loop_init", error);
    error = ask_for_all(program, from_input);
    if (error)
        fail("a password could not be hashed", error);
    loop_timer_init(&program->loop, &program->heartbeat);
    program->due_ns = loop_now(&program->loop) + HEARTBEAT_MS * LOOP_MS;
    if (program->left > 0)
        loop_timer_start(&program->heartbeat, HEARTBEAT_MS * LOOP_MS, 0, on_heartbeat);
    loop_run(&program->loop, LOOP_RUN_DEFAULT);
    printf("the loop was at most %.1f ms late\n", (double)program->latest_ns / (double)LOOP_MS);
    int left = loop_fini(&program->loop);
    return left ? fail("loop_fini", left) : error ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: hash [-] [--cost 1-11] [--threads N]\n"
                  "-: hash the lines of standard input\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"cost", required_argument, NULL, 'c'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct program program = {.cost = 7};
    struct loop_pool_options options = {.name = "hash"};
    struct loop_pool *pool;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'c')
            program.cost = strtoul(optarg, NULL, 10);
        else if (option == 't')
            options.threads_max = (uint32_t)strtoul(optarg, NULL, 10);
        else
            return print_usage(option == 'h' ? stdout : stderr);
    }
    bool from_input = optind < argc && strcmp(argv[optind], "-") == 0;
    if (argc - optind > from_input || program.cost < 1 || program.cost > 11)
        return print_usage(stderr);
    int error = loop_pool_create(&pool, &options);
    if (error)
        return fail("loop_pool_create", error);
    int result = run(&program, pool, from_input);
    loop_pool_destroy(pool);
    return result;
}
