/* SPDX-License-Identifier: Apache-2.0 */
/* Sending a snapshot: a worker opens and checks it, then its bytes follow the request over a
 * connection of their own, piece by piece as the socket takes them. */
#include <stdlib.h>
#include <string.h>

#include "raft_transport.h"

struct raft_outgoing_snapshot {
    struct raft_transport *t;
    struct raft_out *conn; /* NULL: not yet, or gone */
    struct raft_driver_snapshot source;
    char id[RAFT_ID_MAX], address[RAFT_ADDRESS_MAX], leader[RAFT_ADDRESS_MAX];
    uint64_t rpc, term;
    struct buf request;
    size_t at; /* bytes of the state that were sent */
    bool opening;
};

static void outgoing_free(struct raft_outgoing_snapshot *s)
{
    raft_driver_snapshot_close(&s->source);
    buf_deinit(&s->request);
    free(s);
}

static void give_up(struct raft_outgoing_snapshot *s, const char *why)
{
    struct raft_transport *t = s->t;
    log_error(RAFT_LOG, "failed to send snapshot to", "id", s->id, "error", why);
    t->counters.requests_failed++;
    raft_transport__verdict(t, s->id, s->rpc, false, false);
    outgoing_free(s);
}

static void encode(struct raft_outgoing_snapshot *s)
{
    struct raft_message m = { .type = RAFT_INSTALL_SNAPSHOT,
        .term = s->term,
        .install_snapshot = { .leader = str_of(s->leader),
            .last_log_index = s->source.index,
            .last_log_term = s->source.term,
            .configuration = s->source.configuration,
            .configuration_index = s->source.configuration_index,
            .size = s->source.state->n } };
    s->request = (struct buf)BUF_INIT(RAFT_RESPONSE_MAX);
    raft_request_encode(&m, &s->request);
}

static uint64_t timeout_of(const struct raft_transport *t, size_t size)
{
    uint64_t pieces = size / RAFT_SNAPSHOT_PIECE;
    return t->opts.timeout_ms * (pieces ? pieces : 1);
}

static void opened(struct raft_driver_snapshot *source)
{
    struct raft_outgoing_snapshot *s = container_of(source, struct raft_outgoing_snapshot, source);
    struct raft_transport *t = s->t;
    t->jobs--;
    s->opening = false;
    raft_transport__ended(t);
    if (t->closing) {
        outgoing_free(s);
        return;
    }
    if (source->err.code) {
        give_up(s, source->err.text);
        return;
    }
    struct raft_out *o = raft_transport__dial(t, s->id, s->address, RAFT_LANE_SNAPSHOT);
    if (!o) {
        give_up(s, "there are too many connections");
        return;
    }
    struct raft_message m = { .type = RAFT_INSTALL_SNAPSHOT, .rpc = s->rpc };
    encode(s);
    raft_transport__call(o, &m);
    o->timeout_ms = timeout_of(t, source->state->n);
    o->snapshot = s;
    s->conn = o;
}

static void copy_text(char *out, size_t size, struct str from)
{
    ensure(from.n < size);
    memcpy(out, from.p, from.n);
}

void raft_transport__snapshot_send(struct raft_transport *t, const struct raft_message *m)
{
    struct raft_outgoing_snapshot *s = xcalloc(1, sizeof *s);
    s->t = t;
    s->rpc = m->rpc;
    s->term = m->term;
    copy_text(s->id, sizeof s->id, str_of(m->peer_id));
    copy_text(s->address, sizeof s->address, str_of(m->peer_address));
    copy_text(s->leader, sizeof s->leader, m->install_snapshot.leader);
    s->opening = true;
    s->source.done = opened;
    t->jobs++;
    raft_driver_snapshot_open(t->driver, &s->source);
}

void raft_transport__snapshot_pump(struct raft_out *o)
{
    struct raft_outgoing_snapshot *s = o->snapshot;
    struct raft_call *c = container_of(o->calls.next, struct raft_call, link);
    if (link_empty(&o->calls)) return;
    if (!c->sent_ms) {
        struct stream_part head = { s->request.p, s->request.n, NULL };
        if (stream_write(o->stream, &head, 1)) return;
        c->sent_ms = raft_transport__now(o->t);
        c->sent_us = raft_metrics_from(&o->t->metrics);
        o->t->counters.requests_sent++;
    }
    struct shared_body *state = s->source.state;
    while (!o->closing && s->at < state->n && stream_queued(o->stream) == 0) {
        size_t left = state->n - s->at;
        size_t n = left < RAFT_SNAPSHOT_PIECE ? left : RAFT_SNAPSHOT_PIECE;
        struct stream_part piece = { state->bytes + s->at, n, NULL };
        if (stream_write(o->stream, &piece, 1)) return;
        s->at += n;
        shared_body_passed(state, s->at);
        if (s->at == state->n) o->t->counters.snapshots_sent++;
    }
}

void raft_transport__snapshot_gone(struct raft_out *o)
{
    outgoing_free(o->snapshot);
    o->snapshot = NULL;
}
