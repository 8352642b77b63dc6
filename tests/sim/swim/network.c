/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#define PORT 8301

struct gossip_address sim_address(uint32_t index)
{
    uint32_t v = index + 1;
    return (struct gossip_address){
        .ip = { 10, (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v }, .ip_n = 4, .port = PORT
    };
}

/* NULL if there is no such host. */
static struct node *host(struct sim *s, const struct gossip_address *a)
{
    uint32_t v = (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
    if (a->ip_n != 4 || a->ip[0] != 10 || a->port != PORT || v == 0) return NULL;
    return v <= s->o.nodes ? &s->nodes[v - 1] : NULL;
}

static uint64_t delay(struct sim *s)
{
    return s->o.delay_min + prng_below(&s->prng, s->o.delay_max - s->o.delay_min + 1);
}

/* Streams lose nothing, but a lost segment costs the time of sending it again. */
static uint64_t stream_delay(struct sim *s, uint64_t again)
{
    bool lost = s->o.loss && prng_below(&s->prng, 1000) < 2 * s->o.loss;
    return delay(s) + (lost ? again : 0);
}

static void queue(struct sim *s, struct event e, struct str bytes)
{
    e.order = ++s->order;
    if (bytes.n) {
        e.bytes = xmalloc(bytes.n);
        memcpy(e.bytes, bytes.p, bytes.n);
        e.n = bytes.n;
    }
    sim_push(s, &e);
}

void sim_send(struct sim *s, struct node *from, const struct swim_packet *p)
{
    struct node *to = host(s, &p->to);
    s->packets++;
    bool lost = !to || !to->up || to->group != from->group ||
                prng_below(&s->prng, 1000) < s->o.loss ||
                (to->loss_in && prng_below(&s->prng, 1000) < to->loss_in);
    if (lost) {
        s->lost++;
        return;
    }
    struct event e = {
        .at = s->now + delay(s), .kind = EV_PACKET, .node = to->index, .from = from->index
    };
    queue(s, e, p->bytes);
}

/* --- streams --------------------------------------------------------------------------------- */

static struct pipe *pipe_of(struct sim *s, uint32_t node, uint64_t id, int *side)
{
    for (size_t i = s->pipes_n; i-- > 0;) {
        for (*side = 0; *side < 2; ++*side) {
            struct pipe *p = &s->pipes[i];
            if (p->node[*side] == node && p->id[*side] == id) return p;
        }
    }
    return NULL;
}

static void pipe_drop_closed(struct sim *s)
{
    while (s->pipes_n > 0 && !s->pipes[s->pipes_n - 1].open[0] && !s->pipes[s->pipes_n - 1].open[1])
        s->pipes_n--;
    for (size_t i = 0; i < s->pipes_n; i++)
        if (!s->pipes[i].open[0] && !s->pipes[i].open[1]) s->pipes[i--] = s->pipes[--s->pipes_n];
}

void sim_stream_ended_at(struct sim *s, uint32_t node, uint64_t id)
{
    int side;
    struct pipe *p = pipe_of(s, node, id, &side);
    if (p) p->open[side] = false;
    pipe_drop_closed(s);
}

static void dial(struct sim *s, struct node *from, const struct swim_stream *p)
{
    struct node *to = host(s, &p->to);
    uint64_t arrival = s->now + delay(s) + stream_delay(s, SECOND);
    if (to && to->up && to->group != from->group) return; /* no answer at all */
    if (!to || !to->up) {
        struct event e = { .at = arrival, .kind = EV_ENDED, .node = from->index, .stream = p->id };
        queue(s, e, STR("connection refused"));
        return;
    }
    if (s->pipes_n == s->pipes_cap) {
        s->pipes_cap = s->pipes_cap ? 2 * s->pipes_cap : 64;
        s->pipes = xrealloc(s->pipes, s->pipes_cap * sizeof *s->pipes);
    }
    struct pipe *pipe = &s->pipes[s->pipes_n++];
    *pipe =
        (struct pipe){ { from->index, to->index }, { p->id, 2 * ++s->order + 1 }, { true, true } };
    struct event accept = { .at = arrival,
        .kind = EV_ACCEPT,
        .node = to->index,
        .from = from->index,
        .stream = pipe->id[1] };
    struct event connected = {
        .at = arrival, .kind = EV_CONNECTED, .node = from->index, .stream = p->id
    };
    struct event data = {
        .at = arrival, .kind = EV_DATA, .node = to->index, .stream = pipe->id[1]
    };
    queue(s, connected, STR_NIL);
    queue(s, accept, STR_NIL);
    queue(s, data, p->bytes);
}

static void to_other_side(struct sim *s, struct node *from, const struct swim_stream *a)
{
    int side;
    struct pipe *p = pipe_of(s, from->index, a->id, &side);
    if (!p) return;
    p->open[side] = false;
    struct node *peer = &s->nodes[p->node[!side]];
    if (!p->open[!side] || !peer->up || peer->group != from->group) {
        p->open[!side] = false;
        return;
    }
    struct event e = { .at = s->now + stream_delay(s, SECOND / 5),
        .kind = EV_DATA,
        .node = peer->index,
        .stream = p->id[!side] };
    if (a->bytes.n) queue(s, e, a->bytes);
    e.kind = EV_ENDED;
    queue(s, e, STR_NIL);
}

void sim_stream(struct sim *s, struct node *from, const struct swim_stream *a)
{
    switch (a->action) {
    case SWIM_DIAL:
        dial(s, from, a);
        break;
    case SWIM_WRITE:
    case SWIM_CLOSE:
        to_other_side(s, from, a);
        break;
    }
}
