/* SPDX-License-Identifier: Apache-2.0 */
/* One call on a stream: the request goes out, the response comes back whole, the stream is kept. */
#include <stdio.h>

#include "consuld/model.h"
#include "rpc_pool.h"

#define SCRATCH_KEPT ((size_t)1 << 20)
/* A response of more bytes is not copied. */
#define LARGE ((size_t)256 << 10)
#define MAKING_CALL "rpc error making call: "
/* The servers' longest wait is their configuration's, as is the one of queries that name none. */
#define WAIT_UNSAID_NS (INT64_C(600) * 1000000000)
#define WAIT_MAX_NS (INT64_C(24) * 3600 * 1000000000)

int rpc_error_code(struct str text)
{
    static const struct {
        const char *text;
        int code;
    } codes[] = {
        { "Permission denied", ERR_DENIED },
        { "ACL not found", ERR_DENIED },
        { "ACL support disabled", ERR_UNAUTHORIZED },
        { RPC_ERR_QUERY_NOT_FOUND, ERR_NOT_FOUND },
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (str_find(text, str_of(codes[i].text)) >= 0) return codes[i].code;
    }
    return ERR_INTERNAL;
}

/* --- ends ----------------------------------------------------------------------------------- */

static void leave(struct pool_call *pc)
{
    timer_stop(&pc->deadline);
    link_remove(&pc->link);
    pc->call->impl = NULL;
    pc->pool->counters.in_flight--;
}

void rpc_pool__fail(struct pool_call *pc, const char *prefix, const char *why)
{
    struct rpc_call *call = pc->call;
    leave(pc);
    pc->pool->counters.failed++;
    if (pc->conn) rpc_pool__settle(pc->conn);
    call->reply = NULL;
    call->code = error_set(call->err, rpc_error_code(str_of(why)), "%s%s", prefix, why);
    call->done(call);
}

static void clear_input(struct pool_stream *st)
{
    buf_deinit(&st->input);
    st->input.overflow = false;
    st->at = st->header_n = 0;
    rpc_scan_init(&st->scan, 1, RPC_HEADER_MAX);
}

void rpc_pool__drop_stream(struct pool_stream *st, bool reset)
{
    struct pool_conn *c = st->conn;
    if (!st->call) c->idle_n--;
    link_remove(&st->link);
    clear_input(st);
    if (reset) {
        yamux_reset(&c->yamux, &st->base);
    } else {
        yamux_close(&c->yamux, &st->base);
    }
    tick_mark(&c->tick);
}

/* The stream's call is over and went well. */
static void keep_stream(struct pool_stream *st)
{
    struct pool_conn *c = st->conn;
    bool full = c->idle_n >= c->pool->opts.idle_streams_max;
    clear_input(st);
    st->call = NULL;
    link_remove(&st->link);
    link_insert_before(c->idle.next, &st->link);
    c->idle_n++;
    if (full) rpc_pool__drop_stream(st, false);
}

/* --- requests ------------------------------------------------------------------------------- */

static struct pool_stream *take_stream(struct pool_conn *c)
{
    struct link *it = link_pop(&c->idle);
    struct pool_stream *st;
    if (it) {
        st = container_of(it, struct pool_stream, link);
        c->idle_n--;
    } else {
        st = (struct pool_stream *)yamux_open(&c->yamux);
        if (!st) return NULL;
        st->conn = c;
        st->input = (struct buf)BUF_INIT(LIMIT_RPC_ANSWER + RPC_HEADER_MAX);
        link_init(&st->link);
        clear_input(st);
    }
    link_push(&c->streams, &st->link);
    return st;
}

/* Without a stream the connection is given up; another one is tried once. */
static void no_stream(struct pool_call *pc)
{
    struct pool_conn *c = pc->conn;
    if (pc->retried) {
        rpc_pool__fail(
            pc, "rpc error getting client: failed to start stream: ", "session shutdown");
        return;
    }
    pc->retried = true;
    rpc_pool__forget(c);
    pc->conn = rpc_pool__conn(c->pool, &c->target);
    link_push(&pc->conn->waiting, &pc->link);
    rpc_pool__settle(c);
}

static const char *write_request(struct pool_call *pc)
{
    struct rpc_pool *p = pc->pool;
    struct rpc_call *call = pc->call;
    struct buf *out = &p->scratch;
    buf_clear(out);
    rpc_write_request(out, ++p->seq, str_of(call->method));
    size_t head = out->n;
    msgpack_encode(pc->method->types->args, call->args, out);
    pc->request = rpc_pool__request_hash(pc->method, str_slice(buf_str(out), head, out->n));
    struct stream_part part = { out->p, out->n, NULL };
    int rc =
        out->overflow ? ERR_TOO_LARGE : yamux_write(&pc->conn->yamux, &pc->stream->base, &part, 1);
    if (out->cap > SCRATCH_KEPT) buf_deinit(out);
    if (rc == 0) return NULL;
    return rc == ERR_IO ? "stream closed" : "the request does not fit";
}

void rpc_pool__begin(struct pool_call *pc)
{
    struct pool_conn *c = pc->conn;
    struct pool_stream *st = c->ended ? NULL : take_stream(c);
    if (!st) {
        no_stream(pc);
        return;
    }
    timer_stop(&c->unused);
    st->call = pc;
    pc->stream = st;
    const char *why = write_request(pc);
    tick_mark(&c->tick);
    if (!why) return;
    rpc_pool__drop_stream(st, true);
    rpc_pool__fail(pc, MAKING_CALL, why);
}

/* --- responses ------------------------------------------------------------------------------ */

static uint64_t number_at(const void *record, int offset)
{
    return offset < 0 ? 0 : *(const uint64_t *)(const void *)((const char *)record + offset);
}

static void read_meta(struct rpc_reply *r, const struct pool_method *m)
{
    if (m->known_leader < 0) return;
    r->index = number_at(r->record, m->index);
    r->last_contact_ns = (int64_t)number_at(r->record, m->last_contact);
    r->known_leader = *((const bool *)r->record + m->known_leader);
}

struct rpc_reply *rpc_pool__decode(
    const struct pool_call *pc, struct str *body, struct shared_body *whole, struct error *err)
{
    const struct type *t = pc->method->types->reply;
    struct rpc_reply *r = rpc_reply_create(t);
    struct cursor c;
    arena_reserve(&r->arena, (whole ? 0 : body->n) + t->size + 256);
    if (whole)
        r->bytes = shared_body_ref(whole);
    else
        *body = str_dup(&r->arena, *body);
    r->record = arena_alloc(&r->arena, t->size);
    cursor_init(&c, body->p, body->n, err);
    if (msgpack_decode(&c, &r->arena, t, r->record)) {
        rpc_reply_unref(r);
        return NULL;
    }
    read_meta(r, pc->method);
    return r;
}

static struct rpc_reply *read_reply(
    const struct pool_call *pc, struct str body, struct shared_body *whole, struct error *err)
{
    struct rpc_reply *r = rpc_pool__answer_find(pc, body);
    if (r) return r;
    r = rpc_pool__decode(pc, &body, whole, err);
    if (r) rpc_pool__answer_keep(pc, r, body);
    return r;
}

void rpc_pool__succeed(struct pool_call *pc, struct rpc_reply *reply)
{
    struct rpc_call *call = pc->call;
    leave(pc);
    call->code = 0;
    call->reply = reply;
    call->done(call);
}

static void respond(struct pool_stream *st, struct str message)
{
    struct pool_call *pc = st->call;
    struct pool_conn *c = st->conn;
    struct response_header h;
    struct error err;
    struct rpc_reply *r = NULL;
    bool large = st->input.n > LARGE; /* then the message is there */
    struct shared_body *whole = large ? shared_body_take(&st->input) : NULL;
    if (rpc_read_response(str_slice(message, 0, st->header_n), &h) != 0 || h.error.n) {
        error_set(&err, ERR_INTERNAL, "%.*s", STR_ARG(h.error));
    } else {
        r = read_reply(pc, str_slice(message, st->header_n, message.n), whole, &err);
    }
    shared_body_unref(whole);
    if (!r) {
        rpc_pool__drop_stream(st, false);
        rpc_pool__fail(pc, MAKING_CALL, err.text);
        return;
    }
    keep_stream(st);
    rpc_pool__settle(c);
    rpc_pool__succeed(pc, r);
}

static void broken(struct pool_stream *st)
{
    struct pool_call *pc = st->call;
    rpc_pool__drop_stream(st, true);
    rpc_pool__fail(pc, MAKING_CALL, "the answer is no msgpack, or too large");
}

static bool header_whole(struct pool_stream *st, struct str bytes)
{
    struct response_header h;
    if (rpc_read_response(bytes, &h)) return false;
    st->header_n = st->at;
    rpc_scan_init(&st->scan, 1, LIMIT_RPC_ANSWER);
    return true;
}

/* Looks for the end of the response in `all`; true when it is over, well or not. */
static bool process(struct pool_stream *st, struct str all)
{
    for (;;) {
        struct str rest = str_slice(all, st->at, all.n);
        if (st->header_n && st->at == st->header_n) {
            int known = rpc_pool__answer_compare(st->call, rest);
            if (known > 0) respond(st, all);
            if (known) return known > 0;
        }
        size_t before = rest.n;
        enum rpc_scan_result r = rpc_scan_take(&st->scan, &rest);
        st->at += before - rest.n;
        if (r == RPC_SCAN_MORE) return false;
        bool fine = r == RPC_SCAN_DONE;
        if (fine && !st->header_n) {
            if (header_whole(st, str_slice(all, 0, st->at))) continue;
            fine = false;
        }
        if (fine && rest.n == 0) {
            respond(st, all);
        } else {
            broken(st); /* or more than was asked for */
        }
        return true;
    }
}

void rpc_pool__data(struct pool_stream *st, struct str bytes)
{
    if (!st->call) {
        struct pool_conn *c = st->conn;
        c->pool->counters.stray_bytes += bytes.n;
        rpc_pool__drop_stream(st, true);
        return;
    }
    if (st->input.n == 0 && process(st, bytes)) return;
    if (st->input.n == 0) {
        buf_put_str(&st->input, bytes);
        return;
    }
    buf_put_str(&st->input, bytes);
    /* The answer has begun: from now on it is its bytes that must not stop. */
    timer_start(&st->call->deadline, st->conn->pool->opts.call_timeout_ms);
    if (st->input.overflow) {
        broken(st);
    } else {
        (void)process(st, buf_str(&st->input));
    }
}

/* --- the caller ----------------------------------------------------------------------------- */

static void late(struct timer *t)
{
    struct pool_call *pc = container_of(t, struct pool_call, deadline);
    pc->pool->counters.timed_out++;
    if (pc->stream) rpc_pool__drop_stream(pc->stream, true);
    rpc_pool__insecure_end(pc);
    rpc_pool__fail(
        pc, pc->method->insecure ? RPC_POOL_INSECURE_CALL : MAKING_CALL, "i/o deadline reached");
}

/* What a blocking query may wait at the server, with its jitter (rpc.md 7). */
static uint64_t wait_ms(const struct pool_call *pc)
{
    const void *args = pc->call->args;
    if (number_at(args, pc->method->min_query_index) == 0) return 0;
    int64_t ns = (int64_t)number_at(args, pc->method->max_query_time);
    if (ns <= 0 || ns > WAIT_MAX_NS) ns = ns <= 0 ? WAIT_UNSAID_NS : WAIT_MAX_NS;
    return (uint64_t)(ns + ns / 16) / 1000000;
}

void rpc_pool_submit(struct rpc_pool *p, const struct rpc_target *to, struct rpc_call *call)
{
    struct pool_call *pc = arena_new(call->arena, struct pool_call);
    const struct method_types *m = method_find(str_of(call->method));
    ensure(m != NULL);
    *pc = (struct pool_call){ .call = call, .pool = p, .method = &p->methods[m - method_table] };
    link_init(&pc->link);
    timer_init(&pc->deadline, p->opts.world, late);
    call->impl = pc;
    call->reply = NULL;
    p->counters.calls++;
    p->counters.in_flight++;
    if (p->closing) {
        rpc_pool__fail(pc, "rpc error: ", "shutdown");
        return;
    }
    timer_start(&pc->deadline, p->opts.call_timeout_ms + wait_ms(pc));
    if (pc->method->insecure) {
        rpc_pool__insecure_begin(pc, to);
        return;
    }
    pc->conn = rpc_pool__conn(p, to);
    if (pc->conn->dialling) {
        link_push(&pc->conn->waiting, &pc->link);
    } else {
        rpc_pool__begin(pc);
    }
}

bool rpc_pool_sent(const struct rpc_call *call)
{
    const struct pool_call *pc = call->impl;
    return pc && (pc->stream || pc->insecure);
}

void rpc_pool_cancel(struct rpc_pool *p, struct rpc_call *call)
{
    struct pool_call *pc = call->impl;
    (void)p;
    if (!pc) return;
    struct pool_conn *c = pc->conn;
    if (pc->stream) rpc_pool__drop_stream(pc->stream, true);
    rpc_pool__insecure_end(pc);
    leave(pc);
    if (c) rpc_pool__settle(c);
}
