/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/mux/http.h"
#include "http.h"

static bool is_token(struct str s)
{
    if (s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return true;
}

static int version_parse(struct str s, uint8_t *minor)
{
    if (s.n != 8 || !str_has_prefix(s, STR("HTTP/")) || s.p[6] != '.') return 400;
    if (s.p[5] < '0' || s.p[5] > '9' || s.p[7] < '0' || s.p[7] > '9') return 400;
    if (s.p[5] != '1') return 505;
    *minor = s.p[7] == '0' ? 0 : 1;
    return 0;
}

int http__line_parse(struct str text, struct http_line *out)
{
    struct str rest, version, path, query;
    if (!str_cut(text, ' ', &out->method, &rest)) return 400;
    if (!str_cut(rest, ' ', &out->target, &version)) return 400;
    if (!is_token(out->method)) return 400;
    int status = version_parse(version, &out->minor);
    if (status) return status;
    return http_target_split(out->target, &path, &query) ? 0 : 400;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool escapes_valid(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') continue;
        if (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0) return false;
        i += 2;
    }
    return true;
}

/* Behind "scheme://authority"; false if there is no such prefix. */
static bool absolute_form(struct str target, struct str *rest)
{
    ptrdiff_t colon = str_find(target, STR("://"));
    if (colon <= 0) return false;
    for (ptrdiff_t i = 0; i < colon; i++) {
        char c = target.p[i];
        bool alpha = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alpha && (i == 0 || !((c >= '0' && c <= '9') || (c != '\0' && strchr("+-.", c)))))
            return false;
    }
    size_t at = (size_t)colon + 3;
    while (at < target.n && target.p[at] != '/' && target.p[at] != '?')
        at++;
    *rest = str_slice(target, at, target.n);
    return true;
}

bool http_target_split(struct str target, struct str *path, struct str *query)
{
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] < 0x20 || target.p[i] == 0x7f) return false;
    *query = STR_NIL;
    if (str_is(target, "*")) {
        *path = target;
        return true;
    }
    if (target.n == 0) return false;
    if (target.p[0] != '/' && !absolute_form(target, &target)) return false;
    struct str tail;
    if (str_cut(target, '?', path, &tail)) *query = tail.p ? tail : STR("");
    if (path->n == 0) *path = STR("/");
    return escapes_valid(*path);
}

bool http_unescape(struct arena *a, struct str s, bool form, struct str *out)
{
    *out = s;
    if (str_find_char(s, '%') < 0 && (!form || str_find_char(s, '+') < 0)) return true;
    if (!escapes_valid(s)) return false;
    char *to = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = (struct str){ to, n };
    return true;
}
