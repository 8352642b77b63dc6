/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

static struct arena arena;
static struct buf out = BUF_INIT(1 << 26);
static struct error err;

#define DOC_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, key, STR, "Key") \
    X(S, value, BYTES, "Value") \
    X(S, index, UINT, "MinQueryIndex") \
    X(S, stale, BOOL, "AllowStale")
DECLARE_RECORD(doc, DOC_FIELDS)
DEFINE_RECORD(doc, DOC_FIELDS, "Doc")

static int setup(void **state)
{
    record_init(&record_doc);
    return sample_setup(state);
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_deinit(&out);
    return 0;
}

static int decode_as(const struct type *t, void *obj, const char *hex)
{
    struct str bytes = unhex(&arena, hex);
    struct cursor c;
    err.text[0] = 0;
    cursor_init(&c, bytes.p, bytes.n, &err);
    int rc = msgpack_decode(&c, &arena, t, obj);
    if (rc == 0) assert_int_equal(cursor_left(&c), 0);
    return rc;
}

static struct doc decode_doc(const char *hex)
{
    struct doc d = { 0 };
    if (decode_as(&type_doc, &d, hex)) fail_msg("%s: %s", hex, err.text);
    return d;
}

static void refused(const struct type *t, const char *hex, const char *text)
{
    char obj[1024] = { 0 };
    assert_true(t->size <= sizeof obj);
    assert_int_equal(decode_as(t, obj, hex), ERR_DECODE);
    assert_string_equal(err.text, text);
}

static void encoded(const char *hex)
{
    struct str expected = unhex(&arena, hex);
    assert_int_equal(out.n, expected.n);
    assert_memory_equal(out.p, expected.p, expected.n);
    buf_clear(&out);
}

static void integers_take_the_smallest_form(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        const char *hex;
    } rows[] = {
        { 0, "00" },
        { 127, "7f" },
        { 128, "cc80" },
        { 255, "ccff" },
        { 256, "cd0100" },
        { 65535, "cdffff" },
        { 65536, "ce00010000" },
        { 4294967295, "ceffffffff" },
        { 4294967296, "cf0000000100000000" },
        { INT64_MAX, "cf7fffffffffffffff" },
        { -1, "ff" },
        { -32, "e0" },
        { -33, "d0df" },
        { -128, "d080" },
        { -129, "d1ff7f" },
        { -32768, "d18000" },
        { -32769, "d2ffff7fff" },
        { INT32_MIN, "d280000000" },
        { INT64_C(-2147483649), "d3ffffffff7fffffff" },
        { INT64_MIN, "d38000000000000000" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        msgpack_put_int(&out, rows[i].v);
        encoded(rows[i].hex);
        int64_t back = 0;
        assert_int_equal(decode_as(&type_int, &back, rows[i].hex), 0);
        assert_int_equal(back, rows[i].v);
    }
    msgpack_put_uint(&out, UINT64_MAX);
    encoded("cfffffffffffffffff");
}

static void strings_are_old_raws_of_three_sizes(void **state)
{
    (void)state;
    static char text[70000];
    memset(text, 'x', sizeof text);
    static const struct {
        size_t n;
        const char *head;
    } rows[] = { { 0, "a0" }, { 31, "bf" }, { 32, "da0020" }, { 255, "da00ff" },
        { 65535, "daffff" }, { 65536, "db00010000" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        msgpack_put_str(&out, (struct str){ text, rows[i].n });
        struct str head = unhex(&arena, rows[i].head);
        assert_int_equal(out.n, head.n + rows[i].n);
        assert_memory_equal(out.p, head.p, head.n);
        buf_clear(&out);
    }
}

static void nil_is_apart_from_empty(void **state)
{
    (void)state;
    struct list l = { 0 };
    msgpack_encode(&type_list_str, &l, &out);
    encoded("c0");
    l = LIST_EMPTY;
    msgpack_encode(&type_list_str, &l, &out);
    encoded("90");
    struct dict d = { 0 };
    msgpack_encode(&type_map_str, &d, &out);
    encoded("c0");
    d = DICT_EMPTY;
    msgpack_encode(&type_map_str, &d, &out);
    encoded("80");
    struct str s = STR_NIL;
    msgpack_encode(&type_bytes, &s, &out);
    encoded("c0");
    msgpack_encode(&type_str, &s, &out);
    encoded("a0");
    assert_int_equal(decode_as(&type_bytes, &s, "a0"), 0);
    assert_non_null(s.p);
    assert_int_equal(decode_as(&type_list_str, &l, "90"), 0);
    assert_non_null(l.v);
    assert_int_equal(decode_as(&type_list_str, &l, "c0"), 0);
    assert_null(l.v);
}

static void fields_are_written_sorted_by_name(void **state)
{
    (void)state;
    struct part p = { .name = STR("a"), .weight = 1.5F, .count = -2 };
    msgpack_encode(&type_part, &p, &out);
    encoded("83a5436f756e74fea44e616d65a161a6576569676874ca3fc00000");
}

static void times_are_fifteen_raw_bytes(void **state)
{
    (void)state;
    struct gotime t = { 0, 0, 0 };
    msgpack_encode(&type_time, &t, &out);
    encoded("af010000000000000000"
            "00000000"
            "ffff");
    assert_int_equal(decode_as(&type_time, &t,
                         "af010000000ed5c1b580"
                         "075bcd15"
                         "014a"),
        0);
    assert_int_equal(t.sec, 0x0ed5c1b580);
    assert_int_equal(t.nsec, 123456789);
    assert_int_equal(t.offset_min, 330);
    assert_int_equal(decode_as(&type_time, &t,
                         "b0020000000ed5c1b580"
                         "075bcd15"
                         "014a"
                         "1e"),
        0);
    assert_int_equal(t.offset_min, 330);
    assert_int_equal(decode_as(&type_time, &t, "c0"), 0);
    assert_true(gotime_is_zero(t));
    refused(&type_time, "a3010000", "codec.decoder: Time.UnmarshalBinary: invalid length");
    refused(&type_time, "a103", "codec.decoder: Time.UnmarshalBinary: unsupported version");
}

static void carriers_are_wrapped_wherever_they_occur(void **state)
{
    (void)state;
    struct carrier c = { .kind = STR("k") };
    msgpack_encode(&type_carrier, &c, &out);
    encoded("b0"
            "82a6436f6e666967c0a44b696e64a16b");
    struct list l = { .v = &c, .n = 1 };
    msgpack_encode(&type_carrier_list, &l, &out);
    encoded("91b0"
            "82a6436f6e666967c0a44b696e64a16b");
    struct carrier *p = NULL;
    msgpack_encode(&type_carrier_ptr, &p, &out);
    encoded("c0");
    /* A content that ends early is malformed, not incomplete. */
    refused(&type_carrier, "a282a6", "EOF");
    refused(&type_carrier, "82a6436f6e666967c0a44b696e64a16b",
        "codec.decoder: readContainerLen: Unrecognized descriptor byte: hex: 82, dec: 130");
}

static void large_carriers_get_the_right_head(void **state)
{
    (void)state;
    static char text[70000];
    memset(text, 'x', sizeof text);
    for (size_t n = 1; n < sizeof text; n = n * 3 + 5) {
        struct carrier c = { .kind = { text, n } }, back = { 0 };
        msgpack_encode(&type_carrier, &c, &out);
        struct cursor cur;
        cursor_init(&cur, out.p, out.n, &err);
        assert_int_equal(msgpack_decode(&cur, &arena, &type_carrier, &back), 0);
        assert_int_equal(cursor_left(&cur), 0);
        assert_true(record_equal(&type_carrier, &c, &back));
        buf_clear(&out);
    }
}

/* Requests recorded under "Malformed" and "Codec". */
static void odd_forms_are_accepted(void **state)
{
    (void)state;
    struct doc d = decode_doc(
        "83a7556e6b6e6f776e81a16101aa4461746163656e746572a3646331a34b6579a76170702f6f6e65");
    assert_str(d.datacenter, "dc1");
    assert_str(d.key, "app/one");
    d = decode_doc("82a34b6579c0aa4461746163656e746572a3646331");
    assert_int_equal(d.key.n, 0);
    d = decode_doc("92a3646331a76170702f6f6e65");
    assert_str(d.datacenter, "dc1");
    assert_str(d.key, "app/one");
    d = decode_doc("97a3646331a161c0000192810203a178"
                   "07");
    assert_str(d.key, "a");
    d = decode_doc("c0");
    assert_null(d.key.p);
    d = decode_doc("82aa4461746163656e746572a3646331a34b6579d90161");
    assert_str(d.key, "a");
    d = decode_doc("82a556616c7565c4026869ad4d696e5175657279496e646578d30000000000000007");
    assert_str(d.value, "hi");
    assert_int_equal(d.index, 7);
    d = decode_doc("81aa416c6c6f775374616c6501");
    assert_true(d.stale);
    d = decode_doc("82a34b6579a161a35a7a7a81a171920181a177c0");
    assert_str(d.key, "a");
    d = decode_doc("82a34b6579a161a34b6579a162"); /* last one wins */
    assert_str(d.key, "b");
    struct list l = { 0 };
    assert_int_equal(decode_as(&type_list_str, &l, "82a161a162a163a164"), 0);
    assert_int_equal(l.n, 4);
    double f = 0;
    assert_int_equal(decode_as(&type_f64, &f, "fe"), 0);
    assert_true(f == -2);
    assert_int_equal(decode_as(&type_f64, &f, "ca3fc00000"), 0);
    assert_true(f == 1.5);
}

static void wrong_types_are_refused_with_the_decoders_text(void **state)
{
    (void)state;
    refused(&type_doc, "82aa4461746163656e746572a3646331a34b65799101",
        "codec.decoder: readContainerLen: Unrecognized descriptor byte: hex: 91, dec: 145");
    refused(&type_doc, "05",
        "codec.decoder: Only encoded map or array can be decoded into a struct. (valueType: 2)");
    refused(&type_doc, "82aa4461746163656e746572a3646331a34b6579c40161",
        "codec.decoder: readContainerLen: Unrecognized descriptor byte: hex: c4, dec: 196");
    refused(&type_doc, "81ad4d696e5175657279496e646578ff",
        "codec.decoder: Assigning negative signed value: 255, to unsigned type");
    refused(&type_uint, "d0df",
        "codec.decoder: Assigning negative signed value: -33, to unsigned type");
    refused(
        &type_int, "cfffffffffffffffff", "codec.decoder: Overflow int value: 18446744073709551615");
    char tiny[] = "81a454696e79cc80";
    refused(&type_sample, tiny, "codec.decoder: Overflow int value: 128");
    refused(&type_sample, "81a5536d616c6ccf0000000100000000",
        "codec.decoder: Overflow uint value: 4294967296");
    refused(&type_any, "c1",
        "codec.decoder: Nil-Deciphered DecodeValue: Unrecognized descriptor byte: hex: c1, dec: "
        "193");
}

static void random_records_survive_a_round_trip(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct generator g = { .a = &arena };
        prng_seed(&g.rng, seed);
        struct sample s = { 0 }, back = { 0 };
        random_fill(&g, &type_sample, 0, 4, &s);
        msgpack_encode(&type_sample, &s, &out);
        assert_false(out.overflow);
        struct cursor c;
        cursor_init(&c, out.p, out.n, &err);
        if (msgpack_decode(&c, &arena, &type_sample, &back))
            fail_msg("seed %d: %s", (int)seed, err.text);
        assert_int_equal(cursor_left(&c), 0);
        if (!record_equal(&type_sample, &s, &back)) fail_msg("seed %d", (int)seed);
        assert_int_equal(s.index, back.index);
        struct buf again = BUF_INIT(1 << 26);
        msgpack_encode(&type_sample, &back, &again);
        assert_int_equal(again.n, out.n);
        assert_memory_equal(again.p, out.p, out.n);
        buf_deinit(&again);
        cursor_init(&c, out.p, out.n, &err);
        assert_int_equal(msgpack_skip(&c), 0);
        assert_int_equal(cursor_left(&c), 0);
        buf_clear(&out);
        arena_reset(&arena);
    }
}

static void every_truncation_is_incomplete_and_never_crashes(void **state)
{
    (void)state;
    struct generator g = { .a = &arena };
    prng_seed(&g.rng, 5);
    struct sample s = { 0 };
    random_fill(&g, &type_sample, 0, 3, &s);
    msgpack_encode(&type_sample, &s, &out);
    size_t step = out.n / 500 + 1;
    for (size_t n = 0; n < out.n; n += step) {
        struct sample back = { 0 };
        struct arena own = ARENA_INIT;
        struct cursor c;
        uint8_t *exact = arena_copy(&own, out.p, n);
        cursor_init(&c, exact, n, &err);
        assert_int_equal(msgpack_skip(&c), ERR_EOF);
        cursor_init(&c, exact, n, &err);
        assert_int_equal(msgpack_decode(&c, &own, &type_sample, &back), ERR_EOF);
        arena_free(&own);
    }
    buf_clear(&out);
}

static void claimed_counts_take_no_memory(void **state)
{
    (void)state;
    struct list l = { 0 };
    struct value v;
    struct cursor c;
    static const uint8_t claims[][5] = { { 0xdd, 0xff, 0xff, 0xff, 0xff },
        { 0xdf, 0xff, 0xff, 0xff, 0xff }, { 0xdd, 0, 0x10, 0, 0 },
        { 0xdb, 0xff, 0xff, 0xff, 0xff } };
    for (size_t i = 0; i < 4; i++) {
        struct arena own = ARENA_INIT;
        cursor_init(&c, claims[i], 5, &err);
        assert_int_not_equal(msgpack_decode(&c, &own, &type_sample_list, &l), 0);
        cursor_init(&c, claims[i], 5, &err);
        assert_int_not_equal(msgpack_decode_value(&c, &own, &v), 0);
        cursor_init(&c, claims[i], 5, &err);
        assert_int_not_equal(msgpack_skip(&c), 0);
        assert_int_equal(own.used, 0);
        arena_free(&own);
    }
}

static void memory_of_a_message_is_bounded(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20 };
    msgpack_put_array(&out, COUNT);
    for (int i = 0; i < COUNT; i++)
        msgpack_put_nil(&out);
    struct list l = { 0 };
    struct cursor c;
    cursor_init(&c, out.p, out.n, &err);
    assert_int_equal(msgpack_decode(&c, &arena, &type_sample_list, &l), ERR_DECODE);
    assert_true(arena.used <= MSGPACK_MEMORY_MAX(out.n));
    buf_clear(&out);
    arena_reset(&arena);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    uint8_t deep[MSGPACK_DEPTH_MAX + 2];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 0xc0;
    struct value v;
    struct cursor c;
    cursor_init(&c, deep, sizeof deep, &err);
    assert_int_equal(msgpack_decode_value(&c, &arena, &v), ERR_DECODE);
    cursor_init(&c, deep + 1, sizeof deep - 1, &err);
    assert_int_equal(msgpack_decode_value(&c, &arena, &v), 0);
    cursor_init(&c, deep, sizeof deep, &err);
    assert_int_equal(msgpack_skip(&c), 0);
}

static void a_failed_cursor_reads_zeros(void **state)
{
    (void)state;
    struct cursor c;
    static const uint8_t bytes[] = { 0x91, 0x05, 0x05, 0x05 };
    cursor_init(&c, bytes, sizeof bytes, &err);
    assert_null(msgpack_get_str(&c).p);
    assert_int_equal(c.code, ERR_DECODE);
    char first[ERROR_TEXT_MAX];
    memcpy(first, err.text, sizeof first);
    assert_int_equal(msgpack_get_uint(&c), 0);
    assert_int_equal(msgpack_get_map(&c), 0);
    assert_false(msgpack_get_nil(&c));
    assert_int_equal(msgpack_skip(&c), ERR_DECODE);
    assert_string_equal(err.text, first);
}

static void repeated_map_keys_keep_the_last_value(void **state)
{
    (void)state;
    struct dict d = { 0 };
    assert_int_equal(decode_as(&type_map_str, &d, "83a161a131a162a132a161a133"), 0);
    assert_int_equal(d.n, 2);
    assert_str(dict_str(&d, STR("a")), "3");
    assert_str(dict_str(&d, STR("b")), "2");
    msgpack_put_map(&out, 1000);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i % 100);
        msgpack_put_str(&out, str_of(key));
        msgpack_put_int(&out, i);
    }
    struct cursor c;
    cursor_init(&c, out.p, out.n, &err);
    assert_int_equal(msgpack_decode(&c, &arena, &type_map_int, &d), 0);
    assert_int_equal(d.n, 100);
    assert_int_equal(*(int64_t *)dict_get(&d, &type_int, STR("7")), 907);
    assert_str(dict_key(&d, &type_int, 99), "99");
    buf_clear(&out);
}

static void a_full_buffer_only_says_so(void **state)
{
    (void)state;
    struct generator g = { .a = &arena };
    prng_seed(&g.rng, 9);
    struct sample s = { 0 };
    random_fill(&g, &type_sample, 0, 3, &s);
    for (size_t max = 0; max < 3000; max += 7) {
        struct buf small = BUF_INIT(max);
        msgpack_encode(&type_sample, &s, &small);
        assert_true(small.overflow);
        assert_true(small.n <= max);
        buf_deinit(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_take_the_smallest_form),
        cmocka_unit_test(strings_are_old_raws_of_three_sizes),
        cmocka_unit_test(nil_is_apart_from_empty),
        cmocka_unit_test(fields_are_written_sorted_by_name),
        cmocka_unit_test(times_are_fifteen_raw_bytes),
        cmocka_unit_test(carriers_are_wrapped_wherever_they_occur),
        cmocka_unit_test(large_carriers_get_the_right_head),
        cmocka_unit_test(odd_forms_are_accepted),
        cmocka_unit_test(wrong_types_are_refused_with_the_decoders_text),
        cmocka_unit_test(random_records_survive_a_round_trip),
        cmocka_unit_test(every_truncation_is_incomplete_and_never_crashes),
        cmocka_unit_test(claimed_counts_take_no_memory),
        cmocka_unit_test(memory_of_a_message_is_bounded),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_failed_cursor_reads_zeros),
        cmocka_unit_test(repeated_map_keys_keep_the_last_value),
        cmocka_unit_test(a_full_buffer_only_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
