/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to servers: dialling, carrying, giving up. */
#include "rpc_pool.h"

#include <stdlib.h>

/* --- ends ----------------------------------------------------------------------------------- */

void rpc_pool__gone(struct rpc_pool *p)
{
    if (p->closing && link_empty(&p->all) && link_empty(&p->insecure)) tick_mark(&p->gone);
}

static void end_calls(struct pool_conn *c, const char *why)
{
    while (!link_empty(&c->streams)) {
        struct pool_stream *st = container_of(c->streams.next, struct pool_stream, link);
        struct pool_call *pc = st->call;
        rpc_pool__drop_stream(st, false);
        rpc_pool__fail(pc, "rpc error making call: ", why);
    }
    while (!link_empty(&c->idle))
        rpc_pool__drop_stream(container_of(c->idle.next, struct pool_stream, link), false);
}

static void fail_waiting(struct pool_conn *c, const char *why)
{
    const char *prefix = "rpc error getting client: failed to get conn: ";
    /* the one who dialled gets the reason, the others that he failed */
    for (struct link *it; (it = link_pop(&c->waiting));) {
        rpc_pool__fail(container_of(it, struct pool_call, link), prefix, why);
        why = "rpc error: lead thread didn't get connection";
    }
}

void rpc_pool__forget(struct pool_conn *c)
{
    if (c->current) map_remove(&c->pool->conns, c->key);
    c->current = false;
}

static void conn_free(struct pool_conn *c)
{
    struct rpc_pool *p = c->pool;
    ensure(!c->stream && !c->dialling && link_empty(&c->waiting) && link_empty(&c->streams));
    link_remove(&c->link);
    timer_stop(&c->unused);
    struct arena a = c->arena;
    arena_free(&a);
    rpc_pool__gone(p);
}

/* The connection carries nothing any more. */
static void conn_end(struct pool_conn *c, const char *why)
{
    if (c->ended) return;
    c->ended = true;
    rpc_pool__forget(c);
    end_calls(c, why);
    tick_mark(&c->tick);
}

void rpc_pool__retire(struct pool_conn *c)
{
    rpc_pool__forget(c);
    rpc_pool__settle(c);
}

void rpc_pool__settle(struct pool_conn *c)
{
    if (c->ended || !c->stream || !link_empty(&c->streams) || !link_empty(&c->waiting)) return;
    if (c->current) {
        timer_start(&c->unused, c->pool->opts.idle_ms);
    } else {
        conn_end(c, "session shutdown");
    }
}

static void on_unused(struct timer *t)
{
    rpc_pool__retire(container_of(t, struct pool_conn, unused));
}

/* --- input ---------------------------------------------------------------------------------- */

static void stream_over(struct pool_stream *st, const char *why)
{
    struct pool_call *pc = st->call;
    rpc_pool__drop_stream(st, false);
    if (pc) rpc_pool__fail(pc, "rpc error making call: ", why);
}

static void session_failed(struct pool_conn *c)
{
    if (c->ended) return;
    c->pool->counters.sessions_failed++;
    log_warn(RPC_POOL_LOG, "connection failed", "server", str_c(&c->arena, c->key), "error",
        yamux_why(&c->yamux));
    conn_end(c, "EOF");
}

static void take_event(struct pool_conn *c, const struct yamux_event *ev)
{
    struct pool_stream *st = (struct pool_stream *)ev->stream;
    switch (ev->kind) {
    case YAMUX_OPENED: /* servers open none */
        yamux_reset(&c->yamux, ev->stream);
        break;
    case YAMUX_DATA:
        yamux_consumed(&c->yamux, ev->stream, ev->bytes.n);
        rpc_pool__data(st, ev->bytes);
        break;
    case YAMUX_EOF:
        stream_over(st, "EOF");
        break;
    case YAMUX_RESET:
        stream_over(st, "connection reset");
        break;
    case YAMUX_GOAWAY:
        rpc_pool__retire(c);
        break;
    case YAMUX_FAILED:
        session_failed(c);
        break;
    case YAMUX_MORE:
    case YAMUX_PONG:
        break;
    }
}

static void on_data(struct stream *s, struct str bytes)
{
    struct pool_conn *c = s->owner;
    struct yamux_event ev;
    do {
        if (c->ended) return;
        yamux_recv(&c->yamux, &bytes, &ev);
        take_event(c, &ev);
    } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
    tick_mark(&c->tick);
}

static void on_eof(struct stream *s)
{
    conn_end(s->owner, "EOF");
}

static void on_closed(struct stream *s, int code)
{
    struct pool_conn *c = s->owner;
    conn_end(c, code == ERR_IO ? "connection reset" : "EOF");
    c->stream = NULL;
    c->pool->counters.connections--;
    timer_stop(&c->ping);
    tick_cancel(&c->tick);
    yamux_deinit(&c->yamux);
    conn_free(c);
}

/* --- output --------------------------------------------------------------------------------- */

static void write_out(struct pool_conn *c, const struct stream_part *extra)
{
    struct buf *batch = &c->pool->batch;
    struct stream_part parts[2] = { { batch->p, batch->n, NULL } };
    if (extra) parts[1] = *extra;
    if (batch->n || extra) {
        if (stream_write(c->stream, parts, extra ? 2 : 1) == ERR_FULL) stream_close(c->stream);
    }
    buf_clear(batch);
}

static void put_chunk(struct pool_conn *c, const struct yamux_chunk *chunk)
{
    struct buf *batch = &c->pool->batch;
    for (size_t i = 0; i < chunk->n; i++) {
        if (chunk->parts[i].n > RPC_POOL_BATCH / 4) {
            write_out(c, &chunk->parts[i]);
            continue;
        }
        buf_put(batch, chunk->parts[i].p, chunk->parts[i].n);
        if (batch->n > RPC_POOL_BATCH) write_out(c, NULL);
    }
}

static void flush(struct tick *t)
{
    struct pool_conn *c = container_of(t, struct pool_conn, tick);
    struct yamux_chunk chunk;
    if (!c->stream) return;
    if (yamux_why(&c->yamux)) session_failed(c);
    while (stream_queued(c->stream) <= RPC_POOL_BACKLOG_MAX && yamux_next(&c->yamux, &chunk))
        put_chunk(c, &chunk);
    write_out(c, NULL);
    if (c->ended) stream_close(c->stream);
}

static void on_drained(struct stream *s)
{
    tick_mark(&((struct pool_conn *)s->owner)->tick);
}

static void on_ping(struct timer *t)
{
    struct pool_conn *c = container_of(t, struct pool_conn, ping);
    uint64_t now = world_now_ms(c->pool->opts.world);
    if (yamux_tick(&c->yamux, now)) {
        session_failed(c);
        return;
    }
    uint64_t due = yamux_deadline(&c->yamux);
    timer_start(t, due > now ? due - now : 0);
    tick_mark(&c->tick);
}

static const struct stream_events events = {
    .data = on_data, .eof = on_eof, .drained = on_drained, .closed = on_closed
};

/* --- dialling ------------------------------------------------------------------------------- */

static void connected(struct pool_conn *c)
{
    struct rpc_pool *p = c->pool;
    struct yamux_options o = { .role = YAMUX_CLIENT,
        .now_ms = world_now_ms(p->opts.world),
        .stream_size = sizeof(struct pool_stream) };
    yamux_init(&c->yamux, &o);
    p->counters.connections++;
    timer_start(&c->ping, YAMUX_KEEPALIVE_MS);
    for (struct link *it; (it = link_pop(&c->waiting));)
        rpc_pool__begin(container_of(it, struct pool_call, link));
    rpc_pool__settle(c);
}

static void dialled(struct server_dial *d, struct stream *s)
{
    struct pool_conn *c = container_of(d, struct pool_conn, dial);
    c->dialling = false;
    c->stream = s;
    if (s) {
        connected(c);
        return;
    }
    c->pool->counters.dials_failed++;
    c->ended = true;
    rpc_pool__forget(c);
    link_remove(&c->link); /* what `done` does must not find it */
    fail_waiting(c, d->dial.err.text);
    tick_cancel(&c->tick);
    conn_free(c);
}

static void give_up(struct pool_conn *c)
{
    if (!c->dialling) {
        conn_end(c, "EOF");
        return;
    }
    server_dial_cancel(&c->dial);
    error_set(&c->dial.dial.err, ERR_IO, "dial tcp %.*s:%u: i/o timeout",
        STR_ARG(c->target.address), c->target.port);
    dialled(&c->dial, NULL);
}

/* What the ends of calls do may begin and end other connections. */
void rpc_pool_server_failed(struct rpc_pool *p, struct str datacenter, struct str name)
{
    struct link all, *l;
    link_init(&all);
    link_each (it, &p->all) {
        struct pool_conn *c = container_of(it, struct pool_conn, link);
        bool its = str_eq(c->target.datacenter, datacenter) && str_eq(c->target.name, name);
        if (!its || c->ended) continue;
        link_remove(it);
        link_push(&all, it);
    }
    while ((l = link_pop(&all))) {
        link_push(&p->all, l);
        give_up(container_of(l, struct pool_conn, link));
    }
}

/* The gateway it came by is none any more. */
static bool led_astray(const struct pool_conn *c)
{
    const struct gateways *g = c->pool->opts.gateways;
    if (!g || !c->stream || !c->dial.gateway.address[0]) return false;
    return !fed_listed(
        gateways_directory(g), c->target.datacenter, str_of(c->dial.gateway.address));
}

/* In the pool's scratch buffer. */
static struct str key_of(struct rpc_pool *p, const struct rpc_target *to)
{
    struct buf *key = &p->scratch;
    buf_clear(key);
    buf_put_str(key, to->name);
    buf_put_char(key, '.');
    buf_put_str(key, to->datacenter);
    buf_put_char(key, ':');
    buf_put_str(key, to->address);
    buf_put_char(key, ':');
    buf_put_u64(key, to->port);
    return buf_str(key);
}

struct pool_conn *rpc_pool__conn(struct rpc_pool *p, const struct rpc_target *to)
{
    struct str key = key_of(p, to);
    struct pool_conn *c = map_get(&p->conns, key);
    if (c && led_astray(c)) {
        rpc_pool__retire(c);
        key = key_of(p, to);
        c = NULL;
    }
    if (c) {
        timer_stop(&c->unused);
        return c;
    }
    struct arena a = ARENA_INIT;
    arena_reserve(&a, sizeof(struct pool_conn) + 256);
    c = arena_new(&a, struct pool_conn);
    *c = (struct pool_conn){ .pool = p, .current = true, .dialling = true };
    c->key = str_dup(&a, key);
    c->target = (struct rpc_target){ str_dup(&a, to->name), str_dup(&a, to->datacenter),
        str_dup(&a, to->address), to->port };
    c->arena = a;
    link_init(&c->waiting);
    link_init(&c->streams);
    link_init(&c->idle);
    link_init(&c->link);
    link_push(&p->all, &c->link);
    tick_init(&c->tick, p->opts.world, flush);
    timer_init(&c->ping, p->opts.world, on_ping);
    timer_init(&c->unused, p->opts.world, on_unused);
    map_put(&p->conns, c->key, c);
    c->dial = (struct server_dial){ .world = p->opts.world,
        .tls = p->opts.tls,
        .gateways = p->opts.gateways,
        .protocol = SERVER_RPC_MUX,
        .node = c->target.name,
        .address = c->target.address,
        .port = to->port,
        .source = p->opts.source,
        .datacenter = c->target.datacenter,
        .domain = p->opts.domain,
        .timeout_ms = p->opts.dial_timeout_ms,
        .events = &events,
        .owner = c,
        .done = dialled };
    p->counters.dials++;
    server_dial_start(&c->dial);
    return c;
}

/* --- the pool ------------------------------------------------------------------------------- */

static void all_gone(struct tick *t)
{
    struct rpc_pool *p = container_of(t, struct rpc_pool, gone);
    void (*closed)(void *) = p->closed;
    void *ctx = p->closed_ctx;
    ensure(link_empty(&p->all) && link_empty(&p->insecure) && p->counters.in_flight == 0);
    map_deinit(&p->conns);
    rpc_pool__answers_deinit(p);
    buf_deinit(&p->scratch);
    buf_deinit(&p->batch);
    free(p);
    closed(ctx);
}

struct rpc_pool *rpc_pool_create(const struct rpc_pool_options *o)
{
    struct rpc_pool *p = xcalloc(1, sizeof *p);
    p->opts = *o;
    if (!p->opts.dial_timeout_ms) p->opts.dial_timeout_ms = 10000;
    if (!p->opts.idle_ms) p->opts.idle_ms = 127000;
    if (!p->opts.call_timeout_ms) p->opts.call_timeout_ms = 60000;
    if (!p->opts.idle_streams_max) p->opts.idle_streams_max = 128;
    rpc_pool__methods_init(p);
    rpc_pool__answers_init(p);
    p->scratch = (struct buf)BUF_INIT(YAMUX_QUEUE_MAX);
    p->batch = (struct buf)BUF_INIT(2 * RPC_POOL_BATCH);
    link_init(&p->all);
    link_init(&p->insecure);
    tick_init(&p->gone, o->world, all_gone);
    return p;
}

void rpc_pool_close(struct rpc_pool *p, void (*closed)(void *ctx), void *ctx)
{
    ensure(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    link_each (it, &p->all) {
        struct pool_conn *c = container_of(it, struct pool_conn, link);
        rpc_pool__forget(c);
        while (!link_empty(&c->waiting))
            rpc_pool__fail(container_of(link_pop(&c->waiting), struct pool_call, link),
                "rpc error: ", "shutdown");
        if (c->stream) {
            conn_end(c, "session shutdown");
            continue;
        }
        server_dial_cancel(&c->dial);
        c->dialling = false;
        tick_cancel(&c->tick);
        conn_free(c);
    }
    rpc_pool__insecure_shutdown(p);
    rpc_pool__gone(p);
}

struct rpc_pool_counters rpc_pool_counters(const struct rpc_pool *p)
{
    return p->counters;
}
