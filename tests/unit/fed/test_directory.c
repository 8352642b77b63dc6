/* SPDX-License-Identifier: Apache-2.0 */
#include "fed_words.h"

/* dc2 with two gateways, the primary dc1 with two */
static void two_datacenters(void)
{
    live_in("dc2", "dc1");
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443);
    gateway("dc1", "10.1.0.2", "192.0.2.11", 443);
    gateway("dc2", "10.2.0.1", "192.0.2.3", 443);
    gateway("dc2", "10.2.0.2", "192.0.2.33", 443);
    stored();
}

static bool is_local(struct fed_choice c)
{
    return c.verdict == FED_GATEWAY && c.source == FED_LOCAL;
}

/* --- addresses ------------------------------------------------------------------------------ */

static void only_marked_gateways_without_critical_checks_are_used(void **state)
{
    (void)state;
    live_in("dc1", "dc1");
    dict_set_str(&w.arena, &gateway("dc1", "10.0.0.1", NULL, 443)->service->meta, STR(FED_META_KEY),
        STR("true"));
    check(gateway("dc1", "10.0.0.2", NULL, 443), "critical");
    check(gateway("dc1", "10.0.0.3", NULL, 443), "warning");
    stored();
    size_t n;
    const struct str *v = fed_gateways(w.d, FED_LOCAL, &n);
    assert_int_equal(n, 1);
    assert_true(str_is(v[0], "10.0.0.3:443"));
}

static void inside_the_lan_address_outside_the_wan_address(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443);
    struct check_service_node *g = gateway("dc2", "", NULL, 8443);
    g->service->address = STR("");
    dict_set_str(&w.arena, &g->node->tagged_addresses, STR("wan"), STR("203.0.113.7"));
    stored();
    size_t n;
    assert_true(str_is(fed_gateways(w.d, FED_PRIMARY, &n)[0], "192.0.2.1:443"));
    assert_true(str_is(fed_gateways(w.d, FED_LOCAL, &n)[0], "198.51.100.1:8443"));
    live_in("dc9", "dc2");
    stored();
    assert_true(str_is(fed_gateways(w.d, FED_PRIMARY, &n)[0], "203.0.113.7:8443"));
}

static void texts_without_a_port_are_no_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {
        { "10.0.0.1:443", "10.0.0.1", 443 },
        { "gw.example.com:8443", "gw.example.com", 8443 },
        { "[2001:db8::1]:443", "2001:db8::1", 443 },
        { "10.0.0.1", NULL, 0 },
        { "2001:db8::1:443", NULL, 0 },
        { "gw:0", NULL, 0 },
        { "gw:65536", NULL, 0 },
        { "gw:", NULL, 0 },
        { ":443", NULL, 0 },
        { "", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str host;
        uint16_t port;
        bool is = fed_split_address(str_of(rows[i].text), &host, &port);
        assert_int_equal(is, rows[i].host != NULL);
        if (!is) continue;
        assert_true(str_is(host, rows[i].host));
        assert_int_equal(port, rows[i].port);
    }
}

static void an_order_of_records_changes_nothing(void **state)
{
    (void)state;
    two_datacenters();
    uint64_t generation = fed_generation(w.d);
    struct list *l = &state_of("dc2")->mesh_gateways;
    struct check_service_node first = LIST_AT(l, struct check_service_node, 0);
    LIST_AT(l, struct check_service_node, 0) = LIST_AT(l, struct check_service_node, 1);
    LIST_AT(l, struct check_service_node, 1) = first;
    assert_false(fed_states(w.d, &w.states, &w.own));
    assert_int_equal(fed_generation(w.d), generation);
}

/* --- where to ------------------------------------------------------------------------------- */

static void the_primary_goes_through_its_own_gateways_inside_addresses(void **state)
{
    (void)state;
    live_in("dc1", "");
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443);
    gateway("dc2", "10.2.0.1", "192.0.2.3", 443);
    stored();
    assert_gateway("s2.dc2", "10.1.0.1:443");
    assert_false(fed_through_local(w.d, w.now));
}

static void a_secondary_reaches_another_through_its_own_gateways_alone(void **state)
{
    (void)state;
    two_datacenters();
    gateway("dc3", "10.3.0.1", "192.0.2.5", 443);
    stored();
    assert_true(is_local(choose("s3.dc3")));
    no_gateways("dc2");
    stored();
    assert_int_equal(choose("s3.dc3").verdict, FED_NONE);
}

static void W1_a_follower_takes_a_local_gateway_while_one_works(void **state)
{
    (void)state;
    two_datacenters();
    for (int i = 0; i < 20; i++) {
        struct fed_choice c = choose("s1.dc1");
        char address[GATEWAY_TEXT];
        assert_true(is_local(c));
        snprintf(address, sizeof address, "%.*s", STR_ARG(c.address));
        if (strcmp(address, "10.2.0.1:443") == 0)
            gateway_dead("s1.dc1", address);
        else
            path_works("s1.dc1", address);
        w.now += 400;
    }
}

static void W2_stored_states_lead_through_local_gateways_at_the_start(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    struct str configured[] = { STR("192.0.2.1:443") };
    (void)fed_fallback(w.d, configured, 1);
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443);
    gateway("dc2", "10.2.0.1", "192.0.2.3", 443);
    stored();
    assert_true(is_local(choose("s1.dc1")));
    assert_true(is_local(choose("*.dc1")));
}

static void W4_before_the_state_is_read_nothing_is_chosen(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    struct str configured[] = { STR("192.0.2.1:443") };
    (void)fed_fallback(w.d, configured, 1);
    assert_int_equal(choose("s1.dc1").verdict, FED_UNREAD);
    stored();
    assert_gateway("s1.dc1", "192.0.2.1:443");
}

static void W5_all_gateways_replaced_at_once_are_known_at_once(void **state)
{
    (void)state;
    two_datacenters();
    struct fed_choice before = choose("s3.dc3");
    char old[GATEWAY_TEXT];
    snprintf(old, sizeof old, "%.*s", STR_ARG(before.address));
    no_gateways("dc2");
    gateway("dc2", "10.2.0.7", "192.0.2.77", 443);
    assert_true(fed_states(w.d, &w.states, &w.own));
    assert_gateway("s3.dc3", "10.2.0.7:443");
    assert_false(fed_listed(w.d, STR("dc3"), str_of(old)));
    assert_true(fed_listed(w.d, STR("dc3"), STR("10.2.0.7:443")));
}

static void W5_the_own_catalog_is_ahead_of_the_own_record(void **state)
{
    (void)state;
    two_datacenters();
    add_gateway(&w.own, "10.2.0.9", "192.0.2.99", 443);
    stored();
    assert_gateway("s3.dc3", "10.2.0.9:443");
    assert_gateway("s1.dc1", "10.2.0.9:443");
    w.own = (struct list){ 0 };
    stored();
    assert_false(str_is(choose("s3.dc3").address, "10.2.0.9:443"));
}

static void W9_host_names_are_addresses_too(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    gateway("dc1", "gw.dc1.internal", "gw.example.com", 8443);
    stored();
    struct fed_choice c = choose("s1.dc1");
    assert_true(str_is(c.host, "gw.example.com"));
    assert_int_equal(c.port, 8443);
}

static void W10_IPv6_addresses_are_bracketed_and_unbracketed(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    gateway("dc1", "fd00::1", "2001:db8::1", 443);
    stored();
    struct fed_choice c = choose("s1.dc1");
    assert_true(str_is(c.address, "[2001:db8::1]:443"));
    assert_true(str_is(c.host, "2001:db8::1"));
}

static void W20_past_local_gateways_only_after_three_failures_and_back_if_that_fails(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443);
    gateway("dc2", "10.2.0.1", "192.0.2.3", 443);
    stored();
    for (int i = 0; i < FED_FAILURES_MAX; i++) {
        assert_gateway("s1.dc1", "10.2.0.1:443");
        path_dead("s1.dc1", "10.2.0.1:443");
        w.now += FED_BACKOFF_MAX_MS;
    }
    assert_gateway("s1.dc1", "192.0.2.1:443");
    gateway_dead("s1.dc1", "192.0.2.1:443"); /* the direct way is cut */
    assert_gateway("s1.dc1", "10.2.0.1:443");
    path_works("s1.dc1", "10.2.0.1:443");
    assert_true(fed_through_local(w.d, w.now));
    assert_gateway("s1.dc1", "10.2.0.1:443");
}

static void W20_one_success_forgives_failures(void **state)
{
    (void)state;
    two_datacenters();
    for (int i = 0; i < 3 * FED_FAILURES_MAX; i++) {
        char at[GATEWAY_TEXT];
        struct fed_choice c = choose("s1.dc1");
        snprintf(at, sizeof at, "%.*s", STR_ARG(c.address));
        if (i % FED_FAILURES_MAX == FED_FAILURES_MAX - 1)
            path_works("s1.dc1", at);
        else
            path_dead("s1.dc1", at);
        assert_true(fed_through_local(w.d, w.now));
        w.now += 10000;
    }
}

static void W21_all_primary_gateways_moved_the_configured_ones_lead_there(void **state)
{
    (void)state;
    live_in("dc2", "dc1");
    struct str configured[] = { STR("gw.example.com:443") };
    (void)fed_fallback(w.d, configured, 1);
    gateway("dc1", "10.1.0.1", "192.0.2.1", 443); /* as replicated: gone */
    gateway("dc2", "10.2.0.1", "192.0.2.3", 443);
    stored();
    uint64_t began = w.now;
    bool there = false;
    while (!there && w.now < began + 60000) {
        struct fed_choice c = choose("s1.dc1");
        if (c.wait_ms) {
            w.now += c.wait_ms;
            continue;
        }
        char at[GATEWAY_TEXT];
        snprintf(at, sizeof at, "%.*s", STR_ARG(c.address));
        there = strcmp(at, "gw.example.com:443") == 0;
        if (c.source == FED_LOCAL)
            path_dead("s1.dc1", at);
        else if (!there)
            gateway_dead("s1.dc1", at);
        w.now += 100;
    }
    assert_true(there);
}

static void a_leader_whose_replication_fails_three_times_goes_past_local_gateways(void **state)
{
    (void)state;
    two_datacenters();
    fed_replicated(w.d, true);
    for (int i = 0; i < 2; i++)
        fed_replicated(w.d, false);
    assert_true(is_local(choose("s1.dc1")));
    fed_replicated(w.d, false);
    assert_int_equal(choose("s1.dc1").source, FED_PRIMARY);
    assert_true(is_local(choose("s3.dc3")));
    fed_replicated(w.d, true);
    assert_true(is_local(choose("s1.dc1")));
    for (int i = 0; i < 3; i++)
        fed_replicated(w.d, false);
    fed_leads_not(w.d);
    assert_true(is_local(choose("s1.dc1")));
}

static void W29_secondaries_reach_each_other_while_the_primary_is_down(void **state)
{
    (void)state;
    two_datacenters();
    for (int i = 0; i < 50; i++) {
        fed_replicated(w.d, false);
        gateway_dead("s1.dc1", "192.0.2.1:443");
        gateway_dead("s1.dc1", "192.0.2.11:443");
        path_dead("s1.dc1", "10.2.0.1:443");
        path_dead("s1.dc1", "10.2.0.2:443");
        struct fed_choice c = choose("s3.dc3");
        assert_true(is_local(c));
        assert_int_equal(c.wait_ms, 0);
        w.now += 1000;
    }
}

/* --- which one ------------------------------------------------------------------------------ */

static void B29_a_peer_keeps_its_gateway_and_peers_are_spread(void **state)
{
    (void)state;
    two_datacenters();
    size_t first = 0;
    for (int i = 0; i < 100; i++) {
        char name[32], at[GATEWAY_TEXT];
        snprintf(name, sizeof name, "s%d.dc3", i);
        snprintf(at, sizeof at, "%.*s", STR_ARG(choose(name).address));
        for (int k = 0; k < 5; k++) {
            w.now += 100000;
            assert_gateway(name, at);
        }
        first += strcmp(at, "10.2.0.1:443") == 0;
    }
    assert_in_range(first, 20, 80);
}

static void B29_a_failed_gateway_is_left_at_once_and_by_all(void **state)
{
    (void)state;
    two_datacenters();
    gateway_dead("s1.dc3", "10.2.0.1:443");
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%d.dc3", i);
        assert_gateway(name, "10.2.0.2:443");
        assert_int_equal(choose(name).wait_ms, 0);
    }
}

static void B29_the_least_recently_failed_one_is_tried_first(void **state)
{
    (void)state;
    two_datacenters();
    gateway_dead("s1.dc3", "10.2.0.1:443");
    w.now += 100;
    gateway_dead("s1.dc3", "10.2.0.2:443");
    assert_gateway("s1.dc3", "10.2.0.1:443");
    assert_in_range(choose("s1.dc3").wait_ms, 1, FED_BACKOFF_MIN_MS);
    w.now += 10000;
    assert_gateway("s1.dc3", "10.2.0.1:443");
    assert_int_equal(choose("s1.dc3").wait_ms, 0);
}

static void a_dead_server_is_no_dead_gateway(void **state)
{
    (void)state;
    two_datacenters();
    for (int i = 0; i < 5; i++) {
        path_dead("gone.dc3", "10.2.0.1:443");
        path_dead("gone.dc3", "10.2.0.2:443");
    }
    assert_true(choose("gone.dc3").wait_ms > 0);
    assert_int_equal(choose("s1.dc3").wait_ms, 0);
}

static void pauses_grow_to_a_bound(void **state)
{
    (void)state;
    live_in("dc1", "");
    gateway("dc1", "10.1.0.1", NULL, 443);
    stored();
    uint64_t last = 0;
    for (int i = 0; i < 40; i++) {
        gateway_dead("s2.dc2", "10.1.0.1:443");
        uint64_t pause = choose("s2.dc2").wait_ms;
        assert_true(pause >= last && pause <= FED_BACKOFF_MAX_MS);
        last = pause;
    }
    assert_int_equal(last, FED_BACKOFF_MAX_MS);
    path_works("s2.dc2", "10.1.0.1:443");
    assert_int_equal(choose("s2.dc2").wait_ms, 0);
}

static void a_choice_says_why(void **state)
{
    (void)state;
    two_datacenters();
    assert_string_equal(choose("s3.dc3").reason, "this peer's own among those that work");
    gateway_dead("s3.dc3", "10.2.0.1:443");
    gateway_dead("s3.dc3", "10.2.0.2:443");
    assert_string_equal(choose("s3.dc3").reason, "all failed lately, this one the longest ago");
    const struct fed_path *p = fed_path_at(w.d, 0);
    assert_string_equal(p->why, "connection refused");
    assert_int_equal(p->failures, 1);
}

static void remembered_paths_are_bounded(void **state)
{
    (void)state;
    two_datacenters();
    for (int i = 0; i < FED_PATHS_MAX + 500; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%d.dc3", i);
        path_dead(name, "10.2.0.1:443");
        w.now++;
    }
    assert_int_equal(fed_path_count(w.d), FED_PATHS_MAX);
    assert_true(choose("s4500.dc3").verdict == FED_GATEWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_marked_gateways_without_critical_checks_are_used),
        CASE(inside_the_lan_address_outside_the_wan_address),
        CASE(texts_without_a_port_are_no_addresses),
        CASE(an_order_of_records_changes_nothing),
        CASE(the_primary_goes_through_its_own_gateways_inside_addresses),
        CASE(a_secondary_reaches_another_through_its_own_gateways_alone),
        CASE(W1_a_follower_takes_a_local_gateway_while_one_works),
        CASE(W2_stored_states_lead_through_local_gateways_at_the_start),
        CASE(W4_before_the_state_is_read_nothing_is_chosen),
        CASE(W5_all_gateways_replaced_at_once_are_known_at_once),
        CASE(W5_the_own_catalog_is_ahead_of_the_own_record),
        CASE(W9_host_names_are_addresses_too),
        CASE(W10_IPv6_addresses_are_bracketed_and_unbracketed),
        CASE(W20_past_local_gateways_only_after_three_failures_and_back_if_that_fails),
        CASE(W20_one_success_forgives_failures),
        CASE(W21_all_primary_gateways_moved_the_configured_ones_lead_there),
        CASE(a_leader_whose_replication_fails_three_times_goes_past_local_gateways),
        CASE(W29_secondaries_reach_each_other_while_the_primary_is_down),
        CASE(B29_a_peer_keeps_its_gateway_and_peers_are_spread),
        CASE(B29_a_failed_gateway_is_left_at_once_and_by_all),
        CASE(B29_the_least_recently_failed_one_is_tried_first),
        CASE(a_dead_server_is_no_dead_gateway),
        CASE(pauses_grow_to_a_bound),
        CASE(a_choice_says_why),
        CASE(remembered_paths_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
