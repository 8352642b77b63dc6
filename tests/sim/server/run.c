/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../world/scratch.h"
#include "consuld/model.h"
#include "sim.h"

#define BEGIN_MS 60000 /* for the first leader */
#define BUDGET 3000000 /* configurations of a history */

static void set_up(struct sim *s)
{
    for (int i = 0; i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        n->sim = s;
        n->number = i;
        snprintf(n->name, sizeof n->name, "node-%d", i);
        snprintf(n->id, sizeof n->id, "00000000-0000-0000-0000-%012d", i);
        snprintf(n->ip, sizeof n->ip, "10.0.0.%d", i + 1);
        snprintf(n->address, sizeof n->address, "10.0.0.%d:8300", i + 1);
        n->folder = scratch_create();
        snprintf(n->data, sizeof n->data, "%.4000s/life-1", n->folder);
        mkdir(n->data, 0700);
        if (i < s->initial_n) node_start(n);
    }
}

static void begin(struct sim *s)
{
    for (uint64_t end = s->now + BEGIN_MS; !s->failed && s->now < end && sim_leader(s) < 0;)
        sim_until(s, s->now + 250);
    if (sim_leader(s) < 0) sim_fail(s, "no first leader after %d ms", BEGIN_MS);
}

static void live(struct sim *s)
{
    char why[256] = "";
    fault_end(s);
    uint64_t acked = s->counts.acked, end = s->now + LIVENESS_MS;
    while (!s->failed && s->now < end) {
        sim_until(s, s->now + 500);
        if (!s->failed && s->counts.acked > acked + 5 && converged(s, why, sizeof why)) return;
    }
    sim_fail(s, "liveness: %s after %d ms without faults", why[0] ? why : "no write accepted",
        LIVENESS_MS);
}

static void check_history(struct sim *s)
{
    struct linear_report r;
    struct linear_call *calls = s->history;
    size_t n = 0;
    for (size_t i = 0; i < s->history_n; i++)
        if (calls[i].kind != LINEAR_READ || calls[i].ended != LINEAR_NEVER) calls[n++] = calls[i];
    enum linear_verdict v = linear_check(calls, n, BUDGET, &r);
    if (v == LINEAR_YES) return;
    if (s->trace) linear_print(&r, v);
    sim_fail(s, "the history of %s %s", r.key,
        v == LINEAR_NO ? "is not linearizable" : "cannot be decided");
}

struct sim *sim_open(const struct sim_options *o)
{
    struct sim *s = xcalloc(1, sizeof *s);
    s->seed = o->seed;
    s->trace = o->trace;
    s->wrong = o->wrong;
    s->calm = true;
    s->initial_n = o->nodes;
    s->nodes_n = o->nodes + (int)(o->seed % 3 == 0); /* one more may join later */
    s->weather = (struct weather){ .delay_ms = 3, .disk_ms = 3, .client_ms = 100 };
    prng_seed(&s->prng, o->seed * 8 + (uint64_t)o->nodes);
    link_init(&s->conns);
    set_up(s);
    if (!s->failed) begin(s);
    return s;
}

struct sim *sim_run(const struct sim_options *o)
{
    struct sim *s = sim_open(o);
    if (!s->failed) {
        clients_start(s);
        fault_begin(s);
        for (int i = s->initial_n; i < s->nodes_n; i++)
            node_start_later(&s->nodes[i], prng_below(&s->prng, SAFETY_MS / 2));
        sim_until(s, s->now + SAFETY_MS);
    }
    if (!s->failed) live(s);
    if (!s->failed || s->wrong) check_history(s);
    return s;
}

void sim_free(struct sim *s)
{
    s->calm = true;
    for (int i = 0; i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        node_stop(n, CRASH_NONE);
        scratch_destroy(n->folder);
    }
    clients_free(s);
    packets_free(s);
    streams_free(s);
    free(s->heap);
    free(s->committed);
    free(s);
}
