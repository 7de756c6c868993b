/* Logging in: a form, a password, a session, and a page for members only. No script in the browser.
 *
 *     ./run example login --add-user alice      (asks for a password)
 *     ./run example login                       then open http://127.0.0.1:8080
 *
 * The life of an attempt: the form is read, its signature and the limits are looked at, the user is
 * looked up (database, pool), the password is hashed (processor, pool), a session is written
 * (database, pool), and the browser is sent to the page for members. Each step is a callback of the
 * one before, and all that belongs to the attempt is one struct. Hashing takes a tenth of a second,
 * and meanwhile the loop serves everybody else.
 *
 * What goes wrong is told as little about as possible: that a name or a password is wrong, never
 * which, and for both it takes the same time.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "add_user.h"
#include "cookies.h"
#include "limit.h"
#include "page.h"
#include "users.h"

#include <errno.h>
#include <loop/http/body.h>
#include <loop/http/router.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_MAX = 8192,
    CHECKS_MAX = 64, /* passwords that are hashed or wait for it: some seconds' work */
    FORM_S = 3600,   /* that a form may be looked at before it is sent */
};

static const char wrong[] = "This name or this password is wrong.";
static const char expired[] = "That form was too old, or not from here. Please try again.";
static const char too_many[] = "Too many attempts. Please wait before you try again.";
static const char busy[] = "There is too much to do just now. Please try again soon.";

static struct login {
    struct serve serve;
    struct loop_http_router router;
    struct database database;
    struct limit addresses, accounts;
    unsigned checks;
    const char *path, *patience_ms, *nobody;
} login = {.path = "login.db",
           .addresses = {.each_ns = 15 * LOOP_SEC, .burst = 30},
           .accounts = {.each_ns = 60 * LOOP_SEC, .burst = 5}};

/* One request that needs the database. */
struct attempt {
    struct user_job user;
    struct loop_work work;
    struct loop_http_request *req;
    char password[SECRET_PASSWORD_MAX + 1];
    bool known; /* there is such a user */
    bool right;
};

/* --- answers --- */

static void send_to(struct loop_http_response *res, const char *place)
{
    loop_http_set_status(res, 303);
    loop_http_set_header(res, "location", place);
    loop_http_set_header(res, "cache-control", "no-store");
    loop_http_end(res, NULL, 0);
}

/* The form, with what is to be said about the last one. Who has no token for forms gets one. */
static void show_form(struct loop_http_response *res, int status, const char *message,
                      const char *name)
{
    char token[SECRET_TOKEN_SIZE], signature[SECRET_SIGNATURE_SIZE];
    if (!cookies_get(res->request, COOKIE_FORM, token) && secret_token(token) < 0) {
        loop_http_end_error(res, 503, NULL);
        return;
    }
    cookies_set(res, COOKIE_FORM, token, FORM_S);
    secret_sign(token, signature);
    const struct page_field fields[] = {{"form", signature},
                                        {"message", message},
                                        {"name", name},
                                        {0}};
    loop_http_set_status(res, status);
    page_end(res, "login.html", fields);
}

static void show_busy(struct loop_http_response *res, int error)
{
    if (error != -EBUSY && error != -EAGAIN && error != -ENOMEM)
        serve_complain("the database", error);
    loop_http_set_header(res, "retry-after", "5");
    show_form(res, 503, busy, "");
}

/* --- attempts --- */

static struct attempt *new_attempt(struct loop_http_request *req, enum user_action action,
                                   database_cb done)
{
    struct attempt *attempt = calloc(1, sizeof(*attempt));
    if (!attempt) {
        show_busy(req->response, -ENOMEM);
        return NULL;
    }
    attempt->req = req;
    attempt->user.action = action;
    attempt->user.job.fn = user_work;
    attempt->user.job.done = done;
    attempt->user.job.writes = action != USER_FIND && action != USER_SESSION;
    return attempt;
}

static void free_attempt(struct attempt *attempt)
{
    explicit_bzero(attempt, sizeof(*attempt));
    free(attempt);
}

static void give_up(struct attempt *attempt, int error)
{
    struct loop_http_response *res = attempt->req->response;
    free_attempt(attempt);
    show_busy(res, error);
}

static struct attempt *of_job(struct database_job *job)
{
    return loop_container_of(job, struct attempt, user.job);
}

static void ask_database(struct attempt *attempt)
{
    int error = database_run(&login.database, &attempt->user.job);
    if (error < 0)
        give_up(attempt, error);
}

/* --- logging in --- */

static void refuse(struct attempt *attempt, int status, const char *message)
{
    show_form(attempt->req->response, status, message, attempt->user.name);
    free_attempt(attempt);
}

static uint64_t account_of(const struct attempt *attempt)
{
    return secret_number(attempt->user.name, strlen(attempt->user.name));
}

static void on_entered(struct database_job *job, int result)
{
    struct attempt *attempt = of_job(job);
    struct loop_http_response *res = attempt->req->response;
    if (result < 0) {
        give_up(attempt, result);
        return;
    }
    if (result == USER_MISSING) { /* the password was changed in this very moment */
        refuse(attempt, 403, wrong);
        return;
    }
    cookies_set(res, COOKIE_SESSION, attempt->user.token, USER_SESSION_S);
    cookies_set(res, COOKIE_FORM, NULL, 0);
    send_to(res, "/members");
    free_attempt(attempt);
}

/* A session gets a token that nobody has seen before it, so there is none to plant in advance. */
static void enter(struct attempt *attempt)
{
    limit_forgive(&login.accounts, account_of(attempt));
    attempt->user.action = USER_ENTER;
    attempt->user.job.writes = true;
    attempt->user.job.done = on_entered;
    int error = secret_token(attempt->user.token);
    if (error < 0)
        give_up(attempt, error);
    else
        ask_database(attempt);
}

/* On a thread of the pool. */
static void check(void *data)
{
    struct attempt *attempt = data;
    attempt->right =
        secret_is_password(attempt->password, attempt->known ? attempt->user.hash : NULL);
    explicit_bzero(attempt->password, sizeof(attempt->password));
}

static void on_checked(struct loop_work *work, int status)
{
    struct attempt *attempt = loop_container_of(work, struct attempt, work);
    login.checks--;
    if (status < 0)
        give_up(attempt, status);
    else if (attempt->right)
        enter(attempt);
    else
        refuse(attempt, 403, wrong);
}

static void on_found(struct database_job *job, int result)
{
    struct attempt *attempt = of_job(job);
    attempt->known = result == 0;
    attempt->work.request.data = attempt;
    int error = result < 0 ? result : login.checks >= CHECKS_MAX ? -EBUSY : 0;
    if (error == 0)
        error = loop_work(&login.serve.loop, &attempt->work, check, on_checked);
    if (error < 0)
        give_up(attempt, error);
    else
        login.checks++;
}

/* An IPv6 network is one address here: whoever has one has all of its 2^64. But not that of all
 * IPv4 addresses, "::ffff:192.0.2.1", as they come to a socket that takes both. */
static uint64_t address_of(const struct loop_http_request *req)
{
    const struct loop_address *peer = loop_http_peer(req);
    const struct in6_addr *ip6 = &peer->ip6.sin6_addr;
    if (peer->size == 0)
        return secret_number("", 0);
    if (peer->any.sa_family != AF_INET6)
        return secret_number(&peer->ip4.sin_addr, 4);
    return IN6_IS_ADDR_V4MAPPED(ip6) ? secret_number(ip6->s6_addr + 12, 4) : secret_number(ip6, 8);
}

/* Counted before the password is looked at, or many at once would all be in time. */
static bool may_try(struct attempt *attempt)
{
    char seconds[24];
    uint64_t now_ns = loop_now(&login.serve.loop);
    uint64_t address = address_of(attempt->req), account = account_of(attempt);
    uint64_t one_ns = limit_wait_ns(&login.addresses, address, now_ns);
    uint64_t other_ns = limit_wait_ns(&login.accounts, account, now_ns);
    uint64_t wait_ns = one_ns > other_ns ? one_ns : other_ns;
    if (wait_ns == 0) {
        limit_count(&login.addresses, address, now_ns);
        limit_count(&login.accounts, account, now_ns);
        return true;
    }
    snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(wait_ns / LOOP_SEC + 1));
    loop_http_set_header(attempt->req->response, "retry-after", seconds);
    return false;
}

/* Whether a form carries the signature of the token that came in a cookie. */
static bool is_ours(struct loop_http_request *req, struct loop_text form, enum cookie which,
                    char token[SECRET_TOKEN_SIZE])
{
    char signature[SECRET_SIGNATURE_SIZE];
    return cookies_get(req, which, token) &&
           loop_query_get(form, "form", signature, sizeof(signature)) > 0 &&
           secret_is_signed(token, signature);
}

/* What is too long, or has a 0 in it, belongs to nobody. */
static bool read_fields(struct attempt *attempt, struct loop_text form)
{
    char *name = attempt->user.name, *password = attempt->password;
    ssize_t size = loop_query_get(form, "name", name, sizeof(attempt->user.name));
    if (size < 0 || strlen(name) != (size_t)size || !user_is_name(name)) {
        *name = '\0';
        return false;
    }
    size = loop_query_get(form, "password", password, sizeof(attempt->password));
    return size > 0 && strlen(password) == (size_t)size;
}

static void on_login_form(struct loop_http_request *req, int status, struct loop_text form)
{
    char token[SECRET_TOKEN_SIZE];
    if (status < 0)
        return; /* the library answers */
    if (!is_ours(req, form, COOKIE_FORM, token)) {
        show_form(req->response, 403, expired, "");
        return;
    }
    struct attempt *attempt = new_attempt(req, USER_FIND, on_found);
    if (!attempt)
        return;
    if (!read_fields(attempt, form))
        refuse(attempt, 403, wrong);
    else if (!may_try(attempt))
        refuse(attempt, 429, too_many);
    else
        ask_database(attempt);
}

/* --- members --- */

static void show_members(struct attempt *attempt)
{
    char signature[SECRET_SIGNATURE_SIZE], sessions[16];
    secret_sign(attempt->user.token, signature);
    snprintf(sessions, sizeof(sessions), "%d", attempt->user.sessions);
    const struct page_field fields[] = {{"form", signature},
                                        {"name", attempt->user.name},
                                        {"since", attempt->user.since},
                                        {"sessions", sessions},
                                        {0}};
    page_end(attempt->req->response, "members.html", fields);
}

static void on_session(struct database_job *job, int result)
{
    struct attempt *attempt = of_job(job);
    if (result < 0) {
        give_up(attempt, result);
        return;
    }
    if (result == 0)
        show_members(attempt);
    else
        send_to(attempt->req->response, "/login");
    free_attempt(attempt);
}

static void on_members(struct loop_http_request *req, struct loop_http_response *res)
{
    char token[SECRET_TOKEN_SIZE];
    if (!cookies_get(req, COOKIE_SESSION, token)) {
        send_to(res, "/login");
        return;
    }
    struct attempt *attempt = new_attempt(req, USER_SESSION, on_session);
    if (!attempt)
        return;
    memcpy(attempt->user.token, token, sizeof(token));
    ask_database(attempt);
}

/* --- logging out --- */

static void on_left(struct database_job *job, int result)
{
    struct attempt *attempt = of_job(job);
    if (result < 0) {
        give_up(attempt, result);
        return;
    }
    cookies_set(attempt->req->response, COOKIE_SESSION, NULL, 0);
    send_to(attempt->req->response, "/login");
    free_attempt(attempt);
}

static void on_logout_form(struct loop_http_request *req, int status, struct loop_text form)
{
    char token[SECRET_TOKEN_SIZE];
    if (status < 0)
        return;
    if (!is_ours(req, form, COOKIE_SESSION, token)) {
        show_form(req->response, 403, expired, "");
        return;
    }
    struct attempt *attempt = new_attempt(req, USER_LEAVE, on_left);
    if (!attempt)
        return;
    memcpy(attempt->user.token, token, sizeof(token));
    ask_database(attempt);
}

/* --- routes --- */

static void on_index(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    send_to(res, "/members");
}

static void on_login_page(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    show_form(res, 200, "", "");
}

static void on_login(struct loop_http_request *req, struct loop_http_response *res)
{
    if (loop_http_read_form(req, 0, on_login_form) < 0)
        show_busy(res, -ENOMEM);
}

static void on_logout(struct loop_http_request *req, struct loop_http_response *res)
{
    if (loop_http_read_form(req, 0, on_logout_form) < 0)
        show_busy(res, -ENOMEM);
}

static void on_style(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    embed_end(res, embed_find("login.css"));
}

static int add_routes(struct loop_http_router *router)
{
    static const struct {
        const char *method, *pattern;
        loop_http_request_cb handler;
    } routes[] = {
        {"GET", "/", on_index},         {"GET", "/login", on_login_page},
        {"POST", "/login", on_login},   {"GET", "/members", on_members},
        {"POST", "/logout", on_logout}, {"GET", "/login.css", on_style},
    };
    int error = loop_http_router_init(router);
    for (size_t i = 0; error == 0 && i < sizeof(routes) / sizeof(routes[0]); i++)
        error =
            loop_http_route(router, routes[i].method, routes[i].pattern, routes[i].handler, NULL);
    return error;
}

/* --- the program --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&login.router, req, res);
}

static int open_login(struct serve *serve)
{
    struct database_options options = {.path = login.path,
                                       .schema = user_schema,
                                       .texts = user_statements};
    int error = database_read_patience(login.patience_ms, serve->patient, &options.patience_ns);
    if (error < 0)
        return serve_complain("--patience", error), error;
    error = secret_init();
    if (error == 0)
        error = add_routes(&login.router);
    return error < 0 ? error : database_open(&serve->loop, &login.database, &options);
}

static void close_login(struct serve *serve)
{
    (void)serve;
    database_close(&login.database);
    loop_http_router_fini(&login.router);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"database", "FILE", "users and sessions, made if missing (login.db)", &login.path, NULL},
        {"patience", "MS", "how long a request waits for the database (2000)", &login.patience_ms,
         NULL},
        {"add-user", "NAME", "asks for a password, adds the user, and ends", &login.nobody, NULL},
        {0}};
    if (add_user_asked(argc, argv))
        return add_user(argc, argv);
    login.serve.about = "A page for members only, and the way in.";
    login.serve.http.on_request = on_request;
    login.serve.http.limits.body_bytes = BODY_MAX;
    login.serve.options = options;
    login.serve.open = open_login;
    login.serve.close = close_login;
    return serve(argc, argv, &login.serve);
}
