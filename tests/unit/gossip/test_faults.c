/* SPDX-License-Identifier: Apache-2.0 */
/* Malformed packets: counted by peer and kind, dropped, within bounds. */
#include "swim_bed.h"
#include "world/openssl_cipher.h"

static uint64_t faults(struct bed *b, enum swim_fault f)
{
    return swim_counters(b->s)->faults[f];
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        enum swim_fault fault;
    } cases[] = {
        { { "\x0c\0\0\0\0\x08x", 7 }, SWIM_FAULT_CRC },
        { { "\x06", 1 }, SWIM_FAULT_TYPE },
        { { "\xff", 1 }, SWIM_FAULT_TYPE },
        { { "\x07\x05\x00", 3 }, SWIM_FAULT_COMPOUND },
        { { "\x07\x01\x00\x09x", 5 }, SWIM_FAULT_COMPOUND },
        { { "\x09\x80", 2 }, SWIM_FAULT_COMPRESSED },
        { { "\x03\x81", 2 }, SWIM_FAULT_RECORD },
        { { "\x07\x01\x00\x00", 4 }, SWIM_FAULT_EMPTY },
        { { "\x04\x80", 2 }, SWIM_FAULT_VALUE },
    };
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t before = faults(&b, cases[i].fault);
        receive(&b, "10.0.0.1", cases[i].bytes);
        if (faults(&b, cases[i].fault) != before + 1)
            fail_msg("case %zu is not counted as %s", i, swim_fault_name(cases[i].fault));
        assert_int_equal(b.out.packets_n, 0);
    }
    bed_end(&b);
}

static void peers_are_told_apart(void **state)
{
    (void)state;
    struct bed b;
    const struct swim_offender *o;
    bed_init(&b);
    bed_start(&b);
    receive(&b, "10.0.0.1", STR("\xff"));
    receive(&b, "10.0.0.2", STR("\xff"));
    receive(&b, "10.0.0.2", STR("\x09"));
    assert_int_equal(swim_offenders(b.s, &o), 2);
    assert_int_equal(o[0].faults[SWIM_FAULT_TYPE], 1);
    assert_int_equal(o[1].faults[SWIM_FAULT_TYPE], 1);
    assert_int_equal(o[1].faults[SWIM_FAULT_COMPRESSED], 1);
    bed_end(&b);
}

static void the_longest_silent_makes_room(void **state)
{
    (void)state;
    struct bed b;
    const struct swim_offender *o;
    bed_init(&b);
    bed_start(&b);
    for (int i = 0; i < SWIM_OFFENDERS_MAX + 5; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.0.%d", i + 1);
        b.now++;
        receive(&b, ip, STR("\xff"));
    }
    assert_int_equal(swim_offenders(b.s, &o), SWIM_OFFENDERS_MAX);
    for (int i = 0; i < SWIM_OFFENDERS_MAX; i++)
        assert_true(o[i].from.ip[3] > 5);
    bed_end(&b);
}

static void deep_nesting_is_dropped(void **state)
{
    (void)state;
    struct bed b;
    struct swim_ping ping = { .seq_no = 1 };
    bed_init(&b);
    bed_start(&b);
    struct str m = message_of(&b, SWIM_MSG_PING, &type_swim_ping, &ping);
    for (int depth = 1; depth <= PACKET_DEPTH_MAX + 1; depth++) {
        struct buf out = BUF_INIT(PACKET_RECEIVE_MAX);
        packet_compound(&m, 1, &out);
        m = str_dup(&b.a, buf_str(&out));
        buf_deinit(&out);
        receive(&b, "10.0.0.1", m);
        assert_int_equal(b.out.packets_n, depth <= PACKET_DEPTH_MAX);
    }
    assert_int_equal(faults(&b, SWIM_FAULT_DEPTH), 1);
    bed_end(&b);
}

/* A message that unpacks to more than a packet may. */
static void a_compression_bomb_is_dropped(void **state)
{
    (void)state;
    struct bed b;
    size_t n = 4u << 20;
    char *zeros = xcalloc(1, n);
    struct buf bomb = BUF_INIT(1 << 20), parts = BUF_INIT(1 << 20);
    bed_init(&b);
    bed_start(&b);
    zeros[0] = SWIM_MSG_USER;
    packet_compress((struct str){ zeros, n }, &bomb);
    assert_true(bomb.n < 20000);
    receive(&b, "10.0.0.1", buf_str(&bomb));
    assert_int_equal(faults(&b, SWIM_FAULT_COMPRESSED), 1);

    /* many small ones share one budget */
    buf_clear(&bomb);
    packet_compress((struct str){ zeros, 200 * 1024 }, &bomb);
    struct str v[10];
    for (int i = 0; i < 10; i++)
        v[i] = buf_str(&bomb);
    packet_compound(v, 10, &parts);
    receive(&b, "10.0.0.1", buf_str(&parts));
    assert_int_equal(faults(&b, SWIM_FAULT_COMPRESSED), 10);
    buf_deinit(&bomb);
    buf_deinit(&parts);
    free(zeros);
    bed_end(&b);
}

static void a_packet_under_another_key_is_dropped(void **state)
{
    (void)state;
    struct bed b;
    struct error err;
    struct keyring ours = { 0 }, theirs = { 0 };
    struct packet_sealing s = {
        .cipher = &cipher_openssl, .keys = &theirs, .version = 1, .verify_outgoing = true
    };
    struct swim_ping ping = { .seq_no = 1 };
    struct buf out = BUF_INIT(PACKET_RECEIVE_MAX);
    assert_int_equal(keyring_install(&ours, STR("0123456789abcdef"), &err), 0);
    assert_int_equal(keyring_install(&theirs, STR("fedcba9876543210"), &err), 0);
    bed_init(&b);
    b.o.keys = &ours;
    b.o.cipher = &cipher_openssl;
    bed_start(&b);
    struct str m = message_of(&b, SWIM_MSG_PING, &type_swim_ping, &ping);
    assert_int_equal(packet_write(&s, m, true, false, &out, &err), 0);
    receive(&b, "10.0.0.1", buf_str(&out));
    assert_int_equal(b.out.packets_n, 0);
    assert_int_equal(faults(&b, SWIM_FAULT_OPEN), 1);
    theirs = ours;
    assert_int_equal(packet_write(&s, m, true, false, &out, &err), 0);
    receive(&b, "10.0.0.1", buf_str(&out));
    assert_int_equal(b.out.packets_n, 1);
    assert_int_equal(ours.keys[0].opened, 1);
    buf_deinit(&out);
    bed_end(&b);
}

static void random_bytes_do_nothing(void **state)
{
    (void)state;
    struct bed b;
    struct prng r;
    bed_init(&b);
    bed_start(&b);
    say_alive(&b, "peer", "10.0.0.1", 1);
    prng_seed(&r, 11);
    for (int i = 0; i < 20000; i++) {
        char bytes[128];
        size_t n = 1 + (size_t)prng_below(&r, sizeof bytes - 1);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)prng_below(&r, 256);
        bytes[0] = (char)prng_below(&r, 14);
        receive(&b, "10.0.0.2", (struct str){ bytes, n });
    }
    assert_int_equal(state_of(&b, "self"), SWIM_ALIVE);
    assert_int_equal(state_of(&b, "peer"), SWIM_ALIVE);
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(peers_are_told_apart),
        cmocka_unit_test(the_longest_silent_makes_room),
        cmocka_unit_test(deep_nesting_is_dropped),
        cmocka_unit_test(a_compression_bomb_is_dropped),
        cmocka_unit_test(a_packet_under_another_key_is_dropped),
        cmocka_unit_test(random_bytes_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
