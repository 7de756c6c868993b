/* Forms of both kinds, on a real server.
 *
 * An urlencoded form comes whole and well encoded, or is answered. A form in parts comes piece by
 * piece, and waits wherever its reader says so, however it was sent. Saved, its files are on the
 * disk, byte for byte, under names that are not the client's, and its fields in memory; of a form
 * that fails, for whatever reason, nothing is left on the disk. Each reader calls back once.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

#include "loop/http/body.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char question[512 * 1024];
static size_t question_size, head_size;

static void compose(const char *type, const char *body, size_t size)
{
    head_size = (size_t)snprintf(question, sizeof(question),
                                 "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                                 "content-type: %s\r\ncontent-length: %zu\r\n\r\n",
                                 type, size);
    assert_true(head_size + size <= sizeof(question));
    memcpy(question + head_size, body, size);
    question_size = head_size + size;
}

/* Sends the body cut at a place. */
static const char *ask_at(size_t at)
{
    at += head_size;
    return ask_bytes(question, question_size, at < question_size ? at : question_size);
}

/* --- urlencoded --- */

static void on_form(struct loop_http_request *req, int status, struct loop_text form)
{
    char value[64];
    say("%s", loop_error_name(status));
    if (status < 0)
        return;
    assert_true(loop_query_get(form, "a b", value, sizeof(value)) >= 0);
    loop_http_end_text(req->response, value);
}

static void on_form_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(-EINVAL, loop_http_read_form(req, 20, NULL));
    assert_int_equal(0, loop_http_read_form(req, 20, on_form));
    assert_int_equal(-EALREADY, loop_http_read_form(req, 20, on_form));
}

static void an_urlencoded_form_is_there_whole(void **state)
{
    static const char type[] = "application/x-www-form-urlencoded";
    begin_asking(state, on_form_request);
    compose(type, "x=1&a+b=c%20d", 13);
    for (size_t at = 0; at <= 13; at++) {
        assert_string_equal("c d", body_of_answer(ask_at(at)));
        assert_said("OK");
    }
    compose(type, "a+b=%zz", 7);
    assert_int_equal(400, status_of_answer(ask_at(3)));
    assert_said("EBADMSG");
    compose(type, "a+b=1234567890123456", 20);
    assert_int_equal(200, status_of_answer(ask_at(3)));
    assert_said("OK");
    compose(type, "a+b=12345678901234567", 21);
    assert_int_equal(413, status_of_answer(ask_at(3)));
    assert_said("EFBIG");
    compose("text/plain", "a+b=1", 5);
    assert_int_equal(415, status_of_answer(ask_at(3)));
    assert_said("EMEDIUMTYPE");
    end_asking();
}

/* --- parts --- */

static struct {
    struct loop_task task;
    struct loop_http_request *req;
    bool pauses;
    char text[4096];
    size_t size;
    int refuse;
    bool ends;      /* an event ends the response */
    bool ends_last; /* the last callback does, though it failed */
} parts;

static void on_resume(struct loop_task *task)
{
    (void)task;
    loop_http_resume_parts(parts.req);
}

/* Goes on in the next turn, if this test pauses at all. */
static int pause_or_not(struct loop_multipart *form)
{
    parts.req = form->data;
    if (!parts.pauses)
        return 0;
    loop_immediate(asking.loop, &parts.task, on_resume);
    return LOOP_MULTIPART_PAUSE;
}

static void note(const void *bytes, size_t size)
{
    assert_true(parts.size + size < sizeof(parts.text));
    memcpy(parts.text + parts.size, bytes, size);
    parts.size += size;
    parts.text[parts.size] = '\0';
}

static int on_begin(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    note(part->name, strlen(part->name));
    note("=", 1);
    return parts.refuse ? parts.refuse : pause_or_not(form);
}

static int on_bytes(struct loop_multipart *form, const struct loop_multipart_part *part,
                    const void *bytes, size_t size)
{
    (void)part;
    struct loop_http_request *req = form->data;
    note(bytes, size);
    if (!parts.ends)
        return pause_or_not(form);
    loop_http_end_error(req->response, 409, NULL);
    return 0;
}

static int on_end(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    (void)part;
    note(";", 1);
    return pause_or_not(form);
}

static void on_parts(struct loop_http_request *req, int status)
{
    say("%s", loop_error_name(status));
    loop_http_resume_parts(req); /* which is harmless */
    if (status == 0)
        loop_http_end_text(req->response, parts.text);
    else if (parts.ends_last)
        loop_http_end_error(req->response, 418, NULL);
}

static void on_parts_request(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_parts wanted = {.limits = {.part_bytes = 100},
                                           .events = {on_begin, on_bytes, on_end},
                                           .done = on_parts};
    (void)res;
    parts.size = 0;
    assert_int_equal(-EINVAL, loop_http_read_parts(req, NULL));
    assert_int_equal(0, loop_http_read_parts(req, &wanted));
    assert_int_equal(-EALREADY, loop_http_read_parts(req, &wanted));
}

static const char parts_type[] = "multipart/form-data; boundary=XX";
static const char two_parts[] = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n-2\r\n"
                                "--XX\r\nContent-Disposition: form-data; name=b\r\n\r\n3\r\n"
                                "--XX--\r\n";

static void parts_come_piece_by_piece_and_wait(void **state)
{
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_parts_request);
    compose(parts_type, two_parts, sizeof(two_parts) - 1);
    for (int pauses = 0; pauses < 2; pauses++) {
        parts.pauses = pauses;
        for (size_t at = 0; at <= sizeof(two_parts); at++) {
            assert_string_equal("a=1\r\n-2;b=3;", body_of_answer(ask_at(at)));
            assert_said("OK");
        }
    }
    end_asking();
}

static void parts_that_are_none_are_answered(void **state)
{
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_parts_request);
    for (int pauses = 0; pauses < 2; pauses++) {
        parts.pauses = pauses;
        compose(parts_type, two_parts, sizeof(two_parts) - 6);
        assert_int_equal(400, status_of_answer(ask_at(60)));
        assert_said("EBADMSG");
        compose("multipart/form-data", two_parts, sizeof(two_parts) - 1);
        assert_int_equal(400, status_of_answer(ask_at(60)));
        assert_said("EBADMSG");
        compose("text/plain", two_parts, sizeof(two_parts) - 1);
        assert_int_equal(415, status_of_answer(ask_at(60)));
        assert_said("EMEDIUMTYPE");
        parts.refuse = -E2BIG;
        compose(parts_type, two_parts, sizeof(two_parts) - 1);
        assert_int_equal(413, status_of_answer(ask_at(60)));
        assert_said("E2BIG");
        parts.refuse = 0;
        asking.hang_up = true;
        ask_at(60);
        asking.hang_up = false;
        end_asking();
        assert_said("EPIPE");
        begin_asking((void *[]){asking.loop}, on_parts_request);
    }
    end_asking();
}

/* As the events say, if they refuse. */
static void an_event_that_refuses_says_how(void **state)
{
    static const struct {
        int error, status;
    } cases[] = {
        {-ENOSPC, 507}, {-EDQUOT, 507}, {-ENOMEM, 503}, {-EAGAIN, 503},
        {-E2BIG, 413},  {-EIO, 500},    {-EPROTO, 400}, {-ETIMEDOUT, 408},
    };
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_parts_request);
    compose(parts_type, two_parts, sizeof(two_parts) - 1);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        parts.refuse = cases[i].error;
        assert_int_equal(cases[i].status, status_of_answer(ask_at(60)));
        assert_said(loop_error_name(cases[i].error));
    }
    end_asking();
}

/* Events that are left out let everything pass. */
static void on_few_events(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_parts wanted = {.events = {.end = on_end}, .done = on_parts};
    (void)res;
    parts.size = 0;
    assert_int_equal(-EINVAL, loop_http_read_parts(req, &(struct loop_http_parts){0}));
    assert_int_equal(0, loop_http_read_parts(req, &wanted));
}

static void events_may_be_left_out(void **state)
{
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_few_events);
    compose(parts_type, two_parts, sizeof(two_parts) - 1);
    assert_string_equal(";;", body_of_answer(ask_at(60)));
    assert_said("OK");
    end_asking();
}

/* A part that is too long in the very bytes at which its reader pauses fails when that goes on. */
static void a_limit_holds_during_a_pause(void **state)
{
    static const char head[] = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    char body[512];
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_parts_request);
    int size = snprintf(body, sizeof(body), "%s%0150d\r\n--XX--\r\n", head, 0);
    compose(parts_type, body, (size_t)size);
    for (int pauses = 0; pauses < 2; pauses++) {
        parts.pauses = pauses;
        for (size_t at = 0; at <= (size_t)size; at++) {
            assert_int_equal(413, status_of_answer(ask_at(at)));
            assert_said("EFBIG");
        }
    }
    end_asking();
}

/* Nothing is told any more, and the rest of the body is thrown away. */
static void a_response_may_be_ended_while_its_form_is_read(void **state)
{
    memset(&parts, 0, sizeof(parts));
    begin_asking(state, on_parts_request);
    parts.ends = true;
    compose(parts_type, two_parts, sizeof(two_parts) - 1);
    for (size_t at = 0; at + head_size <= question_size; at++) {
        assert_int_equal(409, status_of_answer(ask_at(at)));
        assert_said("");
    }
    parts.pauses = true; /* between what begins a part and its bytes */
    for (size_t at = 0; at + head_size <= question_size; at++) {
        assert_int_equal(409, status_of_answer(ask_at(at)));
        assert_said("");
    }
    parts.pauses = parts.ends = false;
    parts.ends_last = true;
    compose("text/plain", two_parts, sizeof(two_parts) - 1);
    assert_int_equal(418, status_of_answer(ask_at(60)));
    assert_said("EMEDIUMTYPE");
    compose(parts_type, two_parts, sizeof(two_parts) - 9);
    assert_int_equal(418, status_of_answer(ask_at(60)));
    assert_said("EBADMSG");
    asking.hang_up = true; /* nobody hears it, and it is told once all the same */
    ask_at(60);
    while (asking.server.stats.active > 0)
        loop_run(asking.loop, LOOP_RUN_ONCE);
    assert_said("EPIPE");
    end_asking();
}

/* --- files --- */

static char folder[64];
static struct loop_http_save_options save_options;
static const char *expected_file;
static size_t expected_size;

static void on_saved(struct loop_http_request *req, int status, const struct loop_http_saved *saved,
                     size_t count)
{
    say("%s", loop_error_name(status));
    if (status < 0) {
        assert_int_equal(0, count);
        return;
    }
    assert_int_equal(3, count);
    assert_string_equal("title", saved[0].name);
    assert_string_equal("holiday", saved[0].text);
    assert_null(saved[0].path);
    assert_string_equal("../../etc/passwd", saved[1].filename);
    assert_string_equal("image/png", saved[1].type);
    assert_int_equal(expected_size, saved[1].size);
    assert_int_equal(0, strncmp(saved[1].path, folder, strlen(folder)));
    assert_null(saved[1].text);
    assert_string_equal("", saved[2].filename); /* no file was chosen */
    assert_string_equal("", saved[2].text);
    struct stat info;
    assert_int_equal(0, stat(saved[1].path, &info));
    assert_int_equal(0600, info.st_mode & 0777);
    FILE *file = fopen(saved[1].path, "rb");
    char *bytes = malloc(expected_size + 1);
    assert_int_equal(expected_size, fread(bytes, 1, expected_size + 1, file));
    assert_memory_equal(expected_file, bytes, expected_size);
    free(bytes);
    fclose(file);
    unlink(saved[1].path);
    loop_http_end_text(req->response, "thanks");
}

static void on_save_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(0, loop_http_save_parts(req, &save_options, on_saved));
    assert_int_equal(-EALREADY, loop_http_save_parts(req, &save_options, on_saved));
}

static void compose_upload(const char *bytes, size_t size)
{
    static char body[400 * 1024];
    static const char front[] =
        "--XX\r\nContent-Disposition: form-data; name=title\r\n\r\nholiday\r\n"
        "--XX\r\nContent-Disposition: form-data; name=f; filename=\"../../etc/passwd\"\r\n"
        "Content-Type: image/png\r\n\r\n";
    static const char back[] =
        "\r\n--XX\r\nContent-Disposition: form-data; name=g; filename=\"\"\r\n"
        "\r\n\r\n--XX--\r\n";
    memcpy(body, front, sizeof(front) - 1);
    memcpy(body + sizeof(front) - 1, bytes, size);
    memcpy(body + sizeof(front) - 1 + size, back, sizeof(back) - 1);
    compose(parts_type, body, sizeof(front) + sizeof(back) - 2 + size);
    expected_file = bytes;
    expected_size = size;
}

static int files_in_folder(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void begin_saving(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/loop-form-XXXXXX");
    assert_non_null(mkdtemp(folder));
    save_options = (struct loop_http_save_options){.folder = folder};
    begin_asking(state, on_save_request);
}

static void end_saving(void)
{
    end_asking();
    assert_int_equal(0, files_in_folder());
    assert_int_equal(0, rmdir(folder));
}

static void files_are_saved_byte_for_byte(void **state)
{
    static char large[300 * 1024];
    begin_saving(state);
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)(i * 7 + i / 251);
    compose_upload("a\r\n--X\r\nb", 9);
    for (size_t at = 0; at + head_size <= question_size; at++) {
        assert_string_equal("thanks", body_of_answer(ask_at(at)));
        assert_said("OK");
    }
    for (int sync = 0; sync < 2; sync++) {
        save_options.sync = sync;
        compose_upload(large, sizeof(large));
        assert_string_equal("thanks", body_of_answer(ask_at(100000)));
        assert_said("OK");
        compose_upload(large, 0);
        assert_string_equal("thanks", body_of_answer(ask_at(100000)));
        assert_said("OK");
    }
    end_saving();
}

/* Each of its bytes may begin a delimiter, and comes as a piece of its own. */
static void a_file_of_line_ends_is_written_in_few_pieces(void **state)
{
    static char ends[200 * 1024];
    begin_saving(state);
    memset(ends, '\r', sizeof(ends));
    compose_upload(ends, sizeof(ends));
    uint64_t turn = loop_turn(asking.loop);
    assert_string_equal("thanks", body_of_answer(ask_at(1000)));
    assert_said("OK");
    assert_true(loop_turn(asking.loop) - turn < 1000);
    end_saving();
}

static void nothing_is_left_of_a_form_that_fails(void **state)
{
    begin_saving(state);
    compose_upload("12345", 5);
    save_options.limits.part_bytes = 4;
    assert_int_equal(413, status_of_answer(ask_at(180)));
    assert_said("EFBIG");
    save_options.limits.part_bytes = 0;
    save_options.field_bytes = 6;
    assert_int_equal(413, status_of_answer(ask_at(180)));
    assert_said("EFBIG");
    save_options.field_bytes = 0;
    save_options.limits.parts = 2;
    assert_int_equal(413, status_of_answer(ask_at(180)));
    assert_said("E2BIG");
    save_options.limits.parts = 0;
    compose(parts_type, question + head_size, question_size - head_size - 6);
    assert_int_equal(400, status_of_answer(ask_at(180)));
    assert_said("EBADMSG");
    save_options.folder = "/nowhere/at/all";
    assert_int_equal(500, status_of_answer(ask_at(180)));
    assert_said("ENOENT");
    end_saving();
}

static void nothing_is_left_if_the_client_goes(void **state)
{
    begin_saving(state);
    compose_upload("12345", 5);
    asking.hang_up = true;
    for (size_t at = 0; head_size + at < question_size; at += 7) {
        ask_at(at);
        while (asking.server.stats.active > 0)
            loop_run(asking.loop, LOOP_RUN_ONCE);
        assert_said("EPIPE");
    }
    end_saving();
}

/* The disk is as good as full when a file may not be longer: a part is written, and then none. */
static void nothing_is_left_if_the_disk_is_full(void **state)
{
    static char bytes[200 * 1024];
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    begin_saving(state);
    compose_upload(bytes, sizeof(bytes));
    for (int sync = 0; sync < 2; sync++) {
        save_options.sync = sync;
        small = (struct rlimit){100 * 1024, before.rlim_max};
        assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &small));
        const char *answer = ask_at(400);
        assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
        assert_int_equal(413, status_of_answer(answer));
        assert_said("EFBIG");
    }
    end_saving();
    signal(SIGXFSZ, SIG_DFL);
}

static void on_end_early(struct loop_task *task)
{
    loop_http_end_error(task->data, 409, NULL);
}

/* Ends the response while the rest of the form is on its way, or a file under way. */
static void save_and_end_early(struct loop_http_request *req, struct loop_http_response *res)
{
    parts.task.data = res;
    loop_immediate(asking.loop, &parts.task, on_end_early);
    assert_int_equal(0, loop_http_save_parts(req, &save_options, on_saved));
}

static void nothing_is_left_if_the_program_ends_it(void **state)
{
    begin_saving(state);
    asking.server.options.on_request = save_and_end_early;
    compose_upload("12345", 5);
    save_options.sync = true;
    for (size_t at = 0; head_size + at < question_size; at += 7) {
        assert_int_equal(409, status_of_answer(ask_at(at)));
        assert_said("");
    }
    end_saving();
}

static void a_folder_may_be_too_long(void **state)
{
    static char large[4090];
    struct loop_http_request req = {0};
    memset(large, 'x', sizeof(large) - 1);
    const struct loop_http_save_options options = {.folder = large};
    assert_int_equal(-ENAMETOOLONG, loop_http_save_parts(&req, &options, on_saved));
    assert_int_equal(-EINVAL, loop_http_save_parts(&req, &options, NULL));
    assert_int_equal(-EINVAL, loop_http_save_parts(&req, NULL, on_saved));
    const struct loop_http_save_options nowhere = {0};
    assert_int_equal(-EINVAL, loop_http_save_parts(&req, &nowhere, on_saved));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(an_urlencoded_form_is_there_whole),
        real_test(parts_come_piece_by_piece_and_wait),
        real_test(parts_that_are_none_are_answered),
        real_test(an_event_that_refuses_says_how),
        real_test(events_may_be_left_out),
        real_test(a_limit_holds_during_a_pause),
        real_test(a_response_may_be_ended_while_its_form_is_read),
        real_test(files_are_saved_byte_for_byte),
        real_test(a_file_of_line_ends_is_written_in_few_pieces),
        real_test(nothing_is_left_of_a_form_that_fails),
        real_test(nothing_is_left_if_the_client_goes),
        real_test(nothing_is_left_if_the_disk_is_full),
        real_test(nothing_is_left_if_the_program_ends_it),
        cmocka_unit_test(a_folder_may_be_too_long),
    };
    return cmocka_run_group_tests_name("http/form", tests, NULL, NULL);
}
