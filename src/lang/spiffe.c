/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/lang/spiffe.h"

#define SCHEME "spiffe://"
#define PARTS_MAX 6

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool unescape(struct str s, struct arena *a, struct str *out)
{
    char *to = arena_alloc(a, s.n + 1);
    *out = (struct str){ to, 0 };
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high < 0 ? -1 : hex(s.p[i + 2]);
            if (low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[out->n++] = c;
    }
    return true;
}

/* The path's parts, none empty, decoded; their number, or -1. */
static int split(struct str path, struct arena *a, struct str parts[PARTS_MAX])
{
    int n = 0;
    while (path.n) {
        struct str part, rest;
        if (path.p[0] != '/' || n == PARTS_MAX) return -1;
        str_cut(str_slice(path, 1, path.n), '/', &part, &rest);
        if (part.n == 0 || !unescape(part, a, &parts[n])) return -1;
        path = str_slice(path, 1 + part.n, path.n);
        n++;
    }
    return n;
}

int spiffe_parse(struct str uri, struct arena *a, struct spiffe_id *out, struct error *err)
{
    struct str parts[PARTS_MAX], rest;
    *out = (struct spiffe_id){ .kind = SPIFFE_SIGNING };
    if (!str_has_prefix(uri, STR(SCHEME)))
        return error_set(err, ERR_BAD_REQUEST, "SPIFFE ID must have 'spiffe' scheme");
    rest = str_slice(uri, sizeof SCHEME - 1, uri.n);
    ptrdiff_t slash = str_find_char(rest, '/');
    size_t host = slash < 0 ? rest.n : (size_t)slash;
    out->host = str_slice(rest, 0, host);
    int n = split(str_slice(rest, host, rest.n), a, parts);
    if (n == 6 && str_is(parts[0], "ns") && str_is(parts[2], "dc") && str_is(parts[4], "svc")) {
        out->kind = SPIFFE_SERVICE;
        out->namespace = parts[1];
        out->datacenter = parts[3];
        out->service = parts[5];
        return 0;
    }
    if (n == 6 && str_is(parts[0], "agent") && str_is(parts[1], "client") &&
        str_is(parts[2], "dc") && str_is(parts[4], "id")) {
        out->kind = SPIFFE_AGENT;
        out->datacenter = parts[3];
        out->agent = parts[5];
        return 0;
    }
    if (n == 0) return 0;
    return error_set(
        err, ERR_BAD_REQUEST, "SPIFFE ID is not in the expected format: %.*s", STR_ARG(uri));
}
