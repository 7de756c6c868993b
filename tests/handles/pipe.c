/* Pipes: unix-domain sockets by path and by abstract name, adopted descriptors, and descriptors
 * that are passed.
 *
 * A name has at most 107 bytes, and none is cut. The path of a listener is removed by the process
 * that bound it, when it is closed, and by nobody else. What cannot be reached is told to the
 * callback of connect. Ends of pipe(2), FIFOs, sockets and character devices may be adopted, and
 * are blocking again afterwards if they were before; a device that cannot be waited for, such as
 * /dev/null, can be written, and says -EPERM to who would wait for it. Files and directories are
 * refused.
 *
 * Descriptors are passed with the first byte of a write, also of one that is queued, 253 at most.
 * In its read callback the receiver takes what it wants; the rest is closed, as is all that comes
 * to one who did not ask. When its table is full the bytes come all the same.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct conn {
    struct loop_pipe pipe;
    struct loop_connect connect;
    struct loop_write writes[2];
    struct loop_read read;
    struct loop_shutdown shutdown;
    const char *name;
    size_t bytes;
    int taken[LOOP_WRITE_FDS_MAX];
    int taken_count;
    int refusal; /* what loop_pipe_take_fd() said at last */
};

struct server {
    struct loop_pipe pipe;
    struct conn accepted;
};

static char directory[] = "/tmp/libloop-pipe-XXXXXX";
static char much[1 << 20];

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* A path of so many bytes in our directory. */
static const char *path_of(size_t size)
{
    static char path[256];
    size_t used = (size_t)snprintf(path, sizeof(path), "%s/", directory);
    memset(path + used, 'p', size - used);
    path[size] = '\0';
    return path;
}

enum { PATH_SIZE = 40 };

/* An abstract name of this process's own, so that others may run the same tests. */
static const char *abstract_name(size_t *size)
{
    static char name[64];
    *size = 1 + (size_t)snprintf(name + 1, sizeof(name) - 1, "libloop-%d", (int)getpid());
    return name;
}

static bool exists(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

static struct conn *conn_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct conn, pipe.stream);
}

static void open_conn(struct loop *loop, struct conn *conn, const char *name)
{
    memset(conn, 0, sizeof(*conn));
    conn->name = name;
    loop_pipe_init(loop, &conn->pipe);
}

static const char *outcome(int status)
{
    return status == LOOP_EOF ? "EOF" : loop_error_name(status);
}

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    say("connect-%s", outcome(status));
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    say("write-%s", outcome(status));
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size >= 0)
        say("%s:%.*s", conn_of(stream)->name, (int)size, (const char *)bytes);
    else
        say("%s:%s", conn_of(stream)->name, outcome((int)size));
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct server *server = loop_container_of(listener, struct server, pipe.stream);
    assert_int_equal(0, status);
    assert_int_equal(0, loop_accept(listener, &server->accepted.pipe.stream));
    assert_int_equal(0, loop_read_start(&server->accepted.pipe.stream, on_read));
}

static void open_server(struct loop *loop, struct server *server, const char *name, size_t size)
{
    memset(server, 0, sizeof(*server));
    loop_pipe_init(loop, &server->pipe);
    open_conn(loop, &server->accepted, "s");
    assert_int_equal(0, loop_pipe_bind(&server->pipe, name, size));
    assert_int_equal(0, loop_listen(&server->pipe.stream, 16, on_connection));
}

static void start_connect(struct conn *conn, const char *name, size_t size)
{
    assert_int_equal(0, loop_pipe_connect(&conn->pipe, &conn->connect, name, size, on_connect));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_turns(struct loop *loop, int turns)
{
    while (turns-- > 0)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void close_conn(struct conn *conn)
{
    if (!loop_is_closing(&conn->pipe.handle))
        loop_close(&conn->pipe.handle, NULL);
}

static void close_all(struct loop *loop, struct server *server, struct conn *client)
{
    close_conn(client);
    close_conn(&server->accepted);
    loop_close(&server->pipe.handle, NULL);
    run(loop);
}

/* A connected pair a and b, of which b reads. */
static void open_pair(struct loop *loop, struct conn *a, struct conn *b, loop_read_cb cb)
{
    open_conn(loop, a, "a");
    open_conn(loop, b, "b");
    assert_int_equal(0, loop_pipe_pair(&a->pipe, &b->pipe));
    if (cb)
        assert_int_equal(0, loop_read_start(&b->pipe.stream, cb));
}

static void close_pair(struct loop *loop, struct conn *a, struct conn *b)
{
    close_conn(a);
    close_conn(b);
    run(loop);
}

static void send_text(struct conn *conn, const char *text)
{
    assert_int_equal(0, loop_write_copy(&conn->pipe.stream, text, strlen(text)));
}

/* Names. */

static void exchange(struct loop *loop, const char *name, size_t size)
{
    struct server server;
    struct conn client;
    open_server(loop, &server, name, size);
    open_conn(loop, &client, "c");
    start_connect(&client, name, size);
    send_text(&client, "hello");
    run_turns(loop, 3);
    assert_said("connect-OK s:hello");
    close_all(loop, &server, &client);
}

static void a_client_reaches_a_server_by_its_path(void **state)
{
    exchange(*state, path_of(PATH_SIZE), PATH_SIZE);
    assert_false(exists(path_of(PATH_SIZE)));
}

static void a_client_reaches_a_server_by_an_abstract_name(void **state)
{
    char name[64] = "";
    int length = snprintf(name + 1, sizeof(name) - 1, "libloop%ctest-%d", 0, (int)getpid());
    exchange(*state, name, 1 + (size_t)length);
}

static void a_name_has_107_bytes_at_most(void **state)
{
    struct conn conn;
    char abstract[128] = "";
    memset(abstract + 1, 'a', sizeof(abstract) - 1);
    int length = snprintf(abstract + 1, 32, "%d", (int)getpid());
    abstract[1 + length] = 'a';
    exchange(*state, path_of(107), 107);
    exchange(*state, abstract, 107);
    open_conn(*state, &conn, "c");
    struct loop_pipe *pipe = &conn.pipe;
    const char *path = path_of(108);
    assert_int_equal(-ENAMETOOLONG, loop_pipe_bind(pipe, path, 108));
    assert_int_equal(-ENAMETOOLONG, loop_pipe_bind(pipe, abstract, 108));
    assert_int_equal(-ENAMETOOLONG, loop_pipe_connect(pipe, &conn.connect, path, 108, on_connect));
    assert_int_equal(-ENAMETOOLONG,
                     loop_pipe_connect(pipe, &conn.connect, abstract, 108, on_connect));
    assert_int_equal(-1, loop_stream_fd(&pipe->stream));
    run(*state);
    assert_said("");
}

static void an_empty_name_or_a_zero_inside_a_path_is_refused(void **state)
{
    struct conn conn;
    open_conn(*state, &conn, "c");
    struct loop_pipe *pipe = &conn.pipe;
    assert_int_equal(-EINVAL, loop_pipe_bind(pipe, "", 0));
    assert_int_equal(-EINVAL, loop_pipe_bind(pipe, NULL, 3));
    assert_int_equal(-EINVAL, loop_pipe_bind(NULL, "a", 1));
    assert_int_equal(-EINVAL, loop_pipe_bind(pipe, "a\0b", 3));
    assert_int_equal(-EINVAL, loop_pipe_bind(pipe, "a\0", 2));
    assert_int_equal(-EINVAL, loop_pipe_connect(pipe, &conn.connect, "a\0b", 3, on_connect));
    assert_int_equal(-EINVAL, loop_pipe_connect(pipe, &conn.connect, "a", 1, NULL));
    assert_int_equal(-EINVAL, loop_pipe_connect(pipe, NULL, "a", 1, on_connect));
    assert_int_equal(-1, loop_stream_fd(&pipe->stream));
}

static void a_file_that_exists_is_not_bound_and_not_removed(void **state)
{
    struct conn conn;
    const char *path = path_of(PATH_SIZE);
    close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    open_conn(*state, &conn, "c");
    assert_int_equal(-EADDRINUSE, loop_pipe_bind(&conn.pipe, path, PATH_SIZE));
    loop_close(&conn.pipe.handle, NULL);
    assert_int_equal(-ECANCELED, loop_pipe_bind(&conn.pipe, path, PATH_SIZE));
    run(*state);
    assert_int_equal(0, unlink(path));
}

static int close_in_the_child(void *arg)
{
    struct server *server = arg;
    struct loop *loop = server->pipe.handle.loop;
    loop_close(&server->pipe.handle, NULL);
    return loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0;
}

static int close_in_the_child_that_took_over(void *arg)
{
    struct server *server = arg;
    return loop_after_fork(server->pipe.handle.loop) < 0 || close_in_the_child(arg);
}

static void the_path_is_removed_at_close_and_not_by_a_child(void **state)
{
    struct server server;
    struct conn client;
    const char *path = path_of(PATH_SIZE);
    open_server(*state, &server, path, PATH_SIZE);
    open_conn(*state, &client, "c");
    assert_int_equal(-EBUSY, loop_pipe_bind(&server.pipe, path, PATH_SIZE));
    in_child(close_in_the_child, &server);
    assert_true(exists(path));
    in_child(close_in_the_child_that_took_over, &server);
    assert_true(exists(path));
    start_connect(&client, path, PATH_SIZE);
    run_turns(*state, 2);
    assert_said("connect-OK");
    loop_close(&server.accepted.pipe.handle, NULL);
    run_turns(*state, 1);
    assert_true(exists(path)); /* a connection has the name of its listener, but did not bind it */
    loop_close(&server.pipe.handle, NULL);
    assert_false(exists(path));
    close_conn(&client);
    run(*state);
}

/* It is another's then, who may have given it to a program that starts next. */
static void a_path_whose_listener_was_detached_is_not_removed_by_the_next_use(void **state)
{
    struct server server;
    const char *path = path_of(PATH_SIZE);
    open_server(*state, &server, path, PATH_SIZE);
    int fd = loop_stream_detach(&server.pipe.stream);
    assert_true(fd >= 0);
    assert_int_equal(0, loop_pipe_open(&server.pipe, fd));
    loop_close(&server.pipe.handle, NULL);
    run(*state);
    bool kept = exists(path);
    unlink(path);
    assert_true(kept);
}

/* Connecting. */

static void a_path_that_is_not_there_is_told_to_the_callback(void **state)
{
    struct conn conn;
    const char *path = path_of(PATH_SIZE);
    open_conn(*state, &conn, "c");
    start_connect(&conn, path, PATH_SIZE);
    assert_said("");
    run(*state);
    assert_said("connect-ENOENT");
    assert_int_equal(-1, loop_stream_fd(&conn.pipe.stream));
    struct server server;
    open_server(*state, &server, path, PATH_SIZE);
    start_connect(&conn, path, PATH_SIZE);
    run_turns(*state, 2);
    assert_said("connect-OK");
    assert_int_equal(-EBUSY, loop_pipe_connect(&conn.pipe, &conn.connect, path, 40, on_connect));
    close_all(*state, &server, &conn);
}

static void a_path_where_nobody_listens_refuses(void **state)
{
    struct conn bound, client;
    const char *path = path_of(PATH_SIZE);
    open_conn(*state, &bound, "b");
    open_conn(*state, &client, "c");
    assert_int_equal(0, loop_pipe_bind(&bound.pipe, path, PATH_SIZE));
    start_connect(&client, path, PATH_SIZE);
    run(*state);
    assert_said("connect-ECONNREFUSED");
    close_conn(&bound);
    run(*state);
}

static void a_full_backlog_is_told_as_eagain(void **state)
{
    struct conn listener, first, second;
    const char *path = path_of(PATH_SIZE);
    open_conn(*state, &listener, "l");
    open_conn(*state, &first, "1");
    open_conn(*state, &second, "2");
    assert_int_equal(0, loop_pipe_bind(&listener.pipe, path, PATH_SIZE));
    assert_int_equal(0, listen(loop_stream_fd(&listener.pipe.stream), 0));
    start_connect(&first, path, PATH_SIZE);
    start_connect(&second, path, PATH_SIZE);
    run(*state);
    assert_said("connect-OK connect-EAGAIN");
    close_conn(&listener);
    close_conn(&first);
    run(*state);
}

/* Adopting. */

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    say("shutdown-%s", outcome(status));
}

static void the_ends_of_a_pipe_are_streams_and_its_shutdown_closes_it(void **state)
{
    struct conn reader, writer;
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    open_conn(*state, &reader, "r");
    open_conn(*state, &writer, "w");
    assert_int_equal(0, loop_pipe_open(&reader.pipe, ends[0]));
    assert_int_equal(0, loop_pipe_open(&writer.pipe, ends[1]));
    assert_int_equal(-EBUSY, loop_pipe_open(&writer.pipe, ends[1]));
    assert_int_equal(0, loop_read_start(&reader.pipe.stream, on_read));
    send_text(&writer, "hello");
    run_turns(*state, 1);
    assert_said("r:hello");
    struct loop_stream *w = &writer.pipe.stream;
    assert_int_equal(0, loop_shutdown(w, &writer.shutdown, on_shutdown));
    assert_int_equal(-1, loop_stream_fd(w));
    run_turns(*state, 2);
    assert_said("shutdown-OK r:EOF");
    assert_true(loop_write_copy(w, "late", 4) < 0);
    close_pair(*state, &reader, &writer);
}

/* SIGPIPE would end this program. */
static void a_pipe_that_nobody_reads_is_epipe_without_a_signal(void **state)
{
    struct conn writer;
    int ends[2];
    struct loop_buf buf = {"hello", 5};
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    close(ends[0]);
    open_conn(*state, &writer, "w");
    assert_int_equal(0, loop_pipe_open(&writer.pipe, ends[1]));
    struct loop_stream *w = &writer.pipe.stream;
    assert_int_equal(-EPIPE, loop_write(w, &writer.writes[0], &buf, 1, on_write));
    assert_int_equal(-EPIPE, loop_try_write(w, &buf, 1));
    close_conn(&writer);
    run(*state);
    assert_said("");
}

static void writes_that_wait_for_a_pipe_fail_when_its_reader_goes(void **state)
{
    struct conn writer;
    int ends[2];
    struct loop_buf buf = {much, sizeof(much)};
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    open_conn(*state, &writer, "w");
    assert_int_equal(0, loop_pipe_open(&writer.pipe, ends[1]));
    struct loop_stream *w = &writer.pipe.stream;
    assert_int_equal(1, loop_write(w, &writer.writes[0], &buf, 1, on_write));
    run_turns(*state, 2);
    close(ends[0]);
    run_turns(*state, 2);
    assert_said("write-EPIPE");
    close_conn(&writer);
    run(*state);
}

static void a_fifo_is_a_stream(void **state)
{
    struct conn reader, writer;
    const char *path = path_of(PATH_SIZE);
    assert_int_equal(0, mkfifo(path, 0600));
    open_conn(*state, &reader, "r");
    open_conn(*state, &writer, "w");
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(0, loop_pipe_open(&reader.pipe, fd));
    assert_int_equal(0, loop_pipe_open(&writer.pipe, open(path, O_WRONLY | O_CLOEXEC)));
    unlink(path);
    assert_int_equal(0, loop_read_start(&reader.pipe.stream, on_read));
    send_text(&writer, "hello");
    run_turns(*state, 1);
    close_conn(&writer);
    run_turns(*state, 2);
    assert_said("r:hello r:EOF");
    close_conn(&reader);
    run(*state);
}

static void an_end_of_a_socketpair_is_a_stream(void **state)
{
    struct conn conn;
    int ends[2];
    char bytes[6] = "";
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    open_conn(*state, &conn, "c");
    assert_int_equal(0, loop_pipe_open(&conn.pipe, ends[0]));
    assert_int_equal(0, loop_read_start(&conn.pipe.stream, on_read));
    assert_int_equal(2, write(ends[1], "hi", 2));
    send_text(&conn, "hello");
    run_turns(*state, 1);
    assert_said("c:hi");
    assert_int_equal(5, read(ends[1], bytes, 5));
    assert_string_equal("hello", bytes);
    assert_int_equal(0, loop_shutdown(&conn.pipe.stream, &conn.shutdown, NULL));
    assert_int_equal(0, read(ends[1], bytes, 5));
    close(ends[1]);
    run_turns(*state, 1);
    assert_said("c:EOF");
    close_conn(&conn);
    run(*state);
}

/* epoll(7) does not watch it: what can be done at once can be done. */
static void dev_null_takes_all_and_cannot_be_waited_for(void **state)
{
    struct conn conn;
    open_conn(*state, &conn, "c");
    assert_int_equal(0, loop_pipe_open(&conn.pipe, open("/dev/null", O_RDWR | O_CLOEXEC)));
    struct loop_buf buf = {much, sizeof(much)};
    struct loop_stream *stream = &conn.pipe.stream;
    assert_int_equal(0, loop_write(stream, &conn.writes[0], &buf, 1, on_write));
    assert_int_equal(-EPERM, loop_read_start(stream, on_read));
    assert_false(loop_is_active(&conn.pipe.handle));
    assert_int_equal(0, loop_shutdown(stream, &conn.shutdown, on_shutdown));
    run(*state);
    assert_said("write-OK shutdown-OK");
    close_conn(&conn);
    run(*state);
}

static void what_is_no_stream_is_refused_and_stays_its_owner_s(void **state)
{
    struct conn conn;
    const char *path = path_of(PATH_SIZE);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int packets = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    unlink(path);
    open_conn(*state, &conn, "c");
    assert_int_equal(-EPERM, loop_pipe_open(&conn.pipe, file));
    assert_int_equal(-EPERM, loop_pipe_open(&conn.pipe, folder));
    assert_int_equal(-EPERM, loop_pipe_open(&conn.pipe, loop_backend_fd(*state)));
    assert_int_equal(-EPROTOTYPE, loop_pipe_open(&conn.pipe, udp));
    assert_int_equal(-EPROTOTYPE, loop_pipe_open(&conn.pipe, datagrams));
    assert_int_equal(-EPROTOTYPE, loop_pipe_open(&conn.pipe, packets));
    assert_int_equal(-EBADF, loop_pipe_open(&conn.pipe, -1));
    assert_int_equal(-EBADF, loop_pipe_open(&conn.pipe, 1 << 20));
    assert_int_equal(-EINVAL, loop_pipe_open(NULL, file));
    assert_int_equal(-1, loop_stream_fd(&conn.pipe.stream));
    assert_int_equal(0, fcntl(udp, F_GETFL) & O_NONBLOCK);
    int fds[] = {file, folder, udp, datagrams, packets};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        assert_int_equal(0, close(fds[i]));
}

static bool is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

/* Adopts fd, and lets it go: by closing if detached is false. A dup shows what became of it. */
static bool blocks_afterwards(struct loop *loop, int fd, bool detached)
{
    struct conn conn;
    int copy = dup(fd);
    open_conn(loop, &conn, "c");
    assert_int_equal(0, loop_pipe_open(&conn.pipe, fd));
    assert_false(is_blocking(copy));
    if (detached)
        assert_int_equal(fd, loop_stream_detach(&conn.pipe.stream));
    else
        loop_close(&conn.pipe.handle, NULL);
    run(loop);
    bool blocks = is_blocking(copy);
    close(copy);
    if (detached)
        close(fd);
    return blocks;
}

static void what_was_blocking_is_so_again_after_close_and_detach(void **state)
{
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    assert_true(blocks_afterwards(*state, ends[0], false));
    assert_true(blocks_afterwards(*state, ends[1], true));
}

static void a_socket_that_was_blocking_is_so_again_after_close_and_detach(void **state)
{
    int ends[2];
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_true(blocks_afterwards(*state, tcp, true));
    assert_true(blocks_afterwards(*state, ends[0], false));
    assert_true(blocks_afterwards(*state, ends[1], true));
}

static void a_socket_that_was_blocking_is_so_again_though_it_received_or_listened(void **state)
{
    struct conn conn;
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    open_conn(*state, &conn, "c");
    assert_int_equal(0, loop_pipe_open(&conn.pipe, ends[0]));
    assert_int_equal(0, loop_pipe_receive_fds(&conn.pipe));
    assert_int_equal(ends[0], loop_stream_detach(&conn.pipe.stream));
    assert_true(is_blocking(ends[0]));
    close(ends[0]);
    close(ends[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_int_equal(0, bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)));
    assert_int_equal(0, loop_pipe_open(&conn.pipe, listener));
    assert_int_equal(0, loop_listen(&conn.pipe.stream, 16, on_connection));
    assert_int_equal(listener, loop_stream_detach(&conn.pipe.stream));
    assert_true(is_blocking(listener));
    close(listener);
}

static void what_was_not_blocking_stays_so(void **state)
{
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    assert_false(blocks_afterwards(*state, ends[0], false));
    assert_false(blocks_afterwards(*state, ends[1], true));
}

/* Pairs and peers. */

static void a_pair_is_connected_both_ways(void **state)
{
    struct conn a, b;
    open_pair(*state, &a, &b, on_read);
    assert_int_equal(0, loop_read_start(&a.pipe.stream, on_read));
    send_text(&a, "to-b");
    run_turns(*state, 1);
    send_text(&b, "to-a");
    run_turns(*state, 1);
    assert_said("b:to-b a:to-a");
    assert_int_equal(-EBUSY, loop_pipe_pair(&a.pipe, &b.pipe));
    assert_int_equal(-EINVAL, loop_pipe_pair(&a.pipe, &a.pipe));
    assert_int_equal(-EINVAL, loop_pipe_pair(NULL, &b.pipe));
    close_pair(*state, &a, &b);
}

static int pair_with_a_full_table(void *arg)
{
    struct rlimit limit = {0, 0};
    struct loop_pipe a, b;
    setrlimit(RLIMIT_NOFILE, &limit);
    loop_pipe_init(arg, &a);
    loop_pipe_init(arg, &b);
    return loop_pipe_pair(&a, &b) != -EMFILE || loop_stream_fd(&a.stream) != -1 ||
           loop_pipe_bind(&a, "\0x", 2) != -EMFILE;
}

static void without_descriptors_there_is_no_pair(void **state)
{
    in_child(pair_with_a_full_table, *state);
}

static void the_peer_is_the_process_that_made_the_other_end(void **state)
{
    struct server server;
    struct conn client, writer;
    int ends[2];
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    size_t size;
    const char *name = abstract_name(&size);
    open_server(*state, &server, name, size);
    open_conn(*state, &client, "c");
    assert_int_equal(-ENOTCONN, loop_pipe_peer(&client.pipe, &pid, &uid, &gid));
    start_connect(&client, name, size);
    run_turns(*state, 2);
    assert_said("connect-OK");
    assert_int_equal(0, loop_pipe_peer(&server.accepted.pipe, &pid, &uid, &gid));
    assert_int_equal(getpid(), pid);
    assert_int_equal(getuid(), uid);
    assert_int_equal(getgid(), gid);
    assert_int_equal(-EINVAL, loop_pipe_peer(&client.pipe, NULL, &uid, &gid));
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    open_conn(*state, &writer, "w");
    assert_int_equal(0, loop_pipe_open(&writer.pipe, ends[1]));
    assert_int_equal(-EPROTOTYPE, loop_pipe_peer(&writer.pipe, &pid, &uid, &gid));
    assert_int_equal(-EPROTOTYPE, loop_pipe_receive_fds(&writer.pipe));
    close(ends[0]);
    close_conn(&writer);
    close_all(*state, &server, &client);
}

static void one_who_is_not_connected_has_no_peer(void **state)
{
    struct conn conn;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    open_conn(*state, &conn, "c");
    size_t size;
    const char *name = abstract_name(&size);
    assert_int_equal(0, loop_pipe_bind(&conn.pipe, name, size));
    assert_int_equal(-ENOTCONN, loop_pipe_peer(&conn.pipe, &pid, &uid, &gid));
    close_conn(&conn);
    run(*state);
}

/* Passing descriptors. */

static void on_read_take(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct conn *conn = conn_of(stream);
    (void)bytes;
    if (size > 0)
        conn->bytes += (size_t)size;
    else
        say("%s:%s", conn->name, outcome((int)size));
    while ((conn->refusal = loop_pipe_take_fd(&conn->pipe)) >= 0)
        conn->taken[conn->taken_count++] = conn->refusal;
}

static void open_receiver(struct loop *loop, struct conn *a, struct conn *b, loop_read_cb cb)
{
    open_pair(loop, a, b, NULL);
    assert_int_equal(0, loop_pipe_receive_fds(&b->pipe));
    assert_int_equal(0, loop_pipe_receive_fds(&b->pipe));
    assert_int_equal(0, loop_read_start(&b->pipe.stream, cb));
}

static int pass(struct conn *conn, int i, const int *fds, size_t fd_count)
{
    struct loop_buf buf = {"fds", 3};
    return loop_pipe_write_fds(&conn->pipe, &conn->writes[i], &buf, 1, fds, fd_count, on_write);
}

static bool same_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

static void close_taken(struct conn *conn)
{
    while (conn->taken_count > 0)
        assert_int_equal(0, close(conn->taken[--conn->taken_count]));
}

static void one_or_two_descriptors_are_passed_in_order(void **state)
{
    struct conn a, b;
    int fds[2];
    assert_int_equal(0, pipe2(fds, O_CLOEXEC));
    open_receiver(*state, &a, &b, on_read_take);
    assert_int_equal(0, pass(&a, 0, fds, 1));
    run_turns(*state, 1);
    assert_int_equal(1, b.taken_count);
    assert_int_equal(0, pass(&a, 0, fds, 2));
    run_turns(*state, 1);
    assert_said("write-OK write-OK");
    assert_int_equal(3, b.taken_count);
    assert_int_equal(-EAGAIN, b.refusal);
    assert_int_equal(6, b.bytes);
    assert_true(same_file(fds[0], b.taken[0]));
    assert_int_equal(O_WRONLY, fcntl(b.taken[2], F_GETFL) & O_ACCMODE);
    assert_int_equal(FD_CLOEXEC, fcntl(b.taken[1], F_GETFD));
    close_taken(&b);
    close(fds[0]);
    close(fds[1]);
    close_pair(*state, &a, &b);
}

static void the_kernel_s_253_are_passed_and_not_one_more(void **state)
{
    struct conn a, b;
    int fds[LOOP_WRITE_FDS_MAX + 1];
    struct loop_buf none = {"", 0}, buf = {"x", 1};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        fds[i] = STDIN_FILENO;
    open_receiver(*state, &a, &b, on_read_take);
    int before = open_descriptors();
    assert_int_equal(-EINVAL, pass(&a, 0, fds, LOOP_WRITE_FDS_MAX + 1));
    assert_int_equal(-EINVAL, pass(&a, 0, fds, 0));
    assert_int_equal(-EINVAL, pass(&a, 0, NULL, 1));
    assert_int_equal(-EINVAL,
                     loop_pipe_write_fds(&a.pipe, &a.writes[0], &none, 1, fds, 1, on_write));
    assert_int_equal(-EINVAL,
                     loop_pipe_write_fds(&a.pipe, &a.writes[0], NULL, 0, fds, 1, on_write));
    assert_int_equal(-EINVAL, loop_pipe_write_fds(NULL, &a.writes[0], &buf, 1, fds, 1, on_write));
    fds[7] = 1 << 20;
    assert_int_equal(-EBADF, pass(&a, 0, fds, 8));
    fds[7] = STDIN_FILENO;
    assert_int_equal(0, pass(&a, 0, fds, LOOP_WRITE_FDS_MAX));
    run_turns(*state, 1);
    assert_int_equal(LOOP_WRITE_FDS_MAX, b.taken_count);
    assert_int_equal(before + LOOP_WRITE_FDS_MAX, open_descriptors());
    close_taken(&b);
    assert_said("write-OK");
    close_pair(*state, &a, &b);
}

static void descriptors_go_with_the_first_of_several_buffers(void **state)
{
    struct conn a, b;
    int fd = STDIN_FILENO;
    struct loop_buf bufs[] = {{"", 0}, {"one,", 4}, {"two", 3}, {"", 0}, {"!", 1}};
    open_receiver(*state, &a, &b, on_read_take);
    assert_int_equal(0, loop_pipe_write_fds(&a.pipe, &a.writes[0], bufs, ARRAY_LENGTH(bufs), &fd, 1,
                                            on_write));
    run_turns(*state, 1);
    assert_int_equal(1, b.taken_count);
    assert_int_equal(8, b.bytes);
    close_taken(&b);
    assert_said("write-OK");
    close_pair(*state, &a, &b);
}

/* Both are queued: the second must not lose its descriptors to the first, nor the third take them
 * again. */
static void descriptors_of_a_queued_write_wait_for_their_byte(void **state)
{
    struct conn a, b;
    int fds[] = {STDIN_FILENO, STDOUT_FILENO};
    struct loop_buf buf = {much, sizeof(much)};
    open_pair(*state, &a, &b, NULL);
    assert_int_equal(0, loop_pipe_receive_fds(&b.pipe));
    assert_int_equal(1, loop_write(&a.pipe.stream, &a.writes[0], &buf, 1, on_write));
    assert_int_equal(1, pass(&a, 1, fds, 2));
    assert_int_equal(1, loop_write_copy(&a.pipe.stream, "behind", 6));
    run_turns(*state, 2);
    assert_said("");
    assert_int_equal(0, loop_read_start(&b.pipe.stream, on_read_take));
    while (b.bytes < sizeof(much) + 9)
        run_turns(*state, 1);
    assert_int_equal(2, b.taken_count);
    assert_true(same_file(STDOUT_FILENO, b.taken[1]));
    close_taken(&b);
    run_turns(*state, 1);
    assert_said("write-OK write-OK");
    close_pair(*state, &a, &b);
}

/* What is wrong with one write's descriptors is no other write's trouble. */
static void descriptors_closed_before_their_turn_fail_their_write_alone(void **state)
{
    struct conn a, b;
    int fd = dup(STDIN_FILENO);
    struct loop_buf buf = {much, sizeof(much)};
    open_pair(*state, &a, &b, NULL);
    assert_int_equal(0, loop_pipe_receive_fds(&b.pipe));
    assert_int_equal(1, loop_write(&a.pipe.stream, &a.writes[0], &buf, 1, on_write));
    assert_int_equal(1, pass(&a, 1, &fd, 1));
    assert_int_equal(1, loop_write_copy(&a.pipe.stream, "behind", 6));
    close(fd);
    assert_int_equal(0, loop_read_start(&b.pipe.stream, on_read_take));
    while (b.bytes < sizeof(much) + 6)
        run_turns(*state, 1);
    assert_int_equal(0, b.taken_count);
    run_turns(*state, 1);
    assert_said("write-OK write-EBADF");
    close_pair(*state, &a, &b);
}

static void on_read_take_one(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct conn *conn = conn_of(stream);
    conn->bytes += (size_t)size;
    conn->taken[conn->taken_count++] = loop_pipe_take_fd(&conn->pipe);
    (void)bytes;
}

static void what_is_not_taken_is_closed_behind_the_callback(void **state)
{
    struct conn a, b;
    int fds[5] = {0};
    open_receiver(*state, &a, &b, on_read_take_one);
    int before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
        run_turns(*state, 1);
    }
    assert_int_equal(3, b.taken_count);
    assert_int_equal(before + 3, open_descriptors());
    assert_int_equal(-EAGAIN, loop_pipe_take_fd(&b.pipe));
    close_taken(&b);
    said();
    close_pair(*state, &a, &b);
}

static void on_read_let_go(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct conn *conn = conn_of(stream);
    (void)bytes;
    assert_int_equal(3, size);
    if (*conn->name == 'b')
        loop_close(&stream->handle, NULL);
    else
        close(loop_stream_detach(stream));
    assert_true(loop_pipe_take_fd(&conn->pipe) < 0);
}

static void what_is_not_taken_is_closed_if_the_callback_closes_or_detaches(void **state)
{
    int fds[5] = {0};
    const char *names[] = {"b", "detach"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct conn a, b;
        open_receiver(*state, &a, &b, on_read_let_go);
        b.name = names[i];
        assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
        run_turns(*state, 2);
        close_pair(*state, &a, &b); /* teardown counts */
    }
    assert_said("write-OK write-OK");
}

static void a_receiver_that_did_not_ask_gets_none(void **state)
{
    struct conn a, b;
    char bytes[3];
    int fds[5] = {0};
    open_pair(*state, &a, &b, on_read);
    int before = open_descriptors();
    assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
    run_turns(*state, 1);
    const char *words = said();
    assert_non_null(strstr(words, "b:fds"));
    assert_int_equal(-EAGAIN, loop_pipe_take_fd(&b.pipe));
    assert_int_equal(before, open_descriptors());
    loop_read_stop(&b.pipe.stream);
    assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
    assert_int_equal(3, recv(loop_stream_fd(&b.pipe.stream), bytes, 3, 0));
    assert_int_equal(before, open_descriptors());
    close_pair(*state, &a, &b);
}

static void what_nobody_has_read_goes_with_the_connection(void **state)
{
    struct conn a, b;
    int fds[5] = {0};
    open_pair(*state, &a, &b, NULL);
    assert_int_equal(0, loop_pipe_receive_fds(&b.pipe));
    assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
    close_pair(*state, &a, &b);
}

static void on_read_into(struct loop_read *read, int status)
{
    say("read-into-%s-%d", outcome(status), (int)read->size);
}

static void who_receives_descriptors_does_not_read_into_memory(void **state)
{
    struct conn a, b;
    char bytes[3];
    open_pair(*state, &a, &b, NULL);
    struct loop_stream *stream = &b.pipe.stream;
    assert_int_equal(0, loop_read_into(stream, &b.read, bytes, 3, 3, on_read_into));
    assert_int_equal(-EBUSY, loop_pipe_receive_fds(&b.pipe));
    send_text(&a, "abc");
    run_turns(*state, 1);
    assert_said("read-into-OK-3");
    assert_int_equal(0, loop_pipe_receive_fds(&b.pipe));
    assert_int_equal(-EOPNOTSUPP, loop_read_into(stream, &b.read, bytes, 3, 3, on_read_into));
    close_pair(*state, &a, &b);
}

static int receive_with_a_full_table(void *arg)
{
    struct loop *loop = arg;
    struct conn a, b;
    int fds[5] = {0};
    if (loop_after_fork(loop) < 0)
        return 1;
    open_receiver(loop, &a, &b, on_read_take);
    int lowest = dup(0);
    close(lowest);
    struct rlimit limit = {(rlim_t)lowest + 2, (rlim_t)lowest + 2}; /* room for two */
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || pass(&a, 0, fds, ARRAY_LENGTH(fds)) < 0)
        return 2;
    run_turns(loop, 1);
    if (b.bytes != 3 || b.taken_count != 2 || b.refusal != -EMFILE)
        return 3;
    if (loop_pipe_take_fd(&b.pipe) != -EAGAIN) /* that was of the callback before */
        return 4;
    close_taken(&b);
    if (pass(&a, 0, fds, 2) < 0)
        return 5;
    run_turns(loop, 1);
    return b.bytes != 6 || b.taken_count != 2 || b.refusal != -EAGAIN ? 6 : 0;
}

static void with_a_full_table_the_bytes_come_and_the_rest_is_emfile(void **state)
{
    in_child(receive_with_a_full_table, *state);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_memory_for_descriptors_the_bytes_come_and_none_stays_open(void **state)
{
    struct loop *loop = *state;
    struct conn a, b;
    int fds[5] = {0};
    open_receiver(loop, &a, &b, on_read_take);
    int before = open_descriptors();
    assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
    struct loop_allocator allocator = loop->options.allocator;
    loop->options.allocator.resize = no_memory;
    run_turns(loop, 1);
    loop->options.allocator = allocator;
    assert_said("write-OK");
    assert_int_equal(3, b.bytes);
    assert_int_equal(0, b.taken_count);
    assert_true(b.refusal < 0 && b.refusal != -EAGAIN);
    assert_int_equal(before, open_descriptors());
    assert_int_equal(0, pass(&a, 0, fds, ARRAY_LENGTH(fds)));
    run_turns(loop, 1);
    assert_int_equal(ARRAY_LENGTH(fds), b.taken_count);
    close_taken(&b);
    said();
    close_pair(loop, &a, &b);
}

/* What a listener asked for, its connections do. */
static void what_a_receiving_listener_accepts_receives(void **state)
{
    struct server server;
    struct conn client;
    int fds[2] = {0};
    size_t size;
    const char *name = abstract_name(&size);
    open_server(*state, &server, name, size);
    assert_int_equal(0, loop_pipe_receive_fds(&server.pipe));
    open_conn(*state, &client, "c");
    start_connect(&client, name, size);
    assert_int_equal(0, pass(&client, 0, fds, 2));
    run_turns(*state, 3);
    const char *words = said();
    assert_non_null(strstr(words, "s:fds"));
    loop_read_stop(&server.accepted.pipe.stream);
    assert_int_equal(0, loop_read_start(&server.accepted.pipe.stream, on_read_take));
    assert_int_equal(0, pass(&client, 0, fds, 2));
    run_turns(*state, 1);
    assert_int_equal(2, server.accepted.taken_count);
    close_taken(&server.accepted);
    close_all(*state, &server, &client);
}

/* A server in another process: it is handed a connection, and answers on it. */

static int serve_what_is_passed(void *arg)
{
    struct loop loop;
    struct conn conn;
    char byte;
    const int *channel = arg;
    close(channel[0]);
    if (loop_init(&loop, NULL) < 0)
        return 1;
    open_conn(&loop, &conn, "child");
    if (loop_pipe_open(&conn.pipe, channel[1]) < 0 || loop_pipe_receive_fds(&conn.pipe) < 0 ||
        loop_read_start(&conn.pipe.stream, on_read_take) < 0)
        return 2;
    if (loop_run(&loop, LOOP_RUN_DEFAULT) != 0 || conn.taken_count != 1)
        return 3; /* the loop ends when the parent's end is closed */
    if (read(conn.taken[0], &byte, 1) != 1 || byte != '?' || write(conn.taken[0], "!", 1) != 1)
        return 4;
    loop_close(&conn.pipe.handle, NULL);
    return loop_run(&loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(&loop) < 0 ? 5 : 0;
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    struct sockaddr *any = (struct sockaddr *)&address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(0, bind(listener, any, size));
    assert_int_equal(0, listen(listener, 1));
    assert_int_equal(0, getsockname(listener, any, &size));
    assert_int_equal(0, connect(fds[0], any, size));
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listener);
}

static void a_connection_is_passed_to_another_process_which_serves_it(void **state)
{
    struct conn sender;
    int channel[2], connection[2], status;
    char byte = 0;
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel));
    pid_t child = fork();
    if (child == 0)
        _exit(serve_what_is_passed(channel));
    close(channel[1]);
    tcp_pair(connection);
    open_conn(*state, &sender, "a");
    assert_int_equal(0, loop_pipe_open(&sender.pipe, channel[0]));
    assert_int_equal(0, pass(&sender, 0, &connection[1], 1));
    run(*state);
    assert_said("write-OK");
    close(connection[1]); /* the child has its own */
    close_conn(&sender);
    run(*state);
    assert_int_equal(1, send(connection[0], "?", 1, 0));
    assert_int_equal(1, recv(connection[0], &byte, 1, 0));
    assert_int_equal('!', byte);
    close(connection[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, status);
}

static const struct CMUnitTest tests[] = {
    virtual_test(a_client_reaches_a_server_by_its_path),
    virtual_test(a_client_reaches_a_server_by_an_abstract_name),
    virtual_test(a_name_has_107_bytes_at_most),
    virtual_test(an_empty_name_or_a_zero_inside_a_path_is_refused),
    virtual_test(a_file_that_exists_is_not_bound_and_not_removed),
    virtual_test(the_path_is_removed_at_close_and_not_by_a_child),
    virtual_test(a_path_whose_listener_was_detached_is_not_removed_by_the_next_use),
    virtual_test(a_path_that_is_not_there_is_told_to_the_callback),
    virtual_test(a_path_where_nobody_listens_refuses),
    virtual_test(a_full_backlog_is_told_as_eagain),
    virtual_test(the_ends_of_a_pipe_are_streams_and_its_shutdown_closes_it),
    virtual_test(a_pipe_that_nobody_reads_is_epipe_without_a_signal),
    virtual_test(writes_that_wait_for_a_pipe_fail_when_its_reader_goes),
    virtual_test(a_fifo_is_a_stream),
    virtual_test(an_end_of_a_socketpair_is_a_stream),
    virtual_test(dev_null_takes_all_and_cannot_be_waited_for),
    virtual_test(what_is_no_stream_is_refused_and_stays_its_owner_s),
    virtual_test(what_was_blocking_is_so_again_after_close_and_detach),
    virtual_test(a_socket_that_was_blocking_is_so_again_after_close_and_detach),
    virtual_test(a_socket_that_was_blocking_is_so_again_though_it_received_or_listened),
    virtual_test(what_was_not_blocking_stays_so),
    virtual_test(a_pair_is_connected_both_ways),
    virtual_test(without_descriptors_there_is_no_pair),
    virtual_test(the_peer_is_the_process_that_made_the_other_end),
    virtual_test(one_who_is_not_connected_has_no_peer),
    virtual_test(one_or_two_descriptors_are_passed_in_order),
    virtual_test(the_kernel_s_253_are_passed_and_not_one_more),
    virtual_test(descriptors_go_with_the_first_of_several_buffers),
    virtual_test(descriptors_of_a_queued_write_wait_for_their_byte),
    virtual_test(descriptors_closed_before_their_turn_fail_their_write_alone),
    virtual_test(what_is_not_taken_is_closed_behind_the_callback),
    virtual_test(what_is_not_taken_is_closed_if_the_callback_closes_or_detaches),
    virtual_test(a_receiver_that_did_not_ask_gets_none),
    virtual_test(what_nobody_has_read_goes_with_the_connection),
    virtual_test(who_receives_descriptors_does_not_read_into_memory),
    virtual_test(with_a_full_table_the_bytes_come_and_the_rest_is_emfile),
    virtual_test(without_memory_for_descriptors_the_bytes_come_and_none_stays_open),
    virtual_test(what_a_receiving_listener_accepts_receives),
    virtual_test(a_connection_is_passed_to_another_process_which_serves_it),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
