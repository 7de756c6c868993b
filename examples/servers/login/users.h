/* Users and their sessions in a database. No HTTP here.
 *
 * A job is one thing to be done; which of its fields go in and which come out stands beside it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef USERS_H
#define USERS_H

#include "../common/database.h"
#include "secret.h"

enum {
    USER_NAME_MAX = 64,         /* bytes */
    USER_SESSION_S = 12 * 3600, /* that a session lasts */
};

enum user_action {
    USER_FIND,    /* name: its id and hash */
    USER_ENTER,   /* id, hash (it may have changed): a session of this token */
    USER_SESSION, /* token: the user who has it, and how many sessions there are of that one */
    USER_LEAVE,   /* token: the session ends */
    USER_ADD,     /* name, hash: a new user, or another password, which ends all sessions */
};

/* Result over 0: there is no such user or session. */
enum { USER_MISSING = 1 };

struct user_job {
    struct database_job job;
    enum user_action action;
    int64_t id;
    char name[USER_NAME_MAX + 1];
    char hash[SECRET_PASSWORD_HASH_SIZE];
    char token[SECRET_TOKEN_SIZE];
    char since[32]; /* when the session began */
    int sessions;
};

extern const char *const user_statements[];
extern const char user_schema[];

/* The fn of the job. */
int user_work(struct database_connection *connection, struct database_job *job);

/* Whether a name can be one: letters of any language, digits and signs, no controls, no spaces at
 * its ends. */
bool user_is_name(const char *name);

#endif
