/* SPDX-License-Identifier: Apache-2.0 */
/* Key management over the pool, with and without a key ring file. */
#include "serf_bed.h"
#include "world/openssl_cipher.h"

static const char first[] = "0123456789abcdef";
static const char second[] = "fedcba9876543210";
#define KEY(text) ((struct str){ text, 16 })
#define FIRST_BASE64 "MDEyMzQ1Njc4OWFiY2RlZg=="
#define SECOND_BASE64 "ZmVkY2JhOTg3NjU0MzIxMA=="

static struct pool *encrypted_pool(size_t n, bool save)
{
    struct pool *p = pool_create();
    struct error err;
    for (size_t i = 0; i < n; i++) {
        struct peer *peer = prepare(p);
        peer->o.swim.cipher = &cipher_openssl;
        peer->o.save_keys = save;
        assert_int_equal(keyring_install(&peer->keys, KEY(first), &err), 0);
        start(p, i);
    }
    for (size_t i = 1; i < n; i++)
        join(p, i, 0);
    run_for(p, 3000);
    hear_nothing_more(p);
    return p;
}

static void manage(struct pool *p, enum serf_key_action action, struct str key)
{
    struct serf_event ev = { .type = SERF_KEYS };
    ev.keys.handle = 8;
    ev.keys.action = action;
    ev.keys.key = key;
    hear_nothing_more(p);
    give(p, 0, &ev);
    run_for(p, 10000);
}

static void a_key_is_rotated_through_the_pool(void **state)
{
    (void)state;
    struct pool *p = encrypted_pool(3, false);
    assert_int_equal(serf_count(p->node[2].serf), 3);
    manage(p, SERF_KEY_INSTALL, KEY(second));
    assert_true(told(p, 0, "result 8 0 \n"));
    manage(p, SERF_KEY_LIST, STR_NIL);
    const struct serf_key_outcome *o = &p->node[0].outcome;
    assert_true(told(p, 0, "result 8 0 \n"));
    assert_int_equal(o->nodes, 3);
    assert_int_equal(o->responses, 3);
    assert_int_equal(o->keys_n, 2);
    assert_int_equal(o->primary_keys_n, 1);
    manage(p, SERF_KEY_USE, KEY(second));
    assert_true(told(p, 0, "result 8 0 \n"));
    manage(p, SERF_KEY_REMOVE, KEY(first));
    assert_true(told(p, 0, "result 8 0 \n"));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(p->node[i].keys.n, 1);
        assert_true(str_eq(keyring_at(&p->node[i].keys, 0), KEY(second)));
        assert_int_equal(status_of(p, i, (i + 1) % 3), SERF_ALIVE);
    }
    pool_destroy(p);
}

static void refusals_are_reported_by_node(void **state)
{
    (void)state;
    struct pool *p = encrypted_pool(3, false);
    manage(p, SERF_KEY_USE, KEY(second));
    assert_true(told(p, 0, "result 8 -1 3/3 nodes reported failure\n"));
    assert_int_equal(p->node[0].outcome.errors, 3);
    assert_int_equal(p->node[0].outcome.messages_n, 3);
    manage(p, SERF_KEY_REMOVE, KEY(first));
    assert_true(told(p, 0, "result 8 -1 3/3 nodes reported failure\n"));
    manage(p, SERF_KEY_INSTALL, STR("short"));
    assert_true(told(p, 0, "result 8 -1 3/3 nodes reported failure\n"));
    manage(p, SERF_KEY_INSTALL, STR("a key of more bytes than any key has"));
    assert_true(told(p, 0, "result 8 -1 3/3 nodes reported failure\n"));
    assert_int_equal(p->node[1].keys.n, 1);
    pool_destroy(p);
}

static void a_pool_without_keys_says_so(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    manage(p, SERF_KEY_LIST, STR_NIL);
    assert_true(told(p, 0, "result 8 -1 2/2 nodes reported failure\n"));
    manage(p, SERF_KEY_INSTALL, KEY(first));
    assert_true(told(p, 0, "result 8 -1 2/2 nodes reported failure\n"));
    assert_int_equal(p->node[0].keys.n, 0);
    pool_destroy(p);
}

static void saved(struct pool *p, size_t i, const char *error)
{
    struct serf_event ev = { .type = SERF_KEYS_SAVED };
    ev.keys_saved.save = p->node[i].save;
    ev.keys_saved.error = str_of(error);
    give(p, i, &ev);
    settle(p);
}

static void a_change_is_answered_when_the_file_is_written(void **state)
{
    (void)state;
    struct pool *p = encrypted_pool(2, true);
    struct serf_event ev = { .type = SERF_KEYS };
    ev.keys.handle = 8;
    ev.keys.action = SERF_KEY_INSTALL;
    ev.keys.key = KEY(second);
    give(p, 0, &ev);
    run_for(p, 1000);
    for (size_t i = 0; i < 2; i++)
        assert_true(
            told(p, i, "save-keys [\n  \"" FIRST_BASE64 "\",\n  \"" SECOND_BASE64 "\"\n]\n"));
    assert_false(told(p, 0, "result"));
    saved(p, 0, NULL);
    saved(p, 1, "disk full");
    run_for(p, 1000);
    assert_true(told(p, 0, "result 8 -1 1/2 nodes reported failure\n"));
    assert_int_equal(p->node[0].outcome.messages_n, 1);
    pool_destroy(p);
}

static void a_silent_member_is_missing_in_the_result(void **state)
{
    (void)state;
    struct pool *p = encrypted_pool(3, true);
    struct serf_event ev = { .type = SERF_KEYS };
    ev.keys.handle = 8;
    ev.keys.action = SERF_KEY_INSTALL;
    ev.keys.key = KEY(second);
    give(p, 0, &ev);
    run_for(p, 500);
    saved(p, 0, NULL);
    saved(p, 1, NULL);
    run_for(p, 20000);
    assert_true(told(p, 0, "result 8 -1 2/3 nodes reported success\n"));
    pool_destroy(p);
}

static void a_list_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    struct pool *p = encrypted_pool(1, false);
    struct error err;
    for (uint8_t i = 0; i < 60; i++) {
        char key[32];
        memset(key, 'A' + i, sizeof key);
        assert_int_equal(
            keyring_install(&p->node[0].keys, (struct str){ key, sizeof key }, &err), 0);
    }
    manage(p, SERF_KEY_LIST, STR_NIL);
    assert_true(told(p, 0, "result 8 0 \n"));
    assert_true(p->node[0].outcome.keys_n > 10 && p->node[0].outcome.keys_n < 40);
    assert_int_equal(p->node[0].outcome.messages_n, 1);
    assert_int_equal(p->node[0].keys.n, 61);
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_rotated_through_the_pool),
        cmocka_unit_test(refusals_are_reported_by_node),
        cmocka_unit_test(a_pool_without_keys_says_so),
        cmocka_unit_test(a_change_is_answered_when_the_file_is_written),
        cmocka_unit_test(a_silent_member_is_missing_in_the_result),
        cmocka_unit_test(a_list_that_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
