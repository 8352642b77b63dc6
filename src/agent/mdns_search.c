/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "consuld/agent/mdns.h"
#include "consuld/base/packet.h"

#define PORT 5353
#define QUESTION_MAX 512

static const char group[] = "\xe0\0\0\xfb"; /* 224.0.0.251 */

struct mdns_search {
    struct mdns_options o;
    struct packet_socket *socket;
    struct timer timer;
    struct arena arena;
    struct list found; /* -> struct str */
};

static void received(void *ctx, struct str ip, uint16_t port, struct str bytes, uint64_t at_us)
{
    struct mdns_search *s = ctx;
    (void)ip, (void)port, (void)at_us;
    if (s->found.n < MDNS_ADDRESSES_MAX) mdns_answer_read(bytes, &s->o, &s->arena, &s->found);
}

static void over(struct timer *t)
{
    struct mdns_search *s = container_of(t, struct mdns_search, timer);
    packet_socket_close(s->socket);
    s->socket = NULL;
    s->o.done(s->o.ctx, s->found.v, s->found.n);
    mdns_search_cancel(s);
}

struct mdns_search *mdns_search_begin(const struct mdns_options *o, struct error *err)
{
    struct mdns_search *s = xcalloc(1, sizeof *s);
    struct buf question = BUF_INIT(QUESTION_MAX);
    struct packet_options socket = { .ip = "0.0.0.0", .receive = received, .ctx = s };
    s->o = *o;
    s->o.name = str_dup(&s->arena, o->name);
    timer_init(&s->timer, o->world, over);
    int failed = 0;
    if (!mdns_question(s->o.name, &question))
        failed = error_set(err, ERR_BAD_REQUEST, "bad service name");
    if (!failed) failed = packet_socket_open(o->world, &socket, &s->socket, err);
    if (!failed &&
        packet_socket_send(s->socket, (struct str){ group, 4 }, PORT, buf_str(&question)) != 0)
        failed = error_set(err, ERR_IO, "no way to the local network");
    buf_deinit(&question);
    if (failed) {
        mdns_search_cancel(s);
        return NULL;
    }
    timer_start(&s->timer, o->timeout_ms);
    return s;
}

void mdns_search_cancel(struct mdns_search *s)
{
    if (!s) return;
    timer_stop(&s->timer);
    if (s->socket) packet_socket_close(s->socket);
    arena_free(&s->arena);
    free(s);
}
