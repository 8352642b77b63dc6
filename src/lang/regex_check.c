/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "regex_check.h"

#define REPEAT_MAX 1000

struct check {
    struct str text;
    size_t at;
    size_t depth;         /* open groups */
    bool has_atom;        /* something a repetition can follow */
    ptrdiff_t repetition; /* where the one just read began, -1: none */
    struct error *err;
};

static bool refuse(struct check *c, const char *what, size_t from, size_t to)
{
    struct str part = str_slice(c->text, from, to);
    error_set(c->err, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`", what, STR_ARG(part));
    return false;
}

static char look(const struct check *c, size_t ahead)
{
    return c->at + ahead < c->text.n ? c->text.p[c->at + ahead] : '\0';
}

static bool ended(const struct check *c)
{
    return c->at >= c->text.n;
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_word(char ch)
{
    return is_digit(ch) || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
}

static bool is_hex(char ch)
{
    return is_digit(ch) || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

/* One character, of whatever width. */
static uint32_t take_rune(struct check *c)
{
    unsigned char first = (unsigned char)c->text.p[c->at++];
    uint32_t rune = first;
    if (first >= 0xc0) rune = first & (first >= 0xf0 ? 0x07 : first >= 0xe0 ? 0x0f : 0x1f);
    while (first >= 0xc0 && !ended(c) && ((unsigned char)look(c, 0) & 0xc0) == 0x80)
        rune = rune << 6 | ((unsigned char)c->text.p[c->at++] & 0x3f);
    return rune;
}

/* Behind the backslash of \x. */
static bool hex(struct check *c, size_t from, uint32_t *rune)
{
    size_t digits = 0;
    bool braces = look(c, 0) == '{';
    c->at += braces;
    for (*rune = 0; is_hex(look(c, 0)) && digits < (braces ? 6u : 2u); digits++) {
        char ch = c->text.p[c->at++];
        *rune = *rune << 4 | (uint32_t)(is_digit(ch) ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    bool good = braces ? digits > 0 && look(c, 0) == '}' && *rune <= 0x10ffff : digits == 2;
    if (braces && look(c, 0) == '}') c->at++;
    return good || refuse(c, "invalid escape sequence", from, c->at);
}

/* A character written with a backslash. */
static bool escape(struct check *c, uint32_t *rune)
{
    static const char controls[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    size_t from = c->at++;
    if (ended(c)) return refuse(c, "trailing backslash at end of expression", c->at, c->at);
    char ch = look(c, 0), next = look(c, 1);
    const char *control = strchr(controls, ch);
    *rune = take_rune(c);
    if (ch == 'x') return hex(c, from, rune);
    if (control && ch) {
        *rune = (uint32_t)values[control - controls];
        return true;
    }
    if (ch == '0' || (ch >= '1' && ch <= '7' && next >= '0' && next <= '7')) {
        *rune = (uint32_t)(ch - '0');
        for (int i = 0; i < 2 && look(c, 0) >= '0' && look(c, 0) <= '7'; i++)
            *rune = *rune * 8 + (uint32_t)(c->text.p[c->at++] - '0');
        return true;
    }
    if ((unsigned char)ch < 0x80 && (!is_word(ch) || ch == '_')) return true;
    return refuse(c, "invalid escape sequence", from, c->at);
}

/* \pN, \p{Greek}, \d and the like; 1: one was read, 0: none, -1: refused. */
static int class_escape(struct check *c)
{
    size_t from = c->at;
    char kind = look(c, 1);
    if (look(c, 0) != '\\' || !kind || !strchr("dswDSWpP", kind)) return 0;
    c->at += 2;
    if (kind != 'p' && kind != 'P') return 1;
    if (look(c, 0) != '{') {
        if (!ended(c)) take_rune(c);
        return 1;
    }
    ptrdiff_t end = str_find_char(str_slice(c->text, c->at, c->text.n), '}');
    if (end < 0) return refuse(c, "invalid character class range", from, c->text.n) ? 1 : -1;
    c->at += (size_t)end + 1;
    return 1;
}

/* [:alpha:]; as class_escape. */
static int named_class(struct check *c)
{
    static const char names[] = " alnum alpha ascii blank cntrl digit graph lower print punct "
                                "space upper word xdigit ";
    if (look(c, 0) != '[' || look(c, 1) != ':') return 0;
    ptrdiff_t end = str_find(str_slice(c->text, c->at + 2, c->text.n), STR(":]"));
    if (end < 0) return 0;
    size_t from = c->at, to = c->at + 2 + (size_t)end;
    struct str name = str_slice(c->text, from + 2, to);
    if (name.n && name.p[0] == '^') name = str_slice(name, 1, name.n);
    c->at = to + 2;
    for (const char *p = names; (p = strchr(p, ' ')) && p[1]; p++)
        if (strncmp(p + 1, name.p, name.n) == 0 && p[1 + name.n] == ' ') return 1;
    return refuse(c, "invalid character class range", from, c->at) ? 1 : -1;
}

static bool class_char(struct check *c, size_t class, uint32_t *rune)
{
    if (ended(c)) return refuse(c, "missing closing ]", class, c->text.n);
    if (look(c, 0) == '\\') return escape(c, rune);
    *rune = take_rune(c);
    return true;
}

static bool character_class(struct check *c)
{
    size_t class = c->at++;
    uint32_t low, high;
    if (look(c, 0) == '^') c->at++;
    for (bool first = true; ended(c) || look(c, 0) != ']' || first; first = false) {
        size_t from = c->at;
        int read = named_class(c);
        if (read == 0) read = class_escape(c);
        if (read < 0) return false;
        if (read) continue;
        if (!class_char(c, class, &low)) return false;
        high = low;
        if (look(c, 0) == '-' && look(c, 1) && look(c, 1) != ']') {
            c->at++;
            if (!class_char(c, class, &high)) return false;
        }
        if (high < low) return refuse(c, "invalid character class range", from, c->at);
    }
    c->at++;
    return true;
}

static bool named_group(struct check *c)
{
    size_t from = c->at, name = c->at + 4;
    ptrdiff_t end = str_find_char(str_slice(c->text, from, c->text.n), '>');
    if (end < 0) return refuse(c, "invalid named capture", from, c->text.n);
    c->at = from + (size_t)end + 1;
    bool good = c->at - 1 > name;
    for (size_t i = name; i + 1 < c->at; i++)
        good = good && is_word(c->text.p[i]);
    return good || refuse(c, "invalid named capture", from, c->at);
}

/* (?flags) and (?flags:; *opens says whether a group begins. */
static bool flags(struct check *c, bool *opens)
{
    size_t from = c->at;
    bool minus = false, some = false;
    c->at += 2;
    while (!ended(c)) {
        char ch = c->text.p[c->at];
        take_rune(c);
        if (ch == ':' || ch == ')') {
            if (minus && !some) break;
            *opens = ch == ':';
            return true;
        }
        if (ch == '-' && !minus)
            minus = true, some = false;
        else if (strchr("imsU", ch))
            some = true;
        else
            break;
    }
    return refuse(c, "invalid or unsupported Perl syntax", from, c->at);
}

static bool group(struct check *c)
{
    bool opens = true;
    if (look(c, 1) != '?')
        c->at++;
    else if (look(c, 2) == 'P' && look(c, 3) == '<') {
        if (!named_group(c)) return false;
    } else if (!flags(c, &opens))
        return false;
    c->depth += opens;
    if (opens) c->has_atom = false;
    return true;
}

static int count(struct check *c)
{
    int n = 0;
    if (!is_digit(look(c, 0)) || (look(c, 0) == '0' && is_digit(look(c, 1)))) return -1;
    for (; is_digit(look(c, 0)); c->at++)
        if (n <= REPEAT_MAX) n = n * 10 + (look(c, 0) - '0');
    return n;
}

/* {2}, {2,} or {2,3}; false: these are plain characters. */
static bool braces(struct check *c, bool *too_large)
{
    size_t from = c->at++;
    int min = count(c), max = min;
    bool good = min >= 0;
    if (good && look(c, 0) == ',') {
        c->at++;
        max = look(c, 0) == '}' ? -1 : count(c);
        good = max >= 0 || look(c, 0) == '}';
    }
    good = good && look(c, 0) == '}';
    c->at = good ? c->at + 1 : from;
    *too_large = good && (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && min > max));
    return good;
}

static bool repetition(struct check *c, ptrdiff_t before)
{
    size_t from = c->at;
    bool too_large = false;
    if (look(c, 0) != '{') {
        c->at++;
    } else if (!braces(c, &too_large)) {
        c->at++;
        c->has_atom = true;
        return true;
    }
    if (too_large) return refuse(c, "invalid repeat count", from, c->at);
    if (look(c, 0) == '?') c->at++;
    if (before >= 0) return refuse(c, "invalid nested repetition operator", (size_t)before, c->at);
    if (!c->has_atom) return refuse(c, "missing argument to repetition operator", from, c->at);
    c->repetition = (ptrdiff_t)from;
    return true;
}

static bool backslash(struct check *c)
{
    uint32_t rune;
    char kind = look(c, 1);
    if (kind && strchr("AbBz", kind)) {
        c->at += 2;
        return true;
    }
    if (kind == 'Q') {
        ptrdiff_t end = str_find(str_slice(c->text, c->at + 2, c->text.n), STR("\\E"));
        c->at = end < 0 ? c->text.n : c->at + 2 + (size_t)end + 2;
        return true;
    }
    int read = class_escape(c);
    return read ? read > 0 : escape(c, &rune);
}

static bool step(struct check *c)
{
    ptrdiff_t before = c->repetition;
    bool good = true;
    c->repetition = -1;
    switch (look(c, 0)) {
    case '(':
        return group(c);
    case '|':
        c->at++;
        c->has_atom = false;
        return true;
    case ')':
        if (c->depth == 0) return refuse(c, "unexpected )", 0, c->text.n);
        c->depth--;
        c->at++;
        break;
    case '*':
    case '+':
    case '?':
    case '{':
        return repetition(c, before);
    case '[':
        good = character_class(c);
        break;
    case '\\':
        good = backslash(c);
        break;
    default:
        take_rune(c);
        break;
    }
    c->has_atom = true;
    return good;
}

int regex_check(struct str text, struct error *err)
{
    struct check c = { .text = text, .repetition = -1, .err = err };
    while (!ended(&c))
        if (!step(&c)) return ERR_BAD_REQUEST;
    if (c.depth == 0) return 0;
    refuse(&c, "missing closing )", 0, text.n);
    return ERR_BAD_REQUEST;
}
