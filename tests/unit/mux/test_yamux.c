/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and what they may send. */
#include "yamux_world.h"

/* --- streams -------------------------------------------------------------------------------- */

static void streams_carry_bytes_both_ways(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    struct yamux_stream *one = yamux_open(&c.y), *two = yamux_open(&c.y);
    assert_int_equal(one->id, 1);
    assert_int_equal(two->id, 3);
    put(&c, two, "hello ");
    put(&c, two, "server");
    talk(&c, &s);
    assert_int_equal(s.opened, 2);
    assert_int_equal(c.drained, 1);
    assert_memory_equal(s.got.p, "hello server", 12);
    assert_int_equal(s.last->id, 3);
    put(&s, s.last, "hello client");
    talk(&c, &s);
    assert_memory_equal(c.got.p, "hello client", 12);
    ends_free(&c, &s);
}

static void input_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct end c;
    end_init(&c, YAMUX_CLIENT);
    put(&c, yamux_open(&c.y), "some bytes");
    yamux_finish(&c.y, yamux_open(&c.y));
    pull(&c);
    for (size_t step = 1; step < c.sent.n; step++) {
        struct end s;
        end_init(&s, YAMUX_SERVER);
        for (size_t at = 0; at < c.sent.n; at += step) {
            size_t n = c.sent.n - at < step ? c.sent.n - at : step;
            feed(&s, (struct str){ (const char *)c.sent.p + at, n });
        }
        assert_int_equal(s.got.n, 10);
        assert_int_equal(s.opened, 2);
        assert_int_equal(s.eofs, 1);
        end_free(&s);
    }
    end_free(&c);
}

static void a_syn_may_come_on_data_with_a_fin(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    feed(&s, frame(DATA, SYN | FIN, 7, 3, 3));
    assert_int_equal(s.opened, 1);
    assert_int_equal(s.got.n, 3);
    assert_int_equal(s.eofs, 1);
    assert_sent(&s, frame(WINDOW, ACK, 7, 0, 0));
    yamux_close(&s.y, s.last);
    assert_sent(&s, frame(WINDOW, FIN, 7, 0, 0));
    assert_int_equal(s.y.n_streams, 0);
    end_free(&s);
}

static void an_ack_rides_on_the_first_frame_of_a_late_accept(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    s.passive = true;
    feed(&s, frame(WINDOW, SYN, 1, 0, 0));
    put(&s, s.last, "x");
    assert_sent(&s, frame(DATA, ACK, 1, 1, 1));
    end_free(&s);
}

static void a_stream_is_gone_when_both_ended(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    struct yamux_stream *st = yamux_open(&c.y);
    put(&c, st, "last words");
    yamux_close(&c.y, st);
    talk(&c, &s);
    assert_int_equal(s.eofs, 1);
    assert_int_equal(c.y.n_streams, 1);
    put(&s, s.last, "nobody reads this");
    yamux_close(&s.y, s.last);
    talk(&c, &s);
    assert_int_equal(c.y.n_streams, 0);
    assert_int_equal(s.y.n_streams, 0);
    assert_int_equal(c.got.n, 0);
    assert_int_equal(c.eofs, 0);
    assert_null(yamux_why(&c.y));
    ends_free(&c, &s);
}

static void reset_reaches_the_other_end(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    struct yamux_stream *st = yamux_open(&c.y);
    talk(&c, &s);
    put(&s, s.last, "unsent");
    yamux_reset(&c.y, st);
    pull(&c);
    feed(&s, buf_str(&c.sent));
    assert_int_equal(s.resets, 1);
    struct stream_part part = { "x", 1, NULL };
    assert_int_equal(yamux_write(&s.y, s.last, &part, 1), ERR_IO);
    pull(&s);
    assert_int_equal(s.drained, 0);
    yamux_close(&s.y, s.last);
    assert_int_equal(s.y.n_streams, 0);
    assert_int_equal(c.y.n_streams, 0);
    ends_free(&c, &s);
}

static void a_stream_reset_before_its_syn_is_never_told(void **state)
{
    (void)state;
    struct end c;
    end_init(&c, YAMUX_CLIENT);
    yamux_reset(&c.y, yamux_open(&c.y));
    pull(&c);
    assert_int_equal(c.sent.n, 0);
    end_free(&c);
}

/* --- flow control --------------------------------------------------------------------------- */

static void a_sender_stops_without_credit_and_goes_on_with_it(void **state)
{
    (void)state;
    struct end c, s;
    ends_init(&c, &s);
    s.keep = true;
    static char big[2 * YAMUX_WINDOW + 10];
    struct yamux_stream *st = yamux_open(&c.y);
    struct stream_part part = { big, sizeof big, NULL };
    assert_int_equal(yamux_write(&c.y, st, &part, 1), 0);
    talk(&c, &s);
    assert_int_equal(s.got.n, YAMUX_WINDOW);
    assert_true(yamux_unsent(st));
    yamux_consumed(&s.y, s.last, YAMUX_WINDOW / 2 - 1);
    talk(&c, &s);
    assert_int_equal(s.got.n, YAMUX_WINDOW);
    yamux_consumed(&s.y, s.last, 1);
    talk(&c, &s);
    assert_int_equal(s.got.n, YAMUX_WINDOW + YAMUX_WINDOW / 2);
    s.keep = false;
    yamux_consumed(&s.y, s.last, YAMUX_WINDOW);
    talk(&c, &s);
    assert_int_equal(s.got.n, sizeof big);
    assert_int_equal(c.drained, 1);
    ends_free(&c, &s);
}

static void credit_counts_what_is_still_coming(void **state)
{
    (void)state;
    struct end s;
    end_init(&s, YAMUX_SERVER);
    feed(&s, frame(WINDOW, SYN, 1, 0, 0));
    pull(&s);
    buf_clear(&s.sent);
    struct str whole = frame(DATA, 0, 1, YAMUX_WINDOW, YAMUX_WINDOW);
    feed(&s, str_slice(whole, 0, YAMUX_HEADER + YAMUX_WINDOW / 2));
    assert_sent(&s, frame(WINDOW, 0, 1, YAMUX_WINDOW / 2, 0));
    whole = frame(DATA, 0, 1, YAMUX_WINDOW, YAMUX_WINDOW);
    feed(&s, str_slice(whole, YAMUX_HEADER + YAMUX_WINDOW / 2, whole.n));
    assert_sent(&s, frame(WINDOW, 0, 1, YAMUX_WINDOW / 2, 0));
    end_free(&s);
}

static void a_shared_body_is_sent_without_a_copy(void **state)
{
    (void)state;
    struct end c;
    end_init(&c, YAMUX_CLIENT);
    struct shared_body *body = shared_body_create(STR("one body for many"));
    struct yamux_stream *st = yamux_open(&c.y);
    struct stream_part parts[] = { { "head ", 5, NULL }, { body->bytes, body->n, body } };
    assert_int_equal(yamux_write(&c.y, st, parts, 2), 0);
    assert_int_equal(c.y.queued, 5);
    struct yamux_chunk chunk;
    assert_true(yamux_next(&c.y, &chunk)); /* SYN */
    assert_true(yamux_next(&c.y, &chunk));
    assert_int_equal(chunk.n, 3);
    assert_ptr_equal(chunk.parts[2].p, body->bytes);
    assert_ptr_equal(chunk.parts[2].shared, body);
    assert_ptr_equal(chunk.drained, st);
    assert_int_equal(c.y.queued, 0);
    assert_false(yamux_next(&c.y, &chunk));
    assert_int_equal(body->refs, 1);
    shared_body_unref(body);
    end_free(&c);
}

static void streams_take_turns(void **state)
{
    (void)state;
    struct end c;
    end_init(&c, YAMUX_CLIENT);
    struct yamux_stream *a = yamux_open(&c.y), *b = yamux_open(&c.y);
    struct yamux_chunk chunk;
    assert_true(yamux_next(&c.y, &chunk));
    assert_true(yamux_next(&c.y, &chunk));
    for (int i = 0; i < 6; i++) {
        put(&c, a, "a");
        put(&c, b, "b");
    }
    char order[5] = "";
    for (int i = 0; i < 4; i++) {
        assert_true(yamux_next(&c.y, &chunk));
        order[i] = *(const char *)chunk.parts[1].p;
    }
    assert_string_equal(order, "abab");
    end_free(&c);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    struct end c;
    end_init_with(&c, (struct yamux_options){ .role = YAMUX_CLIENT, .queue_max = 10 });
    struct yamux_stream *st = yamux_open(&c.y);
    struct stream_part part = { "12345678", 8, NULL };
    assert_int_equal(yamux_write(&c.y, st, &part, 1), 0);
    assert_int_equal(yamux_write(&c.y, st, &part, 1), ERR_FULL);
    assert_null(yamux_why(&c.y));
    pull(&c);
    assert_int_equal(yamux_write(&c.y, st, &part, 1), 0);
    end_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_carry_bytes_both_ways),
        cmocka_unit_test(input_may_be_cut_anywhere),
        cmocka_unit_test(a_syn_may_come_on_data_with_a_fin),
        cmocka_unit_test(an_ack_rides_on_the_first_frame_of_a_late_accept),
        cmocka_unit_test(a_stream_is_gone_when_both_ended),
        cmocka_unit_test(reset_reaches_the_other_end),
        cmocka_unit_test(a_stream_reset_before_its_syn_is_never_told),
        cmocka_unit_test(a_sender_stops_without_credit_and_goes_on_with_it),
        cmocka_unit_test(credit_counts_what_is_still_coming),
        cmocka_unit_test(a_shared_body_is_sent_without_a_copy),
        cmocka_unit_test(streams_take_turns),
        cmocka_unit_test(what_waits_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
