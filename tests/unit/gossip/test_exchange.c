/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between two cores, and with peers that do otherwise. */
#include "swim_bed.h"
#include "world/openssl_cipher.h"

struct side {
    struct bed b;
    struct keyring ring;
    const char *state; /* user state it gives */
    char merged[64];   /* user state it was given */
    bool merged_join;
    bool refuse; /* merges */
    size_t merge_asked;
    char user[64];
};

static void local_state(void *ctx, bool join, struct buf *out)
{
    struct side *s = ctx;
    (void)join;
    if (s->state) buf_put_c(out, s->state);
}

static void merge_state(void *ctx, struct str state, bool join)
{
    struct side *s = ctx;
    snprintf(s->merged, sizeof s->merged, "%.*s", STR_ARG(state));
    s->merged_join = join;
}

static int merge(void *ctx, const struct swim_node *nodes, size_t n, struct error *err)
{
    struct side *s = ctx;
    assert_true(n > 0 && nodes[0].name.n > 0);
    s->merge_asked++;
    return s->refuse ? error_set(err, ERR_DENIED, "part of wrong datacenter") : 0;
}

static void user_message(void *ctx, struct str message, const struct gossip_address *from)
{
    struct side *s = ctx;
    assert_int_equal(from->ip_n, 0);
    snprintf(s->user, sizeof s->user, "%.*s", STR_ARG(message));
}

static void side_init(struct side *s, const char *name, const char *ip)
{
    memset(s, 0, sizeof *s);
    bed_init(&s->b);
    s->b.o.name = str_of(name);
    s->b.o.advertise = address_of(ip, 7946);
    s->b.o.keys = &s->ring;
    s->b.o.cipher = &cipher_openssl;
    s->b.o.compression = true;
    s->b.o.delegate = (struct swim_delegate){ .ctx = s,
        .local_state = local_state,
        .merge_state = merge_state,
        .merge = merge,
        .user_message = user_message };
}

static void add_key(struct side *s, const char *key)
{
    struct error err;
    assert_int_equal(keyring_install(&s->ring, str_of(key), &err), 0);
}

static void pair(struct side *a, struct side *b)
{
    side_init(a, "a", "10.0.0.1");
    side_init(b, "b", "10.0.0.2");
    a->state = "state of a";
    b->state = "state of b";
}

static void both_start(struct side *a, struct side *b)
{
    bed_start(&a->b);
    bed_start(&b->b);
}

static void both_end(struct side *a, struct side *b)
{
    bed_end(&a->b);
    bed_end(&b->b);
}

static void stream_step(
    struct side *s, enum swim_event_type type, uint64_t id, struct str bytes, const char *error)
{
    struct swim_event ev = { .type = type };
    ev.stream.id = id;
    ev.stream.bytes = bytes;
    ev.stream.error = str_of(error);
    ev.stream.from = address_of("10.0.0.77", 1000);
    step(&s->b, &ev);
}

static struct str output_bytes(struct side *s, enum swim_stream_action action)
{
    for (size_t i = 0; i < s->b.out.streams_n; i++)
        if (s->b.out.streams[i].action == action)
            return str_dup(&s->b.a, s->b.out.streams[i].bytes);
    fail_msg("no such stream action");
    return STR_NIL;
}

static struct str start_join(struct side *a)
{
    struct swim_event ev = { .type = SWIM_JOIN };
    ev.join.handle = 5;
    ev.join.address = address_of("10.0.0.2", 7946);
    ev.join.node = STR("b");
    step(&a->b, &ev);
    assert_int_equal(a->b.out.streams_n, 1);
    assert_true(str_is(a->b.out.streams[0].node, "b"));
    return output_bytes(a, SWIM_DIAL);
}

/* Joins a to b; b's answer is handed to a in pieces of `piece` bytes. */
static void join(struct side *a, struct side *b, size_t piece)
{
    struct str request = start_join(a);
    stream_step(a, SWIM_CONNECTED, 2, STR_NIL, NULL);
    stream_step(b, SWIM_ACCEPTED, 1, STR_NIL, NULL);
    stream_step(b, SWIM_STREAM_DATA, 1, request, NULL);
    struct str answer = output_bytes(b, SWIM_WRITE);
    for (size_t at = 0; at < answer.n; at += piece) {
        size_t end = at + piece < answer.n ? at + piece : answer.n;
        assert_int_equal(a->b.out.results_n, 0);
        stream_step(a, SWIM_STREAM_DATA, 2, str_slice(answer, at, end), NULL);
    }
}

static void assert_result(struct side *a, int code, const char *text)
{
    assert_int_equal(a->b.out.results_n, 1);
    assert_int_equal(a->b.out.results[0].handle, 5);
    if (!str_is(a->b.out.results[0].text, text))
        fail_msg("result is '%.*s'", STR_ARG(a->b.out.results[0].text));
    assert_int_equal(a->b.out.results[0].code, code);
}

/* --- joining -----------------------------------------------------------------------------------
 */

static void joining_makes_both_know_each_other(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    both_start(&a, &b);
    join(&a, &b, 10);
    assert_result(&a, 0, "");
    assert_int_equal(state_of(&a.b, "b"), SWIM_ALIVE);
    assert_int_equal(state_of(&b.b, "a"), SWIM_ALIVE);
    assert_string_equal(a.merged, "state of b");
    assert_string_equal(b.merged, "state of a");
    assert_true(a.merged_join && b.merged_join);
    assert_int_equal(a.b.out.streams[0].action, SWIM_CLOSE);
    both_end(&a, &b);
}

static void sealed_pools_join(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    add_key(&a, "0123456789abcdef");
    add_key(&b, "0123456789abcdef0123456789abcdef");
    add_key(&b, "0123456789abcdef");
    add_key(&a, "0123456789abcdef0123456789abcdef");
    both_start(&a, &b);
    join(&a, &b, 100);
    assert_result(&a, 0, "");
    assert_int_equal(state_of(&b.b, "a"), SWIM_ALIVE);
    assert_int_equal(b.ring.keys[1].opened, 1);
    assert_int_equal(a.ring.keys[1].opened, 1);
    both_end(&a, &b);
}

static void the_answering_side_refuses_in_silence(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    b.refuse = true;
    both_start(&a, &b);
    join(&a, &b, SIZE_MAX / 2);
    assert_result(&a, 0, "");
    assert_null(swim_find(b.b.s, STR("a")));
    assert_string_equal(b.merged, "");
    assert_int_equal(swim_counters(b.b.s)->push_pulls_failed, 1);
    both_end(&a, &b);
}

static void the_joining_side_refuses_with_the_reason(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    a.refuse = true;
    both_start(&a, &b);
    join(&a, &b, SIZE_MAX / 2);
    assert_result(&a, ERR_DENIED, "part of wrong datacenter");
    assert_null(swim_find(a.b.s, STR("b")));
    both_end(&a, &b);
}

static void incompatible_versions_do_not_join(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    b.b.o.delegate_vsn[0] = b.b.o.delegate_vsn[1] = b.b.o.delegate_vsn[2] = 7;
    both_start(&a, &b);
    join(&a, &b, SIZE_MAX / 2);
    assert_result(
        &a, ERR_CONFLICT, "Node 'b' delegate protocol version (7) is incompatible: [7, 5]");
    both_end(&a, &b);
}

static void refused(struct side *a, struct side *b, const char *text)
{
    both_start(a, b);
    struct str request = start_join(a);
    stream_step(b, SWIM_ACCEPTED, 1, STR_NIL, NULL);
    stream_step(b, SWIM_STREAM_DATA, 1, request, NULL);
    stream_step(a, SWIM_STREAM_DATA, 2, output_bytes(b, SWIM_WRITE), NULL);
    assert_int_equal(a->b.out.results_n, 1);
    if (!str_is(a->b.out.results[0].text, text))
        fail_msg("result is '%.*s'", STR_ARG(a->b.out.results[0].text));
    assert_int_equal(swim_count(b->b.s), 1);
    assert_int_equal(swim_counters(b->b.s)->faults[SWIM_FAULT_STREAM], 1);
    both_end(a, b);
}

static void a_sealed_stream_needs_keys(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    add_key(&a, "0123456789abcdef");
    a.b.o.verify_incoming = false;
    refused(&a, &b, "remote error: Remote state is encrypted and encryption is not configured");
}

static void a_plain_stream_is_refused_where_keys_are_required(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    add_key(&b, "0123456789abcdef");
    b.b.o.verify_outgoing = false; /* so that the reason can be read */
    refused(&a, &b, "remote error: Encryption is configured but remote state is not encrypted");
}

static void a_wrong_key_is_refused(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    add_key(&a, "0123456789abcdef");
    add_key(&b, "fedcba9876543210");
    refused(&a, &b, "No installed keys could decrypt the message");
}

static void a_join_that_is_not_answered_times_out(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    start_join(&a);
    tick(&a.b, 10000);
    assert_result(&a, ERR_IO, "i/o timeout");
    assert_int_equal(a.b.out.streams[0].action, SWIM_CLOSE);
    bed_end(&a.b);
}

static void a_join_that_is_refused_says_why(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    start_join(&a);
    stream_step(&a, SWIM_STREAM_ENDED, 2, STR_NIL, "connect: connection refused");
    assert_result(&a, ERR_IO, "connect: connection refused");
    stream_step(&a, SWIM_STREAM_DATA, 2, STR("late"), NULL); /* passed by */
    assert_int_equal(a.b.out.results_n, 0);
    bed_end(&a.b);
}

/* --- deaths are not believed -------------------------------------------------------------------
 */

static void a_death_told_by_push_pull_is_only_a_suspicion(void **state)
{
    (void)state;
    struct side a, b;
    pair(&a, &b);
    both_start(&a, &b);
    a.b.s->o.probe_interval_ms = b.b.s->o.probe_interval_ms = 1000;
    say_alive(&a.b, "x", "10.0.0.9", 1);
    say_alive(&b.b, "x", "10.0.0.9", 1);
    say_alive(&a.b, "y", "10.0.0.8", 1);
    say_alive(&b.b, "y", "10.0.0.8", 1);
    accuse(&b.b, SWIM_MSG_DEAD, "x", 1, "z");
    accuse(&b.b, SWIM_MSG_DEAD, "y", 1, "y");
    join(&a, &b, SIZE_MAX / 2);
    assert_int_equal(state_of(&a.b, "x"), SWIM_SUSPECT);
    assert_int_equal(state_of(&a.b, "y"), SWIM_LEFT);
    both_end(&a, &b);
}

/* --- other requests ------------------------------------------------------------------------------
 */

static void a_ping_by_stream_is_answered_if_it_is_for_us(void **state)
{
    (void)state;
    struct side a;
    struct stream_reader r;
    struct packet_sealing plain = { 0 };
    struct swim_ping ping = { .seq_no = 77, .node = STR("a") };
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    stream_step(&a, SWIM_ACCEPTED, 1, STR_NIL, NULL);
    struct str bytes = message_of(&a.b, SWIM_MSG_PING, &type_swim_ping, &ping);
    stream_step(&a, SWIM_STREAM_DATA, 1, bytes, NULL);
    stream_reader_init(&r);
    assert_int_equal(stream_reader_add(&r, &plain, output_bytes(&a, SWIM_WRITE)), STREAM_WHOLE);
    struct swim_ack ack;
    struct error err;
    assert_int_equal(swim_message_decode(
                         str_slice(r.message, 1, r.message.n), &a.b.a, &type_swim_ack, &ack, &err),
        0);
    assert_int_equal(ack.seq_no, 77);
    stream_reader_deinit(&r);

    ping.node = STR("somebody else");
    stream_step(&a, SWIM_ACCEPTED, 3, STR_NIL, NULL);
    bytes = message_of(&a.b, SWIM_MSG_PING, &type_swim_ping, &ping);
    stream_step(&a, SWIM_STREAM_DATA, 3, bytes, NULL);
    assert_int_equal(a.b.out.streams_n, 1);
    assert_int_equal(a.b.out.streams[0].action, SWIM_CLOSE);
    bed_end(&a.b);
}

static void a_user_message_by_stream_is_handed_on(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    stream_step(&a, SWIM_ACCEPTED, 1, STR_NIL, NULL);
    stream_step(&a, SWIM_STREAM_DATA, 1, STR("\x08\x81\xaaUserMsgLen\x05hel"), NULL);
    assert_string_equal(a.user, "");
    stream_step(&a, SWIM_STREAM_DATA, 1, STR("lo, and more"), NULL);
    assert_string_equal(a.user, "hello");
    bed_end(&a.b);
}

static void claims_that_cannot_be_are_refused_at_once(void **state)
{
    (void)state;
    static const struct str claims[] = {
        { "\x06\x83\xa4Join\xc3\xa5Nodes\xff\xacUserStateLen\x00", 29 },
        { "\x06\x83\xa4Join\xc3\xa5Nodes\xce\x7f\xff\xff\xff\xacUserStateLen\x00", 33 },
        { "\x06\x83\xa4Join\xc3\xa5Nodes\x01\xacUserStateLen\xce\xff\xff\xff\xff", 33 },
        { "\x08\x81\xaaUserMsgLen\xff", 14 },
        { "\x0a\xff\xff\xff\xff", 5 },
        { "\x07\x01\x00\x05", 4 },
        { "\x02\x81\xa5SeqNo\x01", 9 },
    };
    struct side a;
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        stream_step(&a, SWIM_ACCEPTED, 2 * i + 1, STR_NIL, NULL);
        stream_step(&a, SWIM_STREAM_DATA, 2 * i + 1, claims[i], NULL);
        if (a.b.out.streams_n != 1) fail_msg("claim %zu is waited for", i);
        assert_int_equal(swim_counters(a.b.s)->faults[SWIM_FAULT_STREAM], i + 1);
    }
    bed_end(&a.b);
}

static void a_slow_stream_is_closed(void **state)
{
    (void)state;
    struct side a;
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    stream_step(&a, SWIM_ACCEPTED, 1, STR_NIL, NULL);
    stream_step(&a, SWIM_STREAM_DATA, 1, STR("\x06"), NULL);
    tick(&a.b, 9999);
    assert_int_equal(a.b.out.streams_n, 0);
    tick(&a.b, 1);
    assert_int_equal(a.b.out.streams[0].action, SWIM_CLOSE);
    bed_end(&a.b);
}

static void streams_are_bounded(void **state)
{
    (void)state;
    struct side a;
    struct swim_event ev = { .type = SWIM_ACCEPTED };
    side_init(&a, "a", "10.0.0.1");
    bed_start(&a.b);
    for (uint64_t i = 0; i < SWIM_STREAMS_MAX; i++)
        stream_step(&a, SWIM_ACCEPTED, 2 * i + 1, STR_NIL, NULL);
    ev.stream.id = 99999;
    assert_int_equal(swim_step(a.b.s, a.b.now, &ev, &a.b.out), ERR_FULL);
    stream_step(&a, SWIM_STREAM_ENDED, 1, STR_NIL, NULL);
    stream_step(&a, SWIM_ACCEPTED, 99999, STR_NIL, NULL);
    bed_end(&a.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_makes_both_know_each_other),
        cmocka_unit_test(sealed_pools_join),
        cmocka_unit_test(the_answering_side_refuses_in_silence),
        cmocka_unit_test(the_joining_side_refuses_with_the_reason),
        cmocka_unit_test(incompatible_versions_do_not_join),
        cmocka_unit_test(a_sealed_stream_needs_keys),
        cmocka_unit_test(a_plain_stream_is_refused_where_keys_are_required),
        cmocka_unit_test(a_wrong_key_is_refused),
        cmocka_unit_test(a_join_that_is_not_answered_times_out),
        cmocka_unit_test(a_join_that_is_refused_says_why),
        cmocka_unit_test(a_death_told_by_push_pull_is_only_a_suspicion),
        cmocka_unit_test(a_ping_by_stream_is_answered_if_it_is_for_us),
        cmocka_unit_test(a_user_message_by_stream_is_handed_on),
        cmocka_unit_test(claims_that_cannot_be_are_refused_at_once),
        cmocka_unit_test(a_slow_stream_is_closed),
        cmocka_unit_test(streams_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
