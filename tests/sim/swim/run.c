/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

struct sim *sim_create(const struct sim_options *o)
{
    struct sim *s = xcalloc(1, sizeof *s);
    s->o = *o;
    s->now = SECOND;
    s->nodes = xcalloc(o->nodes, sizeof *s->nodes);
    prng_seed(&s->prng, o->seed);
    return s;
}

void sim_destroy(struct sim *s)
{
    for (size_t i = 0; i < s->heap_n; i++)
        free(s->heap[i].bytes);
    for (size_t i = 0; i < s->o.nodes; i++)
        swim_destroy(s->nodes[i].swim);
    map_deinit(&s->false_deaths);
    free(s->heap);
    free(s->nodes);
    free(s->pipes);
    free(s);
}

/* A stalled node gets nothing now; when it runs again its timers come before its packets. */
static bool held_back(struct sim *s, struct event *e)
{
    const struct node *n = &s->nodes[e->node];
    if (s->now >= n->stalled_until) return false;
    e->at = n->stalled_until;
    if (e->kind == EV_TICK) e->order = 0;
    sim_push(s, e);
    return true;
}

bool sim_run(struct sim *s, uint64_t until, sim_condition done)
{
    uint64_t ask = s->now;
    while (s->heap_n > 0 && s->heap[0].at <= until) {
        if (done && s->heap[0].at >= ask) {
            if (done(s)) return true;
            ask = s->heap[0].at + SECOND / 20;
        }
        struct event e = sim_pop(s);
        s->now = e.at;
        if (held_back(s, &e)) continue;
        node_deliver(s, &e);
        free(e.bytes);
    }
    s->now = until;
    return done && done(s);
}

size_t sim_running(const struct sim *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->o.nodes; i++)
        n += s->nodes[i].up && !swim_leaving(s->nodes[i].swim);
    return n;
}

static bool sees_exactly(const struct sim *s, const struct swim *swim)
{
    for (size_t i = 0; i < swim_count(swim); i++) {
        const struct swim_node *m = swim_at(swim, i);
        uint64_t index = 0;
        if (!str_to_u64(str_slice(m->name, 1, m->name.n), &index)) return false;
        const struct node *about = &s->nodes[index];
        bool running = about->up && !swim_leaving(about->swim);
        bool seen = m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
        if (running != seen) return false;
    }
    return true;
}

bool sim_agrees(struct sim *s)
{
    size_t running = sim_running(s);
    for (size_t i = 0; i < s->o.nodes; i++) {
        const struct node *n = &s->nodes[i];
        if (!n->up || swim_leaving(n->swim)) continue;
        if (swim_count_alive(n->swim) != running) return false;
    }
    for (size_t i = 0; i < s->o.nodes; i++) {
        const struct node *n = &s->nodes[i];
        if (n->up && !swim_leaving(n->swim) && !sees_exactly(s, n->swim)) return false;
    }
    return true;
}
