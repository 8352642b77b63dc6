/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP front with a few endpoints of its own, and requests to it in one line each. */
#pragma once
#include "consuld/face/api.h"
#include "http_client.h"

#define IP "127.0.33.1"

/* --- the endpoints of the tests -------------------------------------------------------------- */

struct fixture {
    struct world *world;
    struct api *api;
    uint16_t port;
    struct api_request *parked;
    int aborted;
    bool destroyed;
    struct shared_body *shared;
    struct api_request *waiting[8];
    size_t n_waiting;
};

static inline void hello(struct api_request *req)
{
    struct json_writer *w = api_json_begin(req);
    json_array(w);
    json_c(w, "dc1");
    json_array_end(w);
    api_json_end(req, 200);
}

static inline void echo(struct api_request *req)
{
    if (api_body_refused(req)) return;
    char n[32];
    snprintf(n, sizeof n, "%zu", req->body.n);
    api_header(req, "X-Tail", req->tail);
    api_header(req, "X-Body-Length", str_of(n));
    api_reply_raw(req, 200, "text/plain; charset=utf-8", req->body);
}

static inline void read_style(struct api_request *req)
{
    struct api_query q;
    if (api_refuse_namespace(req) || api_query_parse(req, &q)) return;
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    json_key(w, "dc");
    json_str(w, q.datacenter);
    json_key(w, "token");
    json_str(w, q.token);
    json_key(w, "index");
    json_u64(w, q.min_query_index);
    json_key(w, "wait");
    json_i64(w, q.max_query_time);
    json_key(w, "stale");
    json_bool(w, q.allow_stale);
    json_key(w, "max_age");
    json_i64(w, q.max_age);
    json_key(w, "revalidate");
    json_bool(w, q.must_revalidate);
    json_object_end(w);
    api_read_headers(req, 0, true, 2500000);
    api_consistency_header(req, &q);
    api_json_end(req, 200);
}

static inline void on_abort(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->aborted++;
    f->parked = NULL;
}

static inline void park(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->parked = req;
    if (api_has_param(req, "abort")) req->on_abort = on_abort;
}

static inline void share(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->waiting[f->n_waiting++] = req;
}

static inline void fail_with(struct api_request *req)
{
    struct error err;
    struct str code = api_param_str(req, "code"), text = api_param_str(req, "text");
    int64_t n = 0;
    assert_true(str_to_i64(code, &n));
    error_set(&err, (int)n, "%.*s", STR_ARG(text));
    api_reply_error(req, &err);
}

static inline void stream(struct api_request *req)
{
    struct fixture *f = req->ctx;
    api_stream_begin(req, 200, "text/plain");
    f->parked = req;
    req->on_abort = on_abort;
}

static inline void big(struct api_request *req)
{
    struct str size = api_param_str(req, "size");
    uint64_t n = 0;
    assert_true(str_to_u64(size, &n));
    char *p = arena_alloc(req->arena, n + 1);
    memset(p, 'b', n);
    api_reply_raw(req, 200, "text/plain", (struct str){ p, n });
}

static const struct api_route routes[] = {
    { "/v1/hello", API_GET, .handler = hello },
    { "/v1/kv/", API_GET | API_PUT | API_DELETE, API_BODY_KV, .handler = echo },
    { "/v1/txn", API_PUT, API_BODY_TXN, .handler = echo },
    { "/v1/catalog/nodes", API_GET, .handler = read_style },
    { "/v1/session/list", API_GET, .handler = read_style },
    { "/v1/park", API_GET | API_PUT, .handler = park },
    { "/v1/share", API_GET, .handler = share },
    { "/v1/fail", API_GET, .handler = fail_with },
    { "/v1/stream", API_GET, .handler = stream },
    { "/v1/big", API_GET, .handler = big },
    { "/v1/operator/keyring", API_GET | API_POST | API_PUT | API_DELETE, .handler = echo },
    { "/v1/query/", API_GET, .flags = API_OWN_METHODS, .handler = hello },
    { 0 },
};
static const struct api_route *const tables[] = { routes, NULL };

/* --- a front per test ------------------------------------------------------------------------ */

static inline struct api_options options(struct fixture *f)
{
    return (struct api_options){
        .ctx = f,
        .tables = tables,
        .datacenter = STR("dc1"),
        .default_token = STR("anon"),
        .use_cache = true,
        .kv_max_value_size = 524288,
        .txn_max_req_len = 300,
        .max_conns_per_client = 200,
    };
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    f->world = net_world_create();
    struct api_options o = options(f);
    f->api = api_create(f->world, &o, &err);
    assert_non_null(f->api);
    assert_int_equal(api_listen_tcp(f->api, IP, 0, &f->port, &err), 0);
    *state = f;
    return 0;
}

static inline void on_destroyed(void *arg)
{
    ((struct fixture *)arg)->destroyed = true;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, f->destroyed);
    net_world_destroy(f->world);
    shared_body_unref(f->shared);
    free(f);
    return 0;
}

static inline struct client dial(struct fixture *f)
{
    return client_connect(f->world, IP, f->port);
}

static inline void configure(struct fixture *f, const struct api_options *o)
{
    struct error err;
    assert_int_equal(api_configure(f->api, o, &err), 0);
}

/* One request on a connection of its own. */
static inline struct answer ask(
    struct fixture *f, const char *method, const char *target, const char *headers)
{
    struct client c = dial(f);
    struct buf text = BUF_INIT(1 << 20);
    buf_printf(&text, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, target, headers);
    client_send_n(&c, text.p, text.n);
    buf_deinit(&text);
    struct answer a = client_answer_to(&c, method);
    client_close(&c);
    return a;
}

static const char *header(const struct answer *a, const char *name)
{
    static char value[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    const char *v = head_value(a->head, name, value[turn], sizeof value[turn]);
    return v ? v : "(none)";
}

static inline void expect(struct fixture *f, const char *method, const char *target,
    const char *headers, int status, const char *body)
{
    struct answer a = ask(f, method, target, headers);
    if (a.status != status || !a.body || strcmp(a.body, body) != 0)
        fail_msg("%s %s: %d %s, not %d %s", method, target, a.status, a.body ? a.body : "-", status,
            body);
    free(a.body);
}

static inline void expect_header(struct fixture *f, const char *method, const char *target,
    const char *headers, const char *name, const char *value)
{
    struct answer a = ask(f, method, target, headers);
    assert_string_equal(header(&a, name), value);
    free(a.body);
}

#define FRONT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
