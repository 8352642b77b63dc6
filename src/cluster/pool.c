/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_FILE_MAX (64u << 20)

int pool__step(struct pool *p, const struct serf_event *ev)
{
    if (p->closed || !p->started) return ERR_CANCELLED;
    int rc = serf_step(p->core, world_now_ms(p->world), ev, NULL);
    tick_mark(&p->tick);
    return rc;
}

int pool__step_swim(struct pool *p, const struct swim_event *swim)
{
    struct serf_event ev = { .type = SERF_SWIM, .swim = *swim };
    if (ev.swim.at_us == 0) ev.swim.at_us = world_now_us(p->world);
    return pool__step(p, &ev);
}

static void on_packet(void *ctx, struct str ip, uint16_t port, struct str bytes, uint64_t at_us)
{
    struct pool *p = ctx;
    struct swim_event ev = { .type = SWIM_PACKET, .at_us = at_us, .packet = { .bytes = bytes } };
    if (gossip_address_set(&ev.packet.from, ip, port)) (void)pool__step_swim(p, &ev);
}

void pool_take_packet(struct pool *p, const char *ip, uint16_t port, struct str bytes)
{
    struct swim_event ev = { .type = SWIM_PACKET, .packet = { .bytes = bytes } };
    if (bytes.n && gossip_address_parse(&ev.packet.from, ip, port)) (void)pool__step_swim(p, &ev);
}

static void on_timer(struct timer *t)
{
    struct pool *p = container_of(t, struct pool, timer);
    uint64_t now = world_now_ms(p->world), late = now > t->due_ms ? now - t->due_ms : 0;
    if (late >= POOL_LAG_MS) {
        char text[32];
        p->counters.lags++;
        p->counters.lag_ms += late;
        if (late > p->counters.lag_max_ms) p->counters.lag_max_ms = late;
        snprintf(text, sizeof text, "%llums", (unsigned long long)late);
        log_warn(p->log_name, "this process was stalled", "duration", text);
    }
    struct serf_event ev = { .type = SERF_TICK };
    (void)pool__step(p, &ev);
}

/* --- one turn ----------------------------------------------------------------------------------
 */

static void record(struct pool *p, const struct serf_snapshot_output *o)
{
    if (!p->snapshot || (!o->rewrite.p && !o->append.n && !o->sync)) return;
    uint64_t began = world_now_us(p->world);
    append_file_put(p->snapshot, o->rewrite, o->append, o->sync, 0);
    p->counters.records++;
    p->counters.records_us += world_now_us(p->world) - began;
}

bool pool__behind_gateway(
    const struct pool *p, struct str name, struct str *node, struct str *datacenter)
{
    return p->roads && packet_road_name(name, node, datacenter) &&
           gateways_lead_to(p->opts.gateways, *datacenter);
}

static void road_failed(void *ctx, struct str name, bool remote)
{
    struct swim_event ev = { .type = SWIM_SEND_FAILED,
        .send_failed = { .node = name, .remote = remote } };
    (void)pool__step_swim(ctx, &ev);
}

static void transmit(struct pool *p, const struct swim_output *o)
{
    for (size_t i = 0; i < o->packets_n; i++) {
        const struct swim_packet *packet = &o->packets[i];
        struct str node, datacenter;
        if (pool__behind_gateway(p, packet->node, &node, &datacenter)) {
            packet_roads_send(p->roads, packet->node, node, datacenter, packet->bytes);
            continue;
        }
        (void)packet_socket_send(
            p->socket, gossip_address_ip(&packet->to), packet->to.port, packet->bytes);
    }
    for (size_t i = 0; i < o->streams_n; i++)
        pool__stream_act(p, &o->streams[i]);
}

/* What observers get must outlive the core's next step, which they may make. */
static struct serf_notice *copy_notices(struct pool *p, const struct serf_output *o)
{
    struct serf_notice *all = arena_array(&p->arena, o->notices_n, sizeof *all);
    for (size_t i = 0; i < o->notices_n; i++) {
        struct serf_notice *n = &all[i];
        *n = o->notices[i];
        if (n->type <= SERF_MEMBER_REAPED) {
            n->member.name = str_dup(&p->arena, n->member.name);
            n->member.meta = str_dup(&p->arena, n->member.meta);
        } else if (n->type == SERF_USER_EVENT) {
            n->user_event.name = str_dup(&p->arena, n->user_event.name);
            n->user_event.payload = str_dup(&p->arena, n->user_event.payload);
        }
    }
    return all;
}

static void tell_member(struct pool *p, const struct serf_notice *n)
{
    link_each (l, &p->observers) {
        struct pool_observer *o = container_of(l, struct pool_observer, link);
        if (o->member) o->member(o, n->type, &n->member);
    }
}

static void tell_event(struct pool *p, const struct serf_notice *n)
{
    link_each (l, &p->observers) {
        struct pool_observer *o = container_of(l, struct pool_observer, link);
        if (o->user_event)
            o->user_event(o, n->user_event.ltime, n->user_event.name, n->user_event.payload);
    }
}

static void save_keys(struct pool *p, const struct serf_notice *n)
{
    if (p->keyring)
        append_file_put(p->keyring, n->save_keys.text, STR(""), true, n->save_keys.save);
}

/* Results and key files refer to the core's memory, so they come first; nothing here steps it. */
static void settle(struct pool *p, const struct serf_output *o)
{
    for (size_t i = 0; i < o->notices_n; i++) {
        const struct serf_notice *n = &o->notices[i];
        if (n->type == SERF_RESULT) pool__request_result(p, n);
        if (n->type == SERF_SAVE_KEYS) save_keys(p, n);
        if (n->type == SERF_NAME_LOST) p->name_lost = true;
    }
}

static void tell(struct pool *p, const struct serf_notice *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (all[i].type) {
        case SERF_MEMBER_JOINED:
        case SERF_MEMBER_LEFT:
        case SERF_MEMBER_FAILED:
        case SERF_MEMBER_UPDATED:
        case SERF_MEMBER_REAPED:
            tell_member(p, &all[i]);
            break;
        case SERF_USER_EVENT:
            tell_event(p, &all[i]);
            break;
        case SERF_QUERIED: /* nobody asks us anything but the core's own questions */
        case SERF_ANSWER:
        case SERF_RESULT:
        case SERF_SAVE_KEYS:
        case SERF_NAME_LOST:
            break;
        }
    }
}

static void try_end_stop(struct pool *p)
{
    if (p->stopped || p->streams_open || p->files_open || p->requests_n) return;
    p->stopped = true;
    p->on_stopped(p->stopped_ctx);
}

static void close_sockets(struct pool *p)
{
    if (p->socket) {
        p->counters.packets = packet_socket_counters(p->socket);
        packet_socket_close(p->socket);
    }
    if (p->listener) listener_close(p->listener);
    packet_roads_destroy(p->roads);
    p->socket = NULL;
    p->listener = NULL;
    p->roads = NULL;
}

/* From now on nothing comes in and nothing goes out. */
static void fall_silent(struct pool *p)
{
    p->closed = true;
    timer_stop(&p->timer);
    close_sockets(p);
    pool__streams_close(p);
    pool__requests_fail_all(p);
    tick_mark(&p->tick);
}

static void turn(struct tick *t)
{
    struct pool *p = container_of(t, struct pool, tick);
    if (p->closed) {
        pool__requests_tell(p);
        if (p->stopping) try_end_stop(p);
        return;
    }
    struct serf_output out;
    uint64_t began = world_now_us(p->world);
    serf_collect(p->core, &out);
    p->counters.turns++;
    record(p, &out.snapshot);
    transmit(p, &out.swim);
    struct serf_notice *notices = copy_notices(p, &out);
    size_t n = out.notices_n;
    settle(p, &out);
    p->counters.turns_us += world_now_us(p->world) - began;
    uint64_t now = world_now_ms(p->world);
    if (out.wake_ms == SWIM_NEVER)
        timer_stop(&p->timer);
    else
        timer_start(&p->timer, out.wake_ms > now ? out.wake_ms - now : 0);
    pool__keys_prove(p);
    tell(p, notices, n);
    pool__requests_tell(p);
    arena_reset(&p->arena);
    if (p->name_lost && !p->closed) {
        log_error(p->log_name, "the pool says that our name is another's: out of it until restart");
        fall_silent(p);
    }
}

/* --- life --------------------------------------------------------------------------------------
 */

static void snapshot_written(void *ctx, uint64_t tag, const char *why)
{
    struct pool *p = ctx;
    struct serf_event ev = { .type = SERF_SNAPSHOT_FAILED };
    (void)tag;
    if (!why) return;
    p->counters.file_failures++;
    log_error(p->log_name, "the snapshot was not written", "error", why);
    (void)pool__step(p, &ev);
}

static int read_snapshot(const char *path, struct arena *a, struct str *out, struct error *err)
{
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT) return 0;
    if (!f) return error_set(err, ERR_IO, "failed to open snapshot: %s: %s", path, strerror(errno));
    struct buf text = BUF_INIT(SNAPSHOT_FILE_MAX);
    for (uint8_t *at; (at = buf_reserve(&text, 65536));) {
        size_t n = fread(at, 1, 65536, f);
        text.n += n;
        if (n < 65536) break;
    }
    bool failed = ferror(f) || text.overflow;
    fclose(f);
    if (!failed) *out = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return failed ? error_set(err, ERR_IO, "failed to read snapshot: %s", path) : 0;
}

static int open_sockets(struct pool *p, const struct pool_options *o, struct error *err)
{
    struct packet_options packets = { .ip = o->bind_ip,
        .port = o->port,
        .receive_buffer = POOL_RECEIVE_BUFFER,
        .receive = on_packet,
        .ctx = p };
    if (packet_socket_open(p->world, &packets, &p->socket, err) != 0)
        return error_prefix(
            err, "Failed to start UDP listener on \"%s\" port %u: ", o->bind_ip, (unsigned)o->port);
    p->port = packet_socket_port(p->socket);
    struct listener_options streams = { .ip = o->bind_ip,
        .port = p->port,
        .queue_max = POOL_STREAM_QUEUE_MAX,
        .accept = pool__accept,
        .ctx = p };
    if (listener_open(p->world, &streams, &p->listener, err) != 0)
        return error_prefix(
            err, "Failed to start TCP listener on \"%s\" port %u: ", o->bind_ip, (unsigned)p->port);
    return 0;
}

static struct append_file *open_file(struct pool *p, const char *path, unsigned mode,
    void (*written)(void *ctx, uint64_t tag, const char *why))
{
    struct append_file_options o = { .world = p->world,
        .disk = p->opts.disk,
        .path = path,
        .mode = mode,
        .written = written,
        .ctx = p };
    if (!path) return NULL;
    p->files_open++;
    return append_file_create(&o);
}

static int make_core(struct pool *p, const struct pool_options *o, struct error *err)
{
    struct serf_options so = o->serf;
    struct arena a = ARENA_INIT;
    int failed = 0;
    world_random(p->world, &so.swim.seed, sizeof so.swim.seed);
    so.swim.bind_port = p->port;
    if (so.swim.advertise.port == 0) so.swim.advertise.port = p->port;
    if (so.swim.advertise.ip_n == 0 &&
        !gossip_address_parse(&so.swim.advertise, o->bind_ip, so.swim.advertise.port))
        failed = error_set(err, ERR_BAD_REQUEST, "no address to advertise: %s", o->bind_ip);
    if (p->keys->n) {
        so.swim.keys = p->keys;
        so.swim.cipher = o->cipher;
        so.swim.verify_incoming = o->verify_incoming;
        so.swim.verify_outgoing = o->verify_outgoing;
    }
    so.swim.names_required = o->gateways != NULL;
    so.save_keys = o->keyring_path != NULL;
    so.snapshot = o->snapshot_path != NULL;
    so.snapshot_text = STR("");
    if (!failed && o->snapshot_path)
        failed = read_snapshot(o->snapshot_path, &a, &so.snapshot_text, err);
    if (!failed) {
        p->core = serf_create(&so, err);
        failed = p->core ? 0 : err->code;
    }
    p->stream_timeout_ms = so.swim.stream_timeout_ms;
    p->log_name = so.log_name ? so.log_name : "agent.serf";
    arena_free(&a);
    return failed;
}

int pool_create(const struct pool_options *o, struct pool **out, struct error *err)
{
    struct pool *p = xcalloc(1, sizeof *p);
    p->opts = *o;
    p->world = o->world;
    p->log_name = "agent";
    p->next_stream_id = 1;
    link_init(&p->streams);
    link_init(&p->requests);
    link_init(&p->answered);
    link_init(&p->observers);
    tick_init(&p->tick, p->world, turn);
    timer_init(&p->timer, p->world, on_timer);
    int failed = pool__keys_load(p, o, err);
    if (!failed) {
        failed = open_sockets(p, o, err);
        if (!failed) failed = make_core(p, o, err);
        if (failed) error_prefix(err, "Failed to start %s Serf: ", o->label);
    }
    if (failed) {
        pool_destroy(p);
        return failed;
    }
    p->snapshot = open_file(p, o->snapshot_path, 0644, snapshot_written);
    p->keyring = open_file(p, o->keyring_path, 0600, pool__keys_written);
    if (o->gateways)
        p->roads = packet_roads_create(&(struct packet_roads_options){
            .world = o->world, .gateways = o->gateways, .failed = road_failed, .ctx = p });
    *out = p;
    return 0;
}

int pool_start(struct pool *p, struct error *err)
{
    int failed = serf_start(p->core, world_now_ms(p->world), err);
    if (failed) return error_prefix(err, "Failed to start %s Serf: ", p->opts.label);
    p->started = true;
    tick_mark(&p->tick);
    return 0;
}

static void file_closed(void *ctx)
{
    struct pool *p = ctx;
    p->files_open--;
    tick_mark(&p->tick);
}

void pool_stop(struct pool *p, void (*stopped)(void *ctx), void *ctx)
{
    struct append_file *snapshot = p->snapshot, *keyring = p->keyring;
    struct serf_output out;
    ensure(!p->stopping);
    p->on_stopped = stopped;
    p->stopped_ctx = ctx;
    if (p->started && serf_state(p->core) != SERF_STATE_LEFT)
        log_warn(p->log_name, "serf: Shutdown without a Leave");
    if (p->started && !p->closed) {
        serf_collect(p->core, &out);
        record(p, &out.snapshot);
        transmit(p, &out.swim);
    }
    p->stopping = true;
    fall_silent(p);
    p->snapshot = p->keyring = NULL;
    if (snapshot) append_file_close(snapshot, file_closed, p);
    if (keyring) append_file_close(keyring, file_closed, p);
}

void pool_destroy(struct pool *p)
{
    if (!p) return;
    ensure(p->stopped || (!p->snapshot && !p->keyring));
    link_each (l, &p->observers)
        link_remove(l);
    tick_cancel(&p->tick);
    timer_stop(&p->timer);
    close_sockets(p);
    if (p->core) serf_destroy(p->core);
    if (p->keys) {
        keyring_clear(p->keys);
        free(p->keys);
    }
    free(p->keyring_path);
    arena_free(&p->arena);
    free(p);
}

/* --- views -------------------------------------------------------------------------------------
 */

void pool_observe(struct pool *p, struct pool_observer *o)
{
    link_init(&o->link);
    link_push(&p->observers, &o->link);
}

void pool_unobserve(struct pool_observer *o)
{
    if (o->link.next) link_remove(&o->link);
}

const struct serf *pool_serf(const struct pool *p)
{
    return p->core;
}

uint16_t pool_port(const struct pool *p)
{
    return p->port;
}

bool pool_encrypted(const struct pool *p)
{
    return p->keys->n > 0;
}

bool pool_leaving(const struct pool *p)
{
    return p->leaving;
}

const struct packet_roads *pool_roads(const struct pool *p)
{
    return p->roads;
}

struct pool_counters pool_counters(const struct pool *p)
{
    struct pool_counters c = p->counters;
    if (p->socket) c.packets = packet_socket_counters(p->socket);
    return c;
}
