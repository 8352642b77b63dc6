/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of serf cores on virtual time and a network without delay. What a core tells is kept as
 * text lines per node. */
#pragma once
#include "consuld/gossip/serf.h"
#include "vectors.h"

#define NODES_MAX 12
#define PORT 8301

struct peer {
    struct serf *serf;
    struct keyring keys;
    struct serf_options o;
    char name[32];
    bool running, reachable;
    bool paused; /* the process is stopped: it keeps its state and notices nothing */
    uint64_t wake_ms;
    struct buf told; /* notices as lines */
    struct buf file; /* snapshot file */
    size_t rewrites, syncs;
    bool file_fails;
    uint64_t save;                   /* of the last SERF_SAVE_KEYS */
    struct serf_query_origin origin; /* of the last SERF_QUERIED */
    struct serf_key_outcome outcome; /* of the last key result, counts only */
    size_t packets_out;
};

enum parcel_kind { PARCEL_PACKET, PARCEL_ACCEPTED, PARCEL_CONNECTED, PARCEL_DATA, PARCEL_ENDED };

struct parcel {
    struct link link;
    enum parcel_kind kind;
    size_t to;
    struct gossip_address from;
    uint64_t stream;
    const char *error;
    size_t n;
    char bytes[];
};

struct connection {
    size_t dialer, acceptor;
    uint64_t dialed, accepted;
};

struct pool {
    uint64_t now_ms;
    struct peer node[NODES_MAX];
    size_t n;
    struct link parcels;
    struct connection connections[4096];
    size_t connections_n;
    size_t parcels_n;
};

static inline struct gossip_address address_of(size_t i)
{
    struct gossip_address a;
    char ip[32];
    snprintf(ip, sizeof ip, "127.0.11.%zu", i + 1);
    assert_true(gossip_address_parse(&a, ip, PORT));
    return a;
}

/* --- network ------------------------------------------------------------------------------- */

static inline struct parcel *post(
    struct pool *p, enum parcel_kind kind, size_t to, uint64_t stream, struct str bytes)
{
    struct parcel *parcel = xcalloc(1, sizeof *parcel + bytes.n);
    parcel->kind = kind;
    parcel->to = to;
    parcel->stream = stream;
    parcel->n = bytes.n;
    if (bytes.n) memcpy(parcel->bytes, bytes.p, bytes.n);
    link_push(&p->parcels, &parcel->link);
    p->parcels_n++;
    return parcel;
}

static inline size_t node_at(const struct pool *p, const struct gossip_address *a)
{
    for (size_t i = 0; i < p->n; i++) {
        struct gossip_address here = address_of(i);
        if (gossip_address_equal(&here, a)) return i;
    }
    return SIZE_MAX;
}

static inline void dial(struct pool *p, size_t from, const struct swim_stream *s)
{
    size_t to = node_at(p, &s->to);
    bool answers =
        to != SIZE_MAX && p->node[to].running && p->node[to].reachable && p->node[from].reachable;
    if (!answers) {
        post(p, PARCEL_ENDED, from, s->id, STR_NIL)->error = "connection refused";
        return;
    }
    assert_true(p->connections_n < 4096);
    struct connection *c = &p->connections[p->connections_n++];
    *c = (struct connection){
        .dialer = from, .acceptor = to, .dialed = s->id, .accepted = 2 * p->connections_n + 1
    };
    post(p, PARCEL_CONNECTED, from, s->id, STR_NIL);
    post(p, PARCEL_ACCEPTED, to, c->accepted, STR_NIL)->from = address_of(from);
    post(p, PARCEL_DATA, to, c->accepted, s->bytes);
}

static inline struct connection *connection_of(
    struct pool *p, size_t node, uint64_t id, bool *dialed)
{
    for (size_t i = 0; i < p->connections_n; i++) {
        struct connection *c = &p->connections[i];
        *dialed = c->dialer == node && c->dialed == id;
        if (*dialed || (c->acceptor == node && c->accepted == id)) return c;
    }
    return NULL;
}

static inline void stream_out(struct pool *p, size_t from, const struct swim_stream *s)
{
    if (s->action == SWIM_DIAL) {
        dial(p, from, s);
        return;
    }
    bool dialed;
    struct connection *c = connection_of(p, from, s->id, &dialed);
    if (!c) return;
    size_t to = dialed ? c->acceptor : c->dialer;
    uint64_t id = dialed ? c->accepted : c->dialed;
    if (s->action == SWIM_WRITE) {
        post(p, PARCEL_DATA, to, id, s->bytes);
        post(p, PARCEL_ENDED, from, s->id, STR_NIL);
    }
    post(p, PARCEL_ENDED, to, id, STR_NIL);
}

/* --- what a core tells --------------------------------------------------------------------- */

static inline void tell(struct peer *n, const struct serf_notice *notice)
{
    struct buf *out = &n->told;
    buf_put_c(out, serf_notice_name(notice->type));
    switch (notice->type) {
    case SERF_MEMBER_JOINED:
    case SERF_MEMBER_LEFT:
    case SERF_MEMBER_FAILED:
    case SERF_MEMBER_UPDATED:
    case SERF_MEMBER_REAPED:
        buf_printf(out, " %.*s", STR_ARG(notice->member.name));
        break;
    case SERF_USER_EVENT:
        buf_printf(out, " %.*s %llu %.*s", STR_ARG(notice->user_event.name),
            (unsigned long long)notice->user_event.ltime, STR_ARG(notice->user_event.payload));
        break;
    case SERF_QUERIED:
        n->origin = *notice->queried.origin;
        buf_printf(
            out, " %.*s %llu", STR_ARG(notice->queried.name), (unsigned long long)n->origin.ltime);
        break;
    case SERF_ANSWER:
        buf_printf(out, " %s %.*s %.*s", notice->answer.ack ? "ack" : "response",
            STR_ARG(notice->answer.from), STR_ARG(notice->answer.payload));
        break;
    case SERF_RESULT:
        buf_printf(out, " %llu %d %.*s", (unsigned long long)notice->result.handle,
            notice->result.code, STR_ARG(notice->result.text));
        if (notice->result.joined) buf_printf(out, "joined %zu", notice->result.joined);
        if (notice->result.acks) buf_printf(out, "acks %zu", notice->result.acks);
        if (notice->result.keys) n->outcome = *notice->result.keys;
        break;
    case SERF_SAVE_KEYS:
        n->save = notice->save_keys.save;
        buf_printf(out, " %.*s", STR_ARG(notice->save_keys.text));
        break;
    case SERF_NAME_LOST:
        break;
    }
    buf_put_c(out, "\n");
}

static inline void carry_out(struct pool *p, size_t i, const struct serf_output *out)
{
    struct peer *n = &p->node[i];
    if (!n->file_fails) {
        if (out->snapshot.rewrite.p) {
            buf_clear(&n->file);
            buf_put_str(&n->file, out->snapshot.rewrite);
            n->rewrites++;
        }
        buf_put_str(&n->file, out->snapshot.append);
        n->syncs += out->snapshot.sync;
    }
    for (size_t k = 0; k < out->swim.packets_n; k++) {
        const struct swim_packet *packet = &out->swim.packets[k];
        size_t to = node_at(p, &packet->to);
        n->packets_out++;
        if (to == SIZE_MAX || !n->reachable) continue;
        post(p, PARCEL_PACKET, to, 0, packet->bytes)->from = address_of(i);
    }
    for (size_t k = 0; k < out->swim.streams_n; k++)
        stream_out(p, i, &out->swim.streams[k]);
    for (size_t k = 0; k < out->notices_n; k++)
        tell(n, &out->notices[k]);
    n->wake_ms = out->wake_ms;
}

static inline int give(struct pool *p, size_t i, const struct serf_event *ev)
{
    struct serf_output out;
    assert_true(p->node[i].running);
    int code = serf_step(p->node[i].serf, p->now_ms, ev, &out);
    carry_out(p, i, &out);
    return code;
}

static inline void deliver(struct pool *p, struct parcel *parcel)
{
    struct peer *n = &p->node[parcel->to];
    if (!n->running || (!n->reachable && parcel->kind == PARCEL_PACKET)) return;
    struct str bytes = { parcel->bytes, parcel->n };
    struct serf_event ev = { .type = SERF_SWIM };
    static const enum swim_event_type types[] = {
        [PARCEL_PACKET] = SWIM_PACKET,
        [PARCEL_ACCEPTED] = SWIM_ACCEPTED,
        [PARCEL_CONNECTED] = SWIM_CONNECTED,
        [PARCEL_DATA] = SWIM_STREAM_DATA,
        [PARCEL_ENDED] = SWIM_STREAM_ENDED,
    };
    ev.swim.type = types[parcel->kind];
    if (parcel->kind == PARCEL_PACKET) {
        ev.swim.packet.from = parcel->from;
        ev.swim.packet.bytes = bytes;
    } else {
        ev.swim.stream.id = parcel->stream;
        ev.swim.stream.from = parcel->from;
        ev.swim.stream.bytes = bytes;
        if (parcel->error) ev.swim.stream.error = str_of(parcel->error);
    }
    give(p, parcel->to, &ev);
}

/* --- time ---------------------------------------------------------------------------------- */

static inline void settle(struct pool *p)
{
    struct link *l;
    for (size_t turns = 0; (l = link_pop(&p->parcels)); turns++) {
        struct parcel *parcel = container_of(l, struct parcel, link);
        assert_true(turns < 100000);
        deliver(p, parcel);
        free(parcel);
    }
}

static inline void run_for(struct pool *p, uint64_t ms)
{
    uint64_t end = p->now_ms + ms;
    settle(p);
    for (;;) {
        size_t next = SIZE_MAX;
        for (size_t i = 0; i < p->n; i++)
            if (p->node[i].running && !p->node[i].paused &&
                (next == SIZE_MAX || p->node[i].wake_ms < p->node[next].wake_ms))
                next = i;
        if (next == SIZE_MAX || p->node[next].wake_ms > end) break;
        if (p->node[next].wake_ms > p->now_ms) p->now_ms = p->node[next].wake_ms;
        give(p, next, &(struct serf_event){ .type = SERF_TICK });
        settle(p);
    }
    p->now_ms = end;
}

static inline bool told(const struct pool *p, size_t i, const char *line)
{
    return str_find(buf_str(&p->node[i].told), str_of(line)) >= 0;
}

/* Runs until the node has told the line; false after `ms`. */
static inline bool run_until_told(struct pool *p, size_t i, const char *line, uint64_t ms)
{
    for (uint64_t at = 0; at < ms && !told(p, i, line); at += 50)
        run_for(p, 50);
    return told(p, i, line);
}

static inline void hear_nothing_more(struct pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        buf_clear(&p->node[i].told);
}

static inline enum serf_status status_of(const struct pool *p, size_t at, size_t of)
{
    const struct serf_member *m = serf_find(p->node[at].serf, str_of(p->node[of].name));
    return m ? m->status : SERF_NONE;
}

/* --- life ---------------------------------------------------------------------------------- */

/* Plain substring search stands in for regular expressions. */
static inline bool find_text(void *ctx, struct str expression, struct str text)
{
    (void)ctx;
    return str_find(text, expression) >= 0;
}

static inline void start(struct pool *p, size_t i)
{
    struct peer *n = &p->node[i];
    struct error err;
    n->o.snapshot_text = buf_str(&n->file);
    n->serf = serf_create(&n->o, &err);
    if (!n->serf) fail_msg("%s", err.text);
    n->running = n->reachable = true;
    assert_int_equal(serf_start(n->serf, p->now_ms, &err), 0);
    struct serf_output out;
    serf_collect(n->serf, &out);
    carry_out(p, i, &out);
}

static inline void stop(struct pool *p, size_t i)
{
    struct peer *n = &p->node[i];
    if (!n->running) return;
    serf_destroy(n->serf);
    n->serf = NULL;
    n->running = false;
}

/* A node that is ready to start: named a, b, c ... */
static inline struct peer *prepare(struct pool *p)
{
    assert_true(p->n < NODES_MAX);
    struct peer *n = &p->node[p->n];
    snprintf(n->name, sizeof n->name, "%c", (char)('a' + p->n));
    n->o = serf_options_lan();
    n->o.swim.name = str_of(n->name);
    n->o.swim.advertise = address_of(p->n);
    n->o.swim.bind_port = PORT;
    n->o.swim.seed = 1000 + p->n;
    n->o.swim.keys = &n->keys;
    n->o.swim.compression = true;
    n->o.search = find_text;
    n->told = (struct buf)BUF_INIT(1 << 20);
    n->file = (struct buf)BUF_INIT(1 << 20);
    p->n++;
    return n;
}

static inline void join(struct pool *p, size_t i, size_t to)
{
    struct serf_join_address a = { .address = address_of(to) };
    struct serf_event ev = { .type = SERF_JOIN };
    ev.join.handle = 77;
    ev.join.v = &a;
    ev.join.n = 1;
    ev.join.ignore_old = true;
    give(p, i, &ev);
    settle(p);
}

static inline struct pool *pool_create(void)
{
    struct pool *p = xcalloc(1, sizeof *p);
    link_init(&p->parcels);
    p->now_ms = 1000;
    return p;
}

/* Starts all that are prepared and lets them know each other. */
static inline void meet(struct pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        start(p, i);
    for (size_t i = 1; i < p->n; i++)
        join(p, i, 0);
    run_for(p, 5000);
    for (size_t i = 0; i < p->n; i++)
        assert_int_equal(serf_count(p->node[i].serf), p->n);
    hear_nothing_more(p);
}

/* n nodes that know each other. */
static inline struct pool *pool_of(size_t n)
{
    struct pool *p = pool_create();
    for (size_t i = 0; i < n; i++)
        prepare(p);
    meet(p);
    return p;
}

static inline void force_leave(struct pool *p, size_t at, const char *name, bool prune)
{
    struct serf_event ev = { .type = SERF_FORCE_LEAVE };
    ev.force_leave.handle = 5;
    ev.force_leave.name = str_of(name);
    ev.force_leave.prune = prune;
    give(p, at, &ev);
    settle(p);
}

static inline void leave(struct pool *p, size_t i)
{
    struct serf_event ev = { .type = SERF_LEAVE };
    ev.leave.handle = 9;
    give(p, i, &ev);
    settle(p);
}

static inline void pool_destroy(struct pool *p)
{
    struct link *l;
    while ((l = link_pop(&p->parcels)))
        free(container_of(l, struct parcel, link));
    for (size_t i = 0; i < p->n; i++) {
        stop(p, i);
        buf_deinit(&p->node[i].told);
        buf_deinit(&p->node[i].file);
    }
    free(p);
}
