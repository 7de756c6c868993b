/* The program's streams: every kind, both ends of it, and all that can be asked of one.
 *
 * Some connect to each other inside the loop, some to far ends. A stream is left alone only when
 * the contract says that its memory may go. What the kernel watches is compared, at each wait, with
 * what is under way: a descriptor that is watched for what nobody wants is a loop that will spin.
 * Copies of descriptors, as another process would hold, are closed when the faults are over.
 *
 * SPDX-License-Identifier: MIT */
#include "streams.h"

enum { STREAMS_MAX = 12, PORTS = 6, COPIES_MAX = 16 };

static int copies[COPIES_MAX]; /* of descriptors, in other processes */
static unsigned copy_count;

void streams_begin(void)
{
    copy_count = 0;
}

void copies_close(void)
{
    while (copy_count > 0)
        sys_close(copies[--copy_count]);
}

static struct stream_object *stream_object(struct loop_handle *handle)
{
    return loop_container_of(handle, struct stream_object, tcp.handle);
}

struct loop_stream *stream_of(struct stream_object *mine)
{
    return &mine->tcp.stream;
}

struct stream_object *mine_of(struct loop_stream *stream)
{
    return stream_object(&stream->handle);
}

void stream_refresh(struct stream_object *mine)
{
    bool active = mine->reading || mine->listening;
    if (active && !mine->thing.active)
        model_start(&mine->thing);
    else if (!active && mine->thing.active)
        model_stop(&mine->thing);
    mine->thing.unsure = mine->connecting;
    mine->thing.maybe = mine->hidden;
    struct file *file = file_of(loop_stream_fd(stream_of(mine)));
    if (file)
        file->owner = &mine->transfer;
}

static void disown(struct stream_object *mine)
{
    struct file *file = file_of(loop_stream_fd(stream_of(mine)));
    if (file)
        file->owner = NULL;
}

static struct stream_object *stream_make(bool is_tcp)
{
    struct stream_object *mine = calloc(1, sizeof(*mine));
    mine->is_tcp = is_tcp;
    model_add(&mine->thing, A_STREAM);
    if (is_tcp)
        loop_tcp_init(&the_loop, &mine->tcp);
    else
        loop_pipe_init(&the_loop, &mine->pipe);
    return mine;
}

static void on_close(struct loop_handle *handle)
{
    struct stream_object *mine = stream_object(handle);
    model_closed(&mine->thing);
    if (mine->requests > 0)
        fail("P3: stream %u is closed with %u requests in flight", mine->thing.number,
             mine->requests);
    pieces_drop_all(&mine->transfer);
    free(mine->transfer.given);
    model_remove(&mine->thing);
    react();
}

void stream_close_now(struct thing *thing, bool reset)
{
    struct stream_object *mine = (struct stream_object *)(void *)thing;
    disown(mine);
    pieces_may_stop(&mine->transfer);
    mine->reading = mine->listening = false;
    model_close(thing);
    if (reset)
        loop_stream_reset(stream_of(mine), on_close);
    else
        loop_close(&stream_of(mine)->handle, on_close);
}

static struct loop_address address_of(unsigned port)
{
    return (struct loop_address){.ip4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)},
                                 .size = sizeof(struct sockaddr_in)};
}

static size_t name_of(unsigned port, char name[16], bool is_path)
{
    snprintf(name, 16, "/sim/%u", port);
    if (is_path)
        return strlen(name);
    snprintf(name, 16, "%c/sim/%u", '@', port);
    size_t size = strlen(name);
    name[0] = '\0';
    return size;
}

static void serve(struct stream_object *mine)
{
    int status = loop_refuse(stream_of(mine));
    check_result("refuse", status, status == 0 || status == -EAGAIN || status == -ENOTCONN);
}

static void accept_one(struct stream_object *listener)
{
    struct stream_object *mine = stream_make(listener->is_tcp);
    int error = loop_accept(stream_of(listener), stream_of(mine));
    check_result("accept", error, error == 0 || error == -EAGAIN || error == -ENOTCONN);
    mine->open = error == 0;
    stream_refresh(mine);
    if (error)
        model_remove(&mine->thing);
}

static void on_connection(struct loop_stream *stream, int status)
{
    struct stream_object *mine = mine_of(stream);
    model_event(&mine->thing);
    bool expected = status == 0 || status == -EMFILE || status == -ENFILE;
    check_result("connection", status, expected && mine->listening);
    model_call_begins();
    unsigned choice = program_below(8);
    if (choice == 0)
        serve(mine);
    else if (choice > 2 && model_count(STREAM_BIT) < 2 * STREAMS_MAX)
        accept_one(mine);
    model_call_ends();
    react();
}

static void listen_on(unsigned port)
{
    bool is_tcp = has(TCP) && (!has(UNIX) || program_chance(500));
    struct stream_object *mine = stream_make(is_tcp);
    struct loop_address address = address_of(port);
    char name[16];
    size_t size = name_of(port, name, program_chance(500));
    int error =
        is_tcp ? loop_tcp_bind(&mine->tcp, &address, 0) : loop_pipe_bind(&mine->pipe, name, size);
    if (!is_tcp && !error)
        memcpy(mine->path, name, sizeof(name));
    check_result("bind", error, error == 0 || error == -EADDRINUSE || error == -EMFILE);
    if (!error) {
        error = loop_listen(stream_of(mine), (int)program_below(5), on_connection);
        check_result("listen", error, error == 0 || error == -ENOMEM || error == -ENOSPC);
        mine->open = true;
        mine->listening = error == 0;
        mine->is_listener = true;
    }
    stream_refresh(mine);
    if (mine->is_listener && !mine->listening) /* the kernel may listen all the same */
        stream_close_now(&mine->thing, false);
}

static void connect_to(unsigned port)
{
    bool is_tcp = has(TCP) && (!has(UNIX) || program_chance(500));
    struct stream_object *mine = stream_make(is_tcp);
    struct request_object *req = request_make(mine, A_CONNECT);
    struct loop_address address = address_of(port);
    char name[16];
    size_t size = name_of(port, name, false);
    int error = is_tcp ? loop_tcp_connect(&mine->tcp, &req->connect, &address, on_connect)
                       : loop_pipe_connect(&mine->pipe, &req->connect, name, size, on_connect);
    check_result("connect", error, error == 0 || error == -EMFILE);
    if (error)
        request_undo(req);
    mine->open = mine->connecting = error == 0;
    stream_refresh(mine);
}

static void pair_up(void)
{
    struct stream_object *a = stream_make(false), *b = stream_make(false);
    int error = loop_pipe_pair(&a->pipe, &b->pipe);
    check_result("pair", error, error == 0 || error == -EMFILE);
    a->open = b->open = error == 0;
    stream_refresh(a);
    stream_refresh(b);
}

static void open_fifo(void)
{
    int fds[2];
    if (world_pipe(fds) < 0)
        return;
    for (int i = 0; i < 2; i++) {
        struct stream_object *mine = stream_make(false);
        check_result("pipe open", loop_pipe_open(&mine->pipe, fds[i]), true);
        mine->open = mine->is_fifo = true;
        mine->only_reads = i == 0;
        mine->only_writes = i == 1;
        stream_refresh(mine);
    }
}

static void make_some(void)
{
    if (model_count(STREAM_BIT) >= STREAMS_MAX)
        return;
    unsigned choice = program_below(8);
    if (choice < 2 && (has(TCP) || has(UNIX)))
        listen_on(1 + program_below(PORTS));
    else if (choice < 5 && (has(TCP) || has(UNIX)))
        connect_to(program_chance(500) ? 1 + program_below(PORTS) : 1000 + program_below(6));
    else if (choice < 7 && has(UNIX))
        pair_up();
    else if (has(FIFOS))
        open_fifo();
}

/* Another process keeps a copy, and lets go of it much later. */
static void lend(struct stream_object *mine)
{
    int fd = loop_stream_fd(stream_of(mine));
    if (!has(DUPS) || fd < 0 || mine->is_fifo || copy_count == COPIES_MAX)
        return;
    copies[copy_count] = world_dup(fd);
    copy_count += copies[copy_count] >= 0;
}

static void detach(struct stream_object *mine)
{
    if (mine->transfer.given_size > 0)
        return;
    disown(mine);
    int fd = loop_stream_detach(stream_of(mine));
    bool busy = mine->requests > 0 || mine->is_listener || mine->hidden;
    check_result("detach", fd, fd >= 0 || fd == -ENOTCONN || (fd == -EBUSY && busy));
    if (fd < 0) {
        stream_refresh(mine);
        return;
    }
    sys_close(fd);
    if (mine->path[0] != '\0')
        sys_unlink(mine->path); /* it went with the descriptor */
    mine->open = mine->reading = mine->listening = mine->is_fifo = false;
    pieces_drop_all(&mine->transfer);
    stream_refresh(mine);
}

static void on_idle(struct loop_stream *stream)
{
    model_event(&mine_of(stream)->thing);
    react();
}

static void adjust(struct stream_object *mine)
{
    struct loop_stream *stream = stream_of(mine);
    struct loop_handle *handle = &stream->handle;
    int error = 0;
    switch (program_below(3)) {
    case 0:
        error = loop_stream_set_idle(stream, 1 + program_below(20 * MS), on_idle);
        break;
    case 1:
        error = loop_stream_set_marks(stream, 100, 1000, 4000, on_drain);
        break;
    default:
        mine->thing.unref = !mine->thing.unref;
        if (mine->thing.unref)
            loop_unref(handle);
        else
            loop_ref(handle);
    }
    check_result("adjust", error, error == 0 || error == -EBUSY);
    if (stream->queued > stream->max)
        fail("P11: %zu bytes are queued", stream->queued);
}

void stream_act(void)
{
    struct thing *thing = model_pick(STREAM_BIT);
    if (!thing || program_chance(150)) {
        make_some();
        return;
    }
    struct stream_object *mine = (struct stream_object *)(void *)thing;
    unsigned choice = program_below(100);
    if (choice < 80)
        transfer_act(mine);
    else if (choice < 86)
        adjust(mine);
    else if (choice < 89)
        lend(mine);
    else if (choice < 91)
        detach(mine);
    else if (choice < 95 && mine->is_listener)
        accept_one(mine);
    else if (choice >= 95)
        stream_close_now(thing, program_chance(300));
    if (!thing->closing)
        stream_refresh(mine);
}

/* Of what is under way in the end only reading may last. */
struct thing *request_left(void)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (thing->kind == A_REQUEST && thing->active && !request_may_last(thing))
            return thing;
    return NULL;
}

static void accept_and_refuse(struct stream_object *mine)
{
    while (loop_refuse(stream_of(mine)) == 0)
        ;
}

void streams_calm(void)
{
    model_call_begins();
    requests_calm();
    for (struct thing *thing = model_things(); thing; thing = thing->next) {
        struct stream_object *mine = (struct stream_object *)(void *)thing;
        if (thing->kind != A_STREAM || thing->closing)
            continue;
        if (mine->is_listener)
            accept_and_refuse(mine);
        else if (!mine->is_fifo || mine->only_reads)
            read_calmly(mine);
        stream_refresh(mine);
    }
    model_call_ends();
}

void streams_check(void)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next) {
        struct stream_object *mine = (struct stream_object *)(void *)thing;
        if (thing->kind != A_STREAM || thing->closing)
            continue;
        uint32_t wanted = epoll_wanted(loop_stream_fd(stream_of(mine)));
        if (wanted & EPOLLOUT && stream_of(mine)->queued == 0 && mine->writes == 0 &&
            !mine->connecting && !mine->hidden)
            fail("P10: stream %u is watched for room, and nothing is to be written", thing->number);
        if (wanted & EPOLLIN && !mine->reading && mine->reads_into == 0 && !mine->listening &&
            !mine->copies_from)
            fail("P10: stream %u is watched for bytes, and nobody reads", thing->number);
    }
}
