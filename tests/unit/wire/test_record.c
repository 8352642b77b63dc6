/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

static struct arena arena;
static const struct record_hash_name NONE[1];

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void fields_are_found_by_their_name(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < record_sample.n; i++) {
        const struct field *f = &record_sample.fields[i];
        assert_ptr_equal(record_field(&record_sample, str_of(f->name)), f);
    }
    assert_null(record_field(&record_sample, STR("zone")));
    assert_null(record_field(&record_sample, STR("")));
    assert_null(record_field(&record_sample, STR("Zoned")));
}

static void lists_grow_and_borrowed_ones_are_left_alone(void **state)
{
    (void)state;
    struct str three[] = { STR("a"), STR("b"), STR("c") };
    struct list l = { .v = three, .n = 3 };
    *LIST_PUSH(&arena, &l, struct str) = STR("d");
    assert_ptr_not_equal(l.v, three);
    for (int i = 0; i < 100; i++)
        *LIST_PUSH(&arena, &l, struct str) = STR("x");
    assert_int_equal(l.n, 104);
    assert_str(LIST_AT(&l, struct str, 0), "a");
    assert_str(LIST_AT(&l, struct str, 3), "d");
    assert_str(LIST_AT(&l, struct str, 103), "x");
    struct list empty = LIST_EMPTY;
    *LIST_PUSH(&arena, &empty, struct str) = STR("one");
    assert_int_equal(empty.n, 1);
}

static void maps_hold_one_value_per_key(void **state)
{
    (void)state;
    struct dict d = { 0 };
    assert_null(dict_str(&d, STR("a")).p);
    dict_set_str(&arena, &d, STR("a"), STR("1"));
    dict_set_str(&arena, &d, STR("b"), STR("2"));
    dict_set_str(&arena, &d, STR("a"), STR("3"));
    assert_int_equal(d.n, 2);
    assert_str(dict_str(&d, STR("a")), "3");
    dict_remove(&d, &type_str, STR("a"));
    dict_remove(&d, &type_str, STR("nope"));
    assert_int_equal(d.n, 1);
    assert_null(dict_get(&d, &type_str, STR("a")));
    assert_str(dict_key(&d, &type_str, 0), "b");
}

static void copies_are_equal_and_own_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct arena source = ARENA_INIT;
        struct generator g = { .a = &source };
        prng_seed(&g.rng, seed);
        struct sample s = { 0 }, same = { 0 }, copy = { 0 };
        random_fill(&g, &type_sample, 0, 4, &s);
        prng_seed(&g.rng, seed);
        random_fill(&g, &type_sample, 0, 4, &same);
        record_copy(&arena, &type_sample, &copy, &s);
        assert_true(record_equal(&type_sample, &s, &copy));
        arena_free(&source); /* touching it now would be caught */
        struct buf out = BUF_INIT(1 << 26);
        msgpack_encode(&type_sample, &copy, &out);
        assert_false(out.overflow);
        buf_deinit(&out);
        arena_reset(&arena);
    }
}

static void changed_fields_make_records_differ(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct generator g = { .a = &arena };
        prng_seed(&g.rng, seed);
        struct sample a = { 0 };
        random_fill(&g, &type_sample, 0, 4, &a);
        for (uint16_t i = 0; i < record_sample.n; i++) {
            const struct field *f = &record_sample.fields[i];
            if (f->flags & (COMPARE_SKIP | ANY_MAP)) continue;
            struct sample b = a;
            char *member = (char *)&b + f->offset;
            memset(member, 0, f->type->size);
            random_fill(&g, f->type, f->bits, 3, member);
            bool same = record_equal(f->type, (char *)&a + f->offset, member);
            assert_int_equal(record_equal(&type_sample, &a, &b), same);
        }
        arena_reset(&arena);
    }
}

static void raft_indexes_are_not_compared(void **state)
{
    (void)state;
    struct sample a = { .index = 1 }, b = { .index = 2 };
    assert_true(record_equal(&type_sample, &a, &b));
}

static void order_of_maps_does_not_matter(void **state)
{
    (void)state;
    struct dict a = { 0 }, b = { 0 };
    static const char *const keys[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < 5; i++) {
        dict_set_str(&arena, &a, str_of(keys[i]), str_of(keys[i]));
        dict_set_str(&arena, &b, str_of(keys[4 - i]), str_of(keys[4 - i]));
    }
    assert_true(record_equal(&type_map_str, &a, &b));
    assert_true(record_hash(&type_map_str, &a, NONE) == record_hash(&type_map_str, &b, NONE));
    dict_set_str(&arena, &b, STR("a"), STR("b"));
    assert_false(record_equal(&type_map_str, &a, &b));
}

static void order_of_large_maps_does_not_matter(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct dict a = { 0 }, b = { 0 };
    struct value m = { .kind = V_MAP }, n = { .kind = V_MAP };
    for (int i = 0; i < N; i++) {
        struct str up = str_printf(&arena, "k%d", i), down = str_printf(&arena, "k%d", N - 1 - i);
        *(struct str *)dict_append(&arena, &a, &type_str, up) = up;
        *(struct str *)dict_append(&arena, &b, &type_str, down) = down;
        *value_map_add(&arena, &m, up) = value_of_str(up);
        *value_map_add(&arena, &n, down) = value_of_str(down);
    }
    assert_true(record_equal(&type_map_str, &a, &b));
    assert_true(value_equal(&m, &n));
    dict_set_str(&arena, &b, STR("k7"), STR("other"));
    assert_false(record_equal(&type_map_str, &a, &b));
    *value_get(&n, STR("k4999")) = value_of_str(STR("other"));
    assert_false(value_equal(&m, &n));
    *value_map_add(&arena, &m, STR("k0")) = value_of_str(STR("k0"));
    *value_map_add(&arena, &n, STR("k4999")) = value_of_str(STR("k4999"));
    assert_true(value_equal(&m, &n)); /* the last of equal keys counts */
}

static void nil_and_empty_differ(void **state)
{
    (void)state;
    struct list nil = { 0 }, empty = LIST_EMPTY;
    assert_false(record_equal(&type_list_str, &nil, &empty));
    struct str none = STR_NIL, blank = STR("");
    assert_false(record_equal(&type_bytes, &none, &blank));
    assert_true(record_equal(&type_str, &none, &blank));
    struct list copy;
    record_copy(&arena, &type_list_str, &copy, &empty);
    assert_non_null(copy.v);
    record_copy(&arena, &type_list_str, &copy, &nil);
    assert_null(copy.v);
}

static void values_compare_by_kind_and_content(void **state)
{
    (void)state;
    struct value i = { .kind = V_INT, .i = 3 }, u = { .kind = V_UINT, .u = 3 };
    assert_false(value_equal(&i, &u));
    struct value m = { .kind = V_MAP }, n = { .kind = V_MAP };
    *value_map_add(&arena, &m, STR("x")) = i;
    *value_map_add(&arena, &m, STR("y")) = u;
    *value_map_add(&arena, &n, STR("y")) = u;
    *value_map_add(&arena, &n, STR("x")) = i;
    assert_true(value_equal(&m, &n));
    assert_true(record_hash(&type_any, &m, NONE) == record_hash(&type_any, &n, NONE));
    *value_map_add(&arena, &n, STR("z")) = i;
    assert_false(value_equal(&m, &n));
    struct value copy = value_copy(&arena, &n);
    assert_true(value_equal(&copy, &n));
    assert_non_null(value_get(&copy, STR("z")));
    assert_null(value_get(&copy, STR("Z")));
    assert_null(value_get(&i, STR("z")));
    value_get(&copy, STR("z"))->i = 4;
    assert_false(value_equal(&copy, &n));
}

static void empty_is_what_omitempty_leaves_out(void **state)
{
    (void)state;
    struct sample s = { 0 };
    for (uint16_t i = 0; i < record_sample.n; i++) {
        const struct field *f = &record_sample.fields[i];
        bool never = f->type->kind == KIND_REC || f->type->kind == KIND_TIME;
        assert_int_equal(record_is_empty(f->type, (char *)&s + f->offset), !never);
    }
    struct list l = LIST_EMPTY;
    assert_true(record_is_empty(&type_list_str, &l));
    int64_t one = 1;
    assert_false(record_is_empty(&type_int, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_by_their_name),
        cmocka_unit_test(lists_grow_and_borrowed_ones_are_left_alone),
        cmocka_unit_test(maps_hold_one_value_per_key),
        cmocka_unit_test(copies_are_equal_and_own_everything),
        cmocka_unit_test(changed_fields_make_records_differ),
        cmocka_unit_test(raft_indexes_are_not_compared),
        cmocka_unit_test(order_of_maps_does_not_matter),
        cmocka_unit_test(order_of_large_maps_does_not_matter),
        cmocka_unit_test(nil_and_empty_differ),
        cmocka_unit_test(values_compare_by_kind_and_content),
        cmocka_unit_test(empty_is_what_omitempty_leaves_out),
    };
    return cmocka_run_group_tests(tests, sample_setup, teardown);
}
