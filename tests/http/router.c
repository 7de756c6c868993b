/* Routes, on a real server.
 *
 * A path leads to the route that it matches: what is written out before parameters, those before
 * wildcards, in whatever order they were given, and the next way is tried where one leads nowhere.
 * Parameters are decoded once. HEAD and OPTIONS are answered without being asked for; a method that
 * a path has not is 405, with those that it has; a path that there is not, 404; an escape that is
 * none, 400. Middleware runs before all that, in order, router by router from the outside, and goes
 * on when it says so, be it later. A failure is answered by the nearest router that has an answer.
 * What contradicts a route that there is, is refused when it is given, and changes nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

#include "loop/http/body.h"
#include "loop/http/router.h"

static struct loop_http_router router, api, users;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&router, req, res);
}

static void begin(void **state)
{
    assert_int_equal(0, loop_http_router_init(&router));
    assert_int_equal(0, loop_http_router_init(&api));
    assert_int_equal(0, loop_http_router_init(&users));
    begin_asking(state, on_request);
}

static void end(void)
{
    end_asking();
    loop_http_router_fini(&router);
    loop_http_router_fini(&api);
    loop_http_router_fini(&users);
}

static const char *ask(const char *method, const char *path)
{
    char question[2048];
    snprintf(question, sizeof(question), "%s %s HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
             method, path);
    return ask_bytes(question, strlen(question), strlen(question));
}

/* The body of the answer, or "404" if the status is not 200. */
static const char *get(const char *path)
{
    static char status[16];
    const char *answer = ask("GET", path);
    snprintf(status, sizeof(status), "%d", status_of_answer(answer));
    return status_of_answer(answer) == 200 ? body_of_answer(answer) : status;
}

/* Answers with its pattern, and the parameters a, b and path, as far as there are some. */
static void show(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char *const names[] = {"a", "b", "path"};
    char text[512];
    char value[128];
    ssize_t size = loop_http_route_pattern(req, text, sizeof(text));
    assert_true(size >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        ssize_t length = loop_http_param(req, names[i], value, sizeof(value));
        if (length >= 0)
            size += snprintf(text + size, 128, " %s=%s", names[i], value);
        else if (length != -ENOENT)
            size += snprintf(text + size, 128, " %s=%d", names[i], (int)length);
    }
    loop_http_end_text(res, text);
}

static void show_data(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_end_text(res, loop_http_route_data(req));
}

static void serve(struct loop_http_router *where, const char *pattern)
{
    assert_int_equal(0, loop_http_route(where, "GET", pattern, show, NULL));
}

static const struct {
    const char *path, *shown;
} paths[] = {
    {"/", "/"},
    {"/users/", "/users/"},
    {"/users", "404"},
    {"/users/me", "/users/me"},
    {"/users/m%65", "/users/me"},
    {"/users/Me", "/users/:a a=Me"},
    {"/users/you?x=1", "/users/:a a=you"},
    {"/users/a%20b%2Fc%2525", "/users/:a a=a b/c%25"},
    {"/users/..", "/users/:a a=.."},
    {"/users/a%00b", "/users/:a a=-22"},
    {"/users/1/posts/2", "/users/:a/posts/:b a=1 b=2"},
    {"/users/1/posts/", "404"},
    {"/users/1/posts", "404"},
    {"/users/1/posts/2/3", "404"},
    {"/%75sers/1", "/users/:a a=1"},
    {"/users%2f1", "404"},
    {"/p/q", "/:a/:b a=p b=q"},
    {"/p/", "404"},
    {"//q", "404"},
    {"/x/y/z", "/x/y/z"},
    {"/x/y/w", "/x/:a/w a=y"},
    {"/x/y", "/:a/:b a=x b=y"},
    {"/files/", "/files/*path path=/"},
    {"/files", "404"},
    {"/files/a/b", "/files/*path path=/a/b"},
    {"/files/a//../%2e%2e/b%20c", "/files/*path path=/b c"},
    {"/files/a%2fb", "/files/*path path=-22"},
    {"/files/a%5cb", "/files/*path path=-22"},
    {"/files/special/one", "/files/special/one"},
    {"/files/special/two", "/files/*path path=/special/two"},
    {"/files/special", "/files/*path path=/special"},
    {"/sp%20ace/%C3%A4", "/sp ace/\xc3\xa4"},
    {"/colon/a:b", "/colon/a:b"},
    {"/a//b", "/a//b"},
    {"/a/b", "/:a/:b a=a b=b"},
    {"/a/../b", "404"},
    {"/%", "400"},
    {"/%zz", "400"},
    {"/users/%4", "400"},
};

static const char *const patterns[] = {
    "/files/*path",       "/:a/:b",     "/",      "/users/:a", "/users/me",
    "/users/:a/posts/:b", "/users/",    "/x/y/z", "/x/:a/w",   "/sp ace/\xc3\xa4",
    "/files/special/one", "/colon/a:b", "/a//b",
};

static void a_path_leads_to_its_route(void **state)
{
    for (int turn = 0; turn < 2; turn++) { /* in their order, and in the reverse */
        begin(state);
        for (size_t i = 0; i < ARRAY_LENGTH(patterns); i++)
            serve(&router, patterns[turn ? ARRAY_LENGTH(patterns) - 1 - i : i]);
        for (size_t i = 0; i < ARRAY_LENGTH(paths); i++)
            assert_string_equal(paths[i].shown, get(paths[i].path));
        end();
    }
}

static void methods_have_their_handlers(void **state)
{
    begin(state);
    char *one = (char[]){"get"}, *two = (char[]){"post"}, *any = (char[]){"any"};
    assert_int_equal(0, loop_http_route(&router, "GET", "/a", show_data, one));
    assert_int_equal(0, loop_http_route(&router, "POST", "/a", show_data, two));
    assert_int_equal(0, loop_http_route(&router, "PUT", "/:x", show_data, two));
    assert_int_equal(0, loop_http_route(&router, "*", "/any", show_data, any));
    assert_int_equal(0, loop_http_route(&router, "GET", "/any", show_data, one));
    assert_string_equal("get", body_of_answer(ask("GET", "/a")));
    assert_string_equal("post", body_of_answer(ask("POST", "/a")));
    assert_string_equal("post", body_of_answer(ask("PUT", "/a")));
    assert_string_equal("get", body_of_answer(ask("GET", "/any")));
    assert_string_equal("any", body_of_answer(ask("DELETE", "/any")));
    assert_string_equal("any", body_of_answer(ask("OPTIONS", "/any")));

    const char *answer = ask("HEAD", "/a");
    assert_int_equal(200, status_of_answer(answer));
    assert_non_null(strcasestr(answer, "content-length: 3\r\n"));
    assert_string_equal("", body_of_answer(answer));

    answer = ask("DELETE", "/a");
    assert_int_equal(405, status_of_answer(answer));
    assert_non_null(strcasestr(answer, "allow: GET, HEAD, POST, PUT, OPTIONS\r\n"));
    answer = ask("OPTIONS", "/a");
    assert_int_equal(204, status_of_answer(answer));
    assert_non_null(strcasestr(answer, "allow: GET, HEAD, POST, PUT, OPTIONS\r\n"));
    answer = ask("OPTIONS", "*");
    assert_int_equal(204, status_of_answer(answer));
    assert_int_equal(404, status_of_answer(ask("OPTIONS", "/a/b")));
    assert_int_equal(404, status_of_answer(ask("DELETE", "/a/b")));
    end();
}

static void what_contradicts_is_refused(void **state)
{
    static char large[LOOP_ROUTE_PATTERN_MAX + 2];
    begin(state);
    serve(&router, "/users/:id");
    assert_int_equal(-EEXIST, loop_http_route(&router, "GET", "/users/:name", show, NULL));
    assert_int_equal(0, loop_http_route(&router, "PUT", "/users/:name", show, NULL));
    serve(&router, "/f/*a");
    assert_int_equal(-EEXIST, loop_http_route(&router, "GET", "/f/*b", show, NULL));
    static const char *const wrong[] = {"a", "*a", "/:", "/*", "/*a/b", "/:a/:a", "/:a/x/:a"};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_int_equal(-EINVAL, loop_http_route(&router, "GET", wrong[i], show, NULL));
    assert_int_equal(-EINVAL, loop_http_route(&router, "GET", NULL, show, NULL));
    assert_int_equal(-EINVAL, loop_http_route(&router, NULL, "/", show, NULL));
    assert_int_equal(-EINVAL, loop_http_route(&router, "G T", "/", show, NULL));
    assert_int_equal(-EINVAL, loop_http_route(&router, "", "/", show, NULL));
    assert_int_equal(-EINVAL, loop_http_route(&router, "GET", "/", NULL, NULL));
    assert_int_equal(-EINVAL, loop_http_use(&router, NULL, NULL));
    memset(large, 'M', 33);
    assert_int_equal(-ENAMETOOLONG, loop_http_route(&router, large, "/", show, NULL));
    memset(large, 'x', LOOP_ROUTE_PATTERN_MAX + 1);
    large[0] = '/';
    assert_int_equal(-ENAMETOOLONG, loop_http_route(&router, "GET", large, show, NULL));
    large[LOOP_ROUTE_PATTERN_MAX] = '\0';
    serve(&router, large);
    memset(large, '/', LOOP_ROUTE_SEGMENTS_MAX + 1);
    large[LOOP_ROUTE_SEGMENTS_MAX + 1] = '\0';
    assert_int_equal(-E2BIG, loop_http_route(&router, "GET", large, show, NULL));
    large[LOOP_ROUTE_SEGMENTS_MAX] = '\0';
    serve(&router, large);
    assert_string_equal("/users/:id", get("/users/1"));
    end();
}

/* Says its data, and goes on. */
static void pass(struct loop_http_request *req, struct loop_http_response *res)
{
    say("%s", (const char *)loop_http_route_data(req));
    loop_http_next(req, res);
}

static struct {
    struct loop_task task;
    struct loop_http_request *req;
} waiting;

static void on_waited(struct loop_task *task)
{
    (void)task;
    say("later");
    loop_http_next(waiting.req, waiting.req->response);
}

static void wait_then_pass(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    say("wait");
    waiting.req = req;
    loop_immediate(req->server->loop, &waiting.task, on_waited);
}

static void refuse(struct loop_http_request *req, struct loop_http_response *res)
{
    if (strstr(req->query, "secret"))
        loop_http_next(req, res);
    else
        loop_http_fail(req, res, 401, "who are you?");
}

static void use(struct loop_http_router *where, const char *word)
{
    assert_int_equal(0, loop_http_use(where, pass, (void *)(uintptr_t)word));
}

static void middleware_runs_from_the_outside_in(void **state)
{
    begin(state);
    use(&router, "one");
    serve(&router, "/x");
    serve(&api, "/x");
    serve(&users, "/:b");
    serve(&users, "");
    assert_int_equal(0, loop_http_use(&router, wait_then_pass, NULL));
    use(&router, "two");
    use(&users, "users");
    assert_int_equal(0, loop_http_mount(&router, "/api", &api));
    assert_int_equal(0, loop_http_mount(&api, "/users/:a", &users));
    assert_string_equal("/x", get("/x"));
    assert_said("one wait later two");
    assert_string_equal("/api/x", get("/api/x"));
    assert_said("one wait later two");
    assert_string_equal("/api/users/:a/:b a=1 b=2", get("/api/users/1/2"));
    assert_said("one wait later two users");
    assert_string_equal("/api/users/:a a=1", get("/api/users/1"));
    assert_said("one wait later two users");
    assert_string_equal("404", get("/api/users/1/2/3"));
    assert_said("one wait later two users");
    assert_string_equal("404", get("/api/users"));
    assert_said("one wait later two");
    assert_int_equal(405, status_of_answer(ask("PUT", "/x")));
    assert_said("one wait later two");
    assert_int_equal(204, status_of_answer(ask("OPTIONS", "/api/users/1")));
    assert_said("one wait later two users");
    end();
}

static void middleware_may_answer_itself(void **state)
{
    begin(state);
    assert_int_equal(0, loop_http_use(&api, refuse, NULL));
    serve(&api, "/x");
    serve(&router, "/x");
    assert_int_equal(0, loop_http_mount(&router, "/api", &api));
    assert_string_equal("401", get("/api/x"));
    assert_string_equal("401", get("/api/none"));
    assert_string_equal("404", get("/api/none?secret"));
    assert_string_equal("/api/x", get("/api/x?secret"));
    assert_string_equal("/x", get("/x"));
    end();
}

static void on_failure(struct loop_http_request *req, struct loop_http_response *res, int status,
                       const char *message)
{
    char text[64];
    (void)req;
    snprintf(text, sizeof(text), "failed: %s", message ? message : "-");
    loop_http_set_status(res, status);
    loop_http_end_text(res, text);
}

static void on_missing(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_status(res, 404);
    loop_http_end_text(res, req->path);
}

static void be_a_teapot(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_fail(req, res, 418, "teapot");
}

static void skip_it(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_next(req, res);
}

static void failures_are_answered_by_the_nearest_router(void **state)
{
    begin(state);
    assert_int_equal(0, loop_http_mount(&router, "/api", &api));
    assert_int_equal(0, loop_http_mount(&api, "/users", &users));
    assert_int_equal(0, loop_http_route(&router, "GET", "/fail", be_a_teapot, NULL));
    assert_int_equal(0, loop_http_route(&users, "GET", "/fail", be_a_teapot, NULL));
    assert_int_equal(0, loop_http_route(&users, "GET", "/skip", skip_it, NULL));
    assert_int_equal(418, status_of_answer(ask("GET", "/fail")));
    assert_string_equal("404", get("/api/users/skip"));
    loop_http_on_failure(&api, on_failure);
    loop_http_on_missing(&router, on_missing);
    assert_string_equal("failed: teapot", body_of_answer(ask("GET", "/api/users/fail")));
    assert_null(strstr(ask("GET", "/fail"), "failed:"));
    const char *answer = ask("POST", "/api/users/fail");
    assert_int_equal(405, status_of_answer(answer));
    assert_string_equal("failed: -", body_of_answer(answer));
    assert_non_null(strcasestr(answer, "allow: GET, HEAD, OPTIONS\r\n"));
    assert_string_equal("/none", body_of_answer(ask("GET", "/none")));
    assert_string_equal("/api/users/skip", body_of_answer(ask("GET", "/api/users/skip")));
    loop_http_on_missing(&users, be_a_teapot);
    assert_int_equal(418, status_of_answer(ask("GET", "/api/users/skip")));
    assert_int_equal(418, status_of_answer(ask("GET", "/api/users/none")));
    assert_string_equal("/api/none", body_of_answer(ask("GET", "/api/none")));
    end();
}

static void routers_are_mounted_once_and_in_no_circle(void **state)
{
    struct loop_http_router deep[LOOP_ROUTE_MOUNTS_MAX];
    begin(state);
    assert_int_equal(0, loop_http_mount(&router, "/a", &api));
    assert_int_equal(-EBUSY, loop_http_mount(&router, "/b", &api));
    assert_int_equal(-EEXIST, loop_http_mount(&router, "/a", &users));
    assert_int_equal(-ELOOP, loop_http_mount(&api, "/a", &router));
    assert_int_equal(-ELOOP, loop_http_mount(&router, "/c", &router));
    static const char *const wrong[] = {"", "/", "/a/", "a", "/*a", "/:"};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_int_equal(-EINVAL, loop_http_mount(&router, wrong[i], &users));
    assert_int_equal(-EINVAL, loop_http_mount(&router, "/d", NULL));
    struct loop_http_router *above = &users;
    for (int i = 0; i < LOOP_ROUTE_MOUNTS_MAX; i++) {
        assert_int_equal(0, loop_http_router_init(&deep[i]));
        int error = loop_http_mount(above, "/d", &deep[i]);
        assert_int_equal(i + 1 < LOOP_ROUTE_MOUNTS_MAX ? 0 : -ELOOP, error);
        above = &deep[i];
    }
    serve(&api, "/x");
    assert_string_equal("/a/x", get("/a/x"));
    loop_http_router_fini(&api); /* takes it out */
    loop_http_router_fini(&api);
    assert_string_equal("404", get("/a/x"));
    assert_int_equal(-ELOOP, loop_http_mount(&router, "/a", &users)); /* too high by itself */
    for (int i = 0; i < LOOP_ROUTE_MOUNTS_MAX; i++)
        loop_http_router_fini(&deep[i]);
    assert_int_equal(0, loop_http_mount(&router, "/a", &users));
    end();
}

static void the_routers_own_routes_go_before_what_is_mounted(void **state)
{
    begin(state);
    assert_int_equal(0, loop_http_mount(&router, "/api", &api));
    serve(&api, "/:a");
    serve(&router, "/api/own");
    serve(&router, "/api/*path");
    assert_string_equal("/api/own", get("/api/own"));
    assert_string_equal("/api/:a a=x", get("/api/x"));
    assert_string_equal("/api/*path path=/x/y", get("/api/x/y"));
    end();
}

/* Each way to a path may have methods of its own. */
static void methods_are_listed_once(void **state)
{
    begin(state);
    serve(&router, "/x");
    assert_int_equal(0, loop_http_route(&router, "HEAD", "/x", show, NULL));
    serve(&router, "/:a");
    serve(&router, "/:a/y/");
    assert_int_equal(0, loop_http_route(&router, "PUT", "/:ab/y/", show, NULL));
    assert_int_equal(0, loop_http_route(&router, "PUT", "/:ab/:b/:cd", show, NULL));
    assert_int_equal(0, loop_http_route(&router, "POST", "/*path", show, NULL));
    const char *answer = ask("DELETE", "/x");
    assert_int_equal(405, status_of_answer(answer));
    assert_non_null(strcasestr(answer, "allow: GET, HEAD, POST, OPTIONS\r\n"));
    assert_int_equal(405, status_of_answer(ask("DELETE", "/x/y")));
    answer = ask("DELETE", "/z/y/");
    assert_non_null(strcasestr(answer, "allow: GET, HEAD, PUT, POST, OPTIONS\r\n"));
    end();
}

/* Of two that are as deep the first that the path leads to answers. */
static void several_routers_may_lie_on_the_way(void **state)
{
    begin(state);
    assert_int_equal(0, loop_http_mount(&router, "/:a", &api));
    assert_int_equal(0, loop_http_mount(&router, "/x", &users));
    loop_http_on_missing(&users, be_a_teapot);
    serve(&api, "/y");
    assert_int_equal(418, status_of_answer(ask("GET", "/x/none")));
    assert_string_equal("/:a/y a=x", get("/x/y"));
    assert_int_equal(404, status_of_answer(ask("GET", "/z/none")));
    loop_http_router_fini(&api); /* which is not the last that was mounted */
    assert_int_equal(404, status_of_answer(ask("GET", "/z/y")));
    assert_int_equal(418, status_of_answer(ask("GET", "/x/y")));
    end();
}

static void step_aside(struct loop_http_request *req, struct loop_http_response *res)
{
    req->path = "/elsewhere";
    loop_http_next(req, res);
}

static void look_elsewhere(struct loop_http_request *req, struct loop_http_response *res)
{
    char value[16];
    assert_int_equal(1, loop_http_param(req, "a", value, sizeof(value)));
    assert_int_equal(-ENOBUFS, loop_http_param(req, "a", value, 1));
    req->path = "/";
    assert_int_equal(-ENOENT, loop_http_param(req, "a", value, sizeof(value)));
    req->path = "*";
    assert_int_equal(-ENOENT, loop_http_param(req, "a", value, sizeof(value)));
    loop_http_end_text(res, "looked");
}

/* A request that steps out of the router it is in is lost; its parameters are those of its path. */
static void the_path_of_a_request_may_be_changed(void **state)
{
    begin(state);
    assert_int_equal(0, loop_http_mount(&router, "/api", &api));
    assert_int_equal(0, loop_http_use(&api, step_aside, NULL));
    serve(&router, "/elsewhere");
    assert_int_equal(0, loop_http_route(&router, "GET", "/users/:a", look_elsewhere, NULL));
    assert_string_equal("500", get("/api/x"));
    assert_string_equal("looked", get("/users/1"));
    end();
}

static void fail_nowhere(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_fail(req, res, 409, NULL);
}

static void route_none(struct loop_http_request *req, struct loop_http_response *res)
{
    if (strcmp(req->path, "/next") == 0)
        skip_it(req, res);
    else
        fail_nowhere(req, res);
}

static void who_is_in_no_router_has_plain_answers(void **state)
{
    begin_asking(state, route_none);
    assert_int_equal(404, status_of_answer(ask("GET", "/next")));
    assert_int_equal(409, status_of_answer(ask("GET", "/fail")));
    end_asking();
    begin(state);
    loop_http_on_missing(&router, skip_it);
    assert_int_equal(404, status_of_answer(ask("GET", "/next")));
    end();
}

static void on_form(struct loop_http_request *req, int status, struct loop_text form)
{
    char pattern[64];
    assert_int_equal(0, status);
    assert_int_equal(3, form.size);
    assert_int_equal(6, loop_http_route_pattern(req, pattern, sizeof(pattern)));
    loop_http_end_text(req->response, pattern);
}

static void wait_for_form(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_ptr_equal(&router, loop_http_route_data(req));
}

static void read_form_first(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_read_form(req, 0, on_form));
    loop_http_router_handle(&router, req, res);
}

static void a_body_that_is_read_before_the_router_knows_its_route_all_the_same(void **state)
{
    static const char question[] = "POST /forms HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                                   "content-type: application/x-www-form-urlencoded\r\n"
                                   "content-length: 3\r\n\r\na=b";
    assert_int_equal(0, loop_http_router_init(&router));
    begin_asking(state, read_form_first);
    assert_int_equal(0, loop_http_route(&router, "POST", "/forms", wait_for_form, &router));
    const char *answer = ask_bytes(question, sizeof(question) - 1, sizeof(question) - 1);
    assert_string_equal("/forms", body_of_answer(answer));
    end_asking();
    loop_http_router_fini(&router);
}

static void what_no_request_has_is_not_there(void **state)
{
    struct loop_http_request req = {.path = "/a", .method = "GET"};
    char text[8];
    assert_int_equal(-ENOENT, loop_http_param(&req, "a", text, sizeof(text)));
    assert_int_equal(-ENOENT, loop_http_route_pattern(&req, text, sizeof(text)));
    assert_null(loop_http_route_data(&req));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(a_path_leads_to_its_route),
        real_test(methods_have_their_handlers),
        real_test(what_contradicts_is_refused),
        real_test(middleware_runs_from_the_outside_in),
        real_test(middleware_may_answer_itself),
        real_test(failures_are_answered_by_the_nearest_router),
        real_test(routers_are_mounted_once_and_in_no_circle),
        real_test(the_routers_own_routes_go_before_what_is_mounted),
        real_test(methods_are_listed_once),
        real_test(several_routers_may_lie_on_the_way),
        real_test(the_path_of_a_request_may_be_changed),
        real_test(who_is_in_no_router_has_plain_answers),
        real_test(a_body_that_is_read_before_the_router_knows_its_route_all_the_same),
        cmocka_unit_test(what_no_request_has_is_not_there),
    };
    return cmocka_run_group_tests_name("http/router", tests, NULL, NULL);
}
