/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#define PORT 8301
#define CHECK_EVERY (100 * MS)

struct gossip_address node_address(uint32_t i)
{
    uint8_t ip[4] = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
    struct gossip_address a;
    ensure(gossip_address_set(&a, (struct str){ (const char *)ip, 4 }, PORT));
    return a;
}

static void notice(struct peer *n, const struct serf_notice *notice)
{
    if (notice->type == SERF_USER_EVENT) n->events++;
    if (notice->type == SERF_QUERIED) n->queries++;
    if (notice->type == SERF_ANSWER && notice->answer.ack) n->acks++;
    if (notice->type == SERF_MEMBER_FAILED) n->failures_told++;
    if (notice->type == SERF_RESULT && notice->result.handle == 9 && notice->result.code == 0)
        n->left = true;
}

static void carry_out(struct sim *s, uint32_t i, const struct serf_output *out)
{
    struct peer *n = &s->node[i];
    for (size_t k = 0; k < out->swim.packets_n; k++)
        network_packet(s, i, &out->swim.packets[k]);
    for (size_t k = 0; k < out->swim.streams_n; k++)
        network_stream(s, i, &out->swim.streams[k]);
    for (size_t k = 0; k < out->notices_n; k++)
        notice(n, &out->notices[k]);
    if (out->wake_ms == SWIM_NEVER) return;
    uint64_t at = out->wake_ms * MS > s->now ? out->wake_ms * MS : s->now;
    if (at == n->tick_at && at > s->now) return;
    n->tick_at = at;
    network_post(s, PARCEL_TICK, i, at);
}

void node_give(struct sim *s, uint32_t i, const struct serf_event *ev)
{
    struct serf_output out;
    ensure(s->node[i].running);
    (void)serf_step(s->node[i].serf, s->now / MS, ev, &out);
    carry_out(s, i, &out);
}

static void deliver(struct sim *s, const struct parcel *p)
{
    struct peer *n = &s->node[p->to];
    if (!n->running || n->stalled) return;
    if (p->kind == PARCEL_TICK) {
        if (p->at != n->tick_at) return;
        n->tick_at = 0;
        node_give(s, p->to, &(struct serf_event){ .type = SERF_TICK });
        return;
    }
    static const enum swim_event_type types[] = { [PARCEL_PACKET] = SWIM_PACKET,
        [PARCEL_ACCEPTED] = SWIM_ACCEPTED,
        [PARCEL_CONNECTED] = SWIM_CONNECTED,
        [PARCEL_DATA] = SWIM_STREAM_DATA,
        [PARCEL_ENDED] = SWIM_STREAM_ENDED };
    struct serf_event ev = { .type = SERF_SWIM };
    ev.swim.type = types[p->kind];
    ev.swim.at_us = s->now;
    if (p->kind == PARCEL_PACKET) {
        ev.swim.packet.from = p->from;
        ev.swim.packet.bytes = (struct str){ p->bytes, p->n };
    } else {
        ev.swim.stream.id = p->stream;
        ev.swim.stream.from = p->from;
        ev.swim.stream.bytes = (struct str){ p->bytes, p->n };
    }
    node_give(s, p->to, &ev);
}

bool sim_run(struct sim *s, uint64_t until, bool (*done)(const struct sim *s, void *ctx), void *ctx)
{
    uint64_t check = s->now;
    while (s->now < until) {
        struct parcel p;
        uint64_t stop = done && check < until ? check : until;
        while (network_take(s, stop, &p)) {
            if (p.at > s->now) s->now = p.at;
            deliver(s, &p);
            free(p.bytes);
        }
        s->now = stop;
        if (done && done(s, ctx)) return true;
        check = s->now + CHECK_EVERY;
    }
    return false;
}

/* --- life ---------------------------------------------------------------------------------- */

void node_start(struct sim *s, uint32_t i)
{
    struct peer *n = &s->node[i];
    struct arena a = ARENA_INIT;
    struct serf_options o = serf_options_lan();
    struct error err;
    snprintf(n->name, sizeof n->name, "node-%u", i);
    o.swim.name = str_of(n->name);
    o.swim.advertise = node_address(i);
    o.swim.bind_port = PORT;
    o.swim.seed = prng_next(&s->prng);
    o.swim.compression = false;
    o.self_preservation = true;
    dict_set_str(&a, &o.tags, STR("role"), STR("node"));
    dict_set_str(&a, &o.tags, STR("dc"), STR("dc1"));
    dict_set_str(&a, &o.tags, STR("id"), STR("992a722d-9e31-0157-a114-f11aaaaf2f09"));
    n->serf = serf_create(&o, &err);
    ensure(n->serf);
    n->running = true;
    ensure(serf_start(n->serf, s->now / MS, &err) == 0);
    struct serf_output out;
    serf_collect(n->serf, &out);
    carry_out(s, i, &out);
    arena_free(&a);
}

void node_kill(struct sim *s, uint32_t i)
{
    struct peer *n = &s->node[i];
    if (n->running) serf_destroy(n->serf);
    n->serf = NULL;
    n->running = false;
}

void node_resume(struct sim *s, uint32_t i)
{
    s->node[i].stalled = false;
    node_give(s, i, &(struct serf_event){ .type = SERF_TICK });
}

void node_join(struct sim *s, uint32_t i, uint32_t to)
{
    struct serf_join_address a = { .address = node_address(to) };
    struct serf_event ev = { .type = SERF_JOIN };
    ev.join.handle = 1;
    ev.join.v = &a;
    ev.join.n = 1;
    ev.join.ignore_old = true;
    node_give(s, i, &ev);
}

enum serf_status node_sees(const struct sim *s, uint32_t at, uint32_t of)
{
    const struct serf_member *m = serf_find(s->node[at].serf, str_of(s->node[of].name));
    return m ? m->status : SERF_NONE;
}

struct sim *sim_create(uint64_t seed, uint32_t nodes, uint32_t loss)
{
    struct sim *s = xcalloc(1, sizeof *s);
    s->now = 1 * SECOND;
    s->loss = loss;
    s->n = nodes;
    s->next_accepted = 1;
    s->node = xcalloc(nodes, sizeof *s->node);
    prng_seed(&s->prng, seed);
    return s;
}

void sim_destroy(struct sim *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        node_kill(s, i);
    for (size_t i = 0; i < s->heap_n; i++)
        free(s->heap[i].bytes);
    free(s->heap);
    free(s->connections);
    free(s->node);
    free(s);
}
