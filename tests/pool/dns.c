/* Names and addresses, looked up on the pool.
 *
 * An address with the number of a port is answered without a thread, in the pending phase. All else
 * is asked of the system's resolver, on a thread, and answered in the poll phase: addresses in the
 * resolver's order, none twice. Names that no host can have are refused at the call, and nothing is
 * ever cut. Equal queries that are in flight on one loop share one look-up, and still each has its
 * own callback, copy of the answer, cancel and deadline; the last to leave leaves the thread to
 * itself, and its late answer is dropped. What the resolver says is a negative errno, and its own
 * code beside it. Out of memory, at the call or later, is told once like all else.
 *
 * Look-ups occupy at most half of a pool's threads, so that other work goes on while no server of
 * names answers; what is passed over is neither lost nor cancelled in vain.
 *
 * This program has a getaddrinfo() of its own in front of the C library's, which the library under
 * test calls too. It counts, holds some names up at a gate, and gives some answers that no machine
 * can be relied on to give. All others come from the real resolver.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The resolver. */

static sem_t gate;                    /* names that begin with "gate" wait here */
static sem_t arrived;                 /* and say so here */
static sem_t work_gate;               /* work waits here, and says so there too */
static int asked;                     /* calls so far */
static int wanted_code, wanted_errno; /* what the name "code.test" is answered with */

typedef int (*resolve_fn)(const char *host, const char *service, const struct addrinfo *hints,
                          struct addrinfo **list);

static int resolve(const char *host, const char *service, const struct addrinfo *hints,
                   struct addrinfo **list)
{
    resolve_fn real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(host, service, hints, list);
}

/* The addresses, with what is wanted of each: a list that freeaddrinfo() takes. */
static int answer_with(const char *const *addresses, const char *service,
                       const struct addrinfo *hints, struct addrinfo **list)
{
    int code = 0;
    for (; *addresses && code == 0; addresses++) {
        code = resolve(*addresses, service, hints, list);
        while (code == 0 && *list)
            list = &(*list)->ai_next;
    }
    return code;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    static const char *const one[] = {"192.0.2.1", NULL};
    static const char *const twice[] = {"2001:db8::1", "192.0.2.1", "2001:db8::1",
                                        "192.0.2.2",   "192.0.2.1", NULL};
    __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    if (host && strcmp(host, "code.test") == 0) {
        errno = wanted_errno;
        return wanted_code;
    }
    if (host && strncmp(host, "gate", 4) == 0) {
        sem_post(&arrived);
        sem_wait(&gate);
        return answer_with(one, service, hints, list);
    }
    if (host && strcmp(host, "twice.test") == 0)
        return answer_with(twice, service, hints, list);
    if (host && strncmp(host, "quick", 5) == 0)
        return answer_with(one, service, hints, list);
    return resolve(host, service, hints, list);
}

static int calls(void)
{
    return __atomic_load_n(&asked, __ATOMIC_RELAXED);
}

/* What most tests need: a pool for the loop, and look-ups that say what they came to. */

struct look {
    struct loop_getaddrinfo req;
    const char *name;
    struct look *other;
    struct loop_address *taken;
    int callbacks;
};

static struct loop_pool *pool;
static struct loop *the_loop;
static const struct loop_dns_hints stream = {.socket_type = SOCK_STREAM};

static void begin_with(struct loop *loop, const struct loop_pool_options *options)
{
    assert_int_equal(0, loop_pool_create(&pool, options));
    loop->options.pool = pool;
    the_loop = loop;
    sem_init(&gate, 0, 0);
    sem_init(&work_gate, 0, 0);
    sem_init(&arrived, 0, 0);
    __atomic_store_n(&asked, 0, __ATOMIC_RELAXED);
}

static void begin(struct loop *loop, uint32_t threads_max)
{
    struct loop_pool_options options = {.threads_max = threads_max,
                                        .class_max[LOOP_POOL_CPU] = threads_max};
    begin_with(loop, &options);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void end(struct loop *loop)
{
    run(loop);
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    sem_destroy(&gate);
    sem_destroy(&work_gate);
    sem_destroy(&arrived);
}

static void open_gate(int count)
{
    for (int i = 0; i < count; i++)
        sem_post(&gate);
}

static void await_arrivals(int count)
{
    for (int i = 0; i < count; i++)
        sem_wait(&arrived);
}

static int arrivals(void)
{
    int count;
    sem_getvalue(&arrived, &count);
    return count;
}

static struct look *look_of(struct loop_getaddrinfo *req)
{
    return loop_container_of(req, struct look, req);
}

static void say_addresses(const struct loop_getaddrinfo *req)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    for (size_t i = 0; i < req->count; i++)
        say("%s", loop_address_text(&req->addresses[i], text));
}

static void on_answer(struct loop_getaddrinfo *req)
{
    look_of(req)->callbacks++;
    if (req->status < 0)
        assert_true(req->count == 0 && !req->addresses && !req->canonical_name);
    else
        assert_true(req->count > 0);
    say("%s-%s", look_of(req)->name, loop_error_name(req->status));
}

static void on_answer_addresses(struct loop_getaddrinfo *req)
{
    assert_int_equal(0, req->status);
    assert_int_equal(0, req->code);
    say_addresses(req);
}

static int look_up_with(struct look *look, const char *host, const char *service,
                        const struct loop_dns_hints *hints, loop_getaddrinfo_cb cb)
{
    look->name = look->name ? look->name : host;
    return loop_getaddrinfo(the_loop, &look->req, host, service, hints, cb);
}

static void look_up(struct look *look, const char *name, const char *host)
{
    look->name = name;
    assert_int_equal(0, look_up_with(look, host, "80", &stream, on_answer));
}

static int cancel(struct look *look)
{
    return loop_request_cancel(&look->req.request);
}

/* The addresses that a query comes to, as words. */
static const char *answer(const char *host, const char *service, const struct loop_dns_hints *hints)
{
    struct look look = {0};
    assert_int_equal(0, look_up_with(&look, host, service, hints, on_answer_addresses));
    run(the_loop);
    return said();
}

/* Addresses and ports as they are. */

static void on_answer_where(struct loop_getaddrinfo *req)
{
    on_answer_addresses(req);
    say("in-%s", loop_phase_name(loop_phase(req->request.loop)));
}

static void an_address_is_answered_in_the_pending_phase_without_a_thread(void **state)
{
    struct look ip4 = {0}, ip6 = {0};
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&ip4, "192.0.2.1", "80", NULL, on_answer_where));
    assert_int_equal(0, look_up_with(&ip6, "2001:DB8::1", "65535", NULL, on_answer_where));
    assert_said("");
    assert_true(loop_alive(*state));
    run(*state);
    assert_said("192.0.2.1:80 in-pending [2001:db8::1]:65535 in-pending");
    assert_int_equal(0, loop_pool_threads(pool));
    assert_int_equal(0, calls());
    end(*state);
}

static void an_address_may_have_a_zone_and_no_service(void **state)
{
    begin(*state, 1);
    assert_string_equal("[fe80::1%lo]:0", answer("fe80::1%lo", NULL, NULL));
    assert_string_equal("127.0.0.1:0", answer("127.0.0.1", "0", NULL));
    assert_string_equal("127.0.0.1:80", answer("127.0.0.1", "0080", &stream));
    assert_int_equal(0, loop_pool_threads(pool));
    end(*state);
}

static void on_answer_canonical(struct loop_getaddrinfo *req)
{
    on_answer_addresses(req);
    say("%s", req->canonical_name);
}

static void the_canonical_name_of_an_address_is_its_text(void **state)
{
    struct look look = {0};
    struct loop_dns_hints hints = {.flags = AI_CANONNAME};
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&look, "::0001", "80", &hints, on_answer_canonical));
    run(*state);
    assert_said("[::1]:80 ::0001");
    assert_int_equal(0, loop_pool_threads(pool));
    end(*state);
}

static void on_answer_again(struct loop_getaddrinfo *req)
{
    assert_int_equal(0, req->status);
    assert_int_equal(1, req->count);
    if (++look_of(req)->callbacks < 1000)
        assert_int_equal(0, look_up_with(look_of(req), "::1", "80", NULL, on_answer_again));
}

static void a_thousand_addresses_take_no_thread_either(void **state)
{
    static struct look looks[1000];
    struct look again = {0};
    begin(*state, 1);
    memset(looks, 0, sizeof(looks));
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++) {
        looks[i].callbacks = 999;
        assert_int_equal(0, look_up_with(&looks[i], "127.0.0.1", "1", NULL, on_answer_again));
    }
    assert_int_equal(0, look_up_with(&again, "::1", "80", NULL, on_answer_again));
    run(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1000, looks[i].callbacks);
    assert_int_equal(1000, again.callbacks);
    assert_int_equal(0, loop_pool_threads(pool));
    end(*state);
}

static void an_address_of_the_wrong_family_is_for_the_resolver(void **state)
{
    struct look look = {.name = "wrong"};
    struct loop_dns_hints ip6 = {.family = AF_INET6, .socket_type = SOCK_STREAM};
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&look, "127.0.0.1", "80", &ip6, on_answer));
    run(*state);
    assert_said("wrong-EAFNOSUPPORT");
    assert_int_equal(EAI_ADDRFAMILY, look.req.code);
    ip6.flags = AI_V4MAPPED;
    assert_string_equal("[::ffff:127.0.0.1]:80", answer("127.0.0.1", "80", &ip6));
    assert_int_equal(2, calls());
    end(*state);
}

/* The real resolver. */

static void on_answer_loopback(struct loop_getaddrinfo *req)
{
    assert_int_equal(0, req->status);
    assert_true(req->count > 0);
    for (size_t i = 0; i < req->count; i++) {
        const struct loop_address *address = &req->addresses[i];
        assert_int_equal(7, loop_address_port(address));
        if (address->any.sa_family == AF_INET)
            assert_int_equal(127, ntohl(address->ip4.sin_addr.s_addr) >> 24);
        else
            assert_true(IN6_IS_ADDR_LOOPBACK(&address->ip6.sin6_addr));
    }
    say("%s", loop_phase_name(loop_phase(req->request.loop)));
}

static void localhost_is_found_on_a_thread_and_told_in_the_poll_phase(void **state)
{
    struct look look = {0};
    begin(*state, 4);
    assert_int_equal(0, look_up_with(&look, "localhost", "7", NULL, on_answer_loopback));
    assert_said("");
    run(*state);
    assert_said("poll");
    assert_int_equal(1, loop_pool_threads(pool));
    end(*state);
}

/* Of /etc/hosts: the name last in it that has an IPv4 address. */
static bool find_host(char address[64], char name[256])
{
    char line[1024];
    bool found = false;
    FILE *hosts = fopen("/etc/hosts", "re");
    while (hosts && fgets(line, sizeof(line), hosts)) {
        char *words = NULL;
        char *first = line[0] == '#' ? NULL : strtok_r(line, " \t\n", &words);
        char *second = first ? strtok_r(NULL, " \t\n", &words) : NULL;
        if (!second || !strchr(first, '.') || second[0] == '#')
            continue;
        snprintf(address, 64, "%.48s:80", first);
        snprintf(name, 256, "%.253s", second);
        found = true;
    }
    if (hosts)
        fclose(hosts);
    return found;
}

static void a_name_of_the_hosts_file_has_the_address_that_stands_there(void **state)
{
    char address[64], name[256];
    struct loop_dns_hints ip4 = {.family = AF_INET, .socket_type = SOCK_STREAM};
    if (!find_host(address, name))
        skip();
    begin(*state, 1);
    assert_non_null(strstr(answer(name, "80", &ip4), address));
    end(*state);
}

static void services_have_names(void **state)
{
    struct look look = {.name = "unknown"};
    struct loop_dns_hints datagram = {.socket_type = SOCK_DGRAM};
    if (access("/etc/services", R_OK) < 0)
        skip();
    begin(*state, 1);
    assert_string_equal("127.0.0.1:80", answer("127.0.0.1", "http", &stream));
    assert_string_equal("127.0.0.1:53", answer("127.0.0.1", "domain", &datagram));
    assert_string_equal("127.0.0.1:53", answer("127.0.0.1", "domain", NULL));
    assert_int_equal(0, look_up_with(&look, "127.0.0.1", "no-such-service", &stream, on_answer));
    run(*state);
    assert_said("unknown-EINVAL");
    assert_int_equal(EAI_SERVICE, look.req.code);
    end(*state);
}

static void no_host_is_this_machine_and_passively_every_address_of_it(void **state)
{
    struct loop_dns_hints here = {.family = AF_INET, .socket_type = SOCK_STREAM};
    struct loop_dns_hints every = {.family = AF_INET6, .flags = AI_PASSIVE};
    begin(*state, 1);
    assert_string_equal("127.0.0.1:80", answer(NULL, "80", &here));
    assert_string_equal("[::]:80", answer(NULL, "80", &every));
    end(*state);
}

/* Without a network nobody can know that there is no such name. */
static void a_name_that_nobody_has_is_told_so_once(void **state)
{
    struct look look = {.name = "nobody"};
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&look, "nobody.invalid", "80", &stream, on_answer));
    run(*state);
    const char *words = said();
    if (strcmp(words, "nobody-EAGAIN") != 0)
        assert_string_equal("nobody-ENOENT", words);
    assert_int_equal(1, look.callbacks);
    assert_true(look.req.code == EAI_NONAME || look.req.code == EAI_NODATA ||
                look.req.code == EAI_AGAIN);
    end(*state);
}

static void a_number_that_is_not_the_text_of_an_address_is_for_the_resolver(void **state)
{
    begin(*state, 1);
    assert_string_equal("127.0.0.1:80", answer("127.1", "80", &stream));
    assert_int_equal(1, calls());
    end(*state);
}

/* Answers. */

static void what_the_resolver_says_is_told_as_an_errno_and_as_it_was(void **state)
{
    static const struct {
        int code, status;
    } outcomes[] = {
        {EAI_NONAME, -ENOENT},   {EAI_NODATA, -ENOENT},
        {EAI_AGAIN, -EAGAIN},    {EAI_FAIL, -EIO},
        {EAI_MEMORY, -ENOMEM},   {EAI_FAMILY, -EAFNOSUPPORT},
        {EAI_SERVICE, -EINVAL},  {EAI_ADDRFAMILY, -EAFNOSUPPORT},
        {EAI_SOCKTYPE, -EINVAL}, {EAI_OVERFLOW, -EOVERFLOW},
        {EAI_SYSTEM, -EMFILE},   {EAI_BADFLAGS, -EINVAL},
        {-12345, -EIO},
    };
    begin(*state, 1);
    wanted_errno = EMFILE;
    for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
        struct look look = {0};
        wanted_code = outcomes[i].code;
        look_up(&look, "look", "code.test");
        run(*state);
        assert_int_equal(outcomes[i].status, look.req.status);
        assert_int_equal(outcomes[i].code, look.req.code);
        assert_int_equal(1, look.callbacks);
    }
    said();
    end(*state);
}

static void an_error_of_the_system_without_a_number_is_an_error_still(void **state)
{
    struct look look = {0};
    begin(*state, 1);
    wanted_code = EAI_SYSTEM;
    wanted_errno = 0;
    look_up(&look, "look", "code.test");
    run(*state);
    assert_said("look-EIO");
    end(*state);
}

static void every_code_has_a_sentence(void **state)
{
    (void)state;
    assert_string_equal("no error", loop_dns_strerror(0));
    assert_string_equal("unknown error", loop_dns_strerror(1));
    assert_string_equal("unknown error", loop_dns_strerror(-12345));
    assert_string_equal("no such host or service is known", loop_dns_strerror(EAI_NONAME));
    assert_string_not_equal(loop_dns_strerror(EAI_NODATA), loop_dns_strerror(EAI_NONAME));
}

static void no_address_comes_twice_and_the_order_is_the_resolvers(void **state)
{
    begin(*state, 1);
    assert_string_equal("[2001:db8::1]:80 192.0.2.1:80 192.0.2.2:80",
                        answer("twice.test", "80", NULL));
    assert_string_equal("[2001:db8::1]:80 192.0.2.1:80 192.0.2.2:80",
                        answer("twice.test", "80", &stream));
    end(*state);
}

static void on_answer_take(struct loop_getaddrinfo *req)
{
    struct look *look = look_of(req);
    size_t count = req->count;
    on_answer(req);
    look->taken = loop_getaddrinfo_take(req);
    assert_ptr_equal(look->taken, req->addresses);
    assert_null(loop_getaddrinfo_take(req));
    assert_int_equal(count, req->count);
}

static void free_taken(struct loop *loop, struct look *look)
{
    loop->options.allocator.resize(loop->options.allocator.ctx, look->taken, 0);
    look->taken = NULL;
}

static void addresses_that_were_taken_outlive_the_callback(void **state)
{
    struct look looks[3] = {{.name = "literal"}, {.name = "twice"}, {.name = "code"}};
    struct loop_dns_hints hints = {.flags = AI_CANONNAME};
    char text[LOOP_ADDRESS_TEXT_SIZE];
    begin(*state, 1);
    wanted_code = EAI_FAIL;
    assert_int_equal(0, look_up_with(&looks[0], "::1", "80", &hints, on_answer_take));
    assert_int_equal(0, look_up_with(&looks[1], "twice.test", "80", &hints, on_answer_take));
    assert_int_equal(0, look_up_with(&looks[2], "code.test", "80", &hints, on_answer_take));
    run(*state);
    assert_said("literal-OK twice-OK code-EIO");
    assert_string_equal("[::1]:80", loop_address_text(&looks[0].taken[0], text));
    assert_string_equal("::1", looks[0].req.canonical_name);
    assert_string_equal("192.0.2.2:80", loop_address_text(&looks[1].taken[2], text));
    assert_string_equal("2001:db8::1", looks[1].req.canonical_name);
    assert_null(looks[2].taken);
    free_taken(*state, &looks[0]);
    free_taken(*state, &looks[1]);
    end(*state);
}

static void on_answer_free(struct loop_getaddrinfo *req)
{
    on_answer(req);
    free(look_of(req));
}

static void a_request_may_be_freed_in_its_callback(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "quick.test", "quick.test"};
    begin(*state, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        struct look *look = calloc(1, sizeof(*look));
        assert_non_null(look);
        assert_int_equal(0, look_up_with(look, hosts[i], "80", NULL, on_answer_free));
    }
    run(*state);
    assert_said("127.0.0.1-OK quick.test-OK quick.test-OK");
    end(*state);
}

static void names_are_copied(void **state)
{
    struct look look = {.name = "look"};
    char host[] = "gate.test", service[] = "80";
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&look, host, service, NULL, on_answer_addresses));
    memset(host, 'x', sizeof(host) - 1);
    memset(service, '9', sizeof(service) - 1);
    open_gate(1);
    run(*state);
    assert_said("192.0.2.1:80");
    end(*state);
}

/* Names. */

static int check(const char *host, const char *service)
{
    struct look look = {.name = "look"};
    int error = look_up_with(&look, host, service, &stream, on_answer);
    if (error) {
        assert_false(loop_alive(the_loop));
        assert_int_equal(-EALREADY, cancel(&look));
        return error;
    }
    assert_int_equal(0, cancel(&look));
    run(the_loop);
    return 0;
}

/* So many bytes of labels of so many, without a closing dot. */
static const char *name_of(size_t length, size_t label)
{
    static char name[1024];
    memset(name, 'a', sizeof(name));
    for (size_t i = label; i < length; i += label + 1)
        name[i] = '.';
    name[length] = '\0';
    return name;
}

static const char *closed(const char *name)
{
    static char text[1025];
    snprintf(text, sizeof(text), "%s.", name);
    return text;
}

static void a_name_has_at_most_253_bytes_and_a_closing_dot(void **state)
{
    begin(*state, 1);
    assert_int_equal(0, check(name_of(253, 63), "80"));
    assert_int_equal(0, check(closed(name_of(253, 63)), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(254, 62), "80"));
    assert_int_equal(-ENAMETOOLONG, check(closed(name_of(254, 62)), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(255, 60), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(256, 60), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(1000, 60), "80"));
    said();
    end(*state);
}

static void a_label_has_at_most_63_bytes(void **state)
{
    begin(*state, 1);
    assert_int_equal(0, check(name_of(63, 63), "80"));
    assert_int_equal(0, check(closed(name_of(63, 63)), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(64, 64), "80"));
    assert_int_equal(-ENAMETOOLONG, check(name_of(129, 64), "80"));
    said();
    end(*state);
}

static void empty_names_and_labels_are_refused(void **state)
{
    static const char *const wrong[] = {"", ".", "..", ".a", "a..b", "a..", ".."};
    begin(*state, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_int_equal(-EINVAL, check(wrong[i], "80"));
    assert_int_equal(-EINVAL, check(NULL, NULL));
    assert_int_equal(-EINVAL, check("localhost", ""));
    assert_int_equal(0, loop_pool_threads(pool));
    end(*state);
}

static void only_visible_ascii_is_a_name(void **state)
{
    char name[] = "a?b.test";
    begin(*state, 1);
    for (int byte = 1; byte < 256; byte++) {
        name[1] = (char)byte;
        bool visible = byte > ' ' && byte < 127;
        assert_int_equal(visible ? 0 : -EINVAL, check(name, "80"));
    }
    assert_int_equal(-EINVAL, check("b\xc3\xbc"
                                    "cher.test",
                                    "80"));
    assert_int_equal(-EINVAL, check("127.0.0.1", "h\xc3\xb6"
                                                 "ttp"));
    assert_int_equal(-EINVAL, check("127.0.0.1", "ht tp"));
    said();
    end(*state);
}

static void a_port_is_at_most_65535_and_written_as_a_number(void **state)
{
    static const char *const wrong[] = {
        "65536",      "65616", "99999999999999999999999", "-1", "+80",
        "4294967376", " 80",   "18446744073709551696"};
    begin(*state, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        assert_int_equal(-EINVAL, check("127.0.0.1", wrong[i]));
        assert_int_equal(-EINVAL, check("localhost", wrong[i]));
    }
    assert_string_equal("127.0.0.1:65535", answer("127.0.0.1", "65535", NULL));
    end(*state);
}

static void a_service_has_at_most_31_bytes(void **state)
{
    begin(*state, 1);
    assert_int_equal(0, check("localhost", name_of(31, 31)));
    assert_int_equal(-ENAMETOOLONG, check("localhost", name_of(32, 32)));
    said();
    assert_string_equal("127.0.0.1:80",
                        answer("127.0.0.1", "0000000000000000000000000000080", NULL));
    assert_int_equal(-ENAMETOOLONG, check("127.0.0.1", "00000000000000000000000000000080"));
    end(*state);
}

static void an_interface_that_is_not_there_is_refused(void **state)
{
    begin(*state, 1);
    assert_int_equal(-ENODEV, check("fe80::1%no-such-if", "80"));
    end(*state);
}

static void what_is_required_is_asked_for_and_unknown_hints_are_refused(void **state)
{
    struct look look = {0};
    struct loop_dns_hints family = {.family = AF_UNIX}, type = {.socket_type = 99};
    struct loop_dns_hints flags = {.flags = 1 << 30}, canonical = {.flags = AI_CANONNAME};
    struct loop *loop = *state;
    begin(loop, 1);
    assert_int_equal(-EINVAL, loop_getaddrinfo(NULL, &look.req, "::1", "80", NULL, on_answer));
    assert_int_equal(-EINVAL, loop_getaddrinfo(loop, NULL, "::1", "80", NULL, on_answer));
    assert_int_equal(-EINVAL, loop_getaddrinfo(loop, &look.req, "::1", "80", NULL, NULL));
    assert_int_equal(-EINVAL, look_up_with(&look, "::1", "80", &family, on_answer));
    assert_int_equal(-EINVAL, look_up_with(&look, "::1", "80", &type, on_answer));
    assert_int_equal(-EINVAL, look_up_with(&look, "::1", "80", &flags, on_answer));
    assert_int_equal(-EINVAL, look_up_with(&look, NULL, "80", &canonical, on_answer));
    assert_false(loop_alive(loop));
    assert_int_equal(-EALREADY, cancel(&look));
    end(loop);
}

static void look_up_twice(void)
{
    static struct look look;
    begin(the_loop, 1);
    look_up(&look, "look", "gate.test");
    look_up(&look, "look", "gate.test");
}

static void starting_a_request_in_flight_panics(void **state)
{
    the_loop = *state;
    assert_panics(look_up_twice, "the getaddrinfo request was started again before its callback");
}

/* Sharing. */

static int trace_events(const struct loop_trace_ring *ring, enum loop_trace_kind kind)
{
    int count = 0;
    for (size_t i = 0; i < ring->count && i < ring->size; i++)
        count += ring->events[i].kind == kind;
    return count;
}

static void equal_queries_in_flight_share_one_look_up(void **state)
{
    static struct loop_trace_event events[4096];
    struct loop_trace_ring ring;
    struct look looks[20];
    memset(looks, 0, sizeof(looks));
    begin(*state, 4);
    loop_trace_ring(*state, &ring, events, ARRAY_LENGTH(events));
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        look_up(&looks[i], "look", "gate.test");
    assert_int_equal(1, loop_pool_threads(pool));
    open_gate(1);
    run(*state);
    loop_trace_remove(*state, &ring.trace);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1, looks[i].callbacks);
    assert_int_equal(1, calls());
    assert_int_equal(20, trace_events(&ring, LOOP_TRACE_SUBMITTED));
    assert_int_equal(1, trace_events(&ring, LOOP_TRACE_WORK_STARTED));
    assert_int_equal(1, trace_events(&ring, LOOP_TRACE_WORK_DONE));
    said();
    end(*state);
}

static void on_answer_take_or_not(struct loop_getaddrinfo *req)
{
    say_addresses(req);
    if (look_of(req)->name)
        look_of(req)->taken = loop_getaddrinfo_take(req);
}

static void each_who_shares_may_take_addresses_of_its_own(void **state)
{
    struct look looks[4] = {{.name = "take"}, {.name = NULL}, {.name = "take"}, {.name = "take"}};
    begin(*state, 4);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(0, loop_getaddrinfo(*state, &looks[i].req, "gate.test", "80", &stream,
                                             on_answer_take_or_not));
    open_gate(1);
    run(*state);
    assert_said("192.0.2.1:80 192.0.2.1:80 192.0.2.1:80 192.0.2.1:80");
    assert_ptr_not_equal(looks[0].taken, looks[2].taken);
    assert_ptr_not_equal(looks[2].taken, looks[3].taken);
    assert_true(loop_address_equal(&looks[0].taken[0], &looks[3].taken[0]));
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        free_taken(*state, &looks[i]);
    assert_int_equal(1, calls());
    end(*state);
}

static void queries_that_differ_in_anything_do_not_share(void **state)
{
    struct loop_dns_hints ip4 = {.family = AF_INET, .socket_type = SOCK_STREAM};
    struct loop_dns_hints datagram = {.socket_type = SOCK_DGRAM};
    struct loop_dns_hints flags = {.socket_type = SOCK_STREAM, .flags = AI_CANONNAME};
    struct look looks[9];
    memset(looks, 0, sizeof(looks));
    begin(*state, 2);
    open_gate(9);
    assert_int_equal(0, look_up_with(&looks[0], "gate.test", "80", &stream, on_answer));
    assert_int_equal(0, look_up_with(&looks[1], "gates.test", "80", &stream, on_answer));
    assert_int_equal(0, look_up_with(&looks[2], "gate.test", "81", &stream, on_answer));
    assert_int_equal(0, look_up_with(&looks[3], "gate.test", NULL, &stream, on_answer));
    assert_int_equal(0, look_up_with(&looks[4], "gate.test", "80", &ip4, on_answer));
    assert_int_equal(0, look_up_with(&looks[5], "gate.test", "80", &datagram, on_answer));
    assert_int_equal(0, look_up_with(&looks[6], "gate.test", "80", &flags, on_answer));
    assert_int_equal(0, look_up_with(&looks[7], "gate.test", "80", NULL, on_answer));
    assert_int_equal(0, look_up_with(&looks[8], "gate.test8", "0", NULL, on_answer));
    run(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1, looks[i].callbacks);
    assert_int_equal(9, calls());
    said();
    end(*state);
}

static void no_hints_are_hints_of_zeros(void **state)
{
    struct look a = {0}, b = {0};
    struct loop_dns_hints zeros = {0};
    begin(*state, 4);
    assert_int_equal(0, look_up_with(&a, "gate.test", "80", NULL, on_answer));
    assert_int_equal(0, look_up_with(&b, "gate.test", "80", &zeros, on_answer));
    open_gate(1);
    run(*state);
    assert_said("gate.test-OK gate.test-OK");
    assert_int_equal(1, calls());
    end(*state);
}

static void on_answer_ask_again(struct loop_getaddrinfo *req)
{
    on_answer(req);
    look_up(look_of(req), look_of(req)->name, "quick.test");
}

/* The answer that b waits for has come, but a wants to know anew. */
static void a_query_in_the_callback_asks_anew(void **state)
{
    struct look a = {.name = "a"}, b = {0};
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&a, "quick.test", "80", &stream, on_answer_ask_again));
    look_up(&b, "b", "quick.test");
    run(*state);
    assert_said("a-OK b-OK a-OK");
    assert_int_equal(2, calls());
    end(*state);
}

static void the_loops_of_a_pool_do_not_share(void **state)
{
    struct loop other = {0};
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct look a = {0}, b = {.name = "b"};
    begin(*state, 4);
    options.pool = pool;
    assert_int_equal(0, loop_init(&other, &options));
    look_up(&a, "a", "gate.test");
    assert_int_equal(0, loop_getaddrinfo(&other, &b.req, "gate.test", "80", &stream, on_answer));
    await_arrivals(2);
    open_gate(2);
    run(*state);
    run(&other);
    assert_said("a-OK b-OK");
    assert_int_equal(0, loop_fini(&other));
    end(*state);
}

/* Cancelling. */

static void wait_at_the_gate(void *data)
{
    (void)data;
    sem_post(&arrived);
    sem_wait(&work_gate);
}

static void let_work_pass(int count)
{
    for (int i = 0; i < count; i++)
        sem_post(&work_gate);
}

static void do_nothing(void *data)
{
    (void)data;
}

static void submit(struct loop_work *work, loop_work_fn fn)
{
    assert_int_equal(0, loop_work(the_loop, work, fn, NULL));
}

static void a_look_up_canceled_before_it_began_is_never_made(void **state)
{
    struct loop_work blocker = {0};
    struct look look = {0};
    begin(*state, 1);
    submit(&blocker, wait_at_the_gate);
    await_arrivals(1);
    look_up(&look, "look", "quick.test");
    assert_int_equal(0, cancel(&look));
    assert_int_equal(-EALREADY, cancel(&look));
    assert_said("");
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("look-ECANCELED");
    let_work_pass(1);
    run(*state);
    assert_int_equal(0, calls());
    assert_int_equal(-EALREADY, cancel(&look));
    end(*state);
}

static void a_look_up_canceled_while_it_runs_completes_at_once(void **state)
{
    struct look look = {0};
    begin(*state, 1);
    look_up(&look, "look", "gate.test");
    await_arrivals(1);
    assert_int_equal(0, cancel(&look));
    assert_said("");
    run(*state);
    assert_said("look-ECANCELED");
    open_gate(1);
    end(*state);
    assert_said("");
    assert_int_equal(1, look.callbacks);
}

/* The thread takes the work only when the answer is on its way home. */
static void an_answer_that_is_here_is_dropped_if_the_request_is_canceled(void **state)
{
    struct loop_work behind = {0};
    struct look look = {0};
    begin(*state, 1);
    look_up(&look, "look", "quick.test");
    submit(&behind, wait_at_the_gate);
    await_arrivals(1);
    assert_int_equal(1, calls());
    assert_int_equal(0, cancel(&look));
    let_work_pass(1);
    run(*state);
    assert_said("look-ECANCELED");
    end(*state);
}

static void an_address_cannot_be_canceled_any_more(void **state)
{
    struct look look = {0};
    begin(*state, 1);
    look_up(&look, "look", "127.0.0.1");
    assert_int_equal(-EALREADY, cancel(&look));
    assert_int_equal(0, loop_request_deadline(&look.req.request, 0));
    run(*state);
    assert_said("look-OK");
    end(*state);
}

/* The first of them stands for all in the pool's eyes, so it is the one to leave. */
static void those_who_share_are_canceled_one_by_one(void **state)
{
    struct look a = {0}, b = {0}, c = {0};
    begin(*state, 1);
    look_up(&a, "a", "gate.test");
    look_up(&b, "b", "gate.test");
    look_up(&c, "c", "gate.test");
    await_arrivals(1);
    assert_int_equal(0, cancel(&a));
    assert_int_equal(0, cancel(&c));
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("a-ECANCELED c-ECANCELED");
    open_gate(1);
    run(*state);
    assert_said("b-OK");
    assert_int_equal(1, calls());
    end(*state);
}

static void the_last_who_leaves_takes_the_look_up_back(void **state)
{
    struct loop_work blocker = {0};
    struct look a = {0}, b = {0};
    begin(*state, 1);
    submit(&blocker, wait_at_the_gate);
    look_up(&a, "a", "quick.test");
    look_up(&b, "b", "quick.test");
    assert_int_equal(0, cancel(&b));
    assert_int_equal(0, cancel(&a));
    let_work_pass(1);
    run(*state);
    assert_said("b-ECANCELED a-ECANCELED");
    assert_int_equal(0, calls());
    end(*state);
}

/* Nobody waits for the first look-up any more, so nobody joins it. */
static void who_asks_behind_the_last_who_left_asks_anew(void **state)
{
    struct look a = {0}, b = {0};
    begin(*state, 4);
    look_up(&a, "a", "gate.test");
    await_arrivals(1);
    assert_int_equal(0, cancel(&a));
    look_up(&b, "b", "gate.test");
    await_arrivals(1);
    open_gate(2);
    run(*state);
    assert_said("a-ECANCELED b-OK");
    assert_int_equal(2, calls());
    end(*state);
}

static void on_answer_cancel_other(struct loop_getaddrinfo *req)
{
    on_answer(req);
    assert_int_equal(0, cancel(look_of(req)->other));
}

static void a_callback_may_cancel_those_who_were_to_be_told_next(void **state)
{
    struct look a = {.name = "a"}, b = {0}, c = {0};
    a.other = &c;
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&a, "quick.test", "80", &stream, on_answer_cancel_other));
    look_up(&b, "b", "quick.test");
    look_up(&c, "c", "quick.test");
    run(*state);
    assert_said("a-OK b-OK c-ECANCELED");
    end(*state);
}

static void a_callback_may_cancel_the_last_who_was_to_be_told(void **state)
{
    struct look a = {.name = "a"}, b = {0};
    a.other = &b;
    begin(*state, 1);
    assert_int_equal(0, look_up_with(&a, "quick.test", "80", &stream, on_answer_cancel_other));
    look_up(&b, "b", "quick.test");
    run(*state);
    assert_said("a-OK b-ECANCELED");
    end(*state);
}

/* Deadlines. */

static int set_deadline(struct look *look, uint64_t after_ns)
{
    return loop_request_deadline(&look->req.request, after_ns);
}

static void a_look_up_that_takes_too_long_is_given_up(void **state)
{
    struct look look = {0};
    begin(*state, 1);
    look_up(&look, "look", "gate.test");
    assert_int_equal(0, set_deadline(&look, LOOP_MS));
    run(*state);
    assert_said("look-ETIMEDOUT");
    open_gate(1);
    end(*state);
    assert_said("");
}

static void each_who_shares_has_its_own_deadline(void **state)
{
    struct look a = {0}, b = {0}, c = {0};
    begin(*state, 1);
    look_up(&a, "a", "gate.test");
    look_up(&b, "b", "gate.test");
    look_up(&c, "c", "gate.test");
    loop_request_unref(&c.req.request);
    assert_int_equal(0, set_deadline(&b, LOOP_MS));
    assert_int_equal(0, set_deadline(&a, 2 * LOOP_MS));
    run(*state);
    assert_said("b-ETIMEDOUT a-ETIMEDOUT");
    loop_request_ref(&c.req.request);
    open_gate(1);
    run(*state);
    assert_said("c-OK");
    end(*state);
}

static void on_timer_open_gate(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
    open_gate(1);
}

/* The timer is due behind the first deadlines, of which none is left. */
static void a_new_deadline_replaces_the_old(void **state)
{
    struct look later = {0}, never = {0};
    struct loop_timer timer;
    begin(*state, 1);
    look_up(&later, "later", "gate.test");
    look_up(&never, "never", "gate.test");
    assert_int_equal(0, set_deadline(&later, LOOP_MS));
    assert_int_equal(0, set_deadline(&later, 3600 * LOOP_SEC));
    assert_int_equal(0, set_deadline(&never, LOOP_MS));
    assert_int_equal(0, set_deadline(&never, LOOP_NEVER));
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 3 * LOOP_MS, 0, on_timer_open_gate);
    run(*state);
    assert_said("timer later-OK never-OK");
    end(*state);
}

static void on_timer(struct loop_timer *timer)
{
    say("timer-at-%d", (int)(loop_now(timer->handle.loop) / LOOP_SEC));
}

/* On the virtual clock, which passes the deadlines on its way. */
static void a_deadline_that_was_kept_leaves_nothing_behind(void **state)
{
    struct look look = {0}, canceled = {0};
    struct loop_timer timer;
    begin(*state, 1);
    look_up(&look, "look", "quick.test");
    look_up(&canceled, "canceled", "quick.test");
    assert_int_equal(0, set_deadline(&look, 3600 * LOOP_SEC));
    assert_int_equal(0, set_deadline(&canceled, 3600 * LOOP_SEC));
    assert_int_equal(0, cancel(&canceled));
    run(*state);
    const char *words = said();
    assert_non_null(strstr(words, "look-OK"));
    assert_non_null(strstr(words, "canceled-ECANCELED"));
    memset(&look, 0xff, sizeof(look));
    memset(&canceled, 0xff, sizeof(canceled));
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 7200 * LOOP_SEC, 0, on_timer);
    run(*state);
    assert_said("timer-at-7200");
    end(*state);
}

/* The loop. */

static void unreferenced_look_ups_let_the_loop_end_but_not_be_finished(void **state)
{
    struct look look = {0};
    begin(*state, 1);
    look_up(&look, "look", "gate.test");
    loop_request_unref(&look.req.request);
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_request_ref(&look.req.request);
    open_gate(1);
    run(*state);
    assert_said("look-OK");
    end(*state);
}

static void the_loop_may_be_finished_while_canceled_look_ups_run(void **state)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct loop *loop = calloc(1, sizeof(*loop));
    struct look *look = calloc(1, sizeof(*look));
    assert_non_null(loop);
    assert_non_null(look);
    begin(*state, 1);
    options.pool = pool;
    assert_int_equal(0, loop_init(loop, &options));
    look->name = "look";
    assert_int_equal(0,
                     loop_getaddrinfo(loop, &look->req, "gate.test", "80", NULL, on_answer_free));
    await_arrivals(1);
    assert_int_equal(-EBUSY, loop_fini(loop));
    assert_int_equal(0, cancel(look));
    run(loop);
    assert_said("look-ECANCELED");
    assert_int_equal(0, loop_fini(loop));
    free(loop);
    open_gate(1);
    end(*state);
}

static void a_virtual_clock_stands_still_while_a_look_up_is_in_flight(void **state)
{
    struct look a = {0}, b = {0};
    struct loop_timer timer;
    begin(*state, 4);
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, LOOP_SEC, 0, on_timer);
    look_up(&a, "a", "gate.test");
    look_up(&b, "b", "gate.test");
    assert_int_equal(0, cancel(&a));
    open_gate(1);
    run(*state);
    assert_said("a-ECANCELED b-OK timer-at-1");
    look_up(&a, "a", "gate.test");
    assert_int_equal(0, cancel(&a));
    loop_timer_start(&timer, LOOP_SEC, 0, on_timer);
    run(*state);
    assert_said("a-ECANCELED timer-at-2");
    open_gate(1);
    end(*state);
}

/* In the child nobody may assert: it returns how far it came, 0 if all was well. */
static struct look in_parent[4];

static void on_answer_count(struct loop_getaddrinfo *req)
{
    look_of(req)->callbacks++;
}

static int cancel_all_and_go_on(void *arg)
{
    struct look after = {0};
    if (loop_after_fork(arg) != 0)
        return 1;
    if (loop_run(arg, LOOP_RUN_DEFAULT) != 0)
        return 2;
    for (size_t i = 0; i < ARRAY_LENGTH(in_parent); i++)
        if (in_parent[i].callbacks != 1 || in_parent[i].req.status != -ECANCELED)
            return 3;
    if (loop_getaddrinfo(arg, &after.req, "quick.test", "80", NULL, on_answer_count) != 0)
        return 4;
    if (loop_run(arg, LOOP_RUN_DEFAULT) != 0 || after.callbacks != 1 || after.req.status != 0)
        return 5;
    return loop_fini(arg) == 0 ? 0 : 6;
}

/* Two that share what runs, two that wait. */
static void a_forked_child_has_the_look_ups_of_its_parent_canceled(void **state)
{
    static const char *const hosts[] = {"gate1", "gate1", "gate2", "gate3"};
    memset(in_parent, 0, sizeof(in_parent));
    begin(*state, 2);
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++)
        assert_int_equal(0, look_up_with(&in_parent[i], hosts[i], "80", NULL, on_answer_count));
    await_arrivals(1);
    in_child(cancel_all_and_go_on, *state);
    open_gate(3);
    run(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        assert_int_equal(1, in_parent[i].callbacks);
        assert_int_equal(0, in_parent[i].req.status);
    }
    end(*state);
}

/* Memory. */

static int allocations_left; /* before there is no more; any thread */

static void *scarce_resize(void *ctx, void *memory, size_t size)
{
    if (size > 0 && __atomic_fetch_sub(&allocations_left, 1, __ATOMIC_RELAXED) <= 0)
        return NULL;
    return test_options(LOOP_CLOCK_VIRTUAL).allocator.resize(ctx, memory, size);
}

static struct loop_allocator make_memory_scarce(struct loop *loop, int allocations)
{
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = scarce_resize;
    __atomic_store_n(&allocations_left, allocations, __ATOMIC_RELAXED);
    return before;
}

static void without_memory_nothing_is_started(void **state)
{
    struct loop *loop = *state;
    begin(loop, 1);
    struct loop_allocator before = make_memory_scarce(loop, 0);
    assert_int_equal(-ENOMEM, check("127.0.0.1", "80"));
    assert_int_equal(-ENOMEM, check("quick.test", "80"));
    loop->options.allocator = before;
    assert_int_equal(0, loop_pool_threads(pool));
    assert_string_equal("192.0.2.1:80", answer("quick.test", "80", NULL));
    end(loop);
}

/* One piece of memory for the look-up, one for the answer, one for each copy but the last. */
static void without_memory_for_an_answer_each_is_told_so_once(void **state)
{
    static const char *const words[] = {"a-ENOMEM b-ENOMEM c-ENOMEM", "a-ENOMEM b-ENOMEM c-OK",
                                        "a-OK b-ENOMEM c-OK", "a-OK b-OK c-OK"};
    struct loop *loop = *state;
    begin(loop, 1);
    for (int i = 0; i < (int)ARRAY_LENGTH(words); i++) {
        struct look a = {0}, b = {0}, c = {0};
        struct loop_allocator before = make_memory_scarce(loop, i + 1);
        look_up(&a, "a", "quick.test");
        look_up(&b, "b", "quick.test");
        look_up(&c, "c", "quick.test");
        run(loop);
        assert_said(words[i]);
        loop->options.allocator = before;
    }
    end(loop);
}

static void on_no_name(struct loop_getnameinfo *req)
{
    (void)req;
    say("name");
}

static void a_full_pool_refuses_the_names_of_addresses(void **state)
{
    struct loop_work blocker = {0}, waiting = {0};
    struct loop_getnameinfo req = {0};
    struct loop_address address;
    struct loop_pool_options options = {.threads_max = 1, .queue_max = 1};
    begin_with(*state, &options);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 80));
    submit(&blocker, wait_at_the_gate);
    await_arrivals(1);
    submit(&waiting, wait_at_the_gate);
    assert_int_equal(-EAGAIN, loop_getnameinfo(*state, &req, &address, 0, on_no_name));
    assert_int_equal(-EALREADY, loop_request_cancel(&req.request));
    let_work_pass(2);
    run(*state);
    assert_said("");
    end(*state);
}

static void a_full_pool_refuses_look_ups_but_not_addresses_or_sharing(void **state)
{
    struct loop_work blocker = {0};
    struct loop_pool_options options = {.threads_max = 1, .queue_max = 1};
    struct look a = {0}, b = {0}, c = {0};
    begin_with(*state, &options);
    submit(&blocker, wait_at_the_gate);
    await_arrivals(1);
    look_up(&a, "a", "quick.test");
    assert_int_equal(-EAGAIN, look_up_with(&b, "quick2.test", "80", NULL, on_answer));
    assert_int_equal(-EALREADY, cancel(&b));
    look_up(&b, "b", "127.0.0.1");
    look_up(&c, "c", "quick.test");
    let_work_pass(1);
    run(*state);
    assert_said("b-OK a-OK c-OK");
    end(*state);
}

/* The names of addresses. */

static void on_name(struct loop_getnameinfo *req)
{
    say("%s-%s-%s-%s", loop_phase_name(loop_phase(req->request.loop)), loop_error_name(req->status),
        req->host, req->service);
}

static struct loop_address address_of(const char *text, uint16_t port)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, port));
    return address;
}

static int ask_name(struct loop_getnameinfo *req, const char *text, uint16_t port, int flags)
{
    struct loop_address address = address_of(text, port);
    return loop_getnameinfo(the_loop, req, &address, flags, on_name);
}

static void numbers_are_written_down_without_a_thread(void **state)
{
    struct loop_getnameinfo a = {0}, b = {0}, c = {0};
    begin(*state, 1);
    int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
    assert_int_equal(0, ask_name(&a, "192.0.2.1", 80, numeric));
    assert_int_equal(0, ask_name(&b, "fe80::1%lo", 65535, numeric | NI_DGRAM));
    assert_int_equal(0, ask_name(&c, "::1", 80, numeric | NI_NAMEREQD));
    assert_int_equal(-EALREADY, loop_request_cancel(&a.request));
    assert_said("");
    run(*state);
    assert_said("pending-OK-192.0.2.1-80 pending-OK-fe80::1%lo-65535 pending-ENOENT--");
    assert_int_equal(EAI_NONAME, c.code);
    assert_int_equal(0, loop_pool_threads(pool));
    end(*state);
}

static void localhost_is_found_by_its_address(void **state)
{
    struct loop_getnameinfo req = {0};
    begin(*state, 1);
    assert_int_equal(0, ask_name(&req, "127.0.0.1", 80, NI_NAMEREQD | NI_NUMERICSERV));
    run(*state);
    assert_said("poll-OK-localhost-80");
    if (access("/etc/services", R_OK) == 0) {
        assert_int_equal(0, ask_name(&req, "127.0.0.1", 80, NI_NUMERICHOST));
        run(*state);
        assert_said("poll-OK-127.0.0.1-http");
    }
    end(*state);
}

static void an_address_without_a_name_is_told_so(void **state)
{
    struct loop_getnameinfo req = {0};
    begin(*state, 1);
    assert_int_equal(0, ask_name(&req, "192.0.2.1", 80, NI_NAMEREQD | NI_NUMERICSERV));
    run(*state);
    const char *words = said();
    if (strcmp(words, "poll-EAGAIN--") != 0)
        assert_string_equal("poll-ENOENT--", words);
    end(*state);
}

static void names_are_canceled_and_late_like_addresses(void **state)
{
    struct loop_work blocker = {0}, behind = {0};
    struct loop_getnameinfo waiting = {0}, late = {0}, here = {0};
    begin(*state, 1);
    assert_int_equal(0, ask_name(&here, "127.0.0.1", 80, NI_NUMERICSERV));
    submit(&blocker, wait_at_the_gate);
    await_arrivals(1);
    assert_int_equal(0, loop_request_cancel(&here.request));
    assert_int_equal(0, ask_name(&waiting, "127.0.0.1", 80, NI_NUMERICSERV));
    assert_int_equal(0, ask_name(&late, "127.0.0.1", 80, NI_NUMERICSERV));
    assert_int_equal(0, loop_request_cancel(&waiting.request));
    loop_request_unref(&blocker.request);
    assert_int_equal(0, loop_request_deadline(&late.request, LOOP_MS));
    run(*state);
    assert_said("pending-ECANCELED-- pending-ECANCELED-- pending-ETIMEDOUT--");
    submit(&behind, do_nothing);
    let_work_pass(1);
    end(*state);
}

static void names_have_their_refusals_too(void **state)
{
    struct loop_getnameinfo req = {0};
    struct loop_address address = address_of("::1", 80), none = {0};
    struct loop *loop = *state;
    begin(loop, 1);
    assert_int_equal(-EINVAL, loop_getnameinfo(NULL, &req, &address, 0, on_name));
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, NULL, &address, 0, on_name));
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, &req, NULL, 0, on_name));
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, &req, &none, 0, on_name));
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, &req, &address, 1 << 30, on_name));
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, &req, &address, 0, NULL));
    address.size = 16;
    assert_int_equal(-EINVAL, loop_getnameinfo(loop, &req, &address, 0, on_name));
    struct loop_allocator before = make_memory_scarce(loop, 0);
    assert_int_equal(-ENOMEM, ask_name(&req, "::1", 80, 0));
    loop->options.allocator = before;
    assert_int_equal(-EALREADY, loop_request_cancel(&req.request));
    assert_false(loop_alive(loop));
    end(loop);
}

/* The share of the threads. */

static const char *const gates[] = {"gate1", "gate2", "gate3", "gate4"};

static void on_work(struct loop_work *work, int status)
{
    (void)work;
    say("work-%s", loop_error_name(status));
    if (work->request.data)
        open_gate(4);
}

static void look_up_gates(struct look looks[4])
{
    memset(looks, 0, 4 * sizeof(*looks));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(0, look_up_with(&looks[i], gates[i], "80", NULL, on_answer_count));
}

/* Of the four threads two are left for others; only when these are done does the gate open. */
static void look_ups_that_hang_leave_half_of_the_threads_to_others(void **state)
{
    struct look looks[4];
    struct loop_work works[3] = {{.request.data = NULL}};
    begin(*state, 4);
    look_up_gates(looks);
    assert_int_equal(2, loop_pool_threads(pool));
    await_arrivals(2);
    works[2].request.data = works;
    for (size_t i = 0; i < ARRAY_LENGTH(works); i++)
        assert_int_equal(0, loop_work(*state, &works[i], do_nothing, i < 2 ? NULL : on_work));
    assert_int_equal(0, arrivals());
    run(*state);
    assert_said("work-OK");
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1, looks[i].callbacks);
    assert_int_equal(4, calls());
    end(*state);
}

/* Two at a time: the third arrives at the gate only when one of the first has passed it. */
static void look_ups_beyond_their_share_begin_one_by_one(void **state)
{
    struct look looks[4];
    begin(*state, 4);
    look_up_gates(looks);
    await_arrivals(2);
    for (int passed = 1; passed <= 2; passed++) {
        assert_int_equal(0, arrivals());
        assert_int_equal(1 + passed, calls());
        open_gate(1);
        await_arrivals(1);
    }
    assert_int_equal(2, loop_pool_threads(pool));
    open_gate(2);
    end(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1, looks[i].callbacks);
}

/* The thread that ends the first look-up takes the work, which is older than the second; the thread
 * that is free next takes that. */
static void a_look_up_that_was_passed_over_keeps_its_place_behind_older_work(void **state)
{
    struct loop_work blocker = {0}, older = {0}, younger = {0};
    struct look first = {0}, second = {0};
    begin(*state, 2);
    look_up(&first, "first", "gate1");
    submit(&blocker, wait_at_the_gate);
    await_arrivals(2);
    submit(&older, wait_at_the_gate);
    look_up(&second, "second", "gate2");
    submit(&younger, wait_at_the_gate);
    open_gate(1);
    await_arrivals(1);
    assert_int_equal(1, calls());
    let_work_pass(1);
    await_arrivals(1);
    assert_int_equal(2, calls());
    open_gate(1);
    let_work_pass(2);
    run(*state);
    assert_said("first-OK second-OK");
    end(*state);
}

static void a_pool_of_one_thread_looks_up_names_too(void **state)
{
    begin(*state, 1);
    assert_string_equal("192.0.2.1:80", answer("quick.test", "80", NULL));
    end(*state);
}

static void a_look_up_that_was_passed_over_can_be_taken_back(void **state)
{
    struct look looks[4];
    begin(*state, 2);
    look_up_gates(looks);
    await_arrivals(1);
    for (size_t i = 1; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(0, cancel(&looks[i]));
    open_gate(1);
    run(*state);
    assert_int_equal(1, calls());
    assert_int_equal(0, looks[0].req.status);
    assert_int_equal(-ECANCELED, looks[3].req.status);
    end(*state);
}

/* The other thread has nothing to do, sees that the pool ends, and goes. */
static void destroying_a_pool_waits_for_look_ups_that_were_passed_over(void **state)
{
    struct loop_work work = {0};
    struct look looks[4];
    struct loop *loop = *state;
    begin(loop, 2);
    look_up_gates(looks);
    submit(&work, do_nothing);
    open_gate(4);
    loop_pool_destroy(pool);
    assert_int_equal(4, calls());
    loop->options.pool = NULL;
    run(loop);
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        assert_int_equal(1, looks[i].callbacks);
    begin(loop, 1);
    end(loop);
}

enum { MANY = 3000 };

static struct look many_looks[MANY];
static struct loop_work many_works[MANY];

/* A wake-up that is lost leaves this waiting for ever. */
static void of_many_look_ups_and_works_none_is_left_behind(void **state)
{
    char host[32];
    begin(*state, 4);
    memset(many_looks, 0, sizeof(many_looks));
    memset(many_works, 0, sizeof(many_works));
    for (size_t i = 0; i < MANY; i++) {
        snprintf(host, sizeof(host), "quick%zu", i);
        assert_int_equal(0, look_up_with(&many_looks[i], host, "80", &stream, on_answer_count));
        submit(&many_works[i], do_nothing);
        if (i % 7 == 0)
            cancel(&many_looks[i / 2]); /* or it is too late: as it happens */
        if (i % 100 == 0)
            assert_true(loop_run(*state, LOOP_RUN_NOWAIT) >= 0);
    }
    run(*state);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(1, many_looks[i].callbacks);
    end(*state);
}

static const struct CMUnitTest tests[] = {
    virtual_test(an_address_is_answered_in_the_pending_phase_without_a_thread),
    virtual_test(an_address_may_have_a_zone_and_no_service),
    virtual_test(the_canonical_name_of_an_address_is_its_text),
    virtual_test(a_thousand_addresses_take_no_thread_either),
    virtual_test(an_address_of_the_wrong_family_is_for_the_resolver),
    virtual_test(localhost_is_found_on_a_thread_and_told_in_the_poll_phase),
    virtual_test(a_name_of_the_hosts_file_has_the_address_that_stands_there),
    virtual_test(services_have_names),
    virtual_test(no_host_is_this_machine_and_passively_every_address_of_it),
    virtual_test(a_name_that_nobody_has_is_told_so_once),
    virtual_test(a_number_that_is_not_the_text_of_an_address_is_for_the_resolver),
    virtual_test(what_the_resolver_says_is_told_as_an_errno_and_as_it_was),
    virtual_test(an_error_of_the_system_without_a_number_is_an_error_still),
    cmocka_unit_test(every_code_has_a_sentence),
    virtual_test(no_address_comes_twice_and_the_order_is_the_resolvers),
    virtual_test(addresses_that_were_taken_outlive_the_callback),
    virtual_test(a_request_may_be_freed_in_its_callback),
    virtual_test(names_are_copied),
    virtual_test(a_name_has_at_most_253_bytes_and_a_closing_dot),
    virtual_test(a_label_has_at_most_63_bytes),
    virtual_test(empty_names_and_labels_are_refused),
    virtual_test(only_visible_ascii_is_a_name),
    virtual_test(a_port_is_at_most_65535_and_written_as_a_number),
    virtual_test(a_service_has_at_most_31_bytes),
    virtual_test(an_interface_that_is_not_there_is_refused),
    virtual_test(what_is_required_is_asked_for_and_unknown_hints_are_refused),
    virtual_test(starting_a_request_in_flight_panics),
    virtual_test(equal_queries_in_flight_share_one_look_up),
    virtual_test(each_who_shares_may_take_addresses_of_its_own),
    virtual_test(queries_that_differ_in_anything_do_not_share),
    virtual_test(no_hints_are_hints_of_zeros),
    virtual_test(a_query_in_the_callback_asks_anew),
    virtual_test(the_loops_of_a_pool_do_not_share),
    virtual_test(a_look_up_canceled_before_it_began_is_never_made),
    virtual_test(a_look_up_canceled_while_it_runs_completes_at_once),
    virtual_test(an_answer_that_is_here_is_dropped_if_the_request_is_canceled),
    virtual_test(an_address_cannot_be_canceled_any_more),
    virtual_test(those_who_share_are_canceled_one_by_one),
    virtual_test(the_last_who_leaves_takes_the_look_up_back),
    virtual_test(who_asks_behind_the_last_who_left_asks_anew),
    virtual_test(a_callback_may_cancel_those_who_were_to_be_told_next),
    virtual_test(a_callback_may_cancel_the_last_who_was_to_be_told),
    real_test(a_look_up_that_takes_too_long_is_given_up),
    real_test(each_who_shares_has_its_own_deadline),
    real_test(a_new_deadline_replaces_the_old),
    virtual_test(a_deadline_that_was_kept_leaves_nothing_behind),
    virtual_test(unreferenced_look_ups_let_the_loop_end_but_not_be_finished),
    virtual_test(the_loop_may_be_finished_while_canceled_look_ups_run),
    virtual_test(a_virtual_clock_stands_still_while_a_look_up_is_in_flight),
    virtual_test(a_forked_child_has_the_look_ups_of_its_parent_canceled),
    virtual_test(without_memory_nothing_is_started),
    virtual_test(without_memory_for_an_answer_each_is_told_so_once),
    virtual_test(a_full_pool_refuses_look_ups_but_not_addresses_or_sharing),
    virtual_test(a_full_pool_refuses_the_names_of_addresses),
    virtual_test(numbers_are_written_down_without_a_thread),
    virtual_test(localhost_is_found_by_its_address),
    virtual_test(an_address_without_a_name_is_told_so),
    real_test(names_are_canceled_and_late_like_addresses),
    virtual_test(names_have_their_refusals_too),
    virtual_test(look_ups_that_hang_leave_half_of_the_threads_to_others),
    virtual_test(look_ups_beyond_their_share_begin_one_by_one),
    virtual_test(a_look_up_that_was_passed_over_keeps_its_place_behind_older_work),
    virtual_test(a_pool_of_one_thread_looks_up_names_too),
    virtual_test(a_look_up_that_was_passed_over_can_be_taken_back),
    virtual_test(destroying_a_pool_waits_for_look_ups_that_were_passed_over),
    virtual_test(of_many_look_ups_and_works_none_is_left_behind),
};

int main(void)
{
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1); /* where there is no network */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
