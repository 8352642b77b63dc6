/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/wire/gotime.h"

#define NS UINT64_C(1)
#define US (1000 * NS)
#define MS (1000 * US)
#define SEC (1000 * MS)
#define MINUTE (60 * SEC)
#define HOUR (60 * MINUTE)

static const struct unit {
    struct str name;
    uint64_t ns;
} units[] = {
    { { "ns", 2 }, NS },
    { { "us", 2 }, US },
    { { "\xc2\xb5s", 3 }, US }, /* micro sign */
    { { "\xce\xbcs", 3 }, US }, /* Greek mu */
    { { "ms", 2 }, MS },
    { { "s", 1 }, SEC },
    { { "m", 1 }, MINUTE },
    { { "h", 1 }, HOUR },
};

/* v / unit with its decimals, trailing zeros cut. */
static void put_decimal(struct buf *out, uint64_t v, uint64_t unit)
{
    buf_put_u64(out, v / unit);
    uint64_t rest = v % unit;
    if (rest == 0) return;
    buf_put_char(out, '.');
    while (rest != 0) {
        unit /= 10;
        buf_put_char(out, (char)('0' + rest / unit));
        rest %= unit;
    }
}

void duration_format(int64_t ns, struct buf *out)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0) buf_put_char(out, '-');
    if (v != 0 && v < SEC) {
        const char *name = v < US ? "ns" : v < MS ? "\xc2\xb5s" : "ms";
        put_decimal(out, v, v < US ? NS : v < MS ? US : MS);
        buf_put_c(out, name);
        return;
    }
    if (v >= HOUR) {
        buf_put_u64(out, v / HOUR);
        buf_put_char(out, 'h');
    }
    if (v >= MINUTE) {
        buf_put_u64(out, v % HOUR / MINUTE);
        buf_put_char(out, 'm');
    }
    put_decimal(out, v % MINUTE, SEC);
    buf_put_char(out, 's');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads "12.5" as a whole part and a fraction of `scale`; false if there is no digit or the whole
 * part is out of range. */
static bool read_number(struct str *rest, uint64_t *whole, uint64_t *fraction, double *scale)
{
    size_t i = 0, digits = 0;
    *whole = *fraction = 0;
    *scale = 1;
    for (; i < rest->n && is_digit(rest->p[i]); i++, digits++) {
        if (*whole > INT64_MAX / 10) return false;
        *whole = *whole * 10 + (uint64_t)(rest->p[i] - '0');
        if (*whole > INT64_MAX) return false;
    }
    if (i < rest->n && rest->p[i] == '.') {
        for (i++; i < rest->n && is_digit(rest->p[i]); i++, digits++) {
            if (*fraction > (INT64_MAX - 9) / 10) continue;
            *fraction = *fraction * 10 + (uint64_t)(rest->p[i] - '0');
            *scale *= 10;
        }
    }
    *rest = str_slice(*rest, i, rest->n);
    return digits > 0;
}

static struct str read_unit(struct str *rest)
{
    size_t i = 0;
    while (i < rest->n && rest->p[i] != '.' && !is_digit(rest->p[i]))
        i++;
    struct str name = str_slice(*rest, 0, i);
    *rest = str_slice(*rest, i, rest->n);
    return name;
}

static const struct unit *unit_find(struct str name)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (str_eq(units[i].name, name)) return &units[i];
    }
    return NULL;
}

/* As Go's package of times quotes: bytes that are no printable ASCII one by one. */
static void quote_time(struct buf *out, struct str text)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x80 || c < ' ') {
            buf_printf(out, "\\x%02x", c);
            continue;
        }
        if (c == '"' || c == '\\') buf_put_char(out, '\\');
        buf_put_char(out, (char)c);
    }
    buf_put_char(out, '"');
}

static int fail(struct error *err, const char *what, struct str text)
{
    struct buf quoted = BUF_INIT(ERROR_TEXT_MAX);
    quote_time(&quoted, text);
    struct str q = buf_str(&quoted);
    int rc = error_set(err, ERR_DECODE, "time: %s duration %.*s", what, STR_ARG(q));
    buf_deinit(&quoted);
    return rc;
}

static int fail_unit(struct error *err, struct str unit, struct str text)
{
    struct buf what = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_c(&what, "unknown unit ");
    quote_time(&what, unit);
    buf_put(&what, " in", sizeof " in"); /* with its NUL */
    int rc = fail(err, what.overflow ? "unknown unit in" : (const char *)what.p, text);
    buf_deinit(&what);
    return rc;
}

int duration_parse(struct str text, int64_t *ns, struct error *err)
{
    struct str rest = text;
    bool minus = rest.n > 0 && rest.p[0] == '-';
    if (minus || (rest.n > 0 && rest.p[0] == '+')) rest = str_slice(rest, 1, rest.n);
    if (rest.n == 0) return fail(err, "invalid", text);
    uint64_t sum = 0;
    if (str_is(rest, "0")) rest.n = 0;
    while (rest.n > 0) {
        uint64_t whole, fraction;
        double scale;
        if (!read_number(&rest, &whole, &fraction, &scale)) return fail(err, "invalid", text);
        struct str name = read_unit(&rest);
        if (name.n == 0) return fail(err, "missing unit in", text);
        const struct unit *u = unit_find(name);
        if (!u) return fail_unit(err, name, text);
        if (whole > INT64_MAX / u->ns) return fail(err, "invalid", text);
        uint64_t part = whole * u->ns;
        if (fraction > 0) part += (uint64_t)((double)fraction * ((double)u->ns / scale));
        if (part > INT64_MAX || (sum += part) > INT64_MAX) return fail(err, "invalid", text);
    }
    *ns = minus ? -(int64_t)sum : (int64_t)sum;
    return 0;
}
