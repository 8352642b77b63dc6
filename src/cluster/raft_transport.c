/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_transport.h"

#include <stdlib.h>
#include <string.h>

/* What the driver is told at the end of the turn. */
struct verdict {
    struct link link;
    char id[RAFT_ID_MAX];
    uint64_t rpc;
    bool reached; /* a probe's; else the request failed */
    bool missing;
};

uint64_t raft_transport__now(const struct raft_transport *t)
{
    return world_now_ms(t->opts.world);
}

void raft_transport__verdict(
    struct raft_transport *t, const char *id, uint64_t rpc, bool reached, bool missing)
{
    struct verdict *v = xcalloc(1, sizeof *v);
    memcpy(v->id, id, strnlen(id, sizeof v->id - 1));
    v->rpc = rpc;
    v->reached = reached;
    v->missing = missing;
    link_init(&v->link);
    link_push(&t->verdicts, &v->link);
    tick_mark(&t->tick);
}

static void give_verdicts(struct raft_transport *t)
{
    struct link todo, *l;
    link_init(&todo);
    while ((l = link_pop(&t->verdicts)))
        link_push(&todo, l);
    while ((l = link_pop(&todo))) {
        struct verdict *v = container_of(l, struct verdict, link);
        struct raft_message m = { .type = RAFT_PROBE_RESPONSE, .rpc = v->rpc, .peer_id = v->id };
        if (t->driver && v->reached)
            raft_driver_receive(t->driver, &m);
        else if (t->driver)
            raft_driver_rpc_failed(t->driver, v->id, v->rpc, v->missing);
        free(v);
    }
}

static void send_message(struct raft_driver_transport *seam, const struct raft_message *m)
{
    struct raft_transport *t = container_of(seam, struct raft_transport, seam);
    if (m->type >= RAFT_APPEND_ENTRIES_RESPONSE)
        raft_transport__response(t, m);
    else
        raft_transport__request(t, m);
}

static bool all_gone(const struct raft_transport *t)
{
    if (t->jobs || !link_empty(&t->incoming)) return false;
    for (size_t i = 0; i < t->remotes_n; i++)
        if (!link_empty(&t->remotes[i]->conns)) return false;
    return true;
}

static void destroy(struct raft_transport *t)
{
    for (size_t i = 0; i < t->remotes_n; i++)
        free(t->remotes[i]);
    tick_cancel(&t->tick);
    buf_deinit(&t->scratch);
    arena_free(&t->arena);
    free(t);
}

static void turn(struct tick *tick)
{
    struct raft_transport *t = container_of(tick, struct raft_transport, tick);
    give_verdicts(t);
    raft_transport__flush(t);
    if (!t->closing || !all_gone(t)) return;
    void (*closed)(void *) = t->closed;
    void *ctx = t->closed_ctx;
    destroy(t);
    closed(ctx);
}

void raft_transport__ended(struct raft_transport *t)
{
    if (t->closing) tick_mark(&t->tick);
}

struct raft_transport *raft_transport_create(const struct raft_transport_options *o)
{
    struct raft_transport *t = xcalloc(1, sizeof *t);
    raft_message_init();
    t->seam.send = send_message;
    t->opts = *o;
    raft_metrics_init(&t->metrics, o->world, o->metrics);
    if (!t->opts.timeout_ms) t->opts.timeout_ms = RAFT_TIMEOUT_MS;
    t->scratch = (struct buf)BUF_INIT(RAFT_REQUEST_MAX);
    link_init(&t->incoming);
    link_init(&t->verdicts);
    tick_init(&t->tick, o->world, turn);
    return t;
}

struct raft_driver_transport *raft_transport_driver(struct raft_transport *t)
{
    return &t->seam;
}

void raft_transport_attach(struct raft_transport *t, struct raft_driver *d)
{
    t->driver = d;
}

void raft_transport_close(struct raft_transport *t, void (*closed)(void *ctx), void *ctx)
{
    ensure(!t->closing);
    t->closing = true;
    t->driver = NULL;
    t->closed = closed;
    t->closed_ctx = ctx;
    raft_transport__out_close(t);
    raft_transport__in_close(t);
    tick_mark(&t->tick);
}

struct raft_transport_counters raft_transport_counters(const struct raft_transport *t)
{
    return t->counters;
}
