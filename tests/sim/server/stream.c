/* SPDX-License-Identifier: Apache-2.0 */
/* Connections between nodes: bytes arrive in order after a delay, wait while a cut lasts, and are
 * lost only with their connection. Dialling and listening. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define WINDOW ((size_t)256 << 10) /* bytes on their way that do not count as queued */
#define QUEUE_MAX ((size_t)64 << 20)
#define RETRY_MS 200

struct segment {
    struct link link;
    size_t n, taken;
    bool end; /* no more will come */
    char bytes[];
};

struct end {
    struct stream base;
    struct link link; /* of its world */
    struct conn *conn;
    struct end *peer;
    struct world *world;
    unsigned life; /* of the world */
    int node;
    struct link in;   /* arrived segments, not read yet */
    size_t in_flight; /* bytes sent and not read */
    uint64_t last_at; /* when the last segment arrives */
    bool paused, finished, closing, closed, backed_up, vanished;
    int code;
};

struct conn {
    struct link link;
    struct end ends[2];
    size_t events; /* that point to it */
};

struct listener {
    struct link link;
    struct world *world;
    struct listener_options opts;
    char ip[16];
    uint16_t port;
};

struct dial_impl {
    struct link link;
    struct dial *dial; /* NULL: cancelled */
    struct world *world;
    char host[64];
    uint64_t until;
    struct stream *stream;
};

static struct end *self(const struct stream *s)
{
    return container_of((struct stream *)(uintptr_t)s, struct end, base);
}

static uint64_t delay(struct sim *s)
{
    return 1 + prng_below(&s->prng, s->weather.delay_ms + 1);
}

static bool lives(const struct end *e)
{
    return !e->closed && !e->vanished;
}

static bool is_cut(const struct sim *s, int from, int to)
{
    return from != to && s->cut[from][to];
}

/* --- ends ------------------------------------------------------------------------------------- */

static void end_closed(struct end *e)
{
    if (e->closed) return;
    e->closed = true;
    link_remove(&e->link);
    for (struct link *l; (l = link_pop(&e->in));)
        free(container_of(l, struct segment, link));
    if (e->base.events) e->base.events->closed(&e->base, e->code);
}

static void on_closed(struct sim *s, struct event *ev)
{
    (void)s;
    end_closed(ev->p);
}

static void reset(struct sim *s, struct end *e)
{
    if (e->closing || !lives(e)) return;
    e->closing = true;
    e->code = ERR_IO;
    sim_at(s, 0, e->world, on_closed, e, 0);
}

/* Gives what has arrived to the owner, as far as it reads. */
static void deliver(struct sim *s, struct end *e)
{
    while (e->base.events && !e->paused && !e->closing && lives(e) && !link_empty(&e->in)) {
        struct segment *g = container_of(link_pop(&e->in), struct segment, link);
        struct end *from = e->peer;
        from->in_flight -= g->n;
        if (g->n) e->base.events->data(&e->base, (struct str){ g->bytes, g->n });
        if (g->end && !e->closing && lives(e)) e->base.events->eof(&e->base);
        free(g);
        if (from->backed_up && from->in_flight <= WINDOW && lives(from) && !from->closing) {
            from->backed_up = false;
            from->world->touched = true;
            if (from->base.events->drained) from->base.events->drained(&from->base);
        }
    }
    (void)s;
}

static bool node_lives(const struct sim *s, const struct end *e)
{
    const struct sim_node *n = &s->nodes[e->node];
    return n->up && n->life == e->life;
}

static void arrive(struct sim *s, struct event *ev)
{
    struct segment *g = ev->p;
    struct conn *c = (struct conn *)(uintptr_t)(ev->a & ~(uint64_t)1);
    struct end *to = &c->ends[ev->a & 1], *from = to->peer;
    const struct sim_node *n = &s->nodes[to->node];
    bool waits = is_cut(s, from->node, to->node) || (n->up && n->paused_until > s->now);
    if (waits || (to->vanished && !n->up)) {
        sim_at(s, RETRY_MS, NULL, arrive, g, ev->a);
        return;
    }
    c->events--;
    if (!lives(to) || to->closing) {
        /* Nobody is there: the sender hears of it. */
        bool hears = g->n && node_lives(s, from) && !is_cut(s, to->node, from->node);
        free(g);
        if (hears) reset(s, from);
        return;
    }
    bool breaks = !s->calm && prng_chance(&s->prng, s->weather.reset, 10000);
    if (breaks) {
        free(g);
        reset(s, to);
        if (node_lives(s, from)) reset(s, from);
        return;
    }
    link_push(&to->in, &g->link);
    to->world->touched = true;
    deliver(s, to);
    if (s->nodes[to->node].disk.dead) node_bury(&s->nodes[to->node]);
}

static void send_segment(struct end *e, struct segment *g)
{
    struct sim *s = e->world->sim;
    struct conn *c = e->conn;
    uint64_t at = s->now + delay(s) + s->nodes[e->peer->node].lag_ms;
    if (at < e->last_at) at = e->last_at;
    e->last_at = at;
    c->events++;
    sim_at(s, at - s->now, NULL, arrive, g, (uint64_t)(uintptr_t)c | (e == &c->ends[0] ? 1u : 0u));
}

static int op_write(struct stream *stream, const struct stream_part *parts, size_t n)
{
    struct end *e = self(stream);
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    if (e->closing || e->finished || e->world->dying) return ERR_IO;
    if (e->in_flight > WINDOW && e->in_flight - WINDOW + total > QUEUE_MAX) return ERR_FULL;
    if (!total) return 0;
    struct segment *g = xcalloc(1, sizeof *g + total);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n) memcpy(g->bytes + g->n, parts[i].p, parts[i].n);
        g->n += parts[i].n;
    }
    e->in_flight += total;
    if (e->in_flight > WINDOW) e->backed_up = true;
    send_segment(e, g);
    return 0;
}

static void send_end(struct end *e)
{
    if (e->finished || e->world->dying) return;
    e->finished = true;
    struct segment *g = xcalloc(1, sizeof *g);
    g->end = true;
    send_segment(e, g);
}

static void op_finish(struct stream *stream)
{
    struct end *e = self(stream);
    if (!e->closing) send_end(e);
}

static void op_close(struct stream *stream)
{
    struct end *e = self(stream);
    if (e->closing) return;
    send_end(e);
    e->closing = true;
    if (!e->world->dying) sim_at(e->world->sim, 0, e->world, on_closed, e, 0);
}

static void on_read_again(struct sim *s, struct event *ev)
{
    deliver(s, ev->p);
}

static void op_read(struct stream *stream, bool on)
{
    struct end *e = self(stream);
    e->paused = !on;
    if (on && !link_empty(&e->in) && !e->world->dying)
        sim_at(e->world->sim, 0, e->world, on_read_again, e, 0);
}

static size_t op_queued(const struct stream *stream)
{
    const struct end *e = self(stream);
    return e->in_flight > WINDOW ? e->in_flight - WINDOW : 0;
}

static const struct stream_ops ops = { op_write, op_finish, op_close, op_read, op_queued };

static void end_init(struct conn *c, int i, struct sim_node *n, const char *peer, uint16_t port)
{
    struct end *e = &c->ends[i];
    *e = (struct end){ .base = { .ops = &ops, .peer_port = port },
        .conn = c,
        .peer = &c->ends[!i],
        .world = &n->world,
        .life = n->life,
        .node = n->number };
    snprintf(e->base.peer, sizeof e->base.peer, "%s", peer);
    link_init(&e->in);
    link_init(&e->link);
    link_push(&n->world.ends, &e->link);
}

/* --- listening -------------------------------------------------------------------------------- */

int node_at(const struct sim *s, const char *ip)
{
    for (int i = 0; i < s->nodes_n; i++)
        if (strcmp(s->nodes[i].ip, ip) == 0) return i;
    return -1;
}

int listener_open(
    struct world *w, const struct listener_options *opts, struct listener **out, struct error *err)
{
    struct listener *l = xcalloc(1, sizeof *l);
    (void)err;
    l->world = w;
    l->opts = *opts;
    l->port = opts->port;
    snprintf(l->ip, sizeof l->ip, "%s", opts->ip);
    link_init(&l->link);
    link_push(&w->listeners, &l->link);
    *out = l;
    return 0;
}
uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
void listener_close(struct listener *l)
{
    link_remove(&l->link);
    free(l);
}

struct listener *listener_at(struct sim *s, const char *ip, uint16_t port)
{
    int node = node_at(s, ip);
    if (node < 0 || !s->nodes[node].up) return NULL;
    link_each (it, &s->nodes[node].world.listeners) {
        struct listener *l = container_of(it, struct listener, link);
        if (l->port == port) return l;
    }
    return NULL;
}

/* --- dialling --------------------------------------------------------------------------------- */

static void dial_over(struct dial_impl *d, struct stream *stream, const char *why)
{
    struct dial *dial = d->dial;
    link_remove(&d->link);
    free(d);
    if (!dial) return;
    dial->impl = NULL;
    if (!stream)
        error_set(&dial->err, ERR_IO, "dial tcp %.*s:%u: %s", STR_ARG(dial->host), dial->port, why);
    dial->done(dial, stream);
}

static void on_dialled(struct sim *s, struct event *ev)
{
    struct dial_impl *d = ev->p;
    struct end *e = self(d->stream);
    if (e->closing || !d->dial) {
        op_close(d->stream);
        dial_over(d, NULL, "connect: connection reset by peer");
        return;
    }
    e->base.events = d->dial->events;
    e->base.owner = d->dial->owner;
    dial_over(d, &e->base, NULL);
    deliver(s, e);
}

static void on_refused(struct sim *s, struct event *ev)
{
    (void)s;
    dial_over(ev->p, NULL, "connect: connection refused");
}

static void try_dial(struct sim *s, struct event *ev)
{
    struct dial_impl *d = ev->p;
    struct sim_node *from = &s->nodes[ev->world->node];
    int k = d->dial ? node_at(s, d->host) : -1;
    if (!d->dial || k < 0) {
        dial_over(d, NULL, "connect: no route to host");
        return;
    }
    struct sim_node *to = &s->nodes[k];
    bool reached =
        !is_cut(s, from->number, k) && !is_cut(s, k, from->number) && (to->up || !to->off);
    bool lost = !s->calm && prng_chance(&s->prng, s->weather.loss, 10000);
    if (!reached || lost || (to->up && to->paused_until > s->now)) {
        if (s->now >= d->until)
            dial_over(d, NULL, "i/o timeout");
        else
            sim_at(s, RETRY_MS, ev->world, try_dial, d, 0);
        return;
    }
    struct listener *l = listener_at(s, d->host, d->dial->port);
    if (!l) {
        sim_at(s, delay(s), ev->world, on_refused, d, 0);
        return;
    }
    struct conn *c = xcalloc(1, sizeof *c);
    link_init(&c->link);
    link_push(&s->conns, &c->link);
    end_init(c, 0, from, to->ip, d->dial->port);
    end_init(c, 1, to, from->ip, 40000);
    d->stream = &c->ends[0].base;
    sim_at(s, delay(s), ev->world, on_dialled, d, 0);
    to->world.touched = true;
    l->opts.accept(l->opts.ctx, &c->ends[1].base);
}

void dial_start(struct dial *d)
{
    struct world *w = d->world;
    struct dial_impl *i = xcalloc(1, sizeof *i);
    d->impl = i;
    i->dial = d;
    i->world = w;
    i->until = w->sim->now + (d->timeout_ms ? d->timeout_ms : 60000);
    snprintf(i->host, sizeof i->host, "%.*s", STR_ARG(d->host));
    link_init(&i->link);
    link_push(&w->dials, &i->link);
    if (!w->dying) sim_at(w->sim, delay(w->sim), w, try_dial, i, 0);
}

void dial_cancel(struct dial *d)
{
    if (d->impl) d->impl->dial = NULL;
    d->impl = NULL;
}

/* --- the end of a node ------------------------------------------------------------------------ */

void streams_cut_off(struct world *w, bool silent)
{
    struct sim *s = w->sim;
    link_each (l, &w->ends) {
        struct end *e = container_of(l, struct end, link), *peer = e->peer;
        if (silent) {
            e->vanished = true;
        } else if (node_lives(s, peer) && lives(peer)) {
            struct segment *g = xcalloc(1, sizeof *g);
            g->end = true;
            send_segment(e, g);
        }
    }
}

bool streams_wind_down(struct world *w)
{
    bool moved = false;
    for (struct link *l; (l = w->dials.next) != &w->dials; moved = true) {
        struct dial_impl *d = container_of(l, struct dial_impl, link);
        dial_over(d, NULL, "connect: network is unreachable");
    }
    while (!link_empty(&w->ends)) {
        struct end *e = container_of(w->ends.next, struct end, link);
        if (!e->closing) e->code = ERR_IO;
        e->closing = true;
        end_closed(e);
        moved = true;
    }
    return moved;
}

void streams_free(struct sim *s)
{
    for (size_t i = 0; i < s->heap_n; i++)
        if (s->heap[i].run == arrive) free(s->heap[i].p);
    s->heap_n = 0;
    for (struct link *l; (l = link_pop(&s->conns));) {
        struct conn *c = container_of(l, struct conn, link);
        for (int i = 0; i < 2; i++)
            for (struct link *g; (g = link_pop(&c->ends[i].in));)
                free(container_of(g, struct segment, link));
        free(c);
    }
}

/* --- what nobody needs -------------------------------------------------------------------------
 */

void resolve_start(struct resolve *r)
{
    r->impl = NULL; /* all addresses are numbers */
}
void resolve_cancel(struct resolve *r)
{
    r->impl = NULL;
}
struct process *process_start(
    struct world *w, const struct process_options *opts, struct error *err)
{
    (void)w;
    error_set(err, ERR_IO, "fork/exec %s: no such file or directory", opts->argv[0]);
    return NULL;
}
void process_kill(struct process *p)
{
    (void)p;
}
void process_forget(struct process *p)
{
    (void)p;
}
