/* Forms whose files go to disk as they come.
 *
 * Each file is made by loop_fs_mkstemp(), below the folder, with a name that nobody can guess and a
 * mode for its owner alone; what the client calls it is kept as text, and no path is ever made of
 * it. One operation is on the pool at a time, and the form pauses meanwhile: so a body is read no
 * faster than it is written, and memory holds one piece, whatever the size of the files.
 *
 * If the form fails its files are closed and removed by one job on the pool, which nobody waits
 * for. A file without a name (O_TMPFILE) would vanish by itself, and with a crash of the program;
 * but not every file system has them, and each would have to be linked in the end, where the
 * program does not yet know to what. A crash leaves files in the folder that a start may sweep.
 *
 * SPDX-License-Identifier: MIT */
#include "body/reader.h"

#include "loop/fs.h"
#include "loop/pool.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    FIELD_BYTES = 64 * 1024, /* of one field, in memory */
    WRITE_BYTES =
        64 * 1024,      /* of a file at once: parsing cuts it at every CR, which costs nothing */
    PREFIX_SIZE = 4096, /* of a path */
    RANDOM_SIZE = 16,   /* more than loop_fs_mkstemp() puts behind it */
};

static const char prefix_end[] = "/upload-";

struct saver {
    struct parts_owner owner;
    struct loop_http_request *req; /* NULL: it has gone */
    struct loop *loop;
    loop_http_save_cb cb;
    struct loop_http_save_options options;
    struct loop_http_saved *parts;
    size_t count;
    struct loop_fs fs;
    struct loop_work work; /* removes files */
    int fd;                /* of the file under way; -1: none */
    char *text;            /* of the field under way; of a file, a piece to write */
    size_t text_size, text_done;
    bool ending; /* the file is written out, and then closed */
    char prefix[PREFIX_SIZE];
};

static struct loop_http_saved *last_of(struct saver *saver)
{
    return &saver->parts[saver->count - 1];
}

static void free_saver(struct saver *saver)
{
    for (size_t i = 0; i < saver->count; i++) {
        const struct loop_http_saved *part = &saver->parts[i];
        free((void *)(uintptr_t)part->name);
        free((void *)(uintptr_t)part->filename);
        free((void *)(uintptr_t)part->type);
        free((void *)(uintptr_t)part->path);
        free((void *)(uintptr_t)part->text);
    }
    free(saver->parts);
    free(saver->text);
    free(saver);
}

/* --- what remains of a form that failed --- */

/* On a thread of the pool. */
static void remove_files(void *data)
{
    const struct saver *saver = data;
    if (saver->fd >= 0)
        close(saver->fd);
    for (size_t i = 0; i < saver->count; i++)
        if (saver->parts[i].path)
            unlink(saver->parts[i].path);
}

static void on_removed(struct loop_work *work, int status)
{
    struct saver *saver = loop_container_of(work, struct saver, work);
    (void)status;
    free_saver(saver);
}

static void give_up(struct saver *saver)
{
    saver->work.request.data = saver;
    if (loop_work(saver->loop, &saver->work, remove_files, on_removed) == 0)
        return;
    remove_files(saver); /* the pool is full: better slow than left behind */
    free_saver(saver);
}

static void on_done(struct parts_owner *owner, int status)
{
    struct saver *saver = loop_container_of(owner, struct saver, owner);
    if (status < 0) {
        saver->cb(saver->req, status, NULL, 0);
        give_up(saver);
        return;
    }
    saver->cb(saver->req, 0, saver->parts, saver->count);
    free_saver(saver);
}

/* paused: an operation is under way, which uses the saver until it is over. */
static void on_dropped(struct parts_owner *owner, bool paused)
{
    struct saver *saver = loop_container_of(owner, struct saver, owner);
    saver->req = NULL;
    if (!paused)
        give_up(saver);
}

/* --- files --- */

/* Says how an operation went to the form that waits for it, if there still is one. */
static void go_on(struct saver *saver, int error)
{
    if (!saver->req)
        give_up(saver);
    else if (error < 0)
        parts_fail(saver->req, error);
    else
        loop_http_resume_parts(saver->req);
}

/* An operation was begun, and the form waits; or not, and fails. */
static int begun(int error)
{
    return error ? error : LOOP_MULTIPART_PAUSE;
}

static void on_made(struct loop_fs *fs)
{
    struct saver *saver = loop_container_of(fs, struct saver, fs);
    if (fs->result < 0) {
        go_on(saver, (int)fs->result);
        return;
    }
    saver->fd = (int)fs->result;
    last_of(saver)->path = strdup(fs->bytes); /* ours: fs->bytes is the loop's allocator's */
    if (!last_of(saver)->path)
        unlink(fs->bytes);
    go_on(saver, last_of(saver)->path ? 0 : -ENOMEM);
}

static int write_more(struct saver *saver);
static int end_file(struct saver *saver);

static void on_written(struct loop_fs *fs)
{
    struct saver *saver = loop_container_of(fs, struct saver, fs);
    int error = fs->result < 0 ? (int)fs->result : fs->result == 0 ? -EIO : 0;
    saver->text_done += error ? 0 : (size_t)fs->result;
    bool whole = saver->text_done == saver->text_size;
    bool more = !error && saver->req && (!whole || saver->ending);
    if (more)
        error = whole ? end_file(saver) : write_more(saver);
    if (!more || error < 0)
        go_on(saver, error);
}

static int write_more(struct saver *saver)
{
    return loop_fs_write(saver->loop, &saver->fs, saver->fd, saver->text + saver->text_done,
                         saver->text_size - saver->text_done, -1, on_written);
}

static void on_closed(struct loop_fs *fs)
{
    struct saver *saver = loop_container_of(fs, struct saver, fs);
    go_on(saver, fs->result < 0 ? (int)fs->result : 0);
}

static int close_file(struct saver *saver)
{
    int error = loop_fs_close(saver->loop, &saver->fs, saver->fd, on_closed);
    if (!error)
        saver->fd = -1;
    return error;
}

static void on_synced(struct loop_fs *fs)
{
    struct saver *saver = loop_container_of(fs, struct saver, fs);
    int error = fs->result < 0 ? (int)fs->result : 0;
    bool closes = !error && saver->req;
    if (closes)
        error = close_file(saver);
    if (!closes || error < 0)
        go_on(saver, error);
}

static int end_file(struct saver *saver)
{
    if (saver->options.sync)
        return loop_fs_fsync(saver->loop, &saver->fs, saver->fd, on_synced);
    return close_file(saver);
}

/* --- parts --- */

/* A file that was not chosen comes with the name "": it is a field, and an empty one. */
static bool is_file(const struct loop_multipart_part *part)
{
    return part->filename && part->filename[0] != '\0';
}

static int add_part(struct saver *saver, const struct loop_multipart_part *part)
{
    struct loop_http_saved *grown = realloc(saver->parts, (saver->count + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    saver->parts = grown;
    grown[saver->count] = (struct loop_http_saved){
        .name = strdup(part->name),
        .filename = part->filename ? strdup(part->filename) : NULL,
        .type = strdup(part->type),
    };
    const struct loop_http_saved *added = &grown[saver->count++];
    bool whole = added->name && added->type && (added->filename || !part->filename);
    return whole ? 0 : -ENOMEM;
}

/* Bytes behind those of before. */
static int add_text(struct saver *saver, const void *bytes, size_t size)
{
    char *grown = realloc(saver->text, saver->text_size + size + 1);
    if (!grown)
        return -ENOMEM;
    saver->text = grown;
    if (size > 0)
        memcpy(grown + saver->text_size, bytes, size);
    saver->text_size += size;
    grown[saver->text_size] = '\0';
    return 0;
}

static struct saver *saver_of(const struct loop_multipart *form)
{
    return loop_container_of(parts_owner(form->data), struct saver, owner);
}

static int on_begin(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    struct saver *saver = saver_of(form);
    int error = add_part(saver, part);
    saver->text_size = saver->text_done = 0;
    saver->ending = false;
    if (error)
        return error;
    if (is_file(part))
        return begun(loop_fs_mkstemp(saver->loop, &saver->fs, saver->prefix, on_made));
    return add_text(saver, "", 0);
}

static int on_bytes(struct loop_multipart *form, const struct loop_multipart_part *part,
                    const void *bytes, size_t size)
{
    struct saver *saver = saver_of(form);
    bool file = is_file(part);
    if (file && saver->text_done > 0)
        saver->text_size = saver->text_done = 0;
    if (!file && size > saver->options.field_bytes - saver->text_size)
        return -EFBIG;
    int error = add_text(saver, bytes, size);
    if (error || !file || saver->text_size < WRITE_BYTES)
        return error;
    return begun(write_more(saver));
}

static int on_end(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    struct saver *saver = saver_of(form);
    last_of(saver)->size = part->size;
    saver->ending = is_file(part);
    if (saver->ending)
        return begun(saver->text_done < saver->text_size ? write_more(saver) : end_file(saver));
    last_of(saver)->text = saver->text;
    saver->text = NULL;
    saver->text_size = 0;
    return 0;
}

static struct saver *make_saver(struct loop_http_request *req,
                                const struct loop_http_save_options *options, loop_http_save_cb cb)
{
    struct saver *saver = calloc(1, sizeof(*saver));
    if (!saver)
        return NULL;
    saver->owner = (struct parts_owner){on_done, on_dropped};
    saver->req = req;
    saver->loop = req->server->loop;
    saver->cb = cb;
    saver->options = *options;
    if (saver->options.field_bytes == 0)
        saver->options.field_bytes = FIELD_BYTES;
    saver->fd = -1;
    memcpy(saver->prefix, options->folder, strlen(options->folder));
    memcpy(saver->prefix + strlen(options->folder), prefix_end, sizeof(prefix_end));
    return saver;
}

int loop_http_save_parts(struct loop_http_request *req,
                         const struct loop_http_save_options *options, loop_http_save_cb cb)
{
    if (!cb || !options || !options->folder)
        return -EINVAL;
    if (strlen(options->folder) > PREFIX_SIZE - sizeof(prefix_end) - RANDOM_SIZE)
        return -ENAMETOOLONG;
    struct saver *saver = make_saver(req, options, cb);
    if (!saver)
        return -ENOMEM;
    const struct loop_http_parts parts = {.limits = options->limits,
                                          .events = {on_begin, on_bytes, on_end}};
    int error = parts_start(req, &parts, &saver->owner);
    if (error)
        free_saver(saver);
    return error;
}
