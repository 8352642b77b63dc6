/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Integers up to here have one float64 each, and all their digits are needed. */
#define EXACT_MAX 9007199254740992.0
#define DIGITS_MAX 17

/* v = 0.d1d2d3... * 10^point */
struct decimal {
    char digits[DIGITS_MAX + 1];
    int n;
    int point;
};

static bool reads_back(const char *text, double v, bool single)
{
    return single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;
}

/* Raises the last digit of d.ddde+xx, the last before the `e`; false on a carry. */
static bool raise_last(char *text)
{
    char *e = strchr(text, 'e');
    if (!e || e[-1] < '0' || e[-1] >= '9') return false;
    e[-1]++;
    return true;
}

/* Below a power of two the gap to the next number is half as wide: a number above may be as short
 * while the nearest one of that length misses. */
static bool try_digits(double v, bool single, int n, char text[NUMBER_TEXT_MAX])
{
    snprintf(text, NUMBER_TEXT_MAX, "%.*e", n - 1, v);
    if (reads_back(text, v, single)) return true;
    return raise_last(text) && reads_back(text, v, single);
}

static struct decimal shortest(double v, bool single)
{
    char text[NUMBER_TEXT_MAX];
    bool small = single ? v < (double)FLT_MIN : v < DBL_MIN; /* few bits, few digits */
    int n = small ? 1 : single ? FLT_DIG : DBL_DIG;
    int max = single ? 9 : DIGITS_MAX;
    while (n < max && !try_digits(v, single, n, text))
        n++;
    if (n == max) snprintf(text, sizeof text, "%.*e", n - 1, v);
    struct decimal d = { .n = 0 };
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p != '.') d.digits[d.n++] = *p;
    }
    while (d.n > 1 && d.digits[d.n - 1] == '0')
        d.n--;
    d.point = (*p ? (int)strtol(p + 1, NULL, 10) : 0) + 1;
    return d;
}

static char *put_plain(char *p, const struct decimal *d)
{
    if (d->point <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = d->point; i < 0; i++)
            *p++ = '0';
    }
    for (int i = 0; i < d->n || i < d->point; i++) {
        if (i > 0 && i == d->point) *p++ = '.';
        *p++ = i < d->n ? d->digits[i] : '0';
    }
    return p;
}

static char *put_exponent(char *p, const struct decimal *d)
{
    *p++ = d->digits[0];
    if (d->n > 1) {
        *p++ = '.';
        memcpy(p, d->digits + 1, (size_t)d->n - 1);
        p += d->n - 1;
    }
    int e = d->point - 1;
    return p + snprintf(p, 8, "e%c%d", e < 0 ? '-' : '+', e < 0 ? -e : e);
}

static char *put_integer(char *p, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

size_t number_format(double v, bool single, char out[NUMBER_TEXT_MAX])
{
    if (!isfinite(v)) return 0;
    char *p = out;
    if (signbit(v)) {
        *p++ = '-';
        v = -v;
    }
    /* For float32 the digits beyond its precision are not those of the integer. */
    if (v < (single ? 16777216.0 : EXACT_MAX) && v == floor(v))
        return (size_t)(put_integer(p, (uint64_t)v) - out);
    bool plain = single ? (float)v >= 1e-6F && (float)v < 1e21F : v >= 1e-6 && v < 1e21;
    struct decimal d = shortest(v, single);
    return (size_t)((plain ? put_plain(p, &d) : put_exponent(p, &d)) - out);
}

double number_value(struct str text)
{
    char small[64];
    if (text.n < sizeof small) {
        memcpy(small, text.p, text.n);
        small[text.n] = 0;
        return strtod(small, NULL);
    }
    char *copy = xmalloc(text.n + 1);
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double v = strtod(copy, NULL);
    free(copy);
    return v;
}
