/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of agents that have no certificate yet (rpc.md 2.4): each has a connection of its own, TLS
 * behind the first byte 0x07, and in it the frames at once. */
#include "rpc_pool.h"

#include "consuld/base/tls.h"
#include "consuld/model.h"

#define CONNECTING "rpcinsecure error establishing connection: "

/* It lives until its stream is closed, also when its call is over. */
struct pool_insecure {
    struct arena arena; /* of itself and its texts */
    struct link link;   /* pool->insecure */
    struct rpc_pool *pool;
    struct pool_call *call; /* NULL: over */
    struct server_dial dial;
    struct stream *stream;
    struct rpc_scan scan;
    struct buf input;
    size_t at, header_n;
};

static void insecure_free(struct pool_insecure *i)
{
    struct rpc_pool *p = i->pool;
    link_remove(&i->link);
    buf_deinit(&i->input);
    struct arena a = i->arena;
    arena_free(&a);
    rpc_pool__gone(p);
}

void rpc_pool__insecure_end(struct pool_call *pc)
{
    struct pool_insecure *i = pc->insecure;
    if (!i) return;
    pc->insecure = NULL;
    i->call = NULL;
    server_dial_cancel(&i->dial);
    if (i->stream)
        stream_close(i->stream);
    else
        insecure_free(i);
}

static void fail(struct pool_insecure *i, const char *prefix, const char *text)
{
    struct pool_call *pc = i->call;
    struct error why;
    if (!pc) return;
    error_set(&why, ERR_IO, "%s", text);
    rpc_pool__insecure_end(pc);
    rpc_pool__fail(pc, prefix, why.text);
}

/* --- the response --------------------------------------------------------------------------- */

/* 1: the response is whole; 0: more is to come; negative: it is none. */
static int look(struct pool_insecure *i)
{
    for (;;) {
        struct str rest = str_slice(buf_str(&i->input), i->at, i->input.n);
        size_t before = rest.n;
        enum rpc_scan_result r = rpc_scan_take(&i->scan, &rest);
        struct response_header h;
        i->at += before - rest.n;
        if (r == RPC_SCAN_MORE) return 0;
        if (r != RPC_SCAN_DONE) return ERR_DECODE;
        if (i->header_n) return 1;
        if (rpc_read_response(str_slice(buf_str(&i->input), 0, i->at), &h)) return ERR_DECODE;
        i->header_n = i->at;
        rpc_scan_init(&i->scan, 1, LIMIT_RPC_REQUEST);
    }
}

static void respond(struct pool_insecure *i)
{
    struct pool_call *pc = i->call;
    struct str message = str_slice(buf_str(&i->input), 0, i->at);
    struct response_header h;
    struct str body = str_slice(message, i->header_n, message.n);
    struct error err;
    struct rpc_reply *reply = NULL;
    if (rpc_read_response(str_slice(message, 0, i->header_n), &h) || h.error.n)
        error_set(&err, ERR_INTERNAL, "%.*s", STR_ARG(h.error));
    else
        reply = rpc_pool__decode(pc, &body, NULL, &err);
    if (!reply) {
        fail(i, RPC_POOL_INSECURE_CALL, err.text);
        return;
    }
    rpc_pool__insecure_end(pc);
    rpc_pool__succeed(pc, reply);
}

static void on_data(struct stream *s, struct str bytes)
{
    struct pool_insecure *i = s->owner;
    if (!i->call) return;
    buf_put_str(&i->input, bytes);
    int rc = i->input.overflow ? ERR_TOO_LARGE : look(i);
    if (rc < 0)
        fail(i, RPC_POOL_INSECURE_CALL, "the answer is no msgpack, or too large");
    else if (rc > 0)
        respond(i);
}

static void on_eof(struct stream *s)
{
    fail(s->owner, RPC_POOL_INSECURE_CALL, "EOF");
}

static void on_closed(struct stream *s, int code)
{
    struct pool_insecure *i = s->owner;
    struct tls_state state;
    tls_state(i->pool->opts.tls, s, &state);
    i->stream = NULL;
    if (!i->call) {
        insecure_free(i);
        return;
    }
    fail(i, RPC_POOL_INSECURE_CALL,
        state.why        ? state.why
        : code == ERR_IO ? "connection reset"
                         : "EOF");
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

/* --- the request ---------------------------------------------------------------------------- */

static void dialled(struct server_dial *d, struct stream *s)
{
    struct pool_insecure *i = container_of(d, struct pool_insecure, dial);
    struct rpc_pool *p = i->pool;
    struct buf *out = &p->scratch;
    if (!s) {
        p->counters.dials_failed++;
        fail(i, CONNECTING, d->dial.err.text);
        return;
    }
    i->stream = s;
    buf_clear(out);
    rpc_write_request(out, ++p->seq, str_of(i->call->call->method));
    msgpack_encode(i->call->method->types->args, i->call->call->args, out);
    struct stream_part part = { out->p, out->n, NULL };
    if (out->overflow || stream_write(s, &part, 1))
        fail(i, RPC_POOL_INSECURE_CALL, "the request does not fit");
}

void rpc_pool__insecure_begin(struct pool_call *pc, const struct rpc_target *to)
{
    struct rpc_pool *p = pc->pool;
    if (!str_eq(to->datacenter, p->opts.datacenter)) {
        rpc_pool__fail(pc, "", "insecure dialing prohibited between datacenters");
        return;
    }
    if (!p->opts.tls) {
        rpc_pool__fail(pc, CONNECTING, "tls: not configured");
        return;
    }
    struct arena a = ARENA_INIT;
    struct pool_insecure *i = arena_new(&a, struct pool_insecure);
    *i = (struct pool_insecure){ .pool = p, .call = pc, .input = BUF_INIT(LIMIT_RPC_REQUEST) };
    i->dial = (struct server_dial){ .world = p->opts.world,
        .tls = p->opts.tls,
        .protocol = SERVER_TLS_INSECURE,
        .address = str_dup(&a, to->address),
        .port = to->port,
        .source = p->opts.source,
        .datacenter = str_dup(&a, to->datacenter),
        .domain = p->opts.domain,
        .timeout_ms = p->opts.dial_timeout_ms,
        .events = &events,
        .owner = i,
        .done = dialled };
    i->arena = a;
    rpc_scan_init(&i->scan, 1, RPC_HEADER_MAX);
    link_init(&i->link);
    link_push(&p->insecure, &i->link);
    pc->insecure = i;
    p->counters.dials++;
    server_dial_start(&i->dial);
}

void rpc_pool__insecure_shutdown(struct rpc_pool *p)
{
    link_each (it, &p->insecure)
        fail(container_of(it, struct pool_insecure, link), "rpc error: ", "shutdown");
}
