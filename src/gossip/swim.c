/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "swim_core.h"

/* --- life ------------------------------------------------------------------------------------ */

static struct str own(struct str bytes)
{
    char *p = xmalloc(bytes.n + 1);
    if (bytes.n) memcpy(p, bytes.p, bytes.n);
    p[bytes.n] = '\0';
    return (struct str){ p, bytes.n };
}

struct swim *swim_create(const struct swim_options *o)
{
    ensure(o->name.n > 0 && o->name.n <= SWIM_NAME_MAX);
    ensure(o->allowed_n <= SWIM_NETWORKS_MAX && o->awareness_max > 0);
    ensure(o->cipher || !o->keys || o->keys->n == 0);
    struct swim *s = xcalloc(1, sizeof *s);
    swim_message_init();
    s->o = *o;
    s->o.name = own(o->name);
    struct gossip_network *allowed = xcalloc(o->allowed_n + 1, sizeof *allowed);
    if (o->allowed_n) memcpy(allowed, o->allowed, o->allowed_n * sizeof *allowed);
    s->o.allowed = allowed;
    s->sealing = (struct packet_sealing){ .cipher = o->cipher,
        .keys = o->keys,
        .version = o->protocol > 1,
        .verify_incoming = o->verify_incoming,
        .verify_outgoing = o->verify_outgoing };
    prng_seed(&s->prng, o->seed);
    link_init(&s->suspicions);
    link_init(&s->relays);
    link_init(&s->conns);
    link_init(&s->waiters);
    s->suspicion_due = s->promised = SWIM_NEVER;
    s->scratch = (struct buf)BUF_INIT(PACKET_RECEIVE_MAX);
    s->datagram = (struct buf)BUF_INIT(PACKET_RECEIVE_MAX);
    s->queue = broadcast_queue_create(
        &(struct broadcast_queue_options){ .retransmit_mult = o->retransmit_mult,
            .entries_max = o->queue_max,
            .finished = swim__broadcast_finished,
            .ctx = s });
    return s;
}

void swim_destroy(struct swim *s)
{
    if (!s) return;
    swim__waiters_free(s);
    broadcast_queue_destroy(s->queue);
    swim__conns_free(s);
    swim__relays_free(s);
    for (size_t i = 0; i < s->n; i++) {
        swim__suspicion_end(s, s->members[i]);
        swim__member_free(s->members[i]);
    }
    struct str key;
    void *grave;
    for (size_t it = 0; map_next(&s->graves, &it, &key, &grave);)
        free(grave);
    map_deinit(&s->graves);
    map_deinit(&s->names);
    buf_deinit(&s->scratch);
    buf_deinit(&s->datagram);
    swim__out_free(s);
    free(s->members);
    free((void *)(uintptr_t)s->o.name.p);
    free((void *)(uintptr_t)s->o.allowed);
    free(s);
}

static uint64_t first_round(struct swim *s, uint32_t interval_ms)
{
    return interval_ms > 0 ? s->now + prng_below(&s->prng, interval_ms) : SWIM_NEVER;
}

int swim_start(struct swim *s, uint64_t now_ms, struct error *err)
{
    ensure(!s->started);
    const struct swim_delegate *d = &s->o.delegate;
    const uint8_t vsn[SWIM_VSN_SIZE] = { 1, 5, s->o.protocol, s->o.delegate_vsn[0],
        s->o.delegate_vsn[1], s->o.delegate_vsn[2] };
    struct swim_alive a = { .incarnation = s->incarnation = 1,
        .node = s->o.name,
        .addr = gossip_address_ip(&s->o.advertise),
        .port = s->o.advertise.port,
        .meta = d->meta ? d->meta(d->ctx) : STR_NIL,
        .vsn = { (const char *)vsn, sizeof vsn } };
    s->now = now_ms;
    s->now_us = 1000 * now_ms;
    swim__alive(s, &a, FROM_SELF, NULL, 0);
    if (!s->self)
        return error_set(err, ERR_DENIED,
            "memberlist: the own address, meta or name is refused; see the log for the reason");
    s->started = true;
    s->probe_ms = first_round(s, s->o.probe_interval_ms);
    s->gossip_ms = first_round(s, s->o.gossip_interval_ms);
    s->push_pull_ms = first_round(s, s->o.push_pull_interval_ms);
    return 0;
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void sooner(uint64_t *a, uint64_t b)
{
    if (b < *a) *a = b;
}

/* The step comes late: the process did not run, packets may still wait in the socket. Nothing that
 * was under way ends for it, and each wait has at least one probe timeout left. */
static void account_for_lag(struct swim *s)
{
    uint64_t late = s->now > s->promised ? s->now - s->promised : 0;
    uint64_t least = s->now + s->o.probe_timeout_ms;
    if (late < later(10, s->o.probe_timeout_ms / 10)) return;
    s->counters.lags++;
    s->counters.lag_ms += late;
    swim__suspicions_shift(s, late, least);
    if (s->probe.stage != PROBE_NONE) {
        s->probe.lagged = true;
        s->probe.direct_until_ms = later(s->probe.direct_until_ms + late, least);
        s->probe.deadline_ms = later(s->probe.deadline_ms + late, s->probe.direct_until_ms);
    }
    link_each (it, &s->relays) {
        container_of(it, struct relay, link)->due_ms += late;
    }
    link_each (it, &s->conns) {
        container_of(it, struct conn, link)->deadline_ms += late;
    }
    link_each (it, &s->waiters) {
        uint64_t *deadline = &container_of(it, struct waiter, link)->deadline_ms;
        if (*deadline < SWIM_NEVER - late) *deadline += late;
    }
}

/* Rounds of gossip with nothing to say pass silently; the next is at its regular time. */
void swim_wake(struct swim *s)
{
    uint64_t interval = s->o.gossip_interval_ms;
    if (s->now < s->gossip_ms) return;
    s->gossip_ms += ((s->now - s->gossip_ms) / interval + 1) * interval;
}

static uint64_t wake(const struct swim *s)
{
    uint64_t t = s->suspicion_due;
    switch (s->probe.stage) {
    case PROBE_NONE:
        sooner(&t, s->probe_ms);
        break;
    case PROBE_DIRECT:
        sooner(&t, s->probe.direct_until_ms);
        break;
    case PROBE_INDIRECT:
        sooner(&t, s->probe.deadline_ms);
        break;
    }
    sooner(&t, s->push_pull_ms);
    if (!swim__nothing_to_say(s)) sooner(&t, s->gossip_ms);
    if (!link_empty(&s->relays))
        sooner(&t, container_of(s->relays.next, struct relay, link)->due_ms);
    link_each (it, &s->conns) {
        sooner(&t, container_of(it, struct conn, link)->deadline_ms);
    }
    link_each (w, &s->waiters) {
        sooner(&t, container_of(w, struct waiter, link)->deadline_ms);
    }
    return t;
}

static void run_due(struct swim *s)
{
    swim__relays_run(s);
    swim__conns_run(s);
    swim__suspicions_run(s);
    swim__probe_run(s);
    swim__push_pull_run(s);
    swim__gossip_run(s);
    swim__waiters_run(s);
}

/* --- steps --------------------------------------------------------------------------------- */

static int dispatch(struct swim *s, const struct swim_event *ev)
{
    switch (ev->type) {
    case SWIM_TICK:
        return 0;
    case SWIM_PACKET:
        swim__receive(s, &ev->packet.from, ev->packet.bytes);
        return 0;
    case SWIM_SEND_FAILED:
        swim__probe_unreachable(s, ev->send_failed.node, ev->send_failed.remote);
        return 0;
    case SWIM_ACCEPTED:
        return swim__conn_accepted(s, ev->stream.id, &ev->stream.from);
    case SWIM_CONNECTED:
        swim__conn_connected(s, ev->stream.id);
        return 0;
    case SWIM_STREAM_DATA:
        swim__conn_data(s, ev->stream.id, ev->stream.bytes);
        return 0;
    case SWIM_STREAM_ENDED:
        swim__conn_ended(s, ev->stream.id, ev->stream.error);
        return 0;
    case SWIM_JOIN:
        swim__dial(s, CONN_JOIN, &ev->join.address, ev->join.node, ev->join.handle);
        return 0;
    case SWIM_LEAVE:
        swim__leave(s, ev->leave.handle, ev->leave.timeout_ms);
        return 0;
    case SWIM_UPDATE:
        swim__update(s, ev->update.handle, ev->update.timeout_ms);
        return 0;
    }
    return ERR_BAD_REQUEST;
}

int swim_step(struct swim *s, uint64_t now_ms, const struct swim_event *ev, struct swim_output *out)
{
    ensure(s->started);
    s->now = later(s->now, now_ms);
    s->now_us = ev->at_us ? ev->at_us : 1000 * s->now;
    account_for_lag(s);
    if (swim__nothing_to_say(s)) swim_wake(s);
    int rc = dispatch(s, ev);
    run_due(s);
    if (out) {
        swim_collect(s, out);
    } else if (s->promised < s->now) {
        s->promised = s->now;
    }
    return rc;
}

void swim_collect(struct swim *s, struct swim_output *out)
{
    const struct outbox *o = &s->out;
    bool fresh = !o->collected;
    *out = (struct swim_output){ .packets = o->packets,
        .packets_n = fresh ? o->packets_n : 0,
        .streams = o->streams,
        .streams_n = fresh ? o->streams_n : 0,
        .results = o->results,
        .results_n = fresh ? o->results_n : 0,
        .wake_ms = wake(s) };
    s->out.collected = true;
    s->promised = out->wake_ms;
}

/* Room for one more grave: those whose time is over go first. */
static bool grave_room(struct swim *s)
{
    struct str name;
    void *grave;
    if (s->graves.n < SWIM_GRAVES_MAX) return true;
    for (size_t it = 0; map_next(&s->graves, &it, &name, &grave);)
        if (((struct grave *)grave)->until_ms <= s->now) free(map_remove(&s->graves, name));
    return s->graves.n < SWIM_GRAVES_MAX;
}

static void dig(struct swim *s, struct str name, const struct member *m, uint64_t until_ms)
{
    struct grave *g = map_get(&s->graves, name);
    if (!g) {
        if (!grave_room(s)) return;
        g = xcalloc(1, sizeof *g);
        map_put(&s->graves, name, g);
    }
    if (m && m->node.incarnation > g->incarnation) g->incarnation = m->node.incarnation;
    g->since_ms = s->now;
    g->until_ms = until_ms;
}

void swim_bury(struct swim *s, struct str name, uint64_t until_ms)
{
    struct member *m = swim__member(s, name);
    if (m == s->self) return;
    if (until_ms > s->now) dig(s, name, m, until_ms);
    if (m && swim__dead_or_left(m)) swim__member_remove(s, m);
}

/* --- views --------------------------------------------------------------------------------- */

const struct swim_node *swim_self(const struct swim *s)
{
    return s->self ? &s->self->node : NULL;
}

const struct swim_node *swim_find(const struct swim *s, struct str name)
{
    const struct member *m = swim__member(s, name);
    return m ? &m->node : NULL;
}

size_t swim_count(const struct swim *s)
{
    return s->n;
}

const struct swim_node *swim_at(const struct swim *s, size_t i)
{
    ensure(i < s->n);
    return &s->members[i]->node;
}

size_t swim_count_alive(const struct swim *s)
{
    return s->alive_n;
}

uint32_t swim_health_score(const struct swim *s)
{
    return s->score;
}

size_t swim_queue_length(const struct swim *s)
{
    return broadcast_queue_length(s->queue);
}

bool swim_leaving(const struct swim *s)
{
    return s->left;
}

uint64_t swim_random(struct swim *s, uint64_t bound)
{
    return prng_below(&s->prng, bound);
}

bool swim_encrypted(const struct swim *s)
{
    return s->o.keys && s->o.keys->n > 0;
}

const struct swim_counters *swim_counters(const struct swim *s)
{
    return &s->counters;
}

const struct broadcast_queue_counters *swim_queue_counters(const struct swim *s)
{
    return broadcast_queue_counters(s->queue);
}
