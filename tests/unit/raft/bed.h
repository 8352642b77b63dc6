/* SPDX-License-Identifier: Apache-2.0 */
/* One core on a test bed: its output is collected, its disk is as fast as the test says. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/raft.h"

#define BED_MESSAGES 512
#define BED_RESULTS 64

struct bed {
    struct raft *r;
    uint64_t now;
    struct raft_output out; /* of the last step */
    uint64_t seq;           /* newest write not yet reported durable, 0: none */
    struct raft_message messages[BED_MESSAGES];
    char ids[BED_MESSAGES][RAFT_ID_MAX];
    size_t messages_n;
    struct raft_result results[BED_RESULTS];
    size_t results_n;
    uint64_t rpc; /* of requests given to the core */
};

static inline struct raft_configuration bed_configuration(const char *voters, const char *nonvoters)
{
    struct raft_configuration c = { 0 };
    const char *lists[] = { voters, nonvoters };
    for (size_t l = 0; l < 2; l++)
        for (const char *p = lists[l]; *p; p++) {
            char address[] = "?:8300";
            address[0] = *p;
            assert_true(raft_configuration_add(
                &c, (struct str){ p, 1 }, str_of(address), l ? RAFT_NONVOTER : RAFT_VOTER));
        }
    return c;
}

static inline struct raft_options bed_options(const char *id)
{
    static char address[RAFT_ADDRESS_MAX];
    snprintf(address, sizeof address, "%s:8300", id);
    struct raft_options o = raft_options_default(1);
    o.id = id;
    o.address = address;
    o.seed = 7;
    return o;
}

static inline void bed_step(struct bed *b, const struct raft_event *ev)
{
    assert_int_equal(raft_step(b->r, b->now, ev, &b->out), 0);
    if (b->out.write.seq) b->seq = b->out.write.seq;
    for (size_t i = 0; i < b->out.messages_n; i++) {
        assert_true(b->messages_n < BED_MESSAGES);
        struct raft_message *m = &b->messages[b->messages_n];
        *m = b->out.messages[i];
        if (m->peer_id) {
            snprintf(b->ids[b->messages_n], RAFT_ID_MAX, "%s", m->peer_id);
            m->peer_id = b->ids[b->messages_n];
        }
        b->messages_n++;
    }
    for (size_t i = 0; i < b->out.results_n; i++) {
        assert_true(b->results_n < BED_RESULTS);
        b->results[b->results_n++] = b->out.results[i];
    }
}

static inline void bed_tick(struct bed *b, uint64_t ms)
{
    b->now += ms;
    bed_step(b, &(struct raft_event){ .type = RAFT_TICK });
}

/* Reports all writes, and those they lead to, as durable. */
static inline void bed_persist(struct bed *b)
{
    while (b->seq) {
        uint64_t seq = b->seq;
        b->seq = 0;
        bed_step(b, &(struct raft_event){ .type = RAFT_PERSISTED, .seq = seq });
    }
}

static inline void bed_apply(struct bed *b)
{
    bed_step(b, &(struct raft_event){ .type = RAFT_APPLIED, .index = b->out.apply_to });
}

static inline void bed_receive(struct bed *b, struct raft_message m)
{
    if (m.type < RAFT_APPEND_ENTRIES_RESPONSE && !m.rpc) m.rpc = ++b->rpc;
    bed_step(b, &(struct raft_event){ .type = RAFT_RECEIVE, .message = &m });
}

/* Takes the oldest message of that type (to that peer, if given) out of the collection. */
static inline bool bed_take(
    struct bed *b, enum raft_message_type type, const char *to, struct raft_message *out)
{
    for (size_t i = 0; i < b->messages_n; i++) {
        const struct raft_message *m = &b->messages[i];
        if (m->type != type || (to && (!m->peer_id || strcmp(m->peer_id, to)))) continue;
        *out = *m;
        out->peer_id = NULL;
        for (size_t k = i + 1; k < b->messages_n; k++) {
            b->messages[k - 1] = b->messages[k];
            memcpy(b->ids[k - 1], b->ids[k], RAFT_ID_MAX);
            if (b->messages[k - 1].peer_id) b->messages[k - 1].peer_id = b->ids[k - 1];
        }
        b->messages_n--;
        return true;
    }
    return false;
}

static inline struct raft_message bed_expect(
    struct bed *b, enum raft_message_type type, const char *to)
{
    struct raft_message m = { 0 };
    if (!bed_take(b, type, to, &m)) fail_msg("no message of type %d to %s", type, to ? to : "-");
    return m;
}

static inline void bed_expect_none(struct bed *b, enum raft_message_type type)
{
    for (size_t i = 0; i < b->messages_n; i++)
        assert_int_not_equal(b->messages[i].type, type);
}

static inline void bed_forget(struct bed *b)
{
    b->messages_n = b->results_n = 0;
}

static inline enum raft_status bed_status(const struct bed *b, uint64_t handle)
{
    for (size_t i = 0; i < b->results_n; i++)
        if (b->results[i].handle == handle) return b->results[i].status;
    fail_msg("no result for %llu", (unsigned long long)handle);
    return RAFT_FAILED;
}

static inline bool bed_answered(const struct bed *b, uint64_t handle)
{
    for (size_t i = 0; i < b->results_n; i++)
        if (b->results[i].handle == handle) return true;
    return false;
}

static inline struct raft_state bed_state(const struct bed *b)
{
    struct raft_state st;
    raft_get_state(b->r, &st);
    return st;
}

/* A node whose log holds the configuration at index 1 and then one noop per given term. */
static inline void bed_open(struct bed *b, const struct raft_options *o,
    const struct raft_configuration *c, uint64_t term, const uint64_t *terms, size_t n)
{
    memset(b, 0, sizeof *b);
    b->now = 1000;
    b->r = raft_create(o);
    raft_load_hard_state(b->r, term, 0, STR_NIL);
    struct buf data = BUF_INIT(1 << 16);
    raft_configuration_encode(c, &data);
    struct error err;
    struct raft_entry e = {
        .index = 1, .term = 1, .type = RAFT_CONFIGURATION, .data = buf_str(&data)
    };
    if (c->n) assert_int_equal(raft_load_entry(b->r, &e, &err), 0);
    for (size_t i = 0; i < n; i++) {
        e = (struct raft_entry){ .index = i + 2, .term = terms[i], .type = RAFT_NOOP };
        assert_int_equal(raft_load_entry(b->r, &e, &err), 0);
    }
    buf_deinit(&data);
}

static inline void bed_close(struct bed *b)
{
    raft_destroy(b->r);
    memset(b, 0, sizeof *b);
}

/* Node "a" of the voters and non-voters given, following nobody, in term 1. */
static inline void bed_member(struct bed *b, const char *voters, const char *nonvoters)
{
    struct raft_configuration c = bed_configuration(voters, nonvoters);
    struct raft_options o = bed_options("a");
    bed_open(b, &o, &c, 1, NULL, 0);
    bed_tick(b, 0);
}

static inline struct raft_message bed_answer(const struct raft_message *request, const char *from,
    enum raft_message_type type, uint64_t term)
{
    return (
        struct raft_message){ .type = type, .rpc = request->rpc, .peer_id = from, .term = term };
}

/* Answers every probe and vote request of the moment with yes. */
static inline void bed_support(struct bed *b, const char *voters)
{
    for (const char *p = voters; *p; p++) {
        char id[2] = { *p, 0 };
        struct raft_message m;
        while (bed_take(b, RAFT_PROBE, id, &m))
            bed_receive(b, bed_answer(&m, id, RAFT_PROBE_RESPONSE, 0));
    }
    bed_persist(b);
    for (const char *p = voters; *p; p++) {
        char id[2] = { *p, 0 };
        struct raft_message m;
        while (bed_take(b, RAFT_REQUEST_VOTE, id, &m)) {
            struct raft_message yes = bed_answer(&m, id, RAFT_REQUEST_VOTE_RESPONSE, m.term);
            yes.request_vote_response.granted = true;
            bed_receive(b, yes);
        }
    }
}

/* Makes a started node leader with the support of all other voters. */
static inline void bed_elect(struct bed *b, const char *voters)
{
    bed_tick(b, 2000);
    bed_support(b, voters);
    uint64_t vote = b->seq;
    b->seq = 0;
    bed_step(b, &(struct raft_event){ .type = RAFT_PERSISTED, .seq = vote });
    assert_int_equal(bed_state(b).role, RAFT_LEADER);
}

static inline struct raft_message bed_append_from(
    const char *leader, uint64_t term, uint64_t prev, uint64_t prev_term, uint64_t commit)
{
    return (struct raft_message){ .type = RAFT_APPEND_ENTRIES,
        .term = term,
        .append_entries = { .prev_index = prev,
            .prev_term = prev_term,
            .commit_index = commit,
            .leader = str_of(leader) } };
}

/* The peer takes all that was sent to it so far, again and again until nothing more comes. */
static inline void bed_follow(struct bed *b, const char *id)
{
    struct raft_message m;
    while (bed_take(b, RAFT_APPEND_ENTRIES, id, &m)) {
        struct raft_message yes = bed_answer(&m, id, RAFT_APPEND_ENTRIES_RESPONSE, m.term);
        yes.append_entries_response.success = true;
        bed_receive(b, yes);
    }
}

static inline void bed_propose(struct bed *b, uint64_t handle, const char *data)
{
    struct raft_proposal p = { .handle = handle, .data = str_of(data), .type = RAFT_COMMAND };
    bed_step(b, &(struct raft_event){ .type = RAFT_PROPOSE, .propose = { &p, 1 } });
}
