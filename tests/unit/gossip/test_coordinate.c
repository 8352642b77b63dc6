/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "consuld/gossip/coordinate.h"
#include "vectors.h"

#define TOLERANCE 1e-9
#define PEERS 16

static double real(const struct value *v)
{
    char text[64];
    assert_non_null(v);
    assert_int_equal(v->kind, V_NUMBER);
    snprintf(text, sizeof text, "%.*s", STR_ARG(v->s));
    return strtod(text, NULL);
}

static void assert_near(double got, double want, const char *what)
{
    double scale = fmax(fabs(want), 1e-9);
    if (fabs(got - want) > TOLERANCE * scale)
        fail_msg("%s: %.17g instead of %.17g", what, got, want);
}

static void recorded_position(
    struct arena *a, const struct value *v, struct vivaldi_coordinate *out)
{
    *out = (struct vivaldi_coordinate){ .error = real(member_of(v, "Error")),
        .adjustment = real(member_of(v, "Adjustment")),
        .height = real(member_of(v, "Height")) };
    const struct value *vec = member_of(v, "Vec");
    for (size_t i = 0; i < vec->list.n; i++)
        *LIST_PUSH(a, &out->vec, double) = real(&vec->list.v[i]);
}

static void assert_position(struct arena *a, const struct position *got, const struct value *v)
{
    struct vivaldi_coordinate want;
    recorded_position(a, v, &want);
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        assert_near(got->vec[i], LIST_AT(&want.vec, double, i), "vec");
    assert_near(got->error, want.error, "error");
    assert_near(got->adjustment, want.adjustment, "adjustment");
    assert_near(got->height, want.height, "height");
}

struct peers {
    char name[PEERS][16];
    struct latency_filter filter[PEERS];
    size_t n;
};

static struct latency_filter *filter_of(struct peers *p, struct str name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_is(name, p->name[i])) return &p->filter[i];
    assert_true(p->n < PEERS);
    snprintf(p->name[p->n], sizeof p->name[0], "%.*s", STR_ARG(name));
    return &p->filter[p->n++];
}

static bool known_directions(const struct coordinate_client *c, const struct position *other)
{
    double apart = 0, away = 0;
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++) {
        apart += fabs(c->here.vec[i] - other->vec[i]);
        away += fabs(c->here.vec[i]);
    }
    return apart > 1e-6 && away > 1e-6;
}

static size_t follow(struct arena *a, const struct value *data)
{
    struct coordinate_client c;
    struct peers peers = { .n = 0 };
    struct vivaldi_coordinate record;
    struct error err;
    size_t compared = 0;
    coordinate_client_init(&c, 1);
    recorded_position(a, member_of(data, "start"), &record);
    assert_int_equal(position_from_record(&record, &c.here, &err), 0);
    const struct value *steps = member_of(data, "steps");
    for (size_t i = 0; i < steps->list.n; i++) {
        const struct value *step = &steps->list.v[i];
        const struct value *before = member_of(step, "distance_before_ns");
        struct position other;
        struct str error = text_of(step, "error");
        recorded_position(a, member_of(step, "other"), &record);
        err.text[0] = 0;
        int code = position_from_record(&record, &other, &err);
        if (!code) {
            if (before && before->kind != V_NIL)
                assert_near(position_distance(&c.here, &other), (double)number_of(before) / 1e9,
                    "distance");
            assert_true(known_directions(&c, &other));
            code = coordinate_client_update(&c, filter_of(&peers, text_of(step, "node")), &other,
                number_at(step, "rtt_ns"), &err);
        }
        assert_int_equal(code != 0, error.p != NULL);
        if (code) assert_bytes(str_of(err.text), error, text_of(step, "node"));
        const struct value *result = member_of(step, "result");
        if (!result || result->kind != V_MAP) continue;
        assert_position(a, &c.here, result);
        compared++;
    }
    return compared;
}

static void recorded_sequences_are_followed(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "coordinates");
    size_t compared = 0;
    for (size_t i = 0; i < entries->list.n; i++)
        compared += follow(&a, member_of(&entries->list.v[i], "data"));
    assert_true(compared >= 60);
    arena_free(&a);
}

static void a_refused_update_changes_nothing(void **state)
{
    (void)state;
    struct coordinate_client c, before;
    struct latency_filter f = { .n = 0 };
    struct error err;
    coordinate_client_init(&c, 1);
    before = c;
    struct position bad = position_start();
    bad.vec[3] = NAN;
    assert_int_equal(coordinate_client_update(&c, &f, &bad, 1000, &err), ERR_BAD_REQUEST);
    assert_string_equal(err.text, "coordinate is invalid");
    bad = position_start();
    assert_int_equal(coordinate_client_update(&c, &f, &bad, -1, &err), ERR_BAD_REQUEST);
    assert_int_equal(f.n, 0);
    assert_memory_equal(&c, &before, sizeof c);
}

static void equal_places_are_driven_apart(void **state)
{
    (void)state;
    struct coordinate_client c;
    struct latency_filter f = { .n = 0 };
    struct error err;
    struct position there = position_start();
    coordinate_client_init(&c, 7);
    for (int i = 0; i < 50; i++)
        assert_int_equal(coordinate_client_update(&c, &f, &there, 50000000, &err), 0);
    double distance = position_distance(&c.here, &there);
    assert_true(distance > 0.030 && distance < 0.070);
}

static void overflow_starts_anew_and_is_counted(void **state)
{
    (void)state;
    struct coordinate_client c;
    struct latency_filter f = { .n = 0 };
    struct error err;
    struct position far = position_start();
    coordinate_client_init(&c, 1);
    far.vec[0] = 1e300;
    far.height = 1e300;
    for (int i = 0; i < 4; i++)
        assert_int_equal(coordinate_client_update(&c, &f, &far, 1000000, &err), 0);
    assert_true(c.resets > 0);
    assert_true(position_valid(&c.here));
}

static void a_payload_is_read_back(void **state)
{
    (void)state;
    struct position here = position_start(), back;
    struct buf out = BUF_INIT(1024);
    struct error err;
    record_init(&record_vivaldi_coordinate);
    here.vec[0] = -0.25;
    here.vec[7] = 1e-9;
    here.adjustment = -3e-4;
    position_encode(&here, &out);
    assert_int_equal(out.p[0], COORDINATE_PAYLOAD_VERSION);
    assert_int_equal(position_decode(buf_str(&out), &back, &err), 0);
    assert_memory_equal(&here, &back, sizeof here);
    for (size_t n = 0; n < out.n; n++)
        assert_true(position_decode((struct str){ (char *)out.p, n }, &back, &err) != 0);
    out.p[0] = 2;
    assert_int_equal(position_decode(buf_str(&out), &back, &err), ERR_DECODE);
    buf_deinit(&out);
}

/* The payloads of recorded acks. */
static void recorded_payloads_are_written_again(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "ack");
    size_t seen = 0;
    record_init(&record_vivaldi_coordinate);
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *d = member_of(&entries->list.v[i], "decoded");
        while (member_of(d, "inner"))
            d = member_of(d, "inner");
        struct str payload = hex_at(&a, member_of(member_of(d, "body"), "Payload"), "$hex");
        struct position p;
        struct error err;
        if (payload.n == 0 || payload.p[0] != COORDINATE_PAYLOAD_VERSION) continue;
        if (position_decode(payload, &p, &err)) continue;
        struct buf out = BUF_INIT(1024);
        position_encode(&p, &out);
        assert_bytes(buf_str(&out), payload, text_of(&entries->list.v[i], "id"));
        buf_deinit(&out);
        seen++;
    }
    assert_true(seen > 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_sequences_are_followed),
        cmocka_unit_test(a_refused_update_changes_nothing),
        cmocka_unit_test(equal_places_are_driven_apart),
        cmocka_unit_test(overflow_starts_anew_and_is_counted),
        cmocka_unit_test(a_payload_is_read_back),
        cmocka_unit_test(recorded_payloads_are_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
