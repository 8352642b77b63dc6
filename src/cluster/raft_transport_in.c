/* SPDX-License-Identifier: Apache-2.0 */
/* Incoming connections: requests go to the driver as soon as they are whole, answers leave in the
 * order of the requests (raft.md 1.3). The rpc a request gets is the number of its connection and
 * its own number there. */
#include <stdlib.h>
#include <string.h>

#include "raft_transport.h"

#define RPC_OF(number, sequence) ((uint64_t)(number) << 32 | (uint32_t)(sequence))

struct answer {
    bool ready;
    bool heartbeat;
    enum raft_message_type request;
    uint64_t began_us; /* 0: nobody counts */
    struct buf bytes;
};

struct raft_in {
    struct raft_transport *t;
    struct stream *stream;
    struct link link;
    uint32_t number;
    bool closing, paused, eof, parsing;
    struct buf input;
    struct rpc_scan scan;
    size_t scanned; /* bytes of the next request that were looked at; 0: none */
    struct answer answers[RAFT_PENDING_MAX]; /* ring by sequence */
    uint32_t head, tail;                     /* sequences: oldest without its answer sent, next */
    struct spool *spool;                     /* a snapshot that follows its request */
    uint64_t snapshot_left;                  /* bytes of it still to come */
    char *snapshot_request;                  /* encoded, kept until all is here */
    size_t snapshot_request_n;
    char leader[RAFT_ADDRESS_MAX]; /* whose log came over it; "": nobody's */
    struct timer timer;            /* of a snapshot: bytes must keep coming */
};

static void parse(struct raft_in *c);

static void drop(struct raft_in *c)
{
    if (c->closing) return;
    c->closing = true;
    timer_stop(&c->timer);
    stream_close(c->stream);
}

static void refuse(struct raft_in *c, const char *why)
{
    c->t->counters.refused++;
    log_error(RAFT_LOG, "failed to decode incoming command", "from", c->stream->peer, "error", why);
    drop(c);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct answer *answer_at(struct raft_in *c, uint32_t sequence)
{
    return &c->answers[sequence % RAFT_PENDING_MAX];
}

static void measure(struct raft_metrics *m, const struct answer *a)
{
    switch (a->request) {
    case RAFT_APPEND_ENTRIES:
        raft_metrics_since(m, RAFT_METRIC_APPEND, a->began_us);
        if (a->heartbeat) raft_metrics_since(m, RAFT_METRIC_HEARTBEAT, a->began_us);
        break;
    case RAFT_REQUEST_VOTE:
        raft_metrics_since(m, RAFT_METRIC_VOTE, a->began_us);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        raft_metrics_since(m, RAFT_METRIC_INSTALL, a->began_us);
        break;
    case RAFT_TIMEOUT_NOW:
    case RAFT_PROBE:
    case RAFT_APPEND_ENTRIES_RESPONSE:
    case RAFT_REQUEST_VOTE_RESPONSE:
    case RAFT_INSTALL_SNAPSHOT_RESPONSE:
    case RAFT_TIMEOUT_NOW_RESPONSE:
    case RAFT_PROBE_RESPONSE:
        break;
    }
}

static void set_ready(struct raft_in *c, struct answer *a)
{
    measure(&c->t->metrics, a);
    a->ready = true;
    tick_mark(&c->t->tick);
}

void raft_transport__response(struct raft_transport *t, const struct raft_message *m)
{
    uint32_t number = (uint32_t)(m->rpc >> 32), sequence = (uint32_t)m->rpc;
    link_each (l, &t->incoming) {
        struct raft_in *c = container_of(l, struct raft_in, link);
        if (c->number != number) continue;
        bool open = sequence - c->head < c->tail - c->head;
        if (c->closing || !open || answer_at(c, sequence)->ready) return;
        raft_response_encode(m, &answer_at(c, sequence)->bytes);
        set_ready(c, answer_at(c, sequence));
        return;
    }
}

static void send_answers(struct raft_in *c)
{
    struct raft_transport *t = c->t;
    buf_clear(&t->scratch);
    while (c->head != c->tail && answer_at(c, c->head)->ready) {
        struct answer *a = answer_at(c, c->head++);
        buf_put(&t->scratch, a->bytes.p, a->bytes.n);
        buf_clear(&a->bytes);
        a->ready = false;
    }
    if (!t->scratch.n) return;
    struct stream_part part = { t->scratch.p, t->scratch.n, NULL };
    if (stream_write(c->stream, &part, 1)) {
        drop(c); /* it does not read its answers */
        return;
    }
    parse(c);
}

void raft_transport__flush(struct raft_transport *t)
{
    link_each (l, &t->incoming) {
        struct raft_in *c = container_of(l, struct raft_in, link);
        if (!c->closing) send_answers(c);
    }
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void snapshot_forget(struct raft_in *c)
{
    spool_destroy(c->spool);
    free(c->snapshot_request);
    c->spool = NULL;
    c->snapshot_request = NULL;
    timer_stop(&c->timer);
}

static void answer_error(
    struct raft_in *c, uint32_t sequence, enum raft_message_type type, const char *text)
{
    struct answer *a = answer_at(c, sequence);
    uint64_t term = raft_driver_state(c->t->driver).term;
    raft_error_encode(type, str_of(text), term, &a->bytes);
    set_ready(c, a);
}

/* The stream is whole: the request is read again, now for the driver. */
static void snapshot_whole(struct raft_in *c)
{
    struct raft_transport *t = c->t;
    struct arena a = ARENA_INIT;
    struct raft_message m;
    struct cursor cur;
    struct error err;
    cursor_init(&cur, c->snapshot_request, c->snapshot_request_n, &err);
    int code = raft_request_decode(&cur, &a, &m, &err);
    struct shared_body *state = spool_take(c->spool, code ? &(struct error){ 0 } : &err);
    t->counters.snapshots_received++;
    m.rpc = RPC_OF(c->number, c->tail - 1);
    if (code || !state) {
        answer_error(c, c->tail - 1, m.type, err.text);
    } else {
        raft_driver_receive_snapshot(t->driver, &m, state);
    }
    shared_body_unref(state);
    arena_free(&a);
    snapshot_forget(c);
}

static void snapshot_moved(void *ctx)
{
    struct raft_in *c = ctx;
    if (!c->closing) parse(c);
}

/* Takes what is here of a snapshot; true: it is over. */
static bool snapshot_take(struct raft_in *c)
{
    if (c->snapshot_left && c->input.n) {
        size_t n = c->input.n < c->snapshot_left ? c->input.n : (size_t)c->snapshot_left;
        spool_put(c->spool, str_slice(buf_str(&c->input), 0, n));
        buf_consume(&c->input, n);
        c->snapshot_left -= n;
        timer_start(&c->timer, c->t->opts.timeout_ms);
    }
    if (c->snapshot_left == 0) spool_end(c->spool);
    if (!spool_done(c->spool)) return false;
    snapshot_whole(c);
    return true;
}

static void snapshot_begin(struct raft_in *c, struct str request, uint64_t size)
{
    c->snapshot_request = xmalloc(request.n);
    memcpy(c->snapshot_request, request.p, request.n);
    c->snapshot_request_n = request.n;
    c->snapshot_left = size;
    c->spool = spool_create(&(struct spool_options){ .world = c->t->opts.world,
        .dir = raft_driver_spool_dir(c->t->driver),
        .max = size,
        .ready = snapshot_moved,
        .ctx = c });
    timer_start(&c->timer, c->t->opts.timeout_ms);
}

static void snapshot_late(struct timer *timer)
{
    struct raft_in *c = container_of(timer, struct raft_in, timer);
    if (c->snapshot_left == 0) return; /* the disk is slow, not the peer */
    log_error(RAFT_LOG, "a snapshot stopped coming", "from", c->stream->peer);
    drop(c);
}

/* --- requests --------------------------------------------------------------------------------- */

static void note_leader(struct raft_in *c, struct str address)
{
    if (address.n >= sizeof c->leader || str_is(address, c->leader)) return;
    memset(c->leader, 0, sizeof c->leader);
    if (address.n) memcpy(c->leader, address.p, address.n);
}

/* One whole request, type byte first. */
static void take_request(struct raft_in *c, struct str bytes)
{
    struct raft_transport *t = c->t;
    struct arena a = ARENA_INIT;
    struct raft_message m;
    struct cursor cur;
    struct error err = { 0 };
    uint32_t sequence = c->tail;
    cursor_init(&cur, bytes.p, bytes.n, &err);
    cur.memory_max = MSGPACK_MEMORY_MAX(bytes.n);
    int code = raft_request_decode(&cur, &a, &m, &err);
    bool readable = code == 0 || code == ERR_BAD_REQUEST;
    bool snapshot = readable && m.type == RAFT_INSTALL_SNAPSHOT;
    if (code == 0 && m.type == RAFT_APPEND_ENTRIES) note_leader(c, m.append_entries.leader);
    if (!readable || (snapshot && m.install_snapshot.size > RAFT_SNAPSHOT_MAX)) {
        refuse(c, err.text);
    } else {
        c->tail++;
        struct answer *asked = answer_at(c, sequence);
        asked->request = m.type;
        asked->heartbeat = m.type == RAFT_APPEND_ENTRIES && m.append_entries.heartbeat;
        asked->began_us = raft_metrics_from(&t->metrics);
        t->counters.requests_received++;
        m.rpc = RPC_OF(c->number, sequence);
        /* Another misses the leader. */
        if (m.type == RAFT_REQUEST_VOTE)
            raft_transport__leader_hung_up(t, raft_driver_state(t->driver).leader_address, 1);
        if (snapshot)
            snapshot_begin(c, bytes, m.install_snapshot.size);
        else if (code)
            answer_error(c, sequence, m.type, err.text);
        else
            raft_driver_receive(t->driver, &m);
    }
    arena_free(&a);
}

/* The length of the request in front; 0: not whole, or the connection is over. */
static size_t whole_request(struct raft_in *c)
{
    if (!c->scanned) {
        if ((uint8_t)c->input.p[0] > RAFT_TIMEOUT_NOW) {
            refuse(c, "unknown rpc type");
            return 0;
        }
        rpc_scan_init(&c->scan, 1, RAFT_REQUEST_MAX);
        c->scanned = 1;
    }
    struct str rest = str_slice(buf_str(&c->input), c->scanned, c->input.n);
    enum rpc_scan_result r = rpc_scan_take(&c->scan, &rest);
    c->scanned = c->input.n - rest.n;
    if (r == RPC_SCAN_BAD) refuse(c, "the request cannot be read");
    if (r != RPC_SCAN_DONE) return 0;
    size_t n = c->scanned;
    c->scanned = 0;
    return n;
}

static void pause(struct raft_in *c, bool on)
{
    if (c->paused == on) return;
    c->paused = on;
    stream_read(c->stream, !on);
}

static void parse_all(struct raft_in *c)
{
    while (!c->closing && c->t->driver) {
        if (c->spool) {
            if (!snapshot_take(c)) break;
            continue;
        }
        if (!c->input.n || c->tail - c->head >= RAFT_PENDING_MAX) break;
        size_t n = whole_request(c);
        if (!n) break;
        take_request(c, str_slice(buf_str(&c->input), 0, n));
        buf_consume(&c->input, n);
    }
}

/* Reading stops while nothing more can be taken. */
static void parse(struct raft_in *c)
{
    if (c->parsing) return;
    c->parsing = true;
    parse_all(c);
    c->parsing = false;
    if (c->closing) return;
    if (!c->input.n && c->input.cap > RAFT_INPUT_KEPT) {
        buf_deinit(&c->input);
        c->input = (struct buf)BUF_INIT(RAFT_INPUT_MAX);
    }
    bool full = c->tail - c->head >= RAFT_PENDING_MAX || (c->spool && spool_full(c->spool));
    pause(c, full);
    if (c->eof && c->head == c->tail && !c->spool) drop(c);
}

/* --- events ----------------------------------------------------------------------------------- */

static void in_data(struct stream *s, struct str bytes)
{
    struct raft_in *c = s->owner;
    if (c->closing) return;
    buf_put(&c->input, bytes.p, bytes.n);
    if (c->input.overflow)
        refuse(c, "the request is too large");
    else
        parse(c);
}

static void in_eof(struct stream *s)
{
    struct raft_in *c = s->owner;
    c->eof = true;
    if (c->snapshot_left || c->head == c->tail) drop(c);
}

static void in_closed(struct stream *s, int code)
{
    struct raft_in *c = s->owner;
    struct raft_transport *t = c->t;
    if (code || c->eof) raft_transport__leader_hung_up(t, str_of(c->leader), 1);
    timer_stop(&c->timer);
    snapshot_forget(c);
    for (size_t i = 0; i < RAFT_PENDING_MAX; i++)
        buf_deinit(&c->answers[i].bytes);
    buf_deinit(&c->input);
    link_remove(&c->link);
    free(c);
    t->counters.incoming--;
    raft_transport__ended(t);
}

static const struct stream_events in_events = {
    .data = in_data, .eof = in_eof, .closed = in_closed
};

void raft_transport_accept(struct raft_transport *t, struct stream *s)
{
    if (t->closing || !t->driver || t->counters.incoming >= RAFT_INCOMING_MAX) {
        stream_close(s);
        return;
    }
    struct raft_in *c = xcalloc(1, sizeof *c);
    c->t = t;
    c->stream = s;
    c->number = ++t->next_in;
    metric_add(t->metrics.at[RAFT_METRIC_HANDOFF], 1);
    c->input = (struct buf)BUF_INIT(RAFT_INPUT_MAX);
    for (size_t i = 0; i < RAFT_PENDING_MAX; i++)
        c->answers[i].bytes = (struct buf)BUF_INIT(4096);
    timer_init(&c->timer, t->opts.world, snapshot_late);
    link_push(&t->incoming, &c->link);
    t->counters.incoming++;
    s->events = &in_events;
    s->owner = c;
}

void raft_transport__in_close(struct raft_transport *t)
{
    link_each (l, &t->incoming)
        drop(container_of(l, struct raft_in, link));
}
