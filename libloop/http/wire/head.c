/* Heads, and the small grammar of their values.
 *
 * A head is read into memory that is allocated once, at its limit, and not moved: the strings of a
 * message can be handed out as they are. Memory that is not touched costs nothing, and a head that
 * does not fit is refused, whoever sent it. Names are kept in lower case, which is how they are
 * looked for.
 *
 * SPDX-License-Identifier: MIT */
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct head *head_new(const struct loop_http_limits *limits)
{
    struct head *head = malloc(sizeof(*head) + limits->headers * sizeof(*head->headers) +
                               limits->head_bytes + limits->target_bytes);
    if (!head)
        return NULL;
    *head = (struct head){
        .count_max = limits->headers,
        .size = limits->head_bytes,
        .target_max = limits->target_bytes,
    };
    head->headers = (struct loop_http_header *)(void *)(head + 1);
    head->text = (char *)(head->headers + limits->headers);
    head_reset(head);
    return head;
}

void head_free(struct head *head)
{
    free(head);
}

void head_reset(struct head *head)
{
    head->target = head->reason = "";
    head->count = head->trailers = head->used = head->begin = 0;
}

const char *head_find(const struct head *head, const char *name)
{
    for (uint32_t i = 0; i < head->trailers; i++)
        if (strcmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

bool list_has(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; at && *at;) {
        at += strspn(at, " \t,");
        size_t length = strcspn(at, " \t,;");
        if (length == size && strncasecmp(at, word, size) == 0)
            return true;
        at = strchr(at, ',');
    }
    return false;
}

/* Bytes of names stand for themselves, all others for 0: one look at each is all it takes. The
 * first two rows are controls, and what is behind ASCII is 0 by itself. */
static const char in_names[256] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0!\0#$%&'\0\0*+\0-.\0"
                                  "0123456789\0\0\0\0\0\0"
                                  "\0ABCDEFGHIJKLMNO"
                                  "PQRSTUVWXYZ\0\0\0^_"
                                  "`abcdefghijklmno"
                                  "pqrstuvwxyz\0|\0~\0";

size_t token_size(const char *name)
{
    size_t size = 0;
    while (in_names[(unsigned char)name[size]])
        size++;
    return name[size] == '\0' ? size : 0;
}

bool is_token(const char *name)
{
    return token_size(name) > 0;
}
