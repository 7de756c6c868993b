/* URLs and paths.
 *
 * A URL is cut into pieces that lie in it, and put together again as it was; what is no URL by RFC
 * 3986, or might be read in two ways, is refused and nothing is told of it. References resolve as
 * section 5.4 of the RFC says, each of its examples. What is encoded is decoded once. The path of a
 * request stays below its root however it is written, and what other programs take for a path is
 * refused. The functions on paths of files say what Node's say, which is asked if it is installed.
 * No result is ever cut: it fits with its 0, or it is -ENOBUFS.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http/url.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 9000 };

static struct loop_text t(const char *string)
{
    return loop_text_of(string);
}

/* As a string of its own, "-" for none. */
static const char *s(struct loop_text text)
{
    static char strings[8][256];
    static unsigned next;
    char *string = strings[next++ % 8];
    snprintf(string, sizeof(strings[0]), "%.*s", (int)text.size, text.bytes ? text.bytes : "-");
    return text.bytes ? string : "-";
}

static const struct {
    const char *url, *scheme, *userinfo, *host, *path, *query, *fragment;
    int port;
} urls[] = {
    {"http://a", "http", "-", "a", "", "-", "-", -1},
    {"HTTP://A:80/", "HTTP", "-", "A", "/", "-", "-", 80},
    {"http://a:/b", "http", "-", "a", "/b", "-", "-", -1},
    {"http://a:0", "http", "-", "a", "", "-", "-", 0},
    {"http://a:65535", "http", "-", "a", "", "-", "-", 65535},
    {"https://u:p@h/a/b;c?d=e&f?/#g?/", "https", "u:p", "h", "/a/b;c", "d=e&f?/", "g?/", -1},
    {"http://@h", "http", "", "h", "", "-", "-", -1},
    {"http://[::1]:8080/x", "http", "-", "::1", "/x", "-", "-", 8080},
    {"http://[1:2:3:4:5:6:7.8.9.10]", "http", "-", "1:2:3:4:5:6:7.8.9.10", "", "-", "-", -1},
    {"http://a?b", "http", "-", "a", "", "b", "-", -1},
    {"http://a#b", "http", "-", "a", "", "-", "b", -1},
    {"http://a/?#", "http", "-", "a", "/", "", "", -1},
    {"file:///etc/hosts", "file", "-", "", "/etc/hosts", "-", "-", -1},
    {"mailto:a@b.c", "mailto", "-", "-", "a@b.c", "-", "-", -1},
    {"urn:x:y", "urn", "-", "-", "x:y", "-", "-", -1},
    {"x+y-z.1:", "x+y-z.1", "-", "-", "", "-", "-", -1},
    {"//h/p", "-", "-", "h", "/p", "-", "-", -1},
    {"/a//b", "-", "-", "-", "/a//b", "-", "-", -1},
    {"a/b:c", "-", "-", "-", "a/b:c", "-", "-", -1},
    {"./a:b", "-", "-", "-", "./a:b", "-", "-", -1},
    {"?q", "-", "-", "-", "", "q", "-", -1},
    {"#f", "-", "-", "-", "", "-", "f", -1},
    {"", "-", "-", "-", "", "-", "-", -1},
    {"http://%41b/%20%ff", "http", "-", "%41b", "/%20%ff", "-", "-", -1},
};

static void a_url_is_cut_into_its_pieces(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++) {
        struct loop_url url;
        char text[ROOM];
        assert_int_equal(0, loop_url_parse(&url, t(urls[i].url)));
        assert_string_equal(urls[i].scheme, s(url.scheme));
        assert_string_equal(urls[i].userinfo, s(url.userinfo));
        assert_string_equal(urls[i].host, s(url.host));
        assert_string_equal(urls[i].path, s(url.path));
        assert_string_equal(urls[i].query, s(url.query));
        assert_string_equal(urls[i].fragment, s(url.fragment));
        assert_int_equal(urls[i].port, url.port);
        assert_true(loop_url_build(&url, text, sizeof(text)) >= 0);
        if (!strstr(urls[i].url, ":/b"))
            assert_string_equal(urls[i].url, text);
    }
    (void)state;
}

static void what_is_no_url_is_refused(void **state)
{
    static const char *const cases[] = {
        "http://a b",     "http://a/ ",
        "http://a/\t",    "http://a\\b",
        "http:\\\\a",     "http://a/%",
        "http://a/%4",    "http://a/%4g",
        "http://a/\x7f",  "http://a/\xc3\xa4",
        "http://a:b",     "http://a:-1",
        "http://a:65536", "http://a:99999999",
        "http://[::1",    "http://[::1]x",
        "http://[]",      "http://[::1%25lo]",
        "http://[v1.a]",  "http://[1.2.3.4]",
        "http://a]",      "http://a@b@c",
        "http://a:b:1",   ":a",
        "1a:b",           "a_b:c",
        "http://a/[x]",   "http://a/<x>",
        "http://a/\"",    "http://a/?a#b#c",
        "http://a/{}",    "http://a/|",
        "http://a/^",     "http://a/`",
        "http://[::1]]/", "http://[[::1]]/",
        "http://u<@h/",   "http://a/?<x>",
        "http://a/#<x>",  "http://[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]",
    };
    struct loop_url untouched;
    memset(&untouched, 0xa5, sizeof(untouched));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct loop_url url = untouched;
        assert_int_equal(-EINVAL, loop_url_parse(&url, t(cases[i])));
        assert_memory_equal(&untouched, &url, sizeof(url));
    }
    struct loop_url url;
    assert_int_equal(-EINVAL, loop_url_parse(&url, (struct loop_text){"http://a/\0b", 11}));
    assert_int_equal(-EINVAL, loop_url_parse(&url, (struct loop_text){"http://[::1\0]", 13}));
    assert_int_equal(-EINVAL, loop_url_parse(&url, (struct loop_text){0}));
    (void)state;
}

static void a_url_may_be_long_but_not_too_long(void **state)
{
    static char text[LOOP_URL_MAX + 2];
    struct loop_url url;
    memset(text, 'a', LOOP_URL_MAX + 1);
    assert_int_equal(-ENAMETOOLONG, loop_url_parse(&url, t(text)));
    text[LOOP_URL_MAX] = '\0';
    assert_int_equal(0, loop_url_parse(&url, t(text)));
    (void)state;
}

static void a_text_that_is_not_there_equals_nothing_else(void **state)
{
    const struct loop_text none = {0};
    assert_true(loop_text_equal(none, NULL));
    assert_false(loop_text_equal(none, ""));
    assert_false(loop_text_equal(t(""), NULL));
    assert_true(loop_text_equal(t(""), ""));
    assert_false(loop_text_equal(t("a"), "b"));
    (void)state;
}

#define TEN       "abcdefghi."
#define FIFTY     TEN TEN TEN TEN TEN
#define LONG_HOST "http://" FIFTY FIFTY FIFTY FIFTY FIFTY "abcde" /* 255 bytes */

static void what_a_client_may_fetch_has_a_plain_host_and_a_port(void **state)
{
    static const struct {
        const char *url;
        int port;
    } cases[] = {
        {"http://a", 80},       {"HTTPS://a-b.c_d/", 443},
        {"ws://1.2.3.4/x", 80}, {"wss://[::1]:1/", 1},
        {"ftp://a", 0},         {"//a", 0},
        {"http:///a", 0},       {"http:a", 0},
        {"http://u@a", 0},      {"http://@a", 0},
        {"http://a:0", 0},      {"http://%61", 0},
        {LONG_HOST, 80},        {LONG_HOST "x", 0},
        {"http://a;b", 0},      {"http://a,b", 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct loop_url url = {.port = 0};
        int error = loop_url_parse_http(&url, t(cases[i].url));
        assert_int_equal(cases[i].port ? 0 : -EINVAL, error);
        assert_int_equal(cases[i].port, url.port);
    }
    (void)state;
}

/* RFC 3986, 5.4.1 and 5.4.2, and some of our own. */
#define RFC "http://a/b/c/d;p?q"
static const struct {
    const char *base, *reference, *target;
} references[] = {
    {RFC, "g:h", "g:h"},
    {RFC, "g", "http://a/b/c/g"},
    {RFC, "./g", "http://a/b/c/g"},
    {RFC, "g/", "http://a/b/c/g/"},
    {RFC, "/g", "http://a/g"},
    {RFC, "//g", "http://g"},
    {RFC, "?y", "http://a/b/c/d;p?y"},
    {RFC, "g?y", "http://a/b/c/g?y"},
    {RFC, "#s", "http://a/b/c/d;p?q#s"},
    {RFC, "g#s", "http://a/b/c/g#s"},
    {RFC, "g?y#s", "http://a/b/c/g?y#s"},
    {RFC, ";x", "http://a/b/c/;x"},
    {RFC, "g;x", "http://a/b/c/g;x"},
    {RFC, "g;x?y#s", "http://a/b/c/g;x?y#s"},
    {RFC, "", "http://a/b/c/d;p?q"},
    {RFC, ".", "http://a/b/c/"},
    {RFC, "./", "http://a/b/c/"},
    {RFC, "..", "http://a/b/"},
    {RFC, "../", "http://a/b/"},
    {RFC, "../g", "http://a/b/g"},
    {RFC, "../..", "http://a/"},
    {RFC, "../../", "http://a/"},
    {RFC, "../../g", "http://a/g"},
    {RFC, "../../../g", "http://a/g"},
    {RFC, "../../../../g", "http://a/g"},
    {RFC, "/./g", "http://a/g"},
    {RFC, "/../g", "http://a/g"},
    {RFC, "g.", "http://a/b/c/g."},
    {RFC, ".g", "http://a/b/c/.g"},
    {RFC, "g..", "http://a/b/c/g.."},
    {RFC, "..g", "http://a/b/c/..g"},
    {RFC, "./../g", "http://a/b/g"},
    {RFC, "./g/.", "http://a/b/c/g/"},
    {RFC, "g/./h", "http://a/b/c/g/h"},
    {RFC, "g/../h", "http://a/b/c/h"},
    {RFC, "g;x=1/./y", "http://a/b/c/g;x=1/y"},
    {RFC, "g;x=1/../y", "http://a/b/c/y"},
    {RFC, "g?y/./x", "http://a/b/c/g?y/./x"},
    {RFC, "g?y/../x", "http://a/b/c/g?y/../x"},
    {RFC, "g#s/./x", "http://a/b/c/g#s/./x"},
    {RFC, "g#s/../x", "http://a/b/c/g#s/../x"},
    {RFC, "http:g", "http:g"},
    {"http://a", "b", "http://a/b"},
    {"http://u@[::1]:80/x", "b?c", "http://u@[::1]:80/b?c"},
    {"http://a/b", "//[::2]:1/../x", "http://[::2]:1/x"},
    {"a:b/c", "../../x", "a:/x"},
    {"a:/b", ".//x", "a:/.//x"},
    {"a:b", "", "a:b"},
    {"a:b", "..", "a:"},
    {"a:b", "../x", "a:x"},
    {"a:b", "./x", "a:x"},
    {"a:", "b", "a:b"},
    {"mailto:a@b", "c", "mailto:c"},
};

static void references_resolve_as_the_rfc_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(references); i++) {
        struct loop_url base, reference;
        char text[ROOM];
        assert_int_equal(0, loop_url_parse(&base, t(references[i].base)));
        assert_int_equal(0, loop_url_parse(&reference, t(references[i].reference)));
        ssize_t size = loop_url_resolve(&base, &reference, text, sizeof(text));
        assert_int_equal(strlen(references[i].target), size);
        assert_string_equal(references[i].target, text);
        for (size_t room = 0; room <= (size_t)size; room++)
            assert_int_equal(-ENOBUFS, loop_url_resolve(&base, &reference, text, room));
    }
    struct loop_url base, reference;
    char text[ROOM];
    const struct loop_url guarded = {.scheme = t("a"), .path = t("//x"), .port = -1};
    for (size_t room = 0; room <= 7; room++)
        assert_int_equal(-ENOBUFS, loop_url_resolve(&guarded, &guarded, text, room));
    assert_int_equal(7, loop_url_resolve(&guarded, &guarded, text, 8));
    assert_string_equal("a:/.//x", text);
    assert_int_equal(0, loop_url_parse(&base, t("/a")));
    assert_int_equal(0, loop_url_parse(&reference, t("b")));
    assert_int_equal(-EINVAL, loop_url_resolve(&base, &reference, text, sizeof(text)));
    (void)state;
}

static void pieces_that_would_be_read_differently_are_not_put_together(void **state)
{
    char text[64];
    static const struct loop_text none;
    const struct loop_url cases[] = {
        {.path = t("//a"), .port = -1},
        {.path = t("a:b"), .port = -1},
        {.path = t("a?b"), .port = -1},
        {.path = t("/a"), .query = t("b#c"), .port = -1},
        {.scheme = t("http"), .host = t("a/b"), .path = none, .port = -1},
        {.scheme = t("http"), .host = t("a"), .path = t("b"), .port = -1},
        {.scheme = t("http"), .host = t("a@b"), .path = none, .port = -1},
        {.scheme = t("http"), .host = t("::1"), .path = none, .port = -1},
        {.scheme = t("http"), .host = t("a"), .path = t("/ "), .port = -1},
        {.scheme = t("http"), .host = t("a"), .path = none, .port = 65536},
        {.scheme = t("a"), .path = t("/b"), .port = 80},
        {.scheme = t("a"), .path = t("/b"), .port = -1, .ip6 = true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(-EINVAL, loop_url_build(&cases[i], text, sizeof(text)));
    (void)state;
}

static void what_is_encoded_is_decoded_once(void **state)
{
    static const char every[] = "aZ9-._~ /%&+\x01\x7f\xff";
    char text[ROOM];
    char back[ROOM];
    assert_int_equal(3, loop_percent_decode(t("%2541"), text, sizeof(text)));
    assert_string_equal("%41", text);
    assert_int_equal(3, loop_percent_decode(t("a%00b"), text, sizeof(text)));
    assert_memory_equal("a\0b", text, 4);
    assert_int_equal(-EINVAL, loop_percent_decode(t("%"), text, sizeof(text)));
    assert_int_equal(-EINVAL, loop_percent_decode(t("%%41"), text, sizeof(text)));
    assert_int_equal(-EINVAL, loop_percent_decode(t("%4x"), text, sizeof(text)));
    ssize_t size = loop_percent_encode(t(every), "/", text, sizeof(text));
    assert_string_equal("aZ9-._~%20/%25%26%2B%01%7F%FF", text);
    assert_int_equal(strlen(every), loop_percent_decode((struct loop_text){text, (size_t)size},
                                                        back, sizeof(back)));
    assert_string_equal(every, back);
    assert_int_equal(strlen(every),
                     loop_percent_decode(t(text), text, sizeof(text))); /* in place */
    assert_string_equal(every, text);
    (void)state;
}

static const struct {
    const char *text, *path; /* NULL: refused */
} request_paths[] = {
    {"/", "/"},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"//a", "/a"},
    {"///", "/"},
    {"/a//b", "/a/b"},
    {"/./a/.", "/a/"},
    {"/..", "/"},
    {"/../../etc/passwd", "/etc/passwd"},
    {"/a/../../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../", "/a/"},
    {"/%2e%2e/a", "/a"},
    {"/a/%2E%2e/%2e./b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/%252e%252e/a", "/%2e%2e/a"},
    {"/...", "/..."},
    {"/.a/..b/c..", "/.a/..b/c.."},
    {"/a%20b", "/a b"},
    {"/a+b", "/a+b"},
    {"/\xc3\xa4/%c3%a4", "/\xc3\xa4/\xc3\xa4"},
    {"/..//..//a", "/a"},
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
    {"http://h/a", NULL},
    {"/%", NULL},
    {"/%2", NULL},
    {"/a%2fb", NULL},
    {"/..%2f..%2fetc", NULL},
    {"/a\\b", NULL},
    {"/..%5c..%5cetc", NULL},
    {"/a%00.png", NULL},
    {"/a%0a", NULL},
    {"/a\x7f", NULL},
};

static void a_requests_path_stays_below_its_root(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(request_paths); i++) {
        char path[ROOM];
        ssize_t size = loop_url_path(t(request_paths[i].text), path, sizeof(path));
        assert_int_equal(request_paths[i].path ? (ssize_t)strlen(request_paths[i].path) : -EINVAL,
                         size);
        if (!request_paths[i].path)
            continue;
        assert_string_equal(request_paths[i].path, path);
        snprintf(path, sizeof(path), "%s", request_paths[i].text);
        assert_int_equal(size, loop_url_path(t(path), path, strlen(path) + 1)); /* in place */
        assert_string_equal(request_paths[i].path, path);
    }
    (void)state;
}

static const char *const paths[] = {
    "",          "/",        "//",      "///",    ".",         "..",           "...",
    "a",         "a/",       "a//",     "/a",     "/a/",       "//a",          "///a",
    "a/b",       "a//b",     "/a/b",    "/a//b/", "./a",       "../a",         "../../a",
    "a/..",      "a/../",    "/..",     "/../a",  "/../../a/", "a/./b/",       "a/b/../..",
    "a/../..",   "a/../../", "..a/..b", "a..",    "/a/../..b", "a/.../b",      "../a/../..",
    "a.b",       "a.b/",     ".a",      ".a.b",   "a.",        "a..",          "/x/.a",
    "/x/..",     "x.y/z",    "...a",    "a.b.c",  "/a.b//",    "..a",          "a b/c\xc3\xa4",
    "x/../../y", "././.",    "/./.",    "../..",  ".../..",    "a/../../../b",
};

static void write_quoted(FILE *out, struct loop_text text)
{
    fputc('"', out);
    for (size_t i = 0; i < text.size; i++)
        fprintf(out, text.bytes[i] == '"' || text.bytes[i] == '\\' ? "\\%c" : "%c", text.bytes[i]);
    fputc('"', out);
}

/* One line of a script: what Node's function must say of arguments. */
static void expect(FILE *node, const char *function, const char *a, const char *b,
                   struct loop_text result)
{
    fprintf(node, "is(p.%s(", function);
    write_quoted(node, t(a));
    if (b) {
        fputc(',', node);
        write_quoted(node, t(b));
    }
    fputs("),", node);
    write_quoted(node, result);
    fputs(");\n", node);
}

static void expect_all(FILE *node)
{
    char out[ROOM];
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        expect(node, "basename", paths[i], NULL, loop_path_basename(paths[i]));
        expect(node, "dirname", paths[i], NULL, loop_path_dirname(paths[i]));
        expect(node, "extname", paths[i], NULL, loop_path_extname(paths[i]));
        ssize_t size = loop_path_normalize(paths[i], out, sizeof(out));
        expect(node, "normalize", paths[i], NULL, (struct loop_text){out, (size_t)size});
        for (size_t j = 0; j < ARRAY_LENGTH(paths); j++) {
            const char *const both[] = {paths[i], paths[j]};
            size = loop_path_join(both, 2, out, sizeof(out));
            expect(node, "join", paths[i], paths[j], (struct loop_text){out, (size_t)size});
        }
    }
}

static void paths_are_what_node_says_they_are(void **state)
{
    if (system("node --version >/dev/null 2>&1") != 0)
        skip();
    FILE *node = popen("node -", "w");
    assert_non_null(node);
    fputs("const p = require('path').posix;\n"
          "const is = (theirs, ours) => { if (theirs !== ours) {\n"
          "console.error('# node: ' + theirs + ' libloop: ' + ours); process.exitCode = 1; } };\n",
          node);
    expect_all(node);
    assert_int_equal(0, pclose(node));
    (void)state;
}

static void paths_have_names_and_folders(void **state)
{
    char out[64];
    const char *const parts[] = {"/srv", "", "www/", "../a", "./b.txt"};
    assert_string_equal("b.c", s(loop_path_basename("/a/b.c/")));
    assert_string_equal("/a", s(loop_path_dirname("/a/b.c/")));
    assert_string_equal(".c", s(loop_path_extname("/a/b.c")));
    assert_int_equal(12, loop_path_join(parts, 5, out, sizeof(out)));
    assert_string_equal("/srv/a/b.txt", out);
    assert_int_equal(1, loop_path_join(NULL, 0, out, sizeof(out)));
    assert_string_equal(".", out);
    static char large[4097];
    memset(large, 'a', 4096);
    const char *const one[] = {large};
    char room[ROOM];
    assert_int_equal(-ENAMETOOLONG, loop_path_join(one, 1, room, sizeof(room)));
    large[4095] = '\0';
    assert_int_equal(4095, loop_path_join(one, 1, room, sizeof(room)));
    (void)state;
}

static ssize_t produce(int which, char *text, size_t capacity)
{
    const char *const parts[] = {"a", "../../b/"};
    struct loop_url base, reference;
    assert_int_equal(0, loop_url_parse(&base, t("a:/b/c")));
    assert_int_equal(0, loop_url_parse(&reference, t(".//d#e")));
    switch (which) {
    case 0:
        return loop_url_build(&base, text, capacity);
    case 1:
        return loop_url_resolve(&base, &reference, text, capacity);
    case 2:
        return loop_percent_decode(t("a%20b"), text, capacity);
    case 3:
        return loop_percent_encode(t("a b"), NULL, text, capacity);
    case 4:
        return loop_url_path(t("/a/b"), text, capacity);
    case 5:
        return loop_path_normalize("/a/./b/", text, capacity);
    default:
        return loop_path_join(parts, 2, text, capacity);
    }
}

static void what_does_not_fit_is_not_cut(void **state)
{
    for (int which = 0; which < 7; which++) {
        char text[ROOM];
        ssize_t size = produce(which, text, sizeof(text));
        assert_true(size > 0);
        assert_int_equal(strlen(text), size);
        for (size_t capacity = 0; capacity <= (size_t)size; capacity++) {
            char *exact = malloc(capacity + 1); /* a sanitizer sees what is written behind */
            exact = realloc(exact, capacity > 0 ? capacity : 1);
            assert_int_equal(-ENOBUFS, produce(which, exact, capacity));
            free(exact);
        }
        char *exact = malloc((size_t)size + 1);
        assert_int_equal(size, produce(which, exact, (size_t)size + 1));
        assert_string_equal(text, exact);
        free(exact);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_cut_into_its_pieces),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(a_url_may_be_long_but_not_too_long),
        cmocka_unit_test(a_text_that_is_not_there_equals_nothing_else),
        cmocka_unit_test(what_a_client_may_fetch_has_a_plain_host_and_a_port),
        cmocka_unit_test(references_resolve_as_the_rfc_says),
        cmocka_unit_test(pieces_that_would_be_read_differently_are_not_put_together),
        cmocka_unit_test(what_is_encoded_is_decoded_once),
        cmocka_unit_test(a_requests_path_stays_below_its_root),
        cmocka_unit_test(paths_are_what_node_says_they_are),
        cmocka_unit_test(paths_have_names_and_folders),
        cmocka_unit_test(what_does_not_fit_is_not_cut),
    };
    return cmocka_run_group_tests_name("http/url", tests, NULL, NULL);
}
