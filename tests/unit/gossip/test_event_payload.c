/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/event_payload.h"
#include "serf_message.h"
#include "vectors.h"

static void assert_text(struct str got, const struct value *v, const char *key, struct str what)
{
    struct str want = text_of(v, key);
    assert_bytes(got, want.p ? want : STR(""), what);
}

static void recorded_events_are_read_and_written_again(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "consul-event");
    size_t seen = 0;
    serf_message_init();
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i];
        const struct value *serf = member_of(member_of(e, "decoded"), "serf");
        const struct value *recorded = member_of(serf, "consul_event");
        if (!recorded) recorded = member_of(member_of(e, "decoded"), "consul_event");
        struct str packet = hex_at(&a, e, "hex"), what = text_of(e, "id");
        struct serf_user_event m;
        struct event_payload p;
        struct error err;
        if (!recorded) continue;
        assert_int_equal(serf_message_decode(str_slice(packet, 2, packet.n), &a,
                             &type_serf_user_event, &m, NULL, &err),
            0);
        assert_true(str_has_prefix(m.name, STR(EVENT_USER_PREFIX)));
        assert_int_equal(event_payload_decode(m.payload, &p, &err), 0);
        assert_text(p.id, recorded, "ID", what);
        assert_text(p.name, recorded, "n", what);
        assert_text(p.node_filter, recorded, "nf", what);
        assert_text(p.service_filter, recorded, "sf", what);
        assert_text(p.tag_filter, recorded, "tf", what);
        assert_bytes(p.payload, hex_at(&a, member_of(recorded, "p"), "$hex"), what);
        assert_int_equal(p.version, number_at(recorded, "v"));
        struct buf out = BUF_INIT(4096);
        event_payload_encode(&p, &out);
        assert_bytes(buf_str(&out), m.payload, what);
        buf_deinit(&out);
        seen++;
    }
    assert_int_equal(seen, 4);
    arena_free(&a);
}

static void long_texts_and_bytes_have_long_heads(void **state)
{
    (void)state;
    static char text[70000];
    static const size_t lengths[] = { 0, 1, 31, 32, 255, 256, 65535, 65536 };
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct str s = { text, lengths[i] };
        struct event_payload e = { .id = STR("id"), .name = s, .payload = s, .version = 1 }, back;
        struct buf out = BUF_INIT(1 << 20);
        struct error err;
        event_payload_encode(&e, &out);
        assert_int_equal(event_payload_decode(buf_str(&out), &back, &err), 0);
        assert_true(str_eq(back.name, s) && str_eq(back.payload, s));
        buf_deinit(&out);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct event_payload e;
    struct error err;
    assert_true(event_payload_decode(STR(""), &e, &err) != 0);
    assert_true(event_payload_decode(STR("srv-b"), &e, &err) != 0);
    assert_true(event_payload_decode(STR("\x81\xa1p\xc6\xff\xff\xff\xff"), &e, &err) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_events_are_read_and_written_again),
        cmocka_unit_test(long_texts_and_bytes_have_long_heads),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
