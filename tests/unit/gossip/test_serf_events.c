/* SPDX-License-Identifier: Apache-2.0 */
/* User events: to everybody, once, in bounds. */
#include "serf_bed.h"
#include "serf_message.h"

static void fire(struct pool *p, size_t at, struct str name, struct str payload)
{
    struct serf_event ev = { .type = SERF_FIRE };
    ev.fire.handle = 4;
    ev.fire.name = name;
    ev.fire.payload = payload;
    give(p, at, &ev);
    settle(p);
}

static size_t times_told(const struct pool *p, size_t i, const char *line)
{
    size_t n = 0, length = strlen(line);
    struct str rest = buf_str(&p->node[i].told);
    for (ptrdiff_t at; (at = str_find(rest, str_of(line))) >= 0; n++)
        rest = str_slice(rest, (size_t)at + length, rest.n);
    return n;
}

/* A user message as another node would send it. */
static void hear(struct pool *p, size_t i, enum serf_message_type type, const struct type *t,
    const void *message)
{
    struct buf out = BUF_INIT(65536);
    buf_put_char(&out, SWIM_MSG_USER);
    serf_message_encode(type, t, message, &out);
    struct serf_event ev = { .type = SERF_SWIM };
    ev.swim.type = SWIM_PACKET;
    ev.swim.packet.from = address_of(11);
    ev.swim.packet.bytes = buf_str(&out);
    give(p, i, &ev);
    buf_deinit(&out);
}

static void hear_event(struct pool *p, size_t i, uint64_t ltime, const char *payload)
{
    struct serf_user_event m = { .ltime = ltime, .name = STR("ev"), .payload = str_of(payload) };
    hear(p, i, SERF_MSG_USER_EVENT, &type_serf_user_event, &m);
}

static void an_event_reaches_all_once(void **state)
{
    (void)state;
    struct pool *p = pool_of(5);
    fire(p, 2, STR("deploy"), STR("v1"));
    assert_true(told(p, 2, "result 4 0 \n"));
    run_for(p, 10000);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(times_told(p, i, "user deploy 1 v1\n"), 1);
    fire(p, 0, STR("deploy"), STR("v2"));
    run_for(p, 10000);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(times_told(p, i, "user deploy 2 v2\n"), 1);
    pool_destroy(p);
}

static void one_who_joins_with_ignore_old_hears_only_new_events(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    fire(p, 0, STR("old"), STR("1"));
    run_for(p, 3000);
    prepare(p);
    start(p, 2);
    join(p, 2, 0);
    run_for(p, 5000);
    assert_false(told(p, 2, "user old"));
    fire(p, 0, STR("new"), STR("1"));
    run_for(p, 3000);
    assert_true(told(p, 2, "user new 2 1\n"));
    pool_destroy(p);
}

static void one_who_joins_without_it_hears_the_buffer(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    fire(p, 0, STR("old"), STR("1"));
    run_for(p, 3000);
    prepare(p);
    start(p, 2);
    struct serf_join_address a = { .address = address_of(0) };
    struct serf_event ev = { .type = SERF_JOIN };
    ev.join.v = &a;
    ev.join.n = 1;
    give(p, 2, &ev);
    run_for(p, 3000);
    assert_int_equal(times_told(p, 2, "user old 1 1\n"), 1);
    pool_destroy(p);
}

static void a_missed_event_comes_by_push_pull(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    p->node[1].reachable = false;
    fire(p, 0, STR("one"), STR("a"));
    fire(p, 1, STR("two"), STR("b"));
    run_for(p, 4000);
    assert_false(told(p, 1, "user one"));
    p->node[1].reachable = true;
    run_for(p, 90000);
    assert_int_equal(times_told(p, 1, "user one 1 a\n"), 1);
    assert_int_equal(times_told(p, 0, "user two 1 b\n"), 1);
    pool_destroy(p);
}

static void an_event_has_at_most_512_bytes(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    char text[600];
    memset(text, 'x', sizeof text);
    fire(p, 0, STR("n"), (struct str){ text, SERF_USER_EVENT_MAX });
    assert_true(told(
        p, 0, "result 4 -6 user event exceeds configured limit of 512 bytes before encoding\n"));
    fire(p, 0, STR("n"), (struct str){ text, SERF_USER_EVENT_MAX - 1 });
    assert_true(told(p, 0,
        "result 4 -6 encoded user event exceeds configured limit of 512 bytes after encoding\n"));
    assert_false(told(p, 0, "user n"));
    fire(p, 0, STR("n"), (struct str){ text, 400 });
    assert_true(told(p, 0, "result 4 0 \n"));
    pool_destroy(p);
}

static void events_older_than_the_buffer_are_dropped(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    hear_event(p, 0, 1000, "new");
    hear_event(p, 0, 1000 - SERF_EVENT_BUFFER, "old");
    hear_event(p, 0, 1001 - SERF_EVENT_BUFFER, "edge");
    assert_true(told(p, 0, "user ev 1000 new\n"));
    assert_false(told(p, 0, "old"));
    assert_true(told(p, 0, "edge"));
    assert_int_equal(serf_counters(p->node[0].serf)->too_old, 1);
    pool_destroy(p);
}

static void one_time_holds_a_bounded_number_of_events(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    char payload[16];
    for (int i = 0; i < 2 * SERF_SLOT_ENTRIES_MAX; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        hear_event(p, 0, 5, payload);
    }
    assert_int_equal(times_told(p, 0, "user ev"), SERF_SLOT_ENTRIES_MAX);
    assert_int_equal(serf_counters(p->node[0].serf)->slot_full, SERF_SLOT_ENTRIES_MAX);
    /* What could not be remembered was not passed on either. */
    assert_int_equal(serf_event_queue_counters(p->node[0].serf)->added, SERF_SLOT_ENTRIES_MAX);
    pool_destroy(p);
}

static void malformed_messages_are_counted_and_dropped(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        { "\x08", 1 },                         /* nothing */
        { "\x08\x02\x80", 3 },                 /* push/pull state */
        { "\x08\x06\x80", 3 },                 /* of the inside of answers */
        { "\x08\x63\x80", 3 },                 /* no such type */
        { "\x08\x03", 2 },                     /* no body */
        { "\x08\x03\xc1", 3 },                 /* not msgpack */
        { "\x08\x03\x84\xa4", 4 },             /* cut */
        { "\x08\x01\x80", 3 },                 /* no name */
        { "\x08\x09\x80", 3 },                 /* relay to nowhere */
        { "\x08\x03\xdf\xff\xff\xff\xff", 7 }, /* claims 4 G entries */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct serf_event ev = { .type = SERF_SWIM };
        ev.swim.type = SWIM_PACKET;
        ev.swim.packet.from = address_of(11);
        ev.swim.packet.bytes = (struct str){ bad[i].bytes, bad[i].n };
        give(p, 0, &ev);
    }
    assert_int_equal(p->node[0].told.n, 0);
    assert_true(serf_counters(p->node[0].serf)->malformed >= 9);
    /* A time that would make the clocks wrap. */
    uint64_t before = serf_counters(p->node[0].serf)->malformed;
    hear_event(p, 0, UINT64_MAX, "end");
    struct serf_join_intent far = { .ltime = UINT64_MAX, .node = STR("x") };
    hear(p, 0, SERF_MSG_JOIN, &type_serf_join_intent, &far);
    assert_int_equal(serf_counters(p->node[0].serf)->malformed, before + 2);
    struct serf_stats stats;
    serf_get_stats(p->node[0].serf, &stats);
    assert_true(stats.event_time < 10 && stats.member_time < 10);
    pool_destroy(p);
}

static void intents_about_strangers_are_bounded_and_expire(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    char name[32];
    for (int i = 0; i < SERF_INTENTS_MAX + 10; i++) {
        snprintf(name, sizeof name, "stranger-%d", i);
        struct serf_join_intent m = { .ltime = 7, .node = str_of(name) };
        hear(p, 0, SERF_MSG_JOIN, &type_serf_join_intent, &m);
    }
    const struct serf *s = p->node[0].serf;
    assert_int_equal(serf_counters(s)->intents_dropped, 10);
    assert_int_equal(serf_intent_queue_counters(s)->added, SERF_INTENTS_MAX);
    run_for(p, 6 * 60 * 1000);
    struct serf_join_intent m = { .ltime = 7, .node = STR("another") };
    hear(p, 0, SERF_MSG_JOIN, &type_serf_join_intent, &m);
    assert_int_equal(serf_intent_queue_counters(s)->added, SERF_INTENTS_MAX + 1);
    pool_destroy(p);
}

static void leave_intents_overtake_other_broadcasts(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    char payload[400];
    memset(payload, 'x', sizeof payload);
    /* More than one packet of events that were never sent. */
    for (char i = 0; i < 40; i++) {
        payload[0] = (char)('a' + i % 26);
        payload[1] = (char)('a' + i / 26);
        fire(p, 0, STR("flood"), (struct str){ payload, sizeof payload });
    }
    size_t before = p->node[0].packets_out;
    struct serf_event ev = { .type = SERF_LEAVE };
    ev.leave.handle = 9;
    give(p, 0, &ev);
    while (p->node[0].packets_out == before)
        run_for(p, 10);
    run_for(p, 10);
    assert_int_equal(status_of(p, 1, 0), SERF_LEAVING);
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_reaches_all_once),
        cmocka_unit_test(one_who_joins_with_ignore_old_hears_only_new_events),
        cmocka_unit_test(one_who_joins_without_it_hears_the_buffer),
        cmocka_unit_test(a_missed_event_comes_by_push_pull),
        cmocka_unit_test(an_event_has_at_most_512_bytes),
        cmocka_unit_test(events_older_than_the_buffer_are_dropped),
        cmocka_unit_test(one_time_holds_a_bounded_number_of_events),
        cmocka_unit_test(malformed_messages_are_counted_and_dropped),
        cmocka_unit_test(intents_about_strangers_are_bounded_and_expire),
        cmocka_unit_test(leave_intents_overtake_other_broadcasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
