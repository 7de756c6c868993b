/* Terminals.
 *
 * Opening: the handle has a descriptor of its own. A terminal is opened anew, so the caller's
 * descriptor stays as it was, blocking; the master's end of a pty is duplicated, and blocks again
 * when the handle is closed or detached. What is no terminal is refused.
 *
 * Streams: what is typed is read, what is written is shown. Ctrl-D in normal mode is an end after
 * which reading may go on; a closed other end is one for good, on both sides.
 *
 * Modes: raw and cbreak are set on the terminal, and normal is what was there before. Two handles
 * of one terminal agree on that. It comes back by closing, detaching, exit, panic, abort and the
 * signals that end a program, and not by the end of a forked child. The program's own handlers stay
 * in place, ours go with the last terminal that is not normal.
 *
 * Sizes: as the kernel says; a change is told to every loop that asked, once, beside the program's
 * own handler of SIGWINCH.
 *
 * All peers are the other ends of real ptys.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A terminal as two see it: who looks at it, and the program that runs in it. */
struct screen {
    int master;
    int slave; /* as a shell would hand it down */
    struct loop_tty tty;
    struct loop_write write;
};

static void open_pty(struct screen *screen)
{
    char path[64];
    memset(screen, 0, sizeof(*screen));
    screen->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(screen->master >= 0);
    assert_int_equal(0, grantpt(screen->master));
    assert_int_equal(0, unlockpt(screen->master));
    assert_int_equal(0, ptsname_r(screen->master, path, sizeof(path)));
    screen->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(screen->slave >= 0);
}

static void close_pty(struct screen *screen)
{
    if (screen->master >= 0)
        close(screen->master);
    if (screen->slave >= 0)
        close(screen->slave);
}

static void open_screen(struct loop *loop, struct screen *screen)
{
    open_pty(screen);
    loop_tty_init(loop, &screen->tty);
    assert_int_equal(0, loop_tty_open(&screen->tty, screen->slave));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void close_screen(struct loop *loop, struct screen *screen)
{
    loop_close(&screen->tty.handle, NULL);
    run(loop);
    close_pty(screen);
}

static void set_mode(struct screen *screen, enum loop_tty_mode mode)
{
    assert_int_equal(0, loop_tty_set_mode(&screen->tty, mode));
}

/* What the terminal is, seen from the other end: "normal", "cbreak", "raw". */
static const char *mode_of(int fd)
{
    struct termios termios;
    if (tcgetattr(fd, &termios) < 0)
        return "gone";
    bool lines = termios.c_lflag & ICANON, echo = termios.c_lflag & ECHO;
    bool signals = termios.c_lflag & ISIG, output = termios.c_oflag & OPOST;
    if (lines && echo && signals && output)
        return "normal";
    if (!lines && !echo && signals && output)
        return "cbreak";
    return !lines && !echo && !signals && !output ? "raw" : "a mixture";
}

#define assert_mode(screen, mode) assert_string_equal(mode, mode_of((screen)->master))

static bool blocks(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void type(struct screen *screen, const char *keys)
{
    assert_int_equal(strlen(keys), write(screen->master, keys, strlen(keys)));
}

static const char *shown(struct screen *screen, size_t size)
{
    static char text[256];
    size_t used = 0;
    while (used < size) {
        ssize_t count = read(screen->master, text + used, size - used);
        assert_true(count > 0);
        used += (size_t)count;
    }
    text[used] = '\0';
    return text;
}

/* Opening. */

static void opened_anew_it_leaves_the_descriptor_it_was_given_alone(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    int own = loop_stream_fd(&screen.tty.stream);
    assert_true(own >= 0 && own != screen.slave);
    assert_false(blocks(own));
    assert_true(blocks(screen.slave));
    assert_true(fcntl(own, F_GETFD) & FD_CLOEXEC);
    close_screen(*state, &screen);
}

static void the_descriptor_it_was_given_may_be_closed_at_once(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    close(screen.slave);
    screen.slave = -1;
    set_mode(&screen, LOOP_TTY_RAW);
    assert_mode(&screen, "raw");
    close_screen(*state, &screen);
}

static void it_reads_and_writes_as_the_descriptor_did(void **state)
{
    char path[64];
    struct screen screen;
    open_pty(&screen);
    assert_int_equal(0, ptsname_r(screen.master, path, sizeof(path)));
    int fd = open(path, O_WRONLY | O_NOCTTY);
    loop_tty_init(*state, &screen.tty);
    assert_int_equal(0, loop_tty_open(&screen.tty, fd));
    assert_int_equal(O_WRONLY, fcntl(loop_stream_fd(&screen.tty.stream), F_GETFL) & O_ACCMODE);
    close(fd);
    close_screen(*state, &screen);
}

static void a_master_is_duplicated_and_blocks_again_when_it_is_closed(void **state)
{
    struct screen screen;
    struct winsize size = {.ws_col = 91, .ws_row = 17};
    unsigned columns, rows;
    open_pty(&screen);
    assert_int_equal(0, ioctl(screen.slave, TIOCSWINSZ, &size));
    loop_tty_init(*state, &screen.tty);
    assert_int_equal(0, loop_tty_open(&screen.tty, screen.master));
    assert_false(blocks(screen.master));
    assert_int_equal(0, loop_tty_size(&screen.tty, &columns, &rows)); /* it is the same pty */
    assert_int_equal(91, columns);
    loop_close(&screen.tty.handle, NULL);
    assert_true(blocks(screen.master));
    run(*state);
    close_pty(&screen);
}

static void a_master_that_did_not_block_never_does(void **state)
{
    struct screen screen;
    open_pty(&screen);
    fcntl(screen.master, F_SETFL, O_RDWR | O_NONBLOCK);
    loop_tty_init(*state, &screen.tty);
    assert_int_equal(0, loop_tty_open(&screen.tty, screen.master));
    loop_close(&screen.tty.handle, NULL);
    assert_false(blocks(screen.master));
    run(*state);
    close_pty(&screen);
}

/* A descriptor of /dev/tty is the terminal that it was opened for, but opened anew the name leads
 * to the one of today. */
static int open_what_has_changed(void *arg)
{
    struct screen *screens = arg;
    struct loop *loop = screens[0].tty.handle.loop;
    unsigned columns, rows;
    signal(SIGHUP, SIG_IGN);
    if (setsid() < 0 || ioctl(screens[0].slave, TIOCSCTTY, 0) < 0)
        return 1;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TIOCNOTTY) < 0 || ioctl(screens[1].slave, TIOCSCTTY, 0) < 0)
        return 2;
    if (loop_after_fork(loop) < 0 || loop_tty_open(&screens[0].tty, fd) < 0)
        return 3;
    return loop_tty_size(&screens[0].tty, &columns, &rows) < 0 || columns != 91 ? 4 : 0;
}

static void a_terminal_whose_name_means_another_now_is_duplicated(void **state)
{
    struct screen screens[2];
    struct winsize size = {.ws_col = 91, .ws_row = 17};
    open_pty(&screens[0]);
    open_pty(&screens[1]);
    assert_int_equal(0, ioctl(screens[0].slave, TIOCSWINSZ, &size));
    loop_tty_init(*state, &screens[0].tty);
    in_child(open_what_has_changed, screens);
    close_pty(&screens[0]);
    close_pty(&screens[1]);
}

static void what_is_no_terminal_is_refused(void **state)
{
    struct loop_tty tty;
    int ends[2], sockets[2];
    loop_tty_init(*state, &tty);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    int file = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(-ENOTTY, loop_tty_open(&tty, ends[0]));
    assert_int_equal(-ENOTTY, loop_tty_open(&tty, sockets[0]));
    assert_int_equal(-ENOTTY, loop_tty_open(&tty, file));
    assert_int_equal(-EBADF, loop_tty_open(&tty, -1));
    assert_int_equal(-EINVAL, loop_tty_open(NULL, file));
    assert_int_equal(-1, loop_stream_fd(&tty.stream));
    int all[] = {ends[0], ends[1], sockets[0], sockets[1], file};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        assert_int_equal(0, close(all[i]));
}

static void a_terminal_whose_other_end_is_closed_cannot_be_opened(void **state)
{
    struct screen screen;
    open_pty(&screen);
    close(screen.master);
    screen.master = -1;
    loop_tty_init(*state, &screen.tty);
    assert_int_equal(-EIO, loop_tty_open(&screen.tty, screen.slave));
    close_pty(&screen);
}

static void on_resize(struct loop_tty *tty, unsigned columns, unsigned rows)
{
    (void)tty;
    say("%ux%u", columns, rows);
}

static void wrong_calls_are_refused_and_change_nothing(void **state)
{
    struct screen screen;
    unsigned columns, rows;
    struct loop_tty *tty = &screen.tty;
    open_pty(&screen);
    loop_tty_init(*state, tty);
    assert_int_equal(-ENOTCONN, loop_tty_set_mode(tty, LOOP_TTY_RAW));
    assert_int_equal(-ENOTCONN, loop_tty_set_mode(tty, LOOP_TTY_NORMAL));
    assert_int_equal(-ENOTCONN, loop_tty_size(tty, &columns, &rows));
    assert_int_equal(-ENOTCONN, loop_tty_on_resize(tty, on_resize));
    assert_int_equal(0, loop_tty_open(tty, screen.slave));
    assert_int_equal(-EBUSY, loop_tty_open(tty, screen.slave));
    assert_int_equal(-EINVAL, loop_tty_set_mode(tty, (enum loop_tty_mode)3));
    assert_int_equal(-EINVAL, loop_tty_set_mode(NULL, LOOP_TTY_RAW));
    assert_int_equal(-EINVAL, loop_tty_size(tty, NULL, &rows));
    assert_int_equal(-EINVAL, loop_tty_size(tty, &columns, NULL));
    assert_int_equal(-EINVAL, loop_tty_size(NULL, &columns, &rows));
    assert_int_equal(-EINVAL, loop_tty_on_resize(NULL, on_resize));
    assert_string_equal("tty", loop_handle_type(&tty->handle));
    loop_close(&tty->handle, NULL);
    assert_int_equal(-ECANCELED, loop_tty_set_mode(tty, LOOP_TTY_RAW));
    assert_int_equal(-ECANCELED, loop_tty_size(tty, &columns, &rows));
    assert_int_equal(-ECANCELED, loop_tty_on_resize(tty, on_resize));
    assert_int_equal(-ECANCELED, loop_tty_open(tty, screen.slave));
    run(*state);
    assert_mode(&screen, "normal");
    close_pty(&screen);
}

/* Streams. */

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size < 0)
        say("%s", size == LOOP_EOF ? "end" : loop_error_name((int)size));
    else
        say("\"%.*s\"", (int)size, (char *)bytes);
    loop_read_stop(stream);
}

static void read_piece(struct loop *loop, struct screen *screen)
{
    assert_int_equal(0, loop_read_start(&screen->tty.stream, on_read));
    run(loop);
}

static void write_text(struct screen *screen, const char *text)
{
    struct loop_buf buf = {text, strlen(text)};
    assert_int_equal(0, loop_write(&screen->tty.stream, &screen->write, &buf, 1, NULL));
}

static void in_raw_mode_each_key_arrives_and_each_byte_is_shown_as_it_is(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    type(&screen, "\003"); /* Ctrl-C */
    read_piece(*state, &screen);
    type(&screen, "\r");
    read_piece(*state, &screen);
    assert_said("\"\003\" \"\r\"");
    write_text(&screen, "one\ntwo");
    assert_string_equal("one\ntwo", shown(&screen, 7)); /* and nothing was echoed before */
    close_screen(*state, &screen);
}

static void in_cbreak_mode_each_key_arrives_and_output_is_as_usual(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_CBREAK);
    type(&screen, "k");
    read_piece(*state, &screen);
    assert_said("\"k\"");
    write_text(&screen, "a\nb");
    assert_string_equal("a\r\nb", shown(&screen, 4));
    close_screen(*state, &screen);
}

static void in_normal_mode_a_line_arrives_when_it_is_whole(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    type(&screen, "ax");
    type(&screen, "\177b\r"); /* the x is taken back */
    read_piece(*state, &screen);
    assert_said("\"ab\n\"");
    close_screen(*state, &screen);
}

static void control_d_is_an_end_and_reading_may_go_on(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    type(&screen, "\004");
    read_piece(*state, &screen);
    type(&screen, "more\n");
    read_piece(*state, &screen);
    assert_said("end \"more\n\"");
    close_screen(*state, &screen);
}

static void a_closed_master_is_an_end_and_cannot_be_written_to(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    close(screen.master);
    screen.master = -1;
    read_piece(*state, &screen);
    read_piece(*state, &screen);
    assert_said("end end");
    assert_int_equal(-EIO, loop_write_copy(&screen.tty.stream, "a", 1));
    assert_int_equal(-EIO, loop_tty_set_mode(&screen.tty, LOOP_TTY_RAW));
    close_screen(*state, &screen);
}

static void a_terminal_that_goes_while_it_is_raw_can_be_closed(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    close(screen.master);
    screen.master = -1;
    assert_int_equal(-EIO, loop_tty_set_mode(&screen.tty, LOOP_TTY_NORMAL));
    close_screen(*state, &screen);
}

static void a_closed_slave_is_an_end_to_its_master(void **state)
{
    struct screen screen;
    open_pty(&screen);
    loop_tty_init(*state, &screen.tty);
    assert_int_equal(0, loop_tty_open(&screen.tty, screen.master));
    assert_int_equal(2, write(screen.slave, "hi", 2));
    read_piece(*state, &screen);
    close(screen.slave);
    screen.slave = -1;
    read_piece(*state, &screen);
    assert_said("\"hi\" end");
    close_screen(*state, &screen);
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    say("shutdown-%d", status);
}

static void a_shutdown_says_only_that_all_is_written(void **state)
{
    struct screen screen;
    struct loop_shutdown shutdown = {0};
    open_screen(*state, &screen);
    write_text(&screen, "x");
    assert_int_equal(0, loop_shutdown(&screen.tty.stream, &shutdown, on_shutdown));
    run(*state);
    assert_int_equal(-EPIPE, loop_write_copy(&screen.tty.stream, "a", 1));
    type(&screen, "still\n");
    read_piece(*state, &screen);
    assert_said("shutdown-0 \"still\n\"");
    close_screen(*state, &screen);
}

/* Modes. */

static void a_mode_is_set_at_once_and_taken_back(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    assert_mode(&screen, "normal");
    set_mode(&screen, LOOP_TTY_NORMAL);
    set_mode(&screen, LOOP_TTY_RAW);
    set_mode(&screen, LOOP_TTY_RAW);
    assert_mode(&screen, "raw");
    set_mode(&screen, LOOP_TTY_CBREAK);
    assert_mode(&screen, "cbreak");
    set_mode(&screen, LOOP_TTY_NORMAL);
    assert_mode(&screen, "normal");
    close_screen(*state, &screen);
}

static void normal_is_what_was_there_before(void **state)
{
    struct screen screen;
    struct termios before = {0}, after = {0}; /* a C library may leave a rest as it was */
    open_screen(*state, &screen);
    assert_int_equal(0, tcgetattr(screen.slave, &before));
    before.c_iflag ^= IXON;
    before.c_cc[VMIN] = 7;
    before.c_cc[VINTR] = 'q';
    assert_int_equal(0, tcsetattr(screen.slave, TCSANOW, &before));
    set_mode(&screen, LOOP_TTY_CBREAK);
    set_mode(&screen, LOOP_TTY_RAW);
    set_mode(&screen, LOOP_TTY_NORMAL);
    assert_int_equal(0, tcgetattr(screen.slave, &after));
    assert_int_equal(before.c_iflag, after.c_iflag);
    assert_int_equal(before.c_oflag, after.c_oflag);
    assert_int_equal(before.c_lflag, after.c_lflag);
    assert_memory_equal(before.c_cc, after.c_cc, sizeof(after.c_cc));
    close_screen(*state, &screen);
}

static void closing_and_detaching_take_the_mode_back(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    int fd = loop_stream_detach(&screen.tty.stream);
    assert_true(fd >= 0);
    assert_mode(&screen, "normal");
    close(fd);
    assert_int_equal(0, loop_tty_open(&screen.tty, screen.slave));
    set_mode(&screen, LOOP_TTY_RAW);
    loop_close(&screen.tty.handle, NULL);
    assert_mode(&screen, "normal");
    run(*state);
    close_pty(&screen);
}

static void of_two_handles_the_last_makes_the_terminal_normal(void **state)
{
    struct screen in, out;
    open_screen(*state, &in);
    out = (struct screen){.master = in.master, .slave = in.slave};
    loop_tty_init(*state, &out.tty);
    assert_int_equal(0, loop_tty_open(&out.tty, in.slave));
    set_mode(&in, LOOP_TTY_CBREAK);
    set_mode(&out, LOOP_TTY_RAW);
    assert_mode(&in, "raw");
    loop_close(&out.tty.handle, NULL);
    assert_mode(&in, "cbreak");
    run(*state);
    loop_tty_init(*state, &out.tty);
    assert_int_equal(0, loop_tty_open(&out.tty, in.master));
    set_mode(&out, LOOP_TTY_RAW);
    set_mode(&in, LOOP_TTY_NORMAL);
    assert_mode(&in, "raw");
    loop_close(&out.tty.handle, NULL);
    assert_mode(&in, "normal");
    close_screen(*state, &in);
}

static void terminals_do_not_share_a_mode(void **state)
{
    struct screen a, b;
    open_screen(*state, &a);
    open_screen(*state, &b);
    set_mode(&a, LOOP_TTY_RAW);
    set_mode(&b, LOOP_TTY_CBREAK);
    set_mode(&a, LOOP_TTY_NORMAL);
    assert_mode(&a, "normal");
    assert_mode(&b, "cbreak");
    close_screen(*state, &b);
    assert_mode(&a, "normal");
    close_screen(*state, &a);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_memory_nothing_is_set(void **state)
{
    struct loop *loop = *state;
    struct screen screen;
    struct loop_allocator before = loop->options.allocator;
    open_screen(loop, &screen);
    loop->options.allocator.resize = no_memory;
    assert_int_equal(-ENOMEM, loop_tty_set_mode(&screen.tty, LOOP_TTY_RAW));
    assert_int_equal(-ENOMEM, loop_tty_on_resize(&screen.tty, on_resize));
    loop->options.allocator = before;
    assert_mode(&screen, "normal");
    close_screen(loop, &screen);
}

/* Restoring. */

static bool has_handler(int number)
{
    struct sigaction action;
    assert_int_equal(0, sigaction(number, NULL, &action));
    return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    assert_int_equal(0, sigaction(number, &action, NULL));
}

static void restore_and_leave(int number)
{
    (void)number;
    loop_tty_restore();
    _exit(0);
}

static void signals_are_caught_while_a_terminal_is_not_normal(void **state)
{
    struct screen a, b;
    open_screen(*state, &a);
    open_screen(*state, &b);
    set_handler(SIGHUP, SIG_IGN);
    set_handler(SIGQUIT, restore_and_leave);
    assert_false(has_handler(SIGTERM));
    set_mode(&a, LOOP_TTY_RAW);
    set_mode(&b, LOOP_TTY_CBREAK);
    assert_true(has_handler(SIGTERM) && has_handler(SIGINT));
    assert_false(has_handler(SIGHUP));
    set_mode(&a, LOOP_TTY_NORMAL);
    assert_true(has_handler(SIGTERM));
    set_handler(SIGINT, restore_and_leave);
    close_screen(*state, &b);
    assert_false(has_handler(SIGTERM));
    assert_true(has_handler(SIGINT) && has_handler(SIGQUIT));
    set_handler(SIGHUP, SIG_DFL);
    set_handler(SIGQUIT, SIG_DFL);
    set_handler(SIGINT, SIG_DFL);
    close_screen(*state, &a);
}

/* How a child with a raw terminal ends. */
struct ending {
    struct screen screen;
    void (*end)(struct screen *screen, int number);
    int number;
};

static struct ending ending;

static void be_raw(void)
{
    static struct loop loop;
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    close(STDERR_FILENO);
    if (loop_init(&loop, NULL) < 0)
        _exit(2);
    loop_tty_init(&loop, &ending.screen.tty);
    if (loop_tty_open(&ending.screen.tty, ending.screen.slave) < 0 ||
        loop_tty_set_mode(&ending.screen.tty, LOOP_TTY_RAW) < 0 ||
        strcmp(mode_of(ending.screen.slave), "raw") != 0)
        _exit(3);
}

/* Returns how the child ended, as waitpid(2) has it. */
static int ends(void (*end)(struct screen *screen, int number), int number)
{
    int status;
    ending.end = end;
    ending.number = number;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(number, SIG_DFL); /* a sanitizer may have put its own there */
        be_raw();
        ending.end(&ending.screen, number);
        _exit(4);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    return status;
}

static void by_exit(struct screen *screen, int number)
{
    (void)screen;
    (void)number;
    exit(7);
}

static void by_signal(struct screen *screen, int number)
{
    (void)screen;
    kill(getpid(), number);
    raise(number);
}

static void by_abort(struct screen *screen, int number)
{
    (void)screen;
    (void)number;
    abort();
}

static void by_panic(struct screen *screen, int number)
{
    (void)number;
    loop_close(&screen->tty.handle, NULL);
    loop_tty_init(screen->tty.handle.loop, &screen->tty);
    loop_tty_open(&screen->tty, screen->slave);
    loop_tty_set_mode(&screen->tty, LOOP_TTY_RAW);
    struct loop_tty never = {0};
    loop_close(&never.handle, NULL);
}

static void by_own_handler(struct screen *screen, int number)
{
    (void)screen;
    set_handler(number, restore_and_leave);
    raise(number);
}

static void exit_restores(void **state)
{
    (void)state;
    open_pty(&ending.screen);
    int status = ends(by_exit, SIGTERM);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_mode(&ending.screen, "normal");
    close_pty(&ending.screen);
}

static void a_fatal_signal_restores_and_still_ends_the_program(void **state)
{
    static const int fatal[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGSEGV,
                                SIGABRT, SIGBUS,  SIGFPE, SIGILL};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(fatal); i++) {
        open_pty(&ending.screen);
        int status = ends(by_signal, fatal[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(fatal[i], WTERMSIG(status));
        assert_mode(&ending.screen, "normal");
        close_pty(&ending.screen);
    }
}

static void abort_and_panic_restore(void **state)
{
    (void)state;
    open_pty(&ending.screen);
    int status = ends(by_abort, SIGABRT);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_mode(&ending.screen, "normal");
    status = ends(by_panic, SIGABRT);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_mode(&ending.screen, "normal");
    close_pty(&ending.screen);
}

static void a_handler_of_the_programs_own_may_restore(void **state)
{
    (void)state;
    open_pty(&ending.screen);
    int status = ends(by_own_handler, SIGTERM);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_mode(&ending.screen, "normal");
    close_pty(&ending.screen);
}

static void after_a_restore_the_mode_may_be_set_again(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    loop_tty_restore();
    loop_tty_restore();
    assert_mode(&screen, "normal");
    set_mode(&screen, LOOP_TTY_RAW);
    assert_mode(&screen, "raw");
    close_screen(*state, &screen);
    assert_mode(&screen, "gone");
}

static int leave_by_exit(void *arg)
{
    (void)arg;
    exit(0);
}

static int leave_by_restore(void *arg)
{
    (void)arg;
    loop_tty_restore();
    return 0;
}

static int leave_by_close(void *arg)
{
    struct screen *screen = arg;
    loop_close(&screen->tty.handle, NULL);
    return 0;
}

static int leave_by_claim(void *arg)
{
    struct screen *screen = arg;
    if (loop_tty_set_mode(&screen->tty, LOOP_TTY_CBREAK) < 0 ||
        strcmp(mode_of(screen->master), "raw") != 0) /* all but the echo is as it was found */
        exit(1);
    exit(0);
}

static void a_forked_child_leaves_its_parents_mode_alone(void **state)
{
    struct screen screen;
    int (*leave[])(void *) = {leave_by_exit, leave_by_restore, leave_by_close};
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    for (size_t i = 0; i < ARRAY_LENGTH(leave); i++) {
        fflush(NULL);
        in_child(leave[i], &screen);
        assert_mode(&screen, "raw");
    }
    close_screen(*state, &screen);
}

static void a_forked_child_with_a_mode_of_its_own_restores_what_it_found(void **state)
{
    struct screen screen;
    struct termios termios;
    open_screen(*state, &screen);
    set_mode(&screen, LOOP_TTY_RAW);
    assert_int_equal(0, tcgetattr(screen.slave, &termios));
    termios.c_lflag |= ECHO;
    assert_int_equal(0, tcsetattr(screen.slave, TCSANOW, &termios));
    assert_mode(&screen, "a mixture");
    fflush(NULL);
    in_child(leave_by_claim, &screen);
    assert_int_equal(0, tcgetattr(screen.slave, &termios));
    assert_true(termios.c_lflag & ECHO);
    close_screen(*state, &screen);
}

/* Sizes. */

static void set_size(struct screen *screen, unsigned columns, unsigned rows)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    assert_int_equal(0, ioctl(screen->master, TIOCSWINSZ, &size));
}

static void run_one_turn(struct loop *loop)
{
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
}

/* Reading is what keeps the loop alive. */
static void open_and_read(struct loop *loop, struct screen *screen)
{
    open_screen(loop, screen);
    assert_int_equal(0, loop_read_start(&screen->tty.stream, on_read));
}

static void the_size_is_what_the_other_end_set(void **state)
{
    struct screen screen;
    unsigned columns = 1, rows = 1;
    open_screen(*state, &screen);
    assert_int_equal(0, loop_tty_size(&screen.tty, &columns, &rows));
    assert_int_equal(0, columns);
    assert_int_equal(0, rows);
    set_size(&screen, 132, 50);
    assert_int_equal(0, loop_tty_size(&screen.tty, &columns, &rows));
    assert_int_equal(132, columns);
    assert_int_equal(50, rows);
    close_screen(*state, &screen);
}

static void a_new_size_is_told_once(void **state)
{
    struct screen screen;
    open_and_read(*state, &screen);
    set_size(&screen, 80, 24);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    raise(SIGWINCH);
    run_one_turn(*state);
    assert_said(""); /* it is as it was */
    set_size(&screen, 80, 25);
    raise(SIGWINCH);
    set_size(&screen, 81, 25);
    raise(SIGWINCH);
    assert_said("");
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("81x25");
    close_screen(*state, &screen);
}

static void on_resize_other(struct loop_tty *tty, unsigned columns, unsigned rows)
{
    (void)columns;
    (void)rows;
    say("other-in-%s", loop_phase_name(loop_phase(tty->handle.loop)));
}

static void who_is_told_may_be_changed_and_taken_away(void **state)
{
    struct screen screen;
    open_and_read(*state, &screen);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, NULL));
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize_other));
    set_size(&screen, 80, 24);
    raise(SIGWINCH);
    run_one_turn(*state);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, NULL));
    set_size(&screen, 80, 25);
    raise(SIGWINCH);
    run_one_turn(*state);
    assert_said("other-in-poll");
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    set_size(&screen, 80, 26);
    raise(SIGWINCH);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, NULL)); /* the signal is forgotten */
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    run_one_turn(*state);
    assert_said("");
    close_screen(*state, &screen);
}

static void count_handle(struct loop_handle *handle, void *arg)
{
    (void)handle;
    ++*(int *)arg;
}

static void waiting_for_a_size_keeps_no_loop_alive_and_shows_in_no_walk(void **state)
{
    struct screen screen;
    int count = 0;
    open_screen(*state, &screen);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    assert_false(loop_alive(*state));
    loop_walk(*state, count_handle, &count);
    assert_int_equal(1, count);
    run(*state);
    close_screen(*state, &screen);
}

static void on_resize_close(struct loop_tty *tty, unsigned columns, unsigned rows)
{
    on_resize(tty, columns, rows);
    loop_close(&tty->handle, NULL);
}

static void a_terminal_may_be_closed_when_it_is_resized(void **state)
{
    struct screen screen;
    open_and_read(*state, &screen);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize_close));
    set_size(&screen, 80, 24);
    raise(SIGWINCH);
    raise(SIGWINCH);
    run(*state);
    raise(SIGWINCH); /* nobody waits for it */
    assert_said("80x24");
    close_pty(&screen);
}

static void a_detached_terminal_is_forgotten(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    set_size(&screen, 80, 24);
    raise(SIGWINCH);
    int fd = loop_stream_detach(&screen.tty.stream);
    assert_true(fd >= 0);
    memset(&screen.tty, 0xff, sizeof(screen.tty));
    run(*state);
    assert_said("");
    close(fd);
    close_pty(&screen);
}

static int own_signals;

static void own_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    own_signals += info && number == SIGWINCH;
}

static void the_programs_own_handler_is_called_and_comes_back(void **state)
{
    struct screen screen;
    struct sigaction now, own = {.sa_flags = SA_SIGINFO};
    own.sa_sigaction = own_handler;
    own_signals = 0;
    assert_int_equal(0, sigaction(SIGWINCH, &own, NULL));
    open_and_read(*state, &screen);
    assert_int_equal(0, loop_tty_on_resize(&screen.tty, on_resize));
    set_size(&screen, 80, 24);
    raise(SIGWINCH);
    assert_int_equal(1, own_signals);
    run_one_turn(*state);
    assert_said("80x24");
    close_screen(*state, &screen);
    assert_int_equal(0, sigaction(SIGWINCH, NULL, &now));
    assert_true(now.sa_sigaction == own_handler);
    raise(SIGWINCH);
    assert_int_equal(2, own_signals);
    set_handler(SIGWINCH, SIG_DFL);
}

static void on_resize_stop(struct loop_tty *tty, unsigned columns, unsigned rows)
{
    on_resize(tty, columns, rows);
    loop_read_stop(&tty->stream);
}

/* The kernel sends the signal to those whose controlling terminal it is. */
static int be_resized_by_the_kernel(void *arg)
{
    struct screen *screen = arg;
    struct loop *loop = screen->tty.handle.loop;
    struct winsize size = {.ws_col = 40, .ws_row = 10};
    if (setsid() < 0 || ioctl(screen->slave, TIOCSCTTY, 0) < 0)
        return 1;
    if (loop_after_fork(loop) < 0 || loop_tty_on_resize(&screen->tty, on_resize_stop) < 0)
        return 2;
    if (loop_read_start(&screen->tty.stream, on_read) < 0)
        return 3;
    if (ioctl(screen->master, TIOCSWINSZ, &size) < 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 4;
    return strcmp("40x10", said()) != 0;
}

static void the_kernel_tells_the_controlling_process(void **state)
{
    struct screen screen;
    open_screen(*state, &screen);
    in_child(be_resized_by_the_kernel, &screen);
    close_screen(*state, &screen);
}

/* A thread with a loop and a terminal of its own. */
struct watcher {
    struct screen screen;
    pthread_t thread;
    pthread_barrier_t *ready;
    unsigned columns;
};

static void on_resize_end(struct loop_tty *tty, unsigned columns, unsigned rows)
{
    struct watcher *watcher = loop_container_of(tty, struct watcher, screen.tty);
    (void)rows;
    watcher->columns = columns;
    loop_close(&tty->handle, NULL);
}

static void *watch(void *arg)
{
    struct watcher *watcher = arg;
    struct loop loop;
    if (loop_init(&loop, NULL) < 0)
        return arg;
    loop_tty_init(&loop, &watcher->screen.tty);
    int error = loop_tty_open(&watcher->screen.tty, watcher->screen.slave);
    if (!error)
        error = loop_tty_set_mode(&watcher->screen.tty, LOOP_TTY_RAW);
    if (!error)
        error = loop_tty_on_resize(&watcher->screen.tty, on_resize_end);
    if (!error)
        error = loop_read_start(&watcher->screen.tty.stream, on_read);
    pthread_barrier_wait(watcher->ready);
    if (!error)
        loop_run(&loop, LOOP_RUN_DEFAULT);
    return loop_fini(&loop) < 0 ? arg : NULL;
}

static void one_signal_reaches_the_loops_of_all_threads(void **state)
{
    enum { THREADS = 4 };
    static struct watcher watchers[THREADS];
    pthread_barrier_t ready;
    (void)state;
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        open_pty(&watchers[i].screen);
        watchers[i].ready = &ready;
        assert_int_equal(0, pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]));
    }
    pthread_barrier_wait(&ready);
    for (unsigned i = 0; i < THREADS; i++)
        set_size(&watchers[i].screen, 100 + i, 20);
    raise(SIGWINCH);
    for (unsigned i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(watchers[i].thread, &failed);
        assert_null(failed);
        assert_int_equal(100 + i, watchers[i].columns);
        assert_mode(&watchers[i].screen, "normal");
        close_pty(&watchers[i].screen);
    }
    pthread_barrier_destroy(&ready);
    assert_false(has_handler(SIGWINCH) || has_handler(SIGTERM));
}

static const struct CMUnitTest tests[] = {
    virtual_test(opened_anew_it_leaves_the_descriptor_it_was_given_alone),
    virtual_test(the_descriptor_it_was_given_may_be_closed_at_once),
    virtual_test(it_reads_and_writes_as_the_descriptor_did),
    virtual_test(a_master_is_duplicated_and_blocks_again_when_it_is_closed),
    virtual_test(a_master_that_did_not_block_never_does),
    real_test(a_terminal_whose_name_means_another_now_is_duplicated),
    virtual_test(what_is_no_terminal_is_refused),
    virtual_test(a_terminal_whose_other_end_is_closed_cannot_be_opened),
    virtual_test(wrong_calls_are_refused_and_change_nothing),
    real_test(in_raw_mode_each_key_arrives_and_each_byte_is_shown_as_it_is),
    real_test(in_cbreak_mode_each_key_arrives_and_output_is_as_usual),
    real_test(in_normal_mode_a_line_arrives_when_it_is_whole),
    real_test(control_d_is_an_end_and_reading_may_go_on),
    real_test(a_closed_master_is_an_end_and_cannot_be_written_to),
    real_test(a_terminal_that_goes_while_it_is_raw_can_be_closed),
    real_test(a_closed_slave_is_an_end_to_its_master),
    real_test(a_shutdown_says_only_that_all_is_written),
    virtual_test(a_mode_is_set_at_once_and_taken_back),
    virtual_test(normal_is_what_was_there_before),
    virtual_test(closing_and_detaching_take_the_mode_back),
    virtual_test(of_two_handles_the_last_makes_the_terminal_normal),
    virtual_test(terminals_do_not_share_a_mode),
    virtual_test(without_memory_nothing_is_set),
    virtual_test(signals_are_caught_while_a_terminal_is_not_normal),
    virtual_test(exit_restores),
    virtual_test(a_fatal_signal_restores_and_still_ends_the_program),
    virtual_test(abort_and_panic_restore),
    virtual_test(a_handler_of_the_programs_own_may_restore),
    virtual_test(after_a_restore_the_mode_may_be_set_again),
    virtual_test(a_forked_child_leaves_its_parents_mode_alone),
    virtual_test(a_forked_child_with_a_mode_of_its_own_restores_what_it_found),
    virtual_test(the_size_is_what_the_other_end_set),
    virtual_test(a_new_size_is_told_once),
    virtual_test(who_is_told_may_be_changed_and_taken_away),
    virtual_test(waiting_for_a_size_keeps_no_loop_alive_and_shows_in_no_walk),
    virtual_test(a_terminal_may_be_closed_when_it_is_resized),
    virtual_test(a_detached_terminal_is_forgotten),
    virtual_test(the_programs_own_handler_is_called_and_comes_back),
    real_test(the_kernel_tells_the_controlling_process),
    real_test(one_signal_reaches_the_loops_of_all_threads),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
