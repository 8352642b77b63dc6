/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

/* --- recorded runs -----------------------------------------------------------------------------
 */

/* Messages are their two-character id followed by filling. */
struct log {
    struct arena *a;
    struct list results;  /* ids given out */
    struct list finished; /* ids by tag */
};

static void note(void *ctx, struct str message)
{
    struct log *l = ctx;
    *LIST_PUSH(l->a, &l->results, struct str) = str_dup(l->a, str_slice(message, 0, 2));
}

static void note_finished(void *ctx, uint64_t tag, enum broadcast_end end)
{
    struct log *l = ctx;
    (void)end;
    *LIST_PUSH(l->a, &l->finished, struct str) = str_printf(l->a, "%02u", (unsigned)tag - 1);
}

static void assert_ids(const struct list *got, const struct value *want, size_t step)
{
    if (got->n != want->list.n)
        fail_msg("step %zu: %zu ids instead of %zu", step, got->n, want->list.n);
    for (size_t i = 0; i < got->n; i++) {
        struct str id = LIST_AT(got, struct str, i);
        if (!str_eq(id, want->list.v[i].s)) fail_msg("step %zu: id %zu differs", step, i);
    }
}

static void add_recorded(struct arena *a, struct broadcast_queue *q, const struct value *step)
{
    struct str id = text_of(step, "id");
    size_t n = (size_t)number_at(step, "len");
    uint64_t number = 0;
    assert_true(n >= 2 && str_to_u64(id, &number));
    char *message = arena_alloc(a, n);
    memcpy(message, id.p, 2);
    broadcast_queue_add(
        q, &(struct broadcast){
               .message = { message, n }, .name = text_of(step, "name"), .tag = number + 1 });
}

static void play(struct arena *a, const struct value *run)
{
    struct log log = { .a = a };
    size_t nodes = (size_t)number_at(run, "nodes");
    struct broadcast_queue *q = broadcast_queue_create(&(struct broadcast_queue_options){
        .retransmit_mult = (uint32_t)number_at(run, "retransmit_mult"),
        .finished = note_finished,
        .ctx = &log });
    const struct value *steps = member_of(run, "steps");
    for (size_t i = 0; i < steps->list.n; i++) {
        const struct value *step = &steps->list.v[i];
        struct str op = text_of(step, "op");
        log.results.n = log.finished.n = 0;
        if (str_is(op, "queue")) {
            add_recorded(a, q, step);
        } else if (str_is(op, "prune")) {
            broadcast_queue_prune(q, (size_t)number_at(step, "retain"));
        } else {
            broadcast_queue_take(q, nodes, (size_t)number_at(step, "overhead"),
                (size_t)number_at(step, "limit"), note, &log);
            assert_ids(&log.results, member_of(step, "result"), i);
        }
        assert_ids(&log.finished, member_of(step, "finished"), i);
        assert_int_equal(broadcast_queue_length(q), number_at(step, "queued"));
    }
    log.finished.n = 0;
    broadcast_queue_destroy(q);
}

static void recorded_runs_are_repeated(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "queue");
    for (size_t i = 0; i < entries->list.n; i++)
        play(&a, member_of(&entries->list.v[i], "data"));
    arena_free(&a);
}

/* --- our own -------------------------------------------------------------------------------------
 */

struct ends {
    size_t n;
    uint64_t tags[64];
    enum broadcast_end how[64];
};

static void note_end(void *ctx, uint64_t tag, enum broadcast_end how)
{
    struct ends *e = ctx;
    assert_true(e->n < 64);
    e->tags[e->n] = tag;
    e->how[e->n++] = how;
}

static struct broadcast_queue *small(struct ends *e, size_t max)
{
    return broadcast_queue_create(&(struct broadcast_queue_options){
        .retransmit_mult = 1, .entries_max = max, .finished = note_end, .ctx = e });
}

static void count(void *ctx, struct str message)
{
    (void)message;
    ++*(size_t *)ctx;
}

static void first_of(void *ctx, struct str message)
{
    char *first = ctx;
    if (*first == 0) *first = message.p[0];
}

static void urgent_goes_before_longer_and_newer(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 0);
    char first = 0;
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("u"), .urgent = true });
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("plain and long") });
    broadcast_queue_take(q, 100, 0, 100, first_of, &first);
    assert_int_equal(first, 'u');
    broadcast_queue_destroy(q);
}

static void only_urgent_are_taken_when_asked_for(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 0);
    size_t n = 0;
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("plain") });
    assert_int_equal(broadcast_queue_take_urgent(q, 100, 2, 100, count, &n), 0);
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("now"), .urgent = true });
    assert_int_equal(broadcast_queue_take_urgent(q, 100, 2, 100, count, &n), 5);
    assert_int_equal(n, 1);
    assert_int_equal(broadcast_queue_length(q), 2);
    broadcast_queue_destroy(q);
}

static void append(void *ctx, struct str message)
{
    buf_put_str(ctx, message);
}

static void plain_and_urgent_share_a_packet_without_repetition(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 0);
    struct buf packet = BUF_INIT(256);
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("plain ") });
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("now "), .urgent = true });
    size_t used = broadcast_queue_take_urgent(q, 100, 2, 100, append, &packet);
    broadcast_queue_take_plain(q, 100, 2, 100 - used, append, &packet);
    assert_true(str_is(buf_str(&packet), "now plain "));
    assert_int_equal(broadcast_queue_counters(q)->transmits, 2);
    buf_deinit(&packet);
    broadcast_queue_destroy(q);
}

static void urgent_that_somebody_waits_for_goes_first(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 0);
    struct buf packet = BUF_INIT(256);
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("waited "), .tag = 1 });
    broadcast_queue_add(
        q, &(struct broadcast){ .message = STR("ours "), .tag = 2, .urgent = true });
    for (int i = 0; i < 3; i++)
        broadcast_queue_add(q, &(struct broadcast){ .message = STR("theirs "), .urgent = true });
    broadcast_queue_take(q, 100, 0, 12, append, &packet);
    broadcast_queue_take(q, 100, 0, 5, append, &packet);
    assert_true(str_is(buf_str(&packet), "ours theirs ours "));
    buf_deinit(&packet);
    broadcast_queue_destroy(q);
}

static void a_full_queue_drops_its_last(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 2);
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("longest"), .tag = 1 });
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("s"), .tag = 2 });
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("middle"), .tag = 3 });
    assert_int_equal(broadcast_queue_length(q), 2);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.tags[0], 2);
    assert_int_equal(e.how[0], BROADCAST_DROPPED);
    assert_int_equal(broadcast_queue_counters(q)->dropped, 1);
    broadcast_queue_destroy(q);
    assert_int_equal(e.n, 3);
}

static void each_message_ends_once(void **state)
{
    (void)state;
    struct ends e = { 0 };
    struct broadcast_queue *q = small(&e, 0);
    size_t n = 0;
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("a1"), .name = STR("a"), .tag = 1 });
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("a2"), .name = STR("a"), .tag = 2 });
    assert_int_equal(e.n, 1);
    assert_int_equal(e.how[0], BROADCAST_REPLACED);
    broadcast_queue_take(q, 5, 0, 100, count, &n); /* limit 1 */
    assert_int_equal(n, 1);
    assert_int_equal(e.n, 2);
    assert_int_equal(e.how[1], BROADCAST_SENT);
    broadcast_queue_add(q, &(struct broadcast){ .message = STR("a3"), .name = STR("a"), .tag = 3 });
    assert_int_equal(e.n, 2); /* the sent one is not there to be replaced */
    broadcast_queue_destroy(q);
    assert_int_equal(e.n, 3);
}

/* Random operations against a plain list that is searched from end to end. */
struct model_entry {
    size_t n, transmits;
    uint64_t id;
    bool there, aside;
};

static size_t model_best(const struct model_entry *v, size_t n, size_t tier, size_t room)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        if (!v[i].there || v[i].aside || v[i].transmits != tier || v[i].n > room) continue;
        if (best == SIZE_MAX || v[i].n > v[best].n || (v[i].n == v[best].n && i > best)) best = i;
    }
    return best;
}

struct order {
    size_t n;
    uint64_t ids[512];
};

static void note_id(void *ctx, struct str message)
{
    struct order *o = ctx;
    uint64_t id;
    memcpy(&id, message.p, sizeof id);
    o->ids[o->n++] = id;
}

static void random_runs_agree_with_a_plain_search(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 20260729);
    for (int run = 0; run < 50; run++) {
        struct broadcast_queue *q =
            broadcast_queue_create(&(struct broadcast_queue_options){ .retransmit_mult = 3 });
        static struct model_entry v[512];
        size_t n = 0, limit = broadcast_limit(3, 30);
        for (int op = 0; op < 300; op++) {
            if (prng_chance(&r, 1, 2)) {
                char message[64] = { 0 };
                uint64_t id = n;
                size_t size = 8 + (size_t)prng_below(&r, 40);
                memcpy(message, &id, sizeof id);
                broadcast_queue_add(q, &(struct broadcast){ .message = { message, size } });
                v[n++] = (struct model_entry){ .n = size, .id = id, .there = true };
                continue;
            }
            struct order got = { 0 };
            size_t room = (size_t)prng_below(&r, 200), used = 0, at = 0;
            broadcast_queue_take(q, 30, 2, room, note_id, &got);
            for (size_t tier = 0; tier < limit && room > used + 2;) {
                size_t best = model_best(v, n, tier, room - used - 2);
                if (best == SIZE_MAX) {
                    tier++;
                    continue;
                }
                assert_true(at < got.n);
                assert_int_equal(got.ids[at++], v[best].id);
                used += v[best].n + 2;
                v[best].aside = true;
                v[best].there = ++v[best].transmits < limit;
            }
            assert_int_equal(at, got.n);
            for (size_t i = 0; i < n; i++)
                v[i].aside = false;
        }
        broadcast_queue_destroy(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_runs_are_repeated),
        cmocka_unit_test(urgent_goes_before_longer_and_newer),
        cmocka_unit_test(only_urgent_are_taken_when_asked_for),
        cmocka_unit_test(plain_and_urgent_share_a_packet_without_repetition),
        cmocka_unit_test(urgent_that_somebody_waits_for_goes_first),
        cmocka_unit_test(a_full_queue_drops_its_last),
        cmocka_unit_test(each_message_ends_once),
        cmocka_unit_test(random_runs_agree_with_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
