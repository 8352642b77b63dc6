/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "consuld/base/outside.h"
#include "stream.h"

struct net_listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct world *world;
    bool is_unix;
    uint16_t port;
    size_t queue_max;
    void (*accept)(void *ctx, struct stream *s);
    void *ctx;
};

static void on_connection(uv_stream_t *uv, int status)
{
    struct net_listener *l = uv->data;
    if (status < 0) {
        log_warn("agent.net", "accept failed", "error", uv_strerror(status));
        return;
    }
    struct net_stream *s = net__stream_create(l->world, l->is_unix, l->queue_max);
    int rc = uv_accept(uv, &s->uv.stream);
    if (rc < 0) {
        net__stream_fail(s, rc);
        return;
    }
    net__stream_connected(s);
    l->accept(l->ctx, &s->base);
    ensure(s->closing || s->base.events);
    net__stream_start(s);
}

static int parse_address(const char *ip, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(ip, port, (struct sockaddr_in *)(void *)out) == 0) return 0;
    return uv_ip6_addr(ip, port, (struct sockaddr_in6 *)(void *)out);
}

static int bind_tcp(struct net_listener *l, const struct net_listen_options *o)
{
    struct sockaddr_storage addr;
    int rc = parse_address(o->ip, o->port, &addr);
    if (rc == 0) rc = uv_tcp_bind(&l->uv.tcp, (const struct sockaddr *)&addr, 0);
    if (rc == 0) rc = uv_listen(&l->uv.stream, NET_BACKLOG, on_connection);
    if (rc < 0) return rc;
    int len = sizeof addr;
    rc = uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&addr, &len);
    l->port = ntohs(addr.ss_family == AF_INET6
                        ? ((const struct sockaddr_in6 *)(const void *)&addr)->sin6_port
                        : ((const struct sockaddr_in *)(const void *)&addr)->sin_port);
    return rc;
}

/* libuv tells a missing folder as a lack of rights. */
static bool folder_exists(const char *path)
{
    struct stat st;
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n == 0 || n >= sizeof folder) return true;
    memcpy(folder, path, n);
    folder[n] = '\0';
    return stat(folder, &st) == 0;
}

static int bind_unix(struct net_listener *l, const struct net_listen_options *o)
{
    struct stat st;
    if (lstat(o->unix_path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(o->unix_path);
    int rc = uv_pipe_bind(&l->uv.pipe, o->unix_path);
    if (rc == UV_EACCES && !folder_exists(o->unix_path)) rc = UV_ENOENT;
    if (rc == 0 && o->unix_mode && chmod(o->unix_path, o->unix_mode) < 0) rc = -errno;
    return rc == 0 ? uv_listen(&l->uv.stream, NET_BACKLOG, on_connection) : rc;
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int net_listen(struct world *w, const struct net_listen_options *opts, struct net_listener **out,
    struct error *err)
{
    struct net_listener *l = xcalloc(1, sizeof *l);
    l->world = w;
    l->is_unix = opts->unix_path != NULL;
    l->queue_max = opts->queue_max;
    l->accept = opts->accept;
    l->ctx = opts->ctx;
    int rc =
        l->is_unix ? uv_pipe_init(&w->loop, &l->uv.pipe, 0) : uv_tcp_init(&w->loop, &l->uv.tcp);
    ensure(rc == 0);
    l->uv.handle.data = l;
    rc = l->is_unix ? bind_unix(l, opts) : bind_tcp(l, opts);
    if (rc == 0) {
        *out = l;
        return 0;
    }
    uv_close(&l->uv.handle, on_listener_closed);
    if (l->is_unix)
        return error_set(err, ERR_IO, "listen unix %s: bind: %s", opts->unix_path, uv_strerror(rc));
    return error_set(
        err, ERR_IO, "listen tcp %s:%u: bind: %s", opts->ip, opts->port, uv_strerror(rc));
}

uint16_t net_listener_port(const struct net_listener *l)
{
    return l->port;
}

void net_listener_destroy(struct net_listener *l)
{
    uv_close(&l->uv.handle, on_listener_closed);
}

/* --- the seam's listeners --------------------------------------------------------------------- */

struct listener {
    struct net_listener net; /* first: freed as one */
};

int listener_open(
    struct world *w, const struct listener_options *opts, struct listener **out, struct error *err)
{
    struct net_listen_options o = { .ip = opts->ip,
        .port = opts->port,
        .queue_max = opts->queue_max,
        .accept = opts->accept,
        .ctx = opts->ctx };
    struct net_listener *l;
    int failed = net_listen(w, &o, &l, err);
    if (!failed) *out = container_of(l, struct listener, net);
    return failed;
}

uint16_t listener_port(const struct listener *l)
{
    return net_listener_port(&l->net);
}

void listener_close(struct listener *l)
{
    net_listener_destroy(&l->net);
}

/* --- connecting ---------------------------------------------------------------------------- */

static void on_connect(uv_connect_t *req, int status)
{
    struct net_stream *s = req->data;
    if (s->closing) return;
    if (status < 0) {
        net__stream_fail(s, status);
        return;
    }
    net__stream_connected(s);
    if (s->connected) s->connected(&s->base);
    net__stream_start(s);
}

struct stream *net_connect(
    struct world *w, const struct net_connect_options *opts, struct error *err)
{
    struct sockaddr_storage addr;
    if (!opts->unix_path && parse_address(opts->ip, opts->port, &addr) < 0) {
        error_set(err, ERR_BAD_REQUEST, "dial tcp %s:%u: malformed address", opts->ip, opts->port);
        return NULL;
    }
    struct net_stream *s = net__stream_create(w, opts->unix_path != NULL, opts->queue_max);
    s->base.events = opts->events;
    s->base.owner = opts->owner;
    s->connected = opts->connected;
    s->connect.data = s;
    if (opts->unix_path) {
        uv_pipe_connect(&s->connect, &s->uv.pipe, opts->unix_path, on_connect);
        return &s->base;
    }
    struct sockaddr_storage from;
    int rc = 0;
    if (opts->source && parse_address(opts->source, 0, &from) == 0)
        rc = uv_tcp_bind(&s->uv.tcp, (const struct sockaddr *)&from, 0);
    if (rc == 0)
        rc = uv_tcp_connect(&s->connect, &s->uv.tcp, (const struct sockaddr *)&addr, on_connect);
    if (rc < 0) net__stream_fail(s, rc);
    return &s->base;
}
