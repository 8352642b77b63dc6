/* SPDX-License-Identifier: Apache-2.0 */
#include "yamux.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 8
#define ID_MAX ((uint64_t)UINT32_MAX - 1)

/* --- the table of streams ------------------------------------------------------------------- */

static struct yamux_stream **bucket(const struct yamux *y, uint32_t id)
{
    return &y->buckets[hash_bytes(&id, sizeof id) & (y->n_buckets - 1)];
}

struct yamux_stream *yamux__find(const struct yamux *y, uint32_t id)
{
    if (!y->n_buckets) return NULL;
    struct yamux_stream *st = *bucket(y, id);
    while (st && st->id != id)
        st = st->next;
    return st;
}

static void rehash(struct yamux *y, size_t n)
{
    struct yamux_stream **from = y->buckets;
    size_t n_from = y->n_buckets;
    y->buckets = xcalloc(n, sizeof *y->buckets);
    y->n_buckets = n;
    for (size_t i = 0; i < n_from; i++) {
        for (struct yamux_stream *st = from[i], *next; st; st = next) {
            struct yamux_stream **at = bucket(y, st->id);
            next = st->next;
            st->next = *at;
            *at = st;
        }
    }
    free(from);
}

struct yamux_stream *yamux__add(struct yamux *y, uint32_t id)
{
    if (y->n_streams == y->n_buckets) rehash(y, y->n_buckets ? y->n_buckets * 2 : BUCKETS_MIN);
    struct yamux_stream *st = xcalloc(1, y->opts.stream_size);
    struct yamux_stream **at = bucket(y, id);
    link_init(&st->link);
    st->id = id;
    st->send_window = st->recv_window = YAMUX_WINDOW;
    st->next = *at;
    *at = st;
    y->n_streams++;
    y->counters.opened++;
    return st;
}

static void piece_free(struct yamux_piece *p)
{
    shared_body_unref(p->shared);
    free(p);
}

static void drop_queue(struct yamux *y, struct yamux_stream *st)
{
    for (struct yamux_piece *p = st->first, *next; p; p = next) {
        next = p->next;
        *(p->shared ? &y->shared : &y->queued) -= p->n;
        piece_free(p);
    }
    st->first = st->last = NULL;
}

static void release_held(struct yamux *y, struct yamux_stream *st)
{
    y->held -= st->held;
    st->held = 0;
}

static void remove_stream(struct yamux *y, struct yamux_stream *st)
{
    struct yamux_stream **at = bucket(y, st->id);
    while (*at != st)
        at = &(*at)->next;
    *at = st->next;
    y->n_streams--;
    if (y->in_stream == st) y->in_stream = NULL;
    link_remove(&st->link);
    drop_queue(y, st);
    free(st);
}

/* --- states --------------------------------------------------------------------------------- */

void yamux__acked(struct yamux *y, struct yamux_stream *st)
{
    if (!(st->flags & ST_UNACKED)) return;
    st->flags &= (uint16_t)~ST_UNACKED;
    y->unacked--;
    struct link *next = link_pop(&y->waiting);
    if (next) yamux__schedule(y, container_of(next, struct yamux_stream, link));
}

static void accepted(struct yamux *y, struct yamux_stream *st)
{
    if (!(st->flags & ST_UNACCEPTED)) return;
    st->flags &= (uint16_t)~ST_UNACCEPTED;
    y->unaccepted--;
}

void yamux__settle(struct yamux *y, struct yamux_stream *st)
{
    const uint16_t closed = ST_FIN_SENT | ST_FIN_SEEN;
    if (!(st->flags & ST_RELEASED)) return;
    if (!(st->flags & ST_DEAD) && (st->flags & closed) != closed) return;
    yamux__acked(y, st);
    accepted(y, st);
    remove_stream(y, st);
}

void yamux__kill(struct yamux *y, struct yamux_stream *st)
{
    st->flags |= ST_DEAD;
    st->flags &= (uint16_t) ~(ST_SYN_DUE | ST_FIN_DUE);
    link_remove(&st->link);
    drop_queue(y, st);
    yamux__acked(y, st);
    accepted(y, st);
    yamux__settle(y, st);
}

void yamux__schedule(struct yamux *y, struct yamux_stream *st)
{
    link_remove(&st->link);
    if (st->flags & (ST_DEAD | ST_FIN_SENT)) return;
    if (st->flags & ST_SYN_DUE) {
        bool room = y->unacked < y->opts.backlog;
        link_push(room ? &y->ready : &y->waiting, &st->link);
    } else if (st->first ? st->send_window > 0 : (st->flags & ST_FIN_DUE) != 0) {
        link_push(&y->ready, &st->link);
    }
}

void yamux__over(struct yamux *y, const char *why)
{
    if (!y->why) y->why = why;
}

static void fail(struct yamux *y, const char *why, enum goaway_code code)
{
    if (y->why) return;
    yamux__control(y, FRAME_GOAWAY, 0, 0, code);
    yamux__over(y, why);
}

void yamux__violated(struct yamux *y, const char *why)
{
    fail(y, why, GOAWAY_PROTOCOL);
}

void yamux_fail(struct yamux *y, const char *why)
{
    fail(y, why, GOAWAY_INTERNAL);
}

/* --- life ----------------------------------------------------------------------------------- */

void yamux_init(struct yamux *y, const struct yamux_options *opts)
{
    *y = (struct yamux){ .opts = *opts,
        .control = BUF_INIT(YAMUX_CONTROL_MAX),
        .leaving = BUF_INIT(YAMUX_CONTROL_MAX),
        .next_id = opts->role == YAMUX_CLIENT ? 1 : 2 };
    struct yamux_options *o = &y->opts;
    if (!o->stream_size) o->stream_size = sizeof(struct yamux_stream);
    ensure(o->stream_size >= sizeof(struct yamux_stream));
    if (!o->streams_max) o->streams_max = YAMUX_STREAMS_MAX;
    if (!o->backlog) o->backlog = YAMUX_BACKLOG;
    if (!o->keepalive_ms) o->keepalive_ms = YAMUX_KEEPALIVE_MS;
    if (!o->timeout_ms) o->timeout_ms = YAMUX_TIMEOUT_MS;
    if (!o->queue_max) o->queue_max = YAMUX_QUEUE_MAX;
    y->ping_due_ms = UINT64_MAX;
    if (o->keepalive_ms != UINT64_MAX) y->ping_due_ms = o->now_ms + o->keepalive_ms;
    link_init(&y->ready);
    link_init(&y->waiting);
}

void yamux_deinit(struct yamux *y)
{
    for (size_t i = 0; i < y->n_buckets; i++) {
        while (y->buckets[i])
            remove_stream(y, y->buckets[i]);
    }
    for (struct yamux_piece *p = y->spent, *next; p; p = next) {
        next = p->next;
        piece_free(p);
    }
    free(y->buckets);
    buf_deinit(&y->control);
    buf_deinit(&y->leaving);
}

const char *yamux_why(const struct yamux *y)
{
    return y->why;
}

/* --- the owner's streams -------------------------------------------------------------------- */

bool yamux_can_open(const struct yamux *y)
{
    return !y->why && !y->remote_goaway && y->next_id <= ID_MAX &&
           y->n_streams < y->opts.streams_max;
}

struct yamux_stream *yamux_open(struct yamux *y)
{
    if (!yamux_can_open(y)) return NULL;
    struct yamux_stream *st = NULL;
    /* the peer may have opened streams of any number */
    while (!st && y->next_id <= ID_MAX) {
        uint32_t id = (uint32_t)y->next_id;
        if (!yamux__find(y, id)) st = yamux__add(y, id);
        y->next_id += 2;
    }
    if (!st) return NULL;
    st->flags = ST_SYN_DUE;
    yamux__schedule(y, st);
    return st;
}

void yamux_accept(struct yamux *y, struct yamux_stream *st)
{
    if (!(st->flags & ST_UNACCEPTED)) return;
    accepted(y, st);
    yamux__control(y, FRAME_WINDOW, FLAG_ACK, st->id, 0);
}

static void append(struct yamux *y, struct yamux_stream *st, const struct stream_part *part)
{
    struct yamux_piece *p = xmalloc(sizeof *p + (part->shared ? 0 : part->n));
    *p = (struct yamux_piece){ .n = part->n };
    if (part->shared) {
        p->shared = shared_body_ref(part->shared);
        p->p = part->p;
        y->shared += part->n;
    } else {
        memcpy(p->bytes, part->p, part->n);
        p->p = p->bytes;
        y->queued += part->n;
    }
    if (st->last) {
        st->last->next = p;
    } else {
        st->first = p;
    }
    st->last = p;
}

int yamux_write(struct yamux *y, struct yamux_stream *st, const struct stream_part *parts, size_t n)
{
    size_t copied = 0;
    if (y->why || (st->flags & (ST_DEAD | ST_FIN_DUE | ST_FIN_SENT))) return ERR_IO;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].shared) continue;
        if (parts[i].n > y->opts.queue_max - copied) return ERR_FULL;
        copied += parts[i].n;
    }
    if (y->queued > y->opts.queue_max - copied) return ERR_FULL;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n) append(y, st, &parts[i]);
    }
    yamux__schedule(y, st);
    return 0;
}

void yamux_finish(struct yamux *y, struct yamux_stream *st)
{
    if (st->flags & (ST_DEAD | ST_FIN_DUE | ST_FIN_SENT)) return;
    st->flags |= ST_FIN_DUE;
    yamux__schedule(y, st);
}

void yamux_close(struct yamux *y, struct yamux_stream *st)
{
    ensure(!(st->flags & ST_RELEASED));
    yamux_finish(y, st);
    st->flags |= ST_RELEASED;
    release_held(y, st);
    yamux__settle(y, st);
}

void yamux_reset(struct yamux *y, struct yamux_stream *st)
{
    ensure(!(st->flags & ST_RELEASED));
    bool known = !(st->flags & (ST_DEAD | ST_SYN_DUE));
    if (known && !y->why) yamux__control(y, FRAME_WINDOW, FLAG_RST, st->id, 0);
    st->flags |= ST_RELEASED;
    release_held(y, st);
    yamux__kill(y, st);
}
