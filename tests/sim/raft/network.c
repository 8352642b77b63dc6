/* SPDX-License-Identifier: Apache-2.0 */
/* Calls between nodes: lost, late, repeated, out of order, cut one way. A call without an answer is
 * reported as failed after a while, as a transport's deadline does. */
#include <string.h>

#include "sim.h"

static int node_of(const struct sim *s, const char *id)
{
    for (int i = 0; i < s->nodes_n; i++)
        if (strcmp(s->nodes[i].id, id) == 0) return i;
    return -1;
}

static uint64_t delay(struct sim *s)
{
    uint64_t d = 1 + prng_below(&s->prng, s->weather.delay_ms);
    if (!s->calm && prng_chance(&s->prng, 1, 50)) d += prng_below(&s->prng, 500);
    return d;
}

static bool lost(struct sim *s, int from, int to)
{
    return s->cut[from][to] || prng_chance(&s->prng, s->weather.loss, 10000);
}

/* A pipeline is a byte stream: in order (but for a rare reconnection), and what follows a lost
 * message is lost with it. False: lost. */
static bool stream_delay(struct sim *s, int from, int to, uint64_t *d)
{
    if (s->now < s->broken_until[from][to]) return false;
    if (lost(s, from, to)) {
        s->broken_until[from][to] = s->now + 50;
        return false;
    }
    *d = delay(s);
    uint64_t *at = &s->stream_at[from][to];
    if (s->now + *d < *at && !prng_chance(&s->prng, 1, 100)) *d = *at - s->now;
    *at = s->now + *d;
    return true;
}

/* Entries of the window, else of the disk; false: gone. */
static bool gather(struct sim *s, struct node *n, struct raft_append_entries *a)
{
    struct raft_entry *v = arena_array(&s->arena, a->n, sizeof *v);
    for (size_t i = 0; i < a->n; i++) {
        uint64_t index = a->prev_index + 1 + i;
        const struct raft_entry *e = raft_entry_at(n->raft, index);
        if (!e) e = disk_entry(&n->disk, index);
        if (!e) return false;
        v[i] = *e;
        v[i].handle = 0;
        v[i].data = str_dup(&s->arena, e->data);
        v[i].extensions = str_dup(&s->arena, e->extensions);
    }
    a->entries = v;
    return true;
}

static struct call *call_add(struct sim *s, int from, int to, const struct raft_message *m)
{
    if (s->calls_n == s->calls_cap) {
        s->calls_cap = s->calls_cap ? s->calls_cap * 2 : 256;
        s->calls = xrealloc(s->calls, s->calls_cap * sizeof(struct call *));
    }
    struct call *c = arena_new(&s->arena, struct call);
    s->calls[s->calls_n++] = c;
    *c = (struct call){
        .from = from, .to = to, .from_life = s->nodes[from].life, .rpc = m->rpc, .m = *m
    };
    c->m.rpc = s->calls_n; /* the receiver's token */
    c->m.peer_id = c->m.peer_address = NULL;
    return c;
}

static bool complete(struct sim *s, struct node *n, struct call *c)
{
    struct raft_message *m = &c->m;
    if (m->type == RAFT_APPEND_ENTRIES) {
        m->append_entries.leader = str_dup(&s->arena, m->append_entries.leader);
        return gather(s, n, &m->append_entries);
    }
    if (m->type == RAFT_REQUEST_VOTE)
        m->request_vote.candidate = str_dup(&s->arena, m->request_vote.candidate);
    if (m->type != RAFT_INSTALL_SNAPSHOT) return true;
    m->install_snapshot.leader = str_dup(&s->arena, m->install_snapshot.leader);
    m->install_snapshot.configuration =
        arena_copy(&s->arena, m->install_snapshot.configuration, sizeof(struct raft_configuration));
    if (n->disk.snapshot.index != m->install_snapshot.last_log_index) return false;
    c->snapshot = arena_copy(&s->arena, &n->disk.snapshot, sizeof n->disk.snapshot);
    return true;
}

static void respond(struct sim *s, int node, const struct raft_message *m)
{
    struct call *c = s->calls[m->rpc - 1];
    ensure(c->to == node);
    if (lost(s, node, c->from)) return;
    struct raft_message *copy = arena_copy(&s->arena, m, sizeof *m);
    int copies = prng_chance(&s->prng, s->weather.duplicate, 10000) ? 2 : 1;
    while (copies--)
        sim_at(s, delay(s), EVENT_RESPONSE, c->from, m->rpc, copy);
}

void network_send(struct sim *s, int node, const struct raft_message *m)
{
    invariant_sent(s, node, m);
    if (m->type >= RAFT_APPEND_ENTRIES_RESPONSE) {
        respond(s, node, m);
        return;
    }
    int to = node_of(s, m->peer_id);
    ensure(to >= 0);
    struct call *c = call_add(s, node, to, m);
    uint64_t token = s->calls_n;
    uint64_t patience = m->type == RAFT_INSTALL_SNAPSHOT ? 3000 : 1000;
    if (!complete(s, &s->nodes[node], c)) {
        sim_at(s, 1, EVENT_CALL_OVER, node, token, c);
        return;
    }
    if (!s->nodes[to].alive && !s->cut[node][to]) patience = 5; /* refused */
    sim_at(s, patience, EVENT_CALL_OVER, node, token, NULL);
    if (m->channel == RAFT_CHANNEL_PIPELINE) {
        uint64_t d;
        if (stream_delay(s, node, to, &d)) sim_at(s, d, EVENT_REQUEST, to, token, NULL);
        return;
    }
    if (lost(s, node, to)) return;
    int copies = prng_chance(&s->prng, s->weather.duplicate, 10000) ? 2 : 1;
    while (copies--)
        sim_at(s, delay(s), EVENT_REQUEST, to, token, NULL);
}

void network_request(struct sim *s, const struct event *e)
{
    struct call *c = s->calls[e->a - 1];
    struct node *n = &s->nodes[c->to];
    if (c->m.type == RAFT_PROBE) {
        struct raft_message m = { .type = RAFT_PROBE_RESPONSE, .rpc = e->a };
        respond(s, c->to, &m);
        return;
    }
    if (c->m.type == RAFT_APPEND_ENTRIES && !c->m.append_entries.heartbeat)
        sim_trace(s, c->to, "gets %zu entries after %llu from node %d", c->m.append_entries.n,
            (unsigned long long)c->m.append_entries.prev_index, c->from);
    if (c->snapshot && !n->installing) n->incoming = *c->snapshot;
    node_step(s, c->to, &(struct raft_event){ .type = RAFT_RECEIVE, .message = &c->m });
}

void network_response(struct sim *s, const struct event *e)
{
    struct call *c = s->calls[e->a - 1];
    if (c->from_life != s->nodes[c->from].life) return;
    struct raft_message m = *(struct raft_message *)e->p;
    m.rpc = c->rpc;
    m.peer_id = s->nodes[c->to].id;
    c->resolved = true;
    if (c->m.type == RAFT_APPEND_ENTRIES && !m.append_entries_response.success)
        sim_trace(s, c->from, "refused by node %d, last %llu", c->to,
            (unsigned long long)m.append_entries_response.last_log);
    node_step(s, c->from, &(struct raft_event){ .type = RAFT_RECEIVE, .message = &m });
}

void network_call_over(struct sim *s, const struct event *e)
{
    struct call *c = s->calls[e->a - 1];
    if (c->resolved || c->from_life != s->nodes[c->from].life) return;
    c->resolved = true;
    struct raft_event ev = { .type = RAFT_RPC_FAILED,
        .rpc_failed = { s->nodes[c->to].id, c->rpc, e->p != NULL } };
    node_step(s, c->from, &ev);
}
