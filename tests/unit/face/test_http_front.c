/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

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

static void hello(struct api_request *req)
{
    struct json_writer *w = api_json_begin(req);
    json_array(w);
    json_c(w, "dc1");
    json_array_end(w);
    api_json_end(req, 200);
}

static void echo(struct api_request *req)
{
    if (api_body_refused(req)) return;
    char n[32];
    snprintf(n, sizeof n, "%zu", req->body.n);
    api_header(req, "X-Tail", req->tail);
    api_header(req, "X-Body-Length", str_of(n));
    api_reply_raw(req, 200, "text/plain; charset=utf-8", req->body);
}

static void read_style(struct api_request *req)
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

static void on_abort(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->aborted++;
    f->parked = NULL;
}

static void park(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->parked = req;
    if (api_has_param(req, "abort")) req->on_abort = on_abort;
}

static void share(struct api_request *req)
{
    struct fixture *f = req->ctx;
    f->waiting[f->n_waiting++] = req;
}

static void fail_with(struct api_request *req)
{
    struct error err;
    struct str code = api_param_str(req, "code"), text = api_param_str(req, "text");
    int64_t n = 0;
    assert_true(str_to_i64(code, &n));
    error_set(&err, (int)n, "%.*s", STR_ARG(text));
    api_reply_error(req, &err);
}

static void stream(struct api_request *req)
{
    struct fixture *f = req->ctx;
    api_stream_begin(req, 200, "text/plain");
    f->parked = req;
    req->on_abort = on_abort;
}

static void big(struct api_request *req)
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

static struct api_options options(struct fixture *f)
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

static int setup(void **state)
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

static void on_destroyed(void *arg)
{
    ((struct fixture *)arg)->destroyed = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, f->destroyed);
    net_world_destroy(f->world);
    shared_body_unref(f->shared);
    free(f);
    return 0;
}

static struct client dial(struct fixture *f)
{
    return client_connect(f->world, IP, f->port);
}

static void configure(struct fixture *f, const struct api_options *o)
{
    struct error err;
    assert_int_equal(api_configure(f->api, o, &err), 0);
}

/* One request on a connection of its own. */
static struct answer ask(
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

static void expect(struct fixture *f, const char *method, const char *target, const char *headers,
    int status, const char *body)
{
    struct answer a = ask(f, method, target, headers);
    if (a.status != status || !a.body || strcmp(a.body, body) != 0)
        fail_msg("%s %s: %d %s, not %d %s", method, target, a.status, a.body ? a.body : "-", status,
            body);
    free(a.body);
}

static void expect_header(struct fixture *f, const char *method, const char *target,
    const char *headers, const char *name, const char *value)
{
    struct answer a = ask(f, method, target, headers);
    assert_string_equal(header(&a, name), value);
    free(a.body);
}

/* --- routing --------------------------------------------------------------------------------- */

static void unknown_paths_are_empty_404s(void **state)
{
    struct fixture *f = *state;
    const char *paths[] = { "/nothing", "/v1", "/v1/", "/v1/hello/", "/v2/kv/a" };
    for (size_t i = 0; i < 5; i++) {
        struct answer a = ask(f, "PUT", paths[i], "");
        assert_int_equal(a.status, 404);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "(none)");
        assert_string_equal(header(&a, "Content-Type"), "(none)");
        free(a.body);
    }
}

static void root_tells_what_this_is(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/", "", 200, "Consul Agent");
    expect_header(f, "GET", "/", "", "Content-Type", "text/plain; charset=utf-8");
    expect_header(f, "GET", "/", "", "Vary", "(none)");
    expect(f, "HEAD", "/", "", 200, "");
    struct api_options o = options(f);
    o.ui_path = "/ui/";
    configure(f, &o);
    expect_header(f, "GET", "/", "", "Location", "/ui/");
}

static void unclean_paths_and_missing_slashes_redirect(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *target, *location;
    } rows[] = {
        { "/v1/kv", "/v1/kv/" },
        { "/v1/kv?raw", "/v1/kv/?raw" },
        { "/v1//kv/a", "/v1/kv/a" },
        { "/v1//kv", "/v1/kv/" },
        { "/v1/catalog/../kv/a", "/v1/kv/a" },
        { "/v1/./hello", "/v1/hello" },
        { "/v1/kv/a/..", "/v1/kv/" },
        { "/v1/kv/a/.", "/v1/kv/a" },
        { "/..", "/" },
        { "/v1//kv/a%20b!", "/v1/kv/a%20b%21" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = ask(f, "GET", rows[i].target, "");
        assert_int_equal(a.status, 301);
        assert_string_equal(header(&a, "Location"), rows[i].location);
        assert_string_equal(header(&a, "Content-Type"), "text/html; charset=utf-8");
        char body[256];
        snprintf(body, sizeof body, "<a href=\"%s\">Moved Permanently</a>.\n\n", rows[i].location);
        assert_string_equal(a.body, body);
        free(a.body);
    }
    struct answer a = ask(f, "PUT", "/v1//kv/a", "Content-Length: 0\r\n");
    assert_int_equal(a.status, 301);
    assert_int_equal(a.body_n, 0);
    assert_string_equal(header(&a, "Content-Type"), "(none)");
    free(a.body);
}

static void unprintable_paths_are_400_without_headers(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = { "/v1/kv/%01", "/v1/kv/a%00b", "/v1/kv/%E2%80%8B", "/v1/kv/%7f",
        "/v1/nothing/%c2%a0" };
    for (size_t i = 0; i < 5; i++) {
        struct answer a = ask(f, "GET", bad[i], "");
        assert_int_equal(a.status, 400);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "(none)");
        free(a.body);
    }
    const char *good[] = { "/v1/kv/caf%C3%A9", "/v1/kv/%ff", "/v1/kv/a%20b", "/v1/kv/%E2%82%AC" };
    for (size_t i = 0; i < 4; i++)
        expect(f, "GET", good[i], "", 200, "");
    struct api_options o = options(f);
    o.disable_unprintable_char_filter = true;
    configure(f, &o);
    expect_header(f, "GET", "/v1/kv/a%2Fb%01", "", "X-Tail", "a/b\x01");
}

/* --- decisions of an endpoint ---------------------------------------------------------------- */

static void methods_are_answered_from_the_table(void **state)
{
    struct fixture *f = *state;
    expect(f, "OPTIONS", "/v1/kv/a", "", 200, "");
    expect_header(f, "OPTIONS", "/v1/kv/a", "", "Allow", "OPTIONS,GET,PUT,DELETE");
    expect_header(f, "OPTIONS", "/v1/operator/keyring", "", "Allow", "OPTIONS,GET,POST,PUT,DELETE");
    expect_header(
        f, "OPTIONS", "/v1/kv/a", "Accept-Encoding: gzip\r\n", "Content-Encoding", "(none)");
    expect(f, "POST", "/v1/kv/a", "", 405, "method POST not allowed");
    expect(f, "BREW", "/v1/hello", "", 405, "method BREW not allowed");
    expect_header(f, "BREW", "/v1/hello", "", "Allow", "OPTIONS,GET");
    struct answer a = ask(f, "HEAD", "/v1/kv/a", "");
    assert_int_equal(a.status, 405);
    assert_string_equal(header(&a, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
    free(a.body);
    expect(f, "OPTIONS", "/v1/query/x", "", 200, "[\"dc1\"]");
}

static void bad_query_string_is_an_empty_500(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = { "/v1/hello?x=%zz", "/v1/hello?a;b=1", "/v1/hello?%" };
    for (size_t i = 0; i < 3; i++) {
        struct answer a = ask(f, "GET", bad[i], "");
        assert_int_equal(a.status, 500);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
        assert_string_equal(header(&a, "Content-Type"), "(none)");
        free(a.body);
    }
}

static void configuration_blocks_and_decorates_endpoints(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    struct api_header_option headers[] = {
        { STR("Access-Control-Allow-Origin"), STR("*") },
        { STR("x-conform-extra"), STR("yes") },
    };
    struct str blocked[] = { STR("/v1/hel") };
    o.response_headers = headers;
    o.n_response_headers = 2;
    o.block_endpoints = blocked;
    o.n_block_endpoints = 1;
    o.translate_wan_addrs = true;
    configure(f, &o);
    expect(f, "PUT", "/v1/hello", "", 403, "Endpoint is blocked by agent configuration");
    struct answer a = ask(f, "POST", "/v1/kv/x", "");
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "\r\nX-Conform-Extra: yes\r\n"));
    assert_string_equal(header(&a, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(header(&a, "X-Consul-Translate-Addresses"), "true");
    free(a.body);
    expect_header(f, "GET", "/nothing", "", "X-Conform-Extra", "(none)");
}

static void writes_are_restricted_to_networks(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    struct str nets[] = { STR("10.0.0.0/8"), STR("::1/128") };
    o.allow_write_http_from = nets;
    o.n_allow_write_http_from = 2;
    configure(f, &o);
    expect(f, "PUT", "/v1/kv/x", "", 403, "Access is restricted");
    expect(f, "POST", "/v1/kv/x", "", 405, "method POST not allowed");
    expect(f, "GET", "/v1/kv/x", "", 200, "");
    expect(f, "OPTIONS", "/v1/kv/x", "", 200, "");
    nets[0] = STR("127.0.0.0/8");
    configure(f, &o);
    expect(f, "PUT", "/v1/kv/x", "", 200, "");
    struct error err;
    nets[0] = STR("127.0.33.0/33");
    assert_true(api_configure(f->api, &o, &err) < 0);
    assert_non_null(strstr(err.text, "invalid CIDR address: 127.0.33.0/33"));
    expect(f, "PUT", "/v1/kv/x", "", 200, "");
}

/* --- answers --------------------------------------------------------------------------------- */

static void json_is_compact_or_pretty(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/v1/hello", "", 200, "[\"dc1\"]");
    expect_header(f, "GET", "/v1/hello", "", "Content-Type", "application/json");
    expect(f, "GET", "/v1/hello?pretty=false", "", 200, "[\n    \"dc1\"\n]\n");
    struct api_options o = options(f);
    o.pretty = true;
    configure(f, &o);
    expect(f, "GET", "/v1/hello", "", 200, "[\n    \"dc1\"\n]\n");
}

static void gzip_follows_accept_encoding(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *accept;
        bool packed;
    } rows[] = {
        { "gzip", true },
        { "GZIP", true },
        { "gzip;q=0", false },
        { "gzip; q=0.000", false },
        { "deflate, gzip;q=0.5", true },
        { "*", false },
        { "identity", false },
        { "br", false },
        { "", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char headers[128];
        snprintf(headers, sizeof headers, "Accept-Encoding: %s\r\n", rows[i].accept);
        struct answer a = ask(f, "GET", "/v1/hello", headers);
        assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
        assert_string_equal(header(&a, "Content-Encoding"), rows[i].packed ? "gzip" : "(none)");
        if (rows[i].packed) {
            char text[64];
            z_stream z = { .next_in = (Bytef *)a.body,
                .avail_in = (uInt)a.body_n,
                .next_out = (Bytef *)text,
                .avail_out = sizeof text };
            assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
            assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
            assert_int_equal(z.total_out, 7);
            assert_memory_equal(text, "[\"dc1\"]", 7);
            inflateEnd(&z);
            assert_string_equal(header(&a, "Content-Length"), "(none)");
        }
        free(a.body);
    }
}

static void errors_map_to_status_and_text(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int code;
        const char *text;
        int status;
        const char *body;
    } rows[] = {
        { ERR_INTERNAL, "No+cluster+leader", 500, "No cluster leader" },
        { ERR_BAD_REQUEST, "x", 400, "Bad request: x" },
        { ERR_NOT_FOUND, "gone", 404, "gone" },
        { ERR_DENIED, "no", 403, "no" },
        { ERR_UNAUTHORIZED, "ACL+support+disabled", 401, "ACL support disabled" },
        { ERR_INTERNAL, "rpc+error+making+call:+Permission+denied", 403,
            "rpc error making call: Permission denied" },
        { ERR_INTERNAL, "ACL+not+found", 403, "ACL not found" },
        { ERR_IO, "rate+limit+exceeded", 429, "" },
        { ERR_LIMIT, "slow", 429, "slow" },
        { ERR_TOO_LARGE, "big", 413, "big" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[256];
        snprintf(target, sizeof target, "/v1/fail?code=%d&text=%s", rows[i].code, rows[i].text);
        expect(f, "GET", target, "", rows[i].status, rows[i].body);
    }
}

static void read_parameters_answer_the_first_bad_one(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *query, *headers, *body;
    } rows[] = {
        { "index=abc", "", "Invalid index" },
        { "index=-1", "", "Invalid index" },
        { "index=18446744073709551616", "", "Invalid index" },
        { "wait=5", "", "Invalid wait time" },
        { "wait=10x&index=a", "", "Invalid wait time" },
        { "stale&consistent&wait=x", "",
            "Cannot specify ?stale with ?consistent, conflicting semantics." },
        { "cached&consistent", "",
            "Cannot specify ?cached with ?consistent, conflicting semantics." },
        { "max_stale=5s&consistent", "",
            "Cannot specify ?stale with ?consistent, conflicting semantics." },
        { "max_stale=x", "", "Invalid max_stale value \"x\"" },
        { "wait=x", "Cache-Control: max-age=abc\r\n", "Invalid Cache-Control header." },
        { "", "Cache-Control: stale-if-error=x\r\n", "Invalid Cache-Control header." },
        { "ns=x", "",
            "Bad request: Invalid query parameter: \"ns\" - "
            "Namespaces are a Consul Enterprise feature" },
        { "ns=", "X-Consul-Namespace: x\r\n",
            "Bad request: Invalid header: "
            "\"X-Consul-Namespace\" - Namespaces are a Consul Enterprise feature" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[256];
        snprintf(target, sizeof target, "/v1/catalog/nodes?%s", rows[i].query);
        expect(f, "GET", target, rows[i].headers, 400, rows[i].body);
    }
}

static void read_parameters_fill_the_query(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/v1/catalog/nodes?index=18446744073709551615&wait=-1s&dc=&stale=false",
        "Cache-Control: Max-Age=0, x\r\nAuthorization: bearer  abc def\r\n", 200,
        "{\"dc\":\"dc1\",\"token\":\"abc\",\"index\":18446744073709551615,\"wait\":-1000000000,"
        "\"stale\":true,\"max_age\":0,\"revalidate\":true}");
    expect(f, "GET", "/v1/catalog/nodes?token=t&dc=dc2&max_stale=1s",
        "Cache-Control: max-age=-5\r\nX-Consul-Token: u\r\n", 200,
        "{\"dc\":\"dc2\",\"token\":\"t\",\"index\":0,\"wait\":0,\"stale\":true,"
        "\"max_age\":-5000000000,\"revalidate\":false}");
    struct answer a = ask(f, "GET", "/v1/catalog/nodes", "");
    assert_string_equal(header(&a, "X-Consul-Index"), "1");
    assert_string_equal(header(&a, "X-Consul-Knownleader"), "true");
    assert_string_equal(header(&a, "X-Consul-Lastcontact"), "2");
    assert_string_equal(header(&a, "X-Consul-Effective-Consistency"), "leader");
    assert_non_null(strstr(a.body, "\"token\":\"anon\""));
    free(a.body);
}

static void discovery_reads_may_be_stale_by_configuration(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    o.discovery_max_stale = 1000000000;
    configure(f, &o);
    const char *name = "X-Consul-Effective-Consistency";
    expect_header(f, "GET", "/v1/catalog/nodes", "", name, "stale");
    expect_header(f, "GET", "/v1/catalog/nodes?leader", "", name, "leader");
    expect_header(f, "GET", "/v1/catalog/nodes?cached", "", name, "leader");
    expect_header(f, "GET", "/v1/session/list", "", name, "leader");
}

/* --- bodies ---------------------------------------------------------------------------------- */

static void bodies_over_the_limit_are_413(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 301\r\n\r\n");
    char spaces[301];
    memset(spaces, ' ', sizeof spaces);
    client_send_n(&c, spaces, sizeof spaces);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]");
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "(none)");
    assert_string_equal(a.body, "Request body(301 bytes) too large, max size: 300 bytes. See "
                                "https://www.consul.io/docs/agent/options.html#txn_max_req_len.");
    free(a.body);
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "[]");
    free(a.body);
    client_close(&c);

    c = dial(f);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n12d\r\n");
    client_send_n(&c, spaces, sizeof spaces);
    client_send(&c, "\r\n0\r\n\r\n");
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "close");
    assert_string_equal(a.body, "Request body too large, max size: 300 bytes. See "
                                "https://www.consul.io/docs/agent/options.html#txn_max_req_len.");
    free(a.body);
    client_close(&c);
}

static void answer_to_a_huge_body_arrives_though_it_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    size_t n = 700000;
    char *body = calloc(1, n);
    client_send(&c, "PUT /v1/kv/x HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\n");
    client_send_n(&c, body, n);
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "close");
    assert_non_null(strstr(a.body, "(700000 bytes) too large, max size: 524288 bytes"));
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
    free(body);
}

static void large_and_chunked_bodies_arrive_whole(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    size_t n = 524288;
    char *body = malloc(n);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 26);
    client_send(&c, "PUT /v1/kv/a%2Fb HTTP/1.1\r\nHost: h\r\nContent-Length: 524288\r\n\r\n");
    client_send_n(&c, body, n);
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "X-Tail"), "a/b");
    assert_int_equal(a.body_n, n);
    assert_memory_equal(a.body, body, n);
    free(a.body);
    client_send(&c, "PUT /v1/kv/c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < n; at += 65536) {
        client_send(&c, "10000\r\n");
        client_send_n(&c, body + at, 65536);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\n\r\n");
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_n, n);
    assert_memory_equal(a.body, body, n);
    free(a.body);
    client_close(&c);
    free(body);
}

static void continue_is_sent_before_a_wanted_body(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 100);
    free(a.body);
    client_send(&c, "ok");
    a = client_answer_to(&c, "PUT");
    assert_string_equal(a.body, "ok");
    free(a.body);
    client_close(&c);
}

/* --- connections ------------------------------------------------------------------------------ */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    struct buf text = BUF_INIT(1 << 20);
    for (int i = 0; i < 500; i++)
        buf_printf(&text, "GET /v1/kv/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    client_send_n(&c, text.p, text.n);
    buf_deinit(&text);
    for (int i = 0; i < 500; i++) {
        struct answer a = client_answer_to(&c, "GET");
        assert_int_equal(a.status, 200);
        assert_int_equal((int)strtol(header(&a, "X-Tail"), NULL, 10), i);
        free(a.body);
    }
    client_close(&c);
}

static void requests_behind_a_parked_one_wait(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    client_send(&c, "PUT /v1/kv/late HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab");
    client_send(&c, "c");
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    client_receive(&c);
    assert_int_equal(c.in.n, 0);
    api_reply_empty(f->parked, 200);
    struct answer a = client_answer_to(&c, "GET");
    assert_int_equal(a.body_n, 0);
    free(a.body);
    a = client_answer_to(&c, "PUT");
    assert_string_equal(header(&a, "X-Tail"), "late");
    assert_string_equal(a.body, "abc");
    free(a.body);
    client_close(&c);
}

static void flood_behind_a_parked_request_is_left_to_the_socket(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    struct buf text = BUF_INIT(4 << 20);
    int n = 6000;
    for (int i = 0; i < n; i++)
        buf_printf(&text, "GET /v1/kv/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    size_t at = 0;
    for (int i = 0; i < 50; i++) {
        ssize_t sent = send(c.fd, text.p + at, text.n - at, MSG_NOSIGNAL);
        if (sent > 0) at += (size_t)sent;
        net_world_poll(f->world);
    }
    api_reply_empty(f->parked, 200);
    client_send_n(&c, text.p + at, text.n - at);
    buf_deinit(&text);
    struct answer a = client_answer_to(&c, "GET");
    free(a.body);
    for (int i = 0; i < n; i++) {
        a = client_answer_to(&c, "GET");
        assert_int_equal((int)strtol(header(&a, "X-Tail"), NULL, 10), i);
        free(a.body);
    }
    client_close(&c);
}

static void client_that_leaves_aborts_its_parked_request(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    assert_int_equal(f->aborted, 0);
    struct linger reset = { 1, 0 };
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);
    assert_null(f->parked);
}

static void half_closed_read_is_answered_or_given_up_soon(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    assert_int_equal(f->aborted, 0);
    api_reply_text(f->parked, 200, "in time");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "in time");
    free(a.body);
    WAIT_FOR(f->world, f->aborted == 1);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static void half_closed_write_is_answered(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/park?abort HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    uint64_t now = world_now_ms(f->world);
    WAIT_FOR(f->world, world_now_ms(f->world) > now + 1500);
    assert_int_equal(f->aborted, 0);
    api_reply_text(f->parked, 200, "written");
    struct answer a = client_answer_to(&c, "PUT");
    assert_string_equal(a.body, "written");
    free(a.body);
    client_close(&c);
}

static void request_without_abort_hook_outlives_its_client(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    struct linger reset = { 1, 0 };
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&c);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    api_reply_text(f->parked, 200, "nobody hears this");
}

static void half_closed_client_gets_its_answers(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/hello HTTP/1.1\r\nHost: h\r\n"
                    "\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    api_reply_text(f->parked, 200, "late");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "late");
    free(a.body);
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static void slow_client_gets_a_large_answer_and_the_next(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/big?size=20000000 HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    struct answer a = client_answer_to(&c, "GET");
    assert_int_equal(a.body_n, 20000000);
    free(a.body);
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    free(a.body);
    client_close(&c);
}

static void malformed_requests_are_answered_and_closed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int status;
        const char *body;
    } rows[] = {
        { "GET /v1/hello HTTP/1.1\r\n\r\n", 400, "400 Bad Request: missing required Host header" },
        { "GARBAGE\r\n\r\n", 400, "400 Bad Request" },
        { "GET /v1/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "400 Bad Request" },
        { "GET /v1/hello HTTP/3.7\r\nHost: a\r\n\r\n", 505,
            "505 HTTP Version Not Supported: unsupported protocol version" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c = dial(f);
        client_send(&c, rows[i].text);
        struct answer a = client_answer_to(&c, "GET");
        assert_int_equal(a.status, rows[i].status);
        assert_string_equal(a.body, rows[i].body);
        assert_string_equal(header(&a, "Connection"), "close");
        assert_string_equal(header(&a, "Content-Type"), "text/plain; charset=utf-8");
        free(a.body);
        WAIT_FOR(f->world, client_ended(&c));
        client_close(&c);
    }
}

static void old_and_absolute_forms_work(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET http://other/v1/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    assert_string_equal(header(&a, "Connection"), "close");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
    c = dial(f);
    client_send(&c, "GET /v1/hello HTTP/1.0\r\n\r\n");
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    assert_memory_equal(a.head, "HTTP/1.0 200 OK", 15);
    assert_string_equal(header(&a, "Connection"), "(none)");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static void connections_of_one_client_are_limited(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    o.max_conns_per_client = 3;
    configure(f, &o);
    struct client c[4];
    for (int i = 0; i < 3; i++) {
        c[i] = dial(f);
        client_send(&c[i], "GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n");
        struct answer a = client_answer_to(&c[i], "GET");
        assert_int_equal(a.status, 200);
        free(a.body);
    }
    c[3] = dial(f);
    WAIT_FOR(f->world, client_ended(&c[3]));
    assert_int_equal(c[3].in.n, 0);
    client_close(&c[3]);
    client_close(&c[0]);
    struct answer a = { 0 };
    WAIT_FOR(f->world, (a = ask(f, "GET", "/v1/hello", "")).status == 200);
    free(a.body);
    client_close(&c[1]);
    client_close(&c[2]);
}

static void shared_body_reaches_all_that_wait(void **state)
{
    struct fixture *f = *state;
    struct client c[8];
    for (int i = 0; i < 8; i++) {
        c[i] = dial(f);
        client_send(&c[i], i % 2 ? "GET /v1/share HTTP/1.1\r\nHost: h\r\n"
                                   "Accept-Encoding: gzip\r\n\r\n"
                                 : "GET /v1/share HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    WAIT_FOR(f->world, f->n_waiting == 8);
    f->shared = shared_body_create(STR("[1,2,3]"));
    for (size_t i = 0; i < 8; i++)
        api_reply_shared(f->waiting[i], 200, f->shared);
    for (int i = 0; i < 8; i++) {
        struct answer a = client_answer_to(&c[i], "GET");
        assert_int_equal(a.status, 200);
        assert_string_equal(header(&a, "Content-Encoding"), i % 2 ? "gzip" : "(none)");
        if (i % 2 == 0) assert_string_equal(a.body, "[1,2,3]");
        free(a.body);
        client_close(&c[i]);
    }
    assert_int_equal(f->shared->refs, 1);
}

static void endless_answer_streams_until_the_client_leaves(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, (client_receive(&c), c.in.n > 0));
    assert_int_equal(api_stream_write(f->parked, STR("one\n")), 0);
    assert_int_equal(api_stream_write(f->parked, STR("two\n")), 0);
    WAIT_FOR(f->world, (client_receive(&c), str_find(buf_str(&c.in), STR("two")) > 0));
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);

    c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_stream_write(f->parked, STR("last"));
    api_stream_end(f->parked);
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "last");
    free(a.body);
    client_close(&c);
}

static void stream_to_a_client_that_does_not_read_is_full(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    static char block[65536];
    memset(block, 'x', sizeof block);
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        rc = api_stream_write(f->parked, (struct str){ block, sizeof block });
        net_world_poll(f->world);
    }
    assert_int_equal(rc, ERR_FULL);
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);
}

static void destroy_aborts_what_is_parked(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, f->destroyed);
    assert_int_equal(f->aborted, 1);
    f->destroyed = false;
    client_close(&c);
    struct api_options o = options(f);
    f->api = api_create(f->world, &o, NULL);
}

static void late_answer_ends_a_front_that_was_destroyed(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, client_ended(&c));
    assert_false(f->destroyed);
    struct json_writer *w = api_json_begin(f->parked);
    json_bool(w, true);
    api_json_end(f->parked, 200);
    WAIT_FOR(f->world, f->destroyed);
    f->destroyed = false;
    client_close(&c);
    struct api_options o = options(f);
    f->api = api_create(f->world, &o, NULL);
}

#define FRONT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(unknown_paths_are_empty_404s),
        FRONT_TEST(root_tells_what_this_is),
        FRONT_TEST(unclean_paths_and_missing_slashes_redirect),
        FRONT_TEST(unprintable_paths_are_400_without_headers),
        FRONT_TEST(methods_are_answered_from_the_table),
        FRONT_TEST(bad_query_string_is_an_empty_500),
        FRONT_TEST(configuration_blocks_and_decorates_endpoints),
        FRONT_TEST(writes_are_restricted_to_networks),
        FRONT_TEST(json_is_compact_or_pretty),
        FRONT_TEST(gzip_follows_accept_encoding),
        FRONT_TEST(errors_map_to_status_and_text),
        FRONT_TEST(read_parameters_answer_the_first_bad_one),
        FRONT_TEST(read_parameters_fill_the_query),
        FRONT_TEST(discovery_reads_may_be_stale_by_configuration),
        FRONT_TEST(bodies_over_the_limit_are_413),
        FRONT_TEST(answer_to_a_huge_body_arrives_though_it_is_not_read),
        FRONT_TEST(large_and_chunked_bodies_arrive_whole),
        FRONT_TEST(continue_is_sent_before_a_wanted_body),
        FRONT_TEST(pipelined_requests_are_answered_in_order),
        FRONT_TEST(requests_behind_a_parked_one_wait),
        FRONT_TEST(flood_behind_a_parked_request_is_left_to_the_socket),
        FRONT_TEST(client_that_leaves_aborts_its_parked_request),
        FRONT_TEST(half_closed_read_is_answered_or_given_up_soon),
        FRONT_TEST(half_closed_write_is_answered),
        FRONT_TEST(request_without_abort_hook_outlives_its_client),
        FRONT_TEST(half_closed_client_gets_its_answers),
        FRONT_TEST(slow_client_gets_a_large_answer_and_the_next),
        FRONT_TEST(malformed_requests_are_answered_and_closed),
        FRONT_TEST(old_and_absolute_forms_work),
        FRONT_TEST(connections_of_one_client_are_limited),
        FRONT_TEST(shared_body_reaches_all_that_wait),
        FRONT_TEST(endless_answer_streams_until_the_client_leaves),
        FRONT_TEST(stream_to_a_client_that_does_not_read_is_full),
        FRONT_TEST(destroy_aborts_what_is_parked),
        FRONT_TEST(late_answer_ends_a_front_that_was_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
