/* Static files, asked for over the network.
 *
 * What lies beneath the root is sent with its type, its length, its date and its tag. Nothing else
 * can be had, whatever the path: not by dots, encoded or not, nor by links that lead out, nor by
 * what is no file: a FIFO or a socket is not there, and nobody waits for it. What cannot be a path
 * is 400, what is not there or not to be seen 404, what the process may not read 403.
 *
 * A directory has an index, or a listing if that is allowed, in which every name is escaped, or is
 * 404; without its slash it is 301, the query kept. Names with a dot in front are not there unless
 * they are wanted. A sibling ".br" or ".gz" goes to who takes it, under the type of its original,
 * and every answer tells caches so. A fallback stands for what is not there.
 *
 * GET and HEAD alone; conditions in the order of RFC 9110 13.2.2; one range. A file that is kept
 * open is not looked for again for as long as was said. The program's own headers and status are
 * sent along.
 *
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "loop/http/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
    char top[64]; /* holds the root, and what must never be seen */
    char root[80];
    struct loop_http_server server;
    struct loop_http_files files;
    bool open;
    void (*before)(struct loop_http_request *req, struct loop_http_response *res);
    void (*after)(void);
} here;

enum { CHANGED_S = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

/* --- a tree --- */

/* Valid until the call after the next. */
static const char *path_to(const char *name)
{
    static char paths_made[2][512];
    static unsigned turn;
    char *path = paths_made[turn++ % 2];
    snprintf(path, sizeof(paths_made[0]), "%s/%s", here.root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_to(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    const struct timespec times[2] = {{CHANGED_S, 0}, {CHANGED_S, 0}};
    assert_int_equal(0, utimensat(AT_FDCWD, path_to(name), times, 0));
}

static void link_to(const char *target, const char *name)
{
    assert_int_equal(0, symlink(target, path_to(name)));
}

static void put_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(strlen(path_to(name)) < sizeof(address.sun_path));
    strcpy(address.sun_path, path_to(name));
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof(address)));
    close(fd);
}

static void make_tree(void)
{
    snprintf(here.top, sizeof(here.top), "/tmp/loop-files-XXXXXX");
    assert_non_null(mkdtemp(here.top));
    chmod(here.top, 0755);
    snprintf(here.root, sizeof(here.root), "%s/root", here.top);
    mkdir(here.root, 0755);
    put("../secret.txt", "SECRET");
    mkdir(path_to("../root2"), 0755);
    put("../root2/secret.txt", "SECRET");
    put("index.html", "the front page\n");
    put("hello.txt", "hello, world\n");
    put("empty.txt", "");
    put("app.js", "plain();\n");
    put("app.js.gz", "as gzip\n");
    put("app.js.br", "as brotli\n");
    put("page.html", "plain page\n");
    put("page.html.gz", "page as gzip\n");
    put("a b%.txt", "odd name\n");
    put("<b>&\"'.txt", "odder name\n");
    put("unknown.ext9", "what is this\n");
    put(".hidden", "hidden\n");
}

/* Directories, links, and what is no file. */
static void make_branches(void)
{
    mkdir(path_to("sub"), 0755);
    put("sub/index.html", "the page of sub\n");
    put("sub/deep.txt", "deep\n");
    mkdir(path_to("bare"), 0755);
    put("bare/one.txt", "one\n");
    put("bare/.two", "two\n");
    put("bare/<i>&\".txt", "three\n");
    mkdir(path_to("bare/dir"), 0755);
    link_to("hello.txt", "link");
    link_to("../hello.txt", "sub/up-and-in");
    link_to("../secret.txt", "link-out");
    link_to("/etc/passwd", "link-absolute");
    link_to("..", "link-dir-out");
    link_to("/proc/self/root", "link-magic");
    link_to("link-loop", "link-loop");
    link_to("../secret.txt", "page2.html.gz");
    put("page2.html", "page two\n");
    put("page3.html", "page three\n");
    mkdir(path_to("page3.html.gz"), 0755);
    assert_int_equal(0, mkfifo(path_to("fifo"), 0644));
    put_socket("socket");
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

/* --- the server --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    if (here.before)
        here.before(req, res);
    loop_http_files_serve(&here.files, req, res, NULL);
    if (here.after)
        here.after();
}

static void serve(struct loop_http_files_options options)
{
    if (here.open)
        loop_http_files_fini(&here.files);
    options.root = here.root;
    assert_int_equal(0, loop_http_files_init(&here.files, &options));
    here.open = true;
}

static int begin(void **state)
{
    memset(&here, 0, sizeof(here));
    make_tree();
    make_branches();
    setup_real(state);
    const struct loop_http_options options = {.on_request = on_request};
    assert_int_equal(0, loop_http_server_init(*state, &here.server, &options));
    assert_int_equal(0, loop_http_listen(&here.server, "127.0.0.1", 0, 0));
    serve((struct loop_http_files_options){0});
    return 0;
}

static int end(void **state)
{
    if (here.open)
        loop_http_files_fini(&here.files);
    loop_http_server_close(&here.server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, here.server.stats.active);
    nftw(here.top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return teardown(state);
}

/* Headers: lines with their ends, or "". */
static struct peer *get(const char *method, const char *path, const char *headers)
{
    static char question[16384];
    snprintf(question, sizeof(question),
             "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n%s\r\n", method, path, headers);
    return ask(&here.server, question);
}

static void assert_answer(const struct peer *peer, const char *what, int status, const char *body)
{
    if (status_of(peer) != status || (body && strcmp(body_of(peer), body) != 0))
        fail_msg("%s: %d and %s expected, not\n%s", what, status, body ? body : "anything",
                 peer->bytes);
}

/* --- tests --- */

static void a_file_is_sent_with_what_it_is(void **state)
{
    (void)state;
    const struct peer *peer = get("GET", "/hello.txt", "");
    assert_answer(peer, "hello.txt", 200, "hello, world\n");
    assert_string_equal("13", header_of(peer, "content-length"));
    assert_string_equal("text/plain; charset=utf-8", header_of(peer, "content-type"));
    assert_string_equal("Sun, 06 Nov 1994 08:49:37 GMT", header_of(peer, "last-modified"));
    assert_string_equal("bytes", header_of(peer, "accept-ranges"));
    assert_int_equal('"', header_of(peer, "etag")[0]);
    assert_string_equal("", header_of(peer, "vary"));
    assert_string_equal("", header_of(peer, "cache-control"));
}

static void types_are_told_by_the_end_of_the_name(void **state)
{
    (void)state;
    const struct {
        const char *path, *type;
    } table[] = {
        {"/", "text/html; charset=utf-8"},
        {"/app.js", "text/javascript; charset=utf-8"},
        {"/unknown.ext9", "application/octet-stream"},
        {"/sub/", "text/html; charset=utf-8"},
        {"/link", "application/octet-stream"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++)
        assert_string_equal(table[i].type,
                            header_of(get("GET", table[i].path, ""), "content-type"));
    serve((struct loop_http_files_options){.mime_types = "/nonexistent"});
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++)
        assert_string_equal(table[i].type,
                            header_of(get("GET", table[i].path, ""), "content-type"));
}

static const struct row {
    const char *path;
    int status;
    const char *body; /* NULL: whatever, but not the secret */
} paths[] = {
    {"/", 200, "the front page\n"},
    {"/?a=b", 200, "the front page\n"},
    {"/hello.txt", 200, "hello, world\n"},
    {"/hello.txt?x=/../", 200, "hello, world\n"},
    {"/h%65llo.txt", 200, "hello, world\n"},
    {"/./hello.txt", 200, "hello, world\n"},
    {"//hello.txt", 200, "hello, world\n"},
    {"/sub/../hello.txt", 200, "hello, world\n"},
    {"/sub/%2e%2e/hello.txt", 200, "hello, world\n"},
    {"/a%20b%25.txt", 200, "odd name\n"},
    {"/%3Cb%3E&%22'.txt", 200, "odder name\n"},
    {"/sub/", 200, "the page of sub\n"},
    {"/sub/.", 200, "the page of sub\n"},
    {"/sub", 301, ""},
    {"/link", 200, "hello, world\n"},
    {"/sub/up-and-in", 200, "hello, world\n"},
    {"http://here/hello.txt", 200, "hello, world\n"},
    /* not there, whatever it looks like */
    {"/missing", 404, NULL},
    {"/hello.txt/", 404, NULL},
    {"/hello.txt/x", 404, NULL},
    {"/HELLO.TXT", 404, NULL},
    {"/bare/", 404, NULL},
    {"/fifo", 404, NULL},
    {"/socket", 404, NULL},
    {"/.hidden", 404, NULL},
    {"/sub/../.hidden", 404, NULL},
    {"/%2ehidden", 404, NULL},
    {"/...", 404, NULL},
    {"/..../secret.txt", 404, NULL},
    {"/%252e%252e/secret.txt", 404, NULL},
    {"/%25%32%65/secret.txt", 404, NULL},
    /* up and out: above the root is the root */
    {"/../secret.txt", 404, NULL},
    {"/../root2/secret.txt", 404, NULL},
    {"/../../../../../../../../etc/passwd", 404, NULL},
    {"/sub/../../secret.txt", 404, NULL},
    {"/%2e%2e/secret.txt", 404, NULL},
    {"/%2E./secret.txt", 404, NULL},
    {"/.%2e/secret.txt", 404, NULL},
    {"/sub/%2e%2e/%2e%2e/secret.txt", 404, NULL},
    {"/..;/secret.txt", 404, NULL},
    {"//etc/passwd", 404, NULL},
    {"///etc/passwd", 404, NULL},
    {"/..", 200, "the front page\n"},
    {"/../hello.txt", 200, "hello, world\n"},
    /* links that lead out, or nowhere */
    {"/link-out", 404, NULL},
    {"/link-absolute", 404, NULL},
    {"/link-dir-out/secret.txt", 404, NULL},
    {"/link-dir-out/root/hello.txt", 404, NULL},
    {"/link-dir-out/", 404, NULL},
    {"/link-magic/etc/passwd", 404, NULL},
    {"/link-loop", 404, NULL},
    /* a path to somebody else */
    {"/..%2fsecret.txt", 400, NULL},
    {"/%2e%2e%2fsecret.txt", 400, NULL},
    {"/sub%2F..%2F..%2Fsecret.txt", 400, NULL},
    {"/sub%2findex.html", 400, NULL},
    {"/..%5csecret.txt", 400, NULL},
    {"/..\\secret.txt", 400, NULL},
    {"/hello.txt%00", 400, NULL},
    {"/hello.txt%00.html", 400, NULL},
    {"/hello.txt%0a", 400, NULL},
    {"/%7f", 400, NULL},
    {"/%", 400, NULL},
    {"/%4", 400, NULL},
    {"/%zz", 400, NULL},
    {"/%c0%ae%c0%ae/secret.txt", 404, NULL}, /* dots, to who reads too much into UTF-8 */
    {"/%u002e%u002e/secret.txt", 400, NULL},
};

static void no_path_leads_out_of_the_root(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        const struct peer *peer = get("GET", paths[i].path, "");
        assert_null(strstr(peer->bytes, "SECRET"));
        assert_null(strstr(peer->bytes, "root:"));
        assert_answer(peer, paths[i].path, paths[i].status, paths[i].body);
    }
}

static void a_path_may_be_as_long_as_the_system_allows(void **state)
{
    (void)state;
    char path[5100] = "/";
    memset(path + 1, 'x', 256); /* one more than a name may have */
    assert_answer(get("GET", path, ""), "a long name", 404, NULL);
    memset(path + 1, 'x', 4000);
    for (size_t i = 100; i < 4000; i += 100)
        path[i] = '/';
    assert_answer(get("GET", path, ""), "a long path", 404, NULL);
    memset(path + 1, 'x', sizeof(path) - 2);
    assert_answer(get("GET", path, ""), "too long a path", 414, NULL);
}

static void what_may_not_be_read_is_forbidden(void **state)
{
    (void)state;
    put("unreadable.txt", "SECRET");
    chmod(path_to("unreadable.txt"), 0);
    mkdir(path_to("closed"), 0755);
    put("closed/index.html", "SECRET");
    chmod(path_to("closed/index.html"), 0);
    bool root = geteuid() == 0;
    assert_int_equal(0, root ? seteuid(65534) : 0);
    assert_answer(get("GET", "/unreadable.txt", ""), "unreadable", 403, "Forbidden\n");
    assert_answer(get("GET", "/closed/", ""), "unreadable index", 403, "Forbidden\n");
    assert_answer(get("GET", "/hello.txt", ""), "readable", 200, "hello, world\n");
    assert_int_equal(0, root ? seteuid(0) : 0);
}

static void a_directory_is_asked_for_with_its_slash(void **state)
{
    (void)state;
    const struct peer *peer = get("GET", "/sub?a=b&c", "");
    assert_answer(peer, "sub", 301, "");
    assert_string_equal("./sub/?a=b&c", header_of(peer, "location"));
    mkdir(path_to("a:b c"), 0755);
    assert_string_equal("./a%3Ab%20c/", header_of(get("GET", "/a:b%20c", ""), "location"));
    /* what would send a browser to another host, if it were taken as it is */
    assert_string_equal("./sub/", header_of(get("GET", "//sub", ""), "location"));
    assert_string_equal("", header_of(get("GET", "//evil.example/..%0d%0aX:y", ""), "location"));
}

static void an_index_may_have_any_name_or_none(void **state)
{
    (void)state;
    const char *const names[] = {"missing.html", "deep.txt", "index.html", NULL};
    serve((struct loop_http_files_options){.index = names});
    const struct peer *peer = get("GET", "/sub/", "");
    assert_answer(peer, "/sub/", 200, "deep\n");
    assert_string_equal("text/plain; charset=utf-8", header_of(peer, "content-type"));
    assert_answer(get("GET", "/", ""), "/", 200, "the front page\n");
    serve((struct loop_http_files_options){.index = names + 3});
    assert_answer(get("GET", "/sub/", ""), "/sub/", 404, NULL);
    const char *const folders[] = {"dir", NULL}; /* a directory is no index */
    serve((struct loop_http_files_options){.index = folders});
    assert_answer(get("GET", "/bare/", ""), "/bare/", 404, NULL);
}

static void a_listing_escapes_every_name(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.listing = true});
    put("bare/javascript:alert(1)", "");
    const struct peer *peer = get("GET", "/bare/", "");
    assert_int_equal(200, status_of(peer));
    assert_string_equal("text/html; charset=utf-8", header_of(peer, "content-type"));
    assert_non_null(strstr(body_of(peer), "<h1>/bare/</h1>"));
    assert_non_null(strstr(body_of(peer), "<li><a href=\"../\">../</a></li>\n"));
    assert_non_null(strstr(body_of(peer), "<li><a href=\"./one.txt\">one.txt</a></li>\n"));
    assert_non_null(strstr(body_of(peer), "<li><a href=\"./dir/\">dir/</a></li>\n"));
    assert_non_null(strstr(body_of(peer), "\"./%3Ci%3E%26%22.txt\">&lt;i&gt;&amp;&quot;.txt</a>"));
    assert_non_null(strstr(body_of(peer), "href=\"./javascript%3Aalert%281%29\""));
    assert_null(strstr(body_of(peer), ".two"));
    assert_null(strstr(body_of(peer), "<i>"));
    assert_answer(get("GET", "/", ""), "an index all the same", 200, "the front page\n");
    serve((struct loop_http_files_options){.listing = true, .dot_files = true});
    assert_non_null(strstr(body_of(get("GET", "/bare/", "")), "\"./.two\">.two</a>"));
    peer = get("HEAD", "/bare/", "");
    assert_answer(peer, "HEAD", 200, "");
    assert_true(atoi(header_of(peer, "content-length")) > 100);
}

static void the_root_is_listed_without_a_way_out(void **state)
{
    (void)state;
    const char *const none[] = {"no-index", NULL};
    serve((struct loop_http_files_options){.listing = true, .index = none});
    const char *body = body_of(get("GET", "/", ""));
    assert_non_null(strstr(body, "<h1>/</h1>"));
    assert_null(strstr(body, "../"));
    assert_non_null(strstr(body, ">&lt;b&gt;&amp;&quot;&#39;.txt</a>"));
    assert_non_null(strstr(body, "\"./link\"")); /* whatever it leads to */
    assert_null(strstr(body, "fifo"));
    assert_null(strstr(body, "socket"));
}

static void a_listing_has_so_many_names_and_no_more(void **state)
{
    enum { NAMES_MAX = 10000 };
    char name[32];
    (void)state;
    mkdir(path_to("many"), 0755);
    for (int i = 0; i < NAMES_MAX + 5; i++) {
        snprintf(name, sizeof(name), "many/%d", i);
        assert_int_equal(0, mknod(path_to(name), S_IFREG | 0644, 0));
    }
    serve((struct loop_http_files_options){.listing = true});
    int names = 0;
    const char *at = body_of(get("GET", "/many/", ""));
    for (; (at = strstr(at, "<li><a href=\"./")); at++)
        names++;
    assert_int_equal(NAMES_MAX, names);
}

static void an_index_may_be_too_long_for_a_path(void **state)
{
    static char large[4096];
    const char *const index[] = {large, "deep.txt", NULL};
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    serve((struct loop_http_files_options){.index = index});
    assert_answer(get("GET", "/sub/", ""), "the second index", 200, "deep\n");
}

static void begin_it(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_write(res, "begun", 5);
}

static void what_has_begun_is_no_file(void **state)
{
    (void)state;
    here.before = begin_it;
    const struct peer *peer = get("GET", "/hello.txt", "");
    assert_string_equal("chunked", header_of(peer, "transfer-encoding"));
    assert_string_equal("5\r\nbegun\r\n", body_of(peer)); /* and no end of it */
}

static void dot_files_are_there_if_they_are_wanted(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.dot_files = true});
    assert_answer(get("GET", "/.hidden", ""), ".hidden", 200, "hidden\n");
    assert_answer(get("GET", "/../.hidden", ""), ".hidden", 200, "hidden\n");
    assert_answer(get("GET", "/.missing", ""), ".missing", 404, NULL);
}

static void a_compressed_sibling_goes_to_who_takes_it(void **state)
{
    (void)state;
    static const struct {
        const char *path, *accept, *encoding, *body;
    } table[] = {
        {"/app.js", "", "", "plain();\n"},
        {"/app.js", "Accept-Encoding: gzip\r\n", "gzip", "as gzip\n"},
        {"/app.js", "Accept-Encoding: gzip, br\r\n", "br", "as brotli\n"},
        {"/app.js", "Accept-Encoding: br;q=0, gzip;q=0.1\r\n", "gzip", "as gzip\n"},
        {"/app.js", "Accept-Encoding: gzip;q=0\r\n", "", "plain();\n"},
        {"/app.js", "Accept-Encoding: *\r\n", "br", "as brotli\n"},
        {"/app.js", "Accept-Encoding: identity\r\n", "", "plain();\n"},
        {"/page.html", "Accept-Encoding: gzip, br\r\n", "gzip", "page as gzip\n"},
        {"/page.html", "Accept-Encoding: br\r\n", "", "plain page\n"},
        {"/page2.html", "Accept-Encoding: gzip\r\n", "", "page two\n"}, /* its sibling leads out */
        {"/page3.html", "Accept-Encoding: gzip\r\n", "", "page three\n"}, /* a directory */
    };
    serve((struct loop_http_files_options){.precompressed = true, .cache_files = 8});
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(table); i++) { /* and once more from the cache */
        size_t row = i % ARRAY_LENGTH(table);
        const struct peer *peer = get("GET", table[row].path, table[row].accept);
        assert_answer(peer, table[row].accept, 200, table[row].body);
        assert_string_equal(table[row].encoding, header_of(peer, "content-encoding"));
        assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
        assert_int_equal('t', header_of(peer, "content-type")[0]);
    }
}

static void a_fallback_stands_for_what_is_not_there(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.fallback = "index.html"});
    assert_answer(get("GET", "/app/route/7", ""), "a route", 200, "the front page\n");
    assert_answer(get("GET", "/link-out", ""), "a link out", 200, "the front page\n");
    assert_answer(get("GET", "/bare/", ""), "no index", 200, "the front page\n");
    assert_answer(get("GET", "/hello.txt", ""), "a file", 200, "hello, world\n");
    assert_answer(get("GET", "/%2f", ""), "no path", 400, NULL);
    serve((struct loop_http_files_options){.fallback = "sub"});
    assert_answer(get("GET", "/missing", ""), "a directory", 404, NULL);
    serve((struct loop_http_files_options){.fallback = "../secret.txt"});
    assert_answer(get("GET", "/missing", ""), "outside", 404, NULL);
}

static void files_are_read_and_nothing_else(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        const struct peer *peer = get(methods[i], "/hello.txt", "Content-Length: 0\r\n");
        assert_answer(peer, methods[i], 405, "");
        assert_string_equal("GET, HEAD", header_of(peer, "allow"));
    }
    const struct peer *peer = get("HEAD", "/hello.txt", "");
    assert_answer(peer, "HEAD", 200, "");
    assert_string_equal("13", header_of(peer, "content-length"));
    peer = get("HEAD", "/missing", "");
    assert_answer(peer, "HEAD", 404, "");
}

/* "%" stands for the tag of the file. */
static const struct condition_row {
    const char *headers;
    int status;
} conditions[] = {
    {"If-None-Match: %\r\n", 304},
    {"If-None-Match: W/%\r\n", 304},
    {"If-None-Match: \"other\", W/%\r\n", 304},
    {"If-None-Match: \"other\"\r\nIf-None-Match: %\r\n", 304},
    {"If-None-Match: *\r\n", 304},
    {"If-None-Match: \"other\"\r\n", 200},
    {"If-None-Match: garbage\r\n", 200},
    {"If-None-Match: \r\n", 200},
    {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304},
    {"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304},
    {"If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304},
    {"If-Modified-Since: Mon, 07 Nov 1994 00:00:00 GMT\r\n", 304},
    {"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
    {"If-Modified-Since: yesterday\r\n", 200},
    {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 PST\r\n", 200},
    {"If-Modified-Since: Sun, 32 Nov 1994 08:49:37 GMT\r\n", 200},
    /* a tag counts more than a date */
    {"If-None-Match: \"other\"\r\nIf-Modified-Since: Mon, 07 Nov 1994 00:00:00 GMT\r\n", 200},
    {"If-None-Match: %\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 304},
    {"If-Match: %\r\n", 200},
    {"If-Match: *\r\n", 200},
    {"If-Match: \"other\", %\r\n", 200},
    {"If-Match: *x\r\n", 412},
    {"If-None-Match: *, \"other\"\r\n", 200}, /* a star stands alone */
    {"If-Match: W/%\r\n", 412},
    {"If-Match: \"other\"\r\n", 412},
    {"If-Match: \"other\"\r\nIf-None-Match: %\r\n", 412},
    {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200},
    {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412},
    {"If-Unmodified-Since: never\r\n", 200},
    {"If-Match: %\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
    {"If-Match: %\r\nIf-None-Match: %\r\n", 304},
};

static const char *with_tag(const char *headers, const char *tag)
{
    static char text[1024];
    size_t size = 0;
    for (; *headers; headers++)
        if (*headers == '%')
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s", tag);
        else
            text[size++] = *headers;
    text[size] = '\0';
    return text;
}

static void conditions_are_looked_at_in_their_order(void **state)
{
    (void)state;
    char tag[128];
    snprintf(tag, sizeof(tag), "%s", header_of(get("GET", "/hello.txt", ""), "etag"));
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(conditions); i++) {
        const struct condition_row *row = &conditions[i / 2];
        const char *method = i % 2 ? "HEAD" : "GET";
        const struct peer *peer = get(method, "/hello.txt", with_tag(row->headers, tag));
        assert_answer(peer, row->headers, row->status, NULL);
        if (row->status == 304) {
            assert_string_equal("", body_of(peer));
            assert_string_equal("", header_of(peer, "content-length"));
        }
        if (row->status != 412)
            assert_string_equal(tag, header_of(peer, "etag"));
    }
}

static void a_tag_changes_with_the_file(void **state)
{
    (void)state;
    char tag[128];
    snprintf(tag, sizeof(tag), "%s", header_of(get("GET", "/hello.txt", ""), "etag"));
    put("hello.txt", "hello, moon!\n"); /* the same size, another time */
    const struct timespec times[2] = {{CHANGED_S, 1}, {CHANGED_S, 1}};
    utimensat(AT_FDCWD, path_to("hello.txt"), times, 0);
    assert_string_not_equal(tag, header_of(get("GET", "/hello.txt", ""), "etag"));
    put("new.txt", "hello, world\n"); /* the same size and time, another file */
    rename(path_to("new.txt"), path_to("hello.txt.new"));
    assert_string_not_equal(tag, header_of(get("GET", "/hello.txt.new", ""), "etag"));
}

static void a_date_to_come_is_told_as_now(void **state)
{
    (void)state;
    const struct timespec times[2] = {{4102444800, 0}, {4102444800, 0}}; /* 2100 */
    utimensat(AT_FDCWD, path_to("hello.txt"), times, 0);
    const struct peer *peer = get("GET", "/hello.txt", "");
    assert_int_equal(200, status_of(peer));
    assert_null(strstr(header_of(peer, "last-modified"), "2100"));
}

/* Of "hello, world\n", 13 bytes. */
static const struct range_row {
    const char *headers;
    int status;
    const char *body, *range;
} ranges[] = {
    {"Range: bytes=0-4\r\n", 206, "hello", "bytes 0-4/13"},
    {"Range: bytes=7-\r\n", 206, "world\n", "bytes 7-12/13"},
    {"Range: bytes=-6\r\n", 206, "world\n", "bytes 7-12/13"},
    {"Range: bytes=0-0\r\n", 206, "h", "bytes 0-0/13"},
    {"Range: bytes=12-12\r\n", 206, "\n", "bytes 12-12/13"},
    {"Range: bytes=12-999\r\n", 206, "\n", "bytes 12-12/13"},
    {"Range: bytes=-999\r\n", 206, "hello, world\n", "bytes 0-12/13"},
    {"Range: bytes=0-18446744073709551615\r\n", 206, "hello, world\n", "bytes 0-12/13"},
    {"Range: bytes=0-99999999999999999999999\r\n", 206, "hello, world\n", "bytes 0-12/13"},
    {"Range: Bytes=0-4\r\n", 206, "hello", "bytes 0-4/13"},
    {"Range: bytes=13-\r\n", 416, "", "bytes */13"},
    {"Range: bytes=13-13\r\n", 416, "", "bytes */13"},
    {"Range: bytes=-0\r\n", 416, "", "bytes */13"},
    {"Range: bytes=18446744073709551615-\r\n", 416, "", "bytes */13"},
    {"Range: bytes=99999999999999999999999-\r\n", 416, "", "bytes */13"},
    /* what is passed over */
    {"Range: bytes=0-1,3-4\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=5-3\r\n", 200, "hello, world\n", ""},
    {"Range: lines=0-1\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=-\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=a-b\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=0x0-4\r\n", 200, "hello, world\n", ""},
    {"Range: bytes=--4\r\n", 200, "hello, world\n", ""},
    {"Range: 0-4\r\n", 200, "hello, world\n", ""},
    /* held to a condition */
    {"If-Range: %\r\nRange: bytes=0-4\r\n", 206, "hello", "bytes 0-4/13"},
    {"If-Range: W/%\r\nRange: bytes=0-4\r\n", 200, "hello, world\n", ""},
    {"If-Range: \"other\"\r\nRange: bytes=0-4\r\n", 200, "hello, world\n", ""},
    {"If-Range: yesterday\r\nRange: bytes=0-4\r\n", 200, "hello, world\n", ""},
    {"If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\nRange: bytes=0-4\r\n", 206, "hello",
     "bytes 0-4/13"},
    {"If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\nRange: bytes=0-4\r\n", 200, "hello, world\n", ""},
    {"If-Range: %\r\nRange: bytes=99-\r\n", 416, "", "bytes */13"},
    {"If-Range: \"other\"\r\nRange: bytes=99-\r\n", 200, "hello, world\n", ""},
    {"If-None-Match: %\r\nRange: bytes=0-4\r\n", 304, "", ""},
    {"If-Match: \"other\"\r\nRange: bytes=0-4\r\n", 412, NULL, ""},
};

static void a_part_is_sent_if_one_is_asked_for(void **state)
{
    (void)state;
    char tag[128], size[16];
    snprintf(tag, sizeof(tag), "%s", header_of(get("GET", "/hello.txt", ""), "etag"));
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
        const struct range_row *row = &ranges[i];
        const struct peer *peer = get("GET", "/hello.txt", with_tag(row->headers, tag));
        assert_answer(peer, row->headers, row->status, row->body);
        assert_string_equal(row->range, header_of(peer, "content-range"));
        snprintf(size, sizeof(size), "%zu", body_size_of(peer));
        if (row->status != 304)
            assert_string_equal(size, header_of(peer, "content-length"));
    }
    assert_answer(get("HEAD", "/hello.txt", "Range: bytes=0-4\r\n"), "HEAD", 200, "");
    assert_answer(get("GET", "/empty.txt", ""), "empty", 200, "");
    assert_answer(get("GET", "/empty.txt", "Range: bytes=0-\r\n"), "empty", 416, "");
    assert_answer(get("GET", "/empty.txt", "Range: bytes=-1\r\n"), "empty", 416, "");
}

static void a_file_that_is_kept_open_is_not_looked_for_again(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.cache_files = 4, .cache_ns = 3600 * LOOP_SEC});
    assert_answer(get("GET", "/hello.txt", ""), "first", 200, "hello, world\n");
    put("new", "hello, moon\n");
    assert_int_equal(0, rename(path_to("new"), path_to("hello.txt")));
    assert_answer(get("GET", "/hello.txt", ""), "kept", 200, "hello, world\n");
    assert_answer(get("GET", "/hello.txt", "Range: bytes=0-4\r\n"), "kept", 206, "hello");
    serve((struct loop_http_files_options){.cache_files = 4, .cache_ns = 1});
    assert_answer(get("GET", "/hello.txt", ""), "first", 200, "hello, moon\n");
    put("new", "hello, sun\n");
    assert_int_equal(0, rename(path_to("new"), path_to("hello.txt")));
    assert_answer(get("GET", "/hello.txt", ""), "looked for", 200, "hello, sun\n");
}

static void no_more_files_are_kept_open_than_was_said(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.cache_files = 2, .cache_ns = 3600 * LOOP_SEC});
    char path[32];
    int few = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof(path), "many-%d.txt", i);
        put(path, "one of many\n");
        snprintf(path, sizeof(path), "/many-%d.txt", i);
        assert_answer(get("GET", path, ""), path, 200, "one of many\n");
        few = i == 0 ? open_descriptors() : few; /* with one of them */
    }
    assert_in_range(open_descriptors(), (unsigned)few, (unsigned)few + 1);
}

static void set_own_headers(struct loop_http_request *req, struct loop_http_response *res)
{
    bool missing = strstr(req->path, "missing") != NULL;
    loop_http_set_header(res, "X-Own", "yes");
    if (!missing)
        return;
    loop_http_set_header(res, "Cache-Control", "no-store");
    loop_http_set_header(res, "Content-Type", "text/x-own");
    loop_http_set_status(res, 404);
}

static void what_the_program_has_set_is_sent_along(void **state)
{
    (void)state;
    here.before = set_own_headers;
    serve((struct loop_http_files_options){.fallback = "hello.txt", .cache_control = "max-age=60"});
    const struct peer *peer = get("GET", "/index.html", "");
    assert_string_equal("max-age=60", header_of(peer, "cache-control"));
    assert_string_equal("yes", header_of(peer, "x-own"));
    peer = get("GET", "/index.html", "If-None-Match: *\r\n");
    assert_int_equal(304, status_of(peer));
    assert_string_equal("max-age=60", header_of(peer, "cache-control"));
    assert_string_equal("yes", header_of(peer, "x-own"));
    peer = get("GET", "/missing", "If-None-Match: *\r\nRange: bytes=0-4\r\n");
    assert_answer(peer, "a page for 404", 404, "hello, world\n");
    assert_string_equal("no-store", header_of(peer, "cache-control"));
    assert_string_equal("text/x-own", header_of(peer, "content-type"));
    assert_null(strstr(peer->bytes, "max-age"));
    assert_null(strstr(peer->bytes, "text/plain"));
}

static void requests_in_one_piece_are_answered_in_their_order(void **state)
{
    (void)state;
    const struct peer *peer =
        ask(&here.server, "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /missing HTTP/1.1\r\nHost: a\r\n\r\n"
                          "HEAD /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /app.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *first = strstr(peer->bytes, "hello, world\n");
    const char *second = first ? strstr(first, "HTTP/1.1 404") : NULL;
    const char *third = second ? strstr(second, "Content-Length: 13") : NULL;
    const char *last = third ? strstr(third, "\r\n\r\nplain();\n") : NULL;
    assert_non_null(last);
    assert_null(strstr(third, "hello, world"));
}

static void let_go(void)
{
    loop_http_files_fini(&here.files);
    here.open = false;
    here.after = NULL;
}

static void what_is_under_way_is_served_when_the_files_are_let_go(void **state)
{
    (void)state;
    serve((struct loop_http_files_options){.listing = true, .cache_files = 4});
    here.after = let_go;
    assert_non_null(strstr(get("GET", "/bare/", "")->bytes, "one.txt"));
}

static void hang_up(struct loop_task *task)
{
    struct peer *peer = task->data;
    loop_stream_reset(&peer->tcp.stream, peer_closed);
}

static struct {
    struct peer peer;
    struct loop_task task;
} leaver;

static void hang_up_soon(void)
{
    leaver.task.data = &leaver.peer;
    loop_next_tick(here.server.loop, &leaver.task, hang_up);
}

static void a_peer_may_go_while_its_file_is_looked_for(void **state)
{
    memset(&leaver, 0, sizeof(leaver));
    serve((struct loop_http_files_options){.listing = true});
    here.after = hang_up_soon;
    peer_open(*state, loop_http_server_port(&here.server), &leaver.peer,
              "GET /bare/ HTTP/1.1\r\nHost: here\r\n\r\n");
    loop_run(*state, LOOP_RUN_DEFAULT);
    here.after = NULL;
    assert_answer(get("GET", "/hello.txt", ""), "the next", 200, "hello, world\n");
}

static void options_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct loop_http_files files;
    struct loop_http_files_options options = {0};
    int before = open_descriptors();
    assert_int_equal(-EINVAL, loop_http_files_init(&files, NULL));
    assert_int_equal(-EINVAL, loop_http_files_init(&files, &options));
    options.root = "/nonexistent";
    assert_int_equal(-EINVAL, loop_http_files_init(NULL, &options));
    assert_int_equal(-ENOENT, loop_http_files_init(&files, &options));
    options.root = "/etc/passwd";
    assert_int_equal(-ENOTDIR, loop_http_files_init(&files, &options));
    options.root = "/tmp";
    options.fallback = "/index.html";
    assert_int_equal(-EINVAL, loop_http_files_init(&files, &options));
    options.fallback = "index.html";
    options.cache_control = "no-store\r\nX: y";
    assert_int_equal(-EINVAL, loop_http_files_init(&files, &options));
    options.cache_control = "no-store\x7f";
    assert_int_equal(-EINVAL, loop_http_files_init(&files, &options));
    assert_int_equal(before, open_descriptors());
}

#define files_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(a_file_is_sent_with_what_it_is),
        files_test(types_are_told_by_the_end_of_the_name),
        files_test(no_path_leads_out_of_the_root),
        files_test(a_path_may_be_as_long_as_the_system_allows),
        files_test(what_may_not_be_read_is_forbidden),
        files_test(a_directory_is_asked_for_with_its_slash),
        files_test(an_index_may_have_any_name_or_none),
        files_test(a_listing_escapes_every_name),
        files_test(the_root_is_listed_without_a_way_out),
        files_test(a_listing_has_so_many_names_and_no_more),
        files_test(an_index_may_be_too_long_for_a_path),
        files_test(what_has_begun_is_no_file),
        files_test(dot_files_are_there_if_they_are_wanted),
        files_test(a_compressed_sibling_goes_to_who_takes_it),
        files_test(a_fallback_stands_for_what_is_not_there),
        files_test(files_are_read_and_nothing_else),
        files_test(conditions_are_looked_at_in_their_order),
        files_test(a_tag_changes_with_the_file),
        files_test(a_date_to_come_is_told_as_now),
        files_test(a_part_is_sent_if_one_is_asked_for),
        files_test(a_file_that_is_kept_open_is_not_looked_for_again),
        files_test(no_more_files_are_kept_open_than_was_said),
        files_test(what_the_program_has_set_is_sent_along),
        files_test(requests_in_one_piece_are_answered_in_their_order),
        files_test(what_is_under_way_is_served_when_the_files_are_let_go),
        files_test(a_peer_may_go_while_its_file_is_looked_for),
        files_test(options_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
