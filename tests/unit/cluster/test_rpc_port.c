/* SPDX-License-Identifier: Apache-2.0 */
/* Port 8300 with connections made by hand and calls answered by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/cluster/rpc_port.h"
#include "consuld/model.h"
#include "consuld/mux/rpc_frame.h"
#include "consuld/mux/yamux.h"
#include "world/fake_stream.h"
#include "world/fake_world.h"

#define CALLS_MAX 64
#define CONNS 8

int listener_open(
    struct world *w, const struct listener_options *o, struct listener **out, struct error *err)
{
    (void)w;
    (void)o;
    (void)out;
    return error_set(err, ERR_IO, "no listeners here");
}
uint16_t listener_port(const struct listener *l)
{
    (void)l;
    return 0;
}
void listener_close(struct listener *l)
{
    (void)l;
}

struct fixture {
    struct world world;
    struct rpc_client client;
    struct rpc_port *port;
    struct rpc_call *calls[CALLS_MAX]; /* submitted and not ended */
    size_t submitted, cancelled;
    bool at_once; /* answer inside submit */
    struct rpc_reply *shared;
    struct fake_stream conn[CONNS];
    bool closed;
    struct stream *handed; /* to raft */
};

static void answer(struct fixture *f, struct rpc_call *call)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i] == call) f->calls[i] = NULL;
    }
    if (strcmp(call->method, "KVS.Apply") == 0) {
        call->code = error_set(call->err, ERR_BAD_REQUEST, "Must provide key");
    } else if (f->shared) {
        call->reply = rpc_reply_ref(f->shared);
    } else if (strcmp(call->method, "Status.Leader") == 0) {
        call->reply = rpc_reply_create(&type_str);
        call->reply->record = arena_new(&call->reply->arena, struct str);
        *(struct str *)call->reply->record = STR("127.0.0.1:8300");
    } else {
        call->reply = rpc_reply_create(NULL);
    }
    call->done(call);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct fixture *f = container_of(client, struct fixture, client);
    f->submitted++;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i]) continue;
        f->calls[i] = call;
        break;
    }
    if (f->at_once) answer(f, call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    struct fixture *f = container_of(client, struct fixture, client);
    f->cancelled++;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i] == call) f->calls[i] = NULL;
    }
}

static struct rpc_call *waiting(struct fixture *f)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i]) return f->calls[i];
    }
    return NULL;
}

static void to_raft(void *ctx, struct stream *s)
{
    struct fixture *f = ctx;
    f->handed = s;
    stream_close(s);
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        fake_world_turn(&f->world);
        for (size_t c = 0; c < CONNS; c++)
            fake_stream_settle(&f->conn[c]);
    }
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct error err;
    model_init();
    fake_world_init(&f->world);
    f->client = (struct rpc_client){ submit, cancel };
    f->at_once = true;
    struct rpc_port_options o = { .world = &f->world,
        .rpc = &f->client,
        .handshake_timeout_ms = 5000,
        .conns_per_client_max = 4,
        .raft = to_raft,
        .ctx = f };
    assert_int_equal(rpc_port_open(&o, &f->port, &err), 0);
    for (size_t i = 0; i < CONNS; i++)
        fake_stream_init(&f->conn[i], "10.0.0.1");
    *state = f;
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct fixture *)ctx)->closed = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->port) rpc_port_close(f->port, on_closed, f);
    turn(f);
    assert_true(f->closed);
    assert_null(waiting(f));
    rpc_reply_unref(f->shared);
    for (size_t i = 0; i < CONNS; i++)
        fake_stream_deinit(&f->conn[i]);
    free(f);
    return 0;
}

static struct fake_stream *connect(struct fixture *f, size_t i, const char *bytes, size_t n)
{
    rpc_port_accept(f->port, &f->conn[i].base);
    if (n) fake_stream_give(&f->conn[i], (struct str){ bytes, n });
    return &f->conn[i];
}

static struct str request(struct buf *out, uint64_t seq, const char *method, const char *args)
{
    size_t from = out->n;
    rpc_write_request(out, seq, str_of(method));
    buf_put_c(out, args);
    return (struct str){ (const char *)out->p + from, out->n - from };
}

static struct str response(
    struct buf *out, const char *error, uint64_t seq, const char *method, const char *body)
{
    buf_clear(out);
    rpc_write_response(out, str_of(error), seq, str_of(method));
    buf_put_c(out, body);
    return buf_str(out);
}

static void assert_sent(struct fake_stream *s, struct str want)
{
    assert_int_equal(s->sent.n, want.n);
    assert_memory_equal(s->sent.p, want.p, want.n);
    buf_clear(&s->sent);
}

#define LEADER_BODY \
    "\xae" \
    "127.0.0.1:8300"

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

#define with_port(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
        with_port(streams_are_served_beside_each_other),
        with_port(an_unknown_method_closes_its_stream_alone),
        with_port(a_reset_stream_cancels_its_call),
        with_port(equal_answers_are_encoded_once),
        with_port(misuse_ends_the_session_and_its_calls),
        with_port(a_session_that_answers_no_ping_is_closed),
        with_port(what_waits_behind_a_call_is_not_credited),
        with_port(closing_the_port_cancels_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
