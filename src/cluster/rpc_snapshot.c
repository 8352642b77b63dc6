/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that saves or restores the state (first byte 0x05, rpc.md 10): one request, for a
 * restore an archive up to the peer's end, then one response, for a save an archive up to ours. */
#include <stdio.h>
#include <stdlib.h>

#include "consuld/cluster/snapshot_call.h"
#include "consuld/cluster/spool.h"
#include "consuld/model.h"
#include "rpc_port.h"

enum { OP_SAVE = 0, OP_RESTORE = 1 };

struct snapshot_conn {
    struct rpc_port *port;
    struct stream *stream;
    struct timer linger;
    struct rpc_scan scan;
    struct buf input; /* the request */
    bool has_request;
    struct spool *spool; /* the archive to restore */
    struct snapshot_request request;
    struct arena arena;
    struct snapshot_call call;
    size_t sent; /* of call.saved */
    bool restoring, busy, answered;
};

/* --- output --------------------------------------------------------------------------------- */

/* Pieces that the socket's queue holds; the next when they are out. */
static void send_archive(struct snapshot_conn *c)
{
    struct shared_body *body = c->call.saved;
    struct str saved = shared_body_str(body);
    while (c->sent < saved.n && stream_queued(c->stream) == 0) {
        size_t n = saved.n - c->sent;
        if (n > RPC_PORT_BACKLOG_MAX) n = RPC_PORT_BACKLOG_MAX;
        struct stream_part part = { saved.p + c->sent, n, body };
        if (stream_write(c->stream, &part, 1)) return;
        c->sent += n;
    }
    if (c->sent < saved.n) return;
    stream_finish(c->stream);
    timer_start(&c->linger, RPC_PORT_LINGER_MS);
}

static void respond(struct snapshot_conn *c, const char *error)
{
    struct buf *out = &c->port->scratch;
    struct snapshot_response r = { .error = str_of(error) };
    if (!c->restoring && !error) {
        r.index = c->call.index;
        r.known_leader = c->call.known_leader;
        r.last_contact = c->call.last_contact_ns;
    }
    c->answered = true;
    buf_clear(out);
    msgpack_encode(&type_snapshot_response, &r, out);
    struct stream_part part = { out->p, out->n, NULL };
    if (stream_write(c->stream, &part, 1) == 0) send_archive(c);
}

/* --- the call ------------------------------------------------------------------------------- */

static void restore_over(struct snapshot_conn *c)
{
    if (c->restoring) c->port->restoring = false;
    c->restoring = false;
}

static void done(struct snapshot_call *call)
{
    struct snapshot_conn *c = call->ctx;
    c->busy = false;
    if (call->code)
        log_error(RPC_PORT_LOG, "Failed to handle snapshot request", "conn",
            rpc_port__from(c->stream).text, "error", call->err.text);
    respond(c, call->code ? call->err.text : NULL);
    restore_over(c);
}

static void submit(struct snapshot_conn *c, struct shared_body *archive)
{
    struct snapshot_client *client = c->port->opts.snapshots;
    c->call = (struct snapshot_call){ .restore = c->request.op == OP_RESTORE,
        .allow_stale = c->request.allow_stale,
        .datacenter = c->request.datacenter,
        .token = c->request.token,
        .archive = archive,
        .done = done,
        .ctx = c };
    c->busy = true;
    client->submit(client, &c->call);
}

/* Go quotes the number as a character. */
static void refuse_op(struct snapshot_conn *c)
{
    static const char *const quoted[] = { "\\x00", "\\x01", "\\x02", "\\x03", "\\x04", "\\x05",
        "\\x06", "\\a", "\\b", "\\t", "\\n", "\\v", "\\f", "\\r" };
    char text[64];
    int64_t op = c->request.op;
    bool control = op >= 0 && op < (int64_t)(sizeof quoted / sizeof quoted[0]);
    if (control) {
        snprintf(text, sizeof text, "unrecognized snapshot op '%s'", quoted[op]);
    } else if (op > ' ' && op < 0x7f) {
        snprintf(text, sizeof text, "unrecognized snapshot op '%c'", (int)op);
    } else {
        snprintf(text, sizeof text, "unrecognized snapshot op '\\u%04llx'",
            (unsigned long long)op & 0xffff);
    }
    respond(c, text);
}

static void unreadable(struct snapshot_conn *c)
{
    c->port->counters.requests_bad++;
    log_error(RPC_PORT_LOG, "Failed to handle snapshot request", "conn",
        rpc_port__from(c->stream).text, "error", "the request is no msgpack, or too large");
    stream_close(c->stream);
}

/* The archive is whole, or cannot be kept. */
static void take_archive(struct snapshot_conn *c)
{
    struct error err;
    struct shared_body *archive = spool_take(c->spool, &err);
    spool_destroy(c->spool);
    c->spool = NULL;
    if (archive) {
        submit(c, archive);
    } else {
        respond(c, err.text);
        restore_over(c);
    }
    shared_body_unref(archive);
}

static void spooled(void *ctx)
{
    struct snapshot_conn *c = ctx;
    if (spool_done(c->spool))
        take_archive(c);
    else
        stream_read(c->stream, !spool_full(c->spool));
}

static void begin(struct snapshot_conn *c)
{
    struct cursor cursor;
    struct str bytes = str_dup(&c->arena, str_slice(buf_str(&c->input), 0, c->scan.size));
    cursor_init(&cursor, bytes.p, bytes.n, NULL);
    if (msgpack_decode(&cursor, &c->arena, &type_snapshot_request, &c->request)) {
        unreadable(c);
        return;
    }
    c->port->counters.requests++;
    if (c->request.op == OP_SAVE) {
        submit(c, NULL);
    } else if (c->request.op != OP_RESTORE) {
        refuse_op(c);
    } else if (c->port->restoring) {
        respond(c, "another restore is under way");
    } else {
        c->port->restoring = c->restoring = true;
        c->spool = spool_create(&(struct spool_options){ .world = c->port->opts.world,
            .dir = c->port->opts.spool_dir,
            .max = SNAPSHOT_ARCHIVE_MAX,
            .ready = spooled,
            .ctx = c });
    }
}

/* --- input ---------------------------------------------------------------------------------- */

static void on_data(struct stream *s, struct str bytes)
{
    struct snapshot_conn *c = s->owner;
    if (c->busy || c->answered) return; /* nothing more is wanted */
    if (!c->has_request) {
        buf_put_str(&c->input, bytes);
        enum rpc_scan_result r = rpc_scan_take(&c->scan, &bytes);
        if (r == RPC_SCAN_BAD || c->input.overflow) {
            unreadable(c);
            return;
        }
        if (r == RPC_SCAN_MORE) return;
        c->has_request = true;
        begin(c);
        buf_deinit(&c->input);
    }
    if (!c->spool) return;
    spool_put(c->spool, bytes);
    if (spool_full(c->spool)) stream_read(s, false);
}

static void on_eof(struct stream *s)
{
    struct snapshot_conn *c = s->owner;
    if (c->answered) {
        if (c->sent == shared_body_str(c->call.saved).n && stream_queued(s) == 0) stream_close(s);
    } else if (c->spool) {
        spool_end(c->spool);
        if (spool_done(c->spool)) take_archive(c);
    } else if (!c->busy) {
        stream_close(s);
    }
}

static void on_drained(struct stream *s)
{
    struct snapshot_conn *c = s->owner;
    if (c->answered && c->sent < shared_body_str(c->call.saved).n) send_archive(c);
}

static void lingered(struct timer *t)
{
    struct snapshot_conn *c = container_of(t, struct snapshot_conn, linger);
    if (stream_queued(c->stream)) {
        timer_start(t, RPC_PORT_LINGER_MS);
    } else {
        stream_close(c->stream);
    }
}

static void on_closed(struct stream *s, int code)
{
    struct snapshot_conn *c = s->owner;
    struct snapshot_client *client = c->port->opts.snapshots;
    (void)code;
    timer_stop(&c->linger);
    restore_over(c);
    if (c->busy) client->cancel(client, &c->call);
    shared_body_unref(c->call.saved);
    spool_destroy(c->spool);
    buf_deinit(&c->input);
    arena_free(&c->arena);
    free(c);
}

static const struct stream_events events = {
    .data = on_data, .eof = on_eof, .drained = on_drained, .closed = on_closed
};

void rpc_port__snapshot(struct rpc_port *p, struct stream *s)
{
    if (!p->opts.snapshots) return;
    struct snapshot_conn *c = xcalloc(1, sizeof *c);
    c->port = p;
    c->stream = s;
    c->input = (struct buf)BUF_INIT(RPC_HEADER_MAX + YAMUX_WINDOW);
    rpc_scan_init(&c->scan, 1, RPC_HEADER_MAX);
    timer_init(&c->linger, p->opts.world, lingered);
    s->events = &events;
    s->owner = c;
}
