/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/snapshot_remote.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/cluster/server_dial.h"
#include "consuld/cluster/spool.h"
#include "consuld/model.h"
#include "consuld/mux/rpc_frame.h"

#define DIAL_TIMEOUT_MS 10000
/* Without a byte in either direction. */
#define QUIET_MS 60000
#define PIECE_MAX ((size_t)256 << 10)
/* Of the response, with what comes in the same read. */
#define INPUT_MAX (RPC_HEADER_MAX + ((size_t)1 << 20))

struct snapshot_remote {
    struct snapshot_client client;
    struct snapshot_remote_options opts;
    struct link calls; /* struct remote */
};

struct remote {
    struct snapshot_remote *owner;
    struct snapshot_call *call; /* NULL: over */
    struct link link;
    struct server_dial dial;
    struct stream *stream;
    struct timer quiet;
    struct tick refused; /* ends a call that cannot begin */
    struct arena arena;
    struct buf out;              /* the request */
    struct shared_body *archive; /* to restore, behind it */
    size_t sent;                 /* of both */
    struct rpc_scan scan;
    struct buf input; /* the response */
    bool has_response;
    struct spool *spool; /* the archive saved, behind it */
    bool dialling;
};

/* --- ends ----------------------------------------------------------------------------------- */

static void remote_free(struct remote *c)
{
    timer_stop(&c->quiet);
    tick_cancel(&c->refused);
    link_remove(&c->link);
    buf_deinit(&c->out);
    buf_deinit(&c->input);
    shared_body_unref(c->archive);
    spool_destroy(c->spool);
    struct arena a = c->arena;
    arena_free(&a);
}

/* What is left is closed; `closed` frees. */
static void let_go(struct remote *c)
{
    c->call = NULL;
    timer_stop(&c->quiet);
    link_remove(&c->link);
    if (c->dialling) server_dial_cancel(&c->dial);
    c->dialling = false;
    if (c->stream) {
        stream_close(c->stream);
    } else {
        remote_free(c);
    }
}

static void finish(struct remote *c, int code)
{
    struct snapshot_call *call = c->call;
    if (!call) return;
    let_go(c);
    call->impl = NULL;
    call->code = code;
    call->done(call);
}

static void fail(struct remote *c, const char *fmt, const char *why)
{
    if (!c->call) return;
    error_set(&c->call->err, ERR_INTERNAL, "%s%s", fmt, why);
    finish(c, ERR_INTERNAL);
}

static void on_quiet(struct timer *t)
{
    fail(container_of(t, struct remote, quiet), "snapshot: ", "i/o timeout");
}

/* --- output --------------------------------------------------------------------------------- */

static void send_more(struct remote *c)
{
    size_t all = c->out.n + shared_body_str(c->archive).n;
    if (c->sent == all) return;
    while (c->sent < all && stream_queued(c->stream) == 0) {
        bool request = c->sent < c->out.n;
        struct str from = request ? buf_str(&c->out) : shared_body_str(c->archive);
        size_t at = request ? c->sent : c->sent - c->out.n;
        size_t n = from.n - at < PIECE_MAX ? from.n - at : PIECE_MAX;
        struct stream_part part = { from.p + at, n, request ? NULL : c->archive };
        if (stream_write(c->stream, &part, 1)) return;
        c->sent += n;
    }
    if (c->sent == all) stream_finish(c->stream);
}

static void on_drained(struct stream *s)
{
    struct remote *c = s->owner;
    if (!c->call) return;
    timer_start(&c->quiet, QUIET_MS);
    send_more(c);
}

/* --- input ---------------------------------------------------------------------------------- */

/* The response is whole: an error ends the call, else the archive follows. */
static void read_response(struct remote *c)
{
    struct snapshot_response r = { 0 };
    struct cursor cursor;
    cursor_init(&cursor, c->input.p, c->scan.size, NULL);
    if (msgpack_decode(&cursor, &c->arena, &type_snapshot_response, &r)) {
        fail(c, "failed to decode response: ", "no msgpack");
        return;
    }
    if (r.error.n) {
        struct str text = str_dup(&c->arena, r.error);
        fail(c, "", text.p);
        return;
    }
    c->call->index = r.index;
    c->call->last_contact_ns = r.last_contact;
    c->call->known_leader = r.known_leader;
}

/* The archive is whole, or cannot be kept. */
static void take_archive(struct remote *c)
{
    struct error err;
    c->call->saved = spool_take(c->spool, &err);
    if (c->call->saved)
        finish(c, 0);
    else
        fail(c, "snapshot: ", err.text);
}

static void spooled(void *ctx)
{
    struct remote *c = ctx;
    if (!c->call) return;
    timer_start(&c->quiet, QUIET_MS);
    if (spool_done(c->spool))
        take_archive(c);
    else if (c->stream)
        stream_read(c->stream, !spool_full(c->spool));
}

static void on_data(struct stream *s, struct str bytes)
{
    struct remote *c = s->owner;
    if (!c->call) return;
    timer_start(&c->quiet, QUIET_MS);
    if (!c->has_response) {
        buf_put_str(&c->input, bytes);
        enum rpc_scan_result r = rpc_scan_take(&c->scan, &bytes);
        if (r == RPC_SCAN_MORE && !c->input.overflow) return;
        if (r != RPC_SCAN_DONE) {
            fail(c, "failed to decode response: ", "no msgpack");
            return;
        }
        c->has_response = true;
        read_response(c);
        if (!c->call || c->call->restore) return;
        c->spool = spool_create(&(struct spool_options){ .world = c->owner->opts.world,
            .dir = c->owner->opts.spool_dir,
            .max = SNAPSHOT_ARCHIVE_MAX,
            .ready = spooled,
            .ctx = c });
    }
    if (!c->spool) return;
    spool_put(c->spool, bytes);
    if (spool_full(c->spool)) stream_read(s, false);
}

static void on_eof(struct stream *s)
{
    struct remote *c = s->owner;
    if (!c->call) return;
    if (!c->has_response) {
        fail(c, "failed to decode response: ", "EOF");
    } else if (c->spool) {
        spool_end(c->spool);
        if (spool_done(c->spool)) take_archive(c);
    } else {
        finish(c, 0);
    }
}

static void on_closed(struct stream *s, int code)
{
    struct remote *c = s->owner;
    (void)code;
    c->stream = NULL;
    if (c->call) {
        fail(c, "snapshot: ", "connection reset"); /* frees */
    } else {
        remote_free(c);
    }
}

static const struct stream_events events = {
    .data = on_data, .eof = on_eof, .drained = on_drained, .closed = on_closed
};

/* --- calls ---------------------------------------------------------------------------------- */

static void dialled(struct server_dial *d, struct stream *s)
{
    struct remote *c = container_of(d, struct remote, dial);
    c->dialling = false;
    c->stream = s;
    if (!s) {
        fail(c, "", d->dial.err.text);
        return;
    }
    timer_start(&c->quiet, QUIET_MS);
    send_more(c);
}

static void on_refused(struct tick *t)
{
    struct remote *c = container_of(t, struct remote, refused);
    fail(c, c->owner->opts.unknown, "");
}

static void write_request(struct remote *c)
{
    struct snapshot_call *call = c->call;
    struct snapshot_request r = { .datacenter = call->datacenter,
        .token = call->token,
        .allow_stale = call->allow_stale,
        .op = call->restore };
    msgpack_encode(&type_snapshot_request, &r, &c->out);
    if (call->archive) c->archive = shared_body_ref(call->archive);
}

static void submit(struct snapshot_client *client, struct snapshot_call *call)
{
    struct snapshot_remote *r = container_of(client, struct snapshot_remote, client);
    struct arena a = ARENA_INIT;
    struct remote *c = arena_new(&a, struct remote);
    struct rpc_target to = { 0 };
    bool known = r->opts.target(r->opts.ctx, call, &a, &to);
    *c = (struct remote){
        .owner = r, .call = call, .out = BUF_INIT(RPC_HEADER_MAX), .input = BUF_INIT(INPUT_MAX)
    };
    c->dial = (struct server_dial){ .world = r->opts.world,
        .tls = r->opts.tls,
        .gateways = r->opts.gateways,
        .protocol = SERVER_SNAPSHOT,
        .node = to.name,
        .address = to.address,
        .port = to.port,
        .source = r->opts.source,
        .datacenter = to.datacenter,
        .domain = r->opts.domain,
        .timeout_ms = DIAL_TIMEOUT_MS,
        .events = &events,
        .owner = c,
        .done = dialled };
    c->arena = a;
    call->impl = c;
    call->err.code = 0;
    link_init(&c->link);
    link_push(&r->calls, &c->link);
    timer_init(&c->quiet, r->opts.world, on_quiet);
    tick_init(&c->refused, r->opts.world, on_refused);
    rpc_scan_init(&c->scan, 1, RPC_HEADER_MAX);
    if (!known) {
        tick_mark(&c->refused);
        return;
    }
    write_request(c);
    c->dialling = true;
    server_dial_start(&c->dial);
}

static void cancel(struct snapshot_client *client, struct snapshot_call *call)
{
    struct remote *c = call->impl;
    (void)client;
    call->impl = NULL;
    if (c) let_go(c);
}

struct snapshot_remote *snapshot_remote_create(const struct snapshot_remote_options *o)
{
    struct snapshot_remote *r = xcalloc(1, sizeof *r);
    r->client = (struct snapshot_client){ submit, cancel };
    r->opts = *o;
    link_init(&r->calls);
    return r;
}

void snapshot_remote_destroy(struct snapshot_remote *r)
{
    if (!r) return;
    for (struct link *it; (it = link_pop(&r->calls));)
        fail(container_of(it, struct remote, link), "rpc error: ", "shutdown");
    free(r);
}

struct snapshot_client *snapshot_remote_client(struct snapshot_remote *r)
{
    return &r->client;
}
