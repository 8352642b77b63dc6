/* SPDX-License-Identifier: Apache-2.0 */
/* The tables themselves: every record that something can reach is prepared and laid out sanely. */
#include "unit/model/vectors.h"

static void check_type(const struct type *t, unsigned depth);

static bool json_name_is(const struct field *f, const char *name)
{
    return strcasecmp(f->json ? f->json : f->name, name) == 0;
}

static void check_record(const struct record *r, unsigned depth)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        if (f->flags & WIRE_SKIP) continue;
        if (record_field(r, str_of(f->name)) != f) fail_msg("%s is not prepared", r->name);
        assert_true(f->offset + f->type->size <= r->size);
        for (uint16_t j = 0; j < i; j++) {
            if (json_name_is(&r->fields[j], f->name)) fail_msg("%s: %s twice", r->name, f->name);
        }
        if (f->flags & (JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO)) {
            assert_int_equal(f->type->kind, KIND_DUR);
        }
        if (f->flags & TIME_PTR) assert_int_equal(f->type->kind, KIND_TIME);
        if (f->flags & ANY_MAP) assert_int_equal(f->type->kind, KIND_ANY);
        if (f->bits) assert_int_equal(f->type->kind, KIND_UINT);
        check_type(f->type, depth);
    }
}

/* Service definitions hold sidecar definitions: the depth ends that circle. */
static void check_type(const struct type *t, unsigned depth)
{
    if (depth > 12) return;
    if (t->elem) check_type(t->elem, depth + 1);
    if (t->record) check_record(t->record, depth + 1);
}

static void all_rpc_messages_are_prepared(void **state)
{
    (void)state;
    for (size_t i = 0; i < method_count; i++) {
        check_type(method_table[i].args, 0);
        check_type(method_table[i].reply, 0);
    }
}

static void all_commands_and_snapshot_records_are_prepared(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < COMMAND_MAX; i++) {
        const struct command *c = command_get(i);
        if (c && c->body) check_type(c->body, 0);
        if (c && c->record) check_type(c->record, 0);
    }
}

static void raft_indexes_do_not_count_as_a_difference(void **state)
{
    (void)state;
    struct node_service a = { .id = STR("w"), .service = STR("web"), .tags = LIST_EMPTY }, b = a;
    b.create_index = 3;
    b.modify_index = 9;
    b.locally_registered_as_sidecar = true;
    assert_true(record_equal(&type_node_service, &a, &b));
    b.tags = (struct list){ 0 };
    assert_false(record_equal(&type_node_service, &a, &b));
}

static void copies_of_every_message_are_equal(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < method_count; i++) {
        const struct type *t = method_table[i].reply;
        void *from = arena_alloc(&a, t->size), *to = arena_alloc(&a, t->size);
        record_copy(&a, t, to, from);
        assert_true(record_equal(t, from, to));
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rpc_messages_are_prepared),
        cmocka_unit_test(all_commands_and_snapshot_records_are_prepared),
        cmocka_unit_test(raft_indexes_do_not_count_as_a_difference),
        cmocka_unit_test(copies_of_every_message_are_equal),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
