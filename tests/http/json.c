/* JSON that comes and goes, on a real server.
 *
 * A body of the right type and form reaches its callback as a value, however it is cut. Of another
 * type it is 415, over the limit 413, and what is no JSON is 400 with the place where that shows:
 * the program is told once, and the library answers. What a value is ended with is read as the same
 * value. A parameter of the route and the data of the program are there before and after.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

#include "loop/http/body.h"
#include "loop/http/events.h"
#include "loop/http/router.h"

#include <jansson.h>

static void on_json(struct loop_http_request *req, int status, struct json_t *json)
{
    say("%s", loop_error_name(status));
    assert_string_equal("mine", req->data);
    assert_null(req->route);
    if (status == 0)
        assert_int_equal(0, loop_http_end_json(req->response, 201, json));
    else
        assert_null(json);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static char mine[] = "mine";
    (void)res;
    req->data = mine;
    assert_int_equal(-EINVAL, loop_http_read_json(req, 32, NULL));
    assert_int_equal(0, loop_http_read_json(req, 32, on_json));
    assert_int_equal(-EALREADY, loop_http_read_json(req, 32, on_json));
}

static const char *post(const char *type, const char *body, size_t at)
{
    static char question[4096];
    int head =
        snprintf(question, sizeof(question),
                 "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n%s%s%s"
                 "content-length: %zu\r\n\r\n",
                 type ? "content-type: " : "", type ? type : "", type ? "\r\n" : "", strlen(body));
    strcat(question, body);
    size_t size = (size_t)head + strlen(body);
    return ask_bytes(question, size, at > strlen(body) ? size : (size_t)head + at);
}

static void json_comes_as_a_value(void **state)
{
    static const char *const cases[] = {
        "{\"a\":[1,2.5,null,true]}", "[]", "1", "\"\xc3\xa4\"", "null", "{\"a\":{\"a\":1}}",
    };
    begin_asking(state, on_request);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (size_t at = 0; at <= strlen(cases[i]) + 1; at++) {
            const char *answer = post("application/json", cases[i], at);
            assert_int_equal(201, status_of_answer(answer));
            assert_string_equal(cases[i], body_of_answer(answer));
            assert_non_null(strcasestr(answer, "content-type: application/json\r\n"));
            assert_said("OK");
        }
    end_asking();
}

static void only_json_is_taken_for_json(void **state)
{
    static const struct {
        const char *type;
        int status;
    } cases[] = {
        {"application/json", 201},
        {"Application/JSON ; charset=utf-8", 201},
        {"application/a+json", 201},
        {"text/json", 415},
        {"application/jsonx", 415},
        {"+json", 415},
        {NULL, 415},
        {"application/x-www-form-urlencoded", 415},
    };
    begin_asking(state, on_request);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(cases[i].status, status_of_answer(post(cases[i].type, "{}", 9)));
        assert_said(cases[i].status == 415 ? "EMEDIUMTYPE" : "OK");
    }
    end_asking();
}

static void what_is_no_json_is_answered_with_its_place(void **state)
{
    static const struct {
        const char *body, *place;
    } cases[] = {
        {"", "line 1, column 0"},
        {"{", "line 1, column 1"},
        {"{\n\"secret\" 1}", "line 2, column 10"},
        {"[1] x", "line 1, column 5"},
        {"{\"a\":1,\"a\":2}", "line 1, column 10"},
        {"\"\xff\"", "line 1"},
        {"[1,]", "line 1, column 4"},
    };
    begin_asking(state, on_request);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *answer = post("application/json", cases[i].body, 99);
        assert_int_equal(400, status_of_answer(answer));
        assert_non_null(strstr(answer, cases[i].place));
        assert_null(strstr(answer, "secret"));
        assert_said("EBADMSG");
    }
    end_asking();
}

static void a_body_over_the_limit_is_413(void **state)
{
    begin_asking(state, on_request);
    assert_int_equal(201, status_of_answer(
                              post("application/json", "[                              ]", 99)));
    assert_said("OK");
    assert_int_equal(413, status_of_answer(
                              post("application/json", "[                               ]", 99)));
    assert_said("EFBIG");
    end_asking();
}

static void who_goes_is_told_once(void **state)
{
    begin_asking(state, on_request);
    asking.hang_up = true;
    post("application/json", "[1, 2]", 2);
    end_asking();
    assert_said("EPIPE");
}

static void on_end_request(struct loop_http_request *req, struct loop_http_response *res)
{
    json_t *circle = json_array();
    json_t *inner = json_array();
    (void)req;
    assert_int_equal(-EINVAL, loop_http_end_json(res, 200, NULL));
    json_array_append(circle, inner);
    json_array_append(inner, circle);
    assert_int_equal(-EINVAL, loop_http_end_json(res, 200, circle));
    json_array_clear(inner);
    json_decref(inner);
    assert_int_equal(-EINVAL, loop_http_end_json(res, 99, circle));
    assert_int_equal(0, loop_http_end_json(res, 200, circle));
    json_decref(circle);
}

static void what_cannot_be_written_does_not_end_the_response(void **state)
{
    begin_asking(state, on_end_request);
    assert_string_equal("[[]]", body_of_answer(post(NULL, "", 99)));
    end_asking();
}

/* With a router around it. */

static struct loop_http_router router;

static void on_routed_json(struct loop_http_request *req, int status, struct json_t *json)
{
    char id[8];
    assert_int_equal(0, status);
    assert_int_equal(2, loop_http_param(req, "id", id, sizeof(id)));
    assert_string_equal("42", id);
    assert_string_equal("data", loop_http_route_data(req));
    loop_http_end_json(req->response, 200, json);
}

static void on_routed(struct loop_http_request *req, struct loop_http_response *res)
{
    char id[8];
    (void)res;
    assert_int_equal(0, loop_http_read_json(req, 0, on_routed_json));
    assert_int_equal(2, loop_http_param(req, "id", id, sizeof(id)));
    assert_string_equal("data", loop_http_route_data(req));
}

static void to_router(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&router, req, res);
}

static void a_handler_reads_json_and_knows_its_route(void **state)
{
    static char data[] = "data";
    static const char question[] = "PUT /x/42 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                                   "content-type: application/json\r\n"
                                   "content-length: 2\r\n\r\n[]";
    assert_int_equal(0, loop_http_router_init(&router));
    assert_int_equal(0, loop_http_route(&router, "PUT", "/x/:id", on_routed, data));
    begin_asking(state, to_router);
    const char *answer = ask_bytes(question, sizeof(question) - 1, sizeof(question) - 2);
    assert_string_equal("[]", body_of_answer(answer));
    end_asking();
    loop_http_router_fini(&router);
}

static struct loop_http_events events;

static void on_filter(struct loop_http_request *req, int status, struct json_t *json)
{
    (void)req;
    assert_int_equal(0, status);
    assert_int_equal(0, loop_http_publish_text(&events, "filter", json_string_value(json)));
    loop_http_events_fini(&events);
}

static void subscribe_and_read(struct loop_http_request *req, struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_read_json(req, 0, on_filter));
    assert_int_equal(0, loop_http_subscribe(&events, res));
}

/* Who subscribes may say what for in a body that is still to come. */
static void a_body_may_come_behind_the_beginning_of_its_answer(void **state)
{
    const struct loop_http_events_options options = {0};
    begin_asking(state, subscribe_and_read);
    assert_int_equal(0, loop_http_events_init(asking.loop, &events, &options));
    const char *answer = post("application/json", "\"all\"", 3);
    assert_int_equal(200, status_of_answer(answer));
    assert_non_null(strstr(answer, "event: filter\ndata: all\n\n"));
    end_asking();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(json_comes_as_a_value),
        real_test(only_json_is_taken_for_json),
        real_test(what_is_no_json_is_answered_with_its_place),
        real_test(a_body_over_the_limit_is_413),
        real_test(who_goes_is_told_once),
        real_test(what_cannot_be_written_does_not_end_the_response),
        real_test(a_handler_reads_json_and_knows_its_route),
        real_test(a_body_may_come_behind_the_beginning_of_its_answer),
    };
    return cmocka_run_group_tests_name("http/json", tests, NULL, NULL);
}
