/* Routers, bodies and files whose memory ends: in each scenario each allocation fails once.
 *
 * What memory_ends.h refuses is first the library's alone, and then that of the loop as well, so
 * that reads and writes are refused, too; and once each is the first of all that are refused until
 * the peer is answered. A server with all of it is made, or is not, and then
 * nothing is left of it. Made, it answers each request once, whatever failed meanwhile: as it
 * should, with an error, or by closing the connection, but never with a success that is not whole.
 * Then the server can be closed, no file of an upload that failed is left, and no memory.
 *
 * SPDX-License-Identifier: MIT */
#include "memory_ends.h"
#include "server.h"

#include "loop/http/body.h"
#include "loop/http/files.h"
#include "loop/http/router.h"
#include "loop/http/url.h"
#include "loop/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
int __real_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);
int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);

__attribute__((format(printf, 2, 0))) static int print(char **text, const char *format,
                                                       va_list arguments)
{
    char line[1024];
    int size = vsnprintf(line, sizeof(line), format, arguments);
    *text = __wrap_strdup(line);
    return *text ? size : -1;
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = print(text, format, arguments);
    va_end(arguments);
    return size;
}

/* What it is called where the C library checks lengths. */
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;
    (void)flag;
    va_start(arguments, format);
    int size = print(text, format, arguments);
    va_end(arguments);
    return size;
}

/* What it makes is freed by the library. */
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    FILE *file = memory_fails() ? NULL : __real_open_memstream(text, size);
    memory_counted(file);
    return file;
}

/* Which may be what finds that there is no room for all that was written. */
int __wrap_fclose(FILE *file)
{
    bool failed = memory_fails();
    return __real_fclose(file) || failed ? EOF : 0;
}

int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size)
{
    if (memory_fails())
        return Z_MEM_ERROR;
    return __real_deflateInit2_(stream, level, method, bits, memory, strategy, version, size);
}

/* --- a server with everything --- */

static struct {
    char root[64];
    char uploads[80];
    char types[80];
    char socket[80];
    struct loop_http_files files;
    struct loop_http_router outer, inner;
    int saved; /* files that are the program's */
} here;

static void end(struct loop_http_response *res, int error)
{
    if (error)
        loop_http_end_error(res, 503, NULL);
    else
        loop_http_end_text(res, "done");
}

static void on_json(struct loop_http_request *req, int status, struct json_t *json)
{
    if (status < 0)
        return;
    int error = loop_http_end_json(req->response, 200, json);
    if (error)
        end(req->response, error);
}

static void read_json(struct loop_http_request *req, struct loop_http_response *res)
{
    int error = loop_http_read_json(req, 0, on_json);
    if (error)
        end(res, error);
}

static void on_form(struct loop_http_request *req, int status, struct loop_text form)
{
    (void)form;
    if (status == 0)
        end(req->response, 0);
}

static void read_form(struct loop_http_request *req, struct loop_http_response *res)
{
    int error = loop_http_read_form(req, 0, on_form);
    if (error)
        end(res, error);
}

static struct loop_task later;

static void resume(struct loop_task *task)
{
    loop_http_resume_parts(task->data);
}

static int on_part(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    (void)part;
    later.data = form->data;
    loop_immediate(loop, &later, resume);
    return LOOP_MULTIPART_PAUSE;
}

static void on_parts(struct loop_http_request *req, int status)
{
    loop_task_cancel(&later);
    if (status == 0)
        end(req->response, 0);
}

static void forget_parts(struct loop_http_response *res)
{
    (void)res;
    loop_task_cancel(&later);
}

static void read_parts(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_parts parts = {.events = {.begin = on_part}, .done = on_parts};
    loop_http_on_close(res, forget_parts);
    int error = loop_http_read_parts(req, &parts);
    if (error)
        end(res, error);
}

static void on_saved(struct loop_http_request *req, int status, const struct loop_http_saved *parts,
                     size_t count)
{
    if (status < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (parts[i].path)
            assert_int_equal(0, unlink(parts[i].path));
    end(req->response, 0);
}

static void save(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_save_options options = {.folder = here.uploads, .sync = true};
    int error = loop_http_save_parts(req, &options, on_saved);
    if (error)
        end(res, error);
}

static void serve(struct loop_http_request *req, struct loop_http_response *res)
{
    char path[256];
    ssize_t size = loop_http_param(req, "path", path, sizeof(path));
    loop_http_files_serve(&here.files, req, res, size > 0 ? path : "/");
}

/* Longer than what is compressed whole, in several pieces. */
static void write_much(struct loop_http_request *req, struct loop_http_response *res)
{
    static char text[100 * 1024];
    (void)req;
    memset(text, 'x', sizeof(text));
    int error = loop_http_set_header(res, "Content-Type", "text/plain");
    if (!error)
        error = loop_http_set_header(res, "ETag", "\"tag\"");
    for (int i = 0; !error && i < 3; i++)
        error = loop_http_write(res, text, sizeof(text)) < 0 ? -1 : 0;
    loop_http_end(res, NULL, 0);
}

static void set_cookie(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    end(res, loop_http_set_cookie(res, &(struct loop_cookie){.name = "a", .value = "b"}));
}

static void tell_metrics(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_metrics(res, NULL);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&here.outer, req, res);
}

static int add_routes(void)
{
    static const struct {
        const char *pattern;
        loop_http_request_cb handler;
    } routes[] = {
        {"/json", read_json},  {"/form", read_form},    {"/parts", read_parts},     {"/save", save},
        {"/much", write_much}, {"/cookie", set_cookie}, {"/metrics", tell_metrics},
    };
    int error = 0;
    for (size_t i = 0; !error && i < ARRAY_LENGTH(routes); i++)
        error = loop_http_route(&here.outer, "*", routes[i].pattern, routes[i].handler, NULL);
    if (!error)
        error = loop_http_use(&here.outer, loop_http_next, NULL);
    if (!error)
        error = loop_http_route(&here.inner, "GET", "/*path", serve, NULL);
    return error ? error : loop_http_mount(&here.outer, "/files", &here.inner);
}

static int make_files(void)
{
    static const char *const index[] = {"index.html", "default.html", NULL};
    const struct loop_http_files_options options = {
        .root = here.root,
        .index = index,
        .fallback = "fallback.html",
        .cache_control = "no-cache",
        .mime_types = here.types,
        .cache_files = 4,
        .listing = true,
        .precompressed = true,
    };
    return loop_http_files_init(&here.files, &options);
}

static void unmake(void)
{
    loop_http_router_fini(&here.inner);
    loop_http_router_fini(&here.outer);
    if (here.files.root)
        loop_http_files_fini(&here.files);
    loop_http_server_close(&server, 0, on_server_closed);
    while (!server_closed)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(0, server.stats.active);
    assert_int_equal(0, server.stats.connections);
}

/* Which stays ours if it is refused. */
static int listen_on_descriptor(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = loop_http_listen_fd(&server, fd);
    if (error)
        close(fd);
    return error;
}

/* All of it, or an error, behind which unmake() will do all the same. */
static int make(void)
{
    const struct loop_http_options options = {.on_request = on_request, .compress = true};
    here.files.root = NULL;
    here.inner = here.outer = (struct loop_http_router){0};
    server_closed = false;
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    int error = loop_http_router_init(&here.outer);
    if (!error)
        error = loop_http_router_init(&here.inner);
    if (!error)
        error = add_routes();
    if (!error)
        error = make_files();
    if (!error)
        error = loop_http_listen(&server, "127.0.0.1", 0, 0);
    unlink(here.socket);
    if (!error)
        error = loop_http_listen_path(&server, here.socket);
    return error ? error : listen_on_descriptor();
}

/* --- scenarios --- */

static int left_behind(void)
{
    int count = 0;
    DIR *dir = opendir(here.uploads);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* A success has as many bytes as it says; or fewer, if memory ended behind the head: the client can
 * tell. Where the kernel does not say what is in memory, files are read that late. */
static void check_answer(const struct peer *peer)
{
    const char *length = strstr(peer->in, "Content-Length: ");
    const char *body = strstr(peer->in, "\r\n\r\n");
    assert_null(strstr(peer->in, "line -1")); /* as if the text had been at fault */
    if (strncmp(peer->in, "HTTP/1.1 200", 12) == 0 && length && body && length < body)
        assert_true(peer->size <= (size_t)(body + 4 - peer->in) + strtoul(length + 16, NULL, 10));
}

static void ask_once(const char *request, size_t size, long nth)
{
    struct peer peer;
    peer_open(&peer);
    peer.capacity = 1 << 20; /* the peer's own memory does not end */
    peer.in = realloc(peer.in, peer.capacity);
    assert_non_null(peer.in);
    memory_left = nth;
    memory_asked_for = 0;
    peer_send_bytes(&peer, request, size);
    while (!peer.ended)
        loop_run(loop, LOOP_RUN_ONCE);
    memory_left = 0;
    if (peer.status == LOOP_EOF)
        check_answer(&peer);
    peer_close(&peer);
}

/* From the first moment of a connection on: 1 is the first allocation of the server. */
static bool survives_accepting(long nth)
{
    static const char request[] = "GET /cookie HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct loop_address address;
    char byte;
    long before = memory_in_use;
    assert_int_equal(0, make());
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", loop_http_server_port(&server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    assert_int_equal(sizeof(request) - 1, send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL));
    memory_asked_for = 0;
    memory_left = nth;
    ssize_t size;
    do {
        loop_run(loop, LOOP_RUN_NOWAIT);
        size = recv(fd, &byte, 1, MSG_DONTWAIT);
    } while (size > 0 || (size < 0 && errno == EAGAIN));
    memory_left = 0;
    close(fd);
    unmake();
    assert_int_equal(before, memory_in_use);
    return memory_asked_for >= nth;
}

/* One run in which the nth allocation fails; false: there were not so many. */
static bool survives(const char *request, size_t size, long nth)
{
    long before = memory_in_use;
    memory_left = 0;
    assert_int_equal(0, make());
    ask_once(request, size, nth);
    unmake();
    while (loop_run(loop, LOOP_RUN_DEFAULT) > 0) /* which removes what has failed */
        continue;
    assert_int_equal(0, left_behind());
    assert_int_equal(before, memory_in_use);
    return memory_asked_for >= nth;
}

static void run_out_of(const char *request, size_t size)
{
    for (int way = 0; way < 4; way++) {
        long nth = 1;
        memory_core_fails = way & 1;
        memory_stays_away = way & 2;
        while (survives(request, size, nth))
            nth++;
        memory_core_fails = memory_stays_away = false;
        assert_true(nth > 1);
    }
}

static void get(const char *path, const char *headers)
{
    char request[4096];
    int size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", path, headers);
    run_out_of(request, (size_t)size);
}

static void post(const char *path, const char *type, const char *body, size_t size)
{
    static char request[256 * 1024];
    int head = snprintf(request, sizeof(request),
                        "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: %s\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, type, size);
    assert_true((size_t)head + size <= sizeof(request));
    memcpy(request + head, body, size);
    run_out_of(request, (size_t)head + size);
}

static void while_all_of_it_is_made(void **state)
{
    (void)state;
    int made = 0, refused = 0;
    long nth = 0;
    do {
        long before = memory_in_use;
        memory_asked_for = 0;
        memory_left = ++nth;
        int error = make();
        memory_left = 0;
        assert_true(error == 0 || error == -ENOMEM);
        made += error == 0;
        refused += error != 0;
        unmake();
        assert_int_equal(before, memory_in_use);
    } while (memory_asked_for >= nth);
    assert_true(made > 0 && refused > 20);
}

static void while_a_connection_is_accepted(void **state)
{
    (void)state;
    for (int core = 0; core < 2; core++) {
        long nth = 1;
        memory_core_fails = core;
        while (survives_accepting(nth))
            nth++;
        memory_core_fails = false;
        assert_true(nth > 4);
    }
}

static void while_json_is_read_and_written(void **state)
{
    static const char body[] = "{\"a\":[1,2.5,null,true,\"text\"],\"b\":{\"c\":\"d\"}}";
    (void)state;
    post("/json", "application/json", body, sizeof(body) - 1);
    post("/json", "text/plain", body, sizeof(body) - 1);
    post("/form", "application/x-www-form-urlencoded", "a=b&c=d%20e", 11);
    post("/form", "text/plain", "a=b", 3);
}

static const char parts_type[] = "multipart/form-data; boundary=XX";

static void while_parts_are_read(void **state)
{
    static const char body[] = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\none\r\n"
                               "--XX\r\nContent-Disposition: form-data; name=b\r\n\r\ntwo\r\n"
                               "--XX--\r\n";
    (void)state;
    post("/parts", parts_type, body, sizeof(body) - 1);
    post("/parts", "text/plain", body, sizeof(body) - 1);
}

static void while_an_upload_is_saved(void **state)
{
    static const char front[] =
        "--XX\r\nContent-Disposition: form-data; name=title\r\n\r\nholiday\r\n"
        "--XX\r\nContent-Disposition: form-data; name=f; filename=\"f.png\"\r\n\r\n";
    static const char back[] = "\r\n--XX--\r\n";
    static char body[100 * 1024];
    size_t size = sizeof(body) - (sizeof(front) - 1) - (sizeof(back) - 1);
    (void)state;
    memcpy(body, front, sizeof(front) - 1);
    memset(body + sizeof(front) - 1, 'x', size);
    memcpy(body + sizeof(front) - 1 + size, back, sizeof(back) - 1);
    post("/save", parts_type, body, sizeof(body));
}

static void while_files_are_sent(void **state)
{
    (void)state;
    get("/files/small.html", "");
    get("/files/small.html", "If-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT\r\n");
    get("/files/small.html", "Accept-Encoding: gzip\r\n");
    get("/files/large.bin", "");
    get("/files/large.html", "Accept-Encoding: gzip\r\n");
    get("/files/not-there", "");
}

static void while_directories_are_listed(void **state)
{
    (void)state;
    get("/files/bare/", "");
    get("/files/bare", "");
    char much[2048] = "/files/bare?";
    memset(much + strlen(much), 'x', 2000);
    get(much, "");
}

static void while_answers_are_compressed_and_counted(void **state)
{
    (void)state;
    get("/much", "Accept-Encoding: gzip\r\n");
    get("/much", "");
    get("/cookie", "");
    get("/metrics", "Accept-Encoding: gzip\r\n");
    get("/nowhere", "");
}

/* --- a tree --- */

static void put(const char *name, size_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", here.root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc('a' + (int)(i % 26), file);
    fclose(file);
}

static void make_tree(void)
{
    char path[256];
    snprintf(here.root, sizeof(here.root), "/tmp/loop-memory-XXXXXX");
    assert_non_null(mkdtemp(here.root));
    snprintf(here.uploads, sizeof(here.uploads), "%s/uploads", here.root);
    snprintf(here.types, sizeof(here.types), "%s/types", here.root);
    snprintf(here.socket, sizeof(here.socket), "%s/socket", here.root);
    assert_int_equal(0, mkdir(here.uploads, 0700));
    snprintf(path, sizeof(path), "%s/bare", here.root);
    assert_int_equal(0, mkdir(path, 0700));
    put("small.html", 2000);
    put("large.bin", 300000);
    put("large.html", 300000);
    put("bare/one", 1);
    put("bare/two", 1);
    FILE *file = fopen(here.types, "w");
    fputs("text/html html htm\napplication/octet-stream bin\n", file);
    fclose(file);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void on_warm(struct loop_work *work, int status)
{
    (void)work;
    assert_int_equal(0, status);
}

static void do_nothing(void *data)
{
    (void)data;
}

/* The pool of the process is made before anything is counted: it stays. */
static void make_pool(void)
{
    static struct loop_work work;
    assert_int_equal(0, loop_work(loop, &work, do_nothing, on_warm));
    loop_run(loop, LOOP_RUN_DEFAULT);
}

static int descriptors;

static int begin(void **state)
{
    static struct loop own;
    const struct loop_options options = {.allocator = {.resize = memory_core}};
    descriptors = open_descriptors();
    int error = loop_init(&own, &options);
    *state = loop = &own;
    make_tree();
    make_pool();
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    return error;
}

static int finish(void **state)
{
    nftw(here.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return loop_fini(*state) < 0 || open_descriptors() != descriptors ? -1 : 0;
}

#define memory_test(name) cmocka_unit_test_setup_teardown(name, begin, finish)

static const struct CMUnitTest tests[] = {
    memory_test(while_all_of_it_is_made),
    memory_test(while_a_connection_is_accepted),
    memory_test(while_json_is_read_and_written),
    memory_test(while_parts_are_read),
    memory_test(while_an_upload_is_saved),
    memory_test(while_files_are_sent),
    memory_test(while_directories_are_listed),
    memory_test(while_answers_are_compressed_and_counted),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
