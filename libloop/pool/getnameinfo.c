/* Addresses into names.
 *
 * As with all that runs on the pool the job has a copy of what is asked and room for the answer,
 * and the request gets a copy of that when it comes home. If numbers are all that is wanted nobody
 * needs to be asked, and the C library writes them down at once. Equal queries do not share a
 * look-up as those of dns.c do: programs ask for the names of their peers one by one, for a log.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"
#include "dns.h"
#include "job_deadline.h"

enum { FLAGS = NI_NUMERICHOST | NI_NUMERICSERV | NI_NAMEREQD | NI_NOFQDN | NI_DGRAM };

struct name_job {
    struct loop_job job;
    struct loop_address address;
    int flags;
    int status;
    int code;
    char host[LOOP_DNS_HOST_SIZE];
    char service[LOOP_DNS_SERVICE_SIZE];
};

static struct name_job *name_job_of(struct loop_job *job)
{
    return loop_container_of(job, struct name_job, job);
}

static void run(struct loop_job *base)
{
    struct name_job *job = name_job_of(base);
    int error;
    job->code = sys_getnameinfo(&job->address.any, job->address.size, job->host, sizeof(job->host),
                                job->service, sizeof(job->service), job->flags, &error);
    job->status = dns_status(job->code, error);
}

static void copy_outcome(struct loop_getnameinfo *req, const struct name_job *job)
{
    req->status = job->status;
    req->code = job->code;
    if (job->status < 0)
        return;
    memcpy(req->host, job->host, sizeof(req->host));
    memcpy(req->service, job->service, sizeof(req->service));
}

/* req->job is gone if the request was cancelled, or had its answer from the start. */
static void complete(struct loop_request *request)
{
    struct loop_getnameinfo *req = loop_container_of(request, struct loop_getnameinfo, request);
    struct loop *loop = request->loop;
    job_deadline_end(&req->deadline);
    if (req->job) {
        copy_outcome(req, name_job_of(req->job));
        job_free(req->job);
        req->job = NULL;
    }
    callback_begin(loop, request_subject(request, (loop_function)req->cb), 0);
    req->cb(req);
    callback_end(loop);
}

static struct loop_job *leave(struct loop_getnameinfo *req, int status)
{
    struct loop_job *job = req->job;
    job_deadline_end(&req->deadline);
    req->job = NULL;
    req->status = status;
    return job;
}

static void abandon(struct loop_request *request)
{
    leave(loop_container_of(request, struct loop_getnameinfo, request), -ECANCELED)->request = NULL;
}

static void cancel(struct loop_request *request, int status)
{
    pool_cancel(leave(loop_container_of(request, struct loop_getnameinfo, request), status));
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_getnameinfo *req = loop_container_of(request, struct loop_getnameinfo, request);
    job_deadline_set(&req->deadline, request, due_ns);
}

static const struct loop_request_ops getnameinfo_ops = {.type = "getnameinfo",
                                                        .complete = complete,
                                                        .abandon = abandon,
                                                        .cancel = cancel,
                                                        .expect = expect};

static void start(struct loop *loop, struct loop_getnameinfo *req, loop_getnameinfo_cb cb)
{
    req->status = req->code = 0;
    req->host[0] = req->service[0] = '\0';
    req->cb = cb;
    job_deadline_none(&req->deadline);
    request_start(loop, &req->request, &getnameinfo_ops, (loop_function)cb);
}

static int ask_resolver(struct loop *loop, struct loop_getnameinfo *req,
                        const struct loop_address *address, int flags, loop_getnameinfo_cb cb)
{
    struct name_job *job = memory_resize(&loop->options.allocator, NULL, sizeof(*job));
    if (!job)
        return -ENOMEM;
    *job = (struct name_job){.job = {.allocator = loop->options.allocator,
                                     .kind = POOL_DNS,
                                     .request = &req->request,
                                     .run = run,
                                     .discard = job_free},
                             .address = *address,
                             .flags = flags};
    int error = pool_submit(loop, &job->job);
    if (error) {
        job_free(&job->job);
        return error;
    }
    req->job = &job->job;
    start(loop, req, cb);
    return 0;
}

static int answer_at_once(struct loop *loop, struct loop_getnameinfo *req,
                          const struct loop_address *address, int flags, loop_getnameinfo_cb cb)
{
    struct name_job job = {.address = *address, .flags = flags};
    run(&job.job);
    req->job = NULL;
    start(loop, req, cb);
    copy_outcome(req, &job);
    request_defer(&req->request);
    return 0;
}

static bool has_names(const struct loop_address *address)
{
    return (address->any.sa_family == AF_INET && address->size == sizeof(address->ip4)) ||
           (address->any.sa_family == AF_INET6 && address->size == sizeof(address->ip6));
}

int loop_getnameinfo(struct loop *loop, struct loop_getnameinfo *req,
                     const struct loop_address *address, int flags, loop_getnameinfo_cb cb)
{
    int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
    if (!loop || !req || !address || !cb || flags & ~FLAGS || !has_names(address))
        return -EINVAL;
    thread_check(loop, "getnameinfo request");
    request_check(&req->request, &getnameinfo_ops);
    if ((flags & numeric) == numeric)
        return answer_at_once(loop, req, address, flags, cb);
    return ask_resolver(loop, req, address, flags, cb);
}
