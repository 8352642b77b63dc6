/* SPDX-License-Identifier: Apache-2.0 */
/* One core under test, peers made of messages. */
#pragma once
#include "swim_core.h"
#include "vectors.h"

#define EVENTS_MAX 64
#define EVENT_TEXT 200

struct bed {
    struct swim *s;
    struct swim_output out;
    uint64_t now;
    struct arena a;
    char events[EVENTS_MAX][EVENT_TEXT]; /* what the delegate was told */
    size_t events_n;
    struct swim_options o;
};

static inline void tell(struct bed *b, const char *text)
{
    assert_true(b->events_n < EVENTS_MAX);
    snprintf(b->events[b->events_n++], EVENT_TEXT, "%s", text);
}

static inline void bed_member(void *ctx, enum swim_member_event event, const struct swim_node *node)
{
    static const char *const words[] = { "join", "leave", "update" };
    char text[EVENT_TEXT];
    snprintf(text, sizeof text, "%s %.*s", words[event], STR_ARG(node->name));
    tell(ctx, text);
}

static inline void bed_conflict(
    void *ctx, const struct swim_node *existing, const struct gossip_address *other)
{
    char text[EVENT_TEXT], a[GOSSIP_ADDRESS_TEXT_MAX], b[GOSSIP_ADDRESS_TEXT_MAX];
    snprintf(text, sizeof text, "conflict %.*s %s vs %s", STR_ARG(existing->name),
        gossip_address_text(&existing->address, a), gossip_address_text(other, b));
    tell(ctx, text);
}

static inline struct gossip_address address_of(const char *ip, uint16_t port)
{
    struct gossip_address a;
    assert_true(gossip_address_parse(&a, ip, port));
    return a;
}

/* Options of a quiet node "self": no rounds of its own. */
static inline void bed_init(struct bed *b)
{
    memset(b, 0, sizeof *b);
    b->now = 1000000;
    b->o = swim_options_lan();
    b->o.name = STR("self");
    b->o.advertise = address_of("127.0.11.9", 7946);
    b->o.bind_port = 7946;
    b->o.seed = 7;
    b->o.compression = false;
    b->o.probe_interval_ms = b->o.gossip_interval_ms = b->o.push_pull_interval_ms = 0;
    b->o.delegate =
        (struct swim_delegate){ .ctx = b, .member = bed_member, .conflict = bed_conflict };
}

static inline void bed_start(struct bed *b)
{
    struct error err;
    b->s = swim_create(&b->o);
    if (swim_start(b->s, b->now, &err)) fail_msg("%s", err.text);
    swim_collect(b->s, &b->out);
}

static inline void bed_end(struct bed *b)
{
    swim_destroy(b->s);
    arena_free(&b->a);
}

static inline void step(struct bed *b, const struct swim_event *ev)
{
    b->events_n = 0;
    assert_int_equal(swim_step(b->s, b->now, ev, &b->out), 0);
}

static inline void tick(struct bed *b, uint64_t ms)
{
    b->now += ms;
    step(b, &(struct swim_event){ .type = SWIM_TICK });
}

/* Runs to `until`, waking as asked, and calls `each` after every step. */
static inline void run_until(
    struct bed *b, uint64_t until, void (*each)(struct bed *b, void *), void *arg)
{
    while (b->now < until) {
        uint64_t wake = b->out.wake_ms < until ? b->out.wake_ms : until;
        tick(b, wake > b->now ? wake - b->now : 0);
        if (each) each(b, arg);
    }
}

static inline void receive(struct bed *b, const char *from, struct str bytes)
{
    struct swim_event ev = { .type = SWIM_PACKET,
        .packet = { .from = address_of(from, 7946), .bytes = bytes } };
    step(b, &ev);
}

static inline struct str message_of(
    struct bed *b, enum swim_message_type type, const struct type *t, const void *obj)
{
    struct buf out = BUF_INIT(1 << 20);
    swim_message_encode(type, t, obj, &out);
    struct str copy = str_dup(&b->a, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

static const char vsn_of_peers[] = "\x01\x05\x02\x02\x05\x04";

static inline void say_alive(struct bed *b, const char *name, const char *ip, uint32_t incarnation)
{
    struct gossip_address at = address_of(ip, 7946);
    struct swim_alive m = { .incarnation = incarnation,
        .node = str_of(name),
        .addr = gossip_address_ip(&at),
        .port = 7946,
        .meta = STR("meta"),
        .vsn = { vsn_of_peers, 6 } };
    receive(b, ip, message_of(b, SWIM_MSG_ALIVE, &type_swim_alive, &m));
}

static inline void accuse(struct bed *b, enum swim_message_type type, const char *name,
    uint32_t incarnation, const char *from)
{
    struct swim_accusation m = {
        .incarnation = incarnation, .node = str_of(name), .from = str_of(from)
    };
    receive(b, "127.0.11.7", message_of(b, type, &type_swim_accusation, &m));
}

/* One message sent, with the packet that carried it. */
struct sent {
    enum swim_message_type type;
    struct str body;
    const struct swim_packet *packet;
};

/* All messages of the last output, compounds taken apart; packets must be plain. */
static inline size_t sent_messages(struct bed *b, struct sent *v, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < b->out.packets_n; i++) {
        struct str m, part;
        struct buf room = BUF_INIT(PACKET_RECEIVE_MAX);
        struct packet_sealing none = { 0 };
        assert_int_equal(packet_read(&none, b->out.packets[i].bytes, &room, &m, NULL), 0);
        buf_deinit(&room);
        struct packet_parts parts = { 0 };
        bool compound = m.p[0] == SWIM_MSG_COMPOUND;
        if (compound) assert_true(packet_parts_begin(&parts, str_slice(m, 1, m.n)));
        part = m;
        while (!compound || packet_parts_next(&parts, &part)) {
            assert_true(n < max && part.n > 0);
            v[n++] = (struct sent){ .type = (enum swim_message_type)(uint8_t)part.p[0],
                .body = str_slice(part, 1, part.n),
                .packet = &b->out.packets[i] };
            if (!compound) break;
        }
    }
    return n;
}

/* First message of the type sent in the last step, decoded into obj; its packet, or NULL. */
static inline const struct swim_packet *sent(
    struct bed *b, enum swim_message_type type, const struct type *t, void *obj)
{
    struct sent v[64];
    size_t n = sent_messages(b, v, 64);
    for (size_t i = 0; i < n; i++) {
        struct error err;
        if (v[i].type != type) continue;
        if (swim_message_decode(v[i].body, &b->a, t, obj, &err)) fail_msg("%s", err.text);
        return v[i].packet;
    }
    return NULL;
}

static inline enum swim_state state_of(struct bed *b, const char *name)
{
    const struct swim_node *n = swim_find(b->s, str_of(name));
    if (!n) fail_msg("%s is not known", name);
    return n->state;
}

static inline uint32_t incarnation_of(struct bed *b, const char *name)
{
    const struct swim_node *n = swim_find(b->s, str_of(name));
    if (!n) fail_msg("%s is not known", name);
    return n->incarnation;
}

static inline bool was_told(const struct bed *b, const char *text)
{
    for (size_t i = 0; i < b->events_n; i++)
        if (strcmp(b->events[i], text) == 0) return true;
    return false;
}
