/* Internal. Somebody who speaks Redis' language on the loop of a test, and what it is told to say.
 *
 * A command is handed to scripted_redis.on_command, as its first two words; true: that has answered
 * it, or is silent. Otherwise it is answered as Redis would: PONG, OK, that a channel is subscribed
 * to or left, and what is published goes to all that listen to that name. It listens on a path,
 * since hiredis knows no abstract names.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SCRIPTED_REDIS_H
#define SCRIPTED_REDIS_H

#include "../test.h"

#include "loop/http/redis.h"
#include "loop/pipe.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEERS = 16, WORDS = 4, WORD_SIZE = 64, PATH_SIZE = 64 };

struct peer {
    struct loop_pipe pipe;
    bool open;
    char channel[WORD_SIZE]; /* the last that it subscribed to by name */
    char in[4096];
    size_t size;
};

static struct {
    struct loop *loop;
    struct loop_pipe listener;
    char path[PATH_SIZE];
    struct peer peers[PEERS];
    unsigned accepted, commands;
    bool (*on_command)(struct peer *peer, const char *word, const char *argument);
} scripted_redis;

static void peer_say(struct peer *peer, const char *text)
{
    if (peer->open)
        loop_write_copy(&peer->pipe.stream, text, strlen(text));
}

static void peer_hang_up(struct peer *peer)
{
    if (peer->open)
        loop_close(&peer->pipe.handle, NULL);
    peer->open = false;
}

/* "*3 $n kind $n name :number", as Redis says it. */
static void peer_confirm(struct peer *peer, const char *kind, const char *name)
{
    char text[512];
    snprintf(text, sizeof(text), "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n", strlen(kind), kind,
             strlen(name), name);
    peer_say(peer, text);
}

static void peer_message(struct peer *peer, const char *name, const char *bytes)
{
    char text[512];
    snprintf(text, sizeof(text), "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
             strlen(name), name, strlen(bytes), bytes);
    peer_say(peer, text);
}

static void obey(struct peer *peer, char words[WORDS][WORD_SIZE])
{
    scripted_redis.commands++;
    if (scripted_redis.on_command && scripted_redis.on_command(peer, words[0], words[1]))
        return;
    if (strcmp(words[0], "PING") == 0) {
        peer_say(peer, "+PONG\r\n");
    } else if (strstr(words[0], "SUBSCRIBE")) {
        if (words[0][0] != 'P')
            snprintf(peer->channel, WORD_SIZE, "%s", words[0][0] == 'U' ? "" : words[1]);
        char kind[WORD_SIZE] = "";
        for (size_t i = 0; words[0][i]; i++)
            kind[i] = (char)(words[0][i] | 0x20);
        peer_confirm(peer, kind, words[1]);
    } else if (strcmp(words[0], "PUBLISH") == 0) {
        for (size_t i = 0; i < PEERS; i++)
            if (strcmp(scripted_redis.peers[i].channel, words[1]) == 0)
                peer_message(&scripted_redis.peers[i], words[1], words[2]);
        peer_say(peer, ":1\r\n");
    } else {
        peer_say(peer, "+OK\r\n");
    }
}

/* The first command of what has come; its size, or 0: it is not whole. */
static size_t take_command(const char *in, char words[WORDS][WORD_SIZE])
{
    char *at;
    size_t count = strtoul(in + 1, &at, 10);
    memset(words, 0, (size_t)WORDS * WORD_SIZE);
    if (*in != '*' || strncmp(at, "\r\n", 2) != 0)
        return 0;
    at += 2;
    for (size_t i = 0; i < count; i++) {
        size_t size = *at == '$' ? strtoul(at + 1, &at, 10) : 0;
        if (strncmp(at, "\r\n", 2) != 0 || strlen(at + 2) < size + 2)
            return 0;
        snprintf(words[i % WORDS], WORD_SIZE, "%.*s", (int)size, at + 2);
        at += 2 + size + 2;
    }
    return (size_t)(at - in);
}

static void on_peer_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct peer *peer = loop_container_of(stream, struct peer, pipe.stream);
    char words[WORDS][WORD_SIZE];
    if (size < 0) {
        peer_hang_up(peer);
        return;
    }
    assert_true(peer->size + (size_t)size < sizeof(peer->in));
    memcpy(peer->in + peer->size, bytes, (size_t)size);
    peer->size += (size_t)size;
    peer->in[peer->size] = '\0';
    for (size_t used; peer->open && (used = take_command(peer->in, words)) > 0;) {
        memmove(peer->in, peer->in + used, peer->size + 1 - used);
        peer->size -= used;
        obey(peer, words);
    }
}

static void on_peer(struct loop_stream *listener, int status)
{
    struct peer *peer = &scripted_redis.peers[scripted_redis.accepted++ % PEERS];
    assert_int_equal(0, status);
    assert_false(peer->open);
    memset(peer, 0, sizeof(*peer));
    loop_pipe_init(scripted_redis.loop, &peer->pipe);
    assert_int_equal(0, loop_accept(listener, &peer->pipe.stream));
    peer->open = true;
    assert_int_equal(0, loop_read_start(&peer->pipe.stream, on_peer_read));
}

/* Closing removes the file. */
static void scripted_redis_begin(struct loop *loop)
{
    memset(&scripted_redis, 0, sizeof(scripted_redis));
    scripted_redis.loop = loop;
    snprintf(scripted_redis.path, PATH_SIZE, "/tmp/redis-scripted-%d", (int)getpid());
    unlink(scripted_redis.path);
    loop_pipe_init(loop, &scripted_redis.listener);
    assert_int_equal(0, loop_pipe_bind(&scripted_redis.listener, scripted_redis.path,
                                       strlen(scripted_redis.path)));
    assert_int_equal(0, loop_listen(&scripted_redis.listener.stream, PEERS, on_peer));
    loop_unref(&scripted_redis.listener.handle);
}

static void scripted_redis_end(void)
{
    loop_close(&scripted_redis.listener.handle, NULL);
    for (size_t i = 0; i < PEERS; i++)
        peer_hang_up(&scripted_redis.peers[i]);
    assert_int_equal(0, loop_run(scripted_redis.loop, LOOP_RUN_DEFAULT));
}

#endif
