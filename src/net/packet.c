/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base/world.h"
#include "world.h"

#define DATAGRAM_MAX 65507

struct packet_socket {
    uv_udp_t uv;
    struct world *world;
    struct packet_options opts;
    uint16_t port;
    bool v6;
    struct packet_counters counters;
};

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct packet_socket *s = handle->data;
    (void)hint;
    *buf = uv_buf_init(s->world->read_buffer, NET_READ_SIZE);
}

/* The bytes of an address in `addr`, which lives on; mapped ones as IPv4. */
static struct str ip_of(const struct sockaddr *addr, uint16_t *port)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)addr;
        *port = ntohs(in->sin_port);
        return (struct str){ (const char *)&in->sin_addr, 4 };
    }
    const struct sockaddr_in6 *in = (const void *)addr;
    const char *bytes = (const char *)&in->sin6_addr;
    *port = ntohs(in->sin6_port);
    if (memcmp(bytes, mapped, sizeof mapped) == 0) return (struct str){ bytes + 12, 4 };
    return (struct str){ bytes, 16 };
}

static void on_receive(
    uv_udp_t *uv, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct packet_socket *s = uv->data;
    uint16_t port;
    if (n <= 0 || !from || (flags & UV_UDP_PARTIAL)) return;
    if (from->sa_family != AF_INET && from->sa_family != AF_INET6) return;
    struct str ip = ip_of(from, &port);
    s->counters.received++;
    s->counters.received_bytes += (uint64_t)n;
    s->opts.receive(
        s->opts.ctx, ip, port, (struct str){ buf->base, (size_t)n }, world_now_us(s->world));
}

static int bind_to(struct packet_socket *s, const char *ip, uint16_t port)
{
    struct sockaddr_storage addr = { 0 };
    int rc = uv_ip4_addr(ip, port, (struct sockaddr_in *)(void *)&addr);
    if (rc < 0) rc = uv_ip6_addr(ip, port, (struct sockaddr_in6 *)(void *)&addr);
    s->v6 = addr.ss_family == AF_INET6;
    if (rc == 0) rc = uv_udp_bind(&s->uv, (const struct sockaddr *)&addr, 0);
    if (rc < 0) return rc;
    int len = sizeof addr;
    rc = uv_udp_getsockname(&s->uv, (struct sockaddr *)&addr, &len);
    if (rc == 0) ip_of((const struct sockaddr *)&addr, &s->port);
    for (size_t size = s->opts.receive_buffer; rc == 0 && size > 0; size /= 2) {
        int value = (int)size;
        if (uv_recv_buffer_size((uv_handle_t *)&s->uv, &value) == 0) break;
    }
    return rc == 0 ? uv_udp_recv_start(&s->uv, on_alloc, on_receive) : rc;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int packet_socket_open(struct world *w, const struct packet_options *opts,
    struct packet_socket **out, struct error *err)
{
    struct packet_socket *s = xcalloc(1, sizeof *s);
    s->world = w;
    s->opts = *opts;
    s->opts.ip = NULL; /* the caller's */
    int rc = uv_udp_init(&w->loop, &s->uv);
    ensure(rc == 0);
    s->uv.data = s;
    rc = bind_to(s, opts->ip, opts->port);
    if (rc == 0) {
        *out = s;
        return 0;
    }
    uv_close((uv_handle_t *)&s->uv, on_closed);
    return error_set(err, ERR_IO,
        strchr(opts->ip, ':') ? "listen udp [%s]:%u: bind: %s" : "listen udp %s:%u: bind: %s",
        opts->ip, opts->port, uv_strerror(rc));
}

uint16_t packet_socket_port(const struct packet_socket *s)
{
    return s->port;
}

/* False for an IPv6 address on an IPv4 socket. */
static bool destination(
    const struct packet_socket *s, struct str ip, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){ 0 };
    if (!s->v6) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        if (ip.n == 16 && memcmp(ip.p, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
            ip = str_slice(ip, 12, 16);
        if (ip.n != 4) return false;
        memcpy(&in->sin_addr, ip.p, 4);
        return true;
    }
    struct sockaddr_in6 *in = (void *)out;
    uint8_t *bytes = (uint8_t *)&in->sin6_addr;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    if (ip.n == 4) {
        bytes[10] = bytes[11] = 0xff;
        memcpy(bytes + 12, ip.p, 4);
        return true;
    }
    if (ip.n != 16) return false;
    memcpy(bytes, ip.p, 16);
    return true;
}

int packet_socket_send(struct packet_socket *s, struct str ip, uint16_t port, struct str bytes)
{
    struct sockaddr_storage addr;
    if (bytes.n > DATAGRAM_MAX) return ERR_TOO_LARGE;
    if (!destination(s, ip, port, &addr)) return ERR_IO;
    net__leaves_for(s->world, "udp", ip, port);
    uv_buf_t buf = { .base = (char *)(uintptr_t)bytes.p, .len = bytes.n };
    int rc = uv_udp_try_send(&s->uv, &buf, 1, (const struct sockaddr *)&addr);
    if (rc >= 0) {
        s->counters.sent++;
        s->counters.sent_bytes += bytes.n;
        return 0;
    }
    s->counters.lost++;
    return rc == UV_EAGAIN || rc == UV_ENOBUFS ? ERR_FULL : ERR_IO;
}

void packet_socket_close(struct packet_socket *s)
{
    uv_close((uv_handle_t *)&s->uv, on_closed);
}

struct packet_counters packet_socket_counters(const struct packet_socket *s)
{
    return s->counters;
}
