/* Users and sessions in SQLite: see users.h.
 *
 * A session is a row with the hash of its token. It ends at a time of its own, whatever the browser
 * thinks of its cookie, and by logging out, which deletes the row: a cookie that somebody has kept
 * is worth nothing then.
 *
 * SPDX-License-Identifier: MIT */
#include "users.h"

#include <stdio.h>
#include <string.h>

enum { FIND, ENTER, FORGET, SESSION, LEAVE, ADD, LEAVE_ALL };

const char user_schema[] = "CREATE TABLE IF NOT EXISTS users ("
                           "  id INTEGER PRIMARY KEY,"
                           "  name TEXT NOT NULL UNIQUE,"
                           "  hash TEXT NOT NULL) STRICT;"
                           "CREATE TABLE IF NOT EXISTS sessions ("
                           "  token BLOB PRIMARY KEY,"
                           "  user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,"
                           "  created INTEGER NOT NULL,"
                           "  expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
                           "CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires);"
                           "CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user)";

const char *const user_statements[] = {
    [FIND] = "SELECT id, hash FROM users WHERE name = ?1",
    [ENTER] =
        "INSERT INTO sessions (token, user, created, expires)"
        " SELECT ?1, id, unixepoch(), unixepoch() + ?3 FROM users WHERE id = ?2 AND hash = ?4",
    [FORGET] = "DELETE FROM sessions WHERE expires <= unixepoch()",
    [SESSION] = "SELECT users.id, name, strftime('%Y-%m-%d %H:%M UTC', created, 'unixepoch'),"
                " (SELECT count(*) FROM sessions AS other"
                "  WHERE other.user = users.id AND other.expires > unixepoch())"
                " FROM sessions JOIN users ON users.id = user"
                " WHERE token = ?1 AND expires > unixepoch()",
    [LEAVE] = "DELETE FROM sessions WHERE token = ?1",
    [ADD] = "INSERT INTO users (name, hash) VALUES (?1, ?2)"
            " ON CONFLICT (name) DO UPDATE SET hash = excluded.hash RETURNING id",
    [LEAVE_ALL] = "DELETE FROM sessions WHERE user = ?1",
    NULL,
};

static void bind_token(sqlite3_stmt *statement, int number, const char *token)
{
    unsigned char hash[SECRET_HASH_SIZE];
    secret_hash(token, strlen(token), hash);
    sqlite3_bind_blob(statement, number, hash, sizeof(hash), SQLITE_TRANSIENT);
}

static void copy_text(sqlite3_stmt *row, int column, char *text, size_t size)
{
    snprintf(text, size, "%s", (const char *)sqlite3_column_text(row, column));
}

/* Runs a statement that gives a row, or none. */
static int step_one(struct database_connection *connection, sqlite3_stmt *statement)
{
    int found = database_step(connection, statement);
    return found == 1 ? 0 : found < 0 ? found : USER_MISSING;
}

static int find(struct database_connection *connection, struct user_job *user)
{
    sqlite3_stmt *statement = database_statement(connection, FIND);
    if (!statement)
        return database_error(connection);
    sqlite3_bind_text(statement, 1, user->name, -1, SQLITE_STATIC);
    int result = step_one(connection, statement);
    if (result == 0) {
        user->id = sqlite3_column_int64(statement, 0);
        copy_text(statement, 1, user->hash, sizeof(user->hash));
    }
    return result;
}

static int enter(struct database_connection *connection, struct user_job *user)
{
    sqlite3_stmt *forget = database_statement(connection, FORGET);
    sqlite3_stmt *statement = database_statement(connection, ENTER);
    if (!forget || !statement)
        return database_error(connection);
    bind_token(statement, 1, user->token);
    sqlite3_bind_int64(statement, 2, user->id);
    sqlite3_bind_int64(statement, 3, USER_SESSION_S);
    sqlite3_bind_text(statement, 4, user->hash, -1, SQLITE_STATIC);
    int result = database_step(connection, forget);
    if (result == 0)
        result = database_step(connection, statement);
    if (result == 0 && sqlite3_changes(connection->sqlite) == 0)
        return USER_MISSING;
    return result;
}

static int read_session(struct database_connection *connection, struct user_job *user)
{
    sqlite3_stmt *statement = database_statement(connection, SESSION);
    if (!statement)
        return database_error(connection);
    bind_token(statement, 1, user->token);
    int result = step_one(connection, statement);
    if (result == 0) {
        user->id = sqlite3_column_int64(statement, 0);
        copy_text(statement, 1, user->name, sizeof(user->name));
        copy_text(statement, 2, user->since, sizeof(user->since));
        user->sessions = sqlite3_column_int(statement, 3);
    }
    return result;
}

static int leave(struct database_connection *connection, struct user_job *user)
{
    sqlite3_stmt *statement = database_statement(connection, LEAVE);
    if (!statement)
        return database_error(connection);
    bind_token(statement, 1, user->token);
    return database_step(connection, statement);
}

static int add(struct database_connection *connection, struct user_job *user)
{
    sqlite3_stmt *statement = database_statement(connection, ADD);
    sqlite3_stmt *leave_all = database_statement(connection, LEAVE_ALL);
    if (!statement || !leave_all)
        return database_error(connection);
    sqlite3_bind_text(statement, 1, user->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, user->hash, -1, SQLITE_STATIC);
    int result = step_one(connection, statement);
    if (result != 0)
        return result;
    user->id = sqlite3_column_int64(statement, 0);
    sqlite3_bind_int64(leave_all, 1, user->id);
    return database_step(connection, leave_all);
}

int user_work(struct database_connection *connection, struct database_job *job)
{
    struct user_job *user = loop_container_of(job, struct user_job, job);
    switch (user->action) {
    case USER_FIND:
        return find(connection, user);
    case USER_ENTER:
        return enter(connection, user);
    case USER_SESSION:
        return read_session(connection, user);
    case USER_LEAVE:
        return leave(connection, user);
    default:
        return add(connection, user);
    }
}

bool user_is_name(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > USER_NAME_MAX || name[0] == ' ' || name[size - 1] == ' ')
        return false;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    }
    return true;
}
