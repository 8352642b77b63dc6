/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "consuld/mux/http.h"
#include "http.h"

#define RESERVE_MAX (4 << 20) /* of a claimed length; more is taken as it comes */
#define KEEP_HEAD 1024        /* buffer memory kept between requests */
#define KEEP_BODY 1024

enum state { LINE, FIELDS, HEAD, BODY, ENDED, DEAD };

static struct http_server *self(llhttp_t *parser)
{
    return container_of(parser, struct http_server, parser);
}

/* --- llhttp's callbacks ---------------------------------------------------------------------- */

static int refuse(struct http_server *m, int status, const char *why)
{
    if (!m->refusal) {
        m->refusal = status;
        m->refusal_why = why;
    }
    return -1;
}

static int grow(struct http_server *m, size_t n)
{
    m->head_size += n;
    return m->head_size > HTTP_HEAD_MAX ? refuse(m, 431, NULL) : 0;
}

static struct http_field *field_add(struct http_server *m)
{
    if (m->n_fields == m->cap_fields) {
        size_t cap = m->cap_fields * 2;
        struct http_field *from = m->fields == m->inline_fields ? NULL : m->fields;
        m->fields = xrealloc(from, cap * sizeof *m->fields);
        if (!from) memcpy(m->fields, m->inline_fields, sizeof m->inline_fields);
        m->cap_fields = cap;
    }
    struct http_field *f = &m->fields[m->n_fields++];
    *f = (struct http_field){ .name = (uint32_t)m->head.n };
    return f;
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
    struct http_server *m = self(parser);
    if (m->state != FIELDS) return grow(m, n);
    if (m->n_fields == 0 || m->in_value) field_add(m);
    m->in_value = false;
    if (grow(m, n)) return -1;
    m->fields[m->n_fields - 1].name_n += (uint32_t)n;
    buf_put(&m->head, at, n);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct http_server *m = self(parser);
    if (m->state != FIELDS) return grow(m, n);
    struct http_field *f = &m->fields[m->n_fields - 1];
    if (!m->in_value) f->value = (uint32_t)m->head.n;
    m->in_value = true;
    if (grow(m, n)) return -1;
    f->value_n += (uint32_t)n;
    buf_put(&m->head, at, n);
    return 0;
}

/* A field without a value gives no value span. */
static int on_value_complete(llhttp_t *parser)
{
    struct http_server *m = self(parser);
    if (m->state == FIELDS && !m->in_value) {
        m->fields[m->n_fields - 1].value = (uint32_t)m->head.n;
        m->in_value = true;
    }
    return grow(m, 4);
}

static int check_host(struct http_server *m)
{
    size_t hosts = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        struct http_field f = m->fields[i];
        struct str name = { (const char *)m->head.p + f.name, f.name_n };
        if (str_eq_nocase(name, STR("host"))) hosts++;
    }
    if (hosts == 0 && m->minor > 0) return refuse(m, 400, "missing required Host header");
    if (hosts > 1) return refuse(m, 400, "too many Host headers");
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_server *m = self(parser);
    parser->upgrade = 0; /* no protocol is upgraded to: the field is ignored */
    m->state = HEAD;
    if (check_host(m)) return -1;
    m->keep_alive = llhttp_should_keep_alive(parser) != 0;
    m->content_length = parser->flags & F_CHUNKED ? -1 : (int64_t)parser->content_length;
    struct str expect = http_server_field(m, "expect");
    m->expect_continue = m->minor > 0 && str_eq_nocase(expect, STR("100-continue"));
    if (expect.n && !m->expect_continue) return refuse(m, 417, NULL);
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct http_server *m = self(parser);
    m->body_size += n;
    if (m->body_size > m->body_max) {
        m->cut = true;
        return m->collect ? -1 : m->body_size > HTTP_DRAIN_MAX ? -1 : 0;
    }
    if (m->collect && !m->cut) buf_put(&m->body, at, n);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    self(parser)->state = ENDED;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- the machine ----------------------------------------------------------------------------- */

void http_server_init(struct http_server *m)
{
    *m = (struct http_server){
        .head = BUF_INIT(HTTP_HEAD_MAX + 1),
        .cap_fields = HTTP_FIELDS_INLINE,
    };
    m->fields = m->inline_fields;
}

void http_server_deinit(struct http_server *m)
{
    buf_deinit(&m->head);
    buf_deinit(&m->body);
    if (m->fields != m->inline_fields) free(m->fields);
}

static void clear(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_deinit(b);
    else
        buf_clear(b);
}

void http_server_next(struct http_server *m)
{
    clear(&m->head, KEEP_HEAD);
    clear(&m->body, KEEP_BODY);
    m->head.max = HTTP_HEAD_MAX + 1;
    if (m->fields != m->inline_fields) {
        free(m->fields);
        m->fields = m->inline_fields;
        m->cap_fields = HTTP_FIELDS_INLINE;
    }
    m->n_fields = 0;
    m->head_size = 0;
    m->body_size = 0;
    m->cut = false;
    m->in_value = false;
    if (m->state != DEAD) m->state = LINE;
}

bool http_server_idle(const struct http_server *m)
{
    return m->state == LINE && m->head.n == 0;
}

static enum http_event dead(struct http_server *m, enum http_event ev)
{
    m->state = DEAD;
    m->keep_alive = false;
    return ev;
}

static enum http_event refused(struct http_server *m)
{
    if (!m->refusal) refuse(m, 400, NULL);
    return dead(m, HTTP_EVENT_REFUSED);
}

/* Collects the request line in head. True when it is whole, with its end cut off. */
static bool take_line(struct http_server *m, struct str *in)
{
    while (m->head.n == 0 && in->n && (*in->p == '\r' || *in->p == '\n'))
        *in = str_slice(*in, 1, in->n);
    ptrdiff_t end = str_find_char(*in, '\n');
    size_t n = end < 0 ? in->n : (size_t)end;
    if (grow(m, n)) return false;
    buf_put(&m->head, in->p, n);
    *in = str_slice(*in, end < 0 ? n : n + 1, in->n);
    if (end < 0) return false;
    if (m->head.n && m->head.p[m->head.n - 1] == '\r') m->head.n--;
    return true;
}

static bool parse_line(struct http_server *m)
{
    struct http_line line;
    int status = http__line_parse(buf_str(&m->head), &line);
    if (status) {
        refuse(m, status, status == 505 ? "unsupported protocol version" : NULL);
        return false;
    }
    m->method_n = (uint32_t)line.method.n;
    m->target = (uint32_t)(line.target.p - (const char *)m->head.p);
    m->target_n = (uint32_t)line.target.n;
    m->minor = line.minor;
    llhttp_init(&m->parser, HTTP_REQUEST, &settings);
    struct str known = m->minor ? STR("GET / HTTP/1.1\r\n") : STR("GET / HTTP/1.0\r\n");
    llhttp_errno_t rc = llhttp_execute(&m->parser, known.p, known.n);
    ensure(rc == HPE_OK);
    m->state = FIELDS;
    return true;
}

/* Lets llhttp work until it pauses, fails or has taken everything. */
static enum http_event run(struct http_server *m, struct str *in)
{
    if (m->state == FIELDS && in->n == 0) return HTTP_EVENT_MORE;
    const char *p = in->p ? in->p : ""; /* llhttp measures spans from here, also without bytes */
    llhttp_errno_t rc = llhttp_execute(&m->parser, p, in->n);
    if (rc == HPE_OK) {
        *in = str_slice(*in, in->n, in->n);
        return HTTP_EVENT_MORE;
    }
    if (rc != HPE_PAUSED) {
        *in = str_slice(*in, in->n, in->n);
        if (m->cut && !m->refusal) return dead(m, HTTP_EVENT_CUT);
        return refused(m);
    }
    size_t used = (size_t)(llhttp_get_error_pos(&m->parser) - p);
    *in = str_slice(*in, used, in->n);
    llhttp_resume(&m->parser);
    if (m->state == ENDED) return HTTP_EVENT_END;
    return HTTP_EVENT_HEAD;
}

enum http_event http_server_recv(struct http_server *m, struct str *in)
{
    switch ((enum state)m->state) {
    case LINE:
        if (in->n == 0) return HTTP_EVENT_MORE;
        if (!take_line(m, in)) return m->refusal ? refused(m) : HTTP_EVENT_MORE;
        if (!parse_line(m)) return refused(m);
        return run(m, in);
    case FIELDS:
        return run(m, in);
    case BODY:
        if (m->expect_continue && !m->cut) {
            m->expect_continue = false;
            if (m->content_length != 0 && in->n == 0) return HTTP_EVENT_CONTINUE;
        }
        return run(m, in);
    case HEAD: /* collect and discard leave here only when the body is given up */
        return dead(m, HTTP_EVENT_CUT);
    case ENDED:
        return HTTP_EVENT_END;
    case DEAD:
        *in = str_slice(*in, in->n, in->n);
        return HTTP_EVENT_MORE;
    }
    return HTTP_EVENT_MORE;
}

void http_server_collect(struct http_server *m, uint64_t max)
{
    ensure(m->state == HEAD);
    if (m->content_length > 0 && (uint64_t)m->content_length > max) {
        http_server_discard(m);
        m->cut = true;
        return;
    }
    m->collect = true;
    m->body_max = max;
    m->body.max = (size_t)max;
    int64_t claimed = m->content_length;
    if (claimed > 0)
        (void)buf_reserve(&m->body, claimed < RESERVE_MAX ? (size_t)claimed : RESERVE_MAX);
    m->state = BODY;
}

void http_server_discard(struct http_server *m)
{
    ensure(m->state == HEAD);
    m->collect = false;
    m->body_max = HTTP_DRAIN_MAX;
    bool none = m->content_length == 0;
    if (!none && (m->expect_continue || m->content_length > (int64_t)HTTP_DRAIN_MAX)) return;
    m->state = BODY;
}

/* --- views ----------------------------------------------------------------------------------- */

static struct str view(const struct http_server *m, size_t at, size_t n)
{
    return (struct str){ (const char *)m->head.p + at, n };
}

struct str http_server_method(const struct http_server *m)
{
    return view(m, 0, m->method_n);
}

struct str http_server_target(const struct http_server *m)
{
    return view(m, m->target, m->target_n);
}

struct str http_server_body(const struct http_server *m)
{
    return buf_str(&m->body);
}

struct str http_server_field(const struct http_server *m, const char *name)
{
    struct str wanted = str_of(name);
    for (size_t i = 0; i < m->n_fields; i++) {
        struct http_field f = m->fields[i];
        if (f.name_n == wanted.n && str_eq_nocase(view(m, f.name, f.name_n), wanted))
            return str_trim(view(m, f.value, f.value_n));
    }
    return STR_NIL;
}

void http_server_refusal(const struct http_server *m, struct buf *out)
{
    const char *text = http_status_text(m->refusal);
    char body[128];
    int n = snprintf(body, sizeof body, "%d %s%s%s", m->refusal, text, m->refusal_why ? ": " : "",
        m->refusal_why ? m->refusal_why : "");
    buf_printf(out,
        "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        "Connection: close\r\n\r\n%s",
        m->refusal, text, n, body);
}
