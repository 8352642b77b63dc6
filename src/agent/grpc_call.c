/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc_call.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 2048
#define PREFIX 5

/* --- what arrives ------------------------------------------------------------------------------
 */

static void put_unescaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%' && i + 2 < text.n) {
            char hex[3] = { text.p[i + 1], text.p[i + 2], '\0' };
            char *end;
            long byte = strtol(hex, &end, 16);
            if (end == hex + 2) {
                buf_put_char(out, (char)byte);
                i += 2;
                continue;
            }
        }
        buf_put_char(out, c);
    }
}

static int small_number(struct str text)
{
    int64_t n;
    return str_to_i64(text, &n) && n >= 0 && n < 1000 ? (int)n : 2;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct grpc_call *c = ctx;
    struct str key = { (const char *)name, name_n }, text = { (const char *)value, value_n };
    (void)session;
    (void)frame;
    (void)flags;
    if (str_is(key, ":status")) c->http_status = small_number(text);
    if (str_is(key, "grpc-status")) c->grpc_status = small_number(text);
    if (str_is(key, "grpc-message")) {
        buf_clear(&c->message);
        put_unescaped(&c->message, text);
    }
    if (str_is(key, "content-type")) {
        buf_clear(&c->content_type);
        buf_put_str(&c->content_type, text);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
    size_t n, void *ctx)
{
    struct grpc_call *c = ctx;
    (void)session;
    (void)flags;
    (void)stream;
    buf_put_str(&c->reply, (struct str){ (const char *)data, n });
    return c->reply.overflow ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *ctx)
{
    struct grpc_call *c = ctx;
    (void)session;
    (void)stream;
    c->done = true;
    c->error_code = error_code;
    return 0;
}

/* --- what is sent ------------------------------------------------------------------------------
 */

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *to, size_t max,
    uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc_call *c = ctx;
    (void)session;
    (void)stream;
    (void)source;
    size_t n = c->request.n - c->sent;
    if (n > max) n = max;
    memcpy(to, c->request.p + c->sent, n);
    c->sent += n;
    if (c->sent == c->request.n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv header(const char *name, struct str value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
        .namelen = strlen(name),
        .value = (uint8_t *)(uintptr_t)value.p,
        .valuelen = value.n };
}

static void submit(struct grpc_call *c, const struct grpc_target *t)
{
    struct arena a = ARENA_INIT;
    nghttp2_nv headers[] = {
        header(":method", STR("POST")),
        header(":scheme", t->tls ? STR("https") : STR("http")),
        header(":path", t->path),
        header(":authority", t->authority),
        header("content-type", STR("application/grpc")),
        header("user-agent", STR("consuld")),
        header("te", STR("trailers")),
        header("grpc-timeout", str_printf(&a, "%llum", (unsigned long long)t->timeout_ms)),
    };
    nghttp2_data_provider body = { .read_callback = read_request };
    ensure(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    ensure(nghttp2_submit_request(
               c->session, NULL, headers, sizeof headers / sizeof headers[0], &body, NULL) > 0);
    arena_free(&a);
}

void grpc_call_init(struct grpc_call *c, const struct grpc_target *target, struct str message)
{
    nghttp2_session_callbacks *callbacks;
    *c = (struct grpc_call){ .grpc_status = -1,
        .request = BUF_INIT(message.n + PREFIX),
        .reply = BUF_INIT(GRPC_REPLY_MAX),
        .content_type = BUF_INIT(TEXT_MAX),
        .message = BUF_INIT(TEXT_MAX) };
    const char prefix[PREFIX] = { 0, (char)(message.n >> 24), (char)(message.n >> 16),
        (char)(message.n >> 8), (char)message.n };
    buf_put_str(&c->request, (struct str){ prefix, PREFIX });
    buf_put_str(&c->request, message);
    ensure(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    ensure(nghttp2_session_client_new(&c->session, callbacks, c) == 0);
    nghttp2_session_callbacks_del(callbacks);
    submit(c, target);
}

void grpc_call_deinit(struct grpc_call *c)
{
    nghttp2_session_del(c->session);
    buf_deinit(&c->request);
    buf_deinit(&c->reply);
    buf_deinit(&c->content_type);
    buf_deinit(&c->message);
    c->session = NULL;
}

int grpc_call_recv(struct grpc_call *c, struct str bytes)
{
    ssize_t n = nghttp2_session_mem_recv(c->session, (const uint8_t *)bytes.p, bytes.n);
    return n < 0 ? ERR_DECODE : 0;
}

struct str grpc_call_output(struct grpc_call *c)
{
    const uint8_t *p;
    ssize_t n = nghttp2_session_mem_send(c->session, &p);
    return n > 0 ? (struct str){ (const char *)p, (size_t)n } : STR_NIL;
}

bool grpc_call_reply(const struct grpc_call *c, struct str *out)
{
    const uint8_t *p = c->reply.p;
    if (c->reply.n < PREFIX || p[0] != 0) return false;
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (n != c->reply.n - PREFIX) return false;
    *out = (struct str){ (const char *)p + PREFIX, n };
    return true;
}

struct str grpc_status_name(struct arena *a, int status)
{
    static const char *const names[] = { "OK", "Canceled", "Unknown", "InvalidArgument",
        "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
        "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
        "DataLoss", "Unauthenticated" };
    if (status >= 0 && (size_t)status < sizeof names / sizeof names[0])
        return str_of(names[status]);
    return str_printf(a, "Code(%d)", status);
}
