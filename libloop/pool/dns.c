/* Names into addresses: requests, and the look-ups that they wait for.
 *
 * A look-up is a job on the pool, with copies of what is asked and room for the answer. Equal
 * queries that are in flight on one loop share one [DOC: single-flight]: a program that gets a
 * thousand orders at once for one host asks for it once, and not a thousand times in a row on the
 * few threads that look-ups may have. Each request waits on the look-up's list, and leaves it when
 * the answer comes or when it is cancelled or late. The last to leave detaches the job: it is taken
 * back if no thread has it yet, and otherwise what comes of it is dropped.
 *
 * Each request has a copy of the answer, which it may let the caller take; the last has the
 * original. From the moment the answer is here nobody joins the look-up any more: who asks again
 * in a callback wants to know anew.
 *
 * An equal query is found among the loop's requests in flight. A table would be faster with many
 * thousands of them, and would be one more thing that every loop has.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"
#include "dns.h"
#include "job_deadline.h"

struct loop_lookup {
    struct loop_job job; /* its request is any of those who wait */
    struct loop_link waiting;
    bool answered;
    struct dns_answer answer;
    struct loop_dns_hints hints;
    size_t host_size; /* with its 0, as service_size; 0: there is none */
    size_t service_size;
    char text[]; /* the host, then the service */
};

static struct loop_lookup *lookup_of(struct loop_job *job)
{
    return loop_container_of(job, struct loop_lookup, job);
}

static struct loop_getaddrinfo *first_of(const struct loop_link *waiting)
{
    return loop_container_of(waiting->next, struct loop_getaddrinfo, link);
}

static const char *host_of(const struct loop_lookup *lookup)
{
    return lookup->host_size > 0 ? lookup->text : NULL;
}

static const char *service_of(const struct loop_lookup *lookup)
{
    return lookup->service_size > 0 ? lookup->text + lookup->host_size : NULL;
}

static void free_lookup(struct loop_job *job)
{
    memory_resize(&job->allocator, lookup_of(job)->answer.addresses, 0);
    job_free(job);
}

static void run(struct loop_job *job)
{
    struct loop_lookup *lookup = lookup_of(job);
    lookup->answer =
        dns_answer_ask(&job->allocator, host_of(lookup), service_of(lookup), &lookup->hints);
}

/* Its outcome from here on; what is allocated is the request's. */
static void decide(struct loop_getaddrinfo *req, const struct dns_answer *answer)
{
    job_deadline_end(&req->deadline);
    req->lookup = NULL;
    req->status = answer->status;
    req->code = answer->code;
    req->memory = answer->addresses;
    req->count = answer->count;
    req->canonical_name = dns_answer_name(answer);
}

static struct dns_answer share(struct loop_lookup *lookup)
{
    struct dns_answer answer = lookup->answer;
    if (!list_empty(&lookup->waiting))
        return dns_answer_copy(&lookup->job.allocator, &answer);
    lookup->answer.addresses = NULL;
    return answer;
}

static void arrive(struct loop_job *job)
{
    struct loop_lookup *lookup = lookup_of(job);
    lookup->answered = true;
    while (!list_empty(&lookup->waiting)) {
        struct loop_getaddrinfo *req = first_of(&lookup->waiting);
        list_remove(&req->link);
        struct dns_answer answer = share(lookup);
        decide(req, &answer);
        request_complete(&req->request);
    }
    free_lookup(job);
}

static void complete(struct loop_request *request)
{
    struct loop_getaddrinfo *req = loop_container_of(request, struct loop_getaddrinfo, request);
    struct loop *loop = request->loop;
    struct loop_address *memory = req->memory;
    req->addresses = memory;
    req->owner = &memory;
    callback_begin(loop, request_subject(request, (loop_function)req->cb), 0);
    req->cb(req);
    callback_end(loop);
    memory_resize(&loop->options.allocator, memory, 0);
}

/* Waits no longer, and will be told this. */
static void leave(struct loop_getaddrinfo *req, int status)
{
    struct loop_lookup *lookup = req->lookup;
    list_remove(&req->link);
    decide(req, &(struct dns_answer){.status = status});
    bool any = !list_empty(&lookup->waiting);
    lookup->job.request = any ? &first_of(&lookup->waiting)->request : NULL;
}

static void abandon(struct loop_request *request)
{
    leave(loop_container_of(request, struct loop_getaddrinfo, request), -ECANCELED);
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_getaddrinfo *req = loop_container_of(request, struct loop_getaddrinfo, request);
    struct loop_lookup *lookup = req->lookup;
    leave(req, status);
    if (lookup->job.request || lookup->answered) {
        request_defer(request);
        return;
    }
    lookup->job.request = request;
    pool_cancel(&lookup->job);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_getaddrinfo *req = loop_container_of(request, struct loop_getaddrinfo, request);
    job_deadline_set(&req->deadline, request, due_ns);
}

static const struct loop_request_ops getaddrinfo_ops = {.type = "getaddrinfo",
                                                        .complete = complete,
                                                        .abandon = abandon,
                                                        .cancel = cancel,
                                                        .expect = expect};

static bool texts_match(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool asks(const struct loop_lookup *lookup, const struct dns_query *query)
{
    const struct loop_dns_hints *a = &lookup->hints, *b = &query->hints;
    return a->family == b->family && a->socket_type == b->socket_type && a->flags == b->flags &&
           texts_match(host_of(lookup), query->host) &&
           texts_match(service_of(lookup), query->service);
}

/* NULL: nobody is asking that. */
static struct loop_lookup *find_lookup(const struct loop *loop, const struct dns_query *query)
{
    struct loop_link *link;
    for (link = loop->requests.next; link != &loop->requests; link = link->next) {
        struct loop_request *request = loop_container_of(link, struct loop_request, link);
        if (request->ops != &getaddrinfo_ops)
            continue;
        struct loop_getaddrinfo *req = loop_container_of(request, struct loop_getaddrinfo, request);
        if (!req->lookup->answered && asks(req->lookup, query))
            return req->lookup;
    }
    return NULL;
}

/* NULL: out of memory. */
static struct loop_lookup *make_lookup(struct loop *loop, const struct dns_query *query)
{
    size_t host_size = query->host ? strlen(query->host) + 1 : 0;
    size_t service_size = query->service ? strlen(query->service) + 1 : 0;
    struct loop_lookup *lookup =
        memory_resize(&loop->options.allocator, NULL, sizeof(*lookup) + host_size + service_size);
    if (!lookup)
        return NULL;
    *lookup = (struct loop_lookup){.job = {.allocator = loop->options.allocator,
                                           .kind = POOL_DNS,
                                           .run = run,
                                           .arrive = arrive,
                                           .discard = free_lookup},
                                   .hints = query->hints,
                                   .host_size = host_size,
                                   .service_size = service_size};
    list_init(&lookup->waiting);
    if (host_size > 0)
        memcpy(lookup->text, query->host, host_size);
    if (service_size > 0)
        memcpy(lookup->text + host_size, query->service, service_size);
    return lookup;
}

static int begin_lookup(struct loop *loop, const struct dns_query *query,
                        struct loop_lookup **lookup)
{
    *lookup = make_lookup(loop, query);
    if (!*lookup)
        return -ENOMEM;
    int error = pool_submit(loop, &(*lookup)->job);
    if (error)
        free_lookup(&(*lookup)->job);
    return error;
}

static void start(struct loop *loop, struct loop_getaddrinfo *req, loop_getaddrinfo_cb cb)
{
    req->cb = cb;
    job_deadline_none(&req->deadline);
    request_start(loop, &req->request, &getaddrinfo_ops, (loop_function)cb);
}

static int ask_resolver(struct loop *loop, struct loop_getaddrinfo *req,
                        const struct dns_query *query, loop_getaddrinfo_cb cb)
{
    struct loop_lookup *lookup = find_lookup(loop, query);
    int error = lookup ? 0 : begin_lookup(loop, query, &lookup);
    if (error)
        return error;
    lookup->job.request = &req->request;
    list_append(&lookup->waiting, &req->link);
    req->lookup = lookup;
    start(loop, req, cb);
    return 0;
}

static int answer_at_once(struct loop *loop, struct loop_getaddrinfo *req,
                          const struct dns_query *query, loop_getaddrinfo_cb cb)
{
    const char *name = query->hints.flags & AI_CANONNAME ? query->host : NULL;
    struct dns_answer answer = dns_answer_make(&loop->options.allocator, &query->literal, name);
    if (answer.status < 0)
        return answer.status;
    start(loop, req, cb);
    decide(req, &answer);
    request_defer(&req->request);
    return 0;
}

int loop_getaddrinfo(struct loop *loop, struct loop_getaddrinfo *req, const char *host,
                     const char *service, const struct loop_dns_hints *hints,
                     loop_getaddrinfo_cb cb)
{
    struct dns_query query;
    if (!loop || !req || !cb)
        return -EINVAL;
    thread_check(loop, "getaddrinfo request");
    request_check(&req->request, &getaddrinfo_ops);
    int error = dns_query_init(&query, host, service, hints);
    if (error)
        return error;
    return query.literal.size > 0 ? answer_at_once(loop, req, &query, cb)
                                  : ask_resolver(loop, req, &query, cb);
}

struct loop_address *loop_getaddrinfo_take(struct loop_getaddrinfo *req)
{
    struct loop_address *memory = NULL;
    if (req->addresses) {
        memory = *req->owner;
        *req->owner = NULL;
    }
    return memory;
}
