/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

void sim_trace(struct sim *s, int node, const char *fmt, ...)
{
    if (!s->trace) return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%6llu ", (unsigned long long)s->now);
    fprintf(stderr, node < 0 ? "world  " : "node %d ", node);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* The first nodes hold the bootstrap entry; the others wait to be added. */
static void set_up(struct sim *s)
{
    struct raft_configuration c = { 0 };
    for (int i = 0; i < s->nodes_n; i++) {
        struct node *n = &s->nodes[i];
        snprintf(n->id, sizeof n->id, "node-%d", i);
        snprintf(n->address, sizeof n->address, "10.0.0.%d:8300", i);
        n->skew_ms = prng_below(&s->prng, 1000000);
        if (i < s->initial_n)
            ensure(raft_configuration_add(&c, str_of(n->id), str_of(n->address), RAFT_VOTER));
    }
    struct buf data = BUF_INIT(1 << 16);
    raft_configuration_encode(&c, &data);
    struct raft_entry first = { .index = 1,
        .term = 1,
        .type = RAFT_CONFIGURATION,
        .data = str_dup(&s->arena, buf_str(&data)) };
    buf_deinit(&data);
    invariant_appended(s, &first, 0);
    for (int i = 0; i < s->nodes_n; i++) {
        struct disk *d = &s->nodes[i].disk;
        if (i < s->initial_n) {
            d->log = xcalloc(1, sizeof *d->log);
            d->log[0] = first;
            d->log_n = d->log_cap = 1;
            d->term = 1;
        }
        node_start(s, i);
    }
}

static void dispatch(struct sim *s, const struct event *e)
{
    switch (e->kind) {
    case EVENT_WAKE:
        node_wake(s, e->node, e->a);
        break;
    case EVENT_REQUEST:
        network_request(s, e);
        break;
    case EVENT_RESPONSE:
        network_response(s, e);
        break;
    case EVENT_CALL_OVER:
        network_call_over(s, e);
        break;
    case EVENT_DISK:
        disk_done(s, e->node, e->a);
        break;
    case EVENT_APPLY:
        node_apply(s, e->node);
        break;
    case EVENT_INSTALLED:
        node_installed(s, e->node, e->a);
        break;
    case EVENT_RESTART:
        if (!s->nodes[e->node].alive) node_start(s, e->node);
        break;
    case EVENT_CLIENT:
        client_act(s);
        sim_at(s, 1 + prng_below(&s->prng, 2 * s->weather.client_ms), EVENT_CLIENT, -1, 0, NULL);
        break;
    case EVENT_FAULT:
        if (s->calm) break;
        fault_act(s);
        sim_at(s, 1 + prng_below(&s->prng, 2 * s->weather.fault_ms), EVENT_FAULT, -1, 0, NULL);
        break;
    case EVENT_HEAL:
        fault_heal(s, e->a);
        break;
    }
}

void sim_until(struct sim *s, uint64_t until)
{
    struct event e;
    while (!s->failed && s->heap_n && s->heap[0].at <= until && sim_next(s, &e)) {
        s->now = e.at;
        if (e.node >= 0 && e.kind != EVENT_RESTART) {
            struct node *n = &s->nodes[e.node];
            if (!n->alive || n->life != e.life) continue;
            if (n->paused_until > s->now) {
                sim_at(s, n->paused_until - s->now, e.kind, e.node, e.a, e.p);
                continue;
            }
        }
        dispatch(s, &e);
    }
    if (!s->failed) s->now = until;
}

static void live(struct sim *s)
{
    char why[256] = "";
    fault_end(s);
    uint64_t acks = s->acks;
    uint64_t end = s->now + LIVENESS_MS;
    while (!s->failed && s->now < end) {
        sim_until(s, s->now + 250);
        if (!s->failed && s->acks > acks && converged(s, why, sizeof why)) return;
    }
    sim_fail(s, "liveness: %s after %d ms without faults", why[0] ? why : "no write accepted",
        LIVENESS_MS);
}

struct sim *sim_open(const struct sim_options *o)
{
    struct sim *s = xcalloc(1, sizeof *s);
    s->seed = o->seed;
    s->trace = o->trace;
    prng_seed(&s->prng, o->seed * 8 + (uint64_t)o->nodes);
    s->calm = true;
    s->initial_n = o->nodes;
    s->nodes_n = o->nodes + 2;
    s->weather = (struct weather){ .delay_ms = 5, .disk_ms = 5, .apply_ms = 5, .client_ms = 2000 };
    set_up(s);
    return s;
}

struct sim *sim_run(const struct sim_options *o)
{
    struct sim *s = sim_open(o);
    s->calm = false;
    s->weather = weather_of(s);
    sim_at(s, 100, EVENT_CLIENT, -1, 0, NULL);
    sim_at(s, 2000, EVENT_FAULT, -1, 0, NULL);
    sim_until(s, SAFETY_MS);
    if (!s->failed) live(s);
    return s;
}

void sim_free(struct sim *s)
{
    for (int i = 0; i < s->nodes_n; i++) {
        raft_destroy(s->nodes[i].raft);
        free(s->nodes[i].disk.log);
        free(s->nodes[i].disk.queue);
    }
    free(s->heap);
    free(s->calls);
    free(s->clients);
    free(s->committed);
    free(s->seen);
    free(s->votes);
    arena_free(&s->arena);
    free(s);
}
