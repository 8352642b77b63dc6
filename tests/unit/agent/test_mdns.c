/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/agent/mdns.h"

#define BYTES(lit) ((struct str){ (lit), sizeof(lit) - 1 })

/* _x._tcp.local PTR a._x._tcp.local; SRV port 8301 at h.local; its A and AAAA. */
static const char answer[] =
    "\0\0\x84\0\0\1\0\1\0\0\0\3"
    "\2_x\4_tcp\5local\0\0\x0c\0\1"               /* at 12: the question */
    "\xc0\x0c\0\x0c\0\1\0\0\0\x78\0\4\1a\xc0\x0c" /* a._x... at 43 */
    "\xc0\x2b\0\x21\0\1\0\0\0\x78\0\x0a\0\0\0\0\x20\x6d\1h\xc0\x14"
    "\1H\5LOCAL\0\0\1\0\1\0\0\0\x78\0\4\x0a\1\2\3"
    "\1h\xc0\x14\0\x1c\0\1\0\0\0\x78\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1";

static struct list read_as(struct arena *a, struct str packet, const char *name, bool v4, bool v6)
{
    struct list found = { 0 };
    struct mdns_options o = { .name = str_of(name), .v4 = v4, .v6 = v6 };
    mdns_answer_read(packet, &o, a, &found);
    mdns_answer_read(packet, &o, a, &found); /* nothing twice */
    return found;
}

static void an_instance_is_found_with_the_wanted_address(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct str packet = BYTES(answer);
    struct list found = read_as(&a, packet, "_x._tcp.local", true, true);
    assert_int_equal(found.n, 1);
    assert_true(str_is(LIST_AT(&found, struct str, 0), "[fd00::1]:8301"));
    found = read_as(&a, packet, "_X._tcp.LOCAL", true, false);
    assert_int_equal(found.n, 1);
    assert_true(str_is(LIST_AT(&found, struct str, 0), "10.1.2.3:8301"));
    assert_int_equal(read_as(&a, packet, "_x._tcp.local", false, false).n, 0);
    assert_int_equal(read_as(&a, packet, "_y._tcp.local", true, true).n, 0);
    arena_free(&a);
}

static void cut_and_looping_packets_give_nothing(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct str packet = BYTES(answer);
    for (size_t n = 0; n < packet.n - 30; n++)
        assert_true(read_as(&a, str_slice(packet, 0, n), "_x._tcp.local", true, true).n <= 1);
    static const char loop[] = "\0\0\x84\0\0\0\0\1\0\0\0\0\xc0\x0c\0\x0c\0\1\0\0\0\x78\0\2\xc0\x0c";
    assert_int_equal(read_as(&a, BYTES(loop), "_x._tcp.local", true, true).n, 0);
    static const char question[] = "\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff";
    assert_int_equal(read_as(&a, BYTES(question), "_x._tcp.local", true, true).n, 0);
    arena_free(&a);
}

static void a_question_asks_for_pointers(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(512);
    assert_true(mdns_question(STR("_x._tcp.local"), &out));
    assert_true(
        str_eq(buf_str(&out), BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\2_x\4_tcp\5local\0\0\x0c\0\1")));
    assert_false(mdns_question(STR("a..b"), &out));
    assert_false(mdns_question(STR(""), &out));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instance_is_found_with_the_wanted_address),
        cmocka_unit_test(cut_and_looping_packets_give_nothing),
        cmocka_unit_test(a_question_asks_for_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
