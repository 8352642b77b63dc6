/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a user message, a push/pull state, tags or a coordinate. The first byte picks which.
 * A core that hears it stays in its bounds and answers at most once per message; what decodes
 * encodes to what decodes to itself. */
#include "consuld/gossip/packet.h"
#include "gossip/serf_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct serf *core(void)
{
    static char name[] = "fuzz";
    struct serf_options o = serf_options_lan();
    struct error err;
    o.swim.name = str_of(name);
    o.swim.seed = 1;
    ensure(gossip_address_parse(&o.swim.advertise, "127.0.0.1", 8301));
    o.event_buffer = o.query_buffer = 16;
    o.snapshot = true;
    struct serf *s = serf_create(&o, &err);
    ensure(s && serf_start(s, 1000, &err) == 0);
    return s;
}

static void hear(struct str message)
{
    struct serf *s = core();
    struct serf_output out;
    struct buf packet = BUF_INIT(1 << 20);
    buf_put_char(&packet, SWIM_MSG_USER);
    buf_put_str(&packet, message);
    struct serf_event ev = { .type = SERF_SWIM };
    ev.swim.type = SWIM_PACKET;
    ensure(gossip_address_parse(&ev.swim.packet.from, "127.0.0.2", 8301));
    ev.swim.packet.bytes = buf_str(&packet);
    for (uint64_t i = 0; i < 2; i++) {
        (void)serf_step(s, 1000 + i, &ev, &out);
        ensure(out.swim.packets_n <= 2 + SERF_RELAY_FACTOR_MAX);
        ensure(serf_count(s) == 1);
    }
    (void)serf_step(s, 60000, &(struct serf_event){ .type = SERF_TICK }, &out);
    buf_deinit(&packet);
    serf_destroy(s);
}

static void merge(struct str state)
{
    struct serf *s = core();
    struct buf ours = BUF_INIT(1 << 22);
    serf__merge_state(s, state, true);
    ensure(s->member_clock < SERF_LTIME_MAX * 2 && s->event_clock < SERF_LTIME_MAX * 2);
    serf__local_state(s, &ours);
    ensure(!ours.overflow);
    serf__merge_state(s, buf_str(&ours), false);
    buf_deinit(&ours);
    serf_destroy(s);
}

static void read_tags(struct str meta)
{
    struct arena a = ARENA_INIT;
    struct dict tags;
    serf_message_init();
    if (serf_tags_decode(meta, &a, &tags, NULL) == 0) {
        struct buf out = BUF_INIT(1 << 20);
        struct dict again;
        if (serf_tags_encode(&tags, &out, NULL) == 0) {
            ensure(serf_tags_decode(buf_str(&out), &a, &again, NULL) == 0);
            ensure(record_equal(&type_map_str, &tags, &again));
        }
        buf_deinit(&out);
    }
    (void)serf_tag(meta, "role");
    arena_free(&a);
}

static void read_coordinate(struct str payload)
{
    struct position p;
    struct coordinate_client c;
    struct latency_filter f = { .n = 0 };
    record_init(&record_vivaldi_coordinate);
    coordinate_client_init(&c, 1);
    if (position_decode(payload, &p, NULL)) return;
    for (int64_t i = 0; i < 4; i++)
        ensure(coordinate_client_update(&c, &f, &p, 1000000 * i, NULL) == 0);
    ensure(position_valid(&c.here) && c.here.height >= COORDINATE_HEIGHT_MIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const readers[])(struct str) = { hear, merge, read_tags, read_coordinate };
    if (n == 0) return 0;
    readers[data[0] & 3]((struct str){ (const char *)data + 1, n - 1 });
    return 0;
}
