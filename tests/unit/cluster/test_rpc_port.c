/* SPDX-License-Identifier: Apache-2.0 */
/* Port 8300: what the first byte chooses, and one call after another. */
#include "port_world.h"

/* --- first byte ------------------------------------------------------------------------------ */

static void unknown_first_bytes_close_the_connection(void **state)
{
    struct fixture *f = *state;
    static const uint8_t refused[] = { 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x16, 'G', 0xff };
    for (size_t i = 0; i < sizeof refused; i++) {
        struct fake_stream *s = connect(f, 0, (const char *)&refused[i], 1);
        assert_true(s->closing);
        assert_int_equal(s->sent.n, 0);
        turn(f);
        assert_int_equal(rpc_port_counters(f->port).refused_byte, i + 1);
        fake_stream_deinit(s);
        fake_stream_init(s, "10.0.0.1");
    }
    assert_int_equal(rpc_port_counters(f->port).open, 0);
}

static void silence_ends_after_the_handshake_timeout(void **state)
{
    struct fixture *f = *state;
    struct fake_stream *s = connect(f, 0, "", 0);
    f->world.now_ms += 4999;
    turn(f);
    assert_false(s->closing);
    f->world.now_ms += 1;
    turn(f);
    assert_true(s->closed);
    assert_int_equal(rpc_port_counters(f->port).refused_silent, 1);
    s = connect(f, 1, "\x04", 1);
    f->world.now_ms += 20000;
    turn(f);
    assert_false(s->closing);
}

static void one_address_has_a_limited_number_of_connections(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 4; i++)
        assert_false(connect(f, i, "\x04", 1)->closing);
    connect(f, 4, "", 0);
    assert_true(f->conn[4].closing);
    fake_stream_init(&f->conn[5], "10.0.0.2");
    assert_false(connect(f, 5, "\x04", 1)->closing);
    stream_close(&f->conn[0].base);
    turn(f);
    assert_false(connect(f, 6, "\x04", 1)->closing);
    assert_int_equal(rpc_port_counters(f->port).refused_limit, 1);
}

static void raft_connections_are_handed_over(void **state)
{
    struct fixture *f = *state;
    connect(f, 0, "\x01", 1);
    assert_non_null(f->handed);
    assert_string_equal(f->handed->peer, "10.0.0.1");
}

/* --- single ---------------------------------------------------------------------------------- */

static void a_request_is_answered_with_its_number(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4096), want = BUF_INIT(4096);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    fake_stream_give(s, request(&in, 77, "Status.Leader", "\x80"));
    assert_sent(s, response(&want, "", 77, "Status.Leader", LEADER_BODY));
    fake_stream_give(s, request(&in, 1, "KVS.Apply", "\x80"));
    assert_sent(s, response(&want, "Must provide key", 1, "KVS.Apply", "\x80"));
    assert_false(s->finished);
    buf_deinit(&in);
    buf_deinit(&want);
}

static void requests_may_be_cut_anywhere_and_glued(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4096), want = BUF_INIT(4096), all = BUF_INIT(4096);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    for (uint64_t i = 1; i <= 3; i++) {
        request(&in, i, "Status.Leader",
            "\x81\xaa"
            "Datacenter"
            "\xa3"
            "dc1");
        response(&want, "", i, "Status.Leader", LEADER_BODY);
        buf_put_str(&all, buf_str(&want));
    }
    for (size_t step = 1; step <= in.n; step++) {
        for (size_t at = 0; at < in.n; at += step)
            fake_stream_give(s, str_slice(buf_str(&in), at, at + step < in.n ? at + step : in.n));
        assert_sent(s, buf_str(&all));
    }
    buf_deinit(&in);
    buf_deinit(&want);
    buf_deinit(&all);
}

static void one_request_is_served_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4096), want = BUF_INIT(4096);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    f->at_once = false;
    request(&in, 1, "Status.Leader", "\x80");
    request(&in, 2, "Status.Leader", "\x80");
    fake_stream_give(s, buf_str(&in));
    assert_int_equal(f->submitted, 1);
    answer(f, waiting(f));
    assert_sent(s, response(&want, "", 1, "Status.Leader", LEADER_BODY));
    assert_int_equal(f->submitted, 2);
    answer(f, waiting(f));
    assert_sent(s, response(&want, "", 2, "Status.Leader", LEADER_BODY));
    buf_deinit(&in);
    buf_deinit(&want);
}

static void dispatch_errors_are_told_and_end_the_conversation(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method, *args, *text;
    } cases[] = {
        { "Status.Nope", "\x80", "rpc: can't find method Status.Nope" },
        { "Nope.Ping", "\x80", "rpc: can't find service Nope.Ping" },
        { "AutoEncrypt.Sign", "\x80", "rpc: can't find service AutoEncrypt.Sign" },
        { "Ping", "\x80", "rpc: service/method request ill-formed: Ping" },
        { "KVS.Get", "\x05",
            "codec.decoder: Only encoded map or array can be decoded into a struct. (valueType: "
            "2)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf in = BUF_INIT(4096), want = BUF_INIT(4096);
        struct fake_stream *s = connect(f, 0, "\x00", 1);
        fake_stream_give(s, request(&in, 9, cases[i].method, cases[i].args));
        assert_sent(s, response(&want, cases[i].text, 9, cases[i].method, "\x80"));
        assert_true(s->finished);
        fake_stream_give(s, buf_str(&in));
        assert_int_equal(s->sent.n, 0);
        f->world.now_ms += 1000;
        turn(f);
        assert_true(s->closed);
        fake_stream_deinit(s);
        fake_stream_init(s, "10.0.0.1");
        buf_deinit(&in);
        buf_deinit(&want);
    }
    assert_int_equal(f->submitted, 0);
    assert_int_equal(rpc_port_counters(f->port).requests_bad, sizeof cases / sizeof cases[0]);
}

static void unreadable_headers_end_without_an_answer(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = { "\x07", "\x92\x01\x02", "\xc1" };
    for (size_t i = 0; i < 3; i++) {
        struct fake_stream *s = connect(f, i, "\x00", 1);
        fake_stream_give(s, str_of(bad[i]));
        assert_true(s->finished);
        assert_int_equal(s->sent.n, 0);
    }
}

static void a_vanished_client_cancels_its_call(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4096);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    f->at_once = false;
    fake_stream_give(s, request(&in, 1, "Status.Leader", "\x80"));
    assert_int_equal(rpc_port_counters(f->port).calls, 1);
    stream_close(&s->base);
    turn(f);
    assert_int_equal(f->cancelled, 1);
    assert_int_equal(rpc_port_counters(f->port).calls, 0);
    buf_deinit(&in);
}

static void a_half_closed_client_still_gets_its_answer(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4096), want = BUF_INIT(4096);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    f->at_once = false;
    fake_stream_give(s, request(&in, 1, "Status.Leader", "\x80"));
    s->base.events->eof(&s->base);
    answer(f, waiting(f));
    assert_sent(s, response(&want, "", 1, "Status.Leader", LEADER_BODY));
    assert_true(s->finished);
    buf_deinit(&in);
    buf_deinit(&want);
}

static void a_client_that_does_not_read_is_not_served_further(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF_INIT(4u << 20);
    struct fake_stream *s = connect(f, 0, "\x00", 1);
    s->stuck = true;
    for (int i = 0; i < 20000; i++)
        request(&in, 1, "Status.Leader", "\x80");
    fake_stream_give(s, buf_str(&in));
    assert_int_equal(f->submitted, 1);
    assert_true(s->paused);
    fake_stream_drain(s);
    assert_false(s->paused);
    assert_int_equal(f->submitted, 20000);
    buf_deinit(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_port(unknown_first_bytes_close_the_connection),
        with_port(silence_ends_after_the_handshake_timeout),
        with_port(one_address_has_a_limited_number_of_connections),
        with_port(raft_connections_are_handed_over),
        with_port(a_request_is_answered_with_its_number),
        with_port(requests_may_be_cut_anywhere_and_glued),
        with_port(one_request_is_served_at_a_time),
        with_port(dispatch_errors_are_told_and_end_the_conversation),
        with_port(unreadable_headers_end_without_an_answer),
        with_port(a_vanished_client_cancels_its_call),
        with_port(a_half_closed_client_still_gets_its_answer),
        with_port(a_client_that_does_not_read_is_not_served_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
