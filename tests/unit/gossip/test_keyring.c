/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"
#include "world/openssl_cipher.h"

#define K1 STR("0123456789abcdef")
#define K2 STR("0123456789abcdef01234567")
#define K3 STR("0123456789abcdef0123456789abcdef")

static struct keyring three(void)
{
    struct keyring k = { 0 };
    struct error err;
    assert_int_equal(keyring_install(&k, K1, &err), 0);
    assert_int_equal(keyring_install(&k, K2, &err), 0);
    assert_int_equal(keyring_install(&k, K3, &err), 0);
    return k;
}

static void keys_of_three_sizes_are_taken(void **state)
{
    (void)state;
    struct keyring k = three();
    struct error err;
    assert_int_equal(k.n, 3);
    assert_int_not_equal(keyring_install(&k, STR("short"), &err), 0);
    assert_string_equal(err.text, "key size must be 16, 24 or 32 bytes");
    assert_int_equal(keyring_install(&k, K2, &err), 0);
    assert_int_equal(k.n, 3);
}

static void using_a_key_makes_it_the_primary(void **state)
{
    (void)state;
    struct keyring k = three();
    struct error err;
    assert_int_equal(keyring_use(&k, K3, &err), 0);
    assert_true(str_eq(keyring_at(&k, 0), K3));
    assert_true(str_eq(keyring_at(&k, 1), K1));
    assert_true(str_eq(keyring_at(&k, 2), K2));
    assert_int_not_equal(keyring_use(&k, STR("ffffffffffffffff"), &err), 0);
    assert_string_equal(err.text, "Requested key is not in the keyring");
}

static void the_primary_stays(void **state)
{
    (void)state;
    struct keyring k = three();
    struct error err;
    assert_int_not_equal(keyring_remove(&k, K1, &err), 0);
    assert_string_equal(err.text, "Removing the primary key is not allowed");
    assert_int_equal(keyring_remove(&k, K2, &err), 0);
    assert_int_equal(k.n, 2);
    assert_false(keyring_has(&k, K2));
    assert_int_equal(keyring_remove(&k, K2, &err), 0); /* unknown by now: fine */
}

static void the_ring_is_bounded(void **state)
{
    (void)state;
    static struct keyring k;
    struct error err;
    for (int i = 0; i < KEYRING_KEYS_MAX; i++) {
        char key[17];
        snprintf(key, sizeof key, "%016d", i);
        assert_int_equal(keyring_install(&k, str_of(key), &err), 0);
    }
    assert_int_equal(keyring_install(&k, K1, &err), ERR_FULL);
}

static void a_fingerprint_names_a_key(void **state)
{
    (void)state;
    char a[9], b[9], again[9];
    keyring_fingerprint(&cipher_openssl, K1, a);
    keyring_fingerprint(&cipher_openssl, K2, b);
    keyring_fingerprint(&cipher_openssl, K1, again);
    assert_int_equal(strlen(a), 8);
    assert_string_not_equal(a, b);
    assert_string_equal(a, again);
}

static void a_sealed_message_that_was_touched_is_not_opened(void **state)
{
    (void)state;
    struct keyring k = three();
    struct error err;
    uint8_t nonce[CIPHER_NONCE_SIZE];
    for (uint8_t version = 0; version < 2; version++) {
        struct buf sealed = BUF_INIT(4096), out = BUF_INIT(4096);
        cipher_openssl.nonce(nonce);
        assert_int_equal(packet_seal(&cipher_openssl, version, K2, nonce, STR("aad"),
                             STR("sixteen bytes !!"), &sealed, &err),
            0);
        assert_int_equal(sealed.n, packet_sealed_length(version, 16));
        assert_int_equal(
            packet_open(&cipher_openssl, &k, STR("aad"), buf_str(&sealed), &out, &err), 0);
        assert_true(str_is(buf_str(&out), "sixteen bytes !!"));
        assert_int_not_equal(
            packet_open(&cipher_openssl, &k, STR("bad"), buf_str(&sealed), &out, &err), 0);
        for (size_t i = 0; i < sealed.n; i++) {
            sealed.p[i] ^= 0x40;
            buf_clear(&out);
            assert_int_not_equal(
                packet_open(&cipher_openssl, &k, STR("aad"), buf_str(&sealed), &out, &err), 0);
            assert_int_equal(out.n, 0);
            sealed.p[i] ^= 0x40;
        }
        for (size_t n = 0; n < sealed.n; n++)
            assert_int_not_equal(packet_open(&cipher_openssl, &k, STR("aad"),
                                     str_slice(buf_str(&sealed), 0, n), &out, &err),
                0);
        buf_deinit(&sealed);
        buf_deinit(&out);
    }
}

static void a_message_of_nothing_is_an_error(void **state)
{
    (void)state;
    struct keyring k = three();
    struct error err;
    struct buf sealed = BUF_INIT(4096), out = BUF_INIT(4096);
    uint8_t nonce[CIPHER_NONCE_SIZE] = { 0 };
    assert_int_equal(
        packet_seal(&cipher_openssl, 1, K1, nonce, STR_NIL, STR_NIL, &sealed, &err), 0);
    assert_int_not_equal(
        packet_open(&cipher_openssl, &k, STR_NIL, buf_str(&sealed), &out, &err), 0);
    buf_deinit(&sealed);
    buf_deinit(&out);
}

/* --- addresses ---------------------------------------------------------------------------------
 */

static void addresses_are_printed_as_peers_do(void **state)
{
    (void)state;
    static const struct {
        const char *ip, *text;
        uint8_t n;
    } cases[] = {
        { "10.1.2.3", "10.1.2.3:8301", 4 },
        { "::1", "[::1]:8301", 16 },
        { "fe80::1:2", "[fe80::1:2]:8301", 16 },
        { "::ffff:10.1.2.3", "10.1.2.3:8301", 4 },
    };
    char text[GOSSIP_ADDRESS_TEXT_MAX];
    struct gossip_address a;
    for (size_t i = 0; i < 4; i++) {
        assert_true(gossip_address_parse(&a, cases[i].ip, 8301));
        assert_int_equal(a.ip_n, cases[i].n);
        assert_string_equal(gossip_address_text(&a, text), cases[i].text);
    }
    assert_false(gossip_address_parse(&a, "host.example", 1));
    assert_false(gossip_address_set(&a, STR("12345"), 1));
}

static void mapped_and_plain_addresses_differ_but_share_networks(void **state)
{
    (void)state;
    struct gossip_address plain, mapped;
    struct gossip_network n;
    assert_true(gossip_address_set(&plain, STR("\x0a\1\2\3"), 1));
    assert_true(gossip_address_set(
        &mapped, (struct str){ "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\2\3", 16 }, 1));
    assert_false(gossip_address_equal(&plain, &mapped));
    assert_true(gossip_network_parse(&n, STR("10.1.2.0/23")));
    assert_true(gossip_network_contains(&n, &plain));
    assert_true(gossip_network_contains(&n, &mapped));
    assert_true(gossip_network_parse(&n, STR("10.1.0.0/23")));
    assert_false(gossip_network_contains(&n, &plain));
    assert_true(gossip_network_parse(&n, STR("0.0.0.0/0")));
    assert_true(gossip_network_contains(&n, &plain));
    assert_true(gossip_network_parse(&n, STR("fe80::/10")));
    assert_false(gossip_network_contains(&n, &plain));
    assert_false(gossip_network_parse(&n, STR("10.0.0.0/33")));
    assert_false(gossip_network_parse(&n, STR("10.0.0.0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_three_sizes_are_taken),
        cmocka_unit_test(using_a_key_makes_it_the_primary),
        cmocka_unit_test(the_primary_stays),
        cmocka_unit_test(the_ring_is_bounded),
        cmocka_unit_test(a_fingerprint_names_a_key),
        cmocka_unit_test(a_sealed_message_that_was_touched_is_not_opened),
        cmocka_unit_test(a_message_of_nothing_is_an_error),
        cmocka_unit_test(addresses_are_printed_as_peers_do),
        cmocka_unit_test(mapped_and_plain_addresses_differ_but_share_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
