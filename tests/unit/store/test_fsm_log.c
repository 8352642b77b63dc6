/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded logs applied entry by entry: each answer, and what each does to the index table. */
#include "unit/store/fsm_log.h"

struct replay {
    const char *set;
    struct store *store;
    int applied, wrong;
};

struct index_dump {
    struct arena *a;
    struct list entries; /* struct index_entry */
};

static void dump_add(void *ctx, struct str key, uint64_t value)
{
    struct index_dump *d = ctx;
    *LIST_PUSH(d->a, &d->entries, struct index_entry) =
        (struct index_entry){ str_dup(d->a, key), value };
}

static struct list index_table(struct store *s, struct arena *a)
{
    struct index_dump d = { .a = a };
    index_each(&store_read(s)->view, dump_add, &d);
    return d.entries;
}

static const struct index_entry *entry_of(const struct list *table, struct str key)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct index_entry *e = &LIST_AT(table, struct index_entry, i);
        if (str_eq(e->key, key)) return e;
    }
    return NULL;
}

/* As recorded: the new value of each changed entry, null for a removed one. */
static struct value changes(struct arena *a, const struct list *before, const struct list *after)
{
    struct value v = { .kind = V_MAP };
    for (size_t i = 0; i < after->n; i++) {
        const struct index_entry *e = &LIST_AT(after, struct index_entry, i);
        const struct index_entry *old = entry_of(before, e->key);
        if (old && old->value == e->value) continue;
        *value_map_add(a, &v, e->key) = (struct value){ .kind = V_NUMBER,
            .s = str_printf(a, "%llu", (unsigned long long)e->value) };
    }
    for (size_t i = 0; i < before->n; i++) {
        const struct index_entry *e = &LIST_AT(before, struct index_entry, i);
        if (!entry_of(after, e->key))
            *value_map_add(a, &v, e->key) = (struct value){ .kind = V_NIL };
    }
    return v;
}

static struct value answer(struct arena *a, const struct command_result *res)
{
    struct buf out = BUF_INIT(4u << 20);
    struct value v = { .kind = V_NIL };
    switch (res->kind) {
    case RESULT_NIL:
    case RESULT_SKIPPED:
        break;
    case RESULT_BOOL:
        v = (struct value){ .kind = V_BOOL, .b = res->ok };
        break;
    case RESULT_STR:
    case RESULT_ERROR:
        v = value_of_str(res->text);
        break;
    case RESULT_UINT:
        v = (struct value){ .kind = V_NUMBER,
            .s = str_printf(a, "%llu", (unsigned long long)res->number) };
        break;
    case RESULT_TXN:
        json_encode(&type_txn_response, res->txn, false, &out);
        v = parse(a, "answer", str_dup(a, buf_str(&out)));
        break;
    }
    buf_deinit(&out);
    return v;
}

static const char *text_of(struct arena *a, const struct value *v)
{
    struct buf out = BUF_INIT(4u << 20);
    json_encode_value(v, false, &out);
    const char *text = str_c(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void compare(struct replay *r, struct arena *a, const struct value *line, const char *what,
    const struct value *want, const struct value *got)
{
    if (value_equal(want, got)) return;
    print_error("%s %lld (%s %s) %s\n  want %s\n  got  %s\n", r->set,
        (long long)get_number(line, "index"), get_text(a, line, "fsm_name"),
        get_text(a, line, "note"), what, text_of(a, want), text_of(a, got));
    r->wrong++;
}

static void apply_line(struct arena *a, const struct value *line, int number, void *arg)
{
    (void)number;
    struct replay *r = arg;
    struct store_entry e = recorded_entry(a, line);
    struct command_result res;
    struct error err;
    struct list before = index_table(r->store, a);
    if (apply_one(r->store, &e, a, &res, &err) != 0) {
        print_error("%s %lld: %s\n", r->set, (long long)e.index, err.text);
        r->wrong++;
        return;
    }
    r->applied++;
    assert_int_equal(store_applied_index(r->store), e.index);
    struct list after = index_table(r->store, a);
    struct value none = { .kind = V_MAP }, got = changes(a, &before, &after);
    const struct value *want = get(line, "index_changes");
    compare(r, a, line, "index", want ? want : &none, &got);
    const struct value *response = get(line, "response");
    if (!response) return;
    got = answer(a, &res);
    bool is_error = strcmp(get_text(a, response, "kind"), "error") == 0;
    if (is_error != (res.kind == RESULT_ERROR)) {
        print_error("%s %llu: refused or not\n", r->set, (unsigned long long)e.index);
        r->wrong++;
    }
    compare(r, a, line, "response", get(response, "value"), &got);
}

static void replay_set(const char *set)
{
    struct arena a = ARENA_INIT;
    struct replay r = { .set = set, .store = store_fresh() };
    each_line(str_printf(&a, VECTORS "fsm/%s/log.jsonl", set).p, apply_line, &r);
    store_close(r.store);
    arena_free(&a);
    assert_true(r.applied > 10);
    assert_int_equal(r.wrong, 0);
}

static void catalog_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("catalog");
}

static void edge_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("edge");
}

static void acl_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("acl");
}

static void ca_rotation_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("ca-rotation");
}

static void primary_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("primary");
}

static void secondary_log_gives_the_recorded_answers(void **state)
{
    (void)state;
    replay_set("secondary");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog_log_gives_the_recorded_answers),
        cmocka_unit_test(edge_log_gives_the_recorded_answers),
        cmocka_unit_test(acl_log_gives_the_recorded_answers),
        cmocka_unit_test(ca_rotation_log_gives_the_recorded_answers),
        cmocka_unit_test(primary_log_gives_the_recorded_answers),
        cmocka_unit_test(secondary_log_gives_the_recorded_answers),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
