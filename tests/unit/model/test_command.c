/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded log entries and snapshot records: bodies decode and encode to the same bytes. */
#include "unit/model/vectors.h"

static const char *const sets[] = { "acl", "ca-rotation", "catalog", "edge", "primary",
    "secondary" };

struct count {
    const char *set;
    int seen, failed;
    bool covered[COMMAND_MAX];
};

static void check_entry(struct arena *a, const struct value *line, int number, void *arg)
{
    struct count *count = arg;
    if (get_number(line, "fsm_type") < 0) return;
    struct str data = recorded_bytes(a, line, "data_");
    uint8_t byte = (uint8_t)data.p[0];
    const struct command *c = command_get(byte & (uint8_t)~COMMAND_IGNORABLE);
    const char *what = str_printf(a, "%s/log.jsonl:%d type %u", count->set, number, byte).p;
    count->seen++;
    if (!c || !c->body) {
        print_error("%s: no such command\n", what);
        count->failed++;
        return;
    }
    count->covered[byte & ~COMMAND_IGNORABLE] = true;
    assert_int_equal(c->ignorable, (byte & COMMAND_IGNORABLE) != 0);
    count->failed += !same_again(what, c->body, str_slice(data, 1, data.n));
}

static void each_set(const char *file,
    void (*fn)(struct arena *, const struct value *, int, void *), struct count *count)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct arena a = ARENA_INIT;
        count->set = sets[i];
        each_line(str_printf(&a, VECTORS "fsm/%s/%s", sets[i], file).p, fn, count);
        arena_free(&a);
    }
}

static void log_bodies_survive_a_round_trip(void **state)
{
    (void)state;
    struct count count = { 0 };
    each_set("log.jsonl", check_entry, &count);
    assert_int_equal(count.failed, 0);
    assert_true(count.seen > 400);
    for (uint8_t type = 0; type < COMMAND_MAX; type++) {
        const struct command *c = command_get(type);
        assert_true(!c || !c->body || count.covered[type]);
    }
}

static void check_record(struct arena *a, const struct value *line, int number, void *arg)
{
    struct count *count = arg;
    struct str data = recorded_bytes(a, line, "");
    const struct type *t = &type_snapshot_header;
    size_t body = 0;
    if (get_number(line, "type") >= 0) {
        const struct command *c = command_get((uint8_t)data.p[0]);
        t = c ? c->record : NULL;
        body = 1;
    }
    const char *what = str_printf(a, "%s/records.jsonl:%d", count->set, number).p;
    count->seen++;
    if (t) {
        count->failed += !same_again(what, t, str_slice(data, body, data.n));
    } else {
        print_error("%s: no such record\n", what);
        count->failed++;
    }
}

static void snapshot_records_survive_a_round_trip(void **state)
{
    (void)state;
    struct count count = { 0 };
    each_set("records.jsonl", check_record, &count);
    assert_int_equal(count.failed, 0);
    assert_true(count.seen > 250);
}

static void commands_are_written_with_their_type_byte(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1024);
    struct list none = { 0 };
    command_encode(COMMAND_COORDINATE, &none, &out);
    assert_int_equal(out.n, 2);
    assert_memory_equal(out.p, "\x86\xc0", 2);
    buf_clear(&out);
    struct tombstone_request reap = { .op = STR("reap"), .reap_index = 300 };
    command_encode(COMMAND_TOMBSTONE, &reap, &out);
    assert_int_equal(out.p[0], COMMAND_TOMBSTONE);
    buf_deinit(&out);
    assert_null(command_get(10));
    assert_null(command_get(31));
    assert_null(command_get(255));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_written_with_their_type_byte),
        cmocka_unit_test(log_bodies_survive_a_round_trip),
        cmocka_unit_test(snapshot_records_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
