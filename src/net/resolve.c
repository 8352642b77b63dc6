/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses on a worker. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "consuld/base.h"
#include "consuld/base/outside.h"

/* What the worker sees; it may outlive the resolve. */
struct resolve_impl {
    struct resolve *resolve; /* NULL: forgotten */
    struct job job;
    char *host;
    int code;
    struct resolved_ip found[RESOLVE_ADDRESSES_MAX];
    size_t n;
};

static void add(struct resolve_impl *i, const struct sockaddr *addr)
{
    struct resolved_ip ip = { 0 };
    if (addr->sa_family == AF_INET) {
        ip.ip_n = 4;
        memcpy(ip.ip, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    } else {
        ip.ip_n = 16;
        memcpy(ip.ip, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    }
    for (size_t k = 0; k < i->n; k++)
        if (memcmp(&i->found[k], &ip, sizeof ip) == 0) return;
    if (i->n < RESOLVE_ADDRESSES_MAX) i->found[i->n++] = ip;
}

static void run(struct job *job)
{
    struct resolve_impl *i = container_of(job, struct resolve_impl, job);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
    static const int families[] = { AF_INET, AF_INET6 };
    i->code = getaddrinfo(i->host, NULL, &hints, &all);
    if (i->code) return;
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const struct addrinfo *at = all; at; at = at->ai_next)
            if (at->ai_family == families[f]) add(i, at->ai_addr);
    freeaddrinfo(all);
    if (i->n == 0) i->code = EAI_NONAME;
}

static void done(struct job *job)
{
    struct resolve_impl *i = container_of(job, struct resolve_impl, job);
    struct resolve *r = i->resolve;
    if (r) {
        r->impl = NULL;
        r->n = i->code ? 0 : i->n;
        memcpy(r->addresses, i->found, sizeof r->addresses);
        if (i->code)
            error_set(&r->err, ERR_IO, "lookup %s: %s", i->host,
                i->code == EAI_NONAME ? "no such host" : gai_strerror(i->code));
    }
    free(i->host);
    free(i);
    if (r) r->done(r);
}

void resolve_start(struct resolve *r)
{
    struct resolve_impl *i = xcalloc(1, sizeof *i);
    i->resolve = r;
    i->host = xcalloc(1, r->host.n + 1);
    if (r->host.n) memcpy(i->host, r->host.p, r->host.n);
    i->job.run = run;
    i->job.done = done;
    r->impl = i;
    r->n = 0;
    job_submit(r->world, &i->job);
}

void resolve_cancel(struct resolve *r)
{
    if (r->impl) r->impl->resolve = NULL;
    r->impl = NULL;
}
