/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals, reads, membership changes and transfers; every one is answered exactly once. */
#include <string.h>

#include "sim.h"

uint64_t client_add(struct sim *s, enum client_kind kind, int node)
{
    if (s->clients_n == s->clients_cap) {
        s->clients_cap = s->clients_cap ? s->clients_cap * 2 : 256;
        s->clients = xrealloc(s->clients, s->clients_cap * sizeof *s->clients);
    }
    s->clients[s->clients_n++] = (struct client){
        .kind = kind, .node = node, .life = s->nodes[node].life, .floor = s->acked_index
    };
    return s->clients_n;
}

static struct client *answered(struct sim *s, uint64_t handle)
{
    ensure(handle && handle <= s->clients_n);
    struct client *c = &s->clients[handle - 1];
    if (c->answers++) sim_fail(s, "request %llu answered twice", (unsigned long long)handle);
    if (c->life != s->nodes[c->node].life)
        sim_fail(s, "request %llu answered by a later life", (unsigned long long)handle);
    return c;
}

void client_result(struct sim *s, const struct raft_result *r)
{
    struct client *c = answered(s, r->handle);
    if (r->status != RAFT_DONE) return;
    if (c->kind == CLIENT_VERIFY) {
        s->reads++;
        if (r->index < c->floor)
            sim_fail(s, "stale read: node %d confirms %llu after %llu was acknowledged", c->node,
                (unsigned long long)r->index, (unsigned long long)c->floor);
    } else if (c->kind == CLIENT_TRANSFER) {
        s->transfers++;
    } else {
        sim_fail(s, "proposal answered as done by a result");
    }
}

void client_applied(struct sim *s, int node, uint64_t handle, uint64_t index)
{
    struct client *c = answered(s, handle);
    c->acked = true;
    c->index = index;
    if (c->kind == CLIENT_CHANGE) s->changes++;
    s->acks++;
    if (index > s->acked_index) s->acked_index = index;
    invariant_acked(s, node, index);
}

void client_propose(struct sim *s, int node, size_t n)
{
    struct raft_proposal v[16];
    char bytes[16][48];
    ensure(n <= 16);
    for (size_t i = 0; i < n; i++) {
        size_t size = 8 + (size_t)prng_below(&s->prng, 40);
        uint64_t command = ++s->commands;
        memset(bytes[i], 'x', sizeof bytes[i]);
        memcpy(bytes[i], &command, sizeof command);
        bool barrier = prng_chance(&s->prng, 1, 20);
        v[i] = (struct raft_proposal){ .handle = client_add(s, CLIENT_PROPOSAL, node),
            .type = barrier ? RAFT_BARRIER : RAFT_COMMAND };
        if (!barrier) v[i].data = (struct str){ bytes[i], size };
    }
    node_step(s, node, &(struct raft_event){ .type = RAFT_PROPOSE, .propose = { v, n } });
}

static int some_leader(struct sim *s)
{
    int first = (int)prng_below(&s->prng, (uint64_t)s->nodes_n);
    for (int i = 0; i < s->nodes_n; i++) {
        int k = (first + i) % s->nodes_n;
        const struct node *n = &s->nodes[k];
        if (n->alive && n->role_seen == RAFT_LEADER && n->paused_until <= s->now) return k;
    }
    return -1;
}

static void change(struct sim *s, int leader)
{
    struct raft_state st;
    raft_get_state(s->nodes[leader].raft, &st);
    size_t voters = 0;
    for (size_t i = 0; i < st.latest->n; i++)
        voters += st.latest->servers[i].suffrage == RAFT_VOTER;
    const struct node *n = &s->nodes[prng_below(&s->prng, (uint64_t)s->nodes_n)];
    enum raft_change_type type = (enum raft_change_type)prng_below(&s->prng, 4);
    bool shrinks = type == RAFT_REMOVE || type == RAFT_DEMOTE;
    if (shrinks && (voters <= 2 || prng_chance(&s->prng, 1, 2))) type = RAFT_ADD_VOTER;
    struct raft_event ev = { .type = RAFT_CHANGE,
        .change = {
            type, str_of(n->id), str_of(n->address), client_add(s, CLIENT_CHANGE, leader) } };
    node_step(s, leader, &ev);
}

void client_act(struct sim *s)
{
    int node = some_leader(s);
    if (node < 0 || prng_chance(&s->prng, 1, 30))
        node = (int)prng_below(&s->prng, (uint64_t)s->nodes_n);
    if (!s->nodes[node].alive || s->nodes[node].paused_until > s->now) return;
    uint64_t dice = prng_below(&s->prng, 1000);
    if (s->calm || dice < 700) {
        client_propose(s, node, 1 + (size_t)prng_below(&s->prng, dice % 10 ? 3 : 16));
    } else if (dice < 900) {
        struct raft_event ev = { .type = RAFT_VERIFY,
            .verify = { client_add(s, CLIENT_VERIFY, node) } };
        node_step(s, node, &ev);
    } else if (dice < 900 + s->weather.member) {
        change(s, node);
    } else if (dice >= 960 && dice < 960 + s->weather.transfer) {
        struct raft_event ev = { .type = RAFT_TRANSFER,
            .transfer = { STR_NIL, client_add(s, CLIENT_TRANSFER, node) } };
        node_step(s, node, &ev);
    }
}
