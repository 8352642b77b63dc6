/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams: delayed, lost, doubled, out of order. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define DATAGRAM_MAX 65507

struct packet_socket {
    struct link link;
    struct world *world;
    struct packet_options opts;
    struct packet_counters counters;
};

struct datagram {
    int from;
    uint16_t from_port, port;
    size_t n;
    char bytes[];
};

int packet_socket_open(struct world *w, const struct packet_options *opts,
    struct packet_socket **out, struct error *err)
{
    struct packet_socket *s = xcalloc(1, sizeof *s);
    (void)err;
    s->world = w;
    s->opts = *opts;
    link_init(&s->link);
    link_push(&w->sockets, &s->link);
    *out = s;
    return 0;
}
uint16_t packet_socket_port(const struct packet_socket *s)
{
    return s->opts.port;
}
struct packet_counters packet_socket_counters(const struct packet_socket *s)
{
    return s->counters;
}
void packet_socket_close(struct packet_socket *s)
{
    link_remove(&s->link);
    free(s);
}

static void arrive(struct sim *s, struct event *e)
{
    struct datagram *d = e->p;
    struct sim_node *n = &s->nodes[e->a];
    uint8_t ip[4];
    ensure(inet_pton(AF_INET, s->nodes[d->from].ip, ip) == 1);
    bool passes = n->up && n->paused_until <= s->now && !s->cut[d->from][n->number];
    struct link *l = passes ? n->world.sockets.next : &n->world.sockets;
    while (passes && l != &n->world.sockets) {
        struct packet_socket *to = container_of(l, struct packet_socket, link);
        l = l->next;
        if (to->opts.port != d->port) continue;
        to->counters.received++;
        n->world.touched = true;
        to->opts.receive(to->opts.ctx, (struct str){ (const char *)ip, 4 }, d->from_port,
            (struct str){ d->bytes, d->n }, world_now_us(&n->world));
        break;
    }
    free(d);
}

static void launch(struct packet_socket *from, int to, uint16_t port, struct str bytes)
{
    struct sim *s = from->world->sim;
    struct datagram *d = xcalloc(1, sizeof *d + bytes.n);
    d->from = from->world->node;
    d->from_port = from->opts.port;
    d->port = port;
    d->n = bytes.n;
    memcpy(d->bytes, bytes.p, bytes.n);
    sim_at(s, 1 + prng_below(&s->prng, s->weather.delay_ms + 1), NULL, arrive, d, (uint64_t)to);
}

int packet_socket_send(struct packet_socket *from, struct str ip, uint16_t port, struct str bytes)
{
    struct sim *s = from->world->sim;
    char text[INET_ADDRSTRLEN];
    if (bytes.n > DATAGRAM_MAX) return ERR_TOO_LARGE;
    if (ip.n != 4 || !inet_ntop(AF_INET, ip.p, text, sizeof text)) return ERR_IO;
    int to = node_at(s, text);
    from->counters.sent++;
    if (to < 0 || from->world->dying) return 0;
    if (s->calm || !prng_chance(&s->prng, s->weather.loss, 10000)) launch(from, to, port, bytes);
    if (!s->calm && prng_chance(&s->prng, s->weather.duplicate, 10000))
        launch(from, to, port, bytes);
    return 0;
}

void packets_free(struct sim *s)
{
    for (size_t i = 0; i < s->heap_n; i++)
        if (s->heap[i].run == arrive) free(s->heap[i].p);
}
