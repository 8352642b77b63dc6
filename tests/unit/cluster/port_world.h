/* SPDX-License-Identifier: Apache-2.0 */
/* Port 8300 with connections made by hand and calls answered by hand. Included by one file of a
 * test binary. */
#pragma once
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
#include "world/fake_listener.h"
#include "world/fake_stream.h"
#include "world/fake_world.h"

#define CALLS_MAX 64
#define CONNS 8

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

static inline void answer(struct fixture *f, struct rpc_call *call)
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

static inline void submit(struct rpc_client *client, struct rpc_call *call)
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

static inline void cancel(struct rpc_client *client, struct rpc_call *call)
{
    struct fixture *f = container_of(client, struct fixture, client);
    f->cancelled++;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i] == call) f->calls[i] = NULL;
    }
}

static inline struct rpc_call *waiting(struct fixture *f)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (f->calls[i]) return f->calls[i];
    }
    return NULL;
}

static inline void to_raft(void *ctx, struct stream *s)
{
    struct fixture *f = ctx;
    f->handed = s;
    stream_close(s);
}

static inline void turn(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        fake_world_turn(&f->world);
        for (size_t c = 0; c < CONNS; c++)
            fake_stream_settle(&f->conn[c]);
    }
}

static inline int setup(void **state)
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

static inline void on_closed(void *ctx)
{
    ((struct fixture *)ctx)->closed = true;
}

static inline int teardown(void **state)
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

static inline struct fake_stream *connect(struct fixture *f, size_t i, const char *bytes, size_t n)
{
    rpc_port_accept(f->port, &f->conn[i].base);
    if (n) fake_stream_give(&f->conn[i], (struct str){ bytes, n });
    return &f->conn[i];
}

static inline struct str request(
    struct buf *out, uint64_t seq, const char *method, const char *args)
{
    size_t from = out->n;
    rpc_write_request(out, seq, str_of(method));
    buf_put_c(out, args);
    return (struct str){ (const char *)out->p + from, out->n - from };
}

static inline struct str response(
    struct buf *out, const char *error, uint64_t seq, const char *method, const char *body)
{
    buf_clear(out);
    rpc_write_response(out, str_of(error), seq, str_of(method));
    buf_put_c(out, body);
    return buf_str(out);
}

static inline void assert_sent(struct fake_stream *s, struct str want)
{
    assert_int_equal(s->sent.n, want.n);
    assert_memory_equal(s->sent.p, want.p, want.n);
    buf_clear(&s->sent);
}

#define LEADER_BODY \
    "\xae" \
    "127.0.0.1:8300"

#define with_port(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
