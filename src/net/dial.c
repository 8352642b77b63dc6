/* SPDX-License-Identifier: Apache-2.0 */
/* Resolving on a worker unless it is an address, then connecting. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "consuld/base/outside.h"
#include "stream.h"

/* The attempt's own state: a worker or a socket may hold it longer than the dial lives. */
struct dial_impl {
    struct dial *dial; /* NULL: forgotten or done */
    struct world *world;
    struct job job;
    struct timer timer;
    char *host;
    uint16_t port;
    char ip[INET6_ADDRSTRLEN];
    bool resolving;
    int resolve_error;
    struct stream *stream; /* while connecting */
};

static void impl_free(struct dial_impl *i)
{
    free(i->host);
    free(i);
}

/* The dial is over; what still runs frees the rest. */
static struct dial *let_go(struct dial_impl *i)
{
    struct dial *d = i->dial;
    timer_stop(&i->timer);
    d->impl = NULL;
    i->dial = NULL;
    if (i->stream) {
        stream_close(i->stream); /* its closed event frees */
    } else if (!i->resolving) {
        impl_free(i);
    }
    return d;
}

static void fail(struct dial_impl *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct dial_impl *i, const char *fmt, ...)
{
    const char *host = i->ip[0] ? i->ip : i->host;
    char why[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    error_set(&i->dial->err, ERR_IO,
        strchr(host, ':') ? "dial tcp [%s]:%u: %s" : "dial tcp %s:%u: %s", host, i->port, why);
    struct dial *d = let_go(i);
    d->done(d, NULL);
}

static void on_closed(struct stream *s, int code)
{
    struct dial_impl *i = s->owner;
    int uv_code = container_of(s, struct net_stream, base)->uv_code;
    (void)code;
    i->stream = NULL;
    if (i->dial) {
        fail(i, "connect: %s", uv_strerror(uv_code));
    } else {
        impl_free(i);
    }
}

static void unexpected_data(struct stream *s, struct str bytes)
{
    (void)bytes;
    stream_close(s);
}

static const struct stream_events connecting = {
    .data = unexpected_data, .eof = stream_close, .closed = on_closed
};

static void on_connected(struct stream *s)
{
    struct dial_impl *i = s->owner;
    if (!i->dial) {
        stream_close(s);
        return;
    }
    s->events = i->dial->events;
    s->owner = i->dial->owner;
    i->stream = NULL;
    struct dial *d = let_go(i);
    d->done(d, s);
}

static void start_connecting(struct dial_impl *i)
{
    struct net_connect_options o = {
        .ip = i->ip, .port = i->port, .events = &connecting, .owner = i, .connected = on_connected
    };
    struct error err;
    i->stream = net_connect(i->world, &o, &err);
    if (!i->stream) fail(i, "%s", err.text);
}

static bool is_address(const char *host)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1;
}

static void resolve(struct job *job)
{
    struct dial_impl *i = container_of(job, struct dial_impl, job);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    i->resolve_error = getaddrinfo(i->host, NULL, &hints, &found);
    if (i->resolve_error) return;
    i->resolve_error = getnameinfo(
        found->ai_addr, found->ai_addrlen, i->ip, sizeof i->ip, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
}

static void resolved(struct job *job)
{
    struct dial_impl *i = container_of(job, struct dial_impl, job);
    i->resolving = false;
    if (!i->dial) {
        impl_free(i);
        return;
    }
    if (i->resolve_error) {
        bool unknown = i->resolve_error == EAI_NONAME;
        error_set(&i->dial->err, ERR_IO, "dial tcp: lookup %s: %s", i->host,
            unknown ? "no such host" : gai_strerror(i->resolve_error));
        struct dial *d = let_go(i);
        d->done(d, NULL);
        return;
    }
    start_connecting(i);
}

static void on_timeout(struct timer *t)
{
    fail(container_of(t, struct dial_impl, timer), "i/o timeout");
}

void dial_start(struct dial *d)
{
    struct dial_impl *i = xcalloc(1, sizeof *i);
    i->dial = d;
    i->world = d->world;
    i->port = d->port;
    i->host = xmalloc(d->host.n + 1);
    if (d->host.n) memcpy(i->host, d->host.p, d->host.n);
    i->host[d->host.n] = '\0';
    i->job.run = resolve;
    i->job.done = resolved;
    d->impl = i;
    timer_init(&i->timer, d->world, on_timeout);
    if (d->timeout_ms) timer_start(&i->timer, d->timeout_ms);
    if (is_address(i->host)) {
        memcpy(i->ip, i->host, strlen(i->host) + 1);
        start_connecting(i);
        return;
    }
    i->resolving = true;
    job_submit(d->world, &i->job);
}

void dial_cancel(struct dial *d)
{
    if (d->impl) let_go(d->impl);
}
