/* SPDX-License-Identifier: Apache-2.0 */
/* Every recorded serf message: decoded to the recorded content and encoded to the recorded bytes
 * again. */
#include "serf_core.h"
#include "vectors.h"

static const struct type *type_of(uint8_t message)
{
    switch ((enum serf_message_type)message) {
    case SERF_MSG_LEAVE:
        return &type_serf_leave_intent;
    case SERF_MSG_JOIN:
        return &type_serf_join_intent;
    case SERF_MSG_PUSH_PULL:
        return &type_serf_push_pull;
    case SERF_MSG_USER_EVENT:
        return &type_serf_user_event;
    case SERF_MSG_QUERY:
        return &type_serf_query_message;
    case SERF_MSG_QUERY_RESPONSE:
        return &type_serf_query_response;
    case SERF_MSG_CONFLICT_RESPONSE:
        return &type_serf_conflict_member;
    case SERF_MSG_KEY_REQUEST:
        return &type_serf_key_request;
    case SERF_MSG_KEY_RESPONSE:
        return &type_serf_key_response;
    case SERF_MSG_RELAY:
        return &type_serf_relay;
    }
    fail_msg("message type %u", message);
    return NULL;
}

/* --- content ------------------------------------------------------------------------------- */

struct bed {
    struct arena a;
    struct str what;
    size_t messages;
};

static void check_value(
    struct bed *b, const struct type *t, const void *got, const struct value *v);

static void check_fields(
    struct bed *b, const struct record *r, const void *got, const struct value *v)
{
    assert_int_equal(v->kind, V_MAP);
    assert_int_equal(v->map.n, r->n);
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        const struct value *want = member_of(v, f->name);
        if (!want) fail_msg("%.*s: no recorded %s", STR_ARG(b->what), f->name);
        check_value(b, f->type, (const char *)got + f->offset, want);
    }
}

static void check_list(
    struct bed *b, const struct type *t, const struct list *l, const struct value *v)
{
    assert_int_equal(l->v == NULL, v->kind == V_NIL);
    if (!l->v) return;
    assert_int_equal(l->n, v->list.n);
    for (size_t i = 0; i < l->n; i++)
        check_value(b, t->elem, (const char *)l->v + i * t->elem->size, &v->list.v[i]);
}

static void check_map(
    struct bed *b, const struct type *t, const struct dict *d, const struct value *v)
{
    assert_int_equal(d->v == NULL, v->kind == V_NIL);
    if (!d->v) return;
    assert_int_equal(d->n, v->map.n);
    for (size_t i = 0; i < d->n; i++) {
        assert_bytes(dict_key(d, t->elem, i), v->map.v[i].key, b->what);
        check_value(b, t->elem, dict_at(d, t->elem, i), &v->map.v[i].value);
    }
}

static void check_value(struct bed *b, const struct type *t, const void *got, const struct value *v)
{
    switch (t->kind) {
    case KIND_STR:
        assert_int_equal(v->kind, V_STR);
        assert_bytes(*(const struct str *)got, v->s, b->what);
        break;
    case KIND_BYTES: {
        const struct str *bytes = got;
        assert_int_equal(bytes->p == NULL, v->kind == V_NIL);
        if (bytes->p) assert_bytes(*bytes, hex_at(&b->a, v, "$hex"), b->what);
        break;
    }
    case KIND_UINT:
    case KIND_INT:
        assert_int_equal(*(const int64_t *)got, number_of(v));
        break;
    case KIND_BOOL:
        assert_int_equal(v->kind, V_BOOL);
        assert_int_equal(*(const bool *)got, v->b);
        break;
    case KIND_REC:
        check_fields(b, t->record, got, v);
        break;
    case KIND_LIST:
        check_list(b, t, got, v);
        break;
    case KIND_MAP:
        check_map(b, t, got, v);
        break;
    default:
        fail_msg("%.*s: kind %d", STR_ARG(b->what), t->kind);
    }
}

/* --- messages ------------------------------------------------------------------------------ */

static struct str round_trip(
    struct bed *b, enum serf_message_type type, const struct type *t, struct str message, void *obj)
{
    struct str rest;
    struct error err;
    if (serf_message_decode(str_slice(message, 1, message.n), &b->a, t, obj, &rest, &err))
        fail_msg("%.*s: %s", STR_ARG(b->what), err.text);
    struct buf out = BUF_INIT(1 << 20);
    serf_message_encode(type, t, obj, &out);
    assert_bytes(buf_str(&out), str_slice(message, 0, message.n - rest.n), b->what);
    buf_deinit(&out);
    b->messages++;
    return rest;
}

static void check_message(struct bed *b, struct str message, const struct value *serf);

/* What a query or an answer carries for internal use. */
static void check_payload(struct bed *b, struct str payload, const struct value *serf)
{
    const struct value *recorded = member_of(serf, "payload");
    if (!recorded || !payload.n) return;
    if (member_of(recorded, "body")->kind == V_NIL) {
        assert_bytes(payload, STR("\x06\xc0"), b->what);
        return;
    }
    check_message(b, payload, recorded);
}

static void check_filters(struct bed *b, const struct list *filters)
{
    for (size_t i = 0; i < filters->n; i++) {
        struct str f = LIST_AT(filters, struct str, i);
        const struct type *t = f.p[0] == SERF_FILTER_NODE ? &type_list_str : &type_serf_tag_filter;
        void *obj = arena_alloc(&b->a, t->size);
        round_trip(b, (enum serf_message_type)f.p[0], t, f, obj);
    }
}

static void check_message(struct bed *b, struct str message, const struct value *serf)
{
    assert_true(message.n > 0);
    assert_int_equal((uint8_t)message.p[0], number_at(serf, "type"));
    const struct type *t = type_of((uint8_t)message.p[0]);
    void *obj = arena_alloc(&b->a, t->size);
    struct str rest = round_trip(b, (enum serf_message_type)message.p[0], t, message, obj);
    const struct value *body = member_of(serf, message.p[0] == SERF_MSG_RELAY ? "header" : "body");
    check_fields(b, t->record, obj, body);
    if (message.p[0] == SERF_MSG_RELAY) {
        check_message(b, rest, member_of(serf, "inner"));
        return;
    }
    assert_int_equal(rest.n, 0);
    if (t == &type_serf_query_message) {
        check_filters(b, &((struct serf_query_message *)obj)->filters);
        check_payload(b, ((struct serf_query_message *)obj)->payload, serf);
    } else if (t == &type_serf_query_response) {
        check_payload(b, ((struct serf_query_response *)obj)->payload, serf);
    }
}

static size_t check_kind(const char *kind)
{
    struct bed b = { .a = ARENA_INIT };
    serf_message_init();
    const struct value *entries = entries_of(&b.a, kind);
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i], *decoded = member_of(e, "decoded");
        struct str bytes = hex_at(&b.a, e, "hex");
        b.what = text_of(e, "id");
        if (str_is(text_of(decoded, "layer"), "crc")) {
            bytes = str_slice(bytes, 5, bytes.n);
            decoded = member_of(decoded, "inner");
        }
        assert_int_equal(bytes.p[0], 8);
        check_message(&b, str_slice(bytes, 1, bytes.n), member_of(decoded, "serf"));
    }
    size_t n = b.messages;
    arena_free(&b.a);
    return n;
}

static void recorded_intents_round_trip(void **state)
{
    (void)state;
    assert_true(check_kind("serf-join") >= 10);
    assert_true(check_kind("serf-leave") >= 10);
}

static void recorded_events_and_queries_round_trip(void **state)
{
    (void)state;
    assert_true(check_kind("serf-user-event") >= 4);
    assert_true(check_kind("serf-query") >= 8);
    assert_true(check_kind("serf-query-response") >= 3);
    assert_true(check_kind("serf-relay") >= 10);
}

static void recorded_internal_queries_round_trip(void **state)
{
    (void)state;
    assert_true(check_kind("serf-key-query") >= 8);
    assert_true(check_kind("serf-key-response") >= 8);
    assert_true(check_kind("serf-conflict-query") >= 1);
    assert_true(check_kind("serf-conflict-response") >= 3);
}

static void check_past_events(
    struct bed *b, const struct list *events, const struct value *recorded)
{
    size_t at = 0;
    for (size_t i = 0; i < events->n; i++) {
        const struct serf_past_events *slot = LIST_AT(events, struct serf_past_events *, i);
        if (!slot) continue;
        assert_true(at < recorded->list.n);
        const struct value *want = &recorded->list.v[at++];
        assert_int_equal(number_at(want, "index"), i);
        check_fields(b, &record_serf_past_events, slot, member_of(want, "value"));
    }
    assert_int_equal(at, recorded->list.n);
}

/* The serf part of push/pulls; the list of events is recorded by its length alone. */
static void recorded_states_round_trip(void **state)
{
    (void)state;
    struct bed b = { .a = ARENA_INIT };
    serf_message_init();
    const struct value *entries = entries_of(&b.a, "push-pull");
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i], *d = member_of(e, "decoded");
        while (member_of(d, "inner"))
            d = member_of(d, "inner");
        b.what = text_of(e, "id");
        struct str user_state = hex_at(&b.a, d, "user_state");
        if (!user_state.n || !member_of(d, "serf")) continue;
        const struct value *serf = member_of(d, "serf"), *body = member_of(serf, "body");
        struct serf_push_pull m;
        round_trip(&b, SERF_MSG_PUSH_PULL, &type_serf_push_pull, user_state, &m);
        assert_int_equal(m.ltime, number_at(body, "LTime"));
        assert_int_equal(m.event_ltime, number_at(body, "EventLTime"));
        assert_int_equal(m.query_ltime, number_at(body, "QueryLTime"));
        assert_int_equal(m.events.n, number_at(serf, "events_len"));
        check_past_events(&b, &m.events, member_of(serf, "events_non_nil"));
        check_map(&b, &type_map_uint, &m.status_ltimes, member_of(body, "StatusLTimes"));
        check_list(&b, &type_list_str, &m.left_members, member_of(body, "LeftMembers"));
    }
    assert_true(b.messages >= 18);
    arena_free(&b.a);
}

static void recorded_tags_round_trip(void **state)
{
    (void)state;
    struct bed b = { .a = ARENA_INIT };
    const struct value *entries = entries_of(&b.a, "serf-tags");
    for (size_t i = 0; i < entries->list.n; i++) {
        const struct value *e = &entries->list.v[i], *d = member_of(e, "decoded");
        const struct value *tags = member_of(d, "tags");
        struct str meta = hex_at(&b.a, e, "hex");
        struct dict got;
        struct error err;
        b.what = text_of(e, "id");
        assert_int_equal(serf_tags_decode(meta, &b.a, &got, &err), 0);
        if (number_at(d, "serf_protocol") == 2) {
            struct str role = text_of(tags, "role");
            assert_int_equal(got.n, 1);
            assert_bytes(dict_str(&got, STR("role")), role.p ? role : STR(""), b.what);
            assert_bytes(serf_tag(meta, "role"), role.p ? role : STR(""), b.what);
            continue;
        }
        assert_int_equal(got.n, tags->map.n);
        for (size_t j = 0; j < tags->map.n; j++) {
            struct str key = tags->map.v[j].key, value = tags->map.v[j].value.s;
            assert_bytes(dict_str(&got, key), value, b.what);
            assert_bytes(serf_tag(meta, str_c(&b.a, key)), value, b.what);
        }
        struct buf out = BUF_INIT(4096);
        assert_int_equal(serf_tags_encode(&got, &out, &err), 0);
        assert_bytes(buf_str(&out), meta, b.what);
        buf_deinit(&out);
    }
    assert_true(str_eq(serf_tag(STR("\xff\x80"), "role"), STR_NIL));
    assert_null(serf_tag(STR("\xff\x80"), "role").p);
    arena_free(&b.a);
}

static void tags_beyond_512_bytes_are_refused(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct dict tags = { 0 };
    struct error err;
    char long_text[600];
    memset(long_text, 'x', sizeof long_text);
    /* ff, map, key, raw head: 7 bytes around the value */
    dict_set_str(&a, &tags, STR("t"), (struct str){ long_text, SERF_TAGS_MAX - 7 });
    struct buf out = BUF_INIT(4096);
    assert_int_equal(serf_tags_encode(&tags, &out, &err), 0);
    assert_int_equal(out.n, SERF_TAGS_MAX);
    buf_clear(&out);
    dict_set_str(&a, &tags, STR("t"), (struct str){ long_text, SERF_TAGS_MAX - 6 });
    assert_int_equal(serf_tags_encode(&tags, &out, &err), ERR_TOO_LARGE);
    assert_string_equal(err.text, "Encoded length of tags exceeds limit of 512 bytes");
    buf_deinit(&out);
    arena_free(&a);
}

/* A message cut anywhere is refused, and never read beyond its end. */
static void cut_messages_are_refused(void **state)
{
    (void)state;
    struct bed b = { .a = ARENA_INIT };
    serf_message_init();
    const struct value *entries = entries_of(&b.a, "serf-query");
    struct str whole = hex_at(&b.a, &entries->list.v[4], "hex");
    struct serf_query_message m;
    struct error err;
    for (size_t n = 2; n < whole.n; n++) {
        char *cut = xmalloc(n);
        memcpy(cut, whole.p, n);
        assert_int_equal(serf_message_decode((struct str){ cut + 2, n - 2 }, &b.a,
                             &type_serf_query_message, &m, NULL, &err),
            ERR_DECODE);
        free(cut);
    }
    arena_free(&b.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_intents_round_trip),
        cmocka_unit_test(recorded_events_and_queries_round_trip),
        cmocka_unit_test(recorded_internal_queries_round_trip),
        cmocka_unit_test(recorded_states_round_trip),
        cmocka_unit_test(recorded_tags_round_trip),
        cmocka_unit_test(tags_beyond_512_bytes_are_refused),
        cmocka_unit_test(cut_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
