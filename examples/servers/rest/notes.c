/* Notes in SQLite: see notes.h.
 *
 * Everything that a client sends is bound to a parameter of a prepared statement, and nothing is
 * ever put into the text of one, so there is no text that could be read as SQL. Reading the old
 * version, comparing and writing is one transaction, which began with the lock for writing.
 *
 * SPDX-License-Identifier: MIT */
#include "notes.h"

#include <errno.h>
#include <string.h>

enum { TITLE_MAX = 200, TEXT_MAX = 10000 };

enum { CREATE, READ, UPDATE, DELETE, LIST };

#define COLUMNS "id, version, title, text, done, created, updated"
#define NOW     "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"

const char note_schema[] = "CREATE TABLE IF NOT EXISTS notes ("
                           "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
                           "  version INTEGER NOT NULL DEFAULT 1,"
                           "  title TEXT NOT NULL,"
                           "  text TEXT NOT NULL,"
                           "  done INTEGER NOT NULL,"
                           "  created TEXT NOT NULL DEFAULT (" NOW "),"
                           "  updated TEXT NOT NULL DEFAULT (" NOW ")) STRICT";

const char *const note_statements[] = {
    [CREATE] = "INSERT INTO notes (title, text, done) VALUES (?2, ?3, ?4) RETURNING " COLUMNS,
    [READ] = "SELECT " COLUMNS " FROM notes WHERE id = ?1",
    [UPDATE] = "UPDATE notes SET title = ?2, text = ?3, done = ?4, version = version + 1,"
               " updated = " NOW " WHERE id = ?1 RETURNING " COLUMNS,
    [DELETE] = "DELETE FROM notes WHERE id = ?1",
    [LIST] = "SELECT " COLUMNS " FROM notes WHERE id > ?1 AND (?2 < 0 OR done = ?2)"
             " AND (?3 = '' OR instr(lower(title), lower(?3)) OR instr(lower(text), lower(?3)))"
             " ORDER BY id LIMIT ?4",
    NULL,
};

/* --- what a client may send --- */

static void add_fault(json_t **faults, const char *field, const char *message)
{
    if (!*faults)
        *faults = json_array();
    json_array_append_new(*faults, json_pack("{s:s, s:s}", "field", field, "message", message));
}

/* Characters, which are not bytes. jansson has seen to it that the text is UTF-8. */
static size_t length_of(const json_t *text)
{
    size_t length = 0;
    for (const char *byte = json_string_value(text); *byte; byte++)
        length += (*byte & 0xc0) != 0x80;
    return length;
}

static void check_title(json_t **faults, const json_t *title)
{
    if (!json_is_string(title))
        add_fault(faults, "title", "must be a text");
    else if (length_of(title) == 0 || length_of(title) > TITLE_MAX)
        add_fault(faults, "title", "must have 1 to 200 characters");
}

/* null means the default again, as in RFC 7396. */
static void check_rest(json_t **faults, const char *name, const json_t *value)
{
    if (strcmp(name, "text") == 0) {
        if (!json_is_string(value) && !json_is_null(value))
            add_fault(faults, "text", "must be a text");
        else if (json_is_string(value) && length_of(value) > TEXT_MAX)
            add_fault(faults, "text", "must have at most 10000 characters");
    } else if (strcmp(name, "done") == 0) {
        if (!json_is_boolean(value) && !json_is_null(value))
            add_fault(faults, "done", "must be true or false");
    } else {
        add_fault(faults, name, "is no field that can be set");
    }
}

json_t *note_check(const json_t *input, bool whole)
{
    json_t *faults = NULL;
    if (!json_is_object(input)) {
        add_fault(&faults, "", "must be an object");
        return faults;
    }
    if (whole && !json_object_get(input, "title"))
        add_fault(&faults, "title", "is missing");
    json_t *fields = (json_t *)(uintptr_t)input; /* jansson's walk wants one that it might change */
    for (void *at = json_object_iter(fields); at; at = json_object_iter_next(fields, at)) {
        const char *name = json_object_iter_key(at);
        if (strcmp(name, "title") == 0)
            check_title(&faults, json_object_iter_value(at));
        else
            check_rest(&faults, name, json_object_iter_value(at));
    }
    return faults;
}

/* --- on the pool --- */

static json_t *text_of(sqlite3_stmt *row, int column)
{
    return json_stringn((const char *)sqlite3_column_text(row, column),
                        (size_t)sqlite3_column_bytes(row, column));
}

static json_t *note_of(sqlite3_stmt *row)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:b, s:o, s:o}", "id",
                     (json_int_t)sqlite3_column_int64(row, 0), "version",
                     (json_int_t)sqlite3_column_int64(row, 1), "title", text_of(row, 2), "text",
                     text_of(row, 3), "done", sqlite3_column_int(row, 4), "created",
                     text_of(row, 5), "updated", text_of(row, 6));
}

/* A statement whose first parameter is the id. */
static sqlite3_stmt *statement_of(struct database_connection *connection, unsigned number,
                                  int64_t id)
{
    sqlite3_stmt *statement = database_statement(connection, number);
    if (statement)
        sqlite3_bind_int64(statement, 1, id);
    return statement;
}

/* Runs a statement that gives one note, or none. */
static int fetch(struct database_connection *connection, sqlite3_stmt *statement, json_t **note)
{
    int found = database_step(connection, statement);
    if (found <= 0)
        return found < 0 ? found : NOTE_MISSING;
    json_decref(*note);
    *note = note_of(statement);
    return *note ? 0 : -ENOMEM;
}

static int read_note(struct database_connection *connection, struct note_job *note)
{
    sqlite3_stmt *statement = statement_of(connection, READ, note->id);
    int result =
        statement ? fetch(connection, statement, &note->output) : database_error(connection);
    if (result != 0 || !note->allows)
        return result;
    int64_t version = json_integer_value(json_object_get(note->output, "version"));
    return note->allows(note, version) ? 0 : NOTE_OTHER_VERSION;
}

/* What is sent, or else what was there, or else the default. */
static const json_t *field(const struct note_job *note, const char *name)
{
    const json_t *sent = json_object_get(note->input, name);
    return sent || note->action != NOTE_CHANGE ? sent : json_object_get(note->output, name);
}

static void bind_text(sqlite3_stmt *statement, int number, const json_t *text)
{
    const char *bytes = json_is_string(text) ? json_string_value(text) : "";
    sqlite3_bind_text(statement, number, bytes, -1, SQLITE_TRANSIENT);
}

static int write_note(struct database_connection *connection, struct note_job *note,
                      unsigned number)
{
    sqlite3_stmt *statement = statement_of(connection, number, note->id);
    if (!statement)
        return database_error(connection);
    bind_text(statement, 2, field(note, "title"));
    bind_text(statement, 3, field(note, "text"));
    sqlite3_bind_int(statement, 4, json_is_true(field(note, "done")));
    int result = fetch(connection, statement, &note->output);
    return result == 0 ? database_step(connection, statement) : result;
}

static int update_note(struct database_connection *connection, struct note_job *note)
{
    int result = read_note(connection, note);
    return result == 0 ? write_note(connection, note, UPDATE) : result;
}

static int delete_note(struct database_connection *connection, struct note_job *note)
{
    int result = read_note(connection, note);
    sqlite3_stmt *statement = result == 0 ? statement_of(connection, DELETE, note->id) : NULL;
    if (result == 0)
        result = statement ? database_step(connection, statement) : database_error(connection);
    return result;
}

/* One more than was asked for tells whether there is a next page. */
static int list_notes(struct database_connection *connection, struct note_job *note)
{
    sqlite3_stmt *statement = statement_of(connection, LIST, note->filter.after);
    if (!statement)
        return database_error(connection);
    sqlite3_bind_int(statement, 2, note->filter.done);
    sqlite3_bind_text(statement, 3, note->filter.search, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, note->filter.limit + 1);
    note->output = json_array();
    int found;
    while ((found = database_step(connection, statement)) == 1) {
        note->more = json_array_size(note->output) == (size_t)note->filter.limit;
        if (!note->more && json_array_append_new(note->output, note_of(statement)) < 0)
            return -ENOMEM;
    }
    return found;
}

int note_work(struct database_connection *connection, struct database_job *job)
{
    struct note_job *note = loop_container_of(job, struct note_job, job);
    switch (note->action) {
    case NOTE_CREATE:
        return write_note(connection, note, CREATE);
    case NOTE_READ:
        return read_note(connection, note);
    case NOTE_DELETE:
        return delete_note(connection, note);
    case NOTE_LIST:
        return list_notes(connection, note);
    default:
        return update_note(connection, note);
    }
}
