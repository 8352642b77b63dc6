/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

static uint64_t now_ms(const struct sim *s)
{
    return s->now / 1000;
}

/* --- what a core says ------------------------------------------------------------------------ */

static void on_member(void *ctx, enum swim_member_event event, const struct swim_node *member)
{
    struct node *n = ctx;
    struct sim *s = n->sim;
    uint64_t index = 0;
    if (event != SWIM_DEPARTED) return;
    if (!str_to_u64(str_slice(member->name, 1, member->name.n), &index)) return;
    const struct node *about = &s->nodes[index];
    if (s->trace)
        printf("%.3f %s sees %.*s %s\n", (double)s->now / SECOND, n->name, STR_ARG(member->name),
            swim_state_name(member->state));
    bool really = !about->up || swim_leaving(about->swim) || s->expect_departures;
    if (really || swim_leaving(n->swim)) return; /* nobody tells one that has left */
    char key[32];
    s->false_departures++;
    snprintf(key, sizeof key, "%s/%u", about->name, member->incarnation);
    map_put(&s->false_deaths, str_of(key), s);
}

static struct str meta(void *ctx)
{
    static const char tags[SWIM_META_MAX];
    const struct node *n = ctx;
    return (struct str){ tags, n->sim->o.meta_size };
}

static void carry_out(struct sim *s, struct node *n, const struct swim_output *out)
{
    for (size_t i = 0; i < out->packets_n; i++)
        sim_send(s, n, &out->packets[i]);
    for (size_t i = 0; i < out->streams_n; i++)
        sim_stream(s, n, &out->streams[i]);
    for (size_t i = 0; i < out->results_n; i++) {
        n->results++;
        n->last_result = out->results[i].code;
    }
    if (out->wake_ms == SWIM_NEVER) return;
    uint64_t at = out->wake_ms * 1000 > s->now ? out->wake_ms * 1000 : s->now + 1;
    if (n->tick <= at && n->tick > s->now) return; /* an earlier one is queued */
    n->tick = at;
    sim_push(
        s, &(struct event){ .at = at, .order = ++s->order, .kind = EV_TICK, .node = n->index });
}

void node_step(struct sim *s, struct node *n, const struct swim_event *ev)
{
    struct swim_output out;
    struct swim_event timed = *ev;
    timed.at_us = s->now;
    s->steps++;
    int rc = swim_step(n->swim, now_ms(s), &timed, &out);
    if (rc == ERR_FULL) sim_stream_ended_at(s, n->index, ev->stream.id);
    carry_out(s, n, &out);
}

/* --- what reaches a core -----------------------------------------------------------------------
 */

static void step_stream(struct sim *s, struct node *n, const struct event *e)
{
    static const enum swim_event_type types[] = {
        [EV_ACCEPT] = SWIM_ACCEPTED,
        [EV_CONNECTED] = SWIM_CONNECTED,
        [EV_DATA] = SWIM_STREAM_DATA,
        [EV_ENDED] = SWIM_STREAM_ENDED,
    };
    struct swim_event ev = { .type = types[e->kind] };
    ev.stream.id = e->stream;
    ev.stream.from = sim_address(e->from);
    if (e->kind == EV_DATA) ev.stream.bytes = (struct str){ e->bytes, e->n };
    if (e->kind == EV_ENDED) {
        ev.stream.error = (struct str){ e->bytes, e->n };
        sim_stream_ended_at(s, n->index, e->stream);
    }
    node_step(s, n, &ev);
}

void node_deliver(struct sim *s, const struct event *e)
{
    struct node *n = &s->nodes[e->node];
    if (!n->up) return;
    switch (e->kind) {
    case EV_TICK:
        if (n->tick != e->at && n->stalled_until != s->now) return; /* superseded */
        n->tick = 0;
        node_step(s, n, &(struct swim_event){ .type = SWIM_TICK });
        break;
    case EV_PACKET: {
        struct swim_event ev = { .type = SWIM_PACKET };
        ev.packet.from = sim_address(e->from);
        ev.packet.bytes = (struct str){ e->bytes, e->n };
        node_step(s, n, &ev);
        break;
    }
    case EV_ACCEPT:
    case EV_CONNECTED:
    case EV_DATA:
    case EV_ENDED:
        step_stream(s, n, e);
        break;
    }
}

/* --- life ---------------------------------------------------------------------------------- */

void node_start(struct sim *s, uint32_t index)
{
    struct node *n = &s->nodes[index];
    struct error err;
    struct swim_output out;
    struct swim_options o = s->o.swim;
    snprintf(n->name, sizeof n->name, "n%05u", index);
    o.name = str_of(n->name);
    o.advertise = sim_address(index);
    o.bind_port = o.advertise.port;
    o.seed = prng_next(&s->prng);
    o.delegate.ctx = n;
    o.delegate.member = on_member;
    o.delegate.meta = meta;
    n->sim = s;
    n->index = index;
    n->swim = swim_create(&o);
    n->up = true;
    n->tick = 0;
    ensure(swim_start(n->swim, now_ms(s), &err) == 0);
    swim_collect(n->swim, &out);
    carry_out(s, n, &out);
}

void node_kill(struct sim *s, uint32_t index)
{
    s->nodes[index].up = false;
}

void node_join(struct sim *s, uint32_t index, uint32_t to)
{
    struct swim_event ev = { .type = SWIM_JOIN };
    ev.join.handle = 1;
    ev.join.address = sim_address(to);
    node_step(s, &s->nodes[index], &ev);
}

void node_leave(struct sim *s, uint32_t index)
{
    struct swim_event ev = { .type = SWIM_LEAVE };
    ev.leave.handle = 2;
    ev.leave.timeout_ms = 60000;
    node_step(s, &s->nodes[index], &ev);
}

void node_stall(struct sim *s, uint32_t index, uint64_t duration)
{
    s->nodes[index].stalled_until = s->now + duration;
}
