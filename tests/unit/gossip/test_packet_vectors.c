/* SPDX-License-Identifier: Apache-2.0 */
/* Every recorded message of the membership layer: decoded to the recorded content and encoded to
 * the recorded bytes again, layer by layer. */
#include "vectors.h"
#include "world/openssl_cipher.h"

struct bed {
    struct arena a;
    struct str what; /* id of the entry */
    size_t bodies;   /* records compared */
};

static void check_layer(struct bed *b, struct str bytes, const struct value *decoded);

/* --- records --------------------------------------------------------------------------------- */

static struct str recorded_bytes(struct bed *b, const struct value *v)
{
    if (v->kind == V_NIL) return STR_NIL;
    return unhex(&b->a, text_of(v, "$hex"));
}

static void check_field(
    struct bed *b, const struct field *f, const void *member, const struct value *want)
{
    switch (f->type->kind) {
    case KIND_STR:
        assert_int_equal(want->kind, V_STR);
        assert_bytes(*(const struct str *)member, want->s, b->what);
        break;
    case KIND_BYTES: {
        const struct str *got = member;
        struct str bytes = recorded_bytes(b, want);
        assert_int_equal(got->p == NULL, bytes.p == NULL);
        assert_bytes(*got, bytes, b->what);
        break;
    }
    case KIND_UINT:
    case KIND_INT:
        assert_int_equal(*(const int64_t *)member, number_of(want));
        break;
    case KIND_BOOL:
        assert_int_equal(want->kind, V_BOOL);
        assert_int_equal(*(const bool *)member, want->b);
        break;
    default:
        fail_msg("%.*s: kind of field %s", STR_ARG(b->what), f->name);
    }
}

/* `body` at the start of `bytes`; returns how many bytes it took. */
static size_t check_record(
    struct bed *b, const struct type *t, struct str bytes, const struct value *body)
{
    struct cursor c;
    struct error err;
    void *obj = arena_alloc(&b->a, t->size);
    cursor_init(&c, bytes.p, bytes.n, &err);
    if (msgpack_decode(&c, &b->a, t, obj)) fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    size_t used = bytes.n - cursor_left(&c), seen = 0;
    for (uint16_t i = 0; i < t->record->n; i++) {
        const struct field *f = &t->record->fields[i];
        const void *member = (const char *)obj + f->offset;
        const struct value *want = member_of(body, f->name);
        if (!want) {
            assert_true(f->flags & WIRE_OMIT);
            assert_true(record_is_empty(f->type, member));
            continue;
        }
        check_field(b, f, member, want);
        seen++;
    }
    for (size_t i = 0; i < body->map.n; i++) /* derived readings stand beside the fields */
        seen += str_is(body->map.v[i].key, "tags");
    assert_int_equal(seen, body->map.n);
    struct buf again = BUF_INIT(1 << 20);
    msgpack_encode(t, obj, &again);
    assert_bytes(buf_str(&again), str_slice(bytes, 0, used), b->what);
    buf_deinit(&again);
    b->bodies++;
    return used;
}

static const struct type *type_of_message(int64_t type)
{
    switch ((enum swim_message_type)type) {
    case SWIM_MSG_PING:
        return &type_swim_ping;
    case SWIM_MSG_INDIRECT_PING:
        return &type_swim_indirect_ping;
    case SWIM_MSG_ACK:
        return &type_swim_ack;
    case SWIM_MSG_SUSPECT:
    case SWIM_MSG_DEAD:
        return &type_swim_accusation;
    case SWIM_MSG_ALIVE:
        return &type_swim_alive;
    case SWIM_MSG_NACK:
        return &type_swim_nack;
    case SWIM_MSG_ERROR:
        return &type_swim_error;
    default:
        return NULL;
    }
}

static void check_push_pull(struct bed *b, struct str bytes, const struct value *decoded)
{
    struct push_pull p;
    struct error err;
    const struct value *nodes = member_of(decoded, "nodes"), *head = member_of(decoded, "header");
    if (push_pull_decode(bytes, &b->a, &p, &err)) fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    size_t at = 1 + check_record(b, &type_swim_push_pull, str_slice(bytes, 1, bytes.n), head);
    assert_int_equal(p.nodes.n, nodes->list.n);
    assert_int_equal(p.join, member_of(head, "Join")->b);
    for (size_t i = 0; i < nodes->list.n; i++)
        at +=
            check_record(b, &type_swim_push_node, str_slice(bytes, at, bytes.n), &nodes->list.v[i]);
    struct str user = hex_at(&b->a, decoded, "user_state");
    assert_bytes(p.user_state, user, b->what);
    assert_int_equal(at + user.n, bytes.n);
}

static void check_user(struct bed *b, struct str bytes, const struct value *decoded)
{
    const struct value *head = member_of(decoded, "header"),
                       *payload = member_of(decoded, "payload");
    size_t at = 1;
    if (head) at += check_record(b, &type_swim_user_header, str_slice(bytes, 1, bytes.n), head);
    if (!payload) return; /* a message of the layer above */
    struct str want =
        payload->kind == V_STR ? unhex(&b->a, payload->s) : recorded_bytes(b, payload);
    assert_bytes(str_slice(bytes, at, bytes.n), want, b->what);
}

static void check_message(struct bed *b, struct str bytes, const struct value *decoded)
{
    int64_t type = number_at(decoded, "type");
    assert_true(bytes.n > 0);
    assert_int_equal((uint8_t)bytes.p[0], type);
    if (type == SWIM_MSG_PUSH_PULL) {
        check_push_pull(b, bytes, decoded);
    } else if (type == SWIM_MSG_USER) {
        check_user(b, bytes, decoded);
    } else {
        const struct type *t = type_of_message(type);
        if (!t) fail_msg("%.*s: type %d", STR_ARG(b->what), (int)type);
        size_t used = check_record(b, t, str_slice(bytes, 1, bytes.n), member_of(decoded, "body"));
        assert_int_equal(used, bytes.n - 1);
    }
}

/* --- layers ---------------------------------------------------------------------------------- */

/* Old builds start without a clear code; we do not write that. */
static bool starts_with_clear(struct str lzw)
{
    return lzw.n >= 2 && lzw.p[0] == 0 && ((uint8_t)lzw.p[1] & 1);
}

static struct str check_compressed(struct bed *b, struct str bytes, const struct value *decoded)
{
    struct error err;
    struct buf plain = BUF_INIT(STREAM_MESSAGE_MAX), again = BUF_INIT(STREAM_MESSAGE_MAX);
    if (packet_decompress(str_slice(bytes, 1, bytes.n), &plain, &err))
        fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    if (member_of(decoded, "plain"))
        assert_bytes(buf_str(&plain), hex_at(&b->a, decoded, "plain"), b->what);
    if (starts_with_clear(hex_at(&b->a, decoded, "lzw"))) {
        packet_compress(buf_str(&plain), &again);
        assert_bytes(buf_str(&again), bytes, b->what);
    }
    struct str out = str_dup(&b->a, buf_str(&plain));
    buf_deinit(&plain);
    buf_deinit(&again);
    return out;
}

static void check_compound(struct bed *b, struct str bytes, const struct value *decoded)
{
    const struct value *parts = member_of(decoded, "parts");
    struct packet_parts walk;
    struct str part, v[PACKET_PARTS_MAX];
    size_t n = 0;
    assert_true(packet_parts_begin(&walk, str_slice(bytes, 1, bytes.n)));
    for (; packet_parts_next(&walk, &part); n++) {
        assert_true(n < PACKET_PARTS_MAX && n < parts->list.n);
        v[n] = part;
        check_layer(b, part, &parts->list.v[n]);
    }
    assert_int_equal(n, number_at(decoded, "count"));
    if (n == 0) return; /* we write none of these */
    struct buf again = BUF_INIT(PACKET_RECEIVE_MAX);
    packet_compound(v, n, &again);
    assert_bytes(buf_str(&again), bytes, b->what);
    buf_deinit(&again);
}

static struct str check_sealed(struct bed *b, struct str bytes, const struct value *decoded)
{
    struct error err;
    struct keyring ring = { 0 };
    struct buf plain = BUF_INIT(STREAM_MESSAGE_MAX), again = BUF_INIT(STREAM_MESSAGE_MAX);
    struct str key = hex_at(&b->a, decoded, "key"), aad = hex_at(&b->a, decoded, "aad");
    struct str sealed = str_slice(bytes, aad.n, bytes.n);
    char other[32] = "another key that does not fit 32";
    assert_int_equal(keyring_install(&ring, (struct str){ other, 32 }, &err), 0);
    assert_int_equal(keyring_install(&ring, key, &err), 0);
    if (packet_open(&cipher_openssl, &ring, aad, sealed, &plain, &err))
        fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    assert_int_equal(ring.keys[1].opened, 1);
    assert_bytes(buf_str(&plain), hex_at(&b->a, decoded, "plain"), b->what);

    uint8_t version = (uint8_t)number_at(decoded, "version");
    struct str nonce = hex_at(&b->a, decoded, "nonce");
    assert_int_equal(packet_sealed_length(version, plain.n), sealed.n);
    assert_int_equal(packet_seal(&cipher_openssl, version, key, (const uint8_t *)nonce.p, aad,
                         buf_str(&plain), &again, &err),
        0);
    assert_bytes(buf_str(&again), sealed, b->what);
    struct str out = str_dup(&b->a, buf_str(&plain));
    buf_deinit(&plain);
    buf_deinit(&again);
    return out;
}

static void check_layer(struct bed *b, struct str bytes, const struct value *decoded)
{
    struct str layer = text_of(decoded, "layer");
    const struct value *inner = member_of(decoded, "inner");
    if (!layer.p) {
        check_message(b, bytes, decoded);
    } else if (str_is(layer, "compound")) {
        check_compound(b, bytes, decoded);
    } else if (str_is(layer, "compress")) {
        struct str plain = check_compressed(b, bytes, decoded);
        if (inner) check_layer(b, plain, inner);
    } else if (str_is(layer, "crc")) {
        struct packet_sealing none = { 0 };
        struct buf room = BUF_INIT(PACKET_RECEIVE_MAX), head = BUF_INIT(8);
        struct str message;
        bool ok = member_of(decoded, "crc_ok")->b;
        assert_int_equal(packet_read(&none, bytes, &room, &message, NULL) == 0, ok);
        if (ok) {
            packet_put_crc(message, &head);
            assert_bytes(buf_str(&head), str_slice(bytes, 0, 5), b->what);
        }
        if (inner) check_layer(b, message, inner);
        buf_deinit(&room);
        buf_deinit(&head);
    } else {
        assert_true(str_is(layer, "encrypt") || str_is(layer, "encrypt-stream"));
        check_layer(b, check_sealed(b, bytes, decoded), inner);
    }
}

static size_t check_file(const char *kind)
{
    struct bed b = { 0 };
    struct arena file = ARENA_INIT;
    const struct value *entries = entries_of(&file, kind);
    swim_message_init();
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i], *decoded = member_of(e, "decoded");
        b.what = text_of(e, "id");
        if (decoded) check_layer(&b, hex_at(&b.a, e, "hex"), decoded);
        arena_reset(&b.a);
    }
    arena_free(&b.a);
    arena_free(&file);
    return b.bodies;
}

static void single_messages_are_as_recorded(void **state)
{
    (void)state;
    static const char *const kinds[] = { "ping", "indirect-ping", "ack", "nack", "suspect", "alive",
        "dead", "err" };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_true(check_file(kinds[i]) > 0);
    check_file("user");
}

static void framing_is_as_recorded(void **state)
{
    (void)state;
    assert_true(check_file("compound") > 100);
    assert_true(check_file("compress") > 50);
    check_file("crc");
    assert_true(check_file("encrypt-v0") > 50);
    assert_true(check_file("encrypt-v1") > 100);
}

static void streams_are_as_recorded(void **state)
{
    (void)state;
    assert_true(check_file("stream") > 10);
    assert_true(check_file("push-pull") > 40);
    assert_true(check_file("push-pull-encrypted") > 40);
}

static void what_went_through_gateways_is_as_recorded(void **state)
{
    (void)state;
    assert_true(check_file("wan-packet") > 40);
    assert_true(check_file("wan-stream") >= 4);
}

/* --- whole sealed packets ----------------------------------------------------------------------
 */

static struct str recorded_nonce;

static void repeat_nonce(uint8_t nonce[CIPHER_NONCE_SIZE])
{
    assert_int_equal(recorded_nonce.n, CIPHER_NONCE_SIZE);
    memcpy(nonce, recorded_nonce.p, CIPHER_NONCE_SIZE);
}

/* Read as it came from the network, then written as it goes there, with the recorded nonce. */
static void replay(struct bed *b, const struct value *e)
{
    struct cipher cipher = cipher_openssl;
    struct keyring ring = { 0 };
    struct buf room = BUF_INIT(PACKET_RECEIVE_MAX), plain = BUF_INIT(PACKET_UNPACK_MAX),
               again = BUF_INIT(PACKET_RECEIVE_MAX);
    struct str datagram = hex_at(&b->a, e, "hex"), message;
    struct error err;
    const struct value *decoded = member_of(e, "decoded"), *inner = member_of(decoded, "inner");
    assert_int_equal(keyring_install(&ring, hex_at(&b->a, decoded, "key"), &err), 0);
    recorded_nonce = hex_at(&b->a, decoded, "nonce");
    cipher.nonce = repeat_nonce;
    struct packet_sealing s = { .cipher = &cipher,
        .keys = &ring,
        .version = (uint8_t)number_at(decoded, "version"),
        .verify_incoming = true,
        .verify_outgoing = true };
    if (packet_read(&s, datagram, &room, &message, &err))
        fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    bool crc = str_is(text_of(inner, "layer"), "crc");
    if (crc) inner = member_of(inner, "inner");
    check_layer(b, message, inner);
    /* Some recordings were packed though it made them no shorter. */
    bool packed = str_is(text_of(inner, "layer"), "compress");
    if (packed)
        assert_int_equal(packet_decompress(str_slice(message, 1, message.n), &plain, &err), 0);
    packed = packed && message.n < plain.n && starts_with_clear(hex_at(&b->a, inner, "lzw"));
    if (packet_write(&s, packed ? buf_str(&plain) : message, packed, crc, &again, &err))
        fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    assert_bytes(buf_str(&again), datagram, b->what);
    buf_deinit(&room);
    buf_deinit(&plain);
    buf_deinit(&again);
}

static void a_sealed_packet_is_read_and_written_to_the_same_bytes(void **state)
{
    (void)state;
    static const char *const kinds[] = { "encrypt-v0", "encrypt-v1" };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct bed b = { 0 };
        struct arena file = ARENA_INIT;
        const struct value *entries = entries_of(&file, kinds[k]);
        assert_true(entries->list.n > 50);
        for (size_t i = 0; i < entries->list.n; i++) {
            b.what = text_of(&entries->list.v[i], "id");
            replay(&b, &entries->list.v[i]);
            arena_reset(&b.a);
        }
        arena_free(&b.a);
        arena_free(&file);
    }
}

/* --- whole streams through the reader --------------------------------------------------------- */

/* Gives the stream in pieces of `step` bytes; the message has to be whole with the last one. */
static void read_in_pieces(struct bed *b, const struct value *e, struct str bytes, size_t step)
{
    struct keyring ring = { 0 };
    struct error err;
    const struct value *keys = member_of(e, "keys");
    for (size_t i = 0; keys && i < keys->list.n; i++)
        assert_int_equal(keyring_install(&ring, unhex(&b->a, keys->list.v[i].s), &err), 0);
    struct packet_sealing s = {
        .cipher = &cipher_openssl, .keys = &ring, .version = 1, .verify_outgoing = true
    };
    struct stream_reader r;
    stream_reader_init(&r);
    enum stream_progress p = STREAM_MORE;
    for (size_t at = 0; at < bytes.n; at += step) {
        size_t end = at + step < bytes.n ? at + step : bytes.n;
        if (p != STREAM_MORE) fail_msg("%.*s: over before its end", STR_ARG(b->what));
        p = stream_reader_add(&r, &s, str_slice(bytes, at, end));
    }
    if (p == STREAM_BAD) fail_msg("%.*s: %s", STR_ARG(b->what), r.err.text);
    if (p != STREAM_WHOLE) fail_msg("%.*s: not whole at its end", STR_ARG(b->what));
    const struct value *decoded = member_of(e, "decoded");
    while (member_of(decoded, "inner"))
        decoded = member_of(decoded, "inner");
    check_message(b, r.message, decoded);
    stream_reader_deinit(&r);
}

static void a_stream_is_whole_with_its_last_byte(void **state)
{
    (void)state;
    static const char *const kinds[] = { "stream", "push-pull", "push-pull-encrypted",
        "wan-stream" };
    static const size_t steps[] = { 1, 7, 1000, SIZE_MAX / 2 };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct bed b = { 0 };
        struct arena file = ARENA_INIT;
        const struct value *entries = entries_of(&file, kinds[k]);
        for (size_t i = 0; i < entries->list.n; i++) {
            const struct value *e = &entries->list.v[i];
            b.what = text_of(e, "id");
            for (size_t s = 0; s < 4; s++) {
                read_in_pieces(&b, e, hex_at(&b.a, e, "hex"), steps[s]);
                arena_reset(&b.a);
            }
        }
        arena_free(&b.a);
        arena_free(&file);
    }
}

/* --- compression -------------------------------------------------------------------------------
 */

static struct str plain_of(struct arena *a, const struct value *d)
{
    if (!member_of(d, "plain_repeat")) return hex_at(a, d, "plain");
    struct str piece = text_of(d, "plain_repeat");
    size_t n = (size_t)number_at(d, "plain_repeat_count");
    char *p = arena_alloc(a, piece.n * n);
    for (size_t i = 0; i < n; i++)
        memcpy(p + i * piece.n, piece.p, piece.n);
    return (struct str){ p, piece.n * n };
}

static void lzw_is_as_recorded(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "lzw");
    size_t written = 0;
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i], *d = member_of(e, "decoded");
        struct str plain = plain_of(&a, d), lzw = hex_at(&a, d, "lzw"), what = text_of(e, "id");
        struct buf out = BUF_INIT(STREAM_MESSAGE_MAX);
        struct error err;
        if (lzw_decompress(lzw, &out, &err)) fail_msg("%.*s: %s", STR_ARG(what), err.text);
        assert_bytes(buf_str(&out), plain, what);
        buf_clear(&out);
        lzw_compress(plain, &out);
        if (starts_with_clear(lzw)) {
            assert_bytes(buf_str(&out), lzw, what);
            written++;
        }
        struct buf back = BUF_INIT(STREAM_MESSAGE_MAX);
        assert_int_equal(lzw_decompress(buf_str(&out), &back, &err), 0);
        assert_bytes(buf_str(&back), plain, what);
        buf_deinit(&back);
        buf_deinit(&out);
    }
    assert_true(written > 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_messages_are_as_recorded),
        cmocka_unit_test(framing_is_as_recorded),
        cmocka_unit_test(a_sealed_packet_is_read_and_written_to_the_same_bytes),
        cmocka_unit_test(streams_are_as_recorded),
        cmocka_unit_test(what_went_through_gateways_is_as_recorded),
        cmocka_unit_test(a_stream_is_whole_with_its_last_byte),
        cmocka_unit_test(lzw_is_as_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
