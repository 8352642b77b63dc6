/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 16
#define KEEPALIVE_S 180
#define SHARED_MAX ((size_t)4 << 20) /* of a large body handed to libuv at a time */

/* Bytes the socket did not take at once. Copied, but for shared bodies. */
struct pending {
    uv_write_t req;
    struct net_stream *stream;
    size_t n;
    size_t n_shared;
    size_t upto; /* where the last of them was sent to */
    struct shared_body *shared[PARTS_MAX];
    char bytes[];
};

static struct net_stream *self(struct stream *s)
{
    return container_of(s, struct net_stream, base);
}

static void on_closed(uv_handle_t *handle)
{
    struct net_stream *s = handle->data;
    if (s->base.events && s->base.events->closed) s->base.events->closed(&s->base, s->code);
    free(s);
}

static void begin_close(struct net_stream *s, int code)
{
    if (s->closing) return;
    s->closing = true;
    s->code = code;
    uv_close(&s->uv.handle, on_closed);
}

void net__stream_fail(struct net_stream *s, int uv_code)
{
    if (!s->closing) s->uv_code = uv_code;
    begin_close(s, uv_code == UV_EOF ? ERR_EOF : ERR_IO);
}

static void op_close(struct stream *stream)
{
    begin_close(self(stream), 0);
}

/* --- reading ------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    (void)hint;
    struct net_stream *s = handle->data;
    *buf = uv_buf_init(s->world->read_buffer, NET_READ_SIZE);
}

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
    struct net_stream *s = uv->data;
    if (s->closing || n == 0) return;
    if (n > 0) {
        s->base.events->data(&s->base, (struct str){ buf->base, (size_t)n });
    } else if (n == UV_EOF) {
        s->want_read = false;
        s->base.events->eof(&s->base);
    } else {
        net__stream_fail(s, (int)n);
    }
}

void net__stream_start(struct net_stream *s)
{
    if (s->closing || !s->want_read) return;
    int rc = uv_read_start(&s->uv.stream, on_alloc, on_read);
    if (rc < 0 && rc != UV_EALREADY && rc != UV_ENOTCONN) net__stream_fail(s, rc);
}

static void op_read(struct stream *stream, bool on)
{
    struct net_stream *s = self(stream);
    if (s->closing || s->want_read == on) return;
    s->want_read = on;
    if (on)
        net__stream_start(s);
    else
        uv_read_stop(&s->uv.stream);
}

/* --- writing ------------------------------------------------------------------------------- */

static void pending_free(struct pending *p)
{
    for (size_t i = 0; i < p->n_shared; i++)
        shared_body_unref(p->shared[i]);
    free(p);
}

static void on_written(uv_write_t *req, int status)
{
    struct pending *p = req->data;
    struct net_stream *s = p->stream;
    s->queued -= p->n;
    if (p->n_shared) shared_body_passed(p->shared[p->n_shared - 1], p->upto);
    pending_free(p);
    if (s->closing) return;
    if (status < 0) {
        net__stream_fail(s, status);
        return;
    }
    if (s->queued == 0 && s->backed_up) {
        s->backed_up = false;
        if (s->base.events->drained) s->base.events->drained(&s->base);
    }
}

/* Less than the first part is skipped. */
static int queue_parts(struct net_stream *s, const struct stream_part *parts, size_t n, size_t skip)
{
    uv_buf_t bufs[PARTS_MAX];
    size_t n_bufs = 0, copied = 0;
    for (size_t i = 0; i < n; i++)
        if (!parts[i].shared) copied += parts[i].n - (i == 0 ? skip : 0);
    struct pending *p = xmalloc(sizeof *p + copied);
    p->stream = s;
    p->n = p->n_shared = 0;
    p->req.data = p;
    char *to = p->bytes;
    for (size_t i = 0; i < n; i++, skip = 0) {
        const char *from = (const char *)parts[i].p + skip;
        size_t len = parts[i].n - skip;
        if (len == 0) continue;
        if (parts[i].shared) {
            p->shared[p->n_shared++] = shared_body_ref(parts[i].shared);
            p->upto = (size_t)(from + len - parts[i].shared->bytes);
        } else {
            from = memcpy(to, from, len);
            to += len;
        }
        bufs[n_bufs++] = (uv_buf_t){ .base = (char *)(uintptr_t)from, .len = len };
        p->n += len;
    }
    int rc = uv_write(&p->req, &s->uv.stream, bufs, (unsigned)n_bufs, on_written);
    if (rc < 0) {
        pending_free(p);
        net__stream_fail(s, rc);
        return ERR_IO;
    }
    s->queued += p->n;
    s->backed_up = true;
    return 0;
}

/* Queues what lies behind the first `skip` bytes. A large body at the end goes in pieces, so that
 * its pages can leave memory as they are sent. */
static int queue_rest(struct net_stream *s, const struct stream_part *parts, size_t n, size_t skip)
{
    for (; n > 0 && skip >= parts->n; parts++, n--)
        skip -= parts->n;
    struct stream_part left = parts[n - 1];
    if (!left.shared || left.n <= SHARED_MAX) return queue_parts(s, parts, n, skip);
    int code = n > 1 ? queue_parts(s, parts, n - 1, skip) : 0;
    size_t at = n > 1 ? 0 : skip;
    while (!code && at < left.n) {
        size_t some = left.n - at < SHARED_MAX ? left.n - at : SHARED_MAX;
        struct stream_part piece = { (const char *)left.p + at, some, left.shared };
        code = queue_parts(s, &piece, 1, 0);
        at += some;
    }
    return code;
}

static int op_write(struct stream *stream, const struct stream_part *parts, size_t n)
{
    struct net_stream *s = self(stream);
    ensure(n <= PARTS_MAX);
    if (s->closing || s->finishing) return ERR_IO;
    uv_buf_t bufs[PARTS_MAX];
    size_t n_bufs = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n == 0) continue;
        bufs[n_bufs++] = (uv_buf_t){ .base = (char *)(uintptr_t)parts[i].p, .len = parts[i].n };
        total += parts[i].n;
    }
    if (total == 0) return 0;
    if (s->queued > 0) {
        if (total > s->queue_max || s->queued > s->queue_max - total) return ERR_FULL;
        return queue_rest(s, parts, n, 0);
    }
    int sent = uv_try_write(&s->uv.stream, bufs, (unsigned)n_bufs);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) {
        net__stream_fail(s, sent);
        return ERR_IO;
    }
    return (size_t)sent == total ? 0 : queue_rest(s, parts, n, (size_t)sent);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

static void op_finish(struct stream *stream)
{
    struct net_stream *s = self(stream);
    if (s->closing || s->finishing) return;
    s->finishing = true;
    int rc = uv_shutdown(&s->shutdown, &s->uv.stream, on_shutdown);
    if (rc < 0) net__stream_fail(s, rc);
}

static size_t op_queued(const struct stream *stream)
{
    return self((struct stream *)(uintptr_t)stream)->queued;
}

static const struct stream_ops ops = {
    .write = op_write,
    .finish = op_finish,
    .close = op_close,
    .read = op_read,
    .queued = op_queued,
};

/* --- creation ------------------------------------------------------------------------------ */

struct net_stream *net__stream_create(struct world *w, bool is_unix, size_t queue_max)
{
    struct net_stream *s = xcalloc(1, sizeof *s);
    s->base.ops = &ops;
    s->world = w;
    s->queue_max = queue_max ? queue_max : NET_QUEUE_MAX;
    s->want_read = true;
    int rc = is_unix ? uv_pipe_init(&w->loop, &s->uv.pipe, 0) : uv_tcp_init(&w->loop, &s->uv.tcp);
    ensure(rc == 0);
    s->uv.handle.data = s;
    return s;
}

void net__stream_unacked(struct stream *stream, uint64_t ms)
{
    struct net_stream *s = container_of(stream, struct net_stream, base);
    unsigned wait = ms < UINT_MAX ? (unsigned)ms : UINT_MAX;
    uv_os_fd_t fd;
    if (s->uv.handle.type != UV_TCP || uv_fileno(&s->uv.handle, &fd) != 0) return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &wait, sizeof wait);
}

void net__stream_connected(struct net_stream *s)
{
    if (s->uv.handle.type != UV_TCP) return;
    uv_tcp_nodelay(&s->uv.tcp, 1);
    uv_tcp_keepalive(&s->uv.tcp, 1, KEEPALIVE_S);
    struct sockaddr_storage addr;
    int len = sizeof addr;
    if (uv_tcp_getpeername(&s->uv.tcp, (struct sockaddr *)&addr, &len) < 0) return;
    if (addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&addr;
        uv_ip4_name(in, s->base.peer, sizeof s->base.peer);
        s->base.peer_port = ntohs(in->sin_port);
    } else if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)&addr;
        uv_ip6_name(in, s->base.peer, sizeof s->base.peer);
        s->base.peer_port = ntohs(in->sin6_port);
    }
}
