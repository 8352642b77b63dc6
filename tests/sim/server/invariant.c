/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold besides the history: one leader in a term, one entry at a committed index, and at
 * the end the same state everywhere. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "sim.h"

typedef unsigned long long ull;

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (s->failed) return;
    s->failed = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->failure, sizeof s->failure, fmt, ap);
    va_end(ap);
}

void sim_trace(struct sim *s, int node, const char *fmt, ...)
{
    if (!s->trace) return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%6llu ", (ull)s->now);
    fprintf(stderr, node < 0 ? "world  " : "node %d ", node);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* With a fault on purpose the history alone shall show it. */
static bool watched(const struct sim *s)
{
    return s->wrong == WRONG_NOTHING;
}

void invariant_leader(struct sim *s, int node, const struct raft_driver_state *st)
{
    if (!watched(s)) return;
    if (st->term >= sizeof s->leader_of / sizeof s->leader_of[0]) {
        sim_fail(s, "term %llu: elections run away", (ull)st->term);
        return;
    }
    int *leader = &s->leader_of[st->term];
    s->counts.leaders += *leader == 0;
    if (*leader && *leader != node + 1)
        sim_fail(s, "election safety: nodes %d and %d lead in term %llu", *leader - 1, node,
            (ull)st->term);
    *leader = node + 1;
}

/* The first configuration names the servers in an order of each one's own. */
static uint64_t entry_hash(const struct raft_entry *e)
{
    uint64_t h = e->index == 1 ? 1 : hash_content(e->data.p, e->data.n);
    return (h ^ e->term * 0x9E3779B97F4A7C15ull ^ (uint64_t)e->type << 56) | 1;
}

static void check_entry(struct sim *s, struct sim_node *n, uint64_t index)
{
    struct arena a = ARENA_INIT;
    struct raft_entry e;
    struct error err;
    if (raft_driver_entry(n->raft, index, &a, &e, &err) == 0) {
        uint64_t hash = entry_hash(&e), *known = &s->committed[index];
        if (*known && *known != hash)
            sim_fail(s, "nothing lost: node %d commits another entry %llu", n->number, (ull)index);
        *known = hash;
    }
    arena_free(&a);
}

void invariant_committed(struct sim *s, struct sim_node *n)
{
    if (!n->raft || n->disk.dead || !watched(s)) return;
    struct raft_driver_state st = raft_driver_state(n->raft);
    if (st.commit_index < n->commit_seen)
        sim_fail(s, "node %d takes its commit back to %llu", n->number, (ull)st.commit_index);
    if (st.commit_index <= n->commit_seen) return;
    if (st.commit_index >= s->committed_cap) {
        uint64_t cap = 2 * (st.commit_index + 1024);
        s->committed = xrealloc(s->committed, cap * sizeof *s->committed);
        memset(s->committed + s->committed_cap, 0, (cap - s->committed_cap) * sizeof *s->committed);
        s->committed_cap = cap;
    }
    uint64_t from =
        n->commit_seen > st.last_snapshot_index ? n->commit_seen : st.last_snapshot_index;
    for (uint64_t i = from + 1; i <= st.commit_index && !s->failed; i++)
        check_entry(s, n, i);
    n->commit_seen = st.commit_index;
}

/* --- convergence ------------------------------------------------------------------------------ */

static uint64_t keys_hash(struct sim_node *n)
{
    struct arena a = ARENA_INIT;
    struct list entries = { 0 };
    struct store_read *rd = store_read(n->store);
    store_kv_list(rd, NULL, STR(""), &a, &entries);
    struct buf text = BUF_INIT((size_t)64 << 20);
    json_encode(&type_dir_entry_list, &entries, false, &text);
    uint64_t h = hash_content(text.p, text.n);
    buf_deinit(&text);
    arena_free(&a);
    return h;
}

enum { QUERIES = 9 };

/* The indexes of answers, of things that are there and that are not. */
static void indexes_of(struct sim_node *n, uint64_t out[QUERIES])
{
    struct arena a = ARENA_INIT;
    struct list found = { 0 };
    struct dict services = { 0 };
    struct dir_entry e;
    bool there;
    struct store_read *rd = store_read(n->store);
    out[0] = store_kv_list(rd, NULL, STR(""), &a, &found);
    out[1] = store_kv_get(rd, NULL, STR("k0"), &a, &e, &there);
    out[2] = store_kv_get(rd, NULL, STR("none"), &a, &e, &there);
    out[3] = store_nodes(rd, NULL, NULL, &a, &(struct list){ 0 });
    out[4] = store_services(rd, NULL, NULL, &a, &services);
    out[5] = store_check_service_nodes(rd, NULL, STR("consul"), NULL, &a, &(struct list){ 0 });
    out[6] = store_check_service_nodes(rd, NULL, STR("none"), NULL, &a, &(struct list){ 0 });
    out[7] = store_checks_in_state(rd, NULL, STR("any"), NULL, &a, &(struct list){ 0 });
    out[8] = store_sessions(rd, NULL, &a, &(struct list){ 0 });
    arena_free(&a);
}

static bool same_indexes(struct sim *s, struct sim_node *n, struct sim_node *leader)
{
    uint64_t one[QUERIES], other[QUERIES];
    indexes_of(n, one);
    indexes_of(leader, other);
    for (int i = 0; i < QUERIES; i++) {
        if (one[i] == other[i]) continue;
        sim_fail(s, "query %d has index %llu on node %d, %llu on leader %d", i, (ull)one[i],
            n->number, (ull)other[i], leader->number);
        return false;
    }
    return true;
}

bool converged(struct sim *s, char *why, size_t k)
{
    int leader = sim_leader(s);
    if (leader < 0) return snprintf(why, k, "nobody leads"), false;
    struct sim_node *l = &s->nodes[leader];
    struct raft_driver_state st = raft_driver_state(l->raft);
    if (st.servers_n != (size_t)s->nodes_n || st.configuration_pending)
        return snprintf(
                   why, k, "%zu of %d servers are in the configuration", st.servers_n, s->nodes_n),
               false;
    for (int i = 0; i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (!n->up) return snprintf(why, k, "node %d is down", i), false;
        struct raft_driver_state own = raft_driver_state(n->raft);
        if (own.applied_index != st.applied_index || own.term != st.term)
            return snprintf(why, k, "node %d has applied %llu, leader %d %llu", i,
                       (ull)own.applied_index, leader, (ull)st.applied_index),
                   false;
        if (keys_hash(n) != keys_hash(l)) {
            sim_fail(s, "node %d holds other keys than leader %d at index %llu", i, leader,
                (ull)st.applied_index);
            return false;
        }
        if (!same_indexes(s, n, l)) return false;
    }
    return true;
}
