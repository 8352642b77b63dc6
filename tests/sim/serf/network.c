/* SPDX-License-Identifier: Apache-2.0 */
/* What is under way, in the order of its arrival. */
#include "network.h"

#define DELAY_MIN (200u)
#define DELAY_SPREAD (4 * MS)

static bool before(const struct parcel *a, const struct parcel *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

struct parcel *network_post(struct sim *s, enum parcel_kind kind, uint32_t to, uint64_t at)
{
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap ? 2 * s->heap_cap : 1024;
        s->heap = xrealloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    struct parcel p = { .at = at, .order = ++s->order, .kind = kind, .to = to };
    size_t i = s->heap_n++;
    for (; i > 0 && before(&p, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = p;
    return &s->heap[i];
}

bool network_take(struct sim *s, uint64_t until, struct parcel *out)
{
    if (s->heap_n == 0 || s->heap[0].at > until) return false;
    *out = s->heap[0];
    struct parcel last = s->heap[--s->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_n; i = child) {
        if (child + 1 < s->heap_n && before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!before(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
    }
    if (s->heap_n) s->heap[i] = last;
    return true;
}

static uint64_t arrival(struct sim *s)
{
    return s->now + DELAY_MIN + prng_below(&s->prng, DELAY_SPREAD);
}

static void fill(struct parcel *p, struct str bytes)
{
    p->n = bytes.n;
    p->bytes = xmalloc(bytes.n + 1);
    if (bytes.n) memcpy(p->bytes, bytes.p, bytes.n);
}

static uint32_t node_of(const struct gossip_address *a)
{
    return (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

static bool hears(const struct sim *s, uint32_t i)
{
    return i < s->n && s->node[i].running && !s->node[i].stalled;
}

void network_packet(struct sim *s, uint32_t from, const struct swim_packet *packet)
{
    uint32_t to = node_of(&packet->to);
    s->packets++;
    if (packet->bytes.n > s->largest) s->largest = packet->bytes.n;
    if (!hears(s, to) || prng_below(&s->prng, 1000) < s->loss) return;
    struct parcel *p = network_post(s, PARCEL_PACKET, to, arrival(s));
    p->from = node_address(from);
    fill(p, packet->bytes);
}

static struct connection *connection_add(struct sim *s)
{
    if (s->connections_n == s->connections_cap) {
        s->connections_cap = s->connections_cap ? 2 * s->connections_cap : 64;
        s->connections = xrealloc(s->connections, s->connections_cap * sizeof *s->connections);
    }
    return &s->connections[s->connections_n++];
}

static void dial(struct sim *s, uint32_t from, const struct swim_stream *stream)
{
    uint32_t to = node_of(&stream->to);
    if (!hears(s, to)) {
        network_post(s, PARCEL_ENDED, from, arrival(s))->stream = stream->id;
        return;
    }
    struct connection *c = connection_add(s);
    s->next_accepted += 2;
    *c = (struct connection){ from, to, stream->id, s->next_accepted };
    uint64_t accepted = c->accepted, at = arrival(s);
    network_post(s, PARCEL_CONNECTED, from, at)->stream = stream->id;
    struct parcel *p = network_post(s, PARCEL_ACCEPTED, to, at);
    p->stream = accepted;
    p->from = node_address(from);
    p = network_post(s, PARCEL_DATA, to, at + 1);
    p->stream = accepted;
    fill(p, stream->bytes);
}

void network_stream(struct sim *s, uint32_t from, const struct swim_stream *stream)
{
    if (stream->action == SWIM_DIAL) {
        dial(s, from, stream);
        return;
    }
    for (size_t i = 0; i < s->connections_n; i++) {
        struct connection c = s->connections[i];
        bool dialed = c.dialer == from && c.dialed == stream->id;
        if (!dialed && (c.acceptor != from || c.accepted != stream->id)) continue;
        uint32_t to = dialed ? c.acceptor : c.dialer;
        uint64_t id = dialed ? c.accepted : c.dialed, at = arrival(s);
        if (stream->action == SWIM_WRITE) {
            struct parcel *p = network_post(s, PARCEL_DATA, to, at);
            p->stream = id;
            fill(p, stream->bytes);
            network_post(s, PARCEL_ENDED, from, at + 1)->stream = stream->id;
        }
        network_post(s, PARCEL_ENDED, to, at + 1)->stream = id;
        s->connections[i] = s->connections[--s->connections_n];
        return;
    }
}
