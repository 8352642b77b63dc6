/* SPDX-License-Identifier: Apache-2.0 */
/* Queries: filters, acks, responses, relays, deadlines; the vote about a name. */
#include <regex.h>

#include "serf_bed.h"
#include "serf_core.h"

static void ask(struct pool *p, size_t at, const struct serf_event *ev)
{
    give(p, at, ev);
    settle(p);
}

static struct serf_event query(const char *name)
{
    struct serf_event ev = { .type = SERF_QUERY };
    ev.query.handle = 6;
    ev.query.name = str_of(name);
    return ev;
}

static void respond(struct pool *p, size_t at, struct str payload, int code)
{
    struct serf_event ev = { .type = SERF_RESPOND };
    ev.respond.origin = p->node[at].origin;
    ev.respond.payload = payload;
    assert_int_equal(give(p, at, &ev), code);
    settle(p);
}

static void a_query_is_acked_and_answered(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    struct serf_event ev = query("uptime");
    ev.query.ack = true;
    ev.query.timeout_ms = 3000;
    ask(p, 0, &ev);
    run_for(p, 1000);
    for (size_t i = 0; i < 3; i++) {
        assert_true(told(p, i, "query uptime 1\n"));
        respond(p, i, STR("5 days"), 0);
    }
    assert_true(told(p, 0, "answer ack a \n"));
    assert_true(told(p, 0, "answer ack b \n"));
    assert_true(told(p, 0, "answer response a 5 days\n"));
    assert_true(told(p, 0, "answer response c 5 days\n"));
    assert_false(told(p, 0, "result"));
    run_for(p, 3000);
    assert_true(told(p, 0, "result 6 0 acks 3\n"));
    assert_false(told(p, 1, "answer"));
    pool_destroy(p);
}

static void answers_are_counted_once_and_in_time(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    struct serf_event ev = query("q");
    ev.query.timeout_ms = 2000;
    ask(p, 0, &ev);
    run_for(p, 1000);
    respond(p, 1, STR("one"), 0);
    respond(p, 1, STR("two"), 0);
    assert_true(told(p, 0, "answer response b one\n"));
    assert_false(told(p, 0, "two"));
    assert_int_equal(serf_counters(p->node[0].serf)->twice_answers, 1);
    run_for(p, 5000);
    respond(p, 1, STR("late"), ERR_CANCELLED);
    p->node[1].origin.deadline_ms += 100000;
    respond(p, 1, STR("late"), 0);
    assert_int_equal(serf_counters(p->node[0].serf)->strange_answers, 1);
    pool_destroy(p);
}

static void answers_and_queries_have_at_most_1024_bytes(void **state)
{
    (void)state;
    struct pool *p = pool_of(1);
    char text[1100];
    memset(text, 'x', sizeof text);
    struct serf_event ev = query("q");
    ev.query.payload = (struct str){ text, SERF_QUERY_MAX };
    ask(p, 0, &ev);
    assert_true(told(p, 0, "result 6 -6 query exceeds limit of 1024 bytes\n"));
    assert_false(told(p, 0, "query q"));
    ev.query.payload = STR_NIL;
    ask(p, 0, &ev);
    respond(p, 0, (struct str){ text, SERF_QUERY_MAX }, ERR_TOO_LARGE);
    respond(p, 0, STR("x"), 0);
    assert_true(told(p, 0, "answer response a x\n"));
    run_for(p, 100);
    assert_true(told(p, 0, "result 6 0 \n"));
    pool_destroy(p);
}

static void filters_choose_who_is_asked(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct pool *p = pool_create();
    for (size_t i = 0; i < 3; i++) {
        struct peer *n = prepare(p);
        dict_set_str(&a, &n->o.tags, STR("role"), i == 2 ? STR("web") : STR("db"));
        start(p, i);
    }
    join(p, 1, 0);
    join(p, 2, 0);
    run_for(p, 3000);
    struct str nodes[] = { STR("b"), STR("c") };
    struct str_pair tags[] = { { STR("role"), STR("web") } };
    struct serf_event ev = query("first");
    ev.query.nodes = nodes;
    ev.query.nodes_n = 2;
    ask(p, 0, &ev);
    ev.query.name = STR("second");
    ev.query.tags = tags;
    ev.query.tags_n = 1;
    ask(p, 0, &ev);
    run_for(p, 3000);
    assert_false(told(p, 0, "query"));
    assert_true(told(p, 1, "query first"));
    assert_true(told(p, 2, "query first"));
    assert_false(told(p, 1, "query second"));
    assert_true(told(p, 2, "query second"));
    pool_destroy(p);
    arena_free(&a);
}

static bool search_posix(void *ctx, struct str expression, struct str text)
{
    (void)ctx;
    struct arena a = ARENA_INIT;
    regex_t r;
    bool found = false;
    if (expression.n == 0) return true;
    if (regcomp(&r, str_c(&a, expression), REG_EXTENDED | REG_NOSUB) == 0) {
        found = regexec(&r, str_c(&a, text), 0, NULL, 0) == 0;
        regfree(&r);
    }
    arena_free(&a);
    return found;
}

static void recorded_filters_match_as_recorded(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "serf-filter");
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *d = member_of(&entries->list.v[i], "decoded");
        struct pool *p = pool_create();
        struct peer *n = prepare(p);
        n->o.swim.name = text_of(d, "node");
        n->o.search = search_posix;
        const struct value *tags = member_of(d, "tags");
        for (size_t j = 0; j < tags->map.n; j++)
            dict_set_str(&a, &n->o.tags, tags->map.v[j].key, tags->map.v[j].value.s);
        start(p, 0);
        struct list filters = { 0 };
        const struct value *recorded = member_of(d, "filters_hex");
        for (size_t j = 0; j < recorded->list.n; j++)
            *LIST_PUSH(&a, &filters, struct str) = unhex(&a, recorded->list.v[j].s);
        if (serf__filters_match(n->serf, &filters) != member_of(d, "match")->b)
            fail_msg("%.*s", STR_ARG(text_of(&entries->list.v[i], "id")));
        pool_destroy(p);
    }
    struct pool *p = pool_of(1);
    struct str nothing = STR("");
    struct list filters = { .v = &nothing, .n = 1 };
    assert_false(serf__filters_match(p->node[0].serf, &filters));
    pool_destroy(p);
    arena_free(&a);
}

static void answers_are_relayed_when_asked_for(void **state)
{
    (void)state;
    struct pool *p = pool_of(5);
    struct serf_event ev = query("q");
    ev.query.relay_factor = 2;
    ev.query.ack = true;
    ev.query.timeout_ms = 2000;
    ask(p, 0, &ev);
    run_for(p, 1500);
    uint64_t relayed = 0;
    for (size_t i = 0; i < 5; i++)
        relayed += serf_counters(p->node[i].serf)->relayed;
    assert_true(relayed >= 8);
    assert_true(serf_counters(p->node[0].serf)->twice_answers >= 4);
    run_for(p, 1500);
    assert_true(told(p, 0, "result 6 0 acks 5\n"));
    pool_destroy(p);
}

static void a_ping_is_acked_and_not_delivered(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    struct serf_event ev = query("_serf_ping");
    ev.query.ack = true;
    ask(p, 0, &ev);
    run_for(p, 10000);
    assert_true(told(p, 0, "result 6 0 acks 2\n"));
    assert_false(told(p, 1, "query"));
    pool_destroy(p);
}

/* A second node under the name of the first: the pool knows the first one's address. */
static void a_name_taken_elsewhere_is_voted_on(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    struct peer *twin = prepare(p);
    twin->o.swim.name = STR("b");
    twin->o.resolve_conflicts = true;
    start(p, 4);
    join(p, 4, 0);
    run_for(p, 30000);
    assert_true(told(p, 4, "name-lost\n"));
    for (size_t i = 0; i < 4; i++)
        assert_false(told(p, i, "name-lost"));
    assert_int_equal(status_of(p, 0, 1), SERF_ALIVE);
    pool_destroy(p);
}

static void the_pool_answers_who_a_name_is(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    struct serf_event ev = query("_serf_conflict");
    ev.query.payload = STR("b");
    ask(p, 0, &ev);
    run_for(p, 10000);
    assert_true(told(p, 0, "answer response a \x06\x8b"));
    assert_true(told(p, 0, "answer response c \x06\x8b"));
    assert_false(told(p, 0, "answer response b"));
    hear_nothing_more(p);
    ev.query.payload = STR("stranger");
    ask(p, 0, &ev);
    run_for(p, 10000);
    assert_true(told(p, 0, "answer response b \x06\xc0\n"));
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_acked_and_answered),
        cmocka_unit_test(answers_are_counted_once_and_in_time),
        cmocka_unit_test(answers_and_queries_have_at_most_1024_bytes),
        cmocka_unit_test(filters_choose_who_is_asked),
        cmocka_unit_test(recorded_filters_match_as_recorded),
        cmocka_unit_test(answers_are_relayed_when_asked_for),
        cmocka_unit_test(a_ping_is_acked_and_not_delivered),
        cmocka_unit_test(a_name_taken_elsewhere_is_voted_on),
        cmocka_unit_test(the_pool_answers_who_a_name_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
