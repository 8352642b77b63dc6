/* SPDX-License-Identifier: Apache-2.0 */
/* The recorded run of one serf node: packets in, events, members, clocks and the snapshot file out.
 */
#include "serf_bed.h"

static const char *event_line(struct arena *a, struct str recorded)
{
    struct str kind, rest, name, ltime;
    str_cut(recorded, ' ', &kind, &rest);
    if (!str_is(kind, "user")) return str_printf(a, "%.*s\n", STR_ARG(recorded)).p;
    /* "user NAME LTIME HEX" */
    str_cut(rest, ' ', &name, &rest);
    str_cut(rest, ' ', &ltime, &rest);
    return str_printf(
        a, "user %.*s %.*s %.*s\n", STR_ARG(name), STR_ARG(ltime), STR_ARG(unhex(a, rest)))
        .p;
}

static void check_members(const struct serf *s, const struct value *members, struct str what)
{
    for (size_t i = 0; i < members->map.n; i++) {
        const struct value *want = &members->map.v[i].value;
        const struct serf_member *m = serf_find(s, members->map.v[i].key);
        assert_int_equal(m != NULL, want->kind != V_NIL);
        if (!m) continue;
        assert_bytes(str_of(serf_status_name(m->status)), text_of(want, "status"), what);
        assert_int_equal(m->status_ltime, number_at(want, "status_ltime"));
    }
}

static void check_clocks(const struct serf *s, const struct value *step)
{
    struct serf_stats stats;
    serf_get_stats(s, &stats);
    assert_int_equal(stats.member_time, number_at(step, "clock"));
    assert_int_equal(stats.event_time, number_at(step, "event_clock"));
    assert_int_equal(stats.query_time, number_at(step, "query_clock"));
}

struct passed_on {
    uint64_t intent, event, query;
};

static struct passed_on passed_on(const struct serf *s)
{
    return (struct passed_on){ serf_intent_queue_counters(s)->added,
        serf_event_queue_counters(s)->added, serf_query_queue_counters(s)->added };
}

static void run_step(struct pool *p, struct arena *a, const struct value *step)
{
    struct str what = text_of(step, "what");
    struct peer *n = &p->node[0];
    struct passed_on before = passed_on(n->serf);
    buf_clear(&n->told);
    struct serf_event ev = { .type = SERF_SWIM };
    ev.swim.type = SWIM_PACKET;
    ev.swim.packet.from = address_of(9);
    ev.swim.packet.bytes = hex_at(a, step, "input_hex");
    assert_int_equal(give(p, 0, &ev), 0);
    struct buf want = BUF_INIT(4096);
    const struct value *events = member_of(step, "events");
    for (size_t i = 0; i < events->list.n; i++)
        buf_put_c(&want, event_line(a, events->list.v[i].s));
    assert_bytes(buf_str(&n->told), buf_str(&want), what);
    buf_deinit(&want);
    check_members(n->serf, member_of(step, "members"), what);
    check_clocks(n->serf, step);
    struct passed_on now = passed_on(n->serf);
    const struct value *sent = member_of(step, "rebroadcast");
    if (now.intent - before.intent != (uint64_t)number_at(sent, "intent"))
        fail_msg("%.*s: %llu intents passed on", STR_ARG(what),
            (unsigned long long)(now.intent - before.intent));
    assert_int_equal(now.event - before.event, number_at(sent, "event"));
    assert_int_equal(now.query - before.query, number_at(sent, "query"));
}

static void the_recorded_run_is_followed(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *data = member_of(&entries_of(&a, "serf-trace")->list.v[0], "data");
    struct pool *p = pool_create();
    struct peer *n = prepare(p);
    snprintf(n->name, sizeof n->name, "%.*s", STR_ARG(text_of(data, "self")));
    n->o.swim.name = str_of(n->name);
    assert_true(gossip_address_parse(&n->o.swim.advertise, "127.0.11.9", 17948));
    n->o.event_buffer = (uint32_t)number_at(data, "event_buffer");
    n->o.query_buffer = (uint32_t)number_at(data, "query_buffer");
    n->o.snapshot = true;
    n->o.swim.probe_interval_ms = 1000000;
    start(p, 0);
    const struct value *steps = member_of(data, "steps");
    for (size_t i = 0; i < steps->list.n; i++) {
        run_step(p, &a, &steps->list.v[i]);
        /* The recorded run took long enough after its first user event. */
        if (str_is(text_of(&steps->list.v[i], "what"), "user event")) {
            p->now_ms += 600;
            give(p, 0, &(struct serf_event){ .type = SERF_TICK });
        }
    }
    assert_bytes(buf_str(&n->file), text_of(data, "snapshot_after"), STR("snapshot"));
    pool_destroy(p);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_recorded_run_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
