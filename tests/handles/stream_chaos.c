/* Streams in the hands of someone who does anything at any time.
 *
 * Some pairs of streams are read, written, cancelled, shut down, coupled, reset, detached, adopted
 * again and closed, by chance, from inside whatever callback runs. Whatever is done, each request
 * that was started is told once and no more, none is told after its stream's close callback, no
 * callback comes from inside a call, and when all is closed nothing is left. The memory of a stream
 * is overwritten and freed by its close callback, so that whoever looks at it later is found out.
 * What happens follows from a seed, which is printed if a test fails.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_pair.h"

enum { SEEDS = 300, ACTORS = 6, WRITES = 3, STEPS = 400 };

static uint32_t seed, state_of_chance;

static uint32_t chance(uint32_t below)
{
    state_of_chance ^= state_of_chance << 13;
    state_of_chance ^= state_of_chance >> 17;
    state_of_chance ^= state_of_chance << 5;
    return state_of_chance % below;
}

static void expect(bool holds, const char *what)
{
    if (!holds)
        print_error("seed %u: %s\n", seed, what);
    assert_true(holds);
}

struct actor {
    struct end end;
    int place;
    int pending; /* requests that were started and not told */
    struct loop_read read;
    struct loop_write writes[WRITES];
    struct loop_shutdown shutdown;
    struct loop_stream_pipe copy; /* from here to another */
    bool reading_into, shutting, copying;
    bool writing[WRITES];
    char bytes[5000];
};

static struct actor *actors[ACTORS]; /* NULL: closed */
static int steps;
static bool inside; /* a call into the library */
static struct loop *the_loop;

static void act(void);

static void enter_callback(void)
{
    expect(!inside, "a callback came from inside a call");
    if (steps > 0 && chance(3) == 0)
        act();
}

static void told(struct actor *actor, bool *flag)
{
    expect(*flag, "a request was told that had not been started");
    *flag = false;
    actor->pending--;
    enter_callback();
}

static void on_piece(struct loop_stream *stream, ssize_t size, void *bytes)
{
    expect(!loop_is_closing(&stream->handle), "a closed stream was read");
    if (size > 0)
        memset(bytes, 0xee, (size_t)size);
    enter_callback();
}

static void on_read_into(struct loop_read *read, int status)
{
    struct actor *actor = loop_container_of(read, struct actor, read);
    (void)status;
    told(actor, &actor->reading_into);
}

static void on_written(struct loop_write *write, int status)
{
    struct actor *actor = write->request.data;
    (void)status;
    told(actor, &actor->writing[write - actor->writes]);
}

static void on_shut(struct loop_shutdown *shutdown, int status)
{
    struct actor *actor = loop_container_of(shutdown, struct actor, shutdown);
    (void)status;
    told(actor, &actor->shutting);
}

static void on_copied(struct loop_stream_pipe *copy, int status)
{
    struct actor *actor = loop_container_of(copy, struct actor, copy);
    (void)status;
    told(actor, &actor->copying);
}

static void on_event(struct loop_stream *stream)
{
    expect(!loop_is_closing(&stream->handle), "a closed stream was called back");
    enter_callback();
}

static void on_closed(struct loop_handle *handle)
{
    struct end *end = loop_container_of(handle, struct end, handle);
    struct actor *actor = loop_container_of(end, struct actor, end);
    expect(actor->pending == 0, "a request outlives its stream");
    actors[actor->place] = NULL;
    memset(actor, 0xee, sizeof(*actor));
    free(actor);
    enter_callback();
}

static void started(struct actor *actor, bool *flag, int result)
{
    if (result < 0)
        return;
    *flag = true;
    actor->pending++;
}

static void write_by_chance(struct actor *actor)
{
    static const char zeros[60000];
    uint32_t slot = chance(WRITES), count = chance(7);
    struct loop_buf bufs[7];
    for (uint32_t i = 0; i < count; i++)
        bufs[i] = (struct loop_buf){zeros, chance(chance(2) ? 100 : sizeof(zeros))};
    if (actor->writing[slot])
        return;
    actor->writes[slot].request.data = actor;
    started(actor, &actor->writing[slot],
            loop_write(&actor->end.stream, &actor->writes[slot], bufs, count, on_written));
}

static struct loop_request *any_request(struct actor *actor)
{
    struct loop_request *requests[] = {&actor->read.request, &actor->shutdown.request,
                                       &actor->copy.request};
    uint32_t which = chance(WRITES + (uint32_t)ARRAY_LENGTH(requests));
    return which < WRITES ? &actor->writes[which].request : requests[which - WRITES];
}

static void couple(struct actor *from, struct actor *to)
{
    if (to && !from->copying)
        started(from, &from->copying,
                loop_stream_pipe(&from->end.stream, &to->end.stream, &from->copy, on_copied));
}

/* Out and in again, or for good. */
static void give_away(struct actor *actor)
{
    int fd = loop_stream_detach(&actor->end.stream);
    if (fd < 0)
        return;
    if (chance(3) > 0)
        adopt(&actor->end, fd);
    else
        close(fd);
}

static void read_by_chance(struct actor *actor)
{
    struct loop_stream *stream = &actor->end.stream;
    uint32_t way = chance(6);
    if (way < 3)
        loop_read_start(stream, on_piece);
    else if (way == 3 && !stream->sink)
        loop_read_stop(stream);
    else if (way > 3 && !actor->reading_into)
        started(actor, &actor->reading_into,
                loop_read_into(stream, &actor->read, actor->bytes, 1 + chance(2000), 5000,
                               on_read_into));
}

static void write_quickly(struct actor *actor)
{
    struct loop_buf buf = {actor->bytes, chance(sizeof(actor->bytes))};
    if (chance(2))
        loop_write_copy(&actor->end.stream, buf.bytes, buf.size);
    else
        loop_try_write(&actor->end.stream, &buf, 1);
}

static void end_request(struct actor *actor)
{
    if (chance(2))
        loop_request_cancel(any_request(actor));
    else
        loop_request_deadline(any_request(actor), chance(3000));
}

static void shut_down(struct actor *actor)
{
    if (!actor->shutting)
        started(actor, &actor->shutting,
                loop_shutdown(&actor->end.stream, &actor->shutdown, on_shut));
}

static void set_by_chance(struct actor *actor)
{
    struct loop_stream *stream = &actor->end.stream;
    if (chance(2))
        loop_stream_set_idle(stream, 1 + chance(3000), on_event);
    else
        loop_stream_set_marks(stream, 1 + chance(50000), 50001 + chance(50000), 0, on_event);
}

static void close_by_chance(struct actor *actor)
{
    if (loop_is_closing(&actor->end.handle) || chance(4) > 0)
        return;
    if (chance(2))
        loop_close(&actor->end.handle, on_closed);
    else
        loop_stream_reset(&actor->end.stream, on_closed);
}

static void couple_by_chance(struct actor *actor)
{
    couple(actor, actors[chance(ACTORS)]);
}

static void do_to(struct actor *actor)
{
    static void (*const ways[])(struct actor *) = {
        read_by_chance,  read_by_chance, read_by_chance,  write_by_chance,  write_by_chance,
        write_by_chance, write_quickly,  end_request,     end_request,      shut_down,
        set_by_chance,   give_away,      close_by_chance, couple_by_chance,
    };
    ways[chance(ARRAY_LENGTH(ways))](actor);
}

static void open_actors(int place)
{
    int fds[2];
    make_fds(fds, chance(2) ? 4096 : 0);
    for (int i = 0; i < 2; i++) {
        struct actor *actor = calloc(1, sizeof(*actor));
        actor->place = place + i;
        open_end(the_loop, &actor->end, "actor", fds[i]);
        actors[place + i] = actor;
    }
}

static void act(void)
{
    for (uint32_t i = 1 + chance(4); i > 0 && steps > 0; i--, steps--) {
        int place = (int)chance(ACTORS);
        int pair = place / 2 * 2;
        inside = true;
        if (actors[place])
            do_to(actors[place]);
        else if (!actors[pair] && !actors[pair + 1])
            open_actors(pair);
        inside = false;
    }
}

static void play(void)
{
    steps = STEPS;
    for (int place = 0; place < ACTORS; place += 2)
        open_actors(place);
    while (steps > 0) {
        act();
        turn(the_loop);
        if (chance(4) == 0)
            loop_run(the_loop, LOOP_RUN_NOWAIT);
    }
    for (int place = 0; place < ACTORS; place++)
        if (actors[place] && !loop_is_closing(&actors[place]->end.handle))
            loop_close(&actors[place]->end.handle, on_closed);
    run(the_loop);
    for (int place = 0; place < ACTORS; place++)
        expect(!actors[place], "a close callback did not come");
}

static void each_request_is_told_once_whatever_is_done(void **state)
{
    the_loop = *state;
    for (seed = 1; seed <= SEEDS; seed++) {
        state_of_chance = seed * 2654435761u;
        play();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        over_all(each_request_is_told_once_whatever_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
