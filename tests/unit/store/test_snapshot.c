/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store/fsm_log.h"

#include "consuld/store_log.h"
#include "consuld/store_snapshot.h"
#include "world/faulty_disk.h"
#include "world/scratch.h"

struct memory_sink {
    struct snapshot_sink sink;
    struct buf out;
};

static int memory_write(struct snapshot_sink *s, const void *p, size_t n, struct error *err)
{
    (void)err;
    buf_put(&container_of(s, struct memory_sink, sink)->out, p, n);
    return 0;
}

static struct str written(struct store *s, struct arena *a)
{
    struct memory_sink sink = { .sink.write = memory_write, .out = BUF_INIT(64u << 20) };
    struct error err = { 0 };
    struct store_read *rd = store_read_create(s);
    if (snapshot_write(rd, &sink.sink, &err)) fail_msg("%s", err.text);
    store_read_destroy(rd);
    struct str out = str_dup(a, buf_str(&sink.out));
    buf_deinit(&sink.out);
    return out;
}

/* --- comparing ------------------------------------------------------------------------------ */

struct records {
    struct arena *a;
    struct list v; /* struct entry */
    uint64_t last_index;
};

struct entry {
    uint8_t type;
    struct str bytes; /* encoded again */
    void *body;
};

static int collect(void *ctx, uint8_t type, const void *body, struct arena *a, struct error *err)
{
    struct records *r = ctx;
    const struct type *t = command_get(type)->record;
    struct buf out = BUF_INIT(64u << 20);
    (void)a;
    (void)err;
    msgpack_encode(t, body, &out);
    struct entry e = { .type = type, .bytes = str_dup(r->a, buf_str(&out)) };
    buf_deinit(&out);
    e.body = arena_alloc(r->a, t->size);
    record_copy(r->a, t, e.body, body);
    *LIST_PUSH(r->a, &r->v, struct entry) = e;
    return 0;
}

/* Bytes may differ in the order of free-form maps alone. */
static bool same_record(const struct entry *x, const struct entry *y, struct arena *a)
{
    struct value v = { 0 }, w = { 0 };
    struct cursor c;
    if (x->type != y->type) return false;
    if (str_eq(x->bytes, y->bytes)) return true;
    if (x->type == COMMAND_CONFIG_ENTRY) {
        const struct config_entry_request *p = x->body, *q = y->body;
        struct config_entry_ref m = config_entry_ref(&p->entry), n = config_entry_ref(&q->entry);
        return record_equal(&type_config_entry_request, p, q) &&
               *m.create_index == *n.create_index && *m.modify_index == *n.modify_index;
    }
    cursor_init(&c, x->bytes.p, x->bytes.n, NULL);
    if (msgpack_decode_value(&c, a, &v)) return false;
    cursor_init(&c, y->bytes.p, y->bytes.n, NULL);
    return msgpack_decode_value(&c, a, &w) == 0 && value_equal(&v, &w);
}

static struct records records_of(struct str bytes, struct arena *a)
{
    struct records r = { .a = a };
    struct error err = { 0 };
    struct shared_body body = shared_body_view(bytes);
    if (snapshot_read(&body, collect, &r, &r.last_index, &err)) fail_msg("%s", err.text);
    return r;
}

static void assert_same_records(const char *set, struct str want, struct str got, struct arena *a)
{
    struct records w = records_of(want, a), g = records_of(got, a);
    size_t wrong = 0;
    assert_int_equal(w.last_index, g.last_index);
    for (size_t i = 0; i < w.v.n && i < g.v.n && wrong < 3; i++) {
        const struct entry *x = &LIST_AT(&w.v, struct entry, i),
                           *y = &LIST_AT(&g.v, struct entry, i);
        if (same_record(x, y, a)) continue;
        wrong++;
        print_error("%s record %zu: type %u of %zu bytes, not %u of %zu\n", set, i, y->type,
            y->bytes.n, x->type, x->bytes.n);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(w.v.n, g.v.n);
}

/* --- the recorded sets ------------------------------------------------------------------------ */

static struct str recorded_state(const char *set, struct arena *a)
{
    return read_file(a, str_printf(a, VECTORS "fsm/%s/state.bin", set).p);
}

static int restore(
    struct store *s, struct str bytes, uint64_t index, uint64_t term, struct error *err)
{
    struct shared_body body = shared_body_view(bytes);
    return snapshot_restore(s, &body, index, term, err);
}

static void restore_and_write(const char *set)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    struct str bytes = recorded_state(set, &a);
    if (restore(s, bytes, 1000, 7, &err)) fail_msg("%s: %s", set, err.text);
    assert_int_equal(store_applied_index(s), 1000);
    assert_int_equal(store_applied_term(s), 7);
    assert_same_records(set, bytes, written(s, &a), &a);
    store_close(s);
    arena_free(&a);
}

static void a_restored_snapshot_is_written_again_record_by_record(void **state)
{
    (void)state;
    static const char *const sets[] = { "acl", "ca-rotation", "catalog", "edge", "primary",
        "secondary" };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        restore_and_write(sets[i]);
}

static void apply_line(struct arena *a, const struct value *line, int number, void *arg)
{
    struct store_entry e = recorded_entry(a, line);
    struct command_result res;
    struct error err;
    (void)number;
    if (apply_one(arg, &e, a, &res, &err)) fail_msg("%s", err.text);
}

static void apply_and_write(const char *set)
{
    struct arena a = ARENA_INIT;
    struct store *s = store_fresh();
    each_line(str_printf(&a, VECTORS "fsm/%s/log.jsonl", set).p, apply_line, s);
    assert_same_records(set, recorded_state(set, &a), written(s, &a), &a);
    store_close(s);
    arena_free(&a);
}

static void a_replayed_log_gives_the_recorded_snapshot(void **state)
{
    (void)state;
    apply_and_write("ca-rotation");
    apply_and_write("catalog");
    apply_and_write("primary");
    apply_and_write("secondary");
}

/* The recording holds the first method alone, a defect of the original. */
static void every_auth_method_is_written(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct store *s = store_fresh();
    size_t methods = 0;
    each_line(VECTORS "fsm/acl/log.jsonl", apply_line, s);
    struct records r = records_of(written(s, &a), &a);
    for (size_t i = 0; i < r.v.n; i++)
        methods += LIST_AT(&r.v, struct entry, i).type == COMMAND_ACL_AUTH_METHOD_SET;
    assert_int_equal(methods, 2);
    assert_int_equal(r.v.n, records_of(recorded_state("acl", &a), &a).v.n + 1);
    store_close(s);
    arena_free(&a);
}

static void gateway_mappings_come_back_with_their_entry(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    struct list rows = { 0 };
    assert_int_equal(restore(s, recorded_state("catalog", &a), 223, 2, &err), 0);
    store_gateway_services(store_read(s), NULL, STR("termgw"), &a, &rows);
    assert_true(rows.n > 0);
    for (size_t i = 0; i < rows.n; i++)
        assert_int_equal(LIST_AT(&rows, struct gateway_service, i).modify_index, 114);
    store_close(s);
    arena_free(&a);
}

static void keys_of_any_length_come_back_and_fill_their_pages(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    char value[1001], key[700];
    memset(value, 'v', 1000);
    value[1000] = '\0';
    for (int i = 0; i < 3000; i++) {
        /* Long ones differ behind the place where keys are cut: they stand in another order. */
        snprintf(key, sizeof key, "%0*d", i % 10 ? 8 : 600, i * 7919 % 3000);
        kv(s, &a, "set", key, value);
    }
    struct str bytes = written(s, &a);
    uint64_t before = store_stats(s).map_used;
    if (restore(s, bytes, 9000, 7, &err)) fail_msg("%s", err.text);
    assert_true(str_eq(bytes, written(s, &a)));
    assert_true(store_stats(s).map_used < before * 4 / 5);
    store_close(s);
    arena_free(&a);
}

/* --- damaged bytes ---------------------------------------------------------------------------- */

static void a_refused_restore_leaves_the_state_alone(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    kv(s, &a, "set", "mine", "1");
    uint64_t applied = store_applied_index(s);
    struct str bytes = recorded_state("catalog", &a), before = written(s, &a);
    size_t cuts[] = { 0, 5, 14, 1000, 20001, bytes.n - 1 };
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        int code = restore(s, str_slice(bytes, 0, cuts[i]), 500, 7, &err);
        assert_true(code < 0);
        assert_non_null(strstr(err.text, "snapshot: "));
        assert_int_equal(store_applied_index(s), applied);
        assert_true(str_eq(before, written(s, &a)));
    }
    store_close(s);
    arena_free(&a);
}

static void an_unknown_record_is_named_with_its_place(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    struct buf bytes = BUF_INIT(4096);
    struct snapshot_header header = { .last_index = 3 };
    msgpack_encode(&type_snapshot_header, &header, &bytes);
    size_t at = bytes.n;
    buf_put_char(&bytes, 77);
    buf_put_char(&bytes, (char)0xc0);
    assert_int_equal(restore(s, buf_str(&bytes), 5, 1, &err), ERR_DECODE);
    assert_string_equal(
        err.text, str_printf(&a, "snapshot: unrecognized record type 77 at byte %zu", at).p);
    buf_deinit(&bytes);
    store_close(s);
    arena_free(&a);
}

/* --- files ------------------------------------------------------------------------------------ */

static struct snapshot_meta meta_at(uint64_t index, struct arena *a)
{
    struct snapshot_meta meta = { .index = index, .term = 2, .configuration_index = 1 };
    *LIST_PUSH(a, &meta.configuration.servers, struct snapshot_server) =
        (struct snapshot_server){ .id = STR("x"), .address = STR("127.0.0.1:8300") };
    return meta;
}

static int write_file(struct disk *disk, const char *dir, struct store *s, uint64_t index,
    struct arena *a, struct error *err)
{
    struct snapshot_meta meta = meta_at(index, a);
    struct store_read *rd = store_read_create(s);
    int code = snapshot_file_write(disk, dir, 1600000000000 + (int64_t)index, rd, &meta, a, err);
    store_read_destroy(rd);
    return code;
}

static size_t folders(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static void the_newest_of_two_kept_files_is_found(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    char *dir = scratch_create();
    struct snapshot_meta meta;
    bool found;
    struct shared_body *file;
    assert_int_equal(snapshot_file_newest(dir, &a, &meta, &found, &err), 0);
    assert_false(found);
    kv(s, &a, "set", "a", "1");
    for (uint64_t i = 8; i < 12; i++)
        if (write_file(disk_system(), dir, s, i, &a, &err)) fail_msg("%s", err.text);
    assert_int_equal(folders(dir), SNAPSHOTS_KEPT);
    assert_int_equal(snapshot_file_newest(dir, &a, &meta, &found, &err), 0);
    assert_true(found);
    assert_int_equal(meta.index, 11);
    assert_true(str_is(meta.id, "2-11-1600000000011"));
    assert_true(str_is(meta.peers, "\x91\xae"
                                   "127.0.0.1:8300"));
    assert_int_equal(meta.configuration.servers.n, 1);
    assert_int_equal(snapshot_file_open(dir, &meta, &file, &err), 0);
    assert_true(str_eq(shared_body_str(file), written(s, &a)));
    shared_body_unref(file);
    store_close(s);
    scratch_destroy(dir);
    arena_free(&a);
}

static void a_damaged_file_is_named(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct store *s = store_fresh();
    char *dir = scratch_create(), path[4300];
    struct snapshot_meta meta;
    bool found;
    struct shared_body *file;
    assert_int_equal(write_file(disk_system(), dir, s, 9, &a, &err), 0);
    assert_int_equal(snapshot_file_newest(dir, &a, &meta, &found, &err), 0);
    snprintf(path, sizeof path, "%s/%s/state.bin", dir, str_c(&a, meta.id));
    FILE *f = fopen(path, "r+b");
    fputc(0x55, f);
    fclose(f);
    assert_int_equal(snapshot_file_open(dir, &meta, &file, &err), ERR_DECODE);
    assert_non_null(strstr(err.text, "the sum of"));
    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(snapshot_file_open(dir, &meta, &file, &err), ERR_DECODE);
    assert_non_null(strstr(err.text, "has 3 bytes"));
    snprintf(path, sizeof path, "%s/%s/meta.json", dir, str_c(&a, meta.id));
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(snapshot_file_newest(dir, &a, &meta, &found, &err), ERR_DECODE);
    assert_non_null(strstr(err.text, "meta.json"));
    store_close(s);
    scratch_destroy(dir);
    arena_free(&a);
}

/* Whatever operation fails, the newest finished snapshot is whole. */
static void a_failing_operation_leaves_the_older_snapshot(void **state)
{
    (void)state;
    bool failed = true;
    for (long k = 1; failed && k < 100; k++) {
        struct arena a = ARENA_INIT;
        struct error err = { 0 };
        struct faulty_disk disk;
        struct store *s = store_fresh();
        char *dir = scratch_create();
        struct snapshot_meta meta;
        bool found;
        struct shared_body *file;
        assert_int_equal(write_file(disk_system(), dir, s, 5, &a, &err), 0);
        faulty_disk_init(&disk, EIO);
        disk.fail_at = k;
        int code = write_file(&disk.disk, dir, s, 6, &a, &err);
        failed = disk.failures > 0;
        if (code) assert_non_null(strstr(err.text, "Input/output error"));
        assert_int_equal(snapshot_file_newest(dir, &a, &meta, &found, &err), 0);
        assert_true(found);
        if (!code) assert_int_equal(meta.index, 6);
        assert_int_equal(snapshot_file_open(dir, &meta, &file, &err), 0);
        shared_body_unref(file);
        assert_int_equal(write_file(disk_system(), dir, s, 7, &a, &err), 0);
        assert_int_equal(folders(dir), SNAPSHOTS_KEPT);
        store_close(s);
        scratch_destroy(dir);
        arena_free(&a);
    }
}

static void the_sum_is_the_recorded_kind(void **state)
{
    (void)state;
    /* The check value of CRC-64/XZ, which Go calls ECMA. */
    assert_true(snapshot_crc(0, "123456789", 9) == UINT64_C(0x995dc9bbdf1939fa));
    assert_true(
        snapshot_crc(snapshot_crc(0, "1234", 4), "56789", 5) == UINT64_C(0x995dc9bbdf1939fa));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_snapshot_is_written_again_record_by_record),
        cmocka_unit_test(a_replayed_log_gives_the_recorded_snapshot),
        cmocka_unit_test(every_auth_method_is_written),
        cmocka_unit_test(gateway_mappings_come_back_with_their_entry),
        cmocka_unit_test(keys_of_any_length_come_back_and_fill_their_pages),
        cmocka_unit_test(a_refused_restore_leaves_the_state_alone),
        cmocka_unit_test(an_unknown_record_is_named_with_its_place),
        cmocka_unit_test(the_newest_of_two_kept_files_is_found),
        cmocka_unit_test(a_damaged_file_is_named),
        cmocka_unit_test(a_failing_operation_leaves_the_older_snapshot),
        cmocka_unit_test(the_sum_is_the_recorded_kind),
    };
    snapshot_init();
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
