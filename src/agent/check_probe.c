/* SPDX-License-Identifier: Apache-2.0 */
#include "check_probe.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000

static void on_timer(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    p->run(p);
}

static uint64_t interval_ms(const struct probe *p)
{
    return (uint64_t)(p->check->type.interval / NS_PER_MS);
}

void probe_start(struct probe *p, struct local_check *c, void (*run)(struct probe *p))
{
    struct local *l = c->local;
    p->check = c;
    p->run = run;
    timer_init(&p->timer, l->opts.world, on_timer);
    timer_start(&p->timer, prng_below(&l->prng, interval_ms(p)));
}

void probe_result(struct probe *p, const char *status, struct str output, bool direct)
{
    timer_start(&p->timer, interval_ms(p));
    local__check_result(p->check, str_of(status), output, direct);
}

void probe_stop(struct probe *p)
{
    timer_stop(&p->timer);
}

void *exchange_start(struct local_check *c, size_t size, void (*run)(struct probe *p),
    void (*too_late)(struct timer *t))
{
    struct exchange *x = xcalloc(1, size);
    timer_init(&x->timeout, c->local->opts.world, too_late);
    probe_start(&x->probe, c, run);
    return x;
}

void exchange_hang_up(struct exchange *x)
{
    dial_cancel(&x->dial);
    if (!x->stream) return;
    x->stream->owner = NULL; /* its closed event has nothing to tell */
    stream_close(x->stream);
    x->stream = NULL;
}

void exchange_stop(struct exchange *x)
{
    probe_stop(&x->probe);
    timer_stop(&x->timeout);
    exchange_hang_up(x);
    arena_free(&x->arena);
    free(x);
}

size_t probe_output_max(const struct probe *p)
{
    int64_t max = p->check->local->opts.check_output_max, own = p->check->type.output_max_size;
    return (size_t)(own > 0 && own < max ? own : max);
}

uint64_t probe_timeout_ms(const struct probe *p, uint64_t fallback_ms)
{
    int64_t given = p->check->type.timeout;
    return given > 0 ? (uint64_t)(given / NS_PER_MS) : fallback_ms;
}

/* Digits, with a sign or not. */
static bool port_number(struct str text, uint64_t *number)
{
    bool sign = text.n && (text.p[0] == '+' || text.p[0] == '-');
    struct str digits = str_slice(text, sign ? 1 : 0, text.n);
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] < '0' || digits.p[i] > '9') return false;
    bool low = digits.n && str_to_u64(digits, number) && *number <= 65535;
    if (digits.n && (!low || (text.p[0] == '-' && *number))) *number = UINT64_MAX;
    return digits.n > 0;
}

/* "http" */
static bool port_of_service(struct str name, uint64_t *number)
{
    char c[64], room[1024];
    struct servent entry, *found = NULL;
    if (name.n >= sizeof c) return false;
    for (size_t i = 0; i < name.n; i++)
        c[i] = (char)tolower((unsigned char)name.p[i]);
    c[name.n] = '\0';
    if (getservbyname_r(c, "tcp", &entry, room, sizeof room, &found) != 0 || !found) return false;
    *number = ntohs((uint16_t)entry.s_port);
    return true;
}

const char *probe_address(struct str text, struct str *host, uint16_t *port, struct arena *a)
{
    uint64_t number = 0;
    ptrdiff_t at = str_find_last(text, ':');
    if (at < 0) return str_printf(a, "address %.*s: missing port in address", STR_ARG(text)).p;
    *host = str_slice(text, 0, (size_t)at);
    struct str name = str_slice(text, (size_t)at + 1, text.n);
    if (name.n && !port_number(name, &number) && !port_of_service(name, &number))
        return str_printf(a, "address tcp/%.*s: unknown port", STR_ARG(name)).p;
    if (number > 65535) return str_printf(a, "address %.*s: invalid port", STR_ARG(name)).p;
    if (host->n > 1 && host->p[0] == '[') *host = str_slice(*host, 1, host->n - 1);
    *port = (uint16_t)number;
    return NULL;
}

struct str probe_text(struct arena *a, struct str text, struct str bytes)
{
    char *out = arena_alloc(a, text.n + bytes.n + 1);
    if (text.n) memcpy(out, text.p, text.n);
    if (bytes.n) memcpy(out + text.n, bytes.p, bytes.n);
    return (struct str){ out, text.n + bytes.n };
}
