/* Notes in a database: what they are made of, and what can be done to them. No HTTP here.
 *
 * A note is {"id", "version", "title", "text", "done", "created", "updated"}; clients set title,
 * text and done. Its version grows with each change: whoever sends back the one that he has read
 * cannot undo what somebody else has done since. Ids are never used twice.
 *
 * SPDX-License-Identifier: MIT */
#ifndef NOTES_H
#define NOTES_H

#include "../common/database.h"

#include <jansson.h>

enum note_action { NOTE_CREATE, NOTE_READ, NOTE_REPLACE, NOTE_CHANGE, NOTE_DELETE, NOTE_LIST };

/* Results of a job over 0: why nothing was done. */
enum { NOTE_MISSING = 1, NOTE_OTHER_VERSION = 2 };

enum { NOTE_SEARCH_SIZE = 200, NOTES_LIMIT = 20, NOTES_LIMIT_MAX = 100 };

/* Which notes to list: in the order of their ids, so that a page stays the same page whatever is
 * created or deleted meanwhile. */
struct note_filter {
    int64_t after; /* ids over this one */
    int64_t limit;
    int done;                      /* 0 or 1; -1: both */
    char search[NOTE_SEARCH_SIZE]; /* in title or text, "" for all */
};

struct note_job {
    struct database_job job;
    enum note_action action;
    int64_t id;
    json_t *input; /* checked by note_check(); whoever makes the job owns it */
    struct note_filter filter;
    bool (*allows)(struct note_job *job, int64_t version); /* NULL: any; on the pool */

    /* the results, with a reference of the job's */
    json_t *output; /* the note, or an array of them */
    bool more;      /* the list goes on */
};

/* Statements and schema of the database. */
extern const char *const note_statements[];
extern const char note_schema[];

/* What is wrong with a note that a client sends: an array of {"field", "message"}, or NULL. whole:
 * it must have what a new one needs. */
json_t *note_check(const json_t *input, bool whole);

/* The fn of the job. */
int note_work(struct database_connection *connection, struct database_job *job);

#endif
