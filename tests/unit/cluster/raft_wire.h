/* SPDX-License-Identifier: Apache-2.0 */
/* Raft drivers with their transports in one fake world, joined by streams in memory: a dial to the
 * address of a server becomes a stream of that server, unless one of the two is cut off. Included
 * by one file of a test binary. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/cluster/raft_transport.h"
#include "consuld/raft.h"
#include "consuld/store.h"
#include "consuld/wire.h"
#include "world/fake_world.h"
#include "world/scratch.h"
#include "world/stream_pair.h"

#define NODES_MAX 3
#define PAIRS_MAX 256

enum { AWAY_NO, AWAY_REFUSES, AWAY_SILENT };

struct wire_node {
    struct raft_driver *driver; /* NULL: down */
    struct raft_transport *transport;
    struct store *store;
    char *dir;
    char raft_dir[4200], id[64], ip[40], address[48];
    int away; /* refuses connections, or lets them hang */
    bool stopped, closed;
};

struct wire_pair {
    struct stream_pair streams;
    struct wire_node *to;
    bool open;
};

static struct wire {
    struct world world;
    struct wire_node nodes[NODES_MAX];
    size_t n;
    struct dial *dials[PAIRS_MAX];
    struct wire_pair pairs[PAIRS_MAX];
} w;

/* --- dialling --------------------------------------------------------------------------------- */

void dial_start(struct dial *d)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (w.dials[i]) continue;
        w.dials[i] = d;
        d->impl = (struct dial_impl *)(void *)d;
        return;
    }
    fail_msg("too many dials");
}

void dial_cancel(struct dial *d)
{
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (w.dials[i] == d) w.dials[i] = NULL;
    d->impl = NULL;
}

static struct wire_node *node_at(struct str ip)
{
    for (size_t i = 0; i < w.n; i++)
        if (str_is(ip, w.nodes[i].ip)) return &w.nodes[i];
    return NULL;
}

/* What the port does with the first byte. */
static void port_data(struct stream *s, struct str bytes)
{
    struct wire_pair *p = s->owner;
    assert_int_equal(bytes.p[0], 1);
    if (p->to->closed) {
        stream_close(s);
        return;
    }
    raft_transport_accept(p->to->transport, s);
    if (bytes.n > 1 && s->owner != p) s->events->data(s, str_slice(bytes, 1, bytes.n));
}
static void port_closed(struct stream *s, int code)
{
    (void)s;
    (void)code;
}
static const struct stream_events port_events = {
    .data = port_data, .eof = stream_close, .closed = port_closed
};

static struct wire_pair *pair_take(void)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (w.pairs[i].open) continue;
        w.pairs[i] = (struct wire_pair){ .open = true };
        stream_pair_init(&w.pairs[i].streams);
        w.pairs[i].streams.a.queue_max = w.pairs[i].streams.b.queue_max = (size_t)16 << 20;
        return &w.pairs[i];
    }
    fail_msg("too many connections");
    return NULL;
}

static void connect_to(struct dial *d, struct wire_node *to)
{
    struct wire_pair *p = pair_take();
    p->to = to;
    p->streams.a.base.events = d->events;
    p->streams.a.base.owner = d->owner;
    p->streams.b.base.events = &port_events;
    p->streams.b.base.owner = p;
    d->impl = NULL;
    d->done(d, &p->streams.a.base);
}

static void end_dials(void)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        struct dial *d = w.dials[i];
        struct wire_node *to = d ? node_at(d->host) : NULL;
        if (!d || (to && to->away == AWAY_SILENT)) continue;
        w.dials[i] = NULL;
        if (to && to->driver && !to->stopped && to->away == AWAY_NO) {
            connect_to(d, to);
            continue;
        }
        d->impl = NULL;
        error_set(&d->err, ERR_IO, "dial tcp: connect: connection refused");
        d->done(d, NULL);
    }
}

/* --- turning ---------------------------------------------------------------------------------- */

static bool carried(struct wire_pair *p)
{
    if (p->to && p->to->away == AWAY_SILENT) return false;
    bool moved = stream_pair_turn(&p->streams);
    if (p->streams.a.closed && p->streams.b.closed) {
        stream_pair_deinit(&p->streams);
        p->open = false;
    }
    return moved;
}

static void turn(void)
{
    for (int i = 0, quiet = 0; quiet < 3 && i < 500; i++) {
        bool moved = false;
        end_dials();
        for (size_t k = 0; k < PAIRS_MAX; k++)
            if (w.pairs[k].open) moved |= carried(&w.pairs[k]);
        fake_world_turn(&w.world);
        fake_world_run_jobs(&w.world);
        quiet = moved ? 0 : quiet + 1;
    }
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t end = w.world.now_ms + ms; w.world.now_ms < end; w.world.now_ms += 20)
        turn();
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void node_start(size_t i)
{
    struct wire_node *n = &w.nodes[i];
    struct error err = { 0 };
    struct store_options so = { .dir = n->dir, .map_size = 32u << 20, .boot_id = "one" };
    struct store_report report;
    if (store_open(&so, &n->store, &report, &err)) fail_msg("%s", err.text);
    n->transport = raft_transport_create(
        &(struct raft_transport_options){ .world = &w.world, .datacenter = STR("dc1") });
    struct raft_driver_options o = { .world = &w.world,
        .store = n->store,
        .dir = n->raft_dir,
        .id = str_of(n->id),
        .address = str_of(n->address),
        .multiplier = 1,
        .trailing_logs = 5,
        .transport = raft_transport_driver(n->transport) };
    if (raft_driver_create(&o, &n->driver, &err)) fail_msg("%s", err.text);
    n->stopped = n->closed = false;
    raft_transport_attach(n->transport, n->driver);
    raft_driver_start(n->driver);
}

static void on_stopped(void *ctx)
{
    ((struct wire_node *)ctx)->stopped = true;
}
static void on_closed(void *ctx)
{
    ((struct wire_node *)ctx)->closed = true;
}

static void node_stop(size_t i)
{
    struct wire_node *n = &w.nodes[i];
    if (!n->driver) return;
    n->away = AWAY_NO;
    raft_driver_stop(n->driver, on_stopped, n);
    for (int k = 0; k < 100 && !n->stopped; k++)
        turn();
    assert_true(n->stopped);
    raft_transport_close(n->transport, on_closed, n);
    for (int k = 0; k < 100 && !n->closed; k++)
        turn();
    assert_true(n->closed);
    raft_driver_destroy(n->driver);
    n->driver = NULL;
    store_close(n->store);
}

static void wire_begin(size_t n)
{
    memset(&w, 0, sizeof w);
    fake_world_init(&w.world);
    w.n = n;
    for (size_t i = 0; i < n; i++) {
        struct wire_node *node = &w.nodes[i];
        node->dir = scratch_create();
        snprintf(node->raft_dir, sizeof node->raft_dir, "%s/raft", node->dir);
        snprintf(node->id, sizeof node->id, "00000000-0000-0000-0000-00000000000%zu", i + 1);
        snprintf(node->ip, sizeof node->ip, "10.0.0.%zu", i + 1);
        snprintf(node->address, sizeof node->address, "10.0.0.%zu:8300", i + 1);
        node_start(i);
    }
}

static void wire_end(void)
{
    for (size_t i = 0; i < w.n; i++)
        node_stop(i);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (w.pairs[i].open) stream_pair_deinit(&w.pairs[i].streams);
    for (size_t i = 0; i < w.n; i++)
        scratch_destroy(w.nodes[i].dir);
}

/* All write the same first configuration. */
static void bootstrap_all(void)
{
    struct raft_driver_server servers[NODES_MAX];
    struct error err;
    for (size_t i = 0; i < w.n; i++)
        servers[i] =
            (struct raft_driver_server){ str_of(w.nodes[i].id), str_of(w.nodes[i].address), 0 };
    for (size_t i = 0; i < w.n; i++)
        if (raft_driver_bootstrap(w.nodes[i].driver, servers, w.n, &err)) fail_msg("%s", err.text);
}

static struct wire_node *leader(void)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.nodes[i].driver && raft_driver_is_leader(w.nodes[i].driver)) return &w.nodes[i];
    return NULL;
}

static struct wire_node *elect(void)
{
    for (int i = 0; i < 300 && !leader(); i++)
        pass_ms(100);
    assert_non_null(leader());
    return leader();
}
