/* SPDX-License-Identifier: Apache-2.0 */
/* A core with two peers and a probe under way. Bit 0 of `setup`: sealed, bit 1: plain is taken too.
 */
#pragma once
#include "consuld/gossip/packet.h"
#include "consuld/gossip/swim.h"
#include "world/open_cipher.h"

#define FUZZ_NOW 1000000

static inline struct swim_event packet_from(const char *ip, struct str bytes)
{
    struct swim_event ev = { .type = SWIM_PACKET };
    ensure(gossip_address_parse(&ev.packet.from, ip, 7946));
    ev.packet.bytes = bytes;
    return ev;
}

static inline void core_knows(struct swim *s, const char *name, const char *ip)
{
    struct gossip_address at;
    struct buf m = BUF_INIT(1000);
    ensure(gossip_address_parse(&at, ip, 7946));
    struct swim_alive alive = { .incarnation = 1,
        .node = str_of(name),
        .addr = gossip_address_ip(&at),
        .port = 7946,
        .vsn = STR("\1\5\2\2\5\4") };
    swim_message_encode(SWIM_MSG_ALIVE, &type_swim_alive, &alive, &m);
    struct swim_event ev = packet_from(ip, buf_str(&m));
    (void)swim_step(s, FUZZ_NOW, &ev, NULL);
    buf_deinit(&m);
}

static inline struct swim *core_create(uint8_t setup, struct keyring *ring)
{
    struct swim_options o = swim_options_lan();
    struct error err;
    *ring = (struct keyring){ 0 };
    o.name = STR("self");
    o.seed = 1;
    o.bind_port = 7946;
    ensure(gossip_address_parse(&o.advertise, "127.0.0.1", 7946));
    o.keys = ring;
    o.cipher = &open_cipher;
    o.verify_outgoing = true;
    o.verify_incoming = !(setup & 2);
    struct swim *s = swim_create(&o);
    ensure(swim_start(s, FUZZ_NOW, &err) == 0);
    core_knows(s, "a", "10.0.0.1");
    core_knows(s, "b", "10.0.0.2");
    if (setup & 1) ensure(keyring_install(ring, STR("0123456789abcdef"), &err) == 0);
    return s;
}

/* What holds after any input. */
static inline void core_is_sound(const struct swim *s, const struct swim_output *out)
{
    ensure(swim_self(s)->state == SWIM_ALIVE);
    ensure(swim_count(s) <= SWIM_NODES_MAX && swim_count_alive(s) <= swim_count(s));
    ensure(swim_health_score(s) < 8);
    for (size_t i = 0; i < out->packets_n; i++) {
        ensure(out->packets[i].to.port != 0 && out->packets[i].to.ip_n != 0);
        ensure(out->packets[i].bytes.n > 0 && out->packets[i].bytes.n <= PACKET_RECEIVE_MAX);
    }
}
