/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/wire/gotime.h"

#include <string.h>

#include "quote.h"
#include "time_text.h"

#define NS_PER_SEC INT64_C(1000000000)
#define SEC_PER_DAY INT64_C(86400)
/* Days from 0001-01-01 to 9999-12-31 and a little on either side: what can be written. */
#define LAYOUT "2006-01-02T15:04:05Z07:00"

struct civil {
    int64_t year;
    int month, day;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 0001-01-01 of the proleptic Gregorian calendar; years begin in March so that the
 * leap day comes last. */
static int64_t days_of_civil(struct civil c)
{
    int64_t y = c.month <= 2 ? c.year - 1 : c.year;
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t month = (c.month + 9) % 12;
    int64_t day_of_year = (153 * month + 2) / 5 + c.day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           306;
}

static struct civil civil_of_days(int64_t days)
{
    int64_t z = days + 306;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t month = (5 * doy + 2) / 153;
    struct civil c = { .year = yoe + era * 400,
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(doy - (153 * month + 2) / 5 + 1) };
    if (c.month <= 2) c.year++;
    return c;
}

struct gotime gotime_from_unix_ns(int64_t ns)
{
    int64_t sec = floor_div(ns, NS_PER_SEC);
    return (struct gotime){ sec + GOTIME_UNIX_EPOCH, (int32_t)(ns - sec * NS_PER_SEC), -1 };
}

int64_t gotime_to_unix_ns(struct gotime t)
{
    /* Out of range wraps as Go's UnixNano does. */
    uint64_t sec = (uint64_t)t.sec - (uint64_t)GOTIME_UNIX_EPOCH;
    return (int64_t)(sec * (uint64_t)NS_PER_SEC + (uint64_t)(int64_t)t.nsec);
}

bool gotime_is_zero(struct gotime t)
{
    return t.sec == 0 && t.nsec == 0;
}

static char *put_digits(char *p, uint64_t v, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + width;
}

static char *put_year(char *p, int64_t year)
{
    uint64_t y = year < 0 ? 0 - (uint64_t)year : (uint64_t)year;
    if (year < 0) *p++ = '-';
    int width = 4;
    for (uint64_t limit = 10000; y >= limit && width < 15; limit *= 10)
        width++;
    return put_digits(p, y, width);
}

static char *put_fraction(char *p, int32_t nsec)
{
    if (nsec <= 0 || nsec >= NS_PER_SEC) return p;
    *p++ = '.';
    p = put_digits(p, (uint64_t)nsec, 9);
    while (p[-1] == '0')
        p--;
    return p;
}

static char *put_zone(char *p, int offset_min)
{
    if (offset_min == 0) {
        *p++ = 'Z';
        return p;
    }
    *p++ = offset_min < 0 ? '-' : '+';
    unsigned m = (unsigned)(offset_min < 0 ? -offset_min : offset_min);
    p = put_digits(p, m / 60, 2);
    *p++ = ':';
    return put_digits(p, m % 60, 2);
}

void gotime_format(struct gotime t, struct buf *out)
{
    int offset = t.offset_min == -1 ? 0 : t.offset_min;
    int64_t sec = (int64_t)((uint64_t)t.sec + (uint64_t)((int64_t)offset * 60));
    int64_t days = floor_div(sec, SEC_PER_DAY);
    uint64_t of_day = (uint64_t)(sec - days * SEC_PER_DAY);
    struct civil c = civil_of_days(days);
    char text[64];
    char *p = put_year(text, c.year);
    *p++ = '-';
    p = put_digits(p, (uint64_t)c.month, 2);
    *p++ = '-';
    p = put_digits(p, (uint64_t)c.day, 2);
    *p++ = 'T';
    p = put_digits(p, of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, of_day / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, of_day % 60, 2);
    p = put_fraction(p, t.nsec);
    p = put_zone(p, offset);
    buf_put(out, text, (size_t)(p - text));
}

/* Reading position; `want` is the layout element that failed. */
struct scan {
    struct str text;
    size_t at;
    const char *want;
    const char *range;
};

static bool scan_number(struct scan *s, int width, const char *want, int *out)
{
    int v = 0;
    for (int i = 0; i < width; i++) {
        size_t at = s->at + (size_t)i;
        if (at >= s->text.n || s->text.p[at] < '0' || s->text.p[at] > '9') {
            s->want = want;
            return false;
        }
        v = v * 10 + (s->text.p[at] - '0');
    }
    s->at += (size_t)width;
    *out = v;
    return true;
}

static bool scan_char(struct scan *s, char c, const char *want)
{
    if (s->at < s->text.n && s->text.p[s->at] == c) {
        s->at++;
        return true;
    }
    s->want = want;
    return false;
}

static bool scan_range(struct scan *s, int v, int min, int max, const char *name)
{
    if (v >= min && v <= max) return true;
    s->range = name;
    return false;
}

static int32_t scan_fraction(struct scan *s)
{
    if (s->at + 1 >= s->text.n || s->text.p[s->at] != '.') return 0;
    size_t at = s->at + 1;
    int32_t nsec = 0;
    int digits = 0;
    for (; at < s->text.n && s->text.p[at] >= '0' && s->text.p[at] <= '9'; at++, digits++) {
        if (digits < 9) nsec = nsec * 10 + (s->text.p[at] - '0');
    }
    if (digits == 0) return 0;
    for (; digits < 9; digits++)
        nsec *= 10;
    s->at = at;
    return nsec;
}

static bool scan_zone(struct scan *s, int16_t *offset)
{
    const char *want = "Z07:00";
    *offset = -1;
    if (s->at < s->text.n && s->text.p[s->at] == 'Z') {
        s->at++;
        return true;
    }
    bool minus = s->at < s->text.n && s->text.p[s->at] == '-';
    int hour = 0, minute = 0;
    size_t start = s->at;
    if (!(minus || (s->at < s->text.n && s->text.p[s->at] == '+')) || (s->at++, false) ||
        !scan_number(s, 2, want, &hour) || !scan_char(s, ':', want) ||
        !scan_number(s, 2, want, &minute)) {
        s->at = start;
        s->want = want;
        return false;
    }
    if (!scan_range(s, hour, 0, 24, "time zone offset hour") ||
        !scan_range(s, minute, 0, 60, "time zone offset minute"))
        return false;
    int total = hour * 60 + minute;
    *offset = (int16_t)(minus ? -total : total);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool scan_time(struct scan *s, struct gotime *out)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    int16_t offset = -1;
    if (!scan_number(s, 4, "2006", &year) || !scan_char(s, '-', "-") ||
        !scan_number(s, 2, "01", &month) || !scan_range(s, month, 1, 12, "month") ||
        !scan_char(s, '-', "-") || !scan_number(s, 2, "02", &day) || !scan_char(s, 'T', "T") ||
        !scan_number(s, 2, "15", &hour) || !scan_range(s, hour, 0, 23, "hour") ||
        !scan_char(s, ':', ":") || !scan_number(s, 2, "04", &minute) ||
        !scan_range(s, minute, 0, 59, "minute") || !scan_char(s, ':', ":") ||
        !scan_number(s, 2, "05", &second) || !scan_range(s, second, 0, 59, "second"))
        return false;
    int32_t nsec = scan_fraction(s);
    if (!scan_zone(s, &offset)) return false;
    if (!scan_range(s, day, 1, days_in_month(year, month), "day")) return false;
    int64_t days = days_of_civil((struct civil){ year, month, day });
    int64_t sec = days * SEC_PER_DAY + hour * 3600 + minute * 60 + second;
    if (offset != -1) sec -= (int64_t)offset * 60;
    *out = (struct gotime){ sec, nsec, offset };
    return true;
}

/* Appends `text` in quotes, as it stood in its source. */
static void put_quoted(struct buf *out, struct str before, struct str text, struct str after)
{
    struct buf plain = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_str(&plain, before);
    buf_put_str(&plain, text);
    buf_put_str(&plain, after);
    quote_go(out, buf_str(&plain));
    buf_deinit(&plain);
}

static int refuse(const struct scan *s, bool quoted, struct error *err)
{
    struct str quote = quoted ? STR("\"") : STR("");
    struct str rest = str_slice(s->text, s->at, s->text.n);
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_c(&text, "parsing time ");
    put_quoted(&text, quote, s->text, quote);
    if (s->range) {
        buf_printf(&text, ": %s out of range", s->range);
    } else if (!s->want && !quoted) {
        buf_put_c(&text, ": extra text: ");
        put_quoted(&text, quote, rest, STR(""));
    } else {
        buf_put_c(&text, " as ");
        put_quoted(&text, quote, STR(LAYOUT), quote);
        buf_put_c(&text, ": cannot parse ");
        put_quoted(&text, STR(""), rest, quote);
        buf_put_c(&text, " as ");
        put_quoted(&text, STR(""), s->want ? str_of(s->want) : quote, STR(""));
    }
    struct str whole = buf_str(&text);
    int rc = error_set(err, ERR_DECODE, "%.*s", STR_ARG(whole));
    buf_deinit(&text);
    return rc;
}

int time_text_parse(struct str text, bool quoted, struct gotime *out, struct error *err)
{
    struct scan s = { .text = text };
    if (scan_time(&s, out) && s.at == text.n) return 0;
    return refuse(&s, quoted, err);
}

int gotime_parse(struct str text, struct gotime *out, struct error *err)
{
    return time_text_parse(text, false, out, err);
}
