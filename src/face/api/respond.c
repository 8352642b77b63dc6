/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "consuld/cluster/rpc.h"
#include "front.h"

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"
#define KEEP_SCRATCH ((size_t)1 << 20)

/* --- headers ------------------------------------------------------------------------------- */

void api_header(struct api_request *req, const char *name, struct str value)
{
    struct conn *c = conn_of(req);
    struct str key = str_of(name), copy = str_dup(&c->arena, value);
    for (size_t i = 0; i < c->n_headers; i++) {
        if (!str_eq_nocase(c->headers[i].name, key)) continue;
        c->headers[i].value = copy;
        return;
    }
    if (c->n_headers == c->cap_headers) {
        size_t cap = c->cap_headers ? c->cap_headers * 2 : 8;
        struct http_header *more = arena_array(&c->arena, cap, sizeof *more);
        if (c->n_headers) memcpy(more, c->headers, c->n_headers * sizeof *more);
        c->headers = more;
        c->cap_headers = cap;
    }
    c->headers[c->n_headers++] = (struct http_header){ str_dup(&c->arena, key), copy };
}

void api_header_u64(struct api_request *req, const char *name, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    api_header(req, name, (struct str){ text, (size_t)n });
}

void api_read_headers(
    struct api_request *req, uint64_t index, bool known_leader, int64_t last_contact_ns)
{
    api_header_u64(req, "X-Consul-Index", index ? index : 1);
    api_header(req, "X-Consul-Knownleader", known_leader ? STR("true") : STR("false"));
    uint64_t ms = last_contact_ns > 0 ? (uint64_t)last_contact_ns / 1000000 : 0;
    api_header_u64(req, "X-Consul-Lastcontact", ms);
}

/* --- sending ------------------------------------------------------------------------------- */

struct outgoing {
    int status;
    const char *content_type;
    struct str body;
    struct shared_body *shared;
    enum http_framing framing;
};

static void write_head(struct conn *c, const struct outgoing *o, struct buf *out)
{
    struct api_request *req = &c->req;
    if (o->content_type) api_header(req, "Content-Type", str_of(o->content_type));
    bool delimited = o->framing == HTTP_LENGTH || c->http.minor > 0;
    if (!delimited) c->http.keep_alive = false;
    struct http_answer a = {
        .status = o->status,
        .minor = c->http.minor,
        .keep_alive = c->http.keep_alive && !c->cut,
        .framing = o->framing,
        .length = o->body.n,
        .date = str_of(server__date(c->api)),
        .headers = c->headers,
        .n_headers = c->n_headers,
    };
    http_answer_head(&a, out);
}

static void scratch_release(struct buf *b)
{
    if (b->cap > KEEP_SCRATCH) buf_deinit(b);
    buf_clear(b);
}

static void send_answer(struct conn *c, const struct outgoing *o)
{
    struct api *api = c->api;
    struct buf *head = &api->head;
    buf_clear(head);
    write_head(c, o, head);
    struct stream_part parts[3] = { { 0 } };
    size_t n = 1;
    bool chunked = o->framing == HTTP_CHUNKED && c->http.minor > 0;
    if (o->body.n && !str_is(c->req.method_name, "HEAD")) {
        if (chunked) http_chunk_begin(o->body.n, head);
        parts[n++] = (struct stream_part){ o->body.p, o->body.n, o->shared };
        const char *tail = HTTP_CHUNK_END HTTP_LAST_CHUNK;
        if (chunked) parts[n++] = (struct stream_part){ tail, strlen(tail), NULL };
    }
    parts[0] = (struct stream_part){ head->p, head->n, NULL };
    (void)conn__write(c, parts, n);
    scratch_release(head);
    c->status = o->status;
    conn__answered(c);
}

void api_reply_large(
    struct api_request *req, int status, const char *content_type, struct shared_body *body)
{
    send_answer(conn_of(req), &(struct outgoing){ .status = status,
                                  .content_type = content_type,
                                  .body = shared_body_str(body),
                                  .shared = body,
                                  .framing = HTTP_LENGTH });
}

static struct shared_body *packed_shared(struct api *api, struct shared_body *b)
{
    if (!b->gzip) b->gzip = shared_body_create(gzip__pack(api, (struct str){ b->bytes, b->n }));
    return b->gzip;
}

void respond__send(struct api_request *req, int status, const char *content_type, struct str body,
    struct shared_body *shared)
{
    struct conn *c = conn_of(req);
    struct outgoing o = {
        .status = status,
        .content_type = content_type,
        .body = body,
        .shared = shared,
        .framing = HTTP_LENGTH,
    };
    if (body.n > ANSWER_MAX) {
        o = (struct outgoing){ .status = 500, .framing = HTTP_LENGTH };
    } else if (body.n && api_takes_gzip(req)) {
        api_header(req, "Content-Encoding", STR("gzip"));
        o.framing = HTTP_CHUNKED;
        if (shared) {
            o.shared = packed_shared(c->api, shared);
            o.body = (struct str){ o.shared->bytes, o.shared->n };
        } else {
            o.body = gzip__pack(c->api, body);
        }
    }
    struct api *api = c->api;
    send_answer(c, &o);
    scratch_release(&api->packed);
}

void respond__plain(struct conn *c, int status, const char *content_type, struct str body)
{
    struct outgoing o = {
        .status = status,
        .content_type = content_type,
        .body = body,
        .framing = HTTP_LENGTH,
    };
    send_answer(c, &o);
}

/* --- answers ------------------------------------------------------------------------------- */

void api_reply_raw(struct api_request *req, int status, const char *content_type, struct str body)
{
    respond__send(req, status, content_type, body, NULL);
}

void api_reply_empty(struct api_request *req, int status)
{
    respond__send(req, status, NULL, STR_NIL, NULL);
}

void api_reply_shared(struct api_request *req, int status, struct shared_body *body)
{
    struct shared_body *held = shared_body_ref(body);
    respond__send(req, status, JSON_TYPE, (struct str){ held->bytes, held->n }, held);
    shared_body_unref(held);
}

struct json_writer *api_json_begin(struct api_request *req)
{
    struct api *api = req->api;
    buf_clear(&api->scratch);
    json_begin(&api->writer, &api->scratch, req->pretty);
    return &api->writer;
}

/* The text is not copied on its way out. */
static void send_large(struct api_request *req, int status)
{
    struct shared_body *body = shared_body_take(&req->api->scratch);
    respond__send(req, status, JSON_TYPE, shared_body_str(body), body);
    shared_body_unref(body);
}

void api_json_end(struct api_request *req, int status)
{
    struct api *api = req->api;
    if (req->pretty) buf_put_char(&api->scratch, '\n');
    if (api->scratch.overflow)
        api_reply_text(req, 500, "answer is larger than %zu bytes", ANSWER_MAX);
    else if (api->scratch.n > KEEP_SCRATCH)
        send_large(req, status);
    else
        respond__send(req, status, JSON_TYPE, buf_str(&api->scratch), NULL);
    scratch_release(&api->scratch);
}

void api_reply_json_status(
    struct api_request *req, int status, const struct type *t, const void *obj)
{
    json_obj(api_json_begin(req), t, obj);
    api_json_end(req, status);
}

void api_reply_json(struct api_request *req, const struct type *t, const void *obj)
{
    api_reply_json_status(req, 200, t, obj);
}

void api_reply_value(struct api_request *req, const struct value *v)
{
    json_value(api_json_begin(req), v);
    api_json_end(req, 200);
}

void api_reply_bool(struct api_request *req, bool v)
{
    json_bool(api_json_begin(req), v);
    api_json_end(req, 200);
}

struct shared_body *api_json_shared(const struct type *t, const void *obj, bool pretty)
{
    struct buf text = BUF_INIT(ANSWER_MAX);
    json_encode(t, obj, pretty, &text);
    if (pretty) buf_put_char(&text, '\n');
    struct shared_body *body =
        text.n > KEEP_SCRATCH ? shared_body_take(&text) : shared_body_create(buf_str(&text));
    buf_deinit(&text);
    return body;
}

static void reply_vtext(struct api_request *req, int status, const char *prefix, const char *fmt,
    va_list ap) __attribute__((format(printf, 4, 0)));
static void reply_vtext(
    struct api_request *req, int status, const char *prefix, const char *fmt, va_list ap)
{
    struct buf text = BUF_INIT((size_t)1 << 20);
    buf_put_c(&text, prefix);
    buf_vprintf(&text, fmt, ap);
    if (*prefix || status >= 500 || status == 403 || status == 405)
        request_log__failed(req, str_c(req->arena, buf_str(&text)));
    respond__send(req, status, TEXT_TYPE, buf_str(&text), NULL);
    buf_deinit(&text);
}

void api_reply_text(struct api_request *req, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply_vtext(req, status, "", fmt, ap);
    va_end(ap);
}

void api_reply_bad_request(struct api_request *req, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reply_vtext(req, 400, "Bad request: ", fmt, ap);
    va_end(ap);
}

/* --- errors -------------------------------------------------------------------------------- */

static const struct {
    int code;
    int status;
    const char *prefix;
} statuses[] = {
    { ERR_BAD_REQUEST, 400, "Bad request: " },
    { ERR_UNAUTHORIZED, 401, "" },
    { ERR_DENIED, 403, "" },
    { ERR_NOT_FOUND, 404, "" },
    { ERR_CONFLICT, 409, "" },
    { ERR_TOO_LARGE, 413, "" },
    { ERR_LIMIT, 429, "" },
};

void api_reply_error(struct api_request *req, const struct error *err)
{
    struct str text = str_of(err->text);
    if (str_find(text, STR("Permission denied")) >= 0 ||
        str_find(text, STR("ACL not found")) >= 0) {
        api_reply_text(req, 403, "%s", err->text);
        return;
    }
    if (str_find(text, STR("rate limit exceeded")) >= 0 && err->code != ERR_LIMIT) {
        request_log__failed(req, err->text);
        api_reply_empty(req, 429);
        return;
    }
    if (str_find(text, STR(RPC_ERR_SIGNING_LIMIT)) >= 0) {
        api_reply_text(req, 429, "%s", err->text);
        return;
    }
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].code != err->code) continue;
        api_reply_text(req, statuses[i].status, "%s%s", statuses[i].prefix, err->text);
        return;
    }
    api_reply_text(req, 500, "%s", err->text);
}

/* --- endless answers ------------------------------------------------------------------------ */

void api_stream_begin(struct api_request *req, int status, const char *content_type)
{
    struct conn *c = conn_of(req);
    struct outgoing o = {
        .status = status,
        .content_type = content_type,
        .framing = HTTP_CHUNKED,
    };
    struct buf *head = &c->api->head;
    buf_clear(head);
    write_head(c, &o, head);
    struct stream_part part = { head->p, head->n, NULL };
    c->state = CONN_STREAMING;
    (void)conn__write(c, &part, 1);
}

int api_stream_write(struct api_request *req, struct str bytes)
{
    struct conn *c = conn_of(req);
    ensure(c->state == CONN_STREAMING);
    if (bytes.n == 0 || !c->stream) return 0;
    if (stream_queued(c->stream) > STREAM_MAX) return ERR_FULL;
    bool chunked = c->http.minor > 0;
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", bytes.n);
    struct stream_part parts[3] = {
        { size, chunked ? (size_t)n : 0, NULL },
        { bytes.p, bytes.n, NULL },
        { HTTP_CHUNK_END, chunked ? 2 : 0, NULL },
    };
    (void)conn__write(c, parts, 3);
    return 0;
}

void api_stream_end(struct api_request *req)
{
    struct conn *c = conn_of(req);
    ensure(c->state == CONN_STREAMING);
    struct stream_part part = { HTTP_LAST_CHUNK, sizeof HTTP_LAST_CHUNK - 1, NULL };
    if (c->http.minor > 0) (void)conn__write(c, &part, 1);
    conn__answered(c);
}
