/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that were put to a real server, put to the core: the same response bytes, the same state
 * afterwards. */
#include "recorded.h"

/* A sole voter that has just become leader of `term` with `last` entries. */
static void lead(struct bed *b, uint64_t term, uint64_t last)
{
    if (b->r) bed_close(b);
    struct raft_configuration c = bed_configuration("a", "");
    struct raft_options o = bed_options("a");
    uint64_t terms[64];
    assert_true(last >= 2 && last < 64);
    for (size_t i = 0; i < last - 2; i++)
        terms[i] = term - 1;
    bed_open(b, &o, &c, term - 1, terms, (size_t)last - 2);
    bed_tick(b, 0);
    bed_persist(b);
    bed_apply(b);
    struct raft_state st = bed_state(b);
    assert_int_equal(st.role, RAFT_LEADER);
    assert_int_equal(st.term, term);
    assert_int_equal(st.last_index, last);
    bed_forget(b);
}

/* Response bytes to request bytes; empty if the connection would be closed. */
static void exchange(struct bed *b, struct arena *a, struct str request, struct buf *out)
{
    struct cursor c;
    struct error err = { 0 };
    struct raft_message m;
    cursor_init(&c, request.p, request.n, &err);
    int code = raft_request_decode(&c, a, &m, &err);
    if (code == ERR_DECODE || code == ERR_EOF) return;
    if (code) {
        raft_error_encode(m.type, str_of(err.text), bed_state(b).term, out);
        return;
    }
    bed_forget(b);
    bed_receive(b, m);
    if (b->out.install.present) {
        struct raft_event done = { .type = RAFT_SNAPSHOT_INSTALLED };
        bed_step(b, &done);
    }
    bed_persist(b);
    bed_apply(b);
    for (size_t i = 0; i < b->messages_n; i++) {
        if (b->messages[i].type < RAFT_APPEND_ENTRIES_RESPONSE) continue;
        assert_int_equal(out->n, 0);
        raft_response_encode(&b->messages[i], out);
    }
}

static void probe_line(struct arena *a, const struct value *line, void *arg)
{
    struct bed *b = arg;
    const struct value *before = value_get(line, STR("receiver_state_before"));
    if (before && before->kind == V_MAP)
        lead(b, recorded_number(before, "term"), recorded_number(before, "last_index"));
    struct buf out = BUF_INIT(1 << 16);
    exchange(b, a, recorded_hex(a, line, "request_hex"), &out);
    assert_same_bytes(
        &out, recorded_hex(a, line, "response_hex"), str_c(a, recorded_text(line, "name")));
    const struct value *after = value_get(line, STR("receiver_state_after"));
    if (after && after->kind == V_MAP) {
        struct raft_state st = bed_state(b);
        bool leads = str_is(recorded_text(after, "state"), "Leader");
        assert_int_equal(st.term, recorded_number(after, "term"));
        assert_int_equal(st.role == RAFT_LEADER, leads);
    }
    buf_deinit(&out);
}

static void probes_get_the_recorded_answers(void **state)
{
    (void)state;
    struct bed *b = xcalloc(1, sizeof *b);
    assert_int_equal(recorded_each("probes", probe_line, b), 19);
    bed_close(b);
    free(b);
}

static uint64_t stat_number(const struct value *stats, const char *key)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", STR_ARG(recorded_text(stats, key)));
    return strtoull(text, NULL, 10);
}

static void script_line(struct arena *a, const struct value *line, void *arg)
{
    struct bed *b = arg;
    const struct value *before = value_get(line, STR("receiver_before"));
    if (before) {
        lead(b, recorded_number(before, "term"), recorded_number(before, "last_index"));
        return;
    }
    const char *name = str_c(a, recorded_text(line, "name"));
    struct buf out = BUF_INIT(1 << 16);
    exchange(b, a, recorded_hex(a, line, "request_hex"), &out);
    assert_same_bytes(&out, recorded_hex(a, line, "response_hex"), name);
    buf_deinit(&out);
    const struct value *stats = value_get(line, STR("stats_after"));
    struct raft_state st = bed_state(b);
    assert_int_equal(st.role, RAFT_FOLLOWER);
    assert_int_equal(st.term, stat_number(stats, "term"));
    assert_int_equal(st.applied_index, stat_number(stats, "applied_index"));
    assert_int_equal(st.snapshot_index, stat_number(stats, "last_snapshot_index"));
    assert_int_equal(st.snapshot_term, stat_number(stats, "last_snapshot_term"));
    /* The original counts log and snapshot apart, and leaves the commit index behind an install. */
    uint64_t last = stat_number(stats, "last_log_index");
    uint64_t commit = stat_number(stats, "commit_index");
    assert_int_equal(st.last_index, last > st.snapshot_index ? last : st.snapshot_index);
    assert_int_equal(st.commit_index, commit > st.snapshot_index ? commit : st.snapshot_index);
}

static void scripted_leader_finds_the_recorded_follower(void **state)
{
    (void)state;
    struct bed *b = xcalloc(1, sizeof *b);
    assert_int_equal(recorded_each("scripted-leader", script_line, b), 14);
    bed_close(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_get_the_recorded_answers),
        cmocka_unit_test(scripted_leader_finds_the_recorded_follower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
