/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store/fsm_log.h"

#include <zlib.h>

#include "archive_tar.h"
#include "consuld/store_snapshot.h"
#include "world/openssl_digest.h"

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

static struct memory_sink memory_sink(void)
{
    return (struct memory_sink){ .sink.write = memory_write, .out = BUF_INIT(64u << 20) };
}

static int read_archive(struct str archive, const char *dir, struct arena *a,
    struct snapshot_meta *meta, struct shared_body **state, struct error *err)
{
    struct shared_body body = shared_body_view(archive);
    return archive_read(&body, dir, &digest_openssl, a, meta, state, err);
}

static void read_recorded(const char *set, uint64_t index, size_t size)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct snapshot_meta meta;
    struct shared_body *state;
    struct str archive = read_file(&a, str_printf(&a, VECTORS "fsm/%s/snapshot.tgz", set).p);
    struct str bin = read_file(&a, str_printf(&a, VECTORS "fsm/%s/state.bin", set).p);
    if (read_archive(archive, NULL, &a, &meta, &state, &err)) fail_msg("%s", err.text);
    assert_int_equal(meta.version, 1);
    assert_int_equal(meta.index, index);
    assert_int_equal(meta.term, 2);
    assert_int_equal(meta.size, size);
    assert_true(str_eq(shared_body_str(state), bin));
    shared_body_unref(state);
    arena_free(&a);
}

static void recorded_archives_are_read(void **state)
{
    (void)state;
    read_recorded("acl", 50, 9893);
    read_recorded("catalog", 223, 42591);
}

static struct str written(struct arena *a, struct str bytes)
{
    struct error err = { 0 };
    struct memory_sink sink = memory_sink();
    struct snapshot_meta meta = {
        .version = 1, .id = STR("2-7-1"), .index = 7, .term = 2, .peers = STR("\x90")
    };
    meta.configuration.servers = LIST_EMPTY;
    *LIST_PUSH(a, &meta.configuration.servers, struct snapshot_server) =
        (struct snapshot_server){ .id = STR("x"), .address = STR("127.0.0.1:8300") };
    struct shared_body body = shared_body_view(bytes);
    if (archive_write(&meta, &body, &digest_openssl, &sink.sink, &err)) fail_msg("%s", err.text);
    struct str out = str_dup(a, buf_str(&sink.out));
    buf_deinit(&sink.out);
    return out;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    size_t sizes[] = { 0, 1, 511, 512, 513, 65536, 300001 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct arena a = ARENA_INIT;
        struct error err = { 0 };
        struct snapshot_meta meta;
        struct shared_body *back;
        const char *dir = i % 2 ? "/tmp" : NULL;
        struct str bytes = { arena_alloc(&a, sizes[i]), sizes[i] };
        for (size_t j = 0; j < sizes[i]; j++)
            ((char *)(uintptr_t)bytes.p)[j] = (char)(j * 7 + j / 251);
        if (read_archive(written(&a, bytes), dir, &a, &meta, &back, &err)) fail_msg("%s", err.text);
        assert_int_equal(meta.index, 7);
        assert_int_equal(meta.size, sizes[i]);
        assert_null(meta.crc.p);
        assert_int_equal(meta.configuration.servers.n, 1);
        assert_int_equal(back->n, bytes.n);
        if (bytes.n) assert_memory_equal(back->bytes, bytes.p, bytes.n);
        shared_body_unref(back);
        arena_free(&a);
    }
}

static void an_archive_is_checked_without_its_state_being_kept(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct snapshot_meta meta;
    struct str whole = written(&a, STR("some state"));
    assert_int_equal(read_archive(whole, NULL, &a, &meta, NULL, &err), 0);
    assert_int_equal(meta.size, 10);
    whole.n -= 9;
    assert_int_equal(read_archive(whole, NULL, &a, &meta, NULL, &err), ERR_DECODE);
    arena_free(&a);
}

static int read_quietly(struct str archive, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct snapshot_meta meta;
    struct shared_body *back;
    int code = read_archive(archive, NULL, &a, &meta, &back, err);
    if (!code) shared_body_unref(back);
    arena_free(&a);
    return code;
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err;
    struct str whole = written(&a, STR("some state"));
    assert_int_equal(read_quietly(whole, &err), 0);
    for (size_t n = 0; n + 1 < whole.n; n++)
        assert_true(read_quietly(str_slice(whole, 0, n), &err) < 0);
    arena_free(&a);
}

/* The gzip header holds a time and an operating system nobody checks. */
static void every_changed_byte_is_refused_or_harmless(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct str whole = written(&a, STR("some state"));
    char *p = (char *)(uintptr_t)whole.p;
    size_t refused = 0;
    for (size_t i = 0; i < whole.n; i++) {
        struct arena b = ARENA_INIT;
        struct error err;
        struct snapshot_meta meta;
        struct shared_body *back;
        p[i] = (char)(p[i] ^ 0x20);
        if (read_archive(whole, NULL, &b, &meta, &back, &err)) {
            refused++;
        } else {
            assert_true(str_eq(shared_body_str(back), STR("some state")));
            assert_true(meta.index == 7 && meta.term == 2 && str_eq(meta.id, STR("2-7-1")));
            shared_body_unref(back);
        }
        p[i] = (char)(p[i] ^ 0x20);
        arena_free(&b);
    }
    assert_true(refused > whole.n / 2);
    arena_free(&a);
}

static struct str gzip(struct arena *a, struct str tar)
{
    struct buf out = BUF_INIT(16u << 20);
    z_stream z = { 0 };
    uint8_t part[65536];
    ensure(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, 0) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)tar.p;
    z.avail_in = (uInt)tar.n;
    int rc;
    do {
        z.next_out = part;
        z.avail_out = sizeof part;
        rc = deflate(&z, Z_FINISH);
        buf_put(&out, part, sizeof part - z.avail_out);
    } while (rc == Z_OK);
    deflateEnd(&z);
    struct str copy = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

static void add_member(struct buf *tar, const char *name, struct str bytes)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t header[TAR_BLOCK];
    tar_header(name, bytes.n, 0, header);
    buf_put(tar, header, sizeof header);
    buf_put_str(tar, bytes);
    buf_put(tar, zeros, tar_padding(bytes.n));
}

static void refused_with(struct buf *tar, size_t zeros, const char *text)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    memset(buf_reserve(tar, zeros + 1), 0, zeros);
    tar->n += zeros;
    assert_int_equal(read_quietly(gzip(&a, buf_str(tar)), &err), ERR_DECODE);
    if (!strstr(err.text, text)) fail_msg("%s: %s", text, err.text);
    buf_deinit(tar);
    arena_free(&a);
}

static void strange_archives_are_refused(void **state)
{
    (void)state;
    struct buf tar = BUF_INIT(1u << 20);
    add_member(&tar, "other.txt", STR("x"));
    refused_with(&tar, 1024, "unexpected file \"other.txt\"");
    tar = (struct buf)BUF_INIT(1u << 20);
    add_member(&tar, "meta.json", STR("{}"));
    add_member(&tar, "meta.json", STR("{}"));
    refused_with(&tar, 1024, "there twice");
    tar = (struct buf)BUF_INIT(1u << 20);
    add_member(&tar, "meta.json", STR("{}"));
    refused_with(&tar, 1024, "state.bin is missing");
    tar = (struct buf)BUF_INIT(1u << 20);
    add_member(&tar, "meta.json", STR("{}"));
    refused_with(&tar, 1025, "bytes follow the end");
    tar = (struct buf)BUF_INIT(1u << 20);
    add_member(&tar, "meta.json", STR("{}"));
    add_member(&tar, "state.bin", STR(""));
    add_member(&tar, "SHA256SUMS", STR(""));
    refused_with(&tar, 1024, "no sum for meta.json");
    tar = (struct buf)BUF_INIT(1u << 20);
    add_member(&tar, "meta.json", STR("{}"));
    add_member(&tar, "state.bin", STR(""));
    add_member(&tar, "SHA256SUMS",
        STR("0000000000000000000000000000000000000000000000000000000000000000  meta.json\n"));
    refused_with(&tar, 1024, "hash check failed for \"meta.json\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_archives_are_read),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(an_archive_is_checked_without_its_state_being_kept),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_changed_byte_is_refused_or_harmless),
        cmocka_unit_test(strange_archives_are_refused),
    };
    snapshot_init();
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
