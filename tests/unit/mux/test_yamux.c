/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/mux/yamux.h"

/* One end, with an owner that accepts, collects and consumes. */
struct end {
    struct yamux y;
    struct buf got;  /* bytes of streams, as they came */
    struct buf sent; /* output pulled */
    size_t opened, eofs, resets, pongs, goaways, failed, drained;
    struct yamux_stream *last; /* the last one that an event named */
    bool keep;                 /* does not consume */
    bool passive;              /* does not accept */
};

static void end_init_with(struct end *e, struct yamux_options o)
{
    *e = (struct end){ .got = BUF_INIT(4u << 20), .sent = BUF_INIT(4u << 20) };
    yamux_init(&e->y, &o);
}

static void end_init(struct end *e, enum yamux_role role)
{
    end_init_with(e, (struct yamux_options){ .role = role, .now_ms = 1000 });
}

static void end_free(struct end *e)
{
    yamux_deinit(&e->y);
    buf_deinit(&e->got);
    buf_deinit(&e->sent);
}

static void on_event(struct end *e, const struct yamux_event *ev)
{
    if (ev->stream) e->last = ev->stream;
    switch (ev->kind) {
    case YAMUX_MORE:
        break;
    case YAMUX_OPENED:
        e->opened++;
        if (!e->passive) yamux_accept(&e->y, ev->stream);
        break;
    case YAMUX_DATA:
        buf_put_str(&e->got, ev->bytes);
        if (!e->keep) yamux_consumed(&e->y, ev->stream, ev->bytes.n);
        break;
    case YAMUX_EOF:
        e->eofs++;
        break;
    case YAMUX_RESET:
        e->resets++;
        break;
    case YAMUX_PONG:
        e->pongs++;
        break;
    case YAMUX_GOAWAY:
        e->goaways++;
        break;
    case YAMUX_FAILED:
        e->failed++;
        break;
    }
}

static void feed(struct end *e, struct str in)
{
    struct yamux_event ev;
    do {
        yamux_recv(&e->y, &in, &ev);
        on_event(e, &ev);
    } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
    assert_int_equal(in.n, 0);
}

static void pull(struct end *e)
{
    struct yamux_chunk c;
    while (yamux_next(&e->y, &c)) {
        size_t before = e->sent.n;
        for (size_t i = 0; i < c.n; i++)
            buf_put(&e->sent, c.parts[i].p, c.parts[i].n);
        assert_int_equal(e->sent.n - before, c.bytes);
        if (c.drained) e->drained++;
    }
}

/* Carries output to the other end until both are quiet. */
static void talk(struct end *a, struct end *b)
{
    for (;;) {
        pull(a);
        pull(b);
        if (!a->sent.n && !b->sent.n) return;
        feed(b, buf_str(&a->sent));
        buf_clear(&a->sent);
        feed(a, buf_str(&b->sent));
        buf_clear(&b->sent);
    }
}

static void put(struct end *e, struct yamux_stream *st, const char *text)
{
    struct stream_part part = { text, strlen(text), NULL };
    assert_int_equal(yamux_write(&e->y, st, &part, 1), 0);
}

/* A frame by its numbers, with n bytes of payload that are there. */
static struct str frame(uint8_t type, uint16_t flags, uint32_t id, uint32_t length, size_t payload)
{
    static uint8_t out[YAMUX_HEADER + YAMUX_WINDOW + 2];
    uint8_t head[YAMUX_HEADER] = { 0, type, (uint8_t)(flags >> 8), (uint8_t)flags,
        (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
        (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length };
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 'x', payload);
    return (struct str){ (const char *)out, sizeof head + payload };
}

static void assert_sent(struct end *e, struct str want)
{
    pull(e);
    assert_int_equal(e->sent.n, want.n);
    assert_memory_equal(e->sent.p, want.p, want.n);
    buf_clear(&e->sent);
}

enum { DATA, WINDOW, PING, GOAWAY, SYN = 1, ACK = 2, FIN = 4, RST = 8 };

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

/* --- streams -------------------------------------------------------------------------------- */

static void streams_carry_bytes_both_ways(void **state)
{
    (void)state;
    struct end c, s;
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
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
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
}

static void reset_reaches_the_other_end(void **state)
{
    (void)state;
    struct end c, s;
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
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
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
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

/* --- limits --------------------------------------------------------------------------------- */

static void opens_over_the_backlog_wait_for_answers(void **state)
{
    (void)state;
    struct end c, s;
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
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
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
}

static void after_a_go_away_nothing_new_is_opened(void **state)
{
    (void)state;
    struct end c, s;
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
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
    end_free(&c);
    end_free(&s);
}

static void ten_thousand_streams_are_found_and_freed(void **state)
{
    (void)state;
    struct end c, s;
    end_init(&c, YAMUX_CLIENT);
    end_init(&s, YAMUX_SERVER);
    for (int i = 0; i < 10000; i++)
        put(&c, yamux_open(&c.y), "x");
    talk(&c, &s);
    assert_int_equal(s.y.n_streams, 10000);
    assert_int_equal(s.got.n, 10000);
    assert_int_equal(s.y.held, 0);
    assert_true(sizeof(struct yamux_stream) <= 72);
    end_free(&c);
    end_free(&s);
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
