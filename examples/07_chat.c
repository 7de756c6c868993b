/* A chat over TCP, line by line: many connections that know of each other.
 *
 *     ./run example 07_chat          then, in two other terminals: nc 127.0.0.1 7007
 *     ./run example 07_chat 8000     another port; 0 lets the kernel choose
 *
 * Type lines: the others read them. /nick NAME, /who, /quit. Ctrl-C ends the server.
 *
 * What one says is written to everybody else at once. Somebody whose terminal is stopped must not
 * make the others wait, nor fill our memory: above a hard cap loop_write_copy() returns -ENOBUFS,
 * and that one is dropped. A line has a bound too, since the client decides how long it is.
 *
 * Closing is never at once: a member that is dropped while we walk the list stays in it, closing,
 * until its close callback takes it out. So walking needs no care.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_SIZE = 512,
    NAME_MAX_SIZE = 20,
    WAITING_MAX = 256 * 1024, /* for one member; the kernel holds some megabytes more */
};

struct room {
    struct loop loop;
    struct loop_tcp listener;
    struct member *members; /* the latest first */
    unsigned arrivals;
};

struct member {
    struct loop_tcp tcp;
    struct loop_shutdown end;
    struct room *room;
    struct member *next;
    bool leaving;
    bool too_long; /* the line is; the rest of it is skipped */
    size_t used;
    char line[LINE_MAX_SIZE];
    char name[NAME_MAX_SIZE + 1];
};

static struct member *member_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct member, tcp.stream);
}

static void announce(struct room *room, const struct member *except, const char *name,
                     const char *text);

static void on_close(struct loop_handle *handle)
{
    struct member *member = loop_container_of(handle, struct member, tcp.handle);
    struct room *room = member->room;
    struct member **at = &room->members;
    while (*at != member)
        at = &(*at)->next;
    *at = member->next;
    announce(room, NULL, member->name, " has left");
    free(member);
}

static void drop(struct member *member)
{
    if (!loop_is_closing(&member->tcp.handle))
        loop_close(&member->tcp.handle, on_close);
}

static void tell(struct member *member, const char *line, size_t size)
{
    if (member->leaving || loop_is_closing(&member->tcp.handle))
        return;
    if (loop_write_copy(&member->tcp.stream, line, size) < 0)
        drop(member); /* it has gone, or it reads too slowly */
}

/* except may be NULL. The line is whole: its parts are bounded. */
static void announce(struct room *room, const struct member *except, const char *name,
                     const char *text)
{
    char line[NAME_MAX_SIZE + LINE_MAX_SIZE + 8];
    int size = snprintf(line, sizeof(line), "%s%s\n", name, text);
    for (struct member *member = room->members; member; member = member->next)
        if (member != except)
            tell(member, line, (size_t)size);
}

static void answer(struct member *member, const char *text)
{
    tell(member, text, strlen(text));
}

static void set_name(struct member *member, const char *name)
{
    char text[NAME_MAX_SIZE + 32];
    if (*name == '\0' || strlen(name) > NAME_MAX_SIZE || strchr(name, ' ')) {
        answer(member, "a name has 1 to 20 bytes and no spaces\n");
        return;
    }
    for (struct member *other = member->room->members; other; other = other->next) {
        if (strcmp(other->name, name) == 0) {
            answer(member, "somebody has that name\n");
            return;
        }
    }
    snprintf(text, sizeof(text), " is now called %s", name);
    announce(member->room, NULL, member->name, text);
    strcpy(member->name, name);
}

static void list_members(struct member *member)
{
    for (struct member *other = member->room->members; other; other = other->next) {
        answer(member, other->name);
        answer(member, "\n");
    }
}

/* All that was said to it is with the kernel. */
static void on_end(struct loop_shutdown *end, int status)
{
    (void)status;
    drop(loop_container_of(end, struct member, end));
}

static void quit(struct member *member)
{
    answer(member, "goodbye\n");
    member->leaving = true;
    loop_read_stop(&member->tcp.stream);
    if (loop_shutdown(&member->tcp.stream, &member->end, on_end) < 0)
        drop(member);
}

static void on_line(struct member *member, const char *line)
{
    char text[LINE_MAX_SIZE + 3];
    if (strncmp(line, "/nick ", 6) == 0)
        set_name(member, line + 6);
    else if (strcmp(line, "/who") == 0)
        list_members(member);
    else if (strcmp(line, "/quit") == 0)
        quit(member);
    else if (line[0] == '/')
        answer(member, "/nick NAME, /who, /quit\n");
    else if (line[0] != '\0') {
        snprintf(text, sizeof(text), ": %s", line);
        announce(member->room, member, member->name, text);
    }
}

/* What could play tricks on the terminals of the others is not passed on. */
static void on_byte(struct member *member, char byte)
{
    if (byte == '\n') {
        member->line[member->used] = '\0';
        if (member->too_long)
            answer(member, "that line was too long\n");
        else
            on_line(member, member->line);
        member->used = 0;
        member->too_long = false;
    } else if (member->used == sizeof(member->line) - 1) {
        member->too_long = true;
    } else if (byte != '\r') {
        member->line[member->used++] = (unsigned char)byte < ' ' || byte == 127 ? '?' : byte;
    }
}

/* A line may make the member leave; then the rest is not heard. */
static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct member *member = member_of(stream);
    if (size < 0)
        drop(member);
    for (ssize_t i = 0; i < size && !member->leaving && !loop_is_closing(&stream->handle); i++)
        on_byte(member, ((const char *)bytes)[i]);
}

static void welcome(struct member *member)
{
    struct room *room = member->room;
    snprintf(member->name, sizeof(member->name), "guest%u", ++room->arrivals);
    member->next = room->members;
    room->members = member;
    announce(room, member, member->name, " is here");
    answer(member, "welcome, ");
    answer(member, member->name);
    answer(member, ": /nick NAME, /who, /quit\n");
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct room *room = loop_container_of(listener, struct room, listener.stream);
    struct member *member = status < 0 ? NULL : calloc(1, sizeof(*member));
    if (!member) {
        fprintf(stderr, "a guest has to wait: %s\n", loop_strerror(status < 0 ? status : -ENOMEM));
        if (status == 0)
            loop_refuse(listener);
        return;
    }
    member->room = room;
    loop_tcp_init(&room->loop, &member->tcp);
    int error = loop_accept(listener, &member->tcp.stream);
    welcome(member);
    if (!error)
        error = loop_stream_set_marks(&member->tcp.stream, 0, 0, WAITING_MAX, NULL);
    if (!error)
        error = loop_read_start(&member->tcp.stream, on_read);
    if (error)
        drop(member);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

/* 127.0.0.1: nobody on the net is to meet an example. */
static int listen_on(struct room *room, uint16_t port)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address address;
    loop_tcp_init(&room->loop, &room->listener);
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_tcp_bind(&room->listener, &address, 0);
    if (!error)
        error = loop_listen(&room->listener.stream, LOOP_BACKLOG, on_connection);
    if (!error)
        error = loop_tcp_local(&room->listener, &address);
    if (!error)
        printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return error;
}

/* -1: no number up to max. */
static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' || value < 0 || value > max ? -1 : value;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: chat [PORT]\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static struct room room;
    long port = argc > 1 ? number(argv[1], 65535) : 7007;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout);
    if (argc > 2 || port < 0)
        return print_usage(stderr);
    int error = loop_init(&room.loop, NULL);
    if (!error)
        error = listen_on(&room, (uint16_t)port);
    if (error)
        return fail("cannot listen", error);
    error = loop_run(&room.loop, LOOP_RUN_DEFAULT);
    return error < 0 ? fail("loop_run", error) : EXIT_SUCCESS;
}
