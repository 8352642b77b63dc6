/* SPDX-License-Identifier: Apache-2.0 */
/* Rows come back as they were written; damaged ones are refused. */
#include "unit/store/fsm_log.h"

#include "pack.h"

static const char *const sets[] = { "acl", "ca-rotation", "catalog", "edge", "primary",
    "secondary" };

static int seen;

static void round_trip(struct arena *a, const struct type *t, struct str body)
{
    struct cursor c;
    struct buf packed = BUF_INIT(16u << 20), one = BUF_INIT(16u << 20), two = BUF_INIT(16u << 20);
    void *obj = arena_alloc(a, t->size), *back = arena_alloc(a, t->size);
    cursor_init(&c, body.p, body.n, NULL);
    assert_int_equal(msgpack_decode(&c, a, t, obj), 0);
    pack_value(t, obj, &packed);
    memset(back, 0xa5, t->size);
    assert_true(unpack_value(t, buf_str(&packed), a, back));
    assert_true(record_equal(t, obj, back));
    msgpack_encode(t, obj, &one);
    msgpack_encode(t, back, &two);
    assert_true(str_eq(buf_str(&one), buf_str(&two)));
    size_t step = packed.n > 4096 ? packed.n / 64 : 1;
    for (size_t n = 0; n < packed.n; n += step)
        assert_false(unpack_value(t, str_slice(buf_str(&packed), 0, n), a, back));
    buf_deinit(&packed);
    buf_deinit(&one);
    buf_deinit(&two);
    seen++;
}

static void check_line(struct arena *a, const struct value *line, int number, void *arg)
{
    (void)number;
    (void)arg;
    struct str data = recorded_bytes(a, line, "");
    const struct value *type = get(line, "type");
    if (!type || type->kind != V_NUMBER) return;
    const struct command *c = command_get((uint8_t)data.p[0]);
    round_trip(a, c->record, str_slice(data, 1, data.n));
}

static void recorded_rows_come_back_as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct arena a = ARENA_INIT;
        each_line(str_printf(&a, VECTORS "fsm/%s/records.jsonl", sets[i]).p, check_line, NULL);
        arena_free(&a);
    }
    assert_true(seen > 200);
}

static void changed_bytes_never_crash(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct prng r;
    struct buf packed = BUF_INIT(1u << 20);
    struct node_service svc = { .id = STR("web"), .service = STR("web"), .port = 80 };
    *LIST_PUSH(&a, &svc.tags, struct str) = STR("tag");
    dict_set_str(&a, &svc.meta, STR("k"), STR("v"));
    svc.weights = &(struct weights){ 1, 2 };
    pack_value(&type_node_service, &svc, &packed);
    prng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        struct str copy = str_dup(&a, buf_str(&packed));
        for (int k = 0; k < 3; k++)
            ((char *)(uintptr_t)copy.p)[prng_below(&r, copy.n)] = (char)prng_next(&r);
        struct node_service back;
        (void)unpack_value(&type_node_service, copy, &a, &back);
        if (i % 100 == 0) arena_reset(&a);
    }
    buf_deinit(&packed);
    arena_free(&a);
}

static void fingerprint_tells_records_apart(void **state)
{
    (void)state;
    assert_true(pack_fingerprint(1, &type_node) == pack_fingerprint(1, &type_node));
    assert_true(pack_fingerprint(1, &type_node) != pack_fingerprint(2, &type_node));
    assert_true(pack_fingerprint(1, &type_node) != pack_fingerprint(1, &type_node_list));
    assert_true(pack_fingerprint(1, &type_node) != pack_fingerprint(1, &type_session));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_rows_come_back_as_they_were),
        cmocka_unit_test(changed_bytes_never_crash),
        cmocka_unit_test(fingerprint_tells_records_apart),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
