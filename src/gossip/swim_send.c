/* SPDX-License-Identifier: Apache-2.0 */
/* Packets out, and the broadcasts that ride on them: gossip.md 4.5, 7 and 8.11. */
#include "swim_core.h"

#define PART_OVERHEAD 2     /* its length in a compound */
#define COMPOUND_OVERHEAD 2 /* type and count */
#define USER_OVERHEAD 3     /* type byte and length of a user message */
#define GOSSIP_NODES_MAX 32

static bool nowhere(const struct gossip_address *to)
{
    static const uint8_t zero[16];
    return to->port == 0 || to->ip_n == 0 || memcmp(to->ip, zero, to->ip_n) == 0;
}

void swim__send(
    struct swim *s, const struct gossip_address *to, struct str node, struct str message, bool crc)
{
    struct error err = { 0 };
    if (nowhere(to) || (s->o.names_required && node.n == 0)) {
        s->counters.unsent++;
        return;
    }
    if (packet_write(&s->sealing, message, s->o.compression, crc, &s->datagram, &err)) {
        s->counters.unsent++;
        swim__log(s, LOG_ERROR, "memberlist: packet is not sent: %s", err.text);
        return;
    }
    s->counters.packets_out++;
    s->counters.bytes_out += s->datagram.n;
    swim__put_packet(s, to, node, buf_str(&s->datagram));
}

/* --- gathering ------------------------------------------------------------------------------- */

/* Parts of one packet: offsets, because the bytes move while they grow. */
struct parts {
    struct buf bytes;
    size_t n;
    size_t ends[PACKET_PARTS_MAX];
    bool user; /* parts get a user type byte */
};

static void parts_init(struct parts *p)
{
    p->bytes = (struct buf)BUF_INIT(4 * PACKET_BUDGET + PACKET_RECEIVE_MAX);
    p->n = 0;
    p->user = false;
}

static void parts_clear(struct parts *p)
{
    buf_clear(&p->bytes);
    p->n = 0;
}

/* A part that does not fit loses one of its transmissions. */
static void add_part(void *ctx, struct str message)
{
    struct parts *p = ctx;
    if (p->n == PACKET_PARTS_MAX || message.n == 0) return;
    if (p->user) buf_put_char(&p->bytes, SWIM_MSG_USER);
    buf_put_str(&p->bytes, message);
    p->ends[p->n++] = p->bytes.n;
}

static size_t delegate_broadcasts(
    struct swim *s, struct parts *p, enum swim_turn turn, size_t limit)
{
    const struct swim_delegate *d = &s->o.delegate;
    if (!d->broadcasts || limit <= USER_OVERHEAD) return 0;
    p->user = true;
    size_t used = d->broadcasts(d->ctx, turn, USER_OVERHEAD, limit, add_part, p);
    p->user = false;
    return used < limit ? used : limit;
}

static void gather(struct swim *s, struct parts *p, size_t limit)
{
    /* Among many that leave at once, our own going must not wait behind their intents. */
    if (s->left)
        limit -= broadcast_queue_take_urgent(s->queue, s->n, PART_OVERHEAD, limit, add_part, p);
    limit -= delegate_broadcasts(s, p, SWIM_TURN_URGENT, limit);
    if (!s->left)
        limit -= broadcast_queue_take_urgent(s->queue, s->n, PART_OVERHEAD, limit, add_part, p);
    limit -= broadcast_queue_take_plain(s->queue, s->n, PART_OVERHEAD, limit, add_part, p);
    delegate_broadcasts(s, p, SWIM_TURN_PLAIN, limit);
}

/* Sends the parts as one message. */
static void send_parts(struct swim *s, const struct gossip_address *to, struct str node,
    const struct parts *p, bool crc)
{
    struct str all = buf_str(&p->bytes), v[PACKET_PARTS_MAX];
    if (p->n == 1) {
        swim__send(s, to, node, all, crc);
        return;
    }
    struct buf whole = BUF_INIT(p->bytes.n + 2 + 2 * PACKET_PARTS_MAX);
    for (size_t i = 0; i < p->n; i++)
        v[i] = str_slice(all, i > 0 ? p->ends[i - 1] : 0, p->ends[i]);
    packet_compound(v, p->n, &whole);
    swim__send(s, to, node, buf_str(&whole), crc);
    buf_deinit(&whole);
}

void swim__send_record(struct swim *s, const struct gossip_address *to, struct str node,
    enum swim_message_type type, const struct type *t, const void *obj)
{
    struct parts p;
    parts_init(&p);
    swim_message_encode(type, t, obj, &p.bytes);
    p.ends[p.n++] = p.bytes.n;
    size_t taken = p.bytes.n + COMPOUND_OVERHEAD + packet_seal_overhead(&s->sealing);
    if (taken < PACKET_BUDGET) gather(s, &p, PACKET_BUDGET - taken);
    if (!p.bytes.overflow) send_parts(s, to, node, &p, false);
    buf_deinit(&p.bytes);
}

void swim__send_accused(struct swim *s, const struct member *m, enum swim_message_type type,
    const struct type *t, const void *record)
{
    struct swim_accusation a = {
        .incarnation = m->node.incarnation, .node = m->node.name, .from = s->o.name
    };
    struct buf parts = BUF_INIT(4 * PACKET_BUDGET), whole = BUF_INIT(4 * PACKET_BUDGET);
    swim_message_encode(type, t, record, &parts);
    size_t cut = parts.n;
    swim_message_encode(m->node.state == SWIM_DEAD ? SWIM_MSG_DEAD : SWIM_MSG_SUSPECT,
        &type_swim_accusation, &a, &parts);
    struct str both = buf_str(&parts);
    struct str v[2] = { str_slice(both, 0, cut), str_slice(both, cut, both.n) };
    packet_compound(v, 2, &whole);
    swim__send(s, &m->node.address, m->node.name, buf_str(&whole), m->node.vsn[1] >= 5);
    buf_deinit(&parts);
    buf_deinit(&whole);
}

void swim_send_user(
    struct swim *s, const struct gossip_address *to, struct str node, struct str message)
{
    struct buf b = BUF_INIT(PACKET_RECEIVE_MAX);
    const struct member *m = node.n ? swim__member(s, node) : NULL;
    buf_put_char(&b, SWIM_MSG_USER);
    buf_put_str(&b, message);
    if (b.overflow) {
        s->counters.unsent++;
    } else {
        swim__send(s, to, node, buf_str(&b), m && m->node.vsn[1] >= 5);
    }
    buf_deinit(&b);
}

/* News that somebody waits for, or that ends a suspicion, goes before that of members who join: a
 * thousand joining at once fill every packet for minutes. */
static bool pressing(enum swim_message_type type, const void *obj)
{
    const struct swim_alive *alive = obj;
    return type != SWIM_MSG_ALIVE || alive->incarnation > 1;
}

void swim__broadcast(struct swim *s, struct str name, enum swim_message_type type,
    const struct type *t, const void *obj, uint64_t tag)
{
    buf_clear(&s->scratch);
    swim_message_encode(type, t, obj, &s->scratch);
    struct broadcast b = {
        .message = buf_str(&s->scratch), .name = name, .tag = tag, .urgent = pressing(type, obj)
    };
    broadcast_queue_add(s->queue, &b);
}

/* --- rounds -------------------------------------------------------------------------------- */

static bool hears(const struct swim *s, const struct member *m, const void *arg)
{
    (void)arg;
    if (m == s->self || m->node.state == SWIM_LEFT) return false;
    return m->node.state != SWIM_DEAD || s->now - m->node.since_ms <= s->o.gossip_to_the_dead_ms;
}

bool swim__nothing_to_say(const struct swim *s)
{
    const struct swim_delegate *d = &s->o.delegate;
    if (broadcast_queue_length(s->queue) > 0) return false;
    return !d->broadcasts || (d->broadcasts_waiting && !d->broadcasts_waiting(d->ctx));
}

static void living_first(struct member **v, size_t n)
{
    size_t living = 0;
    for (size_t i = 0; i < n; i++) {
        struct member *m = v[i];
        if (m->node.state == SWIM_DEAD) continue;
        v[i] = v[living];
        v[living++] = m;
    }
}

static void gossip(struct swim *s)
{
    struct member *to[GOSSIP_NODES_MAX];
    if (swim__nothing_to_say(s)) return;
    size_t k = s->o.gossip_nodes < GOSSIP_NODES_MAX ? s->o.gossip_nodes : GOSSIP_NODES_MAX;
    size_t n = swim__members_pick(s, k, hears, NULL, to);
    size_t limit = PACKET_BUDGET - COMPOUND_OVERHEAD;
    if (swim_encrypted(s)) limit -= s->sealing.version == 0 ? SEAL_OVERHEAD_V0 : SEAL_OVERHEAD_V1;
    struct parts p;
    parts_init(&p);
    living_first(to, n);
    for (size_t i = 0; i < n; i++) {
        /* The dead hear what the living heard: it is not counted as told once more. */
        if (to[i]->node.state != SWIM_DEAD || swim__alone(s)) {
            parts_clear(&p);
            gather(s, &p, limit);
        }
        if (p.n == 0) break;
        send_parts(s, &to[i]->node.address, to[i]->node.name, &p, to[i]->node.vsn[1] >= 5);
    }
    buf_deinit(&p.bytes);
}

void swim__gossip_run(struct swim *s)
{
    if (s->now < s->gossip_ms) return;
    s->gossip_ms += s->o.gossip_interval_ms;
    if (s->gossip_ms <= s->now) s->gossip_ms = s->now + s->o.gossip_interval_ms;
    gossip(s);
}
