/* SPDX-License-Identifier: Apache-2.0 */
/* The driver among peers: replication, failing disks, snapshots for those who lag behind. */
#include "unit/cluster/peers.h"

struct request {
    struct raft_driver_request r;
    int done;
};

static void on_done(struct raft_driver_request *r)
{
    ((struct request *)r->ctx)->done++;
}

static struct request request(void)
{
    return (struct request){ .r.done = on_done };
}

static struct peer *leader(struct cluster *c)
{
    struct peer *found = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct peer *p = &c->peers[i];
        if (p->driver && !p->cut && raft_driver_is_leader(p->driver)) found = p;
    }
    return found;
}

static struct peer *wait_for_leader(struct cluster *c)
{
    for (int i = 0; i < 3000 && !leader(c); i++)
        cluster_advance(c, 10);
    struct peer *p = leader(c);
    assert_non_null(p);
    return p;
}

static void propose(struct peer *p, struct request *q, const char *key, const char *value)
{
    struct buf out = BUF_INIT(1u << 20);
    struct kvs_request req = { .op = STR("set"),
        .dir_ent = { .key = str_of(key), .value = str_of(value) } };
    command_encode(COMMAND_KVS, &req, &out);
    q->r.ctx = q;
    raft_driver_propose(p->driver, &q->r, buf_str(&out));
    buf_deinit(&out);
}

static void put(struct cluster *c, const char *key, const char *value)
{
    struct request q = request();
    propose(wait_for_leader(c), &q, key, value);
    for (int i = 0; i < 500 && !q.done; i++)
        cluster_advance(c, 10);
    if (q.done != 1 || q.r.code) fail_msg("put %s: %s", key, q.r.err.text);
}

static bool has(struct peer *p, const char *key, const char *value)
{
    struct arena a = ARENA_INIT;
    struct dir_entry e = { 0 };
    bool found = false;
    store_kv_get(store_read(p->store), NULL, str_of(key), &a, &e, &found);
    found = found && str_is(e.value, value);
    arena_free(&a);
    return found;
}

static void change(struct cluster *c, enum raft_driver_change_op op, struct peer *who)
{
    struct request q = request();
    q.r.ctx = &q;
    raft_driver_change(wait_for_leader(c)->driver, &q.r, op, str_of(who->id), str_of(who->address));
    for (int i = 0; i < 500 && !q.done; i++)
        cluster_advance(c, 10);
    if (q.done != 1 || q.r.code) fail_msg("change: %s", q.r.err.text);
}

static void snapshot(struct cluster *c, struct peer *p)
{
    struct request q = request();
    q.r.ctx = &q;
    raft_driver_snapshot(p->driver, &q.r);
    cluster_advance(c, 100);
    if (q.done != 1 || q.r.code) fail_msg("snapshot: %s", q.r.err.text);
}

static int three(void **state)
{
    struct cluster *c = cluster_create(3);
    *state = c;
    for (size_t i = 0; i < 3; i++)
        peer_boot(c, i, i == 0);
    wait_for_leader(c);
    change(c, DRIVER_ADD_VOTER, &c->peers[1]);
    change(c, DRIVER_ADD_VOTER, &c->peers[2]);
    cluster_advance(c, 500);
    return 0;
}

static int gone(void **state)
{
    cluster_destroy(*state);
    return 0;
}

/* --- behaviours ---------------------------------------------------------------------------- */

static void all_servers_apply_what_the_leader_acknowledged(void **state)
{
    struct cluster *c = *state;
    put(c, "a", "1");
    put(c, "b", "2");
    cluster_advance(c, 500);
    for (size_t i = 0; i < 3; i++) {
        assert_true(has(&c->peers[i], "a", "1"));
        assert_true(has(&c->peers[i], "b", "2"));
        struct raft_driver_state st = raft_driver_state(c->peers[i].driver);
        assert_int_equal(st.servers_n, 3);
        assert_true(str_is(st.leader_address, leader(c)->address));
    }
}

static void another_leads_when_the_leader_is_cut_off(void **state)
{
    struct cluster *c = *state;
    put(c, "a", "1");
    struct peer *old = leader(c);
    old->cut = true;
    cluster_advance(c, 5000);
    struct peer *next = wait_for_leader(c);
    assert_ptr_not_equal(next, old);
    assert_false(raft_driver_is_leader(old->driver));
    assert_true(has(next, "a", "1"));
    put(c, "b", "2");
    old->cut = false;
    cluster_advance(c, 3000);
    assert_true(has(old, "b", "2"));
    assert_int_equal(
        raft_driver_state(old->driver).term, raft_driver_state(leader(c)->driver).term);
}

static void an_unfinished_write_of_a_cut_off_leader_is_undone(void **state)
{
    struct cluster *c = *state;
    put(c, "a", "1");
    struct peer *old = leader(c);
    struct request lost = request();
    old->cut = true;
    propose(old, &lost, "a", "lost");
    cluster_advance(c, 5000);
    assert_int_equal(lost.done, 1);
    assert_string_equal(lost.r.err.text, RAFT_ERR_LEADERSHIP_LOST);
    put(c, "b", "2");
    old->cut = false;
    cluster_advance(c, 3000);
    for (size_t i = 0; i < 3; i++) {
        assert_true(has(&c->peers[i], "a", "1"));
        assert_true(has(&c->peers[i], "b", "2"));
    }
}

static void a_leader_with_a_full_disk_lets_another_lead(void **state)
{
    struct cluster *c = *state;
    put(c, "a", "1");
    struct peer *old = leader(c);
    struct request q = request();
    old->disk.fail_at = old->disk.count + 1;
    old->disk.stays = true;
    propose(old, &q, "b", "1");
    cluster_advance(c, 100);
    assert_int_equal(q.done, 1);
    assert_true(q.r.code < 0);
    cluster_advance(c, 10000);
    struct peer *next = wait_for_leader(c);
    assert_ptr_not_equal(next, old);
    put(c, "c", "3");
    assert_true(has(old, "a", "1"));
    old->disk.fail_at = 0;
    cluster_advance(c, 10000);
    put(c, "d", "4");
    cluster_advance(c, 1000);
    for (size_t i = 0; i < 3; i++) {
        assert_true(has(&c->peers[i], "c", "3"));
        assert_true(has(&c->peers[i], "d", "4"));
    }
}

static void a_server_that_lags_gets_a_snapshot(void **state)
{
    struct cluster *c = *state;
    char key[32];
    struct peer *lead = leader(c), *late = lead == &c->peers[2] ? &c->peers[1] : &c->peers[2];
    peer_halt(c, late->number);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, "v");
    }
    snapshot(c, leader(c));
    put(c, "after", "1");
    peer_boot(c, late->number, false);
    cluster_advance(c, 5000);
    assert_true(c->snapshots_sent > 0);
    assert_int_equal(raft_driver_counters(late->driver).installs, 1);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(has(late, key, "v"));
    }
    assert_true(has(late, "after", "1"));
    peer_halt(c, late->number);
    peer_boot(c, late->number, false);
    cluster_advance(c, 3000);
    put(c, "again", "1");
    cluster_advance(c, 500);
    assert_true(has(late, "again", "1"));
    assert_true(has(late, "k0", "v"));
}

static void on_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    char *last = ctx;
    if (level == LOG_WARN && n < 512) snprintf(last, 512, "%.*s", (int)n, line);
}

static void put_many(struct cluster *c, int from, int to)
{
    char key[16];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, "v");
    }
}

static void a_slow_follower_gets_the_log_and_is_named(void **state)
{
    struct cluster *c = *state;
    char warning[512] = "";
    struct peer *slow = &c->peers[leader(c) == &c->peers[2] ? 1 : 2];
    int tap = log_tap_add(on_line, warning, LOG_WARN, false);
    slow->slow = true;
    put_many(c, 0, 20);
    snapshot(c, leader(c));
    assert_non_null(strstr(warning, slow->id));
    assert_non_null(strstr(warning, "slower than the log is given up"));
    slow->slow = false;
    cluster_advance(c, 3000);
    assert_true(has(slow, "k0", "v") && has(slow, "k19", "v"));
    assert_int_equal(c->snapshots_sent, 0);
    log_tap_remove(tap);
}

static void the_log_is_not_kept_without_bound(void **state)
{
    struct cluster *c = *state;
    struct peer *slow = &c->peers[leader(c) == &c->peers[2] ? 1 : 2];
    slow->slow = true;
    put_many(c, 0, 60); /* more than eight times the trailing log */
    snapshot(c, leader(c));
    slow->slow = false;
    slow->cut = true; /* what was on its way is lost */
    cluster_advance(c, 100);
    slow->cut = false;
    cluster_advance(c, 20000);
    assert_true(c->snapshots_sent > 0);
    assert_true(has(slow, "k0", "v") && has(slow, "k59", "v"));
}

static void an_archive_restored_on_the_leader_reaches_all(void **state)
{
    struct cluster *c = *state;
    struct request q = request();
    put(c, "mine", "1");
    FILE *in = fopen(TESTS_DIR "/vectors/fsm/acl/snapshot.tgz", "rb");
    char bytes[16384];
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    q.r.ctx = &q;
    struct shared_body *archive = shared_body_create((struct str){ bytes, n });
    raft_driver_restore(leader(c)->driver, &q.r, archive);
    shared_body_unref(archive);
    cluster_advance(c, 5000);
    assert_int_equal(q.done, 1);
    if (q.r.code) fail_msg("%s", q.r.err.text);
    put(c, "after", "1");
    cluster_advance(c, 1000);
    for (size_t i = 0; i < 3; i++) {
        assert_false(has(&c->peers[i], "mine", "1"));
        assert_true(has(&c->peers[i], "after", "1"));
        assert_int_equal(raft_driver_counters(c->peers[i].driver).installs, 1);
    }
}

/* --- a storm --------------------------------------------------------------------------------- */

#define STORM_KEYS 64

struct storm {
    struct prng r;
    char acknowledged[STORM_KEYS][16], sent[STORM_KEYS][16];
    struct request q;
    size_t key; /* of q */
    bool waiting;
};

static void storm_fault(struct cluster *c, struct storm *s)
{
    struct peer *p = &c->peers[prng_below(&s->r, c->n)];
    switch (prng_below(&s->r, 6)) {
    case 0:
        p->cut = !p->cut;
        break;
    case 1:
        p->disk.fail_at = p->disk.count + 1 + (long)prng_below(&s->r, 6);
        p->disk.stays = prng_chance(&s->r, 1, 2);
        p->disk.after = prng_chance(&s->r, 1, 2);
        break;
    case 2:
        p->disk.fail_at = 0;
        break;
    case 3:
        if (!p->driver) break;
        p->disk.fail_at = 0;
        peer_halt(c, p->number);
        peer_boot(c, p->number, false);
        break;
    case 4:
        if (p->driver) {
            struct request q = request();
            q.r.ctx = &q;
            raft_driver_snapshot(p->driver, &q.r);
            raft_driver_forget(&q.r);
        }
        break;
    default:
        break;
    }
}

static void storm_write(struct cluster *c, struct storm *s, uint64_t step)
{
    struct peer *p = leader(c);
    if (s->waiting && s->q.done) {
        s->waiting = false;
        if (s->q.r.code == 0) memcpy(s->acknowledged[s->key], s->sent[s->key], 16);
    }
    if (s->waiting || !p) return;
    char key[16];
    /* A key is written once: what is under way may yet happen, or not. */
    s->key = step % STORM_KEYS;
    if (s->sent[s->key][0]) return;
    snprintf(key, sizeof key, "k%zu", s->key);
    snprintf(s->sent[s->key], 16, "v%llu", (unsigned long long)step);
    s->q = request();
    propose(p, &s->q, key, s->sent[s->key]);
    s->waiting = true;
}

static void storm(uint64_t seed)
{
    struct cluster *c;
    void *state;
    struct storm *s = calloc(1, sizeof *s);
    prng_seed(&s->r, seed);
    three(&state);
    c = state;
    for (uint64_t step = 1; step <= 400; step++) {
        if (prng_chance(&s->r, 1, 8)) storm_fault(c, s);
        storm_write(c, s, step);
        cluster_advance(c, 10 + prng_below(&s->r, 200));
    }
    for (size_t i = 0; i < c->n; i++) {
        c->peers[i].cut = false;
        c->peers[i].disk.fail_at = 0;
    }
    cluster_advance(c, 20000);
    storm_write(c, s, 0);
    put(c, "calm", "1");
    cluster_advance(c, 2000);
    for (size_t i = 0; i < c->n; i++) {
        assert_true(has(&c->peers[i], "calm", "1"));
        for (size_t k = 0; k < STORM_KEYS; k++) {
            char key[16];
            snprintf(key, sizeof key, "k%zu", k);
            if (s->acknowledged[k][0] && !has(&c->peers[i], key, s->acknowledged[k]))
                fail_msg("seed %llu: server %zu lost %s", (unsigned long long)seed, i, key);
        }
    }
    raft_driver_forget(&s->q.r);
    cluster_destroy(c);
    free(s);
}

static void nothing_acknowledged_is_lost_in_a_storm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        storm(seed);
}

int main(void)
{
    model_init();
    snapshot_init();
    log_setup(&(struct log_options){ .level = LOG_ERROR, .hold = true });
#define T(name) cmocka_unit_test_setup_teardown(name, three, gone)
    const struct CMUnitTest tests[] = {
        T(all_servers_apply_what_the_leader_acknowledged),
        T(another_leads_when_the_leader_is_cut_off),
        T(an_unfinished_write_of_a_cut_off_leader_is_undone),
        T(a_leader_with_a_full_disk_lets_another_lead),
        T(a_server_that_lags_gets_a_snapshot),
        T(a_slow_follower_gets_the_log_and_is_named),
        T(the_log_is_not_kept_without_bound),
        T(an_archive_restored_on_the_leader_reaches_all),
        cmocka_unit_test(nothing_acknowledged_is_lost_in_a_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
