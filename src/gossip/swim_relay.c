/* SPDX-License-Identifier: Apache-2.0 */
/* Pings sent for other members: gossip.md 8.4. */
#include <stdlib.h>

#include "swim_core.h"

void swim__relay_start(
    struct swim *s, const struct swim_indirect_ping *p, const struct gossip_address *from)
{
    struct gossip_address target, source;
    uint16_t port = (uint16_t)p->port;
    if (s->o.protocol < 2 || port == 0) port = s->o.bind_port;
    if (!gossip_address_set(&target, p->target, port) || p->source_node.n > SWIM_NAME_MAX) {
        swim__fault(s, from, SWIM_FAULT_VALUE, "indirect ping");
        return;
    }
    if (s->relays_n == SWIM_RELAYS_MAX) {
        s->counters.relays_refused++;
        return;
    }
    struct relay *r = xmalloc(sizeof *r + p->source_node.n);
    *r = (struct relay){ .seq = ++s->seq,
        .their_seq = (uint32_t)p->seq_no,
        .due_ms = s->now + s->o.probe_timeout_ms,
        .nack = p->nack,
        .to = *from,
        .node = { (char *)(r + 1), p->source_node.n } };
    if (p->source_node.n) memcpy(r + 1, p->source_node.p, p->source_node.n);
    if (p->source_port > 0 && gossip_address_set(&source, p->source_addr, (uint16_t)p->source_port))
        r->to = source;
    link_init(&r->link);
    link_push(&s->relays, &r->link);
    s->relays_n++;
    const struct swim_node *self = &s->self->node;
    struct swim_ping ping = { .seq_no = r->seq,
        .node = p->node,
        .source_addr = gossip_address_ip(&self->address),
        .source_port = self->address.port,
        .source_node = self->name };
    swim__send_record(s, &target, p->node, SWIM_MSG_PING, &type_swim_ping, &ping);
}

static void end(struct swim *s, struct relay *r)
{
    link_remove(&r->link);
    s->relays_n--;
    free(r);
}

bool swim__relay_ack(struct swim *s, uint32_t seq)
{
    link_each (it, &s->relays) {
        struct relay *r = container_of(it, struct relay, link);
        if (r->seq != seq) continue;
        struct swim_ack ack = { .seq_no = r->their_seq };
        swim__send_record(s, &r->to, r->node, SWIM_MSG_ACK, &type_swim_ack, &ack);
        end(s, r);
        return true;
    }
    return false;
}

void swim__relays_run(struct swim *s)
{
    while (!link_empty(&s->relays)) {
        struct relay *r = container_of(s->relays.next, struct relay, link);
        if (s->now < r->due_ms) return;
        struct swim_nack nack = { .seq_no = r->their_seq };
        if (r->nack) swim__send_record(s, &r->to, r->node, SWIM_MSG_NACK, &type_swim_nack, &nack);
        end(s, r);
    }
}

void swim__relays_free(struct swim *s)
{
    while (!link_empty(&s->relays))
        end(s, container_of(s->relays.next, struct relay, link));
}
