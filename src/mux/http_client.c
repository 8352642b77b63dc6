/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/mux/http_client.h"

#include <string.h>
#include <strings.h>

#include "consuld/wire/json.h"
#include "consuld/wire/quote.h"

static struct http_client *self(llhttp_t *p)
{
    return p->data;
}

static int on_status(llhttp_t *p, const char *at, size_t n)
{
    buf_put(&self(p)->reason, at, n);
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct http_client *c = self(p);
    c->head_size += n;
    buf_put(&c->name, at, n);
    return c->head_size > HTTP_ANSWER_HEAD_MAX ? HPE_USER : 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http_client *c = self(p);
    c->head_size += n;
    buf_put(&c->value, at, n);
    return c->head_size > HTTP_ANSWER_HEAD_MAX ? HPE_USER : 0;
}

static int on_field_end(llhttp_t *p)
{
    struct http_client *c = self(p);
    if (str_eq_nocase(buf_str(&c->name), STR("Location")))
        buf_put_str(&c->location, buf_str(&c->value));
    if (str_eq_nocase(buf_str(&c->name), STR("Content-Encoding")))
        c->gzip = str_eq_nocase(buf_str(&c->value), STR("gzip"));
    buf_clear(&c->name);
    buf_clear(&c->value);
    return 0;
}

static bool interim(const llhttp_t *p)
{
    return p->status_code >= 100 && p->status_code < 200 && p->status_code != 101;
}

static int on_head(llhttp_t *p)
{
    struct http_client *c = self(p);
    if (interim(p)) return 0;
    c->status = p->status_code;
    return c->no_body ? 1 : 0;
}

void http_client_keep(struct http_client *c, struct str bytes)
{
    c->body_total += bytes.n;
    if (bytes.n > c->body_max) bytes = str_slice(bytes, bytes.n - c->body_max, bytes.n);
    if (c->body.n + bytes.n > c->body.max)
        buf_consume(&c->body, c->body.n - (c->body_max - bytes.n));
    buf_put_str(&c->body, bytes);
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http_client *c = self(p);
    struct str bytes = { at, n };
    if (c->gzip && c->unpack)
        c->unpack(c, bytes);
    else
        http_client_keep(c, bytes);
    return 0;
}

static int on_done(llhttp_t *p)
{
    struct http_client *c = self(p);
    if (interim(p)) {
        buf_clear(&c->reason); /* the real answer follows */
        return 0;
    }
    c->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t s = { .on_status = on_status,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_header_value_complete = on_field_end,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_done };
    return &s;
}

void http_client_init(struct http_client *c, size_t body_max)
{
    *c = (struct http_client){ .body_max = body_max,
        .reason = BUF_INIT(HTTP_ANSWER_HEAD_MAX),
        .name = BUF_INIT(HTTP_ANSWER_HEAD_MAX),
        .value = BUF_INIT(HTTP_ANSWER_HEAD_MAX),
        .location = BUF_INIT(HTTP_ANSWER_HEAD_MAX),
        .body = BUF_INIT(2 * body_max) };
    llhttp_init(&c->parser, HTTP_RESPONSE, settings());
    c->parser.data = c;
}

void http_client_deinit(struct http_client *c)
{
    buf_deinit(&c->reason);
    buf_deinit(&c->name);
    buf_deinit(&c->value);
    buf_deinit(&c->location);
    buf_deinit(&c->body);
}

int http_client_recv(struct http_client *c, struct str bytes)
{
    if (c->done) return 0;
    llhttp_errno_t e = llhttp_execute(&c->parser, bytes.p, bytes.n);
    if (e == HPE_OK || c->done) return 0;
    return ERR_DECODE;
}

#define FAULT "net/http: HTTP/1.x transport connection broken: malformed HTTP "

const char *http_client_fault(const struct http_client *c, struct str bytes, struct arena *a)
{
    struct str line = str_slice(bytes, 0, bytes.n < 200 ? bytes.n : 200), rest, code;
    (void)str_cut(line, '\n', &line, &rest);
    line = str_trim(line);
    struct buf text = BUF_INIT(4096);
    bool status =
        c->head_size == 0 && str_has_prefix(line, STR("HTTP/")) && str_cut(line, ' ', &rest, &code);
    if (status) (void)str_cut(code, ' ', &code, &rest);
    buf_put_c(&text, status ? FAULT "status code " : FAULT "response");
    if (!status && c->head_size == 0) buf_put_char(&text, ' ');
    if (c->head_size == 0) quote_go(&text, status ? code : line);
    const char *out = str_c(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

int http_client_eof(struct http_client *c)
{
    if (!c->done && c->parser.status_code) (void)llhttp_finish(&c->parser);
    return c->done ? 0 : ERR_EOF;
}

struct str http_client_body(const struct http_client *c)
{
    struct str all = buf_str(&c->body);
    return all.n > c->body_max ? str_slice(all, all.n - c->body_max, all.n) : all;
}

bool http_url_parse(struct str url, struct http_url *out)
{
    struct str rest;
    uint64_t port = 80;
    *out = (struct http_url){ 0 };
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] < 0x20 || url.p[i] == 0x7f) return false;
    if (url.n > 7 && strncasecmp(url.p, "http://", 7) == 0) {
        rest = str_slice(url, 7, url.n);
    } else if (url.n > 8 && strncasecmp(url.p, "https://", 8) == 0) {
        rest = str_slice(url, 8, url.n);
        out->tls = true;
        port = 443;
    } else {
        return false;
    }
    size_t end = 0;
    while (end < rest.n && !strchr("/?#", rest.p[end]))
        end++;
    out->authority = str_slice(rest, 0, end);
    out->path = str_slice(rest, end, rest.n);
    ptrdiff_t hash = str_find_char(out->path, '#');
    if (hash >= 0) out->path = str_slice(out->path, 0, (size_t)hash);
    ptrdiff_t at = str_find_char(out->authority, '@');
    if (at >= 0) {
        out->user = str_slice(out->authority, 0, (size_t)at);
        out->authority = str_slice(out->authority, (size_t)at + 1, out->authority.n);
    }
    struct str host = out->authority, port_text = STR_NIL;
    if (host.n && host.p[0] == '[') {
        ptrdiff_t close = str_find_char(host, ']');
        if (close < 0) return false;
        struct str after = str_slice(host, (size_t)close + 1, host.n);
        host = str_slice(host, 1, (size_t)close);
        if (after.n) port_text = str_slice(after, 1, after.n);
    } else if (!str_cut(host, ':', &host, &port_text)) {
        port_text = STR_NIL;
    }
    if (port_text.n && !str_to_u64(port_text, &port)) return false;
    if (host.n == 0 || port > 65535) return false;
    out->host = host;
    out->port = (uint16_t)port;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static struct str unescape(struct str s, struct arena *a)
{
    char *p = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool coded = s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 &&
                     hex_digit(s.p[i + 2]) >= 0;
        if (coded) {
            p[n++] = (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]));
            i += 2;
        } else {
            p[n++] = s.p[i];
        }
    }
    return (struct str){ p, n };
}

struct str http_url_credentials(const struct http_url *u, struct arena *a)
{
    if (!u->user.p) return STR("");
    struct str name, word;
    if (!str_cut(u->user, ':', &name, &word)) name = u->user, word = STR("");
    name = unescape(name, a);
    word = unescape(word, a);
    struct buf text = BUF_INIT((size_t)1 << 20);
    buf_put_c(&text, "Basic ");
    base64_encode(str_printf(a, "%.*s:%.*s", STR_ARG(name), STR_ARG(word)), &text);
    struct str out = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

struct str http_header_name(struct arena *a, struct str name)
{
    char *p = arena_alloc(a, name.n + 1);
    bool up = true;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (up && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (!up && c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        p[i] = c;
        up = c == '-';
    }
    p[name.n] = '\0';
    return (struct str){ p, name.n };
}
