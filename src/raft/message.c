/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <string.h>

#define REFUSED ERR_BAD_REQUEST

static struct list log_list(const struct raft_append_entries *a, struct arena *arena)
{
    if (!a->n) return a->heartbeat ? (struct list){ 0 } : LIST_EMPTY;
    struct wire_log *v = arena_array(arena, a->n, sizeof *v);
    for (size_t i = 0; i < a->n; i++)
        v[i] = (struct wire_log){ .index = a->entries[i].index,
            .term = a->entries[i].term,
            .type = a->entries[i].type,
            .data = a->entries[i].data,
            .extensions = a->entries[i].extensions };
    return (struct list){ .v = v, .n = a->n };
}

static void encode_append_entries(const struct raft_message *m, struct buf *out)
{
    const struct raft_append_entries *a = &m->append_entries;
    struct arena arena = ARENA_INIT;
    struct wire_append_entries w = { .protocol_version = RAFT_PROTOCOL_VERSION,
        .term = m->term,
        .leader = a->leader,
        .prev_log_entry = a->prev_index,
        .prev_log_term = a->prev_term,
        .entries = log_list(a, &arena),
        .leader_commit_index = a->commit_index };
    msgpack_encode(&type_wire_append_entries, &w, out);
    arena_free(&arena);
}

static void encode_request_vote(const struct raft_message *m, struct buf *out)
{
    const struct raft_request_vote *v = &m->request_vote;
    struct wire_request_vote w = { .protocol_version = RAFT_PROTOCOL_VERSION,
        .term = m->term,
        .candidate = v->candidate,
        .last_log_index = v->last_log_index,
        .last_log_term = v->last_log_term,
        .leadership_transfer = v->leadership_transfer };
    msgpack_encode(&type_wire_request_vote, &w, out);
}

/* `Peers`: what servers of protocol 0 to 2 read. */
static void encode_voters(const struct raft_configuration *c, struct buf *out)
{
    struct str voters[RAFT_SERVERS_MAX];
    struct list l = { .v = voters };
    for (size_t i = 0; i < c->n; i++)
        if (c->servers[i].suffrage == RAFT_VOTER) voters[l.n++] = str_of(c->servers[i].address);
    msgpack_encode(&type_list_str, &l, out);
}

static void encode_install_snapshot(const struct raft_message *m, struct buf *out)
{
    const struct raft_install_snapshot *s = &m->install_snapshot;
    struct buf configuration = BUF_INIT(out->max), peers = BUF_INIT(out->max);
    raft_configuration_encode(s->configuration, &configuration);
    encode_voters(s->configuration, &peers);
    struct wire_install_snapshot w = { .protocol_version = RAFT_PROTOCOL_VERSION,
        .snapshot_version = RAFT_SNAPSHOT_VERSION,
        .term = m->term,
        .leader = s->leader,
        .last_log_index = s->last_log_index,
        .last_log_term = s->last_log_term,
        .peers = buf_str(&peers),
        .configuration = buf_str(&configuration),
        .configuration_index = s->configuration_index,
        .size = (int64_t)s->size };
    msgpack_encode(&type_wire_install_snapshot, &w, out);
    out->overflow = out->overflow || configuration.overflow || peers.overflow;
    buf_deinit(&configuration);
    buf_deinit(&peers);
}

void raft_request_encode(const struct raft_message *m, struct buf *out)
{
    raft_message_init();
    ensure(m->type <= RAFT_TIMEOUT_NOW);
    buf_put_char(out, (char)m->type);
    if (m->type == RAFT_APPEND_ENTRIES) {
        encode_append_entries(m, out);
    } else if (m->type == RAFT_REQUEST_VOTE) {
        encode_request_vote(m, out);
    } else if (m->type == RAFT_INSTALL_SNAPSHOT) {
        encode_install_snapshot(m, out);
    } else {
        struct wire_timeout_now w = { .protocol_version = RAFT_PROTOCOL_VERSION };
        msgpack_encode(&type_wire_timeout_now, &w, out);
    }
}

static bool version_fits(int64_t version)
{
    return version >= RAFT_PROTOCOL_VERSION - 1 && version <= RAFT_PROTOCOL_VERSION;
}

static int refused_version(struct error *err)
{
    return error_set(err, REFUSED, "%s", RAFT_TEXT_VERSION);
}

static int decode_append_entries(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err)
{
    struct wire_append_entries w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_append_entries, &w);
    if (code) return code;
    struct raft_entry *v = arena_array(a, w.entries.n, sizeof *v);
    for (size_t i = 0; i < w.entries.n; i++) {
        const struct wire_log *l = &LIST_AT(&w.entries, struct wire_log, i);
        v[i] = (struct raft_entry){ .index = l->index,
            .term = l->term,
            .type = (uint8_t)l->type,
            .data = l->data,
            .extensions = l->extensions };
    }
    bool heartbeat = w.term && w.leader.p && !w.prev_log_entry && !w.prev_log_term &&
                     !w.entries.n && !w.leader_commit_index;
    out->term = w.term;
    out->append_entries = (struct raft_append_entries){ .prev_index = w.prev_log_entry,
        .prev_term = w.prev_log_term,
        .commit_index = w.leader_commit_index,
        .leader = w.leader,
        .entries = v,
        .n = w.entries.n,
        .heartbeat = heartbeat };
    return heartbeat || version_fits(w.protocol_version) ? 0 : refused_version(err);
}

static int decode_request_vote(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err)
{
    struct wire_request_vote w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_request_vote, &w);
    if (code) return code;
    out->term = w.term;
    out->request_vote = (struct raft_request_vote){ .candidate = w.candidate,
        .last_log_index = w.last_log_index,
        .last_log_term = w.last_log_term,
        .leadership_transfer = w.leadership_transfer };
    return version_fits(w.protocol_version) ? 0 : refused_version(err);
}

static int decode_install_snapshot(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err)
{
    struct wire_install_snapshot w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_install_snapshot, &w);
    if (code) return code;
    if (w.size < 0) return cursor_fail(c, ERR_DECODE, "raft snapshot of negative size");
    struct raft_configuration *configuration = arena_new(a, struct raft_configuration);
    out->term = w.term;
    out->install_snapshot = (struct raft_install_snapshot){ .leader = w.leader,
        .last_log_index = w.last_log_index,
        .last_log_term = w.last_log_term,
        .configuration = configuration,
        .configuration_index = w.configuration_index,
        .size = (uint64_t)w.size };
    if (!version_fits(w.protocol_version)) return refused_version(err);
    if (w.snapshot_version != RAFT_SNAPSHOT_VERSION)
        return error_set(err, REFUSED, RAFT_TEXT_SNAPSHOT_VERSION, (long long)w.snapshot_version);
    struct error unused;
    code = raft_configuration_decode(RAFT_CONFIGURATION, w.configuration, configuration, &unused);
    if (code) out->install_snapshot.configuration = NULL; /* the core refuses, in its own order */
    return 0;
}

static int decode_timeout_now(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err)
{
    (void)out;
    struct wire_timeout_now w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_timeout_now, &w);
    if (code) return code;
    return version_fits(w.protocol_version) ? 0 : refused_version(err);
}

int raft_request_decode(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err)
{
    static int (*const decoders[])(
        struct cursor *, struct arena *, struct raft_message *, struct error *) = {
        [RAFT_APPEND_ENTRIES] = decode_append_entries,
        [RAFT_REQUEST_VOTE] = decode_request_vote,
        [RAFT_INSTALL_SNAPSHOT] = decode_install_snapshot,
        [RAFT_TIMEOUT_NOW] = decode_timeout_now,
    };
    raft_message_init();
    memset(out, 0, sizeof *out);
    if (!cursor_left(c)) return cursor_fail(c, ERR_EOF, "raft request: no type byte");
    uint8_t type = *c->p++;
    if (type >= sizeof decoders / sizeof decoders[0])
        return cursor_fail(c, ERR_DECODE, "raft request: unknown type %u", type);
    out->type = (enum raft_message_type)type;
    return decoders[type](c, a, out, err);
}
