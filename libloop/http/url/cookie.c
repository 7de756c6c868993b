/* Cookies, by RFC 6265 and its successor's draft: what a browser sends back is read, what it is to
 * keep is written.
 *
 * Reading is patient, since anything may stand in a Cookie header that some page or some server of
 * the same domain has set: what is no pair is passed over, and the first of a name wins, which is
 * the one with the longest path. Writing is strict: a value is the bytes that RFC 6265, 4.1.1,
 * allows, so that no value can become an attribute or a header. Other values are to be encoded
 * first, by loop_percent_encode() for one.
 *
 * Signed and encrypted cookies are not here: a session's name that cannot be guessed needs neither.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"

#include <time.h>

enum { EXPIRES_MAX_DIGITS = 20 };

static const int64_t year_10000_s = 253402300800; /* the date has four digits for a year */

bool loop_cookie_next(struct loop_text *text, struct loop_text *name, struct loop_text *value)
{
    while (text->size > 0) {
        struct loop_text pair = text_trim(text_cut(text, ';'));
        if (!memchr(pair.bytes, '=', pair.size))
            continue;
        struct loop_text front = text_trim(text_cut(&pair, '='));
        if (!text_is_token(front))
            continue;
        *name = front;
        *value = text_trim(pair);
        return true;
    }
    return false;
}

struct loop_text loop_cookie_get(const char *header, const char *name)
{
    struct loop_text text = loop_text_of(header);
    struct loop_text found;
    struct loop_text value;
    while (loop_cookie_next(&text, &found, &value))
        if (loop_text_equal(found, name))
            return value;
    return (struct loop_text){0};
}

static bool is_value(struct loop_text value)
{
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.bytes[i];
        if (byte <= ' ' || byte > '~' || is_one_of(byte, "\",;\\"))
            return false;
    }
    return true;
}

/* "/" and what follows, without what would end the attribute. */
static bool is_path(struct loop_text path)
{
    for (size_t i = 0; i < path.size; i++)
        if (path.bytes[i] < ' ' || path.bytes[i] > '~' || path.bytes[i] == ';')
            return false;
    return path.size > 0 && path.bytes[0] == '/';
}

static bool is_domain(struct loop_text domain)
{
    for (size_t i = 0; i < domain.size; i++)
        if (!is_letter(domain.bytes[i]) && !is_digit(domain.bytes[i]) &&
            !is_one_of(domain.bytes[i], "-."))
            return false;
    return domain.size > 0;
}

/* What browsers hold a name to that begins so: they would drop the cookie, and tell nobody. */
static bool keeps_promise(const struct loop_cookie *cookie)
{
    struct loop_text name = loop_text_of(cookie->name);
    if (text_begins(name, "__Secure-"))
        return cookie->secure;
    if (text_begins(name, "__Host-"))
        return cookie->secure && !cookie->domain && cookie->path && strcmp(cookie->path, "/") == 0;
    return cookie->secure || cookie->same_site != LOOP_SAME_SITE_NONE;
}

static int check(const struct loop_cookie *cookie)
{
    struct loop_text name = loop_text_of(cookie->name);
    struct loop_text value = loop_text_of(cookie->value);
    struct loop_text path = loop_text_of(cookie->path);
    struct loop_text domain = loop_text_of(cookie->domain);
    bool valid = text_is_token(name) && is_value(value) && (!path.bytes || is_path(path)) &&
                 (!domain.bytes || is_domain(domain)) && cookie->max_age_s >= -1 &&
                 cookie->expires_s >= 0 && cookie->expires_s < year_10000_s &&
                 (unsigned)cookie->same_site <= LOOP_SAME_SITE_NONE;
    if (!valid || !keeps_promise(cookie))
        return -EINVAL;
    if (name.size + value.size > LOOP_COOKIE_MAX || path.size > LOOP_COOKIE_ATTRIBUTE ||
        domain.size > LOOP_COOKIE_ATTRIBUTE)
        return -ENAMETOOLONG;
    return 0;
}

/* At least so many digits, of which one is the least. */
static void write_number(struct writer *writer, int64_t number, int digits)
{
    char text[EXPIRES_MAX_DIGITS];
    int count = 0;
    for (; number > 0 || count < digits; number /= 10)
        text[EXPIRES_MAX_DIGITS - ++count] = (char)('0' + number % 10);
    write_bytes(writer, text + EXPIRES_MAX_DIGITS - count, (size_t)count);
}

/* "Thu, 01 Jan 1970 00:00:00 GMT", whatever language the process speaks. */
static void write_date(struct writer *writer, int64_t seconds)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    time_t time = (time_t)seconds;
    gmtime_r(&time, &tm);
    write_bytes(writer, days + 3 * tm.tm_wday, 3);
    write_string(writer, ", ");
    write_number(writer, tm.tm_mday, 2);
    write_byte(writer, ' ');
    write_bytes(writer, months + 3 * tm.tm_mon, 3);
    write_byte(writer, ' ');
    write_number(writer, tm.tm_year + 1900, 4);
    write_byte(writer, ' ');
    write_number(writer, tm.tm_hour, 2);
    write_byte(writer, ':');
    write_number(writer, tm.tm_min, 2);
    write_byte(writer, ':');
    write_number(writer, tm.tm_sec, 2);
    write_string(writer, " GMT");
}

static void write_life(struct writer *writer, const struct loop_cookie *cookie)
{
    if (cookie->max_age_s != 0) {
        write_string(writer, "; Max-Age=");
        write_number(writer, cookie->max_age_s > 0 ? cookie->max_age_s : 0, 1);
    }
    if (cookie->expires_s > 0) {
        write_string(writer, "; Expires=");
        write_date(writer, cookie->expires_s);
    }
}

static void write_attribute(struct writer *writer, const char *name, const char *value)
{
    if (!value)
        return;
    write_string(writer, name);
    write_string(writer, value);
}

ssize_t loop_cookie_build(const struct loop_cookie *cookie, char *text, size_t capacity)
{
    static const char *const same_site[] = {NULL, "Lax", "Strict", "None"};
    struct writer writer = {.bytes = text, .capacity = capacity};
    int error = check(cookie);
    if (error)
        return error;
    write_string(&writer, cookie->name);
    write_attribute(&writer, "=", cookie->value ? cookie->value : "");
    write_attribute(&writer, "; Path=", cookie->path);
    write_attribute(&writer, "; Domain=", cookie->domain);
    write_life(&writer, cookie);
    write_attribute(&writer, "; Secure", cookie->secure ? "" : NULL);
    write_attribute(&writer, "; HttpOnly", cookie->http_only ? "" : NULL);
    write_attribute(&writer, "; SameSite=", same_site[cookie->same_site]);
    return write_end(&writer);
}
