/* SPDX-License-Identifier: Apache-2.0 */
#include "serf_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CLOCK_LINE_DELAY_MS 500 /* a grown clock gets its line after that, if no event wrote it */
#define FIRST_ID 2              /* of operations: 1 is the tag of our own leave */
#define CALL_SHIFT 56
#define CALL_INDEX_BITS 16
#define LOG_TEXT_MAX 1024
#define TAGS_TEXT_ROOM (64 * 1024) /* of tags before they are refused for their length */

/* --- small things -------------------------------------------------------------------------- */

void serf__log(const struct serf *s, enum log_level level, const char *fmt, ...)
{
    if (!s->o.log_name) return;
    char text[LOG_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_at(level, s->o.log_name, text, NULL);
}

void serf__witness(uint64_t *clock, uint64_t ltime)
{
    if (ltime >= *clock) *clock = ltime + 1;
}

bool serf__name_valid(struct str name)
{
    return name.n > 0 && name.n <= SWIM_NAME_MAX;
}

void serf__clock_line(struct serf *s)
{
    s->clock_line_ms = SWIM_NEVER;
    serf_snapshot_clock(&s->snapshot, s->now_ms, s->member_clock);
}

static void clock_moved(struct serf *s)
{
    if (!s->snapshot.on || s->member_clock - 1 <= s->snapshot.clock) return;
    if (s->clock_line_ms == SWIM_NEVER) s->clock_line_ms = s->now_ms + CLOCK_LINE_DELAY_MS;
}

uint64_t serf__call(enum swim_call call, uint64_t id, size_t index)
{
    return (uint64_t)call << CALL_SHIFT | id << CALL_INDEX_BITS | index;
}

static void tags_result(struct serf *s, uint64_t id, const struct swim_result *r)
{
    if (s->tags.id != id || s->tags.handle == 0) return;
    serf__result(
        s, s->tags.handle, r->code, "%s", r->code ? "timeout waiting for update broadcast" : "");
    s->tags.handle = 0;
}

static void swim_result(struct serf *s, const struct swim_result *r)
{
    uint64_t id = (r->handle & ((UINT64_C(1) << CALL_SHIFT) - 1)) >> CALL_INDEX_BITS;
    size_t index = r->handle & ((1u << CALL_INDEX_BITS) - 1);
    switch ((enum swim_call)(r->handle >> CALL_SHIFT)) {
    case CALL_JOIN:
        serf__join_result(s, id, index, r);
        break;
    case CALL_REJOIN:
        serf__rejoin_result(s, r);
        break;
    case CALL_RECONNECT:
        break;
    case CALL_LEAVE:
        serf__leave_result(s, r);
        break;
    case CALL_TAGS:
        tags_result(s, id, r);
        break;
    }
}

/* --- life ---------------------------------------------------------------------------------- */

static struct broadcast_queue *queue(struct serf *s)
{
    return broadcast_queue_create(
        &(struct broadcast_queue_options){ .retransmit_mult = s->o.swim.retransmit_mult,
            .finished = serf__broadcast_ended,
            .ctx = s });
}

static uint32_t slots(uint32_t want)
{
    return want == 0 || want > SERF_EVENT_BUFFER ? SERF_EVENT_BUFFER : want;
}

static void restore(struct serf *s)
{
    struct serf_snapshot *f = &s->snapshot;
    serf_snapshot_init(f, s->o.snapshot, s->o.rejoin_after_leave);
    if (!f->on) return;
    size_t strange = serf_snapshot_replay(f, s->o.snapshot_text);
    if (strange) serf__log(s, LOG_WARN, "serf: %zu snapshot lines were not understood", strange);
    serf__witness(&s->member_clock, f->clock);
    serf__witness(&s->event_clock, f->event_clock);
    serf__witness(&s->query_clock, f->query_clock);
    s->event_min = f->event_clock + 1;
    s->query_min = f->query_clock + 1;
    s->o.snapshot_text = STR_NIL;
}

struct serf *serf_create(const struct serf_options *o, struct error *err)
{
    serf_message_init();
    record_init(&record_vivaldi_coordinate);
    struct buf meta = BUF_INIT(TAGS_TEXT_ROOM);
    if (serf_tags_encode(&o->tags, &meta, err)) {
        buf_deinit(&meta);
        return NULL;
    }
    struct serf *s = xcalloc(1, sizeof *s);
    s->o = *o;
    s->o.tags = (struct dict){ 0 };
    s->meta = meta;
    s->name = xmalloc(o->swim.name.n + 1);
    memcpy(s->name, o->swim.name.p, o->swim.name.n);
    s->o.swim.name.p = s->name;
    s->o.event_buffer = slots(o->event_buffer);
    s->o.query_buffer = slots(o->query_buffer);
    s->member_clock = s->event_clock = s->query_clock = 1;
    s->next_id = FIRST_ID;
    s->clock_line_ms = SWIM_NEVER;
    s->events = xcalloc(s->o.event_buffer, sizeof *s->events);
    s->queries = xcalloc(s->o.query_buffer, sizeof *s->queries);
    struct link *const lists[] = { &s->joins, &s->forces, &s->prunes, &s->burials, &s->key_jobs,
        &s->asks };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        link_init(lists[i]);
    s->intent_queue = queue(s);
    s->event_queue = queue(s);
    s->query_queue = queue(s);
    coordinate_client_init(&s->coordinates, o->swim.seed);
    restore(s);
    s->o.swim.delegate = serf__delegate(s);
    s->swim = swim_create(&s->o.swim);
    return s;
}

void serf_destroy(struct serf *s)
{
    if (!s) return;
    swim_destroy(s->swim);
    broadcast_queue_destroy(s->intent_queue);
    broadcast_queue_destroy(s->event_queue);
    broadcast_queue_destroy(s->query_queue);
    serf__joins_free(s);
    serf__forces_free(s);
    serf__prunes_free(s);
    serf__key_jobs_free(s);
    serf__asks_free(s);
    serf__members_free(s);
    serf__intents_free(s);
    serf__events_free(s);
    serf__queries_free(s);
    serf_snapshot_deinit(&s->snapshot);
    buf_deinit(&s->meta);
    arena_free(&s->out.arena);
    free(s->out.v);
    free(s->name);
    free(s);
}

int serf_start(struct serf *s, uint64_t now_ms, struct error *err)
{
    s->now_ms = now_ms;
    s->reap_ms = now_ms + s->o.reap_interval_ms;
    s->reconnect_ms = now_ms + s->o.reconnect_interval_ms;
    s->queue_check_ms = now_ms + s->o.queue_check_interval_ms;
    int code = swim_start(s->swim, now_ms, err);
    if (code) return code;
    s->started = true;
    if (s->snapshot.on) serf__rejoin_begin(s);
    return 0;
}

/* --- steps --------------------------------------------------------------------------------- */

static void set_tags(struct serf *s, const struct serf_event *ev)
{
    struct buf meta = BUF_INIT(TAGS_TEXT_ROOM);
    struct error err;
    if (serf_tags_encode(&ev->set_tags.tags, &meta, &err)) {
        serf__result(s, ev->set_tags.handle, err.code, "%s", err.text);
        buf_deinit(&meta);
        return;
    }
    buf_deinit(&s->meta);
    s->meta = meta;
    struct tags_op *op = &s->tags;
    if (op->handle) serf__result(s, op->handle, 0, "%s", "");
    op->id = s->next_id++;
    op->handle = ev->set_tags.handle;
    struct swim_event update = { .type = SWIM_UPDATE };
    update.update.handle = serf__call(CALL_TAGS, op->id, 0);
    update.update.timeout_ms = s->o.broadcast_timeout_ms;
    swim_step(s->swim, s->now_ms, &update, NULL);
}

static void ask(struct serf *s, const struct serf_event *ev)
{
    struct arena a = ARENA_INIT;
    serf__ask(s, &(struct ask_options){ .kind = ASK_USER,
                     .handle = ev->query.handle,
                     .name = ev->query.name,
                     .payload = ev->query.payload,
                     .filters = serf__filters(
                         &a, ev->query.nodes, ev->query.nodes_n, ev->query.tags, ev->query.tags_n),
                     .ack = ev->query.ack,
                     .relay_factor = ev->query.relay_factor,
                     .timeout_ms = ev->query.timeout_ms });
    arena_free(&a);
}

static int dispatch(struct serf *s, const struct serf_event *ev)
{
    switch (ev->type) {
    case SERF_TICK:
        return swim_step(s->swim, s->now_ms, &(struct swim_event){ .type = SWIM_TICK }, NULL);
    case SERF_SWIM:
        return swim_step(s->swim, s->now_ms, &ev->swim, NULL);
    case SERF_JOIN:
        serf__join(s, ev);
        break;
    case SERF_LEAVE:
        serf__leave(s, ev->leave.handle);
        break;
    case SERF_FORCE_LEAVE:
        serf__force_leave(s, ev->force_leave.handle, ev->force_leave.name, ev->force_leave.prune);
        break;
    case SERF_FIRE:
        serf__fire(s, ev);
        break;
    case SERF_QUERY:
        ask(s, ev);
        break;
    case SERF_RESPOND:
        return serf__respond(s, &ev->respond.origin, 0, ev->respond.payload, NULL);
    case SERF_KEYS:
        serf__keys_ask(s, ev);
        break;
    case SERF_KEYS_SAVED:
        serf__key_saved(s, ev->keys_saved.save, ev->keys_saved.error);
        break;
    case SERF_SET_TAGS:
        set_tags(s, ev);
        break;
    case SERF_SNAPSHOT_FAILED:
        serf_snapshot_failed(&s->snapshot, s->now_ms);
        break;
    }
    return 0;
}

static void advance(struct serf *s)
{
    s->todo = false;
    serf__key_jobs_run(s);
    serf__bury_due(s);
    serf__join_advance(s);
    serf__rejoin_advance(s);
    serf__leave_advance(s);
    serf__prune_due(s);
    serf__asks_due(s);
    serf__losses_judge(s);
    serf__maintain(s);
    if (s->now_ms >= s->clock_line_ms) serf__clock_line(s);
    clock_moved(s);
    serf_snapshot_tick(&s->snapshot, s->now_ms);
}

static void begin(struct serf *s)
{
    if (!s->out.handed) return;
    s->out.handed = false;
    s->out.n = 0;
    arena_reset(&s->out.arena);
    serf_snapshot_taken(&s->snapshot);
}

int serf_step(struct serf *s, uint64_t now_ms, const struct serf_event *ev, struct serf_output *out)
{
    ensure(s->started);
    if (now_ms > s->now_ms) s->now_ms = now_ms;
    begin(s);
    int code = dispatch(s, ev);
    advance(s);
    if (out) serf_collect(s, out);
    return code;
}

static uint64_t wake(const struct serf *s, const struct swim_output *swim)
{
    if (s->todo) return s->now_ms;
    uint64_t at = sooner(swim->wake_ms, s->clock_line_ms);
    at = sooner(at, sooner(s->reap_ms, sooner(s->reconnect_ms, s->queue_check_ms)));
    at = sooner(at, sooner(serf__leave_wake(s), serf__prune_wake(s)));
    at = sooner(at, serf__asks_wake(s));
    if (s->snapshot.on && s->snapshot.broken) at = sooner(at, s->snapshot.retry_ms);
    return at;
}

void serf_collect(struct serf *s, struct serf_output *out)
{
    begin(s);
    swim_collect(s->swim, &out->swim);
    for (size_t i = 0; i < out->swim.results_n; i++)
        swim_result(s, &out->swim.results[i]);
    out->swim.results = NULL;
    out->swim.results_n = 0;
    const struct serf_snapshot *f = &s->snapshot;
    out->snapshot = (struct serf_snapshot_output){ .sync = f->sync };
    if (f->rewriting) out->snapshot.rewrite = buf_str(&f->rewrite);
    if (f->append.n) out->snapshot.append = buf_str(&f->append);
    out->notices = s->out.v;
    out->notices_n = s->out.n;
    out->wake_ms = wake(s, &out->swim);
    s->out.handed = true;
}

/* --- views --------------------------------------------------------------------------------- */

enum serf_state serf_state(const struct serf *s)
{
    return s->state;
}

const struct position *serf_position(const struct serf *s)
{
    return &s->coordinates.here;
}

bool serf_position_of(const struct serf *s, struct str name, struct position *out)
{
    const struct member *m = serf__member(s, name);
    if (!m) return false;
    const struct position *p = str_eq(name, s->o.swim.name) ? &s->coordinates.here : m->place;
    if (p) *out = *p;
    return p != NULL;
}

const struct swim *serf_swim(const struct serf *s)
{
    return s->swim;
}

void serf_get_stats(const struct serf *s, struct serf_stats *out)
{
    *out = (struct serf_stats){ .member_time = s->member_clock,
        .event_time = s->event_clock,
        .query_time = s->query_clock,
        .members = s->members_n,
        .failed = s->failed_n,
        .left = s->left_n,
        .intent_queue = broadcast_queue_length(s->intent_queue),
        .event_queue = broadcast_queue_length(s->event_queue),
        .query_queue = broadcast_queue_length(s->query_queue),
        .health_score = swim_health_score(s->swim),
        .encrypted = swim_encrypted(s->swim),
        .self_preservation = s->o.self_preservation,
        .coordinate_resets = s->coordinates.resets };
}

const struct serf_counters *serf_counters(const struct serf *s)
{
    return &s->counters;
}

const struct broadcast_queue_counters *serf_intent_queue_counters(const struct serf *s)
{
    return broadcast_queue_counters(s->intent_queue);
}

const struct broadcast_queue_counters *serf_event_queue_counters(const struct serf *s)
{
    return broadcast_queue_counters(s->event_queue);
}

const struct broadcast_queue_counters *serf_query_queue_counters(const struct serf *s)
{
    return broadcast_queue_counters(s->query_queue);
}
