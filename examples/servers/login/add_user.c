/* login --add-user NAME: see add_user.h.
 *
 * The password is read from the terminal without being shown, twice; or, if standard input is no
 * terminal, its first line is taken. It is never an argument, which every user of the machine could
 * read. Of a user that is there already the password is changed, and all sessions end.
 *
 * SPDX-License-Identifier: MIT */
#include "add_user.h"

#include "users.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { PASSWORD_MIN = 8 };

static const struct option table[] = {{"add-user", required_argument, NULL, 'a'},
                                      {"database", required_argument, NULL, 'd'},
                                      {0}};

bool add_user_asked(int argc, char **argv)
{
    bool asked = false;
    for (int i = 1; i < argc; i++)
        asked = asked || strncmp(argv[i], "--add-user", strlen("--add-user")) == 0;
    return asked;
}

static int fail(const char *message)
{
    fprintf(stderr, "%s\n", message);
    return EXIT_FAILURE;
}

/* --- the password --- */

static bool read_line(char *line, size_t size)
{
    if (!fgets(line, (int)size, stdin))
        return false;
    size_t length = strcspn(line, "\n");
    bool whole = line[length] == '\n' || feof(stdin);
    line[length] = '\0';
    return whole;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

/* Ctrl-C ends the reading, not the program: the terminal is to show again what is typed. */
static bool read_hidden(const char *prompt, char *line, size_t size)
{
    struct termios before, hidden;
    const struct sigaction catch = {.sa_handler = on_interrupt}; /* no SA_RESTART */
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return read_line(line, size);
    sigaction(SIGINT, &catch, NULL);
    sigaction(SIGTERM, &catch, NULL);
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fputs(prompt, stderr);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    bool read = read_line(line, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return read && !interrupted;
}

/* NULL: it is fine. */
static const char *read_password(char *password, size_t size)
{
    char again[SECRET_PASSWORD_MAX + 2];
    if (!read_hidden("Password: ", password, size))
        return interrupted ? "Interrupted" : "No password, or more than 256 bytes";
    if (strlen(password) < PASSWORD_MIN)
        return "A password has 8 bytes at least";
    if (!isatty(STDIN_FILENO))
        return NULL;
    bool same = read_hidden("Again: ", again, sizeof(again)) && strcmp(password, again) == 0;
    explicit_bzero(again, sizeof(again));
    return same ? NULL : interrupted ? "Interrupted" : "Those are not the same";
}

/* --- the database --- */

static void on_added(struct database_job *job, int result)
{
    struct user_job *user = loop_container_of(job, struct user_job, job);
    user->sessions = result; /* that field is free here */
}

static int save(struct user_job *user, const char *path)
{
    static struct loop loop;
    static struct database database;
    const struct database_options options = {.path = path,
                                             .schema = user_schema,
                                             .texts = user_statements,
                                             .patience_ns = 5 * LOOP_SEC};
    int error = loop_init(&loop, NULL);
    if (error < 0)
        return error;
    error = database_open(&loop, &database, &options);
    if (error == 0)
        error = database_run(&database, &user->job);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    database_close(&database);
    loop_fini(&loop);
    return error < 0 ? error : user->sessions;
}

static int add(const char *name, const char *path)
{
    static struct user_job user = {.job = {.fn = user_work, .done = on_added, .writes = true},
                                   .action = USER_ADD};
    char password[SECRET_PASSWORD_MAX + 2];
    if (!user_is_name(name))
        return fail("A name has 1 to 64 bytes, no controls, and no space at its ends");
    const char *wrong = read_password(password, sizeof(password));
    if (wrong)
        return fail(wrong);
    snprintf(user.name, sizeof(user.name), "%s", name);
    int error = secret_hash_password(password, user.hash);
    explicit_bzero(password, sizeof(password));
    if (error == 0)
        error = save(&user, path);
    if (error < 0)
        return fail(loop_strerror(error));
    printf("%s may log in\n", name);
    return EXIT_SUCCESS;
}

int add_user(int argc, char **argv)
{
    const char *name = NULL, *path = "login.db";
    int found;
    while ((found = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (found == 'a')
            name = optarg;
        else if (found == 'd')
            path = optarg;
        else
            return EXIT_FAILURE;
    }
    return optind < argc ? fail("--add-user NAME, and --database FILE: nothing else")
                         : add(name, path);
}
