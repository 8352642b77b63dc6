/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "message.h"

static void encode_body(const struct raft_message *m, struct buf *out)
{
    if (m->type == RAFT_APPEND_ENTRIES_RESPONSE) {
        const struct raft_append_entries_response *a = &m->append_entries_response;
        struct wire_append_entries_response w = { .protocol_version = RAFT_PROTOCOL_VERSION,
            .term = m->term,
            .last_log = a->last_log,
            .success = a->success,
            .no_retry_backoff = a->no_retry_backoff };
        msgpack_encode(&type_wire_append_entries_response, &w, out);
    } else if (m->type == RAFT_REQUEST_VOTE_RESPONSE) {
        struct wire_request_vote_response w = { .protocol_version = RAFT_PROTOCOL_VERSION,
            .term = m->term,
            .granted = m->request_vote_response.granted };
        msgpack_encode(&type_wire_request_vote_response, &w, out);
    } else if (m->type == RAFT_INSTALL_SNAPSHOT_RESPONSE) {
        /* The version is 0 here and below: what servers of this protocol send. */
        struct wire_install_snapshot_response w = { .term = m->term,
            .success = m->install_snapshot_response.success };
        msgpack_encode(&type_wire_install_snapshot_response, &w, out);
    } else {
        struct wire_timeout_now w = { 0 };
        msgpack_encode(&type_wire_timeout_now, &w, out);
    }
}

void raft_response_encode(const struct raft_message *m, struct buf *out)
{
    raft_message_init();
    ensure(m->type >= RAFT_APPEND_ENTRIES_RESPONSE && m->type <= RAFT_TIMEOUT_NOW_RESPONSE);
    msgpack_put_str(out, STR(""));
    encode_body(m, out);
}

void raft_error_encode(
    enum raft_message_type request, struct str text, uint64_t term, struct buf *out)
{
    raft_message_init();
    msgpack_put_str(out, text);
    if (request != RAFT_INSTALL_SNAPSHOT || str_is(text, RAFT_TEXT_VERSION)) {
        msgpack_put_nil(out);
        return;
    }
    struct raft_message m = { .type = RAFT_INSTALL_SNAPSHOT_RESPONSE, .term = term };
    encode_body(&m, out);
}

static int decode_append(struct cursor *c, struct arena *a, struct raft_message *out)
{
    struct wire_append_entries_response w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_append_entries_response, &w);
    out->type = RAFT_APPEND_ENTRIES_RESPONSE;
    out->term = w.term;
    out->append_entries_response = (struct raft_append_entries_response){
        .last_log = w.last_log, .success = w.success, .no_retry_backoff = w.no_retry_backoff
    };
    return code;
}

static int decode_vote(struct cursor *c, struct arena *a, struct raft_message *out)
{
    struct wire_request_vote_response w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_request_vote_response, &w);
    out->type = RAFT_REQUEST_VOTE_RESPONSE;
    out->term = w.term;
    out->request_vote_response.granted = w.granted;
    return code;
}

static int decode_install(struct cursor *c, struct arena *a, struct raft_message *out)
{
    struct wire_install_snapshot_response w = { 0 };
    int code = msgpack_decode(c, a, &type_wire_install_snapshot_response, &w);
    out->type = RAFT_INSTALL_SNAPSHOT_RESPONSE;
    out->term = w.term;
    out->install_snapshot_response.success = w.success;
    return code;
}

static int decode_timeout(struct cursor *c, struct arena *a, struct raft_message *out)
{
    struct wire_timeout_now w = { 0 };
    out->type = RAFT_TIMEOUT_NOW_RESPONSE;
    return msgpack_decode(c, a, &type_wire_timeout_now, &w);
}

int raft_response_decode(struct cursor *c, struct arena *a, enum raft_message_type request,
    struct raft_message *out, struct error *err)
{
    static int (*const decoders[])(struct cursor *, struct arena *, struct raft_message *) = {
        [RAFT_APPEND_ENTRIES] = decode_append,
        [RAFT_REQUEST_VOTE] = decode_vote,
        [RAFT_INSTALL_SNAPSHOT] = decode_install,
        [RAFT_TIMEOUT_NOW] = decode_timeout,
    };
    raft_message_init();
    ensure(request <= RAFT_TIMEOUT_NOW);
    memset(out, 0, sizeof *out);
    struct str text = msgpack_get_str(c);
    if (c->code) return c->code;
    if (text.n) {
        int code = msgpack_skip(c);
        if (code) return code;
        return error_set(err, ERR_INTERNAL, "%.*s", STR_ARG(text));
    }
    return decoders[request](c, a, out);
}
