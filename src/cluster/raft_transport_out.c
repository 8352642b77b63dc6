/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing connections. A call takes an idle connection of its remote or a new one; a pipeline's
 * calls are encoded when the connection has room for them, so that what waits costs little. */
#include <stdlib.h>
#include <string.h>

#include "raft_transport.h"

#define REFUSED "connection refused" /* how dialling a port without a listener ends */

static const struct stream_events out_events;

/* --- remotes and connections ------------------------------------------------------------------ */

static struct raft_remote *remote_of(struct raft_transport *t, const char *id)
{
    for (size_t i = 0; i < t->remotes_n; i++)
        if (strcmp(t->remotes[i]->id, id) == 0) return t->remotes[i];
    size_t at = t->remotes_n;
    if (at == RAFT_REMOTES_MAX) {
        for (at = 0; at < t->remotes_n && !link_empty(&t->remotes[at]->conns);)
            at++;
        if (at == t->remotes_n) return NULL;
        free(t->remotes[at]);
    } else {
        t->remotes_n++;
    }
    struct raft_remote *r = t->remotes[at] = xcalloc(1, sizeof *r);
    memcpy(r->id, id, strnlen(id, sizeof r->id - 1));
    link_init(&r->conns);
    return r;
}

/* Gossip's address goes before the configuration's. */
static void locate(
    struct raft_transport *t, const char *id, const char *address, char out[RAFT_ADDRESS_MAX])
{
    if (t->opts.locate && t->opts.locate(t->opts.ctx, str_of(id), out, RAFT_ADDRESS_MAX)) return;
    size_t n = strnlen(address, RAFT_ADDRESS_MAX - 1);
    memcpy(out, address, n);
    out[n] = '\0';
}

static bool split_address(struct raft_out *o, uint16_t *port)
{
    struct str all = str_of(o->address);
    uint64_t number;
    size_t colon = all.n;
    while (colon > 0 && all.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || !str_to_u64(str_slice(all, colon, all.n), &number)) return false;
    o->host = str_slice(all, 0, colon - 1);
    if (o->host.n > 2 && o->host.p[0] == '[') o->host = str_slice(o->host, 1, o->host.n - 1);
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

static void call_free(struct raft_call *c)
{
    buf_deinit(&c->bytes);
    free(c);
}

static void out_free(struct raft_out *o)
{
    struct raft_transport *t = o->t;
    timer_stop(&o->timer);
    buf_deinit(&o->input);
    link_remove(&o->link);
    free(o);
    t->counters.outgoing--;
    raft_transport__ended(t);
}

/* The connection is gone: what waits for it fails. */
static void out_gone(struct raft_out *o)
{
    struct raft_transport *t = o->t;
    struct link calls, *l;
    char id[RAFT_ID_MAX];
    memcpy(id, o->remote->id, sizeof id);
    link_init(&calls);
    while ((l = link_pop(&o->calls)))
        link_push(&calls, l);
    if (o->snapshot) raft_transport__snapshot_gone(o);
    out_free(o);
    while ((l = link_pop(&calls))) {
        struct raft_call *c = container_of(l, struct raft_call, link);
        t->counters.requests_failed++;
        if (t->driver && !c->forgotten) raft_driver_rpc_failed(t->driver, id, c->rpc, false);
        call_free(c);
    }
}

/* A process that ends may take a connection on its last way, and drop it. */
static void out_closed(struct stream *s, int code)
{
    struct raft_out *o = s->owner;
    struct raft_transport *t = o->t;
    unsigned looks = o->looks;
    char id[RAFT_ID_MAX];
    (void)code;
    memcpy(id, o->remote->id, sizeof id);
    out_gone(o);
    if (!looks || looks >= RAFT_LOOKS_MAX || t->closing || !t->driver) return;
    struct raft_driver_state st = raft_driver_state(t->driver);
    if (str_is(st.leader_id, id)) raft_transport__leader_hung_up(t, st.leader_address, looks + 1);
}

static void out_eof(struct stream *s)
{
    raft_transport__drop(s->owner);
}

void raft_transport__drop(struct raft_out *o)
{
    if (o->closing) return;
    o->closing = true;
    timer_stop(&o->timer);
    if (o->stream) stream_close(o->stream);
}

static void too_late(struct timer *timer)
{
    struct raft_out *o = container_of(timer, struct raft_out, timer);
    o->t->counters.requests_timed_out++;
    raft_transport__drop(o);
}

static struct raft_call *oldest(const struct raft_out *o)
{
    return link_empty(&o->calls) ? NULL : container_of(o->calls.next, struct raft_call, link);
}

static void arm(struct raft_out *o)
{
    const struct raft_call *c = oldest(o);
    timer_stop(&o->timer);
    if (!c || !c->sent_ms || o->closing) return;
    uint64_t due = c->sent_ms + o->timeout_ms, now = raft_transport__now(o->t);
    timer_start(&o->timer, due > now ? due - now : 0);
}

/* --- dialling --------------------------------------------------------------------------------- */

static void out_pump(struct raft_out *o);

static void reached(struct raft_out *o)
{
    struct raft_transport *t = o->t;
    if (o->remote->unreachable)
        log_info(RAFT_LOG, "server can be reached again", "id", o->remote->id);
    o->remote->unreachable = false;
    o->answered_ms = raft_transport__now(t);
    for (struct raft_call *c = oldest(o); c && c->type == RAFT_PROBE; c = oldest(o)) {
        link_remove(&c->link);
        raft_transport__verdict(t, o->remote->id, c->rpc, true, false);
        call_free(c);
    }
}

static void tell_gone(struct raft_out *o)
{
    struct raft_driver *driver = o->t->driver;
    bool refused = str_has_suffix(str_of(o->dial.dial.err.text), STR(REFUSED));
    if (!driver || !o->looks || !refused) return;
    struct raft_driver_state st = raft_driver_state(driver);
    char leader[RAFT_ADDRESS_MAX] = { 0 };
    if (!str_is(st.leader_id, o->remote->id) || st.leader_address.n >= sizeof leader) return;
    memcpy(leader, st.leader_address.p, st.leader_address.n);
    log_info(RAFT_LOG, "the leader is gone", "id", o->remote->id, "address", leader);
    raft_driver_leader_gone(driver, str_of(leader));
}

static void dialled(struct server_dial *d, struct stream *s)
{
    struct raft_out *o = container_of(d, struct raft_out, dial);
    if (!s) {
        o->t->counters.dials_failed++;
        tell_gone(o);
        if (!o->remote->unreachable)
            log_warn(RAFT_LOG, "server cannot be reached", "id", o->remote->id, "address",
                o->address, "error", d->dial.err.text);
        o->remote->unreachable = true;
        out_gone(o);
        return;
    }
    o->stream = s;
    if (o->closing) {
        stream_close(s);
        return;
    }
    reached(o);
    out_pump(o);
}

static size_t link_count(const struct link *head)
{
    size_t n = 0;
    link_each (l, head)
        n++;
    return n;
}

struct raft_out *raft_transport__dial(
    struct raft_transport *t, const char *id, const char *address, enum raft_lane lane)
{
    struct raft_remote *r = remote_of(t, id);
    uint16_t port = 0;
    if (!r || link_count(&r->conns) >= RAFT_CONNS_MAX) return NULL;
    struct raft_out *o = xcalloc(1, sizeof *o);
    locate(t, id, address, o->address);
    if (!split_address(o, &port)) {
        free(o);
        return NULL;
    }
    o->t = t;
    o->remote = r;
    o->lane = lane;
    o->timeout_ms = t->opts.timeout_ms;
    o->input = (struct buf)BUF_INIT(RAFT_RESPONSE_MAX);
    link_init(&o->calls);
    timer_init(&o->timer, t->opts.world, too_late);
    link_push(&r->conns, &o->link);
    t->counters.outgoing++;
    t->counters.dials++;
    o->dial = (struct server_dial){ .world = t->opts.world,
        .tls = t->opts.tls,
        .protocol = SERVER_RAFT,
        .address = o->host,
        .port = port,
        .source = t->opts.source,
        .datacenter = t->opts.datacenter,
        .domain = t->opts.domain,
        .timeout_ms = t->opts.timeout_ms,
        .events = &out_events,
        .owner = o,
        .done = dialled };
    server_dial_start(&o->dial);
    return o;
}

void raft_transport__leader_hung_up(struct raft_transport *t, struct str address, unsigned looks)
{
    if (t->closing || !t->driver) return;
    struct raft_driver_state st = raft_driver_state(t->driver);
    char id[RAFT_ID_MAX] = { 0 }, place[RAFT_ADDRESS_MAX] = { 0 };
    if (st.role != DRIVER_FOLLOWER || !address.n || !str_eq(st.leader_address, address)) return;
    if (!st.leader_id.n || st.leader_id.n >= sizeof id || address.n >= sizeof place) return;
    memcpy(id, st.leader_id.p, st.leader_id.n);
    memcpy(place, address.p, address.n);
    struct raft_remote *r = remote_of(t, id);
    if (!r) return;
    link_each (l, &r->conns) {
        const struct raft_out *o = container_of(l, struct raft_out, link);
        if (o->looks && !o->closing) return; /* that one tells */
    }
    struct raft_out *o = raft_transport__dial(t, id, place, RAFT_LANE_POOL);
    if (o) o->looks = looks;
}

/* --- calls out -------------------------------------------------------------------------------- */

static int encode(struct raft_transport *t, const struct raft_message *m, struct buf *out)
{
    struct raft_message whole = *m;
    struct error err;
    arena_reset(&t->arena);
    if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.n) {
        size_t n = m->append_entries.n;
        struct raft_entry *entries = arena_array(&t->arena, n, sizeof *entries);
        for (size_t i = 0; i < n; i++) {
            uint64_t index = m->append_entries.prev_index + 1 + i;
            int code = raft_driver_entry(t->driver, index, &t->arena, &entries[i], &err);
            if (code) return code;
        }
        whole.append_entries.entries = entries;
    }
    raft_request_encode(&whole, out);
    return out->overflow ? ERR_TOO_LARGE : 0;
}

/* A request of a pipeline is made of the log as it is when it leaves; entries of another term than
 * its own would say what the leader of that term never said. */
static bool encode_late(struct raft_out *o, struct raft_call *c)
{
    struct raft_transport *t = o->t;
    if (!t->driver || raft_driver_state(t->driver).term != c->append.term) return false;
    return encode(t, &c->append, &c->bytes) == 0;
}

/* Sends what waits, as far as there is room. */
static void out_pump(struct raft_out *o)
{
    if (o->snapshot) {
        raft_transport__snapshot_pump(o);
        arm(o);
        return;
    }
    link_each (l, &o->calls) {
        struct raft_call *c = container_of(l, struct raft_call, link);
        if (c->sent_ms) continue;
        if (o->closing || stream_queued(o->stream) > RAFT_BACKLOG_MAX) break;
        if (!c->bytes.n && !encode_late(o, c)) {
            raft_transport__drop(o);
            break;
        }
        struct stream_part part = { c->bytes.p, c->bytes.n, NULL };
        int code = stream_write(o->stream, &part, 1);
        if (code == ERR_FULL) break;
        buf_deinit(&c->bytes);
        c->bytes = (struct buf)BUF_INIT(RAFT_REQUEST_MAX);
        c->sent_ms = raft_transport__now(o->t);
        c->sent_us = raft_metrics_from(&o->t->metrics);
        o->t->counters.requests_sent++;
    }
    arm(o);
}

static void out_drained(struct stream *s)
{
    struct raft_out *o = s->owner;
    if (!o->closing) out_pump(o);
}

struct raft_call *raft_transport__call(struct raft_out *o, const struct raft_message *m)
{
    struct raft_call *c = xcalloc(1, sizeof *c);
    c->type = m->type;
    c->rpc = m->rpc;
    if (m->type == RAFT_APPEND_ENTRIES) {
        c->entries = m->append_entries.n;
        c->heartbeat = m->append_entries.heartbeat;
    }
    c->bytes = (struct buf)BUF_INIT(RAFT_REQUEST_MAX);
    link_init(&c->link);
    link_push(&o->calls, &c->link);
    return c;
}

/* The newest idle connection to where the server is now; others are of no use any more. */
static struct raft_out *idle(struct raft_transport *t, const char *id, const char *address)
{
    struct raft_remote *r = remote_of(t, id);
    struct raft_out *found = NULL;
    char now[RAFT_ADDRESS_MAX];
    if (!r) return NULL;
    locate(t, id, address, now);
    link_each (l, &r->conns) {
        struct raft_out *o = container_of(l, struct raft_out, link);
        bool free_one =
            o->lane == RAFT_LANE_POOL && o->stream && !o->closing && link_empty(&o->calls);
        if (free_one && strcmp(o->address, now) != 0)
            raft_transport__drop(o);
        else if (free_one)
            found = o;
    }
    return found;
}

static void request_failed(struct raft_transport *t, const struct raft_message *m, bool missing)
{
    t->counters.requests_failed++;
    raft_transport__verdict(t, m->peer_id, m->rpc, false, missing);
}

static void send_pooled(struct raft_transport *t, const struct raft_message *m)
{
    struct buf bytes = BUF_INIT(RAFT_REQUEST_MAX);
    int code = encode(t, m, &bytes);
    struct raft_out *o = code ? NULL : idle(t, m->peer_id, m->peer_address);
    if (!o && !code) o = raft_transport__dial(t, m->peer_id, m->peer_address, RAFT_LANE_POOL);
    if (!o) {
        buf_deinit(&bytes);
        request_failed(t, m, code != 0);
        return;
    }
    struct raft_call *c = raft_transport__call(o, m);
    c->bytes = bytes;
    if (o->stream) out_pump(o);
}

static struct raft_out *pipeline_of(struct raft_transport *t, const char *id)
{
    struct raft_remote *r = remote_of(t, id);
    link_each (l, &r->conns) {
        struct raft_out *o = container_of(l, struct raft_out, link);
        if (o->lane == RAFT_LANE_PIPELINE && !o->closing) return o;
    }
    return NULL;
}

static void end_pipeline(struct raft_transport *t, const char *id)
{
    struct raft_out *o = remote_of(t, id) ? pipeline_of(t, id) : NULL;
    if (!o) return;
    link_each (l, &o->calls)
        container_of(l, struct raft_call, link)->forgotten = true;
    raft_transport__drop(o);
}

static void send_pipelined(struct raft_transport *t, const struct raft_message *m)
{
    struct raft_out *o = remote_of(t, m->peer_id) ? pipeline_of(t, m->peer_id) : NULL;
    if (!o) o = raft_transport__dial(t, m->peer_id, m->peer_address, RAFT_LANE_PIPELINE);
    if (!o) {
        request_failed(t, m, false);
        return;
    }
    struct raft_call *c = raft_transport__call(o, m);
    struct str leader = m->append_entries.leader;
    ensure(leader.n < sizeof c->leader);
    memcpy(c->leader, leader.p, leader.n);
    c->append = *m;
    c->append.append_entries.leader.p = c->leader;
    if (o->stream) out_pump(o);
}

/* Is anybody there? */
static void probe(struct raft_transport *t, const struct raft_message *m)
{
    struct raft_out *o = idle(t, m->peer_id, m->peer_address);
    uint64_t now = raft_transport__now(t);
    if (o && o->answered_ms && now - o->answered_ms < RAFT_PROBE_FRESH_MS) {
        raft_transport__verdict(t, m->peer_id, m->rpc, true, false);
        return;
    }
    o = raft_transport__dial(t, m->peer_id, m->peer_address, RAFT_LANE_POOL);
    if (o)
        raft_transport__call(o, m);
    else
        request_failed(t, m, false);
}

void raft_transport__request(struct raft_transport *t, const struct raft_message *m)
{
    if (t->closing || !t->driver) return;
    if (m->type == RAFT_PROBE) {
        probe(t, m);
    } else if (m->type == RAFT_INSTALL_SNAPSHOT) {
        end_pipeline(t, m->peer_id);
        raft_transport__snapshot_send(t, m);
    } else if (m->channel == RAFT_CHANNEL_PIPELINE) {
        send_pipelined(t, m);
    } else {
        if (m->type == RAFT_APPEND_ENTRIES && m->channel == RAFT_CHANNEL_PLAIN)
            end_pipeline(t, m->peer_id);
        send_pooled(t, m);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool is_idle(const struct raft_out *o)
{
    return o->lane == RAFT_LANE_POOL && o->stream && !o->closing && link_empty(&o->calls);
}

/* The pool keeps the newest few. */
static void trim(struct raft_remote *r)
{
    size_t n = 0;
    link_each (l, &r->conns)
        n += is_idle(container_of(l, struct raft_out, link));
    link_each (l, &r->conns) {
        struct raft_out *o = container_of(l, struct raft_out, link);
        if (n <= RAFT_IDLE_MAX) break;
        if (!is_idle(o)) continue;
        raft_transport__drop(o);
        n--;
    }
}

static struct metric *peer_metric(struct raft_out *o, enum raft_peer_metric which)
{
    struct raft_remote *r = o->remote;
    if (!r->metrics[which]) r->metrics[which] = raft_metrics_peer(&o->t->metrics, which, r->id);
    return r->metrics[which];
}

static void measure(struct raft_out *o, const struct raft_call *c)
{
    bool install = c->type == RAFT_INSTALL_SNAPSHOT;
    if (!c->sent_us || (c->type != RAFT_APPEND_ENTRIES && !install)) return;
    enum raft_peer_metric which = install        ? RAFT_PEER_INSTALL
                                  : c->heartbeat ? RAFT_PEER_HEARTBEAT
                                                 : RAFT_PEER_APPEND;
    metric_since(peer_metric(o, which), o->t->opts.world, c->sent_us);
    if (which == RAFT_PEER_APPEND) metric_add(peer_metric(o, RAFT_PEER_LOGS), (double)c->entries);
}

static void answered(struct raft_out *o, struct raft_call *c)
{
    measure(o, c);
    link_remove(&c->link);
    o->answered_ms = raft_transport__now(o->t);
    arm(o);
    if (o->lane == RAFT_LANE_SNAPSHOT) raft_transport__drop(o);
    if (o->lane != RAFT_LANE_POOL) return;
    link_remove(&o->link);
    link_push(&o->remote->conns, &o->link);
    trim(o->remote);
}

static void deliver(
    struct raft_transport *t, const char *id, struct raft_call *c, struct raft_message *m, int code)
{
    if (!t->driver || c->forgotten) return;
    m->rpc = c->rpc;
    m->peer_id = id;
    if (code)
        raft_driver_rpc_failed(t->driver, id, c->rpc, false);
    else
        raft_driver_receive(t->driver, m);
}

/* One answer from the front of the input; false: not whole, or the connection is over. */
static bool take_answer(struct raft_out *o)
{
    struct raft_transport *t = o->t;
    struct raft_call *c = oldest(o);
    struct arena a = ARENA_INIT;
    struct raft_message m;
    struct cursor cur;
    struct error err;
    char id[RAFT_ID_MAX];
    if (o->closing || !o->input.n) return false;
    if (!c || !c->sent_ms) {
        raft_transport__drop(o); /* nobody asked */
        return false;
    }
    cursor_init(&cur, o->input.p, o->input.n, &err);
    int code = raft_response_decode(&cur, &a, c->type, &m, &err);
    if (code == ERR_EOF || code == ERR_DECODE) {
        if (code == ERR_DECODE || o->input.n >= RAFT_RESPONSE_MAX / 2) {
            log_warn(RAFT_LOG, "bad answer from a server", "id", o->remote->id);
            raft_transport__drop(o);
        }
        arena_free(&a);
        return false;
    }
    buf_consume(&o->input, o->input.n - cursor_left(&cur));
    memcpy(id, o->remote->id, sizeof id);
    if (code) log_debug(RAFT_LOG, "a server refused a request", "id", id, "error", err.text);
    answered(o, c);
    deliver(t, id, c, &m, code);
    call_free(c);
    arena_free(&a);
    return true;
}

static void out_data(struct stream *s, struct str bytes)
{
    struct raft_out *o = s->owner;
    if (o->closing) return;
    buf_put(&o->input, bytes.p, bytes.n);
    if (o->input.overflow) {
        raft_transport__drop(o);
        return;
    }
    while (take_answer(o)) {
    }
}

static const struct stream_events out_events = {
    .data = out_data, .eof = out_eof, .drained = out_drained, .closed = out_closed
};

/* --- the end ---------------------------------------------------------------------------------- */

static void end_connection(struct raft_out *o)
{
    if (o->stream) {
        raft_transport__drop(o);
        return;
    }
    server_dial_cancel(&o->dial);
    out_gone(o);
}

void raft_transport__out_close(struct raft_transport *t)
{
    for (size_t i = 0; i < t->remotes_n; i++)
        link_each (l, &t->remotes[i]->conns)
            end_connection(container_of(l, struct raft_out, link));
}
