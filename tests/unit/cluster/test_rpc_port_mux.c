/* SPDX-License-Identifier: Apache-2.0 */
/* Port 8300: many calls on one connection. */
#include "port_world.h"
#include "rpc_port.h"

/* --- multiplexed ------------------------------------------------------------------------------ */

struct peer {
    struct yamux y;
    struct fake_stream *s;
    struct buf got; /* of all streams */
    size_t eofs, failed;
};

static void peer_flush(struct fixture *f, struct peer *p)
{
    struct yamux_chunk c;
    struct yamux_event ev;
    for (int i = 0; i < 4; i++) {
        while (yamux_next(&p->y, &c)) {
            for (size_t k = 0; k < c.n; k++)
                fake_stream_give(p->s, (struct str){ c.parts[k].p, c.parts[k].n });
        }
        turn(f);
        struct str in = buf_str(&p->s->sent);
        do {
            yamux_recv(&p->y, &in, &ev);
            if (ev.kind == YAMUX_DATA) {
                buf_put_str(&p->got, ev.bytes);
                yamux_consumed(&p->y, ev.stream, ev.bytes.n);
            }
            p->eofs += ev.kind == YAMUX_EOF;
            if (ev.kind == YAMUX_FAILED) p->failed = 1;
        } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
        buf_clear(&p->s->sent);
    }
}

static void peer_init(struct fixture *f, struct peer *p, size_t i)
{
    struct yamux_options o = { .role = YAMUX_CLIENT, .now_ms = f->world.now_ms };
    *p = (struct peer){ .got = BUF_INIT(4u << 20) };
    yamux_init(&p->y, &o);
    p->s = connect(f, i, "\x04", 1);
}

static void peer_free(struct peer *p)
{
    yamux_deinit(&p->y);
    buf_deinit(&p->got);
}

static struct yamux_stream *ask(
    struct peer *p, struct yamux_stream *st, uint64_t seq, const char *method, const char *args)
{
    struct buf out = BUF_INIT(4096);
    struct str bytes = request(&out, seq, method, args);
    struct stream_part part = { bytes.p, bytes.n, NULL };
    if (!st) st = yamux_open(&p->y);
    assert_int_equal(yamux_write(&p->y, st, &part, 1), 0);
    buf_deinit(&out);
    return st;
}

static void streams_are_served_beside_each_other(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    struct buf want = BUF_INIT(4096);
    peer_init(f, &p, 0);
    f->at_once = false;
    ask(&p, NULL, 1, "Status.Leader", "\x80");
    ask(&p, NULL, 2, "Status.Leader", "\x80");
    peer_flush(f, &p);
    assert_int_equal(f->submitted, 2);
    assert_int_equal(p.got.n, 0);
    answer(f, f->calls[1]);
    peer_flush(f, &p);
    response(&want, "", 2, "Status.Leader", LEADER_BODY);
    assert_int_equal(p.got.n, want.n);
    assert_memory_equal(p.got.p, want.p, want.n);
    answer(f, f->calls[0]);
    peer_flush(f, &p);
    assert_int_equal(p.got.n, 2 * want.n);
    peer_free(&p);
    buf_deinit(&want);
}

static void an_unknown_method_closes_its_stream_alone(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    peer_init(f, &p, 0);
    struct yamux_stream *good = ask(&p, NULL, 1, "Status.Leader", "\x80");
    ask(&p, NULL, 2, "Status.Nope", "\x80");
    peer_flush(f, &p);
    assert_int_equal(p.eofs, 1);
    size_t before = p.got.n;
    ask(&p, good, 3, "Status.Leader", "\x80");
    peer_flush(f, &p);
    assert_true(p.got.n > before);
    peer_free(&p);
}

static void a_reset_stream_cancels_its_call(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    peer_init(f, &p, 0);
    f->at_once = false;
    struct yamux_stream *st = ask(&p, NULL, 1, "Status.Leader", "\x80");
    peer_flush(f, &p);
    yamux_reset(&p.y, st);
    peer_flush(f, &p);
    assert_int_equal(f->cancelled, 1);
    assert_false(p.s->closing);
    peer_free(&p);
}

static void equal_answers_are_encoded_once(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    peer_init(f, &p, 0);
    f->shared = rpc_reply_create(&type_str);
    f->shared->record = arena_new(&f->shared->arena, struct str);
    *(struct str *)f->shared->record = STR("one for all");
    for (uint64_t i = 1; i <= 10; i++)
        ask(&p, NULL, i, "Status.Leader", "\x80");
    peer_flush(f, &p);
    assert_non_null(f->shared->memos);
    assert_null(f->shared->memos->next);
    assert_int_equal(f->shared->refs, 1);
    assert_int_equal(f->shared->memos->body->refs, 1);
    size_t seen = 0;
    for (struct str rest = buf_str(&p.got); rest.n;) {
        ptrdiff_t at = str_find(rest, STR("one for all"));
        if (at < 0) break;
        seen++;
        rest = str_slice(rest, (size_t)at + 1, rest.n);
    }
    assert_int_equal(seen, 10);
    peer_free(&p);
}

static void large_answers_that_wait_hold_up_requests_read_with_theirs(void **state)
{
    enum { ASKED = 20, LARGE = 1 << 20 };
    struct fixture *f = *state;
    struct peer p;
    struct yamux_chunk c;
    peer_init(f, &p, 0);
    f->shared = rpc_reply_create(&type_str);
    f->shared->record = arena_new(&f->shared->arena, struct str);
    char *text = arena_alloc(&f->shared->arena, LARGE);
    memset(text, 'x', LARGE);
    *(struct str *)f->shared->record = (struct str){ text, LARGE };
    for (uint64_t i = 1; i <= ASKED; i++)
        ask(&p, NULL, i, "Status.Leader", "\x80");
    while (yamux_next(&p.y, &c)) {
        for (size_t k = 0; k < c.n; k++)
            fake_stream_give(p.s, (struct str){ c.parts[k].p, c.parts[k].n });
    }
    assert_int_equal(f->submitted, RPC_PORT_QUEUED_MAX / LARGE);
    for (int i = 0; i < 100 && f->submitted < ASKED; i++)
        peer_flush(f, &p);
    assert_int_equal(f->submitted, ASKED);
    peer_free(&p);
}

static void misuse_ends_the_session_and_its_calls(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    peer_init(f, &p, 0);
    f->at_once = false;
    ask(&p, NULL, 1, "Status.Leader", "\x80");
    peer_flush(f, &p);
    fake_stream_give(p.s, STR("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00")); /* again */
    peer_flush(f, &p);
    assert_true(p.s->closed);
    assert_int_equal(p.failed, 1); /* it was told by a go-away */
    assert_int_equal(f->cancelled, 1);
    assert_int_equal(rpc_port_counters(f->port).sessions_failed, 1);
    peer_free(&p);
}

static void a_session_that_answers_no_ping_is_closed(void **state)
{
    struct fixture *f = *state;
    struct fake_stream *s = connect(f, 0, "\x04", 1);
    f->world.now_ms += YAMUX_KEEPALIVE_MS;
    turn(f);
    assert_int_equal(s->sent.n, YAMUX_HEADER);
    assert_false(s->closing);
    f->world.now_ms += YAMUX_TIMEOUT_MS;
    turn(f);
    assert_true(s->closed);
}

static void what_waits_behind_a_call_is_not_credited(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    struct buf big = BUF_INIT(1u << 20);
    peer_init(f, &p, 0);
    f->at_once = false;
    struct yamux_stream *st = ask(&p, NULL, 1, "Status.Leader", "\x80");
    for (int i = 0; i < 12000; i++)
        request(&big, 2, "Status.Leader", "\x80");
    struct stream_part part = { big.p, big.n, NULL };
    assert_int_equal(yamux_write(&p.y, st, &part, 1), 0);
    peer_flush(f, &p);
    assert_int_equal(f->submitted, 1);
    assert_true(yamux_unsent(st));
    assert_int_equal(st->send_window, 0);
    f->at_once = true;
    answer(f, waiting(f));
    for (int i = 0; i < 12000 && f->submitted < 12001; i++)
        peer_flush(f, &p);
    assert_int_equal(f->submitted, 12001);
    buf_deinit(&big);
    peer_free(&p);
}

static void closing_the_port_cancels_everything(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    peer_init(f, &p, 0);
    f->at_once = false;
    for (uint64_t i = 1; i <= 5; i++)
        ask(&p, NULL, i, "Status.Leader", "\x80");
    peer_flush(f, &p);
    rpc_port_close(f->port, on_closed, f);
    f->port = NULL;
    turn(f);
    assert_true(f->closed);
    assert_int_equal(f->cancelled, 5);
    peer_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_port(streams_are_served_beside_each_other),
        with_port(an_unknown_method_closes_its_stream_alone),
        with_port(a_reset_stream_cancels_its_call),
        with_port(equal_answers_are_encoded_once),
        with_port(large_answers_that_wait_hold_up_requests_read_with_theirs),
        with_port(misuse_ends_the_session_and_its_calls),
        with_port(a_session_that_answers_no_ping_is_closed),
        with_port(what_waits_behind_a_call_is_not_credited),
        with_port(closing_the_port_cancels_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
