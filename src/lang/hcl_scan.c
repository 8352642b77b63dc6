/* SPDX-License-Identifier: Apache-2.0 */
#include "hcl_scan.h"

#include <string.h>

enum { END = 0, BAD = 0xFFFD };

static const char *const token_names[] = {
    [HCL_ILLEGAL] = "ILLEGAL",
    [HCL_EOF] = "EOF",
    [HCL_COMMENT] = "COMMENT",
    [HCL_IDENT] = "IDENT",
    [HCL_NUMBER] = "NUMBER",
    [HCL_FLOAT] = "FLOAT",
    [HCL_BOOL] = "BOOL",
    [HCL_STRING] = "STRING",
    [HCL_HEREDOC] = "HEREDOC",
    [HCL_LBRACK] = "LBRACK",
    [HCL_LBRACE] = "LBRACE",
    [HCL_COMMA] = "COMMA",
    [HCL_PERIOD] = "PERIOD",
    [HCL_RBRACK] = "RBRACK",
    [HCL_RBRACE] = "RBRACE",
    [HCL_ASSIGN] = "ASSIGN",
    [HCL_ADD] = "ADD",
    [HCL_SUB] = "SUB",
};

const char *hcl_token_name(enum hcl_token_kind kind)
{
    return token_names[kind];
}

void hcl_scan_init(struct hcl_scan *s, struct str text)
{
    *s = (struct hcl_scan){ .text = text, .pos = { .line = 1 } };
}

/* Where the last character read stands. */
static struct hcl_pos last_position(const struct hcl_scan *s)
{
    struct hcl_pos at = { .line = s->pos.line, .column = s->pos.column };
    at.offset = s->pos.offset - s->last_size;
    if (s->pos.column == 0 && s->last_line_length > 0) {
        at.line--;
        at.column = s->last_line_length;
    } else if (s->pos.column == 0) {
        at = (struct hcl_pos){ .line = 1, .column = 1 };
    }
    return at;
}

static void fail(struct hcl_scan *s, const char *message)
{
    struct hcl_pos at = last_position(s);
    s->failed = true;
    error_set(&s->error, ERR_DECODE, "At %u:%u: %s", at.line, at.column, message);
}

/* One UTF-8 character at p[0..n), its size in *size; BAD with size 1 when malformed. */
static uint32_t decode_char(const uint8_t *p, size_t n, size_t *size)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t need = p[0] < 0x80   ? 1
                  : p[0] < 0xC2 ? 0
                  : p[0] < 0xE0 ? 2
                  : p[0] < 0xF0 ? 3
                  : p[0] < 0xF5 ? 4
                                : 0;
    *size = 1;
    if (need == 1) return p[0];
    if (need == 0 || need > n) return BAD;
    uint32_t c = p[0] & (0xFFu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xC0) != 0x80) return BAD;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if (c < smallest[need] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return BAD;
    *size = need;
    return c;
}

static uint32_t next(struct hcl_scan *s)
{
    if (s->pos.offset >= s->text.n) {
        s->pos.column++;
        s->last_size = 0;
        return END;
    }
    size_t size;
    uint32_t c =
        decode_char((const uint8_t *)s->text.p + s->pos.offset, s->text.n - s->pos.offset, &size);
    s->prev = s->pos;
    s->pos.column++;
    s->pos.offset += size;
    s->last_size = size;
    if (c == BAD && size == 1) {
        fail(s, "illegal UTF-8 encoding");
        return BAD;
    }
    if (c == '\n') {
        s->pos.line++;
        s->last_line_length = s->pos.column;
        s->pos.column = 0;
    }
    if (c == 0) {
        fail(s, "unexpected null character (0x00)");
        s->pos.offset = s->text.n; /* nothing behind it counts */
    }
    return c;
}

static void unread(struct hcl_scan *s)
{
    s->pos = s->prev;
}

static int peek(const struct hcl_scan *s)
{
    return s->pos.offset < s->text.n ? (uint8_t)s->text.p[s->pos.offset] : END;
}

static bool is_blank(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
static bool is_decimal(uint32_t c)
{
    return c >= '0' && c <= '9';
}
static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 0x80 && c != BAD);
}

static uint32_t digit_value(uint32_t c)
{
    if (is_decimal(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

static void scan_digits(struct hcl_scan *s, uint32_t c, uint32_t base, int n)
{
    int start = n;
    while (n > 0 && digit_value(c) < base) {
        c = next(s);
        if (c == END) break;
        n--;
    }
    if (n > 0) fail(s, "illegal char escape");
    if (n != start && c != END) unread(s);
}

static void scan_escape(struct hcl_scan *s)
{
    uint32_t c = next(s);
    if (c != END && c < 0x80 && memchr("abfnrtv\\\"", (int)c, 9)) return;
    if (c >= '0' && c <= '7') {
        scan_digits(s, c, 8, 3);
    } else if (c == 'x') {
        scan_digits(s, next(s), 16, 2);
    } else if (c == 'u') {
        scan_digits(s, next(s), 16, 4);
    } else if (c == 'U') {
        scan_digits(s, next(s), 16, 8);
    } else {
        fail(s, "illegal char escape");
    }
}

/* The opening quote is read. Inside ${ } quotes and newlines are content. */
static void scan_string(struct hcl_scan *s)
{
    size_t braces = 0;
    for (;;) {
        uint32_t c = next(s);
        if ((c == '\n' && braces == 0) || c == END) {
            fail(s, "literal not terminated");
            return;
        }
        if (c == '"' && braces == 0) return;
        if (braces == 0 && c == '$' && peek(s) == '{') {
            braces++;
            next(s);
        } else if (braces > 0 && c == '{') {
            braces++;
        } else if (braces > 0 && c == '}') {
            braces--;
        }
        if (c == '\\') scan_escape(s);
    }
}

static void scan_line_comment(struct hcl_scan *s)
{
    uint32_t c = next(s);
    while (c != '\n' && c != END)
        c = next(s);
    if (c != END) unread(s);
}

static void scan_comment(struct hcl_scan *s, uint32_t c)
{
    if (c == '#' || peek(s) == '/') {
        scan_line_comment(s);
        return;
    }
    if (peek(s) != '*') {
        fail(s, "expected '/' for comment");
        return;
    }
    next(s);
    c = next(s);
    for (;;) {
        if (c == END) {
            fail(s, "comment not terminated");
            return;
        }
        uint32_t before = c;
        c = next(s);
        if (before == '*' && c == '/') return;
    }
}

static enum hcl_token_kind number_tail(struct hcl_scan *s, uint32_t c)
{
    enum hcl_token_kind kind = HCL_NUMBER;
    if (c == '.') {
        kind = HCL_FLOAT;
        do
            c = next(s);
        while (is_decimal(c));
    }
    if (c == 'e' || c == 'E') {
        kind = HCL_FLOAT;
        c = next(s);
        if (c == '-' || c == '+') c = next(s);
        while (is_decimal(c))
            c = next(s);
    }
    if (c != END) unread(s);
    return kind;
}

static enum hcl_token_kind scan_number(struct hcl_scan *s, uint32_t c)
{
    bool zero = c == '0', octal = true, found = false;
    c = next(s);
    if (zero && (c == 'x' || c == 'X')) {
        for (c = next(s); digit_value(c) < 16; c = next(s))
            found = true;
        if (!found) fail(s, "illegal hexadecimal number");
        if (c != END) unread(s);
        return HCL_NUMBER;
    }
    for (; is_decimal(c); c = next(s))
        if (c >= '8') octal = false;
    if (zero && !octal && c != '.' && c != 'e' && c != 'E') fail(s, "illegal octal number");
    return number_tail(s, c);
}

/* Does `line` consist of blanks, the anchor, and carriage returns? */
static bool is_anchor_line(struct str line, struct str anchor)
{
    while (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    while (line.n > anchor.n &&
           (is_blank((uint8_t)line.p[0]) || line.p[0] == '\v' || line.p[0] == '\f'))
        line = str_slice(line, 1, line.n);
    return str_eq(line, anchor);
}

static void scan_heredoc(struct hcl_scan *s)
{
    if (next(s) != '<') {
        fail(s, "heredoc expected second '<', didn't see it");
        return;
    }
    uint32_t c = next(s);
    if (c == '-') c = next(s);
    size_t from = s->pos.offset - s->last_size;
    while (is_letter(c) || is_decimal(c))
        c = next(s);
    struct str anchor = str_slice(s->text, from, s->pos.offset - s->last_size);
    if (c == '\r' && peek(s) == '\n') c = next(s);
    const char *problem = c == END        ? "heredoc not terminated"
                          : c != '\n'     ? "invalid characters in heredoc anchor"
                          : anchor.n == 0 ? "zero-length heredoc anchor"
                                          : NULL;
    size_t line = s->pos.offset;
    while (!problem) {
        c = next(s);
        if (c == END) {
            problem = "heredoc not terminated";
        } else if (c == '\n') {
            if (is_anchor_line(str_slice(s->text, line, s->pos.offset - 1), anchor)) return;
            line = s->pos.offset;
        }
    }
    fail(s, problem);
}

static enum hcl_token_kind scan_word(struct hcl_scan *s, size_t from)
{
    uint32_t c;
    do
        c = next(s);
    while (is_letter(c) || is_decimal(c) || c == '-' || c == '.');
    if (c != END) unread(s);
    struct str word = str_slice(s->text, from, s->pos.offset);
    return str_is(word, "true") || str_is(word, "false") ? HCL_BOOL : HCL_IDENT;
}

static enum hcl_token_kind scan_sign(struct hcl_scan *s)
{
    return is_decimal((uint32_t)peek(s)) ? scan_number(s, next(s)) : HCL_SUB;
}

static enum hcl_token_kind scan_token(struct hcl_scan *s, uint32_t c, size_t from)
{
    if (is_letter(c)) return scan_word(s, from);
    if (is_decimal(c)) return scan_number(s, c);
    switch (c) {
    case END:
        return HCL_EOF;
    case '"':
        scan_string(s);
        return HCL_STRING;
    case '#':
    case '/':
        scan_comment(s, c);
        return HCL_COMMENT;
    case '<':
        scan_heredoc(s);
        return HCL_HEREDOC;
    case '.':
        return is_decimal((uint32_t)peek(s)) ? number_tail(s, c) : HCL_PERIOD;
    case '[':
        return HCL_LBRACK;
    case ']':
        return HCL_RBRACK;
    case '{':
        return HCL_LBRACE;
    case '}':
        return HCL_RBRACE;
    case ',':
        return HCL_COMMA;
    case '=':
        return HCL_ASSIGN;
    case '+':
        return HCL_ADD;
    case '-':
        return scan_sign(s);
    default:
        fail(s, "illegal character");
        return HCL_ILLEGAL;
    }
}

struct hcl_token hcl_scan_next(struct hcl_scan *s)
{
    uint32_t c = next(s);
    while (is_blank(c))
        c = next(s);
    struct hcl_token t = { .pos = last_position(s) };
    t.kind = scan_token(s, c, t.pos.offset);
    t.text = str_slice(s->text, t.pos.offset, s->pos.offset);
    return t;
}
