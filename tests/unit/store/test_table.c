/* SPDX-License-Identifier: Apache-2.0 */
/* Rows under keys of any length, in the order of whole keys. */
#include "unit/store/fsm_log.h"

#define KEYS 300

struct fixture {
    struct store *s;
    struct arena a;
    struct str keys[KEYS];
    size_t n;
};

/* Keys over a small alphabet with long common beginnings, on both sides of the inline limit. */
static struct str random_key(struct arena *a, struct prng *r)
{
    static const size_t beginnings[] = { 0, 1, 5, 488, 489, 490, 491, 700 };
    size_t n = beginnings[prng_below(r, 8)], tail = prng_below(r, 4);
    char *p = arena_alloc(a, n + tail + 1);
    memset(p, prng_chance(r, 1, 4) ? 'b' : 'a', n);
    for (size_t i = 0; i < tail; i++)
        p[n + i] = (char)('a' + prng_below(r, 3));
    return (struct str){ p, n + tail };
}

static int key_order(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static struct fixture filled(uint64_t seed)
{
    struct fixture f = { .s = store_fresh() };
    struct prng r;
    prng_seed(&r, seed);
    for (int i = 0; i < KEYS; i++) {
        struct str key = random_key(&f.a, &r);
        size_t k = 0;
        while (k < f.n && !str_eq(f.keys[k], key))
            k++;
        if (k == f.n) f.keys[f.n++] = key;
        struct kvs_request q = { .op = STR("set"), .dir_ent = { .key = key, .value = key } };
        command(f.s, &f.a, COMMAND_KVS, &q);
    }
    qsort(f.keys, f.n, sizeof f.keys[0], key_order);
    return f;
}

static void teardown(struct fixture *f)
{
    store_close(f->s);
    arena_free(&f->a);
}

static void long_keys_are_found_and_hold_their_values(void **state)
{
    (void)state;
    struct fixture f = filled(1);
    for (size_t i = 0; i < f.n; i++) {
        struct dir_entry e;
        bool found;
        store_kv_get(store_read(f.s), NULL, f.keys[i], &f.a, &e, &found);
        assert_true(found);
        assert_true(str_eq(e.key, f.keys[i]));
        assert_true(str_eq(e.value, f.keys[i]));
    }
    teardown(&f);
}

static void scans_deliver_whole_keys_in_order_for_any_prefix(void **state)
{
    (void)state;
    struct fixture f = filled(2);
    struct prng r;
    prng_seed(&r, 3);
    size_t found = 0;
    for (int i = 0; i < 200; i++) {
        struct str prefix = random_key(&f.a, &r);
        struct list got = { 0 };
        store_kv_keys(store_read(f.s), NULL, prefix, STR_NIL, &f.a, &got);
        size_t at = 0;
        for (size_t k = 0; k < f.n; k++) {
            if (!str_has_prefix(f.keys[k], prefix)) continue;
            assert_true(at < got.n);
            assert_true(str_eq(LIST_AT(&got, struct str, at), f.keys[k]));
            at++;
        }
        assert_int_equal(at, got.n);
        found += at;
    }
    assert_true(found > 1000);
    teardown(&f);
}

static void scans_continue_at_a_key(void **state)
{
    (void)state;
    struct fixture f = filled(4);
    for (size_t i = 0; i < f.n; i += 7) {
        struct scan s;
        scan_begin(&s, &store_read(f.s)->view, TABLE_KVS, BY_KEY, STR_NIL);
        assert_true(scan_next(&s));
        scan_seek(&s, key_of_exact(&f.a, f.keys[i]));
        for (size_t k = i; k < f.n; k++) {
            assert_true(scan_next(&s));
            assert_true(str_eq(s.key, key_of_exact(&f.a, f.keys[k])));
        }
        assert_false(scan_next(&s));
        assert_false(scan_next(&s));
        scan_end(&s);
    }
    teardown(&f);
}

static void deleted_long_keys_are_gone(void **state)
{
    (void)state;
    struct fixture f = filled(5);
    for (size_t i = 0; i < f.n; i += 2) {
        struct kvs_request q = { .op = STR("delete"), .dir_ent = { .key = f.keys[i] } };
        command(f.s, &f.a, COMMAND_KVS, &q);
    }
    for (size_t i = 0; i < f.n; i++) {
        struct dir_entry e;
        bool found;
        store_kv_get(store_read(f.s), NULL, f.keys[i], &f.a, &e, &found);
        assert_int_equal(found, i % 2);
    }
    teardown(&f);
}

static void rows_with_long_names_are_indexed(void **state)
{
    (void)state;
    struct fixture f = { .s = store_fresh() };
    char node[601], name[601];
    memset(node, 'N', 600);
    memset(name, 's', 600);
    node[600] = name[600] = 0;
    node_register(f.s, &f.a, node, "10.0.0.1");
    service_register(f.s, &f.a, node, "b", name);
    service_register(f.s, &f.a, node, "a", name);
    struct list out = { 0 };
    assert_int_equal(store_service_nodes(store_read(f.s), NULL, str_of(name), NULL, &f.a, &out), 3);
    assert_int_equal(out.n, 2);
    assert_true(str_is(LIST_AT(&out, struct service_node, 0).service_id, "a"));
    assert_true(str_is(LIST_AT(&out, struct service_node, 1).node, node));
    deregister(f.s, &f.a, node, NULL, NULL);
    out.n = 0;
    store_service_nodes(store_read(f.s), NULL, str_of(name), NULL, &f.a, &out);
    assert_int_equal(out.n, 0);
    assert_int_equal(table_count(&store_read(f.s)->view, TABLE_SERVICES), 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_keys_are_found_and_hold_their_values),
        cmocka_unit_test(scans_deliver_whole_keys_in_order_for_any_prefix),
        cmocka_unit_test(scans_continue_at_a_key),
        cmocka_unit_test(deleted_long_keys_are_gone),
        cmocka_unit_test(rows_with_long_names_are_indexed),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
