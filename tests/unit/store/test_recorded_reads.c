/* SPDX-License-Identifier: Apache-2.0 */
/* The state after the recorded log answers the recorded HTTP reads: content and index. Filters,
 * ordering by distance and the decoration of bodies are the business of higher floors: empty and
 * absent members count as equal. */
#include "unit/store/fsm_log.h"

#include "consuld/store_snapshot.h"
#include "world/openssl_digest.h"

struct query {
    struct store *store;
    struct store_read *rd;
    struct arena *a;
    struct str arg;   /* last part of the path */
    struct buf *body; /* JSON */
    bool found;
};

static void put(struct query *q, const struct type *t, const void *obj)
{
    json_encode(t, obj, false, q->body);
}

static uint64_t nodes(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_nodes(q->rd, NULL, NULL, q->a, &out);
    put(q, &type_node_list, &out);
    return index;
}

static uint64_t nodes_rack(struct query *q)
{
    struct list out = { 0 };
    struct dict meta = { 0 };
    dict_set_str(q->a, &meta, STR("rack"), STR("r1"));
    uint64_t index = store_nodes(q->rd, NULL, &meta, q->a, &out);
    put(q, &type_node_list, &out);
    return index;
}

static uint64_t services(struct query *q)
{
    struct dict out = { 0 };
    uint64_t index = store_services(q->rd, NULL, NULL, q->a, &out);
    put(q, &type_map_list_str, &out);
    return index;
}

static uint64_t services_rack(struct query *q)
{
    struct dict out = { 0 }, meta = { 0 };
    dict_set_str(q->a, &meta, STR("rack"), STR("r1"));
    uint64_t index = store_services(q->rd, NULL, &meta, q->a, &out);
    put(q, &type_map_list_str, &out);
    return index;
}

static uint64_t service(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_service_nodes(q->rd, NULL, q->arg, NULL, q->a, &out);
    put(q, &type_service_node_list, &out);
    return index;
}

static uint64_t service_tag(struct query *q)
{
    struct list out = { 0 }, tags = { 0 };
    *LIST_PUSH(q->a, &tags, struct str) = STR("PRIMARY");
    uint64_t index = store_service_nodes(q->rd, NULL, STR("db"), &tags, q->a, &out);
    put(q, &type_service_node_list, &out);
    return index;
}

static uint64_t connect(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_connect_service_nodes(q->rd, NULL, q->arg, q->a, &out);
    put(q, &type_service_node_list, &out);
    return index;
}

static uint64_t node_services(struct query *q)
{
    struct node_services *out;
    uint64_t index = store_node_services(q->rd, NULL, q->arg, q->a, &out);
    if (out) put(q, &type_node_services, out);
    return index;
}

static uint64_t node_service_list(struct query *q)
{
    struct node_service_listing *out;
    uint64_t index = store_node_service_list(q->rd, NULL, q->arg, q->a, &out);
    if (out) put(q, &type_node_service_listing, out);
    return index;
}

static uint64_t gateway_services(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_gateway_services(q->rd, NULL, q->arg, q->a, &out);
    put(q, &type_gateway_service_list, &out);
    return index;
}

static uint64_t ui_nodes(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_node_dump(q->rd, NULL, STR_NIL, q->a, &out);
    put(q, &type_node_info_list, &out);
    return index;
}

static uint64_t ui_node(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_node_dump(q->rd, NULL, q->arg, q->a, &out);
    if (out.n) put(q, &type_node_info, out.v);
    return index;
}

static uint64_t health_service(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_check_service_nodes(q->rd, NULL, q->arg, NULL, q->a, &out);
    put(q, &type_check_service_node_list, &out);
    return index;
}

static uint64_t health_connect(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_check_connect_service_nodes(q->rd, NULL, q->arg, q->a, &out);
    put(q, &type_check_service_node_list, &out);
    return index;
}

static uint64_t health_checks(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_service_checks(q->rd, NULL, q->arg, NULL, q->a, &out);
    put(q, &type_health_check_list, &out);
    return index;
}

static uint64_t health_node(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_node_checks(q->rd, NULL, q->arg, q->a, &out);
    put(q, &type_health_check_list, &out);
    return index;
}

static uint64_t health_state(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_checks_in_state(q->rd, NULL, q->arg, NULL, q->a, &out);
    put(q, &type_health_check_list, &out);
    return index;
}

static uint64_t sessions(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_sessions(q->rd, NULL, q->a, &out);
    put(q, &type_session_list, &out);
    return index;
}

static uint64_t node_sessions(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_node_sessions(q->rd, NULL, q->arg, q->a, &out);
    put(q, &type_session_list, &out);
    return index;
}

static uint64_t session_info(struct query *q)
{
    struct list out = { 0 };
    struct session *s;
    uint64_t index = store_session(q->rd, NULL, q->arg, q->a, &s);
    if (s) *LIST_PUSH(q->a, &out, struct session) = *s;
    put(q, &type_session_list, &out);
    return index;
}

static uint64_t kv_get(struct query *q)
{
    struct list out = { 0 };
    struct dir_entry e;
    uint64_t index = store_kv_get(q->rd, NULL, q->arg, q->a, &e, &q->found);
    if (q->found) *LIST_PUSH(q->a, &out, struct dir_entry) = e;
    put(q, &type_dir_entry_list, &out);
    return index;
}

static uint64_t kv_list(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_kv_list(q->rd, NULL, q->arg, q->a, &out);
    q->found = out.n > 0;
    put(q, &type_dir_entry_list, &out);
    return index;
}

static uint64_t kv_keys(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_kv_keys(q->rd, NULL, q->arg, STR_NIL, q->a, &out);
    put(q, &type_list_str, &out);
    return index;
}

static uint64_t kv_keys_cut(struct query *q)
{
    struct list out = { 0 };
    uint64_t index = store_kv_keys(q->rd, NULL, STR(""), STR("/"), q->a, &out);
    put(q, &type_list_str, &out);
    return index;
}

static const struct {
    const char *prefix, *suffix;
    uint64_t (*run)(struct query *q);
    int seen_min;
} reads[] = {
    { "/v1/catalog/nodes?node-meta=rack:r1", "", nodes_rack, 1 },
    { "/v1/catalog/nodes", "", nodes, 1 },
    { "/v1/catalog/services?node-meta=rack:r1", "", services_rack, 1 },
    { "/v1/catalog/services", "", services, 1 },
    { "/v1/catalog/service/db?tag=primary", "", service_tag, 1 },
    { "/v1/catalog/service/", "", service, 10 },
    { "/v1/catalog/connect/", "", connect, 10 },
    { "/v1/catalog/node/", "", node_services, 7 },
    { "/v1/catalog/node-services/", "", node_service_list, 7 },
    { "/v1/catalog/gateway-services/", "", gateway_services, 2 },
    { "/v1/internal/ui/nodes", "", ui_nodes, 1 },
    { "/v1/internal/ui/node/", "", ui_node, 7 },
    { "/v1/health/service/", "", health_service, 10 },
    { "/v1/health/connect/", "", health_connect, 10 },
    { "/v1/health/checks/", "", health_checks, 10 },
    { "/v1/health/node/", "", health_node, 7 },
    { "/v1/health/state/", "", health_state, 4 },
    { "/v1/session/list", "", sessions, 1 },
    { "/v1/session/node/", "", node_sessions, 7 },
    { "/v1/session/info/", "", session_info, 8 },
    { "/v1/kv/?keys&separator=/", "", kv_keys_cut, 1 },
    { "/v1/kv/", "?recurse", kv_list, 4 },
    { "/v1/kv/", "?keys", kv_keys, 2 },
    { "/v1/kv/", "", kv_get, 20 },
};
#define READS (sizeof reads / sizeof reads[0])

/* Gateway mappings are no part of a snapshot: those rebuilt carry the index of their config entry,
 * and answers with them differ from the server that took it (fsm.md 13.3). */
static const char *const rebuilt[] = {
    "/v1/health/connect/txnsvc",
    "/v1/catalog/gateway-services/termgw",
};

struct run {
    struct store *store;
    int seen[READS];
    int wrong;
    bool restored;
    int different; /* of those above */
};

static bool is_rebuilt(const char *path)
{
    for (size_t i = 0; i < sizeof rebuilt / sizeof rebuilt[0]; i++)
        if (strcmp(path, rebuilt[i]) == 0) return true;
    return false;
}

static void differs(struct run *r, const char *path, const char *want, const char *got)
{
    if (r->restored && is_rebuilt(path)) {
        r->different++;
        return;
    }
    print_error("%s\n want %s\n got  %s\n", path, want, got);
    r->wrong++;
}

static struct str unescape(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n) {
            struct str byte = hex_bytes(a, str_slice(s, i + 1, i + 3));
            out[n++] = byte.p[0];
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return (struct str){ out, n };
}

static size_t read_of(struct arena *a, struct str path, struct str *arg)
{
    for (size_t i = 0; i < READS; i++) {
        struct str prefix = str_of(reads[i].prefix), suffix = str_of(reads[i].suffix);
        if (!str_has_prefix(path, prefix) || !str_has_suffix(path, suffix)) continue;
        *arg = unescape(a, str_slice(path, prefix.n, path.n - suffix.n));
        if (str_find_char(*arg, '?') < 0) return i;
    }
    return READS;
}

static int text_order(const void *x, const void *y)
{
    return str_cmp(((const struct value *)x)->s, ((const struct value *)y)->s);
}

/* Without empty members; lists of words (tags) in order. */
static struct value bare(struct arena *a, const struct value *v)
{
    struct value out = *v;
    if (v->kind == V_MAP) {
        out = (struct value){ .kind = V_MAP };
        for (size_t i = 0; i < v->map.n; i++) {
            struct value m = bare(a, &v->map.v[i].value);
            bool empty = m.kind == V_NIL || (m.kind == V_LIST && !m.list.n) ||
                         (m.kind == V_MAP && !m.map.n) || (m.kind == V_STR && !m.s.n) ||
                         (m.kind == V_NUMBER && str_is(m.s, "0"));
            if (!empty) *value_map_add(a, &out, v->map.v[i].key) = m;
        }
    } else if (v->kind == V_LIST) {
        out = (struct value){ .kind = V_LIST };
        bool words = true;
        for (size_t i = 0; i < v->list.n; i++) {
            *value_list_add(a, &out) = bare(a, &v->list.v[i]);
            words &= v->list.v[i].kind == V_STR;
        }
        if (words && out.list.n) qsort(out.list.v, out.list.n, sizeof(struct value), text_order);
    }
    return out;
}

static const char *text_of(struct arena *a, const struct value *v)
{
    struct buf out = BUF_INIT(4u << 20);
    json_encode_value(v, false, &out);
    const char *text = str_c(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void check(struct arena *a, const struct value *line, int number, void *arg)
{
    (void)number;
    struct run *r = arg;
    struct buf body = BUF_INIT(16u << 20);
    struct query q = { .store = r->store, .rd = store_read(r->store), .a = a, .body = &body };
    const char *path = get_text(a, line, "path");
    size_t i = read_of(a, str_of(path), &q.arg);
    if (i == READS) return;
    r->seen[i]++;
    uint64_t index = reads[i].run(&q);
    assert_false(store_read_failed(q.rd, NULL));
    uint64_t want_index = strtoull(get_text(a, get(line, "headers"), "X-Consul-Index"), NULL, 10);
    if (index != want_index)
        differs(r, path, str_printf(a, "index %llu", (unsigned long long)want_index).p,
            str_printf(a, "index %llu", (unsigned long long)index).p);
    const struct value *want = get(line, "body");
    if (get_number(line, "status") == 200 && want && body.n) {
        struct value got = parse(a, path, buf_str(&body));
        struct value x = bare(a, want), y = bare(a, &got);
        if (y.kind == V_NIL) y = (struct value){ .kind = V_LIST };
        if (!value_equal(&x, &y)) differs(r, path, text_of(a, &x), text_of(a, &y));
    }
    buf_deinit(&body);
}

static void apply_line(struct arena *a, const struct value *line, int number, void *arg)
{
    (void)number;
    struct store_entry e = recorded_entry(a, line);
    struct command_result res;
    struct error err;
    if (apply_one(arg, &e, a, &res, &err) != 0) fail_msg("%s", err.text);
}

static void check_reads(struct run *r)
{
    each_line(VECTORS "fsm/catalog/reads.jsonl", check, r);
    store_close(r->store);
    assert_int_equal(r->wrong, 0);
    for (size_t i = 0; i < READS; i++) {
        if (r->seen[i] < reads[i].seen_min)
            fail_msg("%s: seen %d times", reads[i].prefix, r->seen[i]);
    }
}

static void state_answers_the_recorded_reads(void **state)
{
    (void)state;
    struct run r = { .store = store_fresh() };
    each_line(VECTORS "fsm/catalog/log.jsonl", apply_line, r.store);
    check_reads(&r);
}

static void state_restored_from_the_recorded_archive_answers_them_too(void **state)
{
    (void)state;
    struct run r = { .store = store_fresh(), .restored = true };
    struct arena a = ARENA_INIT;
    struct snapshot_meta meta;
    struct shared_body *bytes;
    struct error err;
    struct str archive = read_file(&a, VECTORS "fsm/catalog/snapshot.tgz");
    snapshot_init();
    struct shared_body body = shared_body_view(archive);
    if (archive_read(&body, NULL, &digest_openssl, &a, &meta, &bytes, &err))
        fail_msg("%s", err.text);
    if (snapshot_restore(r.store, bytes, meta.index, meta.term, &err)) fail_msg("%s", err.text);
    shared_body_unref(bytes);
    arena_free(&a);
    check_reads(&r);
    assert_int_equal(r.different, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_answers_the_recorded_reads),
        cmocka_unit_test(state_restored_from_the_recorded_archive_answers_them_too),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
