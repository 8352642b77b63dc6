/* SPDX-License-Identifier: Apache-2.0 */
#include "http_request.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/wire/quote.h"

/* --- headers ---------------------------------------------------------------------------------- */

static const struct type *texts_type(void)
{
    return type_map_list_str.elem;
}

/* Without case; nil if there is none. */
static struct str header_value(const struct http_request *q, const char *name)
{
    for (size_t i = 0; i < q->header->n; i++) {
        const struct list *values = dict_at(q->header, texts_type(), i);
        if (values->n && str_eq_nocase(dict_key(q->header, texts_type(), i), str_of(name)))
            return LIST_AT(values, struct str, 0);
    }
    return STR_NIL;
}

static bool token_valid(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(c && strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return text.n > 0;
}

static bool value_valid(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

struct str http_method_fault(const struct http_request *q, struct arena *a)
{
    struct buf text = BUF_INIT(4096);
    if (q->method.n && !token_valid(q->method)) {
        buf_put_c(&text, "net/http: invalid method ");
        quote_go(&text, q->method);
    }
    struct str fault = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return fault;
}

struct str http_header_fault(const struct http_request *q, struct arena *a)
{
    struct buf text = BUF_INIT(4096);
    for (size_t i = 0; i < q->header->n && !text.n; i++) {
        struct str name = dict_key(q->header, texts_type(), i);
        const struct list *values = dict_at(q->header, texts_type(), i);
        if (!token_valid(name)) {
            buf_put_c(&text, "net/http: invalid header field name ");
            quote_go(&text, name);
        }
        for (size_t k = 0; k < values->n && !text.n; k++) {
            if (value_valid(LIST_AT(values, struct str, k))) continue;
            buf_put_c(&text, "net/http: invalid header field value ");
            quote_go(&text, LIST_AT(values, struct str, k));
            buf_put_c(&text, " for key ");
            quote_go(&text, name);
        }
    }
    struct str fault = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return fault;
}

static bool one_of(struct str name, const char *const *names)
{
    for (; *names; names++)
        if (str_eq_nocase(name, str_of(*names))) return true;
    return false;
}

struct line {
    struct str name, value;
};

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct line *)a)->name, ((const struct line *)b)->name);
}

/* Those in the order of their names; equal names stay together in theirs. */
static void put_lines(struct buf *out, const struct http_hop *h, const struct http_request *q,
    struct str credentials, struct arena *a)
{
    /* the client's own, or its transport's */
    static const char *const others[] = { "Host", "User-Agent", "Content-Length",
        "Transfer-Encoding", "Trailer", NULL };
    static const char *const secrets[] = { "Authorization", "Www-Authenticate", "Cookie", "Cookie2",
        NULL };
    struct list lines = { 0 };
    bool refer = h->referer.n > 0;
    for (size_t i = 0; i < q->header->n; i++) {
        struct str name = dict_key(q->header, texts_type(), i);
        const struct list *values = dict_at(q->header, texts_type(), i);
        if (one_of(name, others) || (h->foreign && one_of(name, secrets))) continue;
        if (refer && str_eq_nocase(name, STR("Referer"))) continue;
        struct buf text = BUF_INIT((size_t)4 << 20);
        for (size_t k = 0; k < values->n; k++)
            buf_printf(
                &text, "%.*s: %.*s\r\n", STR_ARG(name), STR_ARG(LIST_AT(values, struct str, k)));
        *LIST_PUSH(a, &lines, struct line) = (struct line){ name, str_dup(a, buf_str(&text)) };
        buf_deinit(&text);
    }
    const struct line own[] = {
        { STR("Accept"), str_of(q->accept) },
        { STR("Authorization"), credentials },
        { STR("Referer"), h->referer },
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (!own[i].value.n || (i == 0 && header_value(q, "Accept").n)) continue;
        *LIST_PUSH(a, &lines, struct line) = (struct line){ own[i].name,
            str_printf(a, "%.*s: %.*s\r\n", STR_ARG(own[i].name), STR_ARG(own[i].value)) };
    }
    if (lines.n) qsort(lines.v, lines.n, sizeof(struct line), by_name);
    for (size_t i = 0; i < lines.n; i++)
        buf_put_str(out, LIST_AT(&lines, struct line, i).value);
}

/* --- URLs ------------------------------------------------------------------------------------- */

static struct str with_user(struct str url, struct str user, struct arena *a)
{
    struct http_url u;
    if (!http_url_parse(url, &u) || !u.user.p) return url;
    size_t from = (size_t)(u.user.p - url.p);
    return str_printf(a, "%.*s%.*s%s%.*s", (int)from, url.p, STR_ARG(user), user.n ? "@" : "",
        STR_ARG(str_slice(url, from + u.user.n + 1, url.n)));
}

struct str http_url_shown(struct str url, struct arena *a)
{
    struct http_url u;
    struct str name, word;
    if (!http_url_parse(url, &u) || !u.user.p || !str_cut(u.user, ':', &name, &word)) return url;
    return with_user(url, str_printf(a, "%.*s:***", STR_ARG(name)), a);
}

struct str http_url_fault(struct str url, struct arena *a)
{
    ptrdiff_t colon = str_find_char(url, ':');
    struct str scheme = str_slice(url, 0, colon > 0 ? (size_t)colon : 0);
    if (!str_eq_nocase(scheme, STR("http")) && !str_eq_nocase(scheme, STR("https")))
        return str_printf(a, "unsupported protocol scheme \"%.*s\"", STR_ARG(scheme));
    struct str rest = str_slice(url, (size_t)colon + 1, url.n), host, port = STR_NIL;
    if (str_has_prefix(rest, STR("//"))) rest = str_slice(rest, 2, rest.n);
    size_t end = 0;
    while (end < rest.n && !strchr("/?#", rest.p[end]))
        end++;
    if (end == 0) return STR("http: no Host in request URL");
    if (str_cut(str_slice(rest, 0, end), ':', &host, &port) && port.n)
        return str_printf(a, "dial tcp: address %.*s: invalid port", STR_ARG(port));
    return STR("invalid URL");
}

/* "." and ".." taken out of a path; what follows a '?' stays. */
static struct str dots_removed(struct str path, struct arena *a)
{
    size_t stop = 0;
    while (stop < path.n && path.p[stop] != '?')
        stop++;
    char *out = arena_alloc(a, path.n + 2);
    size_t n = 0;
    for (size_t at = 1; at <= stop;) {
        size_t end = at;
        while (end < stop && path.p[end] != '/')
            end++;
        struct str part = str_slice(path, at, end);
        bool up = str_is(part, ".."), here = str_is(part, ".");
        while (up && n && out[--n] != '/') {
        }
        if (!up && !here) {
            out[n++] = '/';
            memcpy(out + n, part.p, part.n);
            n += part.n;
        } else if (end == stop) {
            out[n++] = '/';
        }
        at = end + 1;
    }
    if (n == 0) out[n++] = '/';
    return str_printf(a, "%.*s%.*s", (int)n, out, STR_ARG(str_slice(path, stop, path.n)));
}

/* A reference, seen from a URL (RFC 3986, 5.2). */
static struct str resolved(struct str base, struct str to, struct arena *a)
{
    struct http_url u;
    ptrdiff_t colon = str_find(to, STR("://")), hash = str_find_char(to, '#');
    if (colon > 0 || !http_url_parse(base, &u)) return to;
    if (hash >= 0) to = str_slice(to, 0, (size_t)hash);
    const char *scheme = u.tls ? "https" : "http";
    if (str_has_prefix(to, STR("//"))) return str_printf(a, "%s:%.*s", scheme, STR_ARG(to));
    size_t query = 0, folder = 0;
    while (query < u.path.n && u.path.p[query] != '?')
        query++;
    for (size_t i = 0; i < query; i++)
        if (u.path.p[i] == '/') folder = i + 1;
    bool rooted = to.n && to.p[0] == '/', asks = to.n && to.p[0] == '?';
    size_t keep = to.n == 0 ? u.path.n : asks ? query : rooted ? 0 : folder;
    struct str path =
        str_printf(a, "%s%.*s%.*s", keep || rooted ? "" : "/", (int)keep, u.path.p, STR_ARG(to));
    return str_printf(a, "%s://%.*s%s%.*s%.*s", scheme, STR_ARG(u.user), u.user.p ? "@" : "",
        STR_ARG(u.authority), STR_ARG(dots_removed(path, a)));
}

/* Blanks, and what is no ASCII in front of the query, are coded; all else stays as it was written.
 */
static void put_path(struct buf *out, struct str path)
{
    bool query = false;
    if (path.n == 0 || path.p[0] != '/') buf_put_char(out, '/');
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        query |= c == '?';
        if (c == ' ' || (c >= 0x80 && !query))
            buf_printf(out, "%%%02X", c);
        else
            buf_put_char(out, (char)c);
    }
}

/* --- hops ------------------------------------------------------------------------------------- */

struct http_request http_check_request(const struct check_type *t, struct str url)
{
    struct http_request q = { .url = url,
        .method = t->method,
        .header = &t->header,
        .body = t->body,
        .agent = "Consul Health Check",
        .accept = "text/plain, text/*, */*" };
    q.host = header_value(&q, "Host");
    return q;
}

struct http_hop http_hop_first(const struct http_request *q)
{
    return (struct http_hop){
        .url = q->url, .method = q->method.n ? q->method : STR("GET"), .host = q->host
    };
}

/* The same host and port, or a name below it. */
static bool below(struct str url, struct str first)
{
    struct http_url a, b;
    if (!http_url_parse(url, &a) || !http_url_parse(first, &b) || a.port != b.port) return false;
    if (str_eq_nocase(a.host, b.host)) return true;
    size_t cut = a.host.n > b.host.n ? a.host.n - b.host.n : 0;
    return cut && a.host.p[cut - 1] == '.' &&
           str_eq_nocase(str_slice(a.host, cut, a.host.n), b.host);
}

bool http_hop_next(struct http_hop *h, const struct http_request *q, int status,
    struct str location, struct arena *a)
{
    struct http_url from, to;
    bool moved = status == 301 || status == 302 || status == 303;
    if (!moved && status != 307 && status != 308) return false;
    if (location.n == 0) return false;
    if (moved) {
        h->bodyless = true;
        if (!str_is(h->method, "HEAD")) h->method = STR("GET");
    }
    struct str last = h->url;
    h->url = resolved(last, location, a);
    bool absolute = str_find(location, STR("://")) > 0;
    if (absolute) h->host = STR_NIL;
    h->foreign = !below(h->url, q->url);
    bool told =
        http_url_parse(last, &from) && !(from.tls && http_url_parse(h->url, &to) && !to.tls);
    h->referer = told ? with_user(last, STR(""), a) : STR("");
    return true;
}

bool http_hop_write(
    const struct http_hop *h, const struct http_request *q, struct arena *a, struct buf *out)
{
    struct http_url url;
    if (!http_url_parse(h->url, &url)) return false;
    bool packed = !header_value(q, "Accept-Encoding").n && !str_is(h->method, "HEAD");
    bool named = header_value(q, "Authorization").n && !h->foreign;
    struct str body = h->bodyless ? STR("") : q->body, agent = header_value(q, "User-Agent");
    struct str host = h->host.n ? h->host : url.authority;
    buf_printf(out, "%.*s ", STR_ARG(h->method));
    if (h->proxied) buf_printf(out, "http://%.*s", STR_ARG(host));
    put_path(out, url.path);
    buf_printf(out, " HTTP/1.1\r\nHost: %.*s\r\n", STR_ARG(host));
    buf_printf(out, "User-Agent: %.*s\r\n", STR_ARG(agent.n ? agent : str_of(q->agent)));
    if (body.n) buf_printf(out, "Content-Length: %zu\r\n", body.n);
    put_lines(out, h, q, named ? STR("") : http_url_credentials(&url, a), a);
    if (packed) buf_put_c(out, "Accept-Encoding: gzip\r\n");
    buf_put_c(out, "Connection: close\r\n");
    if (h->proxied && h->proxy_authorization.n)
        buf_printf(out, "Proxy-Authorization: %.*s\r\n", STR_ARG(h->proxy_authorization));
    buf_put_c(out, "\r\n");
    buf_put_str(out, body);
    return packed;
}
