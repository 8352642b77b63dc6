/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/mux/packet_frame.h"

struct reader {
    struct packet_frames f;
    char got[8][64];
    size_t n;
};

static enum packet_frame_result feed(struct reader *r, struct str bytes)
{
    for (;;) {
        struct str packet;
        enum packet_frame_result res = packet_frames_take(&r->f, &bytes, &packet);
        if (res != PACKET_FRAME_WHOLE) return res;
        assert_true(r->n < 8 && packet.n < sizeof r->got[0]);
        memcpy(r->got[r->n], packet.p, packet.n);
        r->got[r->n++][packet.n] = '\0';
    }
}

static const char three[] = "\0\0\0\5hello\0\0\0\1x\0\0\0\5world";
#define THREE ((struct str){ three, sizeof three - 1 })

static void assert_three(const struct reader *r)
{
    assert_int_equal(r->n, 3);
    assert_string_equal(r->got[0], "hello");
    assert_string_equal(r->got[1], "x");
    assert_string_equal(r->got[2], "world");
}

static void datagrams_of_one_read_come_apart(void **state)
{
    (void)state;
    struct reader r = { 0 };
    packet_frames_init(&r.f);
    assert_int_equal(feed(&r, THREE), PACKET_FRAME_MORE);
    assert_three(&r);
    packet_frames_deinit(&r.f);
}

static void W25_any_split_is_taken(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < THREE.n; cut++) {
        struct reader r = { 0 };
        packet_frames_init(&r.f);
        for (size_t at = 0; at < THREE.n; at += cut) {
            size_t end = at + cut < THREE.n ? at + cut : THREE.n;
            assert_int_equal(feed(&r, str_slice(THREE, at, end)), PACKET_FRAME_MORE);
        }
        assert_three(&r);
        assert_int_equal(packet_frames_rest(&r.f).n, 0);
        packet_frames_deinit(&r.f);
    }
}

static void a_length_out_of_bounds_ends_the_stream(void **state)
{
    (void)state;
    static const struct {
        const char *head, *why;
    } rows[] = {
        { "\0\0\0\0", "packet too short (0 bytes)" },
        { "\0\x40\0\1", "gossip packet size 4194305 exceeds threshold of 4194304" },
        { "\xff\xff\xff\xff", "gossip packet size 4294967295 exceeds threshold of 4194304" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 1; cut <= 4; cut++) {
            struct reader r = { 0 };
            enum packet_frame_result res = PACKET_FRAME_MORE;
            packet_frames_init(&r.f);
            for (size_t at = 0; at < 4; at += cut)
                res = feed(&r, (struct str){ rows[i].head + at, at + cut < 4 ? cut : 4 - at });
            assert_int_equal(res, PACKET_FRAME_FAILED);
            assert_string_equal(r.f.why, rows[i].why);
            assert_int_equal(feed(&r, THREE), PACKET_FRAME_FAILED);
            packet_frames_deinit(&r.f);
        }
    }
}

static void the_largest_datagram_is_taken(void **state)
{
    (void)state;
    struct packet_frames f;
    char *all = calloc(1, PACKET_FRAME_HEADER + PACKET_FRAME_MAX);
    packet_frames_init(&f);
    packet_frame_header((uint8_t *)all, PACKET_FRAME_MAX);
    struct str half = { all, 1000000 },
               rest = { all + 1000000, PACKET_FRAME_HEADER + PACKET_FRAME_MAX - 1000000 }, packet;
    assert_int_equal(packet_frames_take(&f, &half, &packet), PACKET_FRAME_MORE);
    assert_int_equal(packet_frames_take(&f, &rest, &packet), PACKET_FRAME_WHOLE);
    assert_int_equal(packet.n, PACKET_FRAME_MAX);
    packet_frames_deinit(&f);
    free(all);
}

static void a_datagram_cut_short_is_there_at_the_end(void **state)
{
    (void)state;
    struct reader r = { 0 };
    packet_frames_init(&r.f);
    assert_int_equal(feed(&r, str_slice(THREE, 0, THREE.n - 2)), PACKET_FRAME_MORE);
    assert_int_equal(r.n, 2);
    assert_true(str_is(packet_frames_rest(&r.f), "wor"));
    packet_frames_deinit(&r.f);
    packet_frames_init(&r.f);
    assert_int_equal(feed(&r, STR("\0\0")), PACKET_FRAME_MORE);
    assert_int_equal(packet_frames_rest(&r.f).n, 0);
    packet_frames_deinit(&r.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_of_one_read_come_apart),
        cmocka_unit_test(W25_any_split_is_taken),
        cmocka_unit_test(a_length_out_of_bounds_ends_the_stream),
        cmocka_unit_test(the_largest_datagram_is_taken),
        cmocka_unit_test(a_datagram_cut_short_is_there_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
