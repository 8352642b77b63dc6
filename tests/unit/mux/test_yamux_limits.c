/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, misuse, the end of sessions. */
#include "yamux_world.h"

/* --- limits --------------------------------------------------------------------------------- */

static void opens_over_the_backlog_wait_for_answers(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    s.passive = true;
    struct yamux_stream *last = NULL;
    for (int i = 0; i < YAMUX_BACKLOG + 2; i++)
        last = yamux_open(&c.y);
    put(&c, last, "late");
    talk(&c, &s);
    assert_int_equal(s.opened, YAMUX_BACKLOG);
    assert_int_equal(s.got.n, 0);
    struct yamux_stream *first = s.last; /* any of those opened */
    yamux_accept(&s.y, first);
    talk(&c, &s);
    assert_int_equal(s.opened, YAMUX_BACKLOG + 1);
    s.passive = false;
    yamux_accept(&s.y, s.last);
    talk(&c, &s);
    assert_int_equal(s.opened, YAMUX_BACKLOG + 2);
    assert_int_equal(s.got.n, 4);
    ends_free(&c, &s);
}

static void a_syn_over_the_backlog_is_reset(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    s.passive = true;
    for (uint32_t i = 0; i < YAMUX_BACKLOG; i++)
        feed(&s, frame(WINDOW, SYN, 2 * i + 1, 0, 0));
    pull(&s);
    assert_int_equal(s.sent.n, 0);
    feed(&s, frame(WINDOW, SYN, 9999, 0, 0));
    assert_sent(&s, frame(WINDOW, RST, 9999, 0, 0));
    assert_int_equal(s.y.counters.refused, 1);
    assert_null(yamux_why(&s.y));
    end_free(&s);
}

static void streams_over_the_limit_are_reset(void **state)
{
    (void)state;
    struct end s;
    end_init_with(&s, (struct yamux_options){ .role = YAMUX_SERVER, .streams_max = 2 });
    feed(&s, frame(WINDOW, SYN, 1, 0, 0));
    feed(&s, frame(WINDOW, SYN, 3, 0, 0));
    pull(&s);
    buf_clear(&s.sent);
    feed(&s, frame(WINDOW, SYN, 5, 0, 0));
    assert_sent(&s, frame(WINDOW, RST, 5, 0, 0));
    end_free(&s);
}

static void control_frames_that_nobody_reads_end_the_session(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    for (size_t i = 0; i < YAMUX_CONTROL_MAX / YAMUX_HEADER; i++)
        feed(&s, frame(PING, SYN, 0, (uint32_t)i, 0));
    assert_null(yamux_why(&s.y));
    feed(&s, frame(PING, SYN, 0, 0, 0));
    assert_string_equal(yamux_why(&s.y), "the peer does not read");
    end_free(&s);
}

static void numbers_run_out(void **state)
{
    (void)state;
    struct end c;
    end_init(&c, YAMUX_CLIENT);
    c.y.next_id = UINT32_MAX - 2;
    assert_int_equal(yamux_open(&c.y)->id, UINT32_MAX - 2);
    assert_false(yamux_can_open(&c.y));
    assert_null(yamux_open(&c.y));
    end_free(&c);
}

/* --- misuse --------------------------------------------------------------------------------- */

/* What one frame does to a server that has stream 1 open. */
static const char *misuse(struct str bytes)
{
    struct end s;
    static char copy[YAMUX_HEADER + 1024];
    assert_true(bytes.n <= sizeof copy);
    memcpy(copy, bytes.p, bytes.n);
    end_init(&s, YAMUX_SERVER);
    feed(&s, frame(WINDOW, SYN, 1, 0, 0));
    feed(&s, (struct str){ copy, bytes.n });
    const char *why = yamux_why(&s.y);
    assert_int_equal(s.failed, why ? 1 : 0);
    end_free(&s);
    return why;
}

static void misuse_ends_the_session_with_a_reason(void **state)
{
    (void)state;
    char bad_version[YAMUX_HEADER] = { 1, 0 };
    assert_string_equal(
        misuse((struct str){ bad_version, sizeof bad_version }), "unknown protocol version");
    assert_string_equal(misuse(frame(4, 0, 1, 0, 0)), "unknown frame type");
    assert_string_equal(misuse(frame(WINDOW, SYN, 1, 0, 0)), "a stream was opened twice");
    assert_string_equal(misuse(frame(WINDOW, SYN, 0, 0, 0)), "stream 0 opened");
    assert_string_equal(
        misuse(frame(DATA, 0, 1, YAMUX_WINDOW + 1, 0)), "more data than the window allows");
    assert_string_equal(
        misuse(frame(WINDOW, 0, 1, UINT32_MAX, 0)), "credit over the largest window");
    assert_string_equal(misuse(frame(GOAWAY, 0, 0, 1, 0)), "the peer reported a protocol error");
    assert_string_equal(misuse(frame(GOAWAY, 0, 0, 2, 0)), "the peer reported an internal error");
    assert_string_equal(misuse(frame(GOAWAY, 0, 0, 3, 0)), "go-away with an unknown code");
}

static void harmless_surprises_are_counted(void **state)
{
    (void)state;
    assert_null(misuse(frame(DATA, 0, 5, 100, 100)));
    assert_null(misuse(frame(WINDOW, 0, 5, 1, 0)));
    assert_null(misuse(frame(WINDOW, FIN, 5, 0, 0)));
    assert_null(misuse(frame(WINDOW, RST, 5, 0, 0)));
    assert_null(misuse(frame(PING, ACK, 0, 77, 0)));
    struct end s;
    end_init(&s, YAMUX_SERVER);
    feed(&s, frame(DATA, 0, 5, 10, 10));
    feed(&s, frame(WINDOW, SYN, 5, 0, 0));
    assert_int_equal(s.got.n, 0);
    assert_int_equal(s.opened, 1);
    assert_int_equal(s.y.counters.strays, 1);
    end_free(&s);
}

static void violations_are_told_by_a_go_away(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    feed(&s, frame(WINDOW, SYN, 1, 0, 0));
    feed(&s, frame(WINDOW, FIN, 1, 0, 0));
    pull(&s);
    buf_clear(&s.sent);
    feed(&s, frame(WINDOW, FIN, 1, 0, 0));
    assert_string_equal(yamux_why(&s.y), "a stream was ended twice");
    assert_sent(&s, frame(GOAWAY, 0, 0, 1, 0));
    feed(&s, frame(PING, SYN, 0, 1, 0));
    assert_sent(&s, STR(""));
    end_free(&s);
}

/* --- session -------------------------------------------------------------------------------- */

static void pings_are_answered_and_missed(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    assert_int_equal(yamux_deadline(&c.y), 1000 + YAMUX_KEEPALIVE_MS);
    assert_false(yamux_tick(&c.y, 1000 + YAMUX_KEEPALIVE_MS - 1));
    pull(&c);
    assert_int_equal(c.sent.n, 0);
    assert_false(yamux_tick(&c.y, 1000 + YAMUX_KEEPALIVE_MS));
    yamux_ping(&c.y); /* another one does not hide the keepalive's answer */
    talk(&c, &s);
    assert_int_equal(c.pongs, 2);
    assert_int_equal(yamux_deadline(&c.y), 1000 + 2 * YAMUX_KEEPALIVE_MS);
    assert_false(yamux_tick(&c.y, 1000 + 2 * YAMUX_KEEPALIVE_MS));
    assert_false(yamux_tick(&c.y, 1000 + 2 * YAMUX_KEEPALIVE_MS + YAMUX_TIMEOUT_MS - 1));
    assert_true(yamux_tick(&c.y, 1000 + 2 * YAMUX_KEEPALIVE_MS + YAMUX_TIMEOUT_MS));
    assert_string_equal(yamux_why(&c.y), "keepalive timeout");
    ends_free(&c, &s);
}

static void after_a_go_away_nothing_new_is_opened(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    struct yamux_stream *st = yamux_open(&c.y);
    talk(&c, &s);
    yamux_go_away(&s.y);
    pull(&s);
    feed(&c, buf_str(&s.sent));
    assert_int_equal(c.goaways, 1);
    assert_false(yamux_can_open(&c.y));
    assert_null(yamux_open(&c.y));
    put(&c, st, "goes on");
    buf_clear(&s.sent);
    talk(&c, &s);
    assert_int_equal(s.got.n, 7);
    feed(&s, frame(WINDOW, SYN, 99, 0, 0));
    assert_sent(&s, frame(WINDOW, RST, 99, 0, 0));
    ends_free(&c, &s);
}

static void ten_thousand_streams_are_found_and_freed(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    for (int i = 0; i < 10000; i++)
        put(&c, yamux_open(&c.y), "x");
    talk(&c, &s);
    assert_int_equal(s.y.n_streams, 10000);
    assert_int_equal(s.got.n, 10000);
    assert_int_equal(s.y.held, 0);
    assert_true(sizeof(struct yamux_stream) <= 72);
    ends_free(&c, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_over_the_backlog_wait_for_answers),
        cmocka_unit_test(a_syn_over_the_backlog_is_reset),
        cmocka_unit_test(streams_over_the_limit_are_reset),
        cmocka_unit_test(control_frames_that_nobody_reads_end_the_session),
        cmocka_unit_test(numbers_run_out),
        cmocka_unit_test(misuse_ends_the_session_with_a_reason),
        cmocka_unit_test(harmless_surprises_are_counted),
        cmocka_unit_test(violations_are_told_by_a_go_away),
        cmocka_unit_test(pings_are_answered_and_missed),
        cmocka_unit_test(after_a_go_away_nothing_new_is_opened),
        cmocka_unit_test(ten_thousand_streams_are_found_and_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
