/* Preconditions: If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since and If-Range, in
 * the order of RFC 9110 13.2.2, for what has a strong entity tag and a time of change.
 *
 * A date that is none is passed over, as if the header were not there. A header that came in
 * several lines is one list. That the tag is compared weakly for If-None-Match and strongly for the
 * others is what the RFC asks: bytes are put together only from what is the same to the last one.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- dates --- */

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char days[] = "SunMonTueWedThuFriSat";

void http_date_write(time_t seconds, char text[HTTP_DATE_SIZE])
{
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
        gmtime_r(&(time_t){0}, &tm);
    unsigned year = (unsigned)(tm.tm_year + 1900) % 10000;
    snprintf(text, HTTP_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday,
             (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon, year, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

static bool find_month(const char *name, int *month)
{
    for (*month = 0; *month < 12; ++*month)
        if (strncmp(months + (size_t)*month * 3, name, 3) == 0)
            return true;
    return false;
}

/* Two digits of a year are of the last fifty years or of those to come. */
static int full_year(int year, time_t now_s)
{
    struct tm now;
    gmtime_r(&now_s, &now);
    int full = (now.tm_year + 1900) / 100 * 100 + year;
    return full > now.tm_year + 1900 + 50 ? full - 100 : full;
}

static bool is_time(const struct tm *tm)
{
    return tm->tm_mday >= 1 && tm->tm_mday <= 31 && tm->tm_hour >= 0 && tm->tm_hour <= 23 &&
           tm->tm_min >= 0 && tm->tm_min <= 59 && tm->tm_sec >= 0 && tm->tm_sec <= 60;
}

bool http_date_read(const char *text, time_t *seconds)
{
    struct tm tm = {0};
    char month[4] = "";
    int year = 0, used = 0;
    const char *comma = strchr(text, ',');
    const char *at = comma ? comma + 1 : text;
    if (strlen(text) > 40)
        return false;
    if (comma &&
        sscanf(at, " %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &year, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) == 6 &&
        used > 0)
        year = full_year(year, time(NULL));
    else if (comma)
        sscanf(at, " %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &year, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used);
    else
        sscanf(at, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &year, &used);
    if (used == 0 || at[used] != '\0' || !find_month(month, &tm.tm_mon) || !is_time(&tm) ||
        year < 0)
        return false;
    tm.tm_year = year - 1900;
    *seconds = timegm(&tm);
    return tm.tm_year <= 8099; /* a leap second may lead into the year 10000 */
}

/* --- entity tags --- */

/* The next tag of a list: with its quotes, whether it is weak; NULL: there is no more. */
static const char *take_tag(const char **list, size_t *size, bool *weak)
{
    const char *at = *list + strspn(*list, " \t,");
    *weak = strncmp(at, "W/", 2) == 0;
    at += *weak ? 2 : 0;
    const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
    if (!end)
        return NULL;
    *size = (size_t)(end + 1 - at);
    *list = end + 1;
    return at;
}

static bool list_names(const char *list, const char *etag, bool weakly)
{
    if (list[0] == '*' && list[1] == '\0')
        return true;
    size_t size, wanted = strlen(etag);
    bool weak;
    for (const char *tag; (tag = take_tag(&list, &size, &weak));)
        if ((weakly || !weak) && size == wanted && memcmp(tag, etag, size) == 0)
            return true;
    return false;
}

/* Whether any line of that header names the tag. */
static bool names(const struct loop_http_request *req, const char *header, const char *etag,
                  bool weakly)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (strcmp(req->headers[i].name, header) == 0 &&
            list_names(req->headers[i].value, etag, weakly))
            return true;
    return false;
}

/* --- the preconditions --- */

static bool precondition_fails(const struct loop_http_request *req, const struct validators *of)
{
    time_t since;
    if (loop_http_header(req, "if-match"))
        return !names(req, "if-match", of->etag, false);
    const char *date = loop_http_header(req, "if-unmodified-since");
    return date && http_date_read(date, &since) && of->modified_s > since;
}

enum condition condition_check(const struct loop_http_request *req, const struct validators *of)
{
    time_t since;
    if (precondition_fails(req, of))
        return CONDITION_FAILED;
    if (loop_http_header(req, "if-none-match"))
        return names(req, "if-none-match", of->etag, true) ? CONDITION_NOT_MODIFIED
                                                           : CONDITION_SEND;
    const char *date = loop_http_header(req, "if-modified-since");
    if (date && http_date_read(date, &since) && of->modified_s <= since)
        return CONDITION_NOT_MODIFIED;
    return CONDITION_SEND;
}

/* A date serves only if the file has been left alone for long enough that it tells one version from
 * the next (8.8.2.2). */
bool condition_allows_range(const struct loop_http_request *req, const struct validators *of)
{
    const char *value = loop_http_header(req, "if-range");
    time_t date;
    if (!value)
        return true;
    if (value[0] == '"' || strncmp(value, "W/", 2) == 0)
        return strcmp(value, of->etag) == 0;
    return http_date_read(value, &date) && date == of->modified_s && time(NULL) - date >= 2;
}
