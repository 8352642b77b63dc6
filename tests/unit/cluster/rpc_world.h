/* SPDX-License-Identifier: Apache-2.0 */
/* Pools that dial and ports that answer, joined by pairs of fake streams; calls at the port are
 * answered by the test. Included by one file of a test binary. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/base/tls.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/model.h"
#include "world/fake_listener.h"
#include "world/fake_stream.h"
#include "world/fake_world.h"

#define DIALS_MAX 64
#define WAITING_MAX 256

struct pair {
    struct fake_stream near, far; /* the pool's, the port's */
    bool open;
};

static struct rpc_world {
    struct world world;
    struct rpc_pool *pool;
    struct rpc_port *port;
    struct rpc_client client;
    struct dial *dials[DIALS_MAX];
    size_t n_dials, n_connected;
    struct pair pairs[DIALS_MAX];
    struct rpc_call *waiting[WAITING_MAX]; /* at the port */
    size_t submitted, cancelled;
    bool hold;       /* calls wait; else they are answered at once */
    const char *say; /* the error of all answers, NULL: success */
    uint64_t flags;  /* of every entry */
    bool pool_closed, port_closed;
    struct tls tls; /* of the pool: nothing asks for it but calls without certificate */
} w;

void dial_start(struct dial *d)
{
    assert_true(w.n_dials < DIALS_MAX);
    w.dials[w.n_dials++] = d;
    d->impl = (struct dial_impl *)(void *)d;
}
void dial_cancel(struct dial *d)
{
    for (size_t i = 0; i < w.n_dials; i++) {
        if (w.dials[i] == d) w.dials[i] = NULL;
    }
    d->impl = NULL;
}
/* --- the port's side ------------------------------------------------------------------------ */

static void answer_call(struct rpc_call *call)
{
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (w.waiting[i] == call) w.waiting[i] = NULL;
    }
    if (w.say) {
        call->code = error_set(call->err, ERR_INTERNAL, "%s", w.say);
        call->done(call);
        return;
    }
    const struct method_types *m = method_find(str_of(call->method));
    call->reply = rpc_reply_create(m->reply);
    call->reply->record = arena_alloc(&call->reply->arena, m->reply->size);
    if (strcmp(call->method, "KVS.Get") == 0) {
        struct indexed_dir_entries *out = call->reply->record;
        const struct key_request *args = call->args;
        struct dir_entry *e = LIST_PUSH(&call->reply->arena, &out->entries, struct dir_entry);
        e->key = str_dup(&call->reply->arena, args->key);
        e->flags = w.flags;
        out->index = 17;
        out->known_leader = true;
        out->last_contact = 5;
    }
    call->code = 0;
    call->done(call);
}

static void port_submit(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    w.submitted++;
    if (!w.hold) {
        answer_call(call);
        return;
    }
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (w.waiting[i]) continue;
        w.waiting[i] = call;
        return;
    }
    fail_msg("too many calls wait");
}

static void port_cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    w.cancelled++;
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (w.waiting[i] == call) w.waiting[i] = NULL;
    }
}

/* --- carrying ------------------------------------------------------------------------------- */

/* In pieces, as a network would. */
static bool carry(struct fake_stream *from, struct fake_stream *to)
{
    if (!from->sent.n) return false;
    struct buf moved = from->sent;
    from->sent = (struct buf)BUF_INIT(FAKE_STREAM_SENT_MAX);
    for (size_t at = 0; at < moved.n; at += 1000) {
        size_t end = at + 1000 < moved.n ? at + 1000 : moved.n;
        fake_stream_give(to, str_slice(buf_str(&moved), at, end));
    }
    buf_deinit(&moved);
    return true;
}

static void hang_up(struct fake_stream *gone, struct fake_stream *other)
{
    fake_stream_settle(gone);
    if (gone->closed && !other->closing && !other->closed) other->base.events->eof(&other->base);
    fake_stream_settle(other);
}

static void turn(void)
{
    int quiet = 0; /* turns without traffic: ends need a few */
    for (int i = 0; quiet < 3 && i < 1000; i++) {
        bool moved = false;
        fake_world_turn(&w.world);
        for (size_t k = 0; k < DIALS_MAX; k++) {
            struct pair *p = &w.pairs[k];
            if (!p->open) continue;
            moved |= carry(&p->near, &p->far);
            moved |= carry(&p->far, &p->near);
            hang_up(&p->near, &p->far);
            hang_up(&p->far, &p->near);
        }
        quiet = moved ? 0 : quiet + 1;
    }
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t end = w.world.now_ms + ms; w.world.now_ms < end;) {
        w.world.now_ms += 100;
        turn();
    }
}

/* The i-th dial succeeds. */
static void connect_dial(size_t i)
{
    struct dial *d = w.dials[i];
    struct pair *p = &w.pairs[i];
    assert_non_null(d);
    w.dials[i] = NULL;
    d->impl = NULL;
    fake_stream_init(&p->near, "10.0.0.1");
    fake_stream_init(&p->far, "10.0.0.9");
    p->open = true;
    p->near.base.events = d->events;
    p->near.base.owner = d->owner;
    rpc_port_accept(w.port, &p->far.base);
    w.n_connected++;
    d->done(d, &p->near.base);
    turn();
}

static void refuse_dial(size_t i)
{
    struct dial *d = w.dials[i];
    assert_non_null(d);
    w.dials[i] = NULL;
    d->impl = NULL;
    error_set(&d->err, ERR_IO, "dial tcp %.*s:%u: connect: connection refused", STR_ARG(d->host),
        d->port);
    d->done(d, NULL);
    turn();
}

static size_t open_dials(void)
{
    size_t n = 0;
    for (size_t i = 0; i < w.n_dials; i++)
        n += w.dials[i] != NULL;
    return n;
}

/* --- calls ---------------------------------------------------------------------------------- */

struct test_call {
    struct rpc_call rpc;
    struct error err;
    struct arena arena;
    struct key_request args;
    int ended;
};

static void on_ended(struct rpc_call *rpc)
{
    ((struct test_call *)rpc->ctx)->ended++;
}

static struct rpc_call *prepare(struct test_call *c, const char *method, const char *key)
{
    c->args = (struct key_request){ .datacenter = STR("dc1"), .key = str_of(key) };
    c->rpc = (struct rpc_call){ .method = method,
        .args = &c->args,
        .arena = &c->arena,
        .done = on_ended,
        .ctx = c,
        .err = &c->err };
    return &c->rpc;
}

static void release(struct test_call *c)
{
    rpc_reply_unref(c->rpc.reply);
    arena_free(&c->arena);
    *c = (struct test_call){ 0 };
}

static void assert_failed(struct test_call *c, const char *text)
{
    assert_int_equal(c->ended, 1);
    assert_true(c->rpc.code < 0);
    assert_string_equal(c->err.text, text);
    assert_null(c->rpc.reply);
}

static void assert_key(struct test_call *c, const char *key)
{
    assert_int_equal(c->ended, 1);
    if (c->rpc.code) fail_msg("%s", c->err.text);
    const struct indexed_dir_entries *out = c->rpc.reply->record;
    assert_int_equal(out->entries.n, 1);
    assert_true(str_is(LIST_AT(&out->entries, struct dir_entry, 0).key, key));
}

static void rpc_world_begin(void)
{
    struct error err;
    model_init();
    memset(&w, 0, sizeof w);
    fake_world_init(&w.world);
    w.client = (struct rpc_client){ port_submit, port_cancel };
    struct rpc_port_options o = { .world = &w.world, .rpc = &w.client };
    assert_int_equal(rpc_port_open(&o, &w.port, &err), 0);
    w.pool = rpc_pool_create(
        &(struct rpc_pool_options){ .world = &w.world, .tls = &w.tls, .datacenter = STR("dc1") });
}

static void on_pool_closed(void *ctx)
{
    (void)ctx;
    w.pool_closed = true;
}
static void on_port_closed(void *ctx)
{
    (void)ctx;
    w.port_closed = true;
}

static void rpc_world_end(void)
{
    if (w.pool) rpc_pool_close(w.pool, on_pool_closed, NULL);
    turn();
    rpc_port_close(w.port, on_port_closed, NULL);
    turn();
    assert_true(w.pool_closed && w.port_closed);
    for (size_t i = 0; i < DIALS_MAX; i++) {
        fake_stream_deinit(&w.pairs[i].near);
        fake_stream_deinit(&w.pairs[i].far);
    }
}
